"""The service's environment and its table; the other fixtures come from stream_runtime.testing."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

ENVIRONMENT = {
    "SERVICE": "control-service",
    "STAGE": "test",
    "BUS_NAME": "test-bus",
    "EVENT_TABLE_NAME": "test-events",
    "INCOMPLETE_AFTER_SECONDS": "3600",
}


@pytest.fixture(autouse=True)
def environment(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def table(create_table: Callable[[str, str], Any]) -> Any:
    return create_table("EventTable", "test-events")
