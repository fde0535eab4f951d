"""Who looks at a cloud, such as `send` beside a running `npm start`, takes nothing away from others who look."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest
from stream_cli.local.endpoint import LocalEndpoint

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
