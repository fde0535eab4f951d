"""The writer of a journal: a full disk, a crash or too much of it costs lines, which are counted, and nothing else."""

import errno
import json
import logging
import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import orjson
import pytest
from stream_cli.journal.answers import Journal
from stream_cli.journal.files import files_in
from stream_cli.journal.index import VERSION
from stream_cli.journal.writer import Writer
from stream_cli.private_files import NotPrivate


def message(number: int, **more: Any) -> dict[str, Any]:
    return {"kind": "message", "at": number, "to": "queue", "id": str(number), **more}


def ids(folder: Path) -> list[int]:
    journal = Journal(folder)
    found = [int(line["id"]) for line in journal.messages(limit=100_000).lines]
    journal.close()
    return found[::-1]


def coverage(folder: Path) -> Any:
    journal = Journal(folder)
    found = journal.coverage()
    journal.close()
    return found


def test_only_their_owner_can_read_files_and_index(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    writer = Writer(folder, "emulator")
    writer.put(message(1))
    writer.flush()
    reader = Journal(folder)
    assert reader.messages().lines
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert set(modes.values()) == {0o600}
    assert {"emulator-001.jsonl", f"index-{VERSION}-1.db", f"index-{VERSION}-1.db-wal", "index.lock"} <= modes.keys()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    writer.close()
    reader.close()


def test_lines_that_come_while_others_are_written_wait_for_no_later_one(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "journal", "emulator")
    for number, pause in enumerate([0.0, 0.02, 0.11, 0.13, 0.26, 0.36, 0.0]):
        time.sleep(pause)  # before, while and after the thread gathers, writes and ends to look
        writer.put(message(number))
    deadline = time.monotonic() + 10
    while ids(tmp_path / "journal") != [*range(7)]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    writer.close()


def test_a_link_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "journal").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NotPrivate):
        Writer(tmp_path / "journal", "emulator")


def test_a_line_is_written_as_it_was_put(tmp_path: Path) -> None:
    writer, line = Writer(tmp_path / "journal", "emulator"), message(1)
    writer.put(line)
    line["id"] = "changed"
    writer.close()
    assert ids(tmp_path / "journal") == [1]


def test_lines_that_take_time_are_made_by_the_thread_and_cost_nothing_else_if_they_cannot_be(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made_by = []

    def make() -> list[dict[str, Any]]:
        made_by.append(threading.current_thread().name)
        return [message(1), message(2)]

    writer = Writer(tmp_path / "journal", "emulator")
    writer.put(make)
    writer.put(lambda: [message(3), message(4), 1 / 0])
    cycle: list[Any] = []
    cycle.append(cycle)
    writer.put(message(5, cycle=cycle))
    writer.put(message(6))
    writer.close()
    assert made_by == ["journal"]
    assert (ids(tmp_path / "journal"), coverage(tmp_path / "journal").lost) == ([1, 2, 6], 2)
    assert caplog.records[0].getMessage().startswith("The journal of this cloud cannot be written")


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (orjson.Fragment('{\n "a":\n 1}'), {"a": 1}),
        (1 << 70, 1 << 70),
        ("\ud800", "\ud800"),
        (b"bytes", "b'bytes'"),
        ({1, 2}, "{1, 2}"),
        ({"old": [orjson.Fragment("[1]"), 1 << 70]}, {"old": [[1], 1 << 70]}),
    ],
)
def test_whatever_a_line_is_made_of_it_is_one_line(tmp_path: Path, value: Any, read: Any) -> None:
    writer = Writer(tmp_path / "journal", "emulator")
    writer.put(message(1, value=value))
    writer.put(message(2))
    writer.close()
    assert ids(tmp_path / "journal") == [1, 2]
    journal = Journal(tmp_path / "journal")
    assert journal.messages(id="1").lines[0]["value"] == read  # type: ignore[typeddict-item]


def test_lines_that_come_together_are_written_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = Writer(tmp_path / "journal", "emulator")
    writes = []
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, content: writes.append(content) or write(descriptor, content))
    with writer._writing:  # the thread waits here
        for number in range(1_000):
            writer.put(message(number))
    writer.close()
    assert len(writes) <= 2
    assert ids(tmp_path / "journal") == [*range(1_000)]


def test_a_full_disk_is_told_once_counted_and_gone_on_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "journal"
    writer = Writer(folder, "emulator")
    writer.put(message(0))
    writer.flush()
    write, room = os.write, [60]

    def full(descriptor: int, content: bytes) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = write(descriptor, content[: room[0]])
        room[0] -= written
        return written

    with caplog.at_level(logging.WARNING):
        monkeypatch.setattr(os, "write", full)
        for number in (1, 2):  # the first fits, and a part of the second
            writer.put(message(number))
        writer.flush()
        writer.put(message(3))
        writer.flush()
        monkeypatch.setattr(os, "write", write)
        writer.put(message(4))
        writer.flush()
    writer.close()
    assert ids(folder) == [0, 1, 4]
    assert (coverage(folder).lost, coverage(folder).torn, coverage(folder).lines) == (2, 0, 3)
    assert [record.getMessage() for record in caplog.records] == [
        "The journal of this cloud cannot be written ([Errno 28] No space left on device). "
        "What it misses is counted in it.",
        "The journal is written again",
    ]


def test_a_folder_that_cannot_be_written_costs_lines_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    writer = Writer(folder, "emulator", file_bytes=1)
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    folder.write_text("in the way")
    writer.put(message(1))
    writer.flush()
    folder.unlink()
    writer.put(message(2))
    writer.close()
    assert (ids(folder), coverage(folder).lost) == ([2], 1)


def test_a_deleted_file_is_followed_by_another(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    writer = Writer(folder, "emulator")
    writer.put(message(1))
    writer.flush()
    for path in folder.iterdir():
        path.unlink()
    writer._looked = 0.0  # it looks once a second
    writer.put(message(2))
    writer.close()
    assert ids(folder) == [2]


def test_the_oldest_files_go_and_are_counted_also_those_of_a_process_before(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    for start in (0, 100):
        writer = Writer(folder, "emulator", file_bytes=1_000, bound=4_000)
        for number in range(start, start + 100):
            writer.put(message(number))
        writer.close()
    kept = ids(folder)
    assert kept == [*range(200 - len(kept), 200)]
    assert sum(file.path.stat().st_size for file in files_in(folder)) <= 4_000 + 100
    found = coverage(folder)
    assert (found.lines, found.deleted, found.torn) == (len(kept), 200 - len(kept), 0)
    assert found.since == kept[0]
    assert found.deleted_until is not None


@pytest.mark.parametrize("left", [1, 2, 30])
def test_a_crash_costs_the_line_that_was_being_written(tmp_path: Path, left: int) -> None:
    folder = tmp_path / "journal"
    writer = Writer(folder, "emulator")
    for number in (1, 2):
        writer.put(message(number))
    writer.close()
    (file,) = files_in(folder)
    os.truncate(file.path, file.path.stat().st_size - left)
    assert ids(folder) == [1]
    again = Writer(folder, "emulator")
    again.put(message(3))
    again.close()
    assert ids(folder) == [1, 3]
    assert coverage(folder).torn == 1


def test_what_was_taken_before_a_kill_is_there(tmp_path: Path) -> None:
    code = (
        "import os, sys, time; from pathlib import Path; from stream_cli.journal.writer import Writer\n"
        "writer = Writer(Path(sys.argv[1]), 'emulator')\n"
        "number = 0\n"
        "while True:\n"
        "    writer.put({'kind': 'message', 'at': number, 'to': 'queue', 'id': str(number)})\n"
        "    number += 1\n"
        "    if number % 1000 == 0: writer.flush(); print(number, flush=True)\n"
    )
    folder = tmp_path / "journal"
    with subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = [int(process.stdout.readline()) for _ in range(3)]
        process.kill()
    found = ids(folder)
    assert found == [*range(len(found))]
    assert len(found) >= told[-1]


def test_lines_of_several_threads_are_whole(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    writer = Writer(folder, "emulator", file_bytes=5_000)
    threads = [
        threading.Thread(target=lambda start=start: [writer.put(message(start + n)) for n in range(300)])
        for start in range(0, 1_200, 300)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    assert sorted(ids(folder)) == [*range(1_200)]


def test_a_file_of_another_format_is_left_alone_and_counted(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    writer = Writer(folder, "emulator")
    writer.put(message(1))
    writer.close()
    later = {"kind": "journal", "at": 1, "format": 2, "process": "mappings", "id": "x"}
    (folder / "mappings-001.jsonl").write_text(f"{json.dumps(later)}\n{json.dumps(message(2))}\n")
    (folder / "deliveries-001.jsonl").write_text("no head\n")
    assert ids(folder) == [1]
    assert (coverage(folder).unknown, coverage(folder).torn) == (2, 0)
