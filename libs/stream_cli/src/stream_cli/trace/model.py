"""A timeline: steps in the order of cause and effect, and what is waited for at its end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

StepKind = Literal[
    "event", "rule", "record", "filtered", "attempt", "call", "change", "message", "object", "fault", "refused",
    "given up", "undelivered",
]  # fmt: skip

Reason = Literal[
    "no rule", "undelivered", "no mapping", "mapping disabled", "filter", "behind", "backoff", "failed", "given up",
    "refused", "fault", "no pipeline", "event types", "expression", "not shown",
    "other id",
]  # fmt: skip


@dataclass
class TraceStep:
    """Something that happened, and what it led to.

    Attributes:
        at: when, in ms since 1970.
        text: what, in one line. It may hold text from outside.
        failed: whether something went wrong there.
        facts: what is known about it, for programs. Values that may be secret are hidden.
        steps: what it led to, in the order of time.
    """

    at: int
    kind: StepKind
    text: str
    failed: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)
    steps: list[TraceStep] = field(default_factory=list)

    def walk(self) -> Iterator[TraceStep]:
        """This step and all that it led to."""
        yield self
        for step in self.steps:
            yield from step.walk()

    def as_json(self, first: int) -> dict[str, Any]:
        """As JSON; ``ms`` is the time since the first step."""
        return {
            "at": self.at,
            "ms": self.at - first,
            "kind": self.kind,
            "text": self.text,
            "failed": self.failed,
            **({"facts": dict(self.facts)} if self.facts else {}),
            **({"steps": [step.as_json(first) for step in self.steps]} if self.steps else {}),
        }


@dataclass(frozen=True)
class Waiting:
    """What is waited for, and why.

    Attributes:
        what: what is waited for, in one line.
        why: the facts that say so, one a line.
        command: what helps, as a command of a shell.
    """

    reason: Reason
    what: str
    why: tuple[str, ...] = ()
    command: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {"reason": self.reason, "what": self.what, "why": list(self.why), "command": self.command}


@dataclass
class Timeline:
    """What became of an id or a key.

    Attributes:
        asked: the id or the key.
        unknown: what the answers cannot say, one a line.
        nearest: ids and keys that are like it, if nobody has seen it.
    """

    asked: str
    steps: list[TraceStep] = field(default_factory=list)
    waits: list[Waiting] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    nearest: list[str] = field(default_factory=list)

    @property
    def first(self) -> int:
        """When the first step happened; 0 without any."""
        return min((step.at for root in self.steps for step in root.walk()), default=0)

    def as_json(self) -> dict[str, Any]:
        first = self.first
        return {
            "asked": self.asked,
            "first": first,
            "steps": [step.as_json(first) for step in self.steps],
            "waits": [each.as_json() for each in self.waits],
            "unknown": self.unknown,
            "nearest": self.nearest,
        }
