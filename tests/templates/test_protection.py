"""With a key of the account's own, all data at rest is encrypted with it; with identifiers, every log is masked.

A boundary bounds every role.
"""

import re
from pathlib import Path

import pytest
import yaml

from tests.templates.policy_conditions import conditions_hold
from tests.templates.stacks import BOUNDARY, COMPILED, FULL, KEY

SERVICES = Path(__file__).resolve().parents[2] / "services"
SERVICE_NAMES = sorted({service for service, _ in COMPILED})
# Every type of resource that keeps data, with the place of the key.
KEEPS_DATA = {
    "AWS::Athena::WorkGroup": "WorkGroupConfiguration.ResultConfiguration.EncryptionConfiguration.KmsKey",
    "AWS::DynamoDB::Table": "SSESpecification.KMSMasterKeyId",
    "AWS::Events::Archive": "KmsKeyIdentifier",
    "AWS::Events::EventBus": "KmsKeyIdentifier",
    "AWS::Kinesis::Stream": "StreamEncryption.KeyId",
    "AWS::KinesisFirehose::DeliveryStream": "DeliveryStreamEncryptionConfigurationInput.KeyARN",
    "AWS::Lambda::EventSourceMapping": "KmsKeyArn",
    "AWS::Lambda::Function": "KmsKeyArn",
    "AWS::Logs::LogGroup": "KmsKeyId",
    "AWS::S3::Bucket": (
        "BucketEncryption.ServerSideEncryptionConfiguration.0.ServerSideEncryptionByDefault.KMSMasterKeyID"
    ),
    "AWS::SNS::Topic": "KmsMasterKeyId",
    "AWS::SQS::Queue": "KmsMasterKeyId",
    "AWS::Scheduler::Schedule": "KmsKeyArn",
}
ALSO = {
    "AWS::KinesisFirehose::DeliveryStream": (
        "ExtendedS3DestinationConfiguration.EncryptionConfiguration.KMSEncryptionConfig.AWSKMSKeyARN"
    ),
    "AWS::Lambda::Function": "Code.SourceKMSKeyArn",
}
# Every other type: its configuration has no key of its own.
KEEPS_NONE = {
    *("AWS::ApiGatewayV2::Api", "AWS::ApiGatewayV2::Authorizer", "AWS::ApiGatewayV2::Integration"),
    *("AWS::ApiGatewayV2::Route", "AWS::ApiGatewayV2::Stage", "AWS::CloudWatch::Alarm", "AWS::CloudWatch::Dashboard"),
    *("AWS::EventSchemas::Discoverer", "AWS::Events::EventBusPolicy", "AWS::Events::Rule", "AWS::Glue::Database"),
    *("AWS::Glue::Table", "AWS::IAM::Role", "AWS::KMS::Alias", "AWS::KMS::Key", "AWS::Kinesis::StreamConsumer"),
    *("AWS::Lambda::EventInvokeConfig", "AWS::Lambda::Permission", "AWS::Lambda::Version", "AWS::Logs::LogStream"),
    *("AWS::Logs::ResourcePolicy", "AWS::S3::BucketPolicy", "AWS::SNS::TopicPolicy", "AWS::SQS::QueuePolicy"),
}
READS, WRITES, BOTH = {"kms:Decrypt"}, {"kms:GenerateDataKey"}, {"kms:Decrypt", "kms:GenerateDataKey"}
# What each role needs of the key: to read streams, tables and objects, and to write records, messages and objects.
USES = {
    "control-service": dict.fromkeys(["JobRole", "JobScheduleRole", "ListenerRole", "TriggerRole"], BOTH),
    "event-fault-monitor": dict.fromkeys(["DeliveryRole", "DeliveryRuleRole", "TriggerRole"], BOTH),
    "event-hub": {"EgressRole": set(), "IngressRole": BOTH, "Stream1RuleRole": WRITES},
    "event-lake-s3": dict.fromkeys(["ClaimsRole", "DeliveryRole", "DeliveryRuleRole"], BOTH),
    "rest-bff-service": {
        **dict.fromkeys(["DashboardRole", "ListenerRole", "OutboxRole", "TriggerRole"], BOTH),
        "RestRole": READS,
    },
}
# Keys of single fields, which are not those of the data at rest, with the roles that may use them.
FIELD_KEYS = {"rest-bff-service": {"FieldKey": {"RestRole": BOTH, "TriggerRole": BOTH}}}
full = pytest.mark.parametrize("compiled", [(service, FULL) for service in SERVICE_NAMES], ids="-".join)
staged = pytest.mark.parametrize("compiled", [each for each in COMPILED if each[1] != FULL], ids="-".join)


def at(properties, path):
    """The value at a path of names and positions, or None."""
    for name in path.split("."):
        if properties is None:
            return None
        properties = properties[int(name)] if name.isdigit() else properties.get(name)
    return properties


def test_every_service_protects_its_data_with_the_same_file():
    """A service is copied alone, so each service has a copy."""
    copies = {path.parents[1].name: path.read_bytes() for path in SERVICES.glob("*/resources/protection.js")}
    assert sorted(copies) == SERVICE_NAMES
    assert len(set(copies.values())) == 1


def test_every_type_is_known_to_keep_data_or_none(stack):
    assert {each["Type"] for each in stack.resources.values()} - set(KEEPS_DATA) - KEEPS_NONE == set()


@full
def test_everything_at_rest_is_encrypted_with_the_key(stack):
    for name, resource in stack.resources.items():
        for path in (KEEPS_DATA.get(resource["Type"]), ALSO.get(resource["Type"])):
            assert path is None or at(resource["Properties"], path) == KEY, f"{name}: {path}"


@full
def test_no_other_key_or_encryption_is_left(stack):
    kept = FIELD_KEYS.get(stack.service, {}).keys()
    assert {name for name, each in stack.resources.items() if each["Type"] == "AWS::KMS::Key"} == kept
    for name, queue in stack.of_type("AWS::SQS::Queue").items():
        assert "SqsManagedSseEnabled" not in queue, name
    for name, resource in stack.resources.items():
        if resource["Type"] == "AWS::S3::Bucket":
            (rule,) = resource["Properties"]["BucketEncryption"]["ServerSideEncryptionConfiguration"]
            assert rule["BucketKeyEnabled"] is True, name
            assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms", name
    for name, table in stack.of_type("AWS::DynamoDB::Table").items():
        assert table["SSESpecification"]["SSEType"] == "KMS", name
    for name, delivery in stack.of_type("AWS::KinesisFirehose::DeliveryStream").items():
        assert delivery["DeliveryStreamEncryptionConfigurationInput"]["KeyType"] == "CUSTOMER_MANAGED_CMK", name


@full
def test_an_event_that_the_key_fails_for_is_kept_in_a_queue(stack):
    for name, bus in stack.of_type("AWS::Events::EventBus").items():
        queue = stack.resolve(bus["DeadLetterConfig"]["Arn"])
        (allowing,) = [
            statement
            for policy in stack.of_type("AWS::SQS::QueuePolicy").values()
            for statement in stack.statements(policy["PolicyDocument"])
            if statement.covers("sqs:SendMessage", queue)
        ]
        assert conditions_hold(allowing.condition, {"aws:sourcearn": [stack.arn(name)]})


@full
def test_a_role_may_use_the_key_for_what_it_does_and_no_more(stack):
    uses = {name: dict(uses_of_keys(stack, role)) for name, role in stack.of_type("AWS::IAM::Role").items()}
    of_fields = {stack.arn(name) for name in FIELD_KEYS.get(stack.service, {})}
    assert {key for used in uses.values() for key in used} <= {KEY, *of_fields}
    assert {name: used.get(KEY, set()) for name, used in uses.items()} == USES[stack.service]


def uses_of_keys(stack, role):
    """The actions that a role may take with each key."""
    for policy in role["Policies"]:
        for statement in stack.statements(policy["PolicyDocument"]):
            if any(action.startswith("kms:") for action in statement.actions):
                assert statement.effect == "Allow"
                (key,) = statement.resources
                yield key, set(statement.actions)


def test_the_key_of_a_field_is_for_the_roles_that_encrypt_or_decrypt_it(stack):
    roles = stack.of_type("AWS::IAM::Role")
    for key, uses in FIELD_KEYS.get(stack.service, {}).items():
        found = {name: dict(uses_of_keys(stack, role)).get(stack.arn(key)) for name, role in roles.items()}
        assert {name: used for name, used in found.items() if used} == uses
        by_alias = stack.of_type("AWS::KMS::Alias").values()
        aliases = [each["AliasName"] for each in by_alias if each["TargetKeyId"] == {"Ref": key}]
        assert len(aliases) == 1
        for function in stack.functions.values():
            variables = function["Environment"]["Variables"]
            given = aliases if stack.resolve(function["Role"]) in map(stack.arn, uses) else []
            assert [stack.resolve(variables[name]) for name in variables if name == "ENCRYPTION_KEYS"] == given


@staged
def test_without_a_key_only_keys_of_aws_encrypt(stack):
    assert "kms:us-east-1:" not in str(stack.template)
    for name, resource in stack.resources.items():
        path = KEEPS_DATA.get(resource["Type"])
        value = at(resource.get("Properties", {}), path) if path else None
        assert value in (None, "alias/aws/kinesis", "alias/aws/sns", {"Ref": "AlarmKey"}), name
    of_fields = {stack.arn(each) for each in FIELD_KEYS.get(stack.service, {})}
    for name, role in stack.of_type("AWS::IAM::Role").items():
        assert {key for key, _ in uses_of_keys(stack, role)} <= of_fields, name


def identifiers_of(policy, stack):
    """The names of the data identifiers of a data protection policy, checked for its shape."""
    assert set(policy) == {"Name", "Version", "Statement"}
    assert policy["Version"] == "2021-06-01"
    audit, redact = stack.resolve(policy["Statement"])
    assert audit["Operation"] == {"Audit": {"FindingsDestination": {}}}
    assert redact["Operation"] == {"Deidentify": {"MaskConfig": {}}}
    assert audit["DataIdentifier"] == redact["DataIdentifier"]
    prefix = "arn:aws:dataprotection::aws:data-identifier/"
    assert all(each.startswith(prefix) for each in audit["DataIdentifier"])
    return [each.removeprefix(prefix) for each in audit["DataIdentifier"]]


def test_every_log_group_masks_what_the_stage_lists(stack):
    """CloudWatch Logs user guide, "Help protect sensitive log data with masking"."""
    secrets = [
        "AwsSecretKey",
        "EmailAddress",
        "OpenSshPrivateKey",
        "PgpPrivateKey",
        "PkcsPrivateKey",
        "PuttyPrivateKey",
    ]
    expected = {"prod": secrets, FULL: ["EmailAddress", "AwsSecretKey"]}.get(stack.stage)
    for name, group in stack.of_type("AWS::Logs::LogGroup").items():
        policy = group.get("DataProtectionPolicy")
        assert (identifiers_of(policy, stack) if policy else None) == expected, name


class Tagged(yaml.SafeLoader):
    """Reads CloudFormation's short forms as the functions that they stand for."""


Tagged.add_constructor("!Sub", lambda loader, node: {"Fn::Sub": loader.construct_scalar(node)})
Tagged.add_constructor("!GetAtt", lambda loader, node: {"Fn::GetAtt": loader.construct_scalar(node).split(".")})
Tagged.add_constructor("!Ref", lambda loader, node: {"Ref": loader.construct_scalar(node)})


@pytest.fixture
def key_statements(stack):
    """The statements of the key in the README of event-hub, resolved, by Sid."""
    text = (SERVICES / "event-hub" / "README.md").read_text(encoding="utf-8")
    (block,) = [block for block in re.findall(r"```yaml\n([^`]*)```", text) if "AWS::KMS::Key" in block]
    (key,) = yaml.load(block, Tagged)["Resources"].values()
    statements = stack.resolve(key["Properties"]["KeyPolicy"]["Statement"])
    assert key["DeletionPolicy"] == "Retain"
    assert key["Properties"]["EnableKeyRotation"] is True
    return {each["Sid"]: each for each in statements}


ARN = "arn:aws:{}:us-east-1:{}:{}"
# Who needs the key without a role of a stack, for what, and with which condition keys; by types that are in a stack.
CALLS = {
    "AWS::Logs::LogGroup": [
        ("logs.us-east-1.amazonaws.com", "kms:GenerateDataKey", "logs", {"logs:arn": ("logs", "log-group:{}")}),
        ("logs.us-east-1.amazonaws.com", "kms:Decrypt", "logs", {"logs:arn": ("logs", "log-group:{}")}),
    ],
    "AWS::Events::EventBus": [
        ("events.amazonaws.com", "kms:GenerateDataKey", "events", {"events:event-bus:arn": ("events", "event-bus/{}")}),
        ("events.amazonaws.com", "kms:Decrypt", "events", {"events:event-bus:arn": ("events", "event-bus/{}")}),
        ("events.amazonaws.com", "kms:DescribeKey", "events", {}),
    ],
    "AWS::Events::Archive": [
        ("events.amazonaws.com", "kms:ReEncryptFrom", "events", {"events:event-bus:arn": ("events", "event-bus/{}")}),
    ],
    "AWS::SQS::QueuePolicy": [
        ("events.amazonaws.com", "kms:GenerateDataKey", "sqs", {"sqs:arn": ("sqs", "{}")}),
        ("events.amazonaws.com", "kms:Decrypt", "sqs", {"sqs:arn": ("sqs", "{}")}),
    ],
    "AWS::SNS::TopicPolicy": [
        ("cloudwatch.amazonaws.com", "kms:GenerateDataKey", "sns", {}),
        ("cloudwatch.amazonaws.com", "kms:Decrypt", "sns", {}),
    ],
    "AWS::Lambda::EventSourceMapping": [
        ("lambda.us-east-1.amazonaws.com", "kms:Decrypt", "lambda", {}),
    ],
}


def permitted(statements, service, action, context):
    """The Sids of the key's statements that permit a call of a service."""
    return [
        sid
        for sid, each in statements.items()
        if service in str(each["Principal"].get("Service", ()))
        and any(re.fullmatch(allowed.replace("*", ".*"), action) for allowed in each["Action"])
        and conditions_hold(each.get("Condition", {}), context)
    ]


def context_of(account, keys):
    """The condition keys of a call of KMS for a resource of an account."""
    context = {
        "aws:sourceaccount": [account],
        "aws:sourcearn": [ARN.format("lambda", account, "event-source-mapping:1")],
    }
    for key, (service, resource) in keys.items():
        context[f"kms:encryptioncontext:aws:{key}"] = [ARN.format(service, account, resource.format("x"))]
    return context


@full
def test_the_key_of_the_readme_permits_the_services_that_use_it_for_this_account_only(stack, key_statements):
    present = {each["Type"] for each in stack.resources.values()}
    for type_ in present & set(CALLS):
        for service, action, _, keys in CALLS[type_]:
            assert permitted(key_statements, service, action, context_of("123456789012", keys)), (
                type_,
                service,
                action,
            )
            assert not permitted(key_statements, service, action, context_of("999999999999", keys)), (service, action)


@pytest.mark.parametrize("compiled", [("event-hub", FULL)], ids="-".join)
def test_the_key_of_the_readme_has_no_statement_without_a_use(key_statements):
    used = {
        sid
        for calls in CALLS.values()
        for service, action, _, keys in calls
        for sid in permitted(key_statements, service, action, context_of("123456789012", keys))
    }
    assert set(key_statements) - used == {"Administration"}
    assert key_statements["Administration"]["Principal"] == {"AWS": "arn:aws:iam::123456789012:root"}


def bounds(stack):
    return {properties.get("PermissionsBoundary") for properties in stack.of_type("AWS::IAM::Role").values()}


@full
def test_the_boundary_that_is_given_bounds_every_role(stack):
    assert bounds(stack) == {BOUNDARY}


@staged
def test_no_role_has_a_boundary_unless_one_is_given(stack):
    assert bounds(stack) <= {None}
