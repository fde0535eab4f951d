"""Deploys services to the local cloud or to AWS, and removes them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stream_cli.deployment import serverless
from stream_cli.deployment.packages import check_packages
from stream_cli.deployment.production import ask_before
from stream_cli.deployment.rollout import Action, Rollout, roll_out
from stream_cli.deployment.services import (
    choose_services,
    find_services,
    services_below,
    services_of_cloud,
    stack_name,
)
from stream_cli.deployment.stacks import Account, find_account, status_of
from stream_cli.errors import CommandError
from stream_cli.local.cloud import LocalCloud, attach, running_emulator
from stream_cli.local.deployed import LocalDeployments
from stream_cli.local.endpoint import LocalEndpoint, without_aws_settings
from stream_cli.local.lambda_python import python_of
from stream_cli.local.processes import Supervisor
from stream_cli.local.state import StateFolder
from stream_cli.terminal.options import LOCAL
from stream_cli.terminal.output import say, say_json
from stream_cli.terminal.progress import Steps

NOTHING_RUNS = 3


def roll_out_stage(
    action: Action,
    names: Sequence[str],
    stage: str,
    state: StateFolder,
    *,
    region: str | None,
    services: Path,
    params: Mapping[str, str] | None = None,
    with_data: bool = False,
    yes: bool = False,
    packages: Path | None = None,
    digest: str | None = None,
    fresh: bool = False,
) -> int:
    """Deploy or remove the named services of a stage, or all, and print a summary; returns the exit code.

    Args:
        packages: the folder of packages to deploy, instead of packaging now.
        digest: what the packages must have.
        fresh: deploy also what has not changed since it was deployed to the local cloud.

    Raises:
        CommandError: nothing was begun, and why.
    """
    chosen = choose_services(names, services)
    toolchain = serverless.find_toolchain(chosen[0])
    deployments = None
    if stage == LOCAL:
        endpoint = attach(state)
        account, folder = local_account(endpoint, state, toolchain), state
        deployments = LocalDeployments(endpoint, account, toolchain, state.temporary, params or {}, fresh=fresh)
    else:
        account, folder = find_account(stage, region), StateFolder(toolchain.root / ".build" / "rollout")
        what = f"{action} {', '.join(service.name for service in chosen)}"
        ask_before(what, stage, lambda: account.name, chosen, yes=yes)
    if packages is not None:
        number = str(account.client("sts").get_caller_identity()["Account"])
        check_packages(packages, stage, number, account.region, digest)
    beside = services_below(services)
    with Supervisor(folder) as runner:
        return roll_out(
            action,
            chosen,
            stage,
            account,
            toolchain,
            runner,
            params=params,
            packages=packages,
            beside=beside,
            with_data=with_data,
            deployments=deployments,
        )


def show_stacks(stage: str, region: str | None, services: Path, as_json: bool) -> int:
    """Print the status of each service's stack in a stage on AWS; returns 0, or 3 when there is no stack.

    Raises:
        CommandError: there is no account, or CloudFormation gives no answer.
    """
    account = find_account(stage, region)
    names = [stack_name(service, stage) for service in find_services(services)]
    found = {name: status for name in names if (status := status_of(account, name))}
    if as_json:
        say_json({"running": bool(found), "stacks": found})
    else:
        say(f"{stage} in {account.name}" if found else f"Nothing of {stage} is in {account.name}.")
        for name, status in found.items():
            say(f"  {name:<32} {status}")
    return 0 if found else NOTHING_RUNS


class DeploymentFailed(CommandError):
    """A deployment ended with an error; the text has the reason that sls gave, and the path of its log."""


def local_account(endpoint: LocalEndpoint, state: StateFolder, toolchain: serverless.Toolchain) -> Account:
    """The local cloud as an account to deploy to."""
    environment = {
        **serverless.environment(
            toolchain, endpoint.url, region=endpoint.region, inherited=without_aws_settings(os.environ)
        ),
        "TMPDIR": str(state.temporary),
    }
    return Account(f"the local cloud at {endpoint.url}", endpoint.region, endpoint.client, lambda: environment)


def deploy(cloud: LocalCloud, services: Sequence[Path], steps: Steps) -> None:
    """Deploy services to a new cloud; when one fails, the others are stopped.

    Raises:
        DeploymentFailed: one failed.
        CommandError: the toolchain is not installed, or a process of the cloud has died.
    """
    toolchain = serverless.find_toolchain(services[0])
    account = local_account(cloud.endpoint, cloud.state, toolchain)
    deployments = LocalDeployments(cloud.endpoint, account, toolchain, cloud.state.temporary, {})
    rollout = Rollout(
        "deploy", LOCAL, account, toolchain, cloud.supervisor, stop_at_failure=True, deployments=deployments
    )
    rollout.run(services, steps)
    for outcome in rollout.outcomes.values():
        if outcome.result == "failed" and outcome.exit_code is None:
            raise CommandError(outcome.reason)
        if outcome.result == "failed":
            raise DeploymentFailed(
                f"sls deploy of {outcome.service} failed (exit code {outcome.exit_code}):\n{outcome.reason}"
            )


def start_cloud(
    running: contextlib.ExitStack,
    state: StateFolder,
    port: int | None,
    services: Path,
    steps: Steps,
    launched_by: Sequence[Mapping[str, Any]] = (),
    *,
    with_console: bool = True,
    names: Sequence[str] = (),
    iam: bool = True,
    kept: bool = False,
    fresh: bool = False,
) -> LocalCloud:
    """Start everything up to the deployed services, all of them or those of ``names``; ``running`` ends it.

    With ``iam``, policies are enforced. With ``kept``, the state is kept, and what was kept is gone on with, unless
    ``fresh``.

    Raises:
        CommandError: a part could not be started or deployed.
    """
    found = services_of_cloud(names, services)
    with steps.step("Start ministack") as note:
        cloud = running.enter_context(running_emulator(state, port, launched_by, iam=iam, kept=kept, fresh=fresh))
        note(cloud.endpoint.url)
    if with_console:
        cloud.begin_console()
    deploy(cloud, found, steps)
    steps.say(python_of(cloud.endpoint.client("lambda")))
    cloud.begin_deliveries()
    cloud.begin_mappings()
    with steps.step("Start delivery from bus rules to streams"):
        cloud.wait_for_deliveries()
    with steps.step("Start the mapping engine"):
        cloud.wait_for_mappings()
    return cloud
