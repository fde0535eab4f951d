"""How to reach a local cloud: its endpoint, and AWS clients for it."""

from __future__ import annotations

import functools
import shlex
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stream_cli.deployment.stacks import outputs_by_stack
from stream_cli.errors import CommandError

# What the emulator takes for its one account, 000000000000. Nothing secret, and nothing that AWS would accept.
ACCESS_KEY = "test"
REGION = "us-east-1"


@dataclass(frozen=True)
class Endpoint:
    """A local cloud's address and region. The address is an IP, so that S3 requests name the bucket in the path."""

    port: int
    region: str = REGION

    @property
    def url(self) -> str:
        """Address of every AWS API."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which ``aws``, boto3 and ``sls`` reach this cloud, and no other."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": ACCESS_KEY,
        }

    def shell_lines(self) -> list[str]:
        """Lines for a shell in which ``aws``, boto3, ``sls invoke`` and ``sls invoke local`` reach this cloud."""
        variables = {
            **self.environment,
            # sls invoke local runs the Python of the active virtual environment, where the services' imports are.
            "VIRTUAL_ENV": sys.prefix,
        }
        exports = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
        # A profile would win over the keys in the SDK that sls uses.
        return ["unset AWS_PROFILE AWS_SESSION_TOKEN", *exports]

    def client(self, service: str, *, read_timeout_s: float = 60.0, attempts: int = 4) -> Any:
        """A boto3 client for this cloud, whatever the caller's own AWS configuration says."""
        from botocore.config import Config

        config = Config(
            connect_timeout=5.0,
            read_timeout=read_timeout_s,
            retries={"mode": "standard", "total_max_attempts": attempts},
            max_pool_connections=16,
            proxies={},
        )
        # Clients may be used from many threads, but a session makes one at a time.
        with _MAKING_CLIENTS:
            return _session(self.region).client(service, endpoint_url=self.url, config=config)


_MAKING_CLIENTS = threading.Lock()


@functools.cache
def _session(region: str) -> Any:
    """The session of a region: it reads the definition of each service once, which is most of the work of a client."""
    import boto3

    return boto3.session.Session(aws_access_key_id=ACCESS_KEY, aws_secret_access_key=ACCESS_KEY, region_name=region)


def without_aws_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment without anything that could lead a child to a real account: no AWS variables, no profile."""
    return {
        **{name: value for name, value in environment.items() if not name.startswith("AWS_")},
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def stack_output(endpoint: Endpoint, stack: str, name: str) -> str:
    """An output of a deployed stack.

    Raises:
        CommandError: the stack or the output does not exist.
    """
    outputs = outputs_by_stack(endpoint.client("cloudformation")).get(stack)
    if outputs is None:
        raise CommandError(f"The stack {stack} is not deployed. Deploy with `streamctl up`.")
    if name not in outputs:
        raise CommandError(f"The stack {stack} has no output {name}; it has {', '.join(sorted(outputs)) or 'none'}.")
    return outputs[name]
