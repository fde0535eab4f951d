"""SQS: queues as on-failure destinations and dead-letter queues, and what people do to them.

A standard queue hands a message out at least once, mostly in order; a FIFO queue in order for each group (SQS developer
guide, "Amazon SQS queue types").
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from refusals import Refusal

from simulator.chance import fraction, uuid_of
from simulator.kernel import MICROSECONDS, Kernel
from simulator.services.cloudwatch import Gauge, no_gauge
from simulator.topology import Queue as Description

Request = Mapping[str, Any]

MOST_BYTES = 1_048_576
"""Of a message, and of a batch (SQS developer guide, "Amazon SQS message quotas")."""
MOST_ENTRIES = 10
"""Of a batch, whatever it is for (SQS API reference, "SendMessageBatch" and "DeleteMessageBatch")."""
DEDUPLICATED_US = 300 * MICROSECONDS
"""How long a FIFO queue drops duplicates (SQS developer guide, "Exactly-once processing in Amazon SQS")."""
DOUBLED = 0.01
"""How often a message of a standard queue is handed out although it is hidden; AWS gives no figure."""


@dataclass(eq=False)
class Message:
    """A message in a queue.

    Attributes:
        attributes: MessageAttributes as they were sent.
        visible_us: from when on it is handed out.
        received_before: how often in other queues; ApproximateReceiveCount is of all queues (SQS API reference,
            "ReceiveMessage").
    """

    id: str
    body: str
    attributes: Mapping[str, Any]
    sent_us: int
    visible_us: int
    group: str | None = None
    deduplication: str | None = None
    sequence_number: str | None = None
    receives: int = 0
    received_before: int = 0
    first_received_us: int = 0
    receipt: str | None = None


@dataclass(eq=False)
class Queue:
    """A queue and what is in it, oldest first."""

    description: Description
    messages: list[Message] = field(default_factory=list)
    sent: int = 0
    deduplicated: dict[str, tuple[int, str, str]] = field(default_factory=dict)


class Sqs:
    """The queues of a deployment, by name in `queues`."""

    def __init__(
        self, kernel: Kernel, seed: object, descriptions: Iterable[Description], gauge: Callable[..., Gauge] = no_gauge
    ) -> None:
        self._kernel = kernel
        self._seed = f"{seed}/sqs"
        self._number = 0
        self.queues = {each.name: Queue(each) for each in descriptions}
        self._gauges = {
            name: gauge("AWS/SQS", "ApproximateNumberOfMessagesVisible", (("QueueName", name),)) for name in self.queues
        }

    def messages(self, name: str) -> list[Message]:
        """What is in a queue, hidden messages included."""
        queue = self.queues[name]
        self._expire(queue)
        return list(queue.messages)

    # --- sending ---

    def SendMessage(self, request: Request) -> dict[str, Any]:
        queue = self._queue(request)
        refused = self._refused(queue, request)
        if refused is not None:
            raise Refusal(400, *refused)
        return self._take(queue, request)

    def SendMessageBatch(self, request: Request, left: frozenset[int] = frozenset()) -> dict[str, Any]:
        queue, entries = self._queue(request), request["Entries"]
        _check_entries(entries)
        if sum(len(each["MessageBody"].encode()) for each in entries) > MOST_BYTES:
            raise Refusal(
                400,
                "AWS.SimpleQueueService.BatchRequestTooLong",
                f"Batch requests cannot be longer than {MOST_BYTES} bytes.",
            )
        taken, failed = [], []
        for place, each in enumerate(entries):
            refused = self._refused(queue, each)
            if place in left:
                failed.append({"Id": each["Id"], "SenderFault": False, "Code": "ThrottlingException",
                               "Message": "Rate exceeded"})  # fmt: skip
            elif refused is not None:
                failed.append({"Id": each["Id"], "SenderFault": True, "Code": refused[0], "Message": refused[1]})
            else:
                taken.append({"Id": each["Id"], **self._take(queue, each)})
        return {**({"Successful": taken} if taken else {}), **({"Failed": failed} if failed else {})}

    def _refused(self, queue: Queue, message: Request) -> tuple[str, str] | None:
        body = message["MessageBody"]
        if not body:
            return "MissingParameter", "The request must contain the parameter MessageBody."
        if len(body.encode()) > MOST_BYTES:
            reason = f"One or more parameters are invalid. Reason: Message must be shorter than {MOST_BYTES} bytes."
            return "InvalidParameterValue", reason
        if queue.description.fifo:
            if not message.get("MessageGroupId"):
                return "MissingParameter", "The request must contain the parameter MessageGroupId."
            if not message.get("MessageDeduplicationId"):
                reason = (
                    "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided "
                    "explicitly"
                )
                return "InvalidParameterValue", reason
        return None

    def _take(self, queue: Queue, given: Request) -> dict[str, Any]:
        now = self._kernel.now_us
        body, fifo = given["MessageBody"], queue.description.fifo
        answer = {"MD5OfMessageBody": hashlib.md5(body.encode()).hexdigest()}
        if fifo:
            known = queue.deduplicated.get(given["MessageDeduplicationId"])
            if known is not None and now - known[0] < DEDUPLICATED_US:
                return {**answer, "MessageId": known[1], "SequenceNumber": known[2]}
        self._number += 1
        queue.sent += 1
        message = Message(
            id=uuid_of(f"{self._seed}/{queue.description.name}/{queue.sent}"),
            body=body,
            attributes=given.get("MessageAttributes", {}),
            sent_us=now,
            visible_us=now + int(given.get("DelaySeconds", 0)) * MICROSECONDS,
        )
        answer["MessageId"] = message.id
        if fifo:
            message.group, message.deduplication = given["MessageGroupId"], given["MessageDeduplicationId"]
            message.sequence_number = answer["SequenceNumber"] = f"{18_870_000_000_000_000_000 + self._number}"
            queue.deduplicated[message.deduplication] = (now, message.id, message.sequence_number)
        queue.messages.append(message)
        self._count(queue)
        return answer

    # --- receiving ---

    def ReceiveMessage(self, request: Request) -> dict[str, Any]:
        """Hand out what is visible. Nobody waits: WaitTimeSeconds is up to the caller."""
        queue = self._queue(request)
        self._expire(queue)
        now, most = self._kernel.now_us, int(request.get("MaxNumberOfMessages", 1))
        hidden_us = int(request.get("VisibilityTimeout", queue.description.visibility_s)) * MICROSECONDS
        found: list[Message] = []
        # "No more messages for the same message group ID are returned unless you delete the message or it becomes
        # visible" (SQS developer guide, "FIFO queue and Amazon SQS message group ID").
        busy = {each.group for each in queue.messages if each.group is not None and each.visible_us > now}
        for message in list(queue.messages):
            if len(found) == most:
                break
            hidden = message.visible_us > now
            if message.group in busy:
                continue
            if hidden and not (message.receives and message.group is None and self._is_doubled(message)):
                continue
            if queue.description.dead_letter_arn and message.receives >= queue.description.most_receives:
                self._move(queue, message, queue.description.dead_letter_arn)
                continue
            message.receives += 1
            message.first_received_us = message.first_received_us or now
            message.visible_us = now + hidden_us
            message.receipt = f"{message.id}/{message.receives}"
            found.append(message)
        self._count(queue)
        if not found:
            return {}
        return {"Messages": [_handed_out(each) for each in found]}

    def _is_doubled(self, message: Message) -> bool:
        return fraction(f"{self._seed}/{message.id}/{self._kernel.now_us}") < DOUBLED

    def DeleteMessage(self, request: Request) -> dict[str, Any]:
        queue = self._queue(request)
        self._delete(queue, request["ReceiptHandle"])
        return {}

    def DeleteMessageBatch(self, request: Request, left: frozenset[int] = frozenset()) -> dict[str, Any]:
        queue, entries = self._queue(request), request["Entries"]
        _check_entries(entries)
        done, failed = [], []
        for place, each in enumerate(entries):
            if place in left:
                failed.append({"Id": each["Id"], "SenderFault": False, "Code": "ThrottlingException",
                               "Message": "Rate exceeded"})  # fmt: skip
                continue
            try:
                self._delete(queue, each["ReceiptHandle"])
                done.append({"Id": each["Id"]})
            except Refusal as refusal:
                failed.append({"Id": each["Id"], "SenderFault": True, "Code": refusal.code, "Message": str(refusal)})
        return {**({"Successful": done} if done else {}), **({"Failed": failed} if failed else {})}

    def ChangeMessageVisibility(self, request: Request) -> dict[str, Any]:
        queue = self._queue(request)
        message = self._received(queue, request["ReceiptHandle"])
        if message is None or message.visible_us <= self._kernel.now_us:
            raise Refusal(
                400,
                "MessageNotInflight" if message else "InvalidParameterValue",
                f"Value {request['ReceiptHandle']} for parameter ReceiptHandle is invalid. Reason: Message does not "
                "exist or is not available for visibility timeout change.",
            )
        message.visible_us = self._kernel.now_us + int(request["VisibilityTimeout"]) * MICROSECONDS
        self._count(queue)
        return {}

    def GetQueueUrl(self, request: Request) -> dict[str, Any]:
        queue = self.queues.get(request["QueueName"])
        if queue is None:
            raise _no_queue()
        return {"QueueUrl": queue.description.url}

    def GetQueueAttributes(self, request: Request) -> dict[str, Any]:
        queue, now = self._queue(request), self._kernel.now_us
        self._expire(queue)
        delayed = sum(each.visible_us > now and not each.receives for each in queue.messages)
        hidden = sum(each.visible_us > now and each.receives > 0 for each in queue.messages)
        attributes = {
            "QueueArn": queue.description.arn,
            "ApproximateNumberOfMessages": str(len(queue.messages) - delayed - hidden),
            "ApproximateNumberOfMessagesNotVisible": str(hidden),
            "ApproximateNumberOfMessagesDelayed": str(delayed),
            "VisibilityTimeout": str(queue.description.visibility_s),
            "MessageRetentionPeriod": str(queue.description.retention_s),
        }
        wanted = request.get("AttributeNames", [])
        return {"Attributes": {name: attributes[name] for name in attributes if "All" in wanted or name in wanted}}

    def PurgeQueue(self, request: Request) -> dict[str, Any]:
        queue = self._queue(request)
        queue.messages.clear()
        self._count(queue)
        return {}

    # --- within ---

    def _queue(self, request: Request) -> Queue:
        queue = self.queues.get(request["QueueUrl"].rpartition("/")[2])
        if queue is None:
            raise _no_queue()
        return queue

    def _received(self, queue: Queue, receipt: str) -> Message | None:
        message_id, _, _ = receipt.partition("/")
        return next((each for each in queue.messages if each.id == message_id), None)

    def _delete(self, queue: Queue, receipt: str) -> None:
        if "/" not in receipt:
            raise Refusal(
                400, "ReceiptHandleIsInvalid", f'The input receipt handle "{receipt}" is not a valid receipt handle.'
            )
        message = self._received(queue, receipt)
        # With an earlier receipt the request succeeds, and the message stays (SQS API reference, "DeleteMessage").
        if message is not None and message.receipt == receipt:
            queue.messages.remove(message)
            self._count(queue)

    def _move(self, queue: Queue, message: Message, arn: str) -> None:
        """To the dead-letter queue, where the age of a message goes on, and begins anew in a FIFO queue (SQS developer
        guide, "Setting-up dead-letter queue retention in Amazon SQS")."""
        queue.messages.remove(message)
        other, now = self.queues[arn.rpartition(":")[2]], self._kernel.now_us
        message.visible_us = now
        message.received_before, message.receives = message.received_before + message.receives, 0
        if other.description.fifo:
            message.sent_us = now
        other.messages.append(message)
        self._count(other)

    def _expire(self, queue: Queue) -> None:
        oldest = self._kernel.now_us - queue.description.retention_s * MICROSECONDS
        if any(each.sent_us < oldest for each in queue.messages):  # one that was moved here is older than those before
            queue.messages = [each for each in queue.messages if each.sent_us >= oldest]
            self._count(queue)

    def _count(self, queue: Queue) -> None:
        """Tell the metric, now and when what is hidden becomes visible."""
        now = self._kernel.now_us
        name = queue.description.name
        self._gauges[name](sum(each.visible_us <= now for each in queue.messages))
        later = min((each.visible_us for each in queue.messages if each.visible_us > now), default=None)
        if later is not None:
            self._kernel.at(later - now, lambda: self._gauges[name](self._visible(queue)))

    def _visible(self, queue: Queue) -> int:
        return sum(each.visible_us <= self._kernel.now_us for each in queue.messages)


def _handed_out(message: Message) -> dict[str, Any]:
    attributes = {
        "SentTimestamp": str(message.sent_us // 1000),
        "ApproximateReceiveCount": str(message.received_before + message.receives),
        "ApproximateFirstReceiveTimestamp": str(message.first_received_us // 1000),
    }
    if message.group is not None:
        attributes |= {
            "MessageGroupId": message.group,
            "MessageDeduplicationId": str(message.deduplication),
            "SequenceNumber": str(message.sequence_number),
        }
    return {
        "MessageId": message.id,
        "ReceiptHandle": message.receipt,
        "MD5OfBody": hashlib.md5(message.body.encode()).hexdigest(),
        "Body": message.body,
        "Attributes": attributes,
        **({"MessageAttributes": message.attributes} if message.attributes else {}),
    }


def _check_entries(entries: list[Request]) -> None:
    if not entries:
        raise Refusal(
            400,
            "AWS.SimpleQueueService.EmptyBatchRequest",
            "There should be at least one SendMessageBatchRequestEntry in the request.",
        )
    if len(entries) > MOST_ENTRIES:
        raise Refusal(
            400,
            "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
            f"Maximum number of entries per request are 10. You have sent {len(entries)}.",
        )
    ids = [each["Id"] for each in entries]
    if len(set(ids)) != len(ids):
        twice = next(each for place, each in enumerate(ids) if each in ids[:place])
        raise Refusal(400, "AWS.SimpleQueueService.BatchEntryIdsNotDistinct", f"Id {twice} repeated.")


def _no_queue() -> Refusal:
    return Refusal(400, "AWS.SimpleQueueService.NonExistentQueue", "The specified queue does not exist.")
