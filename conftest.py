"""Time limits: tests that run the Serverless CLI or a local cloud may take longer than `timeout` in pyproject.toml."""

import pytest

SLOW = ("packaging", "system")
SLOW_TIMEOUT_S = 600


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if any(item.get_closest_marker(name) for name in SLOW):
            item.add_marker(pytest.mark.timeout(SLOW_TIMEOUT_S))
