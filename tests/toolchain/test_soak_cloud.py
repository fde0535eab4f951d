"""What the soak of the local cloud says of what it has seen."""

from __future__ import annotations

from typing import Any

import pytest
from soak_cloud import Seen, Soak, slope_of


def test_the_slope_is_that_of_the_line_through_the_points() -> None:
    assert slope_of([(0, 5.0), (10, 7.0), (20, 9.0)]) == pytest.approx(0.2)
    assert slope_of([(0, 1.0), (1, 3.0), (2, 1.0)]) == pytest.approx(0.0)
    assert slope_of([(7, 1.0)]) == 0.0


def made(**seen: Any) -> Soak:
    soak = Soak.__new__(Soak)  # without a cloud
    vars(soak).update({"count": 3000, "rate": 10.0, "sent": {}, "seen": [], "took": [], **seen})
    return soak


def test_it_says_how_memory_disk_and_times_have_moved() -> None:
    seen = [Seen(100.0, 0, {"emulator": 1.0}, {"kept": 0.0})]
    seen += [Seen(120.0 + n, 1000 * n, {"emulator": 100.0 + 2 * n}, {"kept": 50.0}) for n in range(4)]
    took = [(float(n), 1.0 + n // 3) for n in range(9)]
    assert made(seen=seen, took=took).lines() == [
        "3000 stories, 5 minutes; 0 are not ready",
        "disk of kept: 50.0 to 50.0 MB, +0.00 MB for 1,000 stories",
        "memory of emulator: 100.0 to 106.0 MB, +2.00 MB for 1,000 stories",
        "first third: a story is ready after 1.00 s (median), 1.00 s (p99)",
        "second third: a story is ready after 2.00 s (median), 2.00 s (p99)",
        "last third: a story is ready after 3.00 s (median), 3.00 s (p99)",
    ]


def growing(mb: float, **of: float) -> list[Seen]:
    """Seen every 1,000 stories: each part grows by so much, and one by more."""
    parts = {"console": mb, "deliveries": mb, "emulator": mb, "functions": mb, "mappings": mb, **of}
    return [
        Seen(200.0 + n, 1000 * n, {name: 100.0 + n * more for name, more in parts.items()}, {"tmp": 9.0})
        for n in range(9)
    ]


def test_there_is_no_problem_where_nothing_grows() -> None:
    assert made(seen=growing(0.5), took=[(float(n), 0.2 + 0.3 * (n // 60)) for n in range(90)]).problems() == []


@pytest.mark.parametrize("part", ["console", "deliveries", "emulator", "functions", "mappings"])
def test_a_part_that_grows_is_a_problem(part: str) -> None:
    (problem,) = made(seen=growing(0.1, **{part: 31.0})).problems()
    assert problem.startswith(f"memory of {part} grows by 31.00 MB for 1,000 stories")


def test_a_folder_that_grows_a_story_that_is_not_ready_and_ever_longer_times_are_problems() -> None:
    seen = [Seen(200.0 + n, 1000 * n, {}, {"tmp": 1.0 * n}) for n in range(9)]
    took = [(float(n), 0.2 + n // 60) for n in range(90)]
    assert made(seen=seen, took=took, sent={"id": 1.0}).problems() == [
        "1 stories are not ready",
        "disk of tmp grows by 1.00 MB for 1,000 stories; at most 0.50 are expected",
        "stories take longer and longer: 0.20 s at first, 1.20 s at last",
    ]
