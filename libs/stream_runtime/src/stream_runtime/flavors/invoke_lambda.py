"""invoke_lambda: invokes another Lambda function, and emits what follows."""

from collections.abc import Mapping
from typing import Annotated, Any, NotRequired, Required

from stream_runtime.engine.flow import Operator, compose
from stream_runtime.engine.records import R, UnitOfWork
from stream_runtime.options import emitted, with_options
from stream_runtime.rules.debug_lines import ended
from stream_runtime.rules.fields import (
    WITH_EMIT,
    BaseRule,
    CallFields,
    Compact,
    Doc,
    EmitAfterwards,
    PublishFields,
    Request,
    Rule,
    SplitFields,
    Text,
    ToRequest,
    flavor,
)
from stream_runtime.rules.steps import opening, to_request
from stream_runtime.sinks.lambda_function import invoke_lambda_function

__all__ = ["InvokeLambdaRule", "InvokeLambdaUow", "invoke_lambda"]


NEEDS = {name: others for name, others in WITH_EMIT.items() if name not in CallFields.__annotations__}


class InvokeLambdaRule(BaseRule, PublishFields, SplitFields, total=False):
    to_invoke_request: Required[
        Annotated[
            ToRequest,
            Doc(
                'makes the Invoke request, `{"Payload", "InvocationType"?, "FunctionName"?}`; a `Payload` that is '
                'neither bytes nor text is sent as JSON; the answer is in `uow["invoke_response"]["Payload"]`'
            ),
        ]
    ]
    function_name: Annotated[Text, Doc("for requests without `FunctionName`")]
    compact: Compact
    emit: EmitAfterwards


class InvokeLambdaUow(UnitOfWork[R]):
    invoke_request: Request
    invoke_response: Mapping[str, Any]
    emit: NotRequired[Mapping[str, Any]]
    publish_response: NotRequired[Mapping[str, Any]]


@flavor(InvokeLambdaRule, needs=NEEDS)
def invoke_lambda(rule: Rule) -> Operator:
    """Invoke a function for each event, in parallel and in order for each partition key."""
    return compose(
        opening(rule),
        to_request(rule, "to_invoke_request", "invoke_request"),
        with_options(invoke_lambda_function, rule),
        emitted(rule),
        ended(rule),
    )
