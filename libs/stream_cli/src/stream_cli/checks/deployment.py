"""Checks of what packaging lets pass and AWS refuses when the mapping is created.

The rules are those of the Lambda API (`CreateEventSourceMapping`), of the Lambda developer guide, "Using Lambda with
Kinesis / DynamoDB / Amazon SQS", and of CloudFormation's return values.
"""

from __future__ import annotations

from collections.abc import Iterator

from stream_cli.patterns import InvalidPattern, compile_pattern, parse_pattern

from .findings import Problem
from .packaged import Service
from .references import service_of
from .template import DYNAMODB, KINESIS, SQS, STREAMS

MAX_PATTERNS = 5
"""Filters of one mapping, unless AWS has raised the account's quota (to at most 10)."""
MAX_PATTERN_LENGTH = 4096
_DESTINATIONS = ("sqs", "sns", "s3", "kafka")


def timestamp_missing(service: Service) -> Iterator[Problem]:
    """AT_TIMESTAMP without a timestamp in the template, whatever serverless.yml says."""
    for mapping in service.template.mappings:
        if (
            mapping.kind != DYNAMODB
            and mapping.starting_position == "AT_TIMESTAMP"
            and mapping.starting_timestamp is None
        ):
            event = service.event_of(mapping)
            dropped = event is not None and "startingPositionTimestamp" in event.config
            yield Problem(
                mapping,
                "startingPosition is AT_TIMESTAMP, and "
                + (
                    "the CLI compiles startingPositionTimestamp only together with `consumer`, so it did not reach "
                    "the template"
                    if dropped
                    else "there is no startingPositionTimestamp"
                ),
                "startingPositionTimestamp" if dropped else "startingPosition",
            )


def timestamp_on_dynamodb(service: Service) -> Iterator[Problem]:
    """AT_TIMESTAMP on a DynamoDB stream."""
    for mapping in service.template.mappings:
        if mapping.kind == DYNAMODB and mapping.starting_position == "AT_TIMESTAMP":
            yield Problem(mapping, "startingPosition is AT_TIMESTAMP on a DynamoDB stream", "startingPosition")


def timestamp_in_future(service: Service) -> Iterator[Problem]:
    """A starting timestamp that lies ahead."""
    for mapping in service.template.mappings:
        starts = mapping.starting_timestamp
        if starts is not None and starts > service.now:
            hint = "; it looks like milliseconds" if starts > 100_000_000_000 else ""
            yield Problem(
                mapping, f"startingPositionTimestamp {starts:.0f} is in the future{hint}", "startingPositionTimestamp"
            )


def consumer_on_dynamodb(service: Service) -> Iterator[Problem]:
    """An enhanced fan-out consumer for a DynamoDB stream: refused by AWS, or left out by the CLI."""
    for mapping in service.template.mappings:
        event = service.event_of(mapping)
        if mapping.kind != DYNAMODB:
            continue
        if mapping.consumer:
            yield Problem(mapping, f"a consumer is registered with {mapping.stream}", "consumer")
        elif event is not None and event.config.get("consumer"):
            yield Problem(
                mapping, "`consumer` is set on a DynamoDB stream, where the CLI leaves it out silently", "consumer"
            )


def window_with_parallelization(service: Service) -> Iterator[Problem]:
    """A tumbling window on more than one batch per shard."""
    for mapping in service.template.mappings:
        if mapping.tumbling_window > 0 and mapping.parallelization_factor > 1:
            yield Problem(
                mapping,
                f"tumblingWindowInSeconds {mapping.tumbling_window} with parallelizationFactor "
                f"{mapping.parallelization_factor}",
                "tumblingWindowInSeconds",
            )


def invalid_pattern(service: Service) -> Iterator[Problem]:
    """A filter pattern that is not in EventBridge's grammar."""
    for mapping in service.template.mappings:
        for number, text in enumerate(mapping.patterns, start=1):
            try:
                compile_pattern(parse_pattern(text))
            except InvalidPattern as error:
                yield Problem(mapping, f"filter pattern {number}: {error}", "filterPatterns")


def pattern_too_long(service: Service) -> Iterator[Problem]:
    """A pattern longer than Lambda takes."""
    for mapping in service.template.mappings:
        for number, text in enumerate(mapping.patterns, start=1):
            if len(text) > MAX_PATTERN_LENGTH:
                yield Problem(
                    mapping,
                    f"filter pattern {number} has {len(text)} characters; at most {MAX_PATTERN_LENGTH} are taken",
                    "filterPatterns",
                )


def too_many_patterns(service: Service) -> Iterator[Problem]:
    """More patterns than an account may use on one mapping by default."""
    for mapping in service.template.mappings:
        if len(mapping.patterns) > MAX_PATTERNS:
            yield Problem(
                mapping,
                f"{len(mapping.patterns)} filter patterns; without a raised quota {MAX_PATTERNS} are taken",
                "filterPatterns",
            )


def table_without_stream(service: Service) -> Iterator[Problem]:
    """The stream of a table that has none."""
    for mapping in service.template.mappings:
        table = service.template.table_of(mapping)
        if table is not None and table.view_type is None:
            yield Problem(mapping, f"{table.logical_id} has no StreamSpecification, so it has no stream to read", "arn")


def source_is_no_arn(service: Service) -> Iterator[Problem]:
    """A source that is a name, a URL, another kind of ARN, or nothing in the template."""
    for mapping in service.template.mappings:
        source = mapping.stream
        problem = service.template.resolver.why_no_arn(source)
        if problem is None and service_of(source) == DYNAMODB and "/stream/" not in source:
            problem = f"{source} is the table, not its stream"
        elif problem is None and service_of(source) not in (None, *STREAMS, SQS, "kafka", "mq", "rds"):
            problem = f"{source} is nothing that a mapping can read"
        if problem is not None:
            yield Problem(mapping, problem, "arn")


def destination_is_no_arn(service: Service) -> Iterator[Problem]:
    """A destination that is a name, a URL, or an ARN that on-failure records cannot be sent to."""
    for mapping in service.template.mappings:
        if mapping.destination is None:
            continue
        problem = service.template.resolver.why_no_arn(mapping.destination)
        if problem is None and service_of(mapping.destination) not in (None, *_DESTINATIONS):
            problem = f"{mapping.destination} is no queue, topic or bucket"
        if problem is not None:
            yield Problem(mapping, problem, "destinations")


def fifo_destination(service: Service) -> Iterator[Problem]:
    """A FIFO queue or topic for on-failure records."""
    for mapping in service.template.mappings:
        target = service.template.queue(mapping.destination) or service.template.topic(mapping.destination)
        if (target is not None and target.fifo) or (mapping.destination or "").endswith(".fifo"):
            yield Problem(mapping, f"the destination {mapping.destination} is FIFO", "destinations")


def mapped_twice(service: Service) -> Iterator[Problem]:
    """Two mappings from one source to one function."""
    seen: dict[tuple[str | None, str], str] = {}
    for mapping in service.template.mappings:
        key = (mapping.function_id, mapping.source)
        if key in seen and mapping.function_id is not None:
            yield Problem(mapping, f"{seen[key]} already maps {mapping.source} to this function", "arn")
        seen.setdefault(key, mapping.logical_id)


def queue_visible_too_early(service: Service) -> Iterator[Problem]:
    """A queue whose messages reappear while the function still works on them."""
    for mapping in service.template.mappings:
        queue, function = service.template.queue(mapping.source), service.template.function_of(mapping)
        if mapping.kind == SQS and queue and function and queue.visibility_timeout < function.timeout:
            yield Problem(
                mapping,
                f"{queue.logical_id} has a visibility timeout of {queue.visibility_timeout} s, the function a "
                f"timeout of {function.timeout} s",
                "arn",
            )


def queue_batch(service: Service) -> Iterator[Problem]:
    """A batch that SQS cannot fill: large without a window, or large or with a window on a FIFO queue."""
    for mapping in service.template.mappings:
        if mapping.kind != SQS:
            continue
        queue = service.template.queue(mapping.source)
        fifo = (queue is not None and queue.fifo) or mapping.source.endswith(".fifo")
        if fifo and (mapping.batch_size > 10 or mapping.batch_window > 0):
            yield Problem(
                mapping,
                f"batchSize {mapping.batch_size} and batching window {mapping.batch_window} s on a FIFO queue, which "
                "takes at most 10 and no window",
                "batchSize",
            )
        elif not fifo and mapping.batch_size > 10 and mapping.batch_window == 0:
            yield Problem(
                mapping, f"batchSize {mapping.batch_size} on a queue without maximumBatchingWindow", "batchSize"
            )


def consumer_of_other_streams(service: Service) -> Iterator[Problem]:
    """A fan-out consumer registered with something that is no Kinesis stream."""
    for mapping in service.template.mappings:
        registered_with = service_of(mapping.stream)
        if mapping.consumer and registered_with not in (None, KINESIS, DYNAMODB):
            yield Problem(mapping, f"a consumer is registered with {mapping.stream}", "consumer")
