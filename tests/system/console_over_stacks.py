"""A local cloud with some stacks and its console, for pages in a browser."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from stream_cli.local.cloud import LocalCloud, running_emulator
from stream_cli.local.endpoint import without_aws_settings
from stream_cli.local.state import StateFolder

# Other tests keep all cores busy, and a console that gives way to them would answer after their end.
GIVES_NO_WAY = "from stream_cli.console import __main__ as console; console.give_way = lambda: None; console.main()"


def console_of(state: StateFolder) -> list[str]:
    """The command that serves the console of a state folder as fast as other processes."""
    return [sys.executable, "-c", GIVES_NO_WAY, "--state", str(state.root)]


@dataclass
class WithConsole:
    """A cloud with its console."""

    cloud: LocalCloud
    url: str

    def client(self, service: str) -> Any:
        return self.cloud.endpoint.client(service)


Running = TypeVar("Running", bound=WithConsole)


@contextlib.contextmanager
def console_over(
    made: Callable[[LocalCloud, str], Running],
    folder: Path,
    stacks: Mapping[str, Mapping[str, Any]],
    packages: Mapping[str, bytes],
    *,
    here: Path | None = None,
) -> Iterator[Running]:
    """Run a cloud with its console.

    Args:
        made: makes what is given.
        stacks: templates by the name of the service.
        packages: what templates find in the bucket ``deployments``.
        here: the current folder of the console.
    """  # fmt: skip
    with running_emulator(StateFolder(folder), None) as cloud:
        client = cloud.endpoint.client
        with contextlib.chdir(here or Path.cwd()):
            environment = without_aws_settings(os.environ) | cloud.endpoint.environment
            cloud.supervisor.start("console", console_of(cloud.state), environment=environment, needed=False)
        client("s3").create_bucket(Bucket="deployments")
        for key, package in packages.items():
            client("s3").put_object(Bucket="deployments", Key=key, Body=package)
        for name, template in stacks.items():
            client("cloudformation").create_stack(
                StackName=f"{name}-local", TemplateBody=json.dumps(template), Capabilities=["CAPABILITY_IAM"],
                Tags=[{"Key": "STAGE", "Value": "local"}],
            )  # fmt: skip
            client("cloudformation").get_waiter("stack_create_complete").wait(
                StackName=f"{name}-local", WaiterConfig={"Delay": 0.05}
            )
        url = cloud.console_url()
        assert url
        yield made(cloud, url)
