"""``streamctl console``: where the console of the local cloud is."""

from __future__ import annotations

from stream_cli.errors import CommandError
from stream_cli.local.cloud import attach
from stream_cli.local.console import console_address
from stream_cli.local.state import StateFolder
from stream_cli.terminal.commands import run_command
from stream_cli.terminal.options import STATE, State
from stream_cli.terminal.output import say


def console(*, state: State = STATE) -> None:
    """Print the address of the console, for a browser on this machine. Whoever has it sees what is in the cloud."""
    run_command(lambda: _say_address(StateFolder(state)))


def _say_address(state: StateFolder) -> int:
    attach(state)
    address = console_address(state.console_file)
    if address is None:
        raise CommandError(f"The cloud in {state.root} has no console yet; its log is {state.log('console')}.")
    say(address.url)
    return 0
