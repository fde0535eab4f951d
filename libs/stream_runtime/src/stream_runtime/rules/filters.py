"""Which units of work a rule wants: by event type, by content, by where they come from."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping
from functools import partial
from operator import eq
from typing import Any

from stream_runtime import settings
from stream_runtime.engine.operators import always

from .callables import with_rule

Rule = Mapping[str, Any]


class Routed:
    """A predicate on a key of the unit of work, which lets the engine remember who wants which key.

    The engine takes a `Routed` filter that opens a pipeline out of it, and asks ``accepts`` once for each key it meets
    instead of calling the filter for each record.

    Attributes:
        route: reads the key of a unit of work; one function for all rules that read the same key.
        accepts: whether the rule wants units of work with that key.
    """

    __slots__ = ("accepts", "route")

    def __init__(self, route: Callable[[Any], Hashable], accepts: Callable[[Any], bool]) -> None:
        self.route = route
        self.accepts = accepts

    def __call__(self, uow: Any) -> bool:
        """The predicate itself, for where it does not open a pipeline."""
        return self.accepts(self.route(uow))


def event_type_of(uow: Mapping[str, Any]) -> Hashable:
    """The type of the event of a unit of work."""
    return uow["event"].get("type")  # type: ignore[no-any-return]


def on_event_type(rule: Rule, route: Callable[[Any], Hashable] = event_type_of) -> Callable[[Any], bool]:
    """The predicate of a rule's ``event_type``: a string, a list of them, a pattern (searched), or a callable."""
    wanted = rule.get("event_type")
    if isinstance(wanted, str):
        return Routed(route, partial(eq, wanted))
    if isinstance(wanted, list | tuple | set | frozenset):
        return Routed(route, frozenset(wanted).__contains__)
    if isinstance(wanted, re.Pattern):
        search = wanted.search
        return Routed(route, lambda type_: isinstance(type_, str) and search(type_) is not None)
    if callable(wanted):
        return with_rule(wanted, rule)
    raise TypeError(
        f"rule {rule.get('id')!r}: event_type is {wanted!r}; expected a string, a list, a pattern or a callable"
    )


def on_content(rule: Rule) -> Callable[[Any], bool]:
    """The predicate of a rule's ``filters``: functions of ``(uow, rule)``, all of which must hold.

    A rule without filters gets `always`, for which `rx_filter` adds no step.
    """
    filters = [with_rule(each, rule) for each in rule.get("filters") or ()]
    if not filters:
        return always
    if len(filters) == 1:
        return filters[0]
    return lambda uow: all(each(uow) for each in filters)


def out_source_is_self(uow: Mapping[str, Any]) -> bool:
    """False for events that this service published itself; for listeners, so that they do not react to themselves."""
    source = _tags(uow).get("source")
    return source is None or source != settings.SERVICE.read() or source == settings.SERVICE.default


def out_latched(uow: Mapping[str, Any]) -> bool:
    """False for rows that a listener wrote (``latched`` is true), so that a trigger does not publish them again.

    Commands set ``latched`` to None; a deletion is judged by the row as it was.
    """
    raw = uow["event"].get("raw") or {}
    row = raw.get("new") or raw.get("old") or {}
    return bool(row) and not row.get("latched")


def out_skip(uow: Mapping[str, Any]) -> bool:
    """False for events tagged ``skip``, which integration tests publish and nobody is to react to.

    The engine leaves them out of all pipelines, whatever the source; this is for event handling outside of it.
    """
    return not _tags(uow).get("skip")


def out_ttl_removal(uow: Mapping[str, Any]) -> bool:
    """False for rows that DynamoDB removed because their time to live was over; for a ``filters`` of a cdc rule.

    Source: DynamoDB developer guide, "DynamoDB Streams and Time to Live": userIdentity is the DynamoDB service's.
    """
    identity = uow["record"].get("userIdentity") or {}
    return bool(identity.get("principalId") != "dynamodb.amazonaws.com")


def _tags(uow: Mapping[str, Any]) -> Mapping[str, Any]:
    return uow["event"].get("tags") or {}
