"""Rows of a CSV object, read as they arrive: valid rows, and the reasons why others are skipped."""

import csv
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from io import StringIO
from typing import Any, Self

COLUMNS = ("id", "name", "amount")
"""The required columns; others are kept as well."""

MOST_DIGITS = 28

LONGEST_ID = 256
"""Characters; an id becomes a partition key (Kinesis API reference, PutRecord)."""

LONGEST_HEADER = 1 << 16
"""Characters; an object whose first line is longer is not CSV."""

LONGEST_QUOTE = 1 << 17
"""Characters of a row over several lines, beyond which its quote counts as not closed."""

NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d{1,9})?", re.ASCII | re.IGNORECASE)

NOT_TEXT = {
    b"\x1f\x8b": "compressed with gzip",
    b"BZh": "compressed with bzip2",
    b"\xfd7zXZ": "compressed with xz",
    b"\x28\xb5\x2f\xfd": "compressed with zstd",
    b"PK\x03\x04": "a zip archive or a workbook",
    b"PAR1": "a Parquet file",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
"""Kinds of objects by their first bytes."""


class InvalidHeader(ValueError):
    """The object does not begin with the names of the columns, so no row can be read."""


class InvalidRow(ValueError):
    """A row that cannot be used.

    Attributes:
        column: name of the invalid column, or its number from 1 if it has no name.
    """

    def __init__(self, column: str, reason: str) -> None:
        super().__init__(reason)
        self.column = column


@dataclass
class RowCounts:
    """Counts of the rows of an object so far, and the sum of their amounts."""

    rows: int = 0
    taken: int = 0
    skipped: int = 0
    amount: Decimal = field(default_factory=lambda: Decimal(0))

    def add(self, row: Mapping[str, Any] | InvalidRow | None) -> None:
        """Count a row; an empty line (None) is not counted."""
        if row is None:
            return
        self.rows += 1
        if isinstance(row, InvalidRow):
            self.skipped += 1
        else:
            self.taken += 1
            self.amount += row["amount"]


class Lines:
    """The lines of an object as text, with their line ends; a line above the limit is cut.

    Attributes:
        number: number of the last line that was read, from 1.
        offset: bytes up to the end of that line.
        too_long: whether a line was cut since this was last set to False.
    """

    def __init__(self, chunks: Iterable[bytes], *, number: int = 0, offset: int = 0, longest: int = 1 << 20) -> None:
        self.number = number
        self.offset = offset
        self.too_long = False
        self._longest = longest
        self._read = self._lines(chunks)

    def __iter__(self) -> Self:
        """The same iterator: a second loop continues where the first one stopped."""
        return self

    def __next__(self) -> str:
        return next(self._read)

    def _lines(self, chunks: Iterable[bytes]) -> Iterator[str]:
        kept, size = bytearray(), 0
        for chunk in chunks:
            start = 0
            while (end := chunk.find(b"\n", start)) >= 0:
                kept += chunk[start : min(end + 1, start + self._longest - len(kept))]
                size += end + 1 - start
                yield self._line(kept, size)
                kept, size, start = bytearray(), 0, end + 1
            kept += chunk[start : start + self._longest - len(kept)]
            size += len(chunk) - start
            if not self.number and size > LONGEST_HEADER:
                raise InvalidHeader(_not_text(kept) or f"the first line has more than {LONGEST_HEADER} characters")
        if size:
            yield self._line(kept, size)

    def _line(self, kept: bytearray, size: int) -> str:
        self.number += 1
        self.offset += size
        self.too_long = self.too_long or size > len(kept)
        if self.number == 1 and (reason := _not_text(kept)):
            raise InvalidHeader(reason)
        # Bytes that are not UTF-8 become surrogates, for which the row is refused.
        return kept.decode("utf-8-sig" if self.number == 1 else "utf-8", "surrogateescape")


class _Record:
    """The lines of the current row, kept to find where reading it fails."""

    def __init__(self, lines: Iterable[str], longest: int) -> None:
        self._lines = iter(lines)
        self._longest = longest
        self._kept: list[str] = []
        self._size = 0

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        if self._size > self._longest:
            raise csv.Error("a quote is not closed")
        line = next(self._lines)
        self._kept.append(line)
        self._size += len(line)
        return line

    def begin(self) -> None:
        """Discard the lines of the previous row."""
        self._kept.clear()
        self._size = 0

    def values_until_failure(self) -> int:
        """The number of the value at which reading fails: the last value of the longest readable prefix."""
        text = "".join(self._kept)
        values = _values_of(text)
        if values is None:
            end = bisect_left(range(len(text)), True, key=lambda end: _values_of(text[: end + 1]) is None)
            values = _values_of(text[:end])
        return len(values or [""])


def _values_of(text: str) -> list[str] | None:
    try:
        return next(_reader(StringIO(text, newline="")), [])
    except csv.Error:
        return None


def _reader(lines: Iterable[str]) -> Iterator[list[str]]:
    # A quote is recognised only without blanks before it; blanks around values are stripped later.
    return csv.reader(lines, skipinitialspace=True)


def header_of(lines: Iterable[str]) -> list[str]:
    """The names of the columns, stripped and in lower case; "" for a column without a name.

    Raises:
        InvalidHeader: a required column is missing, or a name is repeated.
    """
    try:
        names = [name.strip().lower() for name in next(_reader(_Record(lines, LONGEST_HEADER)), [])]
    except csv.Error as error:
        raise InvalidHeader(f"the header cannot be read: {error}") from None
    if any(_is_not_utf8(name) for name in names):
        raise InvalidHeader("the header is not UTF-8")
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        raise InvalidHeader(
            f"no column {', '.join(missing)}; found {', '.join(names)[:500] or 'nothing'}{_hint(names)}"
        )
    repeated = sorted({name for name in names if name and names.count(name) > 1})
    if repeated:
        raise InvalidHeader(f"column {', '.join(repeated)} is there more than once")
    return names


def _hint(names: list[str]) -> str:
    separator = next((each for each in ";\t|" if len(names) == 1 and each in names[0]), None)
    return f"; columns are separated by ',', not by {separator!r}" if separator else ""


def _not_text(beginning: bytes | bytearray) -> str | None:
    """Why an object with these first bytes cannot be read."""
    kind = next((kind for magic, kind in NOT_TEXT.items() if beginning.startswith(magic)), None)
    if kind is None and b"\0" in beginning:
        kind = "binary"
    return f"the object is {kind}; expected CSV as plain UTF-8" if kind else None


def rows_of(header: list[str], lines: Lines) -> Iterator[tuple[int, dict[str, Any] | InvalidRow | None]]:
    """Each row with the number of its last line: its values, or why it is invalid; None for an empty line."""
    record = _Record(lines, LONGEST_QUOTE)
    reader = _reader(record)
    while True:
        lines.too_long = False
        record.begin()
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield lines.number, InvalidRow(_name(header, record.values_until_failure()), str(error))
            continue
        if not any(value.strip() for value in values):
            yield lines.number, None
            continue
        try:
            if lines.too_long:
                raise InvalidRow(_name(header, len(values)), "the line is too long")
            yield lines.number, to_row(header, values)
        except InvalidRow as invalid:
            yield lines.number, invalid


def to_row(header: list[str], values: list[str]) -> dict[str, Any]:
    """The values of a row by column; columns without a name must be empty.

    Raises:
        InvalidRow: with the column and the reason.
    """
    if len(values) != len(header):
        first = min(len(values), len(header)) + 1
        raise InvalidRow(_name(header, first), f"{len(values)} values for {len(header)} columns")
    row: dict[str, Any] = {}
    for number, (column, value) in enumerate(zip(header, values, strict=True), start=1):
        text = value.strip()
        if _is_not_utf8(text):
            raise InvalidRow(_name(header, number), "the text is not UTF-8")
        if "\0" in text:
            raise InvalidRow(_name(header, number), "the text holds a zero byte")
        if column in COLUMNS and not text:
            raise InvalidRow(column, "there is no value")
        if column == "id" and len(text) > LONGEST_ID:
            raise InvalidRow(column, f"the id has more than {LONGEST_ID} characters")
        if column:
            row[column] = _amount(text) if column == "amount" else text
        elif text:
            raise InvalidRow(_name(header, number), "there is a value, but the column has no name")
    return row


def _name(header: list[str], number: int) -> str:
    """The name of a column, or its number from 1 if it has none; of surplus columns the first number."""
    number = min(number, len(header) + 1)
    return header[number - 1] if number <= len(header) and header[number - 1] else str(number)


def _is_not_utf8(text: str) -> bool:
    if text.isascii():
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _amount(text: str) -> Decimal:
    if not NUMBER.fullmatch(text):
        raise InvalidRow("amount", f"{text[:80]!r} is no number")
    amount = Decimal(text)
    if not amount.is_finite() or len(amount.as_tuple().digits) > MOST_DIGITS or abs(amount.adjusted()) > MOST_DIGITS:
        raise InvalidRow("amount", f"{text[:80]!r} is no amount")
    return amount
