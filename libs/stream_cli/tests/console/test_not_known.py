"""What an answer lacks, because it is not known here, is said beside it; errors of AWS say what helps."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from stream_cli.console.application import Sources
from stream_cli.journal.questions import LinePage, Questions
from stream_cli.journal.unknown import NotKnown, may_spend, note, noting

LACKS = NotKnown("attempts of mappings", "AWS records none")


class Partly(Questions):
    """Answers events, and notes what it does not know; or fails."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    def events(self, **_: Any) -> Any:
        if self.error is not None:
            raise self.error
        note(LACKS)
        return LinePage([])


@pytest.fixture
def questions() -> Partly:
    return Partly()


@pytest.fixture
def console(console_of: Callable[..., Any], sources: Sources, questions: Partly) -> Any:
    return console_of(dataclasses.replace(sources, questions=questions))


def test_an_answer_has_what_it_lacks(console: Any) -> None:
    said = "Not known here: attempts of mappings, because AWS records none."
    assert console.get("/api/events").content == {"events": [], "older": None, "not_known": [said]}
    missing = console.get("/api/events/e1")
    assert (missing.status, missing.content) == (404, {"error": "Nobody has seen it.", "not_known": [said]})


@pytest.mark.parametrize(
    ("code", "advice"), [("ExpiredToken", "The credentials have expired. Sign in again"), ("InternalFailure", "")]
)
def test_an_error_of_aws_is_shown_with_what_helps(console: Any, questions: Partly, code: str, advice: str) -> None:
    questions.error = ClientError({"Error": {"Code": code, "Message": "as AWS says"}}, "GetObject")
    answer = console.get("/api/events")
    assert answer.status == 502
    assert "as AWS says" in answer.content["error"]
    assert advice in answer.content["error"]


def test_notes_are_of_one_question_each_once_and_what_it_costs_is_counted() -> None:
    note(LACKS)  # for nobody
    with noting() as outer:
        assert [may_spend("reads", 2) for _ in range(2)] == [True, True]
        with noting() as inner:
            note(LACKS, LACKS)
            assert not may_spend("reads", 2)
        assert [*inner] == [LACKS]
        assert [*outer] == []
    with noting() as another:
        assert may_spend("reads", 1)
    assert [*another] == []
    assert may_spend("reads", 0)  # without a question there is no bound
