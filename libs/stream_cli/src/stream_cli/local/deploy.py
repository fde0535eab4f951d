"""Deploys services to the local cloud or to AWS, and removes them."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from stream_cli.deployment import serverless
from stream_cli.deployment.rollout import Action, Rollout, roll_out
from stream_cli.deployment.services import choose_services, find_services, services_below, stack_name
from stream_cli.deployment.stacks import Account, find_account, status_of
from stream_cli.errors import CommandError
from stream_cli.local.cloud import LocalCloud, attach
from stream_cli.local.endpoint import Endpoint, without_aws_settings
from stream_cli.local.processes import Supervisor
from stream_cli.local.state import StateFolder
from stream_cli.terminal.options import LOCAL
from stream_cli.terminal.output import print_line
from stream_cli.terminal.progress import Steps

NOTHING_RUNS = 3


def roll_out_stage(
    action: Action,
    names: Sequence[str],
    stage: str,
    *,
    region: str | None,
    state: StateFolder,
    services: Path,
    with_data: bool,
) -> int:
    """Deploy or remove services of a stage and print a summary; returns the exit code.

    Args:
        action: what to do.
        names: the services, by name or by folder; all unless named.
        stage: the stage.
        region: region of a stage on AWS, or None for the region of the environment.
        state: the state folder of the local cloud.
        services: the folder of the services.
        with_data: whether to empty buckets that are deleted with their stacks.

    Raises:
        CommandError: nothing was begun, and why.
    """
    chosen = choose_services(names, services)
    toolchain = serverless.find_toolchain(chosen[0])
    if stage == LOCAL:
        account, folder = local_account(attach(state), state, toolchain), state
    else:
        account, folder = find_account(stage, region), StateFolder(toolchain.root / ".build" / "rollout")
    beside = services_below(services)
    with Supervisor(folder) as runner:
        return roll_out(action, chosen, stage, account, toolchain, runner, beside=beside, with_data=with_data)


def show_stacks(stage: str, region: str | None, services: Path, as_json: bool) -> int:
    """Print the status of each service's stack in a stage on AWS; returns 0, or 3 when there is no stack.

    Raises:
        CommandError: there is no account, or CloudFormation gives no answer.
    """
    account = find_account(stage, region)
    names = [stack_name(service, stage) for service in find_services(services)]
    found = {name: status for name in names if (status := status_of(account, name))}
    if as_json:
        print_line(json.dumps({"running": bool(found), "stacks": found}))
    else:
        print_line(f"{stage} in {account.name}" if found else f"Nothing of {stage} is in {account.name}.")
        for name, status in found.items():
            print_line(f"  {name:<32} {status}")
    return 0 if found else NOTHING_RUNS


class DeploymentFailed(CommandError):
    """A deployment ended with an error; the text has the reason that sls gave, and the path of its log."""


def local_account(endpoint: Endpoint, state: StateFolder, toolchain: serverless.Toolchain) -> Account:
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
    rollout = Rollout("deploy", LOCAL, account, toolchain, cloud.supervisor, stop_at_failure=True)
    rollout.run(services, steps)
    for outcome in rollout.outcomes.values():
        if outcome.result == "failed" and outcome.exit_code is None:
            raise CommandError(outcome.reason)
        if outcome.result == "failed":
            raise DeploymentFailed(
                f"sls deploy of {outcome.service} failed (exit code {outcome.exit_code}):\n{outcome.reason}"
            )
