"""Which stored events are found, and how lines without an event are reported."""

import gzip
import re
from datetime import UTC, datetime

import pytest
import typer
from botocore.exceptions import ClientError
from stream_cli.errors import CommandError
from stream_cli.stored.history import Selection
from stream_cli.stored.options import selection_of
from stream_cli.stored.rate_limit import RateLimit


def ids(history, **wanted):
    return [stored.event["id"] for stored in history.select(Selection(**wanted))]


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_compressed_and_plain_objects_are_read_in_the_order_of_their_delivery(store, envelope, history):
    store([envelope(3)], hour=14)
    store([envelope(1), envelope(2)], hour=12, compressed=False)
    assert ids(history[0]) == ["e1", "e2", "e3"]


def test_a_line_of_any_length_is_reported_and_the_next_one_read(store, envelope, history, monkeypatch):
    monkeypatch.setattr("stream_cli.stored.history._LONGEST_LINE", 1000)
    store(["[" * 50_000, envelope(1), "x" * 999, "x" * 1000, envelope(2)])
    assert ids(history[0]) == ["e1", "e2"]
    assert [line for _, line, _ in history[1]] == [1, 3, 4]


def test_an_event_that_was_stored_bare_is_read_too(store, envelope, history):
    store([envelope(1)["detail"]])
    assert ids(history[0]) == ["e1"]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"types": frozenset({"item-ready"})}, ["e2"]),
        ({"type_prefix": "item-"}, ["e1", "e2"]),
        ({"type_pattern": re.compile("^order")}, ["e3"]),
        ({"source": "orders"}, ["e3"]),
    ],
)
def test_events_are_selected_by_type_and_source(store, envelope, history, wanted, expected):
    store([envelope(1), envelope(2, "item-ready"), envelope(3, "order-placed", source="orders")])
    assert ids(history[0], **wanted) == expected


def test_faults_are_skipped_by_default(store, envelope, history):
    store([envelope(1), envelope(2, "fault")])
    assert ids(history[0]) == ["e1"]
    assert ids(history[0], with_faults=True) == ["e1", "e2"]


def test_an_event_is_found_by_its_publication_although_it_was_delivered_hours_later(store, envelope, history):
    store([envelope(1)], hour=12)
    store([envelope(2, hours=1)], day="2026-01-02", hour=9)
    store([envelope(3, hours=30)], day="2026-01-02", hour=18)
    assert ids(history[0], since=at("2026-01-01T12:30"), until=at("2026-01-01T14:00")) == ["e2"]


def test_an_event_with_an_old_timestamp_is_found_by_its_publication(store, envelope, history):
    late = envelope(1)
    late["detail"]["timestamp"] -= 30 * 86_400_000
    store([late])
    assert ids(history[0], since=at("2026-01-01T11:00"), until=at("2026-01-01T13:00")) == ["e1"]


def test_objects_of_other_days_are_not_read(store, envelope, history):
    store([envelope(1)], day="2025-12-01")
    store([envelope(2)], day="2026-01-01")
    store([envelope(3)], day="2026-02-01")
    objects = history[0].objects(Selection(since=at("2026-01-01T11:00"), until=at("2026-01-01T13:00")))
    assert [each.key for each in objects] == ["events/dt=2026-01-01/hour=12/a"]


def test_a_line_without_an_event_is_reported_and_the_rest_is_read(store, envelope, history):
    store([envelope(1), "{half", "[]", envelope(2)])
    assert ids(history[0]) == ["e1", "e2"]
    assert [(line, why.split(":")[0]) for _, line, why in history[1]] == [(2, "not JSON"), (3, "not an event")]


def test_a_line_that_is_nested_too_deep_is_reported_and_the_rest_is_read(store, envelope, history):
    store([envelope(1), "[" * 200_000 + "]" * 200_000, envelope(2)])
    assert ids(history[0]) == ["e1", "e2"]
    assert [(line, why.split(":")[0]) for _, line, why in history[1]] == [(2, "not JSON")]


def test_a_truncated_object_is_an_error(store, history):
    store([], hour=12)
    found = history[0]
    whole = gzip.compress(b"x" * 1000)
    found.s3.put_object(Bucket=found.bucket, Key="events/dt=2026-01-01/hour=12/cut", Body=whole[: len(whole) // 2])
    with pytest.raises(CommandError, match="hour=12/cut cannot be read to its end"):
        list(found.select(Selection()))


@pytest.mark.parametrize(
    "options",
    [
        {"since": "yesterday"},
        {"until": "999999999999d"},
        {"day": "01.02.2026"},
        {"day": "2026-01-01", "since": "2h"},
        {"since": "2026-01-02", "until": "2026-01-01"},
        {"type_regex": "("},
    ],
)
def test_options_that_cannot_be_read_are_refused(options):
    with pytest.raises(typer.BadParameter):
        selection_of(**options)


def test_progress_within_an_object_is_in_stored_bytes(store, envelope, history):
    store([envelope(number) for number in range(3)])
    (stored,) = history[0].objects(Selection())
    (content,) = history[0].contents([stored])
    read = []
    list(content.events(read.append))
    assert (len(read), read[-1]) == (3, stored.size)


def test_only_a_few_objects_are_fetched_ahead_and_none_is_skipped(store, envelope, history):
    for number in range(20):
        store([envelope(number)], name=f"{number:02}")
    fetched, get_object = [], history[0].s3.get_object
    history[0].s3.get_object = lambda **options: fetched.append(options["Key"]) or get_object(**options)
    found = history[0].select(Selection())
    assert next(found).event["id"] == "e0"
    assert len(fetched) <= 8
    assert [stored.event["id"] for stored in found] == [f"e{number}" for number in range(1, 20)]


def test_a_missing_object_fails_when_it_is_its_turn(store, envelope, history):
    for number in range(3):
        store([envelope(number)], name=f"{number}")
    objects = history[0].objects(Selection())
    history[0].s3.delete_object(Bucket=history[0].bucket, Key=objects[1].key)
    contents = history[0].contents(objects)
    assert [stored.event["id"] for stored in next(contents).events()] == ["e0"]
    with pytest.raises(ClientError, match="NoSuchKey"):
        next(contents)


def test_a_low_rate_limits_the_batch():
    assert [RateLimit(rate).most(100) for rate in (None, 0.5, 7.5, 500)] == [100, 1, 7, 100]


def test_the_rate_is_not_exceeded():
    now, slept = [0.0], []

    def sleep(seconds):
        slept.append(seconds)
        now[0] += seconds

    pace = RateLimit(10, clock=lambda: now[0], sleep=sleep)
    for _ in range(4):
        pace.wait_for(5)
    assert sum(slept) == pytest.approx(1.5)
