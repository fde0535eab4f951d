"""Messages that a rule makes of a unit of work: one or several, with the ids that FIFO queues and topics need."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stream_runtime.engine.batching import BatchCall, Limits
from stream_runtime.engine.flow import Operator
from stream_runtime.engine.records import order_key
from stream_runtime.ids import derived_id, digest
from stream_runtime.payload import codec
from stream_runtime.rules.callables import with_rule
from stream_runtime.rules.splitting import listed, split_into

from .entries import with_ids

# Source: SQS API reference, "SendMessage", MessageGroupId and MessageDeduplicationId (SNS asks for the same).
_FIFO_ID = re.compile(r"[A-Za-z0-9!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]{1,128}")


def to_messages(rule: Mapping[str, Any], field: str, message_field: str) -> Operator:
    """The operator that makes a unit of work for each message that a rule's function returns.

    The function returns a message, a list of messages, or None. ``message_number`` counts the messages of a unit of
    work from 0.
    """
    own = with_rule(rule[field], rule)

    def to_uows(uow: Any) -> list[Any]:
        messages = enumerate(listed(own(uow)))
        return [{**uow, message_field: message, "message_number": number} for number, message in messages]

    return split_into(to_uows)


def message_call(
    send: Callable[[str, Sequence[dict[str, Any]]], Sequence[Any]],
    *,
    message_field: str,
    body_name: str,
    target_name: str,
    target: Callable[[], str],
    response_field: str,
    limits: Limits,
) -> BatchCall:
    """The batch call of a service with topics or queues.

    Args:
        send: sends entries to a target and returns an outcome for each.
        message_field: where a unit of work has its message.
        body_name: the service's name for a message's body.
        target_name: the field in which a message may name its own target.
        target: the target of messages that name none.
        response_field: where the result for the entry is put.
        limits: what a call takes.
    """

    def to_entry(uow: Any) -> Any:
        message = uow.get(message_field)
        if not message:
            return None
        to = message.get(target_name) or target()
        entry = {name: value for name, value in message.items() if name not in (target_name, "Id")}
        entry[body_name] = as_text(entry[body_name])
        return to, with_fifo_ids(uow, entry) if to.endswith(".fifo") else entry

    def send_batch(bodies: Sequence[Any]) -> Sequence[Any]:
        return send(bodies[0][0], with_ids([entry for _, entry in bodies]))

    send_batch.__qualname__ = send.__qualname__
    return BatchCall(
        entry=to_entry,
        send=send_batch,
        response_field=response_field,
        limits=limits,
        size=lambda body: size_of_message(body[1][body_name], body[1].get("MessageAttributes")),
        identity=lambda body: (body[0], body[1].get("MessageGroupId", id(body))),
        target=lambda body: body[0],
    )


def as_text(body: Any) -> str:
    """A message's body: text as it is, other values as JSON."""
    return body if isinstance(body, str) else codec.encode(body)


def as_bytes(body: Any, end: str = "") -> bytes:
    """A record's data: bytes as they are, text as UTF-8, other values as JSON followed by ``end``."""
    if isinstance(body, bytes):
        return body
    return body.encode() if isinstance(body, str) else f"{codec.encode(body)}{end}".encode()


def with_fifo_ids(uow: Mapping[str, Any], message: Mapping[str, Any]) -> dict[str, Any]:
    """Add group and deduplication id to a message that has none.

    The group is the event's partition key, which keeps its order. The deduplication id is derived from event, pipeline
    and message number, so a batch that is processed again sends nothing twice.
    """
    event = uow.get("event") or {}
    group = event.get("partition_key") or order_key(uow) or event.get("id")
    identity = derived_id(event.get("id"), uow.get("pipeline"), uow.get("message_number", 0))
    return {"MessageGroupId": _fifo_id(str(group)), "MessageDeduplicationId": _fifo_id(identity), **message}


def _fifo_id(text: str) -> str:
    return text if _FIFO_ID.fullmatch(text) else digest(text)


def size_of_message(text: str, attributes: Mapping[str, Any] | None) -> int:
    """Bytes of a message as SNS and SQS count them: body, and name, type and value of each attribute."""
    size = len(text.encode())
    for name, value in (attributes or {}).items():
        size += len(name.encode()) + len(str(value.get("DataType", "")).encode())
        size += len(str(value.get("StringValue", "")).encode()) + len(value.get("BinaryValue") or b"")
    return size
