"""Shards that are split and merged while records come in: all are read, children after their parents."""

from __future__ import annotations

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

pytestmark = pytest.mark.system

KEYS, MOST_WAVES = 30, 400
WAVE_EVERY_S = 0.05
LOWER, UPPER, LOWER_HALF, UPPER_HALF, MERGED = (f"shardId-{number:012d}" for number in range(5))
PARENTS = {LOWER_HALF: {LOWER}, UPPER_HALF: {LOWER}, MERGED: {UPPER_HALF, UPPER}}


def test_a_reshard_under_load_loses_nothing_and_keeps_the_order(proof: Any) -> None:
    records: list[Any] = []
    stop = threading.Event()

    def load() -> None:
        for n in range(MOST_WAVES):
            records.extend(proof.put("resharded", [(f"key-{key}", n) for key in range(KEYS)]))
            if stop.wait(WAVE_EVERY_S):
                return

    def wait_for_more(waves: int) -> None:
        enough = len(records) + waves * KEYS
        proof.until(lambda: loading.done() or len(records) >= enough, "there is load", 30)
        assert not loading.done(), loading

    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(load)
        try:
            wait_for_more(10)
            with proof.mappings_held():
                wait_for_more(2)
                proof.split_shard("resharded", LOWER)
                split_at = time.time_ns()
            wait_for_more(10)
            with proof.mappings_held():
                wait_for_more(2)
                proof.merge_shards("resharded", UPPER_HALF, UPPER)
                merged_at = time.time_ns()
            wait_for_more(10)
        finally:
            stop.set()
        loading.result(60)
    proof.wait_until_finished("resharded", records, 60)

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
