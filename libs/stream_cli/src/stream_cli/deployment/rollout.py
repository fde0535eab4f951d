"""Deploys or removes services of a stage with the Serverless CLI.

The hub is deployed first and removed last, since the others use its outputs; the others go side by side.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from rich.table import Table

from stream_cli.deployment import serverless, stacks
from stream_cli.deployment.cli_errors import reason_in
from stream_cli.deployment.cold_starts import compiles_at_start
from stream_cli.deployment.services import HUB, stack_name
from stream_cli.deployment.stacks import Account, Resource
from stream_cli.errors import CommandError
from stream_cli.terminal.logs import tail
from stream_cli.terminal.options import LOCAL
from stream_cli.terminal.output import VisibleConsole, console_for, indented
from stream_cli.terminal.progress import Steps

Action = Literal["deploy", "remove"]
PlanT = TypeVar("PlanT", bound="DeploymentPlan")

# On AWS nearly all of the time is spent waiting for CloudFormation; the local cloud uses this machine's processors.
_AT_ONCE = 4
_AT_ONCE_LOCALLY = 2
_REMOVALS = 3
_POLL_S = 0.2
_CONTROL_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_KEPT = (
    "Kept, with their data. Before you deploy this stage again, delete these resources or import them into the stacks:"
)
# The CLI retains the versions of functions for as long as there are functions.
_FUNCTION_VERSION = "AWS::Lambda::Version"


class SlsFailed(CommandError):
    """The Serverless CLI ended with an error: ``exit_code``."""

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code


class Runner(Protocol):
    """Runs commands that do not outlive this process; `Supervisor` of the local cloud is one."""

    def log(self, name: str) -> Path: ...  # of the command ``name``

    def run(
        self,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        folder: Path,
        umask: int,
        cancelled: threading.Event,
    ) -> int: ...


class DeploymentPlan(Protocol):
    """How a service is deployed; see `Plan` of the local cloud."""

    unchanged_since: datetime | None
    code: Mapping[str, bytes]
    arguments: list[str]


class Deployments(Protocol[PlanT]):
    """Knows for certain what is deployed; `LocalDeployments` of the local cloud is one."""

    def alone(self, service: Path, keep_waiting: Callable[[], bool]) -> contextlib.AbstractContextManager[None]: ...

    def plan(self, service: Path) -> PlanT: ...

    def update_code(self, service: Path, plan: PlanT) -> None: ...

    def create(self, service: Path, plan: PlanT, go_on: Callable[[], bool]) -> bool: ...

    def deployed(self, service: Path, plan: PlanT) -> None: ...

    def end(self, plan: PlanT) -> None: ...


@dataclass
class Outcome:
    """What became of a service; ``not there`` is a stack that was to be removed and does not exist.

    ``unchanged`` is one that was deployed before from the same inputs.

    Attributes:
        seconds: how long it took, or None when it was not begun.
        reason: why it failed or was not begun.
        exit_code: of the Serverless CLI, where it failed.
    """

    service: str
    result: Literal["done", "unchanged", "failed", "stopped", "not begun", "not there"] = "not begun"
    seconds: float | None = None
    reason: str = ""
    exit_code: int | None = None

    @property
    def succeeded(self) -> bool:
        """Whether the service is in the state that the user asked for."""
        return self.result in {"done", "unchanged", "not there"}


class Rollout:
    """One action on services of a stage.

    Args:
        account: where the stacks of the stage are.
        runner: runs the Serverless CLI.
        params: of serverless.yml, for the Serverless CLI.
        packages: the folder of packages to deploy; None packages anew.
        stop_at_failure: whether to stop the other services when one fails.
        data: the buckets to empty before a service is removed, by the service's name.
        deployments: skips services that are deployed already; None deploys each.
    """

    def __init__(
        self,
        action: Action,
        stage: str,
        account: Account,
        toolchain: serverless.Toolchain,
        runner: Runner,
        *,
        params: Mapping[str, str] | None = None,
        packages: Path | None = None,
        stop_at_failure: bool = False,
        data: Mapping[str, list[str]] | None = None,
        deployments: Deployments[Any] | None = None,
    ) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self.notes: set[str | None] = set()
        self._action = action
        self._stage = stage
        self._account = account
        self._toolchain = toolchain
        self._runner = runner
        self._params = params or {}
        self._packages = packages
        self._stop_at_failure = stop_at_failure
        self._data = data or {}
        self._deployments = deployments if action == "deploy" and packages is None else None
        self._stopping = threading.Event()

    def run(self, services: Sequence[Path], steps: Steps) -> None:
        """Act on services; where the hub fails, the services that need it are not begun."""
        hub = [service for service in services if service.name == HUB]
        others = [service for service in services if service.name != HUB]
        self.outcomes = {service.name: Outcome(service.name) for service in services}
        for group in (hub, others) if self._action == "deploy" else (others, hub):
            failed = [outcome.service for outcome in self.outcomes.values() if outcome.result == "failed"]
            if failed:
                for service in group:
                    self.outcomes[service.name].reason = f"{', '.join(failed)} failed"
                continue
            with concurrent.futures.ThreadPoolExecutor(_AT_ONCE_LOCALLY if self._stage == LOCAL else _AT_ONCE) as pool:
                running = [pool.submit(self._act_on, service, steps) for service in group]
                try:
                    for finished in concurrent.futures.as_completed(running):
                        finished.result()
                except BaseException:
                    self._stopping.set()
                    for outcome in self.outcomes.values():
                        outcome.reason = outcome.reason or "stopped"
                    raise

    def _act_on(self, service: Path, steps: Steps) -> None:
        outcome = self.outcomes[service.name]
        if self._stopping.is_set():
            return
        started = time.monotonic()
        try:
            if self._action == "remove" and not stacks.exists(self._account, stack_name(service, self._stage)):
                outcome.result = "not there"
                return
            with steps.step(f"sls {self._action} {service.name}") as note:
                outcome.result = "done" if self._act(service, note) else "unchanged"
        except CommandError as error:
            outcome.result = "stopped" if self._stopping.is_set() else "failed"
            outcome.reason = str(error)
            outcome.exit_code = error.exit_code if isinstance(error, SlsFailed) else None
            if self._stop_at_failure:
                self._stopping.set()
        outcome.seconds = time.monotonic() - started

    def _act(self, service: Path, note: Callable[[str], None]) -> bool:
        """Deploy or remove a service; returns False where there was nothing to do."""
        buckets = self._data.get(service.name, [])
        attempts = 0
        while True:
            for bucket in buckets:
                stacks.empty(self._account, bucket, lambda: not self._stopping.is_set())
            code = self._run_sls(service, note)
            if not code:
                return code is not None
            attempts += 1
            # A delivery stream writes its buffer after its bucket was emptied, and the bucket cannot be deleted.
            if buckets and not self._stopping.is_set():
                buckets = stacks.buckets_to_empty(self._account, _resources_of(self._account, service, self._stage))
            else:
                buckets = []
            if not buckets or attempts == _REMOVALS:
                log = self._runner.log(self._name(service))
                raise SlsFailed(f"{reason_in(tail(log, 1000), service)}\n(all of it: {log})", code)

    def _run_sls(self, service: Path, note: Callable[[str], None]) -> int | None:
        """The exit code of the CLI; None where the service is deployed already."""

        def keep_waiting() -> bool:
            note("waiting for another deployment from this folder, or to this stack")
            return not self._stopping.wait(_POLL_S)

        # The CLI keeps its files in the service's folder.
        with serverless.alone_in(service, keep_waiting):
            if self._deployments is None:
                code = self._run_cli(service, note, [])
                if code == 0 and self._action == "deploy" and self._stage != LOCAL:
                    self.notes.add(compiles_at_start(self._folder_of(service)))
                return code
            with self._deployments.alone(service, keep_waiting):
                return self._run_planned(service, note, self._deployments)

    def _run_planned(self, service: Path, note: Callable[[str], None], deployments: Deployments[PlanT]) -> int | None:
        plan = deployments.plan(service)
        try:
            if plan.unchanged_since is not None:
                note(f"unchanged since {plan.unchanged_since.astimezone():%Y-%m-%d %H:%M:%S}")
                return None
            if plan.code:
                note(f"only code has changed, that of {', '.join(plan.code)}")
                deployments.update_code(service, plan)
                return 0
            if deployments.create(service, plan, lambda: not self._stopping.is_set()):
                note("from the package that was made before")
                return 0
            code = self._run_cli(service, note, plan.arguments)
            if code == 0:
                deployments.deployed(service, plan)
            return code
        finally:
            deployments.end(plan)

    def _run_cli(self, service: Path, note: Callable[[str], None], more: Sequence[str]) -> int:
        name = self._name(service)
        arguments = [self._action, "--stage", self._stage, "--region", self._account.region]
        arguments += [*serverless.parameters(self._params), *more]
        if self._packages is not None:
            arguments += ["--package", str(self._packages.resolve() / service.name)]
        with _last_line_noted(self._runner.log(name), note):
            return self._runner.run(
                name,
                serverless.command(
                    self._toolchain,
                    *arguments,
                    *(["--verbose"] if self._stage == LOCAL else []),
                    installs=self._action == "deploy",
                    bytecode=self._action == "deploy" and self._stage != LOCAL,
                ),
                environment={
                    **self._account.environment(),
                    **serverless.packaging_environment(self._toolchain),
                    **serverless.kept_installs(self._toolchain),
                    **serverless.kept_compiled(self._toolchain),
                },
                folder=service,
                umask=serverless.UMASK,
                cancelled=self._stopping,
            )

    def _folder_of(self, service: Path) -> Path:
        """The folder of the packages that are deployed."""
        return service / serverless.MADE_BY_THE_CLI if self._packages is None else self._packages / service.name

    def _name(self, service: Path) -> str:
        return f"{self._action}-{service.name}"


@contextlib.contextmanager
def _last_line_noted(log: Path, note: Callable[[str], None]) -> Iterator[None]:
    """Show the last line of a log beside its step, until the end."""
    ended = threading.Event()

    def show() -> None:
        while not ended.wait(_POLL_S):
            last = _CONTROL_SEQUENCE.sub("", tail(log, 1)).strip()
            if last and not last.startswith("("):
                note(last)

    showing = threading.Thread(target=show, daemon=True)
    showing.start()
    try:
        yield
    finally:
        ended.set()
        showing.join()
    note("")


def roll_out(
    action: Action,
    services: Sequence[Path],
    stage: str,
    account: Account,
    toolchain: serverless.Toolchain,
    runner: Runner,
    *,
    params: Mapping[str, str] | None = None,
    packages: Path | None = None,
    beside: Iterable[Path] = (),
    with_data: bool = False,
    deployments: Deployments[Any] | None = None,
) -> int:
    """Deploy or remove services and print a summary; returns the exit code: 0 when every service succeeded.

    Args as for `Rollout`, and:
        beside: other services that may use the hub; the hub is not removed before them.
        with_data: whether to empty buckets that are deleted with their stacks.

    Raises:
        CommandError: nothing was begun, and why.
    """
    console = console_for(as_json=False)
    console.print(f"{action} {stage} in {account.name}", soft_wrap=True)
    data: dict[str, list[str]] = {}
    kept: dict[str, list[Resource]] = {}
    if action == "remove":
        _refuse_to_remove_the_hub_alone(account, stage, services, beside)
        for service in services:
            resources = _resources_of(account, service, stage)
            kept[service.name] = [each for each in resources if each.is_retained and each.type != _FUNCTION_VERSION]
            if buckets := stacks.buckets_to_empty(account, resources):
                data[service.name] = buckets
        if data and not with_data:
            held = "\n".join(f"  {bucket}" for buckets in data.values() for bucket in buckets)
            raise CommandError(
                "Nothing was removed: these buckets hold data, and would be deleted with their stacks:\n"
                f"{held}\nTo delete every version of their objects, permanently, add --with-data."
            )
    rollout = Rollout(
        action,
        stage,
        account,
        toolchain,
        runner,
        params=params,
        packages=packages,
        data=data,
        deployments=deployments,
    )
    try:
        with Steps(console) as steps:
            rollout.run(services, steps)
    finally:
        _summarize(console, rollout.outcomes.values(), kept)
        for line in sorted(filter(None, rollout.notes)):
            console.print(line, soft_wrap=True)
    return 0 if all(outcome.succeeded for outcome in rollout.outcomes.values()) else 1


def _refuse_to_remove_the_hub_alone(
    account: Account, stage: str, services: Sequence[Path], beside: Iterable[Path]
) -> None:
    """Without the hub's outputs the CLI cannot read the other services' configuration, not even to remove them."""
    if not any(service.name == HUB for service in services):
        return
    left = [stack_name(service, stage) for service in beside if service not in services]
    standing = [stack for stack in left if stacks.exists(account, stack)]
    if standing:
        raise CommandError(f"Nothing was removed: {HUB} goes last, and these stacks exist: {', '.join(standing)}.")


def _resources_of(account: Account, service: Path, stage: str) -> list[Resource]:
    """The resources of a service; none where it has no stack."""
    stack = stack_name(service, stage)
    return stacks.resources_of(account, stack) if stacks.exists(account, stack) else []


def _summarize(console: VisibleConsole, outcomes: Iterable[Outcome], kept: Mapping[str, Sequence[Resource]]) -> None:
    left: list[Resource] = []
    table = Table("service", "result", "seconds")
    for outcome in outcomes:
        result: str = outcome.result
        if outcome.result == "failed":
            console.print()
            for line in indented(f"{outcome.service}: {outcome.reason}"):
                console.print(line, soft_wrap=True)
        elif outcome.result == "not begun":
            result = f"not begun: {outcome.reason}"
        table.add_row(outcome.service, result, "" if outcome.seconds is None else f"{outcome.seconds:.1f}")
        if outcome.result == "done":
            left += kept.get(outcome.service, [])
    console.print(table)
    if left:
        console.print(_KEPT, soft_wrap=True)
    for each in left:
        console.print(f"  {each.type} {each.physical_id}", soft_wrap=True)
