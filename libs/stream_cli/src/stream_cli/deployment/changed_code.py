"""The zip file that packaging would make after a change of source files, made from the one before the change.

Only the changed entries are written anew. Node.js compresses them, as for the Serverless CLI. What the CLI had made of
the files before is compared: where that is not the same, the CLI has to package.
"""

from __future__ import annotations

import base64
import json
import struct
import subprocess
import zlib
from collections.abc import Mapping

_LOCAL, _CENTRAL, _END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
_DEFLATED = 8
_NODE = """
const { deflateRawSync } = require('node:zlib');
const given = JSON.parse(require('node:fs').readFileSync(0));
const deflated = (each) => deflateRawSync(Buffer.from(each, 'base64')).toString('base64');
process.stdout.write(JSON.stringify(given.map(deflated)));
"""
_TIMEOUT_S = 30


class CannotReplace(Exception):
    """The zip file cannot be made from the one before; the text says why."""


def with_changed_files(zipped: bytes, before: Mapping[str, bytes], after: Mapping[str, bytes], node: str) -> bytes:
    """The zip file with other contents of some of its files.

    Args:
        before: the contents of these files in `zipped`.
        node: the Node.js that the CLI runs on.

    Raises:
        CannotReplace: the CLI would make another file.
    """
    names = sorted(after)
    compressed = _compressed([*(before[name] for name in names), *(after[name] for name in names)], node)
    was, becomes = (
        dict(zip(names, part, strict=True)) for part in (compressed[: len(names)], compressed[len(names) :])
    )
    start = zipped.rfind(_END)
    if start < 0 or len(zipped) - start != 22:
        raise CannotReplace("it has no end of a zip file")
    count, size, position = struct.unpack("<HII", zipped[start + 10 : start + 20])
    if position + size != start:
        raise CannotReplace("its directory is not before its end")
    contents, directory, replaced = bytearray(), bytearray(), set()
    for _ in range(count):
        flags, method = struct.unpack("<HH", zipped[position + 8 : position + 12])
        size, _, name_length, extra, comment = struct.unpack("<IIHHH", zipped[position + 20 : position + 34])
        (offset,) = struct.unpack("<I", zipped[position + 42 : position + 46])
        length = 46 + name_length + extra + comment
        entry = bytearray(zipped[position : position + length])
        name = bytes(entry[46 : 46 + name_length]).decode()
        inner, outer = struct.unpack("<HH", zipped[offset + 26 : offset + 30])
        begin = offset + 30 + inner + outer
        header = bytearray(zipped[offset:begin])
        data = zipped[begin : begin + size]
        if entry[:4] != _CENTRAL or header[:4] != _LOCAL or flags & 8:
            raise CannotReplace(f"{name} is written as a stream")
        if name in after:
            if method != _DEFLATED or data != was[name] or not after[name]:
                raise CannotReplace(f"{name} is compressed in another way")
            data = becomes[name]
            numbers = struct.pack("<III", zlib.crc32(after[name]), len(data), len(after[name]))
            header[14:26], entry[16:28] = numbers, numbers
            replaced.add(name)
        entry[42:46] = struct.pack("<I", len(contents))
        contents += header + data
        directory += entry
        position += length
    if replaced != set(after):
        raise CannotReplace(f"it does not hold {', '.join(sorted(set(after) - replaced))}")
    end = bytearray(zipped[start:])
    end[12:20] = struct.pack("<II", len(directory), len(contents))
    return bytes(contents + directory + end)


def _compressed(contents: list[bytes], node: str) -> list[bytes]:
    given = json.dumps([base64.b64encode(each).decode() for each in contents])
    ran = subprocess.run(
        [node, "-e", _NODE], input=given, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
    )
    if ran.returncode != 0:
        raise CannotReplace(f"Node.js failed: {ran.stderr.strip()}")
    return [base64.b64decode(each) for each in json.loads(ran.stdout)]
