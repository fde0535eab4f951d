"""`streamctl` accepts every command line that a README or CONTRIBUTING shows."""

import re
import shlex
from pathlib import Path

import pytest
import typer
from stream_cli.cli import app

ROOT = Path(__file__).resolve().parents[2]
READMES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "services").glob("*/README.md"))]
SHOWN = re.compile(r"^ {0,8}(?:npm run (?:--silent )?streamctl -- |streamctl )(\w.*)$", re.MULTILINE)
LINES = [(readme, line) for readme in READMES for line in SHOWN.findall(readme.read_text(encoding="utf-8"))]


@pytest.mark.parametrize(("readme", "line"), LINES, ids=lambda value: value if isinstance(value, str) else "")
def test_a_command_line_is_understood(readme: Path, line: str) -> None:
    words = shlex.split(line, comments=True)
    if ">" in words:  # for the shell
        words = words[: words.index(">")]
    command = typer.main.get_command(app)
    while isinstance(command, typer.core.TyperGroup):
        command = command.commands[words.pop(0)]

    assert command.make_context("streamctl", words).params


def test_there_are_such_lines() -> None:
    assert {line.split()[0] for _, line in LINES} >= {"lake", "faults"}
