"""The compiled templates as a deployment: everything that sends has somewhere to send to."""

from dataclasses import FrozenInstanceError, replace

import pytest
from simulator.services.dynamodb.tables import STREAM_LABEL
from simulator.topology import deployed, deployment_of

from tests.templates.stacks import Stack

pytestmark = pytest.mark.packaging


@pytest.fixture(params=["prod", "local"])
def deployment(request):
    return deployed(request.param)


def known_arns(deployment):
    named = (
        *(deployment.streams, deployment.buses, deployment.delivery_streams, deployment.topics, deployment.queues),
        *(deployment.functions, deployment.buckets, deployment.tables),
    )
    groups = [f"arn:aws:logs:us-east-1:123456789012:log-group:{name}" for name in deployment.log_groups]
    streams = [table.stream_arn for table in deployment.tables.values()]
    return {each.arn for kind in named for each in kind.values()} | {*groups, *streams}


def test_whatever_is_named_as_a_target_or_destination_is_deployed(deployment):
    targets = [target for rule in deployment.rules.values() for target in rule.targets]
    named = [
        *(target.arn for target in targets),
        *(target.dead_letter_arn for target in targets),
        *(each.function_arn for bucket in deployment.buckets.values() for each in bucket.notifications),
        *(each.failure_arn for each in deployment.functions.values()),
        *(each.function_arn for each in deployment.mappings.values()),
        *(each.source.stream_arn for each in deployment.mappings.values()),
        *(each.destination_arn for each in deployment.mappings.values()),
        *(each.target_arn for each in deployment.schedules.values()),
        *(each.dead_letter_arn for each in deployment.schedules.values()),
        *(each.bus_arn for each in deployment.archives.values()),
        *(arn for each in deployment.alarms.values() for arn in (*each.actions, *each.ok_actions)),
        *(each.function_arn for each in deployment.routes),
    ]
    assert {arn for arn in named if arn} <= known_arns(deployment)
    assert {rule.bus for rule in deployment.rules.values()} == set(deployment.buses)
    assert {each.bucket for each in deployment.delivery_streams.values()} <= set(deployment.buckets)


def test_nothing_is_left_unresolved_but_what_a_service_of_aws_makes_up(deployment):
    left = [text for text in texts(vars(deployment)) if "<" in text or "${" in text or "{'Ref" in text]
    assert left == ["<HttpApi.ApiEndpoint>"]


def texts(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from texts(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from texts(each)
    elif hasattr(value, "__dataclass_fields__"):
        for name in value.__dataclass_fields__:
            yield from texts(getattr(value, name))


def test_the_environment_of_functions_names_what_is_deployed(deployment):
    for function in deployment.functions.values():
        environment = function.environment
        assert environment.get("BUS_NAME", "event-hub-prod-bus".replace("prod", deployment.stage)) in deployment.buses
        tables = {value for name, value in environment.items() if name.endswith("TABLE_NAME")}
        assert tables <= set(deployment.tables)
        assert environment["STAGE"] == deployment.stage


def test_alarms_watch_what_is_deployed(deployment):
    by_dimension = {
        "FunctionName": deployment.functions,
        "QueueName": deployment.queues,
        "RuleName": deployment.rules,
        "EventBusName": deployment.buses,
        "DeliveryStreamName": deployment.delivery_streams,
        "StreamName": deployment.streams,
        "Stage": {deployment.stage},
        "Service": {each.service for each in deployment.functions.values()},
        "ApiId": {"HttpApi"},
    }
    assert len(deployment.alarms) >= 37
    for alarm in deployment.alarms.values():
        for name, value in alarm.dimensions:
            assert value in by_dimension[name], alarm


def test_the_stages_differ_as_their_params_say():
    prod, local = deployed("prod"), deployed("local")
    assert prod.streams["event-hub-prod-s1"].shards == 4
    assert local.streams["event-hub-local-s1"].shards == 1
    assert prod.delivery_streams["event-lake-s3-prod-events"].interval_s == 300
    assert local.delivery_streams["event-lake-s3-local-events"].interval_s == 0
    assert prod.function("rest-bff-service", "dashboard").reserved == 10
    assert local.function("rest-bff-service", "dashboard").reserved is None
    assert "event-hub-local-log" in local.rules
    assert "event-hub-prod-log" not in prod.rules


def test_functions_have_the_settings_of_asynchronous_invocations():
    job = deployed().function("control-service", "job")
    assert (job.handler, job.timeout_s, job.retries) == ("control/handlers/job.handler", 300, 2)
    assert job.failure_arn == deployed().queues["control-service-prod-job-failures"].arn
    trigger = deployed().function("event-fault-monitor", "trigger")
    assert (trigger.retries, trigger.event_age_s, trigger.memory_mb) == (2, 21_600, 512)


def test_a_mapping_reads_the_stream_of_its_table():
    deployment = deployed()
    (outbox,) = [each for each in deployment.mappings.values() if each.function_arn.endswith("-outbox")]
    assert outbox.source.stream_arn == deployment.tables["rest-bff-service-prod-entities"].stream_arn
    assert outbox.source.stream_arn.endswith(f"/stream/{STREAM_LABEL}")
    assert (outbox.max_retries, outbox.bisect, outbox.report_failures, outbox.batch_window) == (10, True, True, 5.0)


def test_a_table_has_its_keys_indexes_and_ttl():
    table = deployed().tables["control-service-prod-events"]
    assert (table.key, table.ttl, table.view) == (("pk", "sk"), "ttl", "NEW_AND_OLD_IMAGES")
    (index,) = table.indexes
    assert (index.name, index.key, index.projection) == ("WaitingIndex", ("waiting", "ttl"), "KEYS_ONLY")
    assert table.types == {"pk": "S", "sk": "S", "waiting": "S", "ttl": "N"}


def test_another_deployment_is_a_changed_copy():
    deployment = deployed()
    rule = deployment.rules["event-hub-prod-s1"]
    changed = replace(deployment, rules={**deployment.rules, rule.name: replace(rule, enabled=False)})
    assert not changed.rules[rule.name].enabled
    assert deployment.rules[rule.name].enabled
    with pytest.raises(FrozenInstanceError):
        deployment.stage = "dev"


def test_what_no_service_uses_yet_is_read_too():
    resources = {
        "Spare": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "spare"}},
        "Work": {
            "Type": "AWS::SQS::Queue",
            "Properties": {
                "QueueName": "work",
                "VisibilityTimeout": 5,
                "RedrivePolicy": {"deadLetterTargetArn": {"Fn::GetAtt": ["Spare", "Arn"]}, "maxReceiveCount": 3},
            },
        },
        "News": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": "news"}},
        "ToWork": {
            "Type": "AWS::SNS::Subscription",
            "Properties": {
                "TopicArn": {"Ref": "News"},
                "Protocol": "sqs",
                "Endpoint": {"Fn::GetAtt": ["Work", "Arn"]},
            },
        },
    }
    deployment = deployment_of([Stack("own", "prod", None, {"Resources": resources})])
    work = deployment.queues["work"]
    assert (work.dead_letter_arn, work.most_receives, work.visibility_s, work.retention_s) == (
        deployment.queues["spare"].arn,
        3,
        5,
        345_600,
    )
    assert deployment.topics["news"].subscriptions == (work.arn,)
