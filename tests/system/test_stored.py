"""What the deployed lake and fault monitor hold, listed, replayed and resubmitted with `streamctl` as a user does it.

One of the services is deployed from a copy, in which it is mended after it has failed.
"""

from __future__ import annotations

import contextlib
import datetime
import io
import json
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from stream_cli.cli import app
from stream_cli.local.cloud import attach
from stream_cli.local.endpoint import LocalEndpoint
from stream_cli.local.state import StateFolder
from typer.testing import CliRunner

from tests.system.conftest import as_a_terminal_starts

pytestmark = pytest.mark.system

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("event-hub", "event-lake-s3", "event-fault-monitor")
MENDED = "control-service"
STREAM = "event-hub-local-s1"
LISTENER, TRIGGER = "control-service-local-listener", "control-service-local-trigger"
TABLE = "control-service-local-events"
RECORDER = "recorder"
SOURCE = "feed-analyzer"
EVENTS = [f"analyzed-{number}" for number in range(12)]
ARRIVES_WITHIN_S = 45.0

# Writes down the ids of the Kinesis records that it is invoked with.
RECORDING = """
import base64, json, os

def handler(event, context):
    assert {record["eventSource"] for record in event["Records"]} == {"aws:kinesis"}
    events = [json.loads(base64.b64decode(record["kinesis"]["data"])) for record in event["Records"]]
    with open(os.environ["RECORD"], "a") as record:
        record.write("".join(event["id"] + "\\n" for event in events))
    return {"batchItemFailures": []}
"""


@dataclass
class Cloud:
    """A running cloud, and `streamctl` for it."""

    state: Path
    services: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def endpoint(self) -> LocalEndpoint:
        """Where it is."""
        return attach(StateFolder(self.state))

    def command(self, *words: str) -> list[str]:
        """A command line of `streamctl`."""
        return [sys.executable, "-m", "stream_cli.cli", *words, "--state", str(self.state)]

    def run(self, *words: str, code: int = 0) -> str:
        """Run a command that must end with a code, in this process unless it starts others; gives all it said."""
        if words[0] in ("deploy", "down", "up"):
            ran = subprocess.run(
                self.command(*words),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=240,
                check=False,
            )
            ended, said = ran.returncode, ran.stdout
        else:
            with contextlib.chdir(ROOT):
                result = CliRunner().invoke(app, [*words, "--state", str(self.state)], catch_exceptions=False)
            ended, said = result.exit_code, result.output
        assert ended == code, said
        return said

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start a command as a terminal does."""
        process = as_a_terminal_starts(self.command(*words))
        self.started.append(process)
        return process

    def send(self, *events: dict[str, Any]) -> None:
        """Publish events."""
        file = self.state.parent / "events.json"
        file.write_text(json.dumps(events))
        self.run("send", str(file))

    def in_lake(self, *options: str) -> list[dict[str, Any]]:
        """Events of the lake."""
        return [json.loads(line) for line in self.run("lake", "cat", *options).splitlines()]

    def faults(self) -> list[dict[str, Any]]:
        """The groups of faults."""
        return list(json.loads(self.run("faults", "ls", "--json")))

    def rows(self) -> set[str]:
        """The events that the listener has collected, by id."""
        keys = self.endpoint.client("dynamodb").get_paginator("scan").paginate(TableName=TABLE)
        return {row["pk"]["S"] for page in keys for row in page["Items"] if row["sk"]["S"] == "EVENT"}

    def forget_rows(self) -> None:
        """Remove what the listener has collected."""
        for event_id in self.rows():
            key = {"pk": {"S": event_id}, "sk": {"S": "EVENT"}}
            self.endpoint.client("dynamodb").delete_item(TableName=TABLE, Key=key)

    def in_stream(self) -> Counter[str]:
        """How often each event is in the hub's stream, by id."""
        kinesis, found = self.endpoint.client("kinesis"), Counter[str]()
        for shard in kinesis.list_shards(StreamName=STREAM)["Shards"]:
            iterator = kinesis.get_shard_iterator(
                StreamName=STREAM, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
            )["ShardIterator"]
            while (page := kinesis.get_records(ShardIterator=iterator))["Records"]:
                found.update(json.loads(record["Data"])["id"] for record in page["Records"])
                iterator = page["NextShardIterator"]
        return found

    def interrupted(self, *words: str) -> str:
        """A replay that gets Ctrl-C as soon as it has noted that it has handed something over; gives what it said."""
        folder = StateFolder(self.state).replays("local")
        before = set(folder.glob("*.jsonl"))

        def has_begun() -> bool:
            assert process.poll() is None, process.communicate()[0]
            return any('"sent": 1' in ledger.read_text() for ledger in set(folder.glob("*.jsonl")) - before)

        process = self.start(*words)
        eventually(has_begun, "the replay has handed an event over")
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=ARRIVES_WITHIN_S)
        assert process.returncode == 130, said
        return said


def eventually(condition: Callable[[], Any], what: str) -> Any:
    """Wait until a condition holds, and give what it gave; to look takes CPU from what it waits for."""
    began = time.monotonic()
    deadline = began + ARRIVES_WITHIN_S
    while not (found := condition()):
        now = time.monotonic()
        assert now < deadline, f"waited {ARRIVES_WITHIN_S:.0f} s in vain until {what}"
        time.sleep(max(0.1, 2 * (now - began)))
        began = time.monotonic()
    return found


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    folder = tmp_path_factory.mktemp("stored")
    left_out = shutil.ignore_patterns(".serverless", "node_modules", "__pycache__")
    shutil.copytree(ROOT / "services" / MENDED, folder / "services" / MENDED, ignore=left_out)
    (folder / "services" / "node_modules").symlink_to(ROOT / "node_modules")
    for name in SERVICES:  # these are not packaged anew
        (folder / "services" / name).symlink_to(ROOT / "services" / name)
    running = Cloud(folder / "state", folder / "services")
    try:
        running.run("up", "--services", str(running.services))
        yield running
    finally:
        for process in running.started:
            if process.poll() is None:
                process.kill()
            process.communicate()
        running.run("down")


@pytest.fixture(scope="module")
def published(cloud: Cloud) -> Cloud:
    """The cloud with events in lake, stream and table, and a fault in the lake, as a wider rule would put it there."""
    cloud.send(*(analyzed(event_id, f"story-{event_id}") for event_id in EVENTS))
    eventually(lambda: cloud.rows() >= set(EVENTS), "the listener has collected all events")
    eventually(lambda: lake_counts(cloud) == {"story-analyzed": (len(EVENTS), len(EVENTS))}, "all are in the lake")
    now = datetime.datetime.now(datetime.UTC)
    fault = {"id": "a-fault", "type": "fault", "timestamp": ms(), "tags": {"source": SOURCE}}
    envelope = {"source": "custom", "detail-type": "fault", "time": f"{now:%Y-%m-%dT%H:%M:%SZ}", "detail": fault}
    (bucket,) = (name for name in buckets(cloud) if name.startswith("event-lake-s3-local-0"))
    cloud.endpoint.client("s3").put_object(
        Bucket=bucket, Key=f"events/{now:dt=%Y-%m-%d/hour=%H}/with-a-fault", Body=json.dumps(envelope).encode()
    )
    return cloud


def ms() -> int:
    return time.time_ns() // 1_000_000


def analyzed(event_id: str, story: str, **more: Any) -> dict[str, Any]:
    analysis = {"id": story, "sentiment": "positive", "score": 0.5, "model_version": "1", **more}
    return event(event_id, "story-analyzed", analysis, SOURCE)


def event(event_id: str, kind: str, story: dict[str, Any], source: str) -> dict[str, Any]:
    tags = {"source": source, "stage": "local"}
    return {
        "id": event_id, "type": kind, "timestamp": ms(), "partition_key": story["id"], "tags": tags, "story": story,
    }  # fmt: skip


def buckets(cloud: Cloud) -> list[str]:
    return [each["Name"] for each in cloud.endpoint.client("s3").list_buckets()["Buckets"]]


def lake_counts(cloud: Cloud, *options: str) -> dict[str, tuple[int, int]]:
    """The numbers of events and of ids that `lake ls` tells, by type."""
    listed = json.loads(cloud.run("lake", "ls", "--json", *options))
    assert {row["date"] for row in listed} <= {f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}"}
    return {row["type"]: (row["events"], row["ids"]) for row in listed}


def test_lake_ls_counts_the_events_of_the_hub(published: Cloud) -> None:
    for options in (["--source", SOURCE], ["--type-regex", "^story-.*ed$", "--since", "1h"]):
        assert lake_counts(published, *options) == {"story-analyzed": (len(EVENTS), len(EVENTS))}
    assert lake_counts(published, "--include-faults").keys() == {"story-analyzed", "fault"}
    assert lake_counts(published, "--until", "1h") == {}


def test_a_replay_to_a_function_that_was_interrupted_gives_it_each_event_once_and_no_fault(published: Cloud) -> None:
    record = published.state.parent / "recorded"
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as package:
        package.writestr("recorder.py", RECORDING)
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": trust})
    role = published.endpoint.client("iam").create_role(RoleName=RECORDER, AssumeRolePolicyDocument=document)["Role"]
    published.endpoint.client("lambda").create_function(
        FunctionName=RECORDER,
        Runtime="python3.13",
        Role=role["Arn"],
        Handler="recorder.handler",
        Code={"ZipFile": archive.getvalue()},
        Environment={"Variables": {"RECORD": str(record)}},
    )
    replay = ("lake", "replay", "--to-function", RECORDER)
    assert "Would replay 12 events to function recorder" in published.run(*replay, "--dry-run")
    assert not record.exists()

    assert "Stopped after 1 event; the same command goes on" in published.interrupted(*replay, "--rate", "0.2")
    assert len(record.read_text().splitlines()) == 1
    said = published.run(*replay)
    assert "Going on after 1 event that" in said
    assert "Replayed 12 events to function recorder." in said
    assert "--restart" in published.run(*replay)
    assert Counter(record.read_text().splitlines()) == Counter(EVENTS)


def test_a_replay_to_a_deployed_function_does_its_work_again(published: Cloud) -> None:
    published.forget_rows()
    assert published.rows() == set()
    published.run("lake", "replay", "--to-function", LISTENER, "--type", "story-analyzed")
    assert published.rows() == set(EVENTS)


def test_a_replay_to_the_stream_that_was_interrupted_puts_each_event_there_once_and_no_fault(published: Cloud) -> None:
    assert published.in_stream() == Counter(EVENTS)
    published.forget_rows()
    replay = ("lake", "replay", "--to-stream", STREAM, "--source", SOURCE)
    published.interrupted(*replay, "--rate", "0.2")
    assert published.in_stream().total() == len(EVENTS) + 1
    published.run(*replay)
    assert published.in_stream() == Counter(EVENTS * 2)
    eventually(lambda: published.rows() == set(EVENTS), "the listener has collected all events again")


def test_a_replay_to_the_bus_that_was_interrupted_does_not_replay_what_it_has_put_there(published: Cloud) -> None:
    replay = ("lake", "replay", "--to-bus", "event-hub-local-bus")
    published.interrupted(*replay, "--rate", "0.2")
    eventually(
        lambda: lake_counts(published) == {"story-analyzed": (len(EVENTS) + 1, len(EVENTS))}, "one is in the lake again"
    )
    assert "Replayed 12 events to bus event-hub-local-bus." in published.run(*replay)
    eventually(
        lambda: lake_counts(published) == {"story-analyzed": (2 * len(EVENTS), len(EVENTS))},
        "all are in the lake again",
    )


def test_a_fault_is_listed_resubmitted_fixed_and_resubmitted_once(cloud: Cloud) -> None:
    # Given an analysis of a kind that control-service does not know.
    article = {"id": "mixed", "title": "Not all good, not all bad", "source_url": "https://news.example/mixed"}
    cloud.send(event("submitted-mixed", "story-submitted", article, "rest-bff-service"))
    eventually(lambda: "submitted-mixed" in cloud.rows(), "the story is collected")
    cloud.send(analyzed("analyzed-mixed", "mixed", sentiment="mixed", reviewer_email="ada@example.com"))

    # Then its fault is listed by what failed, and shown with its stack, but not with what is nobody's business.
    (group,) = eventually(cloud.faults, "the fault is stored")
    assert (group["service"], group["function"]) == ("control-service", TRIGGER)
    assert (group["pipeline"], group["error"], group["faults"]) == ("evaluate-story", "InvalidAnalysis", 1)
    (fault_id,) = group["ids"]
    shown = cloud.run("faults", "show", fault_id)
    assert "sentiment is 'mixed'; expected one of" in shown
    assert "in check_analysis" in shown
    assert '"eventSource": "aws:dynamodb"' in shown
    assert "[redacted]" in shown
    assert "ada@example.com" not in shown

    # When it is resubmitted although nothing was mended, it fails again, and the ledger has noted it.
    resubmit = ("faults", "resubmit", "--error", "InvalidAnalysis")
    assert "To be resubmitted: 1; nothing was done." in cloud.run(*resubmit)
    assert "Resubmitted 1 of 1 faults." in cloud.run(*resubmit, "--execute")
    eventually(lambda: "and failed again" in cloud.run(*resubmit), "the fault is stored again")
    assert "To be resubmitted: 0" in cloud.run(*resubmit)

    # When the service is mended, resubmitting it does what was to be done.
    logic = cloud.services / MENDED / "control" / "logic" / "stories.py"
    logic.write_text(logic.read_text().replace('"negative")', '"negative", "mixed")'))
    cloud.run("deploy", MENDED, "--services", str(cloud.services))
    assert cloud.in_lake("--type", "story-ready") == []
    assert "Resubmitted 1 of 1 faults." in cloud.run(*resubmit, "--execute", "--failed-again")
    (ready,) = eventually(lambda: cloud.in_lake("--type", "story-ready"), "the story is ready")
    assert (ready["story"]["title"], ready["story"]["sentiment"]) == (article["title"], "mixed")

    # And nothing is resubmitted a second time, by whomever and from wherever.
    said = cloud.run(*resubmit, "--execute")
    assert "Left out, resubmitted before" in said
    assert fault_id in said
    assert "To be resubmitted: 0." in said


def test_a_fault_that_names_a_function_of_no_stack_of_the_stage_invokes_nothing(published: Cloud) -> None:
    """`recorder` is in the account, and whoever may publish on the bus can name it."""
    record = published.state.parent / "recorded"
    before = record.read_text() if record.exists() else ""
    arn = f"arn:aws:lambda:us-east-1:000000000000:function:{TRIGGER}"
    for number, name in enumerate((RECORDER, f"{RECORDER}:$LATEST", arn)):
        published.send(
            {
                "id": f"forged-{number}",
                "type": "fault",
                "timestamp": ms(),
                "partition_key": "forged",
                "tags": {"source": "forged", "functionname": name, "pipeline": "p"},
                "err": {"name": "Forged", "message": "m", "stack": ""},
                "uow": {"record": {"eventID": str(number), "kinesis": {"data": "e30="}}},
            }
        )
    of_the_forger = ("faults", "resubmit", "--error", "Forged", "--execute")
    eventually(
        lambda: sum(group["faults"] for group in published.faults() if group["error"] == "Forged") == 3, "stored"
    )
    for _ in range(2):
        said = published.run(*of_the_forger, code=1)
        assert "Refused: 3. They stay unresolved." in said
        assert f"{RECORDER} is not a function of the stacks of this stage" in said
        assert "To be resubmitted: 0." in said
    assert (record.read_text() if record.exists() else "") == before


@pytest.mark.thorough
def test_a_copied_service_is_found_as_the_error_says(cloud: Cloud) -> None:
    cloud.endpoint.client("cloudformation").delete_stack(StackName="event-lake-s3-local")
    assert "found with --bucket, its stack's output bucketName" in cloud.run("lake", "ls", code=1)
