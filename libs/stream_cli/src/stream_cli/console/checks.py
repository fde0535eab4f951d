"""Checks and sizes of the deployed services: what `streamctl check` found last, and how large their functions are.

Checks are of the services' folders, so only of those that are on this machine. What `check` found is shown whoever ran
it, here or in a terminal, and it is said where files have changed since. Sizes are of what is deployed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from stream_runtime.payload.visible import visible

from stream_cli.checks.last_findings import last
from stream_cli.console.jobs import JobKind, Progress, Work
from stream_cli.console.own_commands import output_of
from stream_cli.console.sizes import UNZIPPED, ZIPPED, Sizes
from stream_cli.deployment.services import service_name, services_below
from stream_cli.errors import CommandError
from stream_cli.faults.secret_text import redacted_text
from stream_cli.terminal.options import LOCAL
from stream_cli.trace.deployed import Deployed

KIND = "check"

_TEXTS = ("code", "severity", "title", "function", "event", "resource", "message", "why", "fix")
_AT_A_STAGE = (
    "Not known at a stage: checks read the folders of services, and which of them a stage was deployed from is not "
    "known. `streamctl check --stage` checks what a stage would get."
)
_FOUND_OR_NOT = (0, 1)


class Checks:
    """The checks of a stage.

    Args:
        folder: of the services on this machine.
        stacks: the names of the stage's stacks; a service that has no functions is known by its own.
    """

    def __init__(
        self, stage: str, deployed: Callable[[], Deployed], folder: Path, stacks: Callable[[], Collection[str]]
    ) -> None:
        self._stage, self._deployed, self._folder, self._stacks = stage, deployed, folder, stacks
        self._sizes = Sizes()

    @property
    def kind(self) -> JobKind:
        """The job that checks the services; it changes nothing in the stage."""
        return JobKind(self._prepare, writes=False)

    def all(self) -> dict[str, Any]:
        """What was found in each service that is deployed, and the sizes of all functions.

        ``problem`` says why there are no checks; ``elsewhere`` are functions of services whose folder is not known.
        """
        functions = self._deployed().functions
        services = self._services(functions) if self._stage == LOCAL else {}
        here = {name for names in services.values() for name in names}
        problem = "" if self._stage == LOCAL else _AT_A_STAGE
        if not problem and not services:
            problem = f"No folder of a deployed service is known: there is none in {visible(str(self._folder))}."
        return {
            "problem": problem,
            "services": [self._service(service, names) for service, names in services.items()],
            "elsewhere": sorted(set(functions) - here) if self._stage == LOCAL else [],
            "sizes": self._sizes.of(functions, self._deployed().apis),
            "limits": {"zipped": ZIPPED, "unzipped": UNZIPPED},
        }

    def _services(self, functions: Mapping[str, Any]) -> dict[Path, list[str]]:
        """The folders of deployed services, with the functions of each, whose names begin with the service's."""
        found = {}
        stacks = self._stacks()
        for service in services_below(self._folder):
            stack = f"{service_name(service)}-{self._stage}"
            names = sorted(name for name in functions if name.startswith(f"{stack}-"))
            if names or stack in stacks:
                found[service] = names
        return found

    def _service(self, service: Path, functions: Sequence[str]) -> dict[str, Any]:
        known = last(service, self._stage)
        return {
            "name": visible(service_name(service) or service.name),
            "folder": self._shown_path(str(service)),
            "functions": functions,
            "at": known.at if known else None,
            "older": known.is_older if known else False,
            "findings": [self._finding(each) for each in known.findings] if known else [],
        }

    def _finding(self, finding: Mapping[str, Any]) -> dict[str, Any]:
        texts = {name: visible(redacted_text(str(finding[name]))) if finding[name] else None for name in _TEXTS}
        file = finding["file"]
        return {**texts, "file": self._shown_path(file) if file else None, "line": finding["line"]}

    def _shown_path(self, path: str) -> str:
        return visible(os.path.relpath(path, self._folder.resolve().parent))

    def _prepare(self, body: Mapping[str, Any]) -> Work:
        if body:
            raise ValueError("There is nothing to say: all services are checked.")
        if self._stage != LOCAL:
            raise CommandError(_AT_A_STAGE)
        services = list(self._services(self._deployed().functions))
        if not services:
            raise CommandError(f"No folder of a deployed service is known in {self._folder}.")
        names = ", ".join(each.name for each in services)
        return Work(f"Check {names}", lambda progress: run(services, self._stage, self._folder, progress))


def run(services: Sequence[Path], stage: str, folder: Path, progress: Progress) -> None:
    """Run `streamctl check` on services, which keeps what it finds, one after the other.

    Raises:
        CommandError: one cannot be checked.
        Stopped: the job was asked to stop.
    """
    progress.total = len(services)
    found = 0
    for number, service in enumerate(services):
        progress.say(f"Checking {service.name}")
        content = _checked(service, stage, folder, progress)
        found += len(content["findings"])
        progress.result = {"findings": found}
        progress.reached(number + 1)


def _checked(service: Path, stage: str, folder: Path, progress: Progress) -> dict[str, Any]:
    arguments = ["check", str(service), "--stage", stage, "--services", str(folder), "--json"]
    output = output_of(arguments, progress, f"{service.name} cannot be checked.", _FOUND_OR_NOT)
    content: dict[str, Any] = json.loads(output)
    return content
