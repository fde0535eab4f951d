"""`streamctl check`: packages services, or reads a compiled template, and reports what would go wrong on AWS."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stream_cli.deployment.services import choose_services, is_service
from stream_cli.errors import CommandError
from stream_cli.terminal.commands import errors_in_one_line
from stream_cli.terminal.options import LOCAL, SERVICES, Names, Params, Services, Stage, params_of
from stream_cli.terminal.output import VisibleConsole, say_json

if TYPE_CHECKING:
    from .service.packaged import Service

_FAILED = 2
_CANNOT_COMPILE = (
    "The CLI cannot compile a stream event whose arn is an Fn::Sub, an Fn::ImportValue of anything but a string, or an "
    "Fn::Join that does not end in a string. Write the ARN as a string, Fn::GetAtt, Ref, or an Fn::Join with the name "
    "of the stream last."
)


def check(
    names: Names = None,
    template: Annotated[
        Path | None,
        typer.Option(help="Read this compiled template instead of packaging. At most one SERVICE: its folder."),
    ] = None,
    stage: Stage = LOCAL,
    services: Services = SERVICES,
    param: Params = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
    sarif: Annotated[Path | None, typer.Option(help="Write SARIF 2.1.0 to this file, for code hosts.")] = None,
    explain: Annotated[str | None, typer.Option(help="Explain a code instead of checking.")] = None,
) -> None:
    """Report what would fail, lose data, block a shard, never fire or be wasted on AWS, before it is deployed.

    It packages the services and checks the result. Stages differ in their params, so check each stage that you deploy:
    `check --stage prod` checks what prod would get.
    Exit code 1: there are errors; 2: wrong command line, or packaging failed.
    """
    from . import report
    from .findings import counted, run
    from .kinds import BY_CODE, CHECKS
    from .registry import Severity

    console = VisibleConsole()
    with errors_in_one_line(_FAILED):
        if explain is not None:
            if explain.upper() not in BY_CODE:
                raise CommandError(f"There is no check {explain}; the codes are {', '.join(BY_CODE)}.")
            report.explain(BY_CODE[explain.upper()], console)
            return
        if template:
            read = [_from_template(template, names or [])]
        else:
            read = _packaged(choose_services(names or [], services), stage, params_of(param))
    findings = [finding for service in read for finding in run(CHECKS, service)]
    if sarif is not None:
        from .sarif import as_sarif

        sarif.write_text(
            json.dumps(as_sarif(findings, CHECKS, _root_of(Path.cwd())), indent=2) + "\n", encoding="utf-8"
        )
    if as_json:
        content = {
            "services": [service.name for service in read],
            "findings": [finding.as_json() for finding in findings],
            "counts": {severity.value: number for severity, number in counted(findings).items()},
        }
        say_json(content, indent=2)
    else:
        report.show(findings, [service.name for service in read], console, Path.cwd())
    if counted(findings)[Severity.ERROR]:
        raise typer.Exit(1)


def _from_template(template: Path, names: list[str]) -> Service:
    from .service.packaged import read_service

    if len(names) > 1:
        raise CommandError("--template is the template of one service; name at most one SERVICE with it.")
    folder = Path(names[0]) if names else _folder_of(template)
    if folder is not None and not folder.is_dir():
        raise CommandError(f"{folder} is not a folder.")
    return read_service(template, folder.resolve() if folder else None)


def _packaged(services: list[Path], stage: str, given: Mapping[str, str]) -> list[Service]:
    from stream_cli.deployment import serverless

    from .service.imports import stand_ins
    from .service.packaged import read_service

    read = []
    for folder in services:
        params = stand_ins(folder, stage, given)
        with tempfile.TemporaryDirectory(prefix="streamctl-check-") as out:
            try:
                compiled = serverless.package(folder.resolve(), stage, params, Path(out))
            except serverless.ServerlessError as error:
                raise CommandError(_explained(str(error))) from error
            read.append(read_service(compiled, folder.resolve()))
    return read


def _explained(error: str) -> str:
    """The CLI's error without the stack trace, with an explanation if its compiler fails on an ARN."""
    lines = error.split("\n")
    failed_on_arn = any("events/stream.js" in line for line in lines) and "is not a function" in error
    text = "\n".join(line for line in lines if not line.lstrip().startswith("at ") or "at '" in line)
    return f"{text}\n{_CANNOT_COMPILE}" if failed_on_arn else text


def _folder_of(template: Path) -> Path | None:
    """The service's folder if the template is in `.serverless/`, where `sls package` writes it by default."""
    folder = template.resolve().parent.parent
    return folder if template.resolve().parent.name == ".serverless" and is_service(folder) else None


def _root_of(folder: Path) -> Path:
    """The root of the repository that a folder is in, else the folder; code hosts need paths relative to it."""
    return next((each for each in (folder, *folder.parents) if (each / ".git").exists()), folder)
