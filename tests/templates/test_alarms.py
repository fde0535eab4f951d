"""Alarms on everything that can fail permanently; the README has each of them."""

import json
import re
from pathlib import Path

import pytest

SERVICES = Path(__file__).resolve().parents[2] / "services"
HUB = [("event-hub", stage) for stage in ("local", "dev", "prod", "full")]


def alarms(stack):
    """Every alarm of a stack, its values resolved, by logical id."""
    return {name: stack.resolve(alarm) for name, alarm in stack.of_type("AWS::CloudWatch::Alarm").items()}


def watched(stack, metric):
    """What the alarms on a metric watch: the values of their dimensions, by name."""
    return [
        {each["Name"]: each["Value"] for each in alarm["Dimensions"]}
        for alarm in alarms(stack).values()
        if alarm["MetricName"] == metric
    ]


def test_every_service_expands_its_alarms_with_the_same_file():
    """A service is copied alone, so each service has a copy."""
    copies = {path: path.read_bytes() for path in SERVICES.glob("*/resources/alarms.js")}
    assert {path.parents[1] for path in copies} == {path.parent for path in SERVICES.glob("*/serverless.yml")}
    assert len(set(copies.values())) == 1


def test_every_alarm_notifies_the_topic_of_the_hub_when_it_starts_and_when_it_ends(stack):
    for name, alarm in alarms(stack).items():
        assert alarm["AlarmActions"] == alarm["OKActions"], name
        (topic,) = alarm["AlarmActions"]
        assert re.search(r"\bevent-hub-\w+-alarms$", topic), name
        assert alarm["TreatMissingData"] == "notBreaching", name
        assert alarm["AlarmDescription"], name


def test_every_queue_has_an_alarm_for_its_first_message(stack):
    rung = {each["QueueName"] for each in watched(stack, "ApproximateNumberOfMessagesVisible")}
    names = {stack.resolve({"Fn::GetAtt": [name, "QueueName"]}) for name in stack.of_type("AWS::SQS::Queue")}
    assert rung == names


def test_every_stream_function_has_an_alarm_for_its_iterator_age(stack):
    late = {each["FunctionName"] for each in watched(stack, "IteratorAge")}
    assert late == {
        stack.resolve(stack.functions[stack.function_of(mapping)]["FunctionName"])
        for mapping in stack.mappings().values()
    }


def test_every_delivery_stream_has_an_alarm_for_records_that_wait_too_long(stack):
    fresh = {each["DeliveryStreamName"] for each in watched(stack, "DeliveryToS3.DataFreshness")}
    assert fresh == {stack.resolve({"Ref": name}) for name in stack.of_type("AWS::KinesisFirehose::DeliveryStream")}


def test_every_rule_whose_events_must_arrive_has_an_alarm_for_lost_ones(stack):
    delivering = {
        stack.resolve(rule["Name"]) for name, rule in stack.of_type("AWS::Events::Rule").items() if "Log" not in name
    }
    assert {each["RuleName"] for each in watched(stack, "FailedInvocations")} == delivering


@pytest.mark.parametrize("compiled", HUB, ids="-".join)
def test_the_hub_has_an_alarm_for_the_age_of_each_consumer(stack):
    consumers = {each["ConsumerName"] for each in stack.of_type("AWS::Kinesis::StreamConsumer").values()}
    assert {each["ConsumerName"] for each in watched(stack, "SubscribeToShardEvent.MillisBehindLatest")} == consumers
    assert consumers == ({"reports", "search-index"} if stack.stage == "full" else set())
    assert watched(stack, "GetRecords.IteratorAgeMilliseconds")


def test_faults_have_an_alarm_for_all_services_and_for_each_listed_one(stack):
    if stack.service == "event-fault-monitor":
        of_stage = {"Stage": stack.stage}
        expected = [of_stage, {**of_stage, "Service": "control-service"}, {**of_stage, "Service": "rest-bff-service"}]
        assert watched(stack, "Faults") == expected


def test_the_dashboard_of_faults_quotes_a_namespace_with_special_characters(stack):
    """CloudWatch user guide, "Metric search expression syntax"."""
    for dashboard in stack.of_type("AWS::CloudWatch::Dashboard").values():
        body = json.loads(stack.resolve(dashboard["DashboardBody"]))
        metrics = [metric[0] for widget in body["widgets"] for metric in widget["properties"]["metrics"]]
        expressions = [metric["expression"] for metric in metrics if isinstance(metric, dict)]
        assert len(expressions) == 3
        assert all(each.startswith(f'SEARCH(\'{{"{stack.service}",Stage') for each in expressions), expressions


def test_alarms_use_the_dimensions_under_which_aws_publishes_a_metric(stack):
    published = {
        ("AWS/ApiGateway", "5xx"): {"ApiId"},
        ("AWS/ApiGateway", "Latency"): {"ApiId"},
        ("AWS/Events", "FailedInvocations"): {"EventBusName", "RuleName"},
        ("AWS/Firehose", "DeliveryToS3.DataFreshness"): {"DeliveryStreamName"},
        ("AWS/Firehose", "ThrottledRecords"): {"DeliveryStreamName"},
        ("AWS/Kinesis", "GetRecords.IteratorAgeMilliseconds"): {"StreamName"},
        ("AWS/Kinesis", "SubscribeToShardEvent.MillisBehindLatest"): {"StreamName", "ConsumerName"},
        ("AWS/Kinesis", "WriteProvisionedThroughputExceeded"): {"StreamName"},
        ("AWS/Lambda", "Errors"): {"FunctionName"},
        ("AWS/Lambda", "IteratorAge"): {"FunctionName"},
        ("AWS/SQS", "ApproximateNumberOfMessagesVisible"): {"QueueName"},
    }
    for name, alarm in alarms(stack).items():
        dimensions = {each["Name"] for each in alarm["Dimensions"]}
        if alarm["Namespace"].startswith("AWS/"):
            assert dimensions == published[alarm["Namespace"], alarm["MetricName"]], name
        else:
            assert alarm["Namespace"] == stack.service, name
            assert dimensions in ({"Stage"}, {"Stage", "Service"}), name


def test_the_readme_has_every_alarm(stack):
    text = (SERVICES / stack.service / "README.md").read_text(encoding="utf-8").partition("## Alarms")[2]
    for alarm in alarms(stack).values():
        name = alarm["AlarmName"].removeprefix(f"{stack.service}-{stack.stage}-")
        assert name != alarm["AlarmName"]
        # The README has those of a list as `faults-of-<service>`, those of functions also as `listener-`, `-failures`.
        family = re.sub(r"(-of-).+", r"\1<", name)
        function, _, kind = name.partition("-")
        assert f"`{family}" in text or (f"`{function}-`" in text and f"-{kind}`" in text), name
