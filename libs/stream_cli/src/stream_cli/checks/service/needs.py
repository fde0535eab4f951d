"""What the flavors of a function's rules need: settings with a value, and actions on resources.

A flavor's needs stand in the table below, by flavor and field. What a function's own code calls is known from its
fixtures only (`trials`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from .handlers import ProbedRule

Environment = Mapping[str, str]
_HERE = "${AWS::Region}:${AWS::AccountId}"
_ARNS = {
    "bucket": "arn:${AWS::Partition}:s3:::{}",
    "bus": f"arn:${{AWS::Partition}}:events:{_HERE}:event-bus/{{}}",
    "delivery": f"arn:${{AWS::Partition}}:firehose:{_HERE}:deliverystream/{{}}",
    "function": f"arn:${{AWS::Partition}}:lambda:{_HERE}:function:{{}}",
    "object": "arn:${AWS::Partition}:s3:::{}/${key}",
    "queue": f"arn:${{AWS::Partition}}:sqs:{_HERE}:{{}}",
    "stream": f"arn:${{AWS::Partition}}:kinesis:{_HERE}:stream/{{}}",
    "table": f"arn:${{AWS::Partition}}:dynamodb:{_HERE}:table/{{}}",
    "topic": f"arn:${{AWS::Partition}}:sns:{_HERE}:{{}}",
}


@dataclass(frozen=True)
class Source:
    """Where a name comes from: a field of the rule, else the first of the settings that has a value.

    Attributes:
        own: whether requests may name another one.
    """

    kind: str
    field: str | None
    settings: tuple[str, ...]
    own: bool = False


_TABLE = ("ENTITY_TABLE_NAME", "EVENT_TABLE_NAME")
TABLE = Source("table", "table_name", _TABLE)
TABLE_OR_OWN = Source("table", "table_name", _TABLE, own=True)
OUTBOX_TABLE = Source("table", "table_name", ("DYNAMODB_OUTBOX_TABLE_NAME", *_TABLE))
BUS = Source("bus", "bus_name", ("BUS_NAME",))
BUCKET = Source("object", "bucket_name", ("BUCKET_NAME",), own=True)
_ANY: Callable[[ProbedRule], bool] = lambda rule: True  # noqa: E731


def _with(*names: str) -> Callable[[ProbedRule], bool]:
    return lambda rule: all(rule.has(name) for name in names)


def _without(*names: str) -> Callable[[ProbedRule], bool]:
    return lambda rule: not any(rule.has(name) for name in names)


def _files(rule: ProbedRule) -> bool:
    return rule.has("expression") and not rule.has("correlation_key_suffix")


def _marks(rule: ProbedRule) -> bool:
    return rule.fields.get("mark_dispatched") is not False


_PUBLISHES = ("cdc", "expired")
_NEEDS: Mapping[str, tuple[tuple[Callable[[ProbedRule], bool], str, Source], ...]] = {
    "collect": (
        (_without("to_put_request"), "dynamodb:BatchWriteItem", TABLE),
        (_with("to_put_request"), "dynamodb:PutItem", TABLE_OR_OWN),
    ),
    "correlate": ((_ANY, "dynamodb:BatchWriteItem", TABLE),),
    "evaluate": (
        (_with("expression"), "dynamodb:Query", TABLE),
        (_files, "dynamodb:PutItem", TABLE),
        (_with("once"), "dynamodb:PutItem", TABLE),
        (_with("once"), "dynamodb:UpdateItem", TABLE),
    ),
    "materialize": ((_ANY, "dynamodb:UpdateItem", TABLE_OR_OWN),),
    "update": (
        (_ANY, "dynamodb:UpdateItem", TABLE_OR_OWN),
        (_with("to_query_request"), "dynamodb:Query", TABLE_OR_OWN),
        (_with("to_get_request"), "dynamodb:BatchGetItem", TABLE_OR_OWN),
    ),
    "job": (
        (_with("to_scan_request"), "dynamodb:Scan", TABLE_OR_OWN),
        (_with("to_query_request"), "dynamodb:Query", TABLE_OR_OWN),
        (_ANY, "dynamodb:GetItem", TABLE_OR_OWN),
        (_ANY, "dynamodb:UpdateItem", TABLE_OR_OWN),
    ),
    "outbox": (
        (_ANY, "sns:Publish", Source("topic", None, (), own=True)),
        (_marks, "dynamodb:UpdateItem", OUTBOX_TABLE),
    ),
    "s3": ((_ANY, "s3:PutObject", BUCKET),),
    "materialize_s3": (
        (_with("to_put_request"), "s3:PutObject", BUCKET),
        (_with("to_delete_request"), "s3:DeleteObject", BUCKET),
    ),
    "sns": ((_ANY, "sns:Publish", Source("topic", "topic_arn", ("TOPIC_ARN",), own=True)),),
    "sqs": ((_ANY, "sqs:SendMessage", Source("queue", "queue_url", ("QUEUE_URL",), own=True)),),
    "kinesis": ((_ANY, "kinesis:PutRecords", Source("stream", "stream_name", ("STREAM_NAME",), own=True)),),
    "firehose": (
        (
            _ANY,
            "firehose:PutRecordBatch",
            Source("delivery", "delivery_stream_name", ("DELIVERY_STREAM_NAME",), own=True),
        ),
    ),
    "invoke_lambda": ((_ANY, "lambda:InvokeFunction", Source("function", "function_name", (), own=True)),),
}
_EVEN_WITH_OWN = frozenset({"table"})
"""Kinds whose default is read even if each request names its own."""


@dataclass(frozen=True)
class Need:
    """An action that a rule needs.

    Attributes:
        name: of the resource; None if only the requests name it, or nothing does.
        setting: the setting that the name comes from, if it is one.
        lacks: the settings of which one must have a value and none has.
        exact: whether no request names another resource.
    """

    action: str
    kind: str
    name: str | None
    setting: str | None
    lacks: tuple[str, ...]
    exact: bool

    @property
    def resource(self) -> str | None:
        """The ARN of what the action is done on; None if that is not known."""
        return None if self.name is None else arn_of(self.kind, self.name)


def needs_of(rule: ProbedRule, environment: Environment, options: Mapping[str, object]) -> Iterator[Need]:
    """What a rule with a flavor of the runtime needs."""
    if not rule.known_flavor:
        return
    wanted = [(action, source) for holds, action, source in _NEEDS.get(rule.flavor, ()) if holds(rule)]
    if publishes(rule):
        wanted.append(("events:PutEvents", BUS))
    for action, source in dict.fromkeys(wanted):
        name, setting = _name_of(source, rule, environment, options)
        given = name is not None or (source.field is not None and rule.has(source.field))
        optional = not source.settings or (source.own and source.kind not in _EVEN_WITH_OWN)
        lacks = () if given or optional else source.settings
        yield Need(action, source.kind, name, setting, lacks, exact=not source.own)


def publishes(rule: ProbedRule) -> bool:
    """Whether a rule publishes to EventBridge by itself."""
    emits = rule.has("emit") or rule.flavor in _PUBLISHES
    return rule.known_flavor and emits and not rule.has("publish")


def table_of(rule: ProbedRule, environment: Environment, options: Mapping[str, object]) -> str | None:
    """The table that a rule's own requests are for; None if that is not known."""
    return _name_of(TABLE, rule, environment, options)[0]


def arn_of(kind: str, name: str) -> str:
    """The ARN of a resource with a name; one that is an ARN already, or the URL of a queue, is read."""
    if name.startswith("arn:"):
        return f"{name}/${{unknown key}}" if kind == "object" else name
    if kind == "queue" and "/" in name:
        name = name.rpartition("/")[2]
    if kind == "queue" and name.endswith(" url}"):
        name = f"{name.removesuffix(' url}')}}}"
    return _ARNS[kind].replace("{}", name)


def _name_of(
    source: Source, rule: ProbedRule, environment: Environment, options: Mapping[str, object]
) -> tuple[str | None, str | None]:
    if source.field is not None:
        if rule.has(source.field):
            return rule.text(source.field), None
        option = options.get(source.field)
        if isinstance(option, str) and option:
            return option, None
        if option is not None:
            return None, None
    return next(((environment[name], name) for name in source.settings if environment.get(name)), (None, None))
