"""The index of a journal: several readers at once, killed ones, damage, and how much work a question is."""

import json
import os
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from stream_cli.errors import CommandError
from stream_cli.journal import files, filling, index, terms
from stream_cli.journal.answers import Journal
from stream_cli.journal.files import files_in
from stream_cli.journal.writer import Writer

OWN = index.VERSION
READS = """
import sys
from pathlib import Path
from stream_cli.journal.answers import Journal
print(len(Journal(Path(sys.argv[1])).messages(limit=10_000).lines), flush=True)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "journal", range(2_000))
    return tmp_path / "journal"


def write(folder: Path, numbers: Any) -> None:
    writer = Writer(folder, "emulator")
    for number in numbers:
        writer.put({"kind": "message", "at": number, "to": "queue", "id": str(number)})
    writer.close()


def ids(journal: Journal) -> list[int]:
    return [int(line["id"]) for line in journal.messages(limit=10_000).lines][::-1]


def databases(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("index-*.db"))


def test_several_processes_may_read_at_once(folder: Path) -> None:
    readers = [subprocess.Popen([sys.executable, "-c", READS, folder], stdout=subprocess.PIPE) for _ in range(3)]
    assert [reader.communicate()[0].strip() for reader in readers] == [b"2000"] * 3


def test_several_threads_may_ask_one_journal(folder: Path) -> None:
    journal = Journal(folder)
    with ThreadPoolExecutor(8) as threads:
        found = [*threads.map(lambda number: journal.messages(id=str(number)).lines, range(64))]
    assert [int(lines[0]["id"]) for lines in found] == [*range(64)]


def test_a_reader_that_is_killed_while_it_indexes_harms_nobody(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filling, "_PORTION", 5_000)
    store, portions = filling._store, []

    def killed(*arguments: Any) -> None:
        portions.append(arguments)
        if len(portions) == 5:
            store(*arguments)
            arguments[0].execute("DELETE FROM terms")
            raise SystemExit
        store(*arguments)

    monkeypatch.setattr(filling, "_store", killed)
    dying = Journal(folder)
    with pytest.raises(SystemExit):
        dying.messages()
    dying.close()
    monkeypatch.setattr(filling, "_store", store)
    assert ids(Journal(folder)) == [*range(2_000)]


def test_a_line_is_indexed_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, added = Journal(folder), []
    add = filling._add
    monkeypatch.setattr(filling, "_add", lambda *arguments: added.append(arguments) or add(*arguments))
    assert len(ids(first)) == 2_000
    assert len(added) == 2_000
    assert len(ids(first)) == len(ids(Journal(folder))) == 2_000
    assert len(added) == 2_000
    write(folder, range(2_000, 2_003))
    assert len(ids(first)) == len(ids(Journal(folder))) == 2_003
    assert len(added) == 2_003


def test_a_question_reads_the_lines_that_it_answers_with(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stream_cli.journal import answers

    journal, read = Journal(folder), []
    parse = answers.parsed
    monkeypatch.setattr(answers, "parsed", lambda line: read.append(line) or parse(line))
    assert len(journal.messages(id="7").lines) == 1
    assert len(read) == 1
    assert len(journal.messages(limit=10).lines) == 10
    assert len(read) <= 1 + 11


@pytest.mark.parametrize("content", [b"this is no database", b"SQLite format 3\0" + b"\xff" * 5_000])
def test_a_damaged_index_is_made_anew(folder: Path, content: bytes) -> None:
    before = Journal(folder)
    assert len(ids(before)) == 2_000
    before.close()
    (folder / f"index-{OWN}-1.db").write_bytes(content)
    for name in (f"index-{OWN}-1.db-wal", f"index-{OWN}-1.db-shm"):
        (folder / name).unlink(missing_ok=True)
    assert ids(Journal(folder)) == [*range(2_000)]
    assert databases(folder) == [f"index-{OWN}-2.db"]


def test_a_reader_sees_that_another_has_made_the_index_anew(folder: Path) -> None:
    reader, other = Journal(folder), Journal(folder)
    assert len(ids(reader)) == len(ids(other)) == 2_000
    other._index._made_anew()
    write(folder, range(2_000, 2_001))
    assert len(ids(reader)) == len(ids(other)) == 2_001
    reader.close()  # which ends the files of the old index, not those of the new one
    assert len(ids(other)) == len(ids(Journal(folder))) == 2_001
    assert databases(folder) == [f"index-{OWN}-2.db"]


def use_version(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setattr(index, "VERSION", version)
    monkeypatch.setattr(index, "_NAME", index.re.compile(rf"index-{version}-([0-9]+)\.db"))


def test_an_index_of_another_version_is_left_to_it_while_it_is_used(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(ids(Journal(folder))) == 2_000
    use_version(monkeypatch, "another")
    assert len(ids(Journal(folder))) == 2_000
    assert databases(folder) == [f"index-{version}-1.db" for version in sorted((OWN, "another"))]


def test_an_index_of_another_version_that_nobody_uses_goes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = Journal(folder)
    assert len(ids(before)) == 2_000
    before.close()
    for path in folder.glob("index-*.db*"):
        os.utime(path, (0, 0))
    use_version(monkeypatch, "another")
    assert len(ids(Journal(folder))) == 2_000
    assert databases(folder) == ["index-another-1.db"]


@pytest.mark.parametrize("name", ["index", "filling", "terms", "files"])
def test_other_code_that_fills_the_index_is_another_version(name: str, tmp_path: Path) -> None:
    sources = [Path(each.__file__) for each in (index, filling, terms, files)]
    assert index.version_of(sources) == OWN
    changed = tmp_path / f"{name}.py"
    (source,) = (each for each in sources if each.stem == name)
    changed.write_bytes(source.read_bytes() + b"\n_MOST_PARTS = 17\n")
    assert index.version_of([changed if each.stem == name else each for each in sources]) != OWN


def test_an_index_that_cannot_be_written_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    journal, store = Journal(folder), filling._store
    monkeypatch.setattr(filling, "_store", full)
    with pytest.raises(CommandError, match=r"cannot be written: database or disk is full\."):
        journal.messages()
    monkeypatch.setattr(filling, "_store", store)
    assert len(ids(journal)) == 2_000


def test_the_cloud_may_go_and_another_come_while_a_reader_waits(folder: Path) -> None:
    reader = Journal(folder)
    assert len(ids(reader)) == 2_000
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    assert ids(reader) == []
    write(folder, range(3))
    assert ids(reader) == [0, 1, 2]


def test_lines_that_no_writer_of_ours_made_fail_nothing(folder: Path) -> None:
    lines: list[Any] = [
        {"kind": "event", "at": 1},
        {"kind": "event", "at": 1, "id": 7, "type": [], "source": {}, "rules": 1, "detail": 1},
        {"kind": "attempt", "at": 2, "numbers": [7], "mapping": "m", "outcome": "ok", "done": "x", "stream": "s"},
        {"kind": "call", "at": 3, "function": "f", "start": "x", "end": 1, "outcome": "ok", "request": "r"},
        {"kind": "new kind", "at": 4}, {"kind": "lost", "at": 5, "lines": "many"}, {"kind": "change", "at": 1 << 62},
        {"kind": 1, "at": 1}, {"kind": "call", "at": 1.5}, [], "text",
    ]  # fmt: skip
    path = files_in(folder)[0].path
    with path.open("ab") as file:
        for line in lines:
            file.write(json.dumps(line).encode() + b"\n")
        file.write(b"\xff\r\n\n{\n")
    journal = Journal(folder)
    assert ids(journal) == [*range(2_000)]
    assert journal.coverage().torn == 5 + 3
    assert len(journal.attempts().lines) == 1
    assert len(journal.events().lines) == 2
    assert journal.calls(request="r").lines


def test_half_of_a_surrogate_pair_in_a_name_stops_no_reader(tmp_path: Path) -> None:
    half = "source\ud800"
    writer = Writer(tmp_path, "emulator")
    event = {
        "kind": "event",
        "at": 1_000,
        "bus": half,
        "id": half,
        "source": half,
        "type": half,
        "detail": {"id": half},
    }
    writer.put({**event, "rules": [{"rule": half, "targets": [half]}]})
    writer.close()
    journal = Journal(tmp_path)
    assert [line["id"] for line in journal.events(id=half, source=half).lines] == [half]
    assert {flow.start for flow in journal.traffic(0, 2_000)} == {"source?", "source?/source?"}
