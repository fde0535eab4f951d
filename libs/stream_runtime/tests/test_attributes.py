"""Attribute values, compared with those of boto3."""

import base64
import math
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest
from boto3.dynamodb.types import Binary, TypeDeserializer, TypeSerializer
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_sizes import sample_of
from stream_runtime.payload.attributes import marshall, to_attribute, unmarshall

numbers = st.one_of(
    st.integers(min_value=-(10**37), max_value=10**37),
    st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**20), max_value=10**20),
)
scalars = st.one_of(st.text(), st.booleans(), st.none(), numbers, st.binary())
sets = st.one_of(st.sets(st.text(), min_size=1), st.sets(numbers, min_size=1), st.sets(st.binary(), min_size=1))
values = st.recursive(
    st.one_of(scalars, sets),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(), inner, max_size=4)),
    max_leaves=12,
)
items = st.dictionaries(st.text(), values, max_size=5)


def as_boto3_reads(typed: Any) -> Any:
    return plain(TypeDeserializer().deserialize(typed))


def plain(value: Any) -> Any:
    """What boto3 reads, with its Binary as bytes."""
    if isinstance(value, Binary):
        return bytes(value)
    if isinstance(value, dict):
        return {name: plain(member) for name, member in value.items()}
    if isinstance(value, list):
        return [plain(member) for member in value]
    if isinstance(value, set):
        return {plain(member) for member in value}
    return value


@settings(max_examples=sample_of(60), deadline=None)
@given(items)
def test_boto3_reads_what_is_written(item: dict[str, Any]) -> None:
    assert {name: as_boto3_reads(typed) for name, typed in marshall(item).items()} == item


@settings(max_examples=sample_of(60), deadline=None)
@given(items)
def test_what_boto3_writes_is_read(item: dict[str, Any]) -> None:
    assert unmarshall({name: TypeSerializer().serialize(value) for name, value in item.items()}) == item


@settings(max_examples=sample_of(60), deadline=None)
@given(items)
def test_what_is_written_is_read_again(item: dict[str, Any]) -> None:
    assert unmarshall(marshall(item)) == item


@settings(max_examples=sample_of(80), deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_is_written_so_that_it_is_the_same_float_again(value: float) -> None:
    assert float(unmarshall(marshall({"n": value}))["n"]) == value


def test_a_float_is_written_in_its_shortest_form() -> None:
    assert marshall({"n": 0.1}) == {"n": {"N": "0.1"}}


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", 1), ("-7", -7), ("1.5", Decimal("1.5")), ("1E+3", Decimal("1E+3")), ("9" * 38, 10**38 - 1)],
)
def test_a_number_is_an_int_where_it_is_written_as_one_and_a_decimal_otherwise(text: str, value: Any) -> None:
    read = unmarshall({"n": {"N": text}})["n"]

    assert read == value
    assert type(read) is type(value)


def test_binaries_of_a_stream_record_come_as_base64() -> None:
    text = base64.b64encode(b"\x00\xff").decode()

    assert unmarshall({"b": {"B": text}, "s": {"BS": [text]}}) == {"b": b"\x00\xff", "s": {b"\x00\xff"}}


class Color(Enum):
    RED = "red"


class Name(str):
    __slots__ = ()


@pytest.mark.parametrize(
    ("value", "typed"),
    [
        (Color.RED, {"S": "red"}),
        (Name("n"), {"S": "n"}),
        (True, {"BOOL": True}),
        ((1, 2), {"L": [{"N": "1"}, {"N": "2"}]}),
        (bytearray(b"x"), {"B": b"x"}),
        (frozenset({"a"}), {"SS": ["a"]}),
        ({1: "number as name"}, {"M": {"1": {"S": "number as name"}}}),
        (10**40, {"N": "1" + "0" * 40}),
    ],
)
def test_other_values_are_written_as_what_they_are(value: Any, typed: Any) -> None:
    assert to_attribute(value) == typed


@pytest.mark.parametrize(
    "value",
    [
        set(),
        {1, "a"},
        {True, False},
        math.nan,
        math.inf,
        Decimal("NaN"),
        Decimal("1." + "1" * 40),
        object(),
        {"nested": [object()]},
        1j,
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_that_dynamodb_cannot_store_is_refused_with_its_attribute(value: Any) -> None:
    with pytest.raises(TypeError, match="attribute 'total'"):
        marshall({"total": value})


MANY = [
    [None] * 204_801,
    [[1] * 1000] * 205,
    {str(number): True for number in range(204_801)},
    {"a": {"b": ([[0] * 100] * 1000, [[0] * 100] * 1100)}},
]


@pytest.mark.parametrize("value", MANY, ids=["list", "lists", "map", "nested"])
def test_more_values_than_an_item_can_hold_are_refused_before_they_are_written(value: Any) -> None:
    """A large item takes botocore seconds to check, only to be refused by DynamoDB."""
    with pytest.raises(TypeError, match="attribute 'total': more than 204800 values"):
        marshall({"total": value})
    with pytest.raises(TypeError, match="more than 204800 values"):
        marshall({"left": [0] * 110_000, "total": [0] * 110_000})


def test_as_many_values_as_an_item_may_hold_are_written() -> None:
    assert len(marshall({"total": [None] * 204_799})["total"]["L"]) == 204_799


@pytest.mark.parametrize(
    "typed", [{}, {"S": "a", "N": "1"}, {"X": "a"}, "text", None, {"N": "one"}, {"L": 5}, {"M": 5}]
)
def test_a_malformed_attribute_value_is_refused_with_its_name(typed: Any) -> None:
    with pytest.raises(ValueError, match="attribute 'total'"):
        unmarshall({"total": typed})


@pytest.mark.parametrize("number", ["1E+9999999", "-1E+309", "1" * 310, "1" * 5000, "NaN", "sNaN", "Infinity"])
def test_a_number_without_end_is_no_attribute_value(number: str) -> None:
    for value in ({"N": number}, {"NS": ["1", number]}, {"L": [{"N": number}]}):
        with pytest.raises(ValueError, match="attribute 'n' is not a DynamoDB attribute value"):
            unmarshall({"n": value})


def test_the_largest_and_smallest_numbers_of_dynamodb_are_read() -> None:
    numbers = ["9.9999999999999999999999999999999999999E+125", "-1E+125", "1E-130", "9" * 126]

    assert unmarshall({"n": {"L": [{"N": each} for each in numbers]}})["n"] == [Decimal(each) for each in numbers]
