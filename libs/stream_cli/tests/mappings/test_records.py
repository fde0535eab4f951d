"""The events that functions receive, and the records that on-failure destinations get."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from stream_cli.mappings.failures import object_key, on_failure_record
from stream_cli.mappings.outcomes import Invocation
from stream_cli.mappings.records import (
    WindowContext,
    dynamodb_event_record,
    invocation_event,
    iso_time,
    item_key,
    kinesis_event_record,
)
from stream_cli.mappings.settings import source_of
from stream_cli.mappings.shard import GivenUp

STREAM = source_of("arn:aws:kinesis:eu-west-1:123456789012:stream/items")
TABLE = source_of("arn:aws:dynamodb:eu-west-1:123456789012:table/view/stream/2026-01-01T00:00:00.000")


def test_a_kinesis_record_has_the_shape_of_the_developer_guide() -> None:
    raw = {"PartitionKey": "1", "SequenceNumber": "49", "Data": "SGk=", "ApproximateArrivalTimestamp": 1545084650.987}
    assert kinesis_event_record(raw, "shardId-000000000006", STREAM, "arn:aws:iam::123456789012:role/r") == {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": "1",
            "sequenceNumber": "49",
            "data": "SGk=",
            "approximateArrivalTimestamp": 1545084650.987,
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": "shardId-000000000006:49",
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": "arn:aws:iam::123456789012:role/r",
        "awsRegion": "eu-west-1",
        "eventSourceARN": "arn:aws:kinesis:eu-west-1:123456789012:stream/items",
    }


def test_a_dynamodb_record_is_passed_on_with_its_stream() -> None:
    raw = {"eventID": "1", "eventName": "INSERT", "dynamodb": {"Keys": {"pk": {"B": "AAE="}}}}
    assert dynamodb_event_record(raw, TABLE) == {**raw, "eventSourceARN": TABLE.arn}


def test_a_function_gets_the_identity_of_ttl_in_the_names_of_its_event() -> None:
    raw = {"eventName": "REMOVE", "userIdentity": {"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"}}
    assert dynamodb_event_record(raw, TABLE) == {
        "eventName": "REMOVE",
        "userIdentity": {"principalId": "dynamodb.amazonaws.com", "type": "Service"},
        "eventSourceARN": TABLE.arn,
    }


def test_the_key_of_an_item_does_not_depend_on_the_order_of_its_attributes() -> None:
    one = {"dynamodb": {"Keys": {"pk": {"S": "1"}, "sk": {"N": "2"}}}}
    other = {"dynamodb": {"Keys": {"sk": {"N": "2"}, "pk": {"S": "1"}}}}
    assert item_key(one) == item_key(other)
    assert item_key(one) != item_key({"dynamodb": {"Keys": {"pk": {"S": "2"}, "sk": {"N": "2"}}}})


def test_an_invocation_event_holds_the_records() -> None:
    event = json.loads(invocation_event([b'{"a":1}', b'{"a":2}'], None, "s", "arn"))
    assert event == {"Records": [{"a": 1}, {"a": 2}]}


def test_with_a_window_the_event_has_window_and_state() -> None:
    window = WindowContext(1_596_128_400, 1_596_128_700, {"1": "282"}, False, False)
    assert json.loads(invocation_event([b"{}"], window, "shardId-000000000006", STREAM.arn)) == {
        "Records": [{}],
        "window": {"start": "2020-07-30T17:00:00Z", "end": "2020-07-30T17:05:00Z"},
        "state": {"1": "282"},
        "shardId": "shardId-000000000006",
        "eventSourceARN": STREAM.arn,
        "isFinalInvokeForWindow": False,
        "isWindowTerminatedEarly": False,
    }


def test_times_are_written_in_utc() -> None:
    assert iso_time(0.25, "milliseconds") == "1970-01-01T00:00:00.250Z"
    assert iso_time(0.25, "seconds") == "1970-01-01T00:00:00Z"
    assert iso_time(60) == "1970-01-01T00:01:00Z"


def given_up(kit: Any, **fields: Any) -> GivenUp:
    records = (kit.record(1, at=1_573_687_429.102), kit.record(2, at=1_573_687_430.5))
    invocation = Invocation(b"{}", "Unhandled", "c9b8fa9f")
    made = {"id": 1, "lane": 0, "records": records, "condition": "RetryAttemptsExhausted", "invocations": 3}
    return GivenUp(**{**made, "invocation": invocation, **fields})


def test_the_on_failure_record_of_kinesis(kit: Any) -> None:
    record = on_failure_record(given_up(kit), kit.settings(), "shardId-000000000001", 1_573_690_429.717)
    assert record == {
        "requestContext": {
            "requestId": "c9b8fa9f",
            "functionArn": "arn:aws:lambda:us-east-1:123456789012:function:listener",
            "condition": "RetryAttemptsExhausted",
            "approximateInvokeCount": 3,
        },
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "version": "1.0",
        "timestamp": "2019-11-14T00:13:49.717Z",
        "KinesisBatchInfo": {
            "shardId": "shardId-000000000001",
            "startSequenceNumber": "0001",
            "endSequenceNumber": "0002",
            "approximateArrivalOfFirstRecord": "2019-11-13T23:23:49.102Z",
            "approximateArrivalOfLastRecord": "2019-11-13T23:23:50.500Z",
            "batchSize": 2,
            "streamArn": "arn:aws:kinesis:us-east-1:123456789012:stream/items",
        },
    }


def test_the_on_failure_record_of_dynamodb_has_whole_seconds(kit: Any) -> None:
    record = on_failure_record(given_up(kit), kit.settings(source=TABLE), "shardId-1", 0)
    assert "KinesisBatchInfo" not in record
    assert record["DDBStreamBatchInfo"]["approximateArrivalOfFirstRecord"] == "2019-11-13T23:23:49Z"
    assert record["DDBStreamBatchInfo"]["streamArn"] == TABLE.arn


def test_a_partial_failure_has_no_function_error(kit: Any) -> None:
    record = on_failure_record(given_up(kit, partial=True), kit.settings(), "s", 0)
    assert record["responseContext"]["functionError"] is None


def test_records_that_became_too_old_have_no_response(kit: Any) -> None:
    record = on_failure_record(
        given_up(kit, condition="RecordAgeExceeded", invocation=None, invocations=0), kit.settings(), "s", 0
    )
    assert "responseContext" not in record
    assert record["requestContext"]["condition"] == "RecordAgeExceeded"
    assert record["requestContext"]["approximateInvokeCount"] == 1
    assert record["requestContext"]["requestId"]


def test_the_on_failure_record_names_the_stream_of_a_consumer(kit: Any) -> None:
    consumer = source_of(f"{STREAM.arn}/consumer/fast:1")
    record = on_failure_record(given_up(kit), kit.settings(source=consumer), "s", 0)
    assert record["KinesisBatchInfo"]["streamArn"] == STREAM.arn


@pytest.mark.parametrize("_", range(2))
def test_an_s3_object_is_named_by_mapping_shard_and_time(_: int) -> None:
    key = object_key("0b7c", "shardId-000000000001", 1_573_690_429.717)
    assert re.fullmatch(
        r"aws/lambda/0b7c/shardId-000000000001/2019/11/14/2019-11-14T00\.13\.49-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
        key,
    )
