"""What a session shows of functions: faults, failing shards, stack traces with the paths of the service."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from stream_cli import private_files
from stream_cli.dev.changes import Change
from stream_cli.dev.functions import DevFunction
from stream_cli.dev.import_graph import touched_functions
from stream_cli.dev.imports import Failure, failures, place_of_rule
from stream_cli.dev.log_lines import LogFollower, LogLine, SourcePaths
from stream_cli.dev.observed import Observed, ObservedFault
from stream_cli.dev.screen import Screen
from stream_cli.dev.shards import failing_shards, untaken_events
from stream_cli.journal.writer import Writer
from stream_cli.local.cloud import LocalCloud
from stream_cli.local.state import StateFolder
from stream_cli.terminal.output import VisibleConsole

ROOT = Path(__file__).resolve().parents[5]
ARN = "arn:aws:lambda:us-east-1:000000000000:function:shop-local-job"


def function(name: str) -> DevFunction:
    return DevFunction(name, name.rpartition("-")[2], ARN, "shop.handler", {}, f"/aws/lambda/{name}", "", True)


@pytest.fixture
def service(tmp_path: Path) -> Path:
    folder = tmp_path / "my shop"
    (folder / "shop").mkdir(parents=True)
    (folder / "shop/logic.py").write_text("def answer(event):\n    return event['no']\n")
    return folder


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    return tmp_path / "a state" / "tmp"


@pytest.fixture
def state_folder(tmp_path: Path) -> StateFolder:
    made = StateFolder(tmp_path / "state")
    private_files.make_folder(made.root)
    return made


@pytest.fixture
def shown(service: Path, temporary: Path) -> tuple[Screen, io.StringIO]:
    written = io.StringIO()
    return Screen(VisibleConsole(file=written, width=200), [service], SourcePaths(temporary)), written


def test_a_stack_has_the_service_s_frames_with_its_paths_and_the_last_one(
    service: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(service)
    unpacked = f"{temporary}/streamctl-functions-a1b2_c3/{'0f' * 32}"
    stack = [
        "Traceback (most recent call last):",
        f'  File "{unpacked}/stream_runtime/engine/run.py", line 7, in run',
        "    step(uow)",
        "    ^^^^^^^^^",
        f'  File "{unpacked}/stream_runtime/engine/flow.py", line 9, in step',
        f'  File "{unpacked}/shop/logic.py", line 2, in answer',
        "    return event['no']",
        f'  File "{unpacked}/stream_runtime/payload/frozen.py", line 3, in __getitem__',
        "    return dict.__getitem__(self, name)",
        "KeyError: 'no'",
    ]
    assert SourcePaths(temporary).stack(stack, service) == [
        "Traceback (most recent call last):",
        "  ... 2 more",
        '  File "shop/logic.py", line 2, in answer',
        "    return event['no']",
        '  File "stream_runtime/payload/frozen.py", line 3, in __getitem__',
        "    return dict.__getitem__(self, name)",
        "KeyError: 'no'",
    ]


def test_failing_shards_have_their_reason_and_the_next_attempt(tmp_path: Path, shown: Any) -> None:
    soon = time.time() + 8
    failing = {
        "failures": 3, "since": 1.0, "records": 2, "number": "7", "problem": "ValueError: no", "next": soon,
        "rule": "answer-all", "event": "e1", "type": "asked", "reason": "KeyError: 'no'",
    }  # fmt: skip
    shard = {"shard": "shardId-000000000001", "behind": 3, "read_to_tip": True, "failing": failing}
    mapping = {"function": ARN, "source": "arn:aws:kinesis:us-east-1:000000000000:stream/hub"}
    waiting = {"shard": "shardId-2", "state": "waiting for its parents", "position": None, "behind": None}

    def write(**more: Any) -> None:
        shards = [{**shard, **more}, waiting]
        content = {"running": True, "updated_at": time.time(), "mappings": [{**mapping, "shards": shards}]}
        (tmp_path / "status.json").write_text(json.dumps(content))
        (tmp_path / "status.json").chmod(0o600)

    screen, written = shown
    write()
    screen.show_shards(failing_shards(tmp_path, {ARN}))
    screen.show_shards(failing_shards(tmp_path, {ARN}))  # the same is not said again
    (line,) = written.getvalue().splitlines()
    at = time.strftime("%H:%M:%S", time.localtime(soon))
    assert "✗ shop-local-job on hub: shard 1 is 3 behind: failed 3 times in a row, rule answer-all, event e1" in line
    assert line.endswith(f"KeyError: 'no'; next attempt at {at}")
    assert failing_shards(tmp_path, {"another"}) == []
    write(failing=None)
    screen.show_shards(failing_shards(tmp_path, {ARN}))
    assert "shop-local-job on hub: shard 1 goes on" in written.getvalue().splitlines()[1]


def test_events_that_no_filter_lets_through_are_told_once_for_a_type(tmp_path: Path, shown: Any) -> None:
    screen, written = shown
    stream, table = (f"arn:aws:{each}" for each in ("kinesis:us-east-1:0:stream/hub", "dynamodb:us-east-1:0:table/t"))

    def look(**counts: int) -> list[str]:
        counted = [{"type": kind, "count": count, "last": f"{kind}-{count}"} for kind, count in counts.items()]
        content = {
            "running": True, "updated_at": time.time(),
            "mappings": [{"function": ARN, "source": each, "shards": []} for each in (stream, table)],
            "streams": [{"stream": each, "unadmitted": counted} for each in (stream, table, f"{stream}2")],
        }  # fmt: skip
        (tmp_path / "status.json").write_text(json.dumps(content))
        (tmp_path / "status.json").chmod(0o600)
        before = len(written.getvalue())
        screen.show_untaken(untaken_events(tmp_path, {ARN}))
        return [each[10:] for each in written.getvalue()[before:].splitlines()]

    assert look(old=3) == [], "that was before the session"
    said = "✗ no mapping on hub lets through {}: streamctl trace {} says why"
    assert look(old=3, made=1) == [said.format("made (made-1)", "made-1")]
    assert look(old=4, made=2) == [said.format("old (old-4)", "old-4")]
    screen.forget_untaken()
    assert look(old=4, made=3) == [said.format("made (made-3)", "made-3")], "another filter is deployed"
    assert untaken_events(tmp_path, {"another"}) == {}


def test_what_fails_outside_of_the_service_s_code_has_the_place_of_its_rule(
    service: Path, shown: tuple[Screen, io.StringIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(service)
    (service / "shop/rules.py").write_text(RULES)
    screen, written = shown
    stack = 'Traceback (most recent call last):\n  File "/opt/sinks.py", line 2, in put\nTooLarge: 2000000 bytes'
    fault = ObservedFault(1, "f1", "shop-local-job", "collect-order", "TooLarge: 2000000 bytes", "asked e1", stack)
    invalid = "InvalidRule: rule 'collect-order': flavor collect has no field 'event_typ'; did you mean 'event_type'?"

    screen.fault(service, "job", fault)
    screen.fault(service, "job", replace(fault, pipeline="another"))
    screen.logged(service, LogLine(function("shop-local-job"), 1, "ERROR", invalid, stack.splitlines()))

    lines = [each[10:] for each in written.getvalue().splitlines()]
    assert lines[1] == 'shop/rules.py:5, "id": "collect-order",'
    assert [each for each in lines if "rules.py" in each] == [
        lines[1],
        'shop/rules.py:7, "event_typ": "order-submitted",',
    ]


def test_a_fault_that_a_function_publishes_several_times_at_once_is_shown_once(state_folder: StateFolder) -> None:
    journal = Writer(state_folder.journal, "emulator")
    try:
        journal.flush()
        with contextlib.closing(Observed(state_folder.journal)) as observed:
            for number, id in enumerate(("f1", "f1", "f2")):
                detail = {"id": id, "err": {"name": "KeyError"}}
                journal.put({
                    "kind": "event", "at": number, "bus": "hub", "id": f"bus-{number}", "source": "s", "type": "fault",
                    "detail": detail, "rules": [],
                })  # fmt: skip
            journal.flush()
            assert [each.id for each in observed.look().faults] == ["f1", "f2"]
    finally:
        journal.close()


def test_records_that_are_given_up_are_told(state_folder: StateFolder, shown: tuple[Screen, io.StringIO]) -> None:
    screen, written = shown
    journal = Writer(state_folder.journal, "mappings")
    try:
        journal.flush()
        with contextlib.closing(Observed(state_folder.journal)) as observed:
            journal.put({
                "kind": "given_up", "at": 1, "mapping": "u", "function": "shop-local-job", "shard": "shardId-1",
                "stream": "arn:aws:kinesis:us-east-1:0:stream/hub", "numbers": ["7", "8"], "attempts": 11,
                "condition": "RetryAttemptsExhausted", "destination": "arn:aws:sqs:us-east-1:0:failures",
            })  # fmt: skip
            journal.flush()
            (given_up,) = observed.look().given_up
            screen.gave_up(given_up)
    finally:
        journal.close()

    said = "✗ shop-local-job ← hub gives up 2 records after 11 attempts, now in the queue failures"
    assert written.getvalue()[10:].startswith(said)


def test_an_event_that_is_published_again_under_another_id_is_told_once_for_a_rule(
    state_folder: StateFolder, service: Path, shown: tuple[Screen, io.StringIO]
) -> None:
    screen, written = shown
    journal = Writer(state_folder.journal, "emulator")
    try:
        journal.flush()
        with contextlib.closing(Observed(state_folder.journal)) as observed:
            for number in (1, 2, 3):
                request, detail = f"r{number}", {"id": f"e{number}", "type": "made", "tags": {"pipeline": "make"}}
                journal.put({
                    "kind": "event", "at": number, "bus": "hub", "id": f"bus-{number}", "source": "s", "type": "made",
                    "detail": detail, "rules": [], "by": request,
                })  # fmt: skip
                journal.put({
                    "kind": "attempt", "at": number, "mapping": "u", "function": "shop-local-job", "shard": "shardId-1",
                    "stream": "arn:aws:kinesis:us-east-1:0:stream/hub", "numbers": ["7"], "attempt": number, "start": 1,
                    "outcome": "failed", "done": 0, "request": request,
                })  # fmt: skip
                journal.flush()
                observed.look()
                for found in observed.look().other_ids:
                    screen.other_id(service, found)
    finally:
        journal.close()

    first, *advice = written.getvalue().splitlines()
    assert first[10:] == "✗ rule make of shop-local-job has published made again under another id: e1, then e2"
    assert "derive the id from the event" in advice[0]
    assert len(advice) == 1


def test_each_line_of_a_log_comes_once_also_those_of_one_moment(endpoint: Any, name: str) -> None:
    logs = endpoint.client("logs")
    group, now = f"/aws/lambda/{name}", int(time.time() * 1000)
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName="a")

    def put(*messages: str) -> None:
        events = [{"timestamp": now, "message": each} for each in messages]
        logs.put_log_events(logGroupName=group, logStreamName="a", logEvents=events)

    follower = LogFollower(logs, now - 1)
    assert follower.new_lines(function("unknown")) == []
    put("START RequestId: 1", "the same", "the same", "[ERROR] KeyError: 'no'", "Traceback (most recent call last):")
    put('  File "logic.py", line 2', "REPORT RequestId: 1")
    found = follower.new_lines(function(name))
    assert [(each.level, each.text, list(each.more)) for each in found] == [
        ("", "the same", []),
        ("", "the same", []),
        ("ERROR", "KeyError: 'no'", ["Traceback (most recent call last):", '  File "logic.py", line 2']),
    ]
    put("the same", json.dumps({"level": "INFO", "message": {"a": 1}}))
    assert [(each.level, each.text) for each in follower.new_lines(function(name))] == [
        ("", "the same"),
        ("INFO", '{"a": 1}'),
    ]
    assert follower.new_lines(function(name)) == []


def test_a_fault_comes_with_its_stack(dev: Any, cloud: LocalCloud) -> None:
    folder = f"{cloud.state.temporary}/streamctl-functions-a1/{'0f' * 32}"
    name = f"{dev.service.name}-local-job"
    detail = {
        "id": "f1",
        "type": "fault",
        "tags": {"functionname": name},
        "err": {
            "name": "KeyError",
            "message": "'no'",
            "stack": f'Traceback (most recent call last):\n  File "{folder}/shop/logic.py", line 2, in answer\n',
        },
        "uow": {"pipeline": "answer-all", "event": {"id": "e1", "type": "asked"}},
    }
    entry = {"Source": "custom", "DetailType": "fault", "Detail": json.dumps(detail)}
    cloud.endpoint.client("events").put_events(Entries=[entry])
    assert dev.until(r"job +FAULT").endswith("answer-all: KeyError: 'no' (asked e1)")
    assert f'{dev.service.name}/shop/logic.py", line 2' in dev.until("File ")


RULES = """
from stream_runtime.flavors import CollectRule, collect
RULES = [
    {
        "id": "collect-order",
        "flavor": collect,
        "event_typ": "order-submitted",
    },
    CollectRule(
        id="collect-item",
        flavor=collect,
    ),
]
"""


@pytest.mark.parametrize(
    ("message", "place"),
    [
        ("rule 'collect-order': flavor collect has no field 'event_typ'; did you mean 'event_type'?", "rules.py:7"),
        ("rule 'collect-order': field 'correlation_key' is missing; flavor collect needs it", "rules.py:5"),
        ("rule 'collect-item': field 'event_type' is missing; flavor collect needs it", "rules.py:10"),
        ("rule 'another': field 'event_type' is missing", None),
        ("rule number 1 is a list; expected a dict", None),
    ],
)
def test_an_invalid_rule_has_the_place_of_the_field_or_of_the_rule(
    tmp_path: Path, message: str, place: str | None
) -> None:
    (tmp_path / "rules.py").write_text(RULES)
    (tmp_path / "broken.py").write_text("'collect-order' (")
    found = place_of_rule(tmp_path, message)
    assert (found and found[0]) == place
    assert found is None or re.search("event_typ|id", found[1])


def test_an_invalid_rule_of_a_service_is_found_before_its_functions_get_it(tmp_path: Path, endpoint: Any) -> None:
    service = tmp_path / "copy of control-service"
    without = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "services/control-service/control", service / "control", ignore=without)
    rules = service / "control/rules/trigger.py"
    variables = {"BUS_NAME": "bus", "EVENT_TABLE_NAME": "table"}
    trigger = replace(function("trigger"), handler="control/handlers/trigger.handler", environment=variables)

    def found() -> list[Failure]:
        return failures(service, [trigger, trigger], tmp_path, Path(sys.executable), endpoint)

    assert found() == []
    rules.write_text(rules.read_text().replace('"emit": to_ready', '"emmit": to_ready'))
    (failure,) = found()
    line = rules.read_text().splitlines().index('        "emmit": to_ready,') + 1
    assert (failure.place, failure.source) == (f"control/rules/trigger.py:{line}", '"emmit": to_ready,')
    assert failure.text.startswith("InvalidRule: rule 'evaluate-story': flavor evaluate has no field 'emmit'")
    assert failure.functions == ("trigger",)
    rules.write_text("import os\nos._exit(7)\n")
    assert "its import ends the process" in found()[0].text
    assert list(service.rglob("__pycache__")) == []


def test_only_functions_that_may_import_a_changed_file_are_tried() -> None:
    contents = {
        "shop/__init__.py": b"",
        "shop/handlers/job.py": b"from ..rules import job",
        "shop/handlers/listener.py": b"def handler(event, context):\n    import shop.logic.prices as prices",
        "shop/rules/__init__.py": b"",
        "shop/rules/job.py": b"from shop.logic import orders",
        "shop/logic/orders.py": b"",
        "shop/logic/prices.py": b"",
    }
    functions = [replace(function(each), handler=f"shop/handlers/{each}.handler") for each in ("job", "listener")]

    def touched(*changed: str, more: dict[str, bytes] | None = None) -> list[str]:
        change = Change(code=frozenset(changed))
        return [each.short_name for each in touched_functions(functions, change, {**contents, **(more or {})})]

    assert touched("shop/logic/orders.py") == ["job"]
    assert touched("shop/logic/prices.py") == ["listener"]
    assert touched("shop/rules/__init__.py", "shop/handlers/listener.py") == ["job", "listener"]
    assert touched("shop/__init__.py") == ["job", "listener"]
    assert touched("shop/logic/unused.py") == []
    assert touched("shop/logic/unused.py", more={"shop/a.py": b"import importlib"}) == ["job", "listener"]
