"""The operators that flavors are made of: map, filter, split, effects one by one, calls in parallel, calls in batches.

All of them are ReactiveX operators. A function that fails for one unit of work ends that unit's way, never the stream:
poison becomes a fault event, anything else is left for retry.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from time import perf_counter
from typing import Any, NamedTuple

from .flow import EffectStep, FilterStep, FlattenStep, GatherStep, MapStep, Operator, Step, compose, extend
from .rate import rate_of
from .records import order_key, uows_of
from .retry import classify
from .run import Run
from .scheduling import in_key_order

_NOTHING = object()


def rx_map(mapper: Callable[[Any], Any]) -> Operator:
    """Hand on ``mapper(uow)``; an exception is booked for that unit of work and the rest goes on."""
    return extend(MapStep(mapper))


def rx_filter(predicate: Callable[[Any], Any]) -> Operator:
    """Hand on the units of work for which ``predicate(uow)`` holds; exceptions as in `rx_map`.

    The predicate `always` adds no step.
    """
    return compose() if predicate is always else extend(FilterStep(predicate))


def always(_: Any) -> bool:
    """The predicate that holds for every unit of work."""
    return True


def split_buffer() -> Operator:
    """Hand on the members of each list, one by one."""
    return extend(FlattenStep())


def tap(function: Callable[[Any], object]) -> Operator:
    """Call a function for each unit of work and hand the unit on unchanged."""

    def look(uow: Any) -> Any:
        function(uow)
        return uow

    return rx_map(look)


def rx_effect(mapper: Callable[[Any], Any], *, parallel: int | None = None, rate: float | None = None) -> Operator:
    """Map with a function that has effects: not begun for a record that comes again, nor after the deadline.

    Args:
        mapper: makes the next unit of work of one.
        parallel: None runs it as units of work arrive, in the calling thread; a number runs up to that many at once,
            in order for each partition key, once the whole batch is there.
        rate: at most so many a second.
    """
    if parallel is None and rate is None:
        return extend(EffectStep(mapper))

    def execute(_: Run, uow: Any) -> Any:
        return mapper(uow)

    return rx_parallel(execute, parallel=parallel or 1, rate=rate)


def rx_parallel(call: Callable[[Run, Any], Any], *, parallel: int, rate: float | None = None) -> Operator:
    """Make one call for each unit of work, up to ``parallel`` at once, in order for each partition key.

    Args:
        call: makes the next unit of work of one; it gets the run, for ``run.retry.call(...)``.
        parallel: how many at once.
        rate: at most so many a second.
    """
    limit = rate_of(rate)
    step = step_name(call)

    def work(run: Run, uows: Sequence[Any]) -> Iterable[Any]:
        results: list[Any] = [_NOTHING] * len(uows)
        gathered = perf_counter()

        def one(index: int) -> None:
            uow = uows[index]
            if not run.may_start(uow):
                return
            if limit is not None and not (limit.admit(run, uow) and run.may_start(uow)):
                return
            begun = perf_counter()
            try:
                results[index] = call(run, uow)
            except Exception as error:
                run.fail(error, uow)
            if run.meter is not None:
                run.meter.called(uow, step, begun - gathered, perf_counter() - begun)

        in_key_order([{order_key(single) for single in uows_of(uow)} for uow in uows], one, parallel)
        return (result for result in results if result is not _NOTHING)

    return extend(GatherStep(work))


def rx_shared(
    query: Callable[[Run, Any], Any],
    *,
    key: Callable[[Any], Hashable],
    field: str,
    parallel: int,
    rate: float | None = None,
) -> Operator:
    """Read once per key for the whole batch, and give the answer to every unit of work with that key.

    Args:
        query: the answer for a unit of work; called with the first one of each key.
        key: what makes two reads the same; None reads nothing.
        field: where the answer is put.
        parallel: how many reads at once.
        rate: at most so many reads a second.
    """
    limit = rate_of(rate)
    step = step_name(query)

    def work(run: Run, uows: Sequence[Any]) -> Iterable[Any]:
        gathered = perf_counter()
        readers: dict[Hashable, list[int]] = {}
        results: list[Any] = [_NOTHING] * len(uows)
        for index, uow in enumerate(uows):
            try:
                shared = key(uow)
            except Exception as error:
                run.fail(error, uow)
                continue
            if shared is None:
                results[index] = uow
            else:
                readers.setdefault(shared, []).append(index)
        groups = list(readers.values())

        def one(group: int) -> None:
            indexes = [index for index in groups[group] if run.may_start(uows[index])]
            if indexes and limit is not None and not limit.admit(run, {"batch": [uows[index] for index in indexes]}):
                return
            if not indexes:
                return
            begun = perf_counter()
            try:
                answer = query(run, uows[indexes[0]])
            except Exception as error:
                for index in indexes:
                    run.fail(error, uows[index])
                return
            finally:
                if run.meter is not None:
                    run.meter.called(uows[indexes[0]], step, begun - gathered, perf_counter() - begun)
            for index in indexes:
                results[index] = {**uows[index], field: answer}

        in_key_order([(group,) for group in range(len(groups))], one, parallel)
        return (result for result in results if result is not _NOTHING)

    return extend(GatherStep(work))


class BatchCall(NamedTuple):
    """One API that takes many entries in a request and answers for each of them.

    Attributes:
        entry: the entry of a unit of work, or None where it has nothing to send.
        send: makes the call with a list of entries and answers, for each, a response or the exception it failed with.
        response_field: where the entry's response is put in the unit of work.
        most_entries: how many entries a request may have.
        most_bytes: how many bytes all entries of a request may have together.
        size: bytes of an entry, as the service counts them.
        identity: entries with the same identity never share a request, and are sent in order; None for no such rule.
        target: entries for different targets (queue, topic, stream) never share a request; None where there is one.
    """

    entry: Callable[[Any], Any]
    send: Callable[[Sequence[Any]], Sequence[Any]]
    response_field: str
    most_entries: int
    most_bytes: int
    size: Callable[[Any], int]
    identity: Callable[[Any], Hashable] | None = None
    target: Callable[[Any], Hashable] | None = None


class _Entry(NamedTuple):
    uow: Any
    body: Any
    keys: set[Hashable]
    place: int


def rx_batched(api: BatchCall, *, parallel: int, rate: float | None = None) -> Operator:
    """Send the entries of a batch in as few requests as their number, size and order allow.

    A request never holds two entries of one partition key: one may fail where the next succeeds, and would be
    overtaken. What failed transiently inside a successful call is sent again alone; a request that is refused as a
    whole is sent entry by entry, so that only the entry at fault becomes a fault event. ``rate`` lets at most so many
    entries a second go.
    """
    limit = rate_of(rate)
    step = step_name(api.send)

    def work(run: Run, uows: Sequence[Any]) -> Iterable[Any]:
        results: list[Any] = [_NOTHING] * len(uows)
        gathered = perf_counter()
        entries = []
        for index, uow in enumerate(uows):
            try:
                body = api.entry(uow)
                if body is None:
                    results[index] = uow
                    continue
                keys: set[Hashable] = {order_key(single) for single in uows_of(uow)}
                if api.identity is not None:
                    keys.add(("entry", api.identity(body)))
            except Exception as error:
                run.fail(error, uow)
                continue
            entries.append(_Entry(uow, body, keys, index))
        requests = _pack(entries, api)

        def one(number: int) -> None:
            request = requests[number]
            if limit is not None:
                request = [entry for entry in request if run.may_start(entry.uow) and limit.admit(run, entry.uow)]
            begun = perf_counter()
            for entry, response in _send(run, api, request):
                results[entry.place] = {**entry.uow, api.response_field: response}
            if run.meter is not None and request:
                sent = sum(api.size(entry.body) for entry in request)
                run.meter.called(request[0].uow, step, begun - gathered, perf_counter() - begun, sent)

        in_key_order([set().union(*(entry.keys for entry in request)) for request in requests], one, parallel)
        return (result for result in results if result is not _NOTHING)

    return extend(GatherStep(work))


def _pack(entries: Sequence[_Entry], api: BatchCall) -> list[list[_Entry]]:
    """Entries in requests: as full as may be, and for each key in the order in which they came."""
    requests: list[list[_Entry]] = []
    sizes: list[int] = []
    targets: list[Hashable] = []
    last_with: dict[Hashable, int] = {}
    first_open = 0
    for entry in entries:
        size = api.size(entry.body)
        target = api.target(entry.body) if api.target is not None else None
        earliest = max((last_with[key] + 1 for key in entry.keys if key in last_with), default=0)
        number = max(earliest, first_open)
        while number < len(requests) and (
            len(requests[number]) >= api.most_entries
            or sizes[number] + size > api.most_bytes
            or targets[number] != target
        ):
            number += 1
        if number == len(requests):
            requests.append([])
            sizes.append(0)
            targets.append(target)
        requests[number].append(entry)
        sizes[number] += size
        for key in entry.keys:
            last_with[key] = number
        while first_open < len(requests) and len(requests[first_open]) >= api.most_entries:
            first_open += 1
    return requests


def _send(run: Run, api: BatchCall, request: Sequence[_Entry]) -> list[tuple[_Entry, Any]]:
    """The entries that were accepted, with their responses; the others are booked as failed."""
    accepted: list[tuple[_Entry, Any]] = []
    left = [entry for entry in request if run.may_start(entry.uow)]
    attempt = 1
    while left:
        try:
            outcomes = api.send([entry.body for entry in left])
        except Exception as error:
            if len(left) > 1 and classify(error) == "poison":
                for entry in left:
                    accepted += _send(run, api, [entry])
                return accepted
            outcomes = [error] * len(left)
        again = []
        for entry, outcome in zip(left, outcomes, strict=True):
            if not isinstance(outcome, BaseException):
                accepted.append((entry, outcome))
            elif classify(outcome) == "transient":
                again.append((entry, outcome))
            else:
                run.fail(outcome, entry.uow)
        if again and not run.retry.pause(attempt):
            for entry, outcome in again:
                run.fail(outcome, entry.uow)
            return accepted
        left = [entry for entry, _ in again if run.may_start(entry.uow)]
        attempt += 1
    return accepted


def step_name(function: Callable[..., Any]) -> str:
    """What a step is called in metrics: the operator that makes it, and what it does there."""
    name = getattr(function, "__qualname__", type(function).__name__)
    return str(name).replace(".<locals>", "")


def steps_of(flow: Any) -> tuple[Step, ...]:
    """The fused steps of a flow, in order; none for any other Observable."""
    return getattr(flow, "steps", ())
