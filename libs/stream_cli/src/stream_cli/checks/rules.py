"""What a function's rules handle, and whether an event filter lets it through.

The rules are read in a child process (`handler_probe`); the patterns are the compiled ones, judged by
`stream_cli.patterns`. A rule's event type says something about the record that carries it (the `type` of a Kinesis
record's data; event name and discriminator of a DynamoDB record), so the question is always: is there a record of
which that much is known and which the pattern lets through?
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stream_cli.patterns import matches

from .template import DYNAMODB, KINESIS, Function

PROBE_TIMEOUT_S = 60
ABSENT = object()
"""Stands in what is known of a record for a field that is known to be missing."""
Record = Mapping[str, Any]

_EVENT_NAMES = {
    "created": ("INSERT",),
    "updated": ("MODIFY",),
    "deleted": ("REMOVE", "MODIFY"),
    "undeleted": ("MODIFY",),
}
_IMAGES = {"INSERT": ("NewImage",), "MODIFY": ("NewImage", "OldImage"), "REMOVE": ("OldImage",)}
_TTL = {"type": "Service", "principalId": "dynamodb.amazonaws.com"}


@dataclass(frozen=True)
class Rule:
    """One rule: its literal types, its patterns (as text), and whether code `decides`.

    `wants` tells for the values that the filters name whether the rule handles them; None where only a whole event
    would tell. `known_flavor` is true for the flavors of the runtime.
    """

    id: str
    flavor: str
    known_flavor: bool
    types: tuple[str, ...]
    patterns: tuple[str, ...]
    decides: bool
    wants: Mapping[str, bool | None]

    @property
    def enumerable(self) -> bool:
        """Whether the literal types are all that the rule handles."""
        return not self.decides and not self.patterns

    def may_want(self, event_type: str) -> bool:
        """Whether the rule handles the type, or may."""
        if event_type in self.types:
            return True
        return self.wants.get(event_type, False if self.enumerable else None) is not False


@dataclass(frozen=True)
class Handler:
    """What the import of a function's handler told; `rules` is None for functions without."""

    error: str | None
    rules: tuple[Rule, ...] | None
    source: str | None
    source_options: Mapping[str, str | None]
    reports: bool | None


Asked = tuple[Function, Sequence[str]]
"""A function, and event types of which to tell whether its rules handle them."""


def read_handlers(folder: Path, asked: Sequence[Asked]) -> dict[str, Handler]:
    """Import the handlers of functions of the service in `folder` and read their rules, by logical id.

    The folder is the current one and on `sys.path` for the import, as in Lambda, and the environment is the function's;
    what only the deployment knows stands there as `${...}`. Functions with one environment share a process, unless one
    of them ends it.
    """
    alike: dict[tuple[tuple[str, str], ...], list[Asked]] = {}
    for each in asked:
        alike.setdefault(tuple(sorted(each[0].environment.items())), []).append(each)
    read: dict[str, Handler] = {}
    for group in alike.values():
        answers = _probe(folder, group)
        if isinstance(answers, str) and len(group) > 1:
            answers = [each if isinstance(each, str) else each[0] for each in (_probe(folder, [one]) for one in group)]
        elif isinstance(answers, str):
            answers = [answers]
        for (function, _), answer in zip(group, answers, strict=True):
            read[function.logical_id] = _handler(answer)
    return read


def _probe(folder: Path, asked: Sequence[Asked]) -> list[Any] | str:
    """The answers of one process; a text when there are none, which says why."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_LAMBDA_FUNCTION_NAME": asked[0][0].name,
        "AWS_REGION": "us-east-1",
        **asked[0][0].environment,
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    handlers = ", ".join(dict.fromkeys(function.handler for function, _ in asked))
    try:
        ran = subprocess.run(
            [sys.executable, "-m", "stream_cli.checks.handler_probe"],
            cwd=folder,
            env=environment,
            input=json.dumps([{"handler": each.handler, "candidates": list(candidates)} for each, candidates in asked]),
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


def _handler(answer: Any) -> Handler:
    why = answer if isinstance(answer, str) else answer["error"]
    if why is not None:
        return Handler(error=why, rules=None, source=None, source_options={}, reports=None)
    rules = answer["rules"]
    return Handler(
        error=None,
        rules=None if rules is None else tuple(_rule(each) for each in rules),
        source=answer["source"],
        source_options=answer["source_options"],
        reports=answer["reports"],
    )


def _rule(told: Mapping[str, Any]) -> Rule:
    return Rule(
        id=told["id"],
        flavor=told["flavor"],
        known_flavor=told["known_flavor"],
        types=tuple(told["types"]),
        patterns=tuple(told["patterns"]),
        decides=told["decides"],
        wants=told["wants"],
    )


def admits(pattern: Mapping[str, Any], known: Record) -> bool:
    """Whether a record of which only `known` is known may match the pattern.

    What `known` leaves out may be anything, so conditions on it are taken to hold; what is ABSENT is not there.

    >>> admits({"data": {"type": ["a"], "size": [{"numeric": [">", 3]}]}}, {"data": {"type": "a"}})
    True
    """
    for name, condition in pattern.items():
        if name == "$or" and isinstance(condition, list) and all(isinstance(each, Mapping) for each in condition):
            if not any(admits(each, known) for each in condition):
                return False
        elif name in known:
            value = known[name]
            if value is ABSENT:
                if not matches({name: condition}, {}):
                    return False
            elif isinstance(condition, Mapping):
                if isinstance(value, Mapping) and not admits(condition, value):
                    return False
                if not isinstance(value, Mapping) and not matches({name: condition}, {name: value}):
                    return False
            elif not matches({name: condition}, {name: value}):
                return False
    return True


def values_at(pattern: Mapping[str, Any], path: Sequence[str]) -> Iterator[Any]:
    """The conditions that a pattern, or an alternative of its `$or`, puts on the field at `path`."""
    for alternative in pattern.get("$or", ()) if isinstance(pattern.get("$or"), list) else ():
        if isinstance(alternative, Mapping):
            yield from values_at(alternative, path)
    head, *rest = path
    inner = pattern.get(head)
    if rest and isinstance(inner, Mapping):
        yield from values_at(inner, rest)
    elif not rest and isinstance(inner, list):
        yield from inner


TYPE_PATH = {KINESIS: ("data", "type"), DYNAMODB: ("eventName",)}
"""Where a record's event type shows: in Kinesis data, or as far as it does in a DynamoDB stream record."""


def literal_types(patterns: Sequence[Mapping[str, Any]], kind: str) -> list[str]:
    """The event types (Kinesis) that patterns name literally, each once, in their order."""
    found = (value for pattern in patterns for value in values_at(pattern, TYPE_PATH[kind]) if isinstance(value, str))
    return list(dict.fromkeys(found))


def records_of(rule: Rule, event_type: str | None, kind: str, options: Mapping[str, str | None]) -> list[Record]:
    """What is known of the records that carry an event type to a rule; one of them must get through.

    An empty list: nothing is known, any record may. `event_type` is None for rules without one.
    """
    if kind == KINESIS:
        return [] if event_type is None else [{"data": {"type": event_type}}]
    if not rule.known_flavor:
        return []
    if rule.flavor == "expired":
        return [{"eventName": "REMOVE", "userIdentity": _TTL}]
    if rule.flavor in ("correlate", "evaluate"):
        inner = {} if event_type is None else {"event": {"M": {"type": {"S": event_type}}}}
        kinds = ("EVENT",) if rule.flavor == "correlate" else ("CORREL", "EVENT")
        return [
            {"eventName": "INSERT", "dynamodb": {"NewImage": {"discriminator": {"S": each}, **inner}}} for each in kinds
        ]
    if event_type is None:
        return []
    prefix, _, suffix = event_type.rpartition("-")
    if not prefix or suffix not in _EVENT_NAMES:
        return []
    discriminator, sort_key = options.get("discriminator_fn") or "discriminator", options.get("sk_fn") or "sk"
    rows = ({discriminator: {"S": prefix}}, {discriminator: ABSENT, sort_key: {"S": prefix}})
    known: list[Record] = []
    for event_name in _EVENT_NAMES[suffix]:
        if options.get("event_type_prefix"):
            known.append({"eventName": event_name})
            continue
        for row in rows:
            known.append({"eventName": event_name, "dynamodb": dict.fromkeys(_IMAGES[event_name], row)})
    return known


def types_of(rule: Rule) -> Sequence[str | None]:
    """The literal event types of a rule, or a single None for rules whose flavor needs none."""
    return rule.types or ((None,) if rule.enumerable else ())
