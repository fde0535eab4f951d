"""HTTP APIs answer as AWS's do where a function fails, is throttled, or does not say what its content is.

ministack answers 502 with what the function failed with, 429, and ``application/json``. On AWS a client learns nothing
of a failure, and content without a type is text. What AWS's own Lambda test tool has recorded of HTTP APIs with format
2.0 decides (aws/aws-lambda-dotnet, ``ApiGatewayResponseExtensions`` and ``InvokeResponseExtensions``); that REST APIs
answer 502 is in the Lambda developer guide, "Handling Lambda errors with an API Gateway API".
"""

from __future__ import annotations

import contextvars
import json
from typing import Any

INTERNALS = {
    "ministack.services.apigateway": ("_invoke_lambda_proxy",),
    "ministack.services.lambda_svc": ("lambda_execute_result_to_api_proxy_response",),
}

TEXT = "text/plain; charset=utf-8"

# ministack has one function for the answers of REST APIs, HTTP APIs, function URLs and load balancers.
_asked_by_http_api: contextvars.ContextVar[bool] = contextvars.ContextVar("asked_by_http_api", default=False)

Response = tuple[dict[str, Any] | None, str | None]


def patch() -> None:
    """Answer so."""
    from ministack.services import apigateway, lambda_svc

    invoke, to_response = apigateway._invoke_lambda_proxy, lambda_svc.lambda_execute_result_to_api_proxy_response

    async def invoked(*args: Any, **named: Any) -> Any:
        token = _asked_by_http_api.set(True)
        try:
            return await invoke(*args, **named)
        finally:
            _asked_by_http_api.reset(token)

    def responded(result: dict[str, Any]) -> Response:
        if not _asked_by_http_api.get():
            found: Response = to_response(result)
            return found
        if result.get("throttle"):
            return _of_gateway(503, "Service Unavailable"), None
        if result.get("error"):
            return _of_gateway(500, "Internal Server Error"), None
        response, problem = to_response(result)
        return (_typed(response) if response and _has_status(result.get("body")) else response), problem

    apigateway._invoke_lambda_proxy = invoked
    lambda_svc.lambda_execute_result_to_api_proxy_response = responded


def _of_gateway(status: int, message: str) -> dict[str, Any]:
    headers = {"Content-Type": "application/json"}
    return {"statusCode": status, "headers": headers, "body": json.dumps({"message": message})}


def _has_status(returned: Any) -> bool:
    """Whether a function has returned a response; API Gateway makes one of anything else, which is JSON."""
    if isinstance(returned, (str, bytes)):
        try:
            returned = json.loads(returned)
        except ValueError:
            return False
    return isinstance(returned, dict) and "statusCode" in returned


def _typed(response: dict[str, Any]) -> dict[str, Any]:
    headers = response.get("headers") or {}
    if any(name.lower() == "content-type" for name in headers):
        return response
    return {**response, "headers": {**headers, "Content-Type": TEXT}}
