"""The JSON codec reads and writes the same with and without orjson."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stream_runtime.payload import codec


@pytest.fixture(params=["orjson", "json"])
def coder(request: pytest.FixtureRequest) -> Iterator[Any]:
    """The codec with orjson, and as it is without it."""
    if request.param == "orjson":
        yield codec
        return
    source = ModuleType("codec_without_orjson")
    with open(codec.__file__) as file:
        text = file.read().replace("import orjson", "raise ImportError")
    exec(compile(text, codec.__file__, "exec"), source.__dict__)
    yield source


class Color(Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": 1, "a": [True, None, "ü"]}, '{"b":1,"a":[true,null,"ü"]}'),
        (Decimal("1.50"), "1.5"),
        (Decimal("7"), "7"),
        ({"b", "a"}, '["a","b"]'),
        (date(2026, 1, 2), '"2026-01-02"'),
        (datetime(2026, 1, 2, tzinfo=UTC), '"2026-01-02T00:00:00+00:00"'),
        (b"x", '"eA=="'),
        (Color.RED, '"red"'),
        ({1: "a"}, '{"1":"a"}'),
        ((1, 2), "[1,2]"),
        (1 << 70, str(1 << 70)),
        (ValueError("bad"), "\"ValueError('bad')\""),
    ],
)
def test_values_are_written_as(coder: Any, value: Any, text: str) -> None:
    assert coder.encode(value) == text


def test_a_value_without_a_json_form_is_refused(coder: Any) -> None:
    with pytest.raises(TypeError, match="type object has no JSON form"):
        coder.encode({"a": object()})


@pytest.mark.parametrize("text", ["", "{", "nope", b"\xff\xfe", '{"a":1}x'])
def test_text_that_is_not_json_raises_a_value_error(coder: Any, text: Any) -> None:
    with pytest.raises(ValueError, match=r".*"):
        coder.decode(text)


documents = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**63),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(), inner, max_size=4)),
    max_leaves=10,
)


@settings(max_examples=80, deadline=None)
@given(documents)
def test_what_is_written_is_read_again(document: Any) -> None:
    assert codec.decode(codec.encode(document)) == document
    assert json.loads(codec.encode(document)) == document


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.text(), documents, min_size=2))
def test_the_canonical_form_does_not_depend_on_the_order_of_keys(document: dict[str, Any]) -> None:
    assert codec.canonical(dict(reversed(document.items()))) == codec.canonical(document)
