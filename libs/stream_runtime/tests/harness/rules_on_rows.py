"""Rules of histories that read the stream of a table."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from rule_pieces import Rule, Rules, checked, raise_if_poisoned, update_of
from stream_runtime import flavors


class RulesOnRows(Rules):
    def cdc(self) -> Rule:
        def to_event(uow: Any) -> Any:
            row = uow["event"]["raw"]["new"]
            raise_if_poisoned("cdc", {**row, "id": row["pk"]})
            return {"type": "entity-changed", "entity": row}

        return {"flavor": flavors.cdc, "event_type": ["entity-created", "entity-updated"], "to_event": to_event}

    def rowview(self) -> Rule:
        def request(uow: Any) -> Any:
            row = uow["event"]["raw"]["new"]
            raise_if_poisoned("rowview", {**row, "id": row["pk"]})
            return update_of(uow)

        return {
            "flavor": flavors.materialize,
            "event_type": re.compile("^entity-"),
            "table_name": "rowview",
            "to_update_request": request,
        }

    def outbox(self) -> Rule:
        def to_message(uow: Any) -> Any:
            row = uow["event"]["raw"]["new"]
            raise_if_poisoned("outbox", {**row, "id": row["sk"]})
            return {"topic": "outbox", "message": {"cause": row["sk"]}}

        return {
            "flavor": flavors.outbox,
            "event_type": "outbox-created",
            "to_message": to_message,
            "table_name": "outbox-rows",
        }

    def correlate(self) -> Rule:
        key = checked("correlate", lambda uow: str(uow["event"]["partition_key"]))
        return {
            "flavor": flavors.correlate,
            "event_type": ["a", "b"],
            "table_name": "correlate",
            "correlation_key": key,
        }

    def evaluate(self) -> Rule:
        """Emits for each event that finds an a and a b in its correlation."""
        return self._evaluating("evaluate", emit="complete", expression=is_complete)

    def each(self) -> Rule:
        """Emits for each event, and copies from it."""

        def emit(uow: Any, rule: Any, template: Any) -> Any:
            return {**template, "type": "counted", "amount": uow["event"]["amount"]}

        return self._evaluating("each", emit=emit, expression=lambda uow: True)

    def latest(self) -> Rule:
        """Emits for the last event of a batch that finds an a and a b in its correlation."""
        return self._evaluating("latest", emit="complete", expression=is_complete, compact=True)

    def once(self) -> Rule:
        """Emits once for each correlation with an a and a b."""

        def emit(uow: Any, rule: Any, template: Any) -> Any:
            return {**template, "type": "complete-once"}

        return self._evaluating("once", emit=emit, expression=is_complete, once=True)

    def _evaluating(self, name: str, expression: Callable[[Any], Any], **more: Any) -> Rule:
        return {
            "flavor": flavors.evaluate,
            "event_type": re.compile("^[ab]$"),
            "table_name": f"{name}-rows",
            "expression": checked(name, expression),
            **more,
        }

    def expired(self) -> Rule:
        return {"flavor": flavors.expired}


def is_complete(uow: Any) -> bool:
    """Whether a correlation has an a and a b."""
    return {event["type"] for event in uow["correlated"]} >= {"a", "b"}
