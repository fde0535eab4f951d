"""The price table: dated, for one region, with AWS's page for each price. A file of the user's replaces any of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Any

from stream_cli.errors import CommandError

TABLE = Path(__file__).with_name("prices.json")
UNITS: Mapping[str, float] = {"million": 1e6, "thousand": 1e3, "GB": 1024.0**3, "GB-month": 1024.0**3}
"""How many requests or bytes a unit is; other units are counted one by one."""

_FIELDS = ("region", "currency", "as_of", "about", "prices", "assumptions")


@dataclass(frozen=True)
class Price:
    """A price.

    Attributes:
        tiers: up to how many units a month it is which price; `inf` ends the last.
        source: AWS's page.
    """

    id: str
    service: str
    what: str
    unit: str
    tiers: tuple[tuple[float, float], ...]
    source: str = ""

    def of(self, units: float) -> float:
        """What so many units a month cost.

        >>> Price("a", "A", "things", "thing", ((10, 2.0), (inf, 1.0))).of(15)
        25.0
        """
        total, below = 0.0, 0.0
        for end, price in self.tiers:
            total += max(0.0, min(units, end) - below) * price
            below = end
        return total


@dataclass(frozen=True)
class Prices:
    """All prices, and the assumptions that the bill makes.

    Attributes:
        as_of: the month of the prices, `2026-06`.
        replaced: the ids that a file of the user's has given.
    """

    region: str
    currency: str
    as_of: str
    prices: Mapping[str, Price]
    assumptions: Mapping[str, float]
    replaced: tuple[str, ...] = ()


def prices(file: Path | None = None) -> Prices:
    """The table, with what `file` has in the place of its entries.

    Raises:
        CommandError: the file is no such table; the message says what is wrong in it, and where.
        OSError: it cannot be read.
    """
    table = _read(json.loads(TABLE.read_text(encoding="utf-8")), None, TABLE)
    if file is None:
        return table
    try:
        given = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CommandError(f"{file}: No such file or directory.\nTake {TABLE} for an example.") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CommandError(f"{file} is not JSON: {error}.\nTake {TABLE} for an example.") from error
    return _read(given, table, file)


def _read(given: Any, below: Prices | None, file: Path) -> Prices:
    if not isinstance(given, Mapping) or not isinstance(given.get("prices", {}), Mapping):
        raise CommandError(f'{file}: expected an object with "prices".\nTake {TABLE} for an example.')
    if unknown := sorted(given.keys() - _FIELDS):
        raise CommandError(f"{file}: there is no field {unknown[0]}.\nThe fields are {', '.join(_FIELDS)}.")
    if not given.get("prices") and not given.get("assumptions"):
        raise CommandError(
            f'{file} replaces nothing: it has no "prices" and no "assumptions".\nTake {TABLE} for an example.'
        )
    found = {id: _price(id, each, below, file) for id, each in given.get("prices", {}).items()}
    assumed = {name: _assumed(name, each, below, file) for name, each in (given.get("assumptions") or {}).items()}
    if below is None:
        return Prices(given["region"], given["currency"], given["as_of"], found, assumed)
    return replace(
        below,
        region=str(given.get("region", below.region)),
        currency=str(given.get("currency", below.currency)),
        as_of=str(given.get("as_of", below.as_of)),
        prices={**below.prices, **found},
        assumptions={**below.assumptions, **assumed},
        replaced=(*found, *assumed),
    )


def _price(id: str, given: Any, below: Prices | None, file: Path) -> Price:
    known = below.prices.get(id) if below else None
    if below is not None and known is None:
        raise CommandError(f"{file}: there is no price {id}.\nThe ids are {', '.join(sorted(below.prices))}.")
    tiers: Any = given.get("tiers") if isinstance(given, Mapping) else [[None, given]]
    try:
        read = tuple((inf if end is None else float(end), float(price)) for end, price in tiers)
    except (TypeError, ValueError):
        read = ()
    ends = [end for end, _ in read]
    if not read or ends != sorted(ends) or ends[-1] != inf or any(not 0 <= price < inf for _, price in read):
        raise CommandError(
            f"{file}: the price of {id} is {json.dumps(given)}.\n"
            'Give a number, or "tiers": [[units, price], ..., [null, price]], the units rising and null last.'
        )
    if known is not None:
        return replace(known, tiers=read, source=given.get("source", "") if isinstance(given, Mapping) else "")
    return Price(id, given["service"], given["what"], given["unit"], read, given["source"])


def _assumed(name: str, given: Any, below: Prices | None, file: Path) -> float:
    if below is not None and name not in below.assumptions:
        raise CommandError(f"{file}: there is no assumption {name}.\nThere are {', '.join(below.assumptions)}.")
    value = given.get("value") if isinstance(given, Mapping) else given
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < inf:
        raise CommandError(f"{file}: the assumption {name} is {json.dumps(given)}; give a number of 0 or more.")
    return float(value)
