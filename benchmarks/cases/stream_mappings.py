"""How fast the mapping engine moves records from one Kinesis shard and from four, and which part limits it.

The emulator and the engine run as `streamctl up` runs them. The records are in the stream before the mapping is made.
The function notes when each invocation of it ends and how many records it had: what is measured is what arrived.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import tempfile
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import feed
from busy import busy_s
from case import Case, Floor, Results, Variant, quicker

ONE, FOUR = "one shard", "four shards"
RECORDS = 10_000
BATCH_SIZE = 100
PUT_AT_ONCE = 500
PATIENCE_S = 60
LOOK_EVERY_S = 0.02
FOLDER, PARTS = "BENCH_FOLDER", "BENCH_PARTS"

FUNCTION = """
import os, time
notes = os.open({notes!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

def handler(event, context):
    os.write(notes, b"%f %d\\n" % (time.time(), len(event["Records"])))
    return {{"batchItemFailures": []}}
"""


def role_that_reads(iam: Any) -> str:
    """The ARN of a role for functions that read streams, made where it is not there."""
    name, version = "bench", {"Version": "2012-10-17"}
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    with contextlib.suppress(iam.exceptions.EntityAlreadyExistsException):
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({**version, "Statement": trust}))
    read = {"Effect": "Allow", "Action": "kinesis:*", "Resource": "*"}
    iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=json.dumps({**version, "Statement": read}))
    return str(iam.get_role(RoleName=name)["Role"]["Arn"])


def moving_from(shards: int) -> Callable[[], object]:
    """Move all records of a new stream through a mapping."""
    import boto3

    kinesis, functions = boto3.client("kinesis"), boto3.client("lambda")
    role = role_that_reads(boto3.client("iam"))
    folder = Path(os.environ[FOLDER])
    parts: dict[str, int] = json.loads(os.environ[PARTS])
    entries = [
        {"Data": json.dumps(event).encode(), "PartitionKey": event["partition_key"]}
        for event in feed.events(RECORDS, 8)
    ]

    def work() -> dict[str, float]:
        name = f"bench-{uuid.uuid4().hex[:8]}"
        notes = folder / f"{name}.txt"
        stream = filled_stream(kinesis, name, shards, entries)
        function = functions.create_function(
            FunctionName=name,
            Runtime="python3.13",
            Role=role,
            Handler="function.handler",
            Code={"ZipFile": zipped(FUNCTION.format(notes=str(notes)))},
            Timeout=30,
        )["FunctionArn"]
        mapping = functions.create_event_source_mapping(
            FunctionName=function,
            EventSourceArn=stream,
            StartingPosition="TRIM_HORIZON",
            BatchSize=BATCH_SIZE,
            FunctionResponseTypes=["ReportBatchItemFailures"],
        )["UUID"]
        try:
            return drained(notes, parts)
        finally:
            functions.delete_event_source_mapping(UUID=mapping)
            kinesis.delete_stream(StreamName=name)
            functions.delete_function(FunctionName=name)

    return work


def filled_stream(kinesis: Any, name: str, shards: int, entries: list[dict[str, Any]]) -> str:
    """Create a stream with all records; returns its ARN."""
    kinesis.create_stream(StreamName=name, ShardCount=shards)
    kinesis.get_waiter("stream_exists").wait(StreamName=name)
    for begin in range(0, len(entries), PUT_AT_ONCE):
        answer = kinesis.put_records(StreamName=name, Records=entries[begin : begin + PUT_AT_ONCE])
        if answer["FailedRecordCount"]:
            raise RuntimeError(f"{answer['FailedRecordCount']} records could not be put")
    return str(kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]["StreamARN"])


def zipped(source: str) -> bytes:
    """The zip file of a function."""
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("function.py", source)
    return package.getvalue()


def drained(notes: Path, parts: Mapping[str, int]) -> dict[str, float]:
    """Wait until the function has all records; returns seconds for a record, and CPU seconds of each part.

    The first invocation, which starts the function's process, begins the measurement and is left out of it.
    """
    deadline = time.monotonic() + PATIENCE_S
    noted: list[tuple[float, int]] = []
    before: dict[str, float] = {}
    while sum(count for _, count in noted) < RECORDS:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{sum(count for _, count in noted)} of {RECORDS} records after {PATIENCE_S} s")
        time.sleep(LOOK_EVERY_S)  # the function notes in a file what it gets, and nothing tells of it
        noted = noted_in(notes)
        if noted and not before:
            before = busy_s(parts)
    after = busy_s(parts)
    noted.sort()
    (begin, first), (end, _) = noted[0], noted[-1]
    moved = sum(count for _, count in noted) - first
    used = {f"{part}_s": after[part] - before.get(part, 0.0) for part in after}
    return {"per_record_s": (end - begin) / moved, "wall_s": end - begin, "cpu_s": sum(used.values()), **used}


def noted_in(notes: Path) -> list[tuple[float, int]]:
    """When each invocation ended, and its number of records."""
    if not notes.exists():
        return []
    lines = notes.read_text().split("\n")[:-1]
    return [(float(at), int(count)) for at, count in (line.split() for line in lines)]


def limited_by(results: Results) -> str:
    """The share of a CPU that each part used, and the part that used most."""
    said = []
    for variant, figures in results.items():
        shares = {
            part: figures[f"{part}_s"] / figures["wall_s"]
            for part in ("engine", "emulator", "functions")
            if f"{part}_s" in figures
        }
        if not shares:
            return "Which part limits is measured on Linux only."
        most = max(shares, key=lambda part: shares[part])
        text = ", ".join(f"{part} {share:.0%}" for part, share in shares.items())
        said.append(f"{variant}: {text} of a CPU; most by the {most}")
    return f"CPU used while records move, of {os.cpu_count()} CPUs: {'; '.join(said)}."


@contextlib.contextmanager
def a_local_cloud() -> Iterator[Mapping[str, str]]:
    """The emulator and the mapping engine, in a folder of their own."""
    from stream_cli.local.cloud import running_emulator
    from stream_cli.local.state import StateFolder

    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        state = StateFolder(Path(folder, "state"))
        with running_emulator(state, None) as cloud:
            cloud.start_mappings()
            pids = {name: record["child"]["pid"] for name, record in state.records().items()}
            parts = {"engine": pids["mappings"], "emulator": pids["emulator"]}
            yield {**cloud.endpoint.environment, FOLDER: folder, PARTS: json.dumps(parts)}


CASE = Case(
    name="stream_mappings",
    title=f"{RECORDS:,} records of 600 bytes through a Kinesis mapping of batch size {BATCH_SIZE}, in the local cloud",
    variants=(Variant(ONE, lambda: moving_from(1)), Variant(FOUR, lambda: moving_from(4))),
    floors=(
        Floor("one shard", lambda results: 1 / results[ONE]["per_record_s"], at_least=10_000, unit="records/s"),
        Floor("four shards", lambda results: 1 / results[FOUR]["per_record_s"], at_least=10_000, unit="records/s"),
        Floor("four shards over one", quicker("per_record_s", than=ONE, variant=FOUR), at_least=1),
    ),
    rounds=3,
    surroundings=a_local_cloud,
    remark=limited_by,
)
