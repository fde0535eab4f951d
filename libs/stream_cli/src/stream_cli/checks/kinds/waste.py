"""Checks of what costs invocations or time for nothing."""

from __future__ import annotations

from collections.abc import Iterator

from stream_cli.checks.registry import Issue, Severity, check, mapping_check
from stream_cli.checks.service.packaged import Service
from stream_cli.checks.service.record_shapes import types_of
from stream_cli.checks.service.resources import DYNAMODB, KINESIS, EventSourceMapping

FEW_TYPES = 10
"""A filter is recommended for rules that handle at most this many types."""
LEAST_MS_PER_RECORD = 5.0
"""Roughly what one write to DynamoDB takes, in ms."""
DYNAMODB_READERS = 2
"""Functions that one shard of a DynamoDB stream serves without throttling (Lambda developer guide)."""


@mapping_check(
    "SM501",
    Severity.WARNING,
    title="No filter although the rules handle few types",
    why="The function is invoked, and billed, for every record of the stream, and ignores most of them.",
    fix="Name the types of the rules in filterPatterns.",
)
def no_filter(service: Service, mapping: EventSourceMapping) -> Iterator[Issue]:
    rules = service.rules_of(service.template.function_of(mapping))
    if mapping.patterns or not rules or not all(rule.enumerable for rule in rules):
        return
    if mapping.kind == KINESIS:
        types = list(dict.fromkeys(each for rule in rules for each in rule.types))
        if 0 < len(types) <= FEW_TYPES:
            yield Issue(mapping, f"no filterPatterns, and the rules handle only {', '.join(types)}")
    elif mapping.kind == DYNAMODB:
        records = [service.records_of(mapping, rule, each) for rule in rules for each in types_of(rule)]
        names = sorted({record["eventName"] for known in records for record in known})
        if records and all(records) and len(names) < 3:
            yield Issue(mapping, f"no filterPatterns, and the rules handle only {' and '.join(names)}")


@mapping_check(
    "SM502",
    Severity.WARNING,
    title="Batch size and timeout do not fit",
    why=f"Writing a record takes about {LEAST_MS_PER_RECORD:.0f} ms. With less time per record, full batches time out "
    "and start again from the beginning.",
    fix="Lower batchSize or raise the function's timeout.",
)
def batch_cannot_fit(service: Service, mapping: EventSourceMapping) -> Iterator[Issue]:
    function = service.template.function_of(mapping)
    if function is None or mapping.kind is None:
        return
    each = function.timeout * 1000 / mapping.batch_size
    if each < LEAST_MS_PER_RECORD:
        yield Issue(
            mapping,
            f"batchSize {mapping.batch_size} with a timeout of {function.timeout} s leaves {each:.1f} ms per record",
            "batchSize",
        )


@mapping_check(
    "SM503",
    Severity.WARNING,
    title="Window for batches of one",
    why="A batch of one record is full at once, so the window has no effect.",
    fix="Remove batchWindow, or raise batchSize.",
)
def window_for_one(service: Service, mapping: EventSourceMapping) -> Iterator[Issue]:
    if mapping.batch_size == 1 and mapping.batch_window > 0:
        yield Issue(mapping, f"batchWindow {mapping.batch_window} with batchSize 1", "batchWindow")


@check(
    "SM504",
    Severity.NOTE,
    title="Many readers of one DynamoDB stream",
    why=f"A shard supports {DYNAMODB_READERS} readers; with more, reads are sometimes throttled, and functions fall "
    "behind.",
    fix="Combine functions, or publish the changes to a Kinesis stream and read that.",
)
def many_readers(service: Service) -> Iterator[Issue]:
    readers: dict[str, list[EventSourceMapping]] = {}
    for mapping in service.template.mappings:
        if mapping.kind == DYNAMODB and mapping.enabled:
            readers.setdefault(mapping.stream, []).append(mapping)
    for mappings in readers.values():
        for number, mapping in enumerate(mappings[DYNAMODB_READERS:], start=DYNAMODB_READERS + 1):
            yield Issue(mapping, f"this is reader {number} of one DynamoDB stream", "arn")


@mapping_check(
    "SM505",
    Severity.WARNING,
    title="Starting timestamp without AT_TIMESTAMP",
    why="The timestamp has no effect: the mapping starts at startingPosition.",
    fix="Set startingPosition: AT_TIMESTAMP, or remove startingPositionTimestamp.",
)
def timestamp_dropped(service: Service, mapping: EventSourceMapping) -> Iterator[Issue]:
    event = service.event_of(mapping)
    given = mapping.starting_timestamp is not None or (event and "startingPositionTimestamp" in event.config)
    if given and mapping.starting_position != "AT_TIMESTAMP":
        yield Issue(
            mapping,
            f"startingPositionTimestamp with startingPosition {mapping.starting_position}",
            "startingPositionTimestamp",
        )
