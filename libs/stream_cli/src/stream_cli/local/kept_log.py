"""The log of a kept file: an entry for each transaction, appended by one call of the kernel.

An entry has its length and a checksum. What is not whole at the end was being written when the process or the machine
ended; nobody was told of it. The log has a number, by which it is known whether the kept file has its entries already.
"""

from __future__ import annotations

import logging
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

from stream_cli import private_files

_NUMBER_BYTES = 8
_LENGTH_BYTES, _SUM_BYTES = 4, 4

logger = logging.getLogger("stream_cli.kept")


class KeptLog:
    """A log in a file; ``size`` is in bytes."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make it."""
        self._path = path
        self._file = private_files.open_file(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        self.size = os.fstat(self._file).st_size
        self.number = int.from_bytes(os.pread(self._file, _NUMBER_BYTES, 0)) if self.size >= _NUMBER_BYTES else 0
        """0 if it has none yet, and no entries."""

    def begin(self, number: int) -> None:
        """Remove all entries; those that come have another number, from 1."""
        os.ftruncate(self._file, 0)
        self.size, self.number = 0, number

    def append(self, entry: bytes) -> None:
        """Append an entry, or nothing.

        Raises:
            OSError: it cannot be written; the disk may be full.
        """
        head = b"" if self.size else self.number.to_bytes(_NUMBER_BYTES)
        self._write(head + len(entry).to_bytes(_LENGTH_BYTES) + zlib.crc32(entry).to_bytes(_SUM_BYTES) + entry)

    def _write(self, data: bytes) -> None:
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(self._file, left) :]
        except OSError:
            os.ftruncate(self._file, self.size)
            raise
        self.size += len(data)

    def entries(self) -> Iterator[bytes]:
        """All entries; what is not whole behind them is cut off."""
        content = memoryview(os.pread(self._file, self.size, 0))
        place = _NUMBER_BYTES
        while len(head := content[place : place + _LENGTH_BYTES + _SUM_BYTES]) == _LENGTH_BYTES + _SUM_BYTES:
            start = place + len(head)
            entry = content[start : start + int.from_bytes(head[:_LENGTH_BYTES])]
            end = start + int.from_bytes(head[:_LENGTH_BYTES])
            if end > len(content) or end == start or zlib.crc32(entry) != int.from_bytes(head[_LENGTH_BYTES:]):
                break
            yield bytes(entry)
            place = end
        if place < self.size:
            logger.warning("%d bytes at the end of %s are not whole; they are left out", self.size - place, self._path)
            os.ftruncate(self._file, place)
            self.size = place

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)
