"""OpenSearch searches; equal searches of a batch are made once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from stream_runtime import settings
from stream_runtime.aws import signed_requests as opensearch
from stream_runtime.engine.calls import retried
from stream_runtime.engine.flow import Operator
from stream_runtime.engine.operators import rx_shared
from stream_runtime.payload import codec

__all__ = ["query_elasticsearch"]


def query_elasticsearch(
    host: str | None = None,
    *,
    query_request_field: str = "query_request",
    query_response_field: str = "query_response",
    parallel: int | None = None,
    rate: float | None = None,
) -> Operator:
    """An operator that makes the search in a field of each unit of work; units without one pass.

    Args:
        host: host or URL of the domain; ES_DOMAIN_HOST by default. The region is the function's.
        query_request_field: where ``{"index", "payload", "query"?}`` is: the body of the search, whose fields that are
            None are left out, and its parameters in the URL.
        query_response_field: where the answer, ``{"hits": {"hits": [...], ...}, ...}``, is put.
        parallel: searches at once.
        rate: searches a second.

    Source: OpenSearch documentation, "Search API".
    """

    def found(uow: Any) -> Any:
        domain = host or settings.required(settings.ES_DOMAIN_HOST)
        path, body = _search(uow[query_request_field])
        answer = retried(lambda: opensearch.request(domain, "POST", path, body, "application/json"))
        return codec.decode(answer)

    return rx_shared(
        found,
        key=lambda uow: codec.canonical(uow[query_request_field]) if uow.get(query_request_field) else None,
        field=query_response_field,
        parallel=parallel,
        rate=rate,
    )


def _search(request: Mapping[str, Any]) -> tuple[str, bytes]:
    """Path and body of a search."""
    parameters = {
        name: str(value).lower() if isinstance(value, bool) else value
        for name, value in (request.get("query") or {}).items()
    }
    query = f"?{urlencode(parameters, quote_via=quote)}" if parameters else ""
    body = {name: value for name, value in (request.get("payload") or {}).items() if value is not None}
    return f"/{quote(request['index'], safe=',*')}/_search{query}", codec.encode(body).encode()
