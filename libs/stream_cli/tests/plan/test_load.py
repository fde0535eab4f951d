"""Loads from rates and from files."""

import re
from pathlib import Path

import pytest
from stream_cli.plan.hot_keys import hottest_share
from stream_cli.plan.load import DAY, LoadError, burst, constant, curve, from_csv, from_lines, with_details


def test_a_constant_load_is_the_same_all_day() -> None:
    load = constant({"a": 5.0, "b": 1.0})
    assert load.seconds == DAY
    assert load.total.min() == load.total.max() == 6.0


def test_a_curve_has_its_mean_and_its_peak() -> None:
    wave = curve({"a": 100.0}, peak=1.8, at=0.75).types["a"].per_second
    assert wave.mean() == pytest.approx(100)
    assert wave.max() == pytest.approx(180)
    assert wave.argmax() == DAY * 3 // 4


def test_a_burst_is_higher_for_a_while() -> None:
    rates = burst({"a": 10.0}, 100, factor=5, begin=20, length=10).types["a"].per_second
    assert rates.sum() == 10 * 90 + 50 * 10
    assert rates[20] == 50
    assert rates[30] == 10


def test_a_day_of_the_lake_is_read_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "day.csv"
    file.write_text("second,type,events,bytes\n0,a,2,2000\n0,b,1,10\n5,a,98,98000\n9,a,1,50000\n")
    load = from_csv(file)
    assert load.seconds == 10
    assert load.types["a"].per_second.tolist() == [2, 0, 0, 0, 0, 98, 0, 0, 0, 1]
    assert load.types["a"].bytes_mean == pytest.approx(150_000 / 101)
    assert load.types["b"].per_second.sum() == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "day.csv is empty"),
        ("second,type\n1,a\n", "line 1: there is no column events in second,type"),
        ("second;type;events;bytes\n1;a;1;5\n", "line 1: there is no column second in second;type;events;bytes"),
        ("second,type,events,bytes\n", "has no events"),
        ("second,type,events,bytes\n1,a,0,0\n", "has no events"),
        ("second,type,events,bytes\n1,a,x,5\n", "line 2: events is x, not a number"),
        ("second,type,events,bytes\n1,a,-1,5\n", "line 2: events is -1"),
        ("second,type,events,bytes\n1,a,inf,5\n", "line 2: events is inf"),
        ("second,type,events,bytes\n1,a,nan,5\n", "line 2: events is nan"),
        ("second,type,events,bytes\n1,a,1e30,5\n", "line 2: events is 1e30, not a number from 0 to 100,000,000"),
        ("second,type,events,bytes\n1,a,1,5e6\n", "line 2: bytes is 5e6, not a number from 0 to 1,048,576"),
        ("second,type,events,bytes\n1.5,a,1,5\n", "line 2: second is 1.5, not a whole number"),
        (
            "second,type,events,bytes\n1764633600,a,1,5\n",
            "line 2: second is 1764633600, not a number from 0 to 604,799",
        ),
        ("second,type,events,bytes\n2026-01-01T00:00:00+02:00,a,1,5\n", "line 2: second is 2026-01-01T00"),
        ("second,type,events,bytes\n1,,1,5\n", "line 2: type is empty"),
        ("second,type,events,bytes\n1,a\n", "line 2: it does not have as many fields"),
        ("second,type,events,bytes\n1,a,1,5,6\n", "line 2: it does not have as many fields"),
    ],
)
def test_a_file_that_is_no_load_is_refused_with_its_line(text: str, said: str) -> None:
    with pytest.raises(LoadError, match=re.escape(said)) as raised:
        from_lines(text.splitlines(keepends=True), "day.csv")
    assert "The first line is second,type,events,bytes" in str(raised.value)


def test_a_file_of_a_spreadsheet_is_read_and_one_that_is_no_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "day.csv"
    file.write_bytes(b"\xef\xbb\xbfsecond,type,events,bytes\r\n0,a,2,2000\r\n")
    assert from_csv(file).types["a"].per_second.tolist() == [2]
    file.write_bytes(b"\x89PNG\xff")
    with pytest.raises(LoadError, match=r"day\.csv is not text in UTF-8"):
        from_csv(file)


def test_keys_of_a_file_have_the_skew_by_which_the_most_frequent_has_its_share() -> None:
    head, line = "second,type,events,bytes,keys,hottest\n", "0,a,1000,1000"
    assert from_lines([head, f"{line},1000,0.001"], "x").types["a"].keys == 0
    even = from_lines([head, f"{line},100,0.01"], "x").types["a"]
    assert (even.keys, even.skew) == (100, pytest.approx(0, abs=1e-3))
    skewed = from_lines([head, f"{line},100,0.2"], "x").types["a"]
    assert hottest_share(skewed.keys, skewed.skew) == pytest.approx(0.2, rel=1e-3)
    with pytest.raises(LoadError, match=r"line 2: hottest is 1\.5, not a number from 0 to 1"):
        from_lines([head, f"{line},100,1.5"], "x")


def test_a_rate_is_a_number_of_0_or_more() -> None:
    with pytest.raises(LoadError, match="the rate of a is not a number from 0 to"):
        constant({"a": -1.0}, 5)
    with pytest.raises(LoadError, match="the peak of a curve is 3 times its mean"):
        curve({"a": 1.0}, peak=3.0)


def test_details_are_the_same_for_all_types() -> None:
    load = with_details(constant({"a": 1.0, "b": 1.0}, 3), bytes_mean=77.0, skew=1.1)
    assert {(each.bytes_mean, each.skew) for each in load.types.values()} == {(77.0, 1.1)}


def test_a_load_can_be_scaled_and_cut() -> None:
    load = burst({"a": 10.0}, 100, factor=5, begin=20, length=10)
    assert load.scaled(3).total.sum() == 3 * load.total.sum()
    assert load.between(20, 30).total.tolist() == [50] * 10
