"""Flavors as users write them. Each imports what it takes of ReactiveX when it is used, not before.

``python own_flavors.py NAME ...`` runs each in a process that has not imported reactivex, and prints a line of JSON:
``[name, what it passed on, whether reactivex was imported before, and afterwards]``.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from functools import singledispatch
from typing import Any

from stream_runtime import DEFAULT_OPTIONS, StreamPipeline, faulty, initialize_from, rx_filter, rx_map
from stream_runtime.events import from_kinesis, to_kinesis_records
from stream_runtime.filters import on_content, on_event_type
from stream_runtime.flavors import task
from stream_runtime.operators import compose, split_buffer, tap
from stream_runtime.print import print_end_pipeline, print_start_pipeline

Flavor = Callable[[Any], Callable[[Any], Any]]

EXPECTED: dict[str, list[Any]] = {}
"""What each flavor passes on of the numbers 1 to 4, by its name."""

FLAVORS: dict[str, Flavor] = {}
WITHOUT_REACTIVEX: set[str] = set()
"""Flavors of the runtime's operators alone."""


def gives(*numbers: Any, needs_reactivex: bool = True) -> Callable[[Flavor], Flavor]:
    """Registers a flavor with what it passes on; the order counts unless it uses threads."""

    def register(flavor: Flavor) -> Flavor:
        name = flavor.__name__
        FLAVORS[name], EXPECTED[name] = flavor, list(numbers)
        if not needs_reactivex:
            WITHOUT_REACTIVEX.add(name)
        return flavor

    return register


number_of = rx_map(lambda uow: uow["event"]["n"])
plus_10 = rx_map(lambda n: n + 10)
is_even = rx_filter(lambda n: n % 2 == 0)


@gives(11, 12, 13, 14, needs_reactivex=False)
def operators_of_the_runtime_in_pipe(rule: Any) -> Any:
    def wrapper(source: Any) -> Any:
        return source.pipe(
            rx_filter(on_event_type(rule)),
            rx_filter(on_content(rule)),
            rx_map(faulty(lambda uow: uow["event"]["n"])),
            plus_10,
        )

    return wrapper


@gives(11, 12, 13, 14, needs_reactivex=False)
def operators_of_the_runtime_composed(rule: Any) -> Any:
    return compose(rx_filter(on_event_type(rule)), number_of, plus_10)


@gives(11, 12, 13, 14, needs_reactivex=False)
def operators_of_the_runtime_called(rule: Any) -> Any:
    return lambda source: plus_10(number_of(source))


@gives(12, 14, needs_reactivex=False)
def an_operator_of_a_users_own_in_pipe(rule: Any) -> Any:
    def even(source: Any) -> Any:
        return source.pipe(is_even)

    return lambda source: source.pipe(number_of, even, plus_10)


@gives(11, 12, 13, 14)
def do_action_between_operators_of_the_runtime(rule: Any) -> Any:
    from reactivex import Observable
    from reactivex import operators as ops

    def wrapper(source: Observable[Any]) -> Any:
        return source.pipe(
            rx_filter(on_event_type(rule)),
            ops.do_action(print_start_pipeline(rule)),
            rx_filter(on_content(rule)),
            number_of,
            plus_10,
            ops.do_action(lambda n: None),
        )

    return wrapper


@gives(1, 2, 3, 4)
def debug_lines_last(rule: Any) -> Any:
    from reactivex import operators as ops

    return lambda source: source.pipe(
        rx_map(lambda uow: {**uow, "number": uow["event"]["n"]}),
        ops.do_action(print_end_pipeline(rule)),
        rx_map(lambda uow: uow["number"]),
    )


@gives(11, 12, 13, 14)
def an_operator_of_reactivex_alone(rule: Any) -> Any:
    from reactivex import operators as ops

    return ops.map(lambda uow: uow["event"]["n"] + 10)


@gives(11, 12, 13, 14)
def an_operator_of_reactivex_called_with_the_source(rule: Any) -> Any:
    def wrapper(source: Any) -> Any:
        from reactivex import operators as ops

        return plus_10(ops.map(lambda uow: uow["event"]["n"])(source))

    return wrapper


@gives(1, 2, 2, 4, 3, 6, 4, 8)
def flat_map_to_observables_of_reactivex(rule: Any) -> Any:
    from reactivex import of
    from reactivex import operators as ops

    return lambda source: source.pipe(number_of, ops.flat_map(lambda n: of(n, 2 * n)))


@gives(11, 12, 12, 14, 13, 16, 14, 18)
def flat_map_to_flows(rule: Any) -> Any:
    from reactivex import of
    from reactivex import operators as ops

    return lambda source: source.pipe(number_of, ops.flat_map(lambda n: of(n, 2 * n).pipe(plus_10)))


@gives(-12, -14)
def methods_of_observables(rule: Any) -> Any:
    return lambda source: source.pipe(number_of).filter(lambda n: n % 2 == 0).pipe(plus_10).map(lambda n: -n)


@gives(0, 1, 2, 3, 4)
def merge_with_another_observable(rule: Any) -> Any:
    def wrapper(source: Any) -> Any:
        import reactivex

        return reactivex.merge(reactivex.of(0), source.pipe(number_of))

    return wrapper


@gives(11, 12, 13, 14, 1, 2, 3, 4)
def two_ways_concatenated(rule: Any) -> Any:
    def wrapper(source: Any) -> Any:
        return source.pipe(number_of, plus_10) + source.pipe(number_of)

    return wrapper


@gives(1, 11, 2, 12, 3, 13, 4, 14)
def two_ways_merged(rule: Any) -> Any:
    def wrapper(source: Any) -> Any:
        import reactivex

        return reactivex.merge(source.pipe(number_of), source.pipe(number_of, plus_10))

    return wrapper


@gives((1, 11), (2, 12), (3, 13), (4, 14))
def two_ways_zipped(rule: Any) -> Any:
    def wrapper(source: Any) -> Any:
        import reactivex

        numbers = source.pipe(number_of)
        return reactivex.zip(numbers, numbers.pipe(plus_10))

    return wrapper


@gives((1, 11), (2, 12), (3, 13), (4, 14))
def two_ways_of_a_shared_flow(rule: Any) -> Any:
    def wrapper(source: Any) -> Any:
        from reactivex import operators as ops

        shared = source.pipe(number_of, ops.share())
        return shared.pipe(ops.zip(shared.pipe(plus_10)))

    return wrapper


@gives((1, 11), (2, 12), (3, 13), (4, 14))
def publish_with_a_selector(rule: Any) -> Any:
    def wrapper(source: Any) -> Any:
        import reactivex
        from reactivex import operators as ops

        return source.pipe(number_of, ops.publish(lambda numbers: reactivex.zip(numbers, numbers.pipe(plus_10))))

    return wrapper


@gives(2, 3)
def a_slice(rule: Any) -> Any:
    return lambda source: number_of(source)[1:3]


@gives([1, 3], [2, 4])
def groups(rule: Any) -> Any:
    from reactivex import operators as ops

    return lambda source: source.pipe(
        number_of, ops.group_by(lambda n: n % 2), ops.flat_map(lambda group: group.pipe(ops.to_list()))
    )


@gives(11, 12, 13, 14)
def buffers(rule: Any) -> Any:
    from reactivex import operators as ops

    return lambda source: source.pipe(number_of, ops.buffer_with_count(3), split_buffer(), plus_10)


@gives(1, 3, 6, 10)
def state(rule: Any) -> Any:
    from reactivex import operators as ops

    return lambda source: source.pipe(number_of, ops.scan(lambda total, n: total + n, 0))


@gives(11, 12, 13, 14)
def what_is_an_observable(rule: Any) -> Any:
    def wrapper(source: Any) -> Any:
        import reactivex

        if not isinstance(source, reactivex.Observable) or not isinstance(source, reactivex.abc.ObservableBase):
            raise TypeError(type(source))
        return source.pipe(number_of, plus_10)

    return wrapper


@gives(1, 2, 3, 4)
def single_dispatch_and_match(rule: Any) -> Any:
    def wrapper(source: Any) -> Any:
        from reactivex import Observable

        @singledispatch
        def numbers(value: Any) -> Any:
            raise TypeError(value)

        numbers.register(Observable, lambda source: source.pipe(number_of))
        match source:
            case Observable():
                return numbers(source)
            case _:
                raise TypeError(source)

    return wrapper


@gives(1, 2, 3, 4)
def an_observable_of_a_users_own(rule: Any) -> Any:
    def wrapper(source: Any) -> Any:
        from reactivex import Observable

        numbers = source.pipe(number_of)

        def subscribe(observer: Any, scheduler: Any = None) -> Any:
            return numbers.subscribe(observer, scheduler=scheduler)

        return Observable(subscribe)

    return wrapper


@gives(1, 2, 3, 4)
def an_observable_of_a_users_own_with_callbacks(rule: Any) -> Any:
    def wrapper(source: Any) -> Any:
        import reactivex

        def subscribe(observer: Any, scheduler: Any = None) -> Any:
            return number_of(source).subscribe(observer.on_next, observer.on_error, observer.on_completed)

        return reactivex.create(subscribe)

    return wrapper


@gives(1, 2, 3, 4)
def a_subject_that_subscribes(rule: Any) -> Any:
    def wrapper(source: Any) -> Any:
        from reactivex.subject import Subject

        subject: Subject[Any] = Subject()
        source.pipe(number_of).subscribe(subject)
        return subject

    return wrapper


@gives([1, 2, 3, 4, "over"], [1, 2, 3, 4, "over"], [1, 2, 3, 4, "over"], [1, 2, 3, 4, "over"])
def a_subscription_beside_the_flow(rule: Any) -> Any:
    def wrapper(source: Any) -> Any:
        seen: list[Any] = []
        source.pipe(number_of).subscribe(seen.append, on_completed=lambda: seen.append("over"))
        return source.pipe(rx_filter(on_event_type(rule)), rx_map(lambda uow: seen))

    return wrapper


@gives([1], [1], [1], [1])
def a_subscription_that_is_disposed(rule: Any) -> Any:
    def wrapper(source: Any) -> Any:
        from reactivex.disposable import SerialDisposable

        seen: list[Any] = []
        subscription = SerialDisposable()

        def look(n: Any) -> None:
            seen.append(n)
            subscription.dispose()

        subscription.disposable = source.pipe(number_of).subscribe(look)
        return source.pipe(rx_map(lambda uow: seen))

    return wrapper


@gives(1, 2)
def some_are_enough(rule: Any) -> Any:
    from reactivex import operators as ops

    return lambda source: source.pipe(number_of, ops.take(2))


@gives(1, 2, 3, 4, 1, 2, 3, 4)
def the_batch_twice(rule: Any) -> Any:
    from reactivex import operators as ops

    return lambda source: source.pipe(ops.repeat(2), number_of)


@gives(1, 2, 1, 2, 3, 4)
def once_more_after_an_error(rule: Any) -> Any:
    from reactivex import operators as ops

    failures = [ValueError("of a moment")]

    def fail_once(n: int) -> int:
        if n == 3 and failures:
            raise failures.pop()
        return n

    return lambda source: source.pipe(number_of, ops.map(fail_once), ops.retry(2))


@gives(1, 2, -1)
def an_error_that_is_caught(rule: Any) -> Any:
    import reactivex
    from reactivex import operators as ops

    def fail(n: int) -> int:
        if n == 3:
            raise ValueError(n)
        return n

    return lambda source: source.pipe(number_of, ops.map(fail), ops.catch(reactivex.of(-1)))


@gives(1, 2, 3, 4)
def a_deferred_flow(rule: Any) -> Any:
    def wrapper(source: Any) -> Any:
        import reactivex

        return reactivex.defer(lambda _: number_of(source))

    return wrapper


@gives(1, 2, 3, 4)
def a_later_subscription(rule: Any) -> Any:
    from reactivex import operators as ops

    # ReactiveX loses a subscription whose timer fires before `subscribe` has returned in the other thread.
    return lambda source: source.pipe(ops.delay_subscription(0.05), number_of)


@gives(11, 12, 13, 14)
def later_in_another_thread(rule: Any) -> Any:
    from reactivex import operators as ops

    return lambda source: source.pipe(number_of, ops.delay(0.001), plus_10)


@gives(11, 12, 13, 14)
def in_a_pool_of_threads(rule: Any) -> Any:
    from reactivex import operators as ops
    from reactivex.scheduler import ThreadPoolScheduler

    return lambda source: source.pipe(number_of, ops.observe_on(ThreadPoolScheduler(4)), plus_10)


@gives(11, 12, 13, 14)
def composed_by_reactivex(rule: Any) -> Any:
    from reactivex import compose as reactivex_compose
    from reactivex import operators as ops

    return reactivex_compose(number_of, ops.map(lambda n: n + 10))


@gives(11, 12, 13, 14)
def piped_by_reactivex(rule: Any) -> Any:
    def wrapper(source: Any) -> Any:
        from reactivex import operators as ops
        from reactivex import pipe

        return pipe(source, number_of, ops.map(lambda n: n + 10))

    return wrapper


@gives(11, 12, 13, 14)
def attributes_of_an_observable(rule: Any) -> Any:
    def wrapper(source: Any) -> Any:
        with source.lock:
            return source.pipe(number_of).as_observable().pipe(plus_10)

    return wrapper


@gives(11, 12, 13, 14)
def execute_operators_of_a_task(rule: Any) -> Any:
    def execute_operators(rule: Any) -> Any:
        from reactivex import operators as ops

        return ops.map(lambda uow: {**uow, "result": uow["event"]["n"] + 10})

    work = task({**rule, "execute_operators": execute_operators})
    return compose(work, rx_map(lambda uow: uow["result"]))


@gives(1, 2, 3, 4, needs_reactivex=False)
def looks_of_the_runtime(rule: Any) -> Any:
    return lambda source: source.pipe(tap(lambda uow: None), number_of)


def run(name: str) -> list[Any]:
    """What a flavor passes on of the numbers 1 to 4; afterwards, every record must have been done."""
    passed: list[Any] = []
    events = [{"id": f"e{n}", "type": "x", "timestamp": 1, "partition_key": f"k{n}", "n": n} for n in (1, 2, 3, 4)]
    pipeline = StreamPipeline(
        initialize_from([{"id": name, "flavor": FLAVORS[name], "event_type": "x"}]), DEFAULT_OPTIONS
    )
    uows = from_kinesis(to_kinesis_records(events))
    response = pipeline.assemble(uows, on_next=lambda _, value: passed.append(value))
    if response != {"batchItemFailures": []}:
        raise AssertionError(response)
    return passed


def imported() -> bool:
    return "reactivex" in sys.modules


def main() -> None:
    """Run each flavor in a process of its own, which begins where this one stands: without reactivex."""
    for name in sys.argv[1:]:
        child = os.fork()
        if child:
            if os.waitpid(child, 0)[1]:
                sys.exit(f"{name} failed")
            continue
        before = imported()
        print(json.dumps([name, run(name), before, imported()]), flush=True)
        os._exit(0)


if __name__ == "__main__":
    main()
