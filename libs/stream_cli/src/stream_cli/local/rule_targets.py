"""What a rule of EventBridge gives to a target: Input, InputPath, InputTransformer; the partition key for Kinesis.

Sources:
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-transform-target-input.html and
https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_InputTransformer.html; what LocalStack recorded on AWS
(`tests/aws/services/events/test_events_inputs.snapshot.json`) for the rest.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

Event = Mapping[str, Any]

# One step of a path: .name  ['name']  ["name"]  [0]  [*]  .*
_STEP = re.compile(
    r"""\.(?P<name>[^.\[\]]+)|\[(?:'(?P<single>[^']*)'|"(?P<double>[^"]*)"|(?P<index>-?\d+)|(?P<all>\*))\]"""
)
# A quoted text of the template, which may be cut off, or a variable outside of texts.
_TEXT_OR_VARIABLE = re.compile(r'"(?:[^"\\]|\\.)*+"?|<[^<>]*>', re.DOTALL)
_VARIABLE = re.compile(r"<([^<>]*)>")
_VARIABLE_NAME = re.compile(r"[A-Za-z0-9_-]{1,256}\Z")
_MISSING = object()

INPUTS = ("Input", "InputPath", "InputTransformer")
"""The fields of a target that say what it gets; one of them at most."""

MOST_TARGETS = 5
"""Targets of a rule (EventBridge quota)."""

PREDEFINED = frozenset(
    {"aws.events.rule-arn", "aws.events.rule-name", "aws.events.event.ingestion-time", "aws.events.event",
     "aws.events.event.json"}
)  # fmt: skip
"""The variables that every template may use."""

# <aws.events.event> has these fields in this order, with a name of its own for detail-type.
_ENVELOPE = ("id", "account", "detail-type", "time", "source", "region", "resources", "version")
_MOST_VARIABLES = 100


class InvalidPath(ValueError):
    """A JSON path that EventBridge does not support."""


class InvalidOutput(ValueError):
    """A template of JSON does not give JSON for an event. EventBridge delivers nothing then."""


def refusal(target: Mapping[str, Any]) -> str | None:
    """Why PutTargets refuses what a target is to get, in AWS's words; None if it does not.

    JSON paths are not looked at: EventBridge evaluates them when there is an event.
    """
    identifier = target.get("Id")
    if sum(name in target for name in INPUTS) > 1:
        return f"Only one of Input, InputPath, or InputTransformer must be provided for target {identifier}."
    transformer = target.get("InputTransformer") or {}
    variables = transformer.get("InputPathsMap") or {}
    if len(variables) > _MOST_VARIABLES:
        return f"InputPathsMap for target {identifier} has {len(variables)} variables; at most {_MOST_VARIABLES}."
    for name in variables:
        if not _VARIABLE_NAME.match(name):
            return f"InputPathsMap for target {identifier} contains invalid key {name}."
    for name in _VARIABLE.findall(transformer.get("InputTemplate") or ""):
        if name not in variables and name not in PREDEFINED:
            return f"InputTemplate for target {identifier} contains invalid placeholder {name}."
    return None


def target_input(target: Mapping[str, Any], event: Event, rule: Mapping[str, Any], *, received_at: str) -> str:
    """The text that a target gets for an event.

    Args:
        target: as in PutTargets: at most one of ``Input``, ``InputPath``, ``InputTransformer``.
        event: the event in its EventBridge envelope.
        rule: as in DescribeRule; its ``Name`` and ``Arn`` are used.
        received_at: when the bus took the event, ISO 8601 UTC, for ``<aws.events.event.ingestion-time>``.

    Raises:
        InvalidPath: a path of the target is invalid.
        InvalidOutput: its template of JSON does not give JSON for this event.
    """
    if "InputTransformer" in target:
        transformer = target["InputTransformer"]
        variables = {
            name: found_at(event, path, otherwise="") for name, path in transformer.get("InputPathsMap", {}).items()
        }
        variables |= {
            "aws.events.rule-arn": rule.get("Arn", ""),
            "aws.events.rule-name": rule.get("Name", ""),
            "aws.events.event.ingestion-time": received_at,
            "aws.events.event": {
                "detailType" if name == "detail-type" else name: event[name] for name in _ENVELOPE if name in event
            },
            "aws.events.event.json": event,
        }
        return rendered(transformer["InputTemplate"], variables)
    if "Input" in target:
        return str(target["Input"])
    if "InputPath" in target:
        # With a path that finds nothing, the target gets the whole event.
        return _json(found_at(event, target["InputPath"], otherwise=event))
    return _json(event)


def partition_key(target: Mapping[str, Any], event: Event) -> str:
    """The partition key of a Kinesis target: what ``PartitionKeyPath`` finds in the event, else the event's id.

    The path refers to the original event, whatever the stream gets. A key that is not a text is written as JSON.
    """
    path = target.get("KinesisParameters", {}).get("PartitionKeyPath")
    key = found_at(event, path, otherwise=None) if path else None
    if key is None or key == "":
        return str(event["id"])
    return key if isinstance(key, str) else _json(key)


def rendered(template: str, variables: Mapping[str, Any]) -> str:
    """Fill ``<name>`` in a template, which is a JSON object or array, a quoted text or, without any quotes, plain text.

    Outside of quotes, a value is written as JSON. Within quotes, and in plain text, a text is inserted unescaped; an
    object or array loses its quotes in a text, and makes the output of a JSON template invalid. A name without a value
    stays as it is.

    Raises:
        InvalidOutput: the template is JSON, and the output is not, or has an object or array within quotes.
    """
    is_json = template.lstrip().startswith("{") or (template.lstrip().startswith("[") and '"' in template)

    def within_text(match: re.Match[str]) -> str:
        value = variables.get(match.group(1), _MISSING)
        if value is _MISSING:
            return match.group()
        if isinstance(value, str):
            return value
        if is_json and isinstance(value, (Mapping, list)):
            kind = "an array" if isinstance(value, list) else "an object"
            raise InvalidOutput(f"{match.group()} is {kind}, and stands within quotes of a JSON template")
        return _json(value).replace('"', "")

    def anywhere(match: re.Match[str]) -> str:
        found = match.group()
        if found.startswith('"'):
            return _VARIABLE.sub(within_text, found)
        value = variables.get(found[1:-1], _MISSING)
        return found if value is _MISSING else _json(value)

    if '"' not in template and not is_json:
        return _VARIABLE.sub(within_text, template)
    output = _TEXT_OR_VARIABLE.sub(anywhere, template)
    if is_json:
        try:
            json.loads(output)
        except ValueError as error:
            raise InvalidOutput(f"the output of the template is not JSON ({error}): {output[:200]}") from error
    return output


def found_at(event: Event, path: str, *, otherwise: Any) -> Any:
    """The value at a JSON path, a list of values when the path has a wildcard, ``otherwise`` when there is none.

    EventBridge supports names after a dot (with dashes, underscores and slashes), array indices and wildcards.
    """
    steps = list(_steps(path))
    values = [event]
    for step in steps:
        values = [found for value in values for found in _children(value, step)]
    if "*" in steps:
        return values or otherwise
    return values[0] if values else otherwise


def _steps(path: str) -> Iterator[str | int]:
    if not path.startswith("$"):
        raise InvalidPath(f"{path!r} does not begin with $")
    position = 1
    while position < len(path):
        match = _STEP.match(path, position)
        if match is None:
            raise InvalidPath(f"{path!r} cannot be read from {path[position:]!r}")
        position = match.end()
        if match["index"] is not None:
            yield int(match["index"])
        else:
            yield next(match[name] for name in ("name", "single", "double", "all") if match[name] is not None)


def _children(value: Any, step: str | int) -> list[Any]:
    if step == "*":
        if isinstance(value, Mapping):
            return list(value.values())
        return list(value) if isinstance(value, list) else []
    if isinstance(step, int):
        return [value[step]] if isinstance(value, list) and -len(value) <= step < len(value) else []
    return [value[step]] if isinstance(value, Mapping) and step in value else []


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
