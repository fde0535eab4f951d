"""A table that throttles for half a minute: what is written to it comes late, and whole."""

from __future__ import annotations

import time
from typing import Any

import pytest

pytestmark = pytest.mark.system

THROTTLED_S = 30.0


def test_a_table_that_throttles_for_30_seconds_loses_nothing(proof: Any, in_turns: Any) -> None:
    fault = proof.throttle("throttled", THROTTLED_S)
    throttled_at = time.monotonic()
    records = proof.put("throttledSource", in_turns(10, 30))

    proof.until(lambda: proof.histories("throttled", "throttled"), "the table is written to", THROTTLED_S + 45)
    assert time.monotonic() - throttled_at >= THROTTLED_S
    proof.wait_until_finished("throttled", records, 30)

    counts = proof.verify("throttled", records, table="throttled")
    assert proof.told("throttled") == []
    # The function has tried in place, has given back what it could not do, and was asked again.
    assert proof.fired(fault) > counts.failed > 1
