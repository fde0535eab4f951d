"""Deploys or removes all services of a stage on AWS with the Serverless CLI: `npm run deploy`, `npm run remove`.

The hub is deployed first and removed last, since the others use its outputs; the others go side by side. Which account
it is follows from the environment, as for every AWS tool; nothing is sent anywhere before the account was named and,
for a removal, the stage was said twice.
"""

from __future__ import annotations

import concurrent.futures
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from stream_cli import serverless
from stream_cli.local.deploy import HUB, find_services
from stream_cli.local.progress import Steps, console_for
from stream_cli.local.signals import Stopped, stoppable
from stream_cli.local.state import CloudError

Action = Literal["deploy", "remove"]

app = typer.Typer(help="Deploy or remove all services of a stage on AWS.", no_args_is_help=True)

LOCAL = "local"
_AT_ONCE = 2
_GRACE_S = 30
_LINES_SHOWN = 25

Stage = Annotated[str, typer.Option("--stage", help="Stage, such as dev or prod.")]
Region = Annotated[str | None, typer.Option("--region", help="Region; that of the environment unless given.")]
Names = Annotated[list[str] | None, typer.Argument(metavar="[SERVICE]...", help="All services unless named.")]
Folder = Annotated[Path, typer.Option("--services", metavar="DIR", help="Folder of the services.")]
_SERVICES = Path("services")


@dataclass(frozen=True)
class Outcome:
    """What became of a service.

    Attributes:
        service: its name.
        result: ``done``, ``failed`` or ``not begun``.
        printed: what the CLI printed.
    """

    service: str
    result: Literal["done", "failed", "not begun"]
    printed: str = ""


class Rollout:
    """One action on the services of a stage.

    Args:
        action: what the Serverless CLI is told to do.
        stage: the stage.
        region: the region, or None for the environment's.
        toolchain: what set-up installed.
        account_environment: the variables that say which account it is.
    """

    def __init__(
        self,
        action: Action,
        stage: str,
        region: str | None,
        toolchain: serverless.Toolchain,
        account_environment: Mapping[str, str],
    ) -> None:
        self._toolchain = toolchain
        self._arguments = [action, "--stage", stage, *(["--region", region] if region else [])]
        self._action = action
        self._environment = {**account_environment, **serverless.packaging_environment(toolchain)}
        self._running: set[subprocess.Popen[str]] = set()
        self._guard = threading.Lock()
        self._stopping = False

    def run(self, services: Sequence[Path], steps: Steps) -> list[Outcome]:
        """Act on services, the hub alone; where it fails, those that need it are not begun."""
        hub = [service for service in services if service.name == HUB]
        others = [service for service in services if service.name != HUB]
        outcomes: list[Outcome] = []
        for group in (hub, others) if self._action == "deploy" else (others, hub):
            if any(outcome.result != "done" for outcome in outcomes):
                outcomes += [Outcome(service.name, "not begun") for service in group]
                continue
            with concurrent.futures.ThreadPoolExecutor(_AT_ONCE) as pool:
                try:
                    outcomes += pool.map(lambda service: self._one(service, steps), group)
                except BaseException:
                    self._stop()
                    raise
        return outcomes

    def _one(self, service: Path, steps: Steps) -> Outcome:
        printed = ""
        try:
            with steps.step(f"sls {self._action} {service.name}"):
                printed, code = self._sls(service)
                if code != 0:
                    raise serverless.ServerlessError(f"exit code {code}")
        except serverless.ServerlessError:
            return Outcome(service.name, "failed", printed)
        return Outcome(service.name, "done", printed)

    def _sls(self, service: Path) -> tuple[str, int]:
        with self._guard:
            if self._stopping:
                return "stopped before it began", 1
            process = subprocess.Popen(
                serverless.command(self._toolchain, *self._arguments),
                cwd=service,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
            self._running.add(process)
        try:
            printed, _ = process.communicate()
        finally:
            with self._guard:
                self._running.discard(process)
        return printed, process.returncode

    def _stop(self) -> None:
        """End what runs; CloudFormation goes on with a stack that it has begun to change."""
        with self._guard:
            self._stopping = True
            running = list(self._running)
        for process in running:
            os.killpg(process.pid, signal.SIGTERM)
        for process in running:
            try:
                process.wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


@app.command()
def deploy(names: Names = None, *, stage: Stage, region: Region = None, services: Folder = _SERVICES) -> None:
    """Deploy the services of a stage: the hub, then the others side by side."""
    _act("deploy", names or [], stage, region, services)


@app.command()
def remove(
    names: Names = None,
    *,
    stage: Stage,
    confirm: Annotated[str | None, typer.Option("--confirm", metavar="STAGE", help="The stage, once more.")] = None,
    region: Region = None,
    services: Folder = _SERVICES,
) -> None:
    """Remove the services of a stage: the hub last. What holds data in prod is retained by its stack."""
    if confirm != stage:
        raise typer.BadParameter(f"say --confirm {stage} to remove the services of {stage}", param_hint="--confirm")
    _act("remove", names or [], stage, region, services)


def _act(action: Action, names: Sequence[str], stage: str, region: str | None, folder: Path) -> None:
    if stage == LOCAL:
        raise typer.BadParameter("the local cloud has commands of its own: `npm start`, `streamctl deploy`")
    try:
        with stoppable():
            code = _report(action, _chosen(folder, names), stage, region)
    except Stopped as stopped:
        typer.echo("Stopped. CloudFormation goes on with the stacks it has begun to change.", err=True)
        code = stopped.exit_code
    except (CloudError, serverless.ToolchainMissingError) as error:
        typer.echo(f"{error}", err=True)
        code = 1
    raise typer.Exit(code)


def _chosen(folder: Path, names: Sequence[str]) -> list[Path]:
    found = find_services(folder)
    unknown = set(names) - {service.name for service in found}
    if unknown:
        known = ", ".join(service.name for service in found)
        raise CloudError(f"There is no service {', '.join(sorted(unknown))} in {folder}; there are {known}.")
    return [service for service in found if not names or service.name in names]


def _report(action: Action, services: Sequence[Path], stage: str, region: str | None) -> int:
    from rich.table import Table

    console = console_for(as_json=False)
    rollout = Rollout(action, stage, region, serverless.find_toolchain(services[0]), os.environ)
    console.print(f"{action} {stage} in account {_account(region)}")
    with Steps(console) as steps:
        outcomes = rollout.run(services, steps)
    table = Table("service", "result", "seconds")
    for outcome in outcomes:
        if outcome.result == "failed":
            last = outcome.printed.splitlines()[-_LINES_SHOWN:]
            console.print(f"\n{outcome.service}:", *last, sep="\n", markup=False)
        seconds = steps.seconds.get(f"sls {action} {outcome.service}")
        table.add_row(outcome.service, outcome.result, "" if seconds is None else f"{seconds:.1f}")
    console.print(table)
    return 0 if all(outcome.result == "done" for outcome in outcomes) else 1


def _account(region: str | None) -> str:
    """The account that the environment's credentials belong to.

    Raises:
        CloudError: there are none, or they are not valid.
    """
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        client = boto3.client("sts", region_name=region or os.environ.get("AWS_REGION") or "us-east-1")
        return str(client.get_caller_identity()["Account"])
    except (BotoCoreError, ClientError) as error:
        raise CloudError(f"There is no AWS account to work on: {error}") from error


if __name__ == "__main__":
    app()
