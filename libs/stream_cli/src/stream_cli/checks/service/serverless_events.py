"""The events of serverless.yml and the logical ids that the Serverless CLI (osls) compiles them to."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .resources import STREAMS


@dataclass(frozen=True)
class Event:
    """A `stream` or `sqs` event of serverless.yml, and the logical id of the mapping that it compiles to."""

    function: str
    index: int
    kind: str
    config: Mapping[str, Any]
    mapping_id: str

    @property
    def describes(self) -> str:
        """Kind and number of the event, counted from 1: `stream event 2`."""
        return f"{self.kind} event {self.index + 1}"


def events_of(functions: Mapping[str, Any]) -> Iterator[Event]:
    """The `stream` and `sqs` events of the functions of serverless.yml, whose variables are resolved."""
    for name, function in functions.items():
        for index, event in enumerate(function.get("events") or []):
            for kind in ("stream", "sqs"):
                given = event.get(kind) if isinstance(event, dict) else None
                if given:
                    config = given if isinstance(given, dict) else {"arn": given}
                    yield Event(name, index, kind, config, _mapping_id(name, kind, config))


def is_no_mapping(event: Any) -> bool:
    """Whether an event of a function is neither `stream` nor `sqs`."""
    return not isinstance(event, dict) or not {"stream", "sqs"} & event.keys()


def _mapping_id(function: str, kind: str, config: Mapping[str, Any]) -> str:
    """The logical id of an event's mapping (osls `naming.getStreamLogicalId`, `getQueueLogicalId`)."""
    arn = config["arn"]
    if kind == "sqs":
        named, service = _name_in(arn, after=":"), "SQS"
    else:
        named, service = _name_in(arn, after="/"), _first_upper(_stream_type(config) or "")
    return f"{logical_prefix(function)}EventSourceMapping{service}{_first_upper(re.sub(r'[^0-9A-Za-z]', '', named))}"


def _stream_type(config: Mapping[str, Any]) -> str | None:
    """`kinesis` or `dynamodb`, from the event's `type` or its ARN."""
    given = config.get("type")
    if given in STREAMS:
        return str(given)
    parts = str(config.get("arn")).split(":")
    return parts[2] if len(parts) > 2 else None


def _name_in(arn: Any, after: str) -> str:
    if isinstance(arn, str):
        parts = arn.split(after)
        return parts[-1] if after == ":" else (parts[1] if len(parts) > 1 else "")
    if "Fn::GetAtt" in arn:
        return str(arn["Fn::GetAtt"][0])
    if "Fn::Join" in arn:
        last = str(arn["Fn::Join"][1][-1])
        return last if after == ":" else last.split("/")[-1]
    return str(arn.get("Fn::ImportValue") or arn.get("Ref") or "")


def _first_upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def logical_prefix(function_name: str) -> str:
    """How the logical ids of a function's resources begin (osls `naming.getNormalizedFunctionName`)."""
    return _first_upper(function_name.replace("-", "Dash").replace("_", "Underscore"))


def serverless_name(logical_id: str) -> str:
    """The function's name in serverless.yml, with its first letter in lower case: the logical id does not keep it."""
    name = logical_id.removesuffix("LambdaFunction").replace("Dash", "-").replace("Underscore", "_")
    return name[:1].lower() + name[1:]
