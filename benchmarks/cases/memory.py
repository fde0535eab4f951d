"""Peak memory of a large batch, from before it arrives until it is done, the decoded invocation included."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import re
import resource
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import feed
from case import OURS, Case, Floor, Variant, figure

RULES = 8
RECORDS = 10_000
HOLDING = "stream_runtime, rules that hold the batch"
INVOCATION = "BENCH_INVOCATION"


def measured(handler: Callable[[Any, Any], Any]) -> Callable[[], dict[str, float]]:
    """Memory above what the process held before the batch: with the invocation, and what processing added to that."""
    invocation = Path(os.environ[INVOCATION])
    context = feed.Context()
    handler(feed.kinesis(feed.events(100, RULES)), context)

    def work() -> dict[str, float]:
        gc.collect()
        before = resident_mb()
        event = json.loads(invocation.read_bytes())
        arrived = resident_mb()
        forget_peak()
        handler(event, context)
        peak = peak_mb()
        return {"peak_mb": max(peak, arrived) - before, "processing_mb": max(peak - arrived, 0.0)}

    return work


def resident_mb() -> float:
    """Memory that the process holds now."""
    if sys.platform != "linux":
        return peak_mb()
    return _status_mb("VmRSS")


def peak_mb() -> float:
    """The most memory that the process has held since `forget_peak`."""
    if sys.platform != "linux":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return _status_mb("VmHWM")


def forget_peak() -> None:
    """Let the peak begin at what is held now (Linux; elsewhere it is the peak of the process so far)."""
    if sys.platform == "linux":
        Path("/proc/self/clear_refs").write_text("5")


def _status_mb(name: str) -> float:
    found = re.search(rf"^{name}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    if found is None:
        raise RuntimeError(f"no {name} in /proc/self/status")
    return int(found[1]) / 1024


def tasks() -> Callable[[], object]:
    """Rules that are done with each record before the next one is decoded."""
    from stream_runtime import stream_handler
    from stream_runtime.events import from_kinesis
    from stream_runtime.flavors import task

    return measured(
        stream_handler(
            [
                {
                    "id": f"rule-{number}",
                    "flavor": task,
                    "event_type": f"thing-{number}",
                    "execute": lambda uow: uow["event"]["item"]["id"],
                }
                for number in range(RULES)
            ],
            from_kinesis,
        )
    )


class _Table:
    """A DynamoDB client that accepts everything at once."""

    def update_item(self, **request: Any) -> Mapping[str, Any]:
        return {"Attributes": {}}


def holding() -> Callable[[], object]:
    """Rules that gather the whole batch, to make their calls in parallel."""
    from stream_runtime import clients, stream_handler
    from stream_runtime.events import from_kinesis
    from stream_runtime.expressions import timestamp_condition, update_expression
    from stream_runtime.flavors import materialize

    def to_update_request(uow: Mapping[str, Any]) -> dict[str, Any]:
        item = uow["event"]["item"]
        row = {**item, "timestamp": uow["event"]["timestamp"], "id": None}
        return {"Key": {"pk": item["id"], "sk": "item"}, **update_expression(row), **timestamp_condition()}

    clients.use("dynamodb", _Table())
    return measured(
        stream_handler(
            [
                {
                    "id": f"rule-{number}",
                    "flavor": materialize,
                    "event_type": f"thing-{number}",
                    "to_update_request": to_update_request,
                    "table_name": "view",
                }
                for number in range(RULES)
            ],
            from_kinesis,
        )
    )


@contextlib.contextmanager
def an_invocation() -> Iterator[Mapping[str, str]]:
    """A file with the batch, made outside of the process that is measured: what is freed there would be used again."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(feed.kinesis(feed.events(RECORDS, RULES)), file)
        file.flush()
        yield {INVOCATION: file.name}


CASE = Case(
    name="memory",
    title="Peak memory, 10,000 records of 600 bytes through 8 rules, above what the process held before the batch",
    variants=(Variant(OURS, tasks), Variant(HOLDING, holding)),
    floors=(
        Floor("with the invocation, 8 task rules", figure("peak_mb"), at_most=64, unit="MB"),
        Floor("of it processing, 8 task rules", figure("processing_mb"), unit="MB"),
        Floor("with the invocation, 8 materialize rules", figure("peak_mb", HOLDING), at_most=64, unit="MB"),
        Floor("of it processing, 8 materialize rules", figure("processing_mb", HOLDING), unit="MB"),
    ),
    rounds=2,
    fresh=True,
    surroundings=an_invocation,
)
