"""Checks of what would lose data: records given up into nothing, failures that nobody is told of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from .findings import Problem
from .packaged import Service
from .references import Verdict, service_of
from .template import DYNAMODB, KINESIS, SQS, EventSourceMapping

# What Lambda asks of the function's role for each kind of destination (Lambda developer guide), and on what of it.
_WRITES: Mapping[str, Sequence[tuple[str, str]]] = {
    "sqs": (("sqs:SendMessage", "{}"),),
    "sns": (("sns:Publish", "{}"),),
    "s3": (("s3:PutObject", "{}/*"), ("s3:ListBucket", "{}")),
}
DYNAMODB_RETENTION_S = 24 * 3600


def gives_up_into_nothing(service: Service) -> Iterator[Problem]:
    """A limit on retries or age without a destination."""
    for mapping in service.template.mappings:
        if mapping.is_stream and mapping.limits_retries and mapping.destination is None:
            retries, age = mapping.maximum_retry_attempts, mapping.maximum_record_age
            limits = [
                *([f"maximumRetryAttempts {retries}"] if retries != -1 else []),
                *([f"maximumRecordAgeInSeconds {age}"] if age != -1 else []),
            ]
            option = "maximumRetryAttempts" if retries != -1 else "maximumRecordAgeInSeconds"
            yield Problem(mapping, f"{' and '.join(limits)} without destinations.onFailure", option)


def destination_not_writable(service: Service) -> Iterator[Problem]:
    """A destination that the function's role may not write to."""
    for mapping in service.template.mappings:
        role = service.template.role_of(service.template.function_of(mapping))
        if mapping.destination is None or role is None:
            continue
        kind = service_of(mapping.destination)
        if kind is not None and kind not in _WRITES:
            continue
        needs = _WRITES[kind] if kind else [need for kinds in _WRITES.values() for need in kinds]
        missing = [
            action
            for action, resource in needs
            if role.may(action, resource.replace("{}", mapping.destination)) is Verdict.NO
        ]
        # Of a destination whose kind only the deployment knows, it is enough that one of them may do.
        if missing and (kind or len(missing) == len(needs)):
            actions = (" and " if kind else " or ").join(missing)
            yield Problem(
                mapping, f"{role.logical_id} does not allow {actions} on {mapping.destination}", "destinations"
            )


def bus_not_writable(service: Service) -> Iterator[Problem]:
    """A function that publishes faults to a bus that its role may not write to."""
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
            yield Problem(function, f"{role.logical_id} does not allow events:PutEvents on the bus {bus} of BUS_NAME")


def no_bus(service: Service) -> Iterator[Problem]:
    """Rules of a mapped function without a bus for their faults."""
    mapped = {mapping.function_id for mapping in service.template.mappings}
    for function in service.template.functions.values():
        bus = "BUS_NAME" in function.environment
        if function.logical_id in mapped and not bus and service.rules_of(function):
            yield Problem(function, "the function has rules, and its environment has no BUS_NAME")


def failures_ignored(service: Service) -> Iterator[Problem]:
    """Partial failures returned to a mapping that does not look at them."""
    for mapping in service.template.mappings:
        handler = service.handler_of(service.template.function_of(mapping))
        if _has_items(mapping) and handler is not None and handler.reports and not mapping.reports_item_failures:
            yield Problem(mapping, "the function returns batchItemFailures, and the event has no functionResponseType")


def failures_never_reported(service: Service) -> Iterator[Problem]:
    """ReportBatchItemFailures for a function that never returns any."""
    for mapping in service.template.mappings:
        handler = service.handler_of(service.template.function_of(mapping))
        if _has_items(mapping) and handler is not None and handler.reports is False and mapping.reports_item_failures:
            yield Problem(
                mapping,
                "functionResponseType is ReportBatchItemFailures, and the function never returns batchItemFailures",
                "functionResponseType",
            )


def given_up_before_the_first_attempt(service: Service) -> Iterator[Problem]:
    """An age limit that the batching window alone uses up."""
    for mapping in service.template.mappings:
        age, window = mapping.maximum_record_age, mapping.batch_window
        if mapping.is_stream and age != -1 and age <= window:
            yield Problem(
                mapping,
                f"maximumRecordAgeInSeconds {age} is no longer than batchWindow {window}",
                "maximumRecordAgeInSeconds",
            )


def age_beyond_retention(service: Service) -> Iterator[Problem]:
    """An age limit beyond what the stream keeps."""
    for mapping in service.template.mappings:
        stream = service.template.stream_of(mapping)
        retention = (
            DYNAMODB_RETENTION_S if mapping.kind == DYNAMODB else stream.retention_hours * 3600 if stream else None
        )
        if retention is not None and mapping.maximum_record_age >= retention:
            yield Problem(
                mapping,
                f"maximumRecordAgeInSeconds {mapping.maximum_record_age}, and the stream keeps records for "
                f"{retention} s",
                "maximumRecordAgeInSeconds",
            )


def queue_without_redrive(service: Service) -> Iterator[Problem]:
    """A queue from which poison disappears when its retention ends."""
    for mapping in service.template.mappings:
        queue = service.template.queue(mapping.source)
        if mapping.kind == SQS and queue is not None and not queue.has_redrive:
            yield Problem(mapping, f"{queue.logical_id} has no RedrivePolicy", "arn")


def starts_at_latest(service: Service) -> Iterator[Problem]:
    """LATEST, which misses what arrives while the mapping is created."""
    for mapping in service.template.mappings:
        if mapping.is_stream and mapping.starting_position == "LATEST":
            yield Problem(mapping, "startingPosition is LATEST", "startingPosition")


def _has_items(mapping: EventSourceMapping) -> bool:
    return mapping.kind in (KINESIS, DYNAMODB, SQS)


def _publishes_faults(service: Service, function_id: str) -> bool:
    """Whether a function has rules; without its code, whether it reads a stream."""
    function = service.template.functions[function_id]
    handler = service.handler_of(function)
    if handler is not None and handler.error is None:
        return bool(handler.rules)
    return any(m.function_id == function_id and m.is_stream for m in service.template.mappings)
