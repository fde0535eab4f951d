"""The load that a command line describes: a rate, a curve or a burst of it, or a file; and what names in it are."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from stream_cli.errors import CommandError
from stream_cli.plan.load import MOST_BYTES, MOST_RATE, burst, constant, curve, from_csv, with_details
from stream_cli.plan.model import Event, Load, System, Times
from stream_cli.plan.ways import ways_of

FORMS = """\
--rate 100                                           constant: events/s from outside, all day
--rate 100 --peak 1.5                                a curve: a wave over the day, at most 1.5 times its mean
--rate 100 --burst 5x300@18:00                       a burst: five times the rate for 300 s from 18:00 on
--type story-analyzed=50 --type "POST /stories=50"   the rate of each type of event, or of each route
--load day.csv                                       a CSV file, of which each line is a type in a second of the day:
    second,type,events,bytes
    0,story-analyzed,12,9600
`streamctl lake rates --date 2026-01-31 > day.csv` writes the file of a real day."""
"""How a load can be given, for people."""

_BURST = re.compile(r"(\d+(?:\.\d+)?)x(\d+)s?@(\d{1,2}):(\d{2})")
_ROUTE = re.compile(r"(?:GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS|ANY) /")
_HOURS = 24.0
_MOST_TOLD = 30


@dataclass(frozen=True)
class Shape:
    """How a load goes over the time, and what its events are like; None for what was not given."""

    hours: float | None = None
    peak: float = 1.0
    burst: str | None = None
    size: float | None = None
    keys: int | None = None
    skew: float | None = None
    poison: float = 0.0
    transient: float = 0.0
    factor: float = 1.0

    def load(self, rate: float | None, rates: Mapping[str, float], file: Path | None, times: Times) -> Load:
        """The load that the command line describes.

        Raises:
            CommandError: it describes none, or two, or one that nothing could send.
            LoadError: a rate or the file is wrong.
            OSError: the file cannot be read.
        """
        if sum((rate is not None, bool(rates), file is not None)) != 1:
            raise CommandError(f"Give one of --rate, --type and --load: how many events come from outside.\n{FORMS}")
        made = self._of_file(file) if file else self._of_rates(rates or _evenly(rate or 0.0, times))
        details: dict[str, Any] = {"poison": self.poison, **self._keys(made)}
        if self.size is not None:
            if self.size > MOST_BYTES:
                raise CommandError(
                    f"--bytes {self.size:g}: an entry of the bus has at most {MOST_BYTES:,} bytes; what is larger goes "
                    "through the claim check, as an event of some hundred bytes."
                )
            details |= {"bytes_mean": self.size, "bytes_p99": 0.0}
        elif file is None:
            sized = {name: replace(each, bytes_mean=_size_of(name, times)) for name, each in made.types.items()}
            made = replace(made, types=sized)
        load = replace(with_details(made, **details), transient=self.transient).scaled(self.factor)
        if load.seconds and float(load.total.max()) > MOST_RATE:
            raise CommandError(f"The load has {load.total.max():g} events/s; a plan is of {MOST_RATE:,.0f} at most.")
        return load

    def _keys(self, made: Load) -> dict[str, Any]:
        keys = {"keys": self.keys} if self.keys is not None else {}
        if self.skew is None:
            return keys
        if self.skew and not self.keys and not (self.keys is None and any(each.keys for each in made.types.values())):
            raise CommandError(
                f"--skew {self.skew:g} needs --keys, how many keys there are: without it, each event has its own."
            )
        return {**keys, "skew": self.skew}

    def _of_file(self, file: Path) -> Load:
        if not file.exists():
            raise CommandError(f"{file}: No such file or directory. These are the forms of a load:\n{FORMS}")
        if self.peak != 1 or self.burst or self.hours is not None:
            raise CommandError(
                "--hours, --peak and --burst shape a --rate or a --type; the file of --load has its own shape."
            )
        return from_csv(file)

    def _of_rates(self, rates: Mapping[str, float]) -> Load:
        seconds = max(1, round((_HOURS if self.hours is None else self.hours) * 3600))
        if self.burst and self.peak != 1:
            raise CommandError("Give --peak or --burst, not both.")
        if self.peak != 1:
            return curve(rates, seconds, peak=self.peak)
        if not self.burst:
            return constant(rates, seconds)
        match = _BURST.fullmatch(self.burst)
        if not match:
            raise CommandError(f"--burst {self.burst} is not FACTORxSECONDS@HH:MM, such as 10x60@12:00.")
        begin = int(match[3]) * 3600 + int(match[4]) * 60
        return burst(rates, seconds, factor=float(match[1]), begin=begin, length=int(match[2]))


def within(times: Times, system: System) -> Times:
    """The times without journeys that begin with a route of a service that is not in the plan."""
    begins = (each for each in times.journeys if not _ROUTE.match(each.begin) or each.begin in system.routes)
    return replace(times, journeys=tuple(begins))


def require_routes(load: Load, system: System) -> None:
    """See that the stage has each route of a load.

    Raises:
        CommandError: it has not; the message names those that it has.
    """
    if unknown := sorted(name for name in load.types if _ROUTE.match(name) and name not in system.routes):
        there = ", ".join(sorted(system.routes)) or "none"
        raise CommandError(f"No API of {system.stage} has the route {unknown[0]}.\nThe routes are {there}.")


def without_what_follows(load: Load, system: System, times: Times) -> tuple[Load, tuple[str, ...]]:
    """A load as a lake has it, without the types that follow from others of it, and what to say of that.

    A lake has every event, also those that functions publish: they come of the others once more.
    """
    kept, notes = load, []
    for name in load.types:
        rest = replace(kept, types={other: each for other, each in kept.types.items() if other != name})
        if name in ways_of(system, times, rest).kinds:
            kept = rest
            notes.append(f"{name} is left out of the load, since it follows from what else is in it.")
    for name in kept.types:
        publishers = sorted(
            function
            for function, each in times.functions.items()
            if function in system.functions and any(name in work.emits for work in each.work.values())
        )
        if publishers:
            notes.append(
                f"{name} is published by {', '.join(publishers)}: what leads to that, such as requests, is not in the "
                "load. Put it there in its place, such as lines with the type POST /stories."
            )
    return kept, tuple(notes)


def without_takers(load: Load, system: System, times: Times, takers: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    """What to say of types that no function takes, or for which its times have no work; `takers` are by type."""
    known = sorted(_types_of(times) | {each.begin for each in times.journeys} - system.routes.keys())
    for name in load.types:
        functions = takers.get(name)
        timed = [each for each in functions or () if each in times.functions]
        has_work = any({name, ""} & times.functions[each].work.keys() for each in timed)
        if name in system.routes or functions is None or has_work or (functions and not timed):
            continue
        if functions:
            said = f"It is not known what {', '.join(functions)} does for {name}: that counts as nothing."
        else:
            said = f"No function takes {name}: it goes no further than bus, stream and lake."
        close = get_close_matches(name, known, 1)
        meant = f" Is {close[0]} meant?" if close else ""
        those = f" Types with known work are {', '.join(known[:_MOST_TOLD])}." if known else ""
        yield f"{said}{meant}{those}"


def _types_of(times: Times) -> set[str]:
    """The types that some function has work for."""
    of_tables = {
        change.kind for each in times.functions.values() for work in each.work.values() for change in work.changes
    }
    kinds = {kind for each in times.functions.values() for kind in each.work if kind}
    return {kind for kind in kinds - of_tables if " " not in kind and kind != "schedule"}


def _evenly(rate: float, times: Times) -> dict[str, float]:
    begins = list(dict.fromkeys(each.begin for each in times.journeys))
    if not begins:
        raise CommandError("--rate needs journeys in the file of --times; without any, give --type NAME=RATE.")
    return {name: rate / len(begins) for name in begins}


def _size_of(name: str, times: Times) -> float:
    return times.events.get(name, Event()).bytes
