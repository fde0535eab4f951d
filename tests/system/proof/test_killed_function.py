"""A function's process that is killed in the middle of a batch: the batch comes again."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.system


def test_a_function_killed_in_mid_batch_loses_nothing(proof: Any, in_turns: Any) -> None:
    records = proof.put("killedSource", in_turns(10, 15))

    def effects(invocation: str) -> int:
        return sum(entry.invocation == invocation for h in proof.histories("killed").values() for entry in h)

    def in_the_middle() -> Any:
        return next((call for call in proof.calls("killed")[:1] if 10 <= effects(call.id) <= 70), None)

    victim = proof.until(in_the_middle, "the first batch is half done", 45)
    proof.kill_worker(victim.pid)
    proof.wait_until_finished("killed", records, 60)

    counts = proof.verify("killed", records)
    first, *others = proof.calls("killed")
    assert first == victim
    assert first.size == 100
    assert first.failures is None
    assert victim.pid not in {call.pid for call in others}
    assert 10 <= effects(victim.id) < first.size
    # What it had done was done once more, by necessity; nothing else was.
    assert counts.repeated == effects(victim.id)
    assert counts.failed == 1
    assert proof.told("killed") == []
