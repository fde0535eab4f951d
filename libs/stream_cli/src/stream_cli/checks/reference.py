"""CHECKS.md, written from the checks: `python -m stream_cli.checks.reference > libs/stream_cli/CHECKS.md`."""

from __future__ import annotations

from stream_cli.terminal.output import say

from .kinds import CHECKS
from .registry import KINDS


def as_markdown() -> str:
    """All checks as the text of `CHECKS.md`."""
    lines = [
        "# What `streamctl check` reports",
        "",
        "Errors make it exit with 1; warnings and notes do not. Codes are stable. `streamctl check --explain SM101` "
        "shows one.",
    ]
    for kind, heading in KINDS.items():
        lines += ["", f"## {heading}", "", "| code | severity | what | why | fix |", "|---|---|---|---|---|"]
        lines += [
            f"| {check.code} | {check.severity.value} | {check.title} | {_cell(check.why)} | {_cell(check.fix)} |"
            for check in CHECKS
            if check.code[2] == kind
        ]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    say(*as_markdown().removesuffix("\n").split("\n"))
