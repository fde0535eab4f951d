"""Runs one shard of one mapping: reads it, lets `ShardProcessor` decide, and carries out what it decides.

A worker is one thread that reads and decides; invocations and destinations run on other threads and put what became of
them into the worker's inbox.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import floor
from typing import Any

from stream_cli.mappings.checkpoints import ShardProgress
from stream_cli.mappings.failures import on_failure_record
from stream_cli.mappings.filters import Filter
from stream_cli.mappings.notices import Notices
from stream_cli.mappings.outcomes import Failed, Outcome, Undelivered, interpret
from stream_cli.mappings.ports import Endpoint, EndpointUnavailable, NotFound, Page, PositionLost, Refused, StartAt
from stream_cli.mappings.records import (
    Record,
    dynamodb_event_record,
    invocation_event,
    item_key,
    kinesis_event_record,
    to_json,
)
from stream_cli.mappings.settings import MappingSettings
from stream_cli.mappings.shard import PAYLOAD_LIMIT, Attempt, GivenUp, ShardProcessor
from stream_cli.mappings.threads import DaemonPool

__all__ = ["ShardWorker", "WorkerContext"]

POLL_BUSY = 0.02
"""Seconds between two reads of a shard in which there has just been something."""

POLL_IDLE = 0.12
"""Seconds between two reads of a shard in which there has been nothing for a while."""

_POLL_GROWTH = 1.25
_PAGE = 1_000
_READ_AHEAD_RECORDS = 10_000
_READ_AHEAD_BYTES = 32 * 1024 * 1024
_HELD = 500_000
_PAUSE_FIRST = 0.1
_PAUSE_LONGEST = 2.0


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """What the workers of one mapping share."""

    settings: MappingSettings
    keeps: Filter
    role_arn: str
    endpoint: Endpoint
    notices: Notices
    pool: DaemonPool
    clock: Callable[[], float]
    report: Callable[[str, ShardProgress], None]
    """Takes a shard's id and how far it is, whenever that changes."""


@dataclass(frozen=True, slots=True)
class _Settled:
    action_id: int
    outcome: Outcome | None
    """What became of an attempt; None: the given-up records with that id are reported."""


class _Stop:
    """Wakes a worker that is to stop."""


class _Unsent:
    """An on-failure record that could not be sent before the worker had to stop."""


class ShardWorker:
    """One shard of one mapping, from `start()` until the shard is drained or `stop()` has taken effect."""

    def __init__(self, context: WorkerContext, shard_id: str, progress: ShardProgress) -> None:
        """Go on where `progress` says."""
        self.shard_id = shard_id
        self.starting = progress.starting
        self.gone = False
        self._context = context
        self._settings = context.settings
        self._processor = ShardProcessor(context.settings, window=progress.window, position=progress.after)
        self._progress = progress
        self._start = StartAt(after=progress.after, timestamp=progress.timestamp if progress.after is None else None)
        self._iterator: str | None = None
        self._closed = False
        self._at_tip = False
        self._next_poll = 0.0
        self._interval = POLL_BUSY
        self._pause = 0.0
        self._inbox: queue.SimpleQueue[_Settled | _Unsent | _Stop] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._unsent = 0
        self._reopen = False
        self._thread = threading.Thread(target=self._run, name=f"{self._label}/{shard_id}", daemon=True)
        self.status = self._status()

    @property
    def _label(self) -> str:
        return self._settings.function_arn.rpartition(":function:")[2]

    @property
    def _failing(self) -> tuple[str, ...]:
        return (self._settings.uuid, self.shard_id, "failing")

    # --- for the mapping's runner, on its thread ---

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Begin nothing new and end when what is in flight has come back."""
        self._stop.set()
        self._inbox.put(_Stop())

    def reopen(self, starting: str) -> None:
        """Look the position up again: the shard has been replaced by one of the same name."""
        self.starting = starting
        self._reopen = True

    @property
    def alive(self) -> bool:
        """Whether the worker still runs."""
        return self._thread.is_alive()

    @property
    def finished(self) -> bool:
        """Whether the worker has come to the end of its shard."""
        return self._processor.finished

    # --- the worker's own thread ---

    def _status(self) -> dict[str, Any]:
        processor = self._processor
        counters = processor.counters
        oldest = processor.oldest
        return {
            "shard": self.shard_id,
            "state": "gone" if self.gone else "closed" if self._closed else "open",
            "position": processor.checkpoint.sequence_number,
            "behind": processor.backlog,
            "read_to_tip": self._at_tip,
            "oldest_arrival": oldest.arrival if oldest is not None else None,
            "in_flight": processor.in_flight,
            "last_outcome": counters.last_outcome,
            "last_outcome_at": counters.last_outcome_at,
            "invocations": counters.invocations,
            "processed": counters.processed,
            "filtered": counters.filtered,
            "retries": counters.retries,
            "splits": counters.splits,
            "given_up": counters.given_up,
        }

    def _run(self) -> None:
        while not self._turn():
            pass
        self._publish()

    def _turn(self) -> bool:
        """Do all there is to do now, then wait for the next thing; True when there will be none."""
        now = self._context.clock()
        stopping = self._stop.is_set()
        if not stopping:
            for action in self._processor.step(now):
                self._carry_out(action)
        self._publish()
        if self._processor.finished or (stopping and self._processor.in_flight <= self._unsent):
            return True
        deadline = self._processor.deadline()
        until = deadline if deadline is not None and deadline > now and not stopping else None
        if not stopping and not self._closed and self._wants_more():
            if now >= self._next_poll:
                self._poll()
                self._take_inbox(0.0)
                return False
            until = self._next_poll if until is None else min(until, self._next_poll)
        self._take_inbox(None if until is None else until - now)
        return False

    def _wants_more(self) -> bool:
        """Tell whether to read on: far enough ahead to fill every lane's next batch, and no further."""
        processor, lanes = self._processor, self._settings.parallelization_factor
        return (
            processor.backlog < max(_READ_AHEAD_RECORDS, self._settings.batch_size * (lanes + 1))
            and processor.backlog_bytes < max(_READ_AHEAD_BYTES, PAYLOAD_LIMIT * (lanes + 1))
            and processor.held < _HELD
        )

    def _take_inbox(self, timeout: float | None) -> None:
        """Take what has come back; wait up to `timeout` seconds (None: for ever) for the first of it."""
        try:
            message = self._inbox.get(timeout=timeout) if timeout != 0.0 else self._inbox.get_nowait()
            while True:
                if isinstance(message, _Settled):
                    self._settle(message)
                elif isinstance(message, _Unsent):
                    if not self._stop.is_set():
                        raise RuntimeError("an on-failure record could not be made")
                    self._unsent += 1
                message = self._inbox.get_nowait()
        except queue.Empty:
            return

    def _settle(self, message: _Settled) -> None:
        if message.outcome is None:
            self._processor.delivered(message.action_id)
        else:
            self._processor.settle(message.action_id, message.outcome, self._context.clock())
        if not self._processor.backlog:
            self._context.notices.over(self._failing, f"{self._label}: {self.shard_id} has no failed records any more")

    def _publish(self) -> None:
        self.status = self._status()
        checkpoint = self._processor.checkpoint
        reached = ShardProgress(
            after=checkpoint.sequence_number,
            timestamp=self._progress.timestamp if checkpoint.sequence_number is None else None,
            window=checkpoint.window,
            drained=self._processor.finished and not self.gone,
            starting=self.starting,
        )
        if reached != self._progress:
            self._progress = reached
            self._context.report(self.shard_id, reached)

    # --- reading ---

    def _poll(self) -> None:
        context, source = self._context, self._settings.source
        trouble = (self._settings.uuid, self.shard_id, "read")
        began = context.clock()
        try:
            if self._reopen:
                self._reopen = False
                self._iterator = None
            if self._iterator is None:
                self._iterator = context.endpoint.iterator(source, self.shard_id, self._start)
            page = context.endpoint.records(source, self._iterator, _PAGE)
            records = self._records(page)
        except EndpointUnavailable as error:
            self._pause = min(_PAUSE_LONGEST, self._pause * 2 or _PAUSE_FIRST)
            self._next_poll = context.clock() + self._pause
            say = context.notices.trouble if error.connected else context.notices.unreachable
            say(trouble, f"{self._label}: cannot read {self.shard_id}: {error}")
            return
        except PositionLost as error:
            self._iterator = None
            self._next_poll = context.clock() + _PAUSE_FIRST
            if error.trimmed:
                context.notices.say(f"{self._label}: {self.shard_id}: {error}; going on from the oldest record")
                self._start = StartAt()
            return
        except NotFound:
            # The stream, or this shard of it, is gone. What has been read is still processed.
            self.gone = self._closed = True
            self._processor.end()
            return
        except Refused as error:
            if self._start.after is None:
                self._next_poll = context.clock() + _PAUSE_LONGEST
                context.notices.trouble(trouble, f"{self._label}: cannot read {self.shard_id}: {error}")
                return
            context.notices.say(
                f"{self._label}: {self.shard_id}: its checkpoint is of no use there ({error}); from the oldest record"
            )
            self._iterator = None
            self._start = StartAt()
            self._next_poll = context.clock() + _PAUSE_FIRST
            return
        context.notices.over(trouble, f"{self._label}: reading {self.shard_id} again")
        self._pause = 0.0
        self._read(page, records, began)

    def _read(self, page: Page, records: list[Record], began: float) -> None:
        now = self._context.clock()
        if page.records:
            self._start = StartAt(after=self._last_sequence_number(page))
            self._processor.offer(records, now)
        self._iterator = page.next_iterator
        self._at_tip = not page.behind if page.behind is not None else len(page.records) < _PAGE
        if page.next_iterator is None:
            self._closed = True
            self._processor.end()
        elif self._at_tip:
            self._processor.read_up_to(began)
        if not self._at_tip:
            self._next_poll = now
        elif page.records:
            self._interval = POLL_BUSY
            self._next_poll = now + self._interval
        else:
            self._interval = min(POLL_IDLE, self._interval * _POLL_GROWTH)
            self._next_poll = now + self._interval

    def _last_sequence_number(self, page: Page) -> str:
        raw = page.records[-1]
        return str((raw if self._settings.source.kind == "kinesis" else raw["dynamodb"])["SequenceNumber"])

    def _records(self, page: Page) -> list[Record]:
        try:
            if self._settings.source.kind == "kinesis":
                return [self._from_kinesis(raw) for raw in page.records]
            records = [self._from_dynamodb(raw) for raw in page.records]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise EndpointUnavailable(f"GetRecords answered a malformed record ({error!r})") from error
        if self._start.timestamp is None:
            return records
        # DynamoDB Streams has no iterator by time, and arrival times in whole seconds.
        begin = floor(self._start.timestamp)
        return [record for record in records if record.arrival >= begin]

    def _from_kinesis(self, raw: Mapping[str, Any]) -> Record:
        context = self._context
        event = kinesis_event_record(raw, self.shard_id, self._settings.source, context.role_arn)
        return Record(
            sequence_number=raw["SequenceNumber"],
            key=raw["PartitionKey"],
            arrival=float(raw["ApproximateArrivalTimestamp"]),
            body=to_json(event),
            kept=context.keeps(event),
        )

    def _from_dynamodb(self, raw: Mapping[str, Any]) -> Record:
        event = dynamodb_event_record(raw, self._settings.source)
        return Record(
            sequence_number=raw["dynamodb"]["SequenceNumber"],
            key=item_key(raw),
            arrival=float(raw["dynamodb"]["ApproximateCreationDateTime"]),
            body=to_json(event),
            kept=self._context.keeps(event),
        )

    # --- invoking and telling ---

    def _carry_out(self, action: Attempt | GivenUp) -> None:
        if isinstance(action, Attempt):
            self._context.pool.run(lambda: self._invoke(action))
        else:
            self._context.pool.run(lambda: self._tell(action))

    def _invoke(self, attempt: Attempt) -> None:
        outcome: Outcome = Undelivered("the engine failed")
        try:
            outcome = self._outcome(attempt)
        finally:
            self._inbox.put(_Settled(attempt.id, outcome))

    def _outcome(self, attempt: Attempt) -> Outcome:
        settings, notices = self._settings, self._context.notices
        unreachable = (settings.uuid, self.shard_id, "invoke")
        event = invocation_event(
            (record.body for record in attempt.records), attempt.window, self.shard_id, settings.source.arn
        )
        try:
            invocation = self._context.endpoint.invoke(settings.function_arn, event)
        except EndpointUnavailable as error:
            say = notices.trouble if error.connected else notices.unreachable
            say(unreachable, f"{self._label}: cannot be invoked: {error}")
            return Undelivered(str(error))
        except (NotFound, Refused) as error:
            notices.trouble(unreachable, f"{self._label}: cannot be invoked: {error}")
            return Undelivered(str(error))
        notices.over(unreachable, f"{self._label}: can be invoked again")
        outcome = interpret(
            invocation,
            [record.sequence_number for record in attempt.records],
            report_failures=settings.report_failures,
            windowed=bool(settings.tumbling_window),
        )
        if isinstance(outcome, Failed):
            place = f"{len(attempt.records)} records of {self.shard_id}"
            notices.trouble(self._failing, f"{self._label}: failed on {place}: {outcome.problem}")
        return outcome

    def _tell(self, given_up: GivenUp) -> None:
        told = False
        try:
            told = self._told(given_up)
        finally:
            self._inbox.put(_Settled(given_up.id, None) if told else _Unsent())

    def _told(self, given_up: GivenUp) -> bool:
        context, settings = self._context, self._settings
        if not given_up.records and given_up.reference is None:
            return True
        if settings.destination_arn is None:
            context.notices.say(
                f"{self._label}: {len(given_up.records)} records of {self.shard_id} are given up "
                f"({given_up.condition}), and no on-failure destination is set"
            )
            return True
        now = context.clock()
        return self._sent(given_up, on_failure_record(given_up, settings, self.shard_id, now), now)

    def _sent(self, given_up: GivenUp, record: Mapping[str, Any], now: float) -> bool:
        """Send the on-failure record; False when the worker is told to stop before the endpoint takes it."""
        context, settings = self._context, self._settings
        trouble = (settings.uuid, self.shard_id, "destination")
        event = invocation_event(
            (entry.body for entry in given_up.records), given_up.window, self.shard_id, settings.source.arn
        )
        pause = _PAUSE_FIRST
        while True:
            try:
                context.endpoint.send_on_failure(settings, self.shard_id, record, event, now)
            except EndpointUnavailable as error:
                say = context.notices.trouble if error.connected else context.notices.unreachable
                say(trouble, f"{self._label}: the on-failure destination does not answer: {error}")
                if self._stop.wait(pause):
                    return False
                pause = min(_PAUSE_LONGEST, pause * 2)
            except (NotFound, Refused) as error:
                # AWS drops the record then, and counts it in the metric DestinationDeliveryFailures.
                context.notices.say(
                    f"{self._label}: {len(given_up.records)} records of {self.shard_id} are given up "
                    f"({given_up.condition}), and {settings.destination_arn} cannot be told: {error}"
                )
                return True
            else:
                context.notices.over(trouble, f"{self._label}: the on-failure destination answers again")
                context.notices.say(
                    f"{self._label}: {len(given_up.records)} records of {self.shard_id} are given up "
                    f"({given_up.condition}); {settings.destination_arn} has been told"
                )
                return True
