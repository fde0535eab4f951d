"""Serves the console of a local cloud until told to stop."""

from __future__ import annotations

import argparse
import functools
from pathlib import Path

from stream_cli.console.application import Sources, application
from stream_cli.console.files import node_modules
from stream_cli.console.priority import give_way
from stream_cli.console.serving import listen, serve
from stream_cli.console.traces import deployed_in
from stream_cli.deployment.production import is_production
from stream_cli.deployment.services import services_below
from stream_cli.journal.answers import Journal
from stream_cli.local.console import ConsoleAddress, console_address, new_token
from stream_cli.local.state import StateFolder
from stream_cli.stored.connection import Connection
from stream_cli.terminal.guarded import guard_output
from stream_cli.terminal.logs import log_lines
from stream_cli.terminal.options import LOCAL, SERVICES


def main() -> None:
    """Serve until told to stop. A console that is started again keeps its port and its token."""
    parser = argparse.ArgumentParser(description="The console of a local cloud")
    parser.add_argument("--state", type=Path, required=True, help="state folder of the cloud")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 takes a free one")
    options = parser.parse_args()
    guard_output()
    log_lines("%(asctime)s %(levelname)s [%(name)s] %(message)s")
    give_way()
    state = StateFolder(options.state)
    before = console_address(state.console_file)
    listener = listen(options.port or (before.port if before else 0))
    address = ConsoleAddress(listener.getsockname()[1], before.token if before else new_token())
    address.write(state.console_file)
    journal = Journal(state.journal)
    place = f"local cloud in {state.root}"
    sources = Sources(
        LOCAL, place, journal, state.mappings, functools.partial(deployed_in, state), state,
        connection=functools.partial(Connection, LOCAL, state),
        is_production=lambda: is_production(LOCAL, services_below(SERVICES)), writes=True,
    )  # fmt: skip
    app = application(sources, port=address.port, token=address.token, node_modules=node_modules())
    try:
        serve(app, listener)
    finally:
        journal.close()


if __name__ == "__main__":
    main()
