from __future__ import annotations

import base64
import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest
from stream_cli.local.endpoint import LocalEndpoint

SOURCE = """
def handler(event, context):
    for number in range(event["lines"]):
        print(event["call"], number)
"""


@pytest.fixture
def functions(endpoint: LocalEndpoint, name: str) -> Iterator[Any]:
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("code.py", SOURCE)
    functions = endpoint.client("lambda")
    functions.create_function(
        FunctionName=name,
        Runtime="python3.13",
        Role="arn:aws:iam::000000000000:role/any",
        Handler="code.handler",
        Code={"ZipFile": package.getvalue()},
        Timeout=20,
    )
    yield functions
    functions.delete_function(FunctionName=name)


def test_each_invocation_of_a_function_has_its_own_lines_of_log(functions: Any, name: str) -> None:
    for call in range(30):
        lines = call % 3
        payload = json.dumps({"call": f"call-{call}", "lines": lines}).encode()

        answer = functions.invoke(FunctionName=name, LogType="Tail", Payload=payload)

        log = base64.b64decode(answer.get("LogResult", "")).decode()
        assert [line for line in log.splitlines() if line.startswith("call-")] == [
            f"call-{call} {number}" for number in range(lines)
        ]
