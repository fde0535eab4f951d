"""`streamctl send` publishes every event, or says why not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stream_cli.errors import CommandError
from stream_cli.local.cloud import LocalCloud
from stream_cli.local.endpoint import LocalEndpoint, stack_output
from stream_cli.send import publish, send_file


@pytest.fixture
def bus(endpoint: LocalEndpoint, name: str, make_queue: Callable[[str], str]) -> Callable[[], list[dict[str, Any]]]:
    """A bus with the test's name; returns what came on it since it was last asked."""
    events, sqs = endpoint.client("events"), endpoint.client("sqs")
    events.create_event_bus(Name=name)
    url = make_queue(name)
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.put_rule(Name=name, EventBusName=name, EventPattern='{"source": ["custom"]}')
    events.put_targets(Rule=name, EventBusName=name, Targets=[{"Id": "queue", "Arn": arn}])

    def read() -> list[dict[str, Any]]:
        received = []
        while batch := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            for message in batch:
                received.append(json.loads(message["Body"])["detail"])
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return received

    return read


@pytest.fixture
def send(cloud: LocalCloud, name: str, tmp_path: Path) -> Callable[..., int]:
    """Send events as a file; returns the exit code."""

    def sending(*events: Any, exact: bool = False) -> int:
        file = tmp_path / "events.json"
        file.write_text("\n".join(map(json.dumps, events)))
        return send_file(file, "local", name, cloud.state.root, exact=exact)

    return sending


def test_what_an_event_has_not_is_filled_in_and_said(
    bus: Callable[[], list[dict[str, Any]]], send: Callable[..., int], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert send({"type": "thing-done", "thing": {"id": "t1"}}) == 0

    (event,) = bus()
    said = capsys.readouterr()
    assert said.err == (
        f"Filled in: id {event['id']} (new each time), timestamp {event['timestamp']}, partition_key t1, "
        "tags.source streamctl, tags.stage local, tags.region us-east-1.\n"
    )
    assert said.out == f"1 event published on {name}\n"
    assert event["tags"] == {"source": "streamctl", "stage": "local", "region": "us-east-1"}


def test_events_are_published_exactly_as_they_are_where_that_is_asked(
    bus: Callable[[], list[dict[str, Any]]], send: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert send({"type": "thing-done", "id": "1"}, exact=True) == 0

    assert bus() == [{"type": "thing-done", "id": "1"}]
    assert "Event 1 has no timestamp, partition_key; its consumers may take it for poison." in capsys.readouterr().err


def test_nothing_is_published_where_an_event_has_no_type(
    bus: Callable[[], list[dict[str, Any]]], send: Callable[..., int]
) -> None:
    with pytest.raises(ValueError, match="event 2 has no type, by which rules find it; nothing was published"):
        send({"type": "thing-done"}, {"id": "1"})

    assert bus() == []


def test_every_event_is_published_however_many_there_are(endpoint: LocalEndpoint, name: str) -> None:
    endpoint.client("events").create_event_bus(Name=name)
    endpoint.client("events").create_archive(
        ArchiveName=name, EventSourceArn=f"arn:aws:events:us-east-1:000000000000:event-bus/{name}"
    )
    publish(endpoint.client("events"), name, [{"id": str(n), "type": "thing"} for n in range(23)])
    assert endpoint.client("events").describe_archive(ArchiveName=name)["EventCount"] == 23


def test_an_event_that_the_bus_refuses_is_an_error(
    endpoint: LocalEndpoint, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BUS_SRC", "aws.ec2")
    endpoint.client("events").create_event_bus(Name=name)
    with pytest.raises(CommandError, match="NotAuthorizedForSource"):
        publish(endpoint.client("events"), name, [{"id": "1", "type": "thing"}])


def test_a_stack_that_is_not_deployed_is_named(endpoint: LocalEndpoint) -> None:
    with pytest.raises(CommandError, match="nowhere-local is not deployed"):
        stack_output(endpoint, "nowhere-local", "busName")
