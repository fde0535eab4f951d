"""Personal fields: encrypted in rows, messages, events and faults, and shown to those who may change the story."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from stream_runtime import encryption
from stream_runtime.events import to_dynamodb_records
from stream_runtime.expressions import unmarshall
from stream_runtime.testing import to_api_gateway_request_v2

Ask = Callable[..., dict[str, Any]]

ANN, BOB = "auth0|ann-7f3a", "auth0|bob-91c2"
EMAIL, OTHER = "ada@example.org", "grace@example.org"
CONTENT = {
    "source_type": "newsapi",
    "source_url": "https://news.example/ai-act",
    "title": "Parliament passes the AI act",
    "text_snippet": "After two years of talks ...",
    "published_at": "2026-11-16T11:00:00+01:00",
    "contact": EMAIL,
}
WITHOUT = {name: value for name, value in CONTENT.items() if name != "contact"}
STORY = {"id": "newsapi-1", **CONTENT}
KEYS = {"pk": "newsapi-1", "sk": "story"}


@pytest.fixture(autouse=True)
def key(environment: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The key of KMS; the process has no data keys yet."""
    arn: str = boto3.client("kms").create_key()["KeyMetadata"]["Arn"]
    monkeypatch.setenv("ENCRYPTION_KEYS", arn)
    encryption.forget()
    yield arn
    encryption.forget()


@pytest.fixture
def ask(table: Any, dashboard_table: Any, context: Any, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Send a request as somebody."""
    from rest_bff.handlers.rest import handler

    monkeypatch.setenv("ACCESS", "jwt")
    monkeypatch.setenv("ADMIN_SCOPE", "stories/admin")

    def request(method: str, path: str, body: Any = None, sub: str = ANN, **claims: str) -> dict[str, Any]:
        event = to_api_gateway_request_v2(
            method=method,
            path=path,
            body=body,
            headers={"content-type": "application/json", "idempotency-key": "1"},
            authorizer={"jwt": {"claims": {"sub": sub, **claims}, "scopes": None}},
            route_key="$default",
        )
        return handler(event, context)

    return request


def contact(answer: dict[str, Any]) -> Any:
    assert answer["statusCode"] in (200, 201), answer
    return json.loads(answer["body"]).get("contact")


def stored(table: Any) -> dict[str, Any]:
    return table.get_item(Key=KEYS)["Item"]


def messages(table: Any) -> list[dict[str, Any]]:
    rows = [row for row in table.scan()["Items"] if row["discriminator"] == "outbox"]
    return [json.loads(row["message"]) for row in sorted(rows, key=lambda row: row["sk"])]


def test_rows_and_messages_are_encrypted_and_those_who_may_change_a_story_read_it(ask: Ask, table: Any) -> None:
    assert contact(ask("POST", "/stories", STORY)) == EMAIL
    assert contact(ask("GET", "/stories/newsapi-1")) == EMAIL
    assert contact(ask("GET", "/stories/newsapi-1", sub=BOB, scope="stories/admin")) == EMAIL
    assert contact(ask("POST", "/stories", STORY)) == EMAIL, "repeated"

    assert EMAIL not in json.dumps(table.scan()["Items"], default=str)
    assert stored(table)["contact"].startswith("ENCRYPTED")
    (message,) = messages(table)
    assert encryption.decrypt(message)["story"]["contact"] == EMAIL


def test_others_do_not_see_that_there_is_one(ask: Ask) -> None:
    ask("POST", "/stories", STORY)

    assert "contact" not in ask("GET", "/stories/newsapi-1", sub=BOB)["body"]
    for sub in (ANN, BOB):
        assert "contact" not in ask("GET", "/stories", sub=sub)["body"], "a list decrypts nothing"


@pytest.mark.parametrize(("body", "expected"), [({**CONTENT, "contact": OTHER}, OTHER), (WITHOUT, None)])
def test_a_put_replaces_or_removes_them(ask: Ask, table: Any, body: Any, expected: Any) -> None:
    ask("POST", "/stories", STORY)

    assert contact(ask("PUT", "/stories/newsapi-1", body)) == expected
    assert contact(ask("GET", "/stories/newsapi-1")) == expected
    assert ("contact" in stored(table), "encryption" in stored(table)) == (bool(expected), bool(expected))
    assert encryption.decrypt(messages(table)[-1])["story"].get("contact") == expected


def test_the_message_of_a_deletion_has_them_still_and_the_tombstone_stays_encrypted(ask: Ask, table: Any) -> None:
    ask("POST", "/stories", STORY)
    before = stored(table)

    assert ask("DELETE", "/stories/newsapi-1")["statusCode"] == 204
    assert (stored(table)["contact"], stored(table)["encryption"]) == (before["contact"], before["encryption"])
    assert EMAIL not in json.dumps(table.scan()["Items"], default=str)
    assert encryption.decrypt(messages(table)[-1])["story"]["contact"] == EMAIL


def test_a_story_without_them_needs_no_key(ask: Ask, table: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ENCRYPTION_KEYS")

    assert contact(ask("POST", "/stories", {"id": "newsapi-1", **WITHOUT})) is None
    assert contact(ask("PUT", "/stories/newsapi-1", WITHOUT)) is None
    assert contact(ask("GET", "/stories/newsapi-1")) is None
    assert "encryption" not in stored(table)


def test_a_row_whose_field_comes_from_another_story_is_not_read(ask: Ask, table: Any) -> None:
    ask("POST", "/stories", STORY)
    other = {**stored(table), "pk": "newsapi-2"}
    table.put_item(Item=other)

    answer = ask("GET", "/stories/newsapi-2")
    assert (answer["statusCode"], EMAIL in answer["body"]) == (500, False)


def test_while_the_key_cannot_be_used_nothing_is_written(
    ask: Ask, table: Any, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENCRYPTION_KEYS", key[:-12] + "0" * 12)

    answer = ask("POST", "/stories", STORY)
    assert (answer["statusCode"], answer["headers"]["Retry-After"]) == (503, "1")
    assert table.scan()["Items"] == []


@pytest.mark.parametrize(
    "value", ["", "ada", "@example.org", "ada@", "a@b@c", "ada @example.org", "a\n@b", "é@b", "a" * 250 + "@b.de"]
)
def test_what_is_no_address_is_refused(ask: Ask, table: Any, value: str) -> None:
    assert ask("POST", "/stories", {**STORY, "contact": value})["statusCode"] == 422


def row_of(ask: Ask, table: Any) -> dict[str, Any]:
    """The row of a story as the table's stream has it."""
    ask("POST", "/stories", STORY)
    answer = boto3.client("dynamodb").get_item(
        TableName=table.name, Key={"pk": {"S": "newsapi-1"}, "sk": {"S": "story"}}
    )
    return unmarshall(answer["Item"])


@pytest.mark.parametrize("removed", [False, True])
def test_events_are_encrypted_for_their_consumers(ask: Ask, table: Any, published: Any, removed: bool) -> None:
    from rest_bff.handlers.trigger import handler

    row = row_of(ask, table)
    images = {"oldImage": row, "newImage": None} if removed else {"oldImage": None, "newImage": row}
    assert handler(to_dynamodb_records([{"keys": KEYS, **images}]), None) == {"batchItemFailures": []}

    (event,) = published()
    assert event["story"]["contact"].startswith("ENCRYPTED")
    assert EMAIL not in json.dumps(event)
    assert encryption.decrypt(event)["story"]["contact"] == EMAIL


def test_a_fault_has_the_row_as_it_is_stored(ask: Ask, table: Any, published: Any) -> None:
    from rest_bff.handlers.trigger import handler

    row = row_of(ask, table)
    broken = {name: value for name, value in row.items() if name != "pk"}
    handler(to_dynamodb_records([{"keys": KEYS, "oldImage": row, "newImage": broken}]), None)

    (fault,) = published()
    assert fault["type"] == "fault"
    assert row["contact"] in json.dumps(fault)
    assert EMAIL not in json.dumps(fault)
