"""Patterns: of the actions and resources of policies, with ``*`` and ``?``, and of files."""

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


_OF_FILES = re.compile(r"\*\*/|\*\*|\[!?[^]/]+\]|.", re.DOTALL)
_MEANS = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]", "{": "(?:", "}": ")"}


def file_glob(pattern: str) -> re.Pattern[str]:
    """A pattern of files, such as ``**/pydantic/{v1,color.py}``, as a regular expression for `fullmatch`.

    A pattern that is not valid matches nothing.
    """
    parts, depth = [], 0
    for part in _OF_FILES.findall(pattern):
        depth += (part == "{") - (part == "}")
        if part == "," and depth:
            parts.append("|")
        elif len(part) > 2 and part[0] == "[":
            parts.append(part.replace("[!", "[^").replace("\\", r"\\"))
        else:
            parts.append(_MEANS.get(part, re.escape(part)))
    try:
        return re.compile("".join(parts), re.DOTALL)
    except re.error:
        return re.compile("(?!)")
