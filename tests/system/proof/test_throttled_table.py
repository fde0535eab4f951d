"""A table that throttles for a while, with THOROUGH=1 half a minute: what is written to it comes late, and whole.

It throttles while the other tests of this cloud run, whose functions do not use it.
"""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.system


@pytest.mark.thorough
def test_a_table_that_throttles_for_many_seconds_loses_nothing(proof: Any) -> None:
    throttling = proof.throttling.result()

    assert throttling.written_after_s >= throttling.seconds >= 12
    assert len(throttling.records) == 300
    proof.wait_until_finished("throttled", throttling.records, 30)

    counts = proof.verify("throttled", throttling.records, table="throttled")
    assert proof.told("throttled") == []
    # The function has tried in place, has given back what it could not do, and was asked again.
    assert proof.fired(throttling.fault) > counts.failed > 1
