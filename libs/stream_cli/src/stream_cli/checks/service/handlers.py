"""The rules of a function's handler, read in a child process (`handler_probe`)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stream_cli.checks import kept

from .resources import Function
from .symbols import stand_in

PROBE_TIMEOUT_S = 60


@dataclass(frozen=True)
class ProbedRule:
    """What is known about one rule.

    Attributes:
        known_flavor: whether the flavor is one of the runtime's.
        types: its literal event types.
        patterns: its regular expressions for event types, as texts.
        decides: whether a callable decides about the event type.
        wants: whether the rule handles each of the types that filters name; None if only a whole event would tell.
        fields: its other fields: text, numbers, lists of them; a function is ``{"function", "file", "line"}``, any
            other value ``{"type", "callable"}``.
    """

    id: str
    flavor: str
    known_flavor: bool
    types: tuple[str, ...]
    patterns: tuple[str, ...]
    decides: bool
    wants: Mapping[str, bool | None]
    fields: Mapping[str, Any] = field(default_factory=dict)

    def text(self, name: str) -> str | None:
        """A field that is a text; None for any other."""
        value = self.fields.get(name)
        return value if isinstance(value, str) and value else None

    def has(self, name: str) -> bool:
        """Whether the rule has a field with an effect."""
        return self.fields.get(name) not in (None, False, "")

    @property
    def enumerable(self) -> bool:
        """Whether the literal types are all that the rule handles."""
        return not self.decides and not self.patterns

    def may_want(self, event_type: str) -> bool:
        """Whether the rule handles the type or may handle it."""
        if event_type in self.types:
            return True
        return self.wants.get(event_type, False if self.enumerable else None) is not False


@dataclass(frozen=True)
class LeftOutImport:
    """A module that a function needs and that its package leaves out.

    Attributes:
        option: of `custom.pythonRequirements`: `noDeploy` or `slimPatterns`.
        entry: the option's line that leaves it out.
        file: in the service's folder, where the module is needed; None if that is not in the service's code.
        rule: the rule whose operator needs it, if nothing in the service's code imports it.
    """

    module: str
    option: str
    entry: str
    file: str | None
    line: int | None
    rule: str | None = None


@dataclass(frozen=True)
class ProbedHandler:
    """What the import of a function's handler showed.

    Attributes:
        error: why it cannot be imported, None if it can.
        rules: None for functions without rules.
        source: name of the runtime's function that reads the invocation event.
        source_options: the keyword arguments of `source`.
        reports: whether it returns partial batch failures; None if that is not known.
        left_out: what it needs and its package leaves out.
        refused: of a rule that the runtime refuses: ``{"rule", "field", "value"}``.
        options: of `stream_handler`, as the fields of rules are; None if they are not known.
    """

    error: str | None
    rules: tuple[ProbedRule, ...] | None
    source: str | None
    source_options: Mapping[str, str | None]
    reports: bool | None
    left_out: tuple[LeftOutImport, ...] = ()
    refused: Mapping[str, Any] | None = None
    options: Mapping[str, Any] | None = None


Asked = tuple[Function, Sequence[str]]
"""A function, and the event types to test its rules with."""


def read_handlers(
    folder: Path, asked: Sequence[Asked], requirements: Mapping[str, Any] | None = None
) -> dict[str, ProbedHandler]:
    """Import the handlers of a service's functions and read their rules, by logical id.

    `folder` is the working directory and on `sys.path`, as in Lambda, and the environment is the function's; values
    that only the deployment knows are `${...}`. Functions with the same environment share a process, unless one of them
    ends it. `requirements` is the service's `custom.pythonRequirements`. What was found is kept by content.
    """
    asking = [[each.handler, dict(each.environment), each.logical_id, list(candidates)] for each, candidates in asked]
    key, place = kept.key_of(folder, ["handlers", asking, requirements]), kept.folder_of(folder)
    answers = kept.take(place, key) if place else None
    if answers is None:
        answers = _answers(folder, asked, requirements or {})
        if place and not any(isinstance(each, str) for each in answers.values()):
            kept.keep(place, key, answers)
    return {logical_id: _handler(answer) for logical_id, answer in answers.items()}


def _answers(folder: Path, asked: Sequence[Asked], requirements: Mapping[str, Any]) -> dict[str, Any]:
    """The answers of the probes, by logical id; a text says why there is none."""
    alike: dict[tuple[tuple[str, str], ...], list[Asked]] = {}
    for each in asked:
        alike.setdefault(tuple(sorted(each[0].environment.items())), []).append(each)
    read: dict[str, Any] = {}
    for group in alike.values():
        answers = _probe(folder, group, requirements)
        if isinstance(answers, str) and len(group) > 1:
            alone = [_probe(folder, [one], requirements) for one in group]
            answers = [each if isinstance(each, str) else each[0] for each in alone]
        elif isinstance(answers, str):
            answers = [answers]
        read |= {function.logical_id: answer for (function, _), answer in zip(group, answers, strict=True)}
    return read


def _probe(folder: Path, asked: Sequence[Asked], requirements: Mapping[str, Any]) -> list[Any] | str:
    """The answers of one process, or a text that says why there are none."""
    given = dict(asked[0][0].environment)
    if "ENCRYPTION_KEYS" in given:  # which is checked at import
        given["ENCRYPTION_KEYS"] = stand_in(given["ENCRYPTION_KEYS"])
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_LAMBDA_FUNCTION_NAME": asked[0][0].name,
        "AWS_REGION": "us-east-1",
        **given,
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    handlers = ", ".join(dict.fromkeys(function.handler for function, _ in asked))
    questions = [{"handler": each.handler, "candidates": list(candidates)} for each, candidates in asked]
    try:
        ran = subprocess.run(
            [sys.executable, "-m", "stream_cli.checks.service.handler_probe"],
            cwd=folder,
            env=environment,
            input=json.dumps({"requirements": requirements, "questions": questions}),
            capture_output=True,
            text=True,
            timeout=PROBE_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"importing {handlers} took longer than {PROBE_TIMEOUT_S} s"
    if ran.returncode != 0:
        last = ran.stderr.strip().splitlines()[-1:] or ["no message"]
        return f"importing {handlers} ended the process with {ran.returncode}: {last[0]}"
    return list(json.loads(ran.stdout))


def _handler(answer: Any) -> ProbedHandler:
    told: Mapping[str, Any] = {"error": answer} if isinstance(answer, str) else answer
    left_out = tuple(LeftOutImport(**each) for each in told.get("left_out", ()))
    if told["error"] is not None:
        return ProbedHandler(told["error"], None, None, {}, None, left_out, told.get("refused"))
    rules = told["rules"]
    return ProbedHandler(**{**told, "rules": None if rules is None else tuple(map(_rule, rules)), "left_out": left_out})


def _rule(told: Mapping[str, Any]) -> ProbedRule:
    return ProbedRule(**{**told, "types": tuple(told["types"]), "patterns": tuple(told["patterns"])})
