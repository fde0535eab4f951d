"""What is wrong with a request without values is found once, and for that request only."""

from __future__ import annotations

from typing import Any

import pytest
from stream_cli.local.emulator.dynamodb import requests
from stream_cli.local.emulator.dynamodb.requests import TableKeys, expressions_problem

KEYS = TableKeys({"pk": "S"}, frozenset({"index"}), ["pk"])
EXISTS = {"ConditionExpression": "attribute_exists(#a)", "ExpressionAttributeNames": {"#a": "pk"}}
PART = {"ConditionExpression": "attribute_exists(#a.part)", "ExpressionAttributeNames": {"#a": "index"}}


@pytest.mark.parametrize(
    ("request_", "keys", "single_write", "problem"),
    [
        (EXISTS, KEYS, True, None),
        (EXISTS, None, True, None),
        ({**EXISTS, "ExpressionAttributeNames": {}}, KEYS, True, "must not be empty"),
        (
            {**EXISTS, "ExpressionAttributeNames": {"#a": "pk", "#b": "b"}},
            KEYS,
            True,
            "unused in expressions: keys: {#b}",
        ),
        ({**EXISTS, "ExpressionAttributeNames": None}, KEYS, True, "#a"),
        ({"ConditionExpression": EXISTS["ConditionExpression"]}, KEYS, True, "#a"),
        ({**EXISTS, "ExpressionAttributeValues": {}}, KEYS, True, "must not be empty"),
        ({**EXISTS, "ExpressionAttributeValues": {":a": {"S": "a"}}}, KEYS, True, "unused in expressions: keys: {:a}"),
        (PART, KEYS, True, "IndexKey: index"),
        (PART, TableKeys({"pk": "S"}, (), ["pk"]), True, None),
        (PART, TableKeys({"index": "S"}, (), ["index"]), True, "Key: index"),
        ({"ConditionExpression": " "}, KEYS, True, "1 validation error detected"),
        ({"ConditionExpression": " "}, KEYS, False, "Invalid ConditionExpression"),
        ({**EXISTS, "ExpressionAttributeNames": {"#a": 1}}, KEYS, True, None),  # ministack refuses it
    ],
)
def test_a_problem_is_that_of_the_request(
    request_: dict[str, Any], keys: TableKeys | None, single_write: bool, problem: str | None
) -> None:
    texts = {name: text for name, text in request_.items() if name.endswith("Expression")}
    first, again = (expressions_problem(request_, keys, single_write=single_write) for _ in range(2))
    assert first == again == requests._problem(texts, request_, keys, single_write=single_write)
    assert first is None if problem is None else problem in str(first)


def test_a_request_that_comes_again_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Any] = []
    monkeypatch.setattr(requests, "_problem", lambda texts, *_, **__: read.append(texts))
    requests._remembered_problem.cache_clear()
    for _ in range(3):
        assert expressions_problem(EXISTS, KEYS, single_write=True) is None
    expressions_problem({**EXISTS, "ExpressionAttributeValues": {":a": {"S": "a"}}}, KEYS, single_write=True)
    expressions_problem({**EXISTS, "ConditionExpression": "x" * 5_000}, KEYS, single_write=True)
    assert [text["ConditionExpression"][:1] for text in read] == ["a", "a", "x"]
    requests._remembered_problem.cache_clear()
