"""Long texts are cut before anybody looks for secrets in them, and no secret is cut in two."""

from __future__ import annotations

import base64
import json

import pytest
from stream_cli.faults.cut import LONGEST, MOST, Cut
from stream_cli.faults.redaction import readable


def test_a_long_text_is_cut_and_says_how_much_is_left_out() -> None:
    text = "a word " * 100_000
    shown = Cut()({"text": text, "short": "as it is", "count": 7})
    assert shown["short"] == "as it is"
    assert shown["count"] == 7
    kept, _, left = shown["text"].partition("…")
    assert text.startswith(kept)
    assert left == f" {len(text) - len(kept):,} more characters"
    assert LONGEST - 100 < len(kept) <= LONGEST


def test_all_texts_together_are_bounded_however_they_are_nested() -> None:
    shown = Cut()({"texts": [{str(number): ["word " * 10_000]} for number in range(100)]})
    assert MOST / 2 < len(json.dumps(shown)) < 2 * MOST


@pytest.mark.parametrize(
    "place", [each if each % 3 == 0 else pytest.param(each, marks=pytest.mark.thorough) for each in range(-40, 1, 5)]
)
def test_no_part_of_a_secret_is_left_where_a_text_is_cut(place: int) -> None:
    text = "x " * ((LONGEST + place) // 2) + "password=Tr0ub4dor&3-correct-horse-battery-staple " + "y " * 10
    assert "Tr0u" not in readable({"shown": text}, whole=False)["shown"]
    assert "Tr0u" not in readable({"shown": f"{text}{text}"}, whole=False)["shown"]


def test_what_is_encoded_is_decoded_before_it_is_cut() -> None:
    inner = json.dumps({"password": "correct-horse-9", "text": "word " * 40_000})
    data = base64.b64encode(inner.encode()).decode()
    fault = {"uow": {"record": {"kinesis": {"data": data}}}, "err": {"name": "E", "message": "m " * 100_000}}
    shown = readable(fault, whole=False)
    record = shown["uow"]["record"]["kinesis"]["data"]
    assert record["password"] == "[redacted]"
    assert len(record["text"]) <= LONGEST + 100
    assert len(shown["err"]["message"]) <= LONGEST + 100
