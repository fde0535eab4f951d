"""`streamctl plan`: what a stage needs at a load, before it is deployed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stream_cli.errors import CommandError
from stream_cli.terminal.commands import run_command
from stream_cli.terminal.options import LOCAL, SERVICES, STATE, AsJson, Fresh, Names, Params, Services, params_of
from stream_cli.terminal.output import VisibleConsole, console_for, say_json
from stream_cli.terminal.progress import Steps

if TYPE_CHECKING:
    from stream_cli.plan.model import Limits, Times
    from stream_cli.plan.system import Inventory

_DOES_NOT_HOLD = 3
_PRODUCTION = "prod"
_WITHOUT_DEFAULT = {"jwtIssuer": "https://login.example/", "jwtAudience": "plan"}
"""Params that the services of this repository have to be given; no plan depends on their values."""
_WHERE_TEMPLATES = (
    "`sls package` writes one: .serverless/cloudformation-template-update-stack.json. Without --template, services are "
    "compiled."
)


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
    hours: Annotated[
        float | None, typer.Option("--hours", min=0.01, max=168, help="How long the load lasts. Default: 24.")
    ] = None,
    peak: Annotated[
        float, typer.Option("--peak", min=1, max=2, help="A wave over the time: its highest rate over the mean.")
    ] = 1,
    burst: Annotated[
        str | None, typer.Option("--burst", metavar="FACTORxSECONDS@HH:MM", help="A burst, such as 10x60@12:00.")
    ] = None,
    factor: Annotated[float, typer.Option("--factor", min=0, help="Multiply the load by this.")] = 1,
    size: Annotated[float | None, typer.Option("--bytes", min=1, help="Mean size of an event.")] = None,
    keys: Annotated[
        int | None,
        typer.Option("--keys", min=0, help="How many partition keys there are. Without it, each event has its own."),
    ] = None,
    skew: Annotated[
        float | None, typer.Option("--skew", min=0, max=5, help="Exponent of Zipf's law for --keys; 0 is even.")
    ] = None,
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
    times_of: Annotated[
        str | None,
        typer.Option("--times-of", metavar="STAGE", help="Durations by CloudWatch's metrics of a deployed stage."),
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
    exact: Annotated[
        bool,
        typer.Option("--exact", help="Simulate record by record, for some minutes in which something fails."),
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
    streamctl plan --rate 1000 --times-of prod
    streamctl plan --rate 1000 --set control-service/listener.BatchSize=500 --param batchWindow=1
    streamctl plan --rate 20 --transient 0.05 --hours 0.2 --exact
    streamctl plan --rate 20000 --limit put_events=50000 --limit concurrency=5000 --json

    A part is named by its service and its name in serverless.yml or its logical id: control-service/listener,
    event-hub/Stream1. Exit code 3: the load passes a limit.
    """

    def run() -> int:
        from stream_cli.plan.changes import parsed, spread
        from stream_cli.plan.content import content_of
        from stream_cli.plan.given_load import Shape, require_routes, within, without_what_follows
        from stream_cli.plan.last import keep
        from stream_cli.plan.model import AWS
        from stream_cli.plan.model import LOCAL as OF_THE_LOCAL_CLOUD
        from stream_cli.plan.planning import Asked, plan_of
        from stream_cli.plan.prices import prices
        from stream_cli.plan.quotas import limits_with
        from stream_cli.plan.report import show
        from stream_cli.plan.times_file import read_times, require_names

        given_times = spread(read_times(times_file), spread_tables or ())
        shape = Shape(hours, peak, burst, size, keys, skew, poison, transient, factor)
        wanted = shape.load(rate, _numbers(types, "--type"), load, given_times)
        known, quotas = limits_with(_numbers(limits, "--limit"), OF_THE_LOCAL_CLOUD if stage == LOCAL else AWS)
        table, changed = prices(prices_file), tuple(map(parsed, changes or ()))
        with Steps(VisibleConsole(err=True)) as steps:
            with steps.step("Read the templates"):
                chosen = [] if templates else _chosen(names or [], services)
                inventory = (
                    _of_templates(templates, stage)
                    if templates
                    else _compiled(chosen, stage, params_of(param), fresh=fresh)
                )
                notes = tuple(_without_params(chosen, stage))
            times = within(given_times, inventory.system)
            if times_of is not None:
                with steps.step(f"Read the metrics of {times_of}"):
                    times, more = _by_metrics(times, inventory, known, times_of)
                notes += more
            if times_file is not None:
                require_names(times, inventory.system, times_file)
            if rate is not None:
                wanted = shape.load(rate, {}, None, times)
            if load is not None:
                wanted, more = without_what_follows(wanted, inventory.system, times)
                notes += more
            require_routes(wanted, inventory.system)
            asked = Asked(
                inventory, wanted, times, known, quotas, table, changed, months, is_new, brief, advice, exact, notes
            )
            content = content_of(plan_of(asked, steps.step))
        if not templates:
            keep(services, content)
        if as_json:
            say_json(content)
        else:
            show(content, console_for(as_json=False))
        return 0 if content["holds"] else _DOES_NOT_HOLD

    run_command(run)


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


def _by_metrics(times: Times, inventory: Inventory, limits: Limits, stage: str) -> tuple[Times, tuple[str, ...]]:
    """The times with durations of a deployed stage, and what to say of them.

    Raises:
        CommandError: the stage is the local cloud, whose calls say nothing of AWS.
    """
    from stream_cli.local.state import StateFolder
    from stream_cli.plan.stage_times import times_of_stage
    from stream_cli.stored.connection import Connection

    if stage == LOCAL:
        raise CommandError(
            "--times-of local: calls of an emulator say nothing of AWS; give a stage on AWS, or --times."
        )
    connection = Connection(stage, StateFolder(STATE))
    return times_of_stage(
        times, inventory.system, limits, stage, lambda: connection.client("cloudwatch"), datetime.now(UTC)
    )


def _chosen(names: list[str], services: Path) -> list[Path]:
    """The services that are named, with the hub, through which everything comes; without a name as elsewhere."""
    from stream_cli.deployment.services import choose_services, services_of_cloud

    return services_of_cloud(names, services) if names else choose_services(names, services)


def _without_params(services: Sequence[Path], stage: str) -> Iterator[str]:
    """What to say of a stage that no service has params for, such as one that is misspelt."""
    from stream_cli.deployment.services import read_configuration

    params = [read_configuration(service).get("params") for service in services]
    stages = {str(name) for each in params if isinstance(each, Mapping) for name in each} - {"default"}
    if stages and stage not in stages:
        yield (
            f"No service has params of its own for the stage {stage}: those of default count. There are some for "
            f"{', '.join(sorted(stages))}."
        )


def _compiled(chosen: Sequence[Path], stage: str, params: Mapping[str, str], *, fresh: bool) -> Inventory:
    """What services of a stage have."""
    from stream_cli.checks.service.compiling import compile_each
    from stream_cli.deployment.services import service_name

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
        try:
            body = parsed(Path(file).read_text(encoding="utf-8"))
        except ValueError as error:
            raise CommandError(f"{file} is no template of CloudFormation: {error}.\n{_WHERE_TEMPLATES}") from error
        if not isinstance(body.get("Resources"), Mapping) or not body["Resources"]:
            raise CommandError(f"{file} is no template of CloudFormation: it has no Resources.\n{_WHERE_TEMPLATES}")
        templates[f"{name}-{stage}"] = body
    return _inventory(templates, stage)


def _inventory(templates: Mapping[str, Mapping[str, Any]], stage: str) -> Inventory:
    from stream_cli.plan.system import inventory_of
    from stream_cli.structure.compiled import compiled_stacks

    return inventory_of(compiled_stacks(templates), stage)
