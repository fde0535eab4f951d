"""The REST API: requests for stories, and the responses to invalid ones."""

import base64
import itertools
import json
from collections.abc import Callable
from decimal import Decimal
from http import HTTPStatus
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from stream_runtime import clients
from stream_runtime.testing import includes, to_api_gateway_request_v2

Call = Callable[..., "Answer"]

NEW_STORY = {
    "id": "newsapi-1",
    "source_type": "newsapi",
    "source_url": "https://news.example/ai-act",
    "title": "Parliament passes the AI act",
    "text_snippet": "After two years of talks ...",
    "author": "Jane Smith",
    "published_at": "2026-11-16T11:00:00+01:00",
    "matched_tags": ["AI", "regulation", "AI"],
}
CONTENT = {name: value for name, value in NEW_STORY.items() if name != "id"}


class Answer:
    def __init__(self, response: dict[str, Any]) -> None:
        self.status = response["statusCode"]
        self.headers = {name.lower(): value for name, value in response.get("headers", {}).items()}
        self.text = response.get("body") or ""

    @property
    def json(self) -> Any:
        return json.loads(self.text)


@pytest.fixture
def call(table: Any, context: Any) -> Call:
    from rest_bff.handlers.rest import handler

    def request(
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        query: dict[str, str] | None = None,
        base64_body: str | None = None,
        caller: str | None = None,
    ) -> Answer:
        event = to_api_gateway_request_v2(
            method=method,
            path=path,
            body=body,
            query_string_parameters=query,
            headers={"content-type": "application/json", **(headers or {})},
            authorizer={"jwt": {"claims": {"sub": caller}, "scopes": None}} if caller else None,
            route_key="$default",
        )
        if base64_body is not None:
            event |= {"body": base64_body, "isBase64Encoded": True}
        return Answer(handler(event, context))

    return request


def failing(monkeypatch: pytest.MonkeyPatch, operation: str, error: Exception) -> None:
    def fail(**_: Any) -> None:
        raise error

    monkeypatch.setattr(clients.client("dynamodb"), operation, fail)


def test_a_new_story_is_stored_and_answered_with_its_location(call: Call, table: Any) -> None:
    answer = call("POST", "/stories", NEW_STORY)

    assert (answer.status, answer.headers["location"], answer.headers["etag"]) == (201, "/stories/newsapi-1", '"1"')
    assert answer.json["matched_tags"] == ["AI", "regulation"]
    assert answer.json["published_at"] == "2026-11-16T10:00:00.000Z"
    row = table.get_item(Key={"pk": "newsapi-1", "sk": "story"})["Item"]
    assert row["discriminator"] == "story"
    assert (row["status"], row["version"]) == ("submitted", 1)
    assert "latched" not in row


def test_the_service_chooses_an_id_if_the_client_gives_none(call: Call) -> None:
    first, second = call("POST", "/stories", CONTENT), call("POST", "/stories", CONTENT)

    assert first.status == second.status == 201
    assert first.json["id"] != second.json["id"]
    assert call("GET", f"/stories/{first.json['id']}").json == first.json


def test_a_taken_id_is_a_conflict(call: Call) -> None:
    call("POST", "/stories", NEW_STORY)

    answer = call("POST", "/stories", {**NEW_STORY, "title": "Another"})

    assert (answer.status, answer.headers["content-type"]) == (409, "application/problem+json")
    assert call("GET", "/stories/newsapi-1").json["title"] == NEW_STORY["title"]


def test_a_request_repeated_with_its_key_is_answered_with_the_same_story(call: Call, table: Any) -> None:
    first = call("POST", "/stories", CONTENT, headers={"idempotency-key": "k1"})
    again = call("POST", "/stories", CONTENT, headers={"idempotency-key": "k1"})
    other = call("POST", "/stories", CONTENT, headers={"idempotency-key": "k2"})

    assert (first.status, first.headers["idempotency-replayed"]) == (201, "false")
    assert (again.status, again.headers["idempotency-replayed"], again.json) == (201, "true", first.json)
    assert again.headers["location"] == first.headers["location"]
    assert other.json["id"] != first.json["id"]
    assert len(call("GET", "/stories").json["stories"]) == 2


def test_a_key_of_another_request_is_refused(call: Call) -> None:
    call("POST", "/stories", NEW_STORY, headers={"idempotency-key": "k1"})

    answer = call("POST", "/stories", {**NEW_STORY, "id": "another"}, headers={"idempotency-key": "k1"})

    assert answer.status == 422
    assert call("GET", "/stories/another").status == 404


@pytest.mark.parametrize("other", ["bob", "ann#k1"])
def test_each_caller_has_its_own_keys(call: Call, monkeypatch: pytest.MonkeyPatch, other: str) -> None:
    monkeypatch.setenv("ACCESS", "jwt")
    first = call("POST", "/stories", CONTENT, headers={"idempotency-key": "k1"}, caller="ann")

    theirs = call("POST", "/stories", CONTENT, headers={"idempotency-key": "k1"}, caller=other)
    again = call("POST", "/stories", CONTENT, headers={"idempotency-key": "k1"}, caller="ann")

    assert (theirs.status, theirs.headers["idempotency-replayed"]) == (201, "false")
    assert theirs.json["id"] != first.json["id"]
    assert (again.status, again.json) == (201, first.json)


def test_a_new_key_does_not_release_a_taken_id(call: Call) -> None:
    call("POST", "/stories", NEW_STORY)

    assert call("POST", "/stories", NEW_STORY, headers={"idempotency-key": "k1"}).status == 409


def test_an_invalid_key_is_refused(call: Call) -> None:
    assert call("POST", "/stories", NEW_STORY, headers={"idempotency-key": "a key"}).status == 422


def test_the_api_describes_itself_from_its_models(call: Call) -> None:
    schema = call("GET", "/openapi.json").json

    assert set(schema["paths"]) == {"/dashboard", "/stories", "/stories/{id}"}
    create = schema["paths"]["/stories"]["post"]
    assert {"201", "409", "415", "422", "503"} <= create["responses"].keys()
    assert "application/problem+json" in create["responses"]["409"]["content"]
    assert {"Story", "StoryPage", "NewStory", "StoryContent", "Problem"} <= schema["components"]["schemas"].keys()
    assert {"idempotency-key"} == {parameter["name"].lower() for parameter in create["parameters"]}


def test_a_deletion_is_described_without_content(call: Call) -> None:
    described = call("GET", "/openapi.json").json["paths"]["/stories/{id}"]["delete"]["responses"]["204"]

    assert not described.get("content")


def test_the_api_describes_who_may_call_it(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = call("GET", "/openapi.json").json
    monkeypatch.setenv("ACCESS", "jwt")
    schema = call("GET", "/openapi.json").json

    assert "security" not in opened
    assert schema["security"] == [{"token": []}]
    scheme = schema["components"]["securitySchemes"]["token"]
    assert (scheme["type"], scheme["scheme"], scheme["bearerFormat"]) == ("http", "bearer", "JWT")
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            answered = {code: set(answer.get("content", {})) for code, answer in operation["responses"].items()}
            both = {"application/json", "application/problem+json"}
            assert (answered["401"], answered["429"]) == (both, {"application/json"}), (method, path)
            assert answered["403"] == (both if method in ("put", "delete") else {"application/json"}), (method, path)


def test_an_unknown_story_is_not_found(call: Call) -> None:
    answer = call("GET", "/stories/nothing")

    assert answer.status == 404
    assert answer.json == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "there is no story nothing",
        "instance": "/stories/nothing",
    }


def test_fields_of_an_event_are_read_and_survive_a_replacement(call: Call, table: Any) -> None:
    call("POST", "/stories", NEW_STORY)
    table.update_item(
        Key={"pk": "newsapi-1", "sk": "story"},
        UpdateExpression="SET sentiment = :s, score = :n, #status = :r, latched = :t",
        ExpressionAttributeNames={"#status": "status"},
        ExpressionAttributeValues={
            ":s": "neutral",
            ":n": Decimal("0.72"),
            ":r": "ready",
            ":t": True,
        },
    )

    answer = call("PUT", "/stories/newsapi-1", {**CONTENT, "title": "Changed", "author": None})

    assert answer.status == 200
    assert (answer.json["title"], answer.json["score"], answer.json["status"]) == ("Changed", 0.72, "ready")
    assert "author" not in answer.json
    row = table.get_item(Key={"pk": "newsapi-1", "sk": "story"})["Item"]
    assert "latched" not in row, "a client's change is published again"


def test_a_replacement_of_the_current_version_succeeds_and_of_a_stale_one_fails(call: Call) -> None:
    call("POST", "/stories", NEW_STORY)

    good = call("PUT", "/stories/newsapi-1", {**CONTENT, "title": "Second"}, headers={"if-match": '"1"'})
    stale = call("PUT", "/stories/newsapi-1", {**CONTENT, "title": "Third"}, headers={"if-match": '"1"'})

    assert (good.status, good.headers["etag"], stale.status) == (200, '"2"', 409)
    assert call("GET", "/stories/newsapi-1").json["title"] == "Second"


def test_replacing_an_unknown_story_creates_nothing(call: Call, table: Any) -> None:
    assert call("PUT", "/stories/nothing", CONTENT).status == 404
    assert call("PUT", "/stories/nothing", CONTENT, headers={"if-match": '"1"'}).status == 404
    assert table.scan()["Items"] == []


def test_a_deleted_story_is_gone_and_leaves_a_tombstone(call: Call, table: Any) -> None:
    call("POST", "/stories", NEW_STORY)

    assert call("DELETE", "/stories/newsapi-1", headers={"if-match": '"7"'}).status == 409
    answer = call("DELETE", "/stories/newsapi-1")

    assert (answer.status, answer.text) == (204, "")
    assert call("GET", "/stories/newsapi-1").status == 404
    assert call("PUT", "/stories/newsapi-1", CONTENT).status == 404
    assert call("DELETE", "/stories/newsapi-1").status == 404
    assert call("GET", "/stories").json["stories"] == []
    row = table.get_item(Key={"pk": "newsapi-1", "sk": "story"})["Item"]
    assert row["deleted"] is True
    assert int(row["ttl"]) - int(row["timestamp"]) // 1000 == 30 * 24 * 3600


def test_a_tombstone_expires_a_fixed_time_after_the_deletion(
    call: Call, table: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = itertools.count(1_795_000_000_000)
    monkeypatch.setattr("rest_bff.dal.stories.now_ms", lambda: next(clock))
    call("POST", "/stories", NEW_STORY)
    clock = itertools.count(1_795_000_001_999)  # the second reading is in another second

    call("DELETE", "/stories/newsapi-1")

    row = table.get_item(Key={"pk": "newsapi-1", "sk": "story"})["Item"]
    assert int(row["ttl"]) - int(row["timestamp"]) // 1000 == 30 * 24 * 3600


def test_the_list_is_read_page_by_page_newest_first(call: Call) -> None:
    for number in range(5):
        call("POST", "/stories", {**NEW_STORY, "id": f"story-{number}"})

    seen: list[str] = []
    cursor: dict[str, str] = {}
    pages = 0
    while True:
        page = call("GET", "/stories", query={"limit": "2", **cursor}).json
        seen += [story["id"] for story in page["stories"]]
        pages += 1
        if not page.get("cursor"):
            break
        cursor = {"cursor": page["cursor"]}

    assert sorted(seen) == [f"story-{number}" for number in range(5)]
    assert pages == 3


@pytest.mark.parametrize(
    "cursor", ["x", "%%%", "bnVsbA", "eyJsaXN0aW5nIjoxfQ", base64.urlsafe_b64encode(b"[" * 5000).decode()[:1999]]
)
def test_an_unknown_cursor_is_refused(call: Call, cursor: str) -> None:
    assert call("GET", "/stories", query={"cursor": cursor}).status == 422


@pytest.mark.parametrize(
    "change",
    [{"listing": "other"}, {"sk": "other"}, {"pk": ""}, {"pk": "\ud800"}, {"pk": "x" * 1100}, {"created": 10**40}],
    ids=["list", "row", "empty", "no text", "long", "number"],
)
def test_a_cursor_outside_of_the_list_is_refused(call: Call, change: dict[str, Any]) -> None:
    """DynamoDB rejects such a position; the response must not be that of a failed table."""
    from rest_bff.logic.cursors import to_cursor

    position = {"listing": "story", "created": 1_795_000_000_000, "pk": "newsapi-1", "sk": "story"}

    assert call("GET", "/stories", query={"cursor": to_cursor(position)}).status == 200
    assert call("GET", "/stories", query={"cursor": to_cursor({**position, **change})}).status == 422


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"title": ""}, "body.title"),
        ({"title": None}, "body.title"),
        ({"title": {"a": 1}}, "body.title"),
        ({"source_url": "not a url"}, "body.source_url"),
        ({"published_at": "2026-11-16T10:00:00"}, "body.published_at"),
        ({"published_at": 1e400}, "body.published_at"),
        ({"matched_tags": "AI"}, "body.matched_tags"),
        ({"matched_tags": [""]}, "body.matched_tags.0"),
        ({"id": "a/b"}, "body.id"),
        ({"id": "a b#c"}, "body.id"),
        ({"status": "ready"}, "body.status"),
        ({"text_snippet": "x" * 10_001}, "body.text_snippet"),
        ({"title": "\ud800"}, "body.title"),
    ],
)
def test_an_invalid_body_is_answered_with_the_field(call: Call, table: Any, change: dict[str, Any], field: str) -> None:
    body = json.dumps({**NEW_STORY, **change}).replace("Infinity", "1e400")
    answer = call("POST", "/stories", body)

    assert (answer.status, answer.headers["content-type"]) == (422, "application/problem+json")
    assert field in [error["field"] for error in answer.json["errors"]]
    assert table.scan()["Items"] == []


@pytest.mark.parametrize("body", ["[]", '"text"', "1", "null", "{}"])
def test_a_body_that_is_not_a_story_is_answered_with_422(call: Call, body: str) -> None:
    answer = call("POST", "/stories", body)

    assert answer.status == 422
    assert answer.json["errors"]


def test_a_missing_body_is_answered_with_422(call: Call) -> None:
    assert call("POST", "/stories").status == 422
    assert call("PUT", "/stories/a").status == 422


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("{", "not JSON: EOF while parsing an object at line 1 column 1"),
        ("nonsense", "not JSON: expected ident at line 1 column 2"),
        ('{"a": 1} x', "not JSON: trailing characters at line 1 column 10"),
        ('{"a": 1,}', "not JSON: trailing comma at line 1 column 9"),
        ("[" * 101 + "]" * 101, "nested deeper than 100 levels"),
        ("[" * 100_000, "nested deeper than 100 levels"),
    ],
    ids=["unfinished", "text", "more", "comma", "nested", "deeply nested"],
)
def test_a_body_that_is_not_json_is_a_bad_request_with_the_same_detail_on_each_python(
    call: Call, body: str, why: str
) -> None:
    answer = call("POST", "/stories", body)

    assert (answer.status, answer.json["detail"]) == (400, f"the body is {why}")


@pytest.mark.parametrize(
    ("body", "why"), [(base64.b64encode(b"\xff\xfe").decode(), "not UTF-8"), ("no base64!", "not base64")]
)
def test_an_encoded_body_that_cannot_be_decoded_is_a_bad_request(call: Call, body: str, why: str) -> None:
    answer = call("POST", "/stories", base64_body=body)

    assert (answer.status, answer.json["detail"]) == (400, f"the body is {why}")


@pytest.mark.parametrize(
    ("status", "phrase"),
    [(413, "Content Too Large"), (414, "URI Too Long"), (416, "Range Not Satisfiable"), (422, "Unprocessable Content")],
)
def test_a_status_has_the_phrase_of_rfc_9110_on_each_python(table: Any, status: int, phrase: str) -> None:
    from rest_bff.handlers.problems import phrase_of

    assert phrase_of(HTTPStatus(status)) == phrase


def test_the_description_of_the_api_has_the_phrases_of_its_answers(call: Call) -> None:
    responses = call("GET", "/openapi.json").json["paths"]["/stories"]["post"]["responses"]

    assert responses["422"]["description"] == "Unprocessable Content"


def test_an_encoded_body_is_decoded(call: Call) -> None:
    body = base64.b64encode(json.dumps(NEW_STORY).encode()).decode()

    assert call("POST", "/stories", base64_body=body).status == 201


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_body_of_another_media_type_is_refused(call: Call, media_type: str) -> None:
    assert call("POST", "/stories", NEW_STORY, headers={"content-type": media_type}).status == 415


@pytest.mark.parametrize("limit", ["0", "101", "many", "-1"])
def test_a_limit_out_of_range_is_refused(call: Call, limit: str) -> None:
    answer = call("GET", "/stories", query={"limit": limit})

    assert (answer.status, answer.json["errors"][0]["field"]) == (422, "query.limit")


def test_an_invalid_version_is_refused(call: Call) -> None:
    call("POST", "/stories", NEW_STORY)

    assert call("PUT", "/stories/newsapi-1", CONTENT, headers={"if-match": "latest"}).status == 422


def test_an_unknown_route_is_not_found(call: Call) -> None:
    answer = call("GET", "/nowhere")

    assert (answer.status, answer.headers["content-type"]) == (404, "application/problem+json")


@pytest.mark.parametrize(
    "error",
    [
        ClientError({"Error": {"Code": "ProvisionedThroughputExceededException", "Message": "slow"}}, "GetItem"),
        ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "GetItem"),
        EndpointConnectionError(endpoint_url="https://dynamodb.example"),
    ],
)
def test_a_failing_table_is_answered_with_503_and_logged(
    call: Call, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    failing(monkeypatch, "get_item", error)

    answer = call("GET", "/stories/newsapi-1")

    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert "arn" not in answer.text
    assert type(error).__name__ in caplog.text


def test_a_throttled_read_is_retried(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    call("POST", "/stories", NEW_STORY)
    real, failures = clients.client("dynamodb").get_item, [True, True]

    def sometimes(**request: Any) -> Any:
        if failures:
            failures.pop()
            raise ClientError({"Error": {"Code": "ThrottlingException", "Message": "slow"}}, "GetItem")
        return real(**request)

    monkeypatch.setattr(clients.client("dynamodb"), "get_item", sometimes)

    assert call("GET", "/stories/newsapi-1").status == 200


def test_a_bug_is_answered_with_500_and_logged(
    call: Call, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failing(monkeypatch, "get_item", KeyError("secret"))

    answer = call("GET", "/stories/newsapi-1")

    assert answer.status == 500
    assert "secret" not in answer.text
    assert "KeyError" in caplog.text


@pytest.mark.parametrize(
    "name",
    [
        "rest-create",
        "rest-list",
        "rest-read",
        "rest-replace",
        "rest-stale",
        "rest-missing",
        "rest-delete",
        "rest-dashboard",
        "rest-openapi",
        "rest-poison",
        "rest-unreadable",
    ],
)
def test_each_fixture_has_the_expected_response(
    table: Any, dashboard_table: Any, context: Any, fixture: Any, name: str
) -> None:
    from rest_bff.handlers import dashboard, rest

    expected = fixture(f"{name}.expected")
    for earlier in expected.get("after", []):
        (rest if earlier.startswith("rest-") else dashboard).handler(fixture(earlier), context)

    answer = rest.handler(fixture(name), context)

    assert includes(expected["returns"], answer), answer
