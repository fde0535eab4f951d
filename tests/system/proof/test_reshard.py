"""Shards that are split and merged while records come in: all are read, children after their parents."""

from __future__ import annotations

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

pytestmark = pytest.mark.system

KEYS, WAVES = 30, 40
WAVE_EVERY_S = 0.05
LOWER, UPPER, LOWER_HALF, UPPER_HALF, MERGED = (f"shardId-{number:012d}" for number in range(5))
PARENTS = {LOWER_HALF: {LOWER}, UPPER_HALF: {LOWER}, MERGED: {UPPER_HALF, UPPER}}


def test_a_reshard_under_load_loses_nothing_and_keeps_the_order(proof: Any) -> None:
    records: list[Any] = []
    stop = threading.Event()

    def load() -> None:
        for n in range(WAVES):
            records.extend(proof.put("resharded", [(f"key-{key}", n) for key in range(KEYS)]))
            if stop.wait(WAVE_EVERY_S):
                return

    def put_at_least(waves: int) -> Any:
        return lambda: loading.done() or len(records) >= waves * KEYS

    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(load)
        try:
            proof.until(put_at_least(10), "there is load", 30)
            proof.split_shard("resharded", LOWER)
            split_at = time.time_ns()
            proof.until(put_at_least(20), "there is more load", 30)
            proof.merge_shards("resharded", UPPER_HALF, UPPER)
            merged_at = time.time_ns()
            assert not loading.done()
            loading.result(60)
        finally:
            stop.set()
    proof.wait_until_finished("resharded", records, 60)

    assert len(records) == KEYS * WAVES
    counts = proof.verify("resharded", records)
    assert (counts.failed, counts.repeated) == (0, 0)
    assert proof.told("resharded") == []
    assert proof.parents("resharded") == PARENTS
    assert {record.shard for record in records} == {LOWER, UPPER, *PARENTS}

    calls = {
        shard: list(of_shard)
        for shard, of_shard in itertools.groupby(
            sorted(proof.calls("resharded"), key=lambda call: call.shard), key=lambda call: call.shard
        )
    }
    # The parents had a backlog when they were closed, and it was read.
    assert max(call.began for call in calls[LOWER]) > split_at
    assert max(call.began for call in calls[UPPER]) > merged_at
    for child, parents in PARENTS.items():
        for parent in parents:
            assert max(call.ended for call in calls[parent]) <= min(call.began for call in calls[child])
