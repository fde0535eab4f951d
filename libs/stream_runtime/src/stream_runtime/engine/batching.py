"""Batch calls: as few requests as number, size and order of the entries allow; each entry has its own outcome."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

from .flow import Operator
from .naming import Call, target_in
from .operators import Unit, calls, order_keys, step_name
from .retry import RequestFailed, classify
from .run import Run


class Limits(NamedTuple):
    """What an API takes in a request.

    Attributes:
        entries: how many at most.
        bytes: how many at most, of all entries together.
        usual_bytes: how many are sent where nothing else is said; None for as many as it takes.
    """

    entries: int
    bytes: int
    usual_bytes: int | None = None

    def most_entries(self, wanted: int | None) -> int:
        """The entries of a request: as many as wanted, and the API takes."""
        return min(wanted or self.entries, self.entries)

    def most_bytes(self, wanted: int | None) -> int:
        """The bytes of a request: as many as wanted, and the API takes."""
        return min(wanted or self.usual_bytes or self.bytes, self.bytes)


class BatchCall(NamedTuple):
    """An API that takes several entries in a request and answers for each.

    Attributes:
        entry: makes the entry of a unit of work, or None to send nothing.
        send: makes the call with a list of entries; returns, for each, the response or the exception it failed with.
        response_field: the field of the unit of work that gets the entry's response.
        limits: what the API takes in a request.
        size: bytes of an entry, as the service counts them.
        identity: entries with the same identity never share a request and are sent in order; None for no such rule.
        target: entries for different targets (queue, topic, stream) never share a request; None for a single target.
    """

    entry: Callable[[Any], Any]
    send: Callable[[Sequence[Any]], Sequence[Any]]
    response_field: str
    limits: Limits
    size: Callable[[Any], int]
    identity: Callable[[Any], Hashable] | None = None
    target: Callable[[Any], Hashable] | None = None


def rx_batched(
    api: BatchCall,
    *,
    batch_size: int | None = None,
    max_request_size: int | None = None,
    parallel: int | None = None,
    rate: float | None = None,
) -> Operator:
    """Send the entries of a batch in as few requests as their number, size and order allow.

    A request never holds two entries of one partition key: if the first failed and the second succeeded, they would
    change places. Entries that failed transiently inside a successful call are sent again alone. A request that is
    refused as a whole is sent entry by entry, so only the entry at fault becomes a fault event.

    Args:
        api: the call.
        batch_size: entries in a request, at most as many as the API takes.
        max_request_size: bytes of a request, at most as many as the API takes.
        parallel: requests at once; PARALLEL by default.
        rate: entries a second.
    """
    most_entries = api.limits.most_entries(batch_size)
    most_bytes = api.limits.most_bytes(max_request_size)

    def plan(run: Run, uows: Sequence[Any], results: list[Any]) -> list[list[Unit]]:
        units = []
        for place, uow in enumerate(uows):
            try:
                entry = api.entry(uow)
                if entry is None:
                    results[place] = uow
                    continue
                keys = order_keys(uow)
                if api.identity is not None:
                    keys.add(("entry", api.identity(entry)))
                size = api.size(entry)
            except Exception as error:
                run.fail(error, uow)
                continue
            units.append(Unit(uow, place, keys, entry, size))
        return _pack(units, api, most_entries, most_bytes)

    def make(run: Run, request: Sequence[Unit], results: list[Any]) -> int:
        for unit, response in _send(run, api, request):
            results[unit.place] = {**unit.uow, api.response_field: response}
        return sum(unit.size for unit in request)

    return calls(plan, make, step=step_name(api.send), parallel=parallel, rate=rate)


def _pack(units: Sequence[Unit], api: BatchCall, most_entries: int, most_bytes: int) -> list[list[Unit]]:
    """Group units into requests that are as full as possible and keep the order of each key."""
    requests: list[list[Unit]] = []
    sizes: list[int] = []
    targets: list[Hashable] = []
    last_with: dict[Hashable, int] = {}
    first_open = 0
    for unit in units:
        size = unit.size
        target = api.target(unit.entry) if api.target is not None else None
        number = first_open
        for key in unit.keys:
            behind = last_with.get(key, -1) + 1
            if behind > number:
                number = behind
        while number < len(requests) and (
            len(requests[number]) >= most_entries or sizes[number] + size > most_bytes or targets[number] != target
        ):
            number += 1
        if number == len(requests):
            requests.append([])
            sizes.append(0)
            targets.append(target)
        requests[number].append(unit)
        sizes[number] += size
        for key in unit.keys:
            last_with[key] = number
        while first_open < len(requests) and len(requests[first_open]) >= most_entries:
            first_open += 1
    return requests


def _send(run: Run, api: BatchCall, request: Sequence[Unit]) -> list[tuple[Unit, Any]]:
    """The units whose entries were accepted, with the responses. Failures of the others are reported to the run."""
    accepted: list[tuple[Unit, Any]] = []
    left = [unit for unit in request if run.may_start(unit.uow)]
    attempt = 1
    while left:
        try:
            outcomes = api.send([unit.entry for unit in left])
        except Exception as error:
            if len(left) > 1 and classify(error) == "poison":
                for unit in left:
                    accepted += _send(run, api, [unit])
                return accepted
            outcomes = [error] * len(left)
        again = []
        for unit, outcome in zip(left, outcomes, strict=True):
            if not isinstance(outcome, BaseException):
                accepted.append((unit, outcome))
                continue
            if isinstance(outcome, RequestFailed) and outcome.call is None:
                outcome.call = _call_for(api, unit)
            if classify(outcome) == "transient":
                again.append((unit, outcome))
            else:
                run.fail(outcome, unit.uow)
        if again and not run.retry.pause(attempt, again[0][1], {"batch": [unit.uow for unit, _ in again]}):
            for unit, outcome in again:
                run.fail(outcome, unit.uow)
            return accepted
        left = [unit for unit, _ in again if run.may_start(unit.uow)]
        attempt += 1
    return accepted


def _call_for(api: BatchCall, unit: Unit) -> Call:
    """The call that an entry was sent with."""
    name = getattr(api.send, "__qualname__", "").rpartition(".")[2]
    target = api.target(unit.entry) if api.target is not None else None
    about = {"QueueUrl": target} if isinstance(target, str) else unit.entry
    return Call("".join(word.capitalize() for word in name.split("_")), target_in(about))
