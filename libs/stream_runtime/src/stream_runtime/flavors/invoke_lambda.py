"""invoke_lambda: call another function for each event and, where the rule says so, emit what follows from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Required

from stream_runtime.engine.flow import Operator, compose
from stream_runtime.engine.operators import rx_filter
from stream_runtime.options import publisher
from stream_runtime.rules.debug_lines import ended, started
from stream_runtime.rules.emitting import to_emitted
from stream_runtime.rules.fields import PartsRule, Rule, flavor
from stream_runtime.rules.filters import on_content, on_event_type
from stream_runtime.rules.grouping import compacted
from stream_runtime.rules.requests import to_request
from stream_runtime.rules.splitting import split_object
from stream_runtime.sinks.lambda_function import invoke_lambda_function


class InvokeLambdaRule(PartsRule, total=False):
    """The fields of an invoke_lambda rule.

    Attributes:
        to_invoke_request: ``(uow, rule) -> {"Payload", "InvocationType"?, "FunctionName"?}``, an Invoke request; a
            payload that is neither text nor bytes is written as JSON; None invokes nothing.
        function_name: the function of requests that name none.
        emit: what to publish afterwards: an event type, a list of them, or ``(uow, rule, template) -> event | events``;
            the answer is in ``uow["invoke_response"]["Payload"]``.
    """

    to_invoke_request: Required[Callable[..., Mapping[str, Any] | None]]
    function_name: str
    emit: Any


@flavor(InvokeLambdaRule)
def invoke_lambda(rule: Rule) -> Operator:
    """Invoke a function for each event, in parallel and in order for each partition key."""
    return compose(
        rx_filter(on_event_type(rule)),
        started(rule),
        rx_filter(on_content(rule)),
        compacted(rule),
        split_object(rule),
        to_request(rule, "to_invoke_request", "invoke_request"),
        invoke_lambda_function(
            function_name=rule.get("function_name"), parallel=rule.get("parallel"), rate=rule.get("rate")
        ),
        to_emitted(rule) if rule.get("emit") else None,
        publisher(rule, "emit") if rule.get("emit") else None,
        ended(rule),
    )
