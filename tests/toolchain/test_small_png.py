"""Pictures of the README are small, and look as they did."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest
from small_png import make_small

WIDTH, HEIGHT = 40, 5


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(rows: list[bytes], colour: int = 2) -> bytes:
    """A picture whose rows are told by each of the five kinds of differences in turn."""
    scan, above = b"", bytes(WIDTH * 3)
    for number, row in enumerate(rows):
        kind, told = number % 5, bytearray()
        for at, value in enumerate(row):
            left, corner = (row[at - 3], above[at - 3]) if at >= 3 else (0, 0)
            up = above[at]
            guess = left + up - corner
            nearest = min((left, up, corner), key=lambda each: abs(guess - each))
            told.append((value - (0, left, up, (left + up) // 2, nearest)[kind]) & 0xFF)
        scan += bytes([kind]) + bytes(told)
        above = row
    head = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, colour, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(scan)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def pixels(content: bytes) -> list[bytes]:
    """The colours of a picture with a palette, row by row."""
    parts, at = {}, 8
    while at < len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        parts[content[at + 4 : at + 8]] = content[at + 8 : at + 8 + length]
        at += length + 12
    palette, scan = parts[b"PLTE"], zlib.decompress(parts[b"IDAT"])
    rows = [scan[start + 1 : start + 1 + WIDTH] for start in range(0, len(scan), WIDTH + 1)]
    return [b"".join(palette[place * 3 : place * 3 + 3] for place in row) for row in rows]


def test_up_to_256_colours_stay_what_they_are(tmp_path: Path) -> None:
    rows = [bytes((x * 7 * (y + 1) + c * 31) % 251 for x in range(WIDTH) for c in range(3)) for y in range(HEIGHT)]
    picture = tmp_path / "picture.png"
    picture.write_bytes(png(rows))
    make_small(picture)
    assert pixels(picture.read_bytes()) == rows


def test_another_kind_of_picture_is_refused(tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    picture.write_bytes(png([bytes(WIDTH * 3)] * HEIGHT, colour=6))
    with pytest.raises(ValueError, match="no PNG of 8 bits"):
        make_small(picture)
