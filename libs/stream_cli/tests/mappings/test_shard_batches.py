"""How records become batches: size, window, payload, lanes, filters."""

from __future__ import annotations

from typing import Any

from stream_cli.mappings.shard import PAYLOAD_LIMIT

# --- when a batch closes ---


def test_without_a_window_a_batch_takes_what_is_available(kit: Any) -> None:
    shard = kit.simulate(batch_size=10)
    shard.offer(*kit.records([1, 2, 3]))
    assert shard.batches == [[1, 2, 3]]


def test_a_batch_holds_at_most_batch_size_records(kit: Any) -> None:
    shard = kit.simulate(batch_size=4)
    shard.offer(*kit.records(range(10)))
    assert shard.batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_a_batch_waits_for_its_window(kit: Any) -> None:
    shard = kit.simulate(batch_size=10, batch_window=5)
    shard.offer(*kit.records([1]))
    shard.advance(4)
    shard.offer(*kit.records([2]))
    assert shard.batches == []
    shard.advance(1)
    assert shard.batches == [[1, 2]]
    assert shard.calls[0].at == 5


def test_a_full_batch_does_not_wait_for_its_window(kit: Any) -> None:
    shard = kit.simulate(batch_size=3, batch_window=5)
    shard.offer(*kit.records([1, 2, 3, 4]))
    assert shard.batches == [[1, 2, 3]]
    shard.advance(5)
    assert shard.batches == [[1, 2, 3], [4]]


def test_the_window_counts_from_the_first_record_of_the_batch(kit: Any) -> None:
    shard = kit.simulate(batch_size=10, batch_window=5)
    shard.advance(100)
    shard.offer(*kit.records([1]))
    shard.advance(4.9)
    assert shard.batches == []
    shard.advance(0.1)
    assert shard.batches == [[1]]


def test_records_that_waited_behind_an_invocation_do_not_wait_again(kit: Any) -> None:
    shard = kit.simulate(takes=20, batch_size=10, batch_window=5)
    shard.offer(*kit.records([1]))
    shard.advance(6)
    shard.offer(*kit.records([2]))
    shard.advance(30)
    assert [(call.at, call.numbers) for call in shard.calls] == [(5, [1]), (25, [2])]


def test_a_batch_of_a_closed_shard_does_not_wait(kit: Any) -> None:
    shard = kit.simulate(batch_size=10, batch_window=300)
    shard.offer(*kit.records([1, 2]))
    shard.processor.end()
    shard.settle()
    assert shard.batches == [[1, 2]]
    assert shard.processor.finished


def test_a_batch_closes_at_six_megabytes(kit: Any) -> None:
    megabyte = 1024 * 1024
    shard = kit.simulate(batch_size=100, batch_window=300)
    shard.offer(*kit.records(range(5), size=megabyte))
    assert shard.batches == []
    shard.offer(*kit.records([5, 6], size=megabyte))
    assert shard.batches == [[0, 1, 2, 3, 4]]
    assert 5 * megabyte < PAYLOAD_LIMIT < 6 * (megabyte + 1) + 14


def test_a_record_that_exceeds_the_payload_alone_is_still_sent(kit: Any) -> None:
    shard = kit.simulate(batch_size=100)
    shard.offer(*kit.records([1], size=PAYLOAD_LIMIT + 1), *kit.records([2]))
    assert shard.batches == [[1], [2]]


# --- lanes ---


def test_one_lane_has_one_batch_in_flight(kit: Any) -> None:
    shard = kit.simulate(takes=1, batch_size=1)
    shard.offer(*kit.records([1, 2, 3]))
    shard.advance(10)
    assert shard.most_at_once == 1
    assert [call.at for call in shard.calls] == [0, 1, 2]


def test_parallelization_runs_several_batches_of_one_shard(kit: Any) -> None:
    shard = kit.simulate(takes=1, batch_size=1, parallelization_factor=3)
    shard.offer(*[kit.record(number, key=f"key-{number}") for number in range(30)])
    shard.advance(100)
    assert shard.most_at_once == 3
    assert sorted(number for batch in shard.batches for number in batch) == list(range(30))


def test_records_of_one_key_go_through_one_lane_in_order(kit: Any) -> None:
    shard = kit.simulate(takes=1, batch_size=2, parallelization_factor=4)
    shard.offer(*[kit.record(number, key=f"key-{number % 7}") for number in range(70)])
    shard.advance(100)
    for key in range(7):
        of_key = [(call.lane, n) for call in shard.calls for n in call.numbers if n % 7 == key]
        assert len({lane for lane, _ in of_key}) == 1
        assert [n for _, n in of_key] == sorted(n for _, n in of_key)


def test_a_failing_lane_does_not_hold_the_others(kit: Any) -> None:
    shard = kit.simulate(kit.raising_on(0), batch_size=1, parallelization_factor=5)
    shard.offer(*[kit.record(number, key=f"key-{number}") for number in range(20)])
    stuck = {call.lane for call in shard.calls if call.numbers == [0]}
    lanes = {call.lane for call in shard.calls}
    assert len(lanes) > 1
    assert len(stuck) == 1
    assert shard.processor.backlog == 20 - len([n for batch in shard.batches[1:] for n in batch if n])


def test_the_checkpoint_waits_for_the_slowest_lane(kit: Any) -> None:
    shard = kit.simulate(kit.raising_on(3), batch_size=1, parallelization_factor=10, max_retries=2)
    shard.offer(*[kit.record(number, key=f"key-{number}") for number in range(20)])
    assert shard.done_through == 2
    shard.advance(100)
    assert [r.sequence_number for g in shard.given_up for r in g.records] == ["0003"]
    assert shard.done_through == 19


# --- filters ---


def test_filtered_records_are_not_sent_and_count_as_done(kit: Any) -> None:
    shard = kit.simulate(batch_size=10)
    shard.offer(kit.record(1, kept=False), kit.record(2), kit.record(3, kept=False))
    assert shard.batches == [[2]]
    assert shard.done_through == 3
    assert shard.processor.counters.filtered == 2


def test_the_checkpoint_moves_when_all_records_are_filtered(kit: Any) -> None:
    shard = kit.simulate()
    shard.offer(*kit.records([1, 2], kept=False))
    assert shard.batches == []
    assert shard.done_through == 2


def test_a_filtered_record_behind_a_failing_one_waits_for_it(kit: Any) -> None:
    shard = kit.simulate(kit.raising_on(1), max_retries=0)
    shard.processor.offer([kit.record(1), kit.record(2, kept=False)], 0)
    assert shard.done_through is None
    shard.settle()
    assert shard.done_through == 2


def test_batch_size_counts_kept_records_only(kit: Any) -> None:
    shard = kit.simulate(batch_size=2, batch_window=60)
    shard.offer(*[kit.record(number, kept=number % 3 == 0) for number in range(7)])
    assert shard.batches == [[0, 3]]
