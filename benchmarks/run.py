"""`npm run bench`: measures the runtime and the mapping engine against their peers and writes RESULTS.md.

    npm run bench                          every case; writes the figures to benchmarks/RESULTS.md
    npm run bench -- --quick               fewer rounds; prints only
    npm run bench -- --case dispatch       one case; repeat the option for several; prints only
    npm run bench -- --case cost           what a million events cost; writes the prices to docs/performance.md

Exits with 1 if a floor does not hold.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import sys
import time
from collections.abc import Iterator, Sequence
from statistics import median

import prices
import report
from case import Case
from measuring import Measured, VariantFailed, measure
from rich.console import Console
from rich.table import Table

CASES = (
    *("dispatch", "idle_rules", "updates", "batches", "calls", "first_update", "cold_start", "memory"),
    *("stream_mappings", "journal", "trace", "console", "console_page", "console_cloud"),
    *("control_service", "observation", "kept", "commands", "dev", "plan"),
)
ON_REQUEST = ("cost",)
QUICK_ROUNDS = 2


def arguments(given: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="npm run bench --", description="Measure against peers, in one run.")
    parser.add_argument("--quick", action="store_true", help="fewer rounds; RESULTS.md stays as it is")
    names = (*CASES, *ON_REQUEST)
    parser.add_argument("--case", action="append", choices=names, metavar="NAME", help=f"only this: {', '.join(names)}")
    return parser.parse_args(given)


def main(given: Sequence[str]) -> int:
    options = arguments(given)
    console = Console(width=None if sys.stdout.isatty() else 130)
    start = time.monotonic()
    measured = []
    try:
        for name in options.case or CASES:
            case: Case = importlib.import_module(f"cases.{name}").CASE
            with progress(console, case) as say:
                rounds = min(case.rounds, QUICK_ROUNDS) if options.quick else case.rounds
                measured.append(measure(case, rounds=rounds, progress=say))
            console.print(table(measured[-1]))
    except (VariantFailed, RuntimeError) as error:
        console.print(str(error), style="red", markup=False)
        return 1
    console.print(f"{time.monotonic() - start:.0f} s")
    for one in measured:
        if one.case.name == "cost" and not options.quick:
            prices.write(one.best)
            console.print(f"written to {prices.DOCUMENT.relative_to(report.ROOT)}")
    if not options.quick and not options.case:
        report.write(measured)
        console.print(f"written to {report.RESULTS.relative_to(report.ROOT)}")
    return 0 if all(floor.holds(floor.value(one.best)) for one in measured for floor in one.case.floors) else 1


@contextlib.contextmanager
def progress(console: Console, case: Case) -> Iterator[report.Say]:
    """Show what is being measured on a line that disappears; shows nothing without a terminal."""
    if not console.is_terminal:
        yield lambda _: None
        return
    with console.status(case.title) as status:
        yield lambda text: status.update(text)


def table(one: Measured) -> Table:
    """The figures of a case with their floors; the measured times stand below."""
    behind = "\n".join(
        [*(f"{variant}: {report.times(figures)}" for variant, figures in one.best.items()), one.remark]
    ).strip()
    shown = Table(
        title=one.case.title, title_justify="left", title_style="bold", caption=behind, caption_justify="left"
    )
    shown.add_column("compared with", min_width=54)
    for column in ("figure", "median", "floor"):
        shown.add_column(column, justify="right")
    shown.add_column("holds")
    for floor in one.case.floors:
        best = floor.value(one.best)
        middle = median(floor.value(results) for results in one.rounds)
        verdict = "" if floor.limit() == "-" else "[green]yes" if floor.holds(best) else "[red]no"
        figure = f"{report.short(best)} {floor.unit}"
        shown.add_row(floor.text, figure, report.short(middle), floor.limit(), verdict)
    return shown


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
