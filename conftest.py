"""Time limits of tests: longer for slow kinds, and the stacks of all threads are printed shortly before.

botocore's descriptions of services are read once for all tests, which build clients anew. A session of botocore shares
them among its clients, so nothing changes them.
"""

import faulthandler
import os
from collections.abc import Iterator
from functools import cache

import pytest
from botocore.loaders import JSONFileLoader

SLOW = ("packaging", "system")
SLOW_TIMEOUT_S = 900
STDERR = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[STDERR] = os.dup(2)  # output is not captured yet
    read = cache(JSONFileLoader().load_file)

    setattr(JSONFileLoader, "load_file", lambda _, path: read(path))  # noqa: B010 - its stub is wrong


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if any(item.get_closest_marker(name) for name in SLOW):
            item.add_marker(pytest.mark.timeout(SLOW_TIMEOUT_S))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    marker = item.get_closest_marker("timeout")
    limit_s = float(marker.args[0] if marker else item.config.getini("timeout"))
    faulthandler.dump_traceback_later(0.9 * limit_s, file=item.config.stash[STDERR])
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()
