"""What functions do in the local cloud, from its journal: which were called, their fault events, what is given up."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stream_cli.journal.answers import Journal
from stream_cli.journal.lines import AttemptLine, GivenUpLine, Kind
from stream_cli.trace.other_ids import OtherId, other_ids_of

_KINDS: tuple[Kind, ...] = ("call", "event", "given_up", "attempt")
_FAULT = "fault"
OWN_LINE = "fault "
"""How the line begins that the runtime logs about each fault, beside the fault event."""


@dataclass(frozen=True)
class ObservedFault:
    """A fault event.

    Attributes:
        at: ms since 1970.
        function: the name of the function that published it.
        text: the type of the error and what it says.
        event: type and id of the event that was not processed; empty if the record has none.
        stack: of the error.
    """

    at: int
    id: str
    function: str
    pipeline: str
    text: str
    event: str
    stack: str


@dataclass(frozen=True)
class Seen:
    """What is new: faults, each id once, the names of functions that have run, and records that are given up.

    ``other_ids`` are events that an attempt has published again under another id; the same rule is told again with the
    next attempt.
    """

    faults: list[ObservedFault]
    called: Collection[str]
    given_up: list[GivenUpLine]
    other_ids: list[OtherId]


class Observed:
    """What is new in the journal of a local cloud since the last look, at first since this was made."""

    def __init__(self, folder: Path) -> None:
        self._journal = Journal(folder)
        self._after = self._journal.arrived().after
        self._again: list[AttemptLine] = []

    def look(self) -> Seen:
        """What is new."""
        arrived = self._journal.arrived(self._after, kinds=_KINDS)
        self._after = arrived.after
        faults: dict[str, ObservedFault] = {}
        called, given_up = set(), []
        again, self._again = self._again, []  # lines of what an attempt has published may come a moment after its own
        for line in arrived.lines:
            if line["kind"] == "call":
                called.add(line["function"].partition(":")[0])
            elif line["kind"] == "event" and line["type"] == _FAULT and isinstance(line["detail"], dict):
                fault = _fault(line["at"], line["detail"])
                faults[fault.id] = fault
            elif line["kind"] == "given_up":
                given_up.append(line)
            elif line["kind"] == "attempt" and line["attempt"] > 1 and "request" in line:
                self._again.append(line)
        other_ids = dict.fromkeys(other for each in again for other in other_ids_of(self._journal, each))
        return Seen(list(faults.values()), called, given_up, list(other_ids))

    def close(self) -> None:
        """Close the journal."""
        self._journal.close()


def _fault(at: int, detail: Mapping[str, Any]) -> ObservedFault:
    tags, error, unit = (_object(detail.get(name)) for name in ("tags", "err", "uow"))
    event = _object(unit.get("event"))
    return ObservedFault(
        at=at,
        id=str(detail.get("id", "")),
        function=str(tags.get("functionname", "")),
        pipeline=str(unit.get("pipeline") or tags.get("pipeline") or ""),
        text=f"{error.get('name', 'Error')}: {error.get('message', '')}",
        event=" ".join(str(event[name]) for name in ("type", "id") if name in event),
        stack=str(error.get("stack") or ""),
    )


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
