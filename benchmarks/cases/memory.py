"""Peak memory of a large batch, including the decoded invocation."""

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
from case import Case, Floor, Variant, figure

RULES = 8
RECORDS = 10_000
INVOCATION = "BENCH_INVOCATION"


def measured(handler: Callable[[Any, Any], Any]) -> Callable[[], dict[str, float]]:
    """Peak memory in MB above the start: with the invocation, and of the processing alone."""
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
    """The memory of the process now."""
    if sys.platform != "linux":
        return peak_mb()
    return _status_mb("VmRSS")


def peak_mb() -> float:
    """The peak memory of the process since `forget_peak`."""
    if sys.platform != "linux":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return _status_mb("VmHWM")


def forget_peak() -> None:
    """Reset the peak to the memory now (Linux only; elsewhere the peak of the whole process remains)."""
    if sys.platform == "linux":
        Path("/proc/self/clear_refs").write_text("5")


def _status_mb(name: str) -> float:
    found = re.search(rf"^{name}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    if found is None:
        raise RuntimeError(f"no {name} in /proc/self/status")
    return int(found[1]) / 1024


def through(**fields: Any) -> Callable[[], object]:
    """A handler with 8 rules with these fields; each wants an eighth of the events."""
    from stream_runtime import stream_handler
    from stream_runtime.events import from_kinesis

    rules = [{"id": f"rule-{number}", "event_type": f"thing-{number}", **fields} for number in range(RULES)]
    return measured(stream_handler(rules, from_kinesis))


def tasks() -> Callable[[], object]:
    """Rules that finish each record before the next one is decoded."""
    from stream_runtime.flavors import task

    return through(flavor=task, execute=lambda uow: uow["event"]["story"]["id"])


def views() -> Callable[[], object]:
    """Rules that gather the batch and update in parallel."""
    from stream_runtime.expressions import timestamp_condition, update_expression
    from stream_runtime.flavors import materialize

    def to_update_request(uow: Mapping[str, Any]) -> dict[str, Any]:
        story = uow["event"]["story"]
        row = {**story, "timestamp": uow["event"]["timestamp"], "id": None}
        return {"Key": {"pk": story["id"], "sk": "story"}, **update_expression(row), **timestamp_condition()}

    accept_everything()
    return through(flavor=materialize, to_update_request=to_update_request)


def collections() -> Callable[[], object]:
    """Rules that gather the batch and write in batches."""
    from stream_runtime.flavors import collect

    accept_everything()
    return through(flavor=collect)


def emissions() -> Callable[[], object]:
    """Rules that emit an event for each event and publish in batches."""
    from stream_runtime.flavors import task

    accept_everything()
    return through(flavor=task, emit="thing-done")


def accept_everything() -> None:
    """AWS that answers without delay."""
    from stream_runtime import clients

    os.environ.update(ENTITY_TABLE_NAME="view", BUS_NAME="bus")
    for service in ("dynamodb", "events"):
        clients.use(service, _Accepting())


class _Accepting:
    def update_item(self, **request: Any) -> Mapping[str, Any]:
        return {"Attributes": {}}

    def batch_write_item(self, **request: Any) -> Mapping[str, Any]:
        return {"UnprocessedItems": {}}

    def put_events(self, Entries: list[Any]) -> Mapping[str, Any]:
        return {"FailedEntryCount": 0, "Entries": [{"EventId": "1"} for _ in Entries]}


@contextlib.contextmanager
def an_invocation() -> Iterator[Mapping[str, str]]:
    """A file with the batch, made in another process: memory freed in the measured one would be used again."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(feed.kinesis(feed.events(RECORDS, RULES)), file)
        file.flush()
        yield {INVOCATION: file.name}


FLAVORS = {"task": tasks, "task that emits": emissions, "collect": collections, "materialize": views}

CASE = Case(
    name="memory",
    title="Peak memory, 10,000 records of 600 bytes through 8 rules, above what the process held before the batch",
    variants=tuple(Variant(flavor, prepare) for flavor, prepare in FLAVORS.items()),
    floors=tuple(
        Floor(f"8 rules: {flavor}; decoded invocation included", figure("peak_mb", flavor), at_most=48, unit="MB")
        for flavor in FLAVORS
    ),
    rounds=2,
    fresh=True,
    surroundings=an_invocation,
)
