"""How to reach a local cloud: its address, variables for other tools, and AWS clients.

Each process of the cloud imports this, so what only commands need is imported where it is called.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from stream_cli.deployment.proxies import proxy_for_pip, unset_proxies, without_proxies
from stream_cli.deployment.stacks import outputs_by_stack
from stream_cli.errors import CommandError
from stream_cli.mappings.role_keys import Keys

# The emulator's one account, 000000000000. AWS would refuse this key.
ACCESS_KEY = "test"
REGION = "us-east-1"


@dataclass(frozen=True)
class LocalEndpoint:
    """A local cloud's port and region. The address is an IP, so that S3 requests name the bucket in the path."""

    port: int
    region: str = REGION

    @property
    def url(self) -> str:
        """The address of every AWS API."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which ``aws``, boto3 and ``sls`` reach this cloud, and nothing else."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": ACCESS_KEY,
        }

    def shell_lines(self) -> list[str]:
        """Lines for a shell in which ``aws``, boto3 and ``sls`` reach this cloud and ``sls`` can package."""
        from stream_cli.deployment import serverless

        variables = {
            **self.environment,
            **serverless.packaging_environment(serverless.find_toolchain()),
            **proxy_for_pip(os.environ),
            # sls invoke local runs the Python of the active virtual environment, which has what the services import.
            "VIRTUAL_ENV": sys.prefix,
        }
        # In the SDK that sls uses, a profile takes precedence over keys.
        return [
            " ".join(["unset AWS_PROFILE AWS_SESSION_TOKEN", *unset_proxies(os.environ)]),
            *serverless.exports(variables),
        ]

    def get(self, path: str) -> tuple[int, bytes]:
        """What the emulator itself answers at a path: status and body.

        Raises:
            OSError: it does not answer.
        """
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10.0)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def api_host(self, api_id: str) -> str:
        """The Host header that names a deployed HTTP API; the address of a request to it stays `url`."""
        return f"{api_id}.execute-api.localhost:{self.port}"

    def client(self, service: str, *, read_timeout_s: float = 60.0, attempts: int = 4, keys: Keys | None = None) -> Any:
        """A boto3 client for this cloud, whatever the caller's own AWS configuration says.

        Args:
            service: as boto3 names it.
            read_timeout_s: for each wait for bytes.
            attempts: at a call, the first included.
            keys: of the session of a role; without them, the caller is the account's administrator.
        """
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
            return _session(self.region, keys).client(service, endpoint_url=self.url, config=config)


class OwnEndpoint(LocalEndpoint):
    """The local cloud for a process of its own, whose environment is `environment`: most calls are lean ones."""

    def client(self, service: str, *, read_timeout_s: float = 60.0, attempts: int = 4, keys: Keys | None = None) -> Any:
        """A client that is called as boto3's, at half the cost; a call that it makes itself is not repeated."""
        from stream_runtime.aws.lean import LeanClient
        from stream_runtime.aws.sigv4 import Credentials

        through_boto3 = functools.partial(
            super().client, service, read_timeout_s=read_timeout_s, attempts=attempts, keys=keys
        )
        credentials = None if keys is None else Credentials(*keys)
        return LeanClient(
            service, functools.cache(through_boto3), credentials=credentials, read_timeout_s=read_timeout_s
        )


_MAKING_CLIENTS = threading.Lock()


@functools.lru_cache(64)
def _session(region: str, keys: Keys | None = None) -> Any:
    """The session of a region. It reads the definition of each service once, which is most of the work of a client."""
    import boto3

    key, secret, token = keys or (ACCESS_KEY, ACCESS_KEY, None)
    return boto3.session.Session(key, secret, token, region)


def for_the_local_cloud(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment in which a child reaches neither a real account nor a proxy."""
    return without_proxies(without_aws_settings(environment))


def without_aws_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment in which no child reaches a real account: without AWS variables and profiles."""
    return {
        **{name: value for name, value in environment.items() if not name.startswith("AWS_")},
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def stack_output(endpoint: LocalEndpoint, stack: str, name: str) -> str:
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


def how_to_reach(endpoint: LocalEndpoint, state: Path, tries: Sequence[str], console: str | None = None) -> list[str]:
    """How people reach the cloud of a state folder, its console, and commands to try in a second terminal."""
    from stream_cli.terminal.output import shell_word

    command = (str(Path(sys.prefix, "bin", "streamctl")), "env", "--state", str(state))
    streamctl = " ".join(map(shell_word, command))
    lines = [
        *([f"Console:  {console}"] if console else []),
        f"Endpoint: {endpoint.url}",
        "With this line in a second terminal, aws, boto3 and sls reach it:",
        f'  eval "$({streamctl})"',
    ]
    if tries:
        lines += ["Then try:", *(f"  {each}" for each in tries)]
    return lines


def tries_for(endpoint: LocalEndpoint) -> list[str]:
    """Commands to try: one for each HTTP API and each bus in the outputs of the deployed stacks."""
    found = []
    for outputs in outputs_by_stack(endpoint.client("cloudformation")).values():
        if "HttpApiId" in outputs:
            found.append(f"curl -H 'Host: {endpoint.api_host(outputs['HttpApiId'])}' {endpoint.url}/")
        if "busName" in outputs:
            found.append(f"aws events list-rules --event-bus-name {outputs['busName']}")
    return found
