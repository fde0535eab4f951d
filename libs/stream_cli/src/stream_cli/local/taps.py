"""Taps: a rule that matches every event of a bus, and the queue that is its target. Both are ordinary resources."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from stream_cli.local.endpoint import LocalEndpoint

# Every event has a source, since PutEvents refuses an entry without one; and every text begins with "".
EVERYTHING = {"source": [{"prefix": ""}]}

_POLICY = {
    "Version": "2012-10-17",
    "Statement": {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": "*",
    },
}


class Tap:
    """A tap on one bus. Its events are in ``queue_url`` until they are deleted."""

    def __init__(self, endpoint: LocalEndpoint, bus: str, name: str, *, purpose: str, visibility_s: int = 30) -> None:
        """Create the rule ``name`` and the queue ``<name>-<bus>`` where they do not exist.

        ``purpose`` is the rule's description, ``visibility_s`` the queue's visibility timeout.
        """
        self.bus = bus
        self.name = name
        self._events = endpoint.client("events")
        self._sqs = endpoint.client("sqs")
        self.queue_url = str(
            self._sqs.create_queue(
                QueueName=f"{name}-{bus}".replace(".", "-").replace("/", "-")[-80:],
                Attributes={
                    "VisibilityTimeout": str(visibility_s),
                    "MessageRetentionPeriod": "1209600",
                    "Policy": json.dumps(_POLICY),
                },
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
        """Delete messages; returns the place in the list of each that was not deleted, and the reason."""
        failed = []
        for start in range(0, len(receipts), 10):
            entries = [{"Id": str(i), "ReceiptHandle": r} for i, r in enumerate(receipts[start : start + 10])]
            answer = self._sqs.delete_message_batch(QueueUrl=self.queue_url, Entries=entries)
            failed += [(start + int(entry["Id"]), entry.get("Message", "")) for entry in answer.get("Failed", [])]
        return failed

    def delay(self, receipt: str, seconds: int) -> None:
        """Deliver a message again after so many seconds."""
        self._sqs.change_message_visibility(QueueUrl=self.queue_url, ReceiptHandle=receipt, VisibilityTimeout=seconds)

    def remove(self) -> None:
        """Delete the rule and the queue where the bus and the cloud still exist."""
        with contextlib.suppress(ClientError, BotoCoreError):
            self._sqs.delete_queue(QueueUrl=self.queue_url)
            self._events.remove_targets(Rule=self.name, EventBusName=self.bus, Ids=[self.name])
            self._events.delete_rule(Name=self.name, EventBusName=self.bus)
