"""Measures what `streamctl plan` knows of the five services: writes `plan/times.json`.

python benchmarks/plan_times.py [--stories 300]

All services are deployed to a local cloud. The first story starts functions cold; single stories give batches of about
one record; then mappings are stopped while stories are fed in, so that batches are full. CPU is that of the functions'
processes (Linux only). What a function calls is in `WORK`, from its rules; sizes of items and events are those that the
journal has seen. A call is taken to last `CALL_MS`, since that of an emulator says nothing of AWS.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import io
import json
import platform
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from busy import busy_s_of

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

SERVICES = ("event-hub", "control-service", "event-fault-monitor", "event-lake-s3", "rest-bff-service")
TIMES = ROOT / "libs/stream_cli/src/stream_cli/plan/times.json"
STAGE = "local"
CALL_MS = 5.0
"""One call of AWS, as in the other benchmarks (`updates`): DynamoDB answers in single-digit milliseconds."""

PARALLEL = 16
"""Calls of a pipeline in flight (the setting PARALLEL)."""

PACED_S = 0.5
SETTLED_S = 4.0
PATIENCE_S = 240.0

GIVEN = json.loads(Path(__file__).with_name("plan_work.json").read_text())
WORK: Mapping[str, Mapping[str, Mapping[str, Any]]] = GIVEN["work"]
"""What functions do for a record of each kind, from their rules.

`rounds`: calls one after another; `calls`: all calls, of which `PARALLEL` run at the same time. `row`: the
discriminator of rows whose size counts. Stories of the sample have two tags, so three rows of the dashboard, and an
article.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--stories", type=int, default=300, help="stories in the phase of full batches")
    wanted = parser.parse_args()
    with deployed() as (cloud, state, pids):
        measured = Measured(cloud, state, pids)
        cold = measured.phase(lambda: single(cloud, 1, "cold"))
        few = measured.phase(lambda: single(cloud, 15, "few"))
        many = measured.phase(lambda: at_once(cloud, wanted.stories, "many"))
        sizes = measured.sizes()
    found = functions_of(cold, few, many, sizes)
    TIMES.write_text(json.dumps(found, indent=1) + "\n")
    for name, each in found["functions"].items():
        cpu = next(iter(each["work"].values()))["cpu_ms"]
        print(
            f"{name:32} {each['batch_cpu_ms']:7.2f} ms a batch, {cpu:6.3f} ms a record of CPU"
        )  # the table of this command


@contextlib.contextmanager
def deployed() -> Iterator[tuple[Any, Any, int]]:
    """A local cloud with all services, its state folder, and the emulator's process."""
    from stream_cli.local.cloud import running_emulator
    from stream_cli.local.deploy import deploy
    from stream_cli.local.state import StateFolder
    from stream_cli.terminal.output import VisibleConsole
    from stream_cli.terminal.progress import Steps

    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        state = StateFolder(Path(folder, "state"))
        with running_emulator(state, None) as cloud, Steps(VisibleConsole(file=io.StringIO())) as steps:
            deploy(cloud, [ROOT / "services" / service for service in SERVICES], steps)
            cloud.start_deliveries()
            cloud.start_mappings()
            yield cloud, state, state.records()["emulator"]["child"]["pid"]


def stories(count: int, run: str) -> list[Any]:
    """Stories of the sample with ids of their own and valid analyses."""
    from demo.feed import sample

    complete = [each for each in sample() if each.is_complete and isinstance(each.analysis, dict)]
    found = []
    for number in range(count):
        each = copy.deepcopy(complete[number % len(complete)])
        for part in (each.story, each.analysis):
            if isinstance(part, dict):
                part["id"] = f"{run}-{number}"
        found.append(each)
    return found


def analyses(each: Any) -> dict[str, Any]:
    return dict(each.analyzed_event(time.time_ns() // 1_000_000))


def single(cloud: Any, count: int, run: str) -> None:
    """One story after another."""
    from stream_cli.send import publish

    from demo.feed import RestClient

    bus = cloud.endpoint.client("events")
    with RestClient(cloud.endpoint) as rest:
        for each in stories(count, run):
            rest.post("/stories", each.story)
            time.sleep(PACED_S)  # so that each has batches of its own
            publish(bus, f"event-hub-{STAGE}-bus", [analyses(each)])
            time.sleep(PACED_S)


def at_once(cloud: Any, count: int, run: str) -> None:
    """All stories, and then all analyses, each while mappings are stopped."""
    from stream_cli.send import publish

    from demo.feed import RestClient

    made, bus = stories(count, run), cloud.endpoint.client("events")
    with stopped(cloud), RestClient(cloud.endpoint) as rest, ThreadPoolExecutor(2) as pool:
        for answer in [pool.submit(rest.post, "/stories", each.story) for each in made]:
            with contextlib.suppress(httpx.HTTPError):
                answer.result()
    settle(cloud)
    with stopped(cloud):
        publish(bus, f"event-hub-{STAGE}-bus", [analyses(each) for each in made])


@contextlib.contextmanager
def stopped(cloud: Any) -> Iterator[None]:
    """All mappings of the stage are disabled meanwhile."""
    functions = cloud.endpoint.client("lambda")
    mappings = [each["UUID"] for each in functions.list_event_source_mappings()["EventSourceMappings"]]
    for each in mappings:
        functions.update_event_source_mapping(UUID=each, Enabled=False)
    time.sleep(SETTLED_S)  # the engine lists mappings every half second
    try:
        yield
    finally:
        for each in mappings:
            functions.update_event_source_mapping(UUID=each, Enabled=True)


def settle(cloud: Any) -> None:
    """Wait until nothing has been invoked for a while."""
    begin, last, seen = time.monotonic(), time.monotonic(), -1
    while time.monotonic() - last < SETTLED_S:
        if time.monotonic() - begin > PATIENCE_S:
            raise RuntimeError(f"functions are still invoked after {PATIENCE_S:.0f} s")
        time.sleep(0.5)  # between two looks at the journal
        calls = sum(line["kind"] == "call" for line in lines_of(cloud.state))
        if calls != seen:
            seen, last = calls, time.monotonic()


def lines_of(state: Any) -> list[dict[str, Any]]:
    """All lines of the journal."""
    found = []
    for file in sorted(state.journal.glob("*.jsonl")):
        for text in file.read_text().splitlines():
            with contextlib.suppress(ValueError):  # the last line may be half of one
                found.append(json.loads(text))
    return found


class Measured:
    """Counts of phases: CPU, calls and records of each function."""

    def __init__(self, cloud: Any, state: Any, emulator: int) -> None:
        self._cloud, self._state, self._emulator = cloud, state, emulator

    def phase(self, feed: Any) -> dict[str, dict[str, float]]:
        """What feeding takes, by function."""
        settle(self._cloud)
        before, cpu = self._counts(), self._cpu()
        feed()
        settle(self._cloud)
        after, used = self._counts(), self._cpu()
        return {
            name: {
                "cpu_ms": 1_000 * (used.get(name, 0.0) - cpu.get(name, 0.0)),
                "calls": after[name]["calls"] - before.get(name, {}).get("calls", 0.0),
                "records": after[name]["records"] - before.get(name, {}).get("records", 0.0),
            }
            for name in after
        }

    def _counts(self) -> dict[str, dict[str, float]]:
        found: dict[str, dict[str, float]] = defaultdict(lambda: {"calls": 0.0, "records": 0.0})
        for line in lines_of(self._state):
            if line["kind"] == "call":
                name = short(line["function"])
                found[name]["calls"] += 1
                found[name]["records"] += line.get("count", 1)
        return dict(found)

    def _cpu(self) -> dict[str, float]:
        """CPU seconds by function, of the processes that live."""
        found: dict[str, float] = defaultdict(float)
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                if int(stat.read_text().rpartition(")")[2].split()[1]) != self._emulator:
                    continue
                variables = dict(
                    entry.split("=", 1) for entry in (stat.parent / "environ").read_text().split("\0") if "=" in entry
                )
                if "AWS_LAMBDA_FUNCTION_NAME" in variables:
                    found[short(variables["AWS_LAMBDA_FUNCTION_NAME"])] += busy_s_of(int(stat.parent.name))
        return dict(found)

    def sizes(self) -> dict[str, dict[str, float]]:
        """Mean bytes of items by table and discriminator, and of events by type."""
        items: dict[tuple[str, str], list[int]] = defaultdict(list)
        events: dict[str, list[int]] = defaultdict(list)
        for line in lines_of(self._state):
            if line["kind"] == "change" and line.get("new"):
                row = line["new"].get("discriminator", {}).get("S", "")
                items[line["table"], row].append(item_bytes(line["new"]))
            elif line["kind"] == "event":
                events[line["type"]].append(len(json.dumps(line["detail"], ensure_ascii=False).encode()))
        return {
            "items": {f"{table}|{row}": sum(each) / len(each) for (table, row), each in items.items()},
            "events": {type_: sum(each) / len(each) for type_, each in events.items()},
        }


Phase = Mapping[str, Mapping[str, float]]
"""CPU, calls and records by function."""


def short(function: str) -> str:
    """`control-service-local-listener` as `control-service/listener`."""
    return function.partition(":")[0].replace(f"-{STAGE}-", "/")


def item_bytes(item: Mapping[str, Any]) -> int:
    """The size of an item (DynamoDB developer guide, "DynamoDB item sizes and formats")."""
    return sum(len(name.encode()) + value_bytes(value) for name, value in item.items())


def value_bytes(value: Mapping[str, Any]) -> int:
    ((kind, content),) = value.items()
    if kind == "M":
        return 3 + item_bytes(content) + len(content)
    if kind == "L":
        return 3 + sum(1 + value_bytes(each) for each in content)
    if kind in ("SS", "NS", "BS"):
        return sum(len(each) for each in content)
    if kind == "N":
        return (len(content.lstrip("-0.")) + 1) // 2 + 1
    return 1 if kind in ("BOOL", "NULL") else len(str(content).encode())


def functions_of(cold: Phase, few: Phase, many: Phase, sizes: Mapping[str, Any]) -> dict[str, Any]:
    """The file: CPU of cold starts, batches and records from the phases, and what functions do."""
    names = {
        "control-service/EventTable": "control-service-local-events",
        "rest-bff-service/EntityTable": "rest-bff-service-local-entities",
        "rest-bff-service/DashboardTable": "rest-bff-service-local-dashboard",
    }

    def bytes_of(part: Mapping[str, Any]) -> float:
        return float(round(sizes["items"].get(f"{names[part['table']]}|{part['row']}", 1_000.0)))

    functions = {}
    for function, kinds in WORK.items():
        batch, record = affine(few.get(function, {}), many.get(function, {}))
        first = cold[function]
        work = {}
        for kind, each in kinds.items():
            work[kind] = {
                "cpu_ms": round(record, 3),
                "wait_ms": round(each["calls"] * CALL_MS / PARALLEL, 3),
                "emits": each.get("emits", {}),
                "changes": [
                    {**{k: v for k, v in change.items() if k != "row"}, "bytes": bytes_of(change)}
                    for change in each.get("changes", [])
                ],
                "reads": [
                    {"table": read["table"], "bytes": read.get("times", 1) * bytes_of(read)}
                    for read in each.get("reads", [])
                ],
                "sends": each.get("sends", {}),
                "log_bytes": 0.0,
            }
        rounds = max(each["rounds"] for each in kinds.values())
        functions[function] = {
            "batch_cpu_ms": round(batch, 2),
            "cold_cpu_ms": round(max(0.0, first["cpu_ms"] - first["calls"] * batch - first["records"] * record)),
            "batch_wait_ms": 0.0 if function.endswith("/rest") else rounds * CALL_MS,
            "work": work,
        }
    return {
        "measured": datetime.now(UTC).date().isoformat(),
        "command": "python benchmarks/plan_times.py",
        "machine": f"{platform.machine()}, Python {platform.python_version()}, a call of AWS taken as {CALL_MS:g} ms",
        "functions": functions,
        "events": {type_: {"bytes": float(round(size))} for type_, size in sorted(sizes["events"].items())},
        "journeys": GIVEN["journeys"],
    }


def affine(few: Mapping[str, float], many: Mapping[str, float]) -> tuple[float, float]:
    """CPU ms of a batch and of a record, from two phases; of a batch alone, where batches were of one size."""
    if not few or not many:
        raise RuntimeError("a function was not invoked in both phases")
    (a, b, x), (c, d, y) = ((each["calls"], each["records"], each["cpu_ms"]) for each in (few, many))
    determinant = a * d - b * c
    if abs(determinant) < 1e-3 * a * d:
        return (x + y) / (a + c), 0.0
    batch, record = (x * d - b * y) / determinant, (a * y - x * c) / determinant
    return (max(0.0, batch), max(0.0, record)) if record > 0 else (x / a, 0.0)


if __name__ == "__main__":
    main()
