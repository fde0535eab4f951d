"""Handing stored events to a target, in order, without leaving one out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime

from stream_cli.lake.ledger import Ledger
from stream_cli.lake.targets import Rejected, Target, partition_key
from stream_cli.local.state import CloudError
from stream_cli.stored.history import History, Selection, StoredEvent, StoredObject
from stream_cli.stored.pace import Pace

ATTEMPTS = 5


class ReplayStopped(CloudError):
    """The target did not take an event at the last attempt; everything before it was taken and is in the ledger."""


def replay(
    history: History,
    selection: Selection,
    target: Target,
    ledger: Ledger,
    pace: Pace,
    *,
    on_object: Callable[[StoredObject, int, int], None] = lambda *_: None,
    on_sent: Callable[[int], None] = lambda _: None,
    wait_s: Callable[[float], None],
) -> int:
    """Hand over the wanted events that no earlier run has handed over.

    Args:
        history: where they are stored.
        selection: which are wanted.
        target: where they go.
        ledger: an open ledger.
        pace: how fast they may go.
        on_object: told of each object before it is read, with its number and how many there are.
        on_sent: told how many events were taken in all, after each batch.
        wait_s: waits before another attempt.

    Returns:
        How many events were taken in all, by this run and those before it.

    Raises:
        ReplayStopped: an event was not taken.
    """
    if ledger.range_ms is not None:
        since, until = ledger.range_ms
        selection = replace(selection, since=None if since is None else _time(since), until=_time(until))
    sent = ledger.sent
    for batch in _batches(_wanted(history, selection, ledger, on_object), target):
        pace.wait_for(len(batch))
        _send(batch, target, wait_s)
        sent += len(batch)
        ledger.take(batch[-1].place, sent)
        on_sent(sent)
    ledger.complete()
    return sent


def _time(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def _wanted(
    history: History, selection: Selection, ledger: Ledger, on_object: Callable[[StoredObject, int, int], None]
) -> Iterator[list[StoredEvent]]:
    """The wanted events of each object, less those already taken."""
    objects = history.objects(selection)
    for number, each in enumerate(objects, start=1):
        on_object(each, number, len(objects))
        yield [
            stored for stored in history.read(each.key) if selection.wants(stored) and not ledger.is_taken(stored.place)
        ]


def _batches(objects: Iterable[list[StoredEvent]], target: Target) -> Iterator[list[StoredEvent]]:
    """Batches within an object, so that one line of the ledger can say what was taken."""
    for events in objects:
        batch: list[StoredEvent] = []
        keys: set[str] = set()
        for stored in events:
            key = partition_key(stored)
            if batch and (len(batch) >= target.most or (target.one_of_a_key and key in keys)):
                yield batch
                batch, keys = [], set()
            batch.append(stored)
            keys.add(key)
        if batch:
            yield batch


def _send(batch: list[StoredEvent], target: Target, wait_s: Callable[[float], None]) -> None:
    """Hand a batch over; what was not taken is handed over again, and nothing behind it before it."""
    left = batch
    for attempt in range(1, ATTEMPTS + 1):
        outcomes = target.send(left)
        refused = [(stored, outcome) for stored, outcome in zip(left, outcomes, strict=True) if outcome is not None]
        if not refused:
            return
        left = [stored for stored, _ in refused]
        if attempt < ATTEMPTS:
            wait_s(0.2 * 2 ** (attempt - 1))
    raise _stopped(target, *refused[0])


def _stopped(target: Target, stored: StoredEvent, why: Rejected) -> ReplayStopped:
    return ReplayStopped(
        f"{target.name} did not take event {stored.event.get('id')} ({stored.place.key}, line {stored.place.line}) "
        f"in {ATTEMPTS} attempts: {why}. Everything before it was taken; the same command goes on from there."
    )
