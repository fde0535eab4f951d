"""Handing stored events to a target, in order, without leaving one out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import NamedTuple

from stream_cli.errors import CommandError
from stream_cli.lake.ledger import Ledger, Scope
from stream_cli.lake.targets import Rejected, Target, partition_key
from stream_cli.stored.history import History, Selection, StoredEvent, to_ms
from stream_cli.stored.pace import Pace

ATTEMPTS = 5


class ReplayStopped(CommandError):
    """The target did not take an event at the last attempt; everything before it was taken and is in the ledger."""


@dataclass
class Progress:
    """How far a replay is.

    Attributes:
        events: how many events were taken.
        objects: how many objects there are.
        finished: how many of them were read to their end.
        size: their bytes, as they are stored.
        read: how many bytes were read.
    """

    events: int
    objects: int
    finished: int
    size: int
    read: int


class _Next(NamedTuple):
    """An event to be handed over, and the number of its object (from 0)."""

    number: int
    stored: StoredEvent


def scope_of(history: History, selection: Selection) -> Scope:
    """What a replay that begins now goes through."""
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
    ledger: Ledger,
    pace: Pace,
    *,
    on_progress: Callable[[Progress], None] = lambda _: None,
    wait_s: Callable[[float], None],
) -> int:
    """Hand over the wanted events that no earlier run has handed over.

    Args:
        history: where they are stored.
        selection: which are wanted; their time is as the scope says.
        scope: what the replay goes through.
        target: where they go.
        ledger: the ledger that gave the scope.
        pace: how fast they may go.
        on_progress: told at the beginning, after each batch and at the end.
        wait_s: waits before another attempt.

    Returns:
        How many events were taken in all, by this run and those before it.

    Raises:
        ReplayStopped: an event was not taken.
    """
    selection = replace(selection, since=_time(scope.since_ms), until=_time(scope.until_ms))
    sizes = [each.size for each in scope.objects]
    progress = Progress(ledger.sent, len(sizes), ledger.finished, sum(sizes), sum(sizes[: ledger.finished]))
    on_progress(progress)
    for batch in _batches(_wanted(history, selection, scope, ledger, progress), target, pace.most(target.most)):
        pace.wait_for(len(batch))
        refused = _send([each.stored for each in batch], target, wait_s)
        taken = batch[: refused[0]] if refused else batch
        if taken:
            last = taken[-1]
            ledger.take(last.number, last.stored.place.line, len(taken))
        if refused:
            raise _stopped(target, batch[refused[0]].stored, refused[1])
        progress.events = ledger.sent
        on_progress(progress)
    ledger.complete()
    on_progress(progress)
    return ledger.sent


def _time(ms: int | None) -> datetime | None:
    return None if ms is None else datetime.fromtimestamp(ms / 1000, UTC)


def _wanted(
    history: History, selection: Selection, scope: Scope, ledger: Ledger, progress: Progress
) -> Iterator[_Next]:
    """The wanted events that were not taken by an earlier run."""
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
    """As many events at once as the target takes, by number, size and partition key."""
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
    """Hand a batch over; what was not taken is handed over again, and nothing behind it before it.

    Returns:
        The place in the batch of the first event that was not taken at the last attempt, and why; None for none.
    """
    left = list(enumerate(batch))
    for attempt in range(1, ATTEMPTS + 1):
        outcomes = _outcomes([stored for _, stored in left], target)
        refused = [(each, why) for each, why in zip(left, outcomes, strict=True) if why is not None]
        if not refused:
            return None
        left = [each for each, _ in refused]
        if attempt < ATTEMPTS:
            wait_s(0.2 * 2 ** (attempt - 1))
    (place, _), why = refused[0]
    return place, why


def _outcomes(batch: list[StoredEvent], target: Target) -> list[Rejected | None]:
    from botocore.exceptions import ClientError

    try:
        return target.send(batch)
    except ClientError as error:
        return [Rejected(str(error))] * len(batch)


def _stopped(target: Target, stored: StoredEvent, why: Rejected) -> ReplayStopped:
    return ReplayStopped(
        f"{target.name} did not take event {stored.event.get('id')} ({stored.place.key}, line {stored.place.line}) "
        f"in {ATTEMPTS} attempts: {why}. Everything before it was taken; the same command goes on from there."
    )
