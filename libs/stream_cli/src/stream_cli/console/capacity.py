"""The last plan of the services on this machine, whoever made it, and a job that makes another one.

Named for what is planned: in the console, a plan is otherwise what a job would do.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stream_cli.console.jobs import JobKind, Progress, Work
from stream_cli.console.own_commands import output_of
from stream_cli.deployment.services import services_below
from stream_cli.errors import CommandError
from stream_cli.plan.last import last
from stream_cli.terminal.options import LOCAL

KIND = "capacity"

_FIELDS: Mapping[str, tuple[float, float]] = {"rate": (0, 1e8), "hours": (0.01, 168), "peak": (1, 2)}
_STAGE = re.compile(r"[a-z][a-z0-9-]{0,62}")
_HOLDS_OR_NOT = (0, 3)
_AT_A_STAGE = (
    "Not known at a stage: plans are of the folders of services, and which of them a stage was deployed from is not "
    "known. `streamctl plan --stage` plans what a stage would get."
)


class Capacity:
    """Plans of the services on this machine.

    Args:
        stage: of the console.
        folder: of the services.
    """

    def __init__(self, stage: str, folder: Path) -> None:
        self._stage, self._folder = stage, folder

    @property
    def kind(self) -> JobKind:
        """The job that makes a plan; it changes nothing in the stage."""
        return JobKind(self._prepare, writes=False)

    def last(self) -> dict[str, Any]:
        """The last ``plan``, None if there is none, and when it was made; ``problem`` says why there can be none."""
        problem = self._problem()
        found = None if problem else last(self._folder)
        return {"problem": problem, "at": found["at"] if found else None, "plan": found["plan"] if found else None}

    def _problem(self) -> str:
        if self._stage != LOCAL:
            return _AT_A_STAGE
        return "" if services_below(self._folder) else "No folder of services is known."

    def _prepare(self, body: Mapping[str, Any]) -> Work:
        if problem := self._problem():
            raise CommandError(problem)
        if unknown := sorted(body.keys() - _FIELDS.keys() - {"stage"}):
            raise ValueError(f"There is no field {unknown[0]}.")
        stage = body.get("stage")
        if not isinstance(stage, str) or not _STAGE.fullmatch(stage):
            raise ValueError("stage must be lowercase letters, digits and hyphens, a letter first.")
        given = ["--stage", stage]
        for name, (least, most) in _FIELDS.items():
            value = body.get(name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
                raise ValueError(f"{name} must be a number from {least:g} to {most:g}.")
            given += [f"--{name}", f"{value:g}"]
        return Work(f"Plan {body['rate']:g} events/s at {stage}", lambda progress: self._run(given, progress), total=1)

    def _run(self, given: list[str], progress: Progress) -> None:
        progress.say("Compiling, and simulating the load")
        arguments = ["plan", *given, "--services", str(self._folder), "--json"]
        content = json.loads(output_of(arguments, progress, "The plan cannot be made.", _HOLDS_OR_NOT))
        progress.result = {"holds": content["holds"]}
        progress.reached(1)
