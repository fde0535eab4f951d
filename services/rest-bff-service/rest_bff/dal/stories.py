"""Stories in DynamoDB: one row for each, with the attributes that clients write and those that events add.

- Story: pk=<story id>, sk="story", discriminator="story", timestamp and created (ms), version, status, its fields.
  ``listing`` puts it on the list; ``latched`` is set if a listener wrote last; ``owner`` is the id of the caller that
  created it, and in no response, message or event. A deleted row stays as a tombstone until its ttl (s), so that a late
  event does not create half a story. ``contact`` is encrypted; ``encryption`` says how.
- Message of a POST, PUT or DELETE, written in the same transaction and sent to the topic: pk=<story id>,
  sk="outbox#<created>#<version>", discriminator="outbox".
- Idempotency key, kept for a day: pk="idempotency#<sha256 of the caller, hex>#<key>", sk="idempotency".
"""

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from stream_runtime import codec, encryption
from stream_runtime.clients import call, client, pause
from stream_runtime.clock import now_ms
from stream_runtime.expressions import marshall, unmarshall, update_expression

from rest_bff import settings
from rest_bff.logic.callers import Caller
from rest_bff.logic.cursors import ELSEWHERE
from rest_bff.logic.errors import (
    IdempotencyKeyReused,
    InvalidCursor,
    NotOwner,
    StaleVersion,
    StoryBusy,
    StoryExists,
    StoryNotFound,
)

DISCRIMINATOR = "story"
LISTING_INDEX = "ListingIndex"
LIST_KEY = {"listing": str, "created": int, "pk": str, "sk": str}
"""Fields of a position in the list, with their types."""

TOPIC = "stories.fifo"
"""Topic of the messages, without the prefix of service and stage."""

OUTBOX = "outbox"
OUTBOX_S = 7 * 24 * 3600
"""How long a message is kept in the table."""

IDEMPOTENCY = "idempotency"
IDEMPOTENCY_S = 24 * 3600
"""How long a request is remembered."""

LONGEST_WAIT = 4
"""The attempt after which waits for other writers of a story grow no more."""

ABSENT = "attribute_not_exists(pk)"

PERSONAL = ("contact",)
"""Fields that are encrypted in rows, messages and events, and read by those who may change the story."""

PERSONAL_OF_EVENT = [f"story.{name}" for name in PERSONAL]

CONTENT = ("source_type", "source_url", "title", "text_snippet", "author", "published_at", "matched_tags", *PERSONAL)
ANALYSIS = ("sentiment", "score", "model_version")
VISIBLE = (*CONTENT, *ANALYSIS, "status", "version", "created", "timestamp")


def to_story(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row, decrypted or `without_personal` fields, as the story that clients read and events carry."""
    return {"id": row["pk"], **{name: row[name] for name in VISIBLE if row.get(name) is not None}}


def without_personal(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row for those who may not see its personal fields."""
    return {name: value for name, value in row.items() if name not in PERSONAL}


class Idempotency(NamedTuple):
    """What makes a creation safe to repeat.

    Attributes:
        caller: the id of whose key it is: others may use the same key. Empty where access is open.
        key: the client's key for the request.
        fingerprint: the same for the same request, and for no other.
    """

    caller: str
    key: str
    fingerprint: str

    @property
    def partition(self) -> str:
        """The partition of the row that remembers the request."""
        return f"{IDEMPOTENCY}#{hashlib.sha256(self.caller.encode()).hexdigest()}#{self.key}"


def create(story_id: str, content: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
    """Create a story, which is the caller's, and its message.

    Raises:
        StoryExists: the id is taken.
        StoryBusy: others kept writing it while the time lasted; so do all writes.
    """
    row = _new_row(story_id, content, caller)
    if _transact(story_id, [_put(row), _put(outbox_row("story-created", row))]):
        raise StoryExists(story_id)
    return to_story(row)


def create_once(
    story_id: str, content: Mapping[str, Any], caller: Caller, idempotency: Idempotency
) -> tuple[dict[str, Any], bool]:
    """Create a story, which is the caller's, and its message, unless this request did so before.

    Returns:
        The story, and whether it existed already.

    Raises:
        StoryExists: another request took the id.
        IdempotencyKeyReused: another request of this caller had the key.
        StoryNotFound: this request created the story before, and it was deleted since.
    """
    row = _new_row(story_id, content, caller)
    key = {"pk": idempotency.partition, "sk": IDEMPOTENCY}
    remembered = {
        **key,
        "discriminator": IDEMPOTENCY,
        "fingerprint": idempotency.fingerprint,
        "story_id": story_id,
        "ttl": row["timestamp"] // 1000 + IDEMPOTENCY_S,
    }
    if not _transact(story_id, [_put(remembered), _put(row), _put(outbox_row("story-created", row))]):
        return to_story(row), False
    earlier = unmarshall(_call("get_item", Key=marshall(key), ConsistentRead=True).get("Item", {}))
    if not earlier:
        raise StoryExists(story_id)
    if earlier["fingerprint"] != idempotency.fingerprint:
        raise IdempotencyKeyReused(idempotency.key)
    return get(earlier["story_id"], caller), True


def get(story_id: str, caller: Caller) -> dict[str, Any]:
    """Read a story; its personal fields are for those who may change it.

    Raises:
        StoryNotFound: there is none, or it was deleted.
    """
    row = _existing_row(story_id)
    return to_story(encryption.decrypt(row) if _may_change(caller, row) else without_personal(row))


def replace(story_id: str, content: Mapping[str, Any], caller: Caller, expected_version: int | None) -> dict[str, Any]:
    """Replace the attributes that clients write, and write the message; what events added stays, and the owner.

    Raises:
        StoryNotFound: there is none, or it was deleted.
        NotOwner: it is not the caller's to change.
        StaleVersion: it is not at the expected version.
    """
    fields = {name: content.get(name) for name in CONTENT}
    return to_story(_change(story_id, "story-updated", fields, caller, expected_version))


def delete(story_id: str, caller: Caller, expected_version: int | None, tombstone_s: int) -> None:
    """Turn a story into a tombstone, which DynamoDB removes, and write the message.

    Raises:
        StoryNotFound: there is none, or it was deleted.
        NotOwner: it is not the caller's to change.
        StaleVersion: it is not at the expected version.
    """
    fields = {"deleted": True, "listing": None}
    _change(story_id, "story-deleted", fields, caller, expected_version, ttl_s=tombstone_s)


def outbox_row(message_type: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """The message of a change; its sort key follows the story's versions.

    An id whose tombstone was removed can be used again, from version 1; ``created`` distinguishes the two stories.
    """
    message_id = f"{row['pk']}.{row['created']}.{row['version']}"
    message = {"id": message_id, "type": message_type, "timestamp": row["timestamp"], "story": to_story(row)}
    return {
        "pk": row["pk"],
        "sk": f"{OUTBOX}#{row['created']}#{row['version']:012}",
        "discriminator": OUTBOX,
        "topic": TOPIC,
        "message_id": message_id,
        "message": codec.encode(encryption.encrypt(message, PERSONAL_OF_EVENT, bound=["id", "type"])),
        "timestamp": row["timestamp"],
        "ttl": row["timestamp"] // 1000 + OUTBOX_S,
    }


def list_newest(limit: int, after: Mapping[str, Any] | None) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """Up to ``limit`` stories, newest first, and the position after which the next page begins (None on the last).

    Raises:
        InvalidCursor: the position is not in this list; DynamoDB would reject it.
    """
    if after and not (after["listing"] == after["sk"] == DISCRIMINATOR):
        raise InvalidCursor(ELSEWHERE)
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
    return [to_story(without_personal(unmarshall(row))) for row in page["Items"]], unmarshall(last) if last else None


def _new_row(story_id: str, content: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
    now = now_ms()
    return {
        **content,
        **_key(story_id),
        **({"owner": caller.id} if caller.id else {}),
        "discriminator": DISCRIMINATOR,
        "listing": DISCRIMINATOR,
        "status": "submitted",
        "version": 1,
        "created": now,
        "timestamp": now,
    }


def _change(
    story_id: str,
    message_type: str,
    fields: Mapping[str, Any],
    caller: Caller,
    expected_version: int | None,
    ttl_s: int | None = None,
) -> dict[str, Any]:
    """Change a story if it is still as it was read; wait, read and try again if it is not."""
    attempt = 1
    while True:
        old = _existing_row(story_id)
        if not _may_change(caller, old):
            raise NotOwner(story_id)
        if expected_version is not None and old["version"] != expected_version:
            raise StaleVersion(story_id, expected_version)
        old = encryption.decrypt(old)
        now = now_ms()
        changes = {**fields, "timestamp": now, "version": old["version"] + 1, "latched": None}
        if ttl_s is not None:
            changes["ttl"] = now // 1000 + ttl_s
        new = {name: value for name, value in {**old, **changes}.items() if value is not None}
        if not _transact(story_id, [_update(old, changes, caller), _put(outbox_row(message_type, new))]):
            return new
        _wait(story_id, attempt)
        attempt += 1


def _may_change(caller: Caller, row: Mapping[str, Any]) -> bool:
    """Whether a story is the caller's to change; without an owner, which it has from a token, it is everybody's."""
    return caller.is_admin or row.get("owner") in (None, caller.id)


def _existing_row(story_id: str) -> dict[str, Any]:
    row = unmarshall(_call("get_item", Key=marshall(_key(story_id)), ConsistentRead=True).get("Item", {}))
    if not row or row.get("deleted"):
        raise StoryNotFound(story_id)
    return row


def _put(row: Mapping[str, Any]) -> dict[str, Any]:
    row = encryption.encrypt(row, PERSONAL, bound=["pk", "sk"])
    return {
        "Put": {"TableName": settings.ENTITY_TABLE_NAME.read(), "Item": marshall(row), "ConditionExpression": ABSENT},
    }


def _update(old: Mapping[str, Any], changes: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
    """The update of a row, if neither a client (``version``) nor an event (``ready_at``) has changed it since.

    It must still be the caller's, too: whoever created an expired tombstone's id again has the same version.
    """
    update = update_expression(_encrypted_changes(_key(old["pk"]), changes))
    analyzed = {":ready_at": old["ready_at"]} if "ready_at" in old else {}
    same_analysis = "#ready_at = :ready_at" if analyzed else "attribute_not_exists(#ready_at)"
    owned = "" if caller.is_admin else " AND (attribute_not_exists(#owner) OR #owner = :caller)"
    return {
        "Update": {
            "TableName": settings.ENTITY_TABLE_NAME.read(),
            "Key": marshall(_key(old["pk"])),
            "UpdateExpression": update["UpdateExpression"],
            "ConditionExpression": f"#version = :read AND attribute_not_exists(#deleted) AND {same_analysis}{owned}",
            "ExpressionAttributeNames": {
                **update["ExpressionAttributeNames"],
                "#deleted": "deleted",
                "#ready_at": "ready_at",
                **({"#owner": "owner"} if owned else {}),
            },
            "ExpressionAttributeValues": marshall(
                {
                    **update["ExpressionAttributeValues"],
                    ":read": old["version"],
                    **analyzed,
                    **({":caller": caller.id} if owned else {}),
                }
            ),
        }
    }


def _encrypted_changes(key: Mapping[str, str], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Changes of a row; those of its personal fields, which come all together, bring their header or remove it."""
    if not changes.keys() & set(PERSONAL):
        return dict(changes)
    row = encryption.encrypt({**changes, **key}, PERSONAL, bound=list(key))
    return {encryption.HEADER: None, **{name: value for name, value in row.items() if name not in key}}


def _transact(story_id: str, writes: Sequence[Mapping[str, Any]]) -> bool:
    """Make all writes or none, after the transactions of others; True if a condition did not hold.

    All attempts have one token. If one of them has succeeded, and its answer was lost, a later one succeeds, too: it
    does not find its own writes in its way. Source: DynamoDB API reference, "TransactWriteItems", ClientRequestToken.
    """
    attempt, token = 1, str(uuid.uuid4())
    while True:
        try:
            call("dynamodb", "transact_write_items", TransactItems=writes, ClientRequestToken=token)
            return False
        except client("dynamodb").exceptions.TransactionCanceledException as error:
            reasons = {reason.get("Code") for reason in error.response.get("CancellationReasons", [])}
            if "ConditionalCheckFailed" in reasons:
                return True
            if reasons - {"None"} != {"TransactionConflict"}:
                raise
        _wait(story_id, attempt)
        attempt += 1


def _wait(story_id: str, attempt: int) -> None:
    """Let the other writers of a story finish; each waits for a random time, so that one of them is first."""
    if not pause(min(attempt, LONGEST_WAIT)):
        raise StoryBusy(story_id)


def _key(story_id: str) -> dict[str, str]:
    return {"pk": story_id, "sk": DISCRIMINATOR}


def _call(operation: str, **request: Any) -> Any:
    return call("dynamodb", operation, TableName=settings.ENTITY_TABLE_NAME.read(), **request)
