"""Compares `streamctl plan` with runs of the local cloud at five loads.

python benchmarks/plan_measured.py [--seconds 40] [--json FILE]

Events are published on a bus at random moments, and a rule puts them into a stream with two shards. Its function takes
a time that follows from the number of records, by sleeping, so that what is compared is the plan and not the load of
this machine. How long invocations take is measured in all runs together, by least squares; batches, concurrency, delays
and the backlog of a load that is too high are what the plan says from that, record by record and aggregated.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "libs/stream_cli/tests/plan"))

from cases.stream_mappings import role_that_reads, zipped
from small_systems import MAPPING, one_mapping
from small_systems import PUBLISHED as TYPE

RATES = (3.0, 10.0, 25.0, 45.0, 85.0)
"""Events a second; two lanes with full batches do about 65."""

EVENTS = 450.0
"""So many events are published at least, so that chance moves their figures by few percent."""

SHARDS, BATCH_SIZE, FIXED_S, RECORD_S = 2, 20, 0.2, 0.02
"""Long enough that the emulator's own milliseconds hardly matter."""

LATER_S = 2.0
AT_ONCE = 10
"""Entries of one PutEvents."""

PUBLISHERS = 8

CLOSE = 0.15
FUNCTION = """
import time

def handler(event, context):
    time.sleep({fixed} + {record} * len(event["Records"]))  # what this function takes
    return {{"batchItemFailures": []}}
"""


@dataclass(frozen=True)
class Run:
    """What one load was measured to do, or is predicted to do; `delay_s` is from the stream until a record is done."""

    rate: float
    delay_s: float
    batch: float
    concurrency: float
    backlog: float


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=40, help="length of each load")
    parser.add_argument("--json", type=Path, help="write all figures there, too")
    wanted = parser.parse_args()
    with a_cloud() as (cloud, state):
        lengths = [max(wanted.seconds, int(EVENTS / rate)) for rate in RATES]
        runs = [measured(cloud, state, rate, length) for rate, length in zip(RATES, lengths, strict=True)]
    attempts = [each for _, seen in runs for each in seen]
    fixed_ms, record_ms = line_through(attempts)
    print(f"an invocation takes {fixed_ms:.1f} ms and {record_ms:.2f} ms a record")  # the table of this command
    rows, worst = [], 0.0
    for (run, _), length in zip(runs, lengths, strict=True):
        for by in ("exact", "fluid"):
            said = predicted(by, run.rate, length, fixed_ms, record_ms)
            errors = {
                name: getattr(said, name) / getattr(run, name) - 1
                for name in ("delay_s", "batch", "concurrency", "backlog")
                if name != "backlog" or run.backlog > run.rate
            }
            worst = max(worst, *map(abs, errors.values()))
            rows.append({"by": by, "measured": vars(run), "predicted": vars(said), "errors": errors})
            told = ", ".join(
                f"{name} {getattr(run, name):.3f} / {getattr(said, name):.3f} ({errors[name]:+.0%})" for name in errors
            )
            print(f"{run.rate:5.0f} events/s, {by}: {told}")
    print(f"largest error {worst:.0%}, {'within' if worst <= CLOSE else 'beyond'} {CLOSE:.0%}")
    if wanted.json:
        wanted.json.write_text(
            json.dumps({"fixed_ms": fixed_ms, "record_ms": record_ms, "rows": rows}, indent=1) + "\n"
        )


@contextlib.contextmanager
def a_cloud() -> Iterator[tuple[Any, Any]]:
    """The emulator, deliveries and the mapping engine, in a folder of their own."""
    from stream_cli.local.cloud import running_emulator
    from stream_cli.local.state import StateFolder

    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        state = StateFolder(Path(folder, "state"))
        with running_emulator(state, None, iam=False) as cloud:
            cloud.start_deliveries()
            cloud.start_mappings()
            os.environ.update(cloud.endpoint.environment)
            yield cloud, state


def measured(cloud: Any, state: Any, rate: float, seconds: int) -> tuple[Run, list[tuple[int, float]]]:
    """Publish at a rate; what was seen, and the records and seconds of each attempt."""
    name = f"plan-{uuid.uuid4().hex[:8]}"
    client = cloud.endpoint.client
    kinesis, events, functions = client("kinesis"), client("events"), client("lambda")
    role = role_that_reads(client("iam"))
    kinesis.create_stream(StreamName=name, ShardCount=SHARDS)
    stream = kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]["StreamARN"]
    events.create_event_bus(Name=name)
    events.put_rule(Name=name, EventBusName=name, EventPattern=json.dumps({"detail-type": [TYPE]}))
    target = {"Id": "1", "Arn": stream, "RoleArn": role, "InputPath": "$.detail"}
    events.put_targets(
        Rule=name, EventBusName=name, Targets=[{**target, "KinesisParameters": {"PartitionKeyPath": "$.detail.key"}}]
    )
    code = FUNCTION.format(fixed=FIXED_S, record=RECORD_S)
    function = functions.create_function(
        FunctionName=name, Runtime="python3.13", Role=role, Handler="function.handler", Code={"ZipFile": zipped(code)}
    )["FunctionArn"]
    mapping = functions.create_event_source_mapping(
        FunctionName=function, EventSourceArn=stream, StartingPosition="TRIM_HORIZON", BatchSize=BATCH_SIZE,
        FunctionResponseTypes=["ReportBatchItemFailures"],
    )["UUID"]  # fmt: skip
    publish(events, name, SHARDS * 5.0, 3.0)  # so that environments are warm
    begun = time.time() + LATER_S
    time.sleep(LATER_S)  # those before the measurement are done then
    publish(events, name, rate, seconds)
    ended = begun + seconds
    while time.time() < ended + 0.2:
        time.sleep(0.05)  # what ends within the load has been noted then
    functions.delete_event_source_mapping(UUID=mapping)
    functions.delete_function(FunctionName=name)
    arrivals, attempts = seen_of(state, stream, mapping, ended)
    within = [each for each in attempts if begun <= each.at < ended]
    records = sum(len(each.numbers) for each in within)
    arrived = sum(begun <= at < ended for at in arrivals.values())
    run = Run(
        rate=arrived / seconds,
        delay_s=sum(each.at - arrivals[number] for each in within for number in each.numbers) / records,
        batch=records / len(within),
        concurrency=sum(each.took_s for each in within) / seconds,
        backlog=max(0.0, arrived - records),
    )
    return run, [(len(each.numbers), each.took_s) for each in within]


def publish(events: Any, bus: str, rate: float, seconds: float) -> None:
    """Put events at random moments with a mean rate, by several publishers."""
    with ThreadPoolExecutor(PUBLISHERS) as pool:
        for number in range(PUBLISHERS):
            pool.submit(put, events, bus, rate / PUBLISHERS, seconds, random.Random(f"{rate} {number}"))


def put(events: Any, bus: str, rate: float, seconds: float, chance: random.Random) -> None:
    """What one publisher puts; events that are due while it puts others go together."""
    begin = time.monotonic()
    due = chance.expovariate(rate)
    while True:
        entries: list[dict[str, Any]] = []
        while due <= time.monotonic() - begin and len(entries) < AT_ONCE:
            detail = json.dumps({"id": uuid.uuid4().hex, "type": TYPE, "key": uuid.uuid4().hex, "pad": "x" * 400})
            entries.append({"Source": "custom", "DetailType": TYPE, "EventBusName": bus, "Detail": detail})
            due += chance.expovariate(rate)
        if entries:
            events.put_events(Entries=entries)
        if due > seconds:
            return
        time.sleep(max(0.0, min(0.01, due - (time.monotonic() - begin))))  # until the next is due


@dataclass(frozen=True)
class Attempt:
    """A batch that was done: when, how long that took, and the sequence numbers of its records."""

    at: float
    took_s: float
    numbers: list[str]


def seen_of(state: Any, stream: str, mapping: str, until: float) -> tuple[dict[str, float], list[Attempt]]:
    """When each record arrived in a stream, and the attempts of its mapping, by the journal."""
    arrivals, attempts = {}, []
    for file in sorted(state.journal.glob("*.jsonl")):
        for text in file.read_text().splitlines():
            with contextlib.suppress(ValueError):  # the last line may be half of one
                line = json.loads(text)
                at = line["at"] / 1_000
                if line["kind"] == "stream" and line["stream"] == stream:
                    arrivals[line["number"]] = at
                elif line["kind"] == "attempt" and line["mapping"] == mapping and at < until:
                    attempts.append(Attempt(at, at - line["start"] / 1_000, line["numbers"]))
    return arrivals, attempts


def line_through(attempts: list[tuple[int, float]]) -> tuple[float, float]:
    """Milliseconds of an invocation and of each record of it, by least squares."""
    fitted = statistics.linear_regression([count for count, _ in attempts], [took * 1_000 for _, took in attempts])
    return fitted.intercept, fitted.slope


def predicted(by: str, rate: float, seconds: int, fixed_ms: float, record_ms: float) -> Run:
    """What the plan says."""
    from stream_cli.plan import exact, fluid
    from stream_cli.plan.load import constant
    from stream_cli.plan.model import LOCAL, figures

    system, times = one_mapping(shards=SHARDS, batch_size=BATCH_SIZE, fixed_ms=fixed_ms, record_ms=record_ms)
    load = constant({TYPE: rate}, seconds)
    if by == "fluid":
        found = [fluid.simulate(system, load, times, LOCAL).mappings[MAPPING]]
    else:
        found = [exact.simulate(system, load, times, LOCAL, seed=seed).mappings[MAPPING] for seed in range(5)]

    def mean(values: Iterator[float]) -> float:
        return statistics.fmean(values)

    return Run(
        rate=rate,
        delay_s=mean(figures(each.delay_s, each.done).mean for each in found),
        batch=mean(figures(each.batch, each.invocations).mean for each in found),
        concurrency=mean(float(each.concurrency.mean()) for each in found),
        backlog=mean(float(each.backlog[-1]) for each in found),
    )


if __name__ == "__main__":
    main()
