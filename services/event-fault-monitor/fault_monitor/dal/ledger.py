"""The ledger of counted objects: S3 may notify more than once, and adding to a metric cannot be undone."""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from stream_runtime.clients import call, client
from stream_runtime.errors import TransientError

from fault_monitor import settings

LEASE_S = 90
"""How long an unfinished count keeps others away: longer than the function's timeout."""

KEEP_S = 30 * 24 * 3600
"""How long a count is remembered: longer than the on-failure queue keeps notifications."""


class BeingCounted(TransientError):
    """Another invocation holds the object; if that one dies, its lease runs out."""


@contextmanager
def once(identity: str) -> Iterator[bool]:
    """Do the body for an identity once: True when it is to be done, False when it was done before.

    The identity is taken before the body and marked as done after it. When the body raises, it is given back, so that
    the next notification starts at once; when the process dies, the lease runs out.

    Raises:
        BeingCounted: someone else has taken it and is not done.
    """
    entry = _take(identity)
    if entry == "counted":
        yield False
        return
    try:
        yield True
    except BaseException:
        _call("delete_item", Key=_key(identity))
        raise
    _call(
        "update_item",
        Key=_key(identity),
        UpdateExpression="SET #status = :counted",
        ExpressionAttributeNames={"#status": "status"},
        ExpressionAttributeValues={":counted": {"S": "counted"}},
    )


def _take(identity: str) -> str:
    """Take an identity: ``taken``, or ``counted`` when that was done before."""
    now = int(time.time())
    owner = uuid.uuid4().hex
    try:
        _call(
            "put_item",
            Item={
                **_key(identity),
                "status": {"S": "counting"},
                "owner": {"S": owner},
                "lease": {"N": str(now + LEASE_S)},
                "ttl": {"N": str(now + KEEP_S)},
            },
            ConditionExpression="attribute_not_exists(pk) OR (#status = :counting AND #lease < :now)",
            ExpressionAttributeNames={"#status": "status", "#lease": "lease"},
            ExpressionAttributeValues={":counting": {"S": "counting"}, ":now": {"N": str(now)}},
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    except client("dynamodb").exceptions.ConditionalCheckFailedException as error:
        if error.response.get("Item", {}).get("status") == {"S": "counted"}:
            return "counted"
        if error.response.get("Item", {}).get("owner") == {"S": owner}:
            return "taken"  # an earlier attempt of this call came through without an answer
        raise BeingCounted(f"{identity} is being counted by another invocation") from error
    return "taken"


def _key(identity: str) -> dict[str, Any]:
    return {"pk": {"S": identity}}


def _call(operation: str, **request: Any) -> Any:
    return call("dynamodb", operation, TableName=settings.LEDGER_TABLE_NAME.read(), **request)
