"""CloudFormation's intrinsic functions as symbols, so that two ways to name one thing compare equal.

A value is written as a text in the notation of `Fn::Sub`: what is known at packaging time stands there literally, what
only the deployment knows stands in `${...}`:

    {"Ref": "AWS::Region"}                       ${AWS::Region}
    {"Fn::GetAtt": ["Queue", "Arn"]}             arn:${AWS::Partition}:sqs:${AWS::Region}:${AWS::AccountId}:${Queue}
    {"Fn::ImportValue": "hub-busArn"}            ${import hub-busArn}
    what `imports` has stood in for              ${import busArn}
    {"Ref": "BusName"} of a parameter            ${parameter BusName}
    anything else                                ${unknown <its JSON>}

The ARN of a resource of the template is spelled out with its name, or with `${<its logical id>}` where CloudFormation
chooses the name. So `!GetAtt Queue.Arn`, `!Sub arn:...:${Queue.QueueName}` and the literal ARN of a queue with a fixed
name are one text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from .imports import as_symbols

Resources = Mapping[str, Mapping[str, Any]]

PSEUDO_PARAMETERS = frozenset(
    {
        "AWS::AccountId",
        "AWS::NoValue",
        "AWS::NotificationARNs",
        "AWS::Partition",
        "AWS::Region",
        "AWS::StackId",
        "AWS::StackName",
        "AWS::URLSuffix",
    }
)
_ARN = "arn:${AWS::Partition}:"
_HERE = "${AWS::Region}:${AWS::AccountId}"


@dataclass(frozen=True)
class _ResourceType:
    """How the name and the ARN of a resource type are spelled (AWS service authorization reference)."""

    name_property: str
    arn: str
    name_attributes: tuple[str, ...] = ()
    arn_attributes: tuple[str, ...] = ("Arn",)
    ref_is_arn: bool = False
    ref_is_name: bool = True


_TYPES: Mapping[str, _ResourceType] = {
    "AWS::DynamoDB::GlobalTable": _ResourceType("TableName", f"{_ARN}dynamodb:{_HERE}:table/{{}}"),
    "AWS::DynamoDB::Table": _ResourceType("TableName", f"{_ARN}dynamodb:{_HERE}:table/{{}}"),
    "AWS::Events::EventBus": _ResourceType("Name", f"{_ARN}events:{_HERE}:event-bus/{{}}", ("Name",)),
    "AWS::IAM::Role": _ResourceType("RoleName", f"{_ARN}iam::${{AWS::AccountId}}:role/{{}}"),
    "AWS::Kinesis::Stream": _ResourceType("Name", f"{_ARN}kinesis:{_HERE}:stream/{{}}"),
    "AWS::KinesisFirehose::DeliveryStream": _ResourceType(
        "DeliveryStreamName", f"{_ARN}firehose:{_HERE}:deliverystream/{{}}"
    ),
    "AWS::Lambda::Function": _ResourceType("FunctionName", f"{_ARN}lambda:{_HERE}:function:{{}}"),
    "AWS::S3::Bucket": _ResourceType("BucketName", f"{_ARN}s3:::{{}}"),
    "AWS::SNS::Topic": _ResourceType(
        "TopicName", f"{_ARN}sns:{_HERE}:{{}}", ("TopicName",), ("TopicArn",), ref_is_arn=True
    ),
    "AWS::SQS::Queue": _ResourceType("QueueName", f"{_ARN}sqs:{_HERE}:{{}}", ("QueueName",), ref_is_name=False),
}


class Verdict(Enum):
    """What can be said at packaging time: yes, no, or that only the deployment will know."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"

    @staticmethod
    def best(verdicts: Iterator[Verdict]) -> Verdict:
        """YES if any is, else UNKNOWN if any is, else NO."""
        found = set(verdicts)
        return next((each for each in (Verdict.YES, Verdict.UNKNOWN) if each in found), Verdict.NO)


class Resolver:
    """Writes the values of one template as texts."""

    def __init__(self, resources: Resources, parameters: Mapping[str, Any]) -> None:
        self.resources = resources
        self.parameters = parameters

    def text(self, value: Any) -> str:
        """A string, a number, a boolean or an intrinsic function as one text."""
        if isinstance(value, str):
            return as_symbols(value)
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int | float):
            return str(value)
        if isinstance(value, Mapping) and len(value) == 1:
            ((function, argument),) = value.items()
            if function == "Ref" and isinstance(argument, str):
                return self._ref(argument)
            if function == "Fn::GetAtt":
                return self._attribute(argument)
            if function == "Fn::ImportValue":
                return f"${{import {self.text(argument)}}}"
            if function == "Fn::Sub":
                return self._sub(argument, value)
            if function == "Fn::Join" and _is_join(argument):
                return self.text(argument[0]).join(self.text(part) for part in argument[1])
        return f"${{unknown {json.dumps(value, sort_keys=True, default=str)}}}"

    def arn_of(self, logical_id: str) -> str | None:
        """The ARN of a resource of the template, None for types whose ARN nobody here needs."""
        resource = self.resources.get(logical_id)
        known = _TYPES.get(str((resource or {}).get("Type")))
        return None if known is None else self._spelled(known, logical_id)

    def name_of(self, logical_id: str) -> str:
        """The name a resource has by its properties, `${<logical id>}` where CloudFormation chooses it."""
        resource = self.resources.get(logical_id) or {}
        known = _TYPES.get(str(resource.get("Type")))
        given = (resource.get("Properties") or {}).get(known.name_property) if known else None
        return f"${{{logical_id}}}" if given is None else self.text(given)

    def why_no_arn(self, text: str) -> str | None:
        """Why a text cannot be an ARN when it is deployed; None when it is one, or when only the deployment knows."""
        missing = undefined(text)
        if missing:
            return f"{missing[0]} is neither a resource nor a parameter of the template"
        if fields_of(text) is not None:
            return None
        if not text.startswith("${"):
            return f"{text} is a name, not an ARN"
        token = text[2:-1]
        if token.endswith(" url"):
            return f"Ref of {token.removesuffix(' url')} gives the URL of the queue, not its ARN"
        if str((self.resources.get(token) or {}).get("Type")) in _TYPES:
            return f"{token} gives the name of the resource, not its ARN"
        return None

    def _spelled(self, known: _ResourceType, logical_id: str) -> str:
        return known.arn.replace("{}", self.name_of(logical_id))

    def _ref(self, name: str) -> str:
        if name in PSEUDO_PARAMETERS:
            return f"${{{name}}}"
        resource = self.resources.get(name)
        if resource is None:
            return f"${{parameter {name}}}" if name in self.parameters else f"${{undefined {name}}}"
        known = _TYPES.get(str(resource.get("Type")))
        if known is None:
            return f"${{{name}}}"
        if known.ref_is_arn:
            return self._spelled(known, name)
        return self.name_of(name) if known.ref_is_name else f"${{{name} url}}"

    def _attribute(self, argument: Any) -> str:
        parts = argument.split(".", 1) if isinstance(argument, str) else argument
        if not isinstance(parts, Sequence) or len(parts) != 2 or not isinstance(parts[0], str):
            return f"${{unknown {json.dumps({'Fn::GetAtt': argument}, default=str)}}}"
        logical_id, attribute = parts[0], self.text(parts[1])
        resource = self.resources.get(logical_id)
        if resource is None:
            return f"${{undefined {logical_id}.{attribute}}}"
        kind = str(resource.get("Type"))
        known = _TYPES.get(kind)
        if known is not None and attribute in known.arn_attributes:
            return self._spelled(known, logical_id)
        if known is not None and attribute in known.name_attributes:
            return self.name_of(logical_id)
        if known is not None and kind.startswith("AWS::DynamoDB::") and attribute == "StreamArn":
            return f"{self._spelled(known, logical_id)}/stream/${{{logical_id} stream}}"
        if kind == "AWS::Kinesis::StreamConsumer" and attribute == "ConsumerARN":
            return f"${{{logical_id}}}"
        return f"${{{logical_id}.{attribute}}}"

    def _sub(self, argument: Any, whole: Any) -> str:
        template, variables = (argument, {}) if isinstance(argument, str) else (None, {})
        if isinstance(argument, Sequence) and not isinstance(argument, str) and len(argument) == 2:
            template, variables = argument
        if not isinstance(template, str) or not isinstance(variables, Mapping):
            return f"${{unknown {json.dumps(whole, sort_keys=True, default=str)}}}"

        def replace(match: re.Match[str]) -> str:
            name = match[1]
            if name.startswith("!"):
                return f"${{{name[1:]}}}"
            if name in variables:
                return self.text(variables[name])
            return self._attribute(name) if "." in name else self._ref(name)

        # Stand-ins last: what they become looks like a variable of the template.
        return as_symbols(re.sub(r"\$\{([^}]*)\}", replace, template))


def _is_join(argument: Any) -> bool:
    return (
        isinstance(argument, Sequence)
        and not isinstance(argument, str)
        and len(argument) == 2
        and isinstance(argument[1], Sequence)
        and not isinstance(argument[1], str)
    )


def tokens(text: str) -> list[str]:
    """The outermost `${...}` of a text, in order."""
    return [text[start:end] for start, end in _spans(text)]


def undefined(text: str) -> list[str]:
    """What a text refers to although the template has nothing of that name."""
    return re.findall(r"\$\{undefined ([^}]*)\}", text)


def only_known_at_deployment(text: str) -> bool:
    """Whether a text, or a part of it, comes from a parameter, another stack or a function that nobody resolves."""
    return any(token.startswith(("${import ", "${parameter ", "${unknown ", "${undefined ")) for token in tokens(text))


def fields_of(arn: str) -> list[str] | None:
    """The six fields of an ARN (`arn`, partition, service, region, account, resource), None for what is no ARN."""
    cuts: list[int] = []
    spans = _spans(arn)
    for index, character in enumerate(arn):
        if character == ":" and not any(start <= index < end for start, end in spans):
            cuts.append(index)
            if len(cuts) == 5:
                break
    if len(cuts) < 5:
        return None
    bounds = [-1, *cuts]
    fields = [arn[start + 1 : end] for start, end in zip(bounds, cuts, strict=False)]
    fields.append(arn[cuts[-1] + 1 :])
    return fields if fields[0] == "arn" else None


def service_of(arn: str) -> str | None:
    """The service of an ARN (`kinesis`, `dynamodb`, ...), None where the text does not say it."""
    fields = fields_of(arn)
    return None if fields is None or "${" in fields[2] else fields[2]


def covers(pattern: str, resource: str) -> Verdict:
    """Whether the resource of a policy statement (`*` and `?` are wildcards) includes `resource`.

    Partition, region and account agree when either side leaves them to the deployment. Names agree when they are the
    same, literally or as symbols; where one side comes from another stack and the other does not, nobody knows.
    """
    if pattern in ("*", resource):
        return Verdict.YES
    unsure = only_known_at_deployment(pattern) or only_known_at_deployment(resource)
    wanted, given = fields_of(resource), fields_of(pattern)
    if wanted is None or given is None:
        return Verdict.UNKNOWN if unsure else Verdict.NO
    if not all(_field_agrees(*pair) for pair in zip(given[1:5], wanted[1:5], strict=True)):
        return Verdict.NO
    if _glob(given[5]).fullmatch(wanted[5]):
        return Verdict.YES
    chosen_by_cloudformation = "*" in given[5] and "${" in wanted[5]
    return Verdict.UNKNOWN if unsure or chosen_by_cloudformation else Verdict.NO


def _field_agrees(pattern: str, field: str) -> bool:
    return "${" in pattern or "${" in field or _glob(pattern).fullmatch(field) is not None


def _glob(pattern: str) -> re.Pattern[str]:
    spans = _spans(pattern)
    written = []
    for index, character in enumerate(pattern):
        inside = any(start <= index < end for start, end in spans)
        wildcard = {"*": ".*", "?": "."}.get(character)
        written.append(wildcard if wildcard and not inside else re.escape(character))
    return re.compile("".join(written), re.DOTALL)


def _spans(text: str) -> list[tuple[int, int]]:
    spans, depth, start, index = [], 0, 0, 0
    while index < len(text):
        if text.startswith("${", index):
            if depth == 0:
                start = index
            depth += 1
            index += 2
            continue
        if text[index] == "{" and depth:
            depth += 1
        elif text[index] == "}" and depth:
            depth -= 1
            if depth == 0:
                spans.append((start, index + 1))
        index += 1
    return spans
