"""An entity's word in the forms that names and texts have: order, Order, ORDER; line_item, line-item, LineItem."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

Style = Literal["snake", "kebab", "camel", "pascal", "upper", "spaced", "sentence"]

_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+")
_WHOLE = re.compile(r"[A-Za-z][A-Za-z0-9]*([ _-][A-Za-z0-9]+)*")
# What is spoken with another sound than its first letter.
_SPOKEN_WITH_VOWEL = re.compile(r"(?!(uni([^nm]|$)|us[aeiu]|ut[aei]|eu|one|once|ubi))[aeiou]|hour|hono|heir|honest")


@dataclass(frozen=True)
class Word:
    """A word as its parts in lower case: ``("line", "item")``."""

    parts: tuple[str, ...]

    def in_style(self, style: Style) -> str:
        """The word in a style: `sentence` is spaced, with a capital at the beginning."""
        match style:
            case "snake":
                return "_".join(self.parts)
            case "kebab":
                return "-".join(self.parts)
            case "pascal":
                return "".join(part.capitalize() for part in self.parts)
            case "camel":
                return self.parts[0] + "".join(part.capitalize() for part in self.parts[1:])
            case "upper":
                return "_".join(self.parts).upper()
            case "spaced":
                return " ".join(self.parts)
            case "sentence":
                return " ".join(self.parts).capitalize()

    @property
    def article(self) -> str:
        """``a`` or ``an``."""
        return "an" if _SPOKEN_WITH_VOWEL.match(self.parts[0]) else "a"


@dataclass(frozen=True)
class Entity:
    """What a service is about: one of it, and several."""

    one: Word
    several: Word


def entity_of(one: str, several: str | None) -> Entity:
    """The entity that a user names, in whichever form.

    Args:
        several: the plural, or None for the usual one.

    Raises:
        ValueError: the words are none, are words of Python, or are the same.
    """
    single = _word("--entity", one)
    plural = _word("--plural", several) if several else _plural_of(single)
    entity = Entity(single, plural)
    for option, word in (("--entity", single), ("--plural", plural)):
        if keyword.iskeyword(name := word.in_style("snake")):
            raise ValueError(f"{option} {name}: that is a word of Python, and no variable can have it; choose another")
    if single == plural:
        raise ValueError(
            f"--plural {plural.in_style('snake')} is the same as --entity, so that nothing tells one from several; "
            f"choose another, such as {single.in_style('snake')}_list"
        )
    return entity


def _word(option: str, text: str) -> Word:
    if not _WHOLE.fullmatch(text):
        raise ValueError(
            f"{option} {text!r} is no name: letters and digits, a letter first, such as order, line_item or line-item"
        )
    parts = tuple(part.lower() for each in re.split(r"[ _-]", text) for part in _PART.findall(each))
    if any(part[0].isdigit() for part in parts):
        raise ValueError(f"{option} {text!r}: no part of it may begin with a digit")
    return Word(parts)


def _plural_of(word: Word) -> Word:
    """The plural as most words have it."""
    *before, last = word.parts
    if re.search(r"[^aeiou]y$", last):
        last = f"{last[:-1]}ies"
    elif re.search(r"(s|x|z|ch|sh)$", last):
        last = f"{last}es"
    else:
        last = f"{last}s"
    return Word((*before, last))


def forms(word: Word) -> Iterator[tuple[str, Style]]:
    """The forms of a word in texts, each once, with the style that it shows; of one part, `snake` stands for all."""
    styles: Sequence[Style] = ("upper", "pascal", "sentence", "camel", "kebab", "spaced", "snake")
    seen: dict[str, Style] = {}
    for style in styles:
        seen[word.in_style(style)] = style
    if len(word.parts) == 1:
        seen[word.in_style("pascal")] = "pascal"
    yield from seen.items()
