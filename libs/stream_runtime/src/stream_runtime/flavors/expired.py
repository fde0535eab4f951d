"""expired: emits an event when a row with `expire` is removed by TTL."""

from collections.abc import Hashable, Mapping
from typing import Any, NotRequired

from stream_runtime import settings
from stream_runtime.engine.flow import Operator, compose
from stream_runtime.engine.operators import rx_filter, rx_map
from stream_runtime.engine.records import R, UnitOfWork
from stream_runtime.faults import faulty
from stream_runtime.options import publisher
from stream_runtime.payload.compression import decompressed
from stream_runtime.rules.debug_lines import ended, started
from stream_runtime.rules.fields import EventType, PublishFields, Rule, RuleOfAnyEvent, flavor
from stream_runtime.rules.filters import Routed, on_content, on_event_type
from stream_runtime.tags import inherited_tags

__all__ = ["ExpiredRule", "ExpiredUow", "expired"]


class ExpiredRule(RuleOfAnyEvent, PublishFields, total=False):
    event_type: EventType


class ExpiredUow(UnitOfWork[R]):
    emit: NotRequired[Mapping[str, Any]]
    publish_response: NotRequired[Mapping[str, Any]]


@flavor(ExpiredRule)
def expired(rule: Rule) -> Operator:
    """Publish an event for each row with ``expire`` that was removed at or after its ``ttl``.

    ``event_type`` is compared with the type of the event in the row; without one, every row counts. Functions of the
    rule get the unit of work of the removal, with the row in ``event.raw.old``.

    The type of what is published is ``expire``; if that is True, it is derived from the type of the row's event:
    ``thing-created-expired`` of ``thing-created``, ``thing.created.expired`` of ``thing.created``.
    """
    return compose(
        rx_filter(Routed(is_expiration, bool)),
        rx_filter(on_event_type(rule, event_type_of_row)) if rule.get("event_type") else None,
        started(rule),
        rx_filter(on_content(rule)),
        rx_map(faulty(to_expired_event)),
        publisher(rule, "emit"),
        ended(rule),
    )


def is_expiration(uow: Any) -> bool:
    """Whether a record is the removal of a row with ``expire``, at or after its ``ttl``."""
    record = uow["record"]
    if record.get("eventName") != "REMOVE":
        return False
    row = (uow["event"].get("raw") or {}).get("old") or {}
    if not row.get("ttl") or not row.get("expire"):
        return False
    removed_s = float(record["dynamodb"].get("ApproximateCreationDateTime") or 0)
    return removed_s >= int(row["ttl"])


def event_type_of_row(uow: Any) -> Hashable:
    """The type of the event in the row that was removed."""
    return (uow["event"]["raw"]["old"].get("event") or {}).get("type")


def to_expired_event(uow: Any) -> Any:
    """The unit of work with the event under ``emit``; its id is the removal's, its time the row's ``ttl``."""
    row = uow["event"]["raw"]["old"]
    event = decompressed(row["event"], settings.MAX_EXPANDED_SIZE.read())
    return {
        **uow,
        "emit": {
            **event,
            "id": uow["event"]["id"],
            "type": expired_type(event["type"], row["expire"]),
            "timestamp": int(row["ttl"]) * 1000 + int(event["timestamp"]) % 1000,
            "partition_key": event.get("partition_key") or event["id"],
            "tags": inherited_tags(event),
            "triggers": [{name: event.get(name) for name in ("id", "type", "timestamp")}],
        },
    }


def expired_type(event_type: str, expire: bool | str) -> str:
    if isinstance(expire, str):
        return expire
    return f"{event_type}.expired" if "." in event_type else f"{event_type}-expired"
