"""What a check is, what it finds, and how the checks are run over a service."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from .lines import Place
from .packaged import Event, Service
from .template import EventSourceMapping, Function, Role


class Severity(Enum):
    """How bad it is; the values are SARIF's levels. Errors make `streamctl check` fail."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True)
class Problem:
    """What a check function reports: what is wrong, with what, and which option of the event says so."""

    subject: EventSourceMapping | Event | Function | Role
    message: str
    option: str | None = None


@dataclass(frozen=True)
class Check:
    """A check with its stable code; `why` and `fix` hold for every finding of it."""

    code: str
    severity: Severity
    title: str
    why: str
    fix: str
    find: Callable[[Service], Iterator[Problem]]


@dataclass(frozen=True)
class Finding:
    """One problem of one service, with its place in serverless.yml where that is known."""

    check: Check
    service: str
    function: str | None
    event: str | None
    resource: str
    message: str
    place: Place | None

    def as_json(self) -> dict[str, Any]:
        """The finding as `--json` prints it."""
        return {
            "code": self.check.code,
            "severity": self.check.severity.value,
            "title": self.check.title,
            "service": self.service,
            "function": self.function,
            "event": self.event,
            "resource": self.resource,
            "file": None if self.place is None else str(self.place.file),
            "line": None if self.place is None else self.place.line,
            "message": self.message,
            "why": self.check.why,
            "fix": self.check.fix,
        }


def run(checks: Iterable[Check], service: Service) -> list[Finding]:
    """All findings of a service: in the order of serverless.yml, then of the codes."""
    found = [_finding(check, service, problem) for check in checks for problem in check.find(service)]
    return sorted(found, key=_order)


def counted(findings: Iterable[Finding]) -> Mapping[Severity, int]:
    """How many findings there are of each severity."""
    counts = dict.fromkeys(Severity, 0)
    for finding in findings:
        counts[finding.check.severity] += 1
    return counts


def _order(finding: Finding) -> tuple[str, int, str, str]:
    place = finding.place
    return (str(place.file) if place else "", place.line if place else 0, finding.check.code, finding.resource)


def _finding(check: Check, service: Service, problem: Problem) -> Finding:
    subject = problem.subject
    function: str | None
    event: str | None = None
    if isinstance(subject, Role):
        function = ", ".join(service.name_of(each) for each in service.template.functions_with(subject)) or None
        place = service.place_of_role(subject)
    elif isinstance(subject, Function):
        function = service.name_of(subject)
        place = service.place_of_event(None, subject)
    elif isinstance(subject, Event):
        function, event = subject.function, subject.describes
        place = service.place_of_event(subject, None, problem.option)
    else:
        invoked = service.template.function_of(subject)
        function = None if invoked is None else service.name_of(invoked)
        origin = service.event_of(subject)
        event = None if origin is None else origin.describes
        place = service.place_of_event(origin, invoked, problem.option)
        if origin is None and service.lines is not None:
            place = service.lines.of_resource(subject.logical_id) or place
    return Finding(
        check=check,
        service=service.name,
        function=function,
        event=event,
        resource=subject.mapping_id if isinstance(subject, Event) else subject.logical_id,
        message=problem.message,
        place=place,
    )
