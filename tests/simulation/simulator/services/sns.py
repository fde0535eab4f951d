"""SNS: topics, and queues that are subscribed to them.

A FIFO topic keeps the order of a message group and drops what it has got within five minutes (SNS developer guide,
"Message ordering details for FIFO topics" and "Message deduplication for FIFO topics").
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from refusals import Refusal

from simulator.chance import fraction, uuid_of
from simulator.kernel import MICROSECONDS, Kernel
from simulator.topology import Topic as Description

Request = Mapping[str, Any]
Call = Callable[[str, str, Request], Mapping[str, Any]]

DEDUPLICATED_US = 300 * MICROSECONDS
MOST_ENTRIES = 10
MOST_BYTES = 256 * 1024
"""Entries of a batch; bytes of a message, and of a batch, where a topic has no other MaximumMessageSize (SNS API
reference, "PublishBatch")."""
_AGAIN_US = 20 * MICROSECONDS
"""Between attempts at a queue, of which there are 100,015 within 23 days (SNS developer guide, "Amazon SNS message
delivery retries")."""


@dataclass(frozen=True)
class Message:
    """What a topic has taken.

    Attributes:
        group: of a FIFO topic, as are `deduplication` and `sequence_number`.
    """

    id: str
    at_us: int
    message: str
    subject: str | None
    attributes: Mapping[str, Any]
    group: str | None = None
    deduplication: str | None = None
    sequence_number: str | None = None


@dataclass(eq=False)
class Topic:
    """A topic: what it has taken, in order, and how often it has dropped a duplicate."""

    description: Description
    messages: list[Message] = field(default_factory=list)
    dropped: int = 0
    known: dict[str, Message] = field(default_factory=dict)
    waiting: dict[tuple[str, str | None], list[Message]] = field(default_factory=dict)


class Sns:
    """The topics of a deployment, by ARN in `topics`.

    Args:
        call: calls SQS for a subscription: ``("sqs", "SendMessage", request)``; raises `Refusal`.
    """

    def __init__(
        self,
        kernel: Kernel,
        seed: object,
        descriptions: Iterable[Description],
        call: Call = lambda service, operation, request: {},
    ) -> None:
        self._kernel = kernel
        self._seed = f"{seed}/sns"
        self._call = call
        self._number = 0
        self.topics = {each.arn: Topic(each) for each in descriptions}

    def Publish(self, request: Request) -> dict[str, Any]:
        topic = self._topic(request)
        problem = _problem(topic.description, request)
        if problem is not None:
            raise Refusal(400, *problem)
        return self._take(topic, request)

    def PublishBatch(self, request: Request, left: frozenset[int] = frozenset()) -> dict[str, Any]:
        topic, entries = self._topic(request), request["PublishBatchRequestEntries"]
        if not entries:
            raise Refusal(400, "EmptyBatchRequest", "The batch request doesn't contain any entries.")
        if len(entries) > MOST_ENTRIES:
            raise Refusal(
                400, "TooManyEntriesInBatchRequest", "The batch request contains more entries than permissible."
            )
        if len({each["Id"] for each in entries}) != len(entries):
            raise Refusal(400, "BatchEntryIdsNotDistinct", "Two or more batch entries in the request have the same Id.")
        if sum(len(each["Message"].encode()) for each in entries) > MOST_BYTES:
            reason = "The length of all the messages put together is more than the limit."
            raise Refusal(400, "BatchRequestTooLong", reason)
        taken, failed = [], []
        for place, each in enumerate(entries):
            problem = _problem(topic.description, each)
            if place in left:
                failed.append({"Id": each["Id"], "Code": "Throttled", "Message": "Rate exceeded", "SenderFault": False})
            elif problem is not None:
                failed.append({"Id": each["Id"], "Code": problem[0], "Message": problem[1], "SenderFault": True})
            else:
                taken.append({"Id": each["Id"], **self._take(topic, each)})
        return {"Successful": taken, "Failed": failed}

    # --- within ---

    def _topic(self, request: Request) -> Topic:
        topic = self.topics.get(request["TopicArn"])
        if topic is None:
            raise Refusal(404, "NotFound", "Topic does not exist")
        return topic

    def _take(self, topic: Topic, given: Request) -> dict[str, Any]:
        now, fifo = self._kernel.now_us, topic.description.fifo
        deduplication = None
        if fifo:
            content = hashlib.sha256(given["Message"].encode()).hexdigest()
            deduplication = given.get("MessageDeduplicationId") or content
            known = topic.known.get(deduplication)
            if known is not None and now - known.at_us < DEDUPLICATED_US:
                topic.dropped += 1
                return _answer(known)
        self._number += 1
        message = Message(
            id=uuid_of(f"{self._seed}/{topic.description.name}/{len(topic.messages)}"),
            at_us=now,
            message=given["Message"],
            subject=given.get("Subject"),
            attributes=given.get("MessageAttributes", {}),
            group=given["MessageGroupId"] if fifo else None,
            deduplication=deduplication,
            sequence_number=f"{10_000_000_000_000_000_000 + self._number}" if fifo else None,
        )
        if deduplication is not None:
            topic.known[deduplication] = message
        topic.messages.append(message)
        for arn in topic.description.subscriptions:
            lane = topic.waiting.setdefault((arn, message.group), [])
            lane.append(message)
            if not fifo or len(lane) == 1:
                self._deliver_later(topic, arn, message, int(fraction(f"{message.id}/{arn}") * 0.5 * MICROSECONDS))
        return _answer(message)

    def _deliver_later(self, topic: Topic, arn: str, message: Message, wait_us: int) -> None:
        self._kernel.at(wait_us, lambda: self._deliver(topic, arn, message))

    def _deliver(self, topic: Topic, arn: str, message: Message) -> None:
        """Send to a queue; the later messages of a group wait for those before."""
        region, account, name = arn.split(":")[3:6]
        request: dict[str, Any] = {
            "QueueUrl": f"https://sqs.{region}.amazonaws.com/{account}/{name}",
            "MessageBody": json.dumps(
                {
                    "Type": "Notification",
                    "MessageId": message.id,
                    "TopicArn": topic.description.arn,
                    "Message": message.message,
                    **({"Subject": message.subject} if message.subject else {}),
                    **({"SequenceNumber": message.sequence_number} if message.sequence_number else {}),
                }
            ),
        }
        if message.group is not None:
            request |= {"MessageGroupId": message.group, "MessageDeduplicationId": message.deduplication}
        try:
            self._call("sqs", "SendMessage", request)
        except Refusal:
            self._deliver_later(topic, arn, message, _AGAIN_US)
            return
        lane = topic.waiting[arn, message.group]
        lane.remove(message)
        if topic.description.fifo and lane:
            self._deliver_later(topic, arn, lane[0], 0)


def _problem(topic: Description, given: Request) -> tuple[str, str] | None:
    """Why a message is refused, as code and words."""
    if not given.get("Message"):
        return "InvalidParameter", "Invalid parameter: Empty message"
    if len(given["Message"].encode()) > MOST_BYTES:
        return "InvalidParameter", "Invalid parameter: Message too long"
    if not topic.fifo:
        return None
    if not given.get("MessageGroupId"):
        return "InvalidParameter", "Invalid parameter: The MessageGroupId parameter is required for FIFO topics"
    if not given.get("MessageDeduplicationId") and not topic.content_based:
        return "InvalidParameter", (
            "Invalid parameter: The topic should either have ContentBasedDeduplication enabled or "
            "MessageDeduplicationId provided explicitly"
        )
    return None


def _answer(message: Message) -> dict[str, Any]:
    return {
        "MessageId": message.id,
        **({"SequenceNumber": message.sequence_number} if message.sequence_number else {}),
    }
