"""Who may change a story: its owner, or somebody with the admin scope; whoever has no subject is nobody."""

import itertools
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from rest_bff.logic.callers import caller_of
from stream_runtime import clients
from stream_runtime.events import to_dynamodb_records
from stream_runtime.testing import to_api_gateway_request_v2

Ask = Callable[..., dict[str, Any]]

ANN, BOB = "auth0|ann-7f3a", "auth0|bob-91c2"
STORY = {
    "id": "newsapi-1",
    "source_type": "newsapi",
    "source_url": "https://news.example/ai-act",
    "title": "Parliament passes the AI act",
    "text_snippet": "After two years of talks ...",
    "published_at": "2026-11-16T11:00:00+01:00",
}
CONTENT = {name: value for name, value in STORY.items() if name != "id"}
KEY = {"pk": "newsapi-1", "sk": "story"}


@pytest.fixture
def ask(table: Any, dashboard_table: Any, context: Any, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Send a request as somebody; without a subject, as API Gateway hands it over where access is open."""
    from rest_bff.handlers.rest import handler

    monkeypatch.setenv("ACCESS", "jwt")
    monkeypatch.setenv("ADMIN_SCOPE", "stories/admin")

    def request(
        method: str, path: str, body: Any = None, sub: Any = None, headers: dict[str, str] | None = None, **claims: Any
    ) -> dict[str, Any]:
        given = {**claims, **({} if sub is None else {"sub": sub})}
        event = to_api_gateway_request_v2(
            method=method,
            path=path,
            body=body,
            headers={"content-type": "application/json", **(headers or {})},
            authorizer={"jwt": {"claims": given, "scopes": None}} if given else None,
            route_key="$default",
        )
        return handler(event, context)

    return request


def owner_id(sub: str) -> str:
    return caller_of({"sub": sub}, "").id


def status(answer: dict[str, Any]) -> int:
    return int(answer["statusCode"])


def stored(table: Any) -> dict[str, Any]:
    return table.get_item(Key=KEY)["Item"]


def test_a_new_story_keeps_its_creator_without_naming_anybody(ask: Ask, table: Any) -> None:
    for sub, headers in ((ANN, {}), (BOB, {}), (BOB, {"idempotency-key": "1"})):
        assert status(ask("POST", "/stories", CONTENT, sub, headers)) == 201

    owners = [row["owner"] for row in table.scan()["Items"] if row["sk"] == "story"]
    assert sorted(owners) == sorted([owner_id(ANN), owner_id(BOB), owner_id(BOB)])
    assert "ann-7f3a" not in json.dumps(table.scan()["Items"], default=str)


def test_the_same_subject_of_another_issuer_is_somebody_else(ask: Ask, table: Any) -> None:
    ask("POST", "/stories", STORY, ANN, iss="https://login.my-company.example/")

    assert status(ask("DELETE", "/stories/newsapi-1", None, ANN, iss="https://login.another.example/")) == 403
    assert status(ask("DELETE", "/stories/newsapi-1", None, ANN, iss="https://login.my-company.example/")) == 204


@pytest.mark.parametrize("sub", ["\ud800", "x" * 9_000, 'a"b', "a\0b"])
def test_a_subject_may_be_any_text(ask: Ask, sub: str) -> None:
    assert status(ask("POST", "/stories", STORY, sub)) == 201
    assert status(ask("PUT", "/stories/newsapi-1", CONTENT, f"{sub}x")) == 403
    assert status(ask("PUT", "/stories/newsapi-1", CONTENT, sub)) == 200


def test_the_owner_changes_and_deletes_the_story_and_stays_its_owner(ask: Ask, table: Any) -> None:
    ask("POST", "/stories", STORY, ANN)

    assert status(ask("PUT", "/stories/newsapi-1", {**CONTENT, "title": "Changed"}, ANN)) == 200
    assert (stored(table)["title"], stored(table)["owner"]) == ("Changed", owner_id(ANN))
    assert status(ask("DELETE", "/stories/newsapi-1", None, ANN)) == 204


@pytest.mark.parametrize("sub", [BOB, ANN.upper(), f"{ANN} ", f" {ANN}", ANN[:-1], f"{ANN}x", f"[{ANN}]"])
def test_somebody_else_changes_nothing(ask: Ask, table: Any, sub: str) -> None:
    ask("POST", "/stories", STORY, ANN)
    before = table.scan()["Items"]

    for body, if_match in itertools.product(({**CONTENT, "title": "Mine"}, None), ({}, {"if-match": '"1"'})):
        answer = ask("PUT" if body else "DELETE", "/stories/newsapi-1", body, sub, if_match)

        assert (status(answer), answer["headers"]["Content-Type"]) == (403, "application/problem+json")
        assert json.loads(answer["body"])["detail"] == "story newsapi-1 belongs to somebody else"
    assert table.scan()["Items"] == before


def test_whether_the_version_is_the_current_one_is_not_told_to_somebody_else(ask: Ask) -> None:
    ask("POST", "/stories", STORY, ANN)

    assert status(ask("DELETE", "/stories/newsapi-1", None, BOB, {"if-match": '"2"'})) == 403


def test_everybody_reads_every_story(ask: Ask) -> None:
    created = ask("POST", "/stories", STORY, ANN)

    assert ask("GET", "/stories/newsapi-1", None, BOB)["body"] == created["body"]
    assert [story["id"] for story in json.loads(ask("GET", "/stories", None, BOB)["body"])["stories"]] == ["newsapi-1"]


@pytest.mark.parametrize("claims", [{"scope": "stories/write stories/admin"}, {"scp": "[stories/write stories/admin]"}])
def test_an_admin_changes_stories_of_others_and_does_not_become_their_owner(
    ask: Ask, table: Any, claims: dict[str, str]
) -> None:
    ask("POST", "/stories", STORY, ANN)

    assert status(ask("PUT", "/stories/newsapi-1", {**CONTENT, "title": "Moderated"}, BOB, **claims)) == 200
    assert (stored(table)["title"], stored(table)["owner"]) == ("Moderated", owner_id(ANN))
    assert status(ask("DELETE", "/stories/newsapi-1", None, BOB, **claims)) == 204


def test_another_scope_or_claim_makes_nobody_an_admin(ask: Ask) -> None:
    ask("POST", "/stories", STORY, ANN)

    for claims in (
        {"scope": "stories/write stories/administrator"},
        {"scope": "stories/write,stories/admin"},
        {"scope": "STORIES/ADMIN"},
        {"scp": "[stories/admin"},
        {"permissions": "stories/admin"},
        {"role": "admin", "admin": "true", "stories/admin": "true"},
    ):
        assert status(ask("DELETE", "/stories/newsapi-1", None, BOB, **claims)) == 403, claims


def test_without_an_admin_scope_nobody_is_an_admin(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADMIN_SCOPE", "")
    ask("POST", "/stories", STORY, ANN)

    for scope in ("", " ", "stories/write", "stories/admin"):
        assert status(ask("DELETE", "/stories/newsapi-1", None, BOB, scope=scope)) == 403, scope


def test_a_body_cannot_name_an_owner(ask: Ask, table: Any) -> None:
    ask("POST", "/stories", STORY, ANN)

    for name in ("owner", "sub", "pk", "listing"):
        assert status(ask("POST", "/stories", {**CONTENT, "id": name, name: BOB}, ANN)) == 422, name
        assert status(ask("PUT", "/stories/newsapi-1", {**CONTENT, name: BOB}, ANN)) == 422, name
    assert [row["owner"] for row in table.scan()["Items"] if row["sk"] == "story"] == [owner_id(ANN)]


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_a_story_without_owner_is_changed_by_anybody_and_stays_so(ask: Ask, table: Any, method: str) -> None:
    """It was made while the stage was open."""
    ask("POST", "/stories", STORY, ANN)
    table.update_item(Key=KEY, UpdateExpression="REMOVE #owner", ExpressionAttributeNames={"#owner": "owner"})

    assert status(ask(method, "/stories/newsapi-1", CONTENT if method == "PUT" else None, BOB)) in (200, 204)
    assert "owner" not in stored(table)


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_a_story_with_an_owner_is_changed_by_nobody_in_a_stage_that_was_opened_later(
    ask: Ask, table: Any, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    ask("POST", "/stories", STORY, ANN)
    monkeypatch.setenv("ACCESS", "open")

    assert status(ask(method, "/stories/newsapi-1", CONTENT if method == "PUT" else None)) == 403
    assert status(ask("POST", "/stories", {**STORY, "id": "open"})) == 201
    assert status(ask(method, "/stories/open", CONTENT if method == "PUT" else None)) in (200, 204)


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_a_story_that_became_somebody_elses_after_it_was_read_is_not_changed(
    ask: Ask, table: Any, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """Ann's story was deleted, its tombstone expired, and Bob took the id, all between the read and the write."""
    ask("POST", "/stories", STORY, ANN)
    dynamodb = clients.client("dynamodb")
    get_story = dynamodb.get_item
    stale = [get_story(TableName="test-entities", Key={"pk": {"S": "newsapi-1"}, "sk": {"S": "story"}})]
    for row in table.scan()["Items"]:
        table.delete_item(Key={"pk": row["pk"], "sk": row["sk"]})
    ask("POST", "/stories", {**STORY, "title": "Bob's"}, BOB)
    monkeypatch.setattr(dynamodb, "get_item", lambda **request: stale.pop() if stale else get_story(**request))

    answer = ask(method, "/stories/newsapi-1", {**CONTENT, "title": "Ann's"} if method == "PUT" else None, ANN)

    assert status(answer) == 403
    assert stale == []
    assert (stored(table)["title"], stored(table)["owner"], stored(table)["version"]) == ("Bob's", owner_id(BOB), 1)


def test_a_deleted_story_is_nobodys_to_change_and_its_id_nobodys_to_take(ask: Ask, table: Any) -> None:
    ask("POST", "/stories", STORY, ANN)
    ask("DELETE", "/stories/newsapi-1", None, ANN)

    for sub in (ANN, BOB):
        assert status(ask("PUT", "/stories/newsapi-1", CONTENT, sub)) == 404
        assert status(ask("DELETE", "/stories/newsapi-1", None, sub)) == 404
        assert status(ask("POST", "/stories", STORY, sub)) == 409
    assert (stored(table)["deleted"], stored(table)["owner"]) == (True, owner_id(ANN))


def test_an_owner_is_in_no_response_message_or_event(ask: Ask, table: Any, published: Any) -> None:
    from rest_bff.handlers import trigger

    answers = [
        ask("POST", "/stories", STORY, ANN),
        ask("PUT", "/stories/newsapi-1", CONTENT, ANN),
        ask("GET", "/stories/newsapi-1", None, ANN),
        ask("GET", "/stories", None, ANN),
        ask("PUT", "/stories/newsapi-1", CONTENT, BOB),
    ]
    row = stored(table)
    trigger.handler(to_dynamodb_records([{"keys": KEY, "oldImage": None, "newImage": row}]), None)
    trigger.handler(to_dynamodb_records([{"keys": KEY, "oldImage": row, "newImage": {**row, "version": 3}}]), None)
    messages = [each["message"] for each in table.scan()["Items"] if each["sk"].startswith("outbox#")]

    events = published()
    assert (len(messages), len(events)) == (2, 2)
    assert row["owner"] == owner_id(ANN)
    for said in (answers, messages, events):
        assert not re.search("ann-7f3a|owner|" + owner_id(ANN), json.dumps(said, default=str))


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"scope": "stories/read stories/write stories/admin"},
        *({"sub": sub} for sub in ("", " ", "\t\n", "\u2003", "null", 5, ["ann"], {"a": 1}, True)),
    ],
)
def test_a_token_without_a_subject_is_refused(ask: Ask, table: Any, claims: dict[str, Any]) -> None:
    for method, path, body in (
        *[
            ("GET", path, None)
            for path in ("/stories", "/stories/newsapi-1", "/dashboard", "/nothing", "/openapi.json/x")
        ],
        *[("POST", "/stories", body) for body in (STORY, "{", None)],
        *[("PUT", "/stories/newsapi-1", CONTENT), ("DELETE", "/stories/newsapi-1", None)],
    ):
        answer = ask(method, path, body, **claims)

        assert (status(answer), answer["headers"]["Content-Type"]) == (401, "application/problem+json"), path
        assert answer["headers"]["WWW-Authenticate"] == 'Bearer error="invalid_token"'
        assert json.loads(answer["body"])["detail"] == "the token has no sub, so it names nobody"
    assert table.scan()["Items"] == []


def test_the_description_of_the_api_needs_no_subject(ask: Ask) -> None:
    assert status(ask("GET", "/openapi.json")) == 200


def test_where_access_is_open_nobody_needs_a_subject(ask: Ask, table: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCESS", "open")

    assert status(ask("POST", "/stories", STORY)) == 201
    assert "owner" not in stored(table)


@pytest.mark.parametrize("access", ["", "Open", "open ", "none", "jwt,open"])
def test_an_access_that_is_neither_is_refused(monkeypatch: pytest.MonkeyPatch, access: str) -> None:
    from rest_bff.settings import ACCESS
    from stream_runtime.errors import InvalidSetting

    monkeypatch.setenv("ACCESS", access)
    with pytest.raises(InvalidSetting, match="ACCESS"):
        ACCESS.read()
