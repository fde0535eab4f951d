"""The JSON codec reads and writes the same with and without orjson."""

import copy
import json
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from functools import cache
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_sizes import sample_of
from stream_runtime.faults import _jsonable
from stream_runtime.payload import codec
from stream_runtime.payload.attributes import marshall, unmarshall
from stream_runtime.payload.freezing import freeze


@pytest.fixture(params=["orjson", "json"])
def coder(request: pytest.FixtureRequest) -> Iterator[Any]:
    """The codec with orjson, and as it is without it."""
    if request.param == "orjson":
        yield codec
        return
    yield without_orjson()


@cache
def without_orjson() -> Any:
    source = ModuleType("codec_without_orjson")
    with open(codec.__file__) as file:
        text = file.read().replace("import orjson", "raise ImportError")
    exec(compile(text, codec.__file__, "exec"), source.__dict__)
    return source


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


def nested(levels: int, opening: str = '{"a":', closing: str = "}") -> str:
    return opening * levels + "1" + closing * levels


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('[ {"a" : ', "} ]"), ('[1,"]",', ",2]")])
def test_levels_are_bounded(coder: Any, opening: str, closing: str) -> None:
    levels = codec.MOST_LEVELS // (2 if "{" in opening and "[" in opening else 1)

    for text in (nested(levels, opening, closing), nested(levels, opening, closing).encode()):
        assert coder.decode(text) == json.loads(text)
    for more in (1, 150, 60_000):
        with pytest.raises(ValueError, match=r"more than 200 levels"):
            coder.decode(nested(levels + more, opening, closing))


def test_a_document_with_more_levels_and_at_most_one_list_is_not_short(coder: Any) -> None:
    shortest = '{"":' * codec.MOST_LEVELS + "[]" + "}" * codec.MOST_LEVELS

    assert len(shortest) > codec.SHALLOW
    with pytest.raises(ValueError, match="more than 200 levels"):
        coder.decode(shortest)


def test_every_mixture_of_objects_and_lists_has_the_same_bound(coder: Any) -> None:
    def mixed(levels: int, lists: int) -> str:
        return nested(levels - lists, '{"":', "}").replace("1", nested(lists, "[", "]"))

    for lists in range(0, codec.MOST_LEVELS + 1, 8):
        coder.decode(mixed(codec.MOST_LEVELS, lists))
        with pytest.raises(ValueError, match="more than 200 levels"):
            coder.decode(mixed(codec.MOST_LEVELS + 1, lists).encode())


@pytest.mark.parametrize("text", ["[" * 60_000, '{"a":' * 60_000, "]" * 300, "[" * 300 + '"' + "]" * 300, '["' * 300])
def test_levels_that_are_never_closed_are_a_value_error(coder: Any, text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        coder.decode(text)


@pytest.mark.parametrize("tower", ["[" * 199 + "]" * 199, "[" * 200 + "]" * 200, "[" * 2000 + "]", "[]]", '["[\\"'])
def test_levels_are_counted_fast_whatever_the_brackets(tower: str) -> None:
    document = "[" + ",".join([tower] * (3_000_000 // len(tower))) + "]"
    begun = time.process_time()

    with suppress(ValueError):
        codec.check_levels(document)

    assert time.process_time() - begun < 2  # s


@pytest.mark.parametrize(
    "value",
    [
        [[]] * 5000,
        {str(number): {"a": [{}]} for number in range(500)},
        ["[" * 900, "{" * 900 + '"', '\\"[' * 300, "\\" * 301, '\\\\"' + "[" * 200],
    ],
)
def test_many_values_and_brackets_in_text_are_no_levels(coder: Any, value: Any) -> None:
    assert coder.decode(json.dumps(value)) == value


def test_what_was_read_can_be_frozen_copied_stored_and_written(coder: Any) -> None:
    for text in (nested(codec.MOST_LEVELS), nested(codec.MOST_LEVELS, "[", "]")):
        value = coder.decode(text)

        assert freeze(value) == value
        assert copy.deepcopy(value) == value
        assert unmarshall(marshall({"a": value})) == {"a": value}
        assert coder.encode(value) == text
        assert coder.canonical(value) == text
        assert str(value)
        assert _jsonable({"event": value}) == {"event": value}


def test_levels_that_cannot_be_written_are_a_value_error(coder: Any) -> None:
    value: Any = 1
    for _ in range(60_000):
        value = [value]

    for write in (coder.encode, coder.canonical):
        with pytest.raises(ValueError, match="too many levels"):
            write(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("18446744073709551615", 18446744073709551615),
        ("18446744073709551616", 18446744073709551616.0),
        ("-9223372036854775809", -9223372036854775809.0),
        ("1" * 300, float("1" * 300)),
        ("-0", 0),
        ("0e999", 0.0),
        ('{"a":1,"a":2}', {"a": 2}),
        ('"\\ud83d\\ude00 \\\\ud800"', "😀 \\ud800"),
        ('"\\u0000"', "\0"),
        (" \t\n\r1 ", 1),
        (bytearray(b"1"), 1),
    ],
)
def test_unusual_texts_mean(coder: Any, text: Any, value: Any) -> None:
    read = coder.decode(text)

    assert (type(read), read) == (type(value), value)


@pytest.mark.parametrize(
    "text",
    [
        *("1" * 400, "1" * 5000, "1e999", "-1E400", "NaN", "[Infinity]", "-Infinity", "01", "1."),
        *('"\\ud800"', '{"\\uDC00\\ud800": 1}', '"\ud800"', '"\0"', "{}\0", "\ufeff{}", "\xa01"),
        *(b"\xef\xbb\xbf{}", b'"\xff"', b'"\xed\xa0\x80"', '"a"'.encode("utf-16"), "1".encode("utf-32")),
    ],
)
def test_texts_that_are_not_quite_json_raise_a_value_error(coder: Any, text: Any) -> None:
    with pytest.raises(ValueError, match=r".+"):
        coder.decode(text)


@pytest.mark.parametrize("value", [None, 5, [b"1"], {}])
def test_only_text_can_be_decoded(coder: Any, value: Any) -> None:
    with pytest.raises(TypeError, match="JSON is text or bytes"):
        coder.decode(value)


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


@settings(max_examples=sample_of(80), deadline=None)
@given(documents)
def test_what_is_written_is_read_again(document: Any) -> None:
    assert codec.decode(codec.encode(document)) == document
    assert json.loads(codec.encode(document)) == document


@settings(max_examples=sample_of(50), deadline=None)
@given(st.dictionaries(st.text(), documents, min_size=2))
def test_the_canonical_form_does_not_depend_on_the_order_of_keys(document: dict[str, Any]) -> None:
    assert codec.canonical(dict(reversed(document.items()))) == codec.canonical(document)


@settings(max_examples=sample_of(300), deadline=None)
@given(documents, st.randoms(use_true_random=False))
def test_a_broken_text_means_the_same_with_and_without_orjson(document: Any, chance: Any) -> None:
    text = bytearray(codec.encode(document).encode())
    for _ in range(chance.randrange(4)):
        place = chance.randrange(len(text) + 1)
        text[place : place + chance.randrange(2)] = chance.choice(_PIECES)

    assert _read(codec.decode, bytes(text)) == _read(without_orjson().decode, bytes(text))


_PIECES = (
    *(b"[", b"]", b"{", b"}", b'"', b",", b":", b"\\", b"\\ud800", b"\\u0000", b"e999", b"-", b"0", b"9" * 20, b"."),
    *(b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\0", b"NaN", b"Infinity", b"null", b" ", b"[" * 201, b"]" * 201),
)


def _read(decode: Any, text: bytes) -> Any:
    try:
        return repr(decode(text))
    except ValueError:
        return ValueError


def at_first() -> Any:
    """The codec of a process that has read nothing yet."""
    source = ModuleType("codec_at_first")
    exec(_compiled(), source.__dict__)
    return source


@cache
def _compiled() -> Any:
    with open(codec.__file__) as file:
        return compile(file.read(), codec.__file__, "exec")


@settings(max_examples=sample_of(300), deadline=None)
@given(documents, st.randoms(use_true_random=False))
def test_the_first_documents_mean_the_same_and_fail_with_the_same_message(document: Any, chance: Any) -> None:
    text = bytearray(codec.encode(document).encode())
    for _ in range(chance.randrange(4)):
        place = chance.randrange(len(text) + 1)
        text[place : place + chance.randrange(2)] = chance.choice(_PIECES)

    assert _told(at_first().decode, bytes(text)) == _told(_read_much().decode, bytes(text))


@cache
def _read_much() -> Any:
    warm = at_first()
    for _ in range(codec.AT_FIRST + 1):
        warm.decode(b"1")
    return warm


def _told(decode: Any, text: bytes) -> str:
    try:
        return repr(decode(text))
    except ValueError as error:
        return f"{type(error).__name__}: {error}"


def test_orjson_reads_once_a_process_has_read_much() -> None:
    codec_of_a_process = at_first()
    first = codec_of_a_process.decode_shallow

    for number in range(codec.AT_FIRST):
        assert codec_of_a_process.decode(f"[{number}]") == [number]
        assert codec_of_a_process.decode_shallow is first
    assert codec_of_a_process.decode(b"{}") == {}
    assert codec_of_a_process.decode_shallow.__module__ == "orjson"
    assert first(b"[1]") == [1]  # for those that hold on to it
