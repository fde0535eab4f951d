"""Checks of time-outs against each other: of functions, queues, calls, retries and APIs.

Sources: Lambda developer guide, "Using Lambda with Amazon SQS" (six times the function's timeout, plus the batching
window); API Gateway developer guide, quotas of HTTP APIs; `stream_runtime.aws.clients`, `stream_runtime.settings`.
"""

from __future__ import annotations

from collections.abc import Iterator

from stream_cli.checks.registry import Issue, Severity, check, mapping_check
from stream_cli.checks.service.packaged import Service
from stream_cli.checks.service.resources import SQS, EventSourceMapping, Function, Queue

VISIBILITY_FACTOR = 6
API_TIMEOUT_S = 30
CALL_S = 23
"""How long one call of the runtime may take: 3 s to connect, 20 s until the answer begins."""
MARGIN_MS = 2_000


@mapping_check(
    "SM304",
    Severity.WARNING,
    title="Visibility timeout too short for retries",
    why="Lambda tries a throttled batch again within the visibility timeout; if it ends before, messages are received "
    "twice, and count towards maxReceiveCount without an attempt.",
    fix=f"Set VisibilityTimeout of the queue to {VISIBILITY_FACTOR} times the function's timeout, plus "
    "maximumBatchingWindow.",
)
def queue_visible_too_early_for_retries(service: Service, mapping: EventSourceMapping) -> Iterator[Issue]:
    queue, function = service.template.find(Queue, mapping.source), service.template.function_of(mapping)
    if mapping.kind != SQS or queue is None or function is None or queue.visibility_timeout < function.timeout:
        return  # SM114 tells of one that is shorter than the function's timeout
    least = VISIBILITY_FACTOR * function.timeout + mapping.batch_window
    if queue.visibility_timeout < least:
        yield Issue(
            mapping,
            f"{queue.logical_id} has a visibility timeout of {queue.visibility_timeout} s; with the function's timeout "
            f"of {function.timeout} s it should have at least {least} s",
            "arn",
        )


@check(
    "SM305",
    Severity.ERROR,
    title="No time is left to work",
    why="The runtime starts nothing in the last DEADLINE_MARGIN_MS of an invocation. With a timeout that is no longer "
    "than that, every record is left for retry.",
    fix="Raise the function's timeout, or lower DEADLINE_MARGIN_MS.",
)
def margin_is_all(service: Service) -> Iterator[Issue]:
    for function in _with_rules(service):
        margin = _margin_ms(function)
        if margin is not None and function.timeout * 1000 <= margin:
            yield Issue(function, f"a timeout of {function.timeout} s, and a margin of {margin} ms at its end")


@check(
    "SM306",
    Severity.WARNING,
    title="A slow call outlasts the invocation",
    why=f"A call may take {CALL_S} s before it is given up. With less time Lambda ends the invocation first, and the "
    "whole batch is repeated instead of the one record.",
    fix=f"Set the function's timeout to more than {CALL_S} s and DEADLINE_MARGIN_MS together.",
)
def call_outlasts(service: Service) -> Iterator[Issue]:
    mapped = {each.function_id for each in service.template.mappings}
    for function in _with_rules(service):
        margin = _margin_ms(function)
        if margin is None or function.logical_id not in mapped or function.timeout * 1000 <= margin:
            continue
        if function.timeout * 1000 < CALL_S * 1000 + margin:
            yield Issue(
                function,
                f"a timeout of {function.timeout} s, of which {margin} ms are kept free at its end; one call may take "
                f"{CALL_S} s",
            )


@mapping_check(
    "SM307",
    Severity.WARNING,
    title="Records are given up while they are tried",
    why="A record that is older than maximumRecordAgeInSeconds is given up. After one invocation that times out it is, "
    "so nothing is tried twice.",
    fix="Make maximumRecordAgeInSeconds several times the function's timeout.",
)
def too_old_for_a_retry(service: Service, mapping: EventSourceMapping) -> Iterator[Issue]:
    function, age = service.template.function_of(mapping), mapping.maximum_record_age
    if mapping.is_stream and function is not None and mapping.batch_window < age <= function.timeout:
        yield Issue(
            mapping,
            f"maximumRecordAgeInSeconds {age} with a timeout of {function.timeout} s",
            "maximumRecordAgeInSeconds",
        )


@check(
    "SM308",
    Severity.WARNING,
    title="The API answers before the function",
    why=f"An HTTP API waits {API_TIMEOUT_S} s for a function and then answers 503; what the function still does, its "
    "caller does not learn.",
    fix=f"Set the function's timeout below {API_TIMEOUT_S} s.",
)
def api_answers_first(service: Service) -> Iterator[Issue]:
    for function in service.template.functions.values():
        if service.name_of(function) in service.behind_apis and function.timeout >= API_TIMEOUT_S:
            yield Issue(function, f"a timeout of {function.timeout} s behind an HTTP API")


def _with_rules(service: Service) -> Iterator[Function]:
    yield from (each for each in service.template.functions.values() if service.rules_of(each))


def _margin_ms(function: Function) -> int | None:
    """The margin at the end of an invocation; None if only the deployment knows it."""
    given = function.environment.get("DEADLINE_MARGIN_MS", "")
    if given == "":
        return MARGIN_MS
    return int(given) if given.isdecimal() else None
