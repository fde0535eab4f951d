"""outbox: publishes the messages of an outbox table to SNS, in order for each aggregate."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, NotRequired

from stream_runtime import settings
from stream_runtime.clock import now_ms
from stream_runtime.engine.flow import Operator, compose
from stream_runtime.engine.operators import rx_filter, rx_map
from stream_runtime.engine.records import R, UnitOfWork
from stream_runtime.faults import faulty
from stream_runtime.options import with_options
from stream_runtime.payload.attributes import unmarshall
from stream_runtime.payload.expressions import update_expression
from stream_runtime.rules.callables import with_rule
from stream_runtime.rules.debug_lines import ended, started
from stream_runtime.rules.fields import (
    BatchFields,
    Doc,
    EventType,
    Flag,
    Request,
    Rule,
    RuleOfAnyEvent,
    Text,
    ToRequest,
    flavor,
)
from stream_runtime.rules.filters import on_content, on_event_type
from stream_runtime.sinks.dynamodb import update_dynamodb
from stream_runtime.sinks.sns import publish_to_sns

__all__ = ["OutboxRule", "OutboxUow", "outbox"]


class OutboxRule(RuleOfAnyEvent, BatchFields, total=False):
    event_type: EventType
    to_message: Annotated[
        ToRequest,
        Doc(
            'makes `{"topic", "message", "message_id"?, "aggregate_id"?, "attributes"?}` of a row with other fields',
            "the row's fields of these names; `sk` is the message's id, `pk` the aggregate's",
        ),
    ]
    topic_prefix: Annotated[Text, Doc("stands before the names of topics", "`AWS_SNS_TOPIC_PREFIX`")]
    mark_dispatched: Annotated[
        Flag, Doc("write `dispatched` and `dispatched_at` (ms) into the row", "`True`; see the settings")
    ]
    table_name: Annotated[
        Text, Doc("the table", "`DYNAMODB_OUTBOX_TABLE_NAME`, `ENTITY_TABLE_NAME` or `EVENT_TABLE_NAME`")
    ]


class OutboxUow(UnitOfWork[R]):
    message: NotRequired[Mapping[str, Any]]
    publish_response: NotRequired[Mapping[str, Any]]
    update_request: NotRequired[Request]
    update_response: NotRequired[Mapping[str, Any]]


UNMARKED = (
    lambda rule: rule.get("mark_dispatched") is False,
    "with 'mark_dispatched' False: the table is only written to mark messages",
)


@flavor(OutboxRule, excludes={"table_name": UNMARKED})
def outbox(rule: Rule) -> Operator:
    """Publish each message that was put into the table, then mark it as dispatched; in order for each aggregate.

    The function reads the stream of the table, with new and old images. If the table has other rows, too, give the rule
    the event types of the messages (``["outbox-created", "outbox-updated"]``). A message whose mark is removed is
    published again. A batch that is processed again publishes messages with the same ``message_id`` attribute (and
    deduplication id, for FIFO topics), so consumers can recognise them.

    Source: C. Richardson, "Microservices Patterns", Transactional outbox, Transaction log tailing.
    """
    return compose(
        rx_filter(on_event_type(rule)) if rule.get("event_type") else None,
        rx_filter(is_undispatched),
        started(rule),
        rx_filter(on_content(rule)),
        rx_map(to_message(rule)),
        with_options(publish_to_sns, rule),
        rx_map(to_dispatched) if marks(rule) else None,
        with_options(update_dynamodb, rule, table_name=table_of(rule), rate=None) if marks(rule) else None,
        ended(rule),
    )


def is_undispatched(uow: Any) -> bool:
    """Whether a record is a new message, or one whose mark was removed."""
    raw = uow["event"].get("raw") or {}
    new, old = raw.get("new"), raw.get("old")
    if not new or new.get("dispatched"):
        return False
    return not old or bool(old.get("dispatched"))


def to_message(rule: Rule) -> Callable[[Any], Any]:
    """A function that adds the message, and the aggregate whose order is kept."""
    own = with_rule(rule["to_message"], rule) if rule.get("to_message") else of_row

    def add(uow: Any) -> Any:
        given = {**of_row(uow), **own(uow)}
        missing = [name for name in ("topic", "message") if given.get(name) is None]
        if missing:
            raise ValueError(f"rule {rule['id']!r}: the outbox row has no {' and no '.join(missing)}")
        aggregate_id, message_id = str(given["aggregate_id"]), str(given["message_id"])
        topic = topic_arn(str(given["topic"]), rule, uow["record"])
        message: dict[str, Any] = {
            "TopicArn": topic,
            "Message": given["message"],
            "MessageAttributes": {
                "message_id": {"DataType": "String", "StringValue": message_id},
                "aggregate_id": {"DataType": "String", "StringValue": aggregate_id},
                **(given.get("attributes") or {}),
            },
        }
        return {
            **uow,
            "order_key": ("aggregate", aggregate_id),
            "message": message,
            "event": {**uow["event"], "id": message_id, "partition_key": aggregate_id},
        }

    return faulty(add)


def of_row(uow: Any) -> dict[str, Any]:
    """The message in a row with the default field names."""
    row = uow["event"]["raw"]["new"]
    return {
        "topic": row.get("topic"),
        "message": row.get("message"),
        "message_id": row.get("message_id") or row.get("sk"),
        "aggregate_id": row.get("aggregate_id") or row.get("pk"),
        "attributes": row.get("attributes"),
    }


def topic_arn(topic: str, rule: Rule, record: Mapping[str, Any]) -> str:
    """The ARN of a topic: in the account and region of the table, with the prefix before its name."""
    if topic.startswith("arn:"):
        return topic
    prefix = rule.get("topic_prefix")
    partition, _, region, account = str(record["eventSourceARN"]).split(":")[1:5]
    return f"arn:{partition}:sns:{region}:{account}:{settings.TOPIC_PREFIX.read() if prefix is None else prefix}{topic}"


def marks(rule: Rule) -> bool:
    return bool(rule.get("mark_dispatched", True)) and not settings.OUTBOX_SKIP_MARK.read()


def table_of(rule: Rule) -> str | None:
    """The table with the messages; None for the function's own table."""
    return rule.get("table_name") or settings.OUTBOX_TABLE_NAME.read() or None


def to_dispatched(uow: Any) -> Any:
    """The unit of work with the update that marks its row, unless the row was deleted."""
    keys = uow["record"]["dynamodb"]["Keys"]
    change = update_expression({"dispatched": True, "dispatched_at": now_ms()})
    names = {f"#key_{number}": name for number, name in enumerate(keys)}
    return {
        **uow,
        "update_request": {
            "Key": unmarshall(keys),
            **change,
            "ExpressionAttributeNames": {**change["ExpressionAttributeNames"], **names},
            "ConditionExpression": " AND ".join(f"attribute_exists({name})" for name in names),
        },
    }
