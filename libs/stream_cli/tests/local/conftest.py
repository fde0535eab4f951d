"""A running emulator, shared by the tests of one process; each test makes resources with names of its own."""

from __future__ import annotations

import io
import uuid
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from stream_cli.local.cloud import LocalCloud, running_emulator
from stream_cli.local.endpoint import LocalEndpoint
from stream_cli.local.state import StateFolder

ECHO = "def handler(event, context): return event"


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    with running_emulator(StateFolder(tmp_path_factory.mktemp("cloud")), None) as running:
        yield running


@pytest.fixture
def endpoint(cloud: LocalCloud) -> LocalEndpoint:
    return cloud.endpoint


@pytest.fixture
def name() -> str:
    return f"t{uuid.uuid4().hex[:12]}"


@pytest.fixture(scope="session")
def make_function(cloud: LocalCloud, package: Callable[[dict[str, str]], bytes]) -> Callable[..., Any]:
    """Make a function of a name from its source; returns the client."""
    functions = cloud.endpoint.client("lambda")

    def make(name: str, source: str = ECHO, *, file: str = "code.py", **settings: Any) -> Any:
        functions.create_function(
            **{
                "FunctionName": name,
                "Runtime": "python3.13",
                "Role": "arn:aws:iam::000000000000:role/any",
                "Handler": "code.handler",
                "Code": {"ZipFile": package({file: source})},
                "Timeout": 20,
                **settings,
            }
        )
        return functions

    return make


@pytest.fixture
def made(make_function: Callable[..., Any], name: str) -> Iterator[Callable[..., Any]]:
    """Make the function of a test from its source; returns the client."""
    functions = []

    def make(source: str = ECHO, **settings: Any) -> Any:
        functions.append(make_function(name, source, **settings))
        return functions[-1]

    yield make
    for each in functions:
        each.delete_function(FunctionName=name)


@pytest.fixture(scope="session")
def package() -> Callable[[dict[str, str]], bytes]:
    """Make the package of a function from its files, which may be executed."""

    def make(files: dict[str, str]) -> bytes:
        body = io.BytesIO()
        with zipfile.ZipFile(body, "w") as archive:
            for name, content in files.items():
                entry = zipfile.ZipInfo(name)
                entry.external_attr = 0o755 << 16
                archive.writestr(entry, content)
        return body.getvalue()

    return make
