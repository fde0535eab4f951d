"""The service's environment and its tables; the other fixtures come from stream_runtime.testing."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

ENVIRONMENT = {
    "AWS_LAMBDA_FUNCTION_NAME": "rest-bff-service-test-rest",
    "SERVICE": "rest-bff-service",
    "STAGE": "test",
    "BUS_NAME": "test-bus",
    "ENTITY_TABLE_NAME": "test-entities",
    "TOMBSTONE_DAYS": "30",
    "DASHBOARD_TABLE_NAME": "test-dashboard",
    "TTL_DAYS": "7",
    "POWERTOOLS_DEV": "false",
    "ACCESS": "open",
}


@pytest.fixture(autouse=True)
def environment(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def table(create_table: Callable[[str, str], Any]) -> Any:
    return create_table("EntityTable", "test-entities")


@pytest.fixture
def dashboard_table(create_table: Callable[[str, str], Any]) -> Any:
    return create_table("DashboardTable", "test-dashboard")
