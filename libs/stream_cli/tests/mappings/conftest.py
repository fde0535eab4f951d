"""Fixtures for the mapping engine: records, settings, a shard in simulated time, a real emulator."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
import textwrap
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from stream_cli.mappings.aws import AwsEndpoint
from stream_cli.mappings.engine import Engine
from stream_cli.mappings.notices import Notices
from stream_cli.mappings.outcomes import Invocation, Outcome, interpret
from stream_cli.mappings.records import Record, WindowContext
from stream_cli.mappings.settings import MappingSettings, source_of
from stream_cli.mappings.shard import Attempt, GivenUp, ShardProcessor
from stream_cli.mappings.status import StatusUnavailable, read_status

STREAM = "arn:aws:kinesis:us-east-1:123456789012:stream/items"
FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:listener"


def make_settings(**changes: Any) -> MappingSettings:
    """A mapping with batch size 10 and everything else as the API leaves it."""
    given = {"uuid": "0b7c", "function_arn": FUNCTION, "source": source_of(STREAM), "batch_size": 10, **changes}
    made = MappingSettings(**given)
    made.verify()
    return made


def make_record(number: int, *, key: str = "k", at: float = 0.0, size: int = 0, kept: bool = True) -> Record:
    """Record number `number`, with a body of `size` bytes."""
    return Record(f"{number:04d}", key, at, b"x" * size, kept)


@dataclass
class Call:
    """An invocation that took place."""

    at: float
    lane: int
    numbers: list[int]
    window: WindowContext | None


@dataclass
class Simulation:
    """A shard, a function that answers at once (or after `takes` seconds), and a clock that only the test moves.

    `function` gets the numbers of the records and the call's index; it returns what a function would return, raises
    what it would raise, or returns an `Invocation`.
    """

    settings: MappingSettings
    function: Callable[[list[int], int], Any] = lambda numbers, call: None
    takes: float = 0.0
    now: float = 0.0
    calls: list[Call] = field(default_factory=list)
    given_up: list[GivenUp] = field(default_factory=list)
    flying: list[tuple[float, Attempt, Call]] = field(default_factory=list)
    most_at_once: int = 0

    def __post_init__(self) -> None:
        self.processor = ShardProcessor(self.settings)

    def offer(self, *records: Record) -> None:
        """Let records be read from the shard now."""
        self.processor.offer(records, self.now)
        self.settle()

    def settle(self) -> None:
        """Do everything that is due now."""
        moved = True
        while moved:
            moved = False
            for action in self.processor.step(self.now):
                moved = True
                if isinstance(action, GivenUp):
                    self.given_up.append(action)
                    self.processor.delivered(action.id)
                else:
                    call = Call(self.now, action.lane, [int(r.sequence_number) for r in action.records], action.window)
                    self.calls.append(call)
                    self.flying.append((self.now + self.takes, action, call))
                    self.most_at_once = max(self.most_at_once, len(self.flying))
            for landing in [flight for flight in self.flying if flight[0] <= self.now]:
                moved = True
                self.flying.remove(landing)
                self.processor.settle(landing[1].id, self._outcome(landing[1], landing[2]), self.now)

    def advance(self, seconds: float) -> None:
        """Let time pass, doing what becomes due in between at its time."""
        end = self.now + seconds
        while True:
            self.settle()
            due = [moment for moment, _, _ in self.flying]
            deadline = self.processor.deadline()
            if deadline is not None:
                due.append(deadline)
            ahead = [moment for moment in due if self.now < moment <= end]
            if not ahead:
                break
            self.now = min(ahead)
        self.now = end
        self.settle()

    def _outcome(self, attempt: Attempt, call: Call) -> Outcome:
        return interpret(
            self._answer(call),
            [record.sequence_number for record in attempt.records],
            report_failures=self.settings.report_failures,
            windowed=bool(self.settings.tumbling_window),
        )

    def _answer(self, call: Call) -> Invocation:
        index = self.calls.index(call)
        try:
            returned = self.function(call.numbers, index)
        except ValueError as error:
            payload = json.dumps({"errorType": "ValueError", "errorMessage": str(error)}).encode()
            return Invocation(payload, "Unhandled", f"request-{index}")
        if isinstance(returned, Invocation):
            return returned
        return Invocation(json.dumps(returned).encode(), None, f"request-{index}")

    @property
    def batches(self) -> list[list[int]]:
        """The record numbers of each invocation, in order."""
        return [call.numbers for call in self.calls]

    @property
    def done_through(self) -> int | None:
        """The record number of the checkpoint."""
        position = self.processor.checkpoint.sequence_number
        return None if position is None else int(position)


def raising_on(*poison: int) -> Callable[[list[int], int], Any]:
    """A function that raises whenever one of these records is in its batch."""

    def function(numbers: list[int], call: int) -> None:
        if set(poison) & set(numbers):
            raise ValueError("poison")

    return function


def reporting(*poison: int) -> Callable[[list[int], int], Any]:
    """A function that reports these records as failed."""

    def function(numbers: list[int], call: int) -> Any:
        return {"batchItemFailures": [{"itemIdentifier": f"{n:04d}"} for n in numbers if n in poison]}

    return function


@dataclass(frozen=True)
class Kit:
    """The helpers, for tests (which cannot import from here)."""

    settings: Callable[..., MappingSettings] = make_settings
    record: Callable[..., Record] = make_record
    raising_on: Callable[..., Callable[[list[int], int], Any]] = raising_on
    reporting: Callable[..., Callable[[list[int], int], Any]] = reporting

    def records(self, numbers: Sequence[int], **fields: Any) -> list[Record]:
        """Several records alike."""
        return [make_record(number, **fields) for number in numbers]

    def simulate(
        self, function: Callable[[list[int], int], Any] = lambda numbers, call: None, takes: float = 0.0, **changes: Any
    ) -> Simulation:
        """A simulated shard of a mapping with these settings."""
        return Simulation(make_settings(**changes), function, takes)


@pytest.fixture(scope="session")
def kit() -> Kit:
    """Records, settings, functions and simulations."""
    return Kit()


# --- a real emulator ---

PATIENCE = 40.0
"""Seconds until a condition that must come true counts as missed."""

ROLE = "arn:aws:iam::000000000000:role/listener"

HANDLER = """\
import base64, json, os, sys, time

def handler(event, context):
    records = []
    for r in event.get("Records", []):
        if "kinesis" in r:
            records.append((r["kinesis"]["sequenceNumber"], base64.b64decode(r["kinesis"]["data"]).decode()))
        else:
            records.append((r["dynamodb"]["SequenceNumber"], r["dynamodb"]["Keys"]["pk"]["S"]))
    with open(os.environ["OUT"], "a") as out:
        beside = {k: v for k, v in event.items() if k != "Records"}
        out.write(json.dumps({"at": time.time(), "records": records, "event": beside}) + "\\n")
"""


def eventually(condition: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    """Wait for `condition` and return what it returned."""
    deadline = time.monotonic() + patience
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            pytest.fail(f"still waiting after {patience:g} s: {what}")
        time.sleep(0.03)


def a_session() -> boto3.Session:
    return boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1")


class Emulator:
    """The emulator as a process, restartable on its port."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = 0
        self.start()

    def start(self) -> None:
        ready = self.folder / "ready.json"
        ready.unlink(missing_ok=True)
        command = [sys.executable, "-m", "stream_cli.local.emulator", "--port", str(self.port), "--ready", str(ready)]
        with (self.folder / "emulator.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, env={**os.environ, "TMPDIR": str(self.folder)}
            )
        eventually(lambda: ready.exists() or self.process.poll() is not None, "the emulator listens")
        assert self.process.poll() is None, (self.folder / "emulator.log").read_text()
        self.port = json.loads(ready.read_text())["port"]
        self.url = f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)


@dataclass
class Deployed:
    """A function."""

    name: str
    arn: str


class Cloud:
    """An emulator's APIs, and what tests deploy to it.

    A function appends each of its invocations to a file, so that a test sees also those that fail.
    """

    eventually = staticmethod(eventually)

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self._folder = folder
        config = Config(retries={"total_max_attempts": 2}, s3={"addressing_style": "path"}, read_timeout=20)

        def client(service: str) -> Any:
            return a_session().client(service, endpoint_url=url, config=config)

        self.functions, self.kinesis, self.dynamodb = client("lambda"), client("kinesis"), client("dynamodb")
        self.dynamodbstreams, self.sqs, self.sns = client("dynamodbstreams"), client("sqs"), client("sns")
        self.s3, self.cloudformation, self.iam = client("s3"), client("cloudformation"), client("iam")

    def function(self, name: str, body: str = "", timeout: int = 30) -> Deployed:
        """Deploy a function; its `body` sees `records` [(sequence number, data), ...] and `event`."""
        self._make_role()
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as package:
            package.writestr("index.py", HANDLER + textwrap.indent(textwrap.dedent(body), "    "))
        created = self.functions.create_function(
            FunctionName=name,
            Runtime="python3.13",
            Role=ROLE,
            Handler="index.handler",
            Code={"ZipFile": archive.getvalue()},
            Timeout=timeout,
            Environment={"Variables": {"OUT": str(self._folder / name)}},
        )
        return Deployed(name, created["FunctionArn"])

    def _make_role(self) -> None:
        """Make the role of all functions, which may do everything."""
        trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        name, document = ROLE.rpartition("/")[2], json.dumps({"Version": "2012-10-17", "Statement": trust})
        with suppress(self.iam.exceptions.EntityAlreadyExistsException):
            self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)
        self.permit({"Effect": "Allow", "Action": "*", "Resource": "*"})

    def permit(self, *statements: dict[str, Any]) -> None:
        """What functions may do from now on."""
        policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
        self.iam.put_role_policy(RoleName=ROLE.rpartition("/")[2], PolicyName="own", PolicyDocument=policy)

    def calls(self, name: str) -> list[dict[str, Any]]:
        """The invocations of the function `name` so far."""
        out = self._folder / name
        if not out.exists():
            return []
        return [json.loads(line) for line in out.read_text().splitlines() if line.endswith("}")]

    def data(self, name: str) -> list[str]:
        """The payloads that the function `name` was given so far, in order."""
        return [payload for call in self.calls(name) for _, payload in call["records"]]

    def stream(self, name: str, shards: int = 1) -> str:
        """Make a Kinesis stream; its ARN."""
        self.kinesis.create_stream(StreamName=name, ShardCount=shards)
        return str(self.kinesis.describe_stream(StreamName=name)["StreamDescription"]["StreamARN"])

    def table(self, name: str, view: str = "NEW_AND_OLD_IMAGES") -> str:
        """Make a table with the key `pk` and a stream; the stream's ARN."""
        made = self.dynamodb.create_table(
            TableName=name,
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": view},
        )
        return str(made["TableDescription"]["LatestStreamArn"])

    def put(self, name: str, payloads: list[str], keys: list[str] | None = None) -> None:
        """Put records on a Kinesis stream."""
        keys = keys or ["key"] * len(payloads)
        entries = [{"Data": p.encode(), "PartitionKey": k} for p, k in zip(payloads, keys, strict=True)]
        for start in range(0, len(entries), 500):
            answer = self.kinesis.put_records(StreamName=name, Records=entries[start : start + 500])
            assert answer["FailedRecordCount"] == 0

    def mapping(self, function: str, source: str, **settings: Any) -> str:
        """Map a stream to a function; the mapping's UUID."""
        given = {"StartingPosition": "TRIM_HORIZON", **settings}
        return str(
            self.functions.create_event_source_mapping(FunctionName=function, EventSourceArn=source, **given)["UUID"]
        )

    def queue(self, name: str) -> tuple[str, str]:
        """Make an SQS queue; its URL and ARN."""
        url = self.sqs.create_queue(QueueName=name)["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        return url, arn

    def received(self, queue_url: str) -> list[dict[str, Any]]:
        """Take messages off a queue."""
        messages = self.sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10).get("Messages", [])
        return [json.loads(message["Body"]) for message in messages]


class Running:
    """An engine on a thread of the test; `said` is what it told."""

    def __init__(self, url: str, state: Path, speed: float = 1.0) -> None:
        self.state = state
        self.said: list[str] = []
        logger = logging.getLogger(f"engine-{id(self)}")
        logger.setLevel(logging.INFO)
        logger.propagate = False
        logger.addHandler(_Collecting(self.said))
        endpoint = AwsEndpoint(url, a_session())
        self._engine = Engine(endpoint, state, notices=Notices(logger), name=url, speed=speed)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._engine.run, args=(self._stop,), kwargs={"grace": 5.0}, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(20)
        assert not self._thread.is_alive()

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def shown(self, mapping: str) -> dict[str, Any]:
        """How the status file shows a mapping; empty when it does not."""
        try:
            found = [m for m in read_status(self.state)["mappings"] if m["uuid"] == mapping]
        except StatusUnavailable:
            return {}
        return found[0] if found else {}

    def shards(self, mapping: str) -> list[dict[str, Any]]:
        """How the status file shows the shards of a mapping."""
        return list(self.shown(mapping).get("shards", []))


class _Collecting(logging.Handler):
    def __init__(self, said: list[str]) -> None:
        super().__init__()
        self._said = said

    def emit(self, record: logging.LogRecord) -> None:
        self._said.append(record.getMessage())


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """An emulator that files share: functions, streams and tables are named by their test, mappings end with it."""
    emulator = Emulator(tmp_path_factory.mktemp("emulator"))
    yield emulator
    emulator.stop()


@pytest.fixture(scope="module")
def start_emulator() -> Callable[[Path], Emulator]:
    """Start a further emulator in a folder; whoever does so stops it."""
    return Emulator


@pytest.fixture(scope="module")
def clients(emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Cloud:
    return Cloud(emulator.url, tmp_path_factory.mktemp("out"))


@pytest.fixture(scope="module")
def open_cloud(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Cloud]:
    """The APIs of an emulator at a URL."""
    folder = tmp_path_factory.mktemp("out")
    return lambda url: Cloud(url, folder)


@pytest.fixture
def cloud(clients: Cloud) -> Iterator[Cloud]:
    """The emulator's APIs; mappings that a test makes end with it."""
    yield clients
    for mapping in clients.functions.list_event_source_mappings()["EventSourceMappings"]:
        clients.functions.delete_event_source_mapping(UUID=mapping["UUID"])


@pytest.fixture(scope="module")
def start_engine(emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Running]:
    """Start an engine, on the shared emulator and in a new state folder if not told otherwise; stop it with `with`."""

    def start(state: Path | None = None, *, url: str = "", speed: float = 1.0) -> Running:
        return Running(url or emulator.url, state or tmp_path_factory.mktemp("engine"), speed)

    return start


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A name for what the test deploys."""
    return str(getattr(request.node, "originalname", request.node.name)).removeprefix("test_")[:50].replace("_", "-")
