"""A flow of the runtime is an Observable of ReactiveX for every operator, in `pipe` and as a method.

What an operator makes of a flow is compared with what it makes of ReactiveX's own `from_iterable` and `Subject`.
"""

import concurrent.futures
import inspect
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import own_flavors
import pytest
import reactivex
from reactivex import operators as ops
from reactivex.notification import Notification, OnNext
from reactivex.scheduler import ImmediateScheduler, VirtualTimeScheduler
from reactivex.subject import Subject
from sample_sizes import part_of
from stream_runtime.engine.flow import Flow, PushSource
from stream_runtime.operators import rx_map

ITEMS = (1, 2, 3, 4, 5, 6)

ARGUMENTS: dict[str, Callable[[], tuple[Any, ...]]] = {
    "all": lambda: (is_even,),
    "amb": lambda: (reactivex.never(),),
    "as_observable": lambda: (),
    "average": lambda: (),
    "buffer": lambda: (reactivex.of(1),),
    "buffer_when": lambda: (reactivex.never,),
    "buffer_toggle": lambda: (reactivex.of(1), reactivex.of),
    "buffer_with_count": lambda: (4,),
    "buffer_with_time": lambda: (1.0,),
    "buffer_with_time_or_count": lambda: (1.0, 4),
    "catch": lambda: (lambda _, source: source,),
    "combine_latest": lambda: (reactivex.of(1),),
    "concat": lambda: (reactivex.of(1),),
    "concat_all": lambda: (),
    "concat_map": lambda: (twice,),
    "contains": lambda: (4,),
    "count": lambda: (),
    "debounce": lambda: (1.0,),
    "throttle_with_timeout": lambda: (1.0,),
    "default_if_empty": lambda: (),
    "delay_subscription": lambda: (1.0,),
    "delay_with_mapper": lambda: (lambda _: reactivex.empty(),),
    "dematerialize": lambda: (),
    "delay": lambda: (1.0,),
    "distinct": lambda: (is_even,),
    "distinct_until_changed": lambda: (is_even,),
    "do": lambda: (Subject(),),
    "do_action": lambda: ([].append,),
    "do_while": lambda: (once(),),
    "element_at": lambda: (2,),
    "element_at_or_default": lambda: (99,),
    "exclusive": lambda: (),
    "expand": lambda: (lambda n: reactivex.of(n * 10) if n < 10 else reactivex.empty(),),
    "filter": lambda: (is_even,),
    "filter_indexed": lambda: (lambda n, index: index % 2,),
    "finally_action": lambda: (lambda: None,),
    "find": lambda: (lambda n, index, source: n == 4,),
    "find_index": lambda: (lambda n, index, source: n == 4,),
    "first": lambda: (is_even,),
    "first_or_default": lambda: (lambda n: n > 99, 7),
    "flat_map": lambda: (twice,),
    "flat_map_indexed": lambda: (lambda n, index: reactivex.of(n, index),),
    "flat_map_latest": lambda: (twice,),
    "fork_join": lambda: (reactivex.of(1),),
    "group_by": lambda: (is_even,),
    "group_by_until": lambda: (is_even, None, lambda _: reactivex.never()),
    "group_join": lambda: (reactivex.of(1), lambda _: reactivex.never(), lambda _: reactivex.never()),
    "ignore_elements": lambda: (),
    "is_empty": lambda: (),
    "join": lambda: (reactivex.of(1), lambda _: reactivex.never(), lambda _: reactivex.never()),
    "last": lambda: (is_even,),
    "last_or_default": lambda: (7, lambda n: n > 99),
    "map": lambda: (negative,),
    "map_indexed": lambda: (lambda n, index: n * index,),
    "materialize": lambda: (),
    "max": lambda: (),
    "max_by": lambda: (is_even,),
    "merge": lambda: (reactivex.of(1),),
    "merge_all": lambda: (),
    "min": lambda: (),
    "min_by": lambda: (is_even,),
    "multicast": lambda: (Subject(),),
    "observe_on": lambda: (ImmediateScheduler(),),
    "on_error_resume_next": lambda: (reactivex.of(1),),
    "pairwise": lambda: (),
    "partition": lambda: (is_even,),
    "partition_indexed": lambda: (lambda n, index: index % 2,),
    "pluck": lambda: ("n",),
    "pluck_attr": lambda: ("real",),
    "publish": lambda: (),
    "publish_value": lambda: (7,),
    "reduce": lambda: (lambda total, n: total + n,),
    "ref_count": lambda: (),
    "repeat": lambda: (2,),
    "replay": lambda: (2,),
    "retry": lambda: (2,),
    "sample": lambda: (1.0,),
    "scan": lambda: (lambda total, n: total + n,),
    "sequence_equal": lambda: (list(ITEMS),),
    "share": lambda: (),
    "single": lambda: (lambda n: n == 4,),
    "single_or_default": lambda: (lambda n: n > 99, 7),
    "single_or_default_async": lambda: (True, 7),
    "skip": lambda: (2,),
    "skip_last": lambda: (2,),
    "skip_last_with_time": lambda: (0.0,),
    "skip_until": lambda: (reactivex.of(1),),
    "skip_until_with_time": lambda: (0.0,),
    "skip_while": lambda: (lambda n: n < 3,),
    "skip_while_indexed": lambda: (lambda n, index: index < 3,),
    "skip_with_time": lambda: (0.0,),
    "slice": lambda: (1, -1, 2),
    "some": lambda: (is_even,),
    "starmap": lambda: (lambda n, other: n + other,),
    "starmap_indexed": lambda: (lambda n, other, index: n + other + index,),
    "start_with": lambda: (7, 8),
    "subscribe_on": lambda: (ImmediateScheduler(),),
    "sum": lambda: (),
    "switch_latest": lambda: (),
    "switch_map": lambda: (twice,),
    "switch_map_indexed": lambda: (lambda n, index: reactivex.of(n, index),),
    "take": lambda: (2,),
    "take_last": lambda: (2,),
    "take_last_buffer": lambda: (2,),
    "take_last_with_time": lambda: (1.0,),
    "take_until": lambda: (reactivex.never(),),
    "take_until_with_time": lambda: (1.0,),
    "take_while": lambda: (lambda n: n < 4,),
    "take_while_indexed": lambda: (lambda n, index: index < 4,),
    "take_with_time": lambda: (1.0,),
    "tap": lambda: ([].append,),
    "throttle_first": lambda: (1.0,),
    "throttle_with_mapper": lambda: (lambda _: reactivex.never(),),
    "timestamp": lambda: (),
    "timeout": lambda: (1.0,),
    "timeout_with_mapper": lambda: (reactivex.never(), lambda _: reactivex.never()),
    "time_interval": lambda: (),
    "to_dict": lambda: (negative,),
    "to_future": lambda: (concurrent.futures.Future,),
    "to_iterable": lambda: (),
    "to_list": lambda: (),
    "to_marbles": lambda: (),
    "to_set": lambda: (),
    "while_do": lambda: (once(),),
    "window": lambda: (reactivex.of(1),),
    "window_when": lambda: (reactivex.never,),
    "window_toggle": lambda: (reactivex.of(1), lambda _: reactivex.never()),
    "window_with_count": lambda: (4,),
    "window_with_time": lambda: (1.0,),
    "window_with_time_or_count": lambda: (1.0, 4),
    "with_latest_from": lambda: (reactivex.of(1),),
    "zip": lambda: (reactivex.of(*ITEMS),),
    "zip_latest": lambda: (reactivex.of(1),),
    "zip_with_list": lambda: (list(ITEMS),),
    "zip_with_iterable": lambda: (ITEMS,),
}
"""The arguments of each operator, made anew for each use."""


def is_even(n: Any) -> bool:
    return bool(n % 2 == 0)


def negative(n: Any) -> Any:
    return -n


def twice(n: Any) -> Any:
    return reactivex.of(n, n)


def once() -> Callable[[Any], bool]:
    left = [True]
    return lambda _: left.pop() if left else False


def element(operator: str) -> Callable[[int], Any]:
    """Makes the elements that an operator takes of whole numbers."""
    kinds: dict[str, Callable[[int], Any]] = {
        **dict.fromkeys(("concat_all", "exclusive", "merge_all", "switch_latest"), twice),
        **dict.fromkeys(("starmap", "starmap_indexed"), lambda n: (n, n)),
        "dematerialize": OnNext,
        "pluck": lambda n: {"n": n},
    }
    return kinds.get(operator, lambda n: n)


def piped(source: Any, name: str, scheduler: Any) -> Any:
    operator = getattr(ops, name)
    return source.pipe(operator(*ARGUMENTS[name](), **with_scheduler(operator, scheduler)))


def called(source: Any, name: str, scheduler: Any) -> Any:
    return getattr(source, name)(*ARGUMENTS[name](), **with_scheduler(getattr(ops, name), scheduler))


def in_each_way(names: Iterable[str]) -> list[Any]:
    """Operators with how they are used: in `pipe`, and as methods where the Observable of this version has them."""
    return [
        pytest.param(name, use, id=f"{name}-{use.__name__}")
        for name in sorted(names)
        for use in (piped, called)
        if use is piped or hasattr(reactivex.Observable, name)
    ]


def with_scheduler(operator: Any, scheduler: Any) -> dict[str, Any]:
    """The scheduler, for operators that take time."""
    parameter = inspect.signature(operator).parameters.get("scheduler")
    return {"scheduler": scheduler} if parameter is not None and parameter.default is None else {}


def recorded(
    made: Any, use: Callable[..., Any], name: str, drive: Callable[[], None] = lambda: None
) -> list[tuple[str, Any]]:
    """What subscribers of an operator's result are told, in virtual time; elements that are Observables as lists."""
    scheduler = VirtualTimeScheduler()
    seen: list[Any] = []
    result = use(made.publish() if name == "ref_count" else made, name, scheduler)
    for each in result if isinstance(result, list) else [result]:
        if isinstance(each, concurrent.futures.Future):
            each.add_done_callback(lambda future: seen.append(future.result()))
            continue
        listen(each, seen)
        if hasattr(each, "connect"):
            each.connect()
    drive()
    scheduler.start()
    return seen


def listen(observable: Any, seen: list[Any]) -> None:
    observable.subscribe(
        lambda value: seen.append(("next", plain(value))),
        lambda error: seen.append(("error", repr(error))),
        lambda: seen.append(("completed", None)),
        scheduler=ImmediateScheduler(),
    )


def plain(value: Any) -> Any:
    """A value that can be compared with that of another run."""
    if isinstance(value, reactivex.Observable):
        inner: list[Any] = []
        listen(value, inner)
        return inner
    if type(value) is tuple:
        return tuple(map(plain, value))
    return str(value) if isinstance(value, Notification) else value


def test_all_operators_of_reactivex_are_compared() -> None:
    assert set(ops.__all__) <= set(ARGUMENTS)


@pytest.mark.parametrize(("name", "use"), in_each_way(ARGUMENTS))
def test_an_operator_makes_the_same_of_a_flow_on_an_observable(name: str, use: Callable[..., Any]) -> None:
    source = reactivex.from_iterable(ITEMS)
    theirs = recorded(source.pipe(ops.map(element(name))), use, name)

    flow = source.pipe(rx_map(element(name)))

    assert type(flow) is Flow
    assert recorded(flow, use, name) == theirs
    assert theirs or name == "skip_until"  # its source is over before the other one begins


SUBSCRIBE_LATE = {"delay_subscription", "do_while", "repeat", "retry", "while_do"}


@pytest.mark.parametrize(("name", "use"), in_each_way(ARGUMENTS.keys() - SUBSCRIBE_LATE))
def test_an_operator_makes_the_same_of_the_flow_of_a_pipeline(name: str, use: Callable[..., Any]) -> None:
    subject: Subject[Any] = Subject()

    def drive() -> None:
        for n in ITEMS:
            subject.on_next(n)
        subject.on_completed()

    theirs = recorded(subject.pipe(ops.map(element(name))), use, name, drive)

    assert of_a_pipeline(name, use) == theirs


@pytest.mark.parametrize(("name", "use"), in_each_way(SUBSCRIBE_LATE))
def test_an_operator_that_subscribes_late_or_again_gets_the_whole_batch(name: str, use: Callable[..., Any]) -> None:
    assert of_a_pipeline(name, use) == recorded(reactivex.from_iterable(ITEMS), use, name)


def of_a_pipeline(name: str, use: Callable[..., Any]) -> list[tuple[str, Any]]:
    """What an operator makes of the source of a pipeline after one step of the runtime."""
    source = PushSource()

    def drive() -> None:
        for n in ITEMS:
            source.push(n)
        source.complete()

    return recorded(Flow(source).pipe(rx_map(element(name))), use, name, drive)


@pytest.mark.parametrize("name", own_flavors.FLAVORS)
def test_a_flavor_of_a_users_own_passes_on_what_it_says(name: str) -> None:
    assert own_flavors.run(name) == own_flavors.EXPECTED[name]


def test_flavors_of_users_do_the_same_where_they_import_reactivex_themselves(tmp_path: Path) -> None:
    elsewhere = {"PYTHONPYCACHEPREFIX": str(tmp_path), "PYTHONDONTWRITEBYTECODE": ""}
    compiled_once = os.environ | (elsewhere if sys.dont_write_bytecode else {})
    names = list(part_of(own_flavors.FLAVORS))
    ran = subprocess.run(
        [sys.executable, own_flavors.__file__, *names], check=True, capture_output=True, text=True, env=compiled_once
    )
    lines = {name: figures for name, *figures in map(json.loads, ran.stdout.splitlines())}

    assert {name: before for name, (_, before, _) in lines.items()} == dict.fromkeys(names, False)
    assert {name for name, (_, _, after) in lines.items() if not after} == own_flavors.WITHOUT_REACTIVEX & {*names}
    expected = {name: own_flavors.EXPECTED[name] for name in names}
    assert {name: passed for name, (passed, _, _) in lines.items()} == json.loads(json.dumps(expected))
