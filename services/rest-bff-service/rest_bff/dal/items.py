"""Items in DynamoDB: one row each, with what clients wrote and what events added side by side.

Row: pk=<item id>, sk="item", discriminator="item", timestamp and created (ms), version, status, the fields of the item.
``listing`` puts it on the list. A deleted row stays as a tombstone until its ttl (s), so that a late event finds it
deleted instead of making half an item. ``latched`` says that a listener wrote last.
Beside them, for a day, a row for each idempotency key: pk="idempotency#<key>", sk="idempotency".
"""

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stream_runtime import settings
from stream_runtime.attributes import marshall, unmarshall
from stream_runtime.clients import client
from stream_runtime.errors import TransientError
from stream_runtime.expressions import update_expression
from stream_runtime.retry import Retry

from rest_bff.logic.errors import IdempotencyKeyReused, ItemExists, ItemNotFound, StaleVersion

DISCRIMINATOR = "item"
LISTING_INDEX = "ListingIndex"
LIST_KEY = {"listing": str, "created": int, "pk": str, "sk": str}
"""Fields of a position in the list, with their types."""

TIME_FOR_RETRIES_S = 5
IDEMPOTENCY = "idempotency"
IDEMPOTENCY_S = 24 * 3600
"""How long a request is remembered."""

ABSENT = "attribute_not_exists(pk)"
TRANSIENT_REASONS = {"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}

CONTENT = ("source_type", "source_url", "title", "text_snippet", "author", "published_at", "matched_tags")
ANALYSIS = ("sentiment", "score", "model_version")
VISIBLE = (*CONTENT, *ANALYSIS, "status", "version", "created", "timestamp")


def to_item(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as the item that clients read and events carry."""
    return {"id": row["pk"], **{name: row[name] for name in VISIBLE if row.get(name) is not None}}


@dataclass(frozen=True)
class Idempotency:
    """What makes a creation safe to repeat.

    Attributes:
        key: the client's key of the request.
        fingerprint: the same for the same request, and for no other.
    """

    key: str
    fingerprint: str


def create(item_id: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """Create an item.

    Raises:
        ItemExists: the id was taken before.
    """
    row = _new_row(item_id, content)
    try:
        _call("put_item", Item=marshall(row), ConditionExpression=ABSENT)
    except _condition_failed():
        raise ItemExists(item_id) from None
    return to_item(row)


def create_once(item_id: str, content: Mapping[str, Any], idempotency: Idempotency) -> tuple[dict[str, Any], bool]:
    """Create an item unless this request did so before; the item, and whether it was there.

    Raises:
        ItemExists: another request took the id.
        IdempotencyKeyReused: another request had the key.
        ItemNotFound: the request did create the item, and it was deleted since.
    """
    row = _new_row(item_id, content)
    key = {"pk": f"{IDEMPOTENCY}#{idempotency.key}", "sk": IDEMPOTENCY}
    remembered = {
        **key,
        "discriminator": IDEMPOTENCY,
        "fingerprint": idempotency.fingerprint,
        "item_id": item_id,
        "ttl": row["timestamp"] // 1000 + IDEMPOTENCY_S,
    }
    failed = _put_together([remembered, row])
    if not failed:
        return to_item(row), False
    earlier = unmarshall(_call("get_item", Key=marshall(key), ConsistentRead=True).get("Item", {}))
    if not earlier:
        raise ItemExists(item_id)
    if earlier["fingerprint"] != idempotency.fingerprint:
        raise IdempotencyKeyReused(idempotency.key)
    return get(earlier["item_id"]), True


def get(item_id: str) -> dict[str, Any]:
    """Read an item.

    Raises:
        ItemNotFound: there is none, or it was deleted.
    """
    row = unmarshall(_call("get_item", Key=marshall(_key(item_id)), ConsistentRead=True).get("Item", {}))
    if not row or row.get("deleted"):
        raise ItemNotFound(item_id)
    return to_item(row)


def replace(item_id: str, content: Mapping[str, Any], expected_version: int | None) -> dict[str, Any]:
    """Replace what clients may write; what events added stays.

    Raises:
        ItemNotFound: there is none, or it was deleted.
        StaleVersion: it is not at the expected version.
    """
    fields = {name: content.get(name) for name in CONTENT}
    return to_item(_update(item_id, {**fields, "timestamp": _now_ms(), "latched": None}, expected_version))


def delete(item_id: str, expected_version: int | None, tombstone_s: int) -> None:
    """Turn an item into a tombstone that goes away by itself.

    Raises:
        ItemNotFound: there is none, or it was deleted.
        StaleVersion: it is not at the expected version.
    """
    now = _now_ms()
    fields = {"deleted": True, "listing": None, "timestamp": now, "latched": None, "ttl": now // 1000 + tombstone_s}
    _update(item_id, fields, expected_version)


def list_newest(limit: int, after: Mapping[str, Any] | None) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """Up to ``limit`` items, newest first, and the position after which the next page begins (None on the last)."""
    request: dict[str, Any] = {
        "IndexName": LISTING_INDEX,
        "KeyConditionExpression": "#listing = :listing",
        "ExpressionAttributeNames": {"#listing": "listing"},
        "ExpressionAttributeValues": marshall({":listing": DISCRIMINATOR}),
        "ScanIndexForward": False,
        "Limit": limit,
    }
    if after:
        request["ExclusiveStartKey"] = marshall(after)
    page = _call("query", **request)
    last = page.get("LastEvaluatedKey")
    return [to_item(unmarshall(row)) for row in page["Items"]], unmarshall(last) if last else None


def _new_row(item_id: str, content: Mapping[str, Any]) -> dict[str, Any]:
    now = _now_ms()
    return {
        **_key(item_id),
        **content,
        "discriminator": DISCRIMINATOR,
        "listing": DISCRIMINATOR,
        "status": "submitted",
        "version": 1,
        "created": now,
        "timestamp": now,
    }


def _put_together(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Put new rows, all or none; whether one of them was there already."""
    table = settings.table_name()
    puts = [{"Put": {"TableName": table, "Item": marshall(row), "ConditionExpression": ABSENT}} for row in rows]
    token = str(uuid.uuid4())  # one for all attempts, so that one that went through unheard is not made again

    def transact() -> bool:
        try:
            client("dynamodb").transact_write_items(TransactItems=puts, ClientRequestToken=token)
        except client("dynamodb").exceptions.TransactionCanceledException as error:
            codes = {reason.get("Code") for reason in error.response.get("CancellationReasons", [])}
            if "ConditionalCheckFailed" in codes:
                return True
            if codes & TRANSIENT_REASONS:
                raise TransientError(str(error)) from error
            raise
        return False

    return _retry().call(transact)


def _update(item_id: str, fields: Mapping[str, Any], expected_version: int | None) -> dict[str, Any]:
    update = update_expression(fields)
    names = {**update["ExpressionAttributeNames"], "#version": "version", "#deleted": "deleted"}
    values = {**update.get("ExpressionAttributeValues", {}), ":one": 1}
    conditions = ["attribute_exists(pk)", "attribute_not_exists(#deleted)"]
    if expected_version is not None:
        conditions.append("#version = :expected")
        values[":expected"] = expected_version
    try:
        response = _call(
            "update_item",
            Key=marshall(_key(item_id)),
            UpdateExpression=f"{update['UpdateExpression']} ADD #version :one",
            ConditionExpression=" AND ".join(conditions),
            ExpressionAttributeNames=names,
            ExpressionAttributeValues=marshall(values),
            ReturnValues="ALL_NEW",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    except _condition_failed() as error:
        row = unmarshall(error.response.get("Item", {}))
        if expected_version is None or not row or row.get("deleted"):
            raise ItemNotFound(item_id) from None
        raise StaleVersion(item_id, expected_version) from None
    return unmarshall(response["Attributes"])


def _key(item_id: str) -> dict[str, str]:
    return {"pk": item_id, "sk": DISCRIMINATOR}


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _condition_failed() -> Any:
    return client("dynamodb").exceptions.ConditionalCheckFailedException


def _call(operation: str, **request: Any) -> Any:
    table = settings.table_name()
    return _retry().call(lambda: getattr(client("dynamodb"), operation)(TableName=table, **request))


def _retry() -> Retry:
    return Retry(deadline=time.monotonic() + TIME_FOR_RETRIES_S)
