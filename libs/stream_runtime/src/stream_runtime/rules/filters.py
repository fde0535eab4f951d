"""Predicates that choose units of work: by event type, content or origin."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping
from functools import partial
from operator import eq
from typing import Any

from stream_runtime import settings
from stream_runtime.engine.operators import always
from stream_runtime.errors import InvalidRule

from .callables import with_rule
from .fields import Rule


class Routed:
    """A predicate on one key of a unit of work, such as the event type.

    If it opens a pipeline, the engine asks ``accepts`` once for each key that occurs, not for each record.

    Attributes:
        route: reads the key; rules that read the same key share one function.
        accepts: whether the rule wants units of work with a key.
    """

    __slots__ = ("accepts", "route")

    def __init__(self, route: Callable[[Any], Hashable], accepts: Callable[[Any], bool]) -> None:
        self.route = route
        self.accepts = accepts

    def __call__(self, uow: Any) -> bool:
        return self.accepts(self.route(uow))


def event_type_of(uow: Mapping[str, Any]) -> Hashable:
    return uow["event"].get("type")  # type: ignore[no-any-return]


def on_event_type(rule: Rule, route: Callable[[Any], Hashable] = event_type_of) -> Callable[[Any], bool]:
    """The predicate of a rule's ``event_type``; ``route`` reads the type of a unit of work's event."""
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
    raise InvalidRule(
        f"rule {rule.get('id')!r}: field 'event_type' is {wanted!r}; expected a string, a list, a pattern or a callable"
    )


def on_content(rule: Rule) -> Callable[[Any], bool]:
    """The predicate that all of a rule's ``filters`` hold.

    For a rule without filters it is `always`, for which `rx_filter` adds no step.
    """
    filters = [with_rule(each, rule) for each in rule.get("filters") or ()]
    if not filters:
        return always
    if len(filters) == 1:
        return filters[0]
    return lambda uow: all(each(uow) for each in filters)


def out_source_is_self(uow: Mapping[str, Any]) -> bool:
    """False for events that this service published itself, so that a listener does not react to them."""
    source = _tags(uow).get("source")
    return source is None or source != settings.SERVICE.read() or source == settings.SERVICE.default


def out_latched(uow: Mapping[str, Any]) -> bool:
    """False for changes of rows that a listener wrote (``latched`` is true), so that a trigger does not publish them.

    Commands set ``latched`` to None. For a removal the row before it counts.
    """
    raw = uow["event"].get("raw") or {}
    row = raw.get("new") or raw.get("old") or {}
    return bool(row) and not row.get("latched")


def out_skip(uow: Mapping[str, Any]) -> bool:
    """False for events with the tag ``skip``, which integration tests publish.

    Pipelines never get such events. This is for code that handles events outside of pipelines.
    """
    return not _tags(uow).get("skip")


def out_ttl_removal(uow: Mapping[str, Any]) -> bool:
    """False for rows that DynamoDB removed because their time to live had ended; for ``filters`` of cdc rules.

    Source: DynamoDB developer guide, "DynamoDB Streams and Time to Live", userIdentity.
    """
    identity = uow["record"].get("userIdentity") or {}
    return bool(identity.get("principalId") != "dynamodb.amazonaws.com")


def holds_encrypted(event: Mapping[str, Any]) -> bool:
    """Whether an event, or the image of a row in it, has encrypted fields."""
    if "encryption" in event:
        return True
    raw = event.get("raw")
    if not isinstance(raw, Mapping):
        return False
    images = (raw.get(name) for name in ("new", "old"))
    return any(isinstance(image, Mapping) and "encryption" in image for image in images)


def _tags(uow: Mapping[str, Any]) -> Mapping[str, Any]:
    tags = uow["event"].get("tags")
    return tags if isinstance(tags, Mapping) else {}
