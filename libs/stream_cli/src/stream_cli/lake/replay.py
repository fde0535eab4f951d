"""Sends stored events to a target, in order, without skipping any."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import NamedTuple

from stream_cli.errors import CommandError
from stream_cli.lake.claims import put_back
from stream_cli.lake.ledger import ReplayLedger, Scope
from stream_cli.lake.targets import Rejected, Target, partition_key
from stream_cli.stored.history import History, Selection, StoredEvent, to_ms
from stream_cli.stored.rate_limit import RateLimit

ATTEMPTS = 5


class ReplayStopped(CommandError):
    """The target rejected an event at the last attempt; everything before it was accepted and is in the ledger."""


@dataclass
class ReplayProgress:
    """How far a replay is: events accepted, objects in all and finished, their stored bytes in all and read."""

    events: int
    objects: int
    finished: int
    size: int
    read: int


class _Next(NamedTuple):
    """An event to send, and the number of its object (from 0)."""

    number: int
    stored: StoredEvent


def scope_of(history: History, selection: Selection) -> Scope:
    """The scope of a replay that begins now."""
    return Scope(
        to_ms(datetime.now(UTC)),
        to_ms(selection.since) if selection.since else None,
        to_ms(selection.until) if selection.until else None,
        history.objects(selection),
    )


def replay(
    history: History,
    selection: Selection,
    scope: Scope,
    target: Target,
    ledger: ReplayLedger,
    rate_limit: RateLimit,
    *,
    on_progress: Callable[[ReplayProgress], None] = lambda _: None,
    on_lost: Callable[[StoredEvent], None] = lambda _: None,
    wait_s: Callable[[float], None],
) -> int:
    """Send the selected events that no earlier run has sent; the bodies of large ones are put back before.

    Args:
        selection: which events to send, in the scope's range of time.
        ledger: the ledger that gave the scope.
        on_progress: called at the beginning, after each batch and at the end.
        on_lost: called for each large event whose body the lake does not have, before its pointer is sent.
        wait_s: waits before another attempt.

    Returns:
        How many events were accepted in all, by this run and those before it.

    Raises:
        ReplayStopped: an event was rejected at the last attempt.
    """
    selection = replace(selection, since=_time(scope.since_ms), until=_time(scope.until_ms))
    sizes = [each.size for each in scope.objects]
    progress = ReplayProgress(ledger.sent, len(sizes), ledger.finished, sum(sizes), sum(sizes[: ledger.finished]))
    on_progress(progress)
    for batch in _batches(_wanted(history, selection, scope, ledger, progress), target, rate_limit.most(target.most)):
        rate_limit.wait_for(len(batch))
        for each in batch:
            if not put_back(history.s3, history.bucket, each.stored.event):
                on_lost(each.stored)
        refused = _send([each.stored for each in batch], target, wait_s)
        taken = batch[: refused[0]] if refused else batch
        if taken:
            last = taken[-1]
            ledger.take(last.number, last.stored.place.line, len(taken))
        if refused:
            stored, why = batch[refused[0]].stored, refused[1]
            raise ReplayStopped(
                f"{target.name} rejected event {stored.event.get('id')} ({stored.place.key}, line {stored.place.line}) "
                f"{ATTEMPTS} times: {why}. Everything before it was accepted; the same command goes on from there."
            )
        progress.events = ledger.sent
        on_progress(progress)
    ledger.complete()
    on_progress(progress)
    return ledger.sent


def _time(ms: int | None) -> datetime | None:
    return None if ms is None else datetime.fromtimestamp(ms / 1000, UTC)


def _wanted(
    history: History, selection: Selection, scope: Scope, ledger: ReplayLedger, progress: ReplayProgress
) -> Iterator[_Next]:
    """The selected events that no earlier run has sent."""
    first, after_line, before = ledger.finished, ledger.line, progress.read

    def read(number_of_bytes: int) -> None:
        progress.read = before + number_of_bytes

    left = scope.objects[first:]
    for number, (each, content) in enumerate(zip(left, history.contents(left), strict=True), start=first):
        for stored in content.events(read):
            if selection.wants(stored) and (number > first or stored.place.line > after_line):
                yield _Next(number, stored)
        before += each.size
        progress.read, progress.finished = before, number + 1


def _batches(events: Iterable[_Next], target: Target, most: int) -> Iterator[list[_Next]]:
    """Batches that the target accepts, by number, size and partition keys."""
    batch: list[_Next] = []
    keys: set[str] = set()
    size = 0
    for each in events:
        key, more = partition_key(each.stored), target.size(each.stored)
        is_full = len(batch) >= most or size + more > target.most_bytes
        if batch and (is_full or (target.one_of_a_key and key in keys)):
            yield batch
            batch, keys, size = [], set(), 0
        batch.append(each)
        keys.add(key)
        size += more
    if batch:
        yield batch


def _send(batch: list[StoredEvent], target: Target, wait_s: Callable[[float], None]) -> tuple[int, Rejected] | None:
    """Send a batch, and send what was rejected again.

    Returns:
        The index of the first event that was rejected at the last attempt, and why; None if all were accepted.
    """
    from stream_runtime.clients import backoff_s

    left = list(enumerate(batch))
    for attempt in range(1, ATTEMPTS + 1):
        outcomes = _outcomes([stored for _, stored in left], target)
        refused = [(each, why) for each, why in zip(left, outcomes, strict=True) if why is not None]
        if not refused:
            return None
        left = [each for each, _ in refused]
        if attempt < ATTEMPTS:
            # From the third step of the backoff on: a stream that throttles needs more time than a call in a function.
            wait_s(backoff_s(attempt + 2))
    (place, _), why = refused[0]
    return place, why


def _outcomes(batch: list[StoredEvent], target: Target) -> list[Rejected | None]:
    from botocore.exceptions import ClientError

    try:
        return target.send(batch)
    except ClientError as error:
        return [Rejected(str(error))] * len(batch)
