"""Renames the entity of a template in texts of any kind: names, keys, types of events, routes, and sentences."""

from __future__ import annotations

import base64
import io
import re
import sys
import tokenize
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from stream_cli.new.words import Entity, Style, Word, forms

Span = tuple[int, int]

_BASE64 = re.compile(r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{24,}={0,2}(?![A-Za-z0-9+/=])")
# What may be between a key and its value, in Python, YAML and JSON.
_BETWEEN = " \t\n\"'`[]{:="
_FILE = re.compile(r"\.(py|ya?ml|json|js|md)\b")
# A word of a sentence has another before it, or behind it.
_WORD_BEFORE = re.compile(r"[A-Za-z,;)}'`]\s+(#\s+)?$")
_WORD_BEHIND = re.compile(r" [a-z(`]")
_GAP = r"(?P<article>(?:(?<![A-Za-z])|(?<=\\[nt]))[Aa]n?(?P<gap>_|\s+(?:\#\ )?|\s+`))?"


@dataclass(frozen=True)
class Change:
    """A place of a text, and what stands there afterwards."""

    start: int
    end: int
    new: str


class Renaming:
    """Texts of a template with another entity."""

    def __init__(self, old: Entity, new: Entity) -> None:
        self._words = {form: (style, word) for each, word in _pairs(old, new) for form, style in forms(each)}

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        longest_first = sorted(self._words, key=len, reverse=True)
        lower = "|".join(re.escape(form) for form in longest_first if form[0].islower())
        upper = "|".join(re.escape(form) for form in longest_first if form.isupper())
        title = "|".join(re.escape(form) for form in longest_first if form[0].isupper() and not form.isupper())
        return re.compile(
            _GAP + rf"(?P<word>(?:(?<![A-Za-z])|(?<=\\[nt]))(?:{lower})(?![a-z])"
            rf"|(?<![A-Za-z])(?:{upper})(?![A-Za-z])|(?:{title})(?![a-z]))"
        )

    def text(self, text: str, *, python: bool = False) -> str:
        """A text with the new entity; with base64 of texts in it, too."""
        made, at = [], 0
        for change in self.changes(text, python=python):
            made += [text[at : change.start], change.new]
            at = change.end
        return "".join([*made, text[at:]])

    def changes(self, text: str, *, python: bool = False) -> list[Change]:
        """What has to change in a text, from its beginning to its end."""
        code = _code_in(text) if python else ()
        encoded = [change for match in _BASE64.finditer(text) if (change := self._in_base64(match))]
        taken = [(change.start, change.end) for change in encoded]
        plain = [
            self._change(text, match, is_code=_within(code, match.start("word")))
            for match in self._pattern.finditer(text)
            if not _within(taken, match.start("word"))
        ]
        return sorted([*encoded, *plain], key=lambda change: change.start)

    def _in_base64(self, match: re.Match[str]) -> Change | None:
        try:
            inner = base64.b64decode(match[0], validate=True).decode()
        except ValueError:
            return None
        renamed = self.text(inner)
        return Change(*match.span(), base64.b64encode(renamed.encode()).decode()) if renamed != inner else None

    def _change(self, text: str, match: re.Match[str], *, is_code: bool) -> Change:
        style, word = self._words[match["word"]]
        start, end = match.span("word")
        if is_code:
            chosen = _style_in_code(style, text[end : end + 1])
        else:
            chosen = _style_in_text(style, text[:start][-80:], text[end : end + 20])
        new = word.in_style(chosen)
        article = match["article"]
        if article is None:
            return Change(start, end, new)
        right = word.article if article[0] == "a" else word.article.capitalize()
        return Change(match.start(), end, f"{right}{match['gap']}{new}")


def _pairs(old: Entity, new: Entity) -> Iterator[tuple[Word, Word]]:
    yield old.one, new.one
    yield old.several, new.several


def _style_in_code(found: Style, behind: str) -> Style:
    """The style of a name in Python, where a word of one part shows only its capitals."""
    if found in ("upper", "pascal", "camel"):
        return found
    return "camel" if behind.isupper() else "snake"


def _style_in_text(found: Style, before: str, behind: str) -> Style:
    """The style of a word in a text, by what is around it."""
    around = f"{before[-1:]}{behind[:1]}"
    if found == "upper":
        return found
    if found in ("pascal", "sentence"):
        alone = not re.search(r"[A-Za-z0-9_`]", around)
        return "sentence" if alone and _WORD_BEHIND.match(_behind_the_word(behind)) else "pascal"
    if found != "snake":
        return found
    if behind[:1].isupper():
        return "camel"
    if "_" in around:
        return "snake"
    if "-" in around or behind.startswith(".fifo") or _is_of_a_kind(before):
        return "kebab"
    if "/" in around:
        return "snake" if _FILE.match(behind) else "kebab"
    has_neighbour = _WORD_BEFORE.search(before) or (
        before[-1:] in "\n (" and _WORD_BEHIND.match(_behind_the_word(behind))
    )
    return "spaced" if has_neighbour and _ends(behind) else "snake"


def _is_of_a_kind(before: str) -> bool:
    """Whether a value is one that types of events are made of, which have hyphens."""
    key = before.rstrip(_BETWEEN)
    if key.endswith("S") and key[-2:-1] in _BETWEEN:  # of {"S": "..."} in DynamoDB's JSON
        key = key[:-1].rstrip(_BETWEEN)
    return key.lower().endswith(("discriminator", "listing")) or (key.endswith("sk") and not key[-3:-2].isalnum())


def _ends(behind: str) -> bool:
    """Whether a word ends here, but for the marks of a sentence."""
    rest = behind.removeprefix("'s").lstrip("',.;:)!?")
    return not rest or rest[0] in ' \t\n"|'


def _behind_the_word(behind: str) -> str:
    """What is behind a word and its own ending."""
    return re.sub(r"^'s?|^[,;:)]", "", behind)


def _within(spans: Sequence[Span], place: int) -> bool:
    at = bisect_right(spans, (place, sys.maxsize)) - 1
    return at >= 0 and spans[at][0] <= place < spans[at][1]


@lru_cache(maxsize=256)
def _code_in(source: str) -> Sequence[Span]:
    """The places of names in Python, in the order of the text; before 3.12 also what f-strings have in braces."""
    starts = [0]
    for line in source.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    spans: list[Span] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        start, end = (starts[row - 1] + column for row, column in (token.start, token.end))
        if token.type == tokenize.NAME:
            spans.append((start, end))
        elif token.type == tokenize.STRING and "f" in re.match(r"\w*", token.string)[0].lower():  # type: ignore[index]
            spans += [(start + first, start + last) for first, last in _braces(token.string)]
    return spans


def _braces(text: str) -> Iterator[Span]:
    """The places between the outermost braces of an f-string."""
    depth = first = 0
    for place, character in enumerate(text.replace("{{", "  ").replace("}}", "  ")):
        if character == "{":
            depth += 1
            first = place + 1 if depth == 1 else first
        elif character == "}" and depth:
            depth -= 1
            if not depth:
                yield first, place
