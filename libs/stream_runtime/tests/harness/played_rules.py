"""The rules of histories: every flavor and sink, with code that acts upon and fails with the simulated world."""

from __future__ import annotations

from histories import WANTED, History
from rule_pieces import Rule
from rules_on_events import RulesOnEvents
from rules_on_rows import RulesOnRows
from rules_with_sinks import RulesWithSinks
from simulated_aws import SimulatedAws


class PlayedRules(RulesOnEvents, RulesWithSinks, RulesOnRows):
    """A method for each rule of a history."""


def rules_of(history: History, aws: SimulatedAws) -> list[Rule]:
    """The rules of a history."""
    played = PlayedRules(history, aws)
    return [{"id": name, **_with_type(name, getattr(played, name)())} for name in history.pipelines]


def _with_type(name: str, rule: Rule) -> Rule:
    return {"event_type": list(WANTED[name]), **rule} if name in WANTED else rule
