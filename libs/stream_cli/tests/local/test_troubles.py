"""What fails again and again, or is taken by nothing, is told once and shown with its counts."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from stream_cli import private_files
from stream_cli.journal import index
from stream_cli.journal.answers import Journal
from stream_cli.journal.writer import Writer
from stream_cli.local.state import StateFolder
from stream_cli.local.troubles import Troubles

STREAM = "arn:aws:kinesis:us-east-1:0:stream/hub"


@pytest.fixture
def state(tmp_path: Path) -> StateFolder:
    made = StateFolder(tmp_path / "state")
    private_files.make_folder(made.root)
    private_files.make_folder(made.mappings)
    return made


@pytest.fixture
def troubles(state: StateFolder) -> Iterator[Troubles]:
    with contextlib.closing(Troubles(state)) as made:
        yield made


def shard(failures: int = 0, **fields: Any) -> dict[str, Any]:
    failing = {
        "failures": failures, "since": 0.0, "records": 2, "number": "7", "problem": "reported 7", "next": 60.0,
        "rule": "settle", "event": "e1", "type": "item-made", "operation": "UpdateItem", "target": "items",
    }  # fmt: skip
    return {
        "shard": "shardId-1", "state": "open", "behind": 2, "oldest_arrival": None, "in_flight": 0, "processed": 3,
        "given_up": 0, "invocations": 3, "filtered": 0, "last_outcome": "ok", "last_filtered": None,
        "failing": failing if failures else None, **fields,
    }  # fmt: skip


def write(state: StateFolder, *shards: dict[str, Any], problem: str | None = None, **counts: int) -> None:
    mapping = {
        "uuid": "u", "function": "arn:aws:lambda:us-east-1:0:function:listener", "source": STREAM, "enabled": True,
        "problem": problem, "shards": list(shards),
    }  # fmt: skip
    unadmitted = [{"type": kind.replace("_", "-"), "count": count, "last": "e9"} for kind, count in counts.items()]
    status = {
        "endpoint": "e", "endpoint_problem": None, "pid": 1, "running": True, "speed": 1, "updated_at": time.time(),
        "mappings": [mapping], "streams": [{"stream": STREAM, "unadmitted": unadmitted}] if unadmitted else [],
    }  # fmt: skip
    private_files.write(state.mappings / "status.json", json.dumps(status).encode())


def event(number: int, kind: str, *rules: str) -> dict[str, Any]:
    return {
        "kind": "event", "at": number, "bus": "hub", "id": f"bus-{number}", "source": "s", "type": kind,
        "detail": {"id": f"e{number}", "type": kind}, "rules": [{"rule": rule, "targets": []} for rule in rules],
    }  # fmt: skip


def test_a_mapping_is_told_at_its_second_failure_in_a_row_and_whenever_they_have_doubled(
    state: StateFolder, troubles: Troubles
) -> None:
    said = []
    for failures in (1, 2, 3, 4, 5, 7, 8, 9, 0, 0, 1, 2):
        write(state, shard(failures))
        said.append(list(troubles.new()))

    assert [place for place, lines in enumerate(said) if lines] == [1, 3, 6, 8, 11]
    assert said[1][0].startswith(
        "listener ← hub failed 2 times in a row, rule settle, event e1 (item-made), UpdateItem on items: reported 7; "
    )
    assert said[8] == ["listener ← hub goes on; its last outcome is ok"]


def test_a_type_that_no_mapping_lets_through_is_told_once(state: StateFolder, troubles: Troubles) -> None:
    write(state, shard(), item_made=1)
    assert list(troubles.new()) == ["no mapping on hub lets through item-made (such as e9)"]
    write(state, shard(), item_made=500, item_lost=1)
    assert list(troubles.new()) == ["no mapping on hub lets through item-lost (such as e9)"]

    assert troubles.lines() == [
        "no mapping on hub lets through item-made: 500 records so far, the last one e9",
        "no mapping on hub lets through item-lost: 1 record so far, the last one e9",
    ]


def test_filters_that_let_nothing_through_are_told_once_there_are_many_such_records(
    state: StateFolder, troubles: Troubles
) -> None:
    idle = {"behind": 0, "processed": 0, "invocations": 0, "last_filtered": {"id": "e1", "type": "item-made"}}
    said = []
    for filtered in (0, 19, 20, 40):
        write(state, shard(filtered=filtered, **idle))
        said += troubles.new()

    assert said == ["listener ← hub: its filters have let through none of 20 records; the last one was e1 (item-made)"]


def test_a_mapping_that_is_not_read_says_why(state: StateFolder, troubles: Troubles) -> None:
    write(state, problem="invalid filter pattern: data")

    assert list(troubles.new()) == ["listener ← hub: invalid filter pattern: data"] == troubles.lines()
    assert list(troubles.new()) == []


def test_events_that_no_rule_takes_are_told_once_for_a_type_and_counted(state: StateFolder, troubles: Troubles) -> None:
    journal = Writer(state.journal, "emulator")
    try:
        journal.put(event(1, "item-lost"))
        journal.put(event(2, "item-made", "all"))
        journal.flush()
        assert list(troubles.new()) == ["no rule of the bus hub takes item-lost (such as e1)"]
        for number, kind in enumerate(["item-lost", "item-odd", "item-odd", "item-lost"], start=3):
            journal.put(event(number, kind))
        journal.put(event(7, "item-made", "all"))
        journal.flush()
        assert list(troubles.new()) == ["no rule of the bus hub takes item-odd (such as e4)"]
        assert list(troubles.new()) == []
    finally:
        journal.close()

    assert troubles.lines() == [
        "no rule of the bus hub takes item-lost: 3 events so far, the last one e6",
        "no rule of the bus hub takes item-odd: 2 events so far, the last one e5",
    ]


def test_a_journal_that_cannot_be_read_is_told_once_and_ends_nothing(
    state: StateFolder, troubles: Troubles, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(*_: Any) -> Any:
        raise sqlite3.OperationalError("database is locked")

    private_files.make_folder(state.journal)
    monkeypatch.setattr(Journal, "traffic", locked)

    assert list(troubles.new()) == ["what goes wrong in this cloud cannot be read: database is locked"]
    assert list(troubles.new()) == []


def delivery(at: int, attempts: int, outcome: str) -> dict[str, Any]:
    return {
        "kind": "delivery", "at": at, "bus": "hub", "rule": "all", "target": STREAM, "id": f"bus-{at}",
        "outcome": outcome, "problem": "ResourceNotFoundException", "attempts": attempts,
    }  # fmt: skip


def test_a_target_of_a_rule_that_takes_nothing_is_told_from_the_second_attempt_on(
    state: StateFolder, troubles: Troubles
) -> None:
    journal = Writer(state.journal, "deliveries")
    try:
        said = [*troubles.new()]
        for line in (delivery(1, 1, "failed"), delivery(2, 2, "failed"), delivery(3, 3, "failed")):
            journal.put(line)
            journal.flush()
            said += troubles.new()
        journal.put(delivery(4, 4, "given_up"))
        journal.flush()
        said += troubles.new()
    finally:
        journal.close()

    about = "rule all of the bus hub to stream/hub: "
    assert said == [
        f"{about}ResourceNotFoundException, at attempt 2",
        f"{about}ResourceNotFoundException; the event is given up",
    ]
    assert troubles.lines() == [f"{about}4 deliveries have failed, 1 event given up"]


def given_up(at: int, *numbers: str, **fields: str) -> dict[str, Any]:
    return {
        "kind": "given_up", "at": at, "mapping": "u", "function": "listener", "stream": STREAM, "shard": "shardId-1",
        "numbers": list(numbers), "condition": "RetryAttemptsExhausted", "attempts": 11, **fields,
    }  # fmt: skip


def test_records_that_a_mapping_gives_up_are_told_with_where_they_are_now_and_counted(
    state: StateFolder, troubles: Troubles
) -> None:
    write(state, shard())
    journal = Writer(state.journal, "mappings")
    try:
        said = [*troubles.new()]
        for line in (given_up(1, "7", destination="arn:aws:sqs:us-east-1:0:failures"), given_up(2, "8", "9")):
            journal.put(line)
            journal.flush()
            said += troubles.new()
    finally:
        journal.close()

    assert said == [
        "listener ← hub gives up 1 record after 11 attempts, now in the queue failures; its log says why: "
        "streamctl logs listener",
        "listener ← hub gives up 2 records after 11 attempts, and nothing keeps them; its log says why: "
        "streamctl logs listener",
    ]
    assert troubles.lines() == ["listener ← hub: 3 records given up"]


def call(at: int, function: str, outcome: str, source: str = "") -> dict[str, Any]:
    return {
        "kind": "call", "at": at, "function": function, "request": f"r-{at}", "start": at, "end": at + 1,
        "outcome": outcome, **({"source": source} if source else {}),
    }  # fmt: skip


def test_a_function_that_fails_without_a_mapping_that_tells_it_is_told_once_and_counted(
    state: StateFolder, troubles: Troubles
) -> None:
    write(state, shard())
    journal = Writer(state.journal, "emulator")
    try:
        said = [*troubles.new()]
        for line in (call(1, "rest", "ok"), call(2, "rest", "failed"), call(3, "listener", "failed", STREAM)):
            journal.put(line)
        journal.put(call(4, "rest", "failed"))
        journal.flush()
        said += [*troubles.new(), *troubles.new()]
    finally:
        journal.close()

    assert said == ["rest failed; its log says why: streamctl logs rest"]
    assert troubles.lines() == ["rest: 2 of 3 invocations failed; its log says why: streamctl logs rest"]


def test_faults_are_counted_each_once_and_those_that_nothing_keeps(state: StateFolder, troubles: Troubles) -> None:
    def published(*lines: dict[str, Any]) -> None:
        journal = Writer(state.journal, "emulator")
        for line in lines:
            journal.put(line)
        journal.close()

    published(event(1, "fault", "faults"), event(2, "fault", "faults"), event(1, "fault", "faults"))
    assert troubles.lines() == ["2 faults on the bus; `streamctl faults ls` lists them"]

    published(event(3, "fault"))
    assert troubles.lines()[-1] == (
        "3 faults on the bus, of which nothing keeps 1 (event-fault-monitor is not deployed, or was not): "
        "`streamctl trace ID` shows each, such as e3"
    )


def test_before_anything_runs_there_is_nothing_to_tell(state: StateFolder, troubles: Troubles) -> None:
    assert (list(troubles.new()), troubles.lines()) == ([], [])


def test_that_the_journal_cannot_be_written_is_told_while_the_disk_is_full_and_counted_afterwards(
    state: StateFolder, troubles: Troubles, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(state, shard())
    with contextlib.closing(Writer(state.journal, "emulator")) as journal:
        journal.put(event(1, "item-made", "all"))
        journal.flush()
        assert (list(troubles.new()), troubles.lines()) == ([], [])
        with monkeypatch.context() as full:

            def no_room(*_: Any) -> int:
                raise OSError(errno.ENOSPC, "No space left on device")

            full.setattr(os, "write", no_room)
            full.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=1, f_frsize=4096))
            for number in (2, 3):
                journal.put(event(number, "item-made", "all"))
            journal.flush()
            told = f"the disk of {state.journal} is full, so that the journal misses what happens now"
            assert (list(troubles.new()), list(troubles.new()), troubles.lines()) == ([told], [], [told])
        journal.put(event(4, "item-made", "all"))
        journal.flush()
        told = "2 lines of the journal could not be written; trace and console do not know what was in them"
        assert (list(troubles.new()), list(troubles.new()), troubles.lines()) == ([told], [], [told])


def test_an_index_that_cannot_be_written_ends_no_cloud_and_is_told_beside_the_rest(
    state: StateFolder, troubles: Troubles, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    write(state, shard(3))
    with contextlib.closing(Writer(state.journal, "emulator")) as journal:
        journal.put(event(1, "item-lost"))
    monkeypatch.setattr(index, "read_file", full)
    (failing, *said), (listed, *shown) = list(troubles.new()), troubles.lines()
    assert "failed 3 times in a row" in failing
    assert "failed 3 times in a row" in listed
    (told,) = said
    assert told.startswith("what goes wrong in this cloud cannot be read: The index of the journal in ")
    assert shown == said
    assert list(troubles.new()) == []
