"""What an answer lacks because the stage does not record it, or whoever asks may not read it; and what it has cost.

`questions.Questions` answer with what is known. What is not, they note here, so that nothing known is never shown as
nothing there: whoever asks does so within `noting`, and shows the notes beside the answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class NotKnown:
    """Something that is not known here, and the reason; both are parts of a sentence."""

    what: str
    why: str

    def __str__(self) -> str:
        return f"Not known here: {self.what}, because {self.why}."


@dataclass(slots=True)
class Notes:
    """What was noted while something was asked: each once, in the order in which it came up.

    Attributes:
        spent: requests that were made for it, by kind.
    """

    spent: Counter[str] = field(default_factory=Counter)
    _found: dict[NotKnown, None] = field(default_factory=dict)

    def __iter__(self) -> Iterator[NotKnown]:
        return iter(self._found)

    def add(self, notes: Iterable[NotKnown]) -> None:
        """Note these, too."""
        self._found |= dict.fromkeys(notes)

    def texts(self) -> list[str]:
        """For people, one a line."""
        return [str(each) for each in self._found]


_noting: ContextVar[Notes | None] = ContextVar("noting", default=None)


@contextmanager
def noting() -> Iterator[Notes]:
    """The notes of all that is asked within, also by threads that are given this context.

    Within another one, what it costs is counted together.
    """
    outer = _noting.get()
    notes = Notes() if outer is None else Notes(outer.spent)
    token = _noting.set(notes)
    try:
        yield notes
    finally:
        _noting.reset(token)


def note(*notes: NotKnown) -> None:
    """Note what is not known; for nobody where nobody asks for notes."""
    found = _noting.get()
    if found is not None:
        found.add(notes)


def may_spend(kind: str, most: int) -> bool:
    """Whether one more request of a kind may be made for what is asked; it counts as made."""
    found = _noting.get()
    if found is None:
        return True
    found.spent[kind] += 1
    return found.spent[kind] <= most
