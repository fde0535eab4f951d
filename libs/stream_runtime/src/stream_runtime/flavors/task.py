"""task: run business logic for an event and, where the rule says so, emit what follows from it."""

from stream_runtime.engine.flow import Operator, compose
from stream_runtime.engine.operators import rx_effect, rx_filter
from stream_runtime.options import publisher
from stream_runtime.rules.callables import with_rule
from stream_runtime.rules.debug_lines import ended, started
from stream_runtime.rules.emitting import to_emitted
from stream_runtime.rules.fields import BaseRule, CompactFields, EmitFields, ExecuteFields, GroupFields, Rule, flavor
from stream_runtime.rules.filters import on_content, on_event_type
from stream_runtime.rules.grouping import compacted, grouped


class TaskRule(BaseRule, CompactFields, GroupFields, ExecuteFields, EmitFields, total=False):
    """The fields of a task rule."""


@flavor(TaskRule)
def task(rule: Rule) -> Operator:
    """Run ``execute`` (and ``execute_operators``) for each event, then publish what ``emit`` makes of it.

    ``execute`` runs for one event after the other; a rule with ``parallel`` runs that many at once, in order for each
    partition key.
    """
    return compose(
        rx_filter(on_event_type(rule)),
        started(rule),
        rx_filter(on_content(rule)),
        compacted(rule),
        grouped(rule),
        execute(rule),
        rule["execute_operators"](rule) if rule.get("execute_operators") else None,
        to_emitted(rule) if rule.get("emit") else None,
        publisher(rule, "emit") if rule.get("emit") else None,
        ended(rule),
    )


def execute(rule: Rule) -> Operator | None:
    """The operator that puts the result of ``execute`` into the unit of work."""
    if not rule.get("execute"):
        return None
    run = with_rule(rule["execute"], rule)
    result_key = rule.get("result_key") or "result"
    return rx_effect(lambda uow: {**uow, result_key: run(uow)}, parallel=rule.get("parallel"), rate=rule.get("rate"))
