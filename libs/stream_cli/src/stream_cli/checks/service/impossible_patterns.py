"""Why no record of a source can match a filter pattern: unknown fields, missing images, wrong kinds of values.

The fields are those of the Lambda developer guide's example events and of the DynamoDB Streams API reference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from stream_cli.patterns import matches

from .resources import DYNAMODB, KINESIS

Pattern = Mapping[str, Any]

EVENT_NAMES = ("INSERT", "MODIFY", "REMOVE")
_METADATA = frozenset({"awsRegion", "eventID", "eventName", "eventSource", "eventSourceARN", "eventVersion"})
_KINESIS_FIELDS = frozenset(
    {"approximateArrivalTimestamp", "data", "invokeIdentityArn", "kinesisSchemaVersion", "partitionKey",
     "sequenceNumber"}
)  # fmt: skip
_RECORD_FIELDS = {KINESIS: _METADATA | _KINESIS_FIELDS, DYNAMODB: _METADATA | {"dynamodb", "userIdentity"}}
_CHANGE_FIELDS = frozenset(
    {"ApproximateCreationDateTime", "Keys", "NewImage", "OldImage", "SequenceNumber", "SizeBytes", "StreamViewType"}
)
_TYPE_LETTERS = frozenset({"B", "BOOL", "BS", "L", "M", "N", "NS", "NULL", "S", "SS"})
_TEXTS = frozenset({"S", "N", "B", "SS", "NS", "BS"})
_ALL_IMAGES = frozenset({"NewImage", "OldImage"})
_IMAGES = {"KEYS_ONLY": frozenset[str](), "NEW_IMAGE": frozenset({"NewImage"}), "OLD_IMAGE": frozenset({"OldImage"})}


def images_of(view_type: str | None) -> frozenset[str]:
    """The images in the records of a stream with a view type; both if the view type is not known."""
    return _IMAGES.get(view_type or "", _ALL_IMAGES)


def why_impossible(pattern: Pattern, kind: str, images: frozenset[str]) -> str | None:
    """Why a pattern matches no record of a stream of a kind (`kinesis`, `dynamodb`), None if it may match one.

    `images` are the images that the records of a DynamoDB stream hold.
    """
    return next(_reasons(pattern, kind, images), None)


def _reasons(pattern: Pattern, kind: str, images: frozenset[str]) -> Iterator[str]:
    yield from _unknown_fields(pattern, _RECORD_FIELDS[kind], "a record")
    if kind != DYNAMODB:
        return
    names = pattern.get("eventName")
    if isinstance(names, list) and not any(matches({"eventName": names}, {"eventName": each}) for each in EVENT_NAMES):
        yield "eventName is INSERT, MODIFY or REMOVE"
    change = pattern.get("dynamodb")
    if not isinstance(change, Mapping):
        return
    yield from _unknown_fields(change, _CHANGE_FIELDS, "`dynamodb`")
    for image in ("NewImage", "OldImage"):
        if image in change and image not in images and not _accepts_absence(change, image):
            yield f"the stream's view type leaves out {image}"
    for image in ("Keys", "NewImage", "OldImage"):
        if isinstance(change.get(image), Mapping):
            yield from _attributes(change[image], image)


def _attributes(attributes: Pattern, place: str) -> Iterator[str]:
    for name, condition in attributes.items():
        if name == "$or":
            yield from _all_alternatives([_attributes(each, place) for each in condition])
        elif isinstance(condition, Mapping):
            yield from _value(condition, f"{place}.{name}")
        elif not _accepts_absence(attributes, name):
            yield f"{place}.{name} is an object with a type letter, like {{S: [...]}}"


def _value(value: Pattern, place: str) -> Iterator[str]:
    for letter, condition in value.items():
        if letter == "$or":
            continue
        if letter not in _TYPE_LETTERS:
            # {"a": {"b": {"S": [...]}}} also matches an attribute whose name is "a.b".
            named_with_dot = isinstance(condition, Mapping) and condition.keys() <= _TYPE_LETTERS
            if not named_with_dot and not _accepts_absence(value, letter):
                yield f"{place} has a type letter ({', '.join(sorted(_TYPE_LETTERS))}) where the pattern has {letter}"
        elif letter == "M" and isinstance(condition, Mapping):
            yield from _attributes(condition, f"{place}.M")
        elif letter == "L" and isinstance(condition, Mapping):
            yield from _value(condition, f"{place}.L")
        elif isinstance(condition, list) and letter in _TEXTS and condition and all(map(_is_no_text, condition)):
            yield f"{place}.{letter} is a string in the record, even if it holds a number"
        elif isinstance(condition, list) and letter == "BOOL" and all(isinstance(each, str) for each in condition):
            yield f"{place}.BOOL is true or false in the record, not a string"


def _unknown_fields(pattern: Pattern, known: frozenset[str], where: str) -> Iterator[str]:
    for name in pattern:
        if name == "$or":
            yield from _all_alternatives([_unknown_fields(each, known, where) for each in pattern[name]])
        elif name not in known and not _accepts_absence(pattern, name):
            yield f"{where} has no {name}, only {', '.join(sorted(known))}"


def _all_alternatives(reasons: list[Iterator[str]]) -> Iterator[str]:
    """The reason against the first alternative, if there is a reason against each of them."""
    answers = [next(each, None) for each in reasons]
    if answers and all(answers):
        yield str(answers[0])


def _is_no_text(condition: Any) -> bool:
    if isinstance(condition, Mapping):
        return "numeric" in condition
    return condition is None or isinstance(condition, bool | int | float)


def _accepts_absence(pattern: Pattern, name: str) -> bool:
    return matches({name: pattern[name]}, {})
