"""Findings for people at a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.padding import Padding

from stream_cli.terminal.output import VisibleConsole, line, lines

from .findings import Finding, counted
from .registry import Check, Severity

_STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}


def show(findings: Sequence[Finding], services: Sequence[str], console: VisibleConsole, here: Path) -> None:
    """Print the findings of each service, and a total if there are several services."""
    for service in services:
        own = [finding for finding in findings if finding.service == service]
        console.print(line(f"{service}: {summary(own)}", style="bold"))
        for finding in own:
            _show(finding, console, here)
    if len(services) > 1:
        console.print(line(f"{len(services)} services: {summary(findings)}", style="bold"))


def summary(findings: Sequence[Finding]) -> str:
    """`2 errors, 1 warning`, or `nothing found`."""
    counts = [(severity.value, number) for severity, number in counted(findings).items() if number]
    return ", ".join(f"{number} {name}{'' if number == 1 else 's'}" for name, number in counts) or "nothing found"


def show_unchecked(phrases: Sequence[str], console: VisibleConsole) -> None:
    """Print what could not be checked, if there is any, in one line."""
    if phrases:
        console.print(line(f"Not checked: {'; '.join(phrases)}.", style="dim"), soft_wrap=True)


def explain(check: Check, console: VisibleConsole) -> None:
    """Print why a check matters and how to fix its findings."""
    console.print(line((check.code, _STYLES[check.severity]), f" {check.title} ({check.severity.value})"))
    console.print(Padding(lines(_advice(check)), (0, 0, 0, 2)))


def _advice(check: Check) -> tuple[str, str]:
    return f"why: {check.why}", f"fix: {check.fix}"


def _show(finding: Finding, console: VisibleConsole, here: Path) -> None:
    place = ""
    if finding.place is not None:
        file = finding.place.file
        shown = file.relative_to(here) if file.is_relative_to(here) else file
        place = f"{shown}:{finding.place.line} "
    subject = ", ".join(part for part in (finding.function, finding.event) if part) or finding.resource
    head = line(
        f"  {place}",
        (f"{finding.check.severity.value} {finding.check.code}", _STYLES[finding.check.severity]),
        f" {subject}: {finding.message}",
    )
    console.print(head, soft_wrap=True)
    console.print(Padding(lines(_advice(finding.check), style="dim"), (0, 0, 0, 6)))
