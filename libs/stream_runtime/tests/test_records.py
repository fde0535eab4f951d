"""How records are named for retry, ranked, and kept in order."""

from typing import Any

import pytest
from stream_runtime.engine.records import STREAM, UNIDENTIFIED, Identity, Positions, identify, order_key, uows_of


def kinesis(sequence_number: str, key: str = "k") -> dict[str, Any]:
    return {"eventID": f"s:{sequence_number}", "kinesis": {"sequenceNumber": sequence_number, "partitionKey": key}}


def test_a_kinesis_record_is_identified_by_its_sequence_number() -> None:
    assert identify(kinesis("9")) == Identity("9", STREAM)


def test_a_dynamodb_record_is_identified_by_its_sequence_number() -> None:
    assert identify({"dynamodb": {"SequenceNumber": "9"}}) == Identity("9", STREAM)


def test_a_message_is_identified_by_its_id_and_retried_alone() -> None:
    assert identify({"messageId": "m"}) == Identity("m", ("message", "m"))


def test_a_message_of_a_fifo_queue_is_retried_with_its_group() -> None:
    record = {"messageId": "m", "attributes": {"MessageGroupId": "g"}, "eventSourceARN": "arn:aws:sqs:r:1:q.fifo"}

    assert identify(record) == Identity("m", ("group", "g"))


@pytest.mark.parametrize("record", [{}, {"Sns": {}}, {"s3": {}}, "text", None, 5, ["list"]])
def test_any_other_record_has_no_identifier(record: Any) -> None:
    assert identify(record) == Identity(None, UNIDENTIFIED)


@pytest.mark.parametrize(
    ("uow", "key"),
    [
        ({"record": kinesis("1", "a"), "event": {"partition_key": "b"}}, "a"),
        ({"record": {"kinesis": {}}, "event": {"partition_key": "b"}}, "b"),
        ({"record": {"messageId": "m", "attributes": {"MessageGroupId": "g"}}}, "g"),
        ({"record": {"messageId": "m"}}, "m"),
        ({"record": {"s3": {}}, "event": {"partition_key": "b"}}, "b"),
        ({"record": {"s3": {}}, "event": {"partition_key": ["no", "text"]}}, "['no', 'text']"),
        ({"record": {"messageId": "m", "attributes": None}}, "m"),
        ({"record": {"dynamodb": {"Keys": {}}}, "event": {"partition_key": "b"}}, "b"),
        ({"record": {"kinesis": None}, "event": {"partition_key": "b"}}, "b"),
        ({"record": "text", "event": {"partition_key": "b"}}, "b"),
        ({"record": {}, "event": {}}, None),
        ({}, None),
    ],
)
def test_order_is_kept_by(uow: Any, key: str | None) -> None:
    assert order_key(uow) == key


def test_order_of_rows_is_kept_by_their_keys_however_they_are_written() -> None:
    one, same, other = (
        order_key({"record": {"dynamodb": {"Keys": keys}}})
        for keys in (
            {"pk": {"S": "1"}, "sk": {"S": "2"}},
            {"sk": {"S": "2"}, "pk": {"S": "1"}},
            {"pk": {"S": "1"}, "sk": {"S": "3"}},
        )
    )

    assert one == same != other


@pytest.mark.parametrize(
    ("uow", "ids"),
    [
        ({"id": 1}, [1]),
        ({"batch": [{"id": 1}, {"batch": [{"id": 2}, {"id": 3}]}]}, [1, 2, 3]),
        ([{"id": 1}, ({"id": 2},)], [1, 2]),
        ({"batch": []}, []),
        ({"id": 1, "batch": "a field of the user's own"}, [1]),
        ("no unit of work", [None]),
        (None, [None]),
    ],
)
def test_single_units_of_work_are_found_in_every_form(uow: Any, ids: list[Any]) -> None:
    assert [single.get("id") for single in uows_of(uow)] == ids


def test_records_of_a_stream_are_ordered_by_sequence_number() -> None:
    records = [kinesis("10"), kinesis("9"), kinesis("11")]
    positions = Positions(records)

    assert [identity.identifier for identity in positions.identities] == ["9", "10", "11"]
    assert positions.of({"record": records[0]}) == [1]


def test_records_of_a_queue_keep_their_order() -> None:
    positions = Positions([{"messageId": "b"}, {"messageId": "a"}])

    assert positions.of({"record": {"messageId": "b"}}) == [0]


def test_units_of_work_of_one_record_have_one_position() -> None:
    record = {"messageId": "a"}

    assert Positions([record, record]).of({"record": record}) == [1]


def test_a_batch_has_the_positions_of_all_its_members() -> None:
    records = [kinesis("1"), kinesis("2")]

    assert Positions(records).of({"batch": [{"record": records[1]}, {"record": records[0]}]}) == [1, 0]


@pytest.mark.parametrize("lost", [{}, {"record": None}, {"record": {}}, {"record": kinesis("7")}, None])
def test_a_batch_with_an_unknown_member_has_no_position(lost: Any) -> None:
    record = kinesis("1")

    assert Positions([record]).of({"batch": [{"record": record}, lost]}) == []
