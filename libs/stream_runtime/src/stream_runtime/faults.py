"""Fault events: a record that could not be processed, with its error, kept so that it can be resubmitted."""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from . import settings
from .clock import now_ms
from .engine.records import FAULT_EVENT_TYPE as FAULT_EVENT_TYPE
from .engine.records import identify, uows_of
from .engine.run import Fault
from .errors import UnhandledFault
from .ids import derived_id, digest
from .payload import codec
from .tags import standard_tags

LEAST_BYTES = 4096
"""A fault event is trimmed until it fits into an entry, but never to less than this."""

_ENVELOPE_BYTES = 8 * 1024
_MESSAGE_CHARACTERS = 4096
_STACK_CHARACTERS = 16384
_SHORT_CHARACTERS = 256


def faulty(function: Callable[..., Any], ignore: bool = False) -> Callable[..., Any]:
    """Wrap a function so that its failure becomes a fault of the unit of work it was called with.

    Args:
        function: its first argument is a unit of work.
        ignore: its errors do not become faults; they fail the whole batch, which Lambda delivers again.
    """

    @wraps(function)
    def attributed(uow: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return function(uow, *args, **kwargs)
        except Exception as error:
            if ignore:
                raise UnhandledFault(f"{type(error).__name__}: {error}") from error
            if getattr(error, "uow", None) is None:
                _attribute(error, uow)
            raise

    return attributed


def throw_fault(uow: Mapping[str, Any]) -> Callable[[Exception], None]:
    """A function that raises an error as the fault of a unit of work, for operators that take an error callback."""

    def throw(error: Exception) -> None:
        _attribute(error, uow)
        raise error

    return throw


def _attribute(error: Exception, uow: Any) -> None:
    """Errors with ``__slots__`` take no attribute; for these the step that they leave knows the unit of work."""
    if hasattr(error, "__dict__"):
        error.uow = uow  # type: ignore[attr-defined]


def fault_event(fault: Fault, most_bytes: int | None = None) -> dict[str, Any]:
    """The event that is published for a fault.

    Shape: ``{"id", "type": "fault", "partition_key", "timestamp" (ms), "tags", "err": {"name", "message", "stack"},
    "uow": {"pipeline", "record", "event"}}``, or ``"uow": {"batch": [...]}`` if several failed together. The id is
    derived from record and pipeline and, where one record became several units of work, from which of them failed. A
    fault that is too large for an entry of PutEvents, or that has no JSON form, loses first the event (which is in the
    record), then the record's content. Stream and sequence number stay.

    Args:
        fault: what failed.
        most_bytes: bytes of an entry; MAX_REQUEST_SIZE by default, at least `LEAST_BYTES`.
    """
    singles = list(uows_of(fault.uow))
    first = singles[0]
    pipeline = first.get("pipeline")
    caused_by = [_cause(single) for single in singles]
    event = {
        "id": derived_id(caused_by[0], pipeline or "undefined", FAULT_EVENT_TYPE, *first.get("split_path", ())),
        "type": FAULT_EVENT_TYPE,
        "partition_key": caused_by[0][:_SHORT_CHARACTERS],
        "timestamp": now_ms(),
        "tags": standard_tags(pipeline),
        "err": _described(fault.error),
    }
    return _fitting(event, singles, max(most_bytes or settings.MAX_REQUEST_SIZE.read(), LEAST_BYTES))


def _described(error: BaseException) -> dict[str, str]:
    try:
        message = str(error)
    except Exception as broken:
        message = f"its message cannot be read: {type(broken).__name__}"
    return {
        "name": type(error).__name__,
        "message": _text(message)[:_MESSAGE_CHARACTERS],
        "stack": _text("".join(traceback.format_exception(error)))[-_STACK_CHARACTERS:],
    }


def distinguished(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give fault events different ids if one record failed several times in the same pipeline.

    The id is derived from what failed, so it does not depend on the order of threads.
    """
    seen: dict[str, int] = {}
    for event in events:
        seen[event["id"]] = seen.get(event["id"], 0) + 1
    return [
        event
        if seen[event["id"]] == 1
        else {
            **event,
            "id": derived_id(event["id"], digest(codec.canonical([event["err"]["message"], event["uow"]]))[:16]),
        }
        for event in events
    ]


def _cause(uow: Mapping[str, Any]) -> str:
    event = uow.get("event")
    if isinstance(event, Mapping) and event.get("id"):
        return _text(str(event["id"]))
    record = uow.get("record") or {}
    if not isinstance(record, Mapping):
        return digest(repr(record))
    named = record.get("eventID") or identify(record).identifier
    return _text(str(named)) if named else digest(_written(record))


def _written(record: Mapping[str, Any]) -> str:
    """A record as text that is the same at every attempt."""
    try:
        return codec.canonical(_jsonable(record))
    except (RecursionError, TypeError, ValueError):  # nested too deeply to be followed: what is at the top must do
        return codec.canonical(sorted(_text(str(name)) for name in record))


def _fitting(event: dict[str, Any], singles: list[Mapping[str, Any]], limit: int) -> dict[str, Any]:
    most = limit - min(_ENVELOPE_BYTES, limit // 8)
    for trim in (_with_event, _with_record, _without_content, _with_identifier):
        try:
            trimmed = [trim(single) for single in singles]
            whole = {**event, "uow": trimmed[0] if len(trimmed) == 1 else {"batch": trimmed}}
            text = codec.encode(whole)
            codec.check_levels(text)  # consumers could not read it
            size = len(text.encode())
        except (RecursionError, TypeError, ValueError):
            continue  # what has no JSON form, such as an event nested too deeply, is left out like what is too large
        if size <= most:
            return whole
    shortened = {**event["err"], "message": event["err"]["message"][:_SHORT_CHARACTERS], "stack": ""}
    return {**event, "err": shortened, "uow": {**_with_identifier(singles[0]), "batch_size": len(singles)}}


def _with_event(uow: Mapping[str, Any]) -> dict[str, Any]:
    return {**_with_record(uow), "event": _jsonable(uow.get("event")), **_split_fields(uow)}


def _split_fields(uow: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a split record, which distinguishes two faults of one record."""
    return {name: _jsonable(uow[name]) for name in ("split", "key") if name in uow}


def _with_record(uow: Mapping[str, Any]) -> dict[str, Any]:
    return {"pipeline": uow.get("pipeline"), "record": _jsonable(uow.get("record"))}


def _without_content(uow: Mapping[str, Any]) -> dict[str, Any]:
    event = uow.get("event")
    names = ("id", "type", "timestamp", "partition_key")
    return {
        **_with_identifier(uow),
        "event": {name: _short(event[name]) for name in names if name in event} if isinstance(event, Mapping) else None,
    }


def _with_identifier(uow: Mapping[str, Any]) -> dict[str, Any]:
    record = uow.get("record")
    given = record if isinstance(record, Mapping) else {}
    names = ("eventID", "eventName", "eventSourceARN", "messageId")
    return {
        "pipeline": uow.get("pipeline"),
        "record": {name: _short(given[name]) for name in names if name in given}
        | {"identifier": identify(given).identifier},
        "trimmed": True,
    }


def _short(value: Any) -> Any:
    return value if isinstance(value, int | float) else _text(str(value))[:_SHORT_CHARACTERS]


def _text(text: str) -> str:
    """A text that UTF-8 can encode: lone surrogates replaced."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _jsonable(value: Any) -> Any:
    """A copy with a JSON form: functions are left out, other values without a JSON form become their repr."""
    if isinstance(value, str):
        return _text(value)
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    if isinstance(value, Mapping):
        return {_text(str(name)): _jsonable(member) for name, member in value.items() if not callable(member)}
    if isinstance(value, list | tuple):
        return [_jsonable(member) for member in value if not callable(member)]
    try:
        return _jsonable(codec.plain(value))
    except (ArithmeticError, TypeError, ValueError):
        return repr(value)[:1024]
