"""What commands print. Text from outside cannot act on the terminal, whichever command prints it.

Every line goes through `say`, `say_json` or a `VisibleConsole`. They take a line as one argument and show each control
character in it, so that a line end within data makes no line. What reaches stdout or stderr by another way (a warning,
a traceback) passes the guard of `guarded`; there line ends stay.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import string
import sys
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, TextIO

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.highlighter import JSONHighlighter
from rich.segment import Segment
from rich.text import Text
from stream_runtime.payload.visible import visible, visible_json

from stream_cli.terminal.guarded import beneath, visible_lines

_WIDTH_OF_FILES = 120
_PLAIN_IN_SHELL = frozenset(f"{string.ascii_letters}{string.digits}/.-_=: ")
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def say(*lines: str, err: bool = False) -> None:
    """Print lines on stdout or stderr."""
    typer.echo("\n".join(visible(line) for line in lines), err=err)


def say_json(content: Any, *, indent: int | None = None) -> None:
    """Print JSON on stdout: a line, or several with ``indent``."""
    typer.echo(as_json(content, indent=indent))


def say_written(text: bytes) -> int:
    """Print the complete lines at the beginning of what a process has written; returns how many bytes they are."""
    whole = text[: text.rfind(b"\n") + 1]
    if whole:
        say(*whole.decode(errors="replace").removesuffix("\n").split("\n"))
    return len(whole)


def as_json(content: Any, *, indent: int | None = None) -> str:
    """JSON in which control characters are escaped, and other characters are themselves."""
    return visible_json(json.dumps(content, ensure_ascii=False, indent=indent))


def unchanged_since(services: Mapping[str, datetime]) -> str:
    """A line about services that were not made anew, by their names, because nothing of them has changed."""
    each = (f"{name} since {made.astimezone():%Y-%m-%d %H:%M:%S}" for name, made in services.items())
    return f"Unchanged, and not made anew (--fresh does that): {', '.join(each)}."


def indented(text: str, by: str = "  ") -> list[str]:
    """The lines of a text from outside; their indentation shows where it ends."""
    return [f"{by}{line}".rstrip(" ") for line in text.split("\n")]


def without_colours(text: str) -> str:
    """What a program wrote for a terminal, without its colours."""
    return _COLOURS.sub("", text)


def shell_word(value: str) -> str:
    """A value as a word of a shell command; one with control characters as ``$'...'``, which shells read as it was.

    Half of a surrogate pair has no bytes in UTF-8, and no shell can pass it on; it is a question mark.
    """
    if visible(value) == value:
        return shlex.quote(value)
    try:
        content = os.fsencode(value)
    except UnicodeEncodeError:
        content = value.encode("utf-8", "replace")
    escaped = (chr(byte) if chr(byte) in _PLAIN_IN_SHELL else f"\\x{byte:02x}" for byte in content)
    return f"$'{''.join(escaped)}'"


def line(*parts: str | tuple[str, str], style: str = "") -> Text:
    """A line for a console, of texts and pairs of a text and its style."""
    shown = [visible(part) if isinstance(part, str) else (visible(part[0]), part[1]) for part in parts]
    return Text.assemble(*shown, style=style)


def lines(each: Iterable[str], style: str = "") -> Text:
    """Several lines for a console or a cell of a table."""
    return Text("\n".join(map(visible, each)), style)


def json_lines(content: Any) -> Text:
    """A value as indented JSON, in colours."""
    return JSONHighlighter()(Text(as_json(content, indent=2)))


class VisibleConsole(Console):
    """A rich console without markup. A ``str`` that is printed, or is a cell of a table, is one line."""

    def __init__(self, *, err: bool = False, file: TextIO | None = None, **options: Any) -> None:
        stream = file or (sys.stderr if err else sys.stdout)
        super().__init__(file=beneath(stream), markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """A ``str`` as `line` shows it."""
        return super().render_str(visible(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Segments as rich makes them: only rich's own control codes act on the terminal."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=visible_lines(segment.text))


def console_for(*, as_json: bool) -> VisibleConsole:
    """The console for people: stdout, or stderr when stdout is for JSON. Lines of files have 120 characters."""
    console = VisibleConsole(err=as_json)
    return console if console.is_terminal else VisibleConsole(err=as_json, width=_WIDTH_OF_FILES)
