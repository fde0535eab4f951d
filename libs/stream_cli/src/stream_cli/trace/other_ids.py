"""Events that came again under another id: what a rule publishes of a record has an id that is not derived from it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from stream_cli.journal.lines import AttemptLine, EventLine
from stream_cli.journal.questions import Questions
from stream_cli.trace.shapes import pipeline_of


@dataclass(frozen=True)
class OtherId:
    """An event that two attempts at the same records have published; ``first`` and ``then`` are its ids.

    Attributes:
        function: as in its ARN.
        rule: the pipeline; empty where the event does not say it.
    """

    function: str
    rule: str
    type: str
    first: str
    then: str

    @property
    def text(self) -> str:
        """What happened, in one line."""
        by = f"rule {self.rule} of {self.function}" if self.rule else self.function
        return f"{by} has published {self.type} again under another id: {self.first}, then {self.then}"


ADVICE = "derive the id from the event, or leave it out: who gets it twice cannot tell that it is the same"


def other_ids(attempts: Iterable[AttemptLine], events: Iterable[EventLine]) -> list[OtherId]:
    """What was published again under another id by attempts at one record, each rule and type once.

    Compared are attempts one behind the other at the very same records. An event is the same if all of it is but its id
    and its timestamp; where both attempts published an id, the rule derives it.
    """
    published: dict[str, dict[str, list[EventLine]]] = {}
    for event in events:
        if "by" in event and event["type"] != "fault" and isinstance(event["detail"], Mapping):
            same = {name: value for name, value in event["detail"].items() if name not in ("id", "timestamp")}
            text = json.dumps([event["bus"], event["type"], same], sort_keys=True)
            published.setdefault(event["by"], {}).setdefault(text, []).append(event)
    found: dict[tuple[str, str, str], OtherId] = {}
    for first, then in _pairs(attempts):
        before, after = (published.get(each.get("request", ""), {}) for each in (first, then))
        for text in before.keys() & after.keys():
            ids, others = ({str(each["detail"].get("id")) for each in one[text]} for one in (before, after))
            if not ids & others:
                event = after[text][0]
                rule = pipeline_of(event["detail"]) or ""
                key = (then["function"], rule, event["type"])
                found.setdefault(key, OtherId(*key, min(ids), min(others)))
    return list(found.values())


def other_ids_of(questions: Questions, again: AttemptLine) -> list[OtherId]:
    """What an attempt has published that the one before it at the same records published under another id."""
    attempts = questions.deliveries(again["stream"], again["numbers"][0]).attempts
    requests = {each["request"] for each in attempts if "request" in each and each["mapping"] == again["mapping"]}
    events = [event for request in sorted(requests) for event in questions.events(by=request).lines]
    return other_ids(attempts, events)


def _pairs(attempts: Iterable[AttemptLine]) -> Iterable[Sequence[AttemptLine]]:
    by_mapping = sorted(attempts, key=lambda each: (each["mapping"], each["at"]))
    for _, own in groupby(by_mapping, key=lambda each: each["mapping"]):
        yield from (pair for pair in pairwise(own) if pair[0]["numbers"] == pair[1]["numbers"])
