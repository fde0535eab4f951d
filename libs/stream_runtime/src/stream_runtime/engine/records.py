"""Identifies records: the identifier for retry, the position in the batch, the key whose order is kept.

Units of work may be split, enriched or grouped on their way, but each keeps the ``record`` it came from. Everything
here is read from that record.
"""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Generic, NamedTuple, NotRequired, TypedDict, TypeVar

Record = Mapping[str, Any]
Uow = dict[str, Any]
R = TypeVar("R")


class UnitOfWork(TypedDict, Generic[R]):
    """A unit of work as the functions of a rule get it, for editors and type checkers.

    A flavor's own type adds its fields. Those that are added after the last function of the rule, or only for some
    rules, are not required.
    """

    record: R
    event: Mapping[str, Any]
    pipeline: str
    batch: NotRequired[Sequence[Uow]]
    split: NotRequired[Any]


FAULT_EVENT_TYPE = "fault"

STREAM = "stream"
UNIDENTIFIED = "unidentified"
"""The domain of records that cannot be returned one by one: if one is left, the whole batch is delivered again."""


_MOST_DIGITS = 128
"""Of a sequence number. Source: Kinesis API reference, "Record"; DynamoDB's have at most 40."""


class Identity(NamedTuple):
    """How a record is returned for retry.

    Attributes:
        identifier: what ``batchItemFailures`` names (sequence number or message id), or None where the source takes
            no partial response, or the record's envelope holds no such text.
        domain: records of one domain are retried from the lowest unfinished one on: the whole batch of a stream,
            one group of a FIFO queue, one message of a standard queue.
    """

    identifier: str | None
    domain: Hashable


def identify(record: Record) -> Identity:
    """The identity of a record of any source.

    Sources: Lambda developer guide, "Reporting batch item failures" for Kinesis, DynamoDB and SQS (for FIFO queues:
    stop after the first failure and return all that is unfinished).
    """
    if not isinstance(record, Mapping):
        return Identity(None, UNIDENTIFIED)
    if "kinesis" in record:
        return Identity(_text_of(_within(record, "kinesis").get("sequenceNumber")), STREAM)
    if "dynamodb" in record:
        return Identity(_text_of(_within(record, "dynamodb").get("SequenceNumber")), STREAM)
    message_id = _text_of(record.get("messageId"))
    if message_id is not None:
        group = _within(record, "attributes").get("MessageGroupId")
        if group is not None and str(record.get("eventSourceARN", ".fifo")).endswith(".fifo"):
            return Identity(message_id, ("group", str(group)))
        return Identity(message_id, ("message", message_id))
    return Identity(None, UNIDENTIFIED)


def _text_of(identifier: object) -> str | None:
    return identifier if isinstance(identifier, str) and identifier else None


def _within(record: Record, name: str) -> Mapping[str, Any]:
    """The part of a record under its source's name; empty if that is not an object."""
    held = record.get(name)
    return held if held.__class__ is dict or isinstance(held, Mapping) else {}


def order_key(uow: Mapping[str, Any]) -> Hashable:
    """The key whose records take effect in order: partition key, item key or message group.

    A unit of work may set its own under ``order_key``. Units without any key share one, so their order is kept too.
    """
    if "order_key" in uow:
        own: Hashable = uow["order_key"]
        return own
    record = uow.get("record")
    if record.__class__ is not dict and not isinstance(record, Mapping):
        record = {}
    if "kinesis" in record:
        key = _within(record, "kinesis").get("partitionKey")
        if key is not None:
            return str(key)
    elif "dynamodb" in record:
        keys = _within(record, "dynamodb").get("Keys")
        if keys and isinstance(keys, Mapping):
            return str(sorted(keys.items()))
    elif "messageId" in record:
        group = _within(record, "attributes").get("MessageGroupId")
        return str(record["messageId"] if group is None else group)
    event = uow.get("event")
    key = event.get("partition_key") if isinstance(event, Mapping) else None
    return None if key is None else str(key)


def uows_of(uow: Any) -> Sequence[Mapping[str, Any]]:
    """The single units of work in one: itself, or the members of a list or of its ``batch``, also nested.

    Anything else gives an empty unit of work, which traces to no record.
    """
    members = uow.get("batch") if isinstance(uow, Mapping) else uow
    if isinstance(members, list | tuple):
        return [single for member in members for single in uows_of(member)]
    return (uow,) if isinstance(uow, Mapping) else ({},)


def as_received(uow: Any) -> Any:
    """A unit of work without what was made of it, if its event was opened: as it was received, and so no larger.

    Where no event was opened it is returned as it is. Members of a batch that were opened lose the rest, too.
    """
    if not any("received" in single for single in uows_of(uow)):
        return uow
    members = [
        {**{name: single[name] for name in _of_fault(single) if name in single}, "event": single["received"]}
        if "received" in single
        else single
        for single in uows_of(uow)
    ]
    whole = {"pipeline": uow["pipeline"]} if isinstance(uow, Mapping) and "pipeline" in uow else {}
    return members[0] if isinstance(uow, Mapping) and "batch" not in uow else {**whole, "batch": members}


_OF_FAULTS = ("pipeline", "record", "about_fault", "split_path", "key")
"""What a fault event is made of, besides the event."""

DECRYPTED = "decrypted"
"""The field of a unit of work whose event has been decrypted: the values that were."""


class Decrypted(NamedTuple):
    """What was encrypted in an event.

    Attributes:
        values: the values, in any form.
        fields: their paths, with wildcards.
    """

    values: Sequence[Any]
    fields: Sequence[str]

    def with_more(self, more: "Decrypted") -> "Decrypted":
        return Decrypted([*self.values, *more.values], list(dict.fromkeys([*self.fields, *more.fields])))


def _of_fault(uow: Mapping[str, Any]) -> Sequence[str]:
    """What a fault keeps of a unit of work: a correlation key may be what was decrypted."""
    return _OF_FAULTS[:-1] if DECRYPTED in uow else _OF_FAULTS


def holds_fault(uow: Any) -> bool:
    """Whether a unit of work is about a fault event, or one of its batch is.

    The event may be the fault, have it in EventBridge's envelope, or be the change of a row that stores it.
    """
    return any(single.get("about_fault") or _is_fault(single.get("event")) for single in uows_of(uow))


def _is_fault(event: Any) -> bool:
    if not isinstance(event, Mapping):
        return False
    if FAULT_EVENT_TYPE in (event.get("type"), event.get("detail-type")):
        return True
    raw = event.get("raw")
    images = raw.values() if isinstance(raw, Mapping) else ()
    stored = (image.get("event") for image in images if isinstance(image, Mapping))
    return any(
        isinstance(each, Mapping) and each.get("type") == FAULT_EVENT_TYPE for each in (event.get("detail"), *stored)
    )


class Positions:
    """The position of each record in its batch, found by object identity first, then by identifier.

    Records of a stream are ordered by sequence number, in whatever order they were passed.
    """

    def __init__(self, records: Sequence[Record]) -> None:
        self.records = list(records)
        self.identities = [identify(record) for record in self.records]
        ranked = self._ranked_by_sequence_number()
        if ranked is not None:
            self.records = [self.records[index] for index in ranked]
            self.identities = [self.identities[index] for index in ranked]
        self._by_object = {id(record): position for position, record in enumerate(self.records)}
        self._by_identifier: dict[str | None, int] = {
            identity.identifier: position
            for position, identity in enumerate(self.identities)
            if identity.identifier is not None
        }

    def _ranked_by_sequence_number(self) -> list[int] | None:
        numbers = []
        for identity in self.identities:
            number = identity.identifier
            if identity.domain != STREAM or number is None or len(number) > _MOST_DIGITS or not number.isdecimal():
                return None
            numbers.append(int(number))
        return sorted(range(len(numbers)), key=numbers.__getitem__)

    def of(self, uow: Any) -> list[int]:
        """The positions of all records that a unit of work came from; empty if any of them is unknown."""
        positions = []
        for single in uows_of(uow):
            record = single.get("record", self)
            position = self._by_object.get(id(record))
            if position is None and isinstance(record, Mapping):
                position = self._by_identifier.get(identify(record).identifier)
            if position is None:
                return []
            positions.append(position)
        return positions
