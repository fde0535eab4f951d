"""Who looks at a cloud, such as `send` beside a running `npm start`, takes nothing away from others who look."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from stream_cli.local.endpoint import LocalEndpoint
from stream_cli.local.plain_requests import PlainRequests

from demo.feed import HUB_STACK
from demo.observation import LAKE_STACK, Observer, documents

BUS = "event-hub-local-bus"


@pytest.fixture
def stacks(endpoint: LocalEndpoint, name: str) -> Iterator[None]:
    """A hub that is nothing but a bus, and a lake that is nothing but a bucket."""
    hub = {
        "Resources": {"Bus": {"Type": "AWS::Events::EventBus", "Properties": {"Name": BUS}}},
        "Outputs": {"busName": {"Value": {"Ref": "Bus"}}},
    }
    lake = {
        "Resources": {"Bucket": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": name}}},
        "Outputs": {"bucketName": {"Value": {"Ref": "Bucket"}}},
    }
    cloudformation = endpoint.client("cloudformation")
    for stack, template in ((HUB_STACK, hub), (LAKE_STACK, lake)):
        cloudformation.create_stack(StackName=stack, TemplateBody=json.dumps(template))
        cloudformation.get_waiter("stack_create_complete").wait(StackName=stack, WaiterConfig={"Delay": 1})
    yield
    for stack in (HUB_STACK, LAKE_STACK):
        cloudformation.delete_stack(StackName=stack)


def ids_until(observer: Observer, event_id: str) -> list[str]:
    deadline = time.monotonic() + 30
    while True:
        observer.look()
        ids = [event["id"] for event in observer.seen.events]
        if event_id in ids:
            return ids
        assert time.monotonic() < deadline, f"{event_id} was not seen, only {ids}"


@pytest.mark.usefixtures("stacks")
def test_each_of_two_observers_sees_every_event_even_after_the_other_has_gone(endpoint: LocalEndpoint) -> None:
    def publish(event_id: str) -> None:
        detail = json.dumps({"id": event_id, "type": "thing-done"})
        entry = {"EventBusName": BUS, "Source": "custom", "DetailType": "thing-done", "Detail": detail}
        assert endpoint.client("events").put_events(Entries=[entry])["FailedEntryCount"] == 0

    with Observer(endpoint) as first:
        publish("1")
        with Observer(endpoint) as second:
            publish("2")
            assert ids_until(second, "2") == ["2"]
        publish("3")
        assert ids_until(first, "3") == ["1", "2", "3"]


def test_many_documents_of_an_object_are_read_in_linear_time() -> None:
    began = time.process_time()
    assert sum(1 for _ in documents(b" {} \n{}" * 100_000)) == 200_000
    assert time.process_time() - began < 3


@pytest.mark.usefixtures("stacks")
def test_each_look_at_failure_queues_asks_for_their_numbers_and_nothing_else(
    endpoint: LocalEndpoint, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    make = LocalEndpoint.client

    def counted(endpoint: LocalEndpoint, service: str, **settings: float) -> Any:
        client = make(endpoint, service, **settings)
        client.meta.events.register("before-call.*.*", lambda model, **_: asked.append(model.name))
        return client

    sqs = endpoint.client("sqs")
    failed, work = (sqs.create_queue(QueueName=f"{name}-{each}")["QueueUrl"] for each in ("failed", "work"))
    arn = sqs.get_queue_attributes(QueueUrl=failed, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": "3"})
    sqs.set_queue_attributes(QueueUrl=work, Attributes={"RedrivePolicy": policy})
    monkeypatch.setattr(LocalEndpoint, "client", counted)
    with Observer(endpoint) as observer:
        assert observer.failure_queues()[f"{name}-failed"] == 0
        asked.clear()
        sqs.send_message(QueueUrl=failed, MessageBody="{}")
        found = observer.failure_queues()
    assert found[f"{name}-failed"] == 1
    assert asked[: len(found)] == ["GetQueueAttributes"] * len(found)


@pytest.mark.usefixtures("stacks")
def test_objects_of_the_lake_are_read_once_by_plain_requests(
    endpoint: LocalEndpoint, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    get = PlainRequests.get

    def counted(plain: PlainRequests, bucket: str, key: str) -> bytes | None:
        asked.append(key)
        return get(plain, bucket, key)

    monkeypatch.setattr(PlainRequests, "get", counted)
    keys = ["events/2026/01/01/00/lake 1+%2F=ü?#", "other/2"]
    with Observer(endpoint) as observer:
        for number, key in enumerate(keys):
            body = json.dumps({"detail": {"id": str(number)}}).encode()
            endpoint.client("s3").put_object(Bucket=name, Key=key, Body=body)
        assert observer.look()[1] == 2
        assert observer.look()[1] == 0
    assert observer.seen.lake_ids == {"0"}
    assert len(observer.seen.unreadable) == 1
    assert asked == keys[:1]
