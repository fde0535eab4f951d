"""Pictures of a screen as small PNG files: 256 colours, the most frequent ones exactly.

Other colours, which are those of the edges of letters, become the nearest of them.
"""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MOST = 256
_RGB = 2


def make_small(path: Path) -> None:
    """Write a PNG of a browser anew, which has 8 bits each of red, green and blue.

    Raises:
        ValueError: it is another kind of picture.
    """
    content = path.read_bytes()
    chunks = list(_chunks(content))
    width, height, depth, colour, *_, interlaced = struct.unpack(">IIBBBBB", chunks[0][1])
    if not content.startswith(_SIGNATURE) or (depth, colour, interlaced) != (8, _RGB, 0):
        raise ValueError(f"{path}: no PNG of 8 bits of red, green and blue")
    data = zlib.decompress(b"".join(body for name, body in chunks if name == b"IDAT"))
    rows = [[row[at : at + 3] for at in range(0, len(row), 3)] for row in _rows(data, width * 3, height)]
    counts = Counter(pixel for row in rows for pixel in row)
    palette = [pixel for pixel, _ in counts.most_common(_MOST)]
    places = {pixel: place for place, pixel in enumerate(palette)}
    for pixel in counts:
        if pixel not in places:
            places[pixel] = min(range(len(palette)), key=lambda place: _distance(palette[place], pixel))
    scan = b"".join(b"\0" + bytes(places[pixel] for pixel in row) for row in rows)
    head = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    parts = ((b"IHDR", head), (b"PLTE", b"".join(palette)), (b"IDAT", zlib.compress(scan, 9)), (b"IEND", b""))
    path.write_bytes(_SIGNATURE + b"".join(_chunk(*part) for part in parts))


def _rows(data: bytes, length: int, height: int) -> Iterator[bytes]:
    """The rows of a picture; each is told by what differs from those beside it (PNG, 9.2)."""
    above = bytearray(length)
    for start in range(0, height * (length + 1), length + 1):
        kind, row = data[start], bytearray(data[start + 1 : start + 1 + length])
        for at in range(length if kind else 0):
            left, corner = (row[at - 3], above[at - 3]) if at >= 3 else (0, 0)
            row[at] = (row[at] + _told(kind, left, above[at], corner)) & 0xFF
        yield bytes(row)
        above = row


def _told(kind: int, left: int, up: int, corner: int) -> int:
    if kind == 1:
        return left
    if kind == 2:
        return up
    if kind == 3:
        return (left + up) // 2
    guess = left + up - corner
    return min((left, up, corner), key=lambda each: abs(guess - each))


def _distance(one: bytes, other: bytes) -> int:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(_SIGNATURE)
    while at < len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        yield content[at + 4 : at + 8], content[at + 8 : at + 8 + length]
        at += length + 12


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
