"""A running emulator for the demo's tests."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from stream_cli.local.cloud import running_emulator
from stream_cli.local.endpoint import LocalEndpoint
from stream_cli.local.state import StateFolder


@pytest.fixture(scope="session")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalEndpoint]:
    with running_emulator(StateFolder(tmp_path_factory.mktemp("cloud")), None) as cloud:
        yield cloud.endpoint


@pytest.fixture
def name() -> str:
    return f"t{uuid.uuid4().hex[:12]}"
