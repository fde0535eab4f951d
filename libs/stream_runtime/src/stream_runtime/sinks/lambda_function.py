"""Invocations of Lambda functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stream_runtime.aws.clients import client
from stream_runtime.engine.calls import retried
from stream_runtime.engine.flow import Operator
from stream_runtime.engine.operators import rx_request
from stream_runtime.engine.retry import RequestFailed
from stream_runtime.payload import codec


def invoke_lambda_function(
    function_name: str | None = None,
    invoke_request_field: str = "invoke_request",
    invoke_response_field: str = "invoke_response",
    parallel: int | None = None,
    rate: float | None = None,
) -> Operator:
    """An operator that makes the Invoke request in a field of each unit of work; units without one pass.

    A request is ``{"FunctionName"?, "InvocationType"?, "Payload", ...}``; a payload that is neither text nor bytes is
    written as JSON. If the function raises, the record becomes a fault with the function's error. A call that times out
    is repeated, so the function must be idempotent.

    Args:
        function_name: the function of requests that name none.
        invoke_request_field: where the request is.
        invoke_response_field: where ``{"StatusCode", "Payload"?}`` is put, with the decoded payload.
        parallel: calls at once, in order for each partition key.
        rate: calls a second.

    Source: Lambda API reference, "Invoke" (``FunctionError`` inside a successful response).
    """

    def invoke(request: Mapping[str, Any]) -> dict[str, Any]:
        whole = {**request, "FunctionName": request.get("FunctionName") or function_name}
        if not whole["FunctionName"]:
            raise ValueError("the invocation names no function: give the rule a function_name, or the request one")
        if not isinstance(whole.get("Payload", b""), str | bytes):
            whole["Payload"] = codec.encode(whole["Payload"])
        return retried(lambda: answered(client("lambda").invoke(**whole), whole["FunctionName"]))

    return rx_request(
        invoke,
        request_field=invoke_request_field,
        response_field=invoke_response_field,
        parallel=parallel,
        rate=rate,
    )


def answered(response: Mapping[str, Any], function_name: str) -> dict[str, Any]:
    """``{"StatusCode", "Payload"?}`` of a response.

    Raises:
        RequestFailed: the function raised; with the type and message of its error.
    """
    body = response["Payload"].read() if response.get("Payload") is not None else b""
    payload = codec.decode(body) if body else None
    if response.get("FunctionError"):
        error = payload if isinstance(payload, Mapping) else {}
        raise RequestFailed(
            f"{function_name}.{error.get('errorType', response['FunctionError'])}", str(error.get("errorMessage", ""))
        )
    return {"StatusCode": response.get("StatusCode"), **({"Payload": payload} if body else {})}
