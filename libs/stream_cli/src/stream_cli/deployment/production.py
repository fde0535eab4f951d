"""Which stages hold data that nobody may lose, and the question before something is done to one of them.

A stage is a production stage when a word of its name says so (`prod`, `prod-eu`, `prod2`, `live`), or when the
serverless.yml of a service keeps its data: the param `deletionPolicy` is not Delete.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import typer

from stream_cli.deployment.services import read_configuration
from stream_cli.errors import CommandError

_WORDS = frozenset({"prod", "prd", "production", "live"})
_PARAM = "deletionPolicy"


def is_production(stage: str, services: Iterable[Path]) -> bool:
    """Whether a stage of services is a production stage."""
    words = (word.rstrip("0123456789") for word in stage.split("-"))
    return not _WORDS.isdisjoint(words) or any(_keeps_data(service, stage) for service in services)


def ask_before(what: str, stage: str, place: Callable[[], str], services: Iterable[Path], *, yes: bool) -> None:
    """Ask whether to go on, where the stage is a production stage. The question names account, region and stage.

    Args:
        what: what would be done, such as ``deploy``.
        place: gives the account and the region.
        yes: whether the answer was given with the command.

    Raises:
        CommandError: the answer is no, or nobody is there to answer.
    """
    if yes or not is_production(stage, services):
        return
    question = f"{what} in the production stage {stage}, {place()}"
    if not sys.stdin.isatty():
        raise CommandError(
            f"Nothing was done: {question}, needs a yes. Add --yes, or run it in a terminal, where it asks."
        )
    try:
        agreed = typer.confirm(f"{question}. Go on?", err=True)
    except typer.Abort:
        agreed = False
    if not agreed:
        raise CommandError("Nothing was done.")


def _keeps_data(service: Path, stage: str) -> bool:
    content = read_configuration(service)
    params = _mapping(content.get("params"))
    policy = _mapping(params.get(stage)).get(_PARAM, _mapping(params.get("default")).get(_PARAM, "Delete"))
    return bool(policy != "Delete")


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
