"""The operators that flavors are made of: map, filter, split, effects, calls in parallel, reads that are shared.

All of them are ReactiveX operators. A function that fails for one unit of work stops that unit, never the stream:
poison becomes a fault event, anything else is left for retry. Batch calls are in `batching`.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from time import perf_counter
from typing import Any, NamedTuple

from stream_runtime import settings

from .flow import EffectStep, Extension, FilterStep, FlattenStep, GatherStep, MapStep, Operator, Recipe, compose, extend
from .rate import Rate, rate_of
from .records import order_key, uows_of
from .run import Run
from .scheduling import in_key_order

_PENDING = object()


def rx_map(mapper: Callable[[Any], Any]) -> Operator:
    """Pass on ``mapper(uow)``. An exception stops that unit of work only.

    An operator of this library, such as ``update_dynamodb()``, is returned as it is: custom flavors written for
    aws_lambda_stream, where it is a mapper, need no change.
    """
    return mapper if isinstance(mapper, Extension | Recipe) else extend(MapStep(mapper))


def rx_filter(predicate: Callable[[Any], Any]) -> Operator:
    """Pass on the units of work for which ``predicate(uow)`` holds; exceptions as in `rx_map`.

    The predicate `always` adds no step.
    """
    return compose() if predicate is always else extend(FilterStep(predicate))


def always(_: Any) -> bool:
    """The predicate that holds for every unit of work."""
    return True


def split_buffer() -> Operator:
    """Pass on the members of each list, one by one."""
    return extend(FlattenStep())


def tap(function: Callable[[Any], object]) -> Operator:
    """Call a function for each unit of work and pass the unit on unchanged."""

    def look(uow: Any) -> Any:
        function(uow)
        return uow

    return rx_map(look)


def rx_effect(
    mapper: Callable[[Any], Any],
    *,
    effect: Callable[[Any], object] | None = None,
    parallel: int | None = None,
    rate: float | None = None,
) -> Operator:
    """Map with a function that has effects: it is not called for a record that comes again, nor after the deadline.

    Args:
        mapper: makes the next unit of work of one.
        effect: does the same without making one; it may be called instead where nothing follows.
        parallel: None calls it as units of work arrive, in the calling thread. A number makes up to that many calls at
            once, in order for each partition key, after the whole batch has arrived.
        rate: at most so many a second.
    """
    if parallel is None and rate is None:
        return extend(EffectStep(mapper, effect))
    return _each(lambda _, uow: mapper(uow), step_name(mapper), parallel or 1, rate)


def rx_parallel(
    call: Callable[[Run, Any], Any],
    *,
    parallel: int | None = None,
    rate: float | None = None,
    written: Callable[[Any], Iterable[Hashable]] | None = None,
) -> Operator:
    """Make one call for each unit of work, up to ``parallel`` at once, in order for each partition key.

    Args:
        call: makes the next unit of work of one; it gets the run, for ``run.retry.call(...)``.
        parallel: how many at once; PARALLEL by default.
        rate: at most so many a second.
        written: what a unit of work writes, such as the keys of items; writes of the same keep their order, too.
    """
    return _each(call, step_name(call), parallel, rate, written)


def rx_request(
    send: Callable[[Any], Any],
    *,
    request_field: str,
    response_field: str,
    parallel: int | None = None,
    rate: float | None = None,
) -> Operator:
    """Send the request in a field of each unit of work and put the response in another; units without one pass.

    Args:
        send: makes the call and returns the response.
        request_field: where the request is.
        response_field: where the response is put.
        parallel: calls at once, in order for each partition key; PARALLEL by default.
        rate: calls a second.
    """

    def one(_: Run, uow: Any) -> Any:
        request = uow.get(request_field)
        return {**uow, response_field: send(request)} if request else uow

    return _each(one, step_name(send), parallel, rate)


def _each(
    call: Callable[[Run, Any], Any],
    step: str,
    parallel: int | None,
    rate: float | None,
    written: Callable[[Any], Iterable[Hashable]] | None = None,
) -> Operator:
    def plan(run: Run, uows: Sequence[Any], _: list[Any]) -> list[list[Unit]]:
        if parallel == 1:  # one after the other, in the order of the batch, whatever their keys
            return [[Unit(uow, place, set())] for place, uow in enumerate(uows)]
        units = []
        for place, uow in enumerate(uows):
            try:
                keys = order_keys(uow)
                if written is not None:
                    # Hashes take less memory; two things with the same one keep an order that they do not need.
                    keys.update(map(hash, written(uow)))
            except Exception as error:
                run.fail(error, uow)
                continue
            units.append([Unit(uow, place, keys)])
        return units

    def make(run: Run, request: Sequence[Unit], results: list[Any]) -> int:
        (unit,) = request
        uow = unit.uow
        try:
            results[unit.place] = call(run, uow)
        except Exception as error:
            run.fail(error, uow)
        return 0

    return calls(plan, make, step=step, parallel=parallel, rate=rate)


def rx_shared(
    query: Callable[[Any], Any],
    *,
    key: Callable[[Any], Hashable],
    field: str,
    parallel: int | None = None,
    rate: float | None = None,
) -> Operator:
    """Make one read for each key of a batch, and give the answer to every unit of work with that key.

    Args:
        query: the answer for a unit of work; called with the first one of each key.
        key: what makes two reads the same; None reads nothing.
        field: where the answer is put.
        parallel: how many reads at once; PARALLEL by default.
        rate: at most so many reads a second.
    """

    def plan(run: Run, uows: Sequence[Any], results: list[Any]) -> list[list[Unit]]:
        readers: dict[Hashable, list[Unit]] = {}
        for place, uow in enumerate(uows):
            try:
                shared = key(uow)
            except Exception as error:
                run.fail(error, uow)
                continue
            if shared is None:
                results[place] = uow
            else:
                readers.setdefault(shared, []).append(Unit(uow, place, {shared}))
        return list(readers.values())

    def make(run: Run, request: Sequence[Unit], results: list[Any]) -> int:
        uow = request[0].uow
        try:
            answer = query(uow)
        except Exception as error:
            for unit in request:
                run.fail(error, unit.uow)
            return 0
        for unit in request:
            results[unit.place] = {**unit.uow, field: answer}
        return 0

    return calls(plan, make, step=step_name(query), parallel=parallel, rate=rate, one_turn=True)


class Unit(NamedTuple):
    """A unit of work in a request.

    Attributes:
        uow: the unit of work.
        place: its index in the batch.
        keys: the keys whose order it keeps.
        entry: what is sent for it, in calls that take entries.
        size: bytes of that.
    """

    uow: Any
    place: int
    keys: set[Hashable]
    entry: Any = None
    size: int = 0


def calls(
    plan: Callable[[Run, Sequence[Any], list[Any]], Sequence[Sequence[Unit]]],
    make: Callable[[Run, Sequence[Unit], list[Any]], int],
    *,
    step: str,
    parallel: int | None,
    rate: float | None,
    one_turn: bool = False,
) -> Operator:
    """Make the calls of a batch after all of it has arrived, in parallel and in order for each key.

    Args:
        plan: groups the units of work into requests. It stores the results of units that need no call.
        make: makes a request for those of its units that may start, stores their results, reports failures to the run,
            and returns the bytes sent.
        step: the step's name in metrics.
        parallel: how many requests at once; PARALLEL by default.
        rate: at most so many units of work a second.
        one_turn: a request takes one turn of the rate, however many units of work it serves.
    """
    limit = rate_of(rate)
    lanes = parallel or settings.PARALLEL.read()

    def work(run: Run, uows: Sequence[Any]) -> Iterable[Any]:
        gathered = perf_counter()
        results: list[Any] = [_PENDING] * len(uows)
        requests = plan(run, uows, results)

        def one(number: int) -> None:
            request = _startable(run, requests[number], limit, one_turn)
            if not request:
                return
            begun = perf_counter()
            sent = make(run, request, results)
            if run.meter is not None:
                run.meter.called(request[0].uow, step, begun - gathered, perf_counter() - begun, sent)

        in_key_order([_keys_of(request) for request in requests], one, lanes)
        return (result for result in results if result is not _PENDING)

    return extend(GatherStep(work, needs_whole_batch=one_turn or limit is not None))


def _keys_of(request: Sequence[Unit]) -> set[Hashable]:
    return request[0].keys if len(request) == 1 else set().union(*(unit.keys for unit in request))


def _startable(run: Run, request: Sequence[Unit], limit: Rate | None, one_turn: bool) -> Sequence[Unit]:
    """The units that may start, once the rate lets them."""
    able = [unit for unit in request if run.may_start(unit.uow)]
    if limit is None or not able:
        return able
    if one_turn:
        admitted = able if limit.admit(run, {"batch": [unit.uow for unit in able]}) else []
    else:
        admitted = [unit for unit in able if limit.admit(run, unit.uow)]
    return [unit for unit in admitted if run.may_start(unit.uow)]


def order_keys(uow: Any) -> set[Hashable]:
    """The keys whose order a unit of work keeps: one, or one for each member of its batch."""
    if uow.__class__ is dict and "batch" not in uow:
        return {order_key(uow)}
    return {order_key(single) for single in uows_of(uow)}


def step_name(function: Callable[..., Any]) -> str:
    """The name of a step in metrics: the operator that makes it, and the function it calls."""
    name = getattr(function, "__qualname__", type(function).__name__)
    return str(name).replace(".<locals>", "")
