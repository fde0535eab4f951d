"""Claim check: an event too large for the bus travels as a pointer to its body in S3.

The pointer keeps what routing needs: id, type, timestamp, partition key and tags. Whoever can publish an event can
publish a pointer, so only objects of the claim-check bucket under `PREFIX` are read, of events that a rule wants, up to
MAX_EXPANDED_SIZE, and an object counts only if it holds the event that the pointer names.

Pointers of aws-lambda-stream are redeemed, too: they have ``s3: {"bucket", "key"}``, with a key ``claimchecks/<id>`` or
``<region>/claimchecks/<year>/<month>/<day>/<hour>/<id>``. A field ``s3`` with anything else is an event's own.

Sources: Hohpe and Woolf, "Enterprise Integration Patterns", Claim Check; aws-lambda-stream, src/sinks/claimcheck.js.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

from stream_runtime import settings
from stream_runtime.aws.clients import client
from stream_runtime.engine.calls import call, retried
from stream_runtime.engine.retry import classify
from stream_runtime.errors import InvalidRecord
from stream_runtime.ids import digest
from stream_runtime.payload import codec

FIELD = "claim_check"
PREFIX = "claimchecks/"
_FIELD_OF_JAVASCRIPT = "s3"
_WITHOUT_RAW = "without_raw"
_KEPT = ("id", "type", "timestamp", "partition_key", "tags")
_MOST_KEY_BYTES = 1024

# Failures that no pointer can cause, so that they stay what they are. Whatever else S3 refuses is about the object: it
# answers 403 for one that is missing if the role lacks s3:ListBucket, for one in an archive, and for one whose KMS key
# the role may not use. Source: S3 API reference, "GetObject", permissions and errors.
_OF_THE_SET_UP = frozenset(
    (
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidToken",
        "NoSuchBucket",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
    )
)


def is_pointer(event: Mapping[str, Any]) -> bool:
    """Whether an event is the pointer to its body."""
    return FIELD in event or (_FIELD_OF_JAVASCRIPT in event and _is_of_javascript(event[_FIELD_OF_JAVASCRIPT]))


def _is_of_javascript(claim: object) -> bool:
    """Whether a field ``s3``, which an event may have for anything, points to a claim check."""
    return (
        isinstance(claim, Mapping)
        and claim.keys() == {"bucket", "key"}
        and claim["bucket"] == settings.CLAIMCHECK_BUCKET_NAME.read() != ""
        and _is_below_prefix(claim["key"])
    )


def _is_below_prefix(key: object) -> bool:
    """Whether a key begins with the prefix, or with a region and the prefix."""
    if not isinstance(key, str):
        return False
    region, _, rest = key.partition("/")
    return key.startswith(PREFIX) or (rest.startswith(PREFIX) and region.replace("-", "").isalnum())


def pointer_of_row(change: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The pointer in the row whose change an event is; None if the row has none."""
    stored = _changed(change)[1].get("event")
    return stored if isinstance(stored, Mapping) and is_pointer(stored) else None


def with_event_in_row(change: Mapping[str, Any], whole: Mapping[str, Any]) -> dict[str, Any]:
    """The change of a row with an event in the place of its pointer."""
    name, row = _changed(change)
    return {**change, "raw": {**change["raw"], name: {**row, "event": whole}}}


def _changed(change: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """A row as it is, or as it was when it was removed, and the name of that image."""
    name = "new" if change["raw"]["new"] else "old"
    return name, change["raw"][name] or {}


def for_row(pointer: Mapping[str, Any], *, with_raw: bool = True) -> dict[str, Any]:
    """A pointer as rows keep it: in our own form, and saying so if the event is to come back without `raw`."""
    claim = claim_of(pointer)
    if not with_raw and isinstance(claim, Mapping):
        claim = {**claim, _WITHOUT_RAW: True}
    return {**{name: pointer[name] for name in _KEPT if name in pointer}, FIELD: claim}


def check_in(event: Mapping[str, Any], body: str) -> dict[str, Any]:
    """Store an event's body in the claim-check bucket and return the pointer to publish instead.

    The key is derived from the event's id and timestamp, so an event that is published again is stored once.

    Raises:
        InvalidSetting: CLAIMCHECK_BUCKET_NAME is not set.
        ValueError: no consumer would read it: it has more than MAX_EXPANDED_SIZE bytes.
        Exception: what S3 answered at the last attempt.
    """
    bucket = settings.required(settings.CLAIMCHECK_BUCKET_NAME)
    content, most = body.encode(), settings.MAX_EXPANDED_SIZE.read()
    if len(content) > most:
        raise ValueError(f"event {event['id']!r:.80} has {len(content)} bytes, MAX_EXPANDED_SIZE is {most}")
    from urllib.parse import quote  # few functions publish so large events

    day = datetime.fromtimestamp(int(event.get("timestamp") or 0) / 1000, UTC)
    key = f"{PREFIX}{quote(settings.SERVICE.read())}/{day:%Y/%m/%d/%H}/{_name_of(event['id'])}"
    call("s3", "put_object", Bucket=bucket, Key=key, Body=content, ContentType="application/json")
    return {**{name: event[name] for name in _KEPT if name in event}, FIELD: {"bucket": bucket, "key": key}}


def _name_of(event_id: object) -> str:
    """The last part of an event's key: its id, or where that is no name of a file, a digest."""
    from urllib.parse import quote

    text = str(event_id)
    name = quote(text, safe="")
    return digest(text) if len(name) > 512 or set(name) <= {"."} else name


def fetched(pointer: Mapping[str, Any], may_read: Callable[[int], bool]) -> bytes | None:
    """The object that a pointer stands for.

    Args:
        pointer: the event with the claim check.
        may_read: called with the number of its bytes before they are read.

    Returns:
        The bytes; None if they may not be read.

    Raises:
        InvalidRecord: the pointer, or the object, is not what a claim check is.
        Exception: what S3 answered at the last attempt, where that is not about the object.
    """
    bucket, key = _place(claim_of(pointer))
    most = settings.MAX_EXPANDED_SIZE.read()

    def read() -> bytes | None:
        response = client("s3").get_object(Bucket=bucket, Key=key)
        with closing(response["Body"]) as body:
            size = response.get("ContentLength", most)
            if size <= most and not may_read(size):
                return None
            content: bytes = body.read(most + 1) if size <= most else b""
            if size <= most and len(content) <= most:
                body.read(1)  # raises if the connection ended too early: the read before gives what there is
        if size > most or len(content) > most:
            raise InvalidRecord(f"the claim check {key} has more than {most} bytes (MAX_EXPANDED_SIZE)")
        return content

    try:
        return retried(read)
    except Exception as error:
        if classify(error) == "configuration" and not _is_of_the_set_up(error):
            raise InvalidRecord(
                f"the claim check s3://{bucket}/{key} cannot be read: {error}; the object is missing, or the role "
                f"of the function lacks s3:GetObject on {PREFIX}*"
            ) from error
        raise


def claim_of(pointer: Mapping[str, Any]) -> Any:
    """What says where the body of a pointer is; anything, as whoever published it wrote it."""
    return pointer[FIELD] if FIELD in pointer else pointer[_FIELD_OF_JAVASCRIPT]


def _place(claim: object) -> tuple[str, str]:
    """Bucket and key of a claim check that may be read.

    Raises:
        InvalidRecord: it points to something else.
    """
    allowed = settings.CLAIMCHECK_BUCKET_NAME.read()
    if not allowed:
        raise InvalidRecord("the event is a claim check, and CLAIMCHECK_BUCKET_NAME is not set")
    bucket, key = (claim.get("bucket"), claim.get("key")) if isinstance(claim, Mapping) else (None, None)
    if bucket != allowed:
        raise InvalidRecord(f"a claim check points to bucket {bucket!r:.80}, not to {allowed!r}")
    if not isinstance(key, str) or not _is_below_prefix(key) or len(key.encode("utf-8", "replace")) > _MOST_KEY_BYTES:
        raise InvalidRecord(f"a claim check points to key {key!r:.80}, not to one below {PREFIX!r}")
    if not {"", ".", ".."}.isdisjoint(key.split("/")) or not key.isprintable():
        raise InvalidRecord(f"a claim check points to key {key!r:.80}, which is no path below {PREFIX!r}")
    return allowed, key


def _is_of_the_set_up(error: BaseException) -> bool:
    response = getattr(error, "response", None)
    if not isinstance(response, dict):
        return True  # not an answer of S3: there are no credentials, no region, no setting
    return response.get("Error", {}).get("Code") in _OF_THE_SET_UP


def event_in(content: bytes, pointer: Mapping[str, Any]) -> dict[str, Any]:
    """The event that an object holds.

    Raises:
        InvalidRecord: it is not that of the pointer.
        ValueError: it is not JSON.
    """
    codec.check_values([content], settings.MAX_EXPANDED_SIZE.read())
    event = codec.decode(content)
    if not isinstance(event, dict) or is_pointer(event):
        raise InvalidRecord(f"the claim check of event {pointer.get('id')!r:.80} does not stand for an event")
    for name in ("id", "type"):
        if event.get(name) != pointer.get(name):
            raise InvalidRecord(
                f"the claim check of event {pointer.get('id')!r:.80} stands for another event: its {name} is "
                f"{event.get(name)!r:.80}"
            )
    claim = claim_of(pointer)
    if isinstance(claim, Mapping) and claim.get(_WITHOUT_RAW) is True:
        event.pop("raw", None)
    return event
