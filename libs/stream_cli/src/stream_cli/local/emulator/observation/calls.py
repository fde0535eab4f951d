"""Invocations of functions; and which requests come from which of them.

A request of a function has the header X-Amzn-Trace-Id, from the variable that Lambda sets for each invocation.
ministack sets it for functions with active tracing only; on AWS every invocation has one, which says whether it is
sampled.

Source: Lambda developer guide, "Use Lambda recursive loop detection" (tracing headers, also without X-Ray).
"""

from __future__ import annotations

import functools
import secrets
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any

from stream_cli.local.emulator.observation.domain import (
    NOTHING,
    EventIdentity,
    identity_in,
    identity_in_base64,
    identity_of,
)
from stream_cli.local.emulator.observation.observing import EmulatorJournal, made_by, request_from, safely

INTERNALS = {
    "ministack.app": ("_dispatch_service_request",),
    "ministack.services.lambda_svc": ("_execute_function_warm", "_xray_trace_id_for_invocation"),
}

_LONGEST_ERROR = 500
_MOST_NAMED = 5
_STREAMS = frozenset({"aws:kinesis", "aws:dynamodb"})

_request: ContextVar[str | None] = ContextVar("request", default=None)


def patch(journal: EmulatorJournal) -> None:
    """Observe invocations, and know their requests."""
    from ministack import app
    from ministack.services import lambda_svc

    execute, trace_of = lambda_svc._execute_function_warm, lambda_svc._xray_trace_id_for_invocation

    def executed(function: dict[str, Any], event: Any, request: str) -> Any:
        start = journal.now()
        token = _request.set(request)
        result: Any = {"error": True, "body": {"errorType": "the function could not be run"}}
        try:
            result = execute(function, event, request)
            return result
        finally:
            _request.reset(token)
            observe(function, event, request, start, result)

    def traced(config: dict[str, Any], *inbound: Any) -> str:
        trace = trace_of(config, *inbound) or _unsampled(journal.now())
        if (request := _request.get()) is not None:
            made_by(trace, request, str(config["FunctionName"]))
        return str(trace)

    @safely
    def observe(function: dict[str, Any], event: Any, request: str, start: int, result: Mapping[str, Any]) -> None:
        config, body, end = function.get("config") or function, result.get("body"), journal.now()
        line = {
            "kind": "call",
            "at": end,
            "function": _name_of(config),
            "request": request,
            "start": start,
            "end": end,
            "outcome": "failed" if result.get("error") else "ok",
            **_records_in(event),
        }
        if events := list(_events_in(event)):
            line["events"] = events
        if result.get("error"):
            line["error"] = _error_in(body)
        if (init := _init_of(result)) is not None:
            line["init"] = init
        if (reported := _reported_in(body)) is not None:
            line["reported"] = reported
        journal.observe(line)

    lambda_svc._execute_function_warm, lambda_svc._xray_trace_id_for_invocation = executed, traced
    app._dispatch_service_request = functools.partial(_dispatch, app._dispatch_service_request)


async def _dispatch(dispatch: Callable[..., Awaitable[Any]], *arguments: Any, **options: Any) -> Any:
    request_from(arguments[2] if len(arguments) > 2 else options["headers"])
    return await dispatch(*arguments, **options)


def _unsampled(now_ms: int) -> str:
    chosen = secrets.token_hex(20)
    return f"Root=1-{now_ms // 1000:08x}-{chosen[:24]};Parent={chosen[24:]};Sampled=0"


def _name_of(config: Mapping[str, Any]) -> str:
    version = config.get("Version", "$LATEST")
    return f"{config['FunctionName']}:{version}" if version != "$LATEST" else str(config["FunctionName"])


def _error_in(body: Any) -> str:
    if not isinstance(body, dict):
        return "failed"
    parts = [str(body[name]) for name in ("errorType", "errorMessage") if body.get(name)]
    return ": ".join(parts)[:_LONGEST_ERROR] or "failed"


def _init_of(result: Mapping[str, Any]) -> float | None:
    answer = (result.get("log_source") or (None, None))[1]
    took = getattr(answer, "init_ms", None)
    return round(took, 1) if took else None


def _reported_in(body: Any) -> list[str] | None:
    failures = body.get("batchItemFailures") if isinstance(body, dict) else None
    if not isinstance(failures, list) or not failures:
        return None
    return [str(each.get("itemIdentifier")) for each in failures if isinstance(each, dict)]


def _records_in(event: Any) -> dict[str, Any]:
    """Where the records of an event come from, and which they are."""
    if not isinstance(event, dict):
        return {}
    records = event.get("Records")
    if not isinstance(records, list) or not records or not all(isinstance(each, dict) for each in records):
        if "detail-type" in event and isinstance(event.get("id"), str):
            return {"source": str(event.get("source", "")), "records": [event["id"]], "count": 1}
        return {}
    first = records[0]
    kind = first.get("eventSource") or first.get("EventSource")
    if kind in _STREAMS:
        ends = [records[0], records[-1]] if len(records) > 1 else [first]
        part = "kinesis" if kind == "aws:kinesis" else "dynamodb"
        numbers = [(each.get(part) or {}) for each in ends]
        named = [str(each.get("sequenceNumber") or each.get("SequenceNumber")) for each in numbers]
        return {"source": first.get("eventSourceARN"), "records": named, "count": len(records)}
    named = [name for each in records if (name := _name_of_record(each))]
    source = first.get("eventSourceARN") or (first.get("Sns") or {}).get("TopicArn") or kind
    return {"source": source, "records": named, "count": len(records)}


def _events_in(event: Any) -> Iterator[dict[str, str]]:
    """The domain events that an invocation is made with, unless there are many: then its mapping's attempt has them."""
    if not isinstance(event, dict):
        return
    records = event.get("Records")
    if not isinstance(records, list) or len(records) > _MOST_NAMED:
        found = [identity_of(event)] if records is None else []
    else:
        found = [_identity_in_record(each) for each in records if isinstance(each, dict)]
    yield from ({"id": each.id, "type": each.type} for each in found if each.id is not None and each.type is not None)


def _identity_in_record(record: Mapping[str, Any]) -> EventIdentity:
    match record:
        case {"kinesis": {"data": str(data)}}:
            return identity_in_base64(data)
        case {"Sns": {"Message": str(text)}} | {"body": str(text)}:
            return identity_in(text)
    return NOTHING


def _name_of_record(record: Mapping[str, Any]) -> str | None:
    if "messageId" in record:
        return str(record["messageId"])
    if "Sns" in record:
        return str(record["Sns"].get("MessageId"))
    if "s3" in record:
        return f"{record['s3']['bucket']['name']}/{record['s3']['object']['key']}"
    return None
