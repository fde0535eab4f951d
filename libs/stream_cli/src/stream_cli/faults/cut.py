"""Long texts of a value, cut: to look for secrets takes 3 µs a character, and nobody reads a million of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LONGEST = 64 * 1024
"""Characters of one text."""

MOST = 512 * 1024
"""Characters of all texts of a value; behind that, each is cut."""

_FEW = 64
_WORD = 8 * 1024
_ENDS = " \n\t,;\"'"


class Cut:
    """Cuts the texts of values that are shown together."""

    def __init__(self) -> None:
        self._left = MOST

    def __call__(self, value: Any) -> Any:
        """The value with texts that say how much of them is left out."""
        if isinstance(value, Mapping):
            return {self._text(str(name)): self(each) for name, each in value.items()}
        if isinstance(value, list):
            return [self(each) for each in value]
        return self._text(value) if isinstance(value, str) else value

    def _text(self, text: str) -> str:
        most = max(_FEW, min(LONGEST, self._left))
        self._left -= min(len(text), most)
        if len(text) <= most:
            return text
        kept = _without_last_word(text[:most])
        return f"{kept}… {len(text) - len(kept):,} more characters"


def _without_last_word(text: str) -> str:
    """What is secret by its form would not be known if it were cut in two."""
    end = max(text.rfind(each, max(0, len(text) - _WORD)) for each in _ENDS)
    return text[: end if end >= 0 else max(0, len(text) - _WORD)]
