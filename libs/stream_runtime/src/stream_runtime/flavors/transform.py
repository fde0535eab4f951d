"""transform: makes the data that Firehose delivers in place of a record."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, NotRequired, Required

from stream_runtime.engine.flow import Operator, compose
from stream_runtime.engine.operators import rx_map
from stream_runtime.engine.records import R, UnitOfWork
from stream_runtime.faults import faulty
from stream_runtime.payload import codec
from stream_runtime.rules.callables import with_rule
from stream_runtime.rules.debug_lines import ended
from stream_runtime.rules.fields import BaseRule, Doc, OfUow, Rule, SplitFields, flavor
from stream_runtime.rules.steps import opening

__all__ = ["TransformRule", "TransformUow", "transform"]


class TransformRule(BaseRule, SplitFields, total=False):
    to_data: Required[
        Annotated[OfUow, Doc("makes the data: bytes and text as they are, any other value as a line of JSON")]
    ]
    to_partition_keys: Annotated[OfUow, Doc("makes the keys of dynamic partitioning, `{name: text}`")]


class TransformUow(UnitOfWork[R]):
    transformed: NotRequired[bytes | None]
    partition_keys: NotRequired[Mapping[str, str] | None]


@flavor(TransformRule)
def transform(rule: Rule) -> Operator:
    """Make the data that is delivered in place of a record; `stream_handler` answers Firehose with it.

    A record that no rule wants is delivered unchanged. For a record that fails a fault is published, and Firehose
    stores it under its error prefix.
    """
    return compose(
        opening(rule),
        rx_map(to_transformed(rule)),
        ended(rule),
    )


def to_transformed(rule: Rule) -> Callable[[Any], Any]:
    to_data = with_rule(rule["to_data"], rule)
    to_keys = with_rule(rule["to_partition_keys"], rule) if rule.get("to_partition_keys") else lambda _: None

    def add(uow: Any) -> Any:
        return {**uow, "transformed": to_bytes(to_data(uow)), "partition_keys": to_keys(uow)}

    return faulty(add)


def to_bytes(data: Any) -> bytes | None:
    """Bytes and text as they are; any other value as a line of JSON."""
    if data is None or isinstance(data, bytes):
        return data
    return data.encode() if isinstance(data, str) else f"{codec.encode(data)}\n".encode()
