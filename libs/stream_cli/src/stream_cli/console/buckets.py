"""A range of time in equal parts, for charts."""

from __future__ import annotations

from dataclasses import dataclass

NUMBER = 60


@dataclass(frozen=True)
class Buckets:
    """``number`` parts of ``step`` ms, the first of which begins at ``start`` (ms)."""

    start: int
    step: int
    number: int = NUMBER

    @classmethod
    def until(cls, now: int, length: int) -> Buckets:
        """The parts of a range of ``length`` ms; the last one has ``now`` in it."""
        step = length // NUMBER
        return cls(now // step * step - (NUMBER - 1) * step, step)

    @property
    def end(self) -> int:
        """Where the last part ends (ms)."""
        return self.start + self.step * self.number

    def place(self, at: int) -> int | None:
        """The part that a time (ms) is in; None if it is in none."""
        place = (at - self.start) // self.step
        return place if 0 <= place < self.number else None
