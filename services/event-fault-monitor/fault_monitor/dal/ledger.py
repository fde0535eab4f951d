"""The ledger of counted objects: S3 may notify more than once, and a metric cannot be corrected."""

import logging
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from stream_runtime.clients import call, client
from stream_runtime.errors import TransientError

from fault_monitor import settings

logger = logging.getLogger(__name__)

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
    owner = uuid.uuid4().hex
    if not _lock_in_time(identity, owner):
        yield False
        return
    names, values = {"#owner": "owner"}, {":owner": {"S": owner}}
    try:
        yield True
    except BaseException:
        _end("delete_item", identity, ExpressionAttributeNames=names, ExpressionAttributeValues=values)
        raise
    is_marked = _end(
        "update_item",
        identity,
        UpdateExpression="SET #status = :counted",
        ExpressionAttributeNames={**names, "#status": "status"},
        ExpressionAttributeValues={**values, ":counted": {"S": "counted"}},
    )
    if not is_marked:
        logger.warning("%s: its lock was lost, so it may be counted twice", identity)


def _lock_in_time(identity: str, owner: str) -> bool:
    """Lock an identity, as soon as nobody is counting it; False if it was counted."""
    until = time.monotonic() + WAIT_S
    while True:
        try:
            return _lock(identity, owner)
        except BeingCounted:
            if time.monotonic() > until:
                raise
        time.sleep(LOOK_EVERY_S)  # DynamoDB tells nobody that a row has changed


def _lock(identity: str, owner: str) -> bool:
    """Lock an identity; False if it was counted before."""
    now = int(time.time())
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


def _end(operation: str, identity: str, **request: Any) -> bool:
    """Change or delete the lock of an owner; False if it is no longer that owner's.

    If the answer was lost, the call is repeated, and another invocation may have locked the identity meanwhile.
    """
    try:
        _call(operation, Key=_key(identity), ConditionExpression="#owner = :owner", **request)
    except client("dynamodb").exceptions.ConditionalCheckFailedException:
        return False
    return True


def _key(identity: str) -> dict[str, Any]:
    return {"pk": {"S": identity}}


def _call(operation: str, **request: Any) -> Any:
    return call("dynamodb", operation, TableName=settings.LEDGER_TABLE_NAME.read(), **request)
