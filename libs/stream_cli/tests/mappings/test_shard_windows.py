"""Tumbling windows: state, final invocations, early ends, partial failures."""

from __future__ import annotations

from typing import Any

from stream_cli.mappings.shard import STATE_LIMIT, ShardProcessor


def counting(seen: list[Any]) -> Any:
    """A function whose state is how many records it has seen; notes the windows it was called with."""

    def function(numbers: list[int], call: int) -> Any:
        return {"state": {"calls": call + 1}}

    return function


def contexts(shard: Any) -> list[tuple[list[int], float, float, Any, bool, bool]]:
    return [
        (c.numbers, c.window.start, c.window.end, c.window.state, c.window.final, c.window.terminated_early)
        for c in shard.calls
    ]


def at_end(shard: Any, moment: float) -> None:
    """Let time pass and the shard be read up to `moment`."""
    shard.advance(moment - shard.now)
    shard.processor.read_up_to(moment)
    shard.settle()


def test_the_state_is_passed_on_within_a_window(kit: Any) -> None:
    shard = kit.simulate(counting([]), tumbling_window=60, batch_size=2)
    shard.now = 61.0
    shard.offer(*kit.records([1, 2, 3], at=61))
    assert contexts(shard) == [
        ([1, 2], 60, 120, {}, False, False),
        ([3], 60, 120, {"calls": 1}, False, False),
    ]


def test_a_window_ends_with_a_final_invocation(kit: Any) -> None:
    shard = kit.simulate(counting([]), tumbling_window=60)
    shard.now = 61.0
    shard.offer(*kit.records([1], at=61))
    at_end(shard, 119.9)
    assert len(shard.calls) == 1
    at_end(shard, 120.0)
    assert contexts(shard)[1:] == [([], 60, 120, {"calls": 1}, True, False)]


def test_a_record_of_the_next_window_ends_the_one_before_and_starts_with_empty_state(kit: Any) -> None:
    shard = kit.simulate(counting([]), tumbling_window=60)
    shard.now = 121.0
    shard.offer(kit.record(1, at=61), kit.record(2, at=119.9), kit.record(3, at=120))
    assert contexts(shard) == [
        ([1, 2], 60, 120, {}, True, False),
        ([3], 120, 180, {}, False, False),
    ]


def test_a_window_that_needs_several_batches_ends_with_its_last(kit: Any) -> None:
    shard = kit.simulate(counting([]), tumbling_window=60, batch_size=2)
    shard.now = 130.0
    shard.offer(*kit.records([1, 2, 3], at=61), kit.record(4, at=125))
    assert [(c.numbers, c.window.final) for c in shard.calls] == [([1, 2], False), ([3], True), ([4], False)]


def test_windows_without_records_are_not_invoked(kit: Any) -> None:
    shard = kit.simulate(counting([]), tumbling_window=60)
    shard.now = 500.0
    shard.offer(kit.record(1, at=61), kit.record(2, at=490))
    assert [c.window.start for c in shard.calls] == [60, 480]


def test_a_missing_state_is_an_empty_state(kit: Any) -> None:
    shard = kit.simulate(lambda numbers, call: None, tumbling_window=60, batch_size=1)
    shard.offer(*kit.records([1, 2], at=1))
    assert shard.calls[1].window.state == {}


def test_state_over_a_megabyte_ends_the_window_early(kit: Any) -> None:
    big = "x" * STATE_LIMIT

    def function(numbers: list[int], call: int) -> Any:
        return {"state": big if call == 0 else {"small": call}}

    shard = kit.simulate(function, tumbling_window=60, batch_size=1)
    shard.offer(*kit.records([1, 2], at=1))
    assert contexts(shard) == [
        ([1], 0, 60, {}, False, False),
        ([], 0, 60, big, True, True),
        ([2], 0, 60, {}, False, False),
    ]


def test_a_failed_attempt_is_repeated_with_the_same_state(kit: Any) -> None:
    def function(numbers: list[int], call: int) -> Any:
        if call == 1:
            raise ValueError("once")
        return {"state": {"after": call}}

    shard = kit.simulate(function, tumbling_window=60, batch_size=1)
    shard.offer(*kit.records([1, 2], at=1))
    shard.advance(5)
    assert [(c.numbers, c.window.state) for c in shard.calls] == [([1], {}), ([2], {"after": 0}), ([2], {"after": 0})]


def test_partial_failures_can_have_a_state(kit: Any) -> None:
    def function(numbers: list[int], call: int) -> Any:
        failed = [{"itemIdentifier": "0002"}] if call == 0 else []
        return {"state": {"after": call}, "batchItemFailures": failed}

    shard = kit.simulate(function, tumbling_window=60, report_failures=True)
    shard.offer(*kit.records([1, 2, 3], at=1))
    shard.advance(1)
    assert [(c.numbers, c.window.state) for c in shard.calls] == [([1, 2, 3], {}), ([2, 3], {"after": 0})]
    assert shard.done_through == 3


def test_only_the_last_half_of_a_split_final_batch_is_final(kit: Any) -> None:
    shard = kit.simulate(kit.raising_on(1), tumbling_window=60, bisect=True, max_retries=0)
    shard.now = 70.0
    shard.offer(*kit.records([1, 2], at=1), kit.record(3, at=65))
    assert [(c.numbers, c.window.final) for c in shard.calls] == [
        ([1, 2], True),
        ([1], False),
        ([2], True),
        ([3], False),
    ]


def test_a_final_batch_that_is_given_up_still_ends_its_window(kit: Any) -> None:
    shard = kit.simulate(kit.raising_on(1), tumbling_window=60, max_retries=0)
    shard.now = 70.0
    shard.offer(*kit.records([1], at=1), kit.record(2, at=65))
    assert [(c.numbers, c.window.start, c.window.final) for c in shard.calls] == [
        ([1], 0, True),
        ([], 0, True),
        ([2], 60, False),
    ]


def test_a_final_invocation_that_fails_for_good_is_reported_with_the_last_record(kit: Any) -> None:
    def function(numbers: list[int], call: int) -> Any:
        if not numbers:
            raise ValueError("no")
        return {"state": {}}

    shard = kit.simulate(function, tumbling_window=60, max_retries=1)
    shard.offer(*kit.records([1, 2], at=1))
    at_end(shard, 60)
    at_end(shard, 70)
    (given_up,) = shard.given_up
    assert given_up.records == ()
    assert given_up.reference.sequence_number == "0002"
    shard.offer(kit.record(3, at=65))
    assert shard.calls[-1].numbers == [3]
    assert shard.calls[-1].window.state == {}


def test_an_open_window_survives_in_the_checkpoint(kit: Any) -> None:
    shard = kit.simulate(counting([]), tumbling_window=60)
    shard.offer(*kit.records([1], at=1))
    checkpoint = shard.processor.checkpoint
    again = kit.simulate(counting([]), tumbling_window=60)
    again.processor = ShardProcessor(again.settings, window=checkpoint.window, position=checkpoint.sequence_number)
    again.offer(kit.record(2, at=2))
    assert contexts(again) == [([2], 0, 60, {"calls": 1}, False, False)]


def test_a_closed_shard_ends_its_window(kit: Any) -> None:
    shard = kit.simulate(counting([]), tumbling_window=60)
    shard.offer(*kit.records([1], at=1))
    assert not shard.processor.finished
    shard.processor.end()
    shard.settle()
    assert [(c.numbers, c.window.final) for c in shard.calls] == [([1], False), ([], True)]
    assert shard.processor.finished


def test_what_a_partial_failure_leaves_in_a_window_is_a_fresh_batch(kit: Any) -> None:
    def function(batch: list[int], call: int) -> Any:
        return {"state": {"calls": call + 1}, "batchItemFailures": [{"itemIdentifier": "0002"}] if 2 in batch else []}

    shard = kit.simulate(function, report_failures=True, tumbling_window=10, max_retries=1)
    shard.processor.read_up_to(10.0)
    shard.offer(*kit.records([1, 2]))
    shard.advance(60)
    assert shard.batches == [[1, 2], [2], [2], []]
    assert [call.window.state for call in shard.calls] == [{}, {"calls": 1}, {"calls": 2}, {"calls": 3}]
    assert [call.window.final for call in shard.calls] == [True, True, True, True]
    assert [[int(r.sequence_number) for r in batch.records] for batch in shard.given_up] == [[2]]
