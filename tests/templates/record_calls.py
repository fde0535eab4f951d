"""Invokes functions of services with their fixtures, with AWS in memory, and prints the calls that they make.

It runs as a program, because a service checks its environment at import. For each line of stdin it forks a process,
which has imported moto already, and prints a line. It reads
`{"environment", "folder", "tables", "topics", "handlers", "before", "events"}`: the whole environment, the service's
folder, arguments of CreateTable, names of topics, handlers by function, events for preparation as
`[function, event, s]` with the time that it is for the function, or null for the present, and events whose calls are
recorded, each as `[function, event]`. It answers `{"calls", "printed"}`: a list of
`[service, operation, parameters]`, or null where that failed, and what was printed.
"""

import importlib
import json
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import moto.dynamodb.models
import moto.events.models
import moto.s3.models
import moto.sns.models  # noqa: F401 - imported once for all processes
from botocore.client import BaseClient
from moto import mock_aws


def context(function: str) -> SimpleNamespace:
    """A Lambda context."""
    return SimpleNamespace(
        function_name=os.environ["AWS_LAMBDA_FUNCTION_NAME"],
        invoked_function_arn=f"arn:aws:lambda:us-east-1:123456789012:function:{function}",
        aws_request_id="request-1",
        memory_limit_in_mb=512,
        get_remaining_time_in_millis=lambda: 50_000,
    )


def land(event: Any, fixtures: Path) -> None:
    """Put the objects of a notification that are files of the fixtures."""
    client = boto3.client("s3")
    named = [record["s3"] for record in event.get("Records", []) if "s3" in record]
    if "continue" in event:
        position = event["continue"]["position"]
        named.append({"bucket": {"name": position["bucket"]}, "object": {"key": position["key"]}})
    for each in named:
        bucket, key = each.get("bucket", {}).get("name"), each.get("object", {}).get("key", "")
        if bucket:
            client.create_bucket(Bucket=bucket)
        if bucket and (fixtures / Path(key).name).is_file():
            client.put_object(Bucket=bucket, Key=key, Body=(fixtures / Path(key).name).read_bytes())


@contextmanager
def at(seconds: float | None) -> Iterator[None]:
    """What reads the clock inside sees this time."""
    present = time.time
    if seconds is not None:
        time.time = lambda: seconds
    try:
        yield
    finally:
        time.time = present


def calls_of(given: dict[str, Any]) -> list[tuple[str, str, Any]]:
    """The calls that functions make with their events."""
    folder = Path(given["folder"])
    sys.path.insert(0, str(folder))
    calls: list[tuple[str, str, Any]] = []
    send = BaseClient._make_api_call

    def recorded(self: Any, operation: str, parameters: Any) -> Any:
        calls.append((self.meta.service_model.service_name, operation, parameters))
        return send(self, operation, parameters)

    def invoke(function: str, event: Any) -> None:
        module, name = given["handlers"][function].rsplit(".", 1)
        try:
            getattr(importlib.import_module(module.replace("/", ".")), name)(event, context(function))
        except Exception as error:
            print(f"{function}: {error!r}", file=sys.stderr)  # a poison fixture may fail its invocation

    with mock_aws():
        for table in given["tables"]:
            boto3.client("dynamodb").create_table(**table)
        for topic in given["topics"]:
            fifo = {"FifoTopic": "true"} if topic.endswith(".fifo") else {}
            boto3.client("sns").create_topic(Name=topic, Attributes=fifo)
        boto3.client("events").create_event_bus(Name="event-hub-x-bus")
        for function, event, at_s in given["before"]:
            with at(at_s):
                invoke(function, event)
        for function, event in given["events"]:
            land(event, folder / "tests" / "fixtures")
            BaseClient._make_api_call = recorded
            invoke(function, event)
            BaseClient._make_api_call = send
    return calls


def answer(line: str, to: Path) -> None:
    """Write the calls of one line to a file; what is printed meanwhile goes to one beside it."""
    with to.with_suffix(".printed").open("w") as printed:
        os.dup2(printed.fileno(), 1)
        os.dup2(printed.fileno(), 2)
    given = json.loads(line)
    os.environ.clear()
    os.environ.update(given["environment"])
    to.write_text(json.dumps(calls_of(given), default=repr))


def main() -> None:
    for line in sys.stdin:
        with tempfile.TemporaryDirectory() as folder:
            made = Path(folder, "calls")
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    answer(line, made)
                    code = 0
                except BaseException:
                    traceback.print_exc()
                finally:
                    sys.stdout.flush()
                    sys.stderr.flush()
                    os._exit(code)
            failed = os.waitpid(child, 0)[1]
            calls = None if failed else json.loads(made.read_text())
            printed = made.with_suffix(".printed").read_text(errors="replace")
        print(json.dumps({"calls": calls, "printed": printed}), flush=True)


if __name__ == "__main__":
    main()
