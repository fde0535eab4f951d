"""Encrypted fields in the events of rules: decrypted for the rules that ask for it, encrypted in what they publish."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stream_runtime.engine.records import DECRYPTED, Decrypted
from stream_runtime.engine.run import current_run
from stream_runtime.events.data_keys import BOUND_OF_EVENT, decrypted_object, encrypted_object
from stream_runtime.faults import faulty
from stream_runtime.payload.encryption import HEADER, MARK, is_encrypted, values_at

from .fields import Rule
from .filters import holds_encrypted

_IMAGES = ("new", "old")


def to_decrypted(rule: Rule) -> Callable[[Any], Any]:
    """A function that decrypts the event of a unit of work, and the images of a row in it.

    What it was like before is under ``undecrypted``; faults have it as it came, under ``received``.
    """
    copies = rule.get("decrypt") == "inherited"

    def decrypt(uow: Any) -> Any:
        event = uow["event"]
        whole, seen = _opened(event, copies)
        if seen is None:
            return uow
        return {"received": event, **uow, "event": _as_before(event, whole), "undecrypted": event, DECRYPTED: seen}

    return faulty(decrypt)


def correlated_decrypted(rule: Rule) -> Callable[[Any], Any]:
    """A function that decrypts the events of a unit of work under ``correlated``."""
    copies = rule.get("decrypt") == "inherited"

    def decrypt(uow: Any) -> Any:
        events, seen = [], uow.get(DECRYPTED)
        for event in uow.get("correlated") or ():
            whole, more = _opened(event, copies)
            events.append(_as_before(event, whole))
            seen = more if seen is None else seen if more is None else seen.with_more(more)
        if seen is None:
            return uow
        return {"received": uow["event"], "undecrypted": uow["event"], **uow, "correlated": events, DECRYPTED: seen}

    return faulty(decrypt)


def _opened(event: Mapping[str, Any], copies: bool) -> tuple[Mapping[str, Any], Decrypted | None]:
    """An event without encrypted fields, and what was encrypted; None if nothing was."""
    whole, seen = event, None
    if is_encrypted(event):
        whole, header = decrypted_object(event, copies=copies)
        seen = Decrypted([values_at(whole, header.fields)], header.fields)
    raw = whole.get("raw")
    if isinstance(raw, Mapping):
        for name in _IMAGES:
            image = raw.get(name)
            if isinstance(image, Mapping) and is_encrypted(image):
                row, header = decrypted_object(image)
                whole = {**whole, "raw": {**whole["raw"], name: row}}
                more = Decrypted([values_at(row, header.fields)], [f"raw.{name}.{path}" for path in header.fields])
                seen = more if seen is None else seen.with_more(more)
    if seen is not None:
        _hide_from_texts()
    return whole, seen


def _hide_from_texts() -> None:
    """Let errors and log lines of the batch be searched for what was decrypted."""
    run = current_run.get()
    if run is not None and run.redaction is None:
        from stream_runtime.payload.redaction import redaction_of

        run.redaction = redaction_of(frozenset())


def _as_before(event: Any, whole: Any) -> Any:
    if whole is event or event.__class__ is dict:
        return whole
    from stream_runtime.payload.freezing import FrozenDict, freeze

    return freeze(whole) if isinstance(event, FrozenDict) else whole


def to_encrypted(rule: Rule, event_field: str) -> Callable[[Any], Any]:
    """A function that encrypts fields of the event to publish: those of the rule, and those that were decrypted.

    A rule that does not decrypt may copy encrypted fields to where they were; the header goes with them.
    """
    own = tuple(rule.get("encrypt") or ())

    def encrypt(uow: Any) -> Any:
        event = uow.get(event_field)
        if not event:
            return uow
        seen = uow.get(DECRYPTED)
        fields: Sequence[str] = own
        if isinstance(seen, Decrypted):
            fields = [*own, *seen.fields]
        elif holds_encrypted(source := uow.get("event") or {}):
            event = with_header_of(source, event)
        if fields:
            event = encrypted_object(event, fields, BOUND_OF_EVENT)
        return {**uow, event_field: event}

    return faulty(encrypt)


def with_header_of(source: Mapping[str, Any], event: Mapping[str, Any]) -> Mapping[str, Any]:
    """An event that was made of an encrypted one without decrypting it, so that those who may can decrypt it.

    Raises:
        ValueError: it has encrypted values where nobody could decrypt them.
    """
    places = set(_places_of_encrypted(event, ()))
    if not places or is_encrypted(event):
        return event
    if is_encrypted(source):
        fields = source[HEADER]["fields"]
        matched = values_at(event, fields)
        if matched.keys() == places and all(isinstance(each, str) for each in matched.values()):
            return {**event, HEADER: source[HEADER]}
    named = ", ".join(sorted(".".join(map(str, place)) for place in places))
    raise ValueError(
        f"{named:.200}: encrypted where it came from, and nobody could decrypt it here; let the rule 'decrypt'"
    )


def _places_of_encrypted(value: Any, place: tuple[str | int, ...]) -> Sequence[tuple[str | int, ...]]:
    """Where encrypted texts are, except in objects that have a header of their own."""
    if isinstance(value, str):
        return [place] if value.startswith(MARK) and len(value) > len(MARK) else []
    if isinstance(value, Mapping) and not is_encrypted(value):
        members: Any = value.items()
    elif isinstance(value, list | tuple):
        members = enumerate(value)
    else:
        return []
    return [found for name, member in members for found in _places_of_encrypted(member, (*place, name))]
