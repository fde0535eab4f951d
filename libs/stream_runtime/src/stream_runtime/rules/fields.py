"""Rules: the fields of every flavor for editors and type checkers, and the check that refuses a bad rule at import."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Required, TypedDict, TypeVar

from stream_runtime.engine.flow import Operator
from stream_runtime.errors import InvalidRule

Rule = Mapping[str, Any]
Flavor = Callable[[Rule], Operator]
F = TypeVar("F", bound=Callable[..., Any])


class BaseRule(TypedDict, total=False):
    """The fields that the rules of all flavors have.

    Attributes:
        id: unique id of the rule and its pipeline.
        flavor: the recipe, ``rule -> (Observable -> Observable)``.
        event_type: which events: a string, a list of them, a pattern (searched) or a function of the unit of work.
        filters: functions ``(uow, rule) -> bool``, all of which must hold.
        logger: a logger of the rule's own.
        publish: a publisher of the rule's own.
        bus_name: a bus of the rule's own.
        source: a Source of the rule's own.
        parallel: calls at once in this pipeline.
        rate: units of work that this pipeline sends on in a second.
        batch_size: entries in one call, where the API takes several; at most as many as it takes.
        max_request_size: bytes of one such call; at most as many as the API takes.
        compression_threshold: bytes of JSON above which a field of a published or stored event is compressed.
    """

    id: Required[str]
    flavor: Required[Flavor]
    event_type: Any
    filters: list[Callable[..., Any]]
    logger: Any
    publish: Callable[..., Any]
    bus_name: Any
    source: str
    parallel: int
    rate: float
    batch_size: int
    max_request_size: int
    compression_threshold: int


class PartsRule(BaseRule, total=False):
    """The fields of rules that may take less, or more, than one unit of work for each event.

    Attributes:
        split_on: a path to a list in the unit of work, or ``(uow, rule) -> units``: one unit of work for each.
        split_target_field: where a member of that list is put; ``split`` by default.
        compact: of the events of a batch with one key only the last: True (partition key), a path in the unit of
            work, or ``(uow) -> key``.
    """

    split_on: Any
    split_target_field: str
    compact: Any


def flavor(rule_type: type, *, one_of: Iterable[str] = ()) -> Callable[[F], F]:
    """Declare the TypedDict of a flavor's rules, so that unknown and missing fields are refused.

    Args:
        rule_type: the TypedDict.
        one_of: fields of which a rule has at least one.
    """

    def declare(recipe: F) -> F:
        recipe.rule_type = rule_type  # type: ignore[attr-defined]
        recipe.one_of = tuple(one_of)  # type: ignore[attr-defined]
        return recipe

    return declare


def initialize_from(rules: Iterable[Rule]) -> dict[str, Callable[[Mapping[str, Any]], Operator]]:
    """The pipelines of rules: for each id a function that puts the pipeline together with the options given.

    Raises:
        InvalidRule: naming the rule, the field and what was expected: no or a duplicate id, a flavor that is not
            callable, an event_type that is no string, list, pattern or callable, a field of the wrong kind, and, for
            flavors that declare their fields, unknown and missing ones.
    """
    pipelines: dict[str, Callable[[Mapping[str, Any]], Operator]] = {}
    for number, rule in enumerate(rules):
        check(rule, number)
        if rule["id"] in pipelines:
            raise InvalidRule(f"rule {rule['id']!r}: the id is taken by an earlier rule; ids are unique")
        pipelines[rule["id"]] = _pipeline_of(rule)
    return pipelines


def _pipeline_of(rule: Rule) -> Callable[[Mapping[str, Any]], Operator]:
    recipe: Flavor = rule["flavor"]
    return lambda options: recipe({**options, **rule})


def check(rule: Rule, number: int = 0) -> None:
    """Refuse a rule that cannot be run.

    Raises:
        InvalidRule: see `initialize_from`.
    """
    if not isinstance(rule, Mapping):
        raise InvalidRule(f"rule number {number + 1} is a {type(rule).__name__}; expected a dict")
    name = f"rule {rule['id']!r}" if rule.get("id") else f"rule number {number + 1}"
    if not isinstance(rule.get("id"), str) or not rule["id"]:
        raise InvalidRule(f"{name}: field 'id' is {rule.get('id')!r}; expected a string that is not empty")
    if not callable(rule.get("flavor")):
        raise InvalidRule(
            f"{name}: field 'flavor' is {rule.get('flavor')!r}; expected a flavor such as task or collect"
        )
    for field, value in rule.items():
        expectation = _EXPECTED.get(field) or (_A_CALLABLE if field.startswith("to_") else None)
        if expectation is not None and value is not None and not expectation[0](value):
            raise InvalidRule(f"{name}: field {field!r} is {value!r}; expected {expectation[1]}")
    rule_type = getattr(rule["flavor"], "rule_type", None)
    if rule_type is not None:
        _check_fields(name, rule, rule_type)


def _check_fields(name: str, rule: Rule, rule_type: Any) -> None:
    flavor_name = getattr(rule["flavor"], "__name__", "this flavor")
    known = fields_of(rule_type)
    for field in rule:
        if field not in known:
            import difflib  # only an error needs it

            near = difflib.get_close_matches(field, known, 1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; it has {', '.join(sorted(known))}"
            raise InvalidRule(f"{name}: flavor {flavor_name} has no field {field!r}{hint}")
    for field in sorted(needed_fields_of(rule_type)):
        if rule.get(field) is None:
            raise InvalidRule(f"{name}: field {field!r} is missing; flavor {flavor_name} needs it")
    alternatives = getattr(rule["flavor"], "one_of", ())
    if alternatives and all(rule.get(field) is None for field in alternatives):
        raise InvalidRule(f"{name}: flavor {flavor_name} needs {' or '.join(map(repr, alternatives))}")


def fields_of(rule_type: Any) -> frozenset[str]:
    """The names of the fields that a rule's TypedDict has, needed or not."""
    return frozenset(rule_type.__required_keys__ | rule_type.__optional_keys__)


def needed_fields_of(rule_type: Any) -> frozenset[str]:
    """The names of the fields that a rule needs.

    Annotations that are text (``from __future__ import annotations``) are not among the TypedDict's own
    ``__required_keys__``; see Python's documentation of `typing.TypedDict`.
    """
    written = {name: getattr(hint, "__forward_arg__", hint) for name, hint in rule_type.__annotations__.items()}
    return frozenset(rule_type.__required_keys__) | {
        name for name, hint in written.items() if isinstance(hint, str) and hint.startswith("Required[")
    }


def _is_event_type(value: object) -> bool:
    if isinstance(value, list | tuple | set | frozenset):
        return all(isinstance(each, str) for each in value)
    return isinstance(value, str | re.Pattern) or callable(value)


def _is_functions(value: object) -> bool:
    return isinstance(value, list | tuple) and all(callable(each) for each in value)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_key(value: object) -> bool:
    return value is True or value is False or isinstance(value, str) or callable(value)


_A_CALLABLE = (callable, "a callable")
_A_COUNT = (_is_count, "a whole number of at least 1")
_A_STRING = (lambda value: isinstance(value, str), "a string")
_A_KEY = (_is_key, "True, a path in the unit of work or a callable of it")
_EXPECTED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "event_type": (_is_event_type, "a string, a list of strings, a compiled pattern or a callable of the unit of work"),
    "filters": (_is_functions, "a list of callables (uow, rule) -> bool"),
    "execute": _A_CALLABLE,
    "execute_operators": _A_CALLABLE,
    "expression": _A_CALLABLE,
    "publish": _A_CALLABLE,
    "parallel": _A_COUNT,
    "rate": (
        lambda value: isinstance(value, int | float) and not isinstance(value, bool) and value > 0,
        "a number of units of work a second",
    ),
    "batch_size": _A_COUNT,
    "max_request_size": _A_COUNT,
    "compression_threshold": _A_COUNT,
    "pages": _A_COUNT,
    "compact": _A_KEY,
    "group": _A_KEY,
    "bucket_name": _A_STRING,
    "topic_arn": _A_STRING,
    "queue_url": _A_STRING,
    "stream_name": _A_STRING,
    "delivery_stream_name": _A_STRING,
    "domain_host": _A_STRING,
    "function_name": _A_STRING,
    "topic_prefix": _A_STRING,
    "emit": (lambda value: isinstance(value, str | list) or callable(value), "an event type, a list or a callable"),
    "correlation_key": (lambda value: isinstance(value, str) or callable(value), "a path in the event or a callable"),
    "correlation_key_suffix": _A_STRING,
    "result_key": _A_STRING,
    "table_name": _A_STRING,
    "split_on": (lambda value: isinstance(value, str) or callable(value), "a path in the unit of work or a callable"),
    "split_target_field": _A_STRING,
    "ttl": (lambda value: _is_count(value) or callable(value), "a number of days or a callable (rule, uow) -> s"),
    "expire": (lambda value: isinstance(value, bool | str), "True or an event type"),
}
