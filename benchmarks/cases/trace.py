"""What became of a key among 100,000 events, as the whole command in a process of its own.

The events and what they led to are in the journal of a cloud with the hub and the control service, and so is a story
that was sent through it. The index is up to date.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from case import Case, Floor, Variant, figure

from cases.commands import ROOT, finish, state
from cases.journal import observed

if TYPE_CHECKING:
    from stream_cli.journal.answers import Journal

SERVICES = ("event-hub", "control-service")
ENTITY = "story"  # of the template
KEY = "traced-1"
FOLDER = "BENCH_TRACE"
FIRST, AGAIN = "trace, rules of the functions not read yet", "trace"
TIMEOUT_S = 60.0


@contextlib.contextmanager
def traced_cloud() -> Iterator[Mapping[str, str]]:
    """A cloud in whose journal the events are; the correlation of the story waits for its analysis."""
    from stream_cli.journal.answers import Journal
    from stream_cli.journal.writer import Writer

    with tempfile.TemporaryDirectory(prefix="bench-trace-") as name:
        folder = Path(name)
        for service in SERVICES:
            ignored = shutil.ignore_patterns(".*cache", "__pycache__")
            shutil.copytree(ROOT / "services" / service, folder / "services" / service, ignore=ignored)
        command(folder, "up", "--services", str(folder / "services"))
        try:
            writer = Writer(folder / "state" / "journal", "emulator")
            for number, line in enumerate(observed()):
                writer.put(line)
                if number % 10_000 == 0:
                    writer.flush()
            writer.close()
            journal = Journal(folder / "state" / "journal")
            journal.coverage()  # which brings the index up to date
            content = {"id": KEY, "title": "A title"}
            event = {"id": "sent-1", "type": f"{ENTITY}-submitted", "timestamp": int(time.time() * 1000)}
            (folder / "event.json").write_text(json.dumps({**event, "partition_key": KEY, ENTITY: content}))
            command(folder, "send", str(folder / "event.json"))
            wait_for_the_end(journal)
            journal.close()
            yield {FOLDER: name}
        finally:
            command(folder, "down")


def wait_for_the_end(journal: Journal) -> None:
    """Until the correlation of the story was evaluated."""
    deadline = time.monotonic() + TIMEOUT_S
    while not any(
        journal.deliveries(line["stream"], line["number"]).attempts
        for line in journal.changes(key=f"{KEY}.completion").lines
    ):
        if time.monotonic() > deadline:
            raise RuntimeError(f"{KEY} was not correlated within {TIMEOUT_S:g} s")
        time.sleep(0.2)  # a reader of the journal asks; nothing calls it


def command(folder: Path, name: str, *options: str) -> None:
    """Run streamctl on the cloud to its end."""
    finish([sys.executable, "-m", "stream_cli.cli", name, *options, *state(folder)])


def tracing(*, first: bool = False) -> Callable[[], Callable[[], object]]:
    """Prepares the command."""

    def prepare() -> Callable[[], object]:
        folder = Path(os.environ[FOLDER])

        def work() -> None:
            for kept in (folder / "state" / "tmp").glob("rules-*.json") if first else ():
                kept.unlink()
            command(folder, "trace", KEY)

        return work

    return prepare


surroundings: Callable[[], AbstractContextManager[Mapping[str, str]]] = traced_cloud
CASE = Case(
    name="trace",
    title="`streamctl trace` of a key among 100,000 events: wall time of the whole command",
    variants=(Variant(FIRST, tracing(first=True)), Variant(AGAIN, tracing(), repeat=2)),
    floors=(Floor(AGAIN, figure("wall_s", AGAIN), at_most=1, unit="s"),),
    rounds=3,
    surroundings=surroundings,
)
