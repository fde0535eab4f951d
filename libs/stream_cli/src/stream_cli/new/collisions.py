"""Finds out whether a new word already means something in a template, where one name would then have two meanings."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath

from stream_cli.new.renaming import Change

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_COMMENT = re.compile(r"(?<!\S)#.*")
_SENTENCE = re.compile(r"^ *(?:Description|description|AlarmDescription):.*$", re.MULTILINE)
_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"?')  # one without an end is taken, too: it is not looked for again


@dataclass
class _Words:
    """Words: those that stay, with path and place of the first, and those that change, with what they become."""

    stay: dict[str, tuple[str, int]] = field(default_factory=dict)
    change: dict[str, str] = field(default_factory=dict)


def collisions(files: Mapping[str, str], changes: Mapping[str, Sequence[Change]]) -> list[str]:
    """Each new word that a template uses already, with where; in the order of the files.

    Names of Python are compared within their file; keys, values and names of files in all files.

    Args:
        files: the texts of the template by their paths.
        changes: what changes in each of them.
    """
    everywhere = _Words()
    found: dict[str, tuple[str, int]] = {}
    for path, text in files.items():
        own = _Words()
        for word, place, is_name in _words_of(path, text):
            new = _renamed(word, place, changes.get(path, ()))
            for words in (own, everywhere) if not is_name else (own,):
                if new == word:
                    words.stay.setdefault(word, (path, place))
                else:
                    words.change.setdefault(word, new)
        found.update(_clashes(own))
    found.update(_clashes(everywhere))
    return [f"{new!r} in {path}:{files[path].count(chr(10), 0, place) + 1}" for new, (path, place) in found.items()]


def _clashes(words: _Words) -> dict[str, tuple[str, int]]:
    return {new: words.stay[new] for new in words.change.values() if new in words.stay}


def _words_of(path: str, text: str) -> Iterator[tuple[str, int, bool]]:
    """The words that mean something to a program, with their places, and whether they are names of Python."""
    kind = PurePath(path).suffix
    yield from ((match[0], -1, False) for match in _WORD.finditer(PurePath(path).stem) if kind == ".py")
    if kind == ".py":
        yield from _of_python(text)
    elif kind in (".yml", ".yaml"):
        plain = _SENTENCE.sub(_blank, _COMMENT.sub(_blank, text))
        yield from ((match[0], match.start(), False) for match in _WORD.finditer(plain))
    elif kind == ".json":
        for each in _TEXT.finditer(text):
            if not re.search(r"\s", each[0]):
                yield from ((match[0], each.start() + match.start(), False) for match in _WORD.finditer(each[0]))


def _blank(match: re.Match[str]) -> str:
    return " " * len(match[0])


def _of_python(source: str) -> Iterator[tuple[str, int, bool]]:
    starts = [0]
    for line in source.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        start = starts[token.start[0] - 1] + token.start[1]
        if token.type == tokenize.NAME:
            yield token.string, start, True
        elif token.type == tokenize.STRING and not re.search(r"\s", token.string):
            body = token.string.lstrip("rbfuRBFU")
            start += len(token.string) - len(body)
            yield from ((match[0], start + match.start(), False) for match in _WORD.finditer(body))


def _renamed(word: str, place: int, changes: Sequence[Change]) -> str:
    """What becomes of a word at a place; of the name of a file (-1), where its text says the same word."""
    parts, at, end = [], place, place + len(word)
    for change in changes:
        if place <= change.start and change.end <= end:
            parts += [word[at - place : change.start - place], change.new]
            at = change.end
    return "".join([*parts, word[at - place :]]) if parts else word
