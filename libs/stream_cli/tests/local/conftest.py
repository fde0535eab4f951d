"""A running emulator, shared by the tests of one process; each test makes resources with names of its own."""

from __future__ import annotations

import functools
import io
import json
import shutil
import sys
import uuid
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from stream_cli.local.cloud import LocalCloud, running_emulator
from stream_cli.local.emulator.asynchronous import RETRY_VARIABLE
from stream_cli.local.endpoint import LocalEndpoint
from stream_cli.local.state import StateFolder

ECHO = "def handler(event, context): return event"
# Stands for Node.js: runs stand-ins for the Serverless CLI in Python without site packages, which starts in a third of
# the time, and in Node.js what it is given on the command line.
NODE = """#!/bin/sh
if [ "$1" = -e ]; then exec NODE "$@"; fi
while [ "$1" = --require ]; do shift 2; done
exec PYTHON -IS "$@"
"""
# What each of these begins with: requests to the local cloud, without the modules for HTTP, which take long to import.
SENDS = """
import json, os, socket, sys
from pathlib import Path

root = Path(__file__).parents[3]
given = sys.argv[1:]

def write_start(words):
    with (root / "starts").open("a") as file:
        file.write(json.dumps(words) + "\\n")

def send(service, method, path, body, headers):
    address = os.environ["AWS_ENDPOINT_URL"].removeprefix("http://")
    host, port = address.split(":")
    lines = {
        "Host": address,
        "Connection": "close",
        "Content-Length": len(body),
        "Authorization": f"AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/{service}/aws4_request",
        **headers,
    }
    head = "".join(f"{name}: {value}\\r\\n" for name, value in lines.items())
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(f"{method} {path} HTTP/1.1\\r\\n{head}\\r\\n".encode() + body)
        with connection.makefile("rb") as answer:
            return answer.read().decode()

def request_of_stack(service, action, **more):
    fields = {"Action": action, "Version": "2010-05-15", "StackName": f"{service}-local", **more}
    quoted = {name: "".join(f"%{byte:02X}" for byte in value.encode()) for name, value in fields.items()}
    body = "&".join(f"{name}={value}" for name, value in quoted.items())
    return send(
        "cloudformation", "POST", "/", body.encode(), {"Content-Type": "application/x-www-form-urlencoded"}
    )
"""


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv(RETRY_VARIABLE, "0.2")
        yield from _running(StateFolder(tmp_path_factory.mktemp("cloud")))


def _running(state: StateFolder) -> Iterator[LocalCloud]:
    with running_emulator(state, None) as running:
        every = {"Effect": "Allow", "Action": "*", "Resource": "*"}
        role_of(running.endpoint, "any", every, trusts=("lambda", "events", "firehose"))
        yield running


@pytest.fixture(scope="session")
def make_queue(cloud: LocalCloud) -> Callable[[str], str]:
    """Make a queue that lets rules send to it; returns its URL."""
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": "*",
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": statement})
    sqs = cloud.endpoint.client("sqs")
    return lambda name: str(sqs.create_queue(QueueName=name, Attributes={"Policy": policy})["QueueUrl"])


@pytest.fixture(scope="session")
def make_role(cloud: LocalCloud) -> Callable[..., str]:
    """Make the role of a function or of another service, with statements of its policy; returns its ARN."""
    return functools.partial(role_of, cloud.endpoint)


def role_of(
    endpoint: LocalEndpoint, name: str, *statements: dict[str, Any], trusts: Sequence[str] = ("lambda",)
) -> str:
    iam = endpoint.client("iam")
    services = {"Service": [f"{service}.amazonaws.com" for service in trusts]}
    trust = {"Effect": "Allow", "Principal": services, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": trust})
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]
    if statements:
        policy = {"Version": "2012-10-17", "Statement": statements}
        iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=json.dumps(policy))
    return str(role["Arn"])


@pytest.fixture(scope="session")
def make_root() -> Callable[[Path, str], str]:
    """Make a folder a root with a toolchain, whose Serverless CLI is a script; returns the PATH that has it."""
    node = shutil.which("node")
    assert node is not None

    def make(folder: Path, script: str) -> str:
        stand_in = folder / "bin/node"
        stand_in.parent.mkdir()
        stand_in.write_text(NODE.replace("NODE", node).replace("PYTHON", sys.executable))
        stand_in.chmod(0o755)
        cli = folder / "node_modules/osls/bin/serverless.js"
        cli.parent.mkdir(parents=True)
        cli.write_text(SENDS + script)
        (folder / ".build/wheels").mkdir(parents=True)
        return f"{stand_in.parent}:/usr/bin:/bin"

    return make


@pytest.fixture
def with_cli(
    make_root: Callable[[Path, str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Path]:
    """Make the test's folder a root with a toolchain, whose Serverless CLI is a script; returns the folder."""

    def make(script: str) -> Path:
        monkeypatch.setenv("PATH", make_root(tmp_path, script))
        monkeypatch.chdir(tmp_path)
        return tmp_path

    return make


@pytest.fixture
def endpoint(cloud: LocalCloud) -> LocalEndpoint:
    return cloud.endpoint


@pytest.fixture
def name() -> str:
    return f"t{uuid.uuid4().hex[:12]}"


@pytest.fixture(scope="session")
def make_function(cloud: LocalCloud, package: Callable[[dict[str, str]], bytes]) -> Callable[..., Any]:
    """Make a function of a name from its source; returns the client."""
    functions = cloud.endpoint.client("lambda")

    def make(name: str, source: str = ECHO, *, file: str = "code.py", **settings: Any) -> Any:
        functions.create_function(
            **{
                "FunctionName": name,
                "Runtime": "python3.13",
                "Role": "arn:aws:iam::000000000000:role/any",
                "Handler": "code.handler",
                "Code": {"ZipFile": package({file: source})},
                "Timeout": 20,
                **settings,
            }
        )
        return functions

    return make


@pytest.fixture
def made(make_function: Callable[..., Any], name: str) -> Iterator[Callable[..., Any]]:
    """Make the function of a test from its source; returns the client."""
    functions = []

    def make(source: str = ECHO, **settings: Any) -> Any:
        functions.append(make_function(name, source, **settings))
        return functions[-1]

    yield make
    for each in functions:
        each.delete_function(FunctionName=name)


@pytest.fixture(scope="session")
def package() -> Callable[[dict[str, str]], bytes]:
    """Make the package of a function from its files, which may be executed."""

    def make(files: dict[str, str]) -> bytes:
        body = io.BytesIO()
        with zipfile.ZipFile(body, "w") as archive:
            for name, content in files.items():
                entry = zipfile.ZipInfo(name)
                entry.external_attr = 0o755 << 16
                archive.writestr(entry, content)
        return body.getvalue()

    return make
