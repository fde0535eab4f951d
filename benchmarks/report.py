"""Writes the figures into RESULTS.md, and keeps the text that people wrote there."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import peers
from measuring import Measured

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "RESULTS.md"
BEGIN = "<!-- figures: written by `npm run bench` -->"
END = "<!-- end of figures -->"
PACKAGES = ("boto3", "orjson", "pybase64", "reactivex", "ministack")

Say = Callable[[str], None]


def write(measured: Sequence[Measured]) -> None:
    """Replace the figures in RESULTS.md.

    Raises:
        ValueError: the marks around the figures are missing.
    """
    before, begin, rest = RESULTS.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{RESULTS} has no place for figures; expected the lines {BEGIN!r} and {END!r}")
    RESULTS.write_text(f"{before}{BEGIN}\n{figures(measured)}{END}{after}")


def figures(measured: Sequence[Measured]) -> str:
    """The machine, the figures and the measured times, as Markdown."""
    lines = [
        "",
        *(f"- {name}: {value}" for name, value in surroundings().items()),
        "",
        "| case | compared with | figure | median of rounds | floor | holds |",
        "|---|---|---|---|---|---|",
    ]
    for one in measured:
        for number, floor in enumerate(one.case.floors):
            best = floor.value(one.best)
            middle = median(floor.value(results) for results in one.rounds)
            holds = "" if floor.limit() == "-" else "yes" if floor.holds(best) else "**no**"
            title = one.case.title if number == 0 else ""
            lines.append(
                f"| {title} | {floor.text} | {short(best)} {floor.unit} | {short(middle)} | {floor.limit()} | {holds} |"
            )
    lines += ["", "| case | variant | best of its rounds |", "|---|---|---|"]
    for one in measured:
        lines += [
            f"| {one.case.name} | {variant} | {times(its_figures)} |" for variant, its_figures in one.best.items()
        ]
    for one in measured:
        if one.remark:
            lines += ["", f"{one.case.name}: {one.remark}"]
    return "\n".join([*lines, "", ""])


def surroundings() -> dict[str, str]:
    """Time, machine and versions of the measurement."""
    versions = [f"{name} {importlib.metadata.version(name)}" for name in PACKAGES]
    return {
        "measured": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC at commit {_commit()}",
        "machine": f"{_cpu()}, {os.cpu_count()} CPUs, {platform.system()} {platform.machine()}, "
        f"load average at its end {os.getloadavg()[0]:.1f}",
        "versions": f"{platform.python_implementation()} {platform.python_version()}, {', '.join(versions)}; "
        f"peers: {peers.PEER.replace('==', ' ')}, on {_node()} {peers.original()}",
    }


def times(its_figures: Mapping[str, float]) -> str:
    """The figures of a variant as text: counts unchanged, times in ms."""
    own = {name: value for name, value in its_figures.items() if not name.endswith("_s")}
    if own:
        return ", ".join(f"{name} {short(value)}" for name, value in own.items())
    return ", ".join(f"{name.removesuffix('_s')} {value * 1000:.1f} ms" for name, value in its_figures.items())


def short(value: float) -> str:
    """A figure rounded to the digits that matter."""
    return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _cpu() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _node() -> str:
    asked = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False)
    return f"Node.js {asked.stdout.strip().removeprefix('v')}"


def _commit() -> str:
    asked = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return asked.stdout.strip() or "unknown"
