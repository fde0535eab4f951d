"""A bad rule is refused at import, with an error that names rule, field and what was expected."""

import dataclasses
import functools
import re
from typing import Any
from unittest.mock import Mock

import pytest
from stream_runtime import InvalidRule, initialize_from, stream_handler
from stream_runtime.events import from_kinesis, to_kinesis_records
from stream_runtime.flavors import collect, evaluate, materialize, task


def a_rule(**fields: Any) -> dict[str, Any]:
    return {"id": "r", "flavor": task, "event_type": "x", "execute": lambda uow: None, **fields}


def without(rule: dict[str, Any], field: str) -> dict[str, Any]:
    return {name: value for name, value in rule.items() if name != field}


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (["no rule"], "rule number 1 is a str; expected a dict"),
        ([a_rule(), without(a_rule(), "id")], "rule number 2: field 'id' is None; expected a string"),
        ([a_rule(id="")], "rule number 1: field 'id' is ''"),
        ([a_rule(id=5)], "rule 5: field 'id' is 5; expected a string"),
        ([a_rule(), a_rule()], "rule 'r': the id is taken by an earlier rule"),
        ([a_rule(flavor=None)], "rule 'r': field 'flavor' is None; expected a flavor such as task or collect"),
        ([a_rule(event_type=5)], "rule 'r': field 'event_type' is 5; expected a string, a list"),
        ([a_rule(event_type=["x", 5])], r"rule 'r': field 'event_type' is \['x', 5\]"),
        ([a_rule(event_type=[])], r"rule 'r': field 'event_type' is \[\]; expected a string, a list"),
        ([a_rule(event_type="")], "rule 'r': field 'event_type' is ''; expected a string, a list"),
        ([a_rule(result_key="a..b")], "rule 'r': field 'result_key' is 'a..b'; expected a path in the unit of work"),
        ([a_rule(filters=len)], "rule 'r': field 'filters' is .*; expected a list of callables"),
        ([a_rule(filters=[1])], "rule 'r': field 'filters' is"),
        ([a_rule(execute="text")], "rule 'r': field 'execute' is 'text'; expected a callable"),
        ([a_rule(parallel=0)], "rule 'r': field 'parallel' is 0; expected a whole number of at least 1"),
        ([a_rule(parallel=True)], "rule 'r': field 'parallel' is True"),
        ([a_rule(emit=5)], "rule 'r': field 'emit' is 5"),
        ([a_rule(emit="")], "rule 'r': field 'emit' is ''; expected an event type"),
        ([a_rule(emit=[])], r"rule 'r': field 'emit' is \[\]; expected an event type"),
        ([a_rule(emit=["y", 5])], r"rule 'r': field 'emit' is \['y', 5\]; expected an event type"),
        ([a_rule(exceute=len)], "rule 'r': flavor task has no field 'exceute'; did you mean 'execute'?"),
        ([a_rule(xyz=1)], "rule 'r': flavor task has no field 'xyz'; it has .*event_type.*"),
        (
            [{"id": "r", "flavor": materialize, "event_type": "x"}],
            "rule 'r': field 'to_update_request' is missing; flavor materialize needs it",
        ),
        (
            [{"id": "r", "flavor": materialize, "event_type": "x", "to_update_request": {"Key": {}}}],
            "rule 'r': field 'to_update_request' is .*; expected a callable",
        ),
        ([{"id": "r", "flavor": evaluate, "event_type": "x"}], "rule 'r': field 'emit' is missing"),
        ([{"id": "r", "flavor": collect, "event_type": "x", "ttl": "7"}], "rule 'r': field 'ttl' is '7'"),
        ([{"id": "r", "flavor": collect, "event_type": "x", "expire": 5}], "rule 'r': field 'expire' is 5"),
        ([{"id": "r", "flavor": collect, "event_type": "x", "expire": ""}], "rule 'r': field 'expire' is ''"),
        (
            [{"id": "r", "flavor": collect, "event_type": "x", "correlation_key": ""}],
            "rule 'r': field 'correlation_key' is ''; expected a path in the event",
        ),
    ],
)
def test_a_bad_rule_is_refused(rules: list[Any], message: str) -> None:
    with pytest.raises(InvalidRule, match=message):
        initialize_from(rules)


class Counter:
    def count(self, uow: Any, rule: Any) -> int:
        return len(uow)

    def __call__(self, uow: Any) -> int:
        return len(uow)


@dataclasses.dataclass
class Unhashable:
    def __call__(self, uow: Any) -> int:
        return len(uow)


COLLECT = {"id": "r", "flavor": collect, "event_type": "x"}


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (
            a_rule(execute=lambda: None),
            r"rule 'r': field 'execute' takes \(\); expected a callable \(uow\) or \(uow, rule\)",
        ),
        (a_rule(execute=lambda uow, rule, more: None), r"'execute' takes \(uow, rule, more\)"),
        (a_rule(execute=lambda uow, *, key: None), r"'execute' takes \(uow, \*, key\)"),
        (a_rule(execute=functools.partial(lambda uow, key: None, 1, key=2)), r"'execute' takes \(\*, key=2\)"),
        (a_rule(event_type=lambda: True), r"'event_type' takes \(\); expected a string, a list"),
        (a_rule(filters=[len, lambda a, b, c: True]), r"'filters' takes \(a, b, c\); expected a list of callables"),
        (a_rule(emit=lambda uow: None), r"'emit' takes \(uow\); expected .* a callable \(uow, rule, template\)"),
        (a_rule(execute_operators=lambda: None), r"'execute_operators' takes \(\); expected a callable \(rule\)"),
        (a_rule(group=lambda uow, rule: 1), r"'group' takes \(uow, rule\); expected True, a path .* \(uow\)"),
        (a_rule(compact=lambda: 1), r"'compact' takes \(\)"),
        (a_rule(publish=lambda: None), r"'publish' takes \(\); expected a callable \(parameters\)"),
        (a_rule(flavor=lambda: None), r"'flavor' takes \(\); expected a flavor such as task or collect"),
        ({**COLLECT, "ttl": lambda uow: 1}, r"'ttl' takes \(uow\); expected .* a callable \(rule, uow\)"),
        ({**COLLECT, "correlation_key": lambda uow, rule: 1}, r"'correlation_key' takes \(uow, rule\)"),
        (
            {**COLLECT, "to_put_request": lambda a, b, c, d: None},
            r"'to_put_request' takes \(a, b, c, d\); expected a callable \(uow\), .* or \(uow, rule, template\)",
        ),
    ],
)
def test_a_callable_with_other_arguments_is_refused(rule: Any, message: str) -> None:
    with pytest.raises(InvalidRule, match=message):
        initialize_from([rule])


@pytest.mark.parametrize(
    "execute",
    [
        len,
        dict,
        Mock(),
        Counter(),
        Counter().count,
        Unhashable(),
        functools.partial(lambda key, uow, rule: None, 1),
        lambda uow: None,
        lambda uow, rule: None,
        lambda uow, rule=None: None,
        lambda uow=None: None,
        lambda *arguments: None,
        lambda uow, *more, **options: None,
    ],
)
def test_a_callable_of_a_unit_of_work_is_taken(execute: Any, bus: Any) -> None:
    stream_handler([a_rule(execute=execute)], from_kinesis)(to_kinesis_records([{"id": "1", "type": "x"}]), None)

    assert bus.events == []


def test_a_custom_flavor_calls_its_functions_with_any_arguments() -> None:
    rule = {"id": "r", "flavor": lambda rule: lambda source: source, "to_sum": lambda a, b, c: a + b + c}

    assert list(initialize_from([rule])) == ["r"]


def test_a_handler_refuses_a_bad_rule_when_it_is_made() -> None:
    with pytest.raises(InvalidRule, match="'execute' is 'text'"):
        stream_handler([a_rule(execute="text")], from_kinesis)


@pytest.mark.parametrize("event_type", ["x", ["x"], ("x",), {"x"}, re.compile("x"), lambda uow: True])
def test_a_good_event_type_is_taken(event_type: Any) -> None:
    assert list(initialize_from([a_rule(event_type=event_type)])) == ["r"]


def test_a_custom_flavor_may_have_any_fields() -> None:
    assert list(initialize_from([{"id": "r", "flavor": lambda rule: lambda source: source, "anything": 1}])) == ["r"]


def test_options_reach_the_rule_and_the_rule_wins() -> None:
    seen: list[Any] = []

    def flavor(rule: Any) -> Any:
        seen.append((rule["source"], rule["bus_name"]))
        return lambda source: source

    initialize_from([{"id": "r", "flavor": flavor, "source": "rule"}])["r"]({"source": "options", "bus_name": "bus"})

    assert seen == [("rule", "bus")]
