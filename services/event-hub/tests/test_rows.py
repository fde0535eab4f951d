"""Rows of a CSV object, in chunks of any size and with any mistake."""

import csv
import gzip
import io
import tracemalloc
import zipfile
from collections.abc import Iterator
from decimal import Decimal

import pytest
from event_hub.logic.rows import InvalidHeader, InvalidRow, Lines, header_of, rows_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


def read(content: bytes, size: int = 1 << 16, longest: int = 1 << 20) -> list[tuple[int, object]]:
    lines = Lines((content[start : start + size] for start in range(0, len(content), size)), longest=longest)
    found = list(rows_of(header_of(lines), lines))
    assert lines.offset == len(content)
    rows = [(line, row) for line, row in found if row is not None]
    return [(line, (row.column, str(row)) if isinstance(row, InvalidRow) else row) for line, row in rows]


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
        (b"1,Alice,10,more", "4"),
        (b"1,Alice,10,more,still more", "4"),
        (b"1,\xff\xfe,10", "name"),
        (b"1,Al\xe9,10", "name"),
        (b"1,Al\0ice,10", "name"),
        (b"1,Al\rice,10", "name"),
        (b"1,Alice,1_000", "amount"),
        ("1,Alice,\u0661\u0662".encode(), "amount"),
        (b"1,Alice,0x10", "amount"),
        (b"1,Alice,1e999999999999", "amount"),
        (b"x" * 257 + b",Alice,10", "id"),
        (b"x" * 200_000 + b",Alice,10", "id"),
        (b"1," + b"x" * 200_000 + b",10", "name"),
        (b"1," + b"x" * 2_000_000 + b",10", "name"),
        (b'1,"A"' + b"x" * 200_000 + b",10", "name"),
    ],
)
def test_an_invalid_row_is_reported_by_line_and_column_and_the_others_are_read(row: bytes, column: str) -> None:
    found = read(b"id,name,amount\n" + row + b"\n2,Bob,20\n")

    assert [line for line, _ in found] == [2, 3]
    assert found[0][1][0] == column  # type: ignore[index]
    assert found[1][1] == {"id": "2", "name": "Bob", "amount": Decimal(20)}


def test_empty_lines_are_not_rows() -> None:
    assert [line for line, _ in read(b"id,name,amount\n\n1,Alice,10\n , ,\n\n")] == [3]


@pytest.mark.parametrize(
    "header",
    [
        b"\xef\xbb\xbfid,name,amount",
        b'\xef\xbb\xbf"id","name","amount"',
        b'"ID" , "Name" , " AMOUNT "',
        b"Id\t, NAME ,amount\r",
        b'"id","na""me",amount,name',
        b"amount,name,id",
    ],
)
def test_case_blanks_quotes_and_order_of_a_header_do_not_matter(header: bytes) -> None:
    names = header_of(Lines([header + b"\n"]))

    assert {"id", "name", "amount"} <= set(names)


def test_a_header_of_several_lines_is_one_row() -> None:
    ((line, row),) = read(b'id,"the\nname",name,amount\n1,x,Alice,10\n')

    assert (line, row["the\nname"]) == (3, "x")  # type: ignore[index]


def test_blanks_before_a_quote_do_not_make_it_text() -> None:
    assert read(b'id,name,amount\n1, "Smith, Alice" , "10"\n') == [
        (2, {"id": "1", "name": "Smith, Alice", "amount": Decimal(10)})
    ]


def test_empty_columns_without_a_name_are_ignored() -> None:
    assert read(b"id,name,amount,,\n1,Alice,10,,\n2,Bob,20,,lost\n") == [
        (2, {"id": "1", "name": "Alice", "amount": Decimal(10)}),
        (3, ("5", "there is a value, but the column has no name")),
    ]


def test_a_header_without_rows_has_no_rows() -> None:
    assert read(b"id,name,amount") == read(b"id,name,amount\n") == []


def test_an_unclosed_quote_affects_no_more_lines_than_a_field_can_hold() -> None:
    content = b'id,name,amount\n1,"Alice,10\n' + b"".join(b"%d,Bob,20\n" % number for number in range(20_000))

    found = read(content)

    assert [row for _, row in found if isinstance(row, tuple)]
    assert len([row for _, row in found if isinstance(row, dict)]) > 5_000


def test_a_row_with_endless_quotes_is_not_kept_in_memory() -> None:
    def endless() -> Iterator[bytes]:
        yield b'id,name,amount\n1,"'
        while True:
            yield b'\n","' * (1 << 14)

    tracemalloc.start()
    lines = Lines(endless())
    line, row = next(rows_of(header_of(lines), lines))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert shown((line, row)) == (line, ("4", "a quote is not closed"))
    assert peak < 25 * 1024 * 1024


def test_a_line_without_an_end_is_cut() -> None:
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


def workbook() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.csv", "id,name,amount\n")
    return packed.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no column id, name, amount; found nothing"),
        (b"\n", "no column id, name, amount; found nothing"),
        (b"id,name\n1,2", "no column amount; found id, name"),
        (b"id,name,amount,Name\n", "column name is there more than once"),
        (b"id;name;amount\n1;Alice;10\n", "found id;name;amount; columns are separated by ',', not by ';'"),
        (b"id\tname\tamount\n1\tAlice\t10\n", r"columns are separated by ',', not by '\\t'"),
        (b"id,name,amount,stra\xdfe\n", "the header is not UTF-8"),
        (b"id,na\rme,amount\n", "the header cannot be read"),
        (b'"id,name,amount\n' + b"1,Alice,10\n" * 10_000, "the header cannot be read"),
        (gzip.compress(b"id,name,amount\n1,Alice,10\n", mtime=0), "the object is compressed with gzip"),
        (workbook(), "the object is a zip archive or a workbook"),
        ("\ufeffid,name,amount\n".encode("utf-16-le"), "the object is UTF-16"),
        ("id,name,amount\n".encode("utf-16-le"), "the object is binary"),
        (b"\x7fELF\0\0\0\0\n", "the object is binary"),
        (b"x" * 200_000, "the first line has more than 65536 characters"),
        (b"\0" * 200_000, "the object is binary"),
    ],
)
@pytest.mark.parametrize("size", [1, 1 << 16])
def test_an_object_without_its_columns_has_no_rows(content: bytes, message: str, size: int) -> None:
    with pytest.raises(InvalidHeader, match=message):
        header_of(Lines(content[start : start + size] for start in range(0, len(content), size)))


def test_an_object_that_is_not_csv_is_not_read_to_its_end() -> None:
    given_out = 0

    def content() -> Iterator[bytes]:
        nonlocal given_out
        while True:
            given_out += 1
            yield bytes([1, 2, 3, 4]) * 1024

    with pytest.raises(InvalidHeader):
        header_of(Lines(content()))
    assert given_out < 20


# What takes long on a busy machine is no failure.
at_any_pace = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
texts = st.text(st.sampled_from("ab\"'\n\r,; \u00e9\u20ac\0"), max_size=12)
numbers = st.sampled_from(["1", "2.50", "-3", "ten", "", "1e3"])
written = st.lists(st.tuples(st.sampled_from(["1", "2", ""]), texts, numbers), max_size=12)


def as_csv(rows: list[tuple[str, str, str]], end: str) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator=end, quoting=csv.QUOTE_ALL).writerows([("id", "name", "amount"), *rows])
    return text.getvalue().encode()


@at_any_pace
@given(rows=written, end=st.sampled_from(["\n", "\r\n"]), size=st.integers(1, 50))
def test_rows_of_a_csv_writer_are_read_unchanged_in_chunks_of_any_size(
    rows: list[tuple[str, str, str]], end: str, size: int
) -> None:
    good = [row for _, row in read(as_csv(rows, end), size) if isinstance(row, dict)]

    assert good == [
        {"id": story_id, "name": name.strip(), "amount": Decimal(amount)}
        for story_id, name, amount in rows
        if story_id and name.strip() and "\0" not in name.strip() and amount not in ("ten", "")
    ]


@at_any_pace
@given(content=st.one_of(written.map(lambda rows: as_csv(rows, "\n")), st.binary()), size=st.integers(1, 50))
def test_reading_can_continue_after_any_row(content: bytes, size: int) -> None:
    content = b"id,name,amount\n" + content
    lines = Lines([content])
    header = header_of(lines)
    whole = [(found, lines.offset) for found in rows_of(header, lines)]

    for done, ((line, _), offset) in enumerate(whole, start=1):
        rest = content[offset:]
        chunks = (rest[start : start + size] for start in range(0, len(rest), size))
        again = rows_of(header, Lines(chunks, number=line, offset=offset))
        assert [shown(found) for found in again] == [shown(found) for found, _ in whole[done:]]


def shown(found: tuple[int, object]) -> tuple[int, object]:
    line, row = found
    return line, (row.column, str(row)) if isinstance(row, InvalidRow) else row


def test_reading_continues_where_it_stopped() -> None:
    content = b'id,name,amount\n1,Alice,10\n2,"B\nob",20\n3,Carol,30\n'
    lines = Lines([content])
    header = header_of(lines)
    rows = rows_of(header, lines)
    next(rows)
    line, _ = next(rows)

    rest = Lines([content[lines.offset :]], number=line, offset=lines.offset)

    assert list(rows_of(header, rest)) == [(5, {"id": "3", "name": "Carol", "amount": Decimal(30)})]
