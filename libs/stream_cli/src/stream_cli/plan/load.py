"""Makes loads: constant, a curve over the day, a burst, or the seconds of a real day from a CSV file."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from stream_cli.lake.rates import KEY_COLUMNS, RATE_COLUMNS
from stream_cli.plan.hot_keys import hottest_share
from stream_cli.plan.model import EventLoad, Load, Series

DAY = 86_400
COLUMNS = RATE_COLUMNS
"""Of a CSV file, as `streamctl lake rates` prints it: the second from the beginning, the type, and the events of that
second with their bytes together. It may have `KEY_COLUMNS`, of all events of a type: how many partition keys they have,
and the share of the most frequent one."""

MOST_DAYS = 7
MOST_SKEW = 5.0
MOST_RATE = 1e8
"""Events/s of all types: a hundred times the largest system of docs/scale.md; memory and time grow with its shards."""

MOST_BYTES = 1024 * 1024
"""Of an entry of PutEvents (EventBridge user guide, "Calculating PutEvents event entry size")."""

_MOST_SHOWN = 80
_HALVINGS = 16
_EXPECTED = (
    f"The first line is {','.join(COLUMNS)}, and each other one is a type in a second: 0,story-analyzed,12,9600 are 12 "
    "events with 9,600 bytes together in the first second after midnight (UTC). `streamctl lake rates` writes one."
)


class LoadError(ValueError):
    """A load that cannot be made; the message says what is wrong, where, and what to do."""


def constant(rates: Mapping[str, float], seconds: int = DAY) -> Load:
    """The same rate (events/s) of each type all the time."""
    return Load({name: EventLoad(_checked(name, np.full(seconds, float(rate)))) for name, rate in rates.items()})


def curve(rates: Mapping[str, float], seconds: int = DAY, *, peak: float = 2.0, at: float = 0.5) -> Load:
    """A wave with these means (events/s).

    Args:
        peak: the highest rate over the mean, from 1 to 2.
        at: when it is highest, as a share of the whole time.
    """
    if not 1 <= peak <= 2:
        raise LoadError(f"the peak of a curve is {peak:g} times its mean; give 1 to 2, or use a burst")
    wave = 1 + (peak - 1) * np.cos(2 * np.pi * (np.arange(seconds) / max(1, seconds) - at))
    return Load({name: EventLoad(_checked(name, rate * wave)) for name, rate in rates.items()})


def burst(rates: Mapping[str, float], seconds: int = DAY, *, factor: float, begin: int, length: int) -> Load:
    """A constant rate, but `factor` times it for `length` seconds from second `begin` on."""
    if not 0 <= begin <= begin + length <= seconds:
        raise LoadError(f"a burst from second {begin} for {length} s does not fit into {seconds} s; begin earlier")
    shape = np.ones(seconds)
    shape[begin : begin + length] = factor
    return Load({name: EventLoad(_checked(name, rate * shape)) for name, rate in rates.items()})


def with_details(load: Load, **details: float) -> Load:
    """The load with other values of `EventLoad`'s fields for all types, such as `bytes_mean` or `skew`."""
    return replace(load, types={name: replace(each, **details) for name, each in load.types.items()})  # type: ignore[arg-type]


def from_csv(path: Path) -> Load:
    """The load of a CSV file with the columns `COLUMNS`; seconds without events may be left out.

    Raises:
        LoadError: the file cannot be read as one; the message says the line and what is expected.
        OSError: it cannot be read at all.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        try:
            return from_lines(file, str(path))
        except UnicodeDecodeError as error:
            raise LoadError(f"{path} is not text in UTF-8: {error}.\n{_EXPECTED}") from error
        except csv.Error as error:
            raise LoadError(f"{path} is not CSV: {error}.\n{_EXPECTED}") from error


def from_lines(lines: Iterable[str], name: str) -> Load:
    """The load of lines of CSV; `name` is what errors call them."""
    rows = csv.DictReader(lines)
    header = ",".join(rows.fieldnames or ())
    if not header:
        raise LoadError(f"{name} is empty.\n{_EXPECTED}")
    if missing := [column for column in COLUMNS if column not in (rows.fieldnames or ())]:
        raise LoadError(f"{name}, line 1: there is no column {missing[0]} in {header[:_MOST_SHOWN]}.\n{_EXPECTED}")
    found: dict[str, list[tuple[int, float, float]]] = {}
    keys: dict[str, tuple[int, float]] = {}
    has_keys = set(KEY_COLUMNS) <= set(rows.fieldnames or ())
    for row in rows:
        where = f"{name}, line {rows.line_num}"
        if None in row or None in row.values():
            raise LoadError(f"{where}: it does not have as many fields as the first line.\n{_EXPECTED}")
        second = _number(row, "second", where, MOST_DAYS * DAY - 1)
        if second != int(second):
            raise LoadError(f"{where}: second is {row['second']}, not a whole number.\n{_EXPECTED}")
        events = _number(row, "events", where, MOST_RATE)
        size = _number(row, "bytes", where, MOST_BYTES * max(1.0, events))
        if not row["type"]:
            raise LoadError(f"{where}: type is empty.\n{_EXPECTED}")
        found.setdefault(row["type"], []).append((int(second), events, size))
        if has_keys:
            keys[row["type"]] = int(_number(row, "keys", where, 1e12)), _number(row, "hottest", where, 1.0)
    if not any(events for rows_of_type in found.values() for _, events, _ in rows_of_type):
        raise LoadError(f"{name} has no events below its first line; choose a day that has some.\n{_EXPECTED}")
    seconds = 1 + max(second for rows_of_type in found.values() for second, _, _ in rows_of_type)
    made = {type_: _of_rows(rows_of_type, seconds) for type_, rows_of_type in sorted(found.items())}
    return Load({type_: _with_keys(each, *keys.get(type_, (0, 0.0))) for type_, each in made.items()})


def _with_keys(load: EventLoad, keys: int, hottest: float) -> EventLoad:
    """The load of a type with so many keys, of which the most frequent has a share; as many as events are their own."""
    if keys >= load.per_second.sum():
        return load
    return replace(load, keys=keys, skew=skew_of(keys, hottest))


def skew_of(keys: int, hottest: float) -> float:
    """The exponent of Zipf's law by which the most frequent of so many keys has this share, from 0 to `MOST_SKEW`."""
    low, high = 0.0, MOST_SKEW
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if hottest_share(keys, middle) < hottest else (low, middle)
    return round((low + high) / 2, 3)


def _number(row: Mapping[str, str], column: str, where: str, most: float) -> float:
    try:
        value = float(row[column])
    except ValueError:
        value = np.nan
    if not 0 <= value <= most:
        raise LoadError(
            f"{where}: {column} is {row[column][:_MOST_SHOWN]}, not a number from 0 to {most:,.0f}.\n{_EXPECTED}"
        )
    return value


def _of_rows(rows: list[tuple[int, float, float]], seconds: int) -> EventLoad:
    at, events, sizes = (np.array(column) for column in zip(*rows, strict=True))
    per_second = np.bincount(at.astype(int), weights=events, minlength=seconds).astype(np.float64)
    total = float(events.sum())
    each = sizes / np.maximum(events, 1.0)
    order = np.argsort(each)
    reached = np.cumsum(events[order])
    p99 = float(each[order][min(len(each) - 1, int(np.searchsorted(reached, 0.99 * total)))])
    return EventLoad(per_second, bytes_mean=float(sizes.sum()) / total if total else 1_000.0, bytes_p99=p99)


def _checked(name: str, per_second: Series) -> Series:
    if not np.isfinite(per_second).all() or (per_second < 0).any() or (per_second > MOST_RATE).any():
        raise LoadError(f"the rate of {name} is not a number from 0 to {MOST_RATE:,.0f}; give events a second")
    return per_second
