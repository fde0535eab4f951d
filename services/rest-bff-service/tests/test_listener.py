"""The listener: a story-ready event completes the row of its story once, and never creates a row."""

import base64
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from rest_bff.logic.callers import ANYBODY
from stream_runtime.events import to_kinesis_records

READY = {
    "id": "ready-1",
    "type": "story-ready",
    "timestamp": 1_795_000_002_000,
    "partition_key": "newsapi-1",
    "tags": {"source": "control-service"},
    "story": {
        "id": "newsapi-1",
        "title": "Parliament passes the AI act",
        "sentiment": "neutral",
        "score": 0.72,
        "model_version": "v1",
    },
}


@pytest.fixture
def deliver() -> Callable[..., dict[str, Any]]:
    from rest_bff.handlers.listener import handler

    return lambda *events: handler(to_kinesis_records(events), None)


@pytest.fixture
def row(table: Any) -> Callable[[], dict[str, Any]]:
    from rest_bff.dal import stories

    stories.create("newsapi-1", {"title": "Parliament passes the AI act"}, ANYBODY)
    return lambda: table.get_item(Key={"pk": "newsapi-1", "sk": "story"})["Item"]


def test_a_story_that_is_ready_is_completed_and_latched(deliver: Any, row: Any) -> None:
    before = row()

    assert deliver(READY) == {"batchItemFailures": []}

    after = row()
    assert (after["sentiment"], after["score"], after["model_version"]) == ("neutral", Decimal("0.72"), "v1")
    assert (after["status"], after["latched"]) == ("ready", True)
    assert (after["timestamp"], after["version"]) == (before["timestamp"], before["version"])


def test_a_repeated_or_older_event_changes_nothing(deliver: Any, row: Any) -> None:
    deliver({**READY, "story": {**READY["story"], "score": 0.9}})
    once = row()

    deliver(READY)
    deliver({**READY, "timestamp": READY["timestamp"] - 1})

    assert row() == once


def test_a_later_analysis_replaces_an_earlier_one(deliver: Any, row: Any) -> None:
    deliver(READY)
    deliver({**READY, "timestamp": READY["timestamp"] + 1, "story": {**READY["story"], "sentiment": "positive"}})

    assert row()["sentiment"] == "positive"


def test_a_deleted_story_stays_deleted(deliver: Any, row: Any) -> None:
    from rest_bff.dal import stories

    stories.delete("newsapi-1", ANYBODY, None, 60)

    assert deliver(READY) == {"batchItemFailures": []}
    assert "sentiment" not in row()


def test_an_unknown_story_is_not_created(deliver: Any, table: Any) -> None:
    assert deliver(READY) == {"batchItemFailures": []}
    assert table.scan()["Items"] == []


def test_events_of_other_types_are_ignored(deliver: Any, row: Any) -> None:
    before = row()

    deliver({**READY, "type": "story-analyzed"})

    assert row() == before


def test_a_poison_event_is_one_fault_and_the_others_are_processed(deliver: Any, row: Any, published: Any) -> None:
    poison = {**READY, "id": "poison", "story": {"id": "newsapi-2"}}

    assert deliver(poison, READY) == {"batchItemFailures": []}

    (fault,) = published()
    assert (fault["type"], fault["err"]["name"]) == ("fault", "KeyError")
    assert fault["tags"]["pipeline"] == "materialize-ready-story"
    assert fault["uow"]["event"]["id"] == "poison"
    assert row()["status"] == "ready"


@pytest.mark.parametrize("data", ["%%%", base64.b64encode(b"nonsense").decode(), base64.b64encode(b"[]").decode()])
def test_an_unreadable_record_is_one_fault_and_the_others_are_processed(
    deliver: Any, row: Any, published: Any, data: str
) -> None:
    from rest_bff.handlers.listener import handler

    batch = to_kinesis_records([READY, READY])
    batch["Records"][0]["kinesis"]["data"] = data

    assert handler(batch, None) == {"batchItemFailures": []}

    assert [event["type"] for event in published()] == ["fault"]
    assert row()["status"] == "ready"


def test_without_its_table_every_record_is_returned(deliver: Any) -> None:
    (failure,) = deliver(READY)["batchItemFailures"]

    assert failure["itemIdentifier"]


@pytest.mark.parametrize("name", ["listener-story-ready", "listener-poison", "listener-unreadable"])
def test_each_fixture_has_the_expected_result(
    fixture: Any, table: Any, published: Any, context: Any, name: str
) -> None:
    from rest_bff.dal import stories
    from rest_bff.handlers import listener, rest

    expected = fixture(f"{name}.expected")
    for earlier in expected.get("after", []):
        rest.handler(fixture(earlier), context)

    assert listener.handler(fixture(name), None) == expected["returns"]
    assert [event["type"] for event in published()] == expected["publishes"]
    if expected.get("after"):
        assert stories.get("newsapi-example-1", ANYBODY)["status"] == "ready"
