"""The dashboard: rows by day and by tag for every analyzed story, also with repeated, late and removed changes."""

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from stream_runtime.events import to_dynamodb_records
from stream_runtime.testing import to_api_gateway_request_v2

CREATED = 1_763_303_415_000  # 2025-11-16T14:30:15Z
CHANGED_S = 1_763_303_500
STORY = {
    "pk": "newsapi-1",
    "sk": "story",
    "discriminator": "story",
    "status": "ready",
    "created": CREATED,
    "timestamp": CREATED,
    "version": 1,
    "source_type": "newsapi",
    "source_url": "https://news.example/ai-act",
    "text_snippet": "European Union announces ...",
    "title": "AI act",
    "matched_tags": ["AI", "regulation", "europe"],
    "sentiment": "neutral",
    "score": Decimal("0.72"),
    "latched": True,
}
AT = "2025-11-16T14:30:15.000Z"


def change(new: Any, old: Any = None, sequence: int = 111) -> dict[str, Any]:
    batch = to_dynamodb_records(
        [
            {
                "keys": {"pk": (new or old)["pk"], "sk": "story"},
                "newImage": new,
                "oldImage": old,
                "timestamp": CHANGED_S,
            }
        ]
    )
    batch["Records"][0]["dynamodb"]["SequenceNumber"] = str(sequence)
    return batch


@pytest.fixture
def deliver(dashboard_table: Any) -> Callable[..., dict[str, Any]]:
    from rest_bff.handlers.dashboard import handler

    return lambda *args, **kwargs: handler(change(*args, **kwargs), None)


@pytest.fixture
def rows(dashboard_table: Any) -> Callable[[], dict[tuple[str, str], dict[str, Any]]]:
    return lambda: {(row["pk"], row["sk"]): row for row in dashboard_table.scan()["Items"] if not row.get("removed")}


@pytest.fixture
def read(table: Any, dashboard_table: Any, context: Any) -> Callable[..., Any]:
    from rest_bff.handlers.rest import handler

    def get(**query: str) -> Any:
        event = to_api_gateway_request_v2(method="GET", path="/dashboard", query_string_parameters=query)
        answer = handler(event, context)
        return (
            {"status": answer["statusCode"], **json.loads(answer["body"])}
            if answer["statusCode"] != 200
            else (json.loads(answer["body"]))
        )

    return get


def test_a_story_with_n_tags_has_n_plus_one_rows(deliver: Any, rows: Any) -> None:
    assert deliver(STORY) == {"batchItemFailures": []}

    assert [pk for pk, _ in sorted(rows())] == ["day#2025-11-16", "tag#AI", "tag#europe", "tag#regulation"]
    base = rows()["day#2025-11-16", f"{AT}#newsapi-1"]
    assert base == {
        "pk": "day#2025-11-16",
        "sk": f"{AT}#newsapi-1",
        "sequence": "111".zfill(40),
        "day_partition": "2025-11-16",
        "ingested_at": AT,
        "source_id": "newsapi-1",
        "source_type": "newsapi",
        "sentiment": "neutral",
        "score": Decimal("0.72"),
        "listing": "day#2025-11-16",
        "sentiment_score_combined": "neutral#0.72" + 36 * "0",
        "matched_tags": {"AI", "regulation", "europe"},
        "text_snippet": "European Union announces ...",
        "source_url": "https://news.example/ai-act",
        "expires_at": CHANGED_S + 7 * 24 * 3600,
        "ttl": CHANGED_S + 7 * 24 * 3600,
    }
    tagged = rows()["tag#AI", f"{AT}#newsapi-1"]
    assert tagged == {**base, "pk": "tag#AI", "listing": "tag#AI", "tag": "AI", "tag_of_day": "2025-11-16#AI"}


def test_stories_of_the_same_millisecond_do_not_overwrite_each_other(deliver: Any, rows: Any) -> None:
    deliver(STORY)
    deliver({**STORY, "pk": "newsapi-2"})

    assert len(rows()) == 8


def test_a_story_without_an_analysis_is_not_on_the_dashboard(deliver: Any, rows: Any) -> None:
    pending = {**STORY, "status": "submitted", "sentiment": None, "score": None}

    assert deliver(pending) == {"batchItemFailures": []}

    assert rows() == {}


def test_the_removal_of_a_row_changes_nothing(deliver: Any, rows: Any) -> None:
    deliver(STORY, sequence=1)
    before = rows()

    assert deliver(None, STORY, sequence=2) == {"batchItemFailures": []}

    assert len(before) == 4
    assert rows() == before


def test_a_story_is_not_found_by_a_removed_tag(deliver: Any, rows: Any) -> None:
    deliver(STORY, sequence=1)
    deliver({**STORY, "matched_tags": ["AI", "law"]}, STORY, sequence=2)

    assert [pk for pk, _ in sorted(rows())] == ["day#2025-11-16", "tag#AI", "tag#law"]
    assert rows()["tag#AI", f"{AT}#newsapi-1"]["matched_tags"] == {"AI", "law"}


def test_a_deleted_story_is_not_found(deliver: Any, rows: Any) -> None:
    deliver(STORY, sequence=1)
    deliver({**STORY, "deleted": True, "ttl": 1}, STORY, sequence=2)

    assert rows() == {}


def test_repeated_changes_have_no_effect(deliver: Any, rows: Any, dashboard_table: Any) -> None:
    second = {**STORY, "matched_tags": [], "sentiment": "positive", "score": Decimal("0.9")}
    deliver(STORY, sequence=99)
    deliver(second, STORY, sequence=100)
    before = dashboard_table.scan()["Items"]

    deliver(STORY, sequence=99)
    assert dashboard_table.scan()["Items"] == before

    deliver(second, STORY, sequence=100)
    assert dashboard_table.scan()["Items"] == before
    assert [row["sentiment"] for row in rows().values()] == ["positive"]


@pytest.mark.parametrize(
    "lacks",
    [
        *[{"sentiment": None}, {"score": None}, {"score": "high"}, {"created": None}],
        *[{"score": Decimal("1.01")}, {"score": Decimal(-1)}, {"sentiment": "neutral#0.9"}, {"sentiment": 7}],
    ],
)
def test_an_incomplete_story_is_a_fault_and_is_counted(
    deliver: Any, rows: Any, published: Any, capsys: pytest.CaptureFixture[str], lacks: dict[str, Any]
) -> None:
    story = {name: value for name, value in {**STORY, **lacks}.items() if value is not None}

    assert deliver(story) == {"batchItemFailures": []}

    (fault,) = published()
    assert (fault["err"]["name"], fault["tags"]["pipeline"]) == ("IncompleteStory", "denormalize-story")
    assert rows() == {}
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["StreamProcessorErrors"] == 1


@pytest.mark.parametrize("deliveries", [1, 2])
def test_processed_rows_are_measured_also_for_repeated_changes(
    deliver: Any, capsys: pytest.CaptureFixture[str], deliveries: int
) -> None:
    for _ in range(deliveries):
        deliver(STORY)

    metrics = json.loads(capsys.readouterr().out.splitlines()[-1])
    names = ("StreamProcessorSuccess", "StreamProcessorErrors", "StreamProcessorBatchSize")
    assert [metrics[name] for name in names] == [4, 0, 1]
    assert metrics["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "rest-bff-service"


def test_without_its_table_a_change_is_returned() -> None:
    from rest_bff.handlers.dashboard import handler

    assert handler(change(STORY), None) == {"batchItemFailures": [{"itemIdentifier": "111"}]}


@pytest.fixture
def filled(deliver: Any) -> None:
    scores = [("a", "positive", "0.9"), ("b", "positive", "0.5"), ("c", "neutral", "0.7"), ("d", "positive", "1")]
    for number, (story_id, sentiment, score) in enumerate(scores):
        deliver(
            {
                **STORY,
                "pk": story_id,
                "created": CREATED + number * (24 * 3600 * 1000 if story_id == "d" else 1000),
                "sentiment": sentiment,
                "score": Decimal(score),
                "matched_tags": ["AI"] if story_id != "c" else ["law"],
            }
        )


def ids(page: Any) -> list[str]:
    return [story["source_id"] for story in page["stories"]]


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"day": "2025-11-16"}, ["c", "b", "a"]),
        ({"day": "2025-11-19"}, ["d"]),
        ({"tag": "AI"}, ["d", "b", "a"]),
        ({"tag": "AI", "day": "2025-11-16"}, ["b", "a"]),
        ({"day": "2025-11-16", "sentiment": "positive"}, ["a", "b"]),
        ({"tag": "AI", "sentiment": "positive"}, ["d", "a", "b"]),
        ({"tag": "AI", "day": "2025-11-16", "sentiment": "positive"}, ["a", "b"]),
        ({"tag": "AI", "sentiment": "positive", "min_score": "0.6"}, ["d", "a"]),
        ({"tag": "AI", "sentiment": "positive", "max_score": "0.9"}, ["a", "b"]),
        ({"tag": "AI", "sentiment": "positive", "min_score": "0.6", "max_score": "0.95"}, ["a"]),
        ({"tag": "nothing"}, []),
    ],
)
def test_the_dashboard_is_read_by_day_tag_sentiment_and_score(
    read: Any, query: dict[str, str], expected: list[str]
) -> None:
    assert ids(read(**query)) == expected


@pytest.mark.parametrize(
    ("least", "most", "expected"),
    [
        ("0.765", "1", ["a"]),
        ("0", "0.765", ["a"]),
        ("0.765", "0.765", ["a"]),
        ("0.759", "0.761", []),
        ("0.7651", "1", []),
        ("0", "0.7649", []),
    ],
)
def test_scores_are_compared_exactly(deliver: Any, read: Any, least: str, most: str, expected: list[str]) -> None:
    deliver({**STORY, "pk": "a", "score": Decimal("0.765")})

    assert ids(read(tag="AI", sentiment="neutral", min_score=least, max_score=most)) == expected


def test_a_score_below_the_smallest_number_of_dynamodb_is_not_an_error(deliver: Any, read: Any) -> None:
    """Its smallest number above zero is 1E-130 (developer guide, "Data types"); it rejects a smaller one."""
    from stream_runtime import clients

    deliver({**STORY, "pk": "a", "score": Decimal("0.765")})
    asked: list[Any] = []
    clients.client("dynamodb").meta.events.register(
        "provide-client-params.dynamodb.Query", lambda params, **_: asked.append(params["ExpressionAttributeValues"])
    )

    assert ids(read(tag="AI", sentiment="neutral", min_score="1e-200")) == ["a"]
    assert [values[":least"]["S"] for values in asked] == ["neutral#0." + 38 * "0"]


def test_minus_zero_is_zero(deliver: Any, read: Any) -> None:
    deliver({**STORY, "pk": "none", "score": Decimal("-0.0")})
    deliver({**STORY, "pk": "some", "score": Decimal("0.765")})

    assert ids(read(tag="AI", sentiment="neutral", min_score="-0.0")) == ["some", "none"]
    assert ids(read(tag="AI", sentiment="neutral", max_score="-0.0")) == ["none"]
    assert ids(read(tag="AI", sentiment="neutral", min_score="-0", max_score="-0.00e-5")) == ["none"]


def test_scores_of_all_digits_that_dynamodb_has_are_in_order(deliver: Any, read: Any) -> None:
    digits = "0." + "7" * 37
    for last in "536":
        deliver({**STORY, "pk": last, "score": Decimal(digits + last)})

    assert ids(read(tag="AI", sentiment="neutral")) == ["6", "5", "3"]


@pytest.mark.parametrize("sentiment", [{}, {"sentiment": "neutral"}])
def test_a_range_of_scores_without_a_score_is_refused(read: Any, sentiment: dict[str, str]) -> None:
    answer = read(tag="AI", **sentiment, min_score="0.9", max_score="0.5")

    assert answer["status"] == 422
    assert not sentiment or answer["detail"] == "min_score 0.9 is above max_score 0.5"


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("query", [{"tag": "AI"}, {"tag": "AI", "sentiment": "positive"}])
def test_the_dashboard_is_read_page_by_page(read: Any, query: dict[str, str]) -> None:
    whole = ids(read(**query))

    first = read(**query, limit="2")
    rest = read(**query, limit="2", cursor=first["cursor"])

    assert ids(first) + ids(rest) == whole
    assert rest.get("cursor") is None


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize(
    ("given_for", "asked"),
    [
        ({"day": "2025-11-16"}, {"tag": "AI"}),
        ({"tag": "AI"}, {"tag": "law"}),
        ({"tag": "AI"}, {"tag": "AI", "day": "2025-11-16"}),
        ({"tag": "AI", "sentiment": "positive"}, {"tag": "AI"}),
        ({"tag": "AI", "sentiment": "positive"}, {"tag": "law", "sentiment": "positive"}),
        ({"tag": "AI", "sentiment": "positive"}, {"tag": "AI", "sentiment": "negative"}),
        ({"tag": "AI", "sentiment": "positive"}, {"tag": "AI", "sentiment": "positive", "max_score": "0.9"}),
        ({"tag": "AI"}, {"tag": "AI", "sentiment": "positive"}),
    ],
)
def test_a_cursor_of_another_query_is_refused(read: Any, given_for: dict[str, str], asked: dict[str, str]) -> None:
    """DynamoDB rejects a position outside of the queried rows."""
    cursor = read(**given_for, limit="1")["cursor"]

    assert read(**asked, cursor=cursor)["status"] == 422


def test_a_page_is_full_after_rows_were_removed(deliver: Any, read: Any) -> None:
    for number in range(6):
        story = {**STORY, "pk": f"story-{number}", "created": CREATED + number}
        deliver(story, sequence=1)
        if number % 2:
            deliver({**story, "deleted": True}, story, sequence=2)

    assert ids(read(day="2025-11-16", limit="3")) == ["story-4", "story-2", "story-0"]


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"day": "yesterday"},
        {"day": "2025-11-16", "min_score": "0.5"},
        {"tag": "AI", "sentiment": "glad"},
        {"tag": "AI", "sentiment": "positive", "min_score": "2"},
        {"tag": "AI", "cursor": "x"},
    ],
)
def test_a_query_without_an_index_is_refused(read: Any, query: dict[str, str]) -> None:
    assert read(**query)["status"] == 422


def test_the_dashboard_is_never_scanned(filled: None, read: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from stream_runtime import clients

    monkeypatch.setattr(clients.client("dynamodb"), "scan", None)

    assert ids(read(tag="AI")) == ["d", "b", "a"]


@pytest.mark.parametrize(
    "name", ["dashboard-story-ready", "dashboard-tag-removed", "dashboard-story-deleted", "dashboard-poison"]
)
def test_each_fixture_has_the_expected_result(fixture: Any, rows: Any, published: Any, name: str) -> None:
    from rest_bff.handlers.dashboard import handler

    expected = fixture(f"{name}.expected")
    for earlier in expected.get("after", []):
        handler(fixture(earlier), None)

    assert handler(fixture(name), None) == expected["returns"]
    assert [event["type"] for event in published()] == expected["publishes"]
    assert [pk for pk, _ in sorted(rows())] == expected["rows"]
