"""Clients that write one story at the same time: each is answered, and the versions and messages say who wrote when."""

import itertools
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
from stream_runtime import clients
from stream_runtime.testing import to_api_gateway_request_v2

CONTENT = {
    "source_type": "newsapi",
    "source_url": "https://news.example/ai-act",
    "title": "First",
    "text_snippet": "After two years of talks ...",
    "published_at": "2026-11-16T11:00:00+01:00",
}
SOON_S = 0.05

Put = Callable[..., dict[str, Any]]


@pytest.fixture
def send(table: Any, context: Any, monkeypatch: pytest.MonkeyPatch) -> Put:
    from rest_bff.handlers import rest

    monkeypatch.setattr(rest, "RETRIES_S", SOON_S)

    def request(method: str, path: str, **rest_of_it: Any) -> dict[str, Any]:
        answer = rest.handler(to_api_gateway_request_v2(method=method, path=path, **rest_of_it), context)
        headers = {name.lower(): value for name, value in answer["headers"].items()}
        return {**json.loads(answer.get("body") or "{}"), "status": answer["statusCode"], "headers": headers}

    return request


@pytest.fixture
def outbox(table: Any) -> Callable[[], list[str]]:
    """Returns the types of the messages in the table, in the order of the story's versions."""

    def read() -> list[str]:
        rows = sorted((row for row in table.scan()["Items"] if row["discriminator"] == "outbox"), key=lambda r: r["sk"])
        return [json.loads(row["message"])["type"] for row in rows]

    return read


def cancelled(*codes: str) -> Exception:
    error: Exception = clients.client("dynamodb").exceptions.TransactionCanceledException(
        {
            "Error": {"Code": "TransactionCanceledException", "Message": "cancelled"},
            "CancellationReasons": [{"Code": code} for code in codes],
        },
        "TransactWriteItems",
    )
    return error


@pytest.fixture
def cancel(monkeypatch: pytest.MonkeyPatch, table: Any) -> Callable[..., None]:
    """Cancels so many transactions for these reasons; all from now on if it is not said how many."""

    def cancel_all(*codes: str, times: int | None = None) -> None:
        real = clients.client("dynamodb").transact_write_items
        numbers = itertools.count()

        def write(**request: Any) -> Any:
            if times is None or next(numbers) < times:
                raise cancelled(*codes)
            return real(**request)

        monkeypatch.setattr(clients.client("dynamodb"), "transact_write_items", write)

    return cancel_all


WRITES = [("POST", "/stories"), ("PUT", "/stories/a"), ("DELETE", "/stories/a")]


@pytest.mark.parametrize("headers", [{}, {"idempotency-key": "k1"}])
@pytest.mark.parametrize(("method", "path"), WRITES)
def test_a_write_that_others_keep_cancelling_is_a_conflict_that_says_when_to_try_again(
    send: Any, cancel: Any, outbox: Any, caplog: Any, method: str, path: str, headers: dict[str, str]
) -> None:
    send("POST", "/stories", body={**CONTENT, "id": "a"})
    cancel("TransactionConflict", "None")
    caplog.set_level(logging.WARNING)

    answer = send(method, path, body={**CONTENT, "title": "Second"}, headers=headers)

    assert (answer["status"], answer["headers"]["retry-after"]) == (409, "1")
    assert answer["headers"]["content-type"] == "application/problem+json"
    assert "try again" in answer["detail"]
    assert outbox() == ["story-created"]
    assert caplog.text == "", "it is no failure of the service"


@pytest.mark.parametrize(
    "reasons", [("TransactionConflict", "None"), ("ConditionalCheckFailed", "TransactionConflict")]
)
@pytest.mark.parametrize(("method", "path"), WRITES[1:])
def test_a_change_is_made_when_others_have_finished_however_often_they_were_first(
    send: Any, cancel: Any, outbox: Any, monkeypatch: Any, method: str, path: str, reasons: tuple[str, ...]
) -> None:
    monkeypatch.setattr("rest_bff.handlers.rest.RETRIES_S", 60)
    send("POST", "/stories", body={**CONTENT, "id": "a"})
    cancel(*reasons, times=40)

    answer = send(method, path, body=CONTENT)

    assert answer["status"] == {"PUT": 200, "DELETE": 204}[method]
    assert outbox() == ["story-created", {"PUT": "story-updated", "DELETE": "story-deleted"}[method]]


def test_a_change_whose_answer_was_lost_is_not_made_again_after_a_conflict(
    send: Any, outbox: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr("rest_bff.handlers.rest.RETRIES_S", 60)
    send("POST", "/stories", body={**CONTENT, "id": "a"})
    client, done = clients.client("dynamodb"), []
    real, answers = client.transact_write_items, ["lost", "conflict"]
    conflict = {"CancellationReasons": [{"Code": "TransactionConflict"}, {"Code": "None"}]}

    def transact(**request: Any) -> Any:
        answer = answers.pop(0) if answers else ""
        if answer == "conflict":
            raise client.exceptions.TransactionCanceledException(conflict, "TransactWriteItems")
        if request["ClientRequestToken"] not in done:
            done.append(request["ClientRequestToken"])
            real(**request)
        if answer == "lost":
            raise client.exceptions.InternalServerError({"ResponseMetadata": {"HTTPStatusCode": 500}}, "")
        return {}

    monkeypatch.setattr(client, "transact_write_items", transact)

    assert send("PUT", "/stories/a", body=CONTENT)["version"] == 2
    assert outbox() == ["story-created", "story-updated"]


def test_a_creation_is_made_when_others_have_finished(send: Any, cancel: Any, outbox: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("rest_bff.handlers.rest.RETRIES_S", 60)
    cancel("TransactionConflict", "None", times=40)

    assert send("POST", "/stories", body={**CONTENT, "id": "a"})["status"] == 201
    assert outbox() == ["story-created"]


def test_a_story_that_changes_between_each_read_and_write_is_a_conflict(
    send: Any, outbox: Any, table: Any, monkeypatch: Any
) -> None:
    from rest_bff.dal import stories
    from rest_bff.logic.callers import ANYBODY

    created = send("POST", "/stories", body={**CONTENT, "id": "a"})
    real, own = clients.client("dynamodb").get_item, True

    def always_too_late(**request: Any) -> Any:
        nonlocal own
        row = real(**request)
        if own:  # the others' reads
            own = False
            stories.replace("a", {**CONTENT, "title": "Theirs"}, ANYBODY, None)
            own = True
        return row

    monkeypatch.setattr(clients.client("dynamodb"), "get_item", always_too_late)

    answer = send("PUT", "/stories/a", body={**CONTENT, "title": "Ours"})

    assert (answer["status"], answer["headers"]["retry-after"]) == (409, "1")
    row = table.get_item(Key={"pk": "a", "sk": "story"})["Item"]
    assert (row["title"], created["title"]) == ("Theirs", "First")
    assert len(outbox()) == row["version"], "one message for each version, none for what was not written"


def test_an_expected_version_that_others_have_replaced_is_refused_at_once(send: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("rest_bff.handlers.rest.RETRIES_S", 60)
    send("POST", "/stories", body={**CONTENT, "id": "a"})
    send("PUT", "/stories/a", body=CONTENT)

    answer = send("PUT", "/stories/a", body=CONTENT, headers={"if-match": '"1"'})

    assert (answer["status"], "retry-after" in answer["headers"]) == (409, False), "the same request fails again"


@pytest.mark.parametrize("reasons", [("ThrottlingError", "None"), ("TransactionConflict", "ThrottlingError")])
def test_a_throttled_table_is_a_failure_of_the_service(send: Any, cancel: Any, reasons: tuple[str, ...]) -> None:
    send("POST", "/stories", body={**CONTENT, "id": "a"})
    cancel(*reasons)

    assert send("PUT", "/stories/a", body=CONTENT)["status"] == 503
