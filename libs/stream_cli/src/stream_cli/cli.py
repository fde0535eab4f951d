"""The command ``streamctl``: the local cloud and the main job, the mapping engine, checks."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stream_cli.checks.command import check
from stream_cli.faults.command import app as faults_app
from stream_cli.lake.command import app as lake_app
from stream_cli.mappings.command import app as mappings_app

if TYPE_CHECKING:
    from stream_cli.local.state import StateFolder

app = typer.Typer(
    name="streamctl",
    help="The whole event-driven system on this machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(mappings_app, name="mappings")
app.add_typer(lake_app, name="lake")
app.add_typer(faults_app, name="faults")
app.command(name="check")(check)

State = Annotated[
    Path, typer.Option("--state", metavar="DIR", help="Folder of the running cloud: process records, logs.")
]
Port = Annotated[
    int | None, typer.Option("--port", min=1, max=65535, help="Port on 127.0.0.1. A free one is taken unless given.")
]
Services = Annotated[
    Path, typer.Option("--services", metavar="DIR", help="Folder of the services; each has a serverless.yml.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, last on stdout; all else goes to stderr.")]

_STATE = Path(".streamctl")
_SERVICES = Path("services")


@app.command()
def up(*, port: Port = None, state: State = _STATE, services: Services = _SERVICES) -> None:
    """Start a cloud with the services deployed, in the background, or see that it runs; `down` ends it."""
    from stream_cli.local.background import start_in_background

    _run(lambda folder: start_in_background(folder, port, services), state)


@app.command(hidden=True)
def serve(*, port: Port = None, state: State = _STATE, services: Services = _SERVICES) -> None:
    """What `up` runs in the background: the cloud, until it is told to stop."""
    from stream_cli.local.background import serve as serve_cloud

    _run(lambda folder: serve_cloud(folder, port, services), state)


@app.command()
def down(*, state: State = _STATE) -> None:
    """End the cloud that runs in the state folder, and clear away what a killed one has left."""
    from stream_cli.local.background import stop

    _run(stop, state)


@app.command()
def status(*, as_json: AsJson = False, state: State = _STATE) -> None:
    """Say what runs, where, and where the logs are. Exit code 3 when nothing runs."""
    from stream_cli.local.background import show_status

    _run(lambda folder: show_status(folder, as_json), state)


@app.command()
def deploy(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[SERVICE]...", help="All services unless named.")
    ] = None,
    *,
    state: State = _STATE,
    services: Services = _SERVICES,
) -> None:
    """Deploy services once more to the cloud that runs, after a change."""
    from stream_cli.local.background import deploy_again

    _run(lambda folder: deploy_again(folder, services, names or []), state)


@app.command()
def env(*, state: State = _STATE) -> None:
    """Print the lines that let aws, boto3 and sls reach the cloud: eval "$(streamctl env)"."""
    from stream_cli.local.cloud import attach

    def lines(folder: StateFolder) -> int:
        for line in attach(folder).shell_lines():
            typer.echo(line)
        return 0

    _run(lines, state)


@app.command()
def send(
    file: Annotated[Path, typer.Argument(help="JSON: one event or a list of them; - reads stdin.")],
    *,
    bus: Annotated[
        str | None, typer.Option(help="Name of the bus; unless given, the one that a stack's output busName names.")
    ] = None,
    state: State = _STATE,
) -> None:
    """Publish events on the bus."""
    from stream_cli.local.events import send_events

    def sending(folder: StateFolder) -> int:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
        try:
            content = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"{'stdin' if str(file) == '-' else file} is not JSON: {error}") from error
        return send_events(folder, content, bus)

    _run(sending, state)


def _run(command: Callable[[StateFolder], int], folder: Path) -> None:
    from stream_cli.local.state import StateFolder
    from stream_cli.terminal.commands import run_command

    run_command(lambda: command(StateFolder(folder)))


def main() -> None:
    """Entry point of the command."""
    app()


if __name__ == "__main__":
    main()
