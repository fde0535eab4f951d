"""The ledger of counted objects: S3 may notify more than once, and a metric cannot be corrected."""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from stream_runtime.clients import call, client
from stream_runtime.errors import TransientError

from fault_monitor import settings

LEASE_S = 90
"""How long an unfinished count is locked: longer than the function's timeout."""

WAIT_S = 10
"""How long to wait for an invocation that is counting the object: S3 may notify twice at the same time, and an error
of the function rings an alarm."""

LOOK_EVERY_S = 0.5

KEEP_S = 30 * 24 * 3600
"""How long a finished count is remembered: longer than the on-failure queue keeps notifications."""


class BeingCounted(TransientError):
    """Another invocation is counting the object; if it dies, its lease expires."""


@contextmanager
def once(identity: str) -> Iterator[bool]:
    """Yields True if an object with this identity is to be counted, False if it was counted before.

    The identity is locked before the body and marked as counted after it. If the body raises, the lock is released, so
    the next notification can start at once; if the process dies, the lease expires.

    Raises:
        BeingCounted: another invocation has had the lock for `WAIT_S`.
    """
    if not _lock_in_time(identity):
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


def _lock_in_time(identity: str) -> bool:
    """Lock an identity, as soon as nobody is counting it; False if it was counted."""
    until = time.monotonic() + WAIT_S
    while True:
        try:
            return _lock(identity)
        except BeingCounted:
            if time.monotonic() > until:
                raise
        time.sleep(LOOK_EVERY_S)  # DynamoDB tells nobody that a row has changed


def _lock(identity: str) -> bool:
    """Lock an identity; False if it was counted before."""
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
            return False
        if error.response.get("Item", {}).get("owner") == {"S": owner}:
            return True  # an earlier attempt of this call succeeded, but its response was lost
        raise BeingCounted(f"{identity} is being counted by another invocation") from error
    return True


def _key(identity: str) -> dict[str, Any]:
    return {"pk": {"S": identity}}


def _call(operation: str, **request: Any) -> Any:
    return call("dynamodb", operation, TableName=settings.LEDGER_TABLE_NAME.read(), **request)
