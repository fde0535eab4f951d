"""Metrics in the embedded format: off by default, one line an invocation, what the line says."""

import json
from decimal import Decimal
from typing import Any

import pytest
from stream_runtime import stream_handler
from stream_runtime.engine.metrics import Meter, arrival_ms, payload_bytes, spread, write_metrics
from stream_runtime.engine.run import Run
from stream_runtime.events import from_kinesis, from_sqs, to_kinesis_records, to_sqs_records
from stream_runtime.flavors import task

RULE = {"id": "work", "flavor": task, "event_type": "thing", "execute": lambda uow: None}


def things(count: int, **fields: Any) -> list[dict[str, Any]]:
    return [
        {"id": f"e{n}", "type": "thing", "timestamp": 1_700_000_000_000, "partition_key": f"k{n}", **fields}
        for n in range(count)
    ]


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """The lines that an invocation with these rules writes."""
    monkeypatch.setenv("METRICS", "true")
    monkeypatch.setenv("SERVICE", "things")

    def written(rules: list[Any], events: list[Any]) -> list[dict[str, Any]]:
        stream_handler(rules, from_kinesis)(to_kinesis_records(events), None)
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return written


def test_without_the_setting_nothing_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    stream_handler([RULE], from_kinesis)(to_kinesis_records(things(3)), None)
    assert capsys.readouterr().out == ""


def test_an_invocation_writes_one_line(lines: Any) -> None:
    assert len(lines([RULE], things(3))) == 1


def test_the_line_counts_records_units_and_bytes(lines: Any) -> None:
    (line,) = lines([RULE, {**RULE, "id": "other", "event_type": "nothing"}], things(3))
    assert (line["Records"], line["Uows"], line["work.Uows"], line["other.Uows"]) == (3, 3, 3, 0)
    assert line["PayloadReceived"] > 3 * 50


def test_every_value_has_a_metric_and_every_metric_a_value(lines: Any) -> None:
    (line,) = lines([RULE], things(1))
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    named = {metric["Name"] for metric in directive["Metrics"]}
    (dimensions,) = directive["Dimensions"]
    assert named | set(dimensions) | {"_aws"} == set(line)
    assert directive["Namespace"] == "StreamRuntime"
    assert line["source"] == "things"


def test_a_function_writes_its_own_metrics(capsys: pytest.CaptureFixture[str]) -> None:
    write_metrics("things", {"Stage": "dev"}, [("Taken", "Count", 3), ("Amount", "None", Decimal("40.25"))])

    line = json.loads(capsys.readouterr().out)
    assert (line["Stage"], line["Taken"], line["Amount"]) == ("dev", 3, 40.25)
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert (directive["Namespace"], directive["Dimensions"]) == ("things", [["Stage"]])
    assert directive["Metrics"] == [{"Name": "Taken", "Unit": "Count"}, {"Name": "Amount", "Unit": "None"}]


def test_the_share_of_a_pipeline_is_of_the_time_of_all(lines: Any) -> None:
    (line,) = lines([RULE, {**RULE, "id": "other"}], things(50))
    assert line["work.Share"] + line["other.Share"] == pytest.approx(100, abs=0.1)


def test_the_wait_in_the_channel_is_the_age_of_the_records(lines: Any) -> None:
    (line,) = lines([RULE], things(2))
    assert min(line["ChannelWait"]) > 0


def test_calls_are_timed_step_by_step(lines: Any, bus: Any) -> None:
    (line,) = lines([{**RULE, "emit": "done"}], things(12))
    step = "work.publish_to_event_bridge.put_events"
    assert line[f"{step}.Calls"] == 2
    assert len(line[f"{step}.IoTime"]) == 2
    assert line["PayloadSent"] > 0


def test_faults_are_counted(lines: Any, bus: Any) -> None:
    def fail(uow: Any) -> None:
        raise ValueError

    assert lines([{**RULE, "execute": fail}], things(2))[0]["Faults"] == 2


def test_retries_and_what_is_left_are_counted(
    lines: Any, bus: Any, throttled: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETRY_ATTEMPTS", "3")
    bus.fails(throttled, 3)
    (line,) = lines([{**RULE, "emit": "done"}], things(1))
    assert (line["Retries"], line["Unfinished"]) == (2, 1)


def test_the_utilization_is_of_the_mapping_s_batch_size(lines: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "BatchUtilization" not in lines([RULE], things(1))[0]
    monkeypatch.setenv("BATCH_SIZE", "100")
    assert lines([RULE], things(25))[0]["BatchUtilization"] == 25


def test_more_than_a_hundred_metrics_take_several_directives(lines: Any) -> None:
    (line,) = lines([{**RULE, "id": f"r{number}"} for number in range(60)], things(1))
    assert all(len(directive["Metrics"]) <= 100 for directive in line["_aws"]["CloudWatchMetrics"])
    assert len(line["_aws"]["CloudWatchMetrics"]) == 2


def test_a_hundred_of_many_values_are_written_with_the_extremes() -> None:
    values = spread(float(number) for number in range(1000))
    assert (len(values), values[0], values[-1]) == (100, 0.0, 999.0)


@pytest.mark.parametrize(
    ("record", "arrived"),
    [
        ({"kinesis": {"approximateArrivalTimestamp": 1.5}}, 1500),
        ({"dynamodb": {"ApproximateCreationDateTime": 2}}, 2000),
        ({"messageId": "m", "attributes": {"SentTimestamp": "3000"}}, 3000),
        ({"Sns": {"Timestamp": "1970-01-01T00:00:04.000Z"}}, 4000),
        ({"s3": {}, "eventTime": "1970-01-01T00:00:05.000Z"}, 5000),
        ({"recordId": "r", "approximateArrivalTimestamp": 6000}, 6000),
        ({"time": "1970-01-01T00:00:07Z"}, 7000),
        ({}, None),
    ],
)
def test_every_source_says_when_a_record_arrived(record: Any, arrived: int | None) -> None:
    assert arrival_ms(record) == arrived


def test_the_payload_of_a_message_is_its_body() -> None:
    assert payload_bytes({"body": "Ü"}) == 2
    assert payload_bytes({"dynamodb": {"SizeBytes": 7}}) == 7


def test_outcomes_are_counted_by_name() -> None:
    run = Run(())
    run.count("condition_failed", 2)
    assert Meter().document(run, ())["Outcome.condition_failed"] == 2


def test_a_queue_s_batch_has_a_line_too(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("METRICS", "true")
    stream_handler([RULE], from_sqs)(to_sqs_records(things(2)), None)
    assert json.loads(capsys.readouterr().out)["Records"] == 2
