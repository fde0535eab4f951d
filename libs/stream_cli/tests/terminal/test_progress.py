from __future__ import annotations

import io

import pytest
from rich.console import Console
from stream_cli.terminal.progress import Steps


def plain() -> tuple[Console, io.StringIO]:
    output = io.StringIO()
    return Console(file=output, width=200), output


def test_a_file_gets_one_line_for_each_step_with_its_time_and_remark() -> None:
    console, output = plain()
    with Steps(console) as steps, steps.step("Start ministack") as note:
        note("http://127.0.0.1:4566")
    (line,) = output.getvalue().splitlines()
    assert line.split() == ["✓", "Start", "ministack", "0.0", "s", "http://127.0.0.1:4566"]
    assert list(steps.seconds) == ["Start ministack"]


def test_a_failed_step_is_marked_and_its_error_is_raised() -> None:
    console, output = plain()
    with pytest.raises(ValueError, match="broken"), Steps(console) as steps, steps.step("Deploy"):
        raise ValueError("broken")
    assert output.getvalue().startswith("✗ Deploy")


def test_a_terminal_shows_running_done_and_failed_steps() -> None:
    output = io.StringIO()
    console = Console(file=output, width=120, force_terminal=True, color_system=None)
    with Steps(console) as steps:
        with steps.step("First") as note:
            note("[a note in brackets]")
        steps.say("a line above")
        with pytest.raises(ValueError, match="broken"), steps.step("Second"):
            raise ValueError("broken")
    last = [line for line in output.getvalue().split("\r") if "First" in line][-1]
    assert "✓ First" in last
    assert "[a note in brackets]" in last
    assert "a line above" in output.getvalue()
    assert "✗ Second" in output.getvalue()


def test_a_long_remark_is_cut() -> None:
    console, output = plain()
    with Steps(console) as steps, steps.step("Deploy") as note:
        note("x" * 500)
    assert output.getvalue().rstrip().endswith("x…")
