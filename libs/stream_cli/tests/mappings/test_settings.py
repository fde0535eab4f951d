"""Reading a mapping's configuration, as the API returns it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from stream_cli.mappings.settings import InvalidMapping, MappingSettings, source_of

STREAM = "arn:aws:kinesis:eu-west-1:123456789012:stream/items"
TABLE = "arn:aws:dynamodb:eu-west-1:123456789012:table/view/stream/2026-01-01T00:00:00.000"
FUNCTION = "arn:aws:lambda:eu-west-1:123456789012:function:listener"


def read(**fields: Any) -> MappingSettings:
    given = {"UUID": "u", "FunctionArn": FUNCTION, "EventSourceArn": STREAM, **fields}
    return MappingSettings.from_configuration(given)


def test_missing_settings_have_the_defaults_of_the_api() -> None:
    settings = read()
    assert (settings.batch_size, settings.batch_window, settings.parallelization_factor) == (100, 0, 1)
    assert (settings.max_retries, settings.max_age, settings.bisect, settings.report_failures) == (-1, -1, False, False)
    assert (settings.destination_arn, settings.filter_patterns, settings.enabled) == (None, (), True)


def test_every_setting_is_read() -> None:
    settings = read(
        State="Enabled",
        BatchSize=7,
        MaximumBatchingWindowInSeconds=3,
        StartingPosition="AT_TIMESTAMP",
        StartingPositionTimestamp=1_700_000_000.5,
        ParallelizationFactor=4,
        MaximumRetryAttempts=2,
        MaximumRecordAgeInSeconds=60,
        BisectBatchOnFunctionError=True,
        FunctionResponseTypes=["ReportBatchItemFailures"],
        DestinationConfig={"OnFailure": {"Destination": "arn:aws:sqs:eu-west-1:123456789012:dead"}},
        FilterCriteria={"Filters": [{"Pattern": '{"a": [1]}'}, {"Pattern": '{"b": [2]}'}]},
        LastModified=1_700_000_001.25,
    )
    assert (settings.batch_size, settings.batch_window) == (7, 3.0)
    assert (settings.starting_position, settings.starting_timestamp) == ("AT_TIMESTAMP", 1_700_000_000.5)
    assert (settings.parallelization_factor, settings.max_retries, settings.max_age) == (4, 2, 60.0)
    assert (settings.bisect, settings.report_failures) == (True, True)
    assert settings.destination_arn == "arn:aws:sqs:eu-west-1:123456789012:dead"
    assert settings.filter_patterns == ('{"a": [1]}', '{"b": [2]}')
    assert settings.last_modified == 1_700_000_001.25


def test_timestamps_are_read_as_boto3_returns_them_too() -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    assert (
        read(StartingPosition="AT_TIMESTAMP", StartingPositionTimestamp=moment).starting_timestamp == moment.timestamp()
    )


def test_empty_and_null_settings_count_as_not_given() -> None:
    settings = read(
        FilterCriteria=None, DestinationConfig={"OnFailure": {}}, FunctionResponseTypes=None, BatchSize=None
    )
    assert (settings.filter_patterns, settings.destination_arn, settings.report_failures) == ((), None, False)
    assert settings.batch_size == 100


@pytest.mark.parametrize("state", ["Disabled", "Disabling", "Deleting"])
def test_a_mapping_that_is_not_enabled_is_not_served(state: str) -> None:
    assert not read(State=state).enabled


def test_a_consumer_stands_for_its_stream() -> None:
    source = source_of(f"{STREAM}/consumer/fast:1700000000")
    assert (source.kind, source.stream_arn, source.name, source.region) == ("kinesis", STREAM, "items", "eu-west-1")
    assert source.arn.endswith("/consumer/fast:1700000000")


def test_a_table_stream_is_known_by_its_table() -> None:
    source = source_of(TABLE)
    assert (source.kind, source.name) == ("dynamodb", "view")


@pytest.mark.parametrize(
    "arn", ["", "arn:aws:sqs:eu-west-1:123456789012:queue", "items", TABLE.partition("/stream")[0]]
)
def test_other_sources_are_refused(arn: str) -> None:
    with pytest.raises(InvalidMapping):
        source_of(arn)


@pytest.mark.parametrize(
    "fields",
    [
        {"BatchSize": 0},
        {"BatchSize": 10_001},
        {"MaximumBatchingWindowInSeconds": 301},
        {"ParallelizationFactor": 11},
        {"MaximumRetryAttempts": -2},
        {"MaximumRecordAgeInSeconds": 604_801},
        {"TumblingWindowInSeconds": 901},
        {"TumblingWindowInSeconds": 60, "ParallelizationFactor": 2},
        {"StartingPosition": "AT_TIMESTAMP"},
        {"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": 1, "EventSourceArn": TABLE},
        {"StartingPosition": "EARLIEST"},
    ],
)
def test_what_aws_refuses_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidMapping):
        read(**fields)
