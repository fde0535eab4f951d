from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest
import typer
from stream_cli.local.state import launchers
from stream_cli.terminal.commands import errors_in_one_line
from stream_cli.terminal.signals import Stopped, stoppable


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stop_signal_unwinds_and_later_ones_do_not_disturb_the_clean_up(number: signal.Signals) -> None:
    steps = []

    def work() -> None:
        try:
            os.kill(os.getpid(), number)
            steps.append("not reached")
        finally:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGTERM)
            steps.append("cleaned up")

    with pytest.raises(Stopped) as stopped, stoppable():
        work()
    assert steps == ["cleaned up"]
    assert stopped.value.exit_code == 128 + number


def test_a_stop_is_not_caught_as_an_error() -> None:
    assert not issubclass(Stopped, Exception)


def test_ctrl_c_is_130_where_no_command_unwinds_itself(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended, errors_in_one_line(2):
        raise KeyboardInterrupt
    assert ended.value.exit_code == 130
    assert capsys.readouterr().err == "Stopped.\n"


def test_outside_of_npm_there_are_no_launchers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("npm_lifecycle_event", raising=False)
    assert launchers() == []


def test_the_launchers_are_the_processes_up_to_npm() -> None:
    program = "import json; from stream_cli.local.state import launchers; print(json.dumps(launchers()))"
    shells = """exec -a npm bash -c 'bash -c "\\"$PYTHON\\" -c \\"$PROGRAM\\"; exit"; exit'"""
    environment = {**os.environ, "npm_lifecycle_event": "start", "PYTHON": sys.executable, "PROGRAM": program}
    ran = subprocess.run(["bash", "-c", shells], capture_output=True, text=True, check=True, env=environment)
    commands = [launcher["command"].split()[0] for launcher in json.loads(ran.stdout)]
    assert commands == ["bash", "npm"]
