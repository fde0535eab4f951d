"""The lines of the journal: each is a JSON object whose ``kind`` says what was observed.

Times are in ms since 1970: ``at`` is when it was observed. Functions are named as in their ARN, with the qualifier if
there is one (``control-service-local-trigger``), tables, buses, buckets and keys by their names; streams, queues,
topics and targets of rules by ARN. ``by`` is the request id of the invocation that made the request, if a
function made it; ``by_function`` is that function, without a qualifier.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict, get_args

FORMAT = 1
"""Of the lines. A reader leaves files of another format alone, and says so."""

Process = Literal["emulator", "mappings", "deliveries"]
PROCESSES: tuple[Process, ...] = get_args(Process)
"""The processes that write, each its own files. New ones come last: their places are part of positions in the index."""

Item = dict[str, Any]
"""An item, image or key of DynamoDB, in its JSON with letters for types: ``{"pk": {"S": "1"}}``."""


class Deleted(TypedDict):
    """What was deleted of a process to keep within its bound; ``until`` is when the last of these lines was written."""

    lines: int
    bytes: int
    until: int


class Head(TypedDict):
    """The first line of a file. ``id`` is of this file alone, whatever its name was used for before.

    ``deleted`` counts what was deleted of this process before the file began.
    """

    kind: Literal["journal"]
    at: int
    format: int
    process: str
    pid: int
    id: str
    deleted: Deleted


class MatchedRule(TypedDict):
    """A rule that took an event, with the ARNs of its targets."""

    rule: str
    targets: list[str]


class EventLine(TypedDict):
    """An event on a bus. ``id`` is EventBridge's; the domain event is ``detail``. No ``rules``: nothing takes it."""

    kind: Literal["event"]
    at: int
    bus: str
    id: str
    source: str
    type: str
    detail: Any
    rules: list[MatchedRule]
    by: NotRequired[str]
    by_function: NotRequired[str]


class StreamLine(TypedDict):
    """A record in a Kinesis stream.

    Of the event in it, if it holds one, there are ``id`` and ``type``, and EventBridge's id (``bus_id``) if it is in
    EventBridge's envelope.
    """

    kind: Literal["stream"]
    at: int
    stream: str
    shard: str
    number: str
    key: str
    id: NotRequired[str]
    type: NotRequired[str]
    bus_id: NotRequired[str]
    by: NotRequired[str]
    by_function: NotRequired[str]


class ChangeLine(TypedDict):
    """A change of an item. With a stream on the table, ``stream`` and the sequence number of its record (``number``).

    ``expired`` if it was removed by its time to live.
    """

    kind: Literal["change"]
    at: int
    table: str
    change: Literal["INSERT", "MODIFY", "REMOVE"]
    keys: Item
    old: NotRequired[Item]
    new: NotRequired[Item]
    stream: NotRequired[str]
    number: NotRequired[str]
    expired: NotRequired[bool]
    by: NotRequired[str]
    by_function: NotRequired[str]


class NamedEvent(TypedDict):
    """The id and the type of a domain event."""

    id: str
    type: str


class CallLine(TypedDict):
    """An invocation of a function, written at its end.

    Attributes:
        request: the request id, as in the function's log.
        outcome: ``failed`` if the function raised, timed out or died.
        error: type and message of what failed.
        init: ms that the start of its process took, if it was a cold start.
        source: the ARN of what the records are of, if the function was called with records.
        records: message ids of SQS and SNS, ``bucket/key`` of S3, EventBridge's id; of a stream the first and the last
            sequence number, because its attempt has them all.
        count: how many records there were.
        events: of up to 5 records, or of a payload that is an event, the events that it is made with.
        reported: identifiers that the function returned in ``batchItemFailures``.
    """

    kind: Literal["call"]
    at: int
    function: str
    request: str
    start: int
    end: int
    outcome: Literal["ok", "failed"]
    error: NotRequired[str]
    init: NotRequired[float]
    source: NotRequired[str]
    records: NotRequired[list[str]]
    count: NotRequired[int]
    events: NotRequired[list[NamedEvent]]
    reported: NotRequired[list[str]]


class MessageLine(TypedDict):
    """A message in a queue, or published to a topic. ``event`` is the id of the event in it, if it holds one."""

    kind: Literal["message"]
    at: int
    to: str
    id: str
    group: NotRequired[str]
    event: NotRequired[str]
    by: NotRequired[str]
    by_function: NotRequired[str]


class ObjectLine(TypedDict):
    """An object that was written to S3, or deleted. ``events`` are the ids of the events that Firehose put into it."""

    kind: Literal["object"]
    at: int
    bucket: str
    key: str
    change: Literal["put", "delete"]
    size: NotRequired[int]
    events: NotRequired[list[str]]
    by: NotRequired[str]
    by_function: NotRequired[str]


class RefusedLine(TypedDict):
    """A request of a function that its role does not allow. ``missing`` is the statement that would allow it."""

    kind: Literal["refused"]
    at: int
    function: str
    action: str
    resource: str
    missing: dict[str, Any]
    message: str
    by: NotRequired[str]
    by_function: NotRequired[str]


class AttemptLine(TypedDict):
    """A batch of a stream that the mapping engine gave to a function, or tried to; written when its outcome is known.

    Attributes:
        numbers: the sequence numbers of the batch, in the order of the shard.
        attempt: 1 for the first attempt at this batch.
        outcome: ``undelivered`` if the function was not invoked: this is no attempt in the sense of ``max_retries``.
        done: how many records from the first are done.
        problem: what failed, in a few words.
        next: when the records that are left are tried again.
        request: the request id of the invocation.
        rule, event, type: what failed, as far as it is known from the function's log, or the record that it reported.
        operation, target, reason: the call that failed, its table, queue or bus, and what the log says of it.
        oldest: when the first record had arrived in the stream; ``at`` minus this is the lag.
    """

    kind: Literal["attempt"]
    at: int
    mapping: str
    function: str
    stream: str
    shard: str
    numbers: list[str]
    attempt: int
    start: int
    outcome: Literal["ok", "failed", "undelivered"]
    done: int
    problem: NotRequired[str]
    next: NotRequired[int]
    request: NotRequired[str]
    rule: NotRequired[str]
    event: NotRequired[str]
    type: NotRequired[str]
    operation: NotRequired[str]
    target: NotRequired[str]
    reason: NotRequired[str]
    oldest: NotRequired[int]


class GivenUpLine(TypedDict):
    """Records that the mapping engine gives up. ``destination`` was told, if there is one."""

    kind: Literal["given_up"]
    at: int
    mapping: str
    function: str
    stream: str
    shard: str
    numbers: list[str]
    condition: str
    attempts: int
    destination: NotRequired[str]


class FilteredLine(TypedDict):
    """Records that the filters of a mapping do not let through."""

    kind: Literal["filtered"]
    at: int
    mapping: str
    function: str
    stream: str
    shard: str
    numbers: list[str]


class DeliveryLine(TypedDict):
    """An event that a target of a rule did not take: a Kinesis stream, Firehose or a log group.

    ``id`` is EventBridge's, ``event`` the domain event's. ``destination`` is the dead-letter queue that got it,
    if it was given up and there is one.
    """

    kind: Literal["delivery"]
    at: int
    bus: str
    rule: str
    target: str
    id: str
    event: NotRequired[str]
    outcome: Literal["failed", "given_up"]
    problem: str
    attempts: int
    destination: NotRequired[str]


class LostLine(TypedDict):
    """Lines that could not be written before this one, and why."""

    kind: Literal["lost"]
    at: int
    lines: int
    why: str


Observed = (
    EventLine
    | StreamLine
    | ChangeLine
    | CallLine
    | MessageLine
    | ObjectLine
    | RefusedLine
    | AttemptLine
    | GivenUpLine
    | FilteredLine
    | DeliveryLine
)
"""What readers are given."""

Kind = Literal[
    "event",
    "stream",
    "change",
    "call",
    "message",
    "object",
    "refused",
    "attempt",
    "given_up",
    "filtered",
    "delivery",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
