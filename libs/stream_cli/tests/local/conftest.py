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


@pytest.fixture
def made(
    endpoint: LocalEndpoint, name: str, package: Callable[[dict[str, str]], bytes]
) -> Iterator[Callable[..., Any]]:
    """Make the function of a test from its source; returns the client."""
    functions = endpoint.client("lambda")

    def make(source: str, **settings: Any) -> Any:
        functions.create_function(
            **{
                "FunctionName": name,
                "Runtime": "python3.13",
                "Role": "arn:aws:iam::000000000000:role/any",
                "Handler": "code.handler",
                "Code": {"ZipFile": package({"code.py": source})},
                "Timeout": 20,
                **settings,
            }
        )
        return functions

    yield make
    functions.delete_function(FunctionName=name)


@pytest.fixture
def package() -> Callable[[dict[str, str]], bytes]:
    """Make the package of a function from its files."""

    def make(files: dict[str, str]) -> bytes:
        body = io.BytesIO()
        with zipfile.ZipFile(body, "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return body.getvalue()

    return make
