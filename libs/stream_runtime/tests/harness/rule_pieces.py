"""Pieces of the rules of histories: what they write, whom it fails for, how they act upon the simulated world."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from failures import REFUSED
from histories import History
from simulated_aws import SimulatedAws
from stream_runtime.expressions import update_expression

Rule = dict[str, Any]


def raise_if_poisoned(name: str, event: Mapping[str, Any]) -> None:
    if name in event.get("poison", ()):
        raise ValueError(f"{event['id']} is poison for {name}")


def checked(name: str, make: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A function of a rule that raises for the events that are poison for it."""

    def function(uow: Any) -> Any:
        raise_if_poisoned(name, uow["event"])
        return make(uow)

    return function


def content_of(uow: Any) -> dict[str, Any]:
    """What rules write: which event caused it, and its note."""
    return {"cause": uow["event"]["id"], "note": uow["event"].get("note")}


def update_of(uow: Any) -> dict[str, Any]:
    """The update of the row of an event, or of one of its parts."""
    event, part = uow["event"], uow.get("split")
    cause = event["id"] if part is None else f"{event['id']}/{part}"
    return {
        "Key": {"pk": event["partition_key"], "sk": "row" if part is None else f"part{part}"},
        **update_expression({"cause": cause, "note": event.get("note"), "timestamp": event["timestamp"]}),
    }


def noted(uow: Any, template: dict[str, Any]) -> dict[str, Any]:
    """An event to be emitted, with an id that the bus refuses if the event's note says so."""
    return {**template, "id": f"{template['id']}.{REFUSED}"} if uow["event"].get("note") else template


class Rules:
    """A method for each rule, named as the rule."""

    def __init__(self, history: History, aws: SimulatedAws) -> None:
        self.history = history
        self.aws = aws

    def local(self, name: str, target: str) -> Callable[[Any], Any]:
        """An effect of the rule's own code."""

        def act(uow: Any) -> Any:
            raise_if_poisoned(name, uow["event"])
            self.aws.local(name, uow["event"]["id"], target)
            return uow

        return act
