"""`--no-iam` turns off what is otherwise on: a call without permission is refused, or made."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stream_cli.cli import app
from stream_cli.local.cloud import LocalCloud, running_emulator
from stream_cli.local.endpoint import LocalEndpoint
from stream_cli.local.state import StateFolder
from typer.testing import CliRunner

PUTS = """
import boto3

def handler(event, context):
    try:
        boto3.client("dynamodb").put_item(TableName=event["table"], Item={"pk": {"S": "1"}})
    except Exception as error:
        return str(error)
    return "put"
"""


def put_without_permission(endpoint: LocalEndpoint, role: str) -> str:
    """What a function whose role allows nothing says of a row that it puts."""
    key = {"KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}]}
    key["AttributeDefinitions"] = [{"AttributeName": "pk", "AttributeType": "S"}]
    endpoint.client("dynamodb").create_table(TableName="guarded", BillingMode="PAY_PER_REQUEST", **key)
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as package:
        package.writestr("worker.py", PUTS)
    functions = endpoint.client("lambda")
    functions.create_function(
        FunctionName="puts",
        Runtime="python3.13",
        Handler="worker.handler",
        Role=role,
        Code={"ZipFile": code.getvalue()},
    )
    answer = functions.invoke(FunctionName="puts", Payload=json.dumps({"table": "guarded"}))
    found: str = json.loads(answer["Payload"].read())
    return found


def test_a_call_that_no_policy_allows_is_refused(cloud: LocalCloud, make_role: Callable[..., str]) -> None:
    said = put_without_permission(cloud.endpoint, make_role("puts-nothing"))
    assert "AccessDeniedException" in said
    assert "because no identity-based policy allows the dynamodb:PutItem action" in said


def test_in_a_cloud_with_the_flag_it_is_made(tmp_path: Path, make_role: Any) -> None:
    with running_emulator(StateFolder(tmp_path), None, iam=False) as running:
        role = make_role.func(running.endpoint, "puts-nothing")
        assert put_without_permission(running.endpoint, role) == "put"
        assert running.endpoint.client("dynamodb").scan(TableName="guarded")["Count"] == 1


class Enough(Exception):
    """The cloud need not start."""


@pytest.mark.parametrize("iam", [True, False])
def test_each_command_that_starts_a_cloud_takes_the_flag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, iam: bool
) -> None:
    started: list[Any] = []

    def start(*command: Any, **options: Any) -> Any:
        started.append(options["iam"] if "iam" in options else "--no-iam" not in command[0])
        raise Enough

    service = tmp_path / "services" / "event-hub"
    service.mkdir(parents=True)
    (service / "serverless.yml").write_text("service: event-hub")
    monkeypatch.setattr("stream_cli.local.background.start_cloud", start)
    monkeypatch.setattr("stream_cli.local.background.subprocess.Popen", start)
    flag = [] if iam else ["--no-iam"]
    for command in ("serve", "up"):
        options = ["--state", str(tmp_path / "state"), "--services", str(service.parent), *flag]
        assert isinstance(CliRunner().invoke(app, [command, *options]).exception, Enough)
    assert started == [iam, iam]


def test_which_policies_are_enforced_on_aws_only_is_said_where_the_enforcement_is_turned_off() -> None:
    shown = CliRunner().invoke(app, ["up", "--help"], env={"COLUMNS": "300", "TERM": "dumb"}).output
    assert "Policies of buses, archives and log groups, grants of keys," in shown
    assert "are enforced on AWS only." in shown
