"""The map of the console in a real browser: what stacks say, and what goes over its arrows.

The answers of the cloud's APIs are the test's; the journal is written as the cloud writes it.
"""

from __future__ import annotations

import json
import re
import subprocess
import threading
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from xml.sax.saxutils import escape

import psutil
import pytest
from stream_cli import private_files
from stream_cli.journal.writer import Writer
from stream_cli.local.console import console_address
from stream_cli.local.state import StateFolder

from tests.system.console_over_stacks import console_of

pytestmark = pytest.mark.system

HOSTILE = "<img src=x onerror=alert(1)>"
ARN = "arn:aws:{}:us-east-1:000000000000:{}"
STREAM = ARN.format("kinesis", "stream/hub-local-s1")
NARROW_AND_DARK = {"viewport": {"width": 390, "height": 844}, "colorScheme": "dark"}
HUB = {
    "Bus": ("AWS::Events::EventBus", "hub-local-bus", {"Name": "hub-local-bus"}),
    "Stream": ("AWS::Kinesis::Stream", "hub-local-s1", {"Name": "hub-local-s1"}),
    "Rule": ("AWS::Events::Rule", "hub-local-all", {
        "EventBusName": "hub-local-bus", "EventPattern": {"detail-type": [{"anything-but": HOSTILE}]},
        "Targets": [{"Id": "1", "Arn": STREAM}],
    }),
}  # fmt: skip
POLICY = {"Statement": [
    {"Effect": "Allow", "Action": "dynamodb:PutItem", "Resource": {"Fn::GetAtt": ["Rows", "Arn"]}},
    {"Effect": "Allow", "Action": "events:PutEvents", "Resource": ARN.format("events", "event-bus/hub-local-bus")},
]}  # fmt: skip
ORDERS = {
    "Rows": ("AWS::DynamoDB::Table", "orders-local-rows", {"TableName": "orders-local-rows"}),
    "Listener": ("AWS::Lambda::Function", "orders-local-listener", {"Role": {"Fn::GetAtt": ["Role", "Arn"]}}),
    "Failures": ("AWS::SQS::Queue", "http://localhost/000000000000/orders-local-failures", {}),
    "Role": ("AWS::IAM::Role", "orders-role", {"RoleName": "orders-role", "Policies": [{"PolicyDocument": POLICY}]}),
}  # fmt: skip
STACKS = {"hub-local": HUB, "orders-local": ORDERS}
FAILURES = ARN.format("sqs", "orders-local-failures")
MAPPING = {
    "UUID": "mapping-1", "FunctionArn": ARN.format("lambda", "function:orders-local-listener"), "State": "Enabled",
    "EventSourceArn": STREAM, "DestinationConfig": {"OnFailure": {"Destination": FAILURES}},
}  # fmt: skip
RULE = {"Name": "hub-local-all", "State": "ENABLED", "EventPattern": json.dumps(HUB["Rule"][2]["EventPattern"])}


def xml(value: Any) -> str:
    """A value as the query protocol writes it."""
    if isinstance(value, list):
        return "".join(f"<member>{xml(each)}</member>" for each in value)
    if isinstance(value, dict):
        return "".join(f"<{name}>{xml(each)}</{name}>" for name, each in value.items())
    return escape(str(value))


def of_cloudformation(asked: dict[str, str]) -> dict[str, Any]:
    """What CloudFormation answers."""
    if asked["Action"] == "DescribeStacks":
        stack_id = ARN.format("cloudformation", "stack/{}/1")
        return {"Stacks": [
            {"StackName": name, "StackId": stack_id.format(name), "StackStatus": "CREATE_COMPLETE"} for name in STACKS
        ]}  # fmt: skip
    resources = STACKS[asked["StackName"]]
    if asked["Action"] == "GetTemplate":
        template = {id: {"Type": type, "Properties": given} for id, (type, _, given) in resources.items()}
        return {"TemplateBody": json.dumps({"Resources": template})}
    return {"StackResourceSummaries": [
        {"LogicalResourceId": id, "PhysicalResourceId": name, "ResourceType": type, "ResourceStatus": "CREATE_COMPLETE"}
        for id, (type, name, _) in resources.items()
    ]}  # fmt: skip


def of_services(target: str) -> dict[str, Any]:
    """What services with JSON answer."""
    url = {"QueueUrl": "http://localhost/000000000000/orders-local-failures"}
    attributes = {"QueueArn": FAILURES, "ApproximateNumberOfMessages": "7", "VisibilityTimeout": "30"}
    attributes["MessageRetentionPeriod"] = "345600"
    answers = {"AmazonSQS.GetQueueUrl": url, "AmazonSQS.GetQueueAttributes": {"Attributes": attributes}}
    return answers.get(target, {"Rules": [RULE]})


class Cloud(BaseHTTPRequestHandler):
    """The APIs that the map asks."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        is_mappings = "event-source-mappings" in self.path
        self._answer(json.dumps({"EventSourceMappings": [MAPPING]} if is_mappings else {"Functions": []}))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        if "x-amz-target" in self.headers:
            self._answer(json.dumps(of_services(self.headers["x-amz-target"])))
        else:
            self._answer(f"<Answer>{xml(of_cloudformation(dict(urllib.parse.parse_qsl(body))))}</Answer>")

    def _answer(self, text: str) -> None:
        self.send_response(200)
        self.send_header("content-length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Nothing: the console asks every few seconds."""


@dataclass
class Mapped:
    """A console over a cloud, and the journal that it reads."""

    url: str
    writer: Writer

    def passes(self, times: int) -> None:
        """Events pass: over the bus and the stream to the listener, which writes rows; one is taken by no rule."""
        at = time.time_ns() // 1_000_000
        numbers = [str(number) for number in range(times)]
        for number in (*numbers, "lost"):
            rules = [] if number == "lost" else [{"rule": "hub-local-all", "targets": [STREAM]}]
            detail = {"id": f"event-{number}", "type": "submitted"}
            self.writer.put({
                "kind": "event", "at": at, "bus": "hub-local-bus", "id": f"bus-{number}", "source": "custom",
                "type": "submitted", "detail": detail, "rules": rules,
            })  # fmt: skip
        done = {"outcome": "ok", "done": times, "numbers": numbers, "attempt": 1, "start": at, "shard": "0"}
        own = {"mapping": "mapping-1", "function": "orders-local-listener", "stream": STREAM}
        self.writer.put({"kind": "attempt", "at": at, **own, **done})
        for _ in numbers:
            change = {"table": "orders-local-rows", "change": "INSERT", "keys": {"pk": {"S": "1"}}}
            self.writer.put({"kind": "change", "at": at, **change, "by_function": "orders-local-listener"})
        self.writer.flush()


@pytest.fixture(scope="module")
def mapped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapped]:
    cloud = ThreadingHTTPServer(("127.0.0.1", 0), Cloud)
    serving = threading.Thread(target=cloud.serve_forever)
    serving.start()
    state = StateFolder(tmp_path_factory.mktemp("map") / "state")
    state.secure()
    for folder in (state.temporary, state.mappings):
        private_files.make_folder(folder)
    writer = Writer(state.journal, "emulator")
    console = subprocess.Popen(console_of(state))
    # Who finds this cloud left behind ends its owner.
    owner = {"pid": console.pid, "started": psutil.Process(console.pid).create_time()}
    content = {"owner": owner, "port": cloud.server_port, "region": "us-east-1"}
    private_files.write(state.cloud_file, json.dumps(content).encode())
    try:
        deadline = time.monotonic() + 60
        while (address := console_address(state.console_file)) is None:
            assert console.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield Mapped(address.url, writer)
    finally:
        console.terminate()
        console.wait()
        state.cloud_file.unlink()
        writer.close()
        cloud.shutdown()
        serving.join()
        cloud.server_close()


def test_a_stranger_sees_what_is_deployed_and_what_passes(chromium: Any, mapped: Mapped) -> None:
    first = chromium.play("who looks at the map", "mapView", mapped.url)
    assert sorted(map(str.strip, first["names"])) == ["all", "bus", "listener", "rows", "s1"]
    assert first["problems"] == []
    mapped.passes(20)
    seen = chromium.play(
        "who looks at the map", "mapPasses", given={"arrow": "bus bus matches rule all", "node": "bus bus"}
    )
    assert re.search(r"2(\.\d)?/s", seen["arrow"])
    assert "1 event of the last hour taken by no rule" in seen["node"]
    assert "1 place with problems" in seen["bar"]
    assert seen["places"] == first["places"]  # nothing has moved
    of_listener = "\n".join(text for text in seen["labels"] if "listener" in text)
    assert re.search(r"^s1 [\d.]+/s: stream s1 is read by function listener: [\d.]+/s", of_listener, re.MULTILINE)
    assert re.search(r"^function listener writes to table rows: [\d.]+/s", of_listener, re.MULTILINE)
    assert "bus: function listener writes to bus bus\n" in of_listener
    assert "failures: function listener gives up to queue failures" in of_listener
    assert seen["problems"] == []
    led = chromium.play("who looks at the map", "mapLeads", given={"name": "rows table", "pressed": False})
    assert led["address"].endswith("#/items/orders-local-rows")
    led = chromium.play("who looks at the map", "mapLeads", given={"name": "listener function", "pressed": True})
    assert led["address"].endswith("#/functions/orders-local-listener")
    row = {"name": "failures: function listener gives up", "pressed": False}
    led = chromium.play("who looks at the map", "mapLeads", given=row)
    assert led["address"].endswith("#/map/queue%3Aorders-local-failures")
    mapped.writer.put({"kind": "message", "at": time.time_ns() // 1_000_000, "to": FAILURES, "id": "m", "event": "e-7"})
    mapped.writer.flush()
    known = chromium.play("who looks at the map", "mapPanel", given={"name": "failures", "text": "event e-7"})
    assert re.search(r"Messages waiting\s+7\s", known["text"])
    assert "function listener gives up to queue failures" in known["text"]
    assert known["problems"] == []
    assert not known["overflows"]


@pytest.mark.thorough
def test_on_a_phone_the_map_is_tables(chromium: Any, mapped: Mapped) -> None:
    chromium.play("with the map on a phone", "mapTables", mapped.url, screen=NARROW_AND_DARK)
    mapped.passes(5)
    seen = chromium.play("with the map on a phone", "mapTables")
    assert "is read by listener" in seen["text"]
    assert "its role allows dynamodb:PutItem" in seen["text"]
    assert not chromium.play("with the map on a phone", "mapPanel", given={"name": "failures", "text": "waiting"})[
        "overflows"
    ]
    assert not seen["overflows"]
    assert seen["problems"] == []
    seen = chromium.play("with the map on a phone", "mapAsPicture")
    assert not seen["overflows"]  # it scrolls within its frame
    assert seen["problems"] == []


@pytest.mark.thorough
def test_of_a_huge_system_the_page_begins_with_the_tables(chromium: Any, mapped: Mapped) -> None:
    queues = (f"huge-local-{number}" for number in range(450))
    huge = {name: ("AWS::SQS::Queue", f"http://localhost/000000000000/{name}", {}) for name in queues}
    STACKS["huge-local"] = {name.replace("-", ""): queue for name, queue in huge.items()}
    try:
        chromium.play("who looks at much", "mapOf", mapped.url, given={"group": "huge"})
        seen = chromium.play("who looks at much", "mapTables")
    finally:
        del STACKS["huge-local"]
    assert "456 nodes" in seen["text"]
    assert seen["text"].count("queue") >= 450
    assert not seen["overflows"]
