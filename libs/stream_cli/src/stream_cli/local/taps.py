"""Taps: a rule that takes every event of a bus, and the queue that it gives them to; both for everybody to see."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from stream_cli.local.endpoint import Endpoint

# Every event has a source (PutEvents refuses an entry without), and every text begins with nothing.
EVERYTHING = {"source": [{"prefix": ""}]}


class Tap:
    """A tap on one bus. What it takes is in ``queue_url`` until somebody deletes it."""

    def __init__(self, endpoint: Endpoint, bus: str, name: str, *, purpose: str, visibility_s: int = 30) -> None:
        """Create the rule ``name`` and the queue ``<name>-<bus>``, or take them as a predecessor has left them.

        Args:
            endpoint: where the bus is.
            bus: name of the bus.
            name: name of the rule, and with the bus's name that of the queue.
            purpose: the rule's description, for whoever finds it.
            visibility_s: how long (s) a message that was received is kept from others.
        """
        self.bus = bus
        self.name = name
        self._events = endpoint.client("events")
        self._sqs = endpoint.client("sqs")
        self.queue_url = str(
            self._sqs.create_queue(
                QueueName=f"{name}-{bus}".replace(".", "-").replace("/", "-")[-80:],
                Attributes={"VisibilityTimeout": str(visibility_s), "MessageRetentionPeriod": "1209600"},
            )["QueueUrl"]
        )
        asked = self._sqs.get_queue_attributes(QueueUrl=self.queue_url, AttributeNames=["QueueArn"])
        pattern = json.dumps(EVERYTHING)
        self._events.put_rule(Name=name, EventBusName=bus, EventPattern=pattern, State="ENABLED", Description=purpose)
        target = {"Id": name, "Arn": asked["Attributes"]["QueueArn"]}
        self._events.put_targets(Rule=name, EventBusName=bus, Targets=[target])

    def receive(self, wait_s: int = 0) -> list[dict[str, Any]]:
        """Up to ten messages with their SentTimestamp."""
        received = self._sqs.receive_message(
            QueueUrl=self.queue_url,
            MaxNumberOfMessages=10,
            WaitTimeSeconds=wait_s,
            MessageSystemAttributeNames=["SentTimestamp"],
        )
        return list(received.get("Messages", []))

    def delete(self, receipts: list[str]) -> list[tuple[int, str]]:
        """Delete messages; returns those that were not deleted, by their place in the list, with the reason."""
        failed = []
        for start in range(0, len(receipts), 10):
            entries = [{"Id": str(i), "ReceiptHandle": r} for i, r in enumerate(receipts[start : start + 10])]
            answer = self._sqs.delete_message_batch(QueueUrl=self.queue_url, Entries=entries)
            failed += [(start + int(entry["Id"]), entry.get("Message", "")) for entry in answer.get("Failed", [])]
        return failed

    def delay(self, receipt: str, seconds: int) -> None:
        """Have a message come again after so many seconds."""
        self._sqs.change_message_visibility(QueueUrl=self.queue_url, ReceiptHandle=receipt, VisibilityTimeout=seconds)

    def remove(self) -> None:
        """Delete rule and queue, as far as bus and cloud are still there."""
        with contextlib.suppress(ClientError, BotoCoreError):
            self._sqs.delete_queue(QueueUrl=self.queue_url)
            self._events.remove_targets(Rule=self.name, EventBusName=self.bus, Ids=[self.name])
            self._events.delete_rule(Name=self.name, EventBusName=self.bus)
