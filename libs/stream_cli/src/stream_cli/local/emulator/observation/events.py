"""Events on buses, with the rules that take them. The taps of this cloud are no rules of the user's."""

from __future__ import annotations

import json
from contextvars import ContextVar
from typing import Any

import orjson

from stream_cli.local.emulator.observation.observing import EmulatorJournal, safely
from stream_cli.local.taps import EVERYTHING

INTERNALS = {
    "ministack.services.eventbridge": (*("_dispatch_event", "_matches_pattern_view", "_targets", "_invoke_target"),),
}

_TAP = json.dumps(EVERYTHING)
_OF_RULE = "rule "

_taken: ContextVar[list[str] | None] = ContextVar("taken", default=None)
_tapped: ContextVar[bool] = ContextVar("tapped", default=False)


def is_tapped() -> bool:
    """Whether the event at hand is being delivered to a tap."""
    return _tapped.get()


def patch(journal: EmulatorJournal) -> None:
    """Observe what buses get."""
    from ministack.services import eventbridge

    dispatch, matches, invoke = (
        eventbridge._dispatch_event,
        eventbridge._matches_pattern_view,
        eventbridge._invoke_target,
    )

    def dispatched(event: dict[str, Any], *view: Any) -> Any:
        at, taken = journal.now(), list[str]()
        token = _taken.set(taken)
        try:
            return dispatch(event, *view)
        finally:
            _taken.reset(token)
            observe(at, event, taken)

    def matched(pattern: Any, view: Any, owner: str = "rule") -> Any:
        result = matches(pattern, view, owner)
        if result and pattern != _TAP and owner.startswith(_OF_RULE) and (taken := _taken.get()) is not None:
            taken.append(owner[len(_OF_RULE) :])
        return result

    def invoked(target: Any, event: Any, rule: dict[str, Any], *view: Any) -> Any:
        if rule.get("EventPattern") != _TAP:
            return invoke(target, event, rule, *view)
        token = _tapped.set(True)
        try:
            return invoke(target, event, rule, *view)
        finally:
            _tapped.reset(token)

    @safely
    def observe(at: int, event: dict[str, Any], taken: list[str]) -> None:
        rules = []
        for key in taken:
            targets = [target.get("Arn", "") for target in eventbridge._targets.get(key, ())]
            rules.append({"rule": key.rpartition("|")[2], "targets": targets})
        journal.observe(
            {
                "kind": "event",
                "at": at,
                "bus": event.get("EventBusName", "default"),
                "id": event.get("EventId", ""),
                "source": event.get("Source", ""),
                "type": event.get("DetailType", ""),
                "detail": _as_it_is(event.get("Detail", "{}"), checked="_DispatchPath" not in event),
                "rules": rules,
            }
        )

    eventbridge._dispatch_event, eventbridge._matches_pattern_view = dispatched, matched
    eventbridge._invoke_target = invoked


def _as_it_is(detail: Any, checked: bool) -> Any:
    """A detail that was checked to be JSON is not written anew; what a rule makes for another bus may be none."""
    if not isinstance(detail, str):
        return detail
    try:
        return orjson.Fragment(detail.encode()) if checked else json.loads(detail)
    except UnicodeEncodeError:  # a lone surrogate
        return json.loads(detail)
    except (ValueError, RecursionError):
        return detail
