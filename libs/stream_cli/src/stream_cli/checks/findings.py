"""Runs checks over a service; what they find, with its place in serverless.yml or in the service's code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .registry import Check, Issue, Severity
from .service.packaged import Service
from .service.policies import Role
from .service.resources import BusRule, Function
from .service.serverless_events import Event
from .service.source_map import Location


@dataclass(frozen=True)
class Finding:
    """An issue of a service; `place` is its line in serverless.yml or in the code, None if that is not known."""

    check: Check
    service: str
    function: str | None
    event: str | None
    resource: str
    message: str
    place: Location | None

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
    """All findings of a service, in the order of serverless.yml, then of the codes."""
    found = [_finding(check, service, issue) for check in checks for issue in check.find(service)]
    return sorted(found, key=_order)


def counted(findings: Iterable[Finding]) -> Mapping[Severity, int]:
    """How many findings there are of each severity."""
    counts = dict.fromkeys(Severity, 0)
    for finding in findings:
        counts[finding.check.severity] += 1
    return counts


def _order(finding: Finding) -> tuple[str, int, str, str]:
    place = finding.place
    line = (str(place.file), place.line) if place else ("", 0)
    return (*line, finding.check.code, finding.resource)


def _finding(check: Check, service: Service, issue: Issue) -> Finding:
    subject = issue.subject
    function: str | None
    event: str | None = None
    if isinstance(subject, Role):
        function = ", ".join(service.name_of(each) for each in service.template.functions_with(subject)) or None
        place = service.source_map.of_resource(subject.logical_id) or service.source_map.of_role_statements()
    elif isinstance(subject, BusRule):
        function = None
        place = service.source_map.of_resource(subject.logical_id)
    elif isinstance(subject, Function):
        function = service.name_of(subject)
        place = service.line_of_event(None, subject)
    elif isinstance(subject, Event):
        function, event = subject.function, subject.describes
        place = service.line_of_event(subject, None, issue.option)
    else:
        invoked = service.template.function_of(subject)
        function = None if invoked is None else service.name_of(invoked)
        origin = service.event_of(subject)
        event = None if origin is None else origin.describes
        place = service.line_of_event(origin, invoked, issue.option)
        if origin is None:
            place = service.source_map.of_resource(subject.logical_id) or place
    return Finding(
        check=check,
        service=service.name,
        function=function,
        event=event,
        resource=subject.mapping_id if isinstance(subject, Event) else subject.logical_id,
        message=issue.message,
        place=issue.place or place,
    )
