"""Publishes the table for the console: a file in the state folder, whole and private, written anew when it changes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict

from stream_cli.console.expectations import State
from stream_cli.local.state import StateFolder, process_start_time, write_json

from demo.expectations import Expectation

_WHILE_FEEDING_S = 2.0
"""Between two tables while the sample is fed in: each is some requests to the cloud, which is busy then."""


class PublishedTable:
    """The table as the console shows it. A line says since when it has been as it is: as expected, or not."""

    def __init__(self, state: StateFolder, clock: Callable[[], float] = time.time) -> None:
        self._path = state.expectations_file
        self._clock = clock
        self._owner = {"pid": os.getpid(), "started": process_start_time(os.getpid())}
        self._state: State = "feeding"
        self._note = ""
        self._table: Sequence[Expectation] = ()
        self._since: dict[str, tuple[bool, int]] = {}
        self._looked = clock()
        self._write()

    def feeding(self, note: str, table: Callable[[], Sequence[Expectation]]) -> None:
        """The sample is fed in; ``note`` says how far, and ``table`` is called now and then."""
        changed, self._note = note != self._note, note
        if self._clock() - self._looked >= _WHILE_FEEDING_S:
            self._looked = self._clock()
            self._take(table())
        elif changed:
            self._write()

    def waiting(self, table: Sequence[Expectation]) -> None:
        """All is fed in, and is on its way."""
        if self._state != "waiting" or table != self._table:
            self._state = "waiting"
            self._take(table)

    def settled(self, table: Sequence[Expectation]) -> None:
        """Nothing comes any more: the table is as it stays."""
        self._state = "settled"
        self._take(table)

    def _take(self, table: Sequence[Expectation]) -> None:
        now = int(self._clock() * 1000)
        for each in table:
            if each.name not in self._since or self._since[each.name][0] != each.ok:
                self._since[each.name] = each.ok, now
        self._table = table
        self._write()

    def _write(self) -> None:
        content = {
            "state": self._state,
            "note": self._note,
            "at": int(self._clock() * 1000),
            "owner": self._owner,
            "expectations": [{**asdict(each), "since": self._since[each.name][1]} for each in self._table],
        }
        write_json(self._path, content)
