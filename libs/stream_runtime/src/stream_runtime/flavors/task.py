"""task: runs business logic, and emits what follows."""

from collections.abc import Mapping
from typing import Any, NotRequired

from stream_runtime.engine.flow import Operator, compose
from stream_runtime.engine.operators import rx_effect
from stream_runtime.engine.records import R, UnitOfWork
from stream_runtime.options import emitted, with_options
from stream_runtime.rules.callables import with_rule
from stream_runtime.rules.debug_lines import ended
from stream_runtime.rules.fields import (
    WITH_EMIT,
    BaseRule,
    CallFields,
    Compact,
    EmitAfterwards,
    ExecuteFields,
    Group,
    PublishFields,
    Rule,
    flavor,
)
from stream_runtime.rules.paths import with_field_at
from stream_runtime.rules.steps import opening

__all__ = ["TaskRule", "TaskUow", "task"]


_WORK = ("execute", "execute_operators", "emit")
NEEDS = {
    **dict.fromkeys(WITH_EMIT, ("execute_operators", "emit")),  # execute_operators gets the whole rule
    **dict.fromkeys(CallFields.__annotations__, _WORK),
    "batch_size": ("execute_operators", "emit", "group"),
}


class TaskRule(BaseRule, PublishFields, ExecuteFields, total=False):
    compact: Compact
    group: Group
    emit: EmitAfterwards


class TaskUow(UnitOfWork[R]):
    """``result`` is what ``execute`` returned."""

    result: Any
    emit: NotRequired[Mapping[str, Any]]
    publish_response: NotRequired[Mapping[str, Any]]


@flavor(TaskRule, needs=NEEDS)
def task(rule: Rule) -> Operator:
    """Run ``execute`` and ``execute_operators`` for each event, then publish what ``emit`` makes.

    ``execute`` runs for one event after the other. With ``parallel`` that many run at once, in order for each partition
    key.
    """
    return compose(
        opening(rule),
        execute(rule),
        emitted(rule),
        ended(rule),
    )


def execute(rule: Rule) -> Operator:
    """The operator of ``execute``, then that of ``execute_operators``."""
    return compose(
        _executed(rule) if rule.get("execute") else None,
        rule["execute_operators"](rule) if rule.get("execute_operators") else None,
    )


def _executed(rule: Rule) -> Operator:
    run = with_rule(rule["execute"], rule)
    path = rule.get("result_key") or "result"
    put = with_field_at(path)
    effect = None if "." in path else run  # a longer path may lead through something that is no object
    return with_options(rx_effect, rule, mapper=lambda uow: put(uow, run(uow)), effect=effect)
