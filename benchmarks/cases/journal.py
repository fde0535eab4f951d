"""The journal of 100,000 events with what they lead to: what writing a line costs, indexing them all, and questions.

Each event comes with its record in a stream, two changes of stories, and a share of an invocation and an attempt at 100
records. Questions are asked of an index that is up to date.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from case import Case, Floor, Variant, figure

EVENTS = 100_000
BATCH = 100
START_MS = 1_795_000_000_000
STREAM = "arn:aws:kinesis:us-east-1:000000000000:stream/hub"
WRITING, ASKING = "write", "index and ask"


def observed() -> Iterator[dict[str, Any]]:
    """The lines of all events, in the order of time."""
    import orjson

    by: dict[str, Any] = {}
    for number in range(EVENTS):
        at, id, key = START_MS + number, f"story-submitted-{number}", f"story-{number // 2}"
        story = {"id": key, "title": "A title of a story", "summary": "What the story is about. " * 8}
        event = {"id": id, "type": "story-submitted", "timestamp": at, "partition_key": key, "tags": {}, "story": story}
        detail = orjson.dumps(event).decode()
        yield {"kind": "event", "at": at, "bus": "hub", "id": f"{number:032x}", "source": "bff", "type": event["type"],
               "detail": orjson.Fragment(detail), "rules": [{"rule": "all", "targets": [STREAM]}], **by}  # fmt: skip
        yield {"kind": "stream", "at": at, "stream": STREAM, "shard": "shardId-000000000000", "number": f"{number:056}",
               "key": key, "id": id, "type": event["type"], "bus_id": f"{number:032x}"}  # fmt: skip
        for row in ("EVENT", "CORREL"):
            keys = {"pk": {"S": id}, "sk": {"S": row}}
            new = {**keys, "timestamp": {"N": str(at)}, "data": {"S": key}, "event": {"S": detail}}
            yield {"kind": "change", "at": at, "table": "events", "change": "INSERT", "keys": keys, "new": new, **by}
        if number % BATCH == BATCH - 1:
            request = f"request-{number // BATCH}"
            by = {"by": request}
            yield {"kind": "call", "at": at, "function": "listener", "request": request, "start": at - 90, "end": at,
                   "outcome": "ok", "source": STREAM, "count": BATCH}  # fmt: skip
            yield {"kind": "attempt", "at": at, "mapping": "m", "function": "listener", "stream": STREAM,
                   "shard": "shardId-000000000000", "attempt": 1, "start": at - 90, "outcome": "ok", "done": BATCH,
                   "numbers": [f"{each:056}" for each in range(number - BATCH + 1, number + 1)], "request": request,
                   "oldest": at - 500}  # fmt: skip


def writing() -> Callable[[], object]:
    """Put all lines; what making them costs is not counted."""
    from stream_cli.journal.writer import Writer

    lines = list(observed())

    def write() -> dict[str, float]:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            writer = Writer(Path(folder, "journal"), "emulator")
            cpu = time.process_time()
            for line in lines:
                writer.put(line)
            writer.close()
            return {"line_us": (time.process_time() - cpu) / len(lines) * 1e6}

    return write


def asking() -> Callable[[], object]:
    """Index what was written, then ask for one of the events in several ways."""
    from stream_cli.journal.answers import Journal
    from stream_cli.journal.writer import Writer

    folder = tempfile.TemporaryDirectory(prefix="bench-")
    writer = Writer(Path(folder.name, "journal"), "emulator")
    for line in observed():
        writer.put(line)
    writer.close()

    def ask() -> dict[str, float]:
        for index in Path(folder.name, "journal").glob("index*"):
            index.unlink()
        journal, cpu = Journal(Path(folder.name, "journal")), time.process_time()
        journal.coverage()
        figures = {"index_s": time.process_time() - cpu}
        questions: dict[str, Callable[[], object]] = {
            "id_ms": lambda: journal.events(id="story-submitted-4711"),
            "key_ms": lambda: journal.events(key="story-4711"),
            "about_ms": lambda: journal.about("story-submitted-4711"),
            "newest_ms": journal.events,
            "text_ms": lambda: journal.events(text="story-submitted-4711"),
            "no_text_ms": lambda: journal.events(text="nowhere"),
        }
        for name, question in questions.items():
            begin = time.perf_counter()
            question()
            figures[name] = (time.perf_counter() - begin) * 1000
        journal.close()
        return figures

    return ask


CASE = Case(
    name="journal",
    title="The journal of 100,000 events, with a record, two changes and a share of an invocation for each",
    variants=(Variant(WRITING, writing), Variant(ASKING, asking)),
    floors=(
        Floor("a line, CPU", figure("line_us", WRITING), at_most=10, unit="µs"),
        Floor("all lines indexed, CPU", figure("index_s", ASKING), at_most=20, unit="s"),
        Floor("events by id", figure("id_ms", ASKING), at_most=100, unit="ms"),
        Floor("events by key", figure("key_ms", ASKING), at_most=100, unit="ms"),
        Floor("all that names an id", figure("about_ms", ASKING), at_most=100, unit="ms"),
        Floor("newest events", figure("newest_ms", ASKING), at_most=100, unit="ms"),
        Floor("events by a text that none has", figure("no_text_ms", ASKING), at_most=1_000, unit="ms"),
    ),
    rounds=2,
)
