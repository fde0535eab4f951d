"""Has a function of the local cloud wait for a debugger, as long as the session goes on."""

from __future__ import annotations

import contextlib
import http.client
import json
import urllib.parse
from collections.abc import Iterable, Iterator

from stream_cli.dev.functions import DevFunction
from stream_cli.errors import CommandError
from stream_cli.local.emulator.functions.debugging import DEBUG_PATH
from stream_cli.local.endpoint import LocalEndpoint

PORT = 5678
"""Where a debugger finds the function, as `.vscode/launch.json` of the templates says."""

_TIMEOUT_S = 30.0


@contextlib.contextmanager
def debugged(endpoint: LocalEndpoint, function: str, port: int) -> Iterator[None]:
    """Have the function of a name wait for a debugger at a port of 127.0.0.1.

    Raises:
        CommandError: it cannot be debugged, and why.
    """
    connection = http.client.HTTPConnection("127.0.0.1", endpoint.port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", f"{DEBUG_PATH}?{urllib.parse.urlencode({'function': function, 'port': port})}")
        answer = connection.getresponse()
        told = json.loads(answer.readline())
        if answer.status != http.client.OK:
            raise CommandError(f"{function} cannot be debugged: {told['problem']}.")
        yield
    finally:
        connection.close()


def function_named(name: str, functions: Iterable[DevFunction]) -> DevFunction:
    """The function with a name, that of serverless.yml or the deployed one.

    Raises:
        CommandError: there is none, or several services have one.
    """
    known = list(functions)
    found = [each for each in known if name in (each.short_name, each.name)]
    if len(found) == 1:
        return found[0]
    names = ", ".join(sorted(each.name for each in found or known)) or "none"
    raise CommandError(f"--debug {name}: which function is that? There are {names}.")
