"""The command line of the demo: `npm start` runs `python -m demo start`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from stream_cli.terminal.commands import run_command

app = typer.Typer(
    help="The example system on this machine: a news feed through the five services.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, last on stdout; all else goes to stderr.")]
State = Annotated[
    Path, typer.Option("--state", metavar="DIR", help="Folder of the running cloud: process records, logs.")
]
_STATE = Path(".streamctl")


@app.command()
def start(
    *,
    once: Annotated[
        bool, typer.Option("--once", help="End after the table: 0 when all is as expected, else 1.")
    ] = False,
    as_json: AsJson = False,
    port: Annotated[
        int | None, typer.Option("--port", min=1, max=65535, help="Port on 127.0.0.1. A free one unless given.")
    ] = None,
    state: State = _STATE,
    services: Annotated[
        Path, typer.Option("--services", metavar="DIR", help="Folder of the services; each has a serverless.yml.")
    ] = Path("services"),
) -> None:
    """Start a cloud, deploy the services, feed the sample in, and show that all has arrived."""
    from stream_cli.local.state import StateFolder

    from demo.main_job import start as start_main_job

    folder = StateFolder(state)
    run_command(lambda: start_main_job(folder, port=port, once=once, as_json=as_json, services=services))


@app.command()
def send(*, as_json: AsJson = False, state: State = _STATE) -> None:
    """Feed the sample in to a cloud that runs (`streamctl up`), and show the table of what must happen."""
    from stream_cli.local.state import StateFolder

    from demo.main_job import send as send_sample

    run_command(lambda: send_sample(StateFolder(state), as_json=as_json))


if __name__ == "__main__":
    app(prog_name="python -m demo")
