"""Answers are those of reading all lines afresh, however writers and readers take turns, wherever a process dies."""

import itertools
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stream_cli.journal import filling, index
from stream_cli.journal.answers import Journal
from stream_cli.journal.files import files_in
from stream_cli.journal.questions import LinePage
from stream_cli.journal.writer import Writer

TIMES = st.integers(1_795_000_000_000, 1_795_000_003_000)
IDS = st.sampled_from(["1", "2", "1.rule", "1.rule.fault", "ä.b"])
KEYS = st.sampled_from(["item-1", "item-2", "1"])
NUMBERS = st.sampled_from(["100", "101", "102"])
STREAM, OTHER = "arn:aws:kinesis:us-east-1:0:stream/a", "arn:aws:kinesis:us-east-1:0:stream/b"
STREAMS = st.sampled_from([STREAM, OTHER])
BY = st.sampled_from([{}, {"by": "request-1"}, {"by": "request-2"}])

EVENTS = st.builds(
    lambda at, id, type, key, item, source, rules, text, triggers, by: {
        "kind": "event",
        "at": at,
        "bus": "hub",
        "id": f"bus-{id}",
        "source": source,
        "type": type,
        "detail": {
            "id": id,
            "type": type,
            "partition_key": key,
            "item": {"id": item, "title": text},
            **({"triggers": [{"id": each} for each in triggers]} if triggers else {}),
        },
        "rules": [{"rule": rule, "targets": [STREAM]} for rule in rules],
        **by,
    },
    TIMES, IDS, st.sampled_from(["submitted", "ready", "fault"]), KEYS, KEYS, st.sampled_from(["control", "bff"]),
    st.lists(st.sampled_from(["all", "faults"]), unique=True), st.sampled_from(["Ein Übel", 'say "no"', "EVENTS", ""]),
    st.lists(IDS, max_size=2), BY,
)  # fmt: skip
RECORDS = st.builds(
    lambda at, stream, number, id: {
        "kind": "stream", "at": at, "stream": stream, "shard": "shard-0", "number": number, "key": "k",
        **({"id": id, "type": "ready", "bus_id": f"bus-{id}"} if id else {}),
    },
    TIMES, STREAMS, NUMBERS, st.one_of(st.none(), IDS),
)  # fmt: skip
CHANGES = st.builds(
    lambda at, table, key, number, by: {
        "kind": "change", "at": at, "table": table, "change": "INSERT", "keys": {"pk": {"S": key}, "sk": {"N": "7"}},
        "new": {"pk": {"S": key}}, **({"stream": OTHER, "number": number} if number else {}), **by,
    },
    TIMES, st.sampled_from(["events", "items"]), KEYS, st.one_of(st.none(), NUMBERS), BY,
)  # fmt: skip
CALLS = st.builds(
    lambda at, function, request, outcome, records, reported: {
        "kind": "call", "at": at, "function": function, "request": request, "start": at - 7, "end": at,
        "outcome": outcome, **({"records": records} if records else {}), **({"reported": reported} if reported else {}),
    },
    TIMES, st.sampled_from(["listener", "trigger"]), st.sampled_from(["request-1", "request-2"]),
    st.sampled_from(["ok", "failed"]), st.lists(NUMBERS, max_size=2), st.lists(NUMBERS, max_size=1),
)  # fmt: skip
ATTEMPTS = st.builds(
    lambda at, stream, numbers, outcome, request: {
        "kind": "attempt", "at": at, "mapping": f"mapping of {stream[-1]}", "function": "listener", "stream": stream,
        "shard": "shard-0", "numbers": numbers, "attempt": 1, "start": at - 5, "outcome": outcome,
        "done": len(numbers) if outcome == "ok" else 0, "request": request, "oldest": at - 1000,
    },
    TIMES, STREAMS, st.lists(NUMBERS, unique=True), st.sampled_from(["ok", "failed", "undelivered"]),
    st.sampled_from(["request-1", "request-2"]),
)  # fmt: skip
FILTERED = st.builds(
    lambda at, stream, numbers: {
        "kind": "filtered", "at": at, "mapping": f"mapping of {stream[-1]}", "function": "listener", "stream": stream,
        "shard": "shard-0", "numbers": numbers,
    },
    TIMES, STREAMS, st.lists(NUMBERS, unique=True),
)  # fmt: skip
OF_EMULATOR, OF_MAPPINGS = st.one_of(EVENTS, RECORDS, CHANGES, CALLS), st.one_of(ATTEMPTS, FILTERED)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("emulator"), OF_EMULATOR),
        st.tuples(st.just("mappings"), OF_MAPPINGS),
        st.tuples(st.sampled_from(["read", "read elsewhere", "killed", "deleted"]), st.none()),
    ),
    max_size=30,
)


def afresh(folder: Path) -> list[dict[str, Any]]:
    """Every whole line in the folder, the latest first."""
    found = []
    for file in files_in(folder):
        place = 0
        for line in file.path.read_bytes().split(b"\n")[:-1]:
            content = json.loads(line) if line.endswith(b"}") else {"kind": "torn"}
            if content["kind"] not in ("journal", "torn"):
                found.append((content["at"], file.id, place, content))
            place += len(line) + 1
    return [line for *_, line in sorted(found, key=lambda each: each[:3], reverse=True)]


def all_of(ask: Any) -> list[Any]:
    """The lines of all pages of a question, two on each."""
    lines: list[Any] = []
    page: LinePage[Any] = ask(limit=2)
    while True:
        lines += page.lines
        if page.older is None:
            return lines
        page = ask(limit=2, before=page.older)


def questions(journal: Journal) -> dict[str, list[Any]]:
    return {
        "events": all_of(journal.events),
        "id": all_of(lambda **more: journal.events(id="1", **more)),
        "EventBridge's id": all_of(lambda **more: journal.events(id="bus-2", **more)),
        "key": all_of(lambda **more: journal.events(key="item-1", **more)),
        "type and source": all_of(lambda **more: journal.events(type="ready", source="bff", **more)),
        "by": all_of(lambda **more: journal.events(by="request-1", **more)),
        "unmatched": all_of(lambda **more: journal.events(unmatched=True, **more)),
        "times": all_of(lambda **more: journal.events(since=1_795_000_001_000, until=1_795_000_002_000, **more)),
        "followed": journal.followed("1"),
        "about": list(journal.about("1")),
        "records": all_of(lambda **more: journal.records(id="1", **more)),
        "number": all_of(lambda **more: journal.records(stream=STREAM, number="100", **more)),
        "attempts": all_of(lambda **more: journal.attempts(mapping="mapping of a", **more)),
        "failed attempts": all_of(lambda **more: journal.attempts(failed=True, **more)),
        "delivered": [*journal.deliveries(STREAM, "100").attempts],
        "not let through": [*journal.deliveries(STREAM, "100").filtered],
        "changes": all_of(lambda **more: journal.changes(table="items", key="item-2", **more)),
        "failed calls": all_of(lambda **more: journal.calls(function="trigger", failed=True, **more)),
        "held": sorted(journal.held("request-1"), key=str),
    }


def expected(lines: list[dict[str, Any]]) -> dict[str, list[Any]]:
    events = [line for line in lines if line["kind"] == "event"]
    attempts = [line for line in lines if line["kind"] == "attempt"]
    calls = [line for line in lines if line["kind"] == "call"]
    held = [
        (each["stream"], number) for each in attempts if each["request"] == "request-1" for number in each["numbers"]
    ]
    records = [line for line in lines if line["kind"] in ("stream", "change") and "stream" in line]
    return {
        "events": events,
        "id": [e for e in events if e["detail"]["id"] == "1"],
        "EventBridge's id": [e for e in events if e["id"] == "bus-2"],
        "key": [e for e in events if "item-1" in (e["detail"]["partition_key"], e["detail"]["item"]["id"])],
        "type and source": [e for e in events if (e["type"], e["source"]) == ("ready", "bff")],
        "by": [e for e in events if e.get("by") == "request-1"],
        "unmatched": [e for e in events if not e["rules"]],
        "times": [e for e in events if 1_795_000_001_000 <= e["at"] < 1_795_000_002_000],
        "followed": followers(events)[::-1],
        "about": [line for line in lines if names(line, "1")][::-1],
        "records": [line for line in lines if line["kind"] == "stream" and line.get("id") == "1"],
        "number": [e for e in lines if e["kind"] == "stream" and (e["stream"], e["number"]) == (STREAM, "100")],
        "attempts": [e for e in attempts if e["mapping"] == "mapping of a"],
        "failed attempts": [e for e in attempts if e["outcome"] != "ok"],
        "delivered": [e for e in attempts if e["stream"] == STREAM and "100" in e["numbers"]][::-1],
        "not let through": [
            e for e in lines if e["kind"] == "filtered" and e["stream"] == STREAM and "100" in e["numbers"]
        ][::-1],
        "changes": [
            e for e in lines if e["kind"] == "change" and (e["table"], e["keys"]["pk"]["S"]) == ("items", "item-2")
        ],
        "failed calls": [
            e for e in calls if e["function"] == "trigger" and (e["outcome"] == "failed" or e.get("reported"))
        ],
        "held": sorted((r for each in held for r in records if (r["stream"], r.get("number")) == each), key=str),
    }


def followers(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Events that the event 1 led to."""
    led: list[dict[str, Any]] = []
    causes = {"1"}
    while True:
        more = [
            e
            for e in events
            if e not in led
            and any(
                e["detail"]["id"].startswith(f"{cause}.") or {"id": cause} in e["detail"].get("triggers", [])
                for cause in causes
            )
        ]
        if not more:
            return [e for e in events if e in led]
        led += more
        causes |= {e["detail"]["id"] for e in more}


def names(line: dict[str, Any], value: str) -> bool:
    named = [line.get("id"), line.get("bus_id"), line.get("number"), line.get("request"), line.get("by")]
    named += [*line.get("records", []), *line.get("numbers", [])]
    if line["kind"] == "event":
        named += [line["detail"]["id"], line["detail"]["partition_key"], line["detail"]["item"]["id"]]
    if line["kind"] == "change":
        named += [line["keys"]["pk"]["S"], line["keys"]["sk"]["N"]]
    return value in named


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=STEPS)
def test_answers_are_those_of_all_lines_read_afresh(steps: Any) -> None:
    with tempfile.TemporaryDirectory() as state:
        take(steps, Path(state) / "journal")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=STEPS)
def test_answers_are_the_same_where_a_few_lines_fill_each_part_of_the_index(steps: Any) -> None:
    with tempfile.TemporaryDirectory() as state, pytest.MonkeyPatch.context() as patch:
        for module, name, value in (
            (filling, "CHUNK", 2), (index, "CHUNK", 2), (index, "_FEW", 1), (filling, "_SETTLED", 5),
            (filling, "FILE_BYTES", 2_000), (filling, "BUCKETS", 4), (index, "BUCKETS", 4),
        ):  # fmt: skip
            patch.setattr(module, name, value)
        take(steps, Path(state) / "journal")


def take(steps: list[tuple[str, Any]], folder: Path) -> None:
    small = {"file_bytes": 2_000, "bound": 6_000}
    writers = {name: Writer(folder, name, **small) for name in ("emulator", "mappings")}
    readers = {"read": Journal(folder), "read elsewhere": Journal(folder)}
    for step, line in [*steps, ("read elsewhere", None), ("read", None)]:
        if step in writers:
            writers[step].put(line)
        elif step in readers:
            for writer in writers.values():
                writer.flush()
            lines = afresh(folder)
            assert questions(readers[step]) == expected(lines)
            assert readers[step].coverage().lines == len(lines)
        elif step == "killed":
            writers["emulator"].close()
            for last in [file for file in files_in(folder) if file.process == "emulator"][-1:]:
                with last.path.open("ab") as torn:
                    torn.write(b'{"kind":"event","at":1795000000000,"bus":"h')
            writers["emulator"] = Writer(folder, "emulator", **small)
        else:
            for path in folder.iterdir():
                path.unlink()
    for each in (*writers.values(), *readers.values()):
        each.close()


def test_flows_are_sums_over_the_seconds(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "journal", "mappings")
    attempt = {
        "kind": "attempt", "mapping": "m", "function": "f", "stream": STREAM, "shard": "s", "numbers": ["1", "2"],
        "attempt": 1, "start": 0, "request": "r",
    }  # fmt: skip
    for at, done, lag in ((10_100, 2, 100), (10_900, 0, 300), (12_000, 2, 5)):
        writer.put({**attempt, "at": at, "done": done, "outcome": "ok" if done else "failed", "oldest": at - lag})
    writer.close()
    journal = Journal(tmp_path / "journal")
    (flow,) = journal.traffic(10_000, 12_000)
    assert (flow.kind, flow.start, flow.end) == ("attempt", STREAM, "m")
    assert (flow.count, flow.times, flow.failed, flow.ms, flow.most_ms, flow.last) == (2, 2, 1, 400, 300, 10_900)


@pytest.mark.parametrize(
    ("text", "found"),
    [("übel", [0]), ("ÜBEL", [0]), ('say "no"', [1]), ("esc\u00e4ped", [2]), ("nowhere", []), ("title", [2, 1, 0])],
)
def test_a_text_is_found_in_small_and_capital_letters_and_escaped(tmp_path: Path, text: str, found: list[int]) -> None:
    writer = Writer(tmp_path / "journal", "emulator")
    for number, title in enumerate(["ein übel, EIN ÜBEL", 'they say "no"', "ESC"]):
        event = {
            "kind": "event", "at": number, "bus": "hub", "id": str(number), "source": "s", "type": "t",
            "detail": {"title": title}, "rules": [],
        }  # fmt: skip
        writer.put(event)
    writer.close()
    path = files_in(tmp_path / "journal")[0].path
    path.write_bytes(path.read_bytes().replace(b"ESC", b"esc\\u00e4ped"))
    journal = Journal(tmp_path / "journal")
    assert [int(line["id"]) for line in journal.events(text=text).lines] == found
    assert all_of(lambda **more: journal.events(text=text, type="t", **more)) == journal.events(text=text).lines


def test_what_arrives_is_given_once_and_in_order(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    journal = Journal(folder)
    assert journal.arrived() == journal.arrived("")
    emulator, mappings = Writer(folder, "emulator", file_bytes=300), Writer(folder, "mappings")
    place, seen = journal.arrived().after, []
    for number in range(20):
        emulator.put({"kind": "message", "at": number, "to": "q", "id": str(number)})
        mappings.put({"kind": "filtered", "at": number, "mapping": "m", "numbers": [str(number)]})
        if number % 3 == 0:
            emulator.flush()
            mappings.flush()
        arrived = journal.arrived(place, limit=2)
        place = arrived.after
        seen += arrived.lines
        assert not arrived.missed
    emulator.close()
    mappings.close()
    while (arrived := journal.arrived(place, limit=2)).lines:
        place = arrived.after
        seen += arrived.lines
    kinds = [[line["at"] for line in seen if line["kind"] == kind] for kind in ("message", "filtered")]
    assert kinds == [[*range(20)], [*range(20)]]
    assert [line["at"] for line in journal.arrived("", kinds=["filtered"]).lines] == [*range(20)]


def test_of_kinds_with_more_lines_than_asked_for_the_lines_are_counted(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    writer, journal = Writer(folder, "emulator"), Journal(folder)
    place = journal.arrived().after
    for number in range(3):
        writer.put({"kind": "message", "at": number, "to": "q", "id": str(number)})
    writer.put({"kind": "filtered", "at": 3, "mapping": "m", "numbers": ["1"]})
    writer.close()
    assert [line["at"] for line in journal.arrived(place, most=3).lines] == [0, 1, 2, 3]
    arrived = journal.arrived(place, most=2)
    assert ([line["at"] for line in arrived.lines], arrived.left_out) == ([3], {"message": 3})
    assert journal.arrived(arrived.after, most=2).lines == []


def test_a_line_that_does_not_begin_with_its_kind_arrives_too(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    Writer(folder, "emulator").close()
    with files_in(folder)[0].path.open("ab") as file:
        file.write(
            b'{"at": 1, "kind": "message", "to": "q", "id": "1"}\n{"at": 2, "kind": "other"}\n{"kind":"mess\n7\n'
        )
    assert [line["at"] for line in Journal(folder).arrived("").lines] == [1]


def test_a_reader_that_was_away_too_long_is_told_what_it_missed(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    journal, writer = Journal(folder), Writer(folder, "emulator", file_bytes=500, bound=1_000)
    place = journal.arrived().after
    for number in range(50):
        writer.put({"kind": "message", "at": number, "to": "q", "id": str(number)})
        writer.flush()
    arrived = journal.arrived(place)
    assert arrived.missed
    assert [line["at"] for line in arrived.lines] == [line["at"] for line in afresh(folder)][::-1]
    writer.close()
    for path in folder.iterdir():
        path.unlink()
    again = Writer(folder, "emulator")
    again.put({"kind": "message", "at": 1, "to": "q", "id": "another cloud"})
    again.close()
    after = journal.arrived(arrived.after)
    assert (after.missed, len(after.lines)) == (True, 1)


def test_a_place_that_is_none_is_refused(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    with pytest.raises(ValueError, match="no place in the journal"):
        journal.events(before="soon")
    with pytest.raises(ValueError, match="no place in the journal"):
        journal.arrived("soon")


def test_without_a_journal_nothing_is_known(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    assert questions(journal) == expected([])
    assert journal.coverage().since is None
    assert not (tmp_path / "journal").exists()
    assert itertools.chain(journal.traffic(0, 10**13))
