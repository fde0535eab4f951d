"""orjson stands in for json only where both give the same."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stream_cli.local.emulator.dynamodb.copies import Copy, copied
from stream_cli.local.emulator.native_json import Json, first_of, read, written

TEXTS = st.text(st.characters(exclude_categories=[]) | st.sampled_from('0123456789:,-[]{}" \\'))
NUMBERS = st.integers() | st.integers(-(10**40), 10**40) | st.floats()
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda each: st.lists(each, max_size=4) | st.dictionaries(TEXTS, each, max_size=4),
    max_leaves=12,
)


def outcome(reading: Callable[[Any], Any], text: Any) -> Any:
    try:
        return repr(reading(text))  # tells 1 from 1.0, and NaN is itself
    except ValueError as error:
        return type(error), str(error)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # as it is on a busy machine
@given(VALUES, st.sampled_from([None, 0, 2]), st.booleans())
def test_what_json_writes_is_read_as_json_reads_it(value: Any, indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    assert outcome(read, text) == outcome(json.loads, text)
    if ascii_only:
        assert outcome(read, text.encode()) == outcome(json.loads, text.encode())


@given(st.text('0123456789.eE+-[]{}":, \\uabNI\n\ud800'))
def test_what_is_no_json_is_refused_as_json_refuses_it(text: str) -> None:
    assert outcome(read, text) == outcome(json.loads, text)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "123456789012345678901234567890",
            "[18446744073709551616]",
            '{"a":-9223372036854775809 }',
            "[1,12345678901234567890]",
        ),
        *('{"id":"shard:123456789012345678901234567890"}', "1e400", "-0", "NaN", '"\\ud800"', "", "\ufeff1"),
        *("1234567890123456789012.5", "[12345678901234567890e3]", "[" * 300 + "]" * 300),
    ],
)
def test_numbers_and_texts_at_the_limits(text: str) -> None:
    assert outcome(read, text) == outcome(json.loads, text)
    assert outcome(read, text.encode()) == outcome(json.loads, text.encode())


@given(VALUES)
def test_what_is_written_is_what_json_writes_but_for_numbers_that_are_none(value: Any) -> None:
    here, there = (json.loads(text, parse_constant=lambda _: None) for text in (written(value), json.dumps(value)))
    assert repr(here) == repr(there)


def test_what_only_json_writes_is_written_by_it() -> None:
    assert json.loads(written({1: "a", "long": 2**70})) == {"1": "a", "long": 2**70}
    assert json.loads(written({"other": object}, lambda _: "default")) == {"other": "default"}
    with pytest.raises(TypeError):
        written({"other": object})


def test_options_of_json_are_its_own() -> None:
    stands_in = Json()
    assert stands_in.loads("[1.5]", parse_float=str) == ["1.5"]
    assert stands_in.dumps({"a": "ä"}) == json.dumps({"a": "ä"})
    assert stands_in.JSONDecodeError is json.JSONDecodeError
    assert math.isnan(stands_in.loads("NaN"))


def test_a_page_ends_before_the_record_that_would_pass_the_limit() -> None:
    records = [{"data": "x" * 10}] * 5
    assert len(written(records[0])) == 21
    assert [len(first_of(records, most)) for most in (1, 21, 42, 62, 63, 1_000)] == [1, 1, 2, 2, 3, 5]
    assert first_of([], 10) == []


@given(VALUES)
def test_a_copy_of_an_item_is_equal_and_shares_nothing_that_can_change(value: Any) -> None:
    copy = Copy().deepcopy(value)
    assert repr(copy) == repr(value)
    assert containers(copy).isdisjoint(containers(value))


def test_what_is_no_json_is_copied_by_deepcopy() -> None:
    value: dict[str, Any] = {"set": {1}, "tuple": ([],)}
    copy = copied(value)
    assert copy == value
    assert copy["set"] is not value["set"]
    assert copy["tuple"][0] is not value["tuple"][0]


def containers(value: Any) -> set[int]:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return set() if children is None else {id(value)}.union(*map(containers, children))


def test_bodies_are_written_without_spaces_and_texts_as_json_writes_them() -> None:
    stands_in = Json({"ensure_ascii": False})
    assert stands_in.dumps({"a": ["ä", 1.5]}, ensure_ascii=False) == '{"a":["ä",1.5]}'
    assert stands_in.dumps({"long": 2**70}, ensure_ascii=False) == '{"long":1180591620717411303424}'
    assert stands_in.dumps(["a", "ä"], ensure_ascii=False) == '["a", "ä"]'
    assert stands_in.dumps({"b": 1, "a": "ä"}, sort_keys=True) == '{"a": "\\u00e4", "b": 1}'
