"""Text from outside, for a terminal or a log: characters that would act on it, or hide something, become visible.

They are control characters (C0, DEL, C1, so also the beginnings of escape sequences), line separators, marks that turn
the direction of text, characters without width or glyph, and surrogates without a partner. Each is replaced by its
escape in Python or JSON: ``\\x1b``, ``\\u202e``.
"""

from __future__ import annotations

import re

# Sources: ECMA-48 (C0, C1); Unicode Technical Report 36, "Unicode Security Considerations", 2.5 and 3; Unicode
# Technical Standard 55, "Unicode Source Code Handling" (bidi).
_BEYOND_C0 = (
    "\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164"
    "\ud800-\udfff\ufeff\uffa0\ufff0-\ufffb\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff"
)
_HIDDEN = re.compile(f"[\x00-\x1f{_BEYOND_C0}]")
_HIDDEN_IN_JSON = re.compile(f"[{_BEYOND_C0}]")
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def visible(text: str) -> str:
    """A text as one line: whatever would act on a terminal or hide, line ends included, is shown as its escape."""
    return _HIDDEN.sub(_escape, text)


def visible_json(text: str) -> str:
    """A JSON text with the same meaning, in which such characters are escaped; line ends of its layout stay.

    The encoder has escaped C0 within strings, as JSON demands.
    """
    return _HIDDEN_IN_JSON.sub(_json_escape, text)


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    code = ord(character)
    if code > 0xFFFF:
        return f"\\U{code:08x}"
    return _SHORT.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


def _json_escape(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))
