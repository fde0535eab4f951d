"""Events of a file, and what is filled in where fields are left out."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path
from typing import Any

import pytest
from stream_cli.given_events import complete, events_of, read_values, what_was_filled_in

TAGS = {"source": "streamctl", "stage": "local"}
ONE = {"type": "story-ready"}
TWO = {"type": "story-updated"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (json.dumps(ONE), [ONE]),
        (json.dumps([ONE, TWO], indent=2), [ONE, TWO]),
        (f"{json.dumps(ONE)}\n\n{json.dumps(TWO)}\n", [ONE, TWO]),
        ("\ufeff" + json.dumps(ONE), [ONE]),
    ],
    ids=["one", "a list", "JSON lines", "a byte order mark"],
)
def test_a_file_holds_an_event_a_list_or_one_on_each_line(tmp_path: Path, text: str, expected: Any) -> None:
    (tmp_path / "events").write_text(text, encoding="utf-8")

    assert events_of(read_values(tmp_path / "events")) == expected


def test_a_dash_is_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(ONE)))

    assert read_values(Path("-")) == [ONE]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "events is not JSON"),
        ("[]", "holds no event"),
        ('{"type": ', r"events is not JSON.*line 1 column 10"),
        ('{"type": "a"}\n{"type": \n', "events, line 2 is not JSON"),
        ('["text"]', "event 1 is text; an event is a JSON object"),
        ("[" * 100_000, "events has lists or objects that are nested too deeply"),
        ('{"type": "a"}\n' + '{"a":' * 100_000, "events, line 2 has lists or objects that are nested too deeply"),
    ],
    ids=["nothing", "an empty list", "half an event", "half of line 2", "text", "deep", "deep in line 2"],
)
def test_what_holds_no_events_is_said(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "events").write_text(text, encoding="utf-8")

    with pytest.raises(ValueError, match=message):
        events_of(read_values(tmp_path / "events"))


def test_what_is_no_text_is_said_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "events").write_bytes(b"\xff\xfe{}")

    with pytest.raises(ValueError, match=r"events is not UTF-8: .*position 0"):
        read_values(tmp_path / "events")


def test_no_more_is_read_than_can_be_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream_cli.given_events.MOST_CHARACTERS", 1000)
    endless = Path("/dev/zero")
    (tmp_path / "most").write_text(json.dumps(ONE).ljust(1000))

    with pytest.raises(ValueError, match="/dev/zero has more than 1,000 characters"):
        read_values(endless)
    assert read_values(tmp_path / "most") == [ONE]


def test_what_is_left_out_is_filled_in_and_said_in_one_line() -> None:
    before = int(time.time() * 1000)

    (made,) = complete([{**ONE, "story": {"id": "newsapi-1"}}], TAGS)

    event = made.event
    assert before <= event["timestamp"] <= int(time.time() * 1000)
    assert (event["type"], event["partition_key"], event["tags"]) == ("story-ready", "newsapi-1", TAGS)
    assert what_was_filled_in([made]) == (
        f"Filled in: id {event['id']} (new each time), timestamp {event['timestamp']}, partition_key newsapi-1, "
        "tags.source streamctl, tags.stage local."
    )


def test_an_id_that_is_filled_in_is_another_each_time() -> None:
    ids = {each.event["id"] for _ in range(2) for each in complete([ONE, ONE], TAGS)}

    assert len(ids) == 4


def test_of_two_events_the_second_is_the_newer_one() -> None:
    first, second = complete([ONE, TWO], TAGS)

    assert first.event["timestamp"] < second.event["timestamp"]


@pytest.mark.parametrize("value", ["own", "", None, 0])
@pytest.mark.parametrize("field", ["id", "timestamp", "partition_key", "tags"])
def test_what_is_there_is_never_overwritten(field: str, value: Any) -> None:
    (made,) = complete([{**ONE, field: value}], TAGS)

    assert made.event[field] == value
    assert field not in made.filled


def test_tags_that_are_there_stay_and_others_are_added() -> None:
    (made,) = complete([{**ONE, "tags": {"source": "shop", "tenant": "t1"}}], TAGS)

    assert made.event["tags"] == {"stage": "local", "source": "shop", "tenant": "t1"}
    assert made.filled["tags.stage"] == "local"
    assert "tags.source" not in made.filled


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"story": {"id": 7}}, "7"),
        ({"id": "e1"}, "e1"),
        ({"id": "e1", "story": {"id": "s1"}, "author": {"id": "a1"}}, "s1"),
        ({"id": "e1", "plot": {"id": "p1"}, "author": {"id": "a1"}}, "e1"),
        ({"id": "e1", "raw": {"id": "r1"}, "tags": {"id": "t1"}}, "e1"),
        ({"id": "e1", "story": ["s1"]}, "e1"),
    ],
)
def test_the_partition_key_is_the_id_of_the_entity_or_else_of_the_event(more: Any, expected: str) -> None:
    (made,) = complete([{**ONE, **more}], TAGS)

    assert made.event["partition_key"] == expected


def test_without_entity_and_id_the_partition_key_is_the_new_id() -> None:
    (made,) = complete([ONE], TAGS)

    assert made.event["partition_key"] == made.event["id"]


def test_of_several_events_the_first_values_are_said() -> None:
    whole = {**ONE, "id": "e", "timestamp": 1, "partition_key": "k", "tags": TAGS}

    assert what_was_filled_in(complete([whole, whole], TAGS)) is None
    one = complete([whole, {**whole, "timestamp": 5, "tags": {"source": "x"}}], TAGS)
    assert what_was_filled_in(one) == "Filled in, in event 2: tags.stage local."
    both = complete([{**whole, "tags": {"source": "x"}}] * 2, TAGS)
    assert what_was_filled_in(both) == "Filled in, in 2 of 2 events: tags.stage local in event 1, and so on."
