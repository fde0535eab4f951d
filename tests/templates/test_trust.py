"""Services of AWS may use roles and resources of a stack on behalf of this account's own resources only.

Without `aws:SourceArn` and `aws:SourceAccount` a service could be made to act for somebody else (IAM user guide, "The
confused deputy problem").
"""

import json

import pytest

from tests.templates.policy_conditions import Context, conditions_hold

ACCOUNT, STRANGER = "123456789012", "999999999999"
# What the context of a call has, by service: the keys that AWS documents, with the ARN that stands for the caller.
SOURCES = {
    "cloudwatch.amazonaws.com": "arn:aws:cloudwatch:us-east-1:{}:alarm:event-hub-x-dead-letters",
    "events.amazonaws.com": "arn:aws:events:us-east-1:{}:rule/{bus}/{rule}",
    "firehose.amazonaws.com": "arn:aws:firehose:us-east-1:{}:deliverystream/{delivery}",
    "lambda.amazonaws.com": "arn:aws:lambda:us-east-1:{}:function:{function}",
    "scheduler.amazonaws.com": "arn:aws:scheduler:us-east-1:{}:schedule-group/default",
}
# Statements that need not name their source, with the reason.
WITHOUT_SOURCE = {
    # Firehose gives the account as sts:ExternalId (developer guide, "Allow Firehose to assume an IAM role"); SourceArn
    # and SourceAccount are not documented, so they hold only where they are given.
    ("firehose.amazonaws.com", "sts:AssumeRole"),
    # The ARN of an event source mapping's poller is not documented: the account is required, the ARN where it is given.
    ("lambda.amazonaws.com", "sts:AssumeRole"),
    # EventBridge user guide, "CloudWatch Logs permissions": no condition; nothing can be written by this statement.
    ("events.amazonaws.com", "logs:CreateLogStream"),
    ("delivery.logs.amazonaws.com", "logs:CreateLogStream"),
    # SNS uses the key of its topic for CloudWatch.
    ("cloudwatch.amazonaws.com", "kms:*"),
}


def listed(value):
    """Policies write a single value without a list."""
    return value if isinstance(value, list) else [value]


def statements_for_services(stack):
    """Every Allow statement for services of AWS: in roles, policies of resources and permissions of functions."""
    for name, resource in stack.resources.items():
        if name.startswith("ServerlessDeployment"):
            continue
        properties = stack.resolve(resource.get("Properties", {}))
        if resource["Type"] == "AWS::Lambda::Permission":
            conditions = {
                "StringEquals": {"aws:SourceAccount": properties.get("SourceAccount")},
                "ArnLike": {"aws:SourceArn": properties.get("SourceArn")},
            }
            given = {operator: key for operator, key in conditions.items() if None not in key.values()}
            yield name, properties["Principal"], ["lambda:InvokeFunction"], given
            continue
        documents = [properties.get(each) for each in ("AssumeRolePolicyDocument", "PolicyDocument", "KeyPolicy")]
        documents = [json.loads(each) if isinstance(each, str) else each for each in documents if each]
        for statement in (each for document in documents for each in document["Statement"]):
            principal = statement.get("Principal", {})
            if statement["Effect"] == "Allow" and isinstance(principal, dict):
                for service in listed(principal.get("Service", [])):
                    yield name, service, listed(statement["Action"]), statement.get("Condition", {})


def excused(service, actions):
    """Whether the list above has these actions of the service."""
    named = {action for each, action in WITHOUT_SOURCE if each == service}
    return all(action in named or f"{action.partition(':')[0]}:*" in named for action in actions)


def keys(condition, *, required=True):
    """The condition keys that a call must have, or may have, with their values."""
    return {
        key.lower(): listed(value)
        for operator, values in condition.items()
        for key, value in values.items()
        if operator.endswith("IfExists") != required
    }


def test_every_service_is_trusted_for_named_resources_of_this_account_only(stack):
    for name, service, actions, condition in statements_for_services(stack):
        given = keys(condition)
        sources = given.get("aws:sourcearn", [])
        if not excused(service, actions):
            assert sources, f"{name}: {service} may {actions} for any resource"
        assert all(source != "*" for source in sources), name
        if not sources and actions not in (["sts:AssumeRole"], ["logs:CreateLogStream"]):
            assert given.get("aws:sourceaccount") == [ACCOUNT], f"{name}: {service} may {actions} for another account"
        of_account = [source for source in sources if f":{ACCOUNT}:" in source]
        if len(of_account) < len(sources):  # the ARN of a bucket has no account
            assert given.get("aws:sourceaccount") == [ACCOUNT], f"{name}: {service} may {actions} for another account"


def test_every_role_is_trusted_for_this_account_only(stack):
    for name, service, actions, condition in statements_for_services(stack):
        if actions == ["sts:AssumeRole"]:
            account = "sts:externalid" if service == "firehose.amazonaws.com" else "aws:sourceaccount"
            assert keys(condition).get(account) == [ACCOUNT], f"{name}: {service} may assume it for another account"
            either = keys(condition, required=False) | keys(condition)
            assert either.get("aws:sourceaccount") == [ACCOUNT], name
            assert either.get("aws:sourcearn"), name


def context(stack, service, account, **given: str) -> Context:
    """The condition keys of a call that a service makes for an account."""
    bus = stack.resolve(next((rule["EventBusName"] for rule in stack.of_type("AWS::Events::Rule").values()), ""))
    names = {"bus": bus, "rule": "x", "delivery": "x", "function": "x", **given}
    source = SOURCES[service].format(account, **names)
    return {"aws:sourcearn": [source], "aws:sourceaccount": [account], "sts:externalid": [account]}


def test_a_role_of_a_rule_or_delivery_stream_serves_it_and_no_other(stack):
    """The names in the trust policies are those of the resources that have the role."""
    users = {
        "events.amazonaws.com": (
            "rule",
            [
                (stack.resolve(rule["Name"]), stack.resolve(target["RoleArn"]))
                for rule in stack.of_type("AWS::Events::Rule").values()
                for target in rule["Targets"]
                if "RoleArn" in target
            ],
        ),
        "firehose.amazonaws.com": (
            "delivery",
            [
                (
                    stack.resolve(each["DeliveryStreamName"]),
                    stack.resolve(each["ExtendedS3DestinationConfiguration"]["RoleARN"]),
                )
                for each in stack.of_type("AWS::KinesisFirehose::DeliveryStream").values()
            ],
        ),
    }
    for name, service, actions, condition in statements_for_services(stack):
        if actions == ["sts:AssumeRole"] and service in users:
            kind, having = users[service]
            own = [user for user, role in having if role == stack.arn(name)]
            assert own, name
            for user in own:
                assert conditions_hold(condition, context(stack, service, ACCOUNT, **{kind: user})), name
                assert not conditions_hold(condition, context(stack, service, STRANGER, **{kind: user})), name
            assert not conditions_hold(condition, context(stack, service, ACCOUNT, **{kind: "another"})), name


def test_a_function_has_its_role_and_a_function_of_another_account_has_not(stack):
    for function in stack.functions.values():
        role = stack.resource_with(stack.resolve(function["Role"]))
        (condition,) = [given for name, _, _, given in statements_for_services(stack) if name == role]
        name = stack.resolve(function["FunctionName"])
        assert conditions_hold(condition, context(stack, "lambda.amazonaws.com", ACCOUNT, function=name))
        assert conditions_hold(condition, {"aws:sourceaccount": [ACCOUNT]}), (
            "as an event source mapping, without an ARN"
        )
        assert not conditions_hold(condition, context(stack, "lambda.amazonaws.com", STRANGER, function=name))
        assert not conditions_hold(condition, {})


def test_every_exception_still_applies(stacks):
    seen = {
        (service, action)
        for stack in stacks
        for _, service, actions, condition in statements_for_services(stack)
        if "aws:sourcearn" not in keys(condition)
        for action in [*actions, *(f"{each.partition(':')[0]}:*" for each in actions)]
    }
    if len({stack.service for stack in stacks}) < 5:
        pytest.skip("only some services are compiled")
    assert WITHOUT_SOURCE - seen == set()
