"""Runs a command: stop signals unwind it, and what the user can do something about is said in one line."""

from __future__ import annotations

from collections.abc import Callable

import typer

from stream_cli.terminal.signals import Stopped, ignore_stop_signals, stoppable


def run_command(command: Callable[[], int]) -> None:
    """Run a command and exit with the code that it returns.

    Raises:
        typer.Exit: always; with 1 after an error that was said, with 128 + N after signal N.
    """
    try:
        with stoppable():
            code = command()
    except Stopped as stopped:
        typer.echo("Stopped; nothing is left running.", err=True)
        code = stopped.exit_code
    except _expected() as error:
        typer.echo(f"{error}", err=True)
        code = 1
    ignore_stop_signals()
    raise typer.Exit(code)


def _expected() -> tuple[type[Exception], ...]:
    """Errors that are said in one line, those of a cloud that has gone among them; asked for when one was raised."""
    from botocore.exceptions import BotoCoreError, ClientError
    from httpx import HTTPError

    from stream_cli.errors import CommandError

    return CommandError, OSError, ValueError, BotoCoreError, ClientError, HTTPError
