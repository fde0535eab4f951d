"""Makes loads: constant, a curve over the day, a burst, or the seconds of a real day from a CSV file."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from stream_cli.lake.rates import RATE_COLUMNS
from stream_cli.plan.model import EventLoad, Load, Series

DAY = 86_400
COLUMNS = RATE_COLUMNS
"""Of a CSV file, as `streamctl lake rates` prints it: the second from the beginning, the type, and the events of that
second with their bytes together."""


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
        LoadError: the file cannot be read as one.
        OSError: it cannot be read at all.
    """
    with path.open(newline="", encoding="utf-8") as file:
        return from_lines(file, str(path))


def from_lines(lines: Iterable[str], name: str) -> Load:
    """The load of lines of CSV; `name` is what errors call them."""
    rows = csv.DictReader(lines)
    if rows.fieldnames is None or set(COLUMNS) - set(rows.fieldnames):
        raise LoadError(f"{name}: the first line is {rows.fieldnames}; expected the columns {', '.join(COLUMNS)}")
    found: dict[str, list[tuple[int, float, float]]] = {}
    for row in rows:
        try:
            second, events, size = int(row["second"]), float(row["events"]), float(row["bytes"])
        except (TypeError, ValueError) as error:
            raise LoadError(
                f"{name}, line {rows.line_num}: {error}; expected numbers in second, events, bytes"
            ) from error
        if not row["type"] or not 0 <= second < 366 * DAY or not 0 <= events < np.inf or not 0 <= size < np.inf:
            raise LoadError(f"{name}, line {rows.line_num}: expected a type, and second, events and bytes of 0 or more")
        found.setdefault(row["type"], []).append((second, events, size))
    if not found:
        raise LoadError(f"{name} has no events; choose a day that has some")
    seconds = 1 + max(second for rows_of_type in found.values() for second, _, _ in rows_of_type)
    return Load({type_: _of_rows(rows_of_type, seconds) for type_, rows_of_type in sorted(found.items())})


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
    if not np.isfinite(per_second).all() or (per_second < 0).any():
        raise LoadError(f"the rate of {name} is not a number of 0 or more; give events a second")
    return per_second
