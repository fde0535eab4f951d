"""The one screen of `dev`: lines as they come, and below them, on a terminal, what is failing now."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from rich.console import Group, RenderableType
from rich.live import Live
from rich.rule import Rule

from stream_cli.dev.imports import Failure, place_of_rule
from stream_cli.dev.log_lines import LogLine, SourcePaths, shortest
from stream_cli.dev.observed import OWN_LINE, ObservedFault
from stream_cli.dev.shards import FailingShard, Unadmitted
from stream_cli.journal.lines import GivenUpLine
from stream_cli.local.troubles import gives_up
from stream_cli.terminal.output import VisibleConsole, line
from stream_cli.terminal.progress import Steps
from stream_cli.trace.other_ids import ADVICE, OtherId

_INVALID = "InvalidRule: "
_STYLES = {"ERROR": "red", "CRITICAL": "red", "WARNING": "yellow"}


class Screen:
    """Prints lines; as a context manager, it keeps the failing shards below them on a terminal."""

    def __init__(self, console: VisibleConsole, services: Sequence[Path], paths: SourcePaths) -> None:
        self.console = console
        self._services = services
        self._paths = paths
        self._shards: Sequence[FailingShard] = ()
        self._told: dict[tuple[str, str, str], str] = {}
        self._untaken: dict[tuple[str, str], int] | None = None
        self._untaken_told: set[tuple[str, str]] = set()
        self._other_ids: set[tuple[str, str, str]] = set()
        self._entered = False
        self._live = Live(
            get_renderable=self._below, console=console, refresh_per_second=4, transient=True, auto_refresh=True
        )

    def __enter__(self) -> Screen:
        self._entered = True
        if self.console.is_interactive:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._entered = False
        self._live.stop()

    @contextlib.contextmanager
    def steps(self) -> Iterator[Steps]:
        """The steps of a deployment, in the place of what is below the lines."""
        self._live.stop()
        try:
            with Steps(self.console) as steps:
                yield steps
        finally:
            if self._entered and self.console.is_interactive:
                self._live.start()

    def say(self, *parts: str | tuple[str, str], at: float | None = None) -> None:
        """A line with its time; ``at`` is in Unix seconds."""
        clock = datetime.fromtimestamp(time.time() if at is None else at).strftime("%H:%M:%S")
        self.console.print(line((clock, "dim"), "  ", *parts), soft_wrap=True)

    def more(self, text: str, style: str = "") -> None:
        """A line that belongs to the one above."""
        self.console.print(line(f"          {text}", style=style), soft_wrap=True)

    def failed(self, service: Path, failures: Sequence[Failure], then: str) -> None:
        """Say why the functions of a service cannot start; ``then`` says what that means."""
        for each in failures:
            of = f" ({', '.join(each.functions)})" if each.functions else ""
            where = shortest(service / each.place) if each.place else service.name
            self.say(("✗ ", "red"), (where, "bold"), of)
            for text in each.text.splitlines():
                self.more(text, "red")
            if each.source:
                self.more(f"> {each.source}")
        self.more(then)

    def logged(self, service: Path, found: LogLine) -> None:
        """A line of a function's log; that about a fault is left to `fault`."""
        if found.level == "WARNING" and found.text.startswith(OWN_LINE):
            return
        level = [(f"{found.level} ", _STYLES.get(found.level, ""))] if found.level else []
        name = (f"{found.function.short_name:<10} ", "cyan")
        self.say(name, *level, self._paths.shown(found.text, service), at=found.at / 1000)
        if found.text.startswith(_INVALID):
            self._place(service, found.text.removeprefix(_INVALID))
        for text in self._paths.stack(found.more, service):
            self.more(text, "dim")

    def fault(self, service: Path, function: str, found: ObservedFault) -> None:
        """A fault event, with its stack, and the place of its rule if nothing of the service is in that."""
        rule = f"{found.pipeline}: " if found.pipeline else ""
        of = f" ({found.event})" if found.event else ""
        self.say((f"{function:<10} ", "cyan"), ("FAULT ", "red"), rule, found.text, of, at=found.at / 1000)
        stack = found.stack.splitlines()
        if not self._paths.has_own(stack, service):
            self._place(service, f"rule {found.pipeline!r}")
        for text in self._paths.stack(stack, service):
            self.more(text, "dim")

    def gave_up(self, found: GivenUpLine) -> None:
        """Records that a mapping has given up."""
        self.say(("✗ ", "red"), (gives_up(found), "red"), at=found["at"] / 1000)

    def other_id(self, service: Path, found: OtherId) -> None:
        """That a rule has published an event again under another id, once for a rule and type."""
        if (key := (found.function, found.rule, found.type)) not in self._other_ids:
            self._other_ids.add(key)
            self.say(("✗ ", "red"), (found.text, "red"))
            self.more(ADVICE)
            self._place(service, f"rule {found.rule!r}")

    def _place(self, service: Path, message: str) -> None:
        """Where the rule stands that a message begins with, or the field that it names."""
        if found := place_of_rule(service, message):
            self.more(f"{shortest(service / found[0])}, {found[1]}")

    def show_shards(self, shards: Sequence[FailingShard]) -> None:
        """Show what is failing now; elsewhere than on a terminal a line for each reason, and one when it is over."""
        self._shards = shards
        if self.console.is_interactive:
            return
        now = {(each.function, each.source, each.shard): each for each in shards}
        for key, each in now.items():
            if self._told.get(key) != each.reason:
                self.say(*_shown(each))
        for function, source, shard in self._told.keys() - now.keys():
            self.say(("✓ ", "green"), f"{function} on {source}: {_number(shard)} goes on")
        self._told = {key: each.reason for key, each in now.items()}

    def show_untaken(self, found: Mapping[tuple[str, str], Unadmitted]) -> None:
        """Say which events that have come since the first call get to no function, once for a stream and type."""
        if self._untaken is None:
            self._untaken = {key: each.count for key, each in found.items()}
        for key, each in found.items():
            if each.count > self._untaken.get(key, 0) and key not in self._untaken_told:
                self._untaken_told.add(key)
                stream, type = key
                self.say(("✗ ", "red"), f"no mapping on {stream} lets through {type} ({each.last})", _why(each.last))
            self._untaken[key] = each.count

    def forget_untaken(self) -> None:
        """Say it again: other filters are deployed."""
        self._untaken_told.clear()

    def forget_other_ids(self) -> None:
        """Say it again: other code runs."""
        self._other_ids.clear()

    def _below(self) -> RenderableType:
        watched = ", ".join(each.name for each in self._services)
        heading = Rule(line(f"dev: {watched} · Ctrl-C ends it"), style="dim", align="left")
        return Group(heading, *(line(*_shown(each)) for each in self._shards))


def _why(id: str) -> str:
    return f": streamctl trace {id} says why" if id else ""


def _shown(each: FailingShard) -> list[str | tuple[str, str]]:
    return [
        ("✗ ", "red"),
        (f"{each.function} on {each.source}", "bold"),
        f": {_number(each.shard)} is {each.behind} behind: ",
        (each.text, "red"),
    ]


def _number(shard: str) -> str:
    return f"shard {shard.removeprefix('shardId-').strip('0-')[-7:] or '0'}"
