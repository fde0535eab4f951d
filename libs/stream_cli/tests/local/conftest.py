"""A running emulator, shared by the tests of one process; each test makes resources with names of its own."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

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
