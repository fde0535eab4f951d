"""What happens after a failed attempt: retries, age, bisecting, partial failures, giving up."""

from __future__ import annotations

from typing import Any

import pytest
from stream_cli.mappings.outcomes import Invocation, Undelivered


def numbers(given_up: Any) -> list[list[int]]:
    return [[int(record.sequence_number) for record in batch.records] for batch in given_up]


# --- retries ---


def test_a_failed_batch_is_retried_with_growing_pauses(kit: Any) -> None:
    shard = kit.simulate(kit.raising_on(1))
    shard.offer(*kit.records([1, 2]))
    shard.advance(16)
    assert [(call.at, call.numbers) for call in shard.calls] == [(t, [1, 2]) for t in (0, 1, 3, 7, 15)]


def test_a_change_of_the_function_ends_the_pause_and_the_next_ones_are_short_again(kit: Any) -> None:
    shard = kit.simulate(kit.raising_on(1), max_retries=7)
    shard.offer(*kit.records([1, 2]))
    shard.advance(10)
    shard.processor.forget_backoff()
    shard.advance(40)
    assert [call.at for call in shard.calls] == [0, 1, 3, 7, 10, 11, 13, 17]
    assert numbers(shard.given_up) == [[1, 2]]  # the limit of retries is that of all of them


def test_the_pause_does_not_grow_beyond_its_limit(kit: Any) -> None:
    shard = kit.simulate(kit.raising_on(1))
    shard.offer(*kit.records([1]))
    shard.advance(3600)
    pauses = [later.at - earlier.at for earlier, later in zip(shard.calls, shard.calls[1:], strict=False)]
    assert max(pauses) == 60


def test_nothing_overtakes_a_failing_batch(kit: Any) -> None:
    shard = kit.simulate(kit.raising_on(1), batch_size=1)
    shard.offer(*kit.records([1, 2, 3]))
    shard.advance(1000)
    assert {tuple(batch) for batch in shard.batches} == {(1,)}
    assert shard.done_through is None


def test_without_a_limit_a_poison_record_holds_its_shard_for_ever(kit: Any) -> None:
    shard = kit.simulate(kit.raising_on(1), batch_size=1)
    shard.offer(*kit.records([1, 2]))
    shard.advance(86_400)
    assert shard.given_up == []
    assert len(shard.calls) > 1_400


@pytest.mark.parametrize("limit", [0, 1, 3])
def test_a_batch_is_tried_once_and_retried_up_to_the_limit(kit: Any, limit: int) -> None:
    shard = kit.simulate(kit.raising_on(1), max_retries=limit, batch_size=2)
    shard.offer(*kit.records([1, 2, 3]))
    shard.advance(600)
    assert shard.batches == [[1, 2]] * (limit + 1) + [[3]]
    assert numbers(shard.given_up) == [[1, 2]]
    assert shard.given_up[0].condition == "RetryAttemptsExhausted"
    assert shard.given_up[0].invocations == limit + 1
    assert shard.done_through == 3


def test_a_retry_that_succeeds_finishes_the_batch(kit: Any) -> None:
    def function(batch: list[int], call: int) -> None:
        if call < 2:
            raise ValueError("not yet")

    shard = kit.simulate(function, max_retries=5)
    shard.offer(*kit.records([1]))
    shard.advance(60)
    assert len(shard.calls) == 3
    assert shard.given_up == []
    assert shard.processor.counters.retries == 2


def test_a_throttled_function_is_a_failed_attempt(kit: Any) -> None:
    shard = kit.simulate(lambda batch, call: Invocation(throttled=True), max_retries=1)
    shard.offer(*kit.records([1]))
    shard.advance(60)
    assert len(shard.calls) == 2
    assert numbers(shard.given_up) == [[1]]


def test_an_invocation_that_never_reached_the_function_is_not_an_attempt(kit: Any) -> None:
    shard = kit.simulate(max_retries=0)
    processor = shard.processor
    processor.offer(kit.records([1]), 0.0)
    for _ in range(20):
        now = max(processor.deadline() or 0.0, 0.0)
        (attempt,) = processor.step(now)
        processor.settle(attempt.id, Undelivered("the endpoint is away"), now)
        assert processor.step(now) == []
    assert processor.counters.retries == 0
    shard.now = processor.deadline()
    shard.settle()
    assert shard.batches == [[1]]
    assert shard.done_through == 1


def test_all_waits_follow_the_speed(kit: Any) -> None:
    fast = kit.settings(max_age=3600, batch_window=60, tumbling_window=0).at_speed(60)
    assert (fast.backoff(1), fast.backoff(3), fast.max_age, fast.batch_window) == (1 / 60, 4 / 60, 60, 1)
    assert kit.settings(max_age=-1).at_speed(60).max_age == -1


# --- age ---


def test_records_older_than_the_limit_are_given_up_before_the_next_attempt(kit: Any) -> None:
    shard = kit.simulate(kit.raising_on(1), max_age=10)
    shard.offer(*kit.records([1], at=0))
    shard.advance(100)
    assert [call.at for call in shard.calls] == [0, 1, 3, 7]
    assert shard.given_up[0].condition == "RecordAgeExceeded"
    assert shard.given_up[0].invocations == 4
    assert shard.done_through == 1


def test_a_record_that_is_too_old_from_the_start_is_never_sent(kit: Any) -> None:
    shard = kit.simulate(max_age=60)
    shard.now = 100.0
    shard.offer(kit.record(1, at=10), kit.record(2, at=39.9), kit.record(3, at=40))
    assert shard.batches == [[3]]
    assert numbers(shard.given_up) == [[1, 2]]
    assert shard.given_up[0].invocations == 0


def test_only_the_old_records_of_a_batch_are_given_up(kit: Any) -> None:
    shard = kit.simulate(kit.raising_on(2), max_age=5)
    shard.offer(kit.record(1, at=-4), kit.record(2, at=0))
    shard.advance(60)
    assert shard.batches == [[1, 2], [1, 2], [2]]
    assert numbers(shard.given_up) == [[1], [2]]


def test_the_age_limit_applies_to_partial_failures(kit: Any) -> None:
    shard = kit.simulate(kit.reporting(2), report_failures=True, max_age=5)
    shard.offer(*kit.records([1, 2, 3]))
    shard.advance(60)
    assert [(call.at, call.numbers) for call in shard.calls] == [(0, [1, 2, 3]), (0, [2, 3]), (1, [2, 3]), (3, [2, 3])]
    assert numbers(shard.given_up) == [[2, 3]]


# --- bisecting ---


def test_a_failed_batch_is_split_and_its_halves_go_in_order(kit: Any) -> None:
    shard = kit.simulate(kit.raising_on(6), bisect=True, max_retries=0, batch_size=8)
    shard.offer(*kit.records(range(8)))
    assert shard.batches == [[*range(8)], [0, 1, 2, 3], [4, 5, 6, 7], [4, 5], [6, 7], [6], [7]]
    assert numbers(shard.given_up) == [[6]]


def test_a_split_does_not_count_as_a_retry(kit: Any) -> None:
    shard = kit.simulate(kit.raising_on(6), bisect=True, max_retries=2, batch_size=8)
    shard.offer(*kit.records(range(8)))
    shard.advance(60)
    assert shard.batches.count([6]) == 3
    assert shard.given_up[0].invocations == 3
    assert (shard.processor.counters.retries, shard.processor.counters.splits) == (2, 3)


def test_bisecting_isolates_one_poison_record_in_a_thousand(kit: Any) -> None:
    shard = kit.simulate(kit.raising_on(500), bisect=True, max_retries=1, batch_size=1000)
    shard.offer(*kit.records(range(1000)))
    shard.advance(60)
    assert numbers(shard.given_up) == [[500]]
    assert shard.processor.counters.processed == 999
    assert len(shard.calls) < 25


def test_later_records_wait_for_both_halves(kit: Any) -> None:
    shard = kit.simulate(kit.raising_on(0), bisect=True, max_retries=1, batch_size=2)
    shard.offer(*kit.records(range(4)))
    shard.advance(60)
    assert shard.batches == [[0, 1], [0], [0], [1], [2, 3]]


# --- partial failures ---


def test_records_before_the_lowest_reported_are_done(kit: Any) -> None:
    shard = kit.simulate(kit.reporting(3, 5), report_failures=True)
    shard.offer(*kit.records(range(7)))
    assert shard.done_through == 2
    assert shard.batches == [[*range(7)], [3, 4, 5, 6]]


def test_the_order_of_the_reported_identifiers_does_not_matter(kit: Any) -> None:
    def function(batch: list[int], call: int) -> Any:
        return {"batchItemFailures": [{"itemIdentifier": f"{n:04d}"} for n in (5, 3, 4) if n in batch]}

    shard = kit.simulate(function, report_failures=True)
    shard.offer(*kit.records(range(7)))
    assert shard.done_through == 2


def test_an_item_that_keeps_failing_exhausts_the_retries(kit: Any) -> None:
    shard = kit.simulate(kit.reporting(3), report_failures=True, max_retries=2, batch_size=5)
    shard.offer(*kit.records(range(6)))
    shard.advance(60)
    assert shard.batches == [[0, 1, 2, 3, 4], [3, 4], [3, 4], [3, 4], [5]]
    assert numbers(shard.given_up) == [[3, 4]]
    assert shard.given_up[0].partial
    assert shard.given_up[0].invocations == 3


def test_retries_are_counted_from_the_last_record_that_was_finished(kit: Any) -> None:
    def function(batch: list[int], call: int) -> Any:
        # Two attempts in three finish nothing, the third one finishes a record.
        reported = batch[1] if call % 3 == 2 and len(batch) > 1 else batch[0]
        return {"batchItemFailures": [{"itemIdentifier": f"{reported:04d}"}]}

    shard = kit.simulate(function, report_failures=True, max_retries=2)
    shard.offer(*kit.records(range(3)))
    shard.advance(60)
    assert shard.batches == [[0, 1, 2]] * 3 + [[1, 2]] * 3 + [[2]] * 3
    assert numbers(shard.given_up) == [[2]]
    assert shard.given_up[0].invocations == 3


def test_what_a_partial_failure_leaves_is_fresh_in_its_own_lane_only(kit: Any) -> None:
    def function(batch: list[int], call: int) -> Any:
        if 3 in batch:
            return {"batchItemFailures": [{"itemIdentifier": "0003"}]}
        raise ValueError("poison")

    shard = kit.simulate(function, report_failures=True, max_retries=1, parallelization_factor=2)
    shard.offer(*kit.records([1, 3], key="a"), *kit.records([2, 4], key="d"))
    shard.advance(60)
    lanes = [[call.numbers for call in shard.calls if call.lane == lane] for lane in (1, 0)]
    assert lanes == [[[1, 3], [3], [3]], [[2, 4], [2, 4]]]
    assert sorted(numbers(shard.given_up)) == [[2, 4], [3]]


def test_without_the_option_reported_failures_are_lost(kit: Any) -> None:
    shard = kit.simulate(kit.reporting(3))
    shard.offer(*kit.records(range(7)))
    assert shard.done_through == 6


def test_with_bisecting_the_split_is_at_the_reported_number(kit: Any) -> None:
    shard = kit.simulate(kit.reporting(3), report_failures=True, bisect=True, max_retries=1, batch_size=8)
    shard.offer(*kit.records(range(8)))
    shard.advance(60)
    assert shard.batches[:2] == [[*range(8)], [3, 4, 5, 6, 7]]
    assert numbers(shard.given_up) == [[3]]
    assert shard.processor.counters.retries == 1
    assert shard.processor.counters.processed == 7


def test_with_bisecting_a_first_record_that_fails_is_isolated(kit: Any) -> None:
    shard = kit.simulate(kit.reporting(0), report_failures=True, bisect=True, max_retries=0, batch_size=4)
    shard.offer(*kit.records(range(4)))
    assert shard.batches == [[0, 1, 2, 3], [0, 1], [0], [1], [2, 3]]
    assert numbers(shard.given_up) == [[0]]


def test_an_identifier_that_is_not_in_the_batch_fails_all_of_it(kit: Any) -> None:
    shard = kit.simulate(lambda batch, call: {"batchItemFailures": [{"itemIdentifier": "0099"}]}, report_failures=True)
    shard.offer(*kit.records(range(3)))
    shard.advance(1)
    assert shard.batches == [[0, 1, 2], [0, 1, 2]]
    assert shard.done_through is None


# --- the on-failure destination ---


def test_the_checkpoint_waits_until_the_destination_is_told(kit: Any) -> None:
    shard = kit.simulate(kit.raising_on(1), max_retries=0, batch_size=1)
    processor = shard.processor
    processor.offer(kit.records([1, 2]), 0.0)
    (attempt,) = processor.step(0.0)
    processor.settle(attempt.id, shard._outcome(attempt, _call(shard, attempt)), 0.0)
    (given_up,) = processor.step(0.0)
    assert processor.step(0.0) == []
    assert processor.checkpoint.sequence_number is None
    processor.delivered(given_up.id)
    assert processor.checkpoint.sequence_number == "0001"
    assert [record.sequence_number for record in processor.step(0.0)[0].records] == ["0002"]


def _call(shard: Any, attempt: Any) -> Any:
    from types import SimpleNamespace

    call = SimpleNamespace(numbers=[int(record.sequence_number) for record in attempt.records])
    shard.calls.append(call)
    return call
