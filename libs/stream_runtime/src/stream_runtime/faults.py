"""Fault events: a record that could not be processed, with its error, kept so that it can be resubmitted."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any

from . import settings
from .clock import now_ms
from .engine.records import FAULT_EVENT_TYPE as FAULT_EVENT_TYPE
from .engine.records import identify, uows_of
from .engine.run import Fault, texts_of
from .errors import UnhandledFault
from .ids import derived_id, digest
from .payload import codec
from .tags import standard_tags

if TYPE_CHECKING:
    from .payload.redaction import Found, Redaction

LEAST_BYTES = 4096
"""A fault event is trimmed until it fits into an entry, but never to less than this."""

_ENVELOPE_BYTES = 8 * 1024
_MESSAGE_CHARACTERS = 4096
_STACK_CHARACTERS = 16384
_SHORT_BYTES = 256
_ID_BYTES = 700
_MOST_PATHS = 20
_NAMES = ("eventID", "eventName", "eventSourceARN", "messageId", "recordId", "id")
_IDENTITY = ("id", "type", "timestamp", "partition_key")


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


def fault_event(fault: Fault, most_bytes: int | None = None, redaction: Redaction | None = None) -> dict[str, Any]:
    """The event that is published for a fault.

    Shape: ``{"id", "type": "fault", "partition_key", "timestamp" (ms), "tags", "err": {"name", "message", "stack",
    "where"?}, "uow": {"pipeline", "record", "event"}}``, or ``"uow": {"batch": [...]}`` if several failed together. The
    id is derived from record and pipeline and, where one record became several units of work, from which of them
    failed. A fault that is too large for an entry of PutEvents, or that has no JSON form, loses first the event (which
    is in the record), then the record's content. Stream and sequence number stay, those of all records where they fit.

    ``where`` is the place in the function's own code where the error arose, such as
    ``control/rules/trigger.py:31, to_ready: event["evnt"]``. The message ends with it where Python itself raised
    the error, or it has no message.

    Secret fields are masked in all of that, and their values are removed from the error's texts. ``"redacted"`` lists
    where: ``["record.kinesis.data.thing.password", ...]``. The function's credentials and signatures of URLs are never
    in an error's texts.

    Args:
        fault: what failed.
        most_bytes: bytes of an entry; MAX_REQUEST_SIZE by default, at least `LEAST_BYTES`.
        redaction: the fields that are secret.
    """
    from .payload.redaction import Found  # only a fault needs it

    singles = list(uows_of(fault.uow))
    pipeline = singles[0].get("pipeline")
    found = Found(2 * settings.MAX_EXPANDED_SIZE.read())
    carried = [_carried(single, redaction, found) for single in singles]
    caused_by = _cause(singles[0])
    causes = (caused_by, pipeline or "undefined", FAULT_EVENT_TYPE, *singles[0].get("split_path", ()))
    event = {
        "id": _fitting_id(derived_id(*causes)),
        "type": FAULT_EVENT_TYPE,
        "partition_key": _cut(caused_by, _SHORT_BYTES),
        "timestamp": now_ms(),
        "tags": standard_tags(pipeline),
        "err": _described(fault, redaction, found),
        **({"redacted": [_cut(path, _SHORT_BYTES) for path in _most_telling(found.paths)]} if found.paths else {}),
    }
    return _fitting(event, singles, carried, max(most_bytes or settings.MAX_REQUEST_SIZE.read(), LEAST_BYTES))


def _most_telling(paths: Iterable[str]) -> list[str]:
    """Some of the paths: those of the record first, by which its resubmission is refused."""
    return sorted(paths, key=lambda path: (not path.startswith("record"), path))[:_MOST_PATHS]


def _carried(uow: Mapping[str, Any], redaction: Redaction | None, found: Found) -> dict[str, Any]:
    """What a fault may carry of a unit of work, in JSON's types and masked; what cannot be written is left out.

    Besides record and event that is the part of a split record, which distinguishes two faults of one record.
    """
    carried = {}
    for name in ("record", "event", "split", "key"):
        if name not in uow and name not in ("record", "event"):
            continue
        try:
            value = _jsonable(uow.get(name))
            carried[name] = value if redaction is None else redaction.masked(value, name, found)
        except (RecursionError, TypeError, ValueError):
            continue  # such as an event that is nested too deeply, or contains itself
    event = uow.get("event")
    if isinstance(event, Mapping):
        identity = {name: _short(event[name]) for name in _IDENTITY if name in event}
        carried["identity"] = identity if redaction is None else redaction.masked(identity, "event", found)
    if redaction is not None:
        for name in carried.keys() & {"split", "key"}:  # a part or a key may be a secret value itself
            carried[name] = redaction.hidden_in(carried[name], found.secrets)
    return carried


def _described(fault: Fault, redaction: Redaction | None, found: Found) -> dict[str, str]:
    message, stack, place = fault.told or texts_of(fault.error)

    from .payload.redaction import without_credentials

    def shown(text: str) -> str:
        text = without_credentials(_text(text))
        return text if redaction is None else redaction.hidden(text, found.secrets)

    described = {
        "name": _cut(type(fault.error).__name__, _SHORT_BYTES),
        "message": shown(message)[:_MESSAGE_CHARACTERS],
        "stack": shown(stack)[-_STACK_CHARACTERS:],
    }
    if place is not None:
        described["where"] = shown(place.text)
        if place.needed:
            described["message"] += f" in {described['where']}"
    return described


def _own_message(err: Mapping[str, str]) -> str:
    """An error's message without the place, which changes with the code."""
    return err["message"].removesuffix(f" in {err['where']}") if "where" in err else err["message"]


def distinguished(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give fault events different ids if one record failed several times in the same pipeline.

    The id is derived from what failed, so it does not depend on the order of threads. Records with the same content,
    as of an event that was delivered twice, have one id, as they have in different batches.
    """
    times = Counter(event["id"] for event in events)
    found = [(event, _what_failed(event) if times[event["id"]] > 1 else "") for event in events]
    causes: dict[str, set[str]] = {}
    for event, cause in found:
        causes.setdefault(event["id"], set()).add(cause)
    return [
        event if len(causes[event["id"]]) == 1 else {**event, "id": derived_id(event["id"], digest(cause)[:16])}
        for event, cause in found
    ]


def _what_failed(event: Mapping[str, Any]) -> str:
    return codec.canonical([_own_message(event["err"]), _contents(event["uow"])])


def _contents(uow: Mapping[str, Any]) -> list[Any]:
    """What failed, without what differs each time that a stream or a queue gets the same content."""
    return [{**part, "record": _content(part)} for part in uow.get("batch") or [uow]]


def _content(uow: Mapping[str, Any]) -> Any:
    """What a record has beside the event in the unit of work: resubmitted, that may be written in another order."""
    if isinstance(uow.get("event"), Mapping) and uow["event"].get("id"):
        return None
    record = uow.get("record")
    if isinstance(record, Mapping):
        kinesis = record.get("kinesis")
        if isinstance(kinesis, Mapping) and "data" in kinesis:
            return kinesis["data"]
        if "messageId" in record and "body" in record:
            return record["body"]
    return record


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


def _fitting_id(fault_id: str) -> str:
    """The id; one that takes much more room in JSON than it has characters ends in a digest of the whole."""
    if len(fault_id) < _ID_BYTES // 6 or _size(fault_id) <= _ID_BYTES:
        return fault_id
    return f"{_cut(fault_id, _SHORT_BYTES)}.{digest(fault_id)}"


def _fitting(
    event: dict[str, Any], singles: list[Mapping[str, Any]], carried: list[dict[str, Any]], limit: int
) -> dict[str, Any]:
    most = limit - min(_ENVELOPE_BYTES, limit // 8)
    for trim in (_with_event, _with_record, _without_content, _with_identifier):
        try:
            trimmed = [trim(*each) for each in zip(singles, carried, strict=True)]
            whole = {**event, "uow": trimmed[0] if len(trimmed) == 1 else {"batch": trimmed}}
            text = codec.encode(whole)
            codec.check_levels(text)  # consumers could not read it
            size = len(text.encode())
        except (KeyError, RecursionError, TypeError, ValueError):
            continue  # what has no JSON form is left out like what is too large
        if size <= most:
            return whole
    return _shortest(event, singles, most)


def _shortest(event: dict[str, Any], singles: list[Mapping[str, Any]], most: int) -> dict[str, Any]:
    """A fault that says which record failed, and of several as many as fit."""
    err = {name: _cut(event["err"][name], _SHORT_BYTES) for name in ("name", "message")} | {"stack": ""}
    uow = {**_with_identifier(singles[0], {}), "batch_size": len(singles)}
    least = {**event, "err": err, "uow": uow, **({"redacted": ["record"]} if "redacted" in event else {})}
    names = [_short(name) for single in singles if (name := _identifier_of(single)) is not None]
    room = most - _size({**least, "uow": {**uow, "identifiers": []}})
    fitting = 0
    while fitting < len(names) and (room := room - _size(names[fitting]) - 1) >= 0:
        fitting += 1
    return {**least, "uow": {**uow, "identifiers": names[:fitting]}} if len(singles) > 1 and fitting else least


def _identifier_of(uow: Mapping[str, Any]) -> str | None:
    record = uow.get("record")
    return identify(record).identifier if isinstance(record, Mapping) else None


def _size(value: Any) -> int:
    return len(codec.encode(value).encode())


def _with_event(uow: Mapping[str, Any], carried: Mapping[str, Any]) -> dict[str, Any]:
    rest = {name: carried[name] for name in ("split", "key") if name in carried}
    return {**_with_record(uow, carried), "event": carried["event"], **rest}


def _with_record(uow: Mapping[str, Any], carried: Mapping[str, Any]) -> dict[str, Any]:
    return {"pipeline": uow.get("pipeline"), "record": carried["record"]}


def _without_content(uow: Mapping[str, Any], carried: Mapping[str, Any]) -> dict[str, Any]:
    return {**_with_identifier(uow, carried), "event": carried.get("identity")}


def _with_identifier(uow: Mapping[str, Any], _: Mapping[str, Any]) -> dict[str, Any]:
    record = uow.get("record")
    given = record if isinstance(record, Mapping) else {}
    message = given.get("Sns")
    named = (
        {"MessageId": _short(message["MessageId"])} if isinstance(message, Mapping) and "MessageId" in message else {}
    )
    identifier = _identifier_of(uow)
    return {
        "pipeline": uow.get("pipeline"),
        "record": {name: _short(given[name]) for name in _NAMES if name in given}
        | ({"Sns": named} if named else {})
        | {"identifier": None if identifier is None else _short(identifier)},
        "trimmed": True,
    }


def _short(value: Any) -> Any:
    if isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < 1 << 64):
        return value if not isinstance(value, float) or math.isfinite(value) else repr(value)
    return _cut(str(value), _SHORT_BYTES)


def _cut(text: str, most: int) -> str:
    """A text that takes at most so many bytes in JSON, where a character may take six."""
    text = _text(text)[:most]
    if len(text) * 6 <= most:
        return text
    while (size := _size(text) - 2) > most:
        text = text[: min(len(text) - 1, len(text) * most // size)]
    return text


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
