"""Finds many texts in one text, in time linear in the length of all of them: the automaton of Aho and Corasick.

Source: A. V. Aho, M. J. Corasick, "Efficient string matching: an aid to bibliographic search", 1975.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

_CODES = 0x110000
Span = tuple[int, int]


def spans_of(needles: Iterable[str], text: str) -> list[Span]:
    """Where any of the needles stands in a text: disjoint spans in order; needles that touch or overlap are one."""
    below: dict[int, int] = {}  # by node * _CODES + character
    longest = [0]  # the length of the longest needle that ends in a node
    for needle in needles:
        node = 0
        for character in needle:
            edge = node * _CODES + ord(character)
            if edge not in below:
                below[edge] = len(longest)
                longest.append(0)
            node = below[edge]
        longest[node] = len(needle)
    if len(longest) == 1:
        return []
    fallback = _fallbacks(below, longest)
    found: list[Span] = []
    node = 0
    for end, character in enumerate(text, start=1):
        code = ord(character)
        while node and node * _CODES + code not in below:
            node = fallback[node]
        node = below.get(node * _CODES + code, 0)
        if longest[node]:
            start = end - longest[node]
            while found and found[-1][1] >= start:
                start = min(start, found.pop()[0])
            found.append((start, end))
    return found


def _fallbacks(below: dict[int, int], longest: list[int]) -> list[int]:
    """For each node, that of its longest proper suffix; `longest` gets the needles that end in suffixes."""
    children: list[list[tuple[int, int]]] = [[] for _ in longest]
    for edge, child in below.items():
        parent, code = divmod(edge, _CODES)
        children[parent].append((code, child))
    fallback = [0] * len(longest)
    waiting = deque(child for _, child in children[0])
    while waiting:
        node = waiting.popleft()
        longest[node] = longest[node] or longest[fallback[node]]
        for code, child in children[node]:
            suffix = fallback[node]
            while suffix and suffix * _CODES + code not in below:
                suffix = fallback[suffix]
            fallback[child] = below.get(suffix * _CODES + code, 0)
            waiting.append(child)
    return fallback
