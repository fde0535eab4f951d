"""The command line of the demo: `npm start` runs `python -m demo start`."""

from __future__ import annotations

from typing import Annotated

import typer
from stream_cli.local.state import StateFolder
from stream_cli.terminal.commands import new_app, run_app, run_command
from stream_cli.terminal.options import SERVICES, STATE, AsJson, Iam, Port, Services, State

from demo import main_job

app = new_app("The example system on this machine: a news feed through the five services.")


@app.command()
def start(
    *,
    once: Annotated[
        bool, typer.Option("--once", help="End after the table, with exit code 0 when all is as expected, else 1.")
    ] = False,
    as_json: AsJson = False,
    port: Port = None,
    iam: Iam = True,
    state: State = STATE,
    services: Services = SERVICES,
) -> None:
    """Start a local cloud, deploy the services, feed the sample in, and print a table of the outcome."""
    folder = StateFolder(state)
    run_command(lambda: main_job.start(folder, port=port, iam=iam, once=once, as_json=as_json, services=services))


@app.command()
def send(*, as_json: AsJson = False, state: State = STATE) -> None:
    """Feed the sample in to a running local cloud (`streamctl up`), and print a table of the outcome."""
    run_command(lambda: main_job.send(StateFolder(state), as_json=as_json))


if __name__ == "__main__":
    run_app(app, "python -m demo")
