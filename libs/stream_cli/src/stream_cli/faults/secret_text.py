"""Secrets in the text of an error or a body: found in one pass, in time linear in its length.

The scan goes from one run of word characters to the next. Each regular expression is one class of characters, or is
bounded; what looks ahead further remembers where it came to (`_Scan.next`), or ends the value that it was looking at.
"""

from __future__ import annotations

import re
from typing import Literal

from stream_cli.faults.secret_forms import SHORTEST, is_random, known_by_form
from stream_cli.faults.secret_names import (
    is_amount,
    is_header,
    is_line,
    is_number,
    is_secret,
    needs_the_word_before,
)
from stream_cli.faults.value_ends import (
    PERCENT_QUOTE,
    QUOTE,
    backslashes,
    balanced,
    end_of_bare,
    end_of_line,
    quoted,
)

REDACTED = "[redacted]"

_RUN = re.compile(r"[\w.\-]+")
_BLANKS = re.compile(r"[ \t]*")
_SPACE = re.compile(r"\s*")
_SEPARATOR = re.compile(r"=>|->|:=|={1,3}|[:：＝]|%(?:25){0,4}3[ADad]")
_SUBSCRIPT = re.compile(r"(?:\]|%5[Dd])(?=[ \t]?=)")  # user[password]=x, as in forms
_BLOCK = re.compile(r"[|>]?[+-]?\r?\n[ \t]+(?=[^\s@])")  # of YAML
_IS = re.compile(r"[ \t](?:is|was)[ \t](?=[^\s]{0,64}[0-9])")
_USER = re.compile(r"[ \t=][A-Za-z_][^\s:\"']{0,63}:(?=[^\s/])")


_VISIBLE = re.compile(
    r"(?i)(?:none|null|nil|true|false|undefined|unset|empty|n/a|\*+|x{3,}|%s|<[\w -]{0,40}>"
    r"|\[?(?:filtered|hidden|masked|redacted|removed)\]?)?"
)
# A place that something else fills: ${NAME}, {{ name }}.
_TEMPLATE = re.compile(r"\$\{[\w.:\-]{1,80}\}|\{\{\s?[\w.:\-]{1,80}\s?\}\}")
# How a message about a field goes on: "password: field required" has no password.
_MESSAGE = re.compile(
    r"(?i)(?:a|access|an|at|be|cannot|contains|denied|does|do|ensure|expected|expired|failed|field|has|incorrect|input|"
    r"invalid|is|it|length|may|mismatch|missing|must|needs|no|not|please|required|revoked|should|string|the|this|too|"
    r"unauthorized|unknown|unsupported|value|was|wrong|you|your)\b(?!\S)"
)

_USER_OPTIONS = frozenset(("-u", "--user", "--proxy-user"))
_SCHEMES = frozenset(("bearer", "basic", "digest", "negotiate", "ntlm", "token", "apikey", "aws4-hmac-sha256"))
_CREDENTIAL = re.compile(r"[\w.~+/=\-:%]*")
_SHORTEST_CREDENTIAL = 8

_URL_END = re.compile(r"[\s\"'`<>\\]")
_URL_PATH = re.compile(r"[/?#\s\"'`<>\\]")
_AT = re.compile("@")
_KEY_END = "-----END "

_NAMES = frozenset(("name", "key", "header", "field", "parameter", "attribute", "parametername", "headername"))
_VALUES = frozenset(("value", "val", "stringvalue", "parametervalue", "headervalue"))
_PAIR_CHARACTERS = 400
_NAME_BEHIND = re.compile(
    r"[\s,;}]{0,8}\\{0,16}[\"']?(?i:name|key|header|field|parameter)\\{0,16}[\"']?\s{0,3}[=:]\s{0,3}"
    r"(?:\{\s{0,3}\\{0,16}[\"']S\\{0,16}[\"']\s{0,3}:\s{0,3})?\\{0,16}[\"']?([\w.\-]{1,128})"
)

Kind = Literal["text", "code"]


def redacted_text(text: str, kind: Kind = "text") -> str:
    """A text without secrets. Of a line of source code, only literal values are hidden, not names and calls."""
    return hidden(text, _Scan(text, kind).spans())


def hidden(text: str, spans: list[tuple[int, int]]) -> str:
    """A text with a note in place of each span; spans are in order."""
    parts, done = [], 0
    for start, end in spans:
        if start >= done:
            parts += [text[done:start], REDACTED]
        done = max(done, end)
    return "".join([*parts, text[done:]])


def _has_secret(text: str) -> bool:
    return bool(_Scan(text, "text").spans())


class _Scan:
    """The scan of one text. Its methods get a position and return the one to go on from."""

    def __init__(self, text: str, kind: Kind) -> None:
        self._text = text
        self._is_code = kind == "code"
        self._spans: list[tuple[int, int]] = []
        self._next: dict[str, int] = {}
        self._before = ("", -2)  # the run before, and its end
        self._separator = ""  # of the name in hand
        self._pair_until = -1
        self._noted = 0
        self._line = 0  # where the line begins, and the one before it
        self._line_before = 0

    def spans(self) -> list[tuple[int, int]]:
        """Where the secrets are."""
        position = 0
        while found := _RUN.search(self._text, position):
            start, end = found.span()
            self._note_lines(start)
            position = max(self._run(start, end, found[0]), end)
            self._before = (found[0], end)
        return self._spans

    def _run(self, start: int, end: int, run: str) -> int:
        text = self._text
        if run.endswith("-----BEGIN"):
            return self._private_key(end)
        if text.startswith("://", end):
            return self._url(end + 3)
        if known := known_by_form(text, start, end, _has_secret):
            self._spans += known
            return known[-1][1]
        if run.lower() in _SCHEMES and (after := self._scheme(run.lower(), end)):
            return after
        if run in _USER_OPTIONS and (user := _USER.match(text, end)):
            self._spans.append((user.end(), end_of_bare(text, user.end(), is_number=False)))
            return self._spans[-1][1]
        name = run
        word, its_end = self._before
        if its_end == start - 1 and text[its_end] in " \t" and needs_the_word_before(run):
            name = f"{word}_{run}"
        return self._value_of(name, start, end)

    def _value_of(self, name: str, start: int, end: int) -> int:
        lower = self._text[start:end].lower()
        is_pair = start <= self._pair_until and lower in _VALUES
        secret = is_secret(name) or is_pair or (lower == "input_value" and is_secret(self._line_above()))
        if lower == "input_value" and not secret:
            return self._truncated_input(end)
        if not secret and lower not in _NAMES and lower not in _VALUES:
            return end
        at = self._behind_separator(start, end, name)
        if at is None:
            return end
        if secret:
            self._pair_until = -1 if is_pair else self._pair_until
            return self._hide_value(name, at)
        return self._pair(lower, at, end)

    def _hide_value(self, name: str, at: int) -> int:
        text = self._text
        if template := _TEMPLATE.match(text, at):
            return template.end()
        in_quotes = quoted(text, at)
        if in_quotes is None and self._is_code:
            return at
        if in_quotes is not None:
            start, end = in_quotes
            inner = text[start:end].strip("bBrRuUfF\\\"'`") if end - start <= 40 else "..."
        elif text[at : at + 1] in ("{", "["):
            start, end, inner = at, balanced(text, at), "{"
            inner = text[at:end] if end - at <= 80 else inner
        elif self._separator == ":" and _MESSAGE.match(text, at):
            return at
        elif is_line(name):
            start, end = at, end_of_line(text, at)
            inner = text[start:end]
        else:
            start, end = at, end_of_bare(text, at, is_number=is_number(name))
            inner = text[start:end]
        is_visible = len(inner) <= 80 and _VISIBLE.fullmatch(inner)
        if is_visible or (is_amount(name) and inner.isdecimal()):
            return max(at, end)
        self._spans.append((start, end))
        return end

    def _behind_separator(self, start: int, end: int, name: str) -> int | None:
        """Where the value of a name begins, or None if the run is no name of a value."""
        text = self._text
        at, is_quoted = self._closing_quote(end)
        if subscript := _SUBSCRIPT.match(text, at):
            at = subscript.end()
        at = _blanks(text, at)
        found = _SEPARATOR.match(text, at)
        self._separator = found[0] if found else ""
        if found:
            word, its_end = self._before
            if word.lower() == "unexpected" and its_end == start - 1:
                return None  # The token that a parser did not expect.
            if found[0] == ":" and ":" in (text[found.end() : found.end() + 1], text[start - 1 : start]):
                return None  # A part of an ARN.
            return self._value_start(found.end())
        if text.startswith(">", at) and text[start - 1 : start] == "<" and at == end:
            return at + 1
        if is_quoted and text.startswith(",", at) and self._is_first_of_pair(start, at + 1, name):
            return self._value_start(at + 1)
        if not is_quoted and _is_password(name) and (verb := _IS.match(text, end)):
            return verb.end()
        is_option = text.startswith("--", start) and at > end and text[at : at + 1] not in ("-", "")
        is_spoken = not is_quoted and at > end and QUOTE.match(text, at) and _is_password(name)
        return at if is_option or is_spoken else None

    def _value_start(self, at: int) -> int:
        text = self._text
        blanks = _blanks(text, at)
        if self._separator == ":" and (block := _BLOCK.match(text, blanks)):
            return block.end()
        space = _SPACE.match(text, blanks).end()  # type: ignore[union-attr]
        return space if space != blanks and QUOTE.match(text, backslashes(text, space)) else blanks

    def _closing_quote(self, at: int) -> tuple[int, bool]:
        quote = QUOTE.match(self._text, backslashes(self._text, at)) or PERCENT_QUOTE.match(self._text, at)
        return (quote.end(), True) if quote else (at, False)

    def _is_first_of_pair(self, start: int, behind_comma: int, name: str) -> bool:
        """Whether a quoted name is the first of a pair: a header, or the first of two in brackets."""
        if is_header(name):
            return True
        before = start - 1
        while before > max(0, start - 16) and self._text[before] in "\\\"'bru":
            before -= 1
        value = quoted(self._text, self._value_start(behind_comma), limit=4096)
        if value is None or self._text[before] not in "[(":
            return False
        behind = _SPACE.match(self._text, value[1]).end()  # type: ignore[union-attr]
        return self._text.startswith(("]", ")"), behind)

    def _pair(self, lower: str, at: int, end: int) -> int:
        """`name: password, value: ...`, in either order."""
        text = self._text
        if lower in _NAMES:
            in_quotes = quoted(text, at, limit=256)
            value = text[at : in_quotes[1] if in_quotes else min(len(text), at + 128)].strip("\\\"'")
            name = _RUN.match(value)
            if name and is_secret(name[0]):
                self._pair_until = at + _PAIR_CHARACTERS
            return end
        value_at = quoted(text, at, limit=4096)
        if value_at is None and text[at : at + 1] not in ("", "{", "["):
            bare = _RUN.match(text, at)
            value_at = bare.span() if bare else None
        if value_at is None:
            return end
        behind = _NAME_BEHIND.match(text, value_at[1])
        if behind and is_secret(behind[1]):
            self._spans.append(value_at)
            return value_at[1]
        return end

    def _truncated_input(self, at: int) -> int:
        """pydantic cuts the middle out of a long input: what is behind the cut has lost its name."""
        text = self._text
        stop = text.find(", input_type=", at, at + 200)
        cut = text.find("...", at, stop) if stop >= 0 else -1
        if cut >= 0:
            before = _Scan(text[at:cut], "text").spans()
            self._spans += [(at + start, at + end) for start, end in before]
            self._spans.append((cut + 3, stop))
        return max(at, stop) if cut >= 0 else at

    def _scheme(self, scheme: str, end: int) -> int | None:
        """`Bearer`, `Basic` and others with credentials behind them, wherever they stand."""
        text = self._text
        at = _blanks(text, end)
        if at == end:
            plus = text[end : end + 3]
            at = end + 1 if plus.startswith("+") else end + 3 if plus == "%20" else end
        if at == end:
            return None
        if scheme in ("digest", "aws4-hmac-sha256"):
            stop = end_of_line(text, at)
            if "=" not in text[at : min(stop, at + 40)]:
                return None
            self._spans.append((at, stop))
            return stop
        stop = _CREDENTIAL.match(text, at).end()  # type: ignore[union-attr]
        value = text[at:stop].rstrip(".:")
        shortest = 20 if scheme in ("token", "apikey") else _SHORTEST_CREDENTIAL
        if len(value) < shortest or not is_random(value):
            return None
        self._spans.append((at, at + len(value)))
        return stop

    def _private_key(self, at: int) -> int:
        text = self._text
        label = text.find("-----", at, at + 80)
        if label < 0 or "PRIVATE KEY" not in text[at:label]:
            return at
        close = text.find(_KEY_END, label + 5)
        end = len(text) if close < 0 else text.find("-----", close + len(_KEY_END), close + 80)
        end = end + 5 if 0 <= end < len(text) else len(text)
        self._spans.append((at - len("-----BEGIN"), end))
        return end

    def _url(self, at: int) -> int:
        """The password of a URL; its parameters are scanned as other text."""
        text = self._text
        end, path, first_at = (self.next(name, pattern, at) for name, pattern in _OF_URLS)
        user_end = text.rfind("@", at, path)
        if user_end < 0:
            colon = text.find(":", at, path)
            if not 0 <= first_at < end or colon < 0 or text[colon + 1 : path].isdecimal():
                return at
            user_end = first_at  # a password with a slash
        colon = text.find(":", at, user_end)
        start = at if colon < 0 else colon + 1
        if (colon >= 0 and user_end > start) or (user_end - start >= SHORTEST and is_random(text[at:user_end])):
            self._spans.append((start, user_end))
        return user_end

    def next(self, name: str, pattern: re.Pattern[str], at: int) -> int:
        """The next match at or behind a position; positions of one name do not decrease."""
        known = self._next.get(name, -1)
        if known < at:
            found = pattern.search(self._text, at)
            known = self._next[name] = found.start() if found else len(self._text)
        return known

    def _note_lines(self, start: int) -> None:
        last = self._text.rfind("\n", self._noted, start)
        if last >= 0:
            before = self._text.rfind("\n", self._noted, last)
            self._line_before = before + 1 if before >= 0 else self._line
            self._line = last + 1
        self._noted = start

    def _line_above(self) -> str:
        """The line above, which is the name of a field in an error of pydantic."""
        return self._text[self._line_before : max(self._line_before, self._line - 1)][-200:].strip()


_OF_URLS = (("end", _URL_END), ("path", _URL_PATH), ("at", _AT))


def _blanks(text: str, at: int) -> int:
    return _BLANKS.match(text, at).end()  # type: ignore[union-attr]


def _is_password(name: str) -> bool:
    return is_secret(name) and any(word in name.lower() for word in ("passw", "pwd", "passphrase", "key", "identified"))
