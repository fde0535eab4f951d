"""Characters of text from outside that would act on a terminal or hide are made visible."""

import json
import sys
import unicodedata

import pytest
from stream_runtime.payload.visible import visible, visible_json


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;owned\x07", r"\x1b]0;owned\x07"),
        ("\x1b[2J\x9b31m\x9d0;t\x9c", r"\x1b[2J\x9b31m\x9d0;t\x9c"),
        ("a\n[INFO] all good\r\tb", r"a\n[INFO] all good\r\tb"),
        ("\x00\x7f\x85\x08", r"\x00\x7f\x85\x08"),
        ("\u202eexe.txt\u2069\u200e\u061c", r"\u202eexe.txt\u2069\u200e\u061c"),
        ("a\u200bd\u2060m\ufeffin\u2028x\u2029", r"a\u200bd\u2060m\ufeffin\u2028x\u2029"),
        ("\ud800\udc00", r"\ud800\udc00"),
        ("\U000e0041\U000e007f", r"\U000e0041\U000e007f"),
    ],
)
def test_what_acts_or_hides_is_shown_as_its_escape(text: str, shown: str) -> None:
    assert visible(text) == shown


@pytest.mark.parametrize("text", ["plain", "Grüße, 世界, привет", "🎉 é ✓", "a\\b 'q' [red]"])
def test_other_text_stays(text: str) -> None:
    assert visible(text) == text
    assert visible_json(text) == text


def test_no_control_format_or_separating_character_of_unicode_passes() -> None:
    hidden = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    # Signs with a glyph, before numbers in Arabic, Syriac and Kaithi.
    shown = {*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD}

    passed = [
        f"U+{code:04X}"
        for code in range(sys.maxunicode + 1)
        if unicodedata.category(chr(code)) in hidden and code not in shown and visible(chr(code)) == chr(code)
    ]

    assert passed == []


@pytest.mark.parametrize("indent", [None, 2])
def test_json_keeps_its_meaning_and_its_layout(indent: int | None) -> None:
    value = {"\x9bname\u202e": ["\x1b[2J\x7f\r\n", "\U000e0041\ud800", "世界"]}

    text = visible_json(json.dumps(value, ensure_ascii=False, indent=indent))

    assert json.loads(text) == value
    assert text == text.encode().decode()
    assert visible(text.replace("\n", "")) == text.replace("\n", "")
    assert "世界" in text
    assert text.count("\n") == (0 if indent is None else 6)
