"""Which faults were resubmitted, in a file that is written before and after each of them.

An entry ``begun`` without a ``done`` or ``failed`` behind it was interrupted in between: nobody knows whether the
function has processed it, so it is not resubmitted again unless the user says so.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal

from stream_cli.stored.journal import Journal

Outcome = Literal["begun", "done", "failed"]


class Ledger:
    """The ledger of a stage.

    Args:
        path: the file; made when the first entry is written.

    Attributes:
        outcomes: the last outcome of each fault that was resubmitted, by id.

    Raises:
        CloudError: the file cannot be read as a ledger.
    """

    def __init__(self, path: Path) -> None:
        self._journal = Journal(path)
        self.outcomes: dict[str, Outcome] = {entry["id"]: entry["outcome"] for entry in self._journal.entries()}

    def note(self, fault_id: str, outcome: Outcome, detail: str = "") -> None:
        """Write down what became of a fault."""
        at = time.time_ns() // 1_000_000
        self._journal.append({"id": fault_id, "outcome": outcome, "at": at, "detail": detail[:500]})
        self.outcomes[fault_id] = outcome
