"""`streamctl mappings` runs the mapping engine; `streamctl mappings status` shows the state of each shard."""

from __future__ import annotations

import functools
import logging
import signal
import threading
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.live import Live

from stream_cli.mappings.checkpoints import ENGINE_FOLDER
from stream_cli.mappings.notices import Notices
from stream_cli.mappings.status import engine_folder, read_status, status_table
from stream_cli.terminal.commands import errors_in_one_line, new_app
from stream_cli.terminal.guarded import guard_output
from stream_cli.terminal.logs import log_lines
from stream_cli.terminal.options import STATE
from stream_cli.terminal.output import VisibleConsole, say_json

app = new_app("Run and watch the stream event source mappings of an endpoint.", invoke_without_command=True)

DEFAULT_STATE = STATE / ENGINE_FOLDER

State = Annotated[
    Path, typer.Option("--state", help="Folder of checkpoints and status. An engine continues from its checkpoints.")
]


@app.callback()
def run(
    context: typer.Context,
    endpoint: Annotated[
        str | None,
        typer.Option(
            "--endpoint", envvar="AWS_ENDPOINT_URL", help="URL of the AWS APIs, such as http://127.0.0.1:4566."
        ),
    ] = None,
    state: State = DEFAULT_STATE,
    checkpoints: Annotated[
        Path | None, typer.Option("--checkpoints", help="Folder of checkpoints, instead of one in the state folder.")
    ] = None,
    journal: Annotated[Path | None, typer.Option("--journal", help="Folder for what the engine observes.")] = None,
    speed: Annotated[
        float, typer.Option("--speed", min=0.001, help="Factor by which backoff, record age and windows pass faster.")
    ] = 1.0,
) -> None:
    """Run every Kinesis and DynamoDB stream mapping of the endpoint until SIGTERM or Ctrl-C."""
    if context.invoked_subcommand is not None:
        context.obj = state
        return
    if endpoint is None:
        raise typer.BadParameter("give --endpoint or set AWS_ENDPOINT_URL", param_hint="--endpoint")
    _serve(endpoint, state, speed, journal, checkpoints)


def _serve(endpoint: str, state: Path, speed: float, folder: Path | None, checkpoints: Path | None) -> None:
    from stream_cli.journal.writer import Writer
    from stream_cli.mappings.aws import AwsEndpoint
    from stream_cli.mappings.engine import Engine

    guard_output()
    log_lines("%(asctime)s %(message)s", "%H:%M:%S")
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    logging.getLogger("botocore").setLevel(logging.WARNING)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    notices = Notices(logging.getLogger("stream_cli.mappings"))
    make_engine = functools.partial(
        Engine, AwsEndpoint(endpoint), state, notices=notices, name=endpoint, speed=speed, checkpoints=checkpoints
    )
    if folder is None:
        make_engine().run(stop)
        return
    journal = Writer(folder, "mappings")
    try:
        make_engine(observe=journal.put).run(stop)
    finally:
        journal.close()


@app.command()
def status(
    context: typer.Context,
    state: Annotated[
        Path | None, typer.Option("--state", help="State folder of a local cloud, or of an engine.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Update until Ctrl-C.")] = False,
    every: Annotated[float, typer.Option("--every", min=0.1, help="Seconds between two updates of --watch.")] = 1.0,
) -> None:
    """Show each shard of each mapping: position, backlog and its age, batches in flight, outcomes, retries, losses."""
    folder = engine_folder(state or context.obj or DEFAULT_STATE)
    with errors_in_one_line():
        if as_json:
            say_json(read_status(folder), indent=None if watch else 2)
            while watch:
                time.sleep(every)
                say_json(read_status(folder))
        elif watch:
            with Live(status_table(read_status(folder)), console=VisibleConsole(), auto_refresh=False) as live:
                while True:
                    time.sleep(every)
                    live.update(status_table(read_status(folder)), refresh=True)
        else:
            VisibleConsole().print(status_table(read_status(folder)))
