"""Work in parallel keeps the order of what shares a key."""

import threading
import time

import pytest
from stream_runtime.engine.scheduling import in_key_order


@pytest.mark.parametrize("parallel", [1, 2, 8, 64])
def test_all_units_run_once_and_in_order_of_their_keys(parallel: int) -> None:
    keys = [{number % 7, ("other", number % 5)} for number in range(300)]
    done: list[int] = []
    lock = threading.Lock()

    def work(index: int) -> None:
        with lock:
            done.append(index)

    in_key_order(keys, work, parallel)

    assert sorted(done) == list(range(300))
    for key in {key for unit in keys for key in unit}:
        with_key = [index for index in done if key in keys[index]]
        assert with_key == sorted(with_key)


def test_no_more_run_at_once_than_allowed() -> None:
    running, most = 0, 0
    lock = threading.Lock()

    def work(_: int) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.002)
        with lock:
            running -= 1

    in_key_order([(number,) for number in range(40)], work, 4)

    assert most == 4


def test_units_without_a_key_in_common_run_at_the_same_time() -> None:
    together = threading.Barrier(8, timeout=5)

    in_key_order([(number,) for number in range(8)], lambda _: together.wait() is None, 8)


def test_units_of_one_key_never_run_at_the_same_time() -> None:
    alone = threading.Lock()

    def work(_: int) -> None:
        assert alone.acquire(blocking=False)
        time.sleep(0.001)
        alone.release()

    in_key_order([("k",)] * 20, work, 8)


@pytest.mark.parametrize("parallel", [1, 8])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_is_raised_and_nothing_more_is_started(parallel: int, error: type[BaseException]) -> None:
    started: list[int] = []

    def work(index: int) -> None:
        started.append(index)
        if index == 3:
            raise error("stop")

    with pytest.raises(error):
        in_key_order([("k",)] * 10, work, parallel)
    assert started == [0, 1, 2, 3]


def test_nested_schedules_end() -> None:
    done: list[tuple[int, int]] = []

    def outer(index: int) -> None:
        in_key_order([(n,) for n in range(20)], lambda n: done.append((index, n)), 16)

    in_key_order([(n,) for n in range(80)], outer, 64)

    assert len(done) == 1600


def test_without_units_nothing_runs() -> None:
    in_key_order([], pytest.fail, 4)
