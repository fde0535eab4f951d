"""The typed template: roles with all their policies, functions behind aliases, defaults of AWS."""

from typing import Any

import pytest
from stream_cli.checks.service.serverless_events import logical_prefix
from stream_cli.checks.service.symbols import Verdict
from stream_cli.checks.service.template import Template

ALLOWED = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "arn:aws:sqs:us-east-1:1:jobs"}
QUEUE = "arn:aws:sqs:us-east-1:1:jobs"
STREAM = "arn:aws:kinesis:us-east-1:1:stream/s"


def template(**resources: Any) -> Template:
    return Template({"Resources": resources})


def role(*statements: dict[str, Any], **more: Any) -> dict[str, Any]:
    policies = [{"PolicyName": "p", "PolicyDocument": {"Statement": list(statements)}}] if statements else []
    return {"Type": "AWS::IAM::Role", "Properties": {"Policies": policies, **more}}


def mapping(**properties: Any) -> dict[str, Any]:
    return {"Type": "AWS::Lambda::EventSourceMapping", "Properties": {"EventSourceArn": STREAM, **properties}}


def test_a_role_may_do_what_a_statement_allows() -> None:
    assert template(R=role(ALLOWED)).roles["R"].may("sqs:SendMessage", QUEUE) is Verdict.YES


def test_a_role_may_not_do_what_no_statement_allows() -> None:
    assert template(R=role(ALLOWED)).roles["R"].may("sqs:DeleteMessage", QUEUE) is Verdict.NO


def test_actions_match_by_wildcard_and_in_any_case() -> None:
    assert template(R=role({**ALLOWED, "Action": "SQS:send*"})).roles["R"].may("sqs:SendMessage", QUEUE) is Verdict.YES


def test_a_denial_overrides_a_permission() -> None:
    denied = {**ALLOWED, "Effect": "Deny", "Resource": "*"}

    assert template(R=role(ALLOWED, denied)).roles["R"].may("sqs:SendMessage", QUEUE) is Verdict.NO


def test_a_conditional_denial_does_not_count() -> None:
    denied = {**ALLOWED, "Effect": "Deny", "Resource": "*", "Condition": {"Bool": {"aws:SecureTransport": False}}}

    assert template(R=role(ALLOWED, denied)).roles["R"].may("sqs:SendMessage", QUEUE) is Verdict.YES


@pytest.mark.parametrize(("but", "allowed"), [("iam:*", Verdict.YES), ("sqs:*", Verdict.NO)])
def test_a_statement_with_not_action_allows_all_other_actions(but: str, allowed: Verdict) -> None:
    statement = {"Effect": "Allow", "NotAction": but, "Resource": "*"}

    assert template(R=role(statement)).roles["R"].may("sqs:SendMessage", QUEUE) is allowed


@pytest.mark.parametrize(
    ("but", "allowed"),
    [(QUEUE, Verdict.NO), ("arn:aws:s3:::*", Verdict.YES), ({"Fn::ImportValue": "other"}, Verdict.UNKNOWN)],
)
def test_a_statement_with_not_resource_allows_all_other_resources(but: Any, allowed: Verdict) -> None:
    statement = {"Effect": "Allow", "Action": "sqs:SendMessage", "NotResource": but}

    assert template(R=role(statement)).roles["R"].may("sqs:SendMessage", QUEUE) is allowed


def test_a_policy_outside_the_template_gives_no_answer() -> None:
    made = template(R=role(ManagedPolicyArns=["arn:aws:iam::1:policy/ours"]))

    assert made.roles["R"].may("sqs:SendMessage", QUEUE) is Verdict.UNKNOWN


def test_a_policy_for_tracing_allows_nothing_on_streams() -> None:
    made = template(
        R=role(ManagedPolicyArns=[{"Fn::Sub": "arn:${AWS::Partition}:iam::aws:policy/AWSXRayDaemonWriteAccess"}])
    )

    assert made.roles["R"].may("sqs:SendMessage", QUEUE) is Verdict.NO


def test_managed_policies_for_mappings_are_known() -> None:
    arn = "arn:aws:iam::aws:policy/service-role/AWSLambdaKinesisExecutionRole"

    assert template(R=role(ManagedPolicyArns=[arn])).roles["R"].may("kinesis:GetRecords", STREAM) is Verdict.YES


@pytest.mark.parametrize("attached", ["Roles", "ManagedPolicyArns"])
def test_a_policy_that_is_a_resource_of_its_own_is_read(attached: str) -> None:
    kind = "AWS::IAM::Policy" if attached == "Roles" else "AWS::IAM::ManagedPolicy"
    policy: dict[str, Any] = {"Type": kind, "Properties": {"PolicyDocument": {"Statement": [ALLOWED]}}}
    own = role()
    if attached == "Roles":
        policy["Properties"]["Roles"] = [{"Ref": "R"}]
    else:
        own["Properties"]["ManagedPolicyArns"] = [{"Ref": "P"}]

    assert template(R=own, P=policy).roles["R"].may("sqs:SendMessage", QUEUE) is Verdict.YES


@pytest.mark.parametrize(
    "name",
    [
        {"Fn::GetAtt": ["WorkerLambdaFunction", "Arn"]},
        {"Ref": "WorkerLambdaFunction"},
        "shop-dev-worker",
        {"Ref": "WorkerAlias"},
    ],
    ids=str,
)
def test_the_function_of_a_mapping_is_found(name: Any) -> None:
    function = {"Type": "AWS::Lambda::Function", "Properties": {"FunctionName": "shop-dev-worker"}}
    alias = {"Type": "AWS::Lambda::Alias", "Properties": {"FunctionName": {"Ref": "WorkerLambdaFunction"}}}
    made = template(WorkerLambdaFunction=function, WorkerAlias=alias, M=mapping(FunctionName=name))

    assert made.mappings[0].function_id == "WorkerLambdaFunction"


def test_a_version_leads_to_its_function() -> None:
    function = {"Type": "AWS::Lambda::Function", "Properties": {"FunctionName": "shop-dev-worker"}}
    made = template(
        WorkerLambdaFunction=function,
        M=mapping(FunctionName={"Ref": "V"}),
        V={"Type": "AWS::Lambda::Version", "Properties": {"FunctionName": {"Ref": "WorkerLambdaFunction"}}},
    )

    assert made.mappings[0].function_id == "WorkerLambdaFunction"


def test_options_that_are_left_out_have_the_defaults_of_aws() -> None:
    (read,) = template(M=mapping()).mappings

    assert (read.batch_size, read.parallelization_factor, read.maximum_retry_attempts, read.enabled) == (
        100,
        1,
        -1,
        True,
    )


def test_numbers_may_be_strings() -> None:
    (read,) = template(M=mapping(BatchSize="5", Enabled="false")).mappings

    assert (read.batch_size, read.enabled) == (5, False)


def test_a_number_that_only_the_deployment_knows_has_the_default() -> None:
    (read,) = template(M=mapping(BatchSize={"Ref": "BatchSize"})).mappings

    assert read.batch_size == 100


def test_the_stream_of_a_literal_consumer_is_known() -> None:
    (read,) = template(M=mapping(EventSourceArn=f"{STREAM}/consumer/c:1")).mappings

    assert (read.consumer, read.stream) == (True, STREAM)


def test_the_kind_of_an_imported_stream_is_in_the_logical_id() -> None:
    made = template(WorkerEventSourceMappingDynamodbX=mapping(EventSourceArn={"Fn::ImportValue": "x"}))

    assert made.mappings[0].kind == "dynamodb"


@pytest.mark.parametrize(
    ("name", "prefix"), [("worker", "Worker"), ("my-worker", "MyDashworker"), ("a_b", "AUnderscoreb")]
)
def test_logical_ids_begin_as_in_the_cli(name: str, prefix: str) -> None:
    assert logical_prefix(name) == prefix
