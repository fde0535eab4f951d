"""Levels, sizes and errors of values are those of ministack's own functions."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from ministack.services import dynamodb
from stream_cli.local.emulator.dynamodb.walks import errors, item_size, nesting_level, sizes

TEXTS = st.text(max_size=5)
NUMBERS = st.sampled_from(["1", "-1.50", "1e200", "NaN", "", "123456789012345678901234567890123456789012345", 5, None])
LEAVES = (
    st.builds(lambda kind, value: {kind: value}, st.sampled_from(["S", "B"]), TEXTS)
    | st.builds(lambda kind, value: {kind: value}, st.sampled_from(["BOOL", "NULL", "X"]), st.booleans())
    | st.builds(lambda value: {"N": value}, NUMBERS)
    | st.builds(
        lambda members: {"NS": members}, st.lists(NUMBERS.filter(lambda each: isinstance(each, str)), max_size=3)
    )
    | st.builds(lambda kind, members: {kind: members}, st.sampled_from(["SS", "BS"]), st.lists(TEXTS, max_size=3))
)
ODD: st.SearchStrategy[Any] = st.none() | TEXTS | st.just({}) | st.just({"S": 1}) | st.just({"S": "a", "N": "1"})
VALUES = st.recursive(
    LEAVES | ODD,
    lambda each: (
        st.builds(lambda members: {"L": members}, st.lists(each, max_size=3))
        | st.builds(lambda members: {"M": members}, st.dictionaries(TEXTS, each, max_size=3))
    ),
    max_leaves=8,
)


def outcome(call: Any, value: Any) -> Any:
    try:
        return call(value)
    except Exception as error:
        return type(error)


@given(VALUES)
def test_each_answer_is_ministacks(value: Any) -> None:
    assert nesting_level(value) == dynamodb._nesting_level(value)
    assert nesting_level(value, 7) == dynamodb._nesting_level(value, 7)
    for ours, theirs in (
        (sizes(dynamodb._attribute_value_size), dynamodb._attribute_value_size),
        (errors(dynamodb._attribute_value_error), dynamodb._attribute_value_error),
    ):
        assert outcome(ours, value) == outcome(theirs, value)


@given(st.dictionaries(TEXTS, VALUES, max_size=4) | st.none())
def test_the_size_of_an_item_is_ministacks(item: Any) -> None:
    def ours(item: Any) -> int:
        return item_size(item, sizes(dynamodb._attribute_value_size))

    assert outcome(ours, item) == outcome(dynamodb._item_size_bytes, item)
