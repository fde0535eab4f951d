"""What the console has done, in a real browser, to a real emulator: faults are resubmitted, rows are looked at.

The service is one function and one table of a stack that the test makes, without the Serverless CLI.
"""

from __future__ import annotations

import base64
import io
import json
import os
import time
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest

from tests.system.console_over_stacks import WithConsole, console_over

pytestmark = [pytest.mark.system, pytest.mark.thorough]

ROWS = 10_000 if "THOROUGH" in os.environ else 2_000
FUNCTION, TABLE = "control-local-trigger", "control-local-things"
NARROW_AND_DARK = {"viewport": {"width": 390, "height": 844}, "colorScheme": "dark"}
HANDLER = """
import base64, json, os

import boto3

from control.rules.trigger import to_row

TABLE = boto3.resource("dynamodb").Table(os.environ["TABLE"])


def handler(event, context):
    for record in event["Records"]:
        TABLE.put_item(Item=to_row(json.loads(base64.b64decode(record["kinesis"]["data"]))))
    return {"batchItemFailures": []}
"""
MENDED = """\"\"\"Rows of things.\"\"\"


def to_row(event):
    thing = event["thing"]
    return {"pk": thing["id"], "sk": "THING", "status": thing["status"], "password": thing["password"], "event": event}
"""
STACK = """Traceback (most recent call last):
  File "/var/task/control/handlers/trigger.py", line 13, in handler
    TABLE.put_item(Item=to_row(json.loads(base64.b64decode(record["kinesis"]["data"]))))
  File "/var/task/control/rules/trigger.py", line 6, in to_row
    return {"pk": thing["id"], "sk": "THING", "status": thing["state"], "password": thing["password"], "event": event}
KeyError: 'state'
"""
POLICY = {"Effect": "Allow", "Action": ["dynamodb:PutItem", "logs:*"], "Resource": "*"}
TRUST = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
TEMPLATE = {
    "Resources": {
        "Role": {
            "Type": "AWS::IAM::Role",
            "Properties": {
                "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [TRUST]},
                "Policies": [
                    {"PolicyName": "own", "PolicyDocument": {"Version": "2012-10-17", "Statement": [POLICY]}}
                ],
            },
        },
        "Trigger": {
            "Type": "AWS::Lambda::Function",
            "Properties": {
                "FunctionName": FUNCTION, "Runtime": "python3.13", "Handler": "control/handlers/trigger.handler",
                "Role": {"Fn::GetAtt": ["Role", "Arn"]}, "Timeout": 20, "Environment": {"Variables": {"TABLE": TABLE}},
                "Code": {"S3Bucket": "deployments", "S3Key": "control.zip"},
            },
        },
        "Things": {
            "Type": "AWS::DynamoDB::Table",
            "Properties": {
                "TableName": TABLE, "BillingMode": "PAY_PER_REQUEST",
                "AttributeDefinitions": [{"AttributeName": each, "AttributeType": "S"} for each in ("pk", "sk")],
                "KeySchema": [
                    {"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}
                ],
                "StreamSpecification": {"StreamViewType": "NEW_AND_OLD_IMAGES"},
            },
        },
    }
}  # fmt: skip
MONITOR = {
    "Resources": {"Faults": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "faults-local"}}},
    "Outputs": {"bucketName": {"Value": {"Ref": "Faults"}}},
}


def package(rules: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as zipped:
        zipped.writestr("control/handlers/trigger.py", HANDLER)
        zipped.writestr("control/rules/trigger.py", rules)
    return packed.getvalue()


class Running(WithConsole):
    """A cloud with its console."""

    def publish(self, number: int, function: str = FUNCTION) -> None:
        """A fault of the function is published, as its runtime would."""
        thing = {"id": f"thing-{number}", "status": "ready", "password": "correct-horse-9"}
        event = {"id": f"event-{number}", "type": "thing-submitted", "partition_key": f"thing-{number}", "thing": thing}
        record = {
            "eventID": f"shardId-000000000000:{number}", "eventSource": "aws:kinesis",
            "eventSourceARN": "arn:aws:kinesis:us-east-1:000000000000:stream/hub-stream",
            "kinesis": {
                "sequenceNumber": str(number), "partitionKey": f"thing-{number}",
                "data": base64.b64encode(json.dumps(event).encode()).decode(),
            },
        }  # fmt: skip
        fault = {
            "id": f"fault-{number}", "type": "fault", "timestamp": time.time_ns() // 1_000_000, "partition_key": "k",
            "tags": {"source": "control", "functionname": function, "pipeline": "to-row"},
            "err": {"name": "KeyError", "message": "'state'", "stack": STACK},
            "uow": {"pipeline": "to-row", "record": record, "event": event},
        }  # fmt: skip
        entry = {"Source": "custom", "DetailType": "fault", "Detail": json.dumps(fault)}
        assert self.client("events").put_events(Entries=[entry])["FailedEntryCount"] == 0


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder, stacks = tmp_path_factory.mktemp("writes"), {"control": TEMPLATE, "event-fault-monitor": MONITOR}
    with console_over(Running, folder, stacks, {"control.zip": package(MENDED)}) as running:
        entry = {"Source": "custom", "DetailType": "thing-submitted", "Detail": json.dumps({"id": "first"})}
        running.client("events").put_events(Entries=[entry])
        yield running


def test_faults_are_resubmitted_and_seen_done(chromium: Any, running: Running) -> None:
    for number in (1, 2, 3):
        running.publish(number)
    running.publish(4, function="another-of-the-account")
    chromium.play("repairing", "firstView", running.url)
    seen = chromium.play("repairing", "sourceOfFault", given={"id": "fault-1"})
    assert "control/rules/trigger.py:6" in seen["text"]
    assert 'thing = event["thing"]' in seen["text"]
    assert "The source has changed since" in seen["text"]
    assert "When it failed, line 6 was:" in seen["text"]
    assert "correct-horse-9" not in seen["text"]
    assert seen["problems"] == []
    given = {"button": "Resubmit …", "confirm": f"Resubmit 1 fault to {FUNCTION}", "done": "1 fault resubmitted"}
    one = chromium.play("repairing", "resubmit", given=given)
    assert "1 fault would be resubmitted" in one["plan"]
    assert one["problems"] == []
    assert one["list"].count("resubmitted at") == 1
    given = {"button": "Resubmit all …", "confirm": f"Resubmit 2 faults to {FUNCTION}", "done": "2 faults resubmitted"}
    every = chromium.play("repairing", "resubmit", given=given)
    assert "1 refused, 1 resubmitted before" in every["plan"]
    assert "another-of-the-account is not a function of the stacks of this stage" in every["plan"]
    rows = running.client("dynamodb").scan(TableName=TABLE)["Items"]
    assert sorted(each["pk"]["S"] for each in rows) == ["thing-1", "thing-2", "thing-3"]


def test_a_row_among_thousands_has_its_history(chromium: Any, running: Running) -> None:
    dynamodb = running.client("dynamodb")
    for first in range(0, ROWS, 25):
        batch = [
            {"PutRequest": {"Item": {"pk": {"S": f"row-{number}"}, "sk": {"S": "THING"}, "title": {"S": f"{number}"}}}}
            for number in range(first, first + 25)
        ]
        assert not dynamodb.batch_write_item(RequestItems={TABLE: batch})["UnprocessedItems"]
    keys = {"pk": {"S": "row-77"}, "sk": {"S": "THING"}}
    dynamodb.put_item(TableName=TABLE, Item={**keys, "status": {"S": "new"}, "password": {"S": "correct-horse-9"}})
    thing = {"id": "row-77", "status": "ready", "password": "another-horse-9"}
    event = {"id": "event-77", "type": "thing-submitted", "thing": thing}
    record = {"kinesis": {"data": base64.b64encode(json.dumps(event).encode()).decode()}}
    called = running.client("lambda").invoke(FunctionName=FUNCTION, Payload=json.dumps({"Records": [record]}).encode())
    assert "FunctionError" not in called
    chromium.play("reading", "firstView", running.url)
    listed = chromium.play("reading", "items", given={"table": TABLE})
    assert listed["problems"] == []
    walked = chromium.play("reading", "scrolled", given={"until": ROWS})
    assert walked["count"] > ROWS
    assert walked["most"] < 100
    assert chromium.memory_of_pages() < 300 * 1024 * 1024
    seen = chromium.play("reading", "rowOf", given={"partition": "row-77", "text": "ready"})
    assert f"by {FUNCTION}" in seen["text"]
    assert "new → " in " ".join(seen["text"].split())
    assert "correct-horse-9" not in seen["text"]
    assert "another-horse-9" not in seen["text"]
    assert (seen["text"].count("Put at"), seen["text"].count("Changed at")) == (1, 2)
    assert f"#/items/{TABLE}%2F" in seen["address"]
    assert seen["problems"] == []


def test_rows_and_faults_fit_a_narrow_screen(chromium: Any, running: Running) -> None:
    running.publish(8)
    chromium.play("on the phone", "firstView", running.url, screen=NARROW_AND_DARK)
    fault = chromium.play("on the phone", "sourceOfFault", given={"id": "fault-8"})
    row = {"pk": {"S": "narrow-1"}, "sk": {"S": "THING"}, "status": {"S": "n" * 2000}}
    running.client("dynamodb").put_item(TableName=TABLE, Item=row)
    listed = chromium.play("on the phone", "items", given={"table": TABLE})
    one = chromium.play("on the phone", "rowOf", given={"partition": "narrow-1", "text": "Put"})
    for seen in (fault, listed, one):
        assert seen["problems"] == []
        assert not seen["overflows"]
