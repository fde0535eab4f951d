"""cdc: publishes a domain event for each change of a row (change data capture)."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, NotRequired

from stream_runtime.engine.flow import Operator, compose
from stream_runtime.engine.operators import rx_filter, rx_map
from stream_runtime.engine.records import R, UnitOfWork
from stream_runtime.faults import faulty
from stream_runtime.options import publisher
from stream_runtime.rules.callables import with_rule
from stream_runtime.rules.debug_lines import ended
from stream_runtime.rules.fields import BaseRule, Compact, Doc, Flag, PublishFields, Rule, ToRequest, flavor
from stream_runtime.rules.filters import out_latched
from stream_runtime.rules.steps import opening

__all__ = ["CdcRule", "CdcUow", "cdc"]


class CdcRule(BaseRule, PublishFields, total=False):
    to_event: Annotated[ToRequest, Doc("makes fields that are merged into the event")]
    include_raw: Annotated[Flag, Doc("publish the row's images, too: `raw.new` and `raw.old`", "`True`")]
    compact: Compact


class CdcUow(UnitOfWork[R]):
    publish_response: NotRequired[Mapping[str, Any]]


@flavor(CdcRule)
def cdc(rule: Rule) -> Operator:
    """Publish an event for each change of a row, except for rows that a listener wrote (latched).

    It has the fields of ``to_event`` and, unless ``include_raw`` is False, the row before and after the change. Its id
    is that of the stream's record, so a batch that is processed again publishes the same ids.
    """
    return compose(
        opening(rule, rx_filter(out_latched)),
        rx_map(to_event(rule)) if rule.get("to_event") else None,
        rx_map(without_raw) if rule.get("include_raw") is False else None,
        publisher(rule),
        ended(rule),
    )


def to_event(rule: Rule) -> Callable[[Any], Any]:
    own = with_rule(rule["to_event"], rule)
    return faulty(lambda uow: {**uow, "event": {**uow["event"], **own(uow)}})


def without_raw(uow: Any) -> Any:
    return {**uow, "event": {name: value for name, value in uow["event"].items() if name != "raw"}}
