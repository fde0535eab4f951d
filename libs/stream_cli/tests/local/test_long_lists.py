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
from stream_cli.local.emulator import log_events, long_lists
from stream_cli.local.emulator.kept.containers import Tail
from stream_cli.local.emulator.long_lists import CHUNK, LongList
from stream_cli.local.kept_file import KeptFile, written


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


@pytest.fixture
def logs(monkeypatch: pytest.MonkeyPatch) -> Any:
    """ministack's logs, with one group and stream, as `log_events` leaves them."""
    from ministack.services import cloudwatch_logs

    for name in log_events.INTERNALS["ministack.services.cloudwatch_logs"]:
        monkeypatch.setattr(cloudwatch_logs, name, getattr(cloudwatch_logs, name))
    monkeypatch.setattr(cloudwatch_logs, "_log_groups", type(cloudwatch_logs._log_groups)())
    log_events.patch()
    cloudwatch_logs._create_log_group({"logGroupName": "group"})
    cloudwatch_logs._create_log_stream({"logGroupName": "group", "logStreamName": "stream"})
    return cloudwatch_logs


def lines_from(first: int, count: int) -> list[dict[str, Any]]:
    return [{"timestamp": n, "message": f"line {n}", "ingestionTime": n} for n in range(first, first + count)]


def page(logs: Any, **request: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """A page of FilterLogEvents, and what asks for the next one; nothing if there is none."""
    answer = json.loads(logs._filter_log_events({"logGroupName": "group", **request})[2])
    token = answer.get("nextToken")
    return answer["events"], {} if token is None else {**request, "nextToken": token}


def filtered(logs: Any, **request: Any) -> list[dict[str, Any]]:
    """The events of all pages."""
    found, more = page(logs, **request)
    while more:
        events, more = page(logs, **more)
        found += events
    return found


def test_most_events_of_a_log_are_in_a_file_and_are_read_as_ever(logs: Any) -> None:
    stream = logs._log_groups["group"]["streams"]["stream"]
    for first in range(0, 12_000, 3):
        logs._append_log_events(stream, lines_from(first, 3))

    found = filtered(logs)
    assert [event["message"] for event in found] == [f"line {n}" for n in range(12_000)]
    assert len({event["eventId"] for event in found}) == 12_000
    assert in_memory(stream["events"]) <= 4 * CHUNK

    window = filtered(logs, startTime=100, endTime=5_000, filterPattern="line", limit=7)
    assert window == found[100:5_001]
    record = json.loads(logs._get_log_record({"logRecordPointer": found[700]["eventId"]})[2])["logRecord"]
    assert record["@message"] == "line 700"


def test_events_that_come_late_are_in_the_order_of_time_and_in_the_file(logs: Any) -> None:
    stream = logs._log_groups["group"]["streams"]["stream"]
    logs._append_log_events(stream, lines_from(1_000, 1_000))
    tail = Tail(("lines",))
    assert len(list(tail.changes(stream["events"]))) == 1

    logs._append_log_events(stream, lines_from(0, 1_000))

    all_are_kept_anew = [change.value for change in tail.changes(stream["events"])]
    assert all_are_kept_anew == [None, written(list(stream["events"]))]
    assert [event["timestamp"] for event in filtered(logs)] == list(range(2_000))
    assert in_memory(stream["events"]) <= 4 * CHUNK
    (stream,) = json.loads(logs._describe_log_streams({"logGroupName": "group"})[2])["logStreams"]
    assert (stream["firstEventTimestamp"], stream["lastEventTimestamp"]) == (0, 1_999)


def test_an_event_keeps_its_id_and_a_reader_its_place_when_others_come_late(logs: Any) -> None:
    logs._create_log_stream({"logGroupName": "group", "logStreamName": "a stream before"})
    streams = logs._log_groups["group"]["streams"]
    for n in range(0, 40, 2):
        # Two at the same time in each stream: order is not by the timestamp alone.
        logs._append_log_events(streams["stream" if n % 4 else "a stream before"], lines_from(n, 1) * 2)
    before = filtered(logs)

    read, more = page(logs, limit=11)
    while more:
        last = read[-1]["timestamp"]
        logs._append_log_events(streams["stream"], lines_from(last - 3, 3))  # which this reader has passed
        events, more = page(logs, **more)
        read += events

    assert read == before
    ids = [event["eventId"] for event in before]
    now = filtered(logs)
    assert [event["eventId"] for event in now if event["eventId"] in ids] == ids
    assert len({event["eventId"] for event in now}) == len(now) > len(before)
    assert [event["timestamp"] for event in now] == sorted(event["timestamp"] for event in now)
