"""A request to a queue costs the same however many messages wait in it.

ministack goes through all messages of a queue three times at each ReceiveMessage, and once for each entry of
DeleteMessageBatch, so that working off a backlog took a time that grew with its square.

Here they are looked at until those are found that can be received, or are to be deleted. Those past their retention are
looked for once a second.
"""

from __future__ import annotations

import time
from typing import Any

INTERNALS = {
    "ministack.services.sqs": (
        *("_collect_msgs", "_expire_retained", "_act_delete_message_batch", "_HANDLERS", "_ensure_msg_fields"),
        *("_get_q", "_validate_batch_entries", "new_uuid"),
    ),
}

Queue = dict[str, Any]
Message = dict[str, Any]

EXPIRE_EVERY_S = 1.0
"""Retention is a minute at least."""

_INVALID = {
    "Code": "ReceiptHandleIsInvalid",
    "Message": "The input receipt handle is invalid.",
    "SenderFault": True,
}


def patch() -> None:
    """Look at no more messages than a request needs."""
    from ministack.services import sqs

    collect, expire = sqs._collect_msgs, sqs._expire_retained
    expired_at: dict[str, float] = {}

    def collected(queue: Queue, most: int, visibility_s: int) -> list[Message]:
        if queue["is_fifo"]:
            return list(collect(queue, most, visibility_s))
        now = time.time()
        found: list[Message] = []
        for message in queue["messages"]:
            if len(found) == most:
                break
            sqs._ensure_msg_fields(message)
            if message["visible_at"] <= now:
                message["receipt_handle"] = sqs.new_uuid()
                message["visible_at"] = now + visibility_s
                message["receive_count"] += 1
                if message["first_receive_at"] is None:
                    message["first_receive_at"] = now
                found.append(message)
        return found

    def expired(queue: Queue) -> None:
        arn, now = queue["attributes"]["QueueArn"], time.monotonic()
        if now - expired_at.get(arn, float("-inf")) >= EXPIRE_EVERY_S:
            expired_at[arn] = now
            expire(queue)

    def deleted(data: dict[str, Any], url: str) -> dict[str, Any]:
        queue = sqs._get_q(data.get("QueueUrl", url), "sqs:DeleteMessage")
        entries = data.get("Entries", [])
        sqs._validate_batch_entries(entries, "DeleteMessageBatchRequestEntry")
        found = removed(queue["messages"], {entry.get("ReceiptHandle") for entry in entries} - {None})
        done, failed = [], []
        for entry in entries:
            if entry.get("ReceiptHandle") in found:
                found.discard(entry["ReceiptHandle"])
                done.append({"Id": entry["Id"]})
            else:
                failed.append({"Id": entry["Id"], **_INVALID})
        return {"Successful": done, "Failed": failed}

    sqs._collect_msgs, sqs._expire_retained, sqs._act_delete_message_batch = collected, expired, deleted
    sqs._HANDLERS["DeleteMessageBatch"] = deleted


def removed(messages: list[Message], handles: set[str]) -> set[str]:
    """Remove the messages that were received under these handles; returns the handles that there were."""
    places: dict[str, int] = {}
    for place, message in enumerate(messages):
        if len(places) == len(handles):
            break
        if message.get("receipt_handle") in handles:
            places[message["receipt_handle"]] = place
    for place in sorted(places.values(), reverse=True):
        del messages[place]
    return set(places)
