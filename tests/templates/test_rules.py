"""The events that the rules of the bus match, their targets, and what happens if delivery fails."""

import json

import pytest
from stream_cli.patterns import compile_pattern

from tests.templates.policy_conditions import allows
from tests.templates.stacks import HUB as HUB_OUTPUTS

PUTS = {
    "AWS::Kinesis::Stream": "kinesis:PutRecord",
    "AWS::KinesisFirehose::DeliveryStream": "firehose:PutRecord",
}
# Which of these types the rules of each service match.
TYPES = ("story-submitted", "story-analyzed", "story-ready", "story-expired", "anything-else", "fault")
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


CLAIMS = "ClaimsRule"
"""The rule that takes pointers to the bodies of large events, and only these."""


def delivering(stack):
    """The rules whose events must arrive, by logical id."""
    return {name: rule for name, rule in stack.of_type("AWS::Events::Rule").items() if name != EVENT_LOG}


def targets(stack):
    """Every target of those rules, with the rule's logical id."""
    return [(name, target) for name, rule in delivering(stack).items() for target in rule["Targets"]]


def test_each_rule_matches_exactly_the_events_of_the_design(stack):
    for name, rule in delivering(stack).items():
        pattern = compile_pattern(stack.resolve(rule["EventPattern"]))
        if name == CLAIMS:
            assert not any(pattern(on_the_bus(each)) for each in TYPES)
            continue
        source = "external.stories" if name.startswith(EGRESS) else "custom"
        assert {each for each in TYPES if pattern(on_the_bus(each, source=source))} == TAKEN[stack.service], name


@pytest.mark.parametrize("compiled", HUB, ids="-".join)
def test_events_from_outside_stay_off_the_stream(stack):
    pattern = compile_pattern(stack.resolve(stack.of_type("AWS::Events::Rule")["Stream1Rule"]["EventPattern"]))
    for source in ("external", "external.stories", "external.orders"):
        assert not any(pattern(on_the_bus(each, source=source)) for each in TYPES)


@pytest.mark.parametrize("compiled", [("event-lake-s3", "prod")], ids="-".join)
def test_the_lake_has_events_from_outside_too(stack):
    rule = delivering(stack)["DeliveryRule"]
    assert compile_pattern(rule["EventPattern"])(on_the_bus("order-placed", "333333333333", source="external"))


BUCKET = HUB_OUTPUTS["claimsBucketName"]


@pytest.mark.parametrize("compiled", [("event-lake-s3", stage) for stage in ("local", "prod", "full")], ids="-".join)
@pytest.mark.parametrize(
    ("fields", "taken"),
    [
        ({"claim_check": {"bucket": BUCKET, "key": "claimchecks/control-service/2026/11/21/02/e1"}}, True),
        ({"s3": {"bucket": BUCKET, "key": "us-east-1/claimchecks/2026/11/21/2/e1"}}, True),
        ({"s3": {"bucket": BUCKET, "key": "claimchecks/e1"}}, True),
        ({"claim_check": {"bucket": "another", "key": "claimchecks/e1"}}, False),
        ({"claim_check": {"bucket": BUCKET, "key": "elsewhere/e1"}}, False),
        ({"claim_check": {"bucket": BUCKET}}, False),
        ({"claim_check": "text"}, False),
        ({"s3": {"bucket": BUCKET, "key": "eu-west-1/claimchecks/e1"}}, False),
        ({"s3": {"bucket": {"name": BUCKET}, "object": {"key": "claimchecks/e1"}}}, False),
    ],
)
def test_the_lake_copies_what_pointers_of_this_account_name_in_the_bucket_of_claims(stack, fields, taken):
    pattern = compile_pattern(stack.resolve(stack.of_type("AWS::Events::Rule")[CLAIMS]["EventPattern"]))
    for kind, account, source, ours in (
        ("story-ready", "123456789012", "custom", True),
        ("story-ready", "123456789012", "external.stories", True),
        ("fault", "123456789012", "custom", False),
        ("story-ready", "333333333333", "external.orders", False),
    ):
        event = on_the_bus(kind, account, source)
        assert pattern({**event, "detail": {**event["detail"], **fields}}) == (taken and ours)


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
        if stack.resources[found]["Type"] == "AWS::Lambda::Function":
            allowed = stack.of_type("AWS::Lambda::Permission").values()
            sources = [
                stack.resolve(each["SourceArn"]) for each in allowed if stack.resolve(each["FunctionName"]) == arn
            ]
            assert sources == [stack.arn(name)], name
            continue
        assert stack.role_may(target["RoleArn"], PUTS[stack.resources[found]["Type"]], arn), name


def test_delivery_is_retried_for_a_day_before_events_go_to_a_queue(stack):
    for name, target in targets(stack):
        assert target["RetryPolicy"]["MaximumEventAgeInSeconds"] == 24 * 60 * 60, name
        assert stack.resources[stack.resource_with(stack.resolve(target["DeadLetterConfig"]["Arn"]))]["Type"] == (
            "AWS::SQS::Queue"
        )


def test_only_the_rule_and_its_bus_may_send_to_the_dead_letter_queue(stack):
    senders = stack.of_type("AWS::Events::Rule", "AWS::Events::EventBus")
    rules = {name: stack.arn(name) for name in senders}
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
        assert pattern(on_the_bus("story-submitted", source="external.stories"))
        assert not pattern(on_the_bus("story-submitted"))
        assert not pattern(on_the_bus("story-submitted", source="external.orders"))
        assert not pattern(on_the_bus("story-submitted", account="333333333333", source="external.stories"))
        (target,) = rule["Targets"]
        assert stack.resolve(target["Arn"]) == f"arn:aws:events:us-east-1:{account}:event-bus/event-hub-full-bus"
        assert stack.role_may(target["RoleArn"], "events:PutEvents", stack.resolve(target["Arn"]))
        assert not stack.role_may(target["RoleArn"], "events:PutEvents", stack.arn("Bus"))


ORDERS, SHOP, STRANGER = "333333333333", "777777777777", "888888888888"
"""Two accounts of the param ingressAccounts, and one that is not in it."""


def statements_of_the_bus(stack):
    """The statements of the policy of the bus, resolved."""
    return [stack.resolve(each["Statement"]) for each in stack.of_type("AWS::Events::EventBusPolicy").values()]


def may_put(stack, account, *entries, action="events:PutEvents", resource=None):
    """Whether an account may put these entries in one call; each is (source, detail type), either may be missing."""
    sources, types = ([each for each in given if each is not None] for given in zip(*entries, strict=True))
    request = {"events:source": sources, "events:detail-type": types}
    root = f"arn:aws:iam::{account}:root"
    statements = statements_of_the_bus(stack)
    return any(allows(each, action, resource or stack.arn("Bus"), root, request) for each in statements)


FULL = pytest.mark.parametrize("compiled", [("event-hub", "full")], ids="-".join)


@FULL
@pytest.mark.parametrize(
    ("account", "entries"),
    [
        (ORDERS, [("external.orders", "order-placed")]),
        (ORDERS, [("external.returns", "order-returned")]),
        (ORDERS, [("external.orders", "order-placed"), ("external.returns", "order-returned")]),
        (SHOP, [("external.shop", "default")]),
    ],
    ids=["own", "second-own", "both-own", "other-account"],
)
def test_another_account_may_put_events_under_its_own_sources(stack, account, entries):
    assert may_put(stack, account, *entries)


@FULL
@pytest.mark.parametrize(
    ("account", "entries"),
    [
        (ORDERS, [("external.shop", "order-placed")]),
        (ORDERS, [("external.stories", "order-placed")]),
        (ORDERS, [("external", "order-placed")]),
        (ORDERS, [("external.orders.eu", "order-placed")]),
        (ORDERS, [("External.orders", "order-placed")]),
        (ORDERS, [("custom", "story-ready")]),
        (ORDERS, [("aws.events", "Scheduled Event")]),
        (ORDERS, [(None, "order-placed")]),
        (ORDERS, [("external.orders", None)]),
        (ORDERS, [(None, None)]),
        (ORDERS, [("external.orders", "fault")]),
        (ORDERS, [("external.orders", "FAULT")]),
        (ORDERS, [("external.orders", "order-placed"), ("external.orders", "fault")]),
        (ORDERS, [("external.orders", "order-placed"), ("external.shop", "order-placed")]),
        (ORDERS, [("external.orders", "order-placed"), ("custom", "story-ready")]),
        (STRANGER, [("external.orders", "order-placed")]),
    ],
    ids=lambda value: "-".join(f"{source}.{kind}" for source, kind in value) if isinstance(value, list) else value,
)
def test_another_account_may_put_nothing_else(stack, account, entries):
    assert not may_put(stack, account, *entries)


@FULL
@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("events:PutRule", "arn:aws:events:us-east-1:123456789012:rule/event-hub-full-bus/tap"),
        ("events:PutTargets", "arn:aws:events:us-east-1:123456789012:rule/event-hub-full-bus/event-hub-full-s1"),
        ("events:DeleteRule", "arn:aws:events:us-east-1:123456789012:rule/event-hub-full-bus/event-hub-full-s1"),
        ("events:PutPermission", "arn:aws:events:us-east-1:123456789012:event-bus/event-hub-full-bus"),
        ("events:StartReplay", "arn:aws:events:us-east-1:123456789012:archive/event-hub-full-archive"),
        ("events:UpdateArchive", "arn:aws:events:us-east-1:123456789012:archive/event-hub-full-archive"),
        ("events:PutEvents", "arn:aws:events:us-east-1:123456789012:event-bus/default"),
    ],
)
def test_another_account_can_change_neither_rules_nor_archives_nor_the_policy(stack, action, resource):
    own = [("external.orders", "order-placed")]
    assert not may_put(stack, ORDERS, *own, action=action, resource=resource)


@pytest.mark.parametrize("compiled", [each for each in HUB if each[1] != "full"], ids="-".join)
def test_without_listed_accounts_the_bus_has_no_policy(stack):
    assert statements_of_the_bus(stack) == []


@pytest.mark.parametrize("compiled", HUB, ids="-".join)
@pytest.mark.parametrize("source", ["external", "external.orders", "custom"])
def test_nothing_from_another_account_reaches_the_stream_whatever_its_source_and_detail_say(stack, source):
    pattern = compile_pattern(stack.resolve(stack.of_type("AWS::Events::Rule")["Stream1Rule"]["EventPattern"]))
    assert not any(pattern(on_the_bus(each, ORDERS, source=source)) for each in TYPES)
    assert pattern(on_the_bus("story-ready", source="custom"))


@pytest.mark.parametrize("compiled", [("event-fault-monitor", "prod")], ids="-".join)
def test_a_fault_of_another_account_is_none_of_this_system(stack):
    (rule,) = delivering(stack).values()
    pattern = compile_pattern(stack.resolve(rule["EventPattern"]))
    assert pattern(on_the_bus("fault"))
    assert not pattern(on_the_bus("fault", ORDERS, source="external.orders"))
    hidden = on_the_bus("order-placed", ORDERS, source="external.orders")
    assert not pattern({**hidden, "detail": {**hidden["detail"], "type": "fault"}})


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
