"""`streamctl check`: compiles services, or reads a compiled template, and reports what would go wrong on AWS."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from stream_cli.deployment.services import choose_services, is_service
from stream_cli.errors import CommandError
from stream_cli.terminal.commands import errors_in_one_line, lines_of
from stream_cli.terminal.options import LOCAL, SERVICES, Fresh, Names, Params, Services, Stage, params_of
from stream_cli.terminal.output import VisibleConsole, line, lines, say_json, unchanged_since

if TYPE_CHECKING:
    from stream_cli.deployment.packaging import Package

    from .service.packaged import Service

_FAILED = 2
_AT_ONCE = 2  # each is a process of its own that uses one processor
_LOOKS_MS = 250


def check(
    names: Names = None,
    template: Annotated[
        Path | None,
        typer.Option(help="Read this compiled template instead of compiling. At most one SERVICE: its folder."),
    ] = None,
    stage: Stage = LOCAL,
    services: Services = SERVICES,
    param: Params = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
    sarif: Annotated[Path | None, typer.Option(help="Write SARIF 2.1.0 to this file, for code hosts.")] = None,
    explain: Annotated[str | None, typer.Option(help="Explain a code instead of checking.")] = None,
    fresh: Fresh = False,
    watch: Annotated[bool, typer.Option("--watch", help="Check again when a file of the services changes.")] = False,
) -> None:
    """Report what would fail, lose data, block a shard, never fire or be wasted on AWS, before it is deployed.

    It compiles the services, those that have changed since it did so last, tries their functions with the fixtures in
    tests/fixtures, with AWS in memory, and checks the result. Stages differ in their params, so check each stage that
    you deploy: `check --stage prod` checks what prod would get. The last line says what could not be checked.
    Exit code 1: there are errors; 2: wrong command line, or compiling failed.
    """
    asked = _Asked(names or [], template, stage, services, param, as_json, sarif, fresh)
    with errors_in_one_line(_FAILED):
        if explain is not None:
            _explain(explain)
            return
        if watch:
            _watch(asked)
    with errors_in_one_line(_FAILED):
        has_errors = _check(asked)
    if has_errors:
        raise typer.Exit(1)


@dataclass(frozen=True)
class _Asked:
    """What the command line says."""

    names: list[str]
    template: Path | None
    stage: str
    services: Path
    param: list[str] | None
    as_json: bool
    sarif: Path | None
    fresh: bool


def _explain(code: str) -> None:
    from . import report
    from .kinds import BY_CODE

    if code.upper() not in BY_CODE:
        raise CommandError(f"There is no check {code}; the codes are {', '.join(BY_CODE)}.")
    report.explain(BY_CODE[code.upper()], VisibleConsole())


def _watch(asked: _Asked) -> NoReturn:
    """Check, and again after each change, until it is interrupted; what the CLI refuses is told, and it goes on."""
    from watchfiles import watch

    from .watched import is_watched

    if asked.template is not None:
        raise CommandError("--watch compiles the services when they change; it goes without --template.")
    folders = choose_services(asked.names, asked.services)
    console = VisibleConsole()
    # It watches from the first step on, and so also during the first check.
    changes = watch(*folders, watch_filter=is_watched, rust_timeout=_LOOKS_MS, yield_on_timeout=True)
    next(changes)
    while True:
        try:
            _check(asked)
        except CommandError as error:
            console.print(lines(lines_of(error), style="bold red"), soft_wrap=True)
        console.print(line(f"Watches {', '.join(each.name for each in folders)}.", style="dim"), soft_wrap=True)
        any(changes)  # it waits for the first change


def _check(asked: _Asked) -> bool:
    """Check, and tell what was found; returns whether there are errors."""
    from . import report
    from .findings import counted, run
    from .kinds import CHECKS
    from .last_findings import files_of, keep
    from .registry import Severity
    from .unchecked import unchecked

    console = VisibleConsole()
    unchanged: dict[str, datetime] = {}
    files: dict[Path, str] = {}
    if asked.template:
        read = [_from_template(asked.template, asked.names)]
        if read[0].folder is not None:
            _tell_each_other(read, [read[0].folder], asked.services)
    else:
        chosen = choose_services(asked.names, asked.services)
        files = {each.resolve(): files_of(each) for each in chosen}
        read, unchanged = _compiled(chosen, asked.stage, params_of(asked.param), asked.fresh)
        _tell_each_other(read, chosen, asked.services)
    with ThreadPoolExecutor(_AT_ONCE) as pool:  # a check may import handlers, in processes of their own
        list(pool.map(_read_code, read))
    findings = [finding for service in read for finding in run(CHECKS, service)]
    for service in read:
        if service.folder in files:
            own = [each.as_json() for each in findings if each.service == service.name]
            keep(service.folder, asked.stage, own, files[service.folder])
    not_known = unchecked(read)
    if asked.sarif is not None:
        from .sarif import as_sarif

        log = json.dumps(as_sarif(findings, CHECKS, _root_of(Path.cwd())), indent=2)
        asked.sarif.write_text(f"{log}\n", encoding="utf-8")
    if asked.as_json:
        content = {
            "services": [service.name for service in read],
            "findings": [finding.as_json() for finding in findings],
            "counts": {severity.value: number for severity, number in counted(findings).items()},
            "unchanged_since": {name: since.isoformat() for name, since in unchanged.items()},
            "unchecked": not_known,
        }
        say_json(content, indent=2)
    else:
        report.show(findings, [service.name for service in read], console, Path.cwd())
        if unchanged:
            console.print(unchanged_since(unchanged), soft_wrap=True)
        report.show_unchecked(not_known, console)
    return bool(counted(findings)[Severity.ERROR])


def _read_code(service: Service) -> None:
    """Import the handlers, and try the functions."""
    for function in service.template.functions.values():
        service.handler_of(function)
        service.trial_of(function)


def _tell_each_other(read: list[Service], chosen: list[Path], services: Path) -> None:
    """Let the services know what the others of their repository publish."""
    from .service.published import Repository

    folders = {each.resolve() for each in chosen}
    below = sorted(each.parent for each in services.glob("*/serverless.yml")) if services.is_dir() else []
    repository = Repository(read, [each for each in below if each.resolve() not in folders])
    for service in read:
        service.repository = repository


def _from_template(template: Path, names: list[str]) -> Service:
    from .service.packaged import read_service

    if len(names) > 1:
        raise CommandError("--template is the template of one service; name at most one SERVICE with it.")
    folder = Path(names[0]) if names else _folder_of(template)
    if folder is not None and not folder.is_dir():
        raise CommandError(f"{folder} is not a folder.")
    return read_service(template, folder.resolve() if folder else None)


def _compiled(
    services: list[Path], stage: str, given: Mapping[str, str], fresh: bool
) -> tuple[list[Service], dict[str, datetime]]:
    """The compiled services, and since when those have not changed that were compiled before."""
    from .service.compiling import compile_each
    from .service.packaged import read_service

    def compiled(folder: Path, made: Package) -> tuple[Service, datetime | None]:
        return read_service(made.template, folder.resolve()), made.since

    read = compile_each(services, stage, given, compiled, fresh=fresh)
    return [service for service, _ in read], {service.name: since for service, since in read if since}


def _folder_of(template: Path) -> Path | None:
    """The service's folder if the template is in `.serverless/`, where `sls package` writes it by default."""
    folder = template.resolve().parent.parent
    return folder if template.resolve().parent.name == ".serverless" and is_service(folder) else None


def _root_of(folder: Path) -> Path:
    """The root of the repository that a folder is in, else the folder; code hosts need paths relative to it."""
    return next((each for each in (folder, *folder.parents) if (each / ".git").exists()), folder)
