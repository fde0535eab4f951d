"""DynamoDB writes: conditional updates and puts one by one in parallel, unconditional puts in batches."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from stream_runtime import settings
from stream_runtime.aws.clients import client
from stream_runtime.engine.batching import BatchCall, rx_batched
from stream_runtime.engine.calls import call
from stream_runtime.engine.flow import Operator
from stream_runtime.engine.naming import Call
from stream_runtime.engine.operators import rx_parallel
from stream_runtime.engine.retry import RequestFailed
from stream_runtime.engine.run import Run
from stream_runtime.payload import codec
from stream_runtime.payload.attributes import marshall, unmarshall

from .limits import BATCH_WRITE_ITEM

CONDITION_FAILED = "condition_failed"
"""The outcome that is counted for a failed condition."""

_MARSHALLED = ("Key", "Item", "ExpressionAttributeValues")


def update_dynamodb(
    table_name: str | None = None,
    update_request_field: str = "update_request",
    update_response_field: str = "update_response",
    fallback_update_request_field: str = "fallback_update_request",
    parallel: int | None = None,
    rate: float | None = None,
) -> Operator:
    """An operator that makes the UpdateItem request in a field of each unit of work; units without one pass.

    Requests hold plain values, as boto3's Table takes them. A failed condition is an outcome, not a failure: the
    response is ``{}``, and the fallback request is made if there is one. After a lost response or a redelivered record,
    an update finds that its own condition fails; a fallback needs a condition that makes it safe to repeat.

    Args:
        table_name: the table; ENTITY_TABLE_NAME or EVENT_TABLE_NAME by default.
        update_request_field: where the request is.
        update_response_field: where the response, with plain ``Attributes``, is put.
        fallback_update_request_field: where the request is that is made after a failed condition.
        parallel: calls at once, in order for each partition key and item.
        rate: units of work a second.
    """

    def update(run: Run, uow: Any) -> Any:
        request = uow.get(update_request_field)
        if not request:
            return uow
        table = table_name or settings.table_name()
        response = write(run, "update_item", table, request)
        fallback = uow.get(fallback_update_request_field)
        if response == {} and fallback:
            response = write(run, "update_item", table, fallback)
        return {**uow, update_response_field: response}

    def written(uow: Any) -> list[Hashable]:
        requests = (uow.get(update_request_field), uow.get(fallback_update_request_field))
        return [frozenset(request["Key"].items()) for request in requests if request]

    return rx_parallel(update, parallel=parallel, rate=rate, written=written)


def put_dynamodb(
    table_name: str | None = None,
    put_request_field: str = "put_request",
    put_response_field: str = "put_response",
    parallel: int | None = None,
    rate: float | None = None,
    key_names: Sequence[str] = ("pk", "sk"),
) -> Operator:
    """An operator that makes the PutItem request in a field of each unit of work; units without one pass.

    Puts are made in parallel, in order for each partition key and for each item, which ``key_names`` identify.
    """

    def put(run: Run, uow: Any) -> Any:
        request = uow.get(put_request_field)
        if not request:
            return uow
        return {**uow, put_response_field: write(run, "put_item", table_name or settings.table_name(), request)}

    def written(uow: Any) -> list[Hashable]:
        request = uow.get(put_request_field)
        return [tuple(request["Item"].get(name) for name in key_names)] if request else []

    return rx_parallel(put, parallel=parallel, rate=rate, written=written)


def batch_put_dynamodb(
    table_name: str | None = None,
    key_names: Sequence[str] = ("pk", "sk"),
    put_request_field: str = "put_request",
    put_response_field: str = "put_response",
    batch_size: int | None = None,
    max_request_size: int | None = None,
    parallel: int | None = None,
    rate: float | None = None,
) -> Operator:
    """An operator that makes unconditional puts in BatchWriteItem calls; requests hold an ``Item`` only.

    Args:
        table_name: the table; ENTITY_TABLE_NAME or EVENT_TABLE_NAME by default.
        key_names: the item's key.
        put_request_field: where the request is.
        put_response_field: where ``{}`` is put when the item is written.
        batch_size: puts in a call, at most 25.
        max_request_size: bytes of the items of a call, in DynamoDB's JSON; 16 MiB by default, at most that.
        parallel: calls at once, in order for each partition key and item.
        rate: puts a second.

    Sources: DynamoDB API reference, "BatchWriteItem": at most 25 puts, no two of one item, UnprocessedItems.
    """

    def to_item(uow: Any) -> Any:
        request = uow.get(put_request_field)
        return request["Item"] if request else None

    def identity(item: Mapping[str, Any]) -> Hashable:
        return tuple(str(item.get(name)) for name in key_names)

    def batch_write(items: Sequence[Any]) -> Sequence[Any]:
        table = table_name or settings.table_name()
        typed = [marshall(item) for item in items]  # late, since it takes several times the memory
        response = client("dynamodb").batch_write_item(
            RequestItems={table: [{"PutRequest": {"Item": item}} for item in typed]}
        )
        left = [
            identity(request["PutRequest"]["Item"]) for request in response.get("UnprocessedItems", {}).get(table, [])
        ]
        throttled = RequestFailed(
            "ProvisionedThroughputExceededException",
            f"left unprocessed by BatchWriteItem on {table}",
            Call("BatchWriteItem", table),
        )
        return [throttled if identity(item) in left else {} for item in typed]

    return rx_batched(
        BatchCall(
            entry=to_item,
            send=batch_write,
            response_field=put_response_field,
            limits=BATCH_WRITE_ITEM,
            size=_largest_item if max_request_size is None else _size_of_item,
            identity=identity,
        ),
        batch_size=batch_size,
        max_request_size=max_request_size,
        parallel=parallel,
        rate=rate,
    )


def _largest_item(_: Any) -> int:
    """Bytes that an item may have: 25 of them always fit, and nothing needs to be measured."""
    return 400 * 1024


def _size_of_item(item: Mapping[str, Any]) -> int:
    return len(codec.encode(marshall(item)).encode())


def write(run: Run, operation: str, table: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """Make one conditional write.

    Returns:
        The response with plain ``Attributes``, or ``{}`` if the condition failed.
    """
    typed = to_typed(table, request)
    try:
        response = call("dynamodb", operation, **typed)
    except Exception as error:
        if not is_condition_failed(error):
            raise
        run.count(CONDITION_FAILED)
        return {}
    return to_plain(response)


def to_typed(table: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """A request with plain values in the form the client takes; its own TableName wins."""
    typed = {"TableName": table, **request}
    for name in _MARSHALLED:
        if name in typed:
            typed[name] = marshall(typed[name])
    if typed.get("ExpressionAttributeValues") == {}:
        del typed["ExpressionAttributeValues"]
    return typed


def to_plain(response: Mapping[str, Any]) -> dict[str, Any]:
    """A response with plain values, without metadata, never empty."""
    if "Attributes" in response:
        return {"Attributes": unmarshall(response["Attributes"])}
    return {"Attributes": {}}


def is_condition_failed(error: Exception) -> bool:
    """Whether an error is a failed condition."""
    response: Mapping[str, Any] = getattr(error, "response", None) or {}
    return bool(response.get("Error", {}).get("Code") == "ConditionalCheckFailedException")
