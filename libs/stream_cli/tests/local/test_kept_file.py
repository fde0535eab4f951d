"""The file in which a local cloud keeps its state: what was written is there again, and what is wrong is told."""

from __future__ import annotations

import contextlib
import os
import pickle
import random
import resource
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stream_cli.errors import CommandError
from stream_cli.local.emulator.kept.containers import Kept, KeptDict, LogStreams, Messages, Tail
from stream_cli.local.kept_file import FILE, LOG, Change, KeptFile, kept_port, written

MADE_BY = {"ministack": "1"}
PLACE = ("items", ("000000000000", "us-east-1", "table"))


def opened(folder: Path) -> KeptFile:
    return KeptFile(folder, MADE_BY)


def content(file: KeptFile) -> dict[tuple[Any, Any], Any]:
    return {(row.place, row.key): row.value for row in file.rows()}


def test_what_was_written_is_there_again_in_order(tmp_path: Path) -> None:
    file = opened(tmp_path / "kept")
    file.write([Change(PLACE, n, written({"n": n})) for n in (300, 2, 70_000)])
    file.write([Change(PLACE, ("pk", None), written(b"\x00")), Change(PLACE, 2, None)])
    file.close()
    again = opened(tmp_path / "kept")
    rows = [(row.key, row.value) for row in again.rows()]
    assert rows == [(300, {"n": 300}), (70_000, {"n": 70_000}), (("pk", None), b"\x00")]
    again.write([Change(PLACE, None, None), Change(("other",), 1, written("x"))])
    assert content(again) == {(("other",), 1): "x"}


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    file = opened(tmp_path / "kept")
    file.write([Change(PLACE, 1, written(1))])
    for each in [tmp_path / "kept", *(tmp_path / "kept").iterdir()]:
        assert stat.S_IMODE(each.stat().st_mode) & 0o077 == 0, each


@contextlib.contextmanager
def no_room(file: KeptFile, more: int = 0) -> Iterator[None]:
    """The log may grow by a few bytes only."""
    before, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file._log.size + more, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, hard))


@pytest.mark.parametrize("more", [0, 5, 50])
def test_changes_are_made_together_or_not_at_all(tmp_path: Path, more: int) -> None:
    file = opened(tmp_path / "kept")
    changes = [Change(PLACE, 1, written(1)), Change(("new",), 2, written(2)), Change(PLACE, (), written("x" * 1000))]
    with no_room(file, more), pytest.raises(OSError, match="File too large"):
        file.write(changes)
    assert content(file) == {}
    file.write([Change(("new",), 2, written(2))])
    assert content(file) == {(("new",), 2): 2}
    file.write([Change(PLACE, 1, written(1))])
    file.close()
    assert content(opened(tmp_path / "kept")) == {(("new",), 2): 2, (PLACE, 1): 1}


def test_what_does_not_fit_into_the_rows_stays_in_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream_cli.local.kept_file._LOG_BYTES", 100_000)
    file = opened(tmp_path / "kept")
    (pages,) = file._database.execute("PRAGMA page_count").fetchone()
    file._database.execute(f"PRAGMA max_page_count = {pages}")
    file.write([Change(PLACE, 1, written("x" * 100_000))])
    with pytest.raises(sqlite3.Error, match="full"):
        file.write([Change(PLACE, 2, written(2))])
    file._database.execute("PRAGMA max_page_count = 1000000")
    file.write([Change(PLACE, 3, written(3))])
    assert [row.key for row in file.rows()] == [1, 3]


def test_a_transaction_is_one_call_of_the_kernel_and_what_came_and_went_is_in_no_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, statements, calls, write = opened(tmp_path / "kept"), list[str](), list[int](), os.write
    file._database.set_trace_callback(statements.append)
    monkeypatch.setattr(os, "write", lambda file, data: calls.append(len(data)) or write(file, data))
    messages = Messages(PLACE, list[Kept]().append)
    for n in range(1000):
        messages.append({"id": f"m{n}", "body": "x" * 100})
        file.write(messages.changes())
        del messages[0]
        file.write(messages.changes())
    messages.append({"id": "last"})
    file.write(messages.changes())
    assert (len(calls), statements) == (2001, [])
    assert [row.value for row in file.rows()] == [{"id": "last"}]
    assert sum(text.startswith("INSERT OR REPLACE INTO rows") for text in statements) == 1
    file.close()
    assert b"x" * 100 not in (tmp_path / "kept" / FILE).read_bytes()


def test_what_is_not_whole_at_the_end_of_the_log_is_left_out(tmp_path: Path) -> None:
    file = opened(tmp_path / "kept")
    file.write([Change(PLACE, 1, written("one"))])
    whole = file._log.size
    file.write([Change(PLACE, 2, written("two"))])
    file.close()
    log = tmp_path / "kept" / LOG
    content_of_log = log.read_bytes()
    torn = [content_of_log[:end] for end in range(whole, len(content_of_log))]
    damaged = [content_of_log[:-1] + b"x", content_of_log[:whole] + bytes(100)]
    before = (tmp_path / "kept" / FILE).read_bytes()
    for left in [*torn, *damaged]:
        log.write_bytes(left)
        (tmp_path / "kept" / FILE).write_bytes(before)
        file = opened(tmp_path / "kept")
        file.write([Change(PLACE, 3, written("three"))])
        assert [row.value for row in file.rows()] == ["one", "three"]
        file.close()


def test_the_log_is_taken_once_also_when_it_could_not_be_emptied(tmp_path: Path) -> None:
    file = opened(tmp_path / "kept")
    file.write([Change(PLACE, 1, written("old"))])
    log = (tmp_path / "kept" / LOG).read_bytes()
    assert content(file) == {(PLACE, 1): "old"}
    file.close()
    (tmp_path / "kept" / LOG).write_bytes(log)  # killed before it was emptied
    file = opened(tmp_path / "kept")
    file.write([Change(PLACE, 1, written("new"))])
    assert content(file) == {(PLACE, 1): "new"}
    file.close()
    (tmp_path / "kept" / LOG).write_bytes(log)
    with pytest.raises(CommandError, match=r"is not the log of this file.*--fresh"):
        opened(tmp_path / "kept")


@pytest.mark.parametrize("at", ["head", "rows"])
def test_a_damaged_file_is_told_of_and_left_as_it_is(tmp_path: Path, at: str) -> None:
    file = opened(tmp_path / "kept")
    file.write([Change(PLACE, n, written("a value that can be found" * 20)) for n in range(100)])
    assert len(content(file)) == 100
    file.close()
    path = tmp_path / "kept" / FILE
    damaged = bytearray(path.read_bytes())
    place = 0 if at == "head" else damaged.index(b"a value that can be found")
    damaged[place : place + 5] = b"xxxxx"
    path.write_bytes(damaged)
    with pytest.raises(CommandError, match=r"cannot be read.*--fresh") as told:
        list(opened(tmp_path / "kept").rows())
    assert str(path) in str(told.value)
    assert path.read_bytes() == damaged


def test_another_version_is_told_of(tmp_path: Path) -> None:
    file = opened(tmp_path / "kept")
    file.note({"port": 4566})
    file.close()
    assert kept_port(tmp_path / "kept", MADE_BY) == 4566
    assert kept_port(tmp_path / "none", MADE_BY) is None
    for about in ({"ministack": "2"}, {"format": 0}):
        with pytest.raises(CommandError, match=r"this version works with .*--fresh"):
            kept_port(tmp_path / "kept", {**MADE_BY, **about})


def test_a_value_that_would_run_code_is_damage(tmp_path: Path) -> None:
    file = opened(tmp_path / "kept")
    file.write([Change(PLACE, 1, pickle.dumps(print))])
    with pytest.raises(CommandError, match="no plain value"):
        list(file.rows())


def kept(file: KeptFile, container: Kept) -> None:
    file.write(container.changes())


def test_a_dict_is_kept_whatever_is_done_to_it(tmp_path: Path) -> None:
    chance, file, told = random.Random(1), opened(tmp_path / "kept"), list[Kept]()
    found = KeptDict(PLACE, told.append, {"first": 0})
    file.write(found.anew())
    for n in range(300):
        key = f"key-{chance.randrange(20)}"
        match chance.randrange(7):
            case 0:
                found[key] = n
            case 1:
                found.pop(key, None)
            case 2:
                found.update({key: [n], "more": n})
            case 3:
                found.setdefault(key, {"n": 0})
            case 4 if key in found:
                del found[key]
            case 5 if isinstance(found.get(key), list):
                found[key].append(n)
                found.touch(key)
            case 6 if n % 50 == 0:
                found.clear()
        if chance.random() < 0.5:
            kept(file, found)
            assert {key: value for (_, key), value in content(file).items()} == found
    assert told


def test_a_new_log_is_one_row_without_its_lines(tmp_path: Path) -> None:
    known = dict[str, Any]()
    logs = LogStreams(
        PLACE, list[Kept]().append, {"first": {"events": ["a line"], "creationTime": 1}}, known.__setitem__
    )
    assert [change.key for change in logs.anew()] == [None, "first"]
    logs.setdefault("second", {"events": ["another"], "creationTime": 2})
    (change,) = logs.changes()
    assert (change.key, change.value) == ("second", written({"events": [], "creationTime": 2}))
    assert known == logs


def test_messages_are_kept_in_their_order_whatever_is_done_to_them(tmp_path: Path) -> None:
    chance, file = random.Random(2), opened(tmp_path / "kept")
    messages, told = Messages(PLACE, list[Kept]().append), list[Kept]()
    file.write(messages.anew())
    for n in range(400):
        match chance.randrange(6):
            case 0 | 1:
                messages.append({"id": f"m{n}", "receive_count": 0})
            case 2 if messages:
                found = chance.choice(messages)
                found["receive_count"] += 1
                messages.touch(found)
            case 3 if messages:
                del messages[chance.randrange(len(messages))]
            case 4 if messages:
                left = [message for message in messages if chance.random() < 0.8]
                messages = Messages(PLACE, told.append, left, messages)
            case 5 if n % 40 == 0:
                messages.clear()
        if chance.random() < 0.5:
            kept(file, messages)
            assert [row.value for row in file.rows()] == messages
    again = Messages(PLACE, told.append)
    kept(file, messages)
    for row in file.rows():
        again.kept_as(row.key, row.value)
    again.append({"id": "last"})
    kept(file, again)
    assert [row.value for row in file.rows()] == again


def test_the_end_of_a_list_is_kept_and_what_has_expired_at_its_beginning_goes(tmp_path: Path) -> None:
    chance, file = random.Random(3), opened(tmp_path / "kept")
    tail, records = Tail(PLACE), list[dict[str, int]]()
    for n in range(400):
        match chance.randrange(4):
            case 0 | 1:
                records += [{"n": n, "of": m} for m in range(chance.randrange(4))]
            case 2:
                del records[: chance.randrange(len(records) + 1) // 4]
            case 3 if n % 50 == 0:
                records = [{"n": n, "of": 0}]
        file.write(tail.changes(records))
        there = [record for row in file.rows() for record in row.value]
        # A row goes when all in it has expired.
        assert there[len(there) - len(records) :] == records
        assert len(there) - len(records) < 4
        if chance.random() < 0.1:
            tail, records = Tail(PLACE), []
            for row in file.rows():
                tail.kept_as(row.key, row.value, records)
