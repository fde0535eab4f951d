"""Notifications of S3: real event names, decoded keys."""

from typing import Any

import pytest
from stream_runtime.events import from_s3, to_s3_records


def event_of(key: str = "a", event_name: str = "ObjectCreated:Put") -> dict[str, Any]:
    notification = {"bucket": {"name": "drops"}, "object": {"key": key}, "eventName": event_name}
    event: dict[str, Any] = from_s3(to_s3_records([notification]))[0]["event"]
    return event


@pytest.mark.parametrize(
    ("event_name", "type_"),
    [
        ("ObjectCreated:Put", "object-created"),
        ("ObjectCreated:Copy", "object-created"),
        ("ObjectCreated:CompleteMultipartUpload", "object-created"),
        ("s3:ObjectCreated:Post", "object-created"),
        ("ObjectRemoved:Delete", "object-deleted"),
        ("ObjectRemoved:DeleteMarkerCreated", "object-deleted"),
        ("LifecycleExpiration:Delete", "object-deleted"),
        ("ObjectRestore:Completed", "object-restored"),
    ],
)
def test_every_real_event_name_has_a_type(event_name: str, type_: str) -> None:
    assert event_of(event_name=event_name)["type"] == type_


def test_the_key_is_decoded() -> None:
    assert event_of(key="in/a b+c&ü.csv")["s3"]["object"]["key"] == "in/a b+c&ü.csv"


def test_the_id_is_the_same_at_every_delivery() -> None:
    assert event_of()["id"] == event_of()["id"]


def test_an_unknown_s3_event_name_is_poison() -> None:
    (uow,) = from_s3(to_s3_records([{"bucket": {"name": "b"}, "object": {"key": "k"}, "eventName": "Moon:Full"}]))
    assert "Moon:Full" in str(uow["invalid"])
