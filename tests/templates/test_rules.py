"""The events that the rules of the bus match, their targets, and what happens if delivery fails."""

import json

import pytest
from stream_cli.patterns import compile_pattern

PUTS = {
    "AWS::Kinesis::Stream": "kinesis:PutRecord",
    "AWS::KinesisFirehose::DeliveryStream": "firehose:PutRecord",
}
# Which of these types the rules of each service match.
TYPES = ("item-submitted", "item-analyzed", "item-ready", "item-expired", "anything-else", "fault")
TAKEN = {
    "event-hub": {*TYPES} - {"fault"},
    "event-lake-s3": {*TYPES} - {"fault"},
    "event-fault-monitor": {"fault"},
}
HUB = [("event-hub", stage) for stage in ("local", "dev", "prod", "full")]
EGRESS = "EgressRule"
"""What the rules to the hubs of other accounts begin with."""


def on_the_bus(event_type, account="123456789012", source="custom"):
    """An event as EventBridge presents it to rules."""
    return {
        "version": "0",
        "id": "7bf73129-1428-4cd3-a780-95db273d1602",
        "detail-type": event_type,
        "source": source,
        "account": account,
        "time": "2026-01-01T00:00:00Z",
        "region": "us-east-1",
        "resources": [],
        "detail": {"id": "e1", "type": event_type, "partition_key": "1", "timestamp": 1_767_225_600_000},
    }


def as_list(value):
    """Policies write a single value without a list."""
    return value if isinstance(value, list) else [value]


EVENT_LOG = "EventLogRule"
"""The rule that only shows events to people; nothing depends on what it delivers."""


def delivering(stack):
    """The rules whose events must arrive, by logical id."""
    return {name: rule for name, rule in stack.of_type("AWS::Events::Rule").items() if name != EVENT_LOG}


def targets(stack):
    """Every target of those rules, with the rule's logical id."""
    return [(name, target) for name, rule in delivering(stack).items() for target in rule["Targets"]]


def test_each_rule_matches_exactly_the_events_of_the_design(stack):
    for name, rule in delivering(stack).items():
        pattern = compile_pattern(stack.resolve(rule["EventPattern"]))
        source = "external" if name.startswith(EGRESS) else "custom"
        assert {each for each in TYPES if pattern(on_the_bus(each, source=source))} == TAKEN[stack.service], name


@pytest.mark.parametrize("compiled", HUB, ids="-".join)
def test_events_from_outside_stay_off_the_stream(stack):
    pattern = compile_pattern(stack.of_type("AWS::Events::Rule")["Stream1Rule"]["EventPattern"])
    for account in ("123456789012", "333333333333"):
        assert not any(pattern(on_the_bus(each, account, source="external")) for each in TYPES)


@pytest.mark.parametrize("compiled", [("event-lake-s3", "prod")], ids="-".join)
def test_the_lake_has_events_from_outside_too(stack):
    (rule,) = delivering(stack).values()
    assert compile_pattern(rule["EventPattern"])(on_the_bus("order-placed", "333333333333", source="external"))


def test_rules_are_on_the_bus_of_the_hub_and_enabled(stack):
    for rule in stack.of_type("AWS::Events::Rule").values():
        assert "event-hub-" in stack.resolve(rule["EventBusName"])
        assert rule.get("State", "ENABLED") == "ENABLED"


def test_services_that_read_from_the_bus_have_a_rule(stack):
    assert bool(stack.of_type("AWS::Events::Rule")) == (stack.service in TAKEN)


def test_a_target_is_of_this_stack_and_its_role_may_put_records_into_it(stack):
    for name, target in targets(stack):
        if name.startswith(EGRESS):
            continue
        arn = stack.resolve(target["Arn"])
        found = stack.resource_with(arn)
        assert found is not None, f"{name}: {arn}"
        assert stack.role_may(target["RoleArn"], PUTS[stack.resources[found]["Type"]], arn), name


def test_delivery_is_retried_for_a_day_before_events_go_to_a_queue(stack):
    for name, target in targets(stack):
        assert target["RetryPolicy"]["MaximumEventAgeInSeconds"] == 24 * 60 * 60, name
        assert stack.resources[stack.resource_with(stack.resolve(target["DeadLetterConfig"]["Arn"]))]["Type"] == (
            "AWS::SQS::Queue"
        )


def test_only_the_rule_may_send_to_the_dead_letter_queue(stack):
    rules = {name: stack.resolve({"Fn::GetAtt": [name, "Arn"]}) for name in stack.of_type("AWS::Events::Rule")}
    for name, target in targets(stack):
        queue = stack.resolve(target["DeadLetterConfig"]["Arn"])
        allowing = [
            statement
            for policy in stack.of_type("AWS::SQS::QueuePolicy").values()
            for statement in stack.statements(policy["PolicyDocument"])
            if statement.effect == "Allow" and statement.covers("sqs:SendMessage", queue)
        ]
        assert len(allowing) == 1, name
        assert allowing[0].principals == ("events.amazonaws.com",)
        conditions = {key: value for each in allowing[0].condition.values() for key, value in each.items()}
        assert rules[name] in as_list(conditions["aws:SourceArn"]), name
        assert set(as_list(conditions["aws:SourceArn"])) <= set(rules.values()), name


@pytest.mark.parametrize("compiled", HUB, ids="-".join)
def test_all_events_are_logged_for_a_week_in_every_stage_except_prod(stack):
    rule = stack.of_type("AWS::Events::Rule").get(EVENT_LOG)
    assert (rule is None) == (stack.stage == "prod")
    if rule is not None:
        assert all(compile_pattern(rule["EventPattern"])(on_the_bus(each)) for each in TYPES)
        (target,) = rule["Targets"]
        group = stack.of_type("AWS::Logs::LogGroup")["EventLogGroup"]
        assert stack.resolve(target["Arn"]).endswith(f":log-group:{stack.resolve(group['LogGroupName'])}")
        assert group["RetentionInDays"] == 7
        # CloudWatch Logs has a resource policy, no role (EventBridge user guide, "CloudWatch Logs permissions").
        policy = stack.resolve(stack.of_type("AWS::Logs::ResourcePolicy")["EventLogPolicy"])
        (_, writing) = json.loads(policy["PolicyDocument"])["Statement"]
        assert writing["Action"] == "logs:PutLogEvents"
        assert writing["Condition"]["ArnEquals"]["aws:SourceArn"] == stack.resolve({"Fn::GetAtt": [EVENT_LOG, "Arn"]})


@pytest.mark.parametrize("compiled", HUB, ids="-".join)
def test_the_stream_has_the_event_without_envelope_by_its_partition_key(stack):
    ((_, target),) = [(name, target) for name, target in targets(stack) if not name.startswith(EGRESS)]
    assert target["InputPath"] == "$.detail"
    assert target["KinesisParameters"] == {"PartitionKeyPath": "$.detail.partition_key"}


@pytest.mark.parametrize("compiled", HUB, ids="-".join)
def test_only_listed_accounts_receive_events_and_only_external_ones_of_this_account(stack):
    rules = {name: rule for name, rule in stack.of_type("AWS::Events::Rule").items() if name.startswith(EGRESS)}
    accounts = [str(digit) * 12 for digit in range(1, 7)] if stack.stage == "full" else []
    assert len(rules) == len(accounts)
    for rule, account in zip(rules.values(), accounts, strict=True):
        pattern = compile_pattern(stack.resolve(rule["EventPattern"]))
        assert pattern(on_the_bus("item-submitted", source="external"))
        assert not pattern(on_the_bus("item-submitted"))
        assert not pattern(on_the_bus("item-submitted", account="333333333333", source="external"))
        (target,) = rule["Targets"]
        assert stack.resolve(target["Arn"]) == f"arn:aws:events:us-east-1:{account}:event-bus/event-hub-full-bus"
        assert stack.role_may(target["RoleArn"], "events:PutEvents", stack.resolve(target["Arn"]))
        assert not stack.role_may(target["RoleArn"], "events:PutEvents", stack.arn("Bus"))


@pytest.mark.parametrize("compiled", HUB, ids="-".join)
def test_only_listed_accounts_may_put_events_on_the_bus_and_only_external_ones(stack):
    allowed = [stack.resolve(each["Statement"]) for each in stack.of_type("AWS::Events::EventBusPolicy").values()]
    expected = ["arn:aws:iam::333333333333:root", "arn:aws:iam::777777777777:root"] if stack.stage == "full" else []
    assert [principal for each in allowed for principal in each["Principal"]["AWS"]] == expected
    assert all((each["Action"], each["Resource"]) == ("events:PutEvents", stack.arn("Bus")) for each in allowed)
    condition = {
        "ForAllValues:StringEquals": {"events:source": "external"},
        "StringNotEquals": {"events:detail-type": "fault"},
    }
    assert all(each["Condition"] == condition for each in allowed)


@pytest.mark.parametrize("compiled", HUB, ids="-".join)
def test_the_archive_keeps_every_event_except_faults_for_a_limited_time(stack):
    (archive,) = stack.of_type("AWS::Events::Archive").values()
    pattern = compile_pattern(archive["EventPattern"])
    assert {each for each in TYPES if pattern(on_the_bus(each))} == {*TYPES} - {"fault"}
    assert archive["RetentionDays"] > 0


@pytest.mark.parametrize("compiled", HUB, ids="-".join)
def test_schemas_are_discovered_in_dev_only(stack):
    found = stack.of_type("AWS::EventSchemas::Discoverer").values()
    assert [stack.resolve(each["SourceArn"]) for each in found] == ([stack.arn("Bus")] if stack.stage == "dev" else [])
