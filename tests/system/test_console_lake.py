"""The console beside a real emulator: the log of a function as it comes, its charts, and the lake, which is replayed.

The services are a function and a bucket of stacks that the test makes, without the Serverless CLI.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.system.console_over_stacks import WithConsole, console_over

pytestmark = [pytest.mark.system, pytest.mark.thorough]

FUNCTION = "orders-local-listener"
NOW = datetime.now(UTC)
SECRET = "correct-horse-9"
NARROW_AND_DARK = {"viewport": {"width": 390, "height": 844}, "colorScheme": "dark"}
HANDLER = """
import base64, json

METRICS = {"Namespace": "orders", "Dimensions": [["stage"]], "Metrics": [{"Name": "OrdersTaken", "Unit": "Count"}]}


def handler(event, context):
    events = [json.loads(base64.b64decode(each["kinesis"]["data"])) for each in event["Records"]]
    for each in events:
        line = {"level": each.get("level", "INFO"), "message": f"took {each['id']}", "event_id": each["id"],
                "function_request_id": context.aws_request_id, "api_key": "correct-horse-9"}
        print(json.dumps(line))
    print(json.dumps({"_aws": {"CloudWatchMetrics": [METRICS]}, "stage": "local", "OrdersTaken": len(events)}))
    return {"batchItemFailures": []}
"""
SERVICE = """
service: orders
provider:
  name: aws
  runtime: python3.13
functions:
  listener:
    handler: listener.handler
    events:
      - stream:
          type: kinesis
          arn: arn:aws:kinesis:us-east-1:000000000000:stream/hub-stream
"""
ROLE = {
    "Type": "AWS::IAM::Role",
    "Properties": {
        "AssumeRolePolicyDocument": {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
            ],
        },
    },
}
ORDERS = {
    "Resources": {
        "Role": ROLE,
        "Listener": {
            "Type": "AWS::Lambda::Function",
            "Properties": {
                "FunctionName": FUNCTION, "Runtime": "python3.13", "Handler": "listener.handler", "Timeout": 20,
                "Role": {"Fn::GetAtt": ["Role", "Arn"]},
                "Code": {"S3Bucket": "deployments", "S3Key": "orders.zip"},
            },
        },
    }
}  # fmt: skip
LAKE = {
    "Resources": {"Lake": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "lake-local"}}},
    "Outputs": {"bucketName": {"Value": {"Ref": "Lake"}}},
}


class Running(WithConsole):
    """A cloud with its console."""

    def invoke(self, *ids: str, **more: Any) -> None:
        """The listener gets events."""
        from stream_runtime.events import to_kinesis_records

        event = to_kinesis_records([{"id": id, "type": "order-placed", "partition_key": "k", **more} for id in ids])
        answer = self.client("lambda").invoke(FunctionName=FUNCTION, Payload=json.dumps(event).encode())
        assert "FunctionError" not in answer, answer["Payload"].read()

    def store(self, name: str, *events: dict[str, Any]) -> None:
        """An object of the lake, as Firehose writes it."""
        lines = [
            json.dumps(
                {"source": "custom", "detail-type": each["type"], "time": f"{NOW:%Y-%m-%dT%H:%M:%SZ}", "detail": each}
            )
            for each in events
        ]
        key = f"events/dt={NOW:%Y-%m-%d}/hour={NOW:%H}/{name}"
        self.client("s3").put_object(Bucket="lake-local", Key=key, Body=gzip.compress("\n".join(lines).encode()))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as zipped:
        zipped.writestr("listener.py", HANDLER)
    here = tmp_path_factory.mktemp("here")
    (here / "services" / "orders").mkdir(parents=True)
    (here / "services" / "orders" / "listener.py").write_text(HANDLER)
    (here / "services" / "orders" / "serverless.yml").write_text(SERVICE)
    folder, stacks = tmp_path_factory.mktemp("lake"), {"orders": ORDERS, "event-lake-s3": LAKE}
    with console_over(Running, folder, stacks, {"orders.zip": packed.getvalue()}, here=here) as running:
        yield running


def test_the_log_of_a_function_is_seen_as_it_comes(chromium: Any, running: Running) -> None:
    running.invoke("order-1")
    chromium.play("reading logs", "visited", f"{running.url}", given={"text": "Events"}, screen=NARROW_AND_DARK)
    seen = chromium.play("reading logs", "logOf", given={"name": FUNCTION, "text": "took order-1"})
    assert SECRET not in seen["text"]
    assert "OrdersTaken" in seen["text"]
    assert "START" not in seen["lines"]
    assert re.search(r"MemorySize\s+128 MB\s+Timeout\s+20 s\s+CodeSize\s+\d+ B\s", seen["text"])
    assert seen["charts"] == ["Invocations", "Durations", "OrdersTaken"]
    assert seen["problems"] == []
    assert not seen["overflows"]
    running.invoke("order-2", level="WARNING")
    seen = chromium.play("reading logs", "logLine", given={"text": "took order-2"})
    assert "took order-1" in seen["lines"]
    seen = chromium.play("reading logs", "logFiltered", given={"level": "WARNING", "text": "ORDER-", "left": "1 line"})
    assert "took order-1" not in seen["lines"]
    table = chromium.play("reading logs", "chartAsTable", given={"title": "Invocations", "sum": 2})
    assert all(errors == "0" for _, _, errors in table["rows"])
    traced = chromium.play("reading logs", "followed", given={"link": "trace of request", "text": FUNCTION})
    assert "#/trace/" in traced["address"]


def test_a_page_that_is_drawn_after_it_is_connected_says_so(chromium: Any, running: Running) -> None:
    chromium.play("drawn late", "drawsLate", given={"url": running.url})


def test_a_page_that_nobody_sees_asks_nothing(chromium: Any, running: Running) -> None:
    running.invoke("first")
    chromium.play("in front", "visited", running.url, given={"text": "Events"})
    chromium.play("in front", "logOf", given={"name": FUNCTION, "text": "took first"})
    pages = ("events", "shards", "faults", "items", "lake", "checks", "expectations")
    function = f"functions/{FUNCTION}"
    places = {
        **{each: [f"/api/{each}"] for each in pages},
        "map": ["/api/map/figures"],
        "plan": ["/api/capacity"],
        function: [f"/api/{function}/log", "/packages/uplot.js"],
    }
    for number, (place, needs) in enumerate(places.items()):
        chromium.play("behind", "opens", given={"url": running.url, "place": place, "needs": needs})
        for each in ("seen", "unseen"):
            running.invoke(f"{each}-{number}")
            chromium.play("in front", "logLine", given={"text": f"took {each}-{number}"})
            if each == "seen":
                chromium.play("behind", "goesBehind")
        asked = chromium.play("behind", "comesToFront", given={"needs": needs})
        assert (place, asked["behind"]) == (place, [])


def test_the_lake_is_replayed_to_a_function_with_progress(chromium: Any, running: Running) -> None:
    for number in range(4):
        placed = [
            {
                "id": f"placed-{number}-{each}",
                "type": "order-placed",
                "partition_key": f"k{each}",
                "password": "correct-horse-9",
            }
            for each in range(25)
        ]
        running.store(f"object-{number}", *placed, {"id": f"paid-{number}", "type": "order-paid", "partition_key": "k"})
    chromium.play("replaying", "visited", running.url, given={"text": "Events"}, screen=NARROW_AND_DARK)
    seen = chromium.play("replaying", "lake", given={"text": "order-placed 100"})
    assert "order-paid 4" in seen["text"]
    assert "4 objects with" in seen["text"]
    assert seen["problems"] == []
    assert not seen["overflows"]
    seen = chromium.play("replaying", "lakeObject", given={"object": "object-2", "event": "placed-2-7"})
    assert "[redacted]" in seen["text"]
    assert SECRET not in seen["text"]
    assert seen["problems"] == []
    given = {"target": f"function {FUNCTION}", "type": "order-placed", "rate": "4"}
    plan = chromium.play("replaying", "replayPlan", given=given)
    assert "100 events would be sent" in plan["text"]
    assert "order-paid" not in plan["plan"]
    assert plan["problems"] == []
    button = f"Replay 100 events to function {FUNCTION}"
    stopped = chromium.play("replaying", "replayStopped", given={"button": button})
    assert "Stopped" in stopped["text"]
    done = chromium.play("replaying", "replayGoesOn", given={"done": f"100 events sent to function {FUNCTION}"})
    assert done["problems"] == []
    assert not done["overflows"]
    seen = chromium.play("replaying", "logOf", given={"name": FUNCTION, "text": "took placed-3-24"})
    taken = [line for line in seen["lines"].split("\n") if "took placed-" in line]
    assert len(taken) == 100


def test_services_are_checked_and_sizes_shown(chromium: Any, running: Running) -> None:
    chromium.play("checking", "visited", running.url, given={"text": "Events"}, screen=NARROW_AND_DARK)
    seen = chromium.play("checking", "checks", given={"button": "Check 1 service"})
    assert "services/orders/serverless.yml:" in seen["text"]
    assert "Not checked yet" not in seen["text"]
    assert f"{FUNCTION}" in seen["sizes"]
    assert seen["problems"] == []
    assert not seen["overflows"]
    rule = chromium.play("checking", "checkRule", given={})
    assert "Why" in rule["text"]
    assert "CHECKS.md" in rule["text"]
    assert rule["problems"] == []
