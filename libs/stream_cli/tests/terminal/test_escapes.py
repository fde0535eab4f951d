"""Data of an attacker cannot act on the terminal, whichever command prints it; shown on what a terminal gets."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import every_command
import pytest
import typer
from every_command import ESCAPES, HERE, ON_AWS
from stream_cli.cli import app

ROOT = Path(__file__).parents[4]
# What rich itself sends: colours, the cursor hidden and shown, a line that is drawn again.
OF_RICH = re.compile(r"\x1b\[(?!8;7;5m)[0-9;]*m|\x1b\[\?25[lh]|\x1b\[2K|\x1b\[1A|\r(?=\x1b\[(?:2K|1A))|\r\n|\r(?=\n)")


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What a terminal of 1,000 columns gets from all commands."""
    terminal, its_end = pty.openpty()
    fcntl.ioctl(its_end, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 1000, 0, 0))
    program = [sys.executable, every_command.__file__, str(tmp_path_factory.mktemp("work"))]
    folders = os.pathsep.join(map(str, (ROOT, ROOT / "tests/plugins")))
    environment = {"PATH": os.environ["PATH"], "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "PYTHONPATH": folders}
    running = subprocess.Popen(program, stdin=its_end, stdout=its_end, stderr=its_end, env=environment, cwd=ROOT)
    os.close(its_end)
    written = b"".join(_read(terminal))
    os.close(terminal)
    assert running.wait() == 1
    return written.decode()  # The terminal gets UTF-8 and nothing else.


def _read(terminal: int) -> Iterator[bytes]:
    with contextlib.suppress(OSError):  # Linux says EIO when the last process has closed the other end.
        while chunk := os.read(terminal, 65536):
            yield chunk


def test_every_command_was_run() -> None:
    def leaves(command: Any, name: str) -> Iterator[str]:
        below = getattr(command, "commands", {})
        for each in below:
            yield from leaves(below[each], f"{name} {each}".strip())
        if not below:
            yield name

    walked = [*ON_AWS, *HERE, "down"]
    not_walked = [
        name
        for name in leaves(typer.main.get_command(app), "")
        if not any(line == name or line.startswith(f"{name} ") for line in walked)
    ]
    assert not_walked == []


def test_no_command_ended_with_a_bug_and_each_showed_the_data(shown: str) -> None:
    *commands, bug = f"\r\n{shown}".split("\r\n== ")[1:]
    titles = [command.split("\r\n")[0] for command in commands]
    assert titles == [*ON_AWS, *HERE, "down", "start"]
    assert [title for title, text in zip(titles, commands, strict=True) if "Traceback (most" in text] == []
    without = {title for title, text in zip(titles, commands, strict=True) if "1b]0;owned" not in text}
    # `send` names no event; `env` has the path as a URL.
    assert without == {"send events.json --bus default", "env"}
    assert "Traceback (most" in bug


def test_only_rich_acts_on_the_terminal(shown: str) -> None:
    rest = OF_RICH.sub("", shown).replace("\n", "")

    acting = {character for character in rest if not character.isprintable()}

    assert {f"U+{ord(character):04X}" for character in acting} == set()


@pytest.mark.parametrize("name", [name for name in ESCAPES if name not in ("markup", "half")])
def test_an_escape_does_not_arrive(shown: str, name: str) -> None:
    assert ESCAPES[name] not in shown


def test_a_line_end_in_data_makes_no_line(shown: str) -> None:
    drawn = OF_RICH.sub(lambda sent: "\n" if sent[0] in ("\r\n", "\x1b[2K") else "", shown)
    # The text of an error and the stack of a fault have lines of their own, which are indented.
    assert re.findall(r"^(?:[│┃][\s│┃]*)?FORGED.*", drawn, re.MULTILINE) == []


def test_markup_in_data_is_text(shown: str) -> None:
    assert "\x1b]8;" not in shown
    text = OF_RICH.sub("", shown)
    assert len(re.findall(r"\[red]red\[[/|]red]\[link=https:[/|]{2}owned.example]link\[[/|]link]:boom:", text)) > 50
