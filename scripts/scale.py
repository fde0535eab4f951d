"""Writes the figures of docs/scale.md: what `streamctl plan` says of each load, with its command.

python scripts/scale.py            # docs/scale.md is written anew
python scripts/scale.py --check    # exit code 1 if it would change
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "scale.md"
BEGIN, COMMAND_END, END = "<!-- plan -->\n```bash\nnpm run streamctl -- plan ", "\n```\n", "<!-- end -->"
_MOST = 8


def written(text: str, planned: Callable[[Sequence[str]], Mapping[str, Any]]) -> str:
    """The document with the figures of each command in it.

    Args:
        planned: gives the JSON of `streamctl plan` with these arguments.
    """
    prose, sections = parts(text)
    made = [prose[0]]
    for section, behind in zip(sections, prose[1:], strict=True):
        head = section.partition(COMMAND_END)[0]
        lines = "\n".join(_lines(planned(command_of(section))))
        made += [f"{head}{COMMAND_END}\n{lines}\n\n{END}", behind]
    return "".join(made)


def parts(text: str) -> tuple[list[str], list[str]]:
    """What stands before, between and behind the sections of a document, and the sections."""
    first, *begun = text.split(BEGIN)
    cut = [each.partition(END) for each in begun]
    return [first, *(behind for _, _, behind in cut)], [f"{BEGIN}{within}{end}" for within, end, _ in cut]


def command_of(section: str) -> list[str]:
    """The arguments of the command at the beginning of a section."""
    return shlex.split(section.removeprefix(BEGIN).partition(COMMAND_END)[0].replace("\\\n", " "))


def plan(arguments: Sequence[str]) -> Mapping[str, Any]:
    """What the command prints as JSON.

    Raises:
        RuntimeError: it has failed.
    """
    from stream_cli.cli import app
    from typer.testing import CliRunner

    result = CliRunner().invoke(app, ["plan", *arguments, "--json"])
    if result.exit_code not in (0, 3):
        raise RuntimeError(f"plan {shlex.join(arguments)}: {result.stderr}")
    content: Mapping[str, Any] = json.loads(result.stdout)
    return content


def _lines(content: Mapping[str, Any]) -> Iterator[str]:
    cost, passed = content["cost"], [each for each in content["limits"] if each["is_passed"]]
    yield "| | |"
    yield "|---|---|"
    yield f"| holds | {'no' if passed else 'yes'} |"
    for name, each in () if passed else content["journeys"].items():
        latency = each["latency_s"]
        yield f"| {name}, p50 and p99 | {_seconds(latency['p50'])}, {_seconds(latency['p99'])} |"
    if not passed:
        yield f"| functions at once | {_number(content['account_concurrency']['max'])} |"
        services = ", ".join(f"{name} ${_number(of)}" for name, of in list(cost["services"].items())[:4])
        yield f"| cost a month | ${_number(cost['total'])}: {services}, others |"
        yield f"| cost of a million events | ${cost['per_million_events']:.2f} |"
    gives = content["doubling"]["gives"] if content["doubling"] else None
    if gives and not passed:
        first = "; ".join(f"{each['part']}: {each['what']}" for each in gives["passed"])
        yield f"| gives first, at {_number(gives['events_per_second'])} events/s | {first} |"
    yield ""
    if passed:
        yield "| limit that it passes | used |"
        yield "|---|---:|"
        yield from (f"| {each['part']}: {each['what']} | {_percent(each['share'])} |" for each in passed)
    else:
        yield "| limit, in the order in which they are reached | used | reached at |"
        yield "|---|---:|---:|"
        for each in [each for each in content["limits"] if each["at_events_per_second"] is not None][:_MOST]:
            at = f"{_number(each['at_events_per_second'])} events/s"
            yield f"| {each['part']}: {each['what']} | {_percent(each['share'])} | {at} |"
    if content["remedy"]:
        yield ""
        yield "What makes it hold:"
        yield ""
        yield "```"
        yield from (f"--set {each}" for each in content["remedy"]["changes"])
        yield from (f"--spread {each}" for each in content["remedy"]["spread"])
        yield from (f"--limit {each}" for each in content["remedy"]["limits"])
        yield from (f"nothing: {each['part']}: {each['what']}" for each in content["remedy"]["unsolved"])
        yield "```"


def _number(value: float) -> str:
    """Two digits that count: figures here are to be remembered, not to be added up."""
    rounded = float(f"{value:.2g}")
    return f"{rounded:,.0f}" if rounded >= 10 else f"{rounded:g}"


def _percent(share: float) -> str:
    return f"{_number(100 * share)} %"


def _seconds(value: float) -> str:
    return f"{1000 * float(f'{value:.2g}'):.0f} ms" if value < 1 else f"{float(f'{value:.2g}'):g} s"


def main() -> int:
    before = DOCUMENT.read_text(encoding="utf-8")
    after = written(before, plan)
    if "--check" in sys.argv[1:]:
        return int(after != before)
    DOCUMENT.write_text(after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
