"""Options: shared by the pipelines of a function, overridden by the fields of a rule, passed to sinks and queries."""

import logging
from collections.abc import Callable, Mapping
from functools import cache
from typing import Annotated, Any

from .engine.flow import Operator, compose
from .rules.fields import Doc, Flag, Rule, SharedFields, TableName


class Options(SharedFields, total=False):
    """What `StreamPipeline` and `stream_handler` take as options."""

    freeze: Annotated[Flag, Doc("freeze events, so that a rule that mutates one raises; for tests", "`FREEZE`")]
    table_name: TableName


def publish(parameters: Mapping[str, Any]) -> Operator:
    """The default publisher: EventBridge."""
    from .sinks.eventbridge import publish_to_event_bridge

    return publish_to_event_bridge(**parameters)


DEFAULT_OPTIONS: Options = {"logger": logging.getLogger(), "publish": publish}


def with_options(factory: Callable[..., Operator], rule: Rule, **given: Any) -> Operator:
    """The operator of a sink or query, called with those of a rule's fields that are its parameters.

    Example:
        >>> with_options(query_dynamodb, rule, query_response_field="correlated")
    """
    options = {name: rule[name] for name in _parameters(factory) if rule.get(name) is not None}
    return factory(**{**options, **given})


@cache
def _parameters(factory: Callable[..., Operator]) -> tuple[str, ...]:
    code = factory.__code__
    return code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]


def publisher(rule: Rule, event_field: str = "event") -> Operator:
    """The operator that publishes the event in a field of each unit of work, as the rule says."""
    parameters = {name: rule[name] for name in SharedFields.__annotations__ if rule.get(name) is not None}
    own: Callable[[Mapping[str, Any]], Operator] = parameters.pop("publish", publish)
    return own({**parameters, "event_field": event_field})


def emitted(
    rule: Rule,
    template_of: Callable[[Rule, Any], dict[str, Any]] | None = None,
    allowed: Operator | None = None,
) -> Operator | None:
    """The operator that publishes what a rule's ``emit`` makes, as `to_emitted` says; None if the rule has none."""
    if not rule.get("emit"):
        return None
    from .rules.emitting import to_emitted

    return compose(to_emitted(rule, template_of, allowed), publisher(rule, "emit"))
