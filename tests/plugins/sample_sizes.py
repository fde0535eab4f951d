"""How many of its cases a test plays that could play any number: all with THOROUGH in the environment, else a part."""

import itertools
import os
import random
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
PART = 8


def sample_of(count: int) -> int:
    """All of so many cases, or an eighth: `npm test` plays others each time, CI all."""
    return count if "THOROUGH" in os.environ else count // PART


def part_of(cases: Iterable[T]) -> Iterator[T]:
    """All of these cases, or every eighth from one that each run chooses."""
    return iter(cases) if "THOROUGH" in os.environ else itertools.islice(cases, random.randrange(PART), None, PART)
