"""Finds services, by name or by folder. A service is a folder with a configuration of the Serverless CLI."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from stream_cli.deployment.serverless import configuration_of
from stream_cli.errors import CommandError

HUB = "event-hub"
_SERVICE_NAME = re.compile(r"""^(?:service: *|[ \t]*"?service"?: *["'])([\w-]+)""", re.MULTILINE)


def choose_services(named: Sequence[str], folder: Path) -> list[Path]:
    """The folders of the services that a user names, in the order of deployment.

    Args:
        named: names of services below ``folder``, or paths of services anywhere. None are named: the current folder
            where it is a service, else all services below ``folder``.
        folder: the folder of the services.

    Raises:
        CommandError: one of them is unknown, or two have the same name.
    """
    if not named:
        return [Path.cwd()] if is_service(Path.cwd()) else find_services(folder)
    known = {service.name: service for service in services_below(folder)}
    chosen = {name: known.get(name, Path(name)).resolve() for name in named}
    if unknown := sorted(name for name, service in chosen.items() if not is_service(service)):
        raise CommandError(
            f"There is no service {', '.join(unknown)}. Give the path of a folder with a serverless.yml, or one of the "
            f"services in {folder}: {', '.join(known) or 'there are none'}."
        )
    services = set(chosen.values())
    if twice := sorted(name for name, count in Counter(service.name for service in services).items() if count > 1):
        raise CommandError(f"Several services have the name {', '.join(twice)}: name one at a time.")
    return _in_order(services)


def services_of_cloud(named: Sequence[str], folder: Path) -> list[Path]:
    """The services of a new cloud: those that a user names and the hub beside them, or all below ``folder``.

    Raises:
        CommandError: as of `choose_services` and `find_services`.
    """
    if not named:
        return find_services(folder)
    chosen = choose_services(named, folder)
    hubs = [each for each in services_below(folder) if each.name == HUB]
    return chosen if any(each.name == HUB for each in chosen) else [*hubs, *chosen]


def find_services(folder: Path) -> list[Path]:
    """All services below a folder, in the order of deployment.

    Raises:
        CommandError: there are none.
    """
    found = services_below(folder)
    if not found:
        raise CommandError(f"There is no service (a folder with a serverless.yml) in {folder.resolve()}.")
    return found


def services_below(folder: Path) -> list[Path]:
    """The services below a folder, in the order of deployment; there may be none."""
    return _in_order(each for each in folder.resolve().glob("*") if is_service(each))


def is_service(folder: Path) -> bool:
    """Whether the folder has a configuration of the Serverless CLI."""
    return configuration_of(folder) is not None


def read_configuration(service: Path) -> dict[str, Any]:
    """The content of a service's configuration, without values that have a tag; empty where it is a program.

    Raises:
        CommandError: it is not YAML.
    """
    import yaml

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        """Reads a configuration; what a tag such as !GetAtt makes of a value does not matter here."""

    Loader.add_multi_constructor("!", lambda loader, suffix, node: None)
    configuration = configuration_of(service)
    if configuration is None or configuration.suffix not in (".yml", ".yaml", ".json"):
        return {}
    try:
        content = yaml.load(_text_of(configuration), Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = configuration if mark is None else f"{configuration}:{mark.line + 1}"
        raise CommandError(f"{place} is not YAML: {getattr(error, 'problem', None) or error}") from error
    return content if isinstance(content, dict) else {}


def stack_name(service: Path, stage: str) -> str:
    """The name of a service's stack, as the Serverless CLI makes it.

    Raises:
        CommandError: its configuration does not name the service.
    """
    name = service_name(service)
    if name is None:
        raise CommandError(f"{configuration_of(service) or service} does not say `service: <name>`.")
    return f"{name}-{stage}"


def service_name(service: Path) -> str | None:
    """The name that a service's configuration says; None where only the Serverless CLI knows it."""
    configuration = configuration_of(service)
    named = _SERVICE_NAME.search(_text_of(configuration)) if configuration else None
    return named[1] if named else None


def _text_of(configuration: Path) -> str:
    try:
        return configuration.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CommandError(f"{configuration} is not UTF-8: {error.reason} at byte {error.start}") from error


def _in_order(services: Iterable[Path]) -> list[Path]:
    """The hub first, since the others use its outputs; then services with requirements, whose packages take longest."""
    return sorted(services, key=lambda each: (each.name != HUB, not (each / "requirements.txt").exists(), each))
