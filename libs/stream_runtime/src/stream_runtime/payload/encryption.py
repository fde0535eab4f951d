"""Field encryption, format 1: chosen values of an object, each encrypted for its own place in it.

An encrypted object has a header under `HEADER`: which fields are encrypted, what the object is bound to, the data key
as the master key of each region has wrapped it, a salt and a commitment. docs/encryption.md describes the format byte
by byte.

Sources: RFC 5869 (HKDF), NIST SP 800-38D (AES-GCM); Albertini et al., "How to Abuse and Fix Authenticated Encryption
Without Key Commitment".
"""

from __future__ import annotations

import hmac
import os
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from . import codec

HEADER = "encryption"
"""The field of an object that says how its fields are encrypted."""

MARK = "ENCRYPTED"
"""What an encrypted value begins with; base64 follows."""

VERSION = 1
NAME = "stream-runtime/fields"

MOST_FIELDS = 64
MOST_PARTS = 32
MOST_REGIONS = 8
_MOST_TEXT = 1024
_MOST_WRAPPED = 8192
"""Characters of a wrapped data key: KMS takes 6144 bytes. Source: KMS API reference, "Decrypt", CiphertextBlob."""
_KEY_BYTES = 32
_SALT_BYTES = 16
_NONCE_BYTES = 12
_TAG_BYTES = 16

Place = tuple[str | int, ...]
Bound = str | int | None


class DataKey(NamedTuple):
    """A data key, and the same as the master key of each region has wrapped it.

    Attributes:
        plaintext: 32 bytes.
        wrapped: by region, bytes.
    """

    plaintext: bytes
    wrapped: Mapping[str, bytes]

    def __repr__(self) -> str:
        return f"DataKey(wrapped for {', '.join(self.wrapped)})"


class Header(NamedTuple):
    """What the header of an encrypted object says, checked in its form alone until the object is decrypted.

    Attributes:
        fields: paths of the encrypted fields.
        bound: names and values of the members of the object that it was encrypted for.
        wrapped: the wrapped data key, by region.
        salt: 16 bytes.
        commitment: 32 bytes.
    """

    fields: tuple[str, ...]
    bound: tuple[tuple[str, Bound], ...]
    wrapped: Mapping[str, bytes]
    salt: bytes
    commitment: bytes


def is_encrypted(value: object) -> bool:
    """Whether an object has a header of this format, of whatever version."""
    return isinstance(value, Mapping) and isinstance(value.get(HEADER), Mapping) and "v" in value[HEADER]


def header_of(value: Mapping[str, Any]) -> Header:
    """The header of an encrypted object.

    Raises:
        ValueError: it is of another version, or damaged.
    """
    header = value.get(HEADER)
    if not isinstance(header, Mapping):
        raise ValueError(f"the object has no header {HEADER!r}")
    version = header.get("v")
    if isinstance(version, bool) or version != VERSION:
        raise ValueError(f"{HEADER!r} is of version {version!r:.80}; this runtime reads version {VERSION}")
    if header.keys() != _MEMBERS:
        raise ValueError(f"{HEADER!r} is damaged: it has the members {sorted(map(str, header))!r:.200}")
    fields, bound, keys = header["fields"], header["bound"], header["keys"]
    if not _are_texts(fields, MOST_FIELDS) or not fields or not all(map(is_path, fields)):
        raise ValueError(f"{HEADER!r} is damaged: 'fields' is no list of paths")
    if not isinstance(bound, list | tuple) or len(bound) > MOST_FIELDS or not all(map(_is_pair, bound)):
        raise ValueError(f"{HEADER!r} is damaged: 'bound' is no list of names with values")
    if not isinstance(keys, Mapping) or not 1 <= len(keys) <= MOST_REGIONS:
        raise ValueError(f"{HEADER!r} is damaged: 'keys' has no wrapped data keys")
    return Header(
        tuple(fields),
        tuple((name, _bound(name, member)) for name, member in bound),
        {str(region): _bytes(key, "keys", most=_MOST_WRAPPED) for region, key in keys.items()},
        _bytes(header["salt"], "salt", _SALT_BYTES),
        _bytes(header["commitment"], "commitment", _KEY_BYTES),
    )


_MEMBERS = {"v", "fields", "bound", "keys", "salt", "commitment"}


def is_path(path: object) -> bool:
    """Whether a text is a path: names with dots between; ``*`` stands for each member of a list or object."""
    return isinstance(path, str) and 0 < len(path) <= _MOST_TEXT and _has_parts(path.split("."))


def _has_parts(parts: Sequence[str]) -> bool:
    return len(parts) <= MOST_PARTS and all(parts) and parts[0] not in ("*", HEADER)


def _are_texts(value: object, most: int) -> bool:
    if not isinstance(value, list | tuple) or len(value) > most:
        return False
    return all(isinstance(each, str) and 0 < len(each) <= _MOST_TEXT for each in value)


def _is_pair(pair: object) -> bool:
    return isinstance(pair, list | tuple) and len(pair) == 2 and _are_texts(pair[:1], 1)


def _bytes(text: object, name: str, size: int | None = None, most: int = _MOST_TEXT) -> bytes:
    try:
        if not isinstance(text, str) or len(text) > most:
            raise ValueError("no short text")
        data = a2b_base64(text, strict_mode=True)
        if size is not None and len(data) != size:
            raise ValueError("another length")
    except ValueError:
        raise ValueError(f"{HEADER!r} is damaged: {name!r} is not what it has to be") from None
    return data


def encrypted(
    value: Mapping[str, Any],
    fields: Sequence[str],
    bound: Sequence[str],
    key: DataKey,
    random: Callable[[int], bytes] = os.urandom,
) -> dict[str, Any]:
    """An object with its fields encrypted, and the header; what the fields are in is copied, the object stays as it is.

    A field that is not there, or null, stays so. Without any other there is nothing to encrypt, and no header.

    Args:
        value: the object.
        fields: paths of fields; the value at a path is encrypted whole.
        bound: names of members of the object, such as ``id``: it can be decrypted only with the same values there.
        key: the data key.
        random: makes so many random bytes.

    Raises:
        ValueError: there is a header already, a path cannot be used, or a bound value is neither text nor a whole
            number.
        TypeError: a field has no JSON form.
    """
    if HEADER in value:
        raise ValueError(f"the object has a field {HEADER!r} already")
    wrong = [path for path in fields if not is_path(path)]
    if wrong or len(fields) > MOST_FIELDS:
        raise ValueError(f"these are no paths of at most {MOST_FIELDS} fields to encrypt: {(wrong or fields)!r:.200}")
    given = tuple(dict.fromkeys(fields))
    salt = random(_SALT_BYTES)
    pairs = tuple((name, _bound(name, value.get(name))) for name in bound)
    secret, commitment = _derived(key.plaintext, salt, _about(given, pairs))
    lock = _cipher(secret)

    def change(member: Any, place: Place) -> Any:
        nonce = random(_NONCE_BYTES)
        text = codec.encode(member).encode()
        return MARK + _base64(nonce + lock.encrypt(nonce, text, _place(place)))

    whole, count = _changed(value, given, change)
    if not count:
        return dict(value)
    whole[HEADER] = {
        "v": VERSION,
        "fields": list(given),
        "bound": [list(pair) for pair in pairs],
        "keys": {region: _base64(wrapped) for region, wrapped in key.wrapped.items()},
        "salt": _base64(salt),
        "commitment": _base64(commitment),
    }
    return whole


def check_bound(value: Mapping[str, Any], header: Header) -> None:
    """Check that an object is the one that its header was made for, and not a copy that others have made of its fields.

    Raises:
        ValueError: it is another one.
    """
    for name, member in header.bound:
        if _bound(name, value.get(name)) != member:
            raise ValueError(
                f"{HEADER!r} is of another object: its {name!r} is {member!r:.80}, here it is {value.get(name)!r:.80}"
            )


def decrypted(value: Mapping[str, Any], header: Header, key: bytes, most_bytes: int) -> dict[str, Any]:
    """An encrypted object as it was, without the header. Whether it is the one that was encrypted, `check_bound` tells.

    Args:
        value: the object.
        header: its header.
        key: the data key, 32 bytes.
        most_bytes: MAX_EXPANDED_SIZE, for the number of values.

    Raises:
        ValueError: object or header are not what was encrypted: damaged, cut short, or put together from several.
    """
    secret, commitment = _derived(key, header.salt, _about(header.fields, header.bound))
    if not hmac.compare_digest(commitment, header.commitment):
        raise ValueError(f"{HEADER!r} is damaged: salt, fields, bound values and data key do not belong together")
    lock = _cipher(secret)
    texts: list[bytes] = []

    def change(member: Any, place: Place) -> Any:
        text = _opened(lock, member, place)
        texts.append(text)
        return _read(text, place)

    whole, _ = _changed(value, header.fields, change)
    try:
        codec.check_values(texts, most_bytes)
    except ValueError as error:
        raise ValueError(f"the encrypted fields: {error}") from None
    del whole[HEADER]
    return whole


def values_at(value: Mapping[str, Any], fields: Sequence[str]) -> dict[Place, Any]:
    """The values at some paths, the outermost of each way, by their places; null is none."""
    found: dict[Place, Any] = {}

    def note(member: Any, place: Place) -> Any:
        found[place] = member
        return member

    _changed(value, fields, note)
    return found


def _opened(lock: Any, member: Any, place: Place) -> bytes:
    from cryptography.exceptions import InvalidTag

    try:
        if not isinstance(member, str) or not member.startswith(MARK):
            raise ValueError("it is not encrypted")
        data = a2b_base64(member[len(MARK) :], strict_mode=True)
        if len(data) < _NONCE_BYTES + _TAG_BYTES:
            raise ValueError("it is cut short")
        text: bytes = lock.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], _place(place))
    except InvalidTag:
        raise ValueError(f"field {named(place)!r} is damaged, or from another place") from None
    except ValueError as error:
        raise ValueError(f"field {named(place)!r} is damaged: {error}") from None
    return text


def _read(text: bytes, place: Place) -> Any:
    """The value of a decrypted text, of which no error tells anything."""
    try:
        member = codec.decode(text)
        if len(place) + _levels(text) > codec.MOST_LEVELS:
            codec.check_value(_at_depth(member, len(place)))
    except ValueError:
        raise ValueError(f"field {named(place)!r} holds no JSON of at most {codec.MOST_LEVELS} levels") from None
    return member


def _levels(text: bytes) -> int:
    """Levels that a text has at most."""
    return text.count(b"{") + text.count(b"[")


def _at_depth(value: Any, levels: int) -> Any:
    for _ in range(levels):
        value = [value]
    return value


def named(place: Place) -> str:
    """A place as a path, shortened."""
    return ".".join(map(str, place))[:200]


def _base64(data: bytes) -> str:
    return b2a_base64(data, newline=False).decode("ascii")


def _cipher(secret: bytes) -> Any:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(secret)


def _place(place: Place) -> bytes:
    return codec.encode(place).encode()


def _about(fields: Sequence[str], bound: Sequence[tuple[str, Bound]]) -> bytes:
    """What an object's key is derived for: format, the values that the object is bound to, and fields."""
    return codec.encode([NAME, VERSION, bound, fields]).encode()


def _bound(name: str, value: Any) -> Bound:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int | Decimal) and not isinstance(value, bool) and value == int(value):
        return int(value)
    raise ValueError(f"{name!r} is neither a text nor a whole number, so nothing can be bound to it: {value!r:.80}")


def _derived(key: bytes, salt: bytes, about: bytes) -> tuple[bytes, bytes]:
    """The object's own key and its commitment: HKDF-SHA256, 32 bytes each."""
    if len(key) != _KEY_BYTES:
        raise ValueError(f"a data key has {_KEY_BYTES} bytes, this one has {len(key)}")
    extracted = hmac.digest(salt, key, "sha256")
    first = hmac.digest(extracted, about + b"\x01", "sha256")
    return first, hmac.digest(extracted, first + about + b"\x02", "sha256")


class _Branch:
    """Where paths lead: to the end of one, or on."""

    __slots__ = ("is_end", "members")

    def __init__(self) -> None:
        self.is_end = False
        self.members: dict[str, _Branch] = {}


def _branches(fields: Sequence[str]) -> _Branch:
    root = _Branch()
    for path in fields:
        branch = root
        for part in path.split("."):
            branch = branch.members.setdefault(part, _Branch())
        branch.is_end = True
    return root


def _changed(
    value: Mapping[str, Any], fields: Sequence[str], change: Callable[[Any, Place], Any]
) -> tuple[dict[str, Any], int]:
    """An object with the values at some paths changed, the outermost of each way, and how many there were."""
    count = 0

    def walk(member: Any, branches: list[_Branch], place: Place) -> Any:
        nonlocal count
        if member is None:
            return None
        if any(branch.is_end for branch in branches):
            count += 1
            return change(member, place)
        if isinstance(member, Mapping):
            new: dict[str, Any] = dict(member)
            for name, there, below in _below(member, branches):
                new[name] = walk(there, below, (*place, name))
            return new
        if isinstance(member, list | tuple):
            below = [branch.members["*"] for branch in branches if "*" in branch.members]
            return [walk(each, below, (*place, at)) for at, each in enumerate(member)] if below else member
        return member

    return walk(value, [_branches(fields)], ()), count


def _below(member: Mapping[str, Any], branches: list[_Branch]) -> Iterator[tuple[str, Any, list[_Branch]]]:
    """The members of an object that paths lead to, in the object's order where there is a wildcard."""
    if any("*" in branch.members for branch in branches):
        names: Any = member
    else:
        names = [name for branch in branches for name in branch.members if name in member]
    for name in dict.fromkeys(names):
        below = [branch.members[part] for branch in branches for part in (name, "*") if part in branch.members]
        if below:
            yield name, member[name], below
