"""What the response of an invocation means for its batch: the outcome table of stream mappings.

AWS Lambda developer guide, "Configuring partial batch response with Kinesis Data Streams" (and "... DynamoDB Streams").
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Invocation:
    """The response of Lambda Invoke.

    Attributes:
        payload: what the function returned, as JSON text.
        function_error: `Unhandled` if the function raised, timed out, ran out of memory or died; None if it returned.
        throttled: whether Lambda answered 429: the function did not run.
        log: the end of its log, if it was asked for.
    """

    payload: bytes = b"null"
    function_error: str | None = None
    request_id: str = ""
    executed_version: str = "$LATEST"
    throttled: bool = False
    log: str = ""


@dataclass(frozen=True, slots=True)
class Processed:
    """The whole batch is done. `state` is what the function returned for its tumbling window."""

    state: Any = None
    request_id: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Failed:
    """The first `done` records of the batch are done; the others are not.

    Attributes:
        partial: whether the function returned the failure, rather than raised.
        problem: the failure in a few words.
        state: what the function returned for its tumbling window.
    """

    done: int = 0
    partial: bool = False
    problem: str = "raised"
    state: Any = None
    invocation: Invocation | None = None


@dataclass(frozen=True, slots=True)
class Undelivered:
    """The function was not invoked (no endpoint, no such function): this does not count as an attempt."""

    problem: str = ""


Outcome = Processed | Failed | Undelivered


class InvalidReport(ValueError):
    """A response that does not say which records of its batch have failed: all of them have."""


def interpret(
    invocation: Invocation, sequence_numbers: Sequence[str], *, report_failures: bool, windowed: bool = False
) -> Processed | Failed:
    """The outcome of an invocation for its batch.

    Args:
        sequence_numbers: those of the batch, in shard order.
        report_failures: the mapping's ReportBatchItemFailures; without it any returned value counts as success.
        windowed: whether the mapping has tumbling windows: the response then has the window's state, also together
            with partial failures.
    """
    if invocation.throttled:
        return Failed(problem="throttled", invocation=invocation)
    if invocation.function_error is not None:
        return Failed(problem=_error_of(invocation), invocation=invocation)
    if not report_failures and not windowed:
        return Processed(request_id=invocation.request_id)
    try:
        returned = json.loads(invocation.payload) if invocation.payload.strip() else None
    except (ValueError, RecursionError):
        if report_failures:
            return Failed(problem="returned something other than JSON", invocation=invocation)
        returned = None
    state = returned.get("state") if windowed and isinstance(returned, dict) else None
    if not report_failures:
        return Processed(state, invocation.request_id)
    try:
        reported = reported_failures(returned, sequence_numbers)
    except InvalidReport as error:
        return Failed(problem=str(error), partial=True, state=state, invocation=invocation)
    if not reported:
        return Processed(state, invocation.request_id)
    lowest = min(sequence_numbers.index(number) for number in reported)
    problem = f"reported {sequence_numbers[lowest]}"
    return Failed(done=lowest, partial=True, problem=problem, state=state, invocation=invocation)


def reported_failures(returned: Any, identifiers: Collection[str]) -> list[str]:
    """The identifiers in the ``batchItemFailures`` of what a function returned; none if it reports no failure.

    Raises:
        InvalidReport: it returned something else, or an identifier that is not in the batch.
    """
    if returned is None or returned == "" or returned == [] or returned == {}:
        return []
    if not isinstance(returned, dict):
        raise InvalidReport("did not return an object")
    failures = returned.get("batchItemFailures")
    if failures is None or failures == []:
        return []
    if not isinstance(failures, list):
        raise InvalidReport("batchItemFailures is not a list")
    reported = []
    for failure in failures:
        identifier = failure.get("itemIdentifier") if isinstance(failure, dict) else None
        if not isinstance(identifier, str) or identifier not in identifiers:
            raise InvalidReport(f"reported {json.dumps(identifier)[:80]}, which is not a record of the batch")
        reported.append(identifier)
    return reported


def _error_of(invocation: Invocation) -> str:
    """The error that a function raised, as its response describes it."""
    try:
        answer = json.loads(invocation.payload)
    except (ValueError, RecursionError):
        return "failed"
    if not isinstance(answer, dict):
        return "failed"
    kind, message = answer.get("errorType"), answer.get("errorMessage")
    return f"{kind}: {message}"[:200] if kind and message else str(kind or message or "failed")[:200]
