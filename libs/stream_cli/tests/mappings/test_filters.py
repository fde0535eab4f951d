"""What filter patterns see of a record, and which records they keep."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from stream_cli.mappings.filters import compile_filters
from stream_cli.mappings.records import dynamodb_event_record, kinesis_event_record
from stream_cli.mappings.settings import source_of
from stream_cli.patterns import InvalidPattern

STREAM = source_of("arn:aws:kinesis:eu-west-1:123456789012:stream/items")
TABLE = source_of("arn:aws:dynamodb:eu-west-1:123456789012:table/view/stream/2026-01-01T00:00:00.000")


def kinesis(data: Any, key: str = "item-1") -> dict[str, Any]:
    payload = data if isinstance(data, bytes) else json.dumps(data).encode()
    raw = {
        "PartitionKey": key,
        "SequenceNumber": "495",
        "Data": base64.b64encode(payload).decode(),
        "ApproximateArrivalTimestamp": 1_545_084_650.987,
    }
    return kinesis_event_record(raw, "shardId-000000000006", STREAM, "arn:aws:iam::123456789012:role/r")


def dynamodb(name: str = "INSERT", **image: Any) -> dict[str, Any]:
    raw = {
        "eventID": "1",
        "eventName": name,
        "dynamodb": {"Keys": {"pk": {"S": "1"}}, "NewImage": image, "SequenceNumber": "1",
                     "ApproximateCreationDateTime": 1_479_499_740},
    }  # fmt: skip
    return dynamodb_event_record(raw, TABLE)


def keeps(kind: Any, record: dict[str, Any], *patterns: Any) -> bool:
    return compile_filters(kind, [json.dumps(pattern) for pattern in patterns])(record)


def test_without_a_pattern_all_records_are_kept() -> None:
    assert keeps("kinesis", kinesis(b"\xff"))
    assert keeps("dynamodb", dynamodb())


def test_a_record_is_kept_when_any_pattern_matches() -> None:
    record = kinesis({"type": "b"})
    assert keeps("kinesis", record, {"data": {"type": ["a"]}}, {"data": {"type": ["b"]}})
    assert not keeps("kinesis", record, {"data": {"type": ["a"]}}, {"data": {"type": ["c"]}})


def test_kinesis_patterns_see_the_decoded_data_next_to_the_metadata() -> None:
    record = kinesis({"item": {"score": 0.5}})
    assert keeps(
        "kinesis", record, {"data": {"item": {"score": [{"numeric": [">", 0.4]}]}}, "partitionKey": ["item-1"]}
    )
    assert keeps("kinesis", record, {"approximateArrivalTimestamp": [{"numeric": [">", 1_545_084_650]}]})
    assert keeps("kinesis", record, {"sequenceNumber": ["495"], "eventSource": ["aws:kinesis"]})
    assert not keeps("kinesis", record, {"partitionKey": ["item-2"]})
    assert not keeps("kinesis", record, {"kinesis": {"partitionKey": ["item-1"]}})


@pytest.mark.parametrize("data", [b"plain text", b"\xff\xfe", b"{broken", b""])
def test_a_pattern_on_data_drops_records_that_are_not_json(data: bytes) -> None:
    assert not keeps("kinesis", kinesis(data), {"data": {"type": ["a"]}})
    assert not keeps("kinesis", kinesis(data), {"data": {"type": [{"exists": False}]}})
    assert not keeps("kinesis", kinesis(data), {"data": {"type": [{"exists": False}]}, "partitionKey": ["item-1"]})


def test_a_pattern_on_metadata_alone_keeps_records_that_are_not_json() -> None:
    assert keeps("kinesis", kinesis(b"plain"), {"partitionKey": ["item-1"]})
    assert keeps("kinesis", kinesis(b"plain"), {"data": {"a": [1]}}, {"partitionKey": ["item-1"]})


def test_dynamodb_patterns_see_the_record_with_its_type_letters() -> None:
    record = dynamodb(status={"S": "ready"}, score={"N": "5"})
    assert keeps("dynamodb", record, {"eventName": ["INSERT"], "dynamodb": {"NewImage": {"status": {"S": ["ready"]}}}})
    assert not keeps("dynamodb", record, {"dynamodb": {"NewImage": {"status": ["ready"]}}})


def test_numbers_in_dynamodb_images_are_strings() -> None:
    record = dynamodb(score={"N": "5"})
    assert not keeps("dynamodb", record, {"dynamodb": {"NewImage": {"score": {"N": [{"numeric": ["=", 5]}]}}}})
    assert keeps("dynamodb", record, {"dynamodb": {"NewImage": {"score": {"N": ["5"]}}}})


def test_the_creation_time_of_a_dynamodb_record_is_a_number() -> None:
    pattern = {"dynamodb": {"ApproximateCreationDateTime": [{"numeric": [">=", 1_479_499_740]}]}}
    assert keeps("dynamodb", dynamodb(), pattern)


def test_an_invalid_pattern_is_refused_with_its_number_and_place() -> None:
    with pytest.raises(InvalidPattern) as refused:
        compile_filters("kinesis", ['{"data": {"a": [1]}}', '{"data": {"a": "x"}}'])
    assert refused.value.path == "filterPatterns[1].data.a"
    with pytest.raises(InvalidPattern):
        compile_filters("dynamodb", ["not json"])


def test_a_condition_on_the_payload_itself_is_refused() -> None:
    with pytest.raises(InvalidPattern, match="data"):
        compile_filters("kinesis", ['{"data": ["x"]}'])


def sqs(body: str) -> dict[str, Any]:
    return {"messageId": "1", "body": body, "eventSource": "aws:sqs"}


def test_sqs_patterns_see_the_decoded_body() -> None:
    record = sqs('{"item": {"score": 0.5}, "kinds": ["a", "b"]}')
    assert keeps("sqs", record, {"body": {"item": {"score": [{"numeric": [">", 0.4]}]}}})
    assert keeps("sqs", record, {"body.item.score": [0.5], "body": {"kinds": ["b"]}})
    assert not keeps("sqs", record, {"body": {"item": {"score": [{"numeric": ["<", 0.4]}]}}})
    assert not keeps("sqs", record, {"item": {"score": [0.5]}})


def test_a_pattern_on_a_body_that_is_text_sees_the_text() -> None:
    assert keeps("sqs", sqs("plain"), {"body": [{"prefix": "pl"}]})
    assert keeps("sqs", sqs("17"), {"body": ["17"]})
    assert not keeps("sqs", sqs('{"a": 1}'), {"body": [{"prefix": "{"}]})


@pytest.mark.parametrize("body", ["plain text", "{broken", "", "17"])
def test_a_pattern_on_fields_of_the_body_drops_messages_that_are_text(body: str) -> None:
    assert not keeps("sqs", sqs(body), {"body": {"type": ["a"]}})
    assert not keeps("sqs", sqs(body), {"body": {"type": [{"exists": False}]}})
    assert not keeps("sqs", sqs(body), {"body.type": [{"exists": False}]})
    assert keeps("sqs", sqs(body), {"body": {"type": ["a"]}}, {"eventSource": ["aws:sqs"]})


@pytest.mark.parametrize("kind", ["kinesis", "dynamodb", "sqs"])
def test_wildcards_that_are_too_complex_are_refused_in_filters(kind: Any) -> None:
    with pytest.raises(InvalidPattern, match="too complex"):
        compile_filters(kind, ['{"data": {"bus": [{"wildcard": "*:*:*:*:*:event-bus/*"}]}}'])


# --- recorded on AWS by LocalStack, tests/aws/services/lambda_/event_source_mapping ---


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ({"body": {"testItem": ["test24"]}}, {"testItem": "test24"}, {"testItem": "tesWER"}),
        ({"body": {"testItem": ["test24", "test45"]}}, {"testItem": "test45"}, {"testItem": "WERTD"}),
        (
            {"body": {"testItem": ["test24", "test45"], "test2": ["go"]}},
            {"testItem": "test45", "test2": "go"},
            {"testItem": "test67", "test2": "go"},
        ),
        ({"body": {"test2": [{"exists": True}]}}, {"test2": "7411"}, {"test5": "74545"}),
        ({"body": {"test2": [{"numeric": [">", 100]}]}}, {"test2": 105}, "this is a test string"),
        ({"body": {"test2": [{"numeric": ["<", 100]}]}}, {"test2": 93}, {"test2": 105}),
        ({"body": {"test2": [{"numeric": [">=", 100, "<", 200]}]}}, {"test2": 105}, {"test2": 200}),
        ({"body": {"test2": [{"prefix": "us-1"}]}}, {"test2": "us-1-48454"}, {"test2": "eu-wert"}),
    ],
)
def test_filters_of_queues_keep_what_was_recorded_on_aws(pattern: Any, matching: Any, other: Any) -> None:
    """`test_lambda_integration_sqs.py::test_sqs_event_filter`."""
    assert keeps("sqs", sqs(json.dumps(matching)), pattern)
    assert not keeps("sqs", sqs(other if isinstance(other, str) else json.dumps(other)), pattern)


@pytest.mark.parametrize(
    ("pattern", "records", "kept"),
    [
        ({"eventName": ["INSERT"]}, [dynamodb("INSERT"), dynamodb("MODIFY")], [True, False]),
        ({"eventName": ["INSERT", "MODIFY"]}, [dynamodb("INSERT"), dynamodb("MODIFY")], [True, True]),
        (
            {"dynamodb": {"NewImage": {"presentKey": {"S": ["presentValue"]}}}},
            [dynamodb(presentKey={"S": "presentValue"}), dynamodb()],
            [True, False],
        ),
        (
            {"dynamodb": {"NewImage": {"presentKey": {"S": [{"exists": True}]}}}},
            [dynamodb(presentKey={"S": "presentValue"}), dynamodb()],
            [True, False],
        ),
        (
            {"dynamodb": {"NewImage": {"prefix": {"S": [{"prefix": "us-1"}]}}}},
            [dynamodb(prefix={"S": "us-1-other-suffix"}), dynamodb(prefix={"S": "other-suffix"})],
            [True, False],
        ),
        ({"dynamodb": {"ApproximateCreationDateTime": [{"numeric": [">", 0]}]}}, [dynamodb()], [True]),
    ],
)
def test_filters_of_tables_keep_what_was_recorded_on_aws(pattern: Any, records: list[Any], kept: list[bool]) -> None:
    """`test_lambda_integration_dynamodbstreams.py::test_dynamodb_event_filter`."""
    assert [keeps("dynamodb", record, pattern) for record in records] == kept
