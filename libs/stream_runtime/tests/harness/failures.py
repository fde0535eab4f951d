"""What happens in a simulated AWS and what fails there, after a plan that a seed reproduces."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

BEFORE = ("throttled", "unavailable", "unreachable", "died-before")
AFTER = ("answer-lost", "error-after", "died-after")
KINDS = (*BEFORE, *AFTER, "partial", "denied")
REFUSED = "refused-by-aws"
"""A request with this text in it is invalid, for ever."""


class ProcessDied(BaseException):
    """The process ended between two calls; nothing it would have done afterwards happens."""


@dataclass(frozen=True)
class Effect:
    """Something that happened to the world outside: which rule did what, because of which event.

    Attributes:
        invocation: the number of the invocation.
        pipeline: the rule.
        cause: text that holds the id of the event that caused it.
        target: what was changed.
        content: what it was changed to.
    """

    invocation: int
    pipeline: str
    cause: str
    target: str
    content: Any = None


@dataclass(frozen=True)
class Injected:
    """A failure that was injected: its kind, the operation, what the call was about, how much had happened before."""

    invocation: int
    kind: str
    operation: str
    identities: tuple[str, ...]
    effects_before: int


@dataclass
class Plan:
    """Which calls fail: each kind given, with a chance for each attempt at the same thing, at most so many times."""

    seed: int
    kinds: tuple[str, ...] = ()
    rate: float = 0.0
    most: int = 4
    denied_until: int = 0
    denied_operation: str = ""
    _attempts: Counter[tuple[str, str]] = field(default_factory=Counter)

    def fate(self, operation: str, identity: str) -> str | None:
        """The kind of failure that this attempt meets, or None."""
        if not self.kinds:
            return None
        self._attempts[operation, identity] += 1
        attempt = self._attempts[operation, identity]
        if attempt > self.most:
            return None
        dice = random.Random(f"{self.seed}/{operation}/{identity}/{attempt}")
        return dice.choice(self.kinds) if dice.random() < self.rate else None

    def is_denied(self, operation: str, invocation: int) -> bool:
        """Whether the function may not make this call yet."""
        return operation == self.denied_operation and invocation <= self.denied_until


def row_key(item: Mapping[str, Any]) -> str:
    """The primary key of a typed item, as one text."""
    return "/".join(str(item[name]["S"]) for name in ("pk", "sk"))
