"""Deploys or removes all services of a stage on AWS with the Serverless CLI: `npm run deploy`, `npm run remove`.

The hub is deployed first and removed last, since the others use its outputs; the others go side by side, and one that
fails leaves the others to end. Which account it is follows from the environment, as for every AWS tool; nothing is
changed anywhere before the account was named and, for a removal, the stage was said twice.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from stream_cli.deployment import serverless, stacks
from stream_cli.deployment.services import HUB, find_services
from stream_cli.deployment.stacks import Account, Resource, find_account, stack_name
from stream_cli.errors import CommandError
from stream_cli.terminal.logs import tail
from stream_cli.terminal.progress import Steps, console_for
from stream_cli.terminal.signals import Stopped, stoppable

Action = Literal["deploy", "remove"]

app = typer.Typer(help="Deploy or remove all services of a stage on AWS.", no_args_is_help=True)

LOCAL = "local"
_AT_ONCE = 4  # nearly all of it is waiting for CloudFormation
_GRACE_S = 30
_REMOVALS = 3
_POLL_S = 0.2
_LINES_SHOWN = 25
_KEPT = "Kept, with what they hold. Before this stage is deployed again, delete them or import them into its stacks:"
# The CLI retains the versions of functions for as long as there are functions.
_GOES_WITH_ANOTHER = "AWS::Lambda::Version"
# It is a part of the names of buckets.
_STAGE = re.compile(r"[a-z][a-z0-9-]*")

Stage = Annotated[str, typer.Option("--stage", help="Stage, such as dev or prod.")]
Region = Annotated[str | None, typer.Option("--region", help="Region; that of the environment unless given.")]
Names = Annotated[list[str] | None, typer.Argument(metavar="[SERVICE]...", help="All services unless named.")]
Folder = Annotated[Path, typer.Option("--services", metavar="DIR", help="Folder of the services.")]
_SERVICES = Path("services")


@dataclass
class Outcome:
    """What became of a service.

    Attributes:
        service: its name.
        result: what happened; ``not there`` is a stack that was to be removed and does not exist.
        seconds: how long it took, where it was begun.
        reason: why it failed or was not begun.
    """

    service: str
    result: Literal["done", "failed", "stopped", "not begun", "not there"] = "not begun"
    seconds: float | None = None
    reason: str = ""

    @property
    def is_well(self) -> bool:
        """Whether the service is as it was asked for."""
        return self.result in {"done", "not there"}


class Rollout:
    """One action on the services of a stage.

    Args:
        action: what the Serverless CLI is told to do.
        stage: the stage.
        account: where.
        toolchain: what set-up installed.
        data: the buckets to empty before a service is removed, by its name.
    """

    def __init__(
        self,
        action: Action,
        stage: str,
        account: Account,
        toolchain: serverless.Toolchain,
        data: dict[str, list[str]],
    ) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self._action = action
        self._stage = stage
        self._account = account
        self._toolchain = toolchain
        self._data = data
        self._running: set[subprocess.Popen[bytes]] = set()
        self._guard = threading.Lock()
        self._stopping = threading.Event()

    def run(self, services: Sequence[Path], steps: Steps) -> None:
        """Act on services, the hub alone; where it fails, those that need it are not begun."""
        hub = [service for service in services if service.name == HUB]
        others = [service for service in services if service.name != HUB]
        self.outcomes = {service.name: Outcome(service.name) for service in services}
        for group in (hub, others) if self._action == "deploy" else (others, hub):
            failed = [outcome.service for outcome in self.outcomes.values() if outcome.result == "failed"]
            if failed:
                for service in group:
                    self.outcomes[service.name].reason = f"{', '.join(failed)} failed"
                continue
            with concurrent.futures.ThreadPoolExecutor(_AT_ONCE) as pool:
                running = [pool.submit(self._one, service, steps) for service in group]
                try:
                    for finished in concurrent.futures.as_completed(running):
                        finished.result()
                except BaseException:
                    for waiting in running:
                        waiting.cancel()
                    self._stop()
                    for outcome in self.outcomes.values():
                        outcome.reason = outcome.reason or "stopped"
                    raise

    def _one(self, service: Path, steps: Steps) -> None:
        outcome = self.outcomes[service.name]
        started = time.monotonic()
        try:
            if self._action == "remove" and not stacks.stands(self._account, stack_name(service, self._stage)):
                outcome.result = "not there"
                return
            with steps.step(f"sls {self._action} {service.name}"):
                self._act(service)
            outcome.result = "done"
        except (CommandError, serverless.ServerlessError) as error:
            outcome.result = "stopped" if self._stopping.is_set() else "failed"
            outcome.reason = str(error)
        outcome.seconds = time.monotonic() - started

    def _act(self, service: Path) -> None:
        buckets = self._data.get(service.name, [])
        for attempt in range(1, _REMOVALS + 1):
            for bucket in buckets:
                stacks.empty(self._account, bucket, lambda: not self._stopping.is_set())
            # The CLI keeps its files in the service's folder.
            with serverless.alone_in(service, lambda: not self._stopping.wait(_POLL_S)):
                code = self._sls(service)
            if code == 0:
                return
            # A delivery stream writes what it still held after its bucket was emptied, and the bucket cannot go.
            buckets = self._filled_again(service) if buckets and not self._stopping.is_set() else []
            if not buckets or attempt == _REMOVALS:
                raise serverless.ServerlessError(f"{_said(self._log(service))}\n(all of it: {self._log(service)})")

    def _filled_again(self, service: Path) -> list[str]:
        stack = stack_name(service, self._stage)
        if not stacks.stands(self._account, stack):
            return []
        return stacks.buckets_to_empty(self._account, stacks.resources_of(self._account, stack))

    def _sls(self, service: Path) -> int:
        arguments = (self._action, "--stage", self._stage, "--region", self._account.region)
        log = self._log(service)
        log.parent.mkdir(exist_ok=True)
        environment = {**self._account.environment(), **serverless.packaging_environment(self._toolchain)}
        with self._guard:
            if self._stopping.is_set():
                raise serverless.ServerlessError("stopped before it began")
            with log.open("wb") as output:
                process = subprocess.Popen(
                    serverless.command(self._toolchain, *arguments),
                    cwd=service,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    umask=serverless.UMASK,
                )
            self._running.add(process)
        try:
            return process.wait()
        finally:
            with self._guard:
                self._running.discard(process)

    def _log(self, service: Path) -> Path:
        return self._toolchain.root / ".build" / "rollout" / f"{self._action}-{service.name}.log"

    def _stop(self) -> None:
        """End what runs; CloudFormation goes on with a stack that it has begun to change."""
        with self._guard:
            self._stopping.set()
            running = list(self._running)
        for process in running:
            _signal(process, signal.SIGTERM)
        for process in running:
            try:
                process.wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                _signal(process, signal.SIGKILL)


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _said(log: Path) -> str:
    """Why the CLI failed, in its own words: what stands under its last ``Error:``, or else the end of what it said."""
    text = tail(log, 1000).rstrip()
    _, found, reason = text.rpartition("\nError:\n")
    lines = (reason if found else text).strip().splitlines()
    return "\n".join(lines[:_LINES_SHOWN] if found else lines[-_LINES_SHOWN:])


@app.command()
def deploy(names: Names = None, *, stage: Stage, region: Region = None, services: Folder = _SERVICES) -> None:
    """Deploy the services of a stage: the hub, then the others side by side."""
    _begin("deploy", names or [], stage, region, services, with_data=False)


@app.command()
def remove(
    names: Names = None,
    *,
    stage: Stage,
    confirm: Annotated[str | None, typer.Option("--confirm", metavar="STAGE", help="The stage, once more.")] = None,
    with_data: Annotated[
        bool, typer.Option("--with-data", help="Empty the buckets that go with their stacks, every version, for good.")
    ] = False,
    region: Region = None,
    services: Folder = _SERVICES,
) -> None:
    """Remove the services of a stage: the hub last. What holds data in prod stays, and is named at the end."""
    if confirm != stage:
        raise typer.BadParameter(f"say --confirm {stage} to remove the services of {stage}", param_hint="--confirm")
    _begin("remove", names or [], stage, region, services, with_data=with_data)


def _begin(
    action: Action, names: Sequence[str], stage: str, region: str | None, folder: Path, *, with_data: bool
) -> None:
    if stage == LOCAL:
        raise typer.BadParameter(
            "the local cloud has commands of its own: `npm start`, `npm run streamctl -- up` and `down`",
            param_hint="--stage",
        )
    if not _STAGE.fullmatch(stage):
        raise typer.BadParameter(
            f"{stage!r} names no stage: small letters, digits and hyphens, a letter first", param_hint="--stage"
        )
    try:
        with stoppable():
            code = _roll_out(action, names, stage, region, folder, with_data=with_data)
    except Stopped as stopped:
        typer.echo("Stopped. CloudFormation goes on with the stacks it has begun to change.", err=True)
        code = stopped.exit_code
    except (CommandError, serverless.ToolchainMissingError) as error:
        typer.echo(f"{error}", err=True)
        code = 1
    raise typer.Exit(code)


def _roll_out(
    action: Action, names: Sequence[str], stage: str, region: str | None, folder: Path, *, with_data: bool
) -> int:
    found = find_services(folder)
    chosen = _chosen(found, names, folder)
    toolchain = serverless.find_toolchain(chosen[0])
    account = find_account(stage, region)
    console = console_for(as_json=False)
    console.print(f"{action} {stage} in account {account.number}, {account.region}", highlight=False)
    data: dict[str, list[str]] = {}
    kept: dict[str, list[Resource]] = {}
    if action == "remove":
        _refuse_to_remove_the_hub_alone(account, stage, found, chosen)
        made_of = _made_of(account, stage, chosen)
        kept = {
            service: [each for each in resources if each.is_retained and each.type != _GOES_WITH_ANOTHER]
            for service, resources in made_of.items()
        }
        held_by = {service: stacks.buckets_to_empty(account, resources) for service, resources in made_of.items()}
        data = {service: buckets for service, buckets in held_by.items() if buckets}
        if data and not with_data:
            held = "\n".join(f"  {bucket}" for buckets in data.values() for bucket in buckets)
            raise CommandError(
                "Nothing was removed: these buckets would go with their stacks, and hold data:\n"
                f"{held}\nSay --with-data to empty them, every version, for good."
            )
    rollout = Rollout(action, stage, account, toolchain, data)
    try:
        with Steps(console) as steps:
            rollout.run(chosen, steps)
    finally:
        _summarize(console, rollout.outcomes.values(), kept)
    return 0 if all(outcome.is_well for outcome in rollout.outcomes.values()) else 1


def _chosen(found: Sequence[Path], names: Sequence[str], folder: Path) -> list[Path]:
    unknown = set(names) - {service.name for service in found}
    if unknown:
        known = ", ".join(service.name for service in found)
        raise CommandError(f"There is no service {', '.join(sorted(unknown))} in {folder}; there are {known}.")
    return [service for service in found if not names or service.name in names]


def _refuse_to_remove_the_hub_alone(
    account: Account, stage: str, found: Sequence[Path], chosen: Sequence[Path]
) -> None:
    """Without the hub's outputs the CLI can no longer read the others' serverless.yml, not even to remove them."""
    if not any(service.name == HUB for service in chosen):
        return
    left = [stack_name(service, stage) for service in found if service not in chosen]
    standing = [stack for stack in left if stacks.stands(account, stack)]
    if standing:
        raise CommandError(f"Nothing was removed: {HUB} goes last, and there still is {', '.join(standing)}.")


def _made_of(account: Account, stage: str, services: Iterable[Path]) -> dict[str, list[Resource]]:
    """What there is of each service that has a stack."""
    names = {service.name: stack_name(service, stage) for service in services}
    return {
        service: stacks.resources_of(account, stack)
        for service, stack in names.items()
        if stacks.stands(account, stack)
    }


def _summarize(console: Console, outcomes: Iterable[Outcome], kept: Mapping[str, Sequence[Resource]]) -> None:
    from rich.table import Table

    left: list[Resource] = []
    table = Table("service", "result", "seconds")
    for outcome in outcomes:
        result: str = outcome.result
        if outcome.result == "failed":
            console.print(f"\n{outcome.service}: {outcome.reason}", markup=False, highlight=False, soft_wrap=True)
        elif outcome.result == "not begun":
            result = f"not begun: {outcome.reason}"
        table.add_row(outcome.service, result, "" if outcome.seconds is None else f"{outcome.seconds:.1f}")
        if outcome.result == "done":
            left += kept.get(outcome.service, [])
    console.print(table)
    if left:
        console.print(_KEPT, highlight=False, soft_wrap=True)
    for each in left:
        console.print(f"  {each.type} {each.physical_id}", markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    app()
