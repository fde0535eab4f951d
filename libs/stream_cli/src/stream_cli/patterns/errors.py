"""The error for a pattern that AWS refuses."""

from __future__ import annotations

import json
from typing import Any


class InvalidPattern(ValueError):
    """A pattern that AWS refuses.

    Attributes:
        path: where the mistake is, such as `detail.state[0].prefix`; `$` is the pattern itself.
        problem: what is wrong there.
        expected: what is allowed there.
    """

    def __init__(self, path: str, problem: str, expected: str) -> None:
        super().__init__(f"{path}: {problem}; expected {expected}")
        self.path = path
        self.problem = problem
        self.expected = expected


def shown(value: Any) -> str:
    """A value as JSON for a message, cut at 60 characters."""
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."
