"""The host of a deployed API or function URL serves that API alone, on every path.

ministack takes some paths for services of its own whatever the host is: ``/login``, ``/v2/...``, ``/iceberg``, ... On
AWS these are paths of the API; and a page that may call an API must reach nothing else through it.
"""

from __future__ import annotations

import re
from typing import Any

INTERNALS = {
    "ministack.app": (
        *("_handle_pre_body_request", "_handle_post_body_shortcuts", "_handle_special_data_plane_request"),
        *("_handle_execute_api_request", "_handle_lambda_url_request", "_with_data_plane_headers"),
    ),
}
_UUID = r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}"
# Every host that this matches is an API's for ministack, too; a test compares them.
API_HOST = re.compile(
    rf"(?:[a-f0-9]{{8}}\.execute-api|(?:[a-z0-9]{{32}}|{_UUID})\.lambda-url\.[a-z0-9-]+)\.localhost(?::[0-9]+)?"
)


def is_api_host(host: str) -> bool:
    """Whether a Host header names a deployed API or the URL of a function, as the local cloud gives these out."""
    return API_HOST.fullmatch(host) is not None


def patch() -> None:
    """Let requests to such a host pass every handler but its own."""
    from ministack import app

    before_body, after_body, data_plane = (
        app._handle_pre_body_request,
        app._handle_post_body_shortcuts,
        app._handle_special_data_plane_request,
    )

    async def handled_before_body(method: str, path: str, headers: dict[str, str], *rest: Any) -> Any:
        api = is_api_host(headers.get("host", ""))
        return None if api else await before_body(method, path, headers, *rest)

    async def handled_after_body(method: str, path: str, headers: dict[str, str], *rest: Any) -> Any:
        api = is_api_host(headers.get("host", ""))
        return None if api else await after_body(method, path, headers, *rest)

    async def handled_by_data_plane(
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes,
        query: dict[str, list[str]],
        request_id: str,
        **raw: Any,
    ) -> Any:
        host = headers.get("host", "")
        if not is_api_host(host):
            return await data_plane(method, path, headers, body, query, request_id, **raw)
        raw = {name: raw[name] for name in ("raw_path", "raw_query_string")}
        answer = await app._handle_execute_api_request(host, path, method, headers, body, query, **raw)
        if answer is not None:
            return app._with_data_plane_headers(answer, request_id, wildcard_cors=False)
        status, answered, content = await app._handle_lambda_url_request(host, path, method, headers, body, query)
        return status, {"x-amzn-RequestId": request_id, **answered}, content

    app._handle_pre_body_request = handled_before_body
    app._handle_post_body_shortcuts = handled_after_body
    app._handle_special_data_plane_request = handled_by_data_plane
