"""The deployed functions of a service: what their processes get, and their packages."""

from __future__ import annotations

import http.client
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stream_cli.deployment.services import stack_name
from stream_cli.errors import CommandError
from stream_cli.local.endpoint import LocalEndpoint
from stream_cli.local.plain_requests import PlainRequests
from stream_cli.terminal.options import LOCAL

_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class DevFunction:
    """A function as it is deployed to the local cloud.

    Attributes:
        name: of the function, with service and stage.
        short_name: as in serverless.yml.
        environment: the variables that its configuration sets.
        digest: of its package.
    """

    name: str
    short_name: str
    arn: str
    handler: str
    environment: Mapping[str, str]
    log_group: str
    digest: str
    is_python: bool


class DeployedCode:
    """The functions of a local cloud and their code."""

    def __init__(self, endpoint: LocalEndpoint) -> None:
        self._requests = PlainRequests(endpoint)
        self._endpoint = endpoint
        self._functions: Any = endpoint.client("lambda")

    def functions_of(self, service: Path) -> list[DevFunction]:
        """The functions in a service's stack; none if it is not deployed."""
        stack = self._requests.stack(stack_name(service, LOCAL))
        start = f"{stack_name(service, LOCAL)}-"
        found = []
        for name in sorted(stack.code) if stack else ():
            config = self._functions.get_function_configuration(FunctionName=name)
            found.append(
                DevFunction(
                    name=name,
                    short_name=name.removeprefix(start),
                    arn=config["FunctionArn"],
                    handler=config.get("Handler", ""),
                    environment=config.get("Environment", {}).get("Variables", {}),
                    log_group=config.get("LoggingConfig", {}).get("LogGroup") or f"/aws/lambda/{name}",
                    digest=config["CodeSha256"],
                    is_python=str(config.get("Runtime", "")).startswith("python"),
                )
            )
        return found

    def package_of(self, function: str) -> bytes:
        """The zip file of a function.

        Raises:
            CommandError: the local cloud does not give it.
        """
        location = urllib.parse.urlsplit(self._functions.get_function(FunctionName=function)["Code"]["Location"])
        connection = http.client.HTTPConnection("127.0.0.1", self._endpoint.port, timeout=_TIMEOUT_S)
        try:
            connection.request("GET", f"{location.path}?{location.query}")
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if answer.status != http.client.OK:
            raise CommandError(f"The code of {function} cannot be read: the local cloud answers {answer.status}.")
        return content

    def update(self, function: str, zipped: bytes) -> None:
        """Give a function another zip file."""
        self._requests.update_code(function, zipped)
