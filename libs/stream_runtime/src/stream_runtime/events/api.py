"""HTTP APIs of API Gateway: requests, for tests; handlers of an API read them with a library of their own."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from stream_runtime.payload import codec

__all__ = ["to_api_gateway_request_v2"]


def to_api_gateway_request_v2(
    *,
    method: str,
    path: str,
    body: Any = None,
    path_parameters: Mapping[str, str] | None = None,
    query_string_parameters: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    authorizer: Mapping[str, Any] | None = None,
    route_key: str | None = None,
) -> dict[str, Any]:
    """The event of a request to an HTTP API, payload format 2.0; like API Gateway, it leaves out what is not given.

    Args:
        method: GET, POST, ...; in any case.
        path: the path, or that of a route such as ``/things/{id}``, in which the path parameters are filled in.
        body: text; bytes are sent as base64, other values as JSON.
        path_parameters: the values of the route's variables.
        query_string_parameters: the decoded query.
        headers: their names become lower case.
        authorizer: what the authorizer found, such as ``{"jwt": {"claims": {"sub": "user-1"}, "scopes": None}}``.
        route_key: the route; method and path by default. An API with one route for all has ``$default``.

    Source: API Gateway developer guide, "Create AWS Lambda proxy integrations for HTTP APIs".
    """
    method, route = method.upper(), route_key or f"{method.upper()} {path}"
    for name, value in (path_parameters or {}).items():
        path = path.replace(f"{{{name}}}", value).replace(f"{{{name}+}}", value)
    text = body if body is None or isinstance(body, str | bytes) else codec.encode(body)
    given = {
        "queryStringParameters": dict(query_string_parameters or {}),
        "pathParameters": dict(path_parameters or {}),
        "body": base64.b64encode(text).decode() if isinstance(text, bytes) else text,
    }
    return {
        "version": "2.0",
        "routeKey": route,
        "rawPath": path,
        "rawQueryString": urlencode(query_string_parameters or {}),
        "headers": {name.lower(): value for name, value in (headers or {}).items()},
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "api",
            **({"authorizer": dict(authorizer)} if authorizer else {}),
            "domainName": "api.execute-api.us-east-1.amazonaws.com",
            "domainPrefix": "api",
            "http": {
                "method": method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.1",
                "userAgent": "test",
            },
            "requestId": "request-1",
            "routeKey": route,
            "stage": "$default",
            "time": "21/Nov/2026:12:00:00 +0000",
            "timeEpoch": 1795262400000,
        },
        **{name: value for name, value in given.items() if value or value == ""},
        "isBase64Encoded": isinstance(text, bytes),
    }
