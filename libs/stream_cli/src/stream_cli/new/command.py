"""The command ``new``."""

from __future__ import annotations

import os
from pathlib import Path

from stream_cli.deployment import serverless
from stream_cli.deployment.services import services_below
from stream_cli.new.templates import Copy, copy_of, find_template, write
from stream_cli.new.words import entity_of
from stream_cli.terminal.output import say, shell_word


def new_service(
    named: str, path: Path, services: Path, *, entity: str | None, plural: str | None, name: str | None
) -> int:
    """Copy a template, in which all words of its entity are those of another.

    Args:
        path: the folder of the copy.
        services: the folder of the templates.
        entity: one of what the copy is about; None keeps the template's own word.
        plural: several of it; None is the usual plural.
        name: the copy's name in serverless.yml; None is the folder's.

    Raises:
        CommandError: there is no such template, a word is taken, or something is at the path.
        ValueError: a word is no name.
    """
    if plural and not entity:
        raise ValueError("--plural is of --entity; give that, too")
    if not services_below(services):
        services = serverless.find_toolchain().root / "services"
    template = find_template(named, services)
    path = Path(os.path.abspath(path))
    copy = copy_of(template, name or path.name, entity_of(entity, plural) if entity else None)
    write(copy, path)
    _say_what_was_made(copy, path, given=bool(entity))
    return 0


def _say_what_was_made(copy: Copy, path: Path, *, given: bool) -> None:
    shown = os.path.relpath(path)
    say(f"Made {shown}, the service {copy.service}, from the template {copy.template.name}: {len(copy.files)} files.")
    if copy.entity:
        one, several = (each.in_style("snake") for each in (copy.entity.one, copy.entity.several))
        say(f"It is about {one} and {several}, in routes, rows, events, topics, classes and fixtures.")
    elif given:
        say("This template is about events of any kind: it has no entity to rename.")
    rules = f" Its functions are in {copy.package}/, their rules in {copy.package}/rules/." if copy.package else ""
    say(f"Its README says how to test and deploy it.{rules}")
    say(f"This runs it on this machine, and what you save in it: streamctl dev {shell_word(shown)}")
