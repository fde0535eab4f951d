"""DynamoDB reads: whole queries and batches of keys; equal reads of a batch are made once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stream_runtime import settings
from stream_runtime.engine.calls import call, current_retry
from stream_runtime.engine.flow import Operator
from stream_runtime.engine.operators import rx_shared
from stream_runtime.errors import TransientError
from stream_runtime.payload import codec
from stream_runtime.payload.attributes import marshall, unmarshall

_MARSHALLED = ("ExpressionAttributeValues", "ExclusiveStartKey")
_MOST_KEYS = 100


def query_dynamodb(
    table_name: str | None = None,
    query_request_field: str = "query_request",
    query_response_field: str = "query_response",
    parallel: int | None = None,
    rate: float | None = None,
) -> Operator:
    """An operator that runs the Query request in a field of each unit of work and puts all its items in another.

    Requests hold plain values. Equal requests of a batch are made once. Units of work without a request pass.
    """

    def items(uow: Any) -> Any:
        return query_all({"TableName": table_name or settings.table_name(), **uow[query_request_field]})

    return rx_shared(
        items,
        key=lambda uow: codec.canonical(uow[query_request_field]) if uow.get(query_request_field) else None,
        field=query_response_field,
        parallel=parallel,
        rate=rate,
    )


def query_all(request: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All items of a query with plain values, or the first ``Limit`` of them."""
    typed = _typed(request)
    items: list[dict[str, Any]] = []
    most = request.get("Limit")
    while True:
        page = call("dynamodb", "query", **typed)
        items += [unmarshall(item) for item in page.get("Items", [])]
        if most is not None and len(items) >= most:
            return items[:most]
        if not page.get("LastEvaluatedKey"):
            return items
        typed["ExclusiveStartKey"] = page["LastEvaluatedKey"]


def page_of(
    operation: str, request: Mapping[str, Any], cursor: Mapping[str, Any] | None
) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """One page of a ``query`` or ``scan``: its items with plain values, and the cursor of the next page or None.

    Args:
        operation: ``"query"`` or ``"scan"``.
        request: with TableName; ``Limit`` is the number of items to read.
        cursor: as returned by the page before; None for the first page.
    """
    typed = _typed({**request, **({"ExclusiveStartKey": cursor} if cursor else {})})
    page = call("dynamodb", operation, **typed)
    following = page.get("LastEvaluatedKey")
    return [unmarshall(item) for item in page.get("Items", [])], unmarshall(following) if following else None


def _typed(request: Mapping[str, Any]) -> dict[str, Any]:
    return {name: marshall(value) if name in _MARSHALLED else value for name, value in request.items()}


def get_item(table: str, key: Mapping[str, Any]) -> dict[str, Any] | None:
    """The item with a key, read consistently, with plain values; None if there is none."""
    response = call("dynamodb", "get_item", TableName=table, Key=marshall(key), ConsistentRead=True)
    return unmarshall(response["Item"]) if response.get("Item") else None


def batch_get_dynamodb(
    table_name: str | None = None,
    batch_get_request_field: str = "batch_get_request",
    batch_get_response_field: str = "batch_get_response",
    parallel: int | None = None,
    rate: float | None = None,
) -> Operator:
    """An operator that makes the BatchGetItem request in a field of each unit of work; units without one pass.

    The request is ``{"Keys": [...], ...}`` for the rule's table or ``{"RequestItems": {table: {"Keys": [...]}}}``; the
    response is ``{"Responses": {table: [items]}}``. Unprocessed keys are requested again.
    """

    def get(uow: Any) -> Any:
        request = uow[batch_get_request_field]
        if "RequestItems" not in request:
            request = {"RequestItems": {table_name or settings.table_name(): request}}
        return {"Responses": batch_get_all(request["RequestItems"])}

    return rx_shared(
        get,
        key=lambda uow: codec.canonical(uow[batch_get_request_field]) if uow.get(batch_get_request_field) else None,
        field=batch_get_response_field,
        parallel=parallel,
        rate=rate,
    )


def batch_get_all(request_items: Mapping[str, Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The items of all keys, by table, in calls of 100 keys.

    Source: DynamoDB API reference, "BatchGetItem": at most 100 keys, UnprocessedKeys.

    Raises:
        TransientError: keys are still unprocessed after the last attempt.
    """
    found: dict[str, list[dict[str, Any]]] = {table: [] for table in request_items}
    for table, request in request_items.items():
        keys = [marshall(key) for key in request["Keys"]]
        for start in range(0, len(keys), _MOST_KEYS):
            left: Mapping[str, Any] = {table: {**request, "Keys": keys[start : start + _MOST_KEYS]}}
            attempt = 1
            while left:
                response = call("dynamodb", "batch_get_item", RequestItems=left)
                found[table] += [unmarshall(item) for item in response.get("Responses", {}).get(table, [])]
                left = response.get("UnprocessedKeys") or {}
                if left:
                    unprocessed = TransientError(f"BatchGetItem on {table} left keys unprocessed at attempt {attempt}")
                    if not current_retry().pause(attempt, unprocessed):
                        raise unprocessed
                attempt += 1
    return found
