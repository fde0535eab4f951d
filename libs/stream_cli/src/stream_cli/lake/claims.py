"""Bodies of large events: the lake's copies of them, and the way back to where functions read them.

A large event is in the lake as a pointer to its body in the hub's bucket, which keeps it for weeks. The function of
event-lake-s3 copies it to ``claims/<bucket>/<key>``. Whoever may publish may publish a pointer to anything, so nothing
is read or written but what has such a copy: the bus gives the function pointers to the hub's bucket alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

PREFIX = "claims/"
_GONE = frozenset({"404", "NoSuchKey"})


def claim_of(event: Mapping[str, Any]) -> tuple[str, str] | None:
    """Bucket and key of the body that an event points to; None if it is no pointer.

    Those of aws-lambda-stream have them in ``s3``, which another event may have for anything.
    """
    claim = event.get("claim_check", event.get("s3"))
    if not isinstance(claim, Mapping):
        return None
    bucket, key = claim.get("bucket"), claim.get("key")
    if not isinstance(bucket, str) or not isinstance(key, str) or "claimchecks/" not in key:
        return None
    return bucket, key


def whole(s3: Any, lake: str, event: dict[str, Any]) -> dict[str, Any]:
    """The event with its body, from the lake's copy; the pointer itself where there is none."""
    claim = claim_of(event)
    content = None if claim is None else _copy(s3, lake, claim)
    if content is None:
        return event
    body = json.loads(content)
    return body if isinstance(body, dict) and body.get("id") == event.get("id") else event


def _copy(s3: Any, lake: str, claim: tuple[str, str]) -> bytes | None:
    from botocore.exceptions import ClientError

    try:
        with s3.get_object(Bucket=lake, Key=_copy_of(claim))["Body"] as body:
            content: bytes = body.read()
            return content
    except ClientError as error:
        if error.response["Error"]["Code"] in _GONE:
            return None
        raise


def put_back(s3: Any, lake: str, event: Mapping[str, Any]) -> bool:
    """Copy the body of an event to where functions read it, as new as if it were published now.

    Returns:
        False if the lake has no copy of it; True also if the event is no pointer.

    Raises:
        botocore.exceptions.ClientError: what else S3 refuses.
    """
    from botocore.exceptions import ClientError

    claim = claim_of(event)
    if claim is None:
        return True
    bucket, key = claim
    try:
        s3.copy_object(Bucket=bucket, Key=key, CopySource={"Bucket": lake, "Key": _copy_of(claim)})
    except ClientError as error:
        if error.response["Error"]["Code"] in _GONE:
            return False
        raise
    return True


def _copy_of(claim: tuple[str, str]) -> str:
    return f"{PREFIX}{claim[0]}/{claim[1]}"
