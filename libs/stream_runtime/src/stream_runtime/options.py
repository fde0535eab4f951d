"""Options: shared by the pipelines of a function, overridden by the fields of a rule, passed to sinks and queries."""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

from .engine.flow import Operator, compose
from .engine.operators import rx_map
from .errors import InvalidRule
from .rules.fields import Doc, Flag, Rule, SharedFields, TableName, Values, fields_of
from .rules.filters import holds_encrypted
from .settings import REDACT

if TYPE_CHECKING:
    from .payload.redaction import Redaction


def _names_fields(value: Any) -> bool:
    return all(isinstance(each, str) and all(each.split(".")) for each in value)


class Options(SharedFields, total=False):
    """What `StreamPipeline` and `stream_handler` take as options."""

    freeze: Annotated[Flag, Doc("freeze events, so that a rule that mutates one raises; for tests", "`FREEZE`")]
    table_name: TableName
    redact: Annotated[
        Sequence[str],
        Values("a tuple of names or dotted paths", list, tuple, set, frozenset, check=_names_fields),
        Doc("secret fields, masked in faults and log lines: names count at any depth, in any case", "`REDACT`"),
    ]


def publish(parameters: Mapping[str, Any]) -> Operator:
    """The default publisher: EventBridge."""
    from .sinks.eventbridge import publish_to_event_bridge

    return publish_to_event_bridge(**parameters)


DEFAULT_OPTIONS: Options = {"logger": logging.getLogger(), "publish": publish}


def redaction(options: Mapping[str, Any]) -> "Redaction | None":
    """The secret fields of the option ``redact`` and of REDACT; None if there are none.

    Raises:
        InvalidRule: the option is not a tuple of names.
    """
    given = options.get("redact")
    if given is not None:
        values = fields_of(Options)["redact"][0]
        if not values.accepts(given):
            raise InvalidRule(f"option 'redact' is {given!r}; expected {values.expected}")
    fields = REDACT.read().union(given or ())
    if not fields:
        return None
    from .payload.redaction import redaction_of  # a function without secret fields starts without it

    return redaction_of(fields)


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
    parameters.pop("encrypt", None)
    return compose(rx_map(encrypting(rule, event_field)), own({**parameters, "event_field": event_field}))


def encrypting(rule: Rule, event_field: str) -> Callable[[Any], Any]:
    """A function that encrypts the event to publish, where the rule or the event that it got asks for it."""
    if rule.get("encrypt") or rule.get("decrypt"):
        from .rules.encryption import to_encrypted  # most functions start without it

        return to_encrypted(rule, event_field)

    def encrypt(uow: Any) -> Any:
        source = uow.get("event")
        if not source or not holds_encrypted(source):
            return uow
        from .rules.encryption import to_encrypted

        return to_encrypted(rule, event_field)(uow)

    return encrypt


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
