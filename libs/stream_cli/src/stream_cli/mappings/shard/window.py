"""The open tumbling window of a shard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import floor
from typing import Any

from stream_cli.mappings.records import Record, WindowContext


@dataclass(slots=True)
class Window:
    """A tumbling window; times are Unix seconds.

    Attributes:
        state: what the function returned for the window.
        terminated: whether the state became too large, which ends the window early.
        last: the last record that was processed or given up in it.
    """

    start: float
    end: float
    state: Any = field(default_factory=dict)
    terminated: bool = False
    last: Record | None = None

    @classmethod
    def around(cls, arrival: float, length: float) -> Window:
        """The window of a record's arrival time."""
        start = floor(arrival / length) * length
        return cls(start, start + length)

    @classmethod
    def restored(cls, snapshot: Mapping[str, Any]) -> Window:
        """The window of a checkpoint, which `snapshot` made."""
        last = snapshot.get("last")
        return cls(
            start=float(snapshot["start"]),
            end=float(snapshot["end"]),
            state=snapshot["state"],
            terminated=bool(snapshot["terminated"]),
            last=None if last is None else Record(last["sequence_number"], "", float(last["arrival"])),
        )

    def snapshot(self) -> dict[str, Any]:
        """The window as JSON, for the checkpoint."""
        last = self.last
        return {
            "start": self.start,
            "end": self.end,
            "state": self.state,
            "terminated": self.terminated,
            "last": None if last is None else {"sequence_number": last.sequence_number, "arrival": last.arrival},
        }

    def context(self, *, final: bool) -> WindowContext:
        """What an invocation is told about the window."""
        return WindowContext(self.start, self.end, self.state, final, self.terminated)
