"""Patterns with ``*`` and ``?``, as in the actions and resources of policies."""

from __future__ import annotations

import re
from collections.abc import Collection


def glob(pattern: str, literal: Collection[int] = ()) -> re.Pattern[str]:
    """A pattern as a regular expression for `fullmatch`; the characters at the places `literal` are no wildcards.

    What is between two asterisks is looked for once, as early as it can be: the time does not grow with the number of
    asterisks.
    """
    parts = [""]
    for place, character in enumerate(pattern):
        if character == "*" and place not in literal:
            parts.append("")
        else:
            parts[-1] += "." if character == "?" and place not in literal else re.escape(character)
    first, *others = parts
    if not others:
        return re.compile(first, re.DOTALL)
    *between, last = others
    return re.compile(f"{first}{''.join(f'(?>.*?{each})' for each in between)}.*{last}", re.DOTALL)
