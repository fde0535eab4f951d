"""The command line of the demo: `npm start` runs `python -m demo start`."""

from __future__ import annotations

from typing import Annotated

import typer
from stream_cli.terminal.commands import run_app, run_command
from stream_cli.terminal.options import SERVICES, STATE, AsJson, Services, State

app = typer.Typer(
    help="The example system on this machine: a news feed through the five services.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command()
def start(
    *,
    once: Annotated[
        bool, typer.Option("--once", help="End after the table, with exit code 0 when all is as expected, else 1.")
    ] = False,
    as_json: AsJson = False,
    port: Annotated[
        int | None, typer.Option("--port", min=1, max=65535, help="Port on 127.0.0.1. Default: a free one.")
    ] = None,
    state: State = STATE,
    services: Services = SERVICES,
) -> None:
    """Start a local cloud, deploy the services, feed the sample in, and print a table of the outcome."""
    from stream_cli.local.state import StateFolder

    from demo.main_job import start as start_main_job

    folder = StateFolder(state)
    run_command(lambda: start_main_job(folder, port=port, once=once, as_json=as_json, services=services))


@app.command()
def send(*, as_json: AsJson = False, state: State = STATE) -> None:
    """Feed the sample in to a running local cloud (`streamctl up`), and print a table of the outcome."""
    from stream_cli.local.state import StateFolder

    from demo.main_job import send as send_sample

    run_command(lambda: send_sample(StateFolder(state), as_json=as_json))


if __name__ == "__main__":
    run_app(app, "python -m demo")
