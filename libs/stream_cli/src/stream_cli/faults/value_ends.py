"""Where the value of a field in a text ends: of `password=...`, of `"password": "..."`, of `Cookie: ...`."""

from __future__ import annotations

import re

# What opens and closes: a quote, in JSON within JSON after backslashes, in a URL after a percent sign.
QUOTE = re.compile(r"[\"'`]")
PERCENT_QUOTE = re.compile(r"%(?:25){0,4}2[27]")
_BACKSLASHES = re.compile(r"\\*")
_PREFIX = re.compile(r"[bBrRuUfF]{0,2}(?=\\{0,64}[\"'])")
_BRACKETS = re.compile(r"[{}\[\]\"']")

# What may end a value without quotes, and what follows it where it does.
_MAY_END = re.compile(r"[\s\"'`<>,;&)\]}]|\\[nrt\"']|%(?:25){0,4}(?:26|2[27]|7[Dd]|2[Cc]|20|0[AaDd])")
_NEXT_FIELD = re.compile(r"\s|$|\\?[\"'{}]|[\w.\-]{1,64}\s{0,3}(?:[=:]|%3)")
_NEXT_PARAMETER = re.compile(r"\s|$|amp;|[\w.\-%\[\]]{1,64}=")
_END_OF_GROUP = re.compile(r"$|[\s,;.:)\]}\"'`&\\]")
_MAY_END_LINE = re.compile(r"[\r\n\"'`<]|,\s{0,4}[A-Za-z][\w-]{1,64}:|\\[rn]")
_MORE_DIGITS = re.compile(r" [A-Z0-9()+/.-]{0,6}[0-9][A-Z0-9()+/.-]{0,6}")


def quoted(text: str, at: int, limit: int | None = None) -> tuple[int, int] | None:
    """The span of a quoted value; one that is not closed is the rest of the text, or none with a limit."""
    percent = PERCENT_QUOTE.match(text, at)
    if percent:
        close = text.find(percent[0], percent.end())
        return None if close < 0 else (at, close + len(percent[0]))
    prefix = _PREFIX.match(text, at)
    quote_at = backslashes(text, prefix.end() if prefix else at)
    if not QUOTE.match(text, quote_at):
        return None
    level = quote_at - (prefix.end() if prefix else at)
    end = _closed(text, quote_at, level, len(text) if limit is None else min(len(text), quote_at + limit))
    if end is not None:
        return at, end
    return None if limit is not None else (at, len(text))


def balanced(text: str, at: int) -> int:
    """The end of an object or an array; one that is not closed goes on to the end of the text."""
    depth = 0
    while found := _BRACKETS.search(text, at):
        at = found.end()
        if found[0] in "{[":
            depth += 1
        elif found[0] in "}]":
            depth -= 1
            if depth == 0:
                return at
        else:
            first = found.start()
            while first > 0 and text[first - 1] == "\\" and found.start() - first < 64:
                first -= 1
            end = _closed(text, found.start(), found.start() - first, len(text))
            if end is None:
                return len(text)
            at = max(end, at)
    return len(text)


def end_of_bare(text: str, at: int, *, is_number: bool) -> int:
    """The end of a value without quotes; a number may be written in groups of digits."""
    end = len(text)
    for found in _MAY_END.finditer(text, at):
        ends, behind = found[0], found.end()
        if (
            ends.isspace()
            or ends in "<>"
            or (ends in ",;" and _NEXT_FIELD.match(text, behind))
            or (ends == "&" and _NEXT_PARAMETER.match(text, behind))
            or (ends in ")]}" and _END_OF_GROUP.match(text, behind))
            or (ends in "\"'`" and _END_OF_GROUP.match(text, behind))
            or (len(ends) == 2 and (ends[1] in "\"'" or _NEXT_FIELD.match(text, behind) or text[behind] == "\\"))
            or len(ends) > 2
        ):
            end = found.start()
            break
    while is_number and (more := _MORE_DIGITS.match(text, end)):
        end = more.end()
    return end


def end_of_line(text: str, at: int) -> int:
    """The end of a header's value: of the line, of the text in quotes around it, or where the next header begins."""
    position = at
    while found := _MAY_END_LINE.search(text, position):
        if found[0] in "\"'" and text[found.start() - 1] == "=" and found.start() > at:
            close = text.find(found[0], found.end())  # a cookie's value, or a parameter, in quotes
            if close >= 0:
                position = close + 1
                continue
        end = found.start()
        while end > at and text[end - 1] in "\\ ":
            end -= 1
        return end
    return len(text)


def _closed(text: str, quote_at: int, level: int, stop: int) -> int | None:
    """The end of a quoted value, by the backslashes before its first quote: 0, 1, 3, 7, ... in JSON within JSON."""
    quote = text[quote_at]
    triple = quote * 3
    if text.startswith(triple, quote_at):
        close = text.find(triple, quote_at + 3, stop)
        return None if close < 0 else close + 3
    at = quote_at + 1
    while (close := text.find(quote, at, stop)) >= 0:
        first = close
        while first > at and text[first - 1] == "\\":
            first -= 1
        count = close - first
        if count < level:
            return first  # The end of the text that this one is quoted in.
        if (count - level) % (2 * (level + 1)) == 0:
            return close + 1
        at = close + 1
    return None


def backslashes(text: str, at: int) -> int:
    """The end of the backslashes at a position."""
    return _BACKSLASHES.match(text, at).end()  # type: ignore[union-attr]
