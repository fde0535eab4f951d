"""What checks cannot know of services: the last line of `streamctl check`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from .service.packaged import Service

_FROM_ELSEWHERE = re.compile(r"\$\{(?:import|parameter) ([^{}$]+)\}")
MOST_NAMED = 8


def unchecked(services: Sequence[Service]) -> list[str]:
    """What was not checked, each as a phrase: ``no fixtures for control-service/job``."""
    several = len(services) > 1
    gathered: dict[str, list[str]] = {}
    for service in services:
        for what, name in _of(service):
            gathered.setdefault(what, []).append(f"{service.name}/{name}" if several and "{" not in what else name)
    phrases = []
    for what, names in gathered.items():
        distinct = list(dict.fromkeys(names))
        more = f" and {len(distinct) - MOST_NAMED} more" if len(distinct) > MOST_NAMED else ""
        phrases.append(what.replace("{}", "") + " " + ", ".join(distinct[:MOST_NAMED]) + more)
    return phrases


def _of(service: Service) -> Iterator[tuple[str, str]]:
    for function in service.template.functions.values():
        name = service.name_of(function)
        handler, trial = service.handler_of(function), service.trial_of(function)
        if handler is None:
            yield "the code of", name
        elif handler.error is None and trial is None:
            yield "what events do, as tests/fixtures has none, in", name
        elif trial is not None and trial.error is not None:
            yield f"what events do ({trial.error}) in", name
        for rule in (handler.rules or ()) if handler else ():
            if not rule.known_flavor:
                yield "what flavors of your own need, in", f"{name} ({rule.flavor})"
        role = service.template.role_of(function)
        if role is None or role.has_unread_policies:
            yield "permissions that the template does not hold, of", name
    for each in dict.fromkeys(_only_at_deployment(service)):
        yield "what other stacks give:{}", each


def _only_at_deployment(service: Service) -> Iterator[str]:
    texts = [value for each in service.template.functions.values() for value in each.environment.values()]
    texts += [mapping.source for mapping in service.template.mappings]
    for text in texts:
        yield from _FROM_ELSEWHERE.findall(text)
