"""A personal field in the deployed services: encrypted wherever it is kept, and read by those who may."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from stream_cli.local.cloud import attach
from stream_cli.local.endpoint import LocalEndpoint
from stream_cli.local.state import StateFolder

pytestmark = pytest.mark.system

BFF, HUB = "rest-bff-service-local", "event-hub-local"
EMAIL = "ada.lovelace@personal.example"
STORY = {
    "id": "with-a-contact",
    "source_type": "newsapi",
    "source_url": "https://news.example/ai",
    "title": "A title",
    "text_snippet": "A text",
    "published_at": "2026-11-16T10:00:00Z",
    "contact": EMAIL,
}
ARRIVES_WITHIN_S = 240.0

# A consumer that may use the key.
DECRYPT = """
import json, sys
from stream_runtime import encryption

print(json.dumps(encryption.decrypt(json.load(sys.stdin))))
"""


def eventually(condition: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + ARRIVES_WITHIN_S
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited {ARRIVES_WITHIN_S:.0f} s in vain until {what}"
        time.sleep(0.2)  # looking takes CPU from what it waits for
    return found


def output(cloud: LocalEndpoint, stack: str, name: str) -> str:
    (found,) = cloud.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    return next(each["OutputValue"] for each in found["Outputs"] if each["OutputKey"] == name)


def row_of(cloud: LocalEndpoint, table: str, pk: str, sk: str) -> dict[str, Any]:
    key = {"pk": {"S": pk}, "sk": {"S": sk}}
    item: dict[str, Any] = cloud.client("dynamodb").get_item(TableName=table, Key=key, ConsistentRead=True).get("Item")
    return item


def in_stream(cloud: LocalEndpoint, event_id: str, since_s: float) -> list[dict[str, Any]]:
    """The events with an id in the hub's stream."""
    kinesis, stream = cloud.client("kinesis"), output(cloud, HUB, "stream1Name")
    found = []
    for shard in kinesis.list_shards(StreamName=stream)["Shards"]:
        at = {"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": since_s}
        place = kinesis.get_shard_iterator(StreamName=stream, ShardId=shard["ShardId"], **at)["ShardIterator"]
        while place and (page := kinesis.get_records(ShardIterator=place))["Records"]:
            found += [json.loads(record["Data"]) for record in page["Records"]]
            place = page.get("NextShardIterator")
    events = [each.get("detail", each) for each in found]
    return [each for each in events if each["id"] == event_id]


def test_a_personal_field_is_encrypted_wherever_it_is_kept_and_read_by_those_who_may(running: Any) -> None:
    cloud = attach(StateFolder(running.state))
    began_s = time.time() - 60
    stack = {"StackName": BFF, "LogicalResourceId": "HttpApi"}
    api = cloud.client("cloudformation").describe_stack_resource(**stack)["StackResourceDetail"]["PhysicalResourceId"]
    with httpx.Client(base_url=cloud.url, headers={"Host": cloud.api_host(api)}, trust_env=False, timeout=60) as client:
        created = client.post("/stories", json=STORY)
        assert created.status_code == 201, created.text
        read = client.get(f"/stories/{STORY['id']}").json()
    assert read["contact"] == EMAIL

    row = row_of(cloud, f"{BFF}-entities", STORY["id"], "story")
    assert row["contact"]["S"].startswith("ENCRYPTED")
    assert EMAIL not in json.dumps(row)

    def from_lake() -> list[dict[str, Any]]:
        lines = running.run_here("lake", "cat", "--type", "story-submitted").stdout.splitlines()
        return [event for event in map(json.loads, lines) if event["story"]["id"] == STORY["id"]]

    (event,) = eventually(from_lake, "the event is in the lake")
    (streamed,) = in_stream(cloud, event["id"], began_s)
    assert streamed == event
    assert event["story"]["contact"].startswith("ENCRYPTED")
    assert EMAIL not in json.dumps(event)

    # control-service may not use the key; it collects the event as it came.
    events = "control-service-local-events"
    collected = eventually(lambda: row_of(cloud, events, event["id"], "EVENT"), "control-service has the event")
    assert collected["event"]["M"]["story"]["M"]["contact"]["S"] == event["story"]["contact"]

    decrypted = subprocess.run(
        [sys.executable, "-c", DECRYPT],
        input=json.dumps(event),
        env={**os.environ, **cloud.environment, "ENCRYPTION_KEYS": output(cloud, BFF, "fieldKeyArn")},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert json.loads(decrypted.stdout)["story"]["contact"] == EMAIL
