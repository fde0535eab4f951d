"""Checks of what loses data: records that are discarded silently, failures that nobody is told about, and order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from stream_cli.checks.registry import Issue, Severity, check, mapping_check
from stream_cli.checks.service.packaged import Service
from stream_cli.checks.service.resources import DYNAMODB, KINESIS, SQS, EventSourceMapping, Queue, Stream
from stream_cli.checks.service.symbols import Verdict, service_of

# The actions that each kind of destination requires (Lambda developer guide), and the resource of each.
_WRITES: Mapping[str, Sequence[tuple[str, str]]] = {
    "sqs": (("sqs:SendMessage", "{}"),),
    "sns": (("sns:Publish", "{}"),),
    "s3": (("s3:PutObject", "{}/*"), ("s3:ListBucket", "{}")),
}
DYNAMODB_RETENTION_S = 24 * 3600


@mapping_check(
    "SM201",
    Severity.ERROR,
    title="Records are given up silently",
    why="With a limit on retries or age but no on-failure destination, records beyond the limit are skipped without a "
    "trace.",
    fix="Set destinations.onFailure, or remove the limit.",
)
def gives_up_into_nothing(service: Service, mapping: EventSourceMapping) -> Iterator[Issue]:
    if mapping.is_stream and mapping.limits_retries and mapping.destination is None:
        retries, age = mapping.maximum_retry_attempts, mapping.maximum_record_age
        limits = {"maximumRetryAttempts": retries, "maximumRecordAgeInSeconds": age}
        given = {option: limit for option, limit in limits.items() if limit != -1}
        named = " and ".join(f"{option} {limit}" for option, limit in given.items())
        yield Issue(mapping, f"{named} without destinations.onFailure", next(iter(given)))


@mapping_check(
    "SM202",
    Severity.ERROR,
    title="The role may not write to the on-failure destination",
    why="Lambda writes on-failure records with the function's role; without the permission they are lost.",
    fix="Allow sqs:SendMessage on the queue, sns:Publish on the topic, or s3:PutObject and s3:ListBucket on the "
    "bucket; and check the destination's `type`.",
)
def destination_not_writable(service: Service, mapping: EventSourceMapping) -> Iterator[Issue]:
    role = service.template.role_of(service.template.function_of(mapping))
    if mapping.destination is None or role is None:
        return
    kind = service_of(mapping.destination)
    if kind is not None and kind not in _WRITES:
        return
    needs = _WRITES[kind] if kind else [need for kinds in _WRITES.values() for need in kinds]
    missing = [
        action
        for action, resource in needs
        if role.may(action, resource.replace("{}", mapping.destination)) is Verdict.NO
    ]
    # If only the deployment knows the kind of the destination, one allowed action is enough.
    if missing and (kind or len(missing) == len(needs)):
        actions = (" and " if kind else " or ").join(missing)
        yield Issue(mapping, f"{role.logical_id} does not allow {actions} on {mapping.destination}", "destinations")


@check(
    "SM203",
    Severity.ERROR,
    title="The role may not write to the bus of the function's faults",
    why="A poison record becomes a fault event on the bus. If the event cannot be published, the record's batch is "
    "retried until it is given up.",
    fix="Allow events:PutEvents on the bus.",
)
def bus_not_writable(service: Service) -> Iterator[Issue]:
    for function in service.template.functions.values():
        bus, role = function.environment.get("BUS_NAME"), service.template.role_of(function)
        if bus is None or role is None or not _publishes_faults(service, function.logical_id):
            continue
        arn = (
            bus
            if bus.startswith("arn:")
            else f"arn:${{AWS::Partition}}:events:${{AWS::Region}}:${{AWS::AccountId}}:event-bus/{bus}"
        )
        if role.may("events:PutEvents", arn) is Verdict.NO:
            yield Issue(function, f"{role.logical_id} does not allow events:PutEvents on the bus {bus} of BUS_NAME")


@check(
    "SM204",
    Severity.WARNING,
    title="Rules without a bus for their faults",
    why="Rules publish faults to the bus of BUS_NAME; without it a poison record is retried until it is given up.",
    fix="Set BUS_NAME in the function's environment.",
)
def no_bus(service: Service) -> Iterator[Issue]:
    mapped = {mapping.function_id for mapping in service.template.mappings}
    for function in service.template.functions.values():
        bus = "BUS_NAME" in function.environment
        if function.logical_id in mapped and not bus and service.rules_of(function):
            yield Issue(function, "the function has rules, and its environment has no BUS_NAME")


@mapping_check(
    "SM205",
    Severity.ERROR,
    title="Partial failures that the mapping ignores",
    why="Without functionResponseType a batch is done whatever the function returns, so every failure that it reports "
    "is lost.",
    fix="Set functionResponseType: ReportBatchItemFailures.",
)
def failures_ignored(service: Service, mapping: EventSourceMapping) -> Iterator[Issue]:
    handler = service.handler_of(service.template.function_of(mapping))
    if _has_items(mapping) and handler is not None and handler.reports and not mapping.reports_item_failures:
        yield Issue(mapping, "the function returns batchItemFailures, and the event has no functionResponseType")


@mapping_check(
    "SM206",
    Severity.ERROR,
    title="Partial failures that are never reported",
    why="The mapping expects batchItemFailures that the function never returns: failures that the function catches "
    "count as success, and one record that raises fails the whole batch.",
    fix='Return {"batchItemFailures": [...]} (`stream_handler` does), or remove functionResponseType.',
)
def failures_never_reported(service: Service, mapping: EventSourceMapping) -> Iterator[Issue]:
    handler = service.handler_of(service.template.function_of(mapping))
    if _has_items(mapping) and handler is not None and handler.reports is False and mapping.reports_item_failures:
        yield Issue(
            mapping,
            "functionResponseType is ReportBatchItemFailures, and the function never returns batchItemFailures",
            "functionResponseType",
        )


@mapping_check(
    "SM207",
    Severity.ERROR,
    title="Records are too old before they are tried",
    why="A record may wait for the whole batching window; if it is then older than maximumRecordAgeInSeconds, it is "
    "given up without an attempt.",
    fix="Make maximumRecordAgeInSeconds much longer than batchWindow.",
)
def given_up_before_the_first_attempt(service: Service, mapping: EventSourceMapping) -> Iterator[Issue]:
    age, window = mapping.maximum_record_age, mapping.batch_window
    if mapping.is_stream and age != -1 and age <= window:
        yield Issue(
            mapping,
            f"maximumRecordAgeInSeconds {age} is not longer than batchWindow {window}",
            "maximumRecordAgeInSeconds",
        )


@mapping_check(
    "SM208",
    Severity.WARNING,
    title="Age limit beyond the stream's retention",
    why="Records expire in the stream before they are given up, so no on-failure record is written about them.",
    fix="Set maximumRecordAgeInSeconds below the retention, and leave enough time to read the records back.",
)
def age_beyond_retention(service: Service, mapping: EventSourceMapping) -> Iterator[Issue]:
    stream = service.template.find(Stream, mapping.stream)
    retention = DYNAMODB_RETENTION_S if mapping.kind == DYNAMODB else stream.retention_hours * 3600 if stream else None
    if retention is not None and mapping.maximum_record_age >= retention:
        yield Issue(
            mapping,
            f"maximumRecordAgeInSeconds {mapping.maximum_record_age}, and the stream keeps records for {retention} s",
            "maximumRecordAgeInSeconds",
        )


@mapping_check(
    "SM209",
    Severity.WARNING,
    title="Queue without a redrive policy",
    why="A message that always fails is received again until the queue's retention period ends, and is then lost.",
    fix="Give the queue a RedrivePolicy with a dead-letter queue.",
)
def queue_without_redrive(service: Service, mapping: EventSourceMapping) -> Iterator[Issue]:
    queue = service.template.find(Queue, mapping.source)
    if mapping.kind == SQS and queue is not None and not queue.has_redrive:
        yield Issue(mapping, f"{queue.logical_id} has no RedrivePolicy", "arn")


@mapping_check(
    "SM210",
    Severity.NOTE,
    title="Starts at LATEST",
    why="Records that arrive while the mapping is being created or changed may be missed.",
    fix="Start at TRIM_HORIZON unless the first records do not matter.",
)
def starts_at_latest(service: Service, mapping: EventSourceMapping) -> Iterator[Issue]:
    if mapping.is_stream and mapping.starting_position == "LATEST":
        yield Issue(mapping, "startingPosition is LATEST", "startingPosition")


def _has_items(mapping: EventSourceMapping) -> bool:
    return mapping.kind in (KINESIS, DYNAMODB, SQS)


def _publishes_faults(service: Service, function_id: str) -> bool:
    """Whether a function has rules; if its code is not known, whether it reads a stream."""
    function = service.template.functions[function_id]
    handler = service.handler_of(function)
    if handler is not None and handler.error is None:
        return bool(handler.rules)
    return any(m.function_id == function_id and m.is_stream for m in service.template.mappings)


@mapping_check(
    "SM215",
    Severity.WARNING,
    title="Messages of an outbox may overtake each other",
    why="Lanes of a table's stream keep the order of each row, by partition and sort key (Lambda developer guide, "
    '"Using Lambda with DynamoDB"). Each message of an outbox is a row of its own, so the messages of one entity go '
    "through different lanes.",
    fix="Remove parallelizationFactor from the function with the outbox; larger batches make it faster, too.",
)
def outbox_in_lanes(service: Service, mapping: EventSourceMapping) -> Iterator[Issue]:
    if mapping.kind != DYNAMODB or mapping.parallelization_factor <= 1:
        return
    handler = service.handler_of(service.template.function_of(mapping))
    for rule in (handler and handler.rules) or ():
        if rule.known_flavor and rule.flavor == "outbox":
            yield Issue(
                mapping,
                f"parallelizationFactor {mapping.parallelization_factor}, and the rule {rule.id} sends messages",
                "parallelizationFactor",
            )
