"""Changes the structure of invocations: other types, fields gone, doubled, nested, huge, cut, of another source."""

from __future__ import annotations

import copy
import random
import struct
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from stream_runtime.payload.compression import PREFIX
from valid_invocations import BUCKET, KEY, KINDS, Layer, Raw

MEBIBYTE = 1024 * 1024

Place = tuple[Any, Any]
"""A container and the key or index of one of its members."""


def mutated(chance: random.Random, kind: str, invocation: Any) -> Any:
    """The invocation with one to three changes, most of them inside of its records."""
    holder = {"": invocation}
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        _mutate(chance, kind, holder)
    return next(iter(holder.values()), None)


def _mutate(chance: random.Random, kind: str, holder: dict[str, Any]) -> None:
    if not chance.randrange(40):
        _mixed(chance, kind, holder.get(""))
        return
    places = list(_places(holder))
    if not places:
        return
    deep = [place for place in places if _is_data(place)]
    container, name = chance.choice(deep if deep and chance.randrange(3) else places)
    change = chance.choice(_CHANGES)
    change(chance, container, name)


def _is_data(place: Place) -> bool:
    return isinstance(place[0], dict) and place[1] in _INTERESTING


_INTERESTING = frozenset(
    {
        *("id", "type", "timestamp", "partition_key", "tags", "thing", "claim_check", "data", "body", "Message"),
        *("kinesis", "dynamodb", "Sns", "s3", "detail", "key", "bucket", "object", "eventTime", "time", "resources"),
        *("Keys", "NewImage", "OldImage", "SequenceNumber", "sequenceNumber", "messageId", "MessageId", "recordId"),
        *("eventID", "eventName", "pk", "sk", "event", "ttl", "expire", "meta", "N", "S", "M", "attributes", "parts"),
        *("MessageGroupId", "detail-type", "source", "approximateArrivalTimestamp", "SentTimestamp", "cursor"),
        *("ApproximateCreationDateTime", "topic", "message"),
    }
)
"""Names whose values the runtime reads: most changes are made there."""


def _places(tree: Any) -> Iterator[Place]:
    if isinstance(tree, Layer):
        yield tree.inner, 0
        yield from _places(tree.content)
    elif isinstance(tree, dict | list):
        for name, member in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield tree, name
            yield from _places(member)


def _mixed(chance: random.Random, kind: str, invocation: Any) -> None:
    """Records of another source among those of this one."""
    names = [name for name in KINDS if KINDS[name].records == KINDS[kind].records != "" and name != kind]
    if not names or not isinstance(invocation, dict):
        return
    other = KINDS[chance.choice(names)]
    strangers = other.make(chance, 1)[other.records]
    records = invocation.get(other.records)
    if isinstance(records, list):
        records.insert(chance.randrange(len(records) + 1), strangers[0])


# Changes of one place

Change = Callable[[random.Random, Any, Any], None]


def _odd(chance: random.Random, container: Any, name: Any) -> None:
    container[name] = copy.deepcopy(chance.choice(_ODD))


_ODD: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 1.5, -0.0, float("nan"), float("inf"), 1e308, 1 << 53, 1 << 63, -(1 << 70), 10**400),
    *("", " ", "x", "5", "-1", "1e999", "NaN", "None", "fault", "\x00", "\ud800", "a\ud800b", "\udcff", "é" * 300),
    *("\u202e", "a\nb", "x" * 2049, "../../etc/passwd", "${jndi}", "0001-01-01T00:00:00+14:00", "{}", "[]", '{"a":'),
    *("9999-12-31T23:59:59-14:00", "2026-02-30", "=", "AA", "AA==", "COMPRESSED", "COMPRESSEDH4sI", "%00", "a/b#c"),
    *([], {}, [[]], [{}], [None], {"": ""}, {"a": {"b": {}}}, [1, "a", None], {"S": "x"}, {"N": "x"}, {"S": 1}),
    *({"M": {"a": {"L": [{"NULL": True}]}}}, {"S": "a", "N": "1"}, {"type": "fault"}, {"__class__": "x"}),
)


def _dropped(_: random.Random, container: Any, name: Any) -> None:
    del container[name]


def _wrapped(chance: random.Random, container: Any, name: Any) -> None:
    inner = container[name]
    container[name] = chance.choice(([inner], {"x": inner}, {"type": inner}, [inner, inner], {"S": inner}))


def _doubled(chance: random.Random, container: Any, name: Any) -> None:
    if isinstance(container, list):
        container.insert(chance.randrange(len(container) + 1), copy.deepcopy(container[name]))
    elif isinstance(container[name], list):
        container[name] += copy.deepcopy(container[name])
    else:
        container[f"{name}2"] = copy.deepcopy(container[name])


def _reordered(chance: random.Random, container: Any, _: Any) -> None:
    if isinstance(container, list):
        chance.shuffle(container)
    else:
        members = list(container.items())
        chance.shuffle(members)
        container.clear()
        container.update(members)


def _renamed(chance: random.Random, container: Any, name: Any) -> None:
    if isinstance(container, dict) and isinstance(name, str):
        container[chance.choice((name.upper(), f" {name}", f"{name}s", ""))] = container.pop(name)


def _huge(chance: random.Random, container: Any, name: Any) -> None:
    size = chance.choice((5_000, 5_000, 50_000, 50_000, 900_000))
    if size > 50_000 and chance.randrange(4):
        size = 20_000
    container[name] = chance.choice(
        (
            "x" * size,
            "\x01" * (size // 6),
            "ü" * (size // 2),
            [0] * (size // 100),
            {str(n): n for n in range(size // 100)},
        )
    )


def _nested(chance: random.Random, container: Any, name: Any) -> None:
    if chance.randrange(2):
        depth = chance.choice((200, 979, 1_100, 5_000, 60_000))
        opening, closing = chance.choice((("[", "]"), ('{"a":', "}")))
        container[name] = Raw(opening * depth + "1" + closing * depth)
        return
    value: Any = 1
    for _ in range(chance.choice((10, 40, 150, 400))):
        value = {"a": value} if chance.randrange(2) else [value]
    container[name] = value


def _swapped(chance: random.Random, container: Any, name: Any) -> None:
    other = chance.choice(list(container) if isinstance(container, dict) else range(len(container)))
    container[name], container[other] = container[other], container[name]


def _spoiled(chance: random.Random, container: Any, name: Any) -> None:
    """Change the text of a layer, once it has been made."""
    layer = container[name]
    if not isinstance(layer, Layer):
        layer = container[name] = Layer(chance.choice(("json", "base64", "compressed")), layer)
    place, form = chance.random(), chance.randrange(8)

    def spoil(text: Any) -> Any:
        at = int(len(text) * place)
        if form == 0:
            return text[:at]
        if form == 1:
            return text[:at] + "\x00" + text[at:]
        if form == 2:
            return text[:at] + "\ud83d" + text[at:]
        if form == 3:
            return b64encode(text.encode("utf-8", "replace")).decode()
        if form == 4:
            return text.encode("utf-16-le", "replace") if layer.kind == "json" else text[::-1]
        if form == 5:
            return text + text
        if form == 6:
            return "\ufeff" + text
        return text.replace("{", '{"type":7,"type":', 1)

    layer.spoil = spoil if form != 4 or layer.kind != "json" else lambda text: str(spoil(text))


def _compressed(chance: random.Random, container: Any, name: Any) -> None:
    """A field that is marked as compressed, and is not what it should be."""
    form = chance.randrange(5)
    whole = zlib.compress(b'{"a":' + b"1" * 200 + b"}", wbits=31)
    if form == 0:
        whole = whole[: chance.randrange(len(whole))]
    elif form == 1:
        whole += whole
    elif form == 2:
        whole = zlib.compress(chance.choice((b"", b"no json", b'"\xff"', b"[" * 50_000)), wbits=31)
    elif form == 3:
        whole = bomb()
    container[name] = PREFIX + b64encode(whole).decode()


@cache
def bomb(mebibytes: int = 300) -> bytes:
    """A small gzip of a JSON text of many spaces, made of one block that is repeated."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = b" " * MEBIBYTE
    first, again = (packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    checksum = 0
    for _ in range(mebibytes):
        checksum = zlib.crc32(block, checksum)
    end = packer.compress(b"{}") + packer.flush()
    trailer = struct.pack("<II", zlib.crc32(b"{}", checksum), mebibytes * MEBIBYTE + 2)
    return b"\x1f\x8b\x08" + bytes(6) + b"\xff" + first + again * (mebibytes - 1) + end + trailer


def _pointing(chance: random.Random, container: Any, name: Any) -> None:
    """A claim check, of this container where it is an event, that points to what it should not."""
    bucket, key = chance.choice((BUCKET, "somebody-elses")), chance.choice(_KEYS)
    claim = chance.choice(({"bucket": bucket, "key": key}, {"bucket": BUCKET, "key": key}, *_CLAIMS))
    if isinstance(container, dict) and "type" in container:
        container["claim_check"] = copy.deepcopy(claim)
    else:
        container[name] = {"id": "e1", "type": "thing-created", "claim_check": copy.deepcopy(claim)}


_KEYS = (KEY, "claimchecks/no-json", "claimchecks/no-event", "claimchecks/pointer", "claimchecks/large", "outside", "")
_CLAIMS: tuple[Any, ...] = (
    *(
        None,
        5,
        "text",
        [],
        {},
        {"bucket": BUCKET},
        {"key": KEY},
        {"bucket": 5, "key": KEY},
        {"bucket": BUCKET, "key": 5},
    ),
    *({"bucket": BUCKET, "key": "claimchecks/../outside"}, {"bucket": None, "key": None}, [BUCKET, KEY]),
    *({"bucket": [BUCKET], "key": KEY}, {"bucket": BUCKET, "key": {"a": KEY}}, {"bucket": BUCKET, "key": "x" * 2000}),
)

_CHANGES: tuple[Change, ...] = (
    *(_odd, _odd, _odd, _odd, _dropped, _dropped, _wrapped, _doubled, _reordered, _renamed, _huge, _nested, _swapped),
    *(_spoiled, _spoiled, _compressed, _pointing),
)
