"""Messages that a rule makes of a unit of work: several at once, and what FIFO queues and topics ask of each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from . import codec
from .callables import with_rule
from .faults import faulty
from .flow import Operator, together
from .ids import derived_id, digest
from .operators import rx_map, split_buffer
from .records import order_key

# Source: SQS API reference, "SendMessage", MessageGroupId and MessageDeduplicationId (SNS asks for the same).
_FIFO_ID = re.compile(r"[A-Za-z0-9!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]{1,128}")

FIFO = ".fifo"


def to_messages(rule: Mapping[str, Any], field: str, message_field: str) -> Operator:
    """The operator that gives one unit of work for each message that a rule's function makes.

    The function gives a message, a list of them, or None for no message; ``message_number`` tells the messages of one
    unit of work apart.
    """
    own = with_rule(rule[field], rule)

    def to_uows(uow: Any) -> list[Any]:
        made = own(uow)
        messages = [] if made is None else [made] if isinstance(made, Mapping) else list(made)
        return [{**uow, message_field: message, "message_number": number} for number, message in enumerate(messages)]

    return together(rx_map(faulty(to_uows)), split_buffer())


def as_text(body: Any) -> str:
    """A message's body: text as it is, anything else as JSON."""
    return body if isinstance(body, str) else codec.encode(body)


def as_bytes(body: Any, end: str = "") -> bytes:
    """A record's data: bytes as they are, text as UTF-8, anything else as JSON and what is to stand at its end."""
    if isinstance(body, bytes):
        return body
    return body.encode() if isinstance(body, str) else f"{codec.encode(body)}{end}".encode()


def with_fifo_ids(uow: Mapping[str, Any], message: Mapping[str, Any]) -> dict[str, Any]:
    """A message with group and deduplication id where it has none of its own.

    The group is the event's partition key, so that its order is kept; the deduplication id is derived from event,
    pipeline and the message's number, so that a batch that is processed again sends nothing twice.
    """
    event = uow.get("event") or {}
    group = event.get("partition_key") or order_key(uow) or event.get("id")
    identity = derived_id(event.get("id"), uow.get("pipeline"), uow.get("message_number", 0))
    return {"MessageGroupId": _fifo_id(str(group)), "MessageDeduplicationId": _fifo_id(identity), **message}


def _fifo_id(text: str) -> str:
    return text if _FIFO_ID.fullmatch(text) else digest(text)


def size_of_message(text: str, attributes: Mapping[str, Any] | None) -> int:
    """Bytes of a message as SNS and SQS count them: its body, and name, type and value of each attribute."""
    size = len(text.encode())
    for name, value in (attributes or {}).items():
        size += len(name.encode()) + len(str(value.get("DataType", "")).encode())
        size += len(str(value.get("StringValue", "")).encode()) + len(value.get("BinaryValue") or b"")
    return size
