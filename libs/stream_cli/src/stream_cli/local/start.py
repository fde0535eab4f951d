"""Starts a local cloud with services deployed to it, and says how to reach it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stream_cli.deployment.services import find_services
from stream_cli.deployment.stacks import outputs_by_stack
from stream_cli.local.cloud import LocalCloud, running_emulator
from stream_cli.local.deploy import deploy
from stream_cli.local.endpoint import Endpoint
from stream_cli.local.state import StateFolder
from stream_cli.terminal.progress import Steps


def start_cloud(
    running: contextlib.ExitStack,
    state: StateFolder,
    port: int | None,
    services: Path,
    steps: Steps,
    launched_by: Sequence[Mapping[str, Any]] = (),
) -> LocalCloud:
    """Start everything up to the deployed services; ``running`` ends it.

    Raises:
        CommandError: a part could not be started or deployed.
    """
    found = find_services(services)
    with steps.step("Start ministack") as note:
        cloud = running.enter_context(running_emulator(state, port, launched_by))
        note(cloud.endpoint.url)
    deploy(cloud, found, steps)
    with steps.step("Start delivery from bus rules to streams"):
        cloud.start_deliveries()
    with steps.step("Start the mapping engine"):
        cloud.start_mappings()
    return cloud


def reached(endpoint: Endpoint, tries: Sequence[str]) -> str:
    """How to reach the cloud, for people, with commands to try in a second terminal."""
    lines = [f"Endpoint: {endpoint.url}", "With these lines aws, boto3 and sls reach it:"]
    lines += [f"  {line}" for line in endpoint.shell_lines()]
    if tries:
        lines += ["Try, in a second terminal:", *(f"  {each}" for each in tries)]
    return "\n".join(lines)


def tries_of(endpoint: Endpoint) -> list[str]:
    """Commands to try: one for each HTTP API and each bus that a deployed stack has among its outputs."""
    found = []
    for outputs in outputs_by_stack(endpoint.client("cloudformation")).values():
        if "HttpApiId" in outputs:
            host = f"{outputs['HttpApiId']}.execute-api.localhost:{endpoint.port}"
            found.append(f"curl -H 'Host: {host}' {endpoint.url}/")
        if "busName" in outputs:
            found.append(f"aws events list-rules --event-bus-name {outputs['busName']}")
    return found
