"""``streamctl console``: where the console of the local cloud is, or the console of a stage on AWS."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from stream_cli.errors import CommandError
from stream_cli.local.cloud import attach
from stream_cli.local.console import console_address
from stream_cli.local.state import StateFolder
from stream_cli.terminal.commands import run_command
from stream_cli.terminal.options import LOCAL, SERVICES, STATE, Port, Region, Services, Stage, State, Yes
from stream_cli.terminal.output import say

_SINCE = "3h"


def console(
    *,
    stage: Stage = LOCAL,
    write: Annotated[
        bool, typer.Option("--write", help="Of a stage on AWS: also resubmit, replay and change. Default: only read.")
    ] = False,
    since: Annotated[
        str | None,
        typer.Option("--since", help="Of a stage on AWS, read lake and logs since: ISO 8601, or an age. Default: 3h."),
    ] = None,
    port: Port = None,
    yes: Yes = False,
    region: Region = None,
    state: State = STATE,
    services: Services = SERVICES,
) -> None:
    """Print the address of the local cloud's console, or serve the console of a stage on AWS until Ctrl-C.

    It is for a browser on this machine. Whoever has the address sees what is in the cloud. With --write, it asks
    before it serves a production stage, as `deploy` does.
    """
    if stage != LOCAL:
        run_command(lambda: _serve(stage, StateFolder(state), since, port, region, services, write=write, yes=yes))
    given = {"--write": write, "--since": since, "--port": port, "--region": region}
    for option in (name for name, value in given.items() if value):
        raise typer.BadParameter("this is for a stage on AWS; the local cloud has its own", param_hint=option)
    run_command(lambda: _say_address(StateFolder(state)))


def _say_address(state: StateFolder) -> int:
    attach(state)
    address = console_address(state.console_file)
    if address is None:
        raise CommandError(f"The cloud in {state.root} has no console yet; its log is {state.log('console')}.")
    say(address.url)
    return 0


def _serve(
    stage: str, state: StateFolder, since: str | None, port: int | None, region: str | None, services: Path,
    *, write: bool, yes: bool,
) -> int:  # fmt: skip
    """Serve with a port and a token of its own, which nothing but the terminal has."""
    import tempfile

    from stream_cli.console.application import application
    from stream_cli.console.files import node_modules
    from stream_cli.console.serving import listen, serve
    from stream_cli.console.stage_sources import stage_sources
    from stream_cli.deployment.production import ask_before
    from stream_cli.deployment.services import services_below
    from stream_cli.local.console import ConsoleAddress, new_token
    from stream_cli.stored.connection import Connection
    from stream_cli.stored.options import time_of
    from stream_cli.terminal.logs import log_lines
    from stream_cli.trace.stage.connecting import AwsStage

    connection = Connection(stage, state, region)
    if write:
        ask_before("console --write", stage, connection.place, services_below(services), yes=yes)
    log_lines("%(levelname)s [%(name)s] %(message)s")
    logging.getLogger().setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="streamctl-console-") as rules:
        aws = AwsStage(connection, time_of(since or _SINCE, "--since"), Path(rules))
        sources = stage_sources(aws, connection, state, services, writes=write)
        listener = listen(port or 0)
        address = ConsoleAddress(listener.getsockname()[1], new_token())
        app = application(sources, port=address.port, token=address.token, node_modules=node_modules())
        say(address.url)
        may = "it may change things" if write else "it only reads; --write lets it change things"
        say(f"The console of {sources.place}: {may}. Ctrl-C ends it.", err=True)
        by = serve(app, listener)
    say("Stopped.", err=True)
    return by.exit_code
