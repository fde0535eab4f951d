"""The event types that the services of a repository publish, as far as their rules, fixtures and code tell."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from stream_cli.deployment.inputs import GENERATED

from .handlers import ProbedRule
from .needs import publishes
from .packaged import Service
from .resources import Function
from .symbols import Verdict

FAULT = "fault"
_CODE = frozenset({".cjs", ".js", ".mjs", ".py", ".ts", ".yaml", ".yml"})
_NEAR = 0.85
_LOOKS_LIKE_A_TYPE = re.compile(r"""["']([a-zA-Z]+(?:[-.][a-zA-Z]+)+)["']""")
_PUBLISHING = re.compile(r"\b(?:Publisher|put_events|PutEvents|publish_to_event_bridge|publish)\b")
_NOT_READ = GENERATED | {"node_modules", "tests"}


@dataclass
class Repository:
    """What is published by services that were read, and may be by code that only its text tells about.

    Attributes:
        services: those that were read.
        others: folders of services that were not; a type that their code names may be published there.
    """

    services: Sequence[Service]
    others: Sequence[Path] = ()
    _unclear: dict[str, bool] = field(default_factory=dict)

    @cached_property
    def types(self) -> frozenset[str]:
        """The types that are known to be published, or are declared to be."""
        own = (each for service in self.services for each in types_of(service))
        declared = (each for service in self.services for each in service.published_elsewhere)
        return frozenset({FAULT, *own, *declared})

    def may_publish(self, event_type: str) -> bool:
        """Whether somebody publishes a type, or code that may publish names it."""
        if event_type in self.types:
            return True
        if event_type not in self._unclear:
            named = re.compile(rf"""(?<![\w-])["']?{re.escape(event_type)}["']?(?![\w-])""")
            self._unclear[event_type] = any(named.search(text) for text in self._texts)
        return self._unclear[event_type]

    def nearest(self, event_type: str) -> str | None:
        """A type that differs by a letter or two, of those that are published or that code names; None if none does."""
        named = {each for text in self._texts for each in _LOOKS_LIKE_A_TYPE.findall(text)}
        near = difflib.get_close_matches(event_type, sorted(self.types | named), 1, _NEAR)
        return near[0] if near else None

    @cached_property
    def _texts(self) -> Sequence[str]:
        """The code of services that were not read, and of functions that may publish what is not known."""
        unclear = [each.folder for each in self.services if each.folder and is_unclear(each)]
        own = [text for folder in unclear for text in _texts_below(folder)]
        # What their rules want is known, and a type is not published because a rule wants it.
        own = ["\n".join(line for line in text.splitlines() if "event_type" not in line) for text in own]
        return [*own, *(text for folder in self.others for text in _texts_below(folder))]


def types_of(service: Service) -> Iterable[str]:
    """The types that a service's rules and fixtures are known to publish, and those that its rules on buses make."""
    for function in service.template.functions.values():
        for rule in service.rules_of(function) or ():
            yield from types_of_rule(rule)
        trial = service.trial_of(function)
        for tried in trial.tried if trial else ():
            yield from (str(each["type"]) for each in tried.published)
        yield from (value for name, value in function.environment.items() if name.endswith("EVENT_TYPE"))


def types_of_rule(rule: ProbedRule) -> Iterable[str]:
    """The types that a rule's fields name as published."""
    emitted = rule.fields.get("emit")
    if isinstance(emitted, str):
        yield emitted
    elif isinstance(emitted, list):
        yield from (each for each in emitted if isinstance(each, str))
    expire = rule.fields.get("expire")
    if isinstance(expire, str):
        yield expire
    elif expire is True:
        yield from (f"{each}.expired" if "." in each else f"{each}-expired" for each in rule.types)
    if rule.flavor == "cdc" and not rule.has("to_event"):
        yield from rule.types


def is_unclear(service: Service) -> bool:
    """Whether a function of a service may publish types that neither its rules nor its fixtures tell."""
    return any(_function_is_unclear(service, each) for each in service.template.functions.values())


def _function_is_unclear(service: Service, function: Function) -> bool:
    role = service.template.role_of(function)
    if role is not None and role.may_on_something("events:PutEvents") is Verdict.NO:
        return False
    handler = service.handler_of(function)
    if handler is not None and handler.error is not None:
        return True
    rules = service.rules_of(function)
    if not rules:
        return any(_PUBLISHING.search(service.places.text_of(each)) for each in service.places.files)
    trial = service.trial_of(function)
    seen = {each["rule"] for tried in trial.tried for each in tried.published} if trial else set()
    return any(_rule_is_unclear(service, rule, rule.id in seen) for rule in rules)


def _rule_is_unclear(service: Service, rule: ProbedRule, is_seen: bool) -> bool:
    if not rule.known_flavor or rule.has("publish"):
        return True
    works = [service.places.of_function(rule.fields.get(name)) for name in ("execute", "execute_operators")]
    if any(place and _PUBLISHING.search(service.places.text_of(place.file)) for place in works):
        return True
    return publishes(rule) and rule.flavor != "expired" and not is_seen and not list(types_of_rule(rule))


def _texts_below(folder: Path) -> Iterable[str]:
    for each in sorted(folder.iterdir()):
        if each.is_dir() and not each.is_symlink() and each.name not in _NOT_READ:
            yield from _texts_below(each)
        elif each.suffix in _CODE:
            yield each.read_text(encoding="utf-8", errors="replace")
