"""The dashboard's rows: a story with n tags has 1 + n, found by its day and by each of its tags.

A row has the sequence number of the change that it comes from, so that a change that is repeated or late does not
overwrite a newer one. A row that is shown has the keys of the table's indexes: ``listing``,
``sentiment_score_combined`` and, if it is that of a tag, ``tag_of_day``.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

Row = dict[str, Any]
Key = tuple[str, str]

COPIED = ("source_type", "sentiment", "score", "text_snippet", "source_url")
SEQUENCE_DIGITS = 40
"""Digits of the longest sequence number of a DynamoDB stream (API reference, StreamRecord)."""


SCORE_DECIMALS = 38
"""Digits of a number in DynamoDB (developer guide, "Data types"): scores sort by all of theirs."""


class IncompleteStory(ValueError):
    """An analyzed story without a field that the dashboard needs, or with another type; retrying does not help."""


def rows_of_change(
    new: Mapping[str, Any] | None, old: Mapping[str, Any] | None, sequence_number: str, changed_s: int, ttl_s: int
) -> list[Row]:
    """The rows to put for a change of a story.

    A row that the story does not have any more, such as that of a removed tag, is put with ``removed``: it is in no
    index, keeps late changes from writing it again, and expires like the others.

    Args:
        new: the story after the change.
        old: the story before the change.
        sequence_number: of the change in its stream.
        changed_s: time of the change, in s since 1970; rows expire ``ttl_s`` after it, however late they are written.
        ttl_s: lifetime of a row, in s.

    Raises:
        IncompleteStory: with the fields that are missing.
    """
    common = {
        "sequence": sequence_number.zfill(SEQUENCE_DIGITS),
        "expires_at": changed_s + ttl_s,
        "ttl": changed_s + ttl_s,
    }
    kept = rows_of_story(new) if new and is_shown(new) else {}
    gone = keys_of_story(old) - kept.keys() if old and is_shown(old) else set()
    return [{"pk": pk, "sk": sk, **row, **common} for (pk, sk), row in kept.items()] + [
        {"pk": pk, "sk": sk, "removed": True, **common} for pk, sk in sorted(gone)
    ]


def is_shown(story: Mapping[str, Any]) -> bool:
    """Whether a story is on the dashboard: it is analyzed and not deleted."""
    return not story.get("deleted") and story.get("status") != "submitted"


def rows_of_story(story: Mapping[str, Any]) -> dict[Key, Row]:
    """The rows of an analyzed story by their keys.

    Raises:
        IncompleteStory: with the fields that are missing.
    """
    missing = [name for name in ("pk", "created", "sentiment", "score") if story.get(name) in (None, "")]
    if missing:
        raise IncompleteStory(f"story {story.get('pk')} lacks {', '.join(missing)}")
    score, sentiment = story["score"], story["sentiment"]
    if isinstance(score, bool) or not isinstance(score, int | Decimal) or not 0 <= score <= 1:
        raise IncompleteStory(f"story {story['pk']} has the score {score!r}; expected a number from 0 to 1")
    if not isinstance(sentiment, str) or "#" in sentiment:
        raise IncompleteStory(f"story {story['pk']} has the sentiment {sentiment!r}; expected a text without #")
    at = ingested_at(story)
    tags = list(dict.fromkeys(story.get("matched_tags") or ()))
    base: Row = {
        "day_partition": at[:10],
        "ingested_at": at,
        "source_id": story["pk"],
        "sentiment_score_combined": combined(sentiment, score),
        **{name: story[name] for name in COPIED if story.get(name) is not None},
        **({"matched_tags": set(tags)} if tags else {}),
    }
    of_tags = {tag_key(tag): {"tag": tag, "tag_of_day": tag_of_day(tag, at[:10])} for tag in tags}
    lists = {day_key(at[:10]): {}, **of_tags}
    return {(pk, _position(story)): {**base, "listing": pk, **own} for pk, own in lists.items()}


def keys_of_story(story: Mapping[str, Any]) -> set[Key]:
    """The keys of the rows that a story had; none if it was never complete."""
    try:
        return set(rows_of_story(story))
    except IncompleteStory:
        return set()


def ingested_at(story: Mapping[str, Any]) -> str:
    """The time at which a story was created, in ISO 8601."""
    at = datetime.fromtimestamp(int(story["created"]) / 1000, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def combined(sentiment: str, score: Decimal | int) -> str:
    """Sentiment and score (0 to 1) as one text that sorts by both; minus zero is zero."""
    return f"{sentiment}#{Decimal(score).copy_abs():.{SCORE_DECIMALS}f}"


def day_key(day: str) -> str:
    """The partition of a day, ``YYYY-MM-DD``."""
    return f"day#{day}"


def tag_key(tag: str) -> str:
    """The partition of a tag."""
    return f"tag#{tag}"


def tag_of_day(tag: str, day: str) -> str:
    """What the rows of a tag on one day share; a tag may have any character, so it comes last."""
    return f"{day}#{tag}"


def _position(story: Mapping[str, Any]) -> str:
    return f"{ingested_at(story)}#{story['pk']}"
