"""Asks AWS: answers are kept for a while; what the caller's role may not read is noted, and the rest is answered."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from stream_cli.journal.unknown import NotKnown, note, noting
from stream_cli.terminal.aws_errors import is_denied, message_of

Answer = TypeVar("Answer")

_MOST_KEPT = 2_000


def unless_denied(what: str, action: str, ask: Callable[[], Answer], otherwise: Answer) -> Answer:
    """What AWS answers; where the caller may not ask, that is noted, and the answer is another.

    Args:
        what: what is not known then, for people.
        action: the permission that it takes.
    """
    from botocore.exceptions import ClientError

    try:
        return ask()
    except ClientError as error:
        if not is_denied(error):
            raise
        note(NotKnown(what, f"your role lacks {action} (AWS says: {message_of(error)})"))
        return otherwise


@dataclass
class _KeptAnswer:
    until: float
    answer: Any
    notes: tuple[NotKnown, ...]


@dataclass
class Kept:
    """Answers by what was asked, each with what was noted when it was given. Its methods may be called from any thread.

    Two threads that ask the same at once make one request.
    """

    clock: Callable[[], float] = time.monotonic
    _found: dict[Hashable, _KeptAnswer] = field(default_factory=dict)
    _asking: dict[Hashable, threading.Lock] = field(default_factory=dict)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, asked: Hashable, for_s: float, ask: Callable[[], Answer]) -> Answer:
        """The answer of ``ask``, at most so many seconds old."""
        with self._guard:
            own = self._asking.setdefault(asked, threading.Lock())
        with own:
            found = self._found.get(asked)
            if found is None or found.until <= self.clock():
                with noting() as notes:
                    answer = ask()
                found = _KeptAnswer(self.clock() + for_s, answer, tuple(notes))
                with self._guard:
                    self._found[asked] = found
                    self._forget_some()
        note(*found.notes)
        kept: Answer = found.answer
        return kept

    def _forget_some(self) -> None:
        if len(self._found) <= _MOST_KEPT:
            return
        now = self.clock()
        oldest = sorted(self._found, key=lambda each: self._found[each].until)[: _MOST_KEPT // 2]
        for each in (*oldest, *(each for each, found in self._found.items() if found.until <= now)):
            self._found.pop(each, None)
            self._asking.pop(each, None)
