"""The console in a real browser, over a journal that the test writes: no cloud runs.

tests/browser/console.mjs has what a person does. Each step may log no error, so that nothing breaks the page's
Content-Security-Policy unseen.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from stream_cli import private_files
from stream_cli.journal.writer import Writer
from stream_cli.local.console import console_address
from stream_cli.local.state import StateFolder
from stream_cli.mappings.checkpoints import STATUS_FILE

from tests.system.console_over_stacks import console_of

pytestmark = pytest.mark.system

MANY = 10_000
HOSTILE = "<img src=x onerror=alert(1)>"
STREAM = "arn:aws:kinesis:us-east-1:000000000000:stream/hub-stream"
FUNCTION = "arn:aws:lambda:us-east-1:000000000000:function:control-service-local-listener"
NOW = time.time_ns() // 1_000_000
NARROW_AND_DARK = {"viewport": {"width": 390, "height": 844}, "colorScheme": "dark"}


def event(number: int, **more: Any) -> dict[str, Any]:
    """A line of the journal; every tenth event is ready."""
    type, key = "thing-ready" if number % 10 == 0 else "thing-submitted", f"thing-{number // 10}"
    thing = {"id": key, "title": f"Title {number}"}
    detail = {"id": f"event-{number}", "type": type, "partition_key": key, "thing": thing}
    return {
        "kind": "event", "at": NOW - MANY + number, "bus": "hub-bus", "id": f"bus-{number}", "source": "custom",
        "type": type, "detail": detail, "rules": [{"rule": "all", "targets": [STREAM]}], **more,
    }  # fmt: skip


def status() -> dict[str, Any]:
    """What the mapping engine writes: one shard that is stuck."""
    shard = {
        "shard": "shardId-000000000000", "state": "open", "position": "49650000000000000000000000000000000000000007",
        "behind": 12, "in_flight": 0, "invocations": 4, "processed": 7, "filtered": 3, "retries": 4, "given_up": 0,
        "splits": 0, "last_outcome": "KeyError: 'evnt'", "last_outcome_at": NOW / 1000, "read_to_tip": True,
        "oldest_arrival": time.time() - 60,
    }  # fmt: skip
    mapping = {
        "uuid": "mapping-1", "function": FUNCTION, "source": STREAM, "enabled": True, "problem": None,
        "batch_size": 100, "destination": None, "shards": [shard],
    }  # fmt: skip
    return {
        "endpoint": "http://127.0.0.1:4566", "endpoint_problem": None, "pid": 1, "running": True, "speed": 1,
        "updated_at": time.time(), "mappings": [mapping],
    }  # fmt: skip


ATTEMPT = {
    "kind": "attempt", "at": NOW, "mapping": "mapping-1", "function": "control-service-local-listener",
    "stream": STREAM, "shard": "shardId-000000000000", "numbers": ["11", "12"], "attempt": 4, "start": NOW - 20,
    "outcome": "failed", "done": 0, "problem": "KeyError: 'evnt'", "next": NOW + 4000, "request": "request-1",
}  # fmt: skip


@dataclass
class Served:
    """A console that runs, and the journal that it reads."""

    state: StateFolder
    emulator: Writer
    console: subprocess.Popen[bytes] | None = None

    @property
    def mappings(self) -> Path:
        return self.state.mappings

    @property
    def expectations(self) -> Path:
        return self.state.expectations_file

    @property
    def url(self) -> str:
        """The address, once it is known."""
        deadline = time.monotonic() + 60
        while (address := console_address(self.state.console_file)) is None:
            assert self.console
            assert self.console.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return address.url

    def start(self) -> None:
        """Start the console."""
        self.console = subprocess.Popen(console_of(self.state))

    def end(self, number: int = signal.SIGTERM) -> None:
        """End the console by a signal."""
        assert self.console
        self.console.send_signal(number)
        self.console.wait()

    def comes(self, line: dict[str, Any]) -> None:
        """The emulator observes something."""
        self.emulator.put(line)
        self.emulator.flush()


@contextlib.contextmanager
def serving(folder: Path, events: int) -> Iterator[Served]:
    """A console over a journal of so many events."""
    state = StateFolder(folder / "state")
    state.secure()
    for each in (state.temporary, state.mappings):
        private_files.make_folder(each)
    served = Served(state, Writer(state.journal, "emulator"))
    mappings = Writer(state.journal, "mappings")
    for number in range(events):
        served.emulator.put(event(number))
    mappings.put(ATTEMPT)
    served.emulator.flush()
    mappings.close()
    private_files.write(state.mappings / STATUS_FILE, json.dumps(status()).encode())
    served.start()
    try:
        yield served
    finally:
        served.end()
        served.emulator.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("console"), MANY) as running:
        yield running


def test_a_person_finds_an_event_among_thousands(chromium: Any, served: Served) -> None:
    first = chromium.play("a person", "firstView", served.url)
    assert "thing-submitted" in first["first"]
    assert f"event-{MANY - 1}" in first["first"]
    assert first["problems"] == []
    assert "token" not in first["address"]
    found = chromium.play("a person", "search", given={"field": "key", "value": "thing-77", "found": "10 events"})
    assert len(found["rows"]) == 10
    assert "key=thing-77" in found["address"]
    found = chromium.play("a person", "search", given={"field": "type", "value": "thing-ready", "found": "1 event "})
    assert [re.search(r"event-\d+", each)[0] for each in found["rows"]] == ["event-770"]  # type: ignore[index]
    event = chromium.play("a person", "opened", given={"text": "event-770"})
    assert '"Title 770"' in event["text"]
    assert "all → stream/hub-stream" in event["text"]
    assert event["problems"] == []


def test_what_comes_in_is_seen_at_once_and_is_text_whatever_it_says(chromium: Any, served: Served) -> None:
    chromium.play("watching", "firstView", served.url)
    detail = {"id": HOSTILE, "type": HOSTILE, "partition_key": HOSTILE, "password": "correct-horse-9", "text": HOSTILE}
    served.comes(event(MANY, id="bus-hostile", type=HOSTILE, source=HOSTILE, detail=detail, rules=[], at=NOW + 1))
    came = chromium.play("watching", "arrives", given={"text": HOSTILE})
    assert "no rule" in came["first"]
    seen = chromium.play("watching", "opened", given={"text": HOSTILE})
    assert seen["text"].count(HOSTILE) >= 4
    assert "correct-horse-9" not in seen["text"]
    assert "[redacted]" in seen["text"]
    assert "No rule of the bus takes it" in seen["text"]


def test_the_list_is_used_without_a_mouse(chromium: Any, served: Served) -> None:
    went = chromium.play("keyboard", "byKeyboard", f"{served.url}", given={"downs": 3})
    id = re.search(r"event-\d+", went["chosen"])[0]  # type: ignore[index]
    assert id in went["facts"]
    assert id in went["back"]


def test_ten_thousand_rows_are_scrolled_through_and_only_those_seen_exist(chromium: Any, served: Served) -> None:
    chromium.play("scrolling", "firstView", served.url)
    chromium.play("scrolling", "scrolled", given={"until": 300})
    chromium.play("scrolling", "search", given={"field": "type", "value": "nothing", "found": "No event"})
    # Older ones are asked for again in a list that was loaded anew.
    chromium.play("scrolling", "search", given={"field": "type", "value": "", "found": "200 events"})
    walked = chromium.play("scrolling", "scrolled", given={"until": MANY})
    assert walked["count"] > MANY
    assert walked["most"] < 100
    assert chromium.memory_of_pages() < 300 * 1024 * 1024


def test_a_stuck_shard_says_why_and_when_it_is_tried_again(chromium: Any, served: Served) -> None:
    private_files.write(served.mappings / STATUS_FILE, json.dumps(status()).encode())
    chromium.play("on the phone", "firstView", served.url, screen=NARROW_AND_DARK)
    seen = chromium.play("on the phone", "shards", given={"text": "control-service-local-listener"})
    assert "KeyError: 'evnt'" in seen["text"]
    assert "attempt 5" in seen["text"]
    assert "Dropped by the filter" in seen["text"]
    assert seen["problems"] == []
    assert not seen["overflows"]


def test_a_person_sees_what_an_event_waits_for_and_that_it_comes(chromium: Any, served: Served) -> None:
    submitted = {
        "id": "watched-1",
        "type": "thing-submitted",
        "partition_key": "watched",
        "password": "correct-horse-9",
    }
    record = {"stream": STREAM, "shard": "shardId-000000000000"}
    served.comes(event(MANY + 1, id="bus-watched-1", detail=submitted))
    served.comes({"kind": "stream", "at": NOW, **record, "number": "90", "key": "watched", "id": "watched-1"})
    done = {**ATTEMPT, "numbers": ["90"], "attempt": 1, "outcome": "ok", "done": 1, "request": "request-90"}
    served.comes({name: value for name, value in done.items() if name not in ("problem", "next")})
    keys = {"pk": {"S": "watched-1"}, "sk": {"S": "EVENT"}}
    change = {"kind": "change", "at": NOW, "table": "control-events", "change": "INSERT", "keys": keys, "new": keys}
    served.comes({**change, "by": "request-90"})
    chromium.play("following", "firstView", served.url)
    seen = chromium.play("following", "traced", given={"asked": "watched", "text": "watched-1 on hub-bus"})
    assert seen["names"] == ["thing-submitted", "control-service-local-listener", "control-events"]
    assert "correct-horse-9" not in seen["text"]
    assert seen["problems"] == []
    ready = {
        "id": "watched-1.ready",
        "type": "thing-ready",
        "partition_key": "watched",
        "triggers": [{"id": "watched-1"}],
    }
    served.comes(event(MANY + 2, id="bus-watched-2", type="thing-ready", detail=ready, by="request-90", rules=[]))
    seen = chromium.play("following", "seenInTrace", given={"text": "watched-1.ready on hub-bus"})
    assert seen["names"][-1] == "thing-ready"
    assert "It waits" in seen["text"]
    assert "no rule of hub-bus takes it" in seen["text"]


def test_faults_are_in_groups_and_one_has_its_stack_and_its_record(chromium: Any, served: Served) -> None:
    stack = "Traceback (most recent call last):\n  File \"rules/trigger.py\", line 31, in to_ready\n    event['evnt']"
    tags = {"source": "control-service", "functionname": "control-local-trigger", "pipeline": "evaluate-thing"}
    data = base64.b64encode(b'{"thing": {"id": "1", "password": "correct-horse-9"}}').decode()
    for number in range(3):
        detail = {
            "id": f"fault-{number}", "type": "fault", "timestamp": NOW + number, "partition_key": "k",
            "tags": tags, "uow": {"record": {"kinesis": {"data": data}}},
            "err": {"name": "KeyError" if number else "ValueError", "message": f"'evnt' {number}", "stack": stack},
        }  # fmt: skip
        served.comes(event(MANY + 10 + number, id=f"bus-fault-{number}", type="fault", detail=detail))
    chromium.play("with faults", "firstView", served.url, screen=NARROW_AND_DARK)
    seen = chromium.play("with faults", "fault", given={"error": "KeyError", "id": "fault-2"})
    assert "KeyError in control-service 2 faults" in seen["groups"]
    assert "ValueError in control-service 1 fault" in seen["groups"]
    assert 'trigger.py", line 31' in seen["text"]
    assert "event['evnt']" in seen["text"]
    assert "streamctl faults resubmit fault-2" in seen["text"]
    assert '"1"' in seen["text"]  # of the record, which is decoded
    assert "correct-horse-9" not in seen["text"]
    assert seen["problems"] == []
    assert not seen["overflows"]


def test_functions_have_figures_and_say_what_failed(chromium: Any, served: Served) -> None:
    for number, outcome in enumerate(("ok", "ok", "failed")):
        call = {
            "kind": "call", "at": NOW, "function": "control-local-trigger", "request": f"call-{number}",
            "outcome": outcome, "start": NOW - 100, "end": NOW - 100 + 40 * (number + 1), "count": 7, "source": STREAM,
            **({"error": "KeyError: 'evnt'"} if outcome == "failed" else {}),
        }  # fmt: skip
        served.comes(call)
    chromium.play("with functions", "firstView", served.url, screen=NARROW_AND_DARK)
    seen = chromium.play("with functions", "functions", given={"name": "control-local-trigger"})
    assert seen["figures"].split()[:7] == ["control-local-trigger", "3", "1", "80", "ms", "120", "ms"]
    assert seen["text"].count("KeyError: 'evnt'") == 2  # among the failed, and among the last
    assert seen["problems"] == []
    assert not seen["overflows"]


def test_expectations_become_true_while_a_person_watches(chromium: Any, served: Served) -> None:
    def publish(state: str, **seen: Any) -> None:
        line = {"name": "rows of the view", "expected": "200 rows", "ok": False, "details": [], "since": NOW, **seen}
        owner = {"pid": os.getpid(), "started": psutil.Process().create_time()}
        content = {"state": state, "note": "200 stories posted", "at": NOW, "owner": owner, "expectations": [line]}
        private_files.write(served.expectations, json.dumps(content).encode())

    publish("feeding", seen="17 rows", details=["password=correct-horse-9: no row"])
    chromium.play("expecting", "firstView", served.url, screen=NARROW_AND_DARK)
    seen = chromium.play("expecting", "expectations", given={"text": "17 rows"})
    assert "The sample is being fed in" in seen["text"]
    assert "… not yet" in seen["lines"][0]
    assert "correct-horse-9" not in seen["text"]
    publish("settled", seen="200 rows", ok=True)
    seen = chromium.play("expecting", "expected", given={"text": "All is as expected"})
    assert "✓ as expected" in seen["lines"][0]
    publish("settled", seen="199 rows")
    seen = chromium.play("expecting", "expected", given={"text": "1 of 1 not as expected"})
    assert seen["problems"] == []
    assert not seen["overflows"]


HOSTILES = [
    "<img src=x onerror='window.ran=1;alert(1)'>",
    "</script><script>window.ran=1</script>",
    "javascript:window.ran=1",
    "\u202egnp.exe\u2066 reversed",
    "\x1b[31mred\x1b]8;;http://evil.example\x07 \r\x00",
    "half \ud800 of a pair",
    "__proto__",
    "constructor",
    "../../%2e%2e/#?x=1&y",
]


@pytest.mark.thorough
def test_whatever_is_observed_is_text_on_every_page(chromium: Any, served: Served) -> None:
    fault = {"type": "fault", "source": "hostile"}
    for place, text in enumerate(HOSTILES):
        err = {"name": text, "message": text, "stack": f"{text}\n{text}"}
        tags = {"source": text, "functionname": text, "pipeline": text}
        detail = {"id": f"{text} {place}", "type": text, "partition_key": text, text: {text: [text, {"type": text}]}}
        story = {"__proto__": {"ran": 1}, "constructor": {"prototype": 1}, "props": {"dangerouslySetInnerHTML": text}}
        rule = {"rule": text, "targets": [text]}
        served.comes(event(0, id=f"hostile-{place}", at=NOW + 50 + place, type=text, source="hostile", bus=text,
                           detail={**detail, "story": story}, rules=[rule], by=text))  # fmt: skip
        uow = {"record": {text: text}, "event": detail}
        faulty = {"id": f"fault {text}", "timestamp": NOW, "partition_key": text, "tags": tags, "err": err, "uow": uow}
        served.comes(event(0, id=f"hostile-fault-{place}", at=NOW + 80 + place, **fault, bus=text,
                           detail={**faulty, "type": "fault"}))  # fmt: skip
        served.comes({"kind": "call", "at": NOW, "function": text, "request": f"call {text}", "outcome": "failed",
                      "start": NOW - 9, "end": NOW, "count": 1, "source": text, "error": text})  # fmt: skip
        served.comes({"kind": "refused", "at": NOW, "function": text, "action": text, "resource": text,
                      "missing": text, "message": text})  # fmt: skip
    chromium.play("careful", "firstView", served.url)
    pages = ["Shards", "Faults", "Functions"]
    given = {"query": "#/events?source=hostile", "pages": pages}
    found = chromium.visit(None, scenario="looksAtAll", visitor="careful", given=given)
    # No function has such a name, which its page is told; nothing else is wrong.
    assert [each for each in found["errors"] if "status of 404" not in each] == [], found
    seen = found["value"]
    assert seen["count"] == 2 * len(HOSTILES)
    assert (seen["ran"], seen["dialogs"]) == (None, [])
    for name in ("list", "Faults", "Functions"):
        assert HOSTILES[0] in seen["texts"][name], name
        assert "\\u202egnp.exe" in seen["texts"][name], name  # what turns or hides text is seen as what it is
        assert "\u202e" not in seen["texts"][name]
        assert "\x1b" not in seen["texts"][name]


def test_without_the_token_there_is_nothing_to_see(chromium: Any, served: Served) -> None:
    url = served.url.partition("#")[0]
    found = chromium.visit(url, scenario="shown", visitor="stranger", given={"text": "No token"})
    assert "streamctl console" in found["value"]["text"]
    assert all("401" in error for error in found["errors"])


def no_room(*_: Any) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


@contextlib.contextmanager
def no_file_grows(pid: int) -> Iterator[None]:
    """A process can write nothing that would make a file longer, as on a full disk."""
    limits = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)


@pytest.mark.thorough
def test_a_page_goes_on_by_itself_whatever_becomes_of_console_and_journal(
    chromium: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(tmp_path, 30) as served:
        chromium.play("patient", "firstView", served.url)
        served.end(signal.SIGKILL)
        chromium.visit(None, scenario="shown", visitor="patient", given={"text": "Connection lost"})
        served.comes(event(40, id="bus-40"))
        served.start()
        chromium.visit(None, scenario="arrives", visitor="patient", given={"text": "event-40"})

        shutil.rmtree(served.state.journal)
        deadline = time.monotonic() + 30
        while not list(served.state.journal.glob("emulator-*.jsonl")):  # it looks once a second
            served.comes(event(41, id="bus-41"))
            assert time.monotonic() < deadline
            time.sleep(0.1)
        served.comes(event(42, id="bus-42"))
        chromium.visit(None, scenario="arrives", visitor="patient", given={"text": "event-42"})

        with monkeypatch.context() as full:
            full.setattr(os, "write", no_room)
            served.comes(event(44, id="bus-44"))
        # The index does not fit on the disk, which is told until it does.
        assert served.console
        with no_file_grows(served.console.pid):
            served.comes(event(45, id="bus-45"))
            chromium.visit(None, scenario="shown", visitor="patient", given={"text": "The index of the journal in"})
        chromium.visit(None, scenario="arrives", visitor="patient", given={"text": "event-45"})
        chromium.visit(None, scenario="gone", visitor="patient", given={"text": "The index of the journal in"})
        chromium.play("patient", "shown", given={"text": "The journal lacks 1 line that could not be written."})
        # Torn by a killed writer, and of a clock that was set back.
        (file,) = served.state.journal.glob("emulator-*.jsonl")
        with file.open("ab") as journal:
            journal.write(b'{"kind":"event","at":17\n')
        served.comes(event(43, id="bus-43", at=NOW - 3_600_000))
        found = chromium.play("patient", "search", given={"field": "id", "value": "event-43", "found": "1 event "})
        assert "event-43" in found["rows"][0]
        told = "The journal lacks 1 line that could not be written; 1 torn line."
        seen = chromium.play("patient", "shown", given={"text": told})
        assert "Connection lost" not in seen["text"]


@pytest.mark.thorough
def test_an_event_of_ten_megabytes_is_looked_at_in_parts(chromium: Any, tmp_path: Path) -> None:
    with serving(tmp_path, 3) as served:
        for number, size in ((50, 256 * 1024), (51, 10 * 1024 * 1024)):
            detail = {"id": f"event-{number}", "type": "thing-large", "partition_key": "large", "text": "x" * size}
            served.comes(event(number, id=f"bus-{number}", type="thing-large", at=NOW + number, detail=detail))
        chromium.play("reader", "firstView", served.url)
        for number in (50, 51):
            seen = chromium.play("reader", "opened", given={"text": f"event-{number}"})
            assert len(seen["text"]) < 10_000
            assert "more characters" in seen["text"]
            chromium.play("reader", "traced", given={"asked": f"event-{number}", "text": f"event-{number} on hub-bus"})
            chromium.play("reader", "firstView", served.url)
        assert chromium.memory_of_pages() < 300 * 1024 * 1024
