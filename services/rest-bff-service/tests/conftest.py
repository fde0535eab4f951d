"""The service's environment and its tables; the other fixtures come from stream_runtime.testing."""

import json
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


@pytest.fixture
def holds() -> Callable[[Any, Any], bool]:
    """Whether an answer has all that is expected: objects may have more, and a body may be the text of one."""

    def compare(expected: Any, answer: Any) -> bool:
        if isinstance(expected, dict) and isinstance(answer, str):
            answer = json.loads(answer)
        if isinstance(expected, dict) and isinstance(answer, dict):
            return all(name in answer and compare(value, answer[name]) for name, value in expected.items())
        if isinstance(expected, list) and isinstance(answer, list):
            return len(expected) == len(answer) and all(map(compare, expected, answer))
        return bool(expected == answer)

    return compare
