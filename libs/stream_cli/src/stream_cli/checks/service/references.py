"""CloudFormation's intrinsic functions as symbols, so that different references to one resource compare equal.

A value becomes a text in the notation of `Fn::Sub`: values known at packaging time are literal, values that only the
deployment knows are in `${...}`:

    {"Ref": "AWS::Region"}                       ${AWS::Region}
    {"Fn::GetAtt": ["Queue", "Arn"]}             arn:${AWS::Partition}:sqs:${AWS::Region}:${AWS::AccountId}:${Queue}
    {"Fn::ImportValue": "hub-busArn"}            ${import hub-busArn}
    a stand-in of `imports`                      ${import busArn}
    {"Ref": "BusName"} of a parameter            ${parameter BusName}
    anything else                                ${unknown <its JSON>}

The ARN of a resource of the template is written with its name, or with `${<its logical id>}` if CloudFormation chooses
the name. So `!GetAtt Queue.Arn`, `!Sub arn:...:${Queue.QueueName}` and the literal ARN of a queue with a fixed name are
the same text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pydash

from .imports import as_symbols
from .symbols import fields_of, undefined

Resources = Mapping[str, Mapping[str, Any]]

PSEUDO_PARAMETERS = frozenset(
    {"AWS::AccountId", "AWS::NoValue", "AWS::NotificationARNs", "AWS::Partition", "AWS::Region", "AWS::StackId",
     "AWS::StackName", "AWS::URLSuffix"}
)  # fmt: skip
_ARN = "arn:${AWS::Partition}:"
_HERE = "${AWS::Region}:${AWS::AccountId}"


@dataclass(frozen=True)
class _ResourceType:
    """How to write the name and the ARN of a resource type (AWS service authorization reference)."""

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


class Resolver:
    """Writes the values of a template as texts."""

    def __init__(self, resources: Resources, parameters: Mapping[str, Any]) -> None:
        self.resources = resources
        self.parameters = parameters

    def text(self, value: Any) -> str:
        """A string, a number, a boolean or an intrinsic function as a text."""
        if isinstance(value, Mapping) and len(value) != 1:
            return _unknown(value)
        match value:
            case str():
                return as_symbols(value)
            case bool():
                return "true" if value else "false"
            case int() | float():
                return str(value)
            case {"Ref": str(name)}:
                return self._ref(name)
            case {"Fn::GetAtt": argument}:
                return self._attribute(argument)
            case {"Fn::ImportValue": argument}:
                return f"${{import {self.text(argument)}}}"
            case {"Fn::Sub": argument}:
                return self._sub(argument, value)
            case {"Fn::Join": [separator, [*parts]]}:
                return self.text(separator).join(self.text(part) for part in parts)
            case _:
                return _unknown(value)

    def with_texts(self, value: Any, *, as_lists: bool = False) -> Any:
        """The same value with a text in the place of each intrinsic function.

        Args:
            as_lists: write a list with the text for the value of a name, where only a list may stand.
        """
        if isinstance(value, list):
            return [self.with_texts(each, as_lists=as_lists) for each in value]
        if not isinstance(value, Mapping):
            return value
        if _is_intrinsic(value):
            return self.text(value)
        texts = {name: self.with_texts(each, as_lists=as_lists) for name, each in value.items()}
        return {name: [text] if as_lists and _is_intrinsic(value[name]) else text for name, text in texts.items()}

    def arn_of(self, logical_id: str) -> str | None:
        """The ARN of a resource of the template, None for types whose ARN no check needs."""
        known = self._type_of(logical_id)
        return None if known is None else self._arn(known, logical_id)

    def name_of(self, logical_id: str) -> str:
        """The name in a resource's properties, `${<logical id>}` if CloudFormation chooses it."""
        known = self._type_of(logical_id)
        given = pydash.get(self.resources, [logical_id, "Properties", known.name_property]) if known else None
        return f"${{{logical_id}}}" if given is None else self.text(given)

    def why_no_arn(self, text: str) -> str | None:
        """Why a text cannot be an ARN after deployment; None if it is one, or if only the deployment knows."""
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
        if self._type_of(token) is not None:
            return f"{token} gives the name of the resource, not its ARN"
        return None

    def _type_of(self, logical_id: str) -> _ResourceType | None:
        return _TYPES.get(str(pydash.get(self.resources, [logical_id, "Type"])))

    def _arn(self, known: _ResourceType, logical_id: str) -> str:
        return known.arn.replace("{}", self.name_of(logical_id))

    def _ref(self, name: str) -> str:
        if name in PSEUDO_PARAMETERS:
            return f"${{{name}}}"
        if name not in self.resources:
            return f"${{parameter {name}}}" if name in self.parameters else f"${{undefined {name}}}"
        known = self._type_of(name)
        if known is None:
            return f"${{{name}}}"
        if known.ref_is_arn:
            return self._arn(known, name)
        return self.name_of(name) if known.ref_is_name else f"${{{name} url}}"

    def _attribute(self, argument: Any) -> str:
        parts = argument.split(".", 1) if isinstance(argument, str) else argument
        if not isinstance(parts, Sequence) or len(parts) != 2 or not isinstance(parts[0], str):
            return _unknown({"Fn::GetAtt": argument})
        logical_id, attribute = parts[0], self.text(parts[1])
        resource = self.resources.get(logical_id)
        if resource is None:
            return f"${{undefined {logical_id}.{attribute}}}"
        kind, known = str(resource.get("Type")), self._type_of(logical_id)
        if known is not None and attribute in known.arn_attributes:
            return self._arn(known, logical_id)
        if known is not None and attribute in known.name_attributes:
            return self.name_of(logical_id)
        if known is not None and kind.startswith("AWS::DynamoDB::") and attribute == "StreamArn":
            return f"{self._arn(known, logical_id)}/stream/${{{logical_id} stream}}"
        if kind == "AWS::Kinesis::StreamConsumer" and attribute == "ConsumerARN":
            return f"${{{logical_id}}}"
        return f"${{{logical_id}.{attribute}}}"

    def _sub(self, argument: Any, whole: Any) -> str:
        match [argument, {}] if isinstance(argument, str) else argument:
            case [str() as template, Mapping() as variables]:
                pass
            case _:
                return _unknown(whole)

        def replace(match: re.Match[str]) -> str:
            name = match[1]
            if name.startswith("!"):
                return f"${{{name[1:]}}}"
            if name in variables:
                return self.text(variables[name])
            return self._attribute(name) if "." in name else self._ref(name)

        # Stand-ins come last: their symbols look like variables of the template.
        return as_symbols(re.sub(r"\$\{([^}$]*)\}", replace, template))


def _is_intrinsic(value: Any) -> bool:
    return isinstance(value, Mapping) and len(value) == 1 and all(n == "Ref" or n.startswith("Fn::") for n in value)


def _unknown(value: Any) -> str:
    return f"${{unknown {json.dumps(value, sort_keys=True, default=str)}}}"
