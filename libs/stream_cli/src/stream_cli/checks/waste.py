"""Checks of what costs invocations or time for nothing."""

from __future__ import annotations

from collections.abc import Iterator

from .findings import Problem
from .packaged import Service
from .rules import records_of, types_of
from .template import DYNAMODB, KINESIS, EventSourceMapping

FEW_TYPES = 10
"""Rules that handle at most this many types are better served by a filter."""
LEAST_MS_PER_RECORD = 5.0
"""What one write to DynamoDB takes, about, in ms."""
DYNAMODB_READERS = 2
"""Functions that one shard of a DynamoDB stream serves without throttling (Lambda developer guide)."""


def no_filter(service: Service) -> Iterator[Problem]:
    """No filter although the rules handle few types of what the source carries."""
    for mapping in service.template.mappings:
        function = service.template.function_of(mapping)
        rules = service.rules_of(function)
        if mapping.patterns or not rules or not all(rule.enumerable for rule in rules):
            continue
        if mapping.kind == KINESIS:
            types = list(dict.fromkeys(each for rule in rules for each in rule.types))
            if 0 < len(types) <= FEW_TYPES:
                yield Problem(mapping, f"no filterPatterns, and the rules handle only {', '.join(types)}")
        elif mapping.kind == DYNAMODB:
            handler = service.handler_of(function)
            records = [
                records_of(rule, each, DYNAMODB, handler.source_options if handler else {})
                for rule in rules
                for each in types_of(rule)
            ]
            names = sorted({record["eventName"] for known in records for record in known})
            if records and all(records) and len(names) < 3:
                yield Problem(mapping, f"no filterPatterns, and the rules handle only {' and '.join(names)}")


def batch_cannot_fit(service: Service) -> Iterator[Problem]:
    """A batch that the function has no time for."""
    for mapping in service.template.mappings:
        function = service.template.function_of(mapping)
        if function is None or mapping.kind is None:
            continue
        each = function.timeout * 1000 / mapping.batch_size
        if each < LEAST_MS_PER_RECORD:
            yield Problem(
                mapping,
                f"batchSize {mapping.batch_size} with a timeout of {function.timeout} s leaves {each:.1f} ms a record",
                "batchSize",
            )


def window_for_one(service: Service) -> Iterator[Problem]:
    """A batching window for batches of one."""
    for mapping in service.template.mappings:
        if mapping.batch_size == 1 and mapping.batch_window > 0:
            yield Problem(mapping, f"batchWindow {mapping.batch_window} with batchSize 1", "batchWindow")


def many_readers(service: Service) -> Iterator[Problem]:
    """More functions on one DynamoDB stream than its shards serve."""
    readers: dict[str, list[EventSourceMapping]] = {}
    for mapping in service.template.mappings:
        if mapping.kind == DYNAMODB and mapping.enabled:
            readers.setdefault(mapping.stream, []).append(mapping)
    for mappings in readers.values():
        for number, mapping in enumerate(mappings[DYNAMODB_READERS:], start=DYNAMODB_READERS + 1):
            yield Problem(mapping, f"this is reader {number} of one DynamoDB stream", "arn")


def timestamp_dropped(service: Service) -> Iterator[Problem]:
    """A starting timestamp without AT_TIMESTAMP."""
    for mapping in service.template.mappings:
        event = service.event_of(mapping)
        given = mapping.starting_timestamp is not None or (event and "startingPositionTimestamp" in event.config)
        if given and mapping.starting_position != "AT_TIMESTAMP":
            yield Problem(
                mapping,
                f"startingPositionTimestamp with startingPosition {mapping.starting_position}",
                "startingPositionTimestamp",
            )
