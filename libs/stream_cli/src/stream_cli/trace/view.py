"""A timeline for people: a tree with times since the first step, and at its end what is waited for."""

from __future__ import annotations

from rich.console import RenderableType
from rich.tree import Tree

from stream_cli.stored.output import utc
from stream_cli.terminal.output import VisibleConsole, line, lines
from stream_cli.trace.model import Timeline, TraceStep

_STYLES = {
    "event": "bold", "fault": "bold red", "filtered": "dim", "rule": "dim", "record": "dim", "object": "dim",
    "change": "cyan", "given up": "red", "refused": "red",
}  # fmt: skip


def show(timeline: Timeline, console: VisibleConsole) -> None:
    """Print the tree, and what is waited for."""
    first = timeline.first
    tree = Tree(line((timeline.asked, "bold"), f"  from {utc(first)}, times in ms since then"))
    for step in timeline.steps:
        _add(tree, step, first)
    console.print(tree)
    console.print()
    for each in _waits(timeline):
        console.print(each, soft_wrap=True)  # commands are copied


def _add(tree: Tree, step: TraceStep, first: int) -> None:
    style = "red" if step.failed else _STYLES.get(step.kind, "")
    below = tree.add(line((f"+{step.at - first:<6} ", "dim"), (step.text, style)))
    for each in step.steps:
        _add(below, each, first)


def _waits(timeline: Timeline) -> list[RenderableType]:
    parts: list[RenderableType] = []
    if not timeline.waits:
        parts.append(line("It waits for nothing.", style="green"))
    else:
        parts.append(line("It waits:", style="bold"))
    for each in timeline.waits:
        parts.append(line(("• ", "yellow"), (each.what, "yellow")))
        parts += [lines([f"    {why}"]) for why in each.why]
        if each.command:
            parts.append(lines([f"    {each.command}"], "bold"))
    if timeline.unknown:
        parts += [line(""), line("Not known:", style="bold"), *(line(f"• {each}") for each in timeline.unknown)]
    return parts
