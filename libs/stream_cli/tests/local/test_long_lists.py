"""Lists of which only the end is in memory are lists like others."""

from __future__ import annotations

import json
import random
import tempfile
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from stream_cli.local.emulator import long_lists
from stream_cli.local.emulator.kept.containers import Tail
from stream_cli.local.emulator.long_lists import CHUNK, LongList
from stream_cli.local.kept_file import KeptFile


def test_it_is_a_list_whatever_is_done_to_it() -> None:
    chance, long, short = random.Random(1), LongList(), list[Any]()
    for n in range(600):
        match chance.randrange(6):
            case 0 | 1 | 2:
                new = [{"n": n, "of": m} for m in range(chance.randrange(40))]
                long.extend(new)
                short += new
            case 3:
                gone = chance.randrange(len(short) // 3 + 1)
                del long[:gone]
                del short[:gone]
            case 4 if short:
                first = chance.randrange(len(short))
                last = first + chance.randrange(300)
                assert long[first:last] == short[first:last]
                assert (long[first], long[-1], long[0]) == (short[first], short[-1], short[0])
            case 5 if n % 100 == 5:
                long.clear()
                short.clear()
        assert len(long) == len(short)
    assert short
    assert list(long) == short
    with pytest.raises(IndexError):
        long[len(short)]
    with pytest.raises(IndexError):
        del long[1:2]


def test_elements_are_read_as_they_were_whatever_is_in_them() -> None:
    deep: Any = "end"
    for _ in range(100):
        deep = {"M": [deep]}
    for of in (deep, Decimal("1.50"), datetime(2030, 1, 2, tzinfo=UTC), {"S": "\ud800", "B": b"\0", "N": 2**70}):
        long = LongList({"n": n, "of": of} for n in range(3 * CHUNK))
        assert list(long) == [{"n": n, "of": of} for n in range(3 * CHUNK)]


def in_memory(long: LongList) -> int:
    return len(long._end) + sum(len(elements) for _, elements in long._read)


def test_of_however_many_elements_four_chunks_are_in_memory_at_most() -> None:
    long = LongList({"n": n} for n in range(20_000))
    assert all(element == {"n": n} for n, element in enumerate(long))
    assert in_memory(long) <= 4 * CHUNK
    assert all(chunk.content == b"" for chunk in long._chunks)


def test_the_file_goes_with_what_is_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_lists, "_FILE_BYTES", 10_000)
    long = LongList({"n": n, "text": "x" * 100} for n in range(10_000))
    files = {chunk.file for chunk in long._chunks}
    assert len(files) > 10
    del long[:9_000]
    assert len({chunk.file for chunk in long._chunks}) < 6


def test_what_cannot_be_written_stays_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: Any) -> Any:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "TemporaryFile", full)
        long = LongList({"n": n} for n in range(1_000))
    long.extend({"n": n} for n in range(1_000, 2_000))
    assert [element["n"] for element in long] == list(range(2_000))


def test_the_end_of_a_long_list_is_kept_once(tmp_path: Path) -> None:
    chance, file, n = random.Random(4), KeptFile(tmp_path / "kept", {}), 0
    tail, records, written = Tail(("records",)), LongList(), 0
    for turn in range(200):
        new = range(n, n + chance.randrange(700 if turn % 20 == 0 else 9))
        records.extend({"n": each} for each in new)
        n += len(new)
        del records[: chance.randrange(len(records) // 8 + 1)]
        changes = list(tail.changes(records))
        written += sum(change.value is not None for change in changes)
        file.write(changes)
        there = [record for row in file.rows() for record in row.value]
        assert there[len(there) - len(records) :] == list(records)
        if chance.random() < 0.1:
            tail, records = Tail(("records",)), LongList()
            for row in file.rows():
                tail.kept_as(row.key, row.value, records)
    assert written <= 200


def test_an_archive_loses_what_is_older_than_its_retention(monkeypatch: pytest.MonkeyPatch) -> None:
    from ministack.services import dynamodb, eventbridge, kinesis

    now = 1_000_000_000
    monkeypatch.setattr(eventbridge, "_now_ts", lambda: now)
    for module, name in ((eventbridge, "_archive_event"), (eventbridge, "_describe_archive")):
        monkeypatch.setattr(module, name, getattr(module, name))
    monkeypatch.setattr(kinesis, "_expire_records", kinesis._expire_records)
    monkeypatch.setattr(dynamodb._stream_records, "_data", {})
    long_lists.patch()
    archive = {"EventSourceArn": "another bus", "RetentionDays": 2, "EventCount": 3}
    archive["Events"] = [{"Time": now - days * 86_400} for days in (3, 2, 0)]
    monkeypatch.setattr(eventbridge, "_archives", {"archive": archive})
    eventbridge._archive_event({"EventBusName": "bus"})
    assert ([event["Time"] for event in archive["Events"]], archive["EventCount"]) == ([now - 2 * 86_400, now], 2)
    described = json.loads(eventbridge._describe_archive({"ArchiveName": "archive"})[2])
    assert described == {"EventSourceArn": "another bus", "RetentionDays": 2, "EventCount": 2}
