"""Options that several commands take."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

LOCAL = "local"
"""The stage on this machine, and the default of every command."""
STATE = Path(".streamctl")
SERVICES = Path("services")
CHECKOUT = Path(sys.prefix).parent
"""The folder that set-up has made this command's environment in; a service of one's own may be in any other."""

# A stage is part of the names of buckets.
_STAGE = re.compile(r"[a-z][a-z0-9-]*")


def _checked_stage(stage: str) -> str:
    if not _STAGE.fullmatch(stage):
        raise typer.BadParameter(f"{stage!r} is not a stage: lowercase letters, digits and hyphens, a letter first")
    return stage


def _checked_params(params: list[str] | None) -> list[str] | None:
    for param in params or []:
        name, equals, value = param.partition("=")
        if not (name and equals and value):
            raise typer.BadParameter(f"{param} is not NAME=VALUE")
    return params


def params_of(given: Sequence[str] | None) -> dict[str, str]:
    """The values of `Params` by their names."""
    return dict(each.split("=", 1) for each in given or [])


def stage_option(stage: str) -> str:
    """What a command that is told to people needs behind it, to be of a stage."""
    return "" if stage == LOCAL else f" --stage {stage}"


def _nearest(state: Path) -> Path:
    if state != STATE:
        return state
    places = [folder / STATE for folder in (Path.cwd(), *Path.cwd().parents, CHECKOUT)]
    found = next((each for each in places if (each / "cloud.json").is_file()), None)
    return found or (state if SERVICES.is_dir() or not (CHECKOUT / SERVICES).is_dir() else CHECKOUT / STATE)


def _of_the_checkout(services: Path) -> Path:
    theirs = CHECKOUT / SERVICES
    return theirs if services == SERVICES and not SERVICES.is_dir() and theirs.is_dir() else services


Stage = Annotated[
    str,
    typer.Option(
        "--stage", callback=_checked_stage, help="local is the cloud on this machine; any other stage is on AWS."
    ),
]
Region = Annotated[
    str | None, typer.Option("--region", help="Region of a stage on AWS. Default: the region of the environment.")
]
State = Annotated[
    Path,
    typer.Option(
        "--state",
        metavar="DIR",
        callback=_nearest,
        help="Folder of the local cloud. Default: that of the cloud running from here, a folder above, or streamctl's.",
    ),
]
Names = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="SERVICE",
        help="Services, by name or by folder. Default: the current folder if it is a service, else all of --services.",
    ),
]
Beside = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="SERVICE",
        help="Services, by name or by folder, beside the hub. Default: all of --services.",
    ),
]
Services = Annotated[
    Path,
    typer.Option(
        "--services",
        metavar="DIR",
        callback=_of_the_checkout,
        help="Folder of the services; each has a serverless.yml. Default: services, here or where streamctl is from.",
    ),
]
Params = Annotated[
    list[str] | None,
    typer.Option(
        "--param",
        metavar="NAME=VALUE",
        callback=_checked_params,
        help="A param of serverless.yml, or what stands in for another stack's output. Repeatable.",
    ),
]
Port = Annotated[int | None, typer.Option("--port", min=1, max=65535, help="Port on 127.0.0.1. Default: a free one.")]
EventsFile = Annotated[
    Path, typer.Argument(metavar="FILE", help="JSON: one event, a list, or one on each line; - reads stdin.")
]
Exact = Annotated[
    bool, typer.Option("--exact", help="Take the events as they are: fill in no id, timestamp, partition key or tags.")
]
Iam = Annotated[
    bool,
    typer.Option(
        "--iam/--no-iam",
        help="Whether the local cloud enforces the policies that are deployed, as AWS does. Policies of buses, "
        "archives and log groups, grants of keys, and keys for what is encrypted with them are enforced on AWS only.",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask, where the stage is a production stage.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout; everything else goes to stderr.")]
Empty = Annotated[
    bool, typer.Option("--fresh", help="Begin empty, without what the last cloud in the state folder has left.")
]
Fresh = Annotated[
    bool, typer.Option("--fresh", help="Make everything anew, also what has not changed since it was made last.")
]
