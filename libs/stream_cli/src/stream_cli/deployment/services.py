"""Finds services: folders with a serverless.yml."""

from __future__ import annotations

from pathlib import Path

from stream_cli.errors import CommandError

HUB = "event-hub"


def find_services(folder: Path) -> list[Path]:
    """The services below a folder, in the order of deployment.

    The hub is first, since the others use its outputs; then those with requirements, whose packages take time.

    Raises:
        CommandError: there is none.
    """
    found = sorted(path.parent for path in folder.glob("*/serverless.yml"))
    if not found:
        raise CommandError(f"There is no service (a folder with a serverless.yml) in {folder.resolve()}.")
    return sorted(found, key=lambda service: (service.name != HUB, not (service / "requirements.txt").exists()))
