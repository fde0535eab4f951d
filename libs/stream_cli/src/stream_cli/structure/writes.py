"""What functions may write to: by their roles, and where a role allows more than it names, by their variables."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from stream_cli.checks.service.globs import glob
from stream_cli.checks.service.policies import Role, Statement
from stream_cli.structure.arrows import Arrow, Flow
from stream_cli.structure.nodes import Node
from stream_cli.structure.stacks import Resource, name_in

# For each kind the actions that write to it, and its ARN; of a bucket, that of an object.
_WRITING: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "bus": ("arn:aws:events:{}:event-bus/{}", ("events:PutEvents",)),
    "table": (
        "arn:aws:dynamodb:{}:table/{}",
        ("dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem", "dynamodb:BatchWriteItem"),
    ),
    "queue": ("arn:aws:sqs:{}:{}", ("sqs:SendMessage",)),
    "topic": ("arn:aws:sns:{}:{}", ("sns:Publish",)),
    "stream": ("arn:aws:kinesis:{}:stream/{}", ("kinesis:PutRecord", "kinesis:PutRecords")),
    "delivery": ("arn:aws:firehose:{}:deliverystream/{}", ("firehose:PutRecord", "firehose:PutRecordBatch")),
    "bucket": ("arn:aws:s3:::{}/object", ("s3:PutObject", "s3:DeleteObject")),
    "function": ("arn:aws:lambda:{}:function:{}", ("lambda:InvokeFunction",)),
    "machine": ("arn:aws:states:{}:stateMachine:{}", ("states:StartExecution", "states:StartSyncExecution")),
}
_NOBODY = "no-such-name-9d0c"
"""A statement that allows this one, too, names nobody."""


def writes_of(
    function: Resource, role: Role | None, nodes: Iterable[Node], place: str, partition: str
) -> Iterator[Arrow]:
    """The arrows of a function to what it may write to.

    Args:
        role: of the function; None if no stack has it.
        place: ``region:account``.
    """
    by_kind: dict[str, list[Node]] = {}
    for node in nodes:
        by_kind.setdefault(node.kind, []).append(node)
    variables = _variables(function)
    own = f"function:{function.physical_id}"
    for kind, (pattern, actions) in _WRITING.items():
        arn = pattern.replace("arn:aws:", f"arn:{partition}:")
        allowed = [(action, _Allowed.by(role, action)) for action in actions] if role is not None else []
        for node in by_kind.get(kind, ()):
            target = arn.format(place, node.full_name) if arn.count("{}") > 1 else arn.format(node.full_name)
            by_name = [(action, each) for action, each in allowed if each.covers(target)]
            nobody = target.replace(node.full_name, _NOBODY)
            named = [action for action, each in by_name if not each.covers(nobody)]
            variable = next((name for name, value in variables.items() if value in (node.full_name, target)), None)
            if named:
                why = f"its role allows {', '.join(named)}"
            elif variable is not None and (by_name or role is None or role.has_unread_policies):
                why = f"its variable {variable} names it{', and its role allows it' if by_name else ''}"
            else:
                continue
            yield Arrow(own, node.id, "write", why, _flow(function.physical_id, kind, node.full_name, target))


@dataclass(frozen=True)
class _Allowed:
    """The resources that a role allows an action on, and those that it denies it on."""

    allowed: tuple[Statement, ...]
    denied: tuple[Statement, ...]

    @staticmethod
    def by(role: Role, action: str) -> _Allowed:
        """Of statements whose resources are known: with ``${...}`` they may be anything."""
        about = [
            each
            for each in role.statements
            if each.permits(action) and not any("${" in text for text in (*each.resources, *each.but_resources))
        ]
        denied = tuple(each for each in about if not each.allows and not each.conditional)
        return _Allowed(tuple(each for each in about if each.allows), denied)

    def covers(self, arn: str) -> bool:
        """Whether it is allowed on this resource."""
        return any(_covers(each, arn) for each in self.allowed) and not any(_covers(each, arn) for each in self.denied)


def _covers(statement: Statement, arn: str) -> bool:
    if statement.but_resources:
        return not any(_matches(each, arn) for each in statement.but_resources)
    return any(_matches(each, arn) for each in statement.resources)


def _matches(pattern: str, arn: str) -> bool:
    return pattern == arn or (("*" in pattern or "?" in pattern) and _compiled(pattern).fullmatch(arn) is not None)


@functools.lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    return glob(pattern)


def _variables(function: Resource) -> dict[str, str]:
    given = function.properties.get("Environment")
    given = given.get("Variables") if isinstance(given, Mapping) else None
    if not isinstance(given, Mapping):
        return {}
    return {
        str(name): name_in(str(value)) if str(value).startswith("http") else str(value) for name, value in given.items()
    }


def _flow(function: str, kind: str, name: str, arn: str) -> Flow | None:
    match kind:
        case "bus":
            return "write", function, f"event/{name}"
        case "table":
            return "write", function, f"change/{name}"
        case "queue" | "topic":
            return "write", function, f"message/{arn}"
        case "bucket":
            return "write", function, f"object/{name}"
        case "stream":
            return "write", function, f"stream/{arn}"
        case _:
            return None
