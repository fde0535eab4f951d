"""Rows of a CSV object, however they are cut into pieces and whatever is wrong with them."""

import tracemalloc
from collections.abc import Iterator
from decimal import Decimal

import pytest
from event_hub.logic.rows import InvalidHeader, InvalidRow, Lines, header_of, rows_of


def read(content: bytes, size: int = 1 << 16, longest: int = 1 << 20) -> list[tuple[int, object]]:
    lines = Lines((content[start : start + size] for start in range(0, len(content), size)), longest=longest)
    found = list(rows_of(header_of(lines), lines))
    assert lines.offset == len(content)
    return [(line, (row.column, str(row)) if isinstance(row, InvalidRow) else row) for line, row in found]


@pytest.mark.parametrize("size", [1, 2, 7, 1 << 16])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_rows_are_the_same_however_the_object_arrives(size: int, end: bytes) -> None:
    content = end.join([b"\xef\xbb\xbf ID , Name,AMOUNT,note", b"1,Alice,10,", b'2,"B, ""Bob""",20.50,"two', b'lines"'])

    assert read(content, size) == [
        (2, {"id": "1", "name": "Alice", "amount": Decimal(10), "note": ""}),
        (4, {"id": "2", "name": 'B, "Bob"', "amount": Decimal("20.50"), "note": f"two{end.decode()}lines"}),
    ]


@pytest.mark.parametrize(
    ("row", "column"),
    [
        (b"1,Alice,ten", "amount"),
        (b"1,Alice,", "amount"),
        (b"1,Alice,NaN", "amount"),
        (b"1,Alice,Infinity", "amount"),
        (b"1,Alice,1e400", "amount"),
        (b"1,Alice," + b"1" * 40, "amount"),
        (b",Alice,10", "id"),
        (b"1,  ,10", "name"),
        (b"1,Alice", "amount"),
        (b"1", "name"),
        (b"1,Alice,10,more", None),
        (b"1,\xff\xfe,10", "name"),
        (b"1," + b"x" * 200_000 + b",10", None),
    ],
)
def test_a_bad_row_is_named_by_line_and_column_and_the_rest_is_read(row: bytes, column: str | None) -> None:
    found = read(b"id,name,amount\n" + row + b"\n2,Bob,20\n")

    assert [line for line, _ in found] == [2, 3]
    assert found[0][1][0] == column  # type: ignore[index]
    assert found[1][1] == {"id": "2", "name": "Bob", "amount": Decimal(20)}


def test_empty_lines_are_no_rows() -> None:
    assert [line for line, _ in read(b"id,name,amount\n\n1,Alice,10\n , ,\n\n")] == [3]


def test_a_quote_that_is_never_closed_costs_no_more_than_a_field_may_hold() -> None:
    content = b'id,name,amount\n1,"Alice,10\n' + b"".join(b"%d,Bob,20\n" % number for number in range(20_000))

    found = read(content)

    assert [row for _, row in found if isinstance(row, tuple)]
    assert len([row for _, row in found if isinstance(row, dict)]) > 5_000


def test_a_line_without_an_end_is_cut_not_kept() -> None:
    def endless() -> Iterator[bytes]:
        yield b"id,name,amount\n1,"
        for _ in range(400):
            yield b"x" * (1 << 16)
        yield b",10\n2,Bob,20\n"

    tracemalloc.start()
    lines = Lines(endless())
    found = list(rows_of(header_of(lines), lines))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert [isinstance(row, InvalidRow) for _, row in found] == [True, False]
    assert peak < 10 * 1024 * 1024, "26 MB were read"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no column id, name, amount; found nothing"),
        (b"\n", "no column id, name, amount"),
        (b"id,name\n1,2", "no column amount; found id, name"),
        (b"id,name,amount,Name\n", "column name is there more than once"),
        (b"x" * 200_000, "cannot be read"),
    ],
)
def test_an_object_without_its_columns_has_no_rows(content: bytes, message: str) -> None:
    with pytest.raises(InvalidHeader, match=message):
        header_of(Lines([content]))


def test_reading_goes_on_where_it_was_left() -> None:
    content = b'id,name,amount\n1,Alice,10\n2,"B\nob",20\n3,Carol,30\n'
    lines = Lines([content])
    header = header_of(lines)
    rows = rows_of(header, lines)
    next(rows)
    line, _ = next(rows)

    rest = Lines([content[lines.offset :]], number=line, offset=lines.offset)

    assert list(rows_of(header, rest)) == [(5, {"id": "3", "name": "Carol", "amount": Decimal(30)})]
