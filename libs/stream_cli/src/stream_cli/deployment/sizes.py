"""How large each function's package is: `npm run sizes`. Packages services as a deployment would, with no account."""

from __future__ import annotations

import json
import sys
import tempfile
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from stream_cli.deployment import serverless
from stream_cli.deployment.services import find_services
from stream_cli.errors import CommandError

LIMIT_BYTES = 3 * 1024 * 1024
"""What a package of these services may have, zipped. AWS itself takes 50 MB zipped and 250 MB unzipped."""
# Stands for what comes from other stacks; a size does not depend on it.
_ELSEWHERE = {
    "alarmTopicArn": "arn:aws:sns:us-east-1:123456789012:alarms",
    "busArn": "arn:aws:events:us-east-1:123456789012:event-bus/bus",
    "busName": "bus",
    "stream1Arn": "arn:aws:kinesis:us-east-1:123456789012:stream/s1",
    "stream1Name": "s1",
}

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(frozen=True, slots=True)
class Size:
    """The package of one function, in bytes."""

    service: str
    function: str
    zipped: int
    unzipped: int


def sizes_of(service: Path, stage: str) -> list[Size]:
    """The size of each function of a service, in the order of its names; none for a service without functions.

    Raises:
        ServerlessError: the service does not package.
    """
    with tempfile.TemporaryDirectory(prefix="sizes-") as folder:
        template = serverless.package(service, stage, _ELSEWHERE, Path(folder))
        resources: dict[str, dict[str, Any]] = json.loads(template.read_text(encoding="utf-8"))["Resources"]
        found = []
        for resource in resources.values():
            if resource["Type"] == "AWS::Lambda::Function":
                properties = resource["Properties"]
                path = template.parent / Path(str(properties["Code"]["S3Key"])).name
                with zipfile.ZipFile(path) as package:
                    unzipped = sum(each.file_size for each in package.infolist())
                found.append(Size(service.name, str(properties["FunctionName"]), path.stat().st_size, unzipped))
    return sorted(found, key=lambda size: size.function)


@app.command()
def sizes(
    names: Annotated[list[str] | None, typer.Argument(metavar="[SERVICE]...", help="All unless named.")] = None,
    *,
    stage: Annotated[str, typer.Option("--stage", help="Stage; it decides for which machine is packaged.")] = "prod",
    services: Annotated[Path, typer.Option("--services", metavar="DIR", help="Folder of the services.")] = Path(
        "services"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say how large each function's package is; exit code 1 where one is not below 3 MB (3 x 1024 x 1024 bytes)."""
    try:
        chosen = [each for each in find_services(services) if not names or each.name in names]
        if unknown := set(names or ()) - {each.name for each in chosen}:
            raise CommandError(f"There is no service {', '.join(sorted(unknown))} in {services}.")
        found = [size for service in chosen for size in sizes_of(service, stage)]
    except (CommandError, serverless.ServerlessError, serverless.ToolchainMissingError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    if as_json:
        sys.stdout.write(json.dumps([asdict(size) for size in found], indent=2) + "\n")
    else:
        for size in found:
            mark = "" if size.zipped < LIMIT_BYTES else "  too large"
            typer.echo(f"{size.function:<42} {size.zipped:>10,} zipped  {size.unzipped:>11,} unzipped{mark}")
    if any(size.zipped >= LIMIT_BYTES for size in found):
        raise typer.Exit(1)


if __name__ == "__main__":
    app()
