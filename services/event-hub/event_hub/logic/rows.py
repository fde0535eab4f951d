"""Rows of a CSV object: read one by one as they arrive, good ones kept, bad ones skipped with a reason."""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, Self

COLUMNS = ("id", "name", "amount")
"""The columns that an object must have; others are taken along."""

MOST_DIGITS = 28


class InvalidHeader(ValueError):
    """The first line does not name the columns; no row can be read."""


class InvalidRow(ValueError):
    """A row that cannot be used.

    Attributes:
        column: the column at fault, or None where the row as a whole is.
    """

    def __init__(self, column: str | None, reason: str) -> None:
        super().__init__(reason)
        self.column = column


@dataclass
class Summary:
    """What has become of the rows of an object so far."""

    rows: int = 0
    taken: int = 0
    skipped: int = 0
    amount: Decimal = field(default_factory=lambda: Decimal(0))


class Lines:
    """The lines of an object as text, counted: each once, with its end; of one longer than the limit the beginning.

    Attributes:
        number: number of the line that was read last, beginning with 1.
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
        """Itself: a second loop goes on where the first one stopped."""
        return self

    def __next__(self) -> str:
        """The next line."""
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
        if size:
            yield self._line(kept, size)

    def _line(self, kept: bytearray, size: int) -> str:
        self.number += 1
        self.offset += size
        self.too_long = self.too_long or size > len(kept)
        # What is no UTF-8 comes out as surrogates, by which the row is refused.
        return kept.decode("utf-8-sig" if self.number == 1 else "utf-8", "surrogateescape")


def header_of(lines: Iterable[str]) -> list[str]:
    """The names of the columns, trimmed and in lower case.

    Raises:
        InvalidHeader: one is missing, or there twice.
    """
    try:
        names = [name.strip().lower() for name in next(csv.reader(lines), [])]
    except csv.Error as error:
        raise InvalidHeader(f"the header cannot be read: {error}") from None
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        raise InvalidHeader(f"no column {', '.join(missing)}; found {', '.join(names) or 'nothing'}")
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise InvalidHeader(f"column {', '.join(repeated)} is there more than once")
    return names


def rows_of(header: list[str], lines: Lines) -> Iterator[tuple[int, dict[str, Any] | InvalidRow]]:
    """Each row with the number of its last line: its values, or why it cannot be used. Empty lines are no rows."""
    reader = csv.reader(lines)
    while True:
        lines.too_long = False
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield lines.number, InvalidRow(None, str(error))
            continue
        if not any(value.strip() for value in values):
            continue
        try:
            if lines.too_long:
                raise InvalidRow(None, "the line is too long")
            yield lines.number, to_row(header, values)
        except InvalidRow as invalid:
            yield lines.number, invalid


def to_row(header: list[str], values: list[str]) -> dict[str, Any]:
    """The values of a row by column.

    Raises:
        InvalidRow: naming the column.
    """
    if len(values) != len(header):
        raise InvalidRow(
            header[len(values)] if len(values) < len(header) else None,
            f"{len(values)} values for {len(header)} columns",
        )
    row: dict[str, Any] = {}
    for column, value in zip(header, values, strict=True):
        text = value.strip()
        if any("\udc80" <= character <= "\udcff" for character in text):
            raise InvalidRow(column, "the text is not UTF-8")
        if column in COLUMNS and not text:
            raise InvalidRow(column, "there is no value")
        row[column] = _amount(text) if column == "amount" else text
    return row


def _amount(text: str) -> Decimal:
    try:
        amount = Decimal(text)
    except InvalidOperation:
        raise InvalidRow("amount", f"{text[:80]!r} is no number") from None
    if not amount.is_finite() or len(amount.as_tuple().digits) > MOST_DIGITS or abs(amount.adjusted()) > MOST_DIGITS:
        raise InvalidRow("amount", f"{text[:80]!r} is no amount")
    return amount
