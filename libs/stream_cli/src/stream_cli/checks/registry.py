"""What a check is. It registers itself, with its code and texts beside the function that looks.

    @mapping_check("SM210", Severity.NOTE, title="Starts at LATEST", why="...", fix="...")
    def starts_at_latest(service: Service, mapping: EventSourceMapping) -> Iterator[Issue]: ...

The package `kinds` holds the checks. `CHECKS.md` is written from them by `python -m stream_cli.checks.reference`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from .service.packaged import Service
from .service.policies import Role
from .service.resources import BusRule, EventSourceMapping, Function
from .service.serverless_events import Event
from .service.source_map import Location

KINDS: Mapping[str, str] = {
    "1": "Fails at deployment although packaging passed",
    "2": "Loses data",
    "3": "Blocks",
    "4": "Never fires",
    "5": "Wasteful",
    "6": "Roles",
    "7": "Secrets",
}
"""What the first digit of a code means. Codes are stable: the code of a check that was removed is not used again."""


class Severity(Enum):
    """How serious a finding is. The values are SARIF's levels; errors make `streamctl check` fail."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True)
class Issue:
    """What a check reports: the resource or event at fault, and what is wrong with it.

    Attributes:
        option: of the event, that says so.
        place: where it says so, if that is not in serverless.yml.
    """

    subject: EventSourceMapping | Event | Function | Role | BusRule
    message: str
    option: str | None = None
    place: Location | None = None


Find = Callable[[Service], Iterator[Issue]]
FindInMapping = Callable[[Service, EventSourceMapping], Iterator[Issue]]


@dataclass(frozen=True)
class Check:
    """A check with its stable code; `why` and `fix` hold for every finding of it."""

    code: str
    severity: Severity
    title: str
    why: str
    fix: str
    find: Find


_registered: dict[str, Check] = {}


def check(code: str, severity: Severity, *, title: str, why: str, fix: str) -> Callable[[Find], Find]:
    """Register the decorated function as the check `code`.

    Raises:
        ValueError: the code is taken, or is not `SM` and three digits of which the first is one of `KINDS`.
    """
    if code in _registered or len(code) != 5 or not code.startswith("SM") or code[2] not in KINDS:
        raise ValueError(f"{code} is taken, or is not SM1xx to SM{max(KINDS)}xx")

    def register(find: Find) -> Find:
        _registered[code] = Check(code, severity, title, why, fix, find)
        return find

    return register


def mapping_check(
    code: str, severity: Severity, *, title: str, why: str, fix: str
) -> Callable[[FindInMapping], FindInMapping]:
    """Register the decorated function as the check `code`; it is called with each mapping of a service."""

    def register(find: FindInMapping) -> FindInMapping:
        @check(code, severity, title=title, why=why, fix=fix)
        def find_all(service: Service) -> Iterator[Issue]:
            for mapping in service.template.mappings:
                yield from find(service, mapping)

        return find

    return register


def registered() -> Sequence[Check]:
    """The checks registered so far, by code."""
    return sorted(_registered.values(), key=lambda each: each.code)
