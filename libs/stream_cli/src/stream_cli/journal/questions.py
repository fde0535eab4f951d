"""What can be asked about a stage: `answers.Journal` answers from the journal of a local cloud.

Lists begin with the newest line. A page names the place behind its last line in ``older``, which continues the same
question as ``before``; it is None at the end.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from stream_cli.journal.lines import (
    AttemptLine,
    CallLine,
    ChangeLine,
    DeliveryLine,
    EventLine,
    FilteredLine,
    GivenUpLine,
    Kind,
    MessageLine,
    ObjectLine,
    Observed,
    RefusedLine,
    StreamLine,
)

Line = TypeVar("Line")

PAGE = 100
"""Lines of a page, if the question does not say."""


@dataclass(frozen=True, slots=True)
class LinePage(Generic[Line]):
    """Some lines, the newest first, and where the older ones begin."""

    lines: list[Line]
    older: str | None = None


@dataclass(frozen=True, slots=True)
class Arrived:
    """Lines in the order of their times, and where those that come later begin.

    Attributes:
        missed: whether lines between the two places were deleted before they were read.
        left_out: how many lines there are of the kinds with more than were asked for.
    """

    lines: list[Observed]
    after: str
    missed: bool = False
    left_out: Mapping[Kind, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RecordHistory:
    """What became of one record of a stream at each mapping, in the order of time."""

    attempts: list[AttemptLine]
    filtered: list[FilteredLine]
    given_up: list[GivenUpLine]


@dataclass(frozen=True, slots=True)
class Traffic:
    """How much went over an arrow of the map in a time.

    Which arrow: ``kind`` with ``start`` and ``end``.

    ========== ======================== ======================== ==================================================
    kind       start                    end                      counted
    ========== ======================== ======================== ==================================================
    event      source                   bus                      events
    rule       rule, as ``bus/rule``    ARN of a target          events that it takes
    unmatched  bus                      type                     events that no rule takes
    stream     key of the shard         stream                   records (``start`` is the shard)
    change     table                    stream, or ""            changes
    call       source, or ""            function                 invocations; ``failed`` ones; ``ms`` of durations
    attempt    stream                   mapping                  records done; ``failed`` attempts; ``ms`` of lags
    filtered   stream                   mapping                  records that the filters do not let through
    given_up   stream                   mapping                  records that were given up
    delivery   rule, as ``bus/rule``    ARN of a target          events given up; ``failed`` deliveries
    message    ""                       queue or topic           messages
    object     bucket                   put or delete            objects
    refused    function                 action                   requests
    write      function                 ``kind/name``            lines of what it wrote, by kind: the bus of events,
                                                                 the table of changes, the queue or topic of messages,
                                                                 the bucket of objects, the stream of records
    ========== ======================== ======================== ==================================================

    Attributes:
        count: how many of what the table says.
        times: how many lines they were in: with `ms`, what an average is over.
        failed: how many of these lines say that something failed.
        ms: sum of durations or lags.
        most_ms: the longest of them.
        last: when the last line was written.
    """

    kind: str
    start: str
    end: str
    count: int
    times: int
    failed: int
    ms: int
    most_ms: int
    last: int


@dataclass(frozen=True, slots=True)
class Coverage:
    """What the answers are based on.

    Attributes:
        since: when the oldest line was written that is still there; None without any.
        lines: how many there are.
        bytes: of all files.
        deleted: lines that were deleted because there were too many, and until when (`deleted_until`).
        lost: lines that could not be written, such as on a full disk.
        torn: lines that cannot be read: a process was killed while it wrote them, or something else wrote there.
        unknown: files of another format, such as of another version of streamctl.
        full: whether the disk is full, so that what happens now is missing.
    """

    since: int | None
    lines: int
    bytes: int
    deleted: int
    deleted_until: int | None
    lost: int
    torn: int
    unknown: int
    full: bool = False


class Questions(Protocol):
    """What readers ask. Each method answers with what had been observed when it was called."""

    def events(
        self,
        *,
        id: str | None = None,
        key: str | None = None,
        type: str | None = None,
        source: str | None = None,
        text: str | None = None,
        by: str | None = None,
        unmatched: bool = False,
        since: int | None = None,
        until: int | None = None,
        before: str | None = None,
        limit: int = PAGE,
    ) -> LinePage[EventLine]:
        """Events for which all of this holds; all events if nothing is given.

        Args:
            id: the event's id or EventBridge's.
            key: its partition key, or the id of an entity in it (``item.id``).
            type: its type, or its detail-type.
            text: a text that occurs in it as it stands there, in small and capital letters.
            by: the request id of the invocation that published it.
            unmatched: only those that no rule takes.
            since, until: ms; the first is included, the second is not.
        """

    def followed(self, id: str) -> list[EventLine]:
        """Events that an event led to, in the order of time, at any remove.

        That is, those with ids derived from its id, those that name it among their ``triggers``, and what these led to.
        """

    def about(self, value: str, *, kinds: Collection[Kind] | None = None, limit: int = 1_000) -> Sequence[Observed]:
        """Everything that names an id or a key, in the order of time; of more than ``limit`` lines the newest.

        Ids are those of events, EventBridge, requests, messages and records of streams (sequence numbers); keys are
        partition keys, ids of entities and values of the keys of items.
        """

    def records(
        self, *, id: str | None = None, stream: str | None = None, number: str | None = None,
        shard: str | None = None, since: int | None = None, until: int | None = None,
        before: str | None = None, limit: int = PAGE,
    ) -> LinePage[StreamLine]:  # fmt: skip
        """Records of Kinesis streams, by the id of the event in them (EventBridge's, too) or by sequence number."""

    def deliveries(self, stream: str, number: str) -> RecordHistory:
        """What became of a record: attempts at batches that held it, filters that did not let it through."""

    def attempts(
        self, *, mapping: str | None = None, shard: str | None = None, request: str | None = None,
        failed: bool = False, since: int | None = None, until: int | None = None,
        before: str | None = None, limit: int = PAGE,
    ) -> LinePage[AttemptLine]:  # fmt: skip
        """Attempts of mappings; with ``failed``, those that failed or did not reach the function."""

    def filtered(
        self, *, mapping: str | None = None, since: int | None = None, until: int | None = None,
        before: str | None = None, limit: int = PAGE,
    ) -> LinePage[FilteredLine]:  # fmt: skip
        """Records that filters do not let through."""

    def undelivered(
        self, *, bus: str | None = None, id: str | None = None, since: int | None = None, until: int | None = None,
        before: str | None = None, limit: int = PAGE,
    ) -> LinePage[DeliveryLine]:  # fmt: skip
        """Events that a stream, Firehose or log group behind a rule did not take, by either of their ids."""

    def changes(
        self, *, table: str | None = None, key: str | None = None, number: str | None = None, by: str | None = None,
        since: int | None = None, until: int | None = None, before: str | None = None, limit: int = PAGE,
    ) -> LinePage[ChangeLine]:  # fmt: skip
        """Changes of items.

        Args:
            key: the value of one of the item's key attributes, as text.
            number: the sequence number of the change's record in the table's stream.
            by: the request id of the invocation that made it.
        """

    def calls(
        self, *, function: str | None = None, request: str | None = None, record: str | None = None,
        failed: bool = False, since: int | None = None, until: int | None = None,
        before: str | None = None, limit: int = PAGE,
    ) -> LinePage[CallLine]:  # fmt: skip
        """Invocations.

        Args:
            record: a record that it was called with: a message id, ``bucket/key``, EventBridge's id, a sequence number.
            failed: only those that failed, or reported records that did.
        """

    def held(self, request: str) -> list[StreamLine | ChangeLine]:
        """The records of streams that an invocation was called with by a mapping, in the order of the shard."""

    def messages(
        self, *, to: str | None = None, id: str | None = None, event: str | None = None,
        since: int | None = None, until: int | None = None, before: str | None = None, limit: int = PAGE,
    ) -> LinePage[MessageLine]:  # fmt: skip
        """Messages in queues and topics, by queue or topic, message id or the id of the event in them."""

    def objects(
        self, *, bucket: str | None = None, key: str | None = None, event: str | None = None,
        since: int | None = None, until: int | None = None, before: str | None = None, limit: int = PAGE,
    ) -> LinePage[ObjectLine]:  # fmt: skip
        """Objects in S3, by name or by the id of an event that Firehose put into them."""

    def refused(
        self, *, function: str | None = None, since: int | None = None, until: int | None = None,
        before: str | None = None, limit: int = PAGE,
    ) -> LinePage[RefusedLine]:  # fmt: skip
        """Requests that a role does not allow."""

    def traffic(self, since: int, until: int) -> list[Traffic]:
        """What went over each arrow from ``since`` to ``until`` (ms, both rounded down to whole seconds)."""

    def arrived(
        self, after: str | None = None, *, kinds: Collection[Kind] | None = None, limit: int = 1_000,
        most: int | None = None,
    ) -> Arrived:  # fmt: skip
        """Lines that were written behind a place; without one, none: the place of what comes next.

        Args:
            most: a kind with more lines than that is left out, and its lines are counted.
        """

    def coverage(self) -> Coverage:
        """What the answers are based on, and what is missing."""
