"""Records of DynamoDB streams: types, images, replicas, removals by TTL."""

from decimal import Decimal
from typing import Any

import pytest
from stream_runtime.events import from_dynamodb, to_dynamodb_records
from stream_runtime.filters import out_latched, out_ttl_removal

KEYS = {"pk": "t1", "sk": "thing"}


def events(*changes: dict[str, Any], **options: Any) -> list[dict[str, Any]]:
    return [uow["event"] for uow in from_dynamodb(to_dynamodb_records(changes), **options)]


def change(new: dict[str, Any] | None = None, old: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    images = {name: {**KEYS, **image} for name, image in (("newImage", new), ("oldImage", old)) if image is not None}
    return {"keys": KEYS, **images, **more}


@pytest.mark.parametrize(
    ("row", "type_"),
    [
        (change(new={}), "thing-created"),
        (change(new={}, old={}), "thing-updated"),
        (change(old={}), "thing-deleted"),
        (change(new={"deleted": True}, old={}), "thing-deleted"),
        (change(new={"deleted": None}, old={"deleted": True}), "thing-undeleted"),
        (change(new={"discriminator": "Box"}), "Box-created"),
    ],
    ids=["insert", "modify", "remove", "soft delete", "undelete", "discriminator"],
)
def test_the_type_says_what_happened_to_which_kind_of_row(row: dict[str, Any], type_: str) -> None:
    assert [event["type"] for event in events(row)] == [type_]


def test_a_table_may_have_other_key_names() -> None:
    row = {"keys": {"a": "t1", "b": "x"}, "newImage": {"a": "t1", "b": "x", "kind": "box"}}
    (event,) = events(row, pk_fn="a", sk_fn="b", discriminator_fn="kind")
    assert (event["partition_key"], event["type"]) == ("t1", "box-created")


def test_a_prefix_names_the_rows_of_a_table_with_one_kind() -> None:
    assert [event["type"] for event in events(change(new={}), event_type_prefix="order")] == ["order-created"]


def test_numbers_keep_their_precision() -> None:
    (event,) = events(change(new={"whole": 12345678901234567890, "part": Decimal("0.1")}))
    assert (event["raw"]["new"]["whole"], event["raw"]["new"]["part"]) == (12345678901234567890, Decimal("0.1"))


def test_the_row_s_own_timestamp_wins_over_the_stream_s() -> None:
    assert [event["timestamp"] for event in events(change(new={"timestamp": 5}, timestamp=9))] == [5]
    assert [event["timestamp"] for event in events(change(new={}, timestamp=9))] == [9000]


def test_rows_that_another_region_wrote_are_left_to_it() -> None:
    rows = [change(new={"awsregion": region}) for region in ("us-west-2", "eu-west-1")]
    assert len(events(*rows)) == 1
    assert len(events(*rows, ignore_replicas=False)) == 2


def test_a_removal_by_ttl_can_be_told_from_one_by_hand() -> None:
    uows = from_dynamodb(to_dynamodb_records([change(old={}, ttl_removal=True), change(old={})]))
    assert [out_ttl_removal(uow) for uow in uows] == [False, True]


def test_a_latched_row_is_told_from_one_that_a_command_wrote() -> None:
    rows = [change(new={"latched": True}), change(new={"latched": None}), change(old={"latched": True})]
    assert [out_latched(uow) for uow in from_dynamodb(to_dynamodb_records(rows))] == [False, True, False]
