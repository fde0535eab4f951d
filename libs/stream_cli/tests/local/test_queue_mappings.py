"""Mappings on queues: which messages of a batch are deleted, and which come again."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from stream_cli.local.cloud import LocalCloud
from stream_cli.local.endpoint import LocalEndpoint

# Returns what the first message says, with the ids of the batch's messages in place of "1", "2" and so on.
SOURCE = """
import json
def handler(event, context):
    records = event["Records"]
    text = json.loads(records[0]["body"])["returns"]
    for place, record in enumerate(records, 1):
        text = text.replace(f"<{place}>", record["messageId"])
    if text == "raise":
        raise RuntimeError("no message is done")
    return json.loads(text)
"""


class Queue:
    """A queue, and a function that reads it as soon as it is mapped."""

    def __init__(self, endpoint: LocalEndpoint, function: str, name: str, **attributes: str) -> None:
        self.function = function
        self.functions = endpoint.client("lambda")
        self.sqs = endpoint.client("sqs")
        self.url = self.sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "600", **attributes})[
            "QueueUrl"
        ]

    def send(self, *bodies: Any, **more: Any) -> None:
        entries = [{"Id": str(i), "MessageBody": json.dumps(body), **more} for i, body in enumerate(bodies)]
        for entry in entries:
            if "MessageGroupId" in entry:
                entry["MessageDeduplicationId"] = entry["Id"]
        assert not self.sqs.send_message_batch(QueueUrl=self.url, Entries=entries).get("Failed")

    def attribute(self, name: str) -> str:
        return str(self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=[name])["Attributes"][name])

    def map(self, **mapping: Any) -> None:
        self.mapping = self.functions.create_event_source_mapping(
            FunctionName=self.function, EventSourceArn=self.attribute("QueueArn"), **mapping
        )["UUID"]

    def processed(self) -> str:
        """What became of the first batch."""
        deadline = time.monotonic() + 20
        while True:
            read = self.functions.get_event_source_mapping(UUID=self.mapping)
            if read["LastProcessingResult"] not in {"No records processed", ""}:
                self.functions.delete_event_source_mapping(UUID=self.mapping)
                return str(read["LastProcessingResult"])
            assert time.monotonic() < deadline, read
            time.sleep(0.02)

    def left(self) -> int:
        names = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
        return sum(int(self.attribute(name)) for name in names)


@pytest.fixture(scope="module")
def function(make_function: Callable[..., Any]) -> str:
    make_function("answers-as-told", SOURCE, Timeout=3)
    return "answers-as-told"


REPORT = {"FunctionResponseTypes": ["ReportBatchItemFailures"]}
IDENTIFIED = '{"batchItemFailures": [{"itemIdentifier": %s}]}'


# What the function returns for a batch of two messages, and how many of them are left.
RESPONSES = {
    "null": 0,
    "{}": 0,
    '""': 0,
    '{"batchItemFailures": []}': 0,
    '{"batchItemFailures": null}': 0,
    IDENTIFIED % '"<2>"': 1,
    '{"batchItemFailures": [{"itemIdentifier": "<1>"}, {"itemIdentifier": "<2>"}]}': 2,
    IDENTIFIED % '"unknown"': 2,
    '{"batchItemFailures": [{"itemIdentifier": "<1>"}, {"itemIdentifier": "unknown"}]}': 2,
    IDENTIFIED % '""': 2,
    IDENTIFIED % "null": 2,
    IDENTIFIED % "123": 2,
    '{"batchItemFailures": [{"foo": "notvalid"}]}': 2,
    '{"batchItemFailures": ["<2>"]}': 2,
    '"a text"': 2,
    "raise": 2,
}


@pytest.fixture(scope="module")
def left(cloud: LocalCloud, function: str) -> dict[tuple[str, bool], int]:
    """How many messages are left after each response, in a standard and in a FIFO queue; all are mapped at once."""
    queues = {}
    for number, (returned, fifo) in enumerate(itertools.product(RESPONSES, (False, True))):
        name, attributes = (f"case{number}.fifo", {"FifoQueue": "true"}) if fifo else (f"case{number}", {})
        queues[returned, fifo] = queue = Queue(cloud.endpoint, function, name, **attributes)
        queue.send({"returns": returned}, {}, **({"MessageGroupId": "g"} if fifo else {}))
        queue.map(**REPORT)
    return {case: queue.left() for case, queue in queues.items() if queue.processed()}


@pytest.mark.parametrize("fifo", [False, True])
@pytest.mark.parametrize("returned", RESPONSES)
def test_a_message_is_deleted_only_if_the_response_says_that_it_is_done(
    left: dict[tuple[str, bool], int], returned: str, fifo: bool
) -> None:
    """Lambda developer guide, "Handling errors for an SQS event source in Lambda", success and failure conditions.

    ``{"foo": "notvalid"}`` is recorded on AWS in LocalStack's test_lambda_integration_sqs.py,
    ``test_report_batch_item_failures_invalid_result_json_batch_fails``.
    """
    assert left[returned, fifo] == RESPONSES[returned]


def test_a_batch_with_an_unknown_identifier_comes_again_in_order(
    endpoint: LocalEndpoint, function: str, name: str
) -> None:
    queue = Queue(endpoint, function, f"{name}.fifo", FifoQueue="true", VisibilityTimeout="3")
    queue.send({"returns": IDENTIFIED % '"unknown"'}, {}, MessageGroupId="g")
    queue.map(**REPORT)
    assert queue.processed() == "FAILED"
    received: list[Any] = []
    deadline = time.monotonic() + 15
    while not received and time.monotonic() < deadline:
        received = queue.sqs.receive_message(QueueUrl=queue.url, MaxNumberOfMessages=10, WaitTimeSeconds=1).get(
            "Messages", []
        )
    assert [json.loads(message["Body"]) for message in received] == [{"returns": IDENTIFIED % '"unknown"'}, {}]


def test_without_the_option_whatever_a_function_returns_is_success(
    endpoint: LocalEndpoint, function: str, name: str
) -> None:
    queue = Queue(endpoint, function, name)
    queue.send({"returns": IDENTIFIED % '"unknown"'}, {})
    queue.map()
    assert queue.processed() == "OK - 2 records"
    assert queue.left() == 0


def test_a_message_that_the_filters_drop_is_deleted_though_its_batch_fails(
    endpoint: LocalEndpoint, function: str, name: str
) -> None:
    queue = Queue(endpoint, function, name)
    queue.send({"returns": "raise", "keep": True}, {"keep": False})
    pattern = json.dumps({"body": {"keep": [True]}})
    queue.map(FilterCriteria={"Filters": [{"Pattern": pattern}]})
    assert queue.processed() == "FAILED"
    assert queue.left() == 1
