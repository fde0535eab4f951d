"""Listener and trigger together, with the changes that their table's stream delivers."""

import base64
import itertools
import time
from collections.abc import Callable
from typing import Any

import pytest
from stream_runtime.events import to_dynamodb_records, to_kinesis_records

SUBMITTED = {
    "id": "submitted-1",
    "type": "story-submitted",
    "timestamp": 4_102_444_000_000,
    "partition_key": "newsapi-1",
    "tags": {"source": "rest-bff-service", "tenant": "t1"},
    "story": {"id": "newsapi-1", "title": "Parliament passes the AI act", "status": "submitted"},
}
ANALYZED = {
    "id": "analyzed-1",
    "type": "story-analyzed",
    "timestamp": 4_102_444_002_000,
    "partition_key": "newsapi-1",
    "tags": {"source": "analysis"},
    "story": {"id": "newsapi-1", "sentiment": "neutral", "score": 0.72, "model_version": "v1"},
}


class Service:
    """Delivers events to the listener, and every change of the table to the trigger."""

    def __init__(self, table: Any) -> None:
        from control.handlers import listener, trigger

        self.table, self.listener, self.trigger = table, listener.handler, trigger.handler
        self.seen: dict[tuple[str, str], dict[str, Any]] = {}
        self.numbers = itertools.count()

    def listen(self, *events: dict[str, Any]) -> dict[str, Any]:
        return self.listener(to_kinesis_records(events), None)

    def deliver(self, *events: dict[str, Any]) -> None:
        assert self.listen(*events) == {"batchItemFailures": []}
        while changes := self.changes():
            self.stream(changes)

    def stream(self, changes: list[dict[str, Any]]) -> None:
        records = to_dynamodb_records(changes)
        for record in records["Records"]:  # record ids of a stream are unique
            record["eventID"] = f"change-{next(self.numbers)}"
        assert self.trigger(records, None) == {"batchItemFailures": []}

    def changes(self) -> list[dict[str, Any]]:
        rows = {(row["pk"], row["sk"]): row for row in self.table.scan(ConsistentRead=True)["Items"]}
        changed = [(key, self.seen.get(key), row) for key, row in rows.items() if self.seen.get(key) != row]
        self.seen = rows
        return [
            {"keys": {"pk": pk, "sk": sk}, "newImage": new, **({"oldImage": old} if old else {})}
            for (pk, sk), old, new in changed
        ]

    def expire(self, row: dict[str, Any]) -> None:
        keys = {"pk": row["pk"], "sk": row["sk"]}
        self.stream([{"keys": keys, "oldImage": row, "timestamp": int(row["ttl"]) + 60}])

    def row(self, event: dict[str, Any]) -> dict[str, Any]:
        return self.table.get_item(Key={"pk": event["id"], "sk": "EVENT"})["Item"]


@pytest.fixture
def service(table: Any) -> Service:
    return Service(table)


Published = Callable[[], list[dict[str, Any]]]


@pytest.mark.parametrize("parts", [[SUBMITTED, ANALYZED], [ANALYZED, SUBMITTED]])
def test_a_story_that_is_submitted_and_analyzed_becomes_ready(
    service: Service, published: Published, parts: list[dict[str, Any]]
) -> None:
    service.deliver(parts[0])
    assert published() == []

    service.deliver(parts[1])

    (ready,) = published()
    assert (ready["type"], ready["partition_key"]) == ("story-ready", "newsapi-1")
    assert ready["story"] == {
        "id": "newsapi-1",
        "title": "Parliament passes the AI act",
        "status": "ready",
        "sentiment": "neutral",
        "score": 0.72,
        "model_version": "v1",
    }
    assert [trigger["id"] for trigger in ready["triggers"]] == ["submitted-1", "analyzed-1"]
    assert (ready["tags"]["source"], ready["tags"]["tenant"]) == ("control-service", "t1")


def test_both_parts_in_one_batch_give_one_ready_event(service: Service, published: Published) -> None:
    service.deliver(SUBMITTED, ANALYZED)

    assert [event["type"] for event in published()] == ["story-ready"]


def test_a_story_that_is_complete_once_more_is_not_published_again(service: Service, published: Published) -> None:
    service.deliver(SUBMITTED, ANALYZED)
    service.deliver({**ANALYZED, "id": "analyzed-2", "timestamp": ANALYZED["timestamp"] + 1})

    assert [event["id"] for event in published()] == ["newsapi-1.completion.evaluate-story"]


def test_a_batch_that_comes_again_publishes_under_the_same_id(service: Service, published: Published) -> None:
    assert service.listen(SUBMITTED, ANALYZED) == {"batchItemFailures": []}
    service.stream(service.changes())
    records = to_dynamodb_records(service.changes())

    for _ in range(2):
        assert service.trigger(records, None) == {"batchItemFailures": []}

    first, second = published()
    assert first["id"] == second["id"] == "newsapi-1.completion.evaluate-story"


def test_stories_are_kept_apart(service: Service, published: Published) -> None:
    other = {**ANALYZED, "id": "analyzed-2", "story": {**ANALYZED["story"], "id": "newsapi-2"}}

    service.deliver(SUBMITTED, other)

    assert published() == []


def test_a_story_that_never_completes_expires(service: Service, published: Published) -> None:
    service.deliver(SUBMITTED)
    row = service.row(SUBMITTED)

    service.expire(row)

    (event,) = published()
    assert (event["type"], event["story"]["id"]) == ("story-expired", "newsapi-1")
    assert int(row["ttl"]) == SUBMITTED["timestamp"] // 1000 + 3600


def test_a_story_that_expires_again_after_a_replay_does_so_under_the_same_id(
    service: Service, published: Published
) -> None:
    for _ in range(2):
        service.deliver(SUBMITTED)
        row = service.row(SUBMITTED)
        service.table.delete_item(Key={"pk": row["pk"], "sk": row["sk"]})
        service.changes()
        service.expire(row)

    assert [event["id"] for event in published()] == ["submitted-1.expire-story"] * 2


def test_a_story_that_is_collected_late_waits_for_what_is_behind_it(service: Service) -> None:
    late = {**SUBMITTED, "timestamp": 1_500_000_000_000}

    service.deliver(late)

    assert 3500 < int(service.row(late)["ttl"]) - time.time() <= 3600


def test_a_story_that_became_ready_is_remembered_as_long_as_its_other_events(
    service: Service, published: Published
) -> None:
    service.deliver(SUBMITTED, ANALYZED)
    (ready,) = published()

    service.deliver(ready)

    marker = next(row for row in service.table.scan()["Items"] if row["discriminator"] == "ONCE")
    assert service.row(SUBMITTED)["ttl"] == service.row(ANALYZED)["ttl"] >= marker["ttl"]


def test_a_story_that_became_ready_does_not_expire(service: Service, published: Published) -> None:
    service.deliver(SUBMITTED, ANALYZED)
    (ready,) = published()

    service.deliver(ready)
    service.expire(service.row(SUBMITTED))

    assert published() == []


def test_a_story_that_became_ready_does_not_expire_when_its_submission_comes_again(
    service: Service, published: Published
) -> None:
    service.deliver(SUBMITTED, ANALYZED)
    (ready,) = published()
    service.deliver(ready)

    service.deliver(SUBMITTED)
    service.expire(service.row(SUBMITTED))

    assert {"expire", "waiting"}.isdisjoint(service.row(SUBMITTED))
    assert published() == []


def test_settling_a_story_whose_rows_were_removed_creates_no_rows(service: Service, published: Published) -> None:
    ready = {**SUBMITTED, "id": "ready-1", "type": "story-ready", "triggers": [{"id": "submitted-1"}]}

    service.deliver(ready)

    assert service.table.scan()["Items"] == []
    assert published() == []


def test_an_orphaned_analysis_does_not_expire(service: Service, published: Published) -> None:
    service.deliver(ANALYZED)

    service.expire(service.row(ANALYZED))

    assert published() == []


def of_article(story_id: str, url: str, timestamp: int) -> dict[str, Any]:
    story = {"id": story_id, "source_url": url}
    return {**SUBMITTED, "id": f"submitted-{story_id}", "timestamp": timestamp, "story": story}


def test_stories_about_the_same_article_corroborate_it_once(service: Service, published: Published) -> None:
    service.deliver(of_article("a", "https://www.News.example/ai/", 4_102_444_000_000))
    service.deliver(of_article("other", "https://news.example/ai?page=2", 4_102_444_000_500))
    assert published() == []

    service.deliver(of_article("b", "http://news.example/ai#top", 4_102_444_001_000))
    service.deliver(of_article("c", "https://news.example/ai", 4_102_444_002_000))

    (event,) = published()
    assert (event["type"], event["story"]["id"], event["article"]["stories"]) == ("story-corroborated", "a", ["a", "b"])


def test_an_article_is_corroborated_once_when_its_first_story_arrives_last(
    service: Service, published: Published
) -> None:
    url = "https://news.example/ai"
    for story_id, timestamp in (("b", 4_102_444_001_000), ("c", 4_102_444_002_000), ("a", 4_102_444_000_000)):
        service.deliver(of_article(story_id, url, timestamp))

    assert [event["article"]["stories"] for event in published()] == [["b", "c"]]


def test_an_article_is_not_corroborated_again_while_stories_about_it_wait(
    service: Service, published: Published
) -> None:
    url, waiting_ms = "https://news.example/ai", 3600 * 1000
    for number, story_id in enumerate("abcd"):
        service.deliver(of_article(story_id, url, 4_102_444_000_000 + number * waiting_ms))

    (marker,) = [row for row in service.table.scan()["Items"] if row["discriminator"] == "ONCE"]
    assert marker["ttl"] == service.row(of_article("d", url, 0))["ttl"]
    assert len(published()) == 1


def test_a_story_submitted_twice_does_not_corroborate_itself(service: Service, published: Published) -> None:
    story = {**SUBMITTED["story"], "source_url": "https://news.example/ai"}

    service.deliver({**SUBMITTED, "story": story})
    service.deliver({**SUBMITTED, "id": "submitted-2", "story": story})

    assert published() == []


def test_a_story_without_an_address_is_correlated_by_its_id_only(service: Service, published: Published) -> None:
    service.deliver(SUBMITTED, ANALYZED)

    assert [event["type"] for event in published()] == ["story-ready"]


def test_an_invalid_address_is_one_fault(service: Service, published: Published) -> None:
    service.deliver({**SUBMITTED, "story": {**SUBMITTED["story"], "source_url": "nowhere"}})

    (fault,) = published()
    assert (fault["type"], fault["tags"]["pipeline"]) == ("fault", "correlate-article")


@pytest.mark.parametrize(
    ("story", "pipeline"),
    [
        ({"sentiment": "neutral", "score": 0.5, "model_version": "v1"}, "collect-analyzed-story"),
        ([{"id": "newsapi-1"}], "collect-analyzed-story"),
        ("newsapi-1", "collect-analyzed-story"),
        ({**ANALYZED["story"], "score": "high"}, "evaluate-story"),
        ({**ANALYZED["story"], "sentiment": "glad"}, "evaluate-story"),
    ],
    ids=["no story id", "a list", "text", "a score of text", "an unknown sentiment"],
)
@pytest.mark.parametrize("submitted_first", [True, False])
def test_a_poison_analysis_is_exactly_one_fault(
    service: Service, published: Published, story: Any, pipeline: str, submitted_first: bool
) -> None:
    poison = {**ANALYZED, "id": "poison", "story": story}

    for event in [SUBMITTED, poison] if submitted_first else [poison, SUBMITTED]:
        service.deliver(event)

    (fault,) = published()
    assert (fault["type"], fault["tags"]["pipeline"]) == ("fault", pipeline)
    assert (fault["tags"]["source"], fault["tags"]["stage"]) == ("control-service", "test")


def test_a_later_analysis_completes_a_story_whose_first_analysis_was_a_fault(
    service: Service, published: Published
) -> None:
    poison = {**ANALYZED, "id": "poison", "story": {**ANALYZED["story"], "score": "high"}}

    service.deliver(poison, SUBMITTED)
    service.deliver(ANALYZED)

    assert [event["type"] for event in published()] == ["fault", "story-ready"]


@pytest.mark.parametrize("data", ["%%%", base64.b64encode(b"nonsense").decode(), base64.b64encode(b"[]").decode()])
def test_an_unreadable_record_is_a_fault_and_the_others_are_processed(
    service: Service, published: Published, data: str
) -> None:
    batch = to_kinesis_records([SUBMITTED, SUBMITTED])
    batch["Records"][0]["kinesis"]["data"] = data

    assert service.listener(batch, None) == {"batchItemFailures": []}

    assert [event["type"] for event in published()] == ["fault"]
    assert service.row(SUBMITTED)["data"] == "newsapi-1"


def test_without_its_table_the_listener_returns_every_record(published: Published) -> None:
    from control.handlers.listener import handler

    batch = to_kinesis_records([SUBMITTED, ANALYZED])

    assert handler(batch, None) == {
        "batchItemFailures": [{"itemIdentifier": batch["Records"][0]["kinesis"]["sequenceNumber"]}]
    }
    assert published() == []


@pytest.mark.parametrize(
    ("function", "name"),
    [
        ("listener", "story-submitted"),
        ("listener", "story-analyzed"),
        ("listener", "story-ready"),
        ("listener", "poison"),
        ("listener", "unreadable"),
        ("trigger", "collected"),
        ("trigger", "collected-analyzed"),
        ("trigger", "collected-same-article"),
        ("trigger", "correlated"),
        ("trigger", "corroborated"),
        ("trigger", "corroborated-later"),
        ("trigger", "expired"),
        ("trigger", "poison"),
        ("trigger", "no-images"),
    ],
)
def test_each_fixture_has_the_expected_result(
    service: Service, published: Published, fixture: Any, function: str, name: str
) -> None:
    expected = fixture(f"{function}-{name}.expected")
    for earlier in expected.get("after", []):
        getattr(service, earlier.partition("-")[0])(fixture(earlier), None)
    published()

    assert getattr(service, function)(fixture(f"{function}-{name}"), None) == expected["returns"]
    assert [event["type"] for event in published()] == expected["publishes"]
