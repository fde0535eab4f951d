"""What the soak of the local cloud says of what it has seen."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from soak_cloud import Seen, Soak, slope_of


def test_the_slope_is_that_of_the_line_through_the_points() -> None:
    assert slope_of([(0, 5.0), (10, 7.0), (20, 9.0)]) == pytest.approx(0.2)
    assert slope_of([(0, 1.0), (1, 3.0), (2, 1.0)]) == pytest.approx(0.0)
    assert slope_of([(7, 1.0)]) == 0.0


def test_it_says_how_memory_disk_and_times_have_moved() -> None:
    seen = [Seen(100.0, 0, {"emulator": 1.0}, {"kept": 0.0})]
    seen += [Seen(120.0 + n, 1000 * n, {"emulator": 100.0 + 2 * n}, {"kept": 50.0}) for n in range(4)]
    took = [(float(n), 1.0 + n // 3) for n in range(9)]
    made = SimpleNamespace(count=3000, rate=10.0, sent={}, seen=seen, took=took)
    assert Soak.lines(cast(Any, made)) == [
        "3000 stories, 5 minutes; 0 are not ready",
        "disk of kept: 50.0 to 50.0 MB, +0.00 MB for 1,000 stories",
        "memory of emulator: 100.0 to 106.0 MB, +2.00 MB for 1,000 stories",
        "first third: a story is ready after 1.00 s (median), 1.00 s (p99)",
        "second third: a story is ready after 2.00 s (median), 2.00 s (p99)",
        "last third: a story is ready after 3.00 s (median), 3.00 s (p99)",
    ]
