"""Histories of failing services: every message arrives or becomes a fault, and those of a key arrive in order.

A history has events of a few keys, some of which the service refuses. The service throttles, times out before and after
the effect, and fails entries of successful calls. The stream delivers again what is returned.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sample_sizes import sample_of
from stream_runtime import DEFAULT_OPTIONS, StreamPipeline, clients, initialize_from
from stream_runtime.events import from_kinesis, to_kinesis_records
from stream_runtime.flavors import firehose, kinesis, sns, sqs

FAILURES = ("none", "throttled", "timeout before", "timeout after", "entries")
_ROUNDS = 200


class FailingService:
    """SNS, SQS, Kinesis and Firehose as far as batch calls go; keeps what arrived, by key and number."""

    def __init__(self, failures: list[tuple[str, int]]) -> None:
        self.failures = failures
        self.arrived: list[tuple[str, int]] = []

    def take(
        self, bodies: list[Any], accepted: Callable[[int], Any], failed: Callable[[int, str, bool], Any]
    ) -> list[Any]:
        failure, place = self.failures.pop(0) if self.failures else ("none", 0)
        if failure == "throttled":
            raise ClientError({"Error": {"Code": "ThrottlingException"}, "ResponseMetadata": {}}, "Call")
        if failure == "timeout before":
            raise ReadTimeoutError(endpoint_url="x")
        answers = []
        for index, body in enumerate(bodies):
            message = json.loads(body)
            if message["refused"]:
                answers.append(failed(index, "InvalidParameterValue", True))
            elif failure == "entries" and index % 2 == place % 2:
                answers.append(failed(index, "InternalFailure", False))
            else:
                self.arrived.append((message["key"], message["number"]))
                answers.append(accepted(index))
        if failure == "timeout after":
            raise ReadTimeoutError(endpoint_url="x")
        return answers

    def by_id(self, bodies: list[str]) -> dict[str, Any]:
        answers = self.take(
            bodies,
            lambda index: {"Id": str(index)},
            lambda index, code, mine: {"Id": str(index), "Code": code, "SenderFault": mine},
        )
        return {
            "Successful": [answer for answer in answers if "Code" not in answer],
            "Failed": [answer for answer in answers if "Code" in answer],
        }

    def by_place(self, bodies: list[bytes]) -> list[dict[str, Any]]:
        return self.take(bodies, lambda _: {}, lambda _, code, mine: {"ErrorCode": code})

    def publish_batch(self, **call: Any) -> dict[str, Any]:
        return self.by_id([entry["Message"] for entry in call["PublishBatchRequestEntries"]])

    def send_message_batch(self, **call: Any) -> dict[str, Any]:
        return self.by_id([entry["MessageBody"] for entry in call["Entries"]])

    def put_records(self, **call: Any) -> dict[str, Any]:
        return {"Records": self.by_place([record["Data"] for record in call["Records"]])}

    def put_record_batch(self, **call: Any) -> dict[str, Any]:
        return {"RequestResponses": self.by_place([record["Data"] for record in call["Records"]])}


def body_of(uow: Any) -> dict[str, Any]:
    event = uow["event"]
    return {"key": event["partition_key"], "number": event["timestamp"], "refused": event["refused"]}


RULES: dict[str, dict[str, Any]] = {
    "sns": {"flavor": sns, "topic_arn": "t", "to_sns": lambda uow: {"Message": body_of(uow)}},
    "sqs": {"flavor": sqs, "queue_url": "q", "to_sqs": lambda uow: {"MessageBody": body_of(uow)}},
    "kinesis": {"flavor": kinesis, "stream_name": "s", "to_kinesis": lambda uow: {"Data": body_of(uow)}},
    "firehose": {"flavor": firehose, "delivery_stream_name": "d", "to_firehose": lambda uow: {"Data": body_of(uow)}},
}


@pytest.mark.parametrize("service_name", RULES)
@settings(max_examples=sample_of(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    keys=st.lists(st.sampled_from("abc"), min_size=1, max_size=12),
    refused=st.sets(st.integers(0, 11), max_size=2),
    failures=st.lists(st.tuples(st.sampled_from(FAILURES), st.integers(0, 1)), max_size=12),
    batch_size=st.integers(1, 10),
)
def test_every_message_arrives_in_the_order_of_its_key_or_becomes_a_fault(
    service_name: str,
    keys: list[str],
    refused: set[int],
    failures: list[tuple[str, int]],
    batch_size: int,
    bus: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RETRY_ATTEMPTS", "2")
    service = FailingService(list(failures))
    clients.use(service_name, service)
    bus.events.clear()
    events = [
        {"id": f"e{n}", "type": "thing", "timestamp": n, "partition_key": key, "refused": n in refused}
        for n, key in enumerate(keys)
    ]
    rule = {"id": "send", "event_type": "thing", "batch_size": batch_size, **RULES[service_name]}
    pipeline = StreamPipeline(initialize_from([rule]), DEFAULT_OPTIONS)
    records = to_kinesis_records(events)["Records"]
    start = 0
    for _ in range(_ROUNDS):
        left = pipeline.assemble(from_kinesis({"Records": records[start:]}))["batchItemFailures"]
        if not left:
            break
        start = int(left[0]["itemIdentifier"])
    else:
        pytest.fail("the stream is never done")

    faulted = {fault["uow"]["event"]["id"] for fault in bus.of_type("fault")}
    arrived = {number for _, number in service.arrived}
    assert faulted == {event["id"] for event in events if event["refused"]}
    assert arrived == {event["timestamp"] for event in events if not event["refused"]}
    for key in set(keys):
        firsts = list(dict.fromkeys(number for of_key, number in service.arrived if of_key == key))
        assert firsts == sorted(firsts)
