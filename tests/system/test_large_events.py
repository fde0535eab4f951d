"""Large events on their way through the deployed services: hub, control-service, lake and rest-bff-service.

The sizes are those around the limits: of a row (256 KB, 400 KB), of an entry as services send it (MAX_REQUEST_SIZE) and
as the bus takes it (1 MiB), of what functions expand by default (16 MiB), and 50 MB, for which they get a larger
MAX_EXPANDED_SIZE. All go at once, through the cloud that other files use, too. The largest two take a minute of CPU, so
`THOROUGH=1` has them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from stream_cli.local.cloud import attach
from stream_cli.local.endpoint import LocalEndpoint
from stream_cli.local.state import StateFolder

pytestmark = pytest.mark.system

SIZES = (256_000, 400_000, 1_000_000, 1 << 20, *((16 << 20, 50_000_000) if "THOROUGH" in os.environ else ()))
LARGEST = 52 << 20
READERS = ("control-service-local-listener", "control-service-local-trigger", "rest-bff-service-local-listener")
EVENTS, ENTITIES = "control-service-local-events", "rest-bff-service-local-entities"
SERVICE = "large-events"
ARRIVES_WITHIN_S = 240.0

# Publishes as a service does: what is too large for the bus goes into the hub's bucket.
PUBLISH = """
import json, sys
from stream_runtime.sinks.eventbridge import Publisher

def size(event):
    return len(json.dumps(event, separators=(",", ":")))

with Publisher() as publisher:
    for event in json.load(sys.stdin):
        wanted = event.pop("wanted")
        if wanted:
            event["story"]["text"] = ""
            event["story"]["text"] = "x" * (wanted - size(event))
        publisher.publish(event)
"""


def eventually(condition: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + ARRIVES_WITHIN_S
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited {ARRIVES_WITHIN_S:.0f} s in vain until {what}"
        time.sleep(0.5)  # looking takes CPU from what it waits for
    return found


class Large:
    """The events of this file: of each size a story, named by it."""

    def __init__(self, running: Any) -> None:
        self.running = running
        self.endpoint: LocalEndpoint = attach(StateFolder(running.state))
        self.s3 = self.endpoint.client("s3")
        names = [each["Name"] for each in self.s3.list_buckets()["Buckets"]]
        self.claims, self.lake = (
            next(name for name in names if name.startswith(prefix))
            for prefix in ("event-hub-local-claims-", "event-lake-s3-local-0")
        )

    def publish(self, kind: str, *, fill: bool, **story: Any) -> None:
        """Publish an event about each story, filled up to its size."""
        events = [
            {
                "id": f"{kind}-large-{size}",
                "type": kind,
                "timestamp": time.time_ns() // 1_000_000,
                "partition_key": f"large-{size}",
                "story": {"id": f"large-{size}", **story},
                "wanted": size if fill else 0,
            }
            for size in SIZES
        ]
        variables = {
            "SERVICE": SERVICE,
            "BUS_NAME": "event-hub-local-bus",
            "CLAIMCHECK_BUCKET_NAME": self.claims,
            "MAX_REQUEST_SIZE": "1000000",
            "MAX_EXPANDED_SIZE": str(LARGEST),
        }
        subprocess.run(
            [sys.executable, "-c", PUBLISH],
            input=json.dumps(events),
            env={**os.environ, **self.endpoint.environment, **variables},
            text=True,
            timeout=240,
            check=True,
        )

    def rows(self, table: str, sort_key: str, keys: list[str]) -> dict[str, dict[str, Any]]:
        """The rows with these partition keys that are there, with DynamoDB's types, by partition key."""
        asked = [{"pk": {"S": key}, "sk": {"S": sort_key}} for key in keys]
        answer = self.endpoint.client("dynamodb").batch_get_item(RequestItems={table: {"Keys": asked}})
        return {row["pk"]["S"]: row for row in answer["Responses"][table]}

    def objects(self, bucket: str, prefix: str) -> set[str]:
        """The keys below a prefix."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return {each["Key"] for page in pages for each in page.get("Contents", [])}

    def in_lake(self, *ids: str) -> list[dict[str, Any]]:
        """Events of the lake, as `lake cat` prints them."""
        options = [word for each in ids for word in ("--id", each)]
        return [json.loads(line) for line in self.running.run_here("lake", "cat", *options).stdout.splitlines()]


@pytest.fixture(scope="module")
def large(running: Any) -> Iterator[Large]:
    """The services with stories of all sizes, whose analyses have come."""
    found = Large(running)
    functions = found.endpoint.client("lambda")
    before = {name: functions.get_function_configuration(FunctionName=name)["Environment"] for name in READERS}
    try:
        for name, environment in before.items():
            variables = {**environment["Variables"], "MAX_EXPANDED_SIZE": str(LARGEST)}
            functions.update_function_configuration(FunctionName=name, Environment={"Variables": variables})
        stored = [
            {
                "pk": {"S": f"large-{size}"},
                "sk": {"S": "story"},
                "discriminator": {"S": "outside"},
                "timestamp": {"N": "1"},
            }
            for size in SIZES
        ]
        found.endpoint.client("dynamodb").batch_write_item(
            RequestItems={ENTITIES: [{"PutRequest": {"Item": each}} for each in stored]}
        )
        found.publish("story-submitted", fill=True, title="A title")
        submitted = [f"story-submitted-large-{size}" for size in SIZES]
        eventually(lambda: len(found.rows(EVENTS, "EVENT", submitted)) == len(SIZES), "all stories are collected")
        found.publish("story-analyzed", fill=False, sentiment="neutral", score=0.5, model_version="1")
        yield found
    finally:
        for name, environment in before.items():
            functions.update_function_configuration(FunctionName=name, Environment=environment)


def test_a_row_keeps_what_fits_into_it_and_a_pointer_to_what_does_not(large: Large) -> None:
    rows = large.rows(EVENTS, "EVENT", [f"story-submitted-large-{size}" for size in SIZES])

    kept = {size: "claim_check" in rows[f"story-submitted-large-{size}"]["event"]["M"] for size in SIZES}

    assert kept == {size: size > 350_000 for size in SIZES}


def test_stories_of_all_sizes_become_ready_in_the_other_service(large: Large) -> None:
    stories = [f"large-{size}" for size in SIZES]

    def ready() -> bool:
        rows = large.rows(ENTITIES, "story", stories)
        return [rows[each].get("status", {}).get("S") for each in stories] == ["ready"] * len(SIZES)

    eventually(ready, "all stories are ready")


def test_the_lake_has_all_of_them_whole(large: Large) -> None:
    def copies() -> set[str]:
        return large.objects(large.lake, f"claims/{large.claims}/claimchecks/{SERVICE}/")

    above = sum(size >= 1_000_000 for size in SIZES)
    eventually(lambda: len(copies()) == above, "all bodies are copied into the lake")
    ids = [f"story-submitted-large-{size}" for size in SIZES]
    eventually(lambda: {each["id"] for each in large.in_lake(*ids)} == set(ids), "all events are in the lake")

    sizes = {each["id"]: len(json.dumps(each, separators=(",", ":"))) for each in large.in_lake(*ids)}

    assert sizes == {f"story-submitted-large-{size}": size for size in SIZES}


def test_a_replay_puts_back_what_the_hub_has_removed(large: Large) -> None:
    size = 1 << 20
    prefix = f"claimchecks/{SERVICE}/"
    (key,) = (each for each in large.objects(large.claims, prefix) if each.endswith(f"-{size}"))
    body = large.s3.get_object(Bucket=large.claims, Key=key)["Body"].read()
    large.s3.delete_object(Bucket=large.claims, Key=key)
    assert key not in large.objects(large.claims, prefix)

    options = ("--to-bus", "event-hub-local-bus", "--id", f"story-submitted-large-{size}")
    ran = large.running.run_here("lake", "replay", *options)

    assert "Replayed 1 event to bus event-hub-local-bus." in ran.stdout, ran.stdout + ran.stderr
    assert large.s3.get_object(Bucket=large.claims, Key=key)["Body"].read() == body
