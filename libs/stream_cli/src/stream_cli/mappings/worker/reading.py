"""Reads a shard page by page, from where its checkpoint says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import floor
from typing import Any

from stream_cli.mappings.backoff import backoff_s
from stream_cli.mappings.checkpoints import ShardProgress
from stream_cli.mappings.failing import Example, example_of
from stream_cli.mappings.ports import EndpointUnavailable, NotFound, Page, PositionLost, Refused, StartAt
from stream_cli.mappings.records import Record, dynamodb_event_record, item_key, kinesis_event_record, to_json
from stream_cli.mappings.shard import ShardProcessor

from .context import WorkerContext
from .observing import filtered

POLL_BUSY = 0.02
"""Seconds between two reads of a shard in which there has just been something, where nobody tells what arrives."""

POLL_IDLE = 0.12
"""Seconds between two reads of a shard in which there has been nothing for a while."""

POLL_TOLD = 1.0
"""Seconds between two reads of a shard in which nothing has arrived, while the endpoint tells what arrives."""

_POLL_GROWTH = 1.25
_PAGE = 1_000
_PAUSE_FIRST = 0.1
_PAUSE_LONGEST = 2.0


class ShardReader:
    """Reads one shard and offers its records to the shard's processor.

    Attributes:
        closed: whether everything in the shard has been read, and nothing will follow.
        gone: whether the stream, or this shard of it, does not exist any more.
        at_tip: whether the last page reached the tip of the shard.
        next_poll: when to read again, in Unix seconds.
        last_filtered: the last record that the filter has dropped.
    """

    def __init__(
        self, context: WorkerContext, shard_id: str, progress: ShardProgress, processor: ShardProcessor
    ) -> None:
        self.closed = self.gone = self.at_tip = False
        self.next_poll = 0.0
        self._context = context
        self._source = context.settings.source
        self._shard_id = shard_id
        self._processor = processor
        self._start = StartAt(after=progress.after, timestamp=progress.timestamp if progress.after is None else None)
        self._iterator: str | None = None
        self._interval = POLL_BUSY
        self._failures = 0
        self._reopen = False
        self.last_filtered: Example | None = None

    def reopen(self) -> None:
        """Look the position up again at the next poll. May be called from another thread."""
        self._reopen = True

    def due(self) -> None:
        """Read at the next turn, because records have arrived."""
        if not self._failures:
            self.next_poll = 0.0

    def poll(self) -> None:
        """Read a page; a failure is reported, and sets `next_poll`."""
        context = self._context
        trouble = (context.settings.uuid, self._shard_id, "read")
        began = context.clock()
        try:
            page = self._page()
            records = self._records(page)
        except EndpointUnavailable as error:
            self._failures += 1
            self._wait(backoff_s(self._failures, _PAUSE_FIRST, _PAUSE_LONGEST))
            context.notices.call_failed(trouble, f"{context.label}: cannot read {self._shard_id}", error)
        except PositionLost as error:
            self._iterator = None
            self._wait(_PAUSE_FIRST)
            if error.trimmed:
                self._from_the_oldest_record(f"{error}")
        except NotFound:
            # What has been read is still processed.
            self.gone = self.closed = True
            self._processor.end()
        except Refused as error:
            if self._start.after is None:
                self._wait(_PAUSE_LONGEST)
                context.notices.call_failed(trouble, f"{context.label}: cannot read {self._shard_id}", error)
                return
            self._iterator = None
            self._wait(_PAUSE_FIRST)
            self._from_the_oldest_record(f"the endpoint refuses its checkpoint ({error})")
        else:
            context.notices.over(trouble, f"{context.label}: reading {self._shard_id} again")
            self._failures = 0
            self._take(page, records, began)

    def _wait(self, seconds: float) -> None:
        self.next_poll = self._context.clock() + seconds

    def _from_the_oldest_record(self, why: str) -> None:
        self._start = StartAt()
        self._context.notices.say(f"{self._context.label}: {self._shard_id}: {why}; continuing from the oldest record")

    def _page(self) -> Page:
        endpoint = self._context.endpoint
        if self._reopen:
            self._reopen = False
            self._iterator = None
        if self._iterator is None:
            self._iterator = endpoint.iterator(self._source, self._shard_id, self._start)
        return endpoint.records(self._source, self._iterator, _PAGE)

    def _take(self, page: Page, records: list[Record], began: float) -> None:
        now = self._context.clock()
        if page.records:
            self._start = StartAt(after=self._last_sequence_number(page))
            self._processor.offer(records, now)
            if dropped := [record for record in records if not record.kept]:
                self.last_filtered = example_of(self._source.kind, json.loads(dropped[-1].body))
                self._context.observe(filtered(self._context, self._shard_id, dropped))
        self._iterator = page.next_iterator
        self.at_tip = not page.behind if page.behind is not None else len(page.records) < _PAGE
        if page.next_iterator is None:
            self.closed = True
            self._processor.end()
        elif self.at_tip:
            self._processor.read_up_to(began)
        if not self.at_tip:
            self.next_poll = now
            return
        told = self._context.told()
        if page.records and not told:
            self._interval = POLL_BUSY
        else:
            self._interval = min(POLL_TOLD if told else POLL_IDLE, self._interval * _POLL_GROWTH)
        self.next_poll = now + self._interval

    def _last_sequence_number(self, page: Page) -> str:
        raw = page.records[-1]
        return str((raw if self._source.kind == "kinesis" else raw["dynamodb"])["SequenceNumber"])

    def _records(self, page: Page) -> list[Record]:
        try:
            records = [self._record(raw) for raw in page.records]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise EndpointUnavailable(f"GetRecords returned a malformed record ({error!r})") from error
        if self._start.timestamp is None or self._source.kind == "kinesis":
            return records
        # DynamoDB Streams has no iterator by time, and its arrival times are whole seconds.
        begin = floor(self._start.timestamp)
        return [record for record in records if record.arrival >= begin]

    def _record(self, raw: Mapping[str, Any]) -> Record:
        context = self._context
        if self._source.kind == "kinesis":
            event = kinesis_event_record(raw, self._shard_id, self._source, context.role_arn)
            number, key, arrival = raw["SequenceNumber"], raw["PartitionKey"], raw["ApproximateArrivalTimestamp"]
        else:
            event, change = dynamodb_event_record(raw, self._source), raw["dynamodb"]
            number, key, arrival = change["SequenceNumber"], item_key(raw), change["ApproximateCreationDateTime"]
        kept = context.keeps(event)
        if not kept:
            context.admissions.dropped(self._source, context.settings.uuid, event, str(number), context.clock())
        return Record(number, key, float(arrival), to_json(event), kept)
