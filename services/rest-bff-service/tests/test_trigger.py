"""The trigger: changes by clients are published as events, those by a listener are not."""

from collections.abc import Callable
from typing import Any

import pytest
from stream_runtime.events import to_dynamodb_records

ROW = {
    "pk": "newsapi-1",
    "sk": "story",
    "discriminator": "story",
    "listing": "story",
    "status": "submitted",
    "version": 1,
    "created": 1_795_000_000_000,
    "timestamp": 1_795_000_000_000,
    "title": "Parliament passes the AI act",
    "matched_tags": ["AI"],
}
CHANGED = {**ROW, "version": 2, "timestamp": 1_795_000_001_000, "title": "Changed"}
TOMBSTONE = {**CHANGED, "deleted": True, "ttl": 1_797_592_001}
KEYS = {"pk": "newsapi-1", "sk": "story"}


@pytest.fixture
def deliver(published: Any) -> Callable[..., list[dict[str, Any]]]:
    from rest_bff.handlers.trigger import handler

    def run(old: dict[str, Any] | None, new: dict[str, Any] | None) -> list[dict[str, Any]]:
        batch = to_dynamodb_records([{"keys": KEYS, "oldImage": old, "newImage": new}])
        assert handler(batch, None) == {"batchItemFailures": []}
        return published()

    return run


@pytest.mark.parametrize(
    ("old", "new", "event_type", "title"),
    [
        (None, ROW, "story-submitted", ROW["title"]),
        (ROW, CHANGED, "story-updated", "Changed"),
        (ROW, {**CHANGED, "status": "ready"}, "story-updated", "Changed"),
        (CHANGED, TOMBSTONE, "story-deleted", "Changed"),
        (CHANGED, None, "story-deleted", "Changed"),
    ],
)
def test_a_change_is_published_as_an_event_of_its_story(
    deliver: Any, old: Any, new: Any, event_type: str, title: str
) -> None:
    (event,) = deliver(old, new)

    assert (event["type"], event["partition_key"], event["story"]["id"]) == (event_type, "newsapi-1", "newsapi-1")
    assert event["story"]["title"] == title
    assert event["timestamp"] == (new or old)["timestamp"]
    assert event["tags"]["source"] == "rest-bff-service"
    assert not {"pk", "sk", "discriminator", "listing", "latched"} & event["story"].keys()
    assert "raw" not in event


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (ROW, {**ROW, "status": "ready", "latched": True}),
        (TOMBSTONE, None),
        (None, {**ROW, "discriminator": "other"}),
    ],
    ids=["written by a listener", "tombstone removed by its ttl", "another kind of row"],
)
def test_changes_that_no_client_made_are_not_published(deliver: Any, old: Any, new: Any) -> None:
    assert deliver(old, new) == []


def test_the_same_record_gives_the_same_id_again(deliver: Any) -> None:
    (first,), (second,) = deliver(None, ROW), deliver(None, ROW)

    assert first["id"] == second["id"]


def test_a_record_without_images_is_a_fault(deliver: Any) -> None:
    (event,) = deliver(None, None)

    assert event["type"] == "fault"


def test_without_its_bus_every_record_is_returned() -> None:
    from rest_bff.handlers.trigger import handler

    answer = handler(to_dynamodb_records([{"keys": KEYS, "newImage": ROW}]), None)

    assert [failure["itemIdentifier"] for failure in answer["batchItemFailures"]] == ["0"]


@pytest.mark.parametrize(
    "name",
    [
        "trigger-story-created",
        "trigger-story-updated",
        "trigger-story-deleted",
        "trigger-story-latched",
        "trigger-tombstone-removed",
        "trigger-poison",
    ],
)
def test_each_fixture_has_the_expected_result(fixture: Any, published: Any, name: str) -> None:
    from rest_bff.handlers.trigger import handler

    expected = fixture(f"{name}.expected")
    assert handler(fixture(name), None) == expected["returns"]
    assert [event["type"] for event in published()] == expected["publishes"]
