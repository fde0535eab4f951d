"""What the tests of the simulator share."""

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", autouse=True)
def garbage_is_collected_as_before() -> Iterator[None]:
    """Give other tests of the process the thresholds back that a simulated world replaces."""
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
