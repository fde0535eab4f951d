"""One poison record in the middle of 1,000: it is isolated and pointed at, and the 999 others are done."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytestmark = pytest.mark.system

KEYS, EACH = 20, 50
POISON = ("key-0", EACH // 2)
RETRIES = 2  # of the mappings


@pytest.fixture(scope="module")
def records(proof: Any, in_turns: Any) -> Any:
    """1,000 records, number 500 of which is poison for both functions that read them."""
    put = proof.put("poisoned", in_turns(KEYS, EACH), poison=POISON)
    assert len(put) == 1000
    assert (put[500].key, put[500].n) == POISON
    return put


# A function may suffer from poison as a whole, or name the record in a partial failure.
@pytest.mark.parametrize(("function", "error"), [("refusing", "Unhandled"), ("reporting", None)])
def test_a_poison_record_in_a_thousand_is_isolated(proof: Any, records: Any, function: str, error: str | None) -> None:
    poison, others = records[500], [*records[:500], *records[501:]]

    proof.wait_until_finished(function, others, 90)
    (told,) = proof.until(lambda: proof.told(function), "the destination is told", 10)

    # The destination is told of exactly this record, and by what it is told the record is found.
    assert told["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert told["requestContext"]["approximateInvokeCount"] == 1 + RETRIES
    assert told["responseContext"]["functionError"] == error
    pointer = told["KinesisBatchInfo"]
    assert pointer["shardId"] == poison.shard
    assert pointer["startSequenceNumber"] == pointer["endSequenceNumber"] == poison.sequence_number
    assert pointer["batchSize"] == 1
    assert proof.read("poisoned", pointer["shardId"], pointer["startSequenceNumber"])["n"] == poison.n

    # It was in a batch of all at first, and alone in the end.
    calls = [call for call in proof.calls(function) if call.had(poison)]
    sizes = [call.size for call in calls]
    assert sizes[0] == 1000
    assert sizes == sorted(sizes, reverse=True)
    assert sizes.count(1) == 1 + RETRIES
    assert not any(call.finished(poison) for call in calls)

    counts = proof.verify(function, others)
    assert counts.failed == len(calls)
    if function == "refusing":
        assert counts.repeated == 0  # it fails before it does anything


def test_the_poison_is_the_only_record_without_an_effect(proof: Any, records: Any) -> None:
    for function in ("refusing", "reporting"):
        proof.until(lambda function=function: proof.told(function), "the destination is told", 90)
        done = {(key, entry.n) for key, history in proof.histories(function).items() for entry in history}
        assert {(record.key, record.n) for record in records} - done == {POISON}
        assert json.dumps(proof.told(function)).count(records[500].sequence_number) == 2
