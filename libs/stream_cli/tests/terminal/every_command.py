"""Runs every command on data of an attacker; the terminal of this process shows what they print.

Each title on a line of its own says which command follows. Arguments: an empty folder to work in.
"""

from __future__ import annotations

import fcntl
import gzip
import json
import os
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import fast_botocore
import psutil
import typer.main
from moto import mock_aws

ESCAPES = {
    "title": "\x1b]0;owned\x07",
    "string": "\x1bP1;owned\x1b\\",
    "clear": "\x1b[2J\x1b[H",
    "hide": "\x1b[8;7;5m",
    "c1": "\x9b31m\x9d0;owned\x9c",
    "return": "\rFORGED",
    "line": "\nFORGED\x0bFORGED\x0cFORGED\x85FORGED\u2028FORGED\u2029FORGED",
    "bidi": "\u202e\u2066\u2069\u200e\u200f\u061c",
    "invisible": "\u200b\u200d\u2060\ufeff\x08\x7f\U000e0041",
    "half": "\ud800",
    "markup": "[red]red[/red][link=https://owned.example]link[/link]:boom:",
}
HOSTILE = "".join(ESCAPES.values())
NAME = HOSTILE.replace("\ud800", "").replace("/", "|")  # of a file

FAULT: dict[str, Any] = {
    "id": f"f{HOSTILE}",
    "type": "fault",
    "timestamp": 1_767_268_800_000,
    "tags": {"source": HOSTILE, "functionname": HOSTILE, "pipeline": HOSTILE},
    "err": {"name": HOSTILE, "message": HOSTILE, "stack": f"Traceback{HOSTILE}"},
    "uow": {"record": {"eventID": HOSTILE, "kinesis": {"data": "e30=", "sequenceNumber": HOSTILE}}, HOSTILE: HOSTILE},
}
EVENT = {
    "id": HOSTILE,
    "type": HOSTILE,
    "timestamp": 1_767_268_800_000,
    "partition_key": HOSTILE,
    "tags": {"source": HOSTILE},
    "item": {"title": HOSTILE, HOSTILE: [HOSTILE]},
}
ERROR = {"errorType": HOSTILE, "errorMessage": HOSTILE, "stackTrace": [HOSTILE, HOSTILE]}

ON_AWS = [
    "lake ls",
    "lake ls --json",
    "lake cat",
    "lake cat --envelope",
    "lake rates",
    "lake replay --to-bus default --dry-run",
    "lake replay --to-bus default",
    "lake replay --to-stream HOSTILE",
    "faults ls",
    "faults ls --json",
    "faults show ID",
    "faults show ID --json",
    "faults show HOSTILE",
    "faults resubmit ID",
    "faults resubmit ID --execute",
    "logs",
    "logs --all --level error",
    "logs --json",
    "send events.json --bus default",
    "send HOSTILE --bus HOSTILE",
    "invoke HOSTILE text.json",
    "invoke HOSTILE text.json --exact",
    "status",
    "status --json",
    "deploy",
    "remove --confirm dev",
    "check",
    "sizes",
    "package --account 111111111111 --out packed",
]
HERE = [
    "up",
    "up --port 1",
    "dev",
    "status --stage local",
    "status --stage local --json",
    "console",
    "trace ID",
    "trace ID --json",
    "trace HOSTILE",
    "mappings status",
    "mappings status --json",
    "env",
    "new HOSTILE HOSTILE",
    "serve",
    "plan --rate 1",
    "plan --rate 1 --template HOSTILE=template.json",
    "plan --rate 1 --set HOSTILE",
    "check --template template.json",
    "check --template template.json --json",
    "check --explain HOSTILE",
]


def main() -> None:
    fast_botocore.pytest_configure()
    typer.main.get_command = cache(typer.main.get_command)
    folder = Path(sys.argv[1])
    os.environ |= {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_REGION": "us-east-1"}
    os.environ |= {"AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}
    here = folder / NAME
    here.mkdir()
    os.chdir(here)
    _toolchain(here, folder)
    with mock_aws():
        _account()
        _stacks()
        Path("events.json").write_text(json.dumps([EVENT, {"type": HOSTILE}]))
        Path("text.json").write_text(json.dumps(EVENT).replace("\\ud800", ""))
        for line in ON_AWS:
            _run(line, "--stage", "dev", bucket=line.startswith(("lake", "faults")))
        _cloud(here)
        for line in HERE:
            _run(line)
        Path(".streamctl/cloud.json").unlink()
        _run("down")
    _show_the_demo()
    _log_and_raise()


def _run(line: str, *more: str, bucket: bool = False) -> None:
    from stream_cli.cli import app
    from stream_cli.terminal.commands import run_app

    words = [{"HOSTILE": NAME, "ID": FAULT["id"]}.get(word, word) for word in line.split()]
    print(f"== {line}", flush=True)
    sys.argv = ["streamctl", *words, *more, *(["--bucket", "history"] if bucket else [])]
    try:
        run_app(app)
    except SystemExit:
        sys.stdout.flush()
        sys.stderr.flush()


def _toolchain(here: Path, folder: Path) -> None:
    """A service whose name is hostile, and a Serverless CLI that fails with hostile words."""
    for name in ("node_modules/osls/bin", ".build/wheels", f"services/{NAME}"):
        (here / name).mkdir(parents=True)
    (here / "node_modules/osls/bin/serverless.js").touch()
    (here / "services" / NAME / "serverless.yml").write_text("service: hostile\n")
    (folder / "bin").mkdir()
    (folder / "said").write_text(f"Running{NAME}\nError:\n\x1b[31mWhy{NAME}\x1b[39m")
    node = folder / "bin" / "node"
    node.write_text(f"#!/bin/sh\ncat {folder}/said\nexit 1\n")
    node.chmod(0o755)
    os.environ["PATH"] = f"{folder}/bin:{os.environ['PATH']}"


def _account() -> None:
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="history")
    envelope = {"source": HOSTILE, "detail-type": HOSTILE, "time": "2026-01-01T12:00:00Z", "detail": EVENT}
    objects = {
        "events/dt=2026-01-01/hour=12/a": [json.dumps(envelope), f"no JSON {NAME}", json.dumps(HOSTILE)],
        f"events/dt=2026-01-01/hour=12/{NAME}": ["not JSON"],
        "faults/dt=2026-01-01/hour=12/a": [json.dumps({**envelope, "detail": FAULT})],
    }
    for key, lines in objects.items():
        s3.put_object(Bucket="history", Key=key, Body=gzip.compress("\n".join(lines).encode()))
    logs, group = boto3.client("logs"), {"logGroupName": "/aws/lambda/hostile"}
    logs.create_log_group(**group)
    logs.create_log_stream(**group, logStreamName="s")
    record = {"level": HOSTILE, "message": HOSTILE, "event_id": HOSTILE, "exception": HOSTILE, "more": HOSTILE}
    messages = [json.dumps(record), f"[ERROR] {NAME}", f"REPORT {NAME}"]
    events = [{"timestamp": int(time.time() * 1000), "message": each} for each in messages]
    logs.put_log_events(**group, logStreamName="s", logEvents=events)


def _stacks() -> None:
    """CloudFormation's answers, which need more of moto than is installed."""
    from stream_cli.deployment import stacks
    from stream_cli.invoke import command
    from stream_cli.invoke.triggers import Trigger
    from stream_cli.local import deploy
    from stream_cli.logs import command as of_logs
    from stream_cli.stored import connection
    from stream_cli.trace import local_stage

    # The fault is refused first, and then resubmitted; so is the function not found first, and then invoked.
    found = {"--execute", "--exact"}
    connection.functions_of_stage = lambda _client, _stage: frozenset({HOSTILE, NAME} if found & {*sys.argv} else ())
    command.trigger_of = lambda *_: Trigger("kinesis", f"arn:aws:kinesis:us-east-1:1:stream/{HOSTILE}")
    command.invoke_once = lambda *_: command.Answer(f"log{HOSTILE}".encode(), ERROR, "Unhandled")
    deploy.status_of = stacks.status_of = lambda _account, _stack: HOSTILE
    resource = stacks.Resource(HOSTILE, HOSTILE, HOSTILE, is_retained=True)
    local_stage.resubmissions = lambda _requests, _faults: {}
    of_logs.groups_of = lambda _connection, _wanted: {HOSTILE: "/aws/lambda/hostile"}
    stacks.resources_of = lambda _account, _stack: [resource]


def _cloud(here: Path) -> None:
    """The state folder of a cloud that seems to run, with a mapping engine."""
    state = here / ".streamctl"
    (state / "mappings").mkdir(parents=True)
    (state / "run").mkdir()
    own = psutil.Process()
    process = {"pid": own.pid, "started": own.create_time()}
    for name in ("emulator", "deliveries", "mappings", NAME):
        (state / "run" / f"{name}.json").write_text(json.dumps({"child": process}))
    owner = {**process, "launchers": []}
    cloud = {"endpoint": f"http://{NAME}", "port": 4566, "region": HOSTILE, "owner": owner, "deployed": True}
    (state / "cloud.json").write_text(json.dumps(cloud))
    # Held until this process ends, so that `serve` and `down` end nothing.
    fcntl.flock(os.open(state / "lock", os.O_CREAT | os.O_RDWR), fcntl.LOCK_EX)
    shard = {
        "shard": HOSTILE, "position": HOSTILE, "behind": 1, "read_to_tip": True, "state": HOSTILE, "in_flight": 0,
        "last_outcome": HOSTILE, "processed": 1, "retries": 1, "given_up": 1, "oldest_arrival": None,
    }  # fmt: skip
    arn = f"arn:aws:kinesis:us-east-1:000000000000:stream/{HOSTILE}"
    mapping = {"uuid": "m", "function": f"arn:function:{HOSTILE}", "source": arn, "enabled": True}
    status = {
        "running": True, "updated_at": time.time(), "endpoint": HOSTILE, "endpoint_problem": HOSTILE, "pid": 1,
        "speed": 1, "mappings": [
            {**mapping, "problem": HOSTILE, "shards": []}, {**mapping, "problem": None, "shards": [shard]},
        ],
    }  # fmt: skip
    (state / "mappings" / "status.json").write_text(json.dumps(status))
    _journal(state / "journal")
    properties = {"EventSourceArn": arn, "StartingPosition": "AT_TIMESTAMP", "FunctionName": HOSTILE}
    template = {"Resources": {HOSTILE: {"Type": "AWS::Lambda::EventSourceMapping", "Properties": properties}}}
    Path("template.json").write_text(json.dumps(template))


def _journal(folder: Path) -> None:
    """What was observed of a hostile event: it came, a row of it was written, and it became a fault."""
    from stream_cli.journal.writer import Writer

    writer = Writer(folder, "emulator")
    rules = [{"rule": HOSTILE, "targets": [HOSTILE]}]
    for event in ({**EVENT, "id": FAULT["id"]}, FAULT):
        line = {"kind": "event", "at": 1, "bus": HOSTILE, "id": f"bus{HOSTILE}", "source": HOSTILE, "rules": rules}
        writer.put({**line, "id": f"bus-{event['type']}", "type": event["type"], "detail": event})
    keys = {"pk": {"S": FAULT["id"]}}
    row = {"kind": "change", "at": 2, "table": HOSTILE, "change": "MODIFY", "keys": keys}
    writer.put({**row, "old": keys, "new": {**keys, HOSTILE: {"S": HOSTILE}}})
    message = {"kind": "message", "at": 3, "to": f"arn:aws:sns:r:0:{HOSTILE}", "id": HOSTILE, "event": FAULT["id"]}
    writer.put(message)
    writer.close()


def _show_the_demo() -> None:
    """What `npm start` shows of a feed, of an expectation that fails, and of the log of a cloud that starts."""
    from stream_cli.terminal.output import console_for, say_written
    from stream_cli.terminal.progress import Steps

    from demo.expectations import Expectation
    from demo.main_job import shown
    from demo.observation import Teller

    print("== start", flush=True)
    console = console_for(as_json=False)
    with Steps(console) as steps, steps.step(f"sls deploy {HOSTILE}") as note:
        note(HOSTILE)
        for told in Teller(HOSTILE, {HOSTILE: HOSTILE}).lines([EVENT, FAULT], 1):
            steps.say(told)
    console.print(shown([Expectation(HOSTILE, HOSTILE, HOSTILE, ok=False, details=(HOSTILE,))]))
    say_written(NAME.replace("\n", "").encode() + b"\n")
    _show_a_session()


def _show_a_session() -> None:
    """What `dev` shows of functions, and of code that cannot run."""
    from stream_cli.dev.functions import DevFunction
    from stream_cli.dev.imports import Failure
    from stream_cli.dev.log_lines import LogLine, SourcePaths
    from stream_cli.dev.observed import ObservedFault
    from stream_cli.dev.screen import Screen
    from stream_cli.dev.shards import FailingShard
    from stream_cli.terminal.output import console_for

    service, console = Path(HOSTILE), console_for(as_json=False)
    with Screen(console, [service], SourcePaths(Path(HOSTILE))) as screen:
        screen.logged(
            service, LogLine(DevFunction(*[HOSTILE] * 4, {}, HOSTILE, "", True), 0, HOSTILE, HOSTILE, [HOSTILE])
        )
        screen.fault(service, HOSTILE, ObservedFault(0, *[HOSTILE] * 6))
        screen.failed(service, [Failure((HOSTILE,), HOSTILE, NAME, HOSTILE)], HOSTILE)
        screen.show_shards([FailingShard(HOSTILE, HOSTILE, HOSTILE, 1, HOSTILE, HOSTILE)])
    print(flush=True)  # the next title has a line of its own


def _log_and_raise() -> None:
    """What reaches the terminal without any command: a warning, and the traceback of a bug."""
    import logging

    print("== a bug", flush=True)
    logging.getLogger("stream_runtime").warning(NAME.replace("\n", ""))
    raise RuntimeError(NAME.replace("\n", ""))


if __name__ == "__main__":
    main()
