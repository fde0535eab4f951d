"""The pytest plugin, as the tests of a service use it."""

import json
import subprocess
import sys
from pathlib import Path

from stream_runtime.events import to_kinesis_records

# Of these, the first three would take two thirds of its CPU.
NOT_NEEDED = ("schemathesis", "hypothesispytest", "anyio", "cacheprovider")
THING = {"id": "1", "type": "thing-created", "timestamp": 1795000000000}
ROW = {"pk": "1", "sk": "thing"}

CONFTEST = """
import pytest


@pytest.fixture(autouse=True)
def environment(aws, monkeypatch):
    monkeypatch.setenv("BUS_NAME", "my-bus")
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "my-function")
"""
TABLES = """
Resources:
  ThingTable:
    Type: AWS::DynamoDB::Table
    Properties:
      TableName: !Sub ${AWS::StackName}-things
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{AttributeName: pk, AttributeType: S}]
      KeySchema: [{AttributeName: pk, KeyType: HASH}]
      Tags: [{Key: role, Value: !GetAtt [Role, Arn]}]
"""
TESTS = """
import os
from functools import partial

import pytest
from stream_runtime import Publisher, clients, stream_handler
from stream_runtime.events import from_dynamodb, from_eventbridge, from_kinesis, from_sns, from_sqs
from stream_runtime.flavors import task


def test_published_events_are_read_once(published, fixture):
    with Publisher() as publisher:
        publisher.publish(fixture("thing"))

    assert published() == [fixture("thing")]
    assert published() == []


def test_a_table_is_created_as_it_is_declared(create_table):
    create_table("ThingTable", "things")

    (key,) = clients.call("dynamodb", "describe_table", TableName="things")["Table"]["KeySchema"]
    assert key["AttributeName"] == "pk"


def test_the_settings_of_the_machine_do_not_reach_a_test():
    assert "AWS_PROFILE" not in os.environ
    assert "AWS_ENDPOINT_URL" not in os.environ


def test_a_context_is_that_of_the_function(context):
    assert context.function_name == "my-function"
    assert context.get_remaining_time_in_millis() == 900_000


@pytest.mark.parametrize("source", [from_kinesis, from_sqs, from_sns, from_eventbridge, partial(from_kinesis)])
@pytest.mark.parametrize("name", ["thing", "whole"])
def test_a_plain_fixture_comes_as_the_source_delivers_it(invocation, name, source):
    seen = []
    rule = {"id": "n", "flavor": task, "event_type": "thing-created", "execute": lambda uow: seen.append(uow["event"])}
    handler = stream_handler([rule], source)
    if name == "whole" and getattr(source, "func", source) is not from_kinesis:
        pytest.skip("it is the invocation of a stream")

    handler(invocation(handler, name), None)

    assert [event["id"] for event in seen] == ["1"]


def test_a_plain_change_comes_as_the_stream_of_a_table_delivers_it(invocation):
    seen = []
    rule = {"id": "n", "flavor": task, "event_type": "thing-created", "execute": lambda uow: seen.append(uow["event"])}
    handler = stream_handler([rule], from_dynamodb)

    handler(invocation(handler, "row"), None)

    assert seen[0]["raw"]["new"]["pk"] == "1"
"""


def test_a_service_has_the_fixtures_without_naming_a_plugin(tmp_path: Path) -> None:
    files = {
        "resources/tables.yml": TABLES,
        "tests/conftest.py": CONFTEST,
        "tests/test_things.py": TESTS,
        "tests/fixtures/thing.json": json.dumps(THING),
        "tests/fixtures/whole.json": json.dumps(to_kinesis_records([THING])),
        "tests/fixtures/row.json": json.dumps({"keys": ROW, "newImage": ROW}),
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *(f"-pno:{plugin}" for plugin in NOT_NEEDED)],
        cwd=tmp_path,
        env={"AWS_PROFILE": "mine", "AWS_ENDPOINT_URL": "http://127.0.0.1:1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "12 passed, 3 skipped" in ran.stdout
