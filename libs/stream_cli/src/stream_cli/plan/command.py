"""`streamctl plan`: what a stage needs at a load, before it is deployed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stream_cli.errors import CommandError
from stream_cli.terminal.commands import run_command
from stream_cli.terminal.options import LOCAL, SERVICES, AsJson, Fresh, Names, Params, Services, params_of
from stream_cli.terminal.output import VisibleConsole, console_for, say_json
from stream_cli.terminal.progress import Steps

if TYPE_CHECKING:
    from stream_cli.plan.model import Load, Times
    from stream_cli.plan.system import Inventory

_DOES_NOT_HOLD = 3
_DAY_S = 86_400
_PRODUCTION = "prod"
_WITHOUT_DEFAULT = {"jwtIssuer": "https://login.example/", "jwtAudience": "plan"}
"""Params that the services of this repository have to be given; no plan depends on their values."""
_BURST = re.compile(r"(\d+(?:\.\d+)?)x(\d+)s?@(\d{1,2}):(\d{2})")


def plan(
    names: Names = None,
    *,
    stage: Annotated[
        str, typer.Option("--stage", help="The stage whose templates are compiled. local has no limits and no prices.")
    ] = _PRODUCTION,
    rate: Annotated[
        float | None,
        typer.Option("--rate", min=0, help="Events/s from outside, divided evenly among what journeys begin with."),
    ] = None,
    types: Annotated[
        list[str] | None,
        typer.Option("--type", metavar="NAME=RATE", help="Events/s of a type, or requests/s of a route. Repeatable."),
    ] = None,
    load: Annotated[
        Path | None,
        typer.Option("--load", metavar="CSV", help="A day, as `lake rates` writes it: second,type,events,bytes."),
    ] = None,
    hours: Annotated[float, typer.Option("--hours", min=0.01, max=168, help="How long the load lasts.")] = 24,
    peak: Annotated[
        float, typer.Option("--peak", min=1, max=2, help="A wave over the time: its highest rate over the mean.")
    ] = 1,
    burst: Annotated[
        str | None, typer.Option("--burst", metavar="FACTORxSECONDS@HH:MM", help="A burst, such as 10x60@12:00.")
    ] = None,
    factor: Annotated[float, typer.Option("--factor", min=0, help="Multiply the load by this.")] = 1,
    size: Annotated[float | None, typer.Option("--bytes", min=1, help="Mean size of an event.")] = None,
    keys: Annotated[
        int, typer.Option("--keys", min=0, help="How many partition keys there are; 0: each event has its own.")
    ] = 0,
    skew: Annotated[
        float, typer.Option("--skew", min=0, max=5, help="Exponent of Zipf's law for keys; 0 is even.")
    ] = 0,
    poison: Annotated[float, typer.Option("--poison", min=0, max=1, help="Share of events that become faults.")] = 0,
    transient: Annotated[
        float, typer.Option("--transient", min=0, max=0.9, help="Share of attempts at a record that fail for a while.")
    ] = 0,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PART.PROPERTY=VALUE", help="Change a template's property. Repeatable."),
    ] = None,
    spread_tables: Annotated[
        list[str] | None,
        typer.Option("--spread", metavar="TABLE", help="As if its items that share a key did not. Repeatable."),
    ] = None,
    limits: Annotated[
        list[str] | None,
        typer.Option("--limit", metavar="NAME=VALUE", help="A quota that AWS has raised for you. Repeatable."),
    ] = None,
    times_file: Annotated[
        Path | None,
        typer.Option("--times", metavar="JSON", help="What functions take and do. Default: measured."),
    ] = None,
    prices_file: Annotated[
        Path | None, typer.Option("--prices", metavar="JSON", help="Prices that replace those of the table.")
    ] = None,
    months: Annotated[
        float, typer.Option("--months", min=0.1, help="For how long the load has gone on: what is stored is paid.")
    ] = 12,
    is_new: Annotated[
        bool, typer.Option("--new", help="A stage that has had no load yet: what is on demand has to grow first.")
    ] = False,
    brief: Annotated[
        bool, typer.Option("--brief", help="Only whether it holds, and what it costs: no change is tried.")
    ] = False,
    advice: Annotated[bool, typer.Option("--advice/--no-advice", help="Whether to try what could be better.")] = True,
    templates: Annotated[
        list[str] | None,
        typer.Option("--template", metavar="SERVICE=FILE", help="A compiled template to read. Repeatable."),
    ] = None,
    param: Params = None,
    services: Services = SERVICES,
    fresh: Fresh = False,
    as_json: AsJson = False,
) -> None:
    """Simulate a load on the compiled templates of a stage: does it hold, how long things take, what it costs, what
    gives first, and what to change. Nothing is deployed, and no account is needed.

    \b
    Examples:
    streamctl plan --rate 100
    streamctl plan --rate 10000 --peak 1.5
    streamctl plan --rate 1000 --burst 5x300@18:00
    streamctl plan --type "POST /stories=50" --type story-analyzed=200 --bytes 2500
    streamctl lake rates --date 2026-01-31 > day.csv; streamctl plan --load day.csv --factor 10
    streamctl plan --rate 1000 --set control-service/listener.BatchSize=500 --param batchWindow=1
    streamctl plan --rate 20000 --limit put_events=50000 --limit concurrency=5000 --json

    A part is named by its service and its name in serverless.yml or its logical id: control-service/listener,
    event-hub/Stream1. Exit code 3: the load passes a limit.
    """

    def run() -> int:
        from stream_cli.plan.changes import parsed, spread
        from stream_cli.plan.content import content_of
        from stream_cli.plan.last import keep
        from stream_cli.plan.model import AWS
        from stream_cli.plan.model import LOCAL as OF_THE_LOCAL_CLOUD
        from stream_cli.plan.planning import Asked, plan_of
        from stream_cli.plan.prices import prices
        from stream_cli.plan.quotas import limits_with
        from stream_cli.plan.report import show
        from stream_cli.plan.times_file import read_times

        times = spread(read_times(times_file), spread_tables or ())
        shape = _Shape(hours, peak, burst, size, keys, skew, poison, transient, factor)
        wanted = shape.load(rate, _numbers(types, "--type"), load, times)
        known, quotas = limits_with(_numbers(limits, "--limit"), OF_THE_LOCAL_CLOUD if stage == LOCAL else AWS)
        table, changed = prices(prices_file), tuple(map(parsed, changes or ()))
        with Steps(VisibleConsole(err=True)) as steps:
            with steps.step("Read the templates"):
                inventory = (
                    _of_templates(templates, stage)
                    if templates
                    else _compiled(names or [], stage, services, params_of(param), fresh=fresh)
                )
            asked = Asked(inventory, wanted, times, known, quotas, table, changed, months, is_new, brief, advice)
            content = content_of(plan_of(asked, steps.step))
        if not templates:
            keep(services, content)
        if as_json:
            say_json(content)
        else:
            show(content, console_for(as_json=False))
        return 0 if content["holds"] else _DOES_NOT_HOLD

    run_command(run)


@dataclass(frozen=True)
class _Shape:
    """How a load goes over the time, and what its events are like."""

    hours: float
    peak: float
    burst: str | None
    size: float | None
    keys: int
    skew: float
    poison: float
    transient: float
    factor: float

    def load(self, rate: float | None, rates: dict[str, float], file: Path | None, times: Times) -> Load:
        """The load that the command line describes.

        Raises:
            CommandError: it describes none, or two.
        """
        from dataclasses import replace

        from stream_cli.plan.load import with_details

        if sum((rate is not None, bool(rates), file is not None)) != 1:
            raise CommandError("Give one of --rate, --type and --load: how many events come from outside.")
        made = self._of_file(file) if file else self._of_rates(rates or _evenly(rate or 0.0, times))
        details: dict[str, Any] = {"keys": self.keys, "skew": self.skew, "poison": self.poison}
        if self.size is not None:
            details |= {"bytes_mean": self.size, "bytes_p99": 0.0}
        elif file is None:
            made = replace(
                made, types={name: replace(each, bytes_mean=_size_of(name, times)) for name, each in made.types.items()}
            )
        return replace(with_details(made, **details), transient=self.transient).scaled(self.factor)

    def _of_file(self, file: Path) -> Load:
        from stream_cli.plan.load import from_csv

        if self.peak != 1 or self.burst:
            raise CommandError("--peak and --burst shape a --rate or a --type; the file of --load has its own shape.")
        return from_csv(file)

    def _of_rates(self, rates: Mapping[str, float]) -> Load:
        from stream_cli.plan.load import burst, constant, curve

        seconds = max(1, round(self.hours * 3600))
        if self.burst and self.peak != 1:
            raise CommandError("Give --peak or --burst, not both.")
        if self.peak != 1:
            return curve(rates, seconds, peak=self.peak)
        if not self.burst:
            return constant(rates, seconds)
        match = _BURST.fullmatch(self.burst)
        if not match:
            raise CommandError(f"--burst {self.burst} is not FACTORxSECONDS@HH:MM, such as 10x60@12:00.")
        begin = int(match[3]) * 3600 + int(match[4]) * 60
        return burst(rates, seconds, factor=float(match[1]), begin=begin, length=int(match[2]))


def _evenly(rate: float, times: Times) -> dict[str, float]:
    begins = list(dict.fromkeys(each.begin for each in times.journeys))
    if not begins:
        raise CommandError("--rate needs journeys in the file of --times; without any, give --type NAME=RATE.")
    return {name: rate / len(begins) for name in begins}


def _size_of(name: str, times: Times) -> float:
    from stream_cli.plan.model import Event

    return times.events.get(name, Event()).bytes


def _numbers(given: list[str] | None, option: str) -> dict[str, float]:
    """The numbers of NAME=NUMBER.

    Raises:
        CommandError: one has another form.
    """
    found: dict[str, float] = {}
    for each in given or ():
        name, equals, text = each.rpartition("=")
        try:
            value = float(text.replace("_", "").replace(",", ""))
        except ValueError:
            value = -1.0
        if not (name and equals) or not 0 <= value < float("inf"):
            raise CommandError(f"{option} {each} is not NAME=NUMBER, a number of 0 or more.")
        found[name] = value
    return found


def _compiled(names: list[str], stage: str, services: Path, params: Mapping[str, str], *, fresh: bool) -> Inventory:
    """What the services of a stage have: those that are named, or all."""
    from stream_cli.checks.service.compiling import compile_each
    from stream_cli.deployment.services import choose_services, service_name

    chosen = choose_services(names, services)
    bodies = compile_each(
        chosen,
        stage,
        {**_WITHOUT_DEFAULT, **params},
        lambda _, made: json.loads(made.template.read_text(encoding="utf-8")),
        fresh=fresh,
    )
    named = (service_name(folder) or folder.name for folder in chosen)
    return _inventory({f"{name}-{stage}": body for name, body in zip(named, bodies, strict=True)}, stage)


def _of_templates(given: list[str], stage: str) -> Inventory:
    """What compiled templates have, by the names of their services.

    Raises:
        CommandError: one is no template, or has no name.
    """
    from stream_cli.structure.stacks import parsed

    templates: dict[str, Mapping[str, Any]] = {}
    for each in given:
        name, equals, file = each.partition("=")
        if not (name and equals and file):
            raise CommandError(f"--template {each} is not SERVICE=FILE, such as event-hub=event-hub.json.")
        body = parsed(Path(file).read_text(encoding="utf-8"))
        if not body.get("Resources"):
            raise CommandError(f"{file} is no template of CloudFormation: it has no Resources.")
        templates[f"{name}-{stage}"] = body
    return _inventory(templates, stage)


def _inventory(templates: Mapping[str, Mapping[str, Any]], stage: str) -> Inventory:
    from stream_cli.plan.system import inventory_of
    from stream_cli.structure.compiled import compiled_stacks

    return inventory_of(compiled_stacks(templates), stage)
