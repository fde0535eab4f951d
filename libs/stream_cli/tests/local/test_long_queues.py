"""Requests to a queue do not look at all messages that wait in it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from ministack.services import sqs
from stream_cli.local.emulator import long_queues
from stream_cli.local.endpoint import LocalEndpoint


class Counted(list[Any]):
    """A list that counts the elements which are looked at."""

    looked_at = 0

    def __iter__(self) -> Iterator[Any]:
        for each in super().__iter__():
            self.looked_at += 1
            yield each


def waiting(count: int) -> Counted:
    now = time.time()
    return Counted({"body": str(n), "sent_at": now, "receipt_handle": f"handle-{n}"} for n in range(count))


@pytest.fixture
def patched(monkeypatch: pytest.MonkeyPatch) -> None:
    """ministack's queues with this patch, for one test."""
    for name in ("_collect_msgs", "_expire_retained", "_act_delete_message_batch"):
        monkeypatch.setattr(sqs, name, getattr(sqs, name))
    monkeypatch.setitem(sqs._HANDLERS, "DeleteMessageBatch", sqs._HANDLERS["DeleteMessageBatch"])
    long_queues.patch()


def test_receiving_looks_at_the_messages_that_it_gives(patched: None) -> None:
    queue = {"is_fifo": False, "messages": waiting(10_000)}
    received = sqs._collect_msgs(queue, 10, 30)
    assert [message["body"] for message in received] == [str(n) for n in range(10)]
    assert queue["messages"].looked_at <= 11
    assert [message["body"] for message in sqs._collect_msgs(queue, 10, 30)] == [str(n) for n in range(10, 20)]


def test_retention_is_looked_at_once_a_second(patched: None, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = {"attributes": {"QueueArn": "arn:of:the:queue", "MessageRetentionPeriod": "60"}, "messages": waiting(3)}
    queue["messages"][0]["sent_at"] -= 61
    sqs._expire_retained(queue)
    assert [message["body"] for message in queue["messages"]] == ["1", "2"]
    queue["messages"] = waiting(100)
    for _ in range(5):
        sqs._expire_retained(queue)
    assert queue["messages"].looked_at == 0
    queue["messages"][50]["sent_at"] -= 61
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + long_queues.EXPIRE_EVERY_S)
    sqs._expire_retained(queue)
    assert len(queue["messages"]) == 99


def test_a_batch_of_deletions_looks_at_the_messages_up_to_the_last_of_them() -> None:
    messages = waiting(10_000)
    assert long_queues.removed(messages, {f"handle-{n}" for n in (9, 3, 0)}) == {"handle-0", "handle-3", "handle-9"}
    assert messages.looked_at <= 11
    assert [message["body"] for message in messages[:7]] == ["1", "2", "4", "5", "6", "7", "8"]


def test_a_batch_of_deletions_answers_for_each_entry(endpoint: LocalEndpoint, name: str) -> None:
    queues = endpoint.client("sqs")
    url = queues.create_queue(QueueName=name)["QueueUrl"]
    for body in "abc":
        queues.send_message(QueueUrl=url, MessageBody=body)
    received = queues.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    assert [message["Body"] for message in received] == ["a", "b", "c"]
    handles = [received[1]["ReceiptHandle"], "unknown", received[1]["ReceiptHandle"], received[0]["ReceiptHandle"]]
    entries = [{"Id": str(n), "ReceiptHandle": handle} for n, handle in enumerate(handles)]
    answer = queues.delete_message_batch(QueueUrl=url, Entries=entries)
    assert [entry["Id"] for entry in answer["Successful"]] == ["0", "3"]
    assert [(entry["Id"], entry["Code"]) for entry in answer["Failed"]] == [
        ("1", "ReceiptHandleIsInvalid"),
        ("2", "ReceiptHandleIsInvalid"),
    ]
    queues.change_message_visibility(QueueUrl=url, ReceiptHandle=received[2]["ReceiptHandle"], VisibilityTimeout=0)
    assert [message["Body"] for message in queues.receive_message(QueueUrl=url)["Messages"]] == ["c"]
