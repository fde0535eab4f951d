"""`streamctl dev`: a session that follows changes of services."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from stream_cli.terminal.commands import run_command
from stream_cli.terminal.options import SERVICES, STATE, Names, Port, Services, State


def dev(
    names: Names = None,
    *,
    test: Annotated[bool, typer.Option("--test", help="Run the tests that a change touches.")] = False,
    debug: Annotated[
        str | None, typer.Option("--debug", metavar="FUNCTION", help="Have this function wait for a debugger.")
    ] = None,
    debug_port: Annotated[
        int, typer.Option("--debug-port", min=1024, max=65535, help="Where it waits, on 127.0.0.1.")
    ] = 5678,
    port: Port = None,
    state: State = STATE,
    services: Services = SERVICES,
) -> None:
    """Have what is saved run a moment later, and show what functions log and fail on.

    Rules are checked before functions get new code. Where the template or the requirements change, the service is
    deployed. Where no cloud runs, one is started, which goes on at the end.
    """
    options = {"test": test, "debug": debug, "debug_port": debug_port}
    run_command(lambda: _follow(names or [], state, port, services, options))


def _follow(names: list[str], folder: Path, port: int | None, services: Path, options: dict[str, Any]) -> int:
    from stream_cli.deployment.services import choose_services, services_of_cloud
    from stream_cli.dev.session import Session
    from stream_cli.local.background import start_in_background
    from stream_cli.local.cloud import attach
    from stream_cli.local.state import StateFolder
    from stream_cli.terminal.output import console_for, say, shell_word
    from stream_cli.terminal.signals import Stopped

    state = StateFolder(folder)
    chosen = choose_services(names, services)
    if state.cloud() is None:
        start_in_background(state, port, services, [str(each) for each in chosen])
    beside = [each for each in services_of_cloud([str(each) for each in chosen], services) if each not in chosen]
    try:
        with Session(chosen, beside, state, attach(state), console_for(as_json=False), **options) as session:
            return session.run()
    except Stopped as signal:
        end = f"streamctl down --state {shell_word(str(state.root))}"
        say(f"The cloud goes on with what is deployed. This ends it: {end}", err=True)
        return signal.exit_code
