"""Runs commands: a stop signal unwinds them, and errors that the user can act on are one line.

A command that a stop signal ends exits with 128 + its number, as shells report it: 130 after Ctrl-C.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from stream_cli.terminal.aws_errors import advice_on
from stream_cli.terminal.guarded import guard_output
from stream_cli.terminal.output import say
from stream_cli.terminal.signals import Stopped, ignore_stop_signals, stoppable


def new_app(text: str, *, invoke_without_command: bool = False) -> typer.Typer:
    """A program or a group of commands with ``text`` as its help, without commands yet.

    An argument that is empty, as a variable of a shell that is not set leaves it, is wrong usage.
    """
    return _App(
        help=text,
        cls=_Group,
        invoke_without_command=invoke_without_command,
        no_args_is_help=not invoke_without_command,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def _refuse_empty(command: TyperCommand | TyperGroup, context: typer.Context, arguments: list[str]) -> None:
    given, _, parameters = command.make_parser(context).parse_args(args=list(arguments))
    each: Any  # typer has its own copy of click's classes, which have no public name
    for each in parameters:
        value = given.get(each.name)
        if value == "" or (isinstance(value, list | tuple) and "" in value):
            instead = "give a value" if each.required else "give a value, or leave it out"
            raise typer.BadParameter(f"it is empty; {instead}", ctx=context, param=each)


class _Command(TyperCommand):
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        _refuse_empty(self, ctx, args)
        return super().parse_args(ctx, args)


class _Group(TyperGroup):
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        _refuse_empty(self, ctx, args)
        return super().parse_args(ctx, args)


class _App(typer.Typer):
    def command(self, name: str | None = None, **given: Any) -> Any:
        return super().command(name, **{"cls": _Command, **given})


def run_command(command: Callable[[], int], *, stopped: str = "Stopped; nothing is left running.") -> NoReturn:
    """Run a command and exit with the code that it returns; print ``stopped`` after a stop signal.

    Raises:
        typer.Exit: always; with 1 after an error that was printed, with 128 + N after signal N.
    """
    try:
        with errors_in_one_line(), stoppable():
            code = command()
    except Stopped as by:
        say(stopped, err=True)
        code = by.exit_code
    raise typer.Exit(code)


@contextmanager
def errors_in_one_line(exit_code: int = 1) -> Iterator[None]:
    """Print an error that the user can act on in one line, and exit; with 130 after Ctrl-C."""
    try:
        yield
    except KeyboardInterrupt:
        say("Stopped.", err=True)
        raise typer.Exit(128 + signal.SIGINT) from None
    except BrokenPipeError:
        raise  # The reader of the output, such as `head`, has ended: typer ends the command silently.
    except _expected_errors() as error:
        say(*lines_of(error), err=True)
        raise typer.Exit(exit_code) from error


def lines_of(error: Exception) -> list[str]:
    """An error as its lines: what is wrong, and indented below it what else it says and what helps."""
    text = str(error)
    if isinstance(error, OSError) and isinstance(error.filename, str) and error.filename2 is None:
        text = f"{error.filename}: {error.strerror}"
    advice = advice_on(error)
    first, *rest = [*text.split("\n"), *([advice] if advice else [])]
    return [first, *(f"  {each}".rstrip(" ") for each in rest)]


def run_app(app: typer.Typer, name: str | None = None) -> None:
    """Run a program; from its end on, stop signals do nothing, since one press of Ctrl-C may arrive several times."""
    guard_output()
    try:
        app(prog_name=name)
    finally:
        ignore_stop_signals()


def _expected_errors() -> tuple[type[Exception], ...]:
    """Errors that are printed without a traceback. Called when one was raised, so that no command imports them."""
    from botocore.exceptions import BotoCoreError, ClientError
    from httpx import HTTPError

    from stream_cli.errors import CommandError

    return CommandError, OSError, ValueError, BotoCoreError, ClientError, HTTPError
