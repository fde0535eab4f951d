"""Masks the fields that a service names as secret, wherever a record carries them.

A record holds its event in layers: base64 of JSON, JSON in JSON, DynamoDB's typed values, compressed fields. Each layer
is opened, masked and closed again, so the record keeps its form. Text that cannot be read as JSON is masked by name:
what follows ``name:`` or ``name=``. Binary data that is no text cannot be searched, and is taken out as a whole.
"""

from __future__ import annotations

import os
import re
from binascii import a2b_base64, b2a_base64
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from . import codec
from .compression import MARK, MOST_BYTES, compressed, expanded

MASK = "[redacted]"

_TYPES = frozenset({"S", "N", "B", "SS", "NS", "BS", "M", "L", "BOOL", "NULL"})
_DIGESTS = frozenset({"md5OfBody", "md5OfMessageAttributes"})
"""Of an SQS message: what is masked could be guessed until its digest fits."""
_SHORTEST = 4
"""Characters of a value that is removed from texts wherever it stands; a shorter one only as a whole word."""
_PART = 8
"""Characters of a longer value's beginning or end that are removed, too: messages quote values cut short."""
_MOST_SECRETS = 5000
_MOST_WORK = 1 << 27
"""Secrets times characters of a text, beyond which the whole text is masked: it would take seconds to look for each."""
_WORDS_OF_THREE = re.compile(r"(?<!\w)(?=(...)(?!\w))", re.DOTALL)
_NOTHING = ("", "null", "None", MASK)
_NO_SLASH = re.compile(r"[^\\]")
_TO_VALUE = re.compile(r"(?:[\\\"'\]]|%5[Dd]){0,8}\s*(?::|=>?)\s*")
_TO_TEXT_OF_TAG = re.compile(r"(?:\s[^<>]{0,200})?>")
_WORD_ENDS = re.compile(r"[\s,;&}\])\"'\\]")
_LINE_ENDS = re.compile(r"[\r\n,;&}\]\"'\\]")
_SIGNED = re.compile(r"(?i)([?&](?:X-Amz-Signature|X-Amz-Security-Token|X-Amz-Credential|Signature)=)[^&\s\"'<>]+")
_JSON_IN_BASE64 = re.compile("[eW][w-z0-9+/][A-Za-z0-9+/]{10}")  # of what begins with { or [
_NO_BASE64 = re.compile(r"[^A-Za-z0-9+/]")


class Found:
    """What was masked in a value.

    Attributes:
        paths: where, with dots, such as ``record.kinesis.data.thing.password``.
        secrets: the texts and numbers that stood there.
        masks_text: whether texts are searched for names, which finds no values to remember.
        left: bytes to which compressed fields may still expand, those within others too; one that expands to more is
            not searched but taken out. An event that rules get is in its fault twice, in record and event.
    """

    __slots__ = ("left", "masks_text", "paths", "secrets")

    def __init__(self, most_bytes: int = 2 * MOST_BYTES, *, masks_text: bool = True) -> None:
        self.masks_text = masks_text
        self.paths: set[str] = set()
        self.secrets: set[str] = set()
        self.left = most_bytes


class Redaction:
    """The fields that are secret.

    Args:
        fields: names, which count at any depth, or dotted paths, which count wherever a path ends so; without regard to
            case.
    """

    def __init__(self, fields: Iterable[str]) -> None:
        wanted = [tuple(field.lower().split(".")) for field in fields]
        self._names = frozenset(map(".".join, wanted))  # a name may have dots itself
        self._paths = tuple(path for path in wanted if len(path) > 1)
        self._last_names = sorted({path[-1] for path in wanted}, key=len, reverse=True)
        named = "|".join(map(re.escape, self._last_names))
        self._in_text = re.compile(rf"(?:(?<![a-z0-9_])|(?<=%[0-9a-f]{{2}}))(?:{named})(?![a-z0-9_])", re.IGNORECASE)

    def masked(self, value: Any, root: str, found: Found) -> Any:
        """A value with its secret fields masked; the value itself is not changed.

        Args:
            value: plain data: dicts, lists, texts, numbers.
            root: what the value is, ``record`` or ``event``: the beginning of paths.
            found: gets the paths and values that were masked.

        Raises:
            RecursionError: it is nested too deeply to be followed.
        """
        return self._walk(value, (root,), found) if self._names else value

    def secrets_in(self, *values: Any) -> set[str]:
        """The texts and numbers in the secret fields of values."""
        found = Found(masks_text=False)
        for value in values:
            try:
                self._walk(value, ("record",), found)
            except RecursionError:
                continue  # nobody can say what is in it; its text is masked by name all the same
        return found.secrets

    def secrets_of(self, uows: Iterable[Mapping[str, Any]]) -> set[str]:
        """The texts and numbers in the secret fields of units of work, and in those that were decrypted."""
        given = list(uows)
        held = (each.get(name) for each in given for name in ("record", "event"))
        secrets = self.secrets_in(*held) if self._names else set()
        for each in given:
            secrets.update(_leaves(getattr(each.get("decrypted"), "values", None)))
        return secrets

    def hidden(self, text: str, secrets: Iterable[str]) -> str:
        """A text without secret values, and without what follows the names of secret fields."""
        return self._without_forms(text, _forms_of(secrets))

    def _without_forms(self, text: str, forms: Sequence[str] | None) -> str:
        if forms is None or len(forms) * len(text) > _MOST_WORK:
            return MASK if text else text
        for form in forms:
            if len(form) >= _SHORTEST:
                text = text.replace(form, MASK)
        text = _without_words(text, {form for form in forms if len(form) == _SHORTEST - 1})
        for form in forms:
            if len(form) > _PART:
                text = _without_parts(text, form)
        return self._by_name(text)

    def hidden_in(self, value: Any, secrets: Collection[str]) -> Any:
        """A value of a log line with its secret fields masked, and its texts without secret values."""
        return self._hidden_in(value, secrets, _forms_of(secrets))

    def _hidden_in(self, value: Any, secrets: Collection[str], forms: Sequence[str] | None) -> Any:
        if isinstance(value, Mapping):
            return {
                name: MASK if self._is_secret((str(name),)) else self._hidden_in(member, secrets, forms)
                for name, member in value.items()
            }
        if isinstance(value, list | tuple | set | frozenset):
            return [self._hidden_in(member, secrets, forms) for member in value]
        if isinstance(value, str):
            return self._without_forms(value, forms)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return MASK if str(value) in secrets else value
        if value is None or isinstance(value, bool):
            return value
        written = str(value)
        hidden = self._without_forms(written, forms)
        return value if hidden == written else hidden

    def _is_secret(self, path: tuple[str, ...]) -> bool:
        if path[-1].lower() in self._names:
            return True
        return any(len(wanted) <= len(path) and all(map(_same, wanted, path[-len(wanted) :])) for wanted in self._paths)

    def _walk(self, value: Any, path: tuple[str, ...], found: Found) -> Any:
        if isinstance(value, Mapping):
            is_typed = len(value) == 1
            before = len(found.paths)
            masked = {}
            for name, member in value.items():
                here = path if is_typed and name in _TYPES else (*path, str(name))
                if here is not path and self._is_secret(here):
                    masked[name] = _mask(member, here, found)
                elif name == "data" and isinstance(member, str) and (path[-1] == "kinesis" or path == ("record",)):
                    masked[name] = self._base64(member, here, found)
                else:
                    masked[name] = self._walk(member, here, found)
            if len(found.paths) > before:
                masked |= dict.fromkeys(_DIGESTS & masked.keys(), MASK)
            return masked
        if isinstance(value, list | tuple):
            return [self._walk(member, path, found) for member in value]
        if isinstance(value, str) and len(value) >= _SHORTEST:
            return self._text(value, path, found)
        return value

    def _text(self, text: str, path: tuple[str, ...], found: Found) -> Any:
        if text.startswith(MARK):
            return self._compressed(text, path, found)
        if text.lstrip("\ufeff \t\r\n").startswith(("{", "[", '"')):
            return self._json(text, path, found)
        if _JSON_IN_BASE64.match(text):
            return self._encoded(text, path, found)
        return self._plain(text, path, found)

    def _encoded(self, text: str, path: tuple[str, ...], found: Found) -> str:
        """A text that may be JSON in base64, such as a binary attribute."""
        try:
            inner = a2b_base64(text, strict_mode=True).decode()
        except ValueError:
            return self._plain(text, path, found)
        masked = self._json(inner, path, found)
        return text if masked == inner else _to_base64(masked)

    def _plain(self, text: str, path: tuple[str, ...], found: Found) -> str:
        masked = self._by_name(text) if found.masks_text else text
        if masked != text:
            found.paths.add(".".join(path))
        return masked

    def _json(self, text: str, path: tuple[str, ...], found: Found) -> str:
        inner = Found(found.left, masks_text=found.masks_text)
        try:
            masked = self._walk(codec.decode(text), path, inner)
        except (RecursionError, TypeError, ValueError):
            return self._plain(text, path, found)
        finally:
            found.left = inner.left
        found.secrets |= inner.secrets
        if inner.paths or "\\u" in text:  # a name may be written in escapes, and hide behind one that is repeated
            found.paths |= inner.paths
            return codec.encode(masked)
        return self._plain(text, path, found)

    def _compressed(self, text: str, path: tuple[str, ...], found: Found) -> Any:
        inner = Found(found.left, masks_text=found.masks_text)
        try:
            opened, size = expanded({"": text}, inner.left)
            inner.left -= size
            masked = self._walk(opened[""], path, inner)
        except (RecursionError, TypeError, ValueError):
            found.paths.add(".".join(path))
            return MASK
        finally:
            found.left = inner.left
        found.secrets |= inner.secrets
        found.paths |= inner.paths
        return compressed({"": masked}, 0)[""] if inner.paths else text

    def _base64(self, text: str, path: tuple[str, ...], found: Found) -> str:
        try:
            data = a2b_base64(text, strict_mode=True)
        except ValueError:
            as_it_is = self._by_name(text)
            if as_it_is != text:
                found.paths.add(".".join(path))
                return as_it_is
            digits = _NO_BASE64.sub("", text)
            data = a2b_base64(digits[: len(digits) - (len(digits) % 4 == 1)] + "==", strict_mode=False)
        try:
            inner = data.decode()
            if "\x00" in inner:
                raise ValueError("not UTF-8, though it can be read so")
        except ValueError:
            found.paths.add(".".join(path))
            return _to_base64(MASK)
        masked = self._text(inner, path, found)
        return text if masked == inner else _to_base64(masked)

    def _by_name(self, text: str) -> str:
        """A text without the values that follow names; in time that grows with its length."""
        lowered = text.lower()
        if not any(name in lowered for name in self._last_names):
            return text  # most have none, and this is ten times as fast as the pattern
        parts, done, place = [], 0, 0
        while (name := self._in_text.search(text, place)) is not None:
            place = name.end()
            tag = _TO_TEXT_OF_TAG.match(text, place) if text[name.start() - 1 : name.start()] in ("<", ":") else None
            colon = tag or _TO_VALUE.match(text, place)
            if colon is None:
                continue
            start = colon.end()
            place = _end_of_text(text, start) if tag else _end_of_value(text, start, is_word="=" in colon[0])
            if text[start:place].strip("\\\"'") not in _NOTHING:
                parts += [text[done:start], MASK]
                done = place
        return "".join(parts) + text[done:] if parts else text


@lru_cache(maxsize=16)
def redaction_of(fields: frozenset[str]) -> Redaction:
    """The redaction of some fields, which is made once."""
    return Redaction(fields)


def without_credentials(text: str) -> str:
    """A text without the function's own credentials and without signatures of URLs, which no error has to tell."""
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        value = os.environ.get(name)
        if value and len(value) > _PART:
            text = text.replace(value, MASK)
    return _SIGNED.sub(rf"\1{MASK}", text)


def _same(wanted: str, name: str) -> bool:
    return wanted == name.lower()


def _mask(value: Any, path: tuple[str, ...], found: Found) -> Any:
    """What stands in place of a secret; an empty value tells nothing and stays."""
    if value is None or value in ("", [], {}):
        return value
    found.paths.add(".".join(path))
    found.secrets.update(_leaves(value))
    return {"S": MASK} if isinstance(value, Mapping) and len(value) == 1 and _TYPES & value.keys() else MASK


def _leaves(value: Any) -> Iterable[str]:
    """The texts and numbers in a value, also those in JSON inside of a text."""
    if isinstance(value, Mapping):
        for member in value.values():
            yield from _leaves(member)
    elif isinstance(value, list | tuple):
        for member in value:
            yield from _leaves(member)
    elif isinstance(value, str):
        yield value
        if value.lstrip().startswith(("{", "[")):
            try:
                yield from _leaves(codec.decode(value))
            except ValueError:
                return
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield str(value)


def _forms_of(secrets: Iterable[str]) -> list[str] | None:
    """All forms of secret values, the longest first; None if there are too many values to search for."""
    values = set(secrets)
    if len(values) > _MOST_SECRETS:
        return None
    return sorted({form for secret in values for form in _forms(secret)}, key=len, reverse=True)


def _forms(secret: str) -> set[str]:
    """How a secret value is written: as it is, in JSON, in Python and in URLs."""
    safe = secret.encode("utf-8", "replace").decode()
    return {secret, safe, codec.encode(safe)[1:-1], repr(secret)[1:-1], quote(safe)}


def _without_words(text: str, secrets: set[str]) -> str:
    """A text without secrets of three characters, where they stand as whole words."""
    pieces, done = [], 0
    for found in _WORDS_OF_THREE.finditer(text) if secrets else ():
        if found[1] in secrets and found.start() >= done:
            pieces += [text[done : found.start()], MASK]
            done = found.end(1)
    return "".join(pieces) + text[done:]


def _without_parts(text: str, secret: str) -> str:
    """A text without the beginnings and ends of a secret that have at least `_PART` characters."""
    for part, is_beginning in ((secret[:_PART], True), (secret[-_PART:], False)):
        pieces, done = [], 0
        while (place := text.find(part, done)) >= 0:
            start, end, length = place, place + _PART, _PART
            if is_beginning:
                while end < len(text) and length < len(secret) and text[end] == secret[length]:
                    end, length = end + 1, length + 1
            else:
                while start > done and length < len(secret) and text[start - 1] == secret[-length - 1]:
                    start, length = start - 1, length + 1
            pieces += [text[done:start], MASK]
            done = end
        if pieces:
            text = "".join(pieces) + text[done:]
    return text


def _end_of_value(text: str, start: int, *, is_word: bool) -> int:
    """Where a value ends that begins in unreadable text: at its quote, else at what separates values.

    Of an object or a list nobody can tell the end; everything behind it is taken for it.
    """
    if text.startswith(MASK, start):
        return start + len(MASK)
    bare = _NO_SLASH.search(text, start)
    first = bare.start() if bare else len(text)
    quote_ = text[first : first + 1]
    if quote_ not in ("'", '"'):
        if text[start : start + 1] in ("{", "["):
            return len(text)
        end = (_WORD_ENDS if is_word else _LINE_ENDS).search(text, start)
        return end.start() if end else len(text)
    depth, inside = first - start, first + 1
    while (place := text.find(quote_, inside)) >= 0:
        before = text[inside:place]
        escapes = len(before) - len(before.rstrip("\\"))
        if escapes == depth or (depth == 0 and escapes % 2 == 0):
            return place + 1
        inside = place + 1
    return len(text)


def _end_of_text(text: str, start: int) -> int:
    """Where the text of a tag of XML ends."""
    end = text.find("<", start)
    return len(text) if end < 0 else end


def _to_base64(text: str) -> str:
    return b2a_base64(text.encode("utf-8", "replace"), newline=False).decode("ascii")
