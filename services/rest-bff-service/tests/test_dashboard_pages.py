"""Pages of the dashboard: one query each, which reads no row that the page does not show."""

import itertools
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from stream_runtime import clients
from stream_runtime.testing import to_api_gateway_request_v2

DAY_MS = 24 * 3600 * 1000
CREATED = 1_763_253_000_000  # 2025-11-16T00:30:00Z
LEFT_OUT = 125
SHOWN = 25
LIMIT = 20
PAGES = 2
PARAMETERS = {"day": "2025-11-16", "tag": "AI", "sentiment": "neutral", "min_score": "0.25", "max_score": "0.7501"}
QUERIES = [
    {name: PARAMETERS[name] for name in names}
    for names in itertools.chain.from_iterable(itertools.combinations(PARAMETERS, count) for count in range(1, 6))
    if {"day", "tag"} & set(names) and ("sentiment" in names or not {"min_score", "max_score"} & set(names))
]

Read = Callable[[dict[str, str]], dict[str, Any]]


def story(number: int, **other: Any) -> dict[str, Any]:
    """A story on the day, with the tag, the sentiment and a score in the range."""
    return {
        "pk": f"story-{number:05}",
        "status": "ready",
        "created": CREATED + number,
        "matched_tags": ["AI"],
        "sentiment": "neutral",
        "score": Decimal("0.25") + Decimal(number) / 10_000,
        **other,
    }


def left_out(number: int) -> dict[str, Any]:
    """A story that one of the parameters leaves out, each in its turn; the scores are close to the range."""
    others: list[dict[str, Any]] = [
        {"created": CREATED + DAY_MS + number},
        {"matched_tags": ["law"]},
        {"sentiment": "positive"},
        {"score": Decimal("0.2499") + Decimal(number) / 10**8},
        {"score": Decimal("0.750101") + Decimal(number) / 10**8},
        {"deleted": True},
    ]
    return story(number, **others[number % len(others)])


def is_asked_for(one: dict[str, Any], query: dict[str, str]) -> bool:
    return (
        not one.get("deleted")
        and ("day" not in query or one["created"] < CREATED + DAY_MS)
        and ("tag" not in query or query["tag"] in one["matched_tags"])
        and one["sentiment"] == query.get("sentiment", one["sentiment"])
        and Decimal(query.get("min_score", 0)) <= one["score"] <= Decimal(query.get("max_score", 1))
    )


@pytest.fixture
def read(table: Any, dashboard_table: Any, context: Any) -> Read:
    from rest_bff.handlers.rest import handler

    def get(query: dict[str, str]) -> dict[str, Any]:
        event = to_api_gateway_request_v2(method="GET", path="/dashboard", query_string_parameters=query)
        answer = handler(event, context)
        assert answer["statusCode"] == 200, answer
        page: dict[str, Any] = json.loads(answer["body"])
        return page

    return get


@pytest.fixture
def stories(dashboard_table: Any) -> list[dict[str, Any]]:
    from rest_bff.logic.dashboard import rows_of_change

    every = [left_out(number) if number % (LEFT_OUT // SHOWN) else story(number) for number in range(LEFT_OUT + SHOWN)]
    with dashboard_table.batch_writer() as batch:
        for number, one in enumerate(every):
            before = {**one, "deleted": False}
            for row in rows_of_change(one, before, str(number), CREATED // 1000, 3600):
                batch.put_item(Item=row)
    return every


@pytest.fixture
def queries(dashboard_table: Any) -> list[int]:
    """How many rows each query has read."""
    read: list[int] = []
    events = clients.client("dynamodb").meta.events
    events.register("after-call.dynamodb.Query", lambda parsed, **_: read.append(parsed["ScannedCount"]))
    return read


def test_a_page_is_one_query_that_reads_its_rows_and_no_others(
    stories: list[dict[str, Any]], read: Read, queries: list[int]
) -> None:
    assert len(QUERIES) == 15
    for query in QUERIES:
        key = "score" if "sentiment" in query else "created"
        expected = sorted((one for one in stories if is_asked_for(one, query)), key=lambda one: one[key], reverse=True)
        found: list[dict[str, Any]] = []
        cursor: dict[str, str] = {}
        for _ in range(PAGES):
            queries.clear()
            page = read({**query, "limit": str(LIMIT), **cursor})
            found += page["stories"]
            assert queries == [len(page["stories"])]
            if not page.get("cursor"):
                break
            assert len(page["stories"]) == LIMIT
            cursor = {"cursor": page["cursor"]}

        assert (query, [one["source_id"] for one in found]) == (query, [one["pk"] for one in expected][: PAGES * LIMIT])


def test_a_page_that_dynamodb_ends_early_has_a_cursor(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    """A query reads 1 MB at the most; the next page goes on where it stopped."""
    position = {"listing": {"S": "tag#AI"}, "pk": {"S": "tag#AI"}, "sk": {"S": "2025-11-16T00:30:00.000Z#story-1"}}
    asked: list[dict[str, Any]] = []

    def nothing_yet(**request: Any) -> dict[str, Any]:
        asked.append(request)
        return {"Items": [], "LastEvaluatedKey": position}

    monkeypatch.setattr(clients.client("dynamodb"), "query", nothing_yet)

    page = read({"tag": "AI"})
    read({"tag": "AI", "cursor": page["cursor"]})

    assert page["stories"] == []
    assert [request.get("ExclusiveStartKey") for request in asked] == [None, position]


def test_the_description_of_the_api_says_what_a_page_reads_and_when_it_is_the_last(table: Any, context: Any) -> None:
    from rest_bff.handlers.rest import handler

    answer = handler(to_api_gateway_request_v2(method="GET", path="/openapi.json"), context)
    description = json.loads(answer["body"])

    for path, page in (("/dashboard", "DashboardPage"), ("/stories", "StoryPage")):
        parameters = {one["name"]: one for one in description["paths"][path]["get"]["parameters"]}
        assert parameters["limit"]["description"] == "rows that are read for a page, at the most"
        assert parameters["limit"]["schema"]["maximum"] == 100
        cursor = description["components"]["schemas"][page]["properties"]["cursor"]["description"]
        assert "only the last page has none" in cursor
