"""Checks of what packaging accepts and AWS refuses when the mapping, or the rule of a bus, is created.

Sources: Lambda API, `CreateEventSourceMapping`; Lambda developer guide, "Using Lambda with Kinesis / DynamoDB / Amazon
SQS"; CloudFormation's return values.
"""

from __future__ import annotations

from collections.abc import Iterator

from stream_cli.checks.registry import Issue, Severity, check, mapping_check
from stream_cli.checks.service.packaged import Service
from stream_cli.checks.service.resources import DYNAMODB, KINESIS, SQS, STREAMS, EventSourceMapping, Queue, Topic
from stream_cli.checks.service.symbols import service_of
from stream_cli.local.rule_targets import MOST_TARGETS, refusal
from stream_cli.patterns import InvalidPattern, compile_pattern, parse_pattern

MAX_PATTERNS = 5
"""Filters of one mapping, unless AWS has raised the account's quota (to at most 10)."""
MAX_PATTERN_LENGTH = 4096
_DESTINATIONS = ("sqs", "sns", "s3", "kafka")


@mapping_check(
    "SM101",
    Severity.ERROR,
    title="AT_TIMESTAMP without a timestamp",
    why="AWS refuses a mapping that starts AT_TIMESTAMP and has no StartingPositionTimestamp. The CLI requires the "
    "timestamp, and compiles it, only together with `consumer`.",
    fix="Start at TRIM_HORIZON or LATEST, read through a `consumer`, or set StartingPositionTimestamp of the compiled "
    "mapping under `resources.extensions`.",
)
def timestamp_missing(service: Service, mapping: EventSourceMapping) -> Iterator[Issue]:
    if mapping.kind != DYNAMODB and mapping.starting_position == "AT_TIMESTAMP" and mapping.starting_timestamp is None:
        event = service.event_of(mapping)
        dropped = event is not None and "startingPositionTimestamp" in event.config
        option, why = "startingPosition", "there is no startingPositionTimestamp"
        if dropped:
            option = "startingPositionTimestamp"
            why = f"{option} did not reach the template: the CLI compiles it only together with `consumer`"
        yield Issue(mapping, f"startingPosition is AT_TIMESTAMP, and {why}", option)


@mapping_check(
    "SM102",
    Severity.ERROR,
    title="AT_TIMESTAMP on a DynamoDB stream",
    why="A DynamoDB stream can be read from TRIM_HORIZON or LATEST only; AWS refuses the mapping.",
    fix="Set startingPosition to TRIM_HORIZON; a stream keeps 24 hours.",
)
def timestamp_on_dynamodb(service: Service, mapping: EventSourceMapping) -> Iterator[Issue]:
    if mapping.kind == DYNAMODB and mapping.starting_position == "AT_TIMESTAMP":
        yield Issue(mapping, "startingPosition is AT_TIMESTAMP on a DynamoDB stream", "startingPosition")


@mapping_check(
    "SM103",
    Severity.ERROR,
    title="Starting timestamp in the future",
    why="AWS refuses a StartingPositionTimestamp in the future. It is in Unix seconds; a value in milliseconds is far "
    "in the future.",
    fix="Give startingPositionTimestamp in seconds.",
)
def timestamp_in_future(service: Service, mapping: EventSourceMapping) -> Iterator[Issue]:
    starts = mapping.starting_timestamp
    if starts is not None and starts > service.now:
        hint = "; it looks like milliseconds" if starts > 100_000_000_000 else ""
        yield Issue(
            mapping, f"startingPositionTimestamp {starts:.0f} is in the future{hint}", "startingPositionTimestamp"
        )


@mapping_check(
    "SM104",
    Severity.ERROR,
    title="Consumer on a DynamoDB stream",
    why="Enhanced fan-out exists for Kinesis streams only: AWS refuses a registered consumer, and the CLI silently "
    "ignores `consumer` on a DynamoDB event.",
    fix="Remove `consumer`, or correct `type` if the stream is a Kinesis stream.",
)
def consumer_on_dynamodb(service: Service, mapping: EventSourceMapping) -> Iterator[Issue]:
    event = service.event_of(mapping)
    if mapping.kind != DYNAMODB:
        return
    if mapping.consumer:
        yield Issue(mapping, f"a consumer is registered with {mapping.stream}", "consumer")
    elif event is not None and event.config.get("consumer"):
        yield Issue(mapping, "`consumer` is set on a DynamoDB stream, where the CLI ignores it", "consumer")


@mapping_check(
    "SM105",
    Severity.ERROR,
    title="Tumbling window with parallelization",
    why="The state of a window is passed from one batch of a shard to the next, so AWS refuses windows with more than "
    "one batch per shard at a time.",
    fix="Remove parallelizationFactor or tumblingWindowInSeconds.",
)
def window_with_parallelization(service: Service, mapping: EventSourceMapping) -> Iterator[Issue]:
    if mapping.tumbling_window > 0 and mapping.parallelization_factor > 1:
        yield Issue(
            mapping,
            f"tumblingWindowInSeconds {mapping.tumbling_window} with parallelizationFactor "
            f"{mapping.parallelization_factor}",
            "tumblingWindowInSeconds",
        )


@mapping_check(
    "SM106",
    Severity.ERROR,
    title="Invalid filter pattern",
    why="AWS refuses a mapping whose pattern does not follow EventBridge's grammar; the CLI only checks that it is an "
    "object.",
    fix="Correct the pattern at the path given.",
)
def invalid_pattern(service: Service, mapping: EventSourceMapping) -> Iterator[Issue]:
    for number, text in enumerate(mapping.patterns, start=1):
        try:
            compile_pattern(parse_pattern(text))
        except InvalidPattern as error:
            yield Issue(mapping, f"filter pattern {number}: {error}", "filterPatterns")


@mapping_check(
    "SM107",
    Severity.ERROR,
    title="Filter pattern too long",
    why=f"Lambda accepts patterns of at most {MAX_PATTERN_LENGTH} characters.",
    fix="Use `prefix`, `wildcard` or `anything-but` instead of long lists, or split the list over several patterns.",
)
def pattern_too_long(service: Service, mapping: EventSourceMapping) -> Iterator[Issue]:
    for number, text in enumerate(mapping.patterns, start=1):
        if len(text) > MAX_PATTERN_LENGTH:
            yield Issue(
                mapping,
                f"filter pattern {number} has {len(text)} characters; the limit is {MAX_PATTERN_LENGTH}",
                "filterPatterns",
            )


@mapping_check(
    "SM108",
    Severity.WARNING,
    title="More filter patterns than the default quota",
    why=f"A mapping may have {MAX_PATTERNS} patterns unless AWS has raised the account's quota (to at most 10); the "
    "CLI accepts 10.",
    fix="List the alternatives inside one pattern (`type: [a, b]`, `$or`).",
)
def too_many_patterns(service: Service, mapping: EventSourceMapping) -> Iterator[Issue]:
    if len(mapping.patterns) > MAX_PATTERNS:
        yield Issue(
            mapping,
            f"{len(mapping.patterns)} filter patterns; the default quota is {MAX_PATTERNS}",
            "filterPatterns",
        )


@mapping_check(
    "SM109",
    Severity.ERROR,
    title="The table has no stream",
    why="A table without a StreamSpecification has no StreamArn, and the stack fails.",
    fix="Give the table `StreamSpecification: {StreamViewType: NEW_AND_OLD_IMAGES}`.",
)
def table_without_stream(service: Service, mapping: EventSourceMapping) -> Iterator[Issue]:
    table = service.template.table_of(mapping)
    if table is not None and table.view_type is None:
        yield Issue(mapping, f"{table.logical_id} has no StreamSpecification, so it has no stream to read", "arn")


@mapping_check(
    "SM110",
    Severity.ERROR,
    title="The source is not the ARN of a stream or queue",
    why="`Ref` of a stream or table gives its name, and `Fn::GetAtt: [Table, Arn]` the table's own ARN. AWS accepts "
    "only the ARN of a stream, a consumer or a queue; the CLI accepts any reference.",
    fix="Use `Fn::GetAtt: [<stream or queue>, Arn]`, or `[<table>, StreamArn]`.",
)
def source_is_no_arn(service: Service, mapping: EventSourceMapping) -> Iterator[Issue]:
    source = mapping.stream
    problem = service.template.resolver.why_no_arn(source)
    if problem is None and service_of(source) == DYNAMODB and "/stream/" not in source:
        problem = f"{source} is the table, not its stream"
    elif problem is None and service_of(source) not in (None, *STREAMS, SQS, "kafka", "mq", "rds"):
        problem = f"a mapping cannot read {source}"
    if problem is not None:
        yield Issue(mapping, problem, "arn")


@mapping_check(
    "SM111",
    Severity.ERROR,
    title="The on-failure destination is not the ARN of a queue, topic or bucket",
    why="`Ref` of a queue gives its URL. AWS accepts only ARNs; the CLI accepts any reference.",
    fix="Use `Fn::GetAtt: [<queue>, Arn]`, or `Ref` of a topic.",
)
def destination_is_no_arn(service: Service, mapping: EventSourceMapping) -> Iterator[Issue]:
    if mapping.destination is None:
        return
    problem = service.template.resolver.why_no_arn(mapping.destination)
    if problem is None and service_of(mapping.destination) not in (None, *_DESTINATIONS):
        problem = f"{mapping.destination} is not a queue, topic or bucket"
    if problem is not None:
        yield Issue(mapping, problem, "destinations")


@mapping_check(
    "SM112",
    Severity.ERROR,
    title="FIFO destination",
    why="Lambda sends on-failure records to standard queues and topics only.",
    fix="Use a standard queue or topic for on-failure records.",
)
def fifo_destination(service: Service, mapping: EventSourceMapping) -> Iterator[Issue]:
    template, arn = service.template, mapping.destination
    target = template.find(Queue, arn) or template.find(Topic, arn)
    if (target is not None and target.fifo) or (mapping.destination or "").endswith(".fifo"):
        yield Issue(mapping, f"the destination {mapping.destination} is FIFO", "destinations")


@check(
    "SM113",
    Severity.ERROR,
    title="One source mapped twice to one function",
    why="Lambda keeps one mapping per source and function, and answers ResourceConflictException to the second.",
    fix="Combine both events; the filterPatterns of one event are alternatives.",
)
def mapped_twice(service: Service) -> Iterator[Issue]:
    seen: dict[tuple[str | None, str], str] = {}
    for mapping in service.template.mappings:
        key = (mapping.function_id, mapping.source)
        if key in seen and mapping.function_id is not None:
            yield Issue(mapping, f"{seen[key]} already maps {mapping.source} to this function", "arn")
        seen.setdefault(key, mapping.logical_id)


@mapping_check(
    "SM114",
    Severity.ERROR,
    title="Visibility timeout below the function's timeout",
    why="Lambda refuses a queue whose messages become visible again while the function may still be working on them.",
    fix="Set VisibilityTimeout of the queue to at least six times the function's timeout.",
)
def queue_visible_too_early(service: Service, mapping: EventSourceMapping) -> Iterator[Issue]:
    queue, function = service.template.find(Queue, mapping.source), service.template.function_of(mapping)
    if mapping.kind == SQS and queue and function and queue.visibility_timeout < function.timeout:
        yield Issue(
            mapping,
            f"{queue.logical_id} has a visibility timeout of {queue.visibility_timeout} s, the function a "
            f"timeout of {function.timeout} s",
            "arn",
        )


@mapping_check(
    "SM115",
    Severity.ERROR,
    title="Batch that the queue cannot fill",
    why="A standard queue needs a batching window for more than 10 messages; a FIFO queue allows at most 10 and no "
    "window.",
    fix="Set maximumBatchingWindow to at least 1, or batchSize to at most 10.",
)
def queue_batch(service: Service, mapping: EventSourceMapping) -> Iterator[Issue]:
    if mapping.kind != SQS:
        return
    queue = service.template.find(Queue, mapping.source)
    fifo = (queue is not None and queue.fifo) or mapping.source.endswith(".fifo")
    if fifo and (mapping.batch_size > 10 or mapping.batch_window > 0):
        yield Issue(
            mapping,
            f"batchSize {mapping.batch_size} and batching window {mapping.batch_window} s on a FIFO queue, which "
            "allows at most 10 and no window",
            "batchSize",
        )
    elif not fifo and mapping.batch_size > 10 and mapping.batch_window == 0:
        yield Issue(mapping, f"batchSize {mapping.batch_size} on a queue without maximumBatchingWindow", "batchSize")


@mapping_check(
    "SM116",
    Severity.ERROR,
    title="Consumer registered with something other than a stream",
    why="A stream consumer requires the ARN of a Kinesis stream.",
    fix="Correct `arn` or `type` of the event.",
)
def consumer_of_other_streams(service: Service, mapping: EventSourceMapping) -> Iterator[Issue]:
    registered_with = service_of(mapping.stream)
    if mapping.consumer and registered_with not in (None, KINESIS, DYNAMODB):
        yield Issue(mapping, f"a consumer is registered with {mapping.stream}", "consumer")


@check(
    "SM117",
    Severity.ERROR,
    title="Invalid event pattern of a rule",
    why="AWS refuses a rule whose pattern does not follow EventBridge's grammar, or whose wildcards are too complex.",
    fix="Correct the pattern at the path given.",
)
def invalid_rule_pattern(service: Service) -> Iterator[Issue]:
    for rule in service.template.bus_rules:
        if rule.pattern is not None:
            try:
                compile_pattern(parse_pattern(rule.pattern))
            except InvalidPattern as error:
                yield Issue(rule, f"the event pattern of {rule.logical_id}: {error}")


@check(
    "SM118",
    Severity.ERROR,
    title="Target that a rule cannot have",
    why=f"A target gets an Input, an InputPath or an InputTransformer; a template may use the variables of its "
    f"InputPathsMap and the predefined ones only; a rule has at most {MOST_TARGETS} targets.",
    fix="Correct the target, or move targets to a second rule.",
)
def refused_target(service: Service) -> Iterator[Issue]:
    for rule in service.template.bus_rules:
        for target in rule.targets:
            reason = refusal(target)
            if reason is not None:
                yield Issue(rule, reason)
        if len(rule.targets) > MOST_TARGETS:
            yield Issue(rule, f"{rule.logical_id} has {len(rule.targets)} targets; a rule has at most {MOST_TARGETS}")
