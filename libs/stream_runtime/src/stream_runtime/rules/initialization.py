"""Checks rules at import, and makes their pipelines."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from stream_runtime.engine.flow import Flow, Operator, PushSource
from stream_runtime.errors import InvalidRule

from .callables import signature_of, takes
from .debug_lines import is_debugging
from .fields import (
    SHARED_BY_FLAVORS,
    BaseRule,
    BatchFields,
    CallFields,
    CompressionFields,
    Flavor,
    PublishFields,
    Rule,
    SharedFields,
    Values,
    definition_of,
    fields_of,
)

_logger = logging.getLogger(__name__)

_LACKS = {
    **dict.fromkeys(PublishFields.__annotations__, "publishes no events"),
    **dict.fromkeys(BatchFields.__annotations__, "makes no calls with several entries"),
    **dict.fromkeys(CallFields.__annotations__, "makes no calls"),
    **dict.fromkeys(CompressionFields.__annotations__, "publishes and stores no events"),
}
"""Why a flavor has no use for a field that others share."""

_HOLDING = ("execute_operators", "rate")
"""Fields of rules and options with which an operator may hold something of a batch; for `publish` see the pipeline."""


class RulePipeline:
    """Makes the operator of a rule's pipeline.

    Args:
        rule: the rule, which has been checked.
    """

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._recipe: Flavor = rule["flavor"]
        self._is_fixed = not getattr(self._recipe, "holds_batch", True) and all(
            rule.get(field) is None for field in ("publish", *_HOLDING)
        )

    def __call__(self, options: Mapping[str, Any]) -> Operator:
        """The operator with the options given; fields of the rule win."""
        return self._recipe({**options, **self._rule})

    def is_for_any_batch(self, options: Mapping[str, Any]) -> bool:
        """Whether the operator with these options may serve batch after batch while settings stay as they are.

        A custom flavor, and any other operator that users make, may hold something of a batch; a rate holds its turn.
        At debug level there are more steps.
        """
        return (
            self._is_fixed
            and all(options.get(field) is None for field in _HOLDING)
            and not is_debugging(self._rule if self._rule.get("logger") is not None else options)
        )


def initialize_from(rules: Iterable[Rule]) -> dict[str, RulePipeline]:
    """The pipelines of rules: for each id a function that makes the pipeline's operator with the options given.

    Raises:
        InvalidRule: naming the rule, the field and what was expected: no or a duplicate id, a field of the wrong kind,
            a callable that takes other arguments, and, for flavors that declare their fields, unknown, missing and
            useless fields.
    """
    pipelines: dict[str, RulePipeline] = {}
    for number, rule in enumerate(rules):
        check(rule, number)
        if rule["id"] in pipelines:
            raise InvalidRule(f"rule {rule['id']!r}: the id is taken by an earlier rule; ids are unique")
        pipelines[rule["id"]] = RulePipeline(rule)
    return pipelines


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
    flavor = rule.get("flavor")
    _check_value(name, "flavor", flavor, fields_of(BaseRule)["flavor"][0])
    rule_type = getattr(flavor, "rule_type", None)
    fields = fields_of(rule_type) if rule_type is not None else {**fields_of(SharedFields), **fields_of(BaseRule)}
    for field, value in rule.items():
        values = fields[field][0] if field in fields else _values_of_other(field)
        if values is not None and value is not None:
            _check_value(name, field, value, values)
    if rule_type is None:
        _check_assembly(rule)
    else:
        _check_names(name, rule, flavor)
        _check_effects(name, rule, flavor)


def _check_names(name: str, rule: Rule, flavor: Any) -> None:
    """Refuse fields that the flavor does not have, and the lack of those that it needs."""
    fields = fields_of(flavor.rule_type)
    for field, why in flavor.refused.items():
        if rule.get(field) is not None:
            raise InvalidRule(f"{name}: flavor {flavor.__name__} takes no field {field!r}: {why}")
    for field in rule:
        if field in fields:
            continue
        if field not in fields_of(SharedFields):
            raise InvalidRule(f"{name}: flavor {flavor.__name__} has no field {field!r}; {_known(field, fields)}")
        if rule[field] is not None:
            raise InvalidRule(
                f"{name}: field {field!r} would have no effect: flavor {flavor.__name__} {_LACKS[field]}; "
                "for other rules give it to them, or to all as an option"
            )
    for field in sorted(flavor.rule_type.__required_keys__):
        if rule.get(field) is None:
            raise InvalidRule(f"{name}: field {field!r} is missing; flavor {flavor.__name__} needs it")
    if flavor.one_of and all(rule.get(field) is None for field in flavor.one_of):
        raise InvalidRule(f"{name}: flavor {flavor.__name__} needs {' or '.join(map(repr, flavor.one_of))}")


def _check_effects(name: str, rule: Rule, flavor: Any) -> None:
    """Refuse fields that are ignored for lack of another one, or because of another one."""
    for field, others in flavor.needs.items():
        if rule.get(field) is not None and others and all(rule.get(other) is None for other in others):
            raise InvalidRule(f"{name}: field {field!r} would have no effect without {' or '.join(map(repr, others))}")
    for field, (is_ignored, reason) in flavor.excludes.items():
        if rule.get(field) is not None and is_ignored(rule):
            raise InvalidRule(f"{name}: field {field!r} would have no effect {reason}")
    if rule.get("split_target_field") is not None and callable(rule.get("split_on")):
        raise InvalidRule(
            f"{name}: field 'split_target_field' would have no effect: the function 'split_on' makes the units of work"
        )


def _check_assembly(rule: Rule) -> None:
    """Refuse a rule of a custom flavor that reads ``event_type`` and has none, by assembling its operator once.

    Any other failure says nothing about the rule, since the options are not known here.
    """
    if rule.get("event_type") is not None:
        return
    try:
        rule["flavor"](rule)(Flow(PushSource()))
    except InvalidRule:
        raise
    except Exception as error:
        _logger.debug("rule %r cannot be assembled without options: %r", rule["id"], error)


def _values_of_other(field: str) -> Values | None:
    """What an undeclared field takes; a custom flavor calls its functions with any arguments."""
    if field in SHARED_BY_FLAVORS:
        values, _ = definition_of(SHARED_BY_FLAVORS[field])
        return Values(values.expected, *values.types, check=values.check)
    return Values("a callable", Callable) if field.startswith("to_") else None


def _known(field: str, fields: Iterable[str]) -> str:
    import difflib  # only an error needs it

    near = difflib.get_close_matches(field, fields, 1)
    return f"did you mean {near[0]!r}?" if near else f"it has {', '.join(sorted(fields))}"


def _check_value(name: str, field: str, value: Any, values: Values) -> None:
    if not values.accepts(value):
        raise InvalidRule(f"{name}: field {field!r} is {value!r}; expected {values.expected}")
    if not values.arguments:
        return
    for function in value if isinstance(value, list | tuple) else (value,):
        if callable(function) and not takes(function, values.arguments):
            raise InvalidRule(f"{name}: field {field!r} takes {signature_of(function)}; expected {values.expected}")
