"""Deploys services to a local cloud with the real Serverless CLI: the hub first, then the others, two at a time."""

from __future__ import annotations

import concurrent.futures
import os
import re
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from stream_cli.deployment import serverless
from stream_cli.deployment.services import HUB
from stream_cli.errors import CommandError
from stream_cli.local.cloud import LocalCloud
from stream_cli.local.endpoint import without_aws_settings
from stream_cli.terminal.logs import tail
from stream_cli.terminal.progress import Steps

STAGE = "local"
_AT_ONCE = 2
_LOCK_POLL_S = 0.2
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class DeploymentFailed(CommandError):
    """A deployment ended with an error; the text has the end of what sls said, and where all of it is."""


def deploy(cloud: LocalCloud, services: Sequence[Path], steps: Steps) -> None:
    """Run ``sls deploy`` for each service; the hub alone and first, the others two at a time.

    Raises:
        DeploymentFailed: one failed; the others were stopped.
        CommandError: the toolchain is not installed.
    """
    try:
        toolchain = serverless.find_toolchain(services[0])
    except serverless.ToolchainMissingError as error:
        raise CommandError(str(error)) from error
    cancelled = threading.Event()

    def one(service: Path) -> None:
        with steps.step(f"sls deploy {service.name}") as note:
            _deploy_one(cloud, toolchain, service, note, cancelled)

    first = [service for service in services if service.name == HUB]
    others = [service for service in services if service.name != HUB]
    for service in first:
        one(service)
    with concurrent.futures.ThreadPoolExecutor(_AT_ONCE) as pool:
        running = [pool.submit(one, service) for service in others]
        try:
            for finished in concurrent.futures.as_completed(running):
                finished.result()
        except BaseException:
            cancelled.set()
            for waiting in running:
                waiting.cancel()
            raise


def _deploy_one(
    cloud: LocalCloud,
    toolchain: serverless.Toolchain,
    service: Path,
    note: Callable[[str], None],
    cancelled: threading.Event,
) -> None:
    name = f"deploy-{service.name}"
    log = cloud.state.log(name)
    environment = {
        **serverless.environment(
            toolchain,
            cloud.endpoint.url,
            region=cloud.endpoint.region,
            inherited=without_aws_settings(os.environ),
        ),
        "TMPDIR": str(cloud.state.temporary),
    }
    finished = threading.Event()
    watching = threading.Thread(target=_show_last_line, args=(log, note, finished), daemon=True)
    watching.start()

    def keep_waiting() -> bool:
        note("waiting for another deployment from this folder")
        if cancelled.wait(_LOCK_POLL_S):
            raise CommandError(f"deploying {service.name} was stopped")
        return True

    try:
        with serverless.alone_in(service, keep_waiting):
            code = cloud.supervisor.run(
                name,
                serverless.command(
                    toolchain, "deploy", "--stage", STAGE, "--region", cloud.endpoint.region, "--verbose"
                ),
                environment=environment,
                folder=service,
                cancelled=cancelled,
            )
    finally:
        finished.set()
        watching.join()
    if code != 0:
        raise DeploymentFailed(
            f"sls deploy of {service.name} failed (exit code {code}). All it said is in {log}; its end:\n{tail(log)}"
        )
    note("")


def _show_last_line(log: Path, note: Callable[[str], None], finished: threading.Event) -> None:
    while not finished.wait(0.2):
        lines = _CONTROL.sub("", tail(log, 1)).strip().splitlines()
        if lines and not lines[0].startswith("("):
            note(lines[-1].strip())
