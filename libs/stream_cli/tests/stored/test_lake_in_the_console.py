"""The console's lake: counted by hour, opened without secrets, replayed as `streamctl lake replay` does it."""

from __future__ import annotations

import functools
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from stream_cli.cli import app
from stream_cli.console import lake as lake_module
from stream_cli.console import replays as replays_module
from stream_cli.console.jobs import JobKind, Jobs
from stream_cli.console.lake import LakeHours
from stream_cli.console.refusals import Refusal
from stream_cli.console.replays import KIND, Replays
from stream_cli.errors import CommandError
from stream_cli.local.state import StateFolder
from stream_cli.stored.connection import Connection
from stream_cli.stored.rate_limit import RateLimit
from typer.testing import CliRunner

pytestmark = pytest.mark.usefixtures("aws")

BUCKET, STREAM = "history", "hub-stream"


@pytest.fixture(autouse=True)
def stage(monkeypatch: pytest.MonkeyPatch) -> None:
    """The resources of the stage. tests/system has real stacks, which moto needs more packages for."""
    resources = {"AWS::Kinesis::Stream": [STREAM], "AWS::Lambda::Function": ["listener", "job"]}
    monkeypatch.setattr(Connection, "bucket", lambda *_: BUCKET)
    monkeypatch.setattr(Connection, "resources", lambda _: resources)


@pytest.fixture
def state(tmp_path: Path) -> StateFolder:
    return StateFolder(tmp_path / "state")


@pytest.fixture
def connect(state: StateFolder, store: Any) -> Callable[[], Connection]:
    boto3.client("kinesis").create_stream(StreamName=STREAM, ShardCount=1)
    return functools.partial(Connection, "dev", state)


def sent() -> list[str]:
    """The ids of the events on the stream."""
    kinesis = boto3.client("kinesis")
    shard = {"StreamName": STREAM, "ShardId": "shardId-000000000000", "ShardIteratorType": "TRIM_HORIZON"}
    iterator = kinesis.get_shard_iterator(**shard)["ShardIterator"]  # type: ignore[arg-type]
    return [json.loads(each["Data"])["id"] for each in kinesis.get_records(ShardIterator=iterator)["Records"]]


# --- hours ---


@pytest.fixture
def hours(connect: Callable[[], Connection]) -> LakeHours:
    return LakeHours(connect)


DAY = {"day": "2026-01-01"}


def test_objects_and_events_are_counted_by_hour_and_type(store: Any, envelope: Any, hours: LakeHours) -> None:
    store([envelope(1), envelope(2, "ready"), envelope(3)], hour=12)
    store([envelope(4), "no event"], hour=12, name="b")
    store([envelope(5)], hour=14)
    store([envelope(6)], day="2026-01-02")
    found = hours.day(DAY)
    assert [(each["hour"], each["objects"], each["types"], each["unreadable"]) for each in found["hours"]] == [
        ("14", 1, [{"type": "item-submitted", "events": 1}], 0),
        ("12", 2, [{"type": "item-submitted", "events": 3}, {"type": "ready", "events": 1}], 1),
    ]
    assert (found["objects"], found["counted"], found["cut"]) == (3, 3, None)
    assert found["bytes"] == sum(each["bytes"] for each in found["hours"]) > 0


def test_an_answer_counts_for_a_second_and_the_next_goes_on(
    store: Any, envelope: Any, connect: Callable[[], Connection]
) -> None:
    for number in range(5):
        store([envelope(number)], name=f"n{number}")
    now = iter(range(1000))
    hours = LakeHours(connect, clock=lambda: next(now))
    counted = [hours.day(DAY)["counted"] for _ in range(6)]
    assert counted == [1, 2, 3, 4, 5, 5]


def test_what_was_counted_is_not_read_again(
    store: Any, envelope: Any, hours: LakeHours, monkeypatch: pytest.MonkeyPatch
) -> None:
    store([envelope(1)])
    hours.day(DAY)
    boto3.client("s3").put_object(Bucket=BUCKET, Key="other", Body=b"")
    monkeypatch.setattr("stream_cli.stored.history.History._fetched", lambda *_: pytest.fail("read again"))
    assert hours.day(DAY)["counted"] == 1


def test_a_list_has_an_end_and_says_so(
    store: Any, envelope: Any, hours: LakeHours, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lake_module, "MOST_OBJECTS", 2)
    monkeypatch.setattr(lake_module, "MOST_COUNTED", 1)
    monkeypatch.setattr(lake_module, "_LISTED", 2)
    for number in range(3):
        store([envelope(number)], hour=20, name=f"n{number}")
    store([envelope(9)], hour=3)
    found = hours.day(DAY)
    assert (found["cut"], found["counted"], [each["hour"] for each in found["hours"]]) == ("16", 1, ["20"])
    listed = hours.objects({**DAY, "hour": "20"})
    assert ([each["key"][-2:] for each in listed["objects"]], listed["left_out"]) == (["n2", "n1"], 1)


def test_an_object_shows_its_events_without_secrets(
    store: Any, envelope: Any, hours: LakeHours, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lake_module, "_EVENTS", 2)
    first = envelope(1)
    first["detail"]["password"] = "correct-horse-9"
    store([first, "{", envelope(2), envelope(3)])
    key = "events/dt=2026-01-01/hour=12/a"
    found = hours.object({"key": key})
    assert found is not None
    assert [each["id"] for each in found["events"]] == ["e1", "e2"]
    assert found["events"][0]["event"]["password"] == "[redacted]"
    assert (found["more"], [each["line"] for each in found["unreadable"]]) == (True, [2])
    rest = hours.object({"key": key, "line": "3"})
    assert rest is not None
    assert ([each["id"] for each in rest["events"]], rest["more"], rest["unreadable"]) == (["e3"], False, [])
    assert hours.object({"key": f"{key}-not"}) is None


@pytest.mark.parametrize(
    "asked",
    [{"key": "other"}, {"key": "events/../secrets"}, {"key": "events/dt=2026-01-01/hour=12/"}, {}, {"line": "x"}],
)
def test_only_objects_of_the_lake_are_opened(hours: LakeHours, asked: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"key must|int"):
        hours.object(asked)
    for wrong in ({"day": "yesterday"}, {"day": "2026-13-01"}):
        with pytest.raises(ValueError, match="no day"):
            hours.day(wrong)
    with pytest.raises(ValueError, match="hour"):
        hours.objects({**DAY, "hour": "24"})


# --- replays ---


@dataclass
class Console:
    """What the page asks."""

    replays: Replays
    jobs: Jobs

    def plan(self, **asked: Any) -> dict[str, Any]:
        given = {"to": "stream", "name": STREAM, **asked}
        return self.replays.plan({"asked": json.dumps(given)})

    def confirm(self, plan: dict[str, Any], **more: Any) -> dict[str, Any]:
        """The job at its end."""
        id = self.jobs.begin(KIND, {**plan["asked"], "plan": plan["plan"], **more})["id"]
        deadline = time.monotonic() + 30
        while (job := self.jobs.one(id))["state"] == "running":
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return job


class NothingDeployed:
    mappings = ()


@pytest.fixture
def console_for(connect: Callable[[], Connection], state: StateFolder) -> Callable[..., Console]:
    def make(*, is_production: bool = False, writes: bool = True) -> Console:
        replays = Replays(connect, NothingDeployed, state, lambda: is_production, writes=writes)  # type: ignore[arg-type]
        kinds: dict[str, JobKind] = {KIND: replays.kind}
        return Console(replays, Jobs(kinds, writes=writes))

    return make


@pytest.fixture
def console(console_for: Callable[..., Console]) -> Console:
    return console_for()


def test_what_would_be_sent_is_shown_and_exactly_that_is_sent(store: Any, envelope: Any, console: Console) -> None:
    store([envelope(1), envelope(2, "ready"), envelope(3), envelope(4, "fault")])
    plan = console.plan(types=["item-submitted"])
    assert (plan["what"], plan["types"]) == (
        f"Replay 2 events to stream {STREAM}",
        [{"type": "item-submitted", "events": 2}],
    )
    assert sent() == []
    job = console.confirm(plan)
    assert (job["state"], job["done"], job["total"], job["result"]["sent"]) == ("done", 2, 2, 2)
    assert sent() == ["e1", "e3"]
    again = console.plan(**plan["asked"])
    assert (again["complete"], again["number"]) == (True, 0)
    with pytest.raises(CommandError, match="nothing to replay"):
        console.confirm(again)


def test_what_would_be_sent_leaves_no_file(store: Any, envelope: Any, console: Console, state: StateFolder) -> None:
    store([envelope(1)])
    plan = console.plan()
    assert not state.root.exists()
    console.confirm(plan)
    left = sorted(each.name for each in state.replays("dev").iterdir())
    console.plan()
    assert sorted(each.name for each in state.replays("dev").iterdir()) == left


def test_it_refuses_if_anything_else_would_be_sent_by_now(store: Any, envelope: Any, console: Console) -> None:
    store([envelope(1)])
    plan = console.plan()
    store([envelope(2)], name="b")
    with pytest.raises(CommandError, match="has changed since"):
        console.confirm(plan)
    with pytest.raises(CommandError, match="has changed since"):
        console.confirm({**console.plan(), "asked": console.plan(types=["ready"])["asked"]})
    assert sent() == []


def test_events_that_come_after_the_plan_do_not_change_it(store: Any, envelope: Any, console: Console) -> None:
    store([envelope(1)])
    plan = console.plan(until="2026-01-01T13:00:00+00:00")
    store([envelope(2, hours=2)], hour=14)
    assert console.confirm(plan)["state"] == "done"
    assert sent() == ["e1"]


def test_a_stopped_job_ends_behind_a_batch_and_goes_on_there(store: Any, envelope: Any, console: Console) -> None:
    store([envelope(number, key=f"k{number}") for number in range(6)])
    waits = threading.Event()

    class Slow(RateLimit):
        def most(self, number: int) -> int:
            return 2

        def wait_for(self, number: int) -> None:
            if len(sent()) == 2:
                waits.set()
                self._sleep(30)

    with pytest.MonkeyPatch.context() as slow:
        slow.setattr(replays_module, "RateLimit", Slow)
        plan = console.plan()
        id = console.jobs.begin(KIND, {**plan["asked"], "plan": plan["plan"]})["id"]
        assert waits.wait(30)
        console.jobs.stop(id)
        while (job := console.jobs.one(id))["state"] == "running":
            time.sleep(0.01)
    assert (job["state"], job["result"]["sent"], sent()) == ("stopped", 2, ["e0", "e1"])
    on = console.plan(**job["result"]["asked"])
    assert (on["sent"], on["number"], on["what"]) == (2, 4, f"Replay 4 events to stream {STREAM}")
    assert console.confirm(on)["state"] == "done"
    assert sent() == [f"e{number}" for number in range(6)]


def test_what_the_command_has_begun_is_known(store: Any, envelope: Any, console: Console, state: StateFolder) -> None:
    store([envelope(1)])
    until = "2026-01-01T13:00:00+00:00"
    given = ["lake", "replay", "--to-stream", STREAM, "--until", until, "--stage", "dev", "--state", str(state.root)]
    assert "Replayed 1 event " in CliRunner().invoke(app, given).stdout
    plan = console.plan(until=until)
    assert (plan["complete"], plan["sent"]) == (True, 1)
    plan = console.plan(until=until, restart=True)
    assert plan["number"] == 1
    assert console.confirm(plan)["state"] == "done"
    assert sent() == ["e1", "e1"]


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({"name": "another"}, "no stream of the stacks"), ({"to": "function", "name": STREAM}, "no function"),
        ({"to": "queue"}, "to must be"), ({"rate": "0"}, "rate"), ({"rate": "nan"}, "rate"), ({"rate": "x"}, "rate"),
        ({"since": "soon"}, "soon"), ({"since": "2026-01-02T00:00Z", "until": "2026-01-01T00:00Z"}, "ends before"),
        ({"types": "x"}, "types must be"), ({"regex": "x"}, "Unknown"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_question_is_said(
    store: Any, envelope: Any, console: Console, asked: dict[str, Any], error: str
) -> None:
    with pytest.raises((ValueError, CommandError), match=error):
        console.plan(**asked)


def test_more_than_a_console_reads_is_refused(
    store: Any, envelope: Any, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replays_module, "MOST_OBJECTS", 1)
    store([envelope(1)])
    store([envelope(2)], name="b")
    with pytest.raises(CommandError, match="choose a shorter time"):
        console.plan()


def test_for_a_production_stage_its_name_is_typed(
    store: Any, envelope: Any, console_for: Callable[..., Console]
) -> None:
    store([envelope(1)])
    console = console_for(is_production=True)
    plan = console.plan()
    assert plan["type"] == "dev"
    with pytest.raises(CommandError, match="production stage"):
        console.confirm(plan)
    assert console.confirm(plan, typed="dev")["state"] == "done"


def test_a_console_that_only_reads_shows_what_would_be_sent_and_sends_nothing(
    store: Any, envelope: Any, console_for: Callable[..., Console]
) -> None:
    store([envelope(1)])
    console = console_for(writes=False)
    plan = console.plan()
    assert "--write" in plan["refusal"]
    with pytest.raises(Refusal, match="read-only"):
        console.confirm(plan)
    assert sent() == []
    assert [each["name"] for each in console.replays.targets()["functions"]] == ["job", "listener"]
