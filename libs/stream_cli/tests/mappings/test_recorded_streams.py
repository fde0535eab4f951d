"""What stream mappings did on AWS, as LocalStack's tests recorded it.

Source: the snapshots that github.com/localstack/localstack recorded against AWS between October 2024 and April 2025,
`tests/aws/services/lambda_/event_source_mapping/test_lambda_integration_kinesis.snapshot.json` (and
`..._dynamodbstreams.snapshot.json` for DynamoDB). Each test names the recorded one.
"""

from __future__ import annotations

from typing import Any

import pytest
from stream_cli.mappings.failures import on_failure_record
from stream_cli.mappings.settings import source_of

STREAM = "arn:aws:kinesis:us-east-1:123456789012:stream/items"
TABLE = "arn:aws:dynamodb:us-east-1:123456789012:table/items/stream/2026-11-21T00:00:00.000"


def reported(shard: Any) -> list[dict[str, Any]]:
    """What the on-failure destination was told."""
    return [on_failure_record(given_up, shard.settings, "shardId-000000000000", 0) for given_up in shard.given_up]


@pytest.mark.parametrize("source", [STREAM, TABLE])
def test_what_a_partial_failure_leaves_is_a_fresh_batch(kit: Any, source: str) -> None:
    """`test_kinesis_report_batch_item_failures`, `test_dynamodb_report_batch_item_failures`.

    BatchSize 3, MaximumRetryAttempts 3, six records, the last one fails: the log of the function has it five times, and
    each of the others once.
    """
    settings = {"source": source_of(source), "batch_size": 3, "batch_window": 1, "max_retries": 3}
    shard = kit.simulate(kit.reporting(5), report_failures=True, **settings)
    shard.offer(*kit.records(range(6)))
    shard.advance(600)
    assert shard.batches == [[0, 1, 2], [3, 4, 5], [5], [5], [5], [5]]
    (told,) = reported(shard)
    assert told["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert told["requestContext"]["approximateInvokeCount"] == 4
    assert told["responseContext"] == {"statusCode": 200, "executedVersion": "$LATEST", "functionError": None}
    given_up = told["KinesisBatchInfo" if source == STREAM else "DDBStreamBatchInfo"]
    assert (given_up["startSequenceNumber"], given_up["endSequenceNumber"], given_up["batchSize"]) == (
        "0005",
        "0005",
        1,
    )


@pytest.mark.parametrize(
    "returned",
    [
        {"batchItemFailures": [{"itemIdentifier": 123}]},
        {"batchItemFailures": [{"itemIdentifier": ""}]},
        {"batchItemFailures": [{"itemIdentifier": None}]},
        {"batchItemFailures": [{"foo": 123}]},
        {"batchItemFailures": [{"foo": None}]},
    ],
)
def test_an_identifier_that_names_no_record_fails_the_batch(kit: Any, returned: Any) -> None:
    """`test_kinesis_report_batch_item_failure_scenarios`: BatchSize 1, MaximumRetryAttempts 2, three invocations."""
    shard = kit.simulate(lambda batch, call: returned, report_failures=True, batch_size=1, max_retries=2)
    shard.offer(*kit.records([1]))
    shard.advance(600)
    assert shard.batches == [[1]] * 3
    (told,) = reported(shard)
    assert told["requestContext"]["approximateInvokeCount"] == 3
    assert told["responseContext"]["functionError"] is None


def test_a_raised_error_fails_the_batch(kit: Any) -> None:
    """`test_kinesis_report_batch_item_failure_scenarios[unhandled_exception_in_function]`."""
    shard = kit.simulate(kit.raising_on(1), report_failures=True, batch_size=1, max_retries=2)
    shard.offer(*kit.records([1]))
    shard.advance(600)
    assert shard.batches == [[1]] * 3
    (told,) = reported(shard)
    assert told["requestContext"]["approximateInvokeCount"] == 3
    assert told["responseContext"]["functionError"] == "Unhandled"


@pytest.mark.parametrize("returned", [[], None, {}, "", {"batchItemFailures": []}, {"batchItemFailures": None}])
def test_a_response_without_failures_finishes_the_batch(kit: Any, returned: Any) -> None:
    """`test_kinesis_report_batch_item_success_scenarios`: BatchSize 1, MaximumRetryAttempts 2, one invocation."""
    shard = kit.simulate(lambda batch, call: returned, report_failures=True, batch_size=1, max_retries=2)
    shard.offer(*kit.records([1]))
    shard.advance(600)
    assert shard.batches == [[1]]
    assert shard.given_up == []


@pytest.mark.parametrize("source", [STREAM, TABLE])
def test_the_destination_is_told_after_the_retries(kit: Any, source: str) -> None:
    """`test_kinesis_event_source_mapping_with_on_failure_destination_config`, and the same for DynamoDB."""
    shard = kit.simulate(kit.raising_on(1), source=source_of(source), batch_size=1, batch_window=1, max_retries=1)
    shard.offer(*kit.records([1], at=1_657_720_081.0))
    shard.advance(600)
    (told,) = reported(shard)
    kinesis = source == STREAM
    arrival = "2022-07-13T13:48:01.000Z" if kinesis else "2022-07-13T13:48:01Z"
    assert told.pop("timestamp")
    assert told["requestContext"].pop("requestId")
    assert told == {
        "requestContext": {
            "functionArn": shard.settings.function_arn,
            "condition": "RetryAttemptsExhausted",
            "approximateInvokeCount": 2,
        },
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "version": "1.0",
        "KinesisBatchInfo" if kinesis else "DDBStreamBatchInfo": {
            "shardId": "shardId-000000000000",
            "startSequenceNumber": "0001",
            "endSequenceNumber": "0001",
            "approximateArrivalOfFirstRecord": arrival,
            "approximateArrivalOfLastRecord": arrival,
            "batchSize": 1,
            "streamArn": source,
        },
    }


def test_a_record_that_is_too_old_from_the_start_counts_as_invoked_once(kit: Any) -> None:
    """`test_kinesis_maximum_record_age_exceeded[expire-before-ingestion]`: MaximumRecordAgeInSeconds 60."""
    shard = kit.simulate(kit.raising_on(1), batch_size=1, batch_window=1, max_retries=0, max_age=60)
    shard.now = 61.0
    shard.offer(*kit.records([1], at=0))
    shard.advance(60)
    assert shard.batches == []
    (told,) = reported(shard)
    assert told["requestContext"]["condition"] == "RecordAgeExceeded"
    assert told["requestContext"]["approximateInvokeCount"] == 1
    assert "responseContext" not in told


def test_only_the_records_that_are_too_old_are_discarded(kit: Any) -> None:
    """`test_kinesis_maximum_record_age_exceeded_discard_records`: one record of 80 seconds, then five new ones."""
    shard = kit.simulate(batch_size=10, batch_window=1, max_retries=0, max_age=60)
    shard.now = 80.0
    shard.offer(kit.record(0, at=0), *kit.records(range(1, 6), at=80.0))
    shard.advance(60)
    assert shard.batches == [[1, 2, 3, 4, 5]]
    (told,) = reported(shard)
    assert told["requestContext"]["condition"] == "RecordAgeExceeded"
    assert told["requestContext"]["approximateInvokeCount"] == 1
    assert told["KinesisBatchInfo"]["batchSize"] == 1
