"""Each check with a service that triggers it, and with one that differs just enough not to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from stream_cli.checks.findings import Finding
from stream_cli.checks.kinds import CHECKS
from stream_cli.checks.service.handlers import LeftOutImport, ProbedRule
from stream_cli.checks.service.packaged import Service
from stream_cli.checks.service.published import Repository
from stream_cli.checks.service.serverless_events import Event
from stream_cli.checks.service.source_map import Location

Make = Callable[..., Service]
Find = Callable[[Service], list[Finding]]
MadeRule = tuple[str, tuple[str, ...], Mapping[str, Any]]

KINESIS_CONSUMER = {
    "Type": "AWS::Kinesis::StreamConsumer",
    "Properties": {"StreamARN": {"Fn::GetAtt": ["Stream", "Arn"]}},
}
TABLE_CONSUMER = {
    "Type": "AWS::Kinesis::StreamConsumer",
    "Properties": {"StreamARN": {"Fn::GetAtt": ["Table", "StreamArn"]}},
}
TOPIC_CONSUMER = {"Type": "AWS::Kinesis::StreamConsumer", "Properties": {"StreamARN": {"Ref": "Alarms"}}}
READ_CONSUMER = {"Effect": "Allow", "Action": "kinesis:SubscribeToShard", "Resource": {"Ref": "Consumer"}}


def destination(arn: Any) -> dict[str, Any]:
    return {"DestinationConfig": {"OnFailure": {"Destination": arn}}}


def table(view_type: str | None) -> dict[str, Any]:
    properties = {"StreamSpecification": {"StreamViewType": view_type}} if view_type else {}
    return {"Table": {"Type": "AWS::DynamoDB::Table", "Properties": properties}}


def queue(name: str, **properties: Any) -> dict[str, Any]:
    return {name: {"Type": "AWS::SQS::Queue", "Properties": properties}}


def bus_rule(*targets: dict[str, Any], **properties: Any) -> dict[str, Any]:
    given = {"EventPattern": {"source": ["custom"]}, "Targets": [*targets], **properties}
    return {"ToTarget": {"Type": "AWS::Events::Rule", "Properties": given}}


def target(**given: Any) -> dict[str, Any]:
    return {"Id": "t", "Arn": {"Fn::GetAtt": ["Stream", "Arn"]}, **given}


def may(action: str | list[str], resource: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource}


def variables(**more: Any) -> dict[str, Any]:
    """A function with more environment variables."""
    return {"Environment": {"Variables": {"BUS_NAME": {"Ref": "Bus"}, **more}}}


def reader(name: str) -> dict[str, Any]:
    """One more function on the table's stream."""
    return {
        f"{name}LambdaFunction": {"Type": "AWS::Lambda::Function", "Properties": {"Handler": "other.handler"}},
        f"{name}EventSourceMappingDynamodbTable": {
            "Type": "AWS::Lambda::EventSourceMapping",
            "Properties": {
                "EventSourceArn": {"Fn::GetAtt": ["Table", "StreamArn"]},
                "FunctionName": {"Ref": f"{name}LambdaFunction"},
                "StartingPosition": "TRIM_HORIZON",
                "FunctionResponseTypes": ["ReportBatchItemFailures"],
            },
        },
    }


def alike(number: int) -> str:
    return f'{{"data": {{"type": ["item-made"], "n": [{number}]}}}}'


@dataclass(frozen=True)
class Pair:
    """A code, what triggers its check, and a similar case that does not. Rules are given as (flavor, types, more)."""

    code: str
    name: str
    wrong: Mapping[str, Any]
    fine: Mapping[str, Any]


AT_TIMESTAMP = {"StartingPosition": "AT_TIMESTAMP"}
NO_LIMIT = {"MaximumRetryAttempts": None, "DestinationConfig": None, "FunctionResponseTypes": None}
QUIET = {"reports": False}
S3_PUT, S3_LIST = may("s3:PutObject", "arn:aws:s3:::failures/*"), may("s3:ListBucket", "arn:aws:s3:::failures")
READ_STREAM = may(
    ["kinesis:GetRecords", "kinesis:GetShardIterator", "kinesis:DescribeStreamSummary", "kinesis:ListShards"],
    {"Fn::GetAtt": ["Stream", "Arn"]},
)
READ_TABLE = may(
    ["dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:DescribeStream", "dynamodb:ListStreams"],
    {"Fn::GetAtt": ["Table", "StreamArn"]},
)
SEND = may("sqs:SendMessage", {"Fn::GetAtt": ["Failures", "Arn"]})
PUT = may("events:PutEvents", {"Fn::GetAtt": ["Bus", "Arn"]})
IMAGE = '{"dynamodb": {"NewImage": {"%s": %s}}}'

EVENT_TABLE = {"EVENT_TABLE_NAME": {"Ref": "Table"}}
WITH_OPTIONS = {"options": {}}


def resource_with_key(partition: str, sort: str) -> dict[str, Any]:
    """A table with a stream and a key."""
    schema = [{"AttributeName": partition, "KeyType": "HASH"}, {"AttributeName": sort, "KeyType": "RANGE"}]
    types = [{"AttributeName": name, "AttributeType": "S"} for name in (partition, sort)]
    stream = {"StreamViewType": "NEW_AND_OLD_IMAGES"}
    properties = {"KeySchema": schema, "AttributeDefinitions": types, "StreamSpecification": stream}
    return {"Type": "AWS::DynamoDB::Table", "Properties": properties}


def of_table(actions: str | list[str], resource: Any = None) -> dict[str, Any]:
    return may(actions, resource or {"Fn::GetAtt": ["Table", "Arn"]})


KEY_OF_FIELDS = "arn:aws:kms:us-east-1:000000000000:key/fields"
SEALED = {"ENCRYPTION_KEYS": KEY_OF_FIELDS}
CLAIMS = {"CLAIMCHECK_BUCKET_NAME": "claims", "SERVICE": "shop"}


def lacking(rule: MadeRule, *statements: Any, **function: Any) -> dict[str, Any]:
    """A service with one rule, whose handler has no options, and more statements."""
    return {
        "rules": [rule],
        "handler": WITH_OPTIONS,
        "function": variables(**(EVENT_TABLE | function)),
        "more_statements": list(statements),
    }


def correlating(*rules: MadeRule, **more: Any) -> dict[str, Any]:
    """A service whose rules work together through the table whose stream they read."""
    given = {"source": "dynamodb", "rules": list(rules), "handler": WITH_OPTIONS, "function": variables(**EVENT_TABLE)}
    return {**given, "patterns": ['{"eventName": ["INSERT"]}'], **more}


KEY = "arn:aws:kms:us-east-1:000000000000:key/own"


def encrypted(key: Any) -> dict[str, Any]:
    """A table with a key, and a function that a fixture has put a row with."""
    own = table("NEW_AND_OLD_IMAGES")
    own["Table"]["Properties"]["SSESpecification"] = {"SSEEnabled": True, "SSEType": "KMS", "KMSMasterKeyId": key}
    return {**calling("dynamodb:PutItem", "table", "Table"), "resources": own}


COLLECT: MadeRule = ("collect", ("made", "sold"), {"id": "c"})
CORRELATE: MadeRule = ("correlate", ("made", "sold"), {"id": "f", "fields": {"correlation_key_suffix": "s"}})
OTHER_TABLE = {
    "OtherTable": {
        "Type": "AWS::DynamoDB::Table",
        "Properties": {"StreamSpecification": {"StreamViewType": "NEW_AND_OLD_IMAGES"}},
    }
}


def evaluating(*types: str, **fields: Any) -> MadeRule:
    return ("evaluate", types, {"id": "e", "fields": fields})


def publishing(event_id: str) -> list[dict[str, Any]]:
    return [{"type": "item-ready", "id": event_id, "rule": "the-rule"}]


SENDING = {
    "SenderLambdaFunction": {
        "Type": "AWS::Lambda::Function",
        "Properties": {"Handler": "sender.handler", "Environment": {"Variables": {"CLAIMCHECK_BUCKET_NAME": "claims"}}},
    }
}


def keeping(days: int, **collect: Any) -> dict[str, Any]:
    """A service that collects events, with a bucket for the bodies of large ones."""
    rules = [{"Status": "Enabled", "ExpirationInDays": days}, {"Status": "Enabled", "NoncurrentVersionExpiration": {}}]
    bucket = {"Type": "AWS::S3::Bucket", "Properties": {"LifecycleConfiguration": {"Rules": rules}}}
    return {
        **lacking(("collect", ("item-made",), {"fields": collect}), CLAIMCHECK_BUCKET_NAME={"Ref": "Claims"}),
        "resources": {"Claims": bucket},
    }


REFUSED = {
    "operation": "UpdateItem",
    "message": "Invalid ConditionExpression: Invalid function name; function: attribute_exist",
    "expressions": ["attribute_exist(pk)"],
    "file": None,
    "line": None,
}
FAULT = {"rule": "the-rule", "name": "KeyError", "message": "'score'", "file": None, "line": None}
RAISED = {"name": "KeyError", "message": "'score'", "file": "worker.py", "line": 3}


def calling(action: str, kind: str, name: str, suffix: str = "") -> dict[str, Any]:
    return {"trial": {"calls": [{"action": action, "kind": kind, "name": name, "suffix": suffix}]}}


TRIED = [
    Pair(
        "SM211",
        "another id at a second run",
        {"trial": {"published": publishing("a"), "published_again": publishing("b")}},
        {"trial": {"published": publishing("a"), "published_again": publishing("a")}},
    ),
    Pair(
        "SM211",
        "an event that only one run publishes says nothing",
        {"trial": {"published": publishing("a"), "published_again": publishing("b")}},
        {"trial": {"published": publishing("a"), "published_again": []}},
    ),
    Pair("SM212", "a misspelled function", {"trial": {"refused": [REFUSED]}}, {"trial": {"refused": []}}),
    Pair(
        "SM213",
        "more faults than expected",
        {"trial": {"faults": [FAULT], "expected": {"publishes": []}}},
        {"trial": {"faults": [FAULT], "expected": {"publishes": ["fault"]}}},
    ),
    Pair(
        "SM213",
        "nothing says what is expected",
        {"trial": {"faults": [FAULT], "expected": {}}},
        {"trial": {"faults": [FAULT]}},
    ),
    Pair(
        "SM214",
        "the handler raises",
        {"trial": {"raised": RAISED, "expected": {"returns": {}}}, "folder": Path("/shop")},
        {"trial": {"raised": RAISED, "expected": {"raises": "KeyError"}}, "folder": Path("/shop")},
    ),
]
TIMES = [
    Pair(
        "SM304",
        "less than six times the timeout",
        {"source": "sqs", "resources": queue("Inbox", VisibilityTimeout=359, RedrivePolicy={})},
        {"source": "sqs", "resources": queue("Inbox", VisibilityTimeout=360, RedrivePolicy={})},
    ),
    Pair(
        "SM304",
        "the batching window counts, too",
        {"source": "sqs", "mapping": {"MaximumBatchingWindowInSeconds": 1}},
        {
            "source": "sqs",
            "mapping": {"MaximumBatchingWindowInSeconds": 1},
            "resources": queue("Inbox", VisibilityTimeout=361, RedrivePolicy={}),
        },
    ),
    Pair("SM305", "the margin is all", {"function": {"Timeout": 2}}, {"function": {"Timeout": 3}}),
    Pair(
        "SM305",
        "a margin of its own",
        {"function": {"Timeout": 30, **variables(DEADLINE_MARGIN_MS="30000")}},
        {"function": {"Timeout": 30, **variables(DEADLINE_MARGIN_MS={"Ref": "Margin"})}},
    ),
    Pair("SM306", "a call takes longer", {"function": {"Timeout": 24}}, {"function": {"Timeout": 25}}),
    Pair(
        "SM307",
        "given up after one time-out",
        {"mapping": {"MaximumRecordAgeInSeconds": 60}},
        {"mapping": {"MaximumRecordAgeInSeconds": 61}},
    ),
    Pair(
        "SM308",
        "behind an API",
        {"function": {"Timeout": 30}, "behind_apis": frozenset({"worker"})},
        {"function": {"Timeout": 29}, "behind_apis": frozenset({"worker"})},
    ),
]
LACKS = [
    Pair(
        "SM605",
        "a field is decrypted",
        lacking(("task", ("item-made",), {"fields": {"decrypt": True}}), **SEALED),
        lacking(("task", ("item-made",), {"fields": {"decrypt": True}}), may("kms:Decrypt", KEY_OF_FIELDS), **SEALED),
    ),
    Pair(
        "SM605",
        "what was decrypted is published encrypted",
        lacking(("cdc", ("item-made",), {"fields": {"decrypt": True}}), may("kms:Decrypt", KEY_OF_FIELDS), **SEALED),
        lacking(
            ("cdc", ("item-made",), {"fields": {"decrypt": True}}),
            may(["kms:Decrypt", "kms:GenerateDataKey"], KEY_OF_FIELDS),
            **SEALED,
        ),
    ),
    Pair(
        "SM605",
        "a field is encrypted for another region, too",
        lacking(
            ("cdc", ("item-made",), {"fields": {"encrypt": ["item.owner"]}}),
            may("kms:GenerateDataKey", "*"),
            ENCRYPTION_KEYS=f"{KEY_OF_FIELDS}, arn:aws:kms:eu-west-1:000000000000:alias/fields",
        ),
        lacking(
            ("cdc", ("item-made",), {"fields": {"encrypt": ["item.owner"]}}),
            may("kms:GenerateDataKey", "*"),
            ENCRYPTION_KEYS="alias/fields",
        ),
    ),
    Pair(
        "SM412",
        "a rule with encrypted fields has no key",
        lacking(("task", ("item-made",), {"fields": {"decrypt": True}})),
        lacking(("task", ("item-made",), {"fields": {"decrypt": False}})),
    ),
    Pair(
        "SM605",
        "the body of a large event is read",
        lacking(("materialize", ("item-made",), {}), of_table("dynamodb:UpdateItem"), **CLAIMS),
        lacking(
            ("materialize", ("item-made",), {}),
            of_table("dynamodb:UpdateItem"),
            may("s3:GetObject", "arn:aws:s3:::claims/claimchecks/*"),
            **CLAIMS,
        ),
    ),
    Pair(
        "SM605",
        "the body of a large event is stored under another name",
        lacking(
            ("cdc", ("item-made",), {}),
            may(["s3:GetObject", "s3:PutObject"], "arn:aws:s3:::claims/claimchecks/other/*"),
            may("s3:GetObject", "arn:aws:s3:::claims/claimchecks/*"),
            **CLAIMS,
        ),
        lacking(
            ("cdc", ("item-made",), {}),
            may("s3:PutObject", "arn:aws:s3:::claims/claimchecks/shop/*"),
            may("s3:GetObject", "arn:aws:s3:::claims/claimchecks/*"),
            **CLAIMS,
        ),
    ),
    Pair(
        "SM605",
        "collect writes in batches",
        lacking(("collect", ("item-made",), {}), of_table("dynamodb:PutItem")),
        lacking(("collect", ("item-made",), {}), of_table("dynamodb:Batch*")),
    ),
    Pair(
        "SM605",
        "its own request is put",
        lacking(("collect", ("item-made",), {"fields": {"to_put_request": {"callable": True}}})),
        lacking(
            ("collect", ("item-made",), {"fields": {"to_put_request": {"callable": True}}}),
            of_table("dynamodb:PutItem"),
        ),
    ),
    Pair(
        "SM605",
        "on another table",
        lacking(
            ("collect", ("item-made",), {}), of_table("dynamodb:BatchWriteItem", {"Fn::Sub": "${Table.Arn}/index/*"})
        ),
        lacking(
            ("collect", ("item-made",), {}),
            of_table("dynamodb:BatchWriteItem", {"Fn::Sub": "arn:aws:dynamodb:${AWS::Region}:*:table/${Table}"}),
        ),
    ),
    Pair(
        "SM605",
        "denied",
        lacking(
            ("collect", ("item-made",), {}),
            of_table("dynamodb:*"),
            {**of_table("dynamodb:BatchWriteItem", "*"), "Effect": "Deny"},
        ),
        lacking(
            ("collect", ("item-made",), {}),
            of_table("dynamodb:*"),
            {**of_table("dynamodb:DeleteTable", "*"), "Effect": "Deny"},
        ),
    ),
    Pair(
        "SM605",
        "all actions but these",
        lacking(
            ("collect", ("item-made",), {}), {"Effect": "Allow", "NotAction": ["dynamodb:Batch*"], "Resource": "*"}
        ),
        lacking(("collect", ("item-made",), {}), {"Effect": "Allow", "NotAction": ["iam:*"], "Resource": "*"}),
    ),
    Pair(
        "SM605",
        "all resources but these",
        lacking(
            ("collect", ("item-made",), {}),
            {"Effect": "Allow", "Action": "dynamodb:*", "NotResource": {"Fn::GetAtt": ["Table", "Arn"]}},
        ),
        lacking(
            ("collect", ("item-made",), {}),
            {"Effect": "Allow", "Action": "dynamodb:*", "NotResource": {"Fn::GetAtt": ["Failures", "Arn"]}},
        ),
    ),
    Pair(
        "SM605",
        "once needs more",
        lacking(evaluating("item-made", once=True, emit="ready"), of_table("dynamodb:PutItem")),
        lacking(
            evaluating("item-made", once=True, emit="ready"), of_table(["dynamodb:PutItem", "dynamodb:UpdateItem"])
        ),
    ),
    Pair(
        "SM605",
        "requests may name any table",
        lacking(("materialize", ("item-made",), {})),
        lacking(
            ("materialize", ("item-made",), {}), of_table("dynamodb:UpdateItem", "arn:aws:dynamodb:*:*:table/other")
        ),
    ),
    Pair(
        "SM605",
        "the bus of another stack may be any",
        lacking(("cdc", ("item-made",), {"fields": {"bus_name": "other"}})),
        lacking(
            ("cdc", ("item-made",), {"fields": {"bus_name": "other"}}),
            may("events:PutEvents", {"Fn::ImportValue": "hub-busArn"}),
        ),
    ),
    Pair(
        "SM605",
        "a topic",
        lacking(("sns", ("item-made",), {"fields": {"to_sns": {}}}), TOPIC_ARN={"Ref": "Alarms"}),
        lacking(
            ("sns", ("item-made",), {"fields": {"to_sns": {}}}),
            may("sns:Publish", {"Ref": "Alarms"}),
            TOPIC_ARN={"Ref": "Alarms"},
        ),
    ),
    Pair(
        "SM605",
        "what a fixture called",
        {
            **calling("dynamodb:Query", "table", "Table", "/index/ByDay"),
            "more_statements": [of_table("dynamodb:Query")],
        },
        {
            **calling("dynamodb:Query", "table", "Table", "/index/ByDay"),
            "more_statements": [of_table("dynamodb:Query", {"Fn::Sub": "${Table.Arn}/index/*"})],
        },
    ),
    Pair(
        "SM605",
        "an object that a fixture put",
        {
            **calling("s3:PutObject", "bucket", "views", "/a"),
            "more_statements": [may("s3:PutObject", "arn:aws:s3:::views")],
        },
        {
            **calling("s3:PutObject", "bucket", "views", "/a"),
            "more_statements": [may("s3:PutObject", "arn:aws:s3:::views/*")],
        },
    ),
    Pair(
        "SM605",
        "the key of what it uses",
        {**encrypted(KEY), "more_statements": [of_table("dynamodb:PutItem")]},
        {**encrypted(KEY), "more_statements": [of_table("dynamodb:PutItem"), may("kms:Decrypt", KEY)]},
    ),
    Pair(
        "SM605",
        "another key",
        {**encrypted(KEY), "more_statements": [of_table("dynamodb:PutItem"), may("kms:Decrypt", f"{KEY}-2")]},
        {**encrypted(KEY), "more_statements": [of_table("dynamodb:PutItem"), may("kms:*", f"{KEY[:-3]}*")]},
    ),
    Pair(
        "SM605",
        "a key of the stack's own",
        {**encrypted({"Ref": "Key"}), "more_statements": [of_table("dynamodb:PutItem")]},
        {
            **encrypted({"Ref": "Key"}),
            "more_statements": [of_table("dynamodb:PutItem"), may("kms:Decrypt", {"Fn::GetAtt": ["Key", "Arn"]})],
        },
    ),
    Pair(
        "SM605",
        "AWS's own key needs nothing",
        {**encrypted("alias/orders"), "more_statements": [of_table("dynamodb:PutItem")]},
        {**encrypted("alias/aws/dynamodb"), "more_statements": [of_table("dynamodb:PutItem")]},
    ),
    Pair(
        "SM605",
        "a message into a queue with a key is made with a data key",
        {
            **calling("sqs:SendMessage", "queue", "Inbox"),
            "resources": queue("Inbox", VisibilityTimeout=360, RedrivePolicy={}, KmsMasterKeyId=KEY),
            "more_statements": [may("sqs:SendMessage", {"Fn::GetAtt": ["Inbox", "Arn"]}), may("kms:Decrypt", KEY)],
        },
        {
            **calling("sqs:SendMessage", "queue", "Inbox"),
            "resources": queue("Inbox", VisibilityTimeout=360, RedrivePolicy={}, KmsMasterKeyId=KEY),
            "more_statements": [
                may("sqs:SendMessage", {"Fn::GetAtt": ["Inbox", "Arn"]}),
                may(["kms:Decrypt", "kms:GenerateDataKey"], KEY),
            ],
        },
    ),
    Pair(
        "SM605",
        "a mapping reads a queue with a key",
        {
            "source": "sqs",
            "resources": queue("Inbox", VisibilityTimeout=360, RedrivePolicy={}, KmsMasterKeyId=KEY),
        },
        {
            "source": "sqs",
            "resources": queue("Inbox", VisibilityTimeout=360, RedrivePolicy={}, KmsMasterKeyId=KEY),
            "more_statements": [may("kms:Decrypt", KEY)],
        },
    ),
    Pair(
        "SM412",
        "no table",
        {**lacking(("collect", ("item-made",), {})), "function": variables()},
        {**lacking(("collect", ("item-made",), {"fields": {"table_name": "mine"}})), "function": variables()},
    ),
    Pair(
        "SM412",
        "options may name it",
        {**lacking(("collect", ("item-made",), {})), "function": variables()},
        {
            **lacking(("collect", ("item-made",), {})),
            "function": variables(),
            "handler": {"options": {"table_name": "mine"}},
        },
    ),
    Pair(
        "SM412",
        "the code reads it",
        {"handler": {"error": "InvalidSetting: environment variable LIMIT is not set: most", "rules": None}},
        {"handler": {"error": "KeyError: 'LIMIT'", "rules": None}},
    ),
    Pair(
        "SM413",
        "no table of that name",
        {"function": variables(ENTITY_TABLE_NAME="shop-dev-entitys")},
        {"function": variables(ENTITY_TABLE_NAME="warehouse-dev-entities")},
    ),
    Pair(
        "SM413",
        "a bucket",
        {"function": variables(BUCKET_NAME="shop-dev-views")},
        {
            "function": variables(BUCKET_NAME="shop-dev-views"),
            "resources": {"Views": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "shop-dev-views"}}},
        },
    ),
]
CORRELATIONS = [
    Pair(
        "SM414",
        "another suffix",
        correlating(COLLECT, CORRELATE, evaluating("made", correlation_key_suffix="t")),
        correlating(COLLECT, CORRELATE, evaluating("made", correlation_key_suffix="s")),
    ),
    Pair(
        "SM414",
        "another type",
        correlating(COLLECT, CORRELATE, evaluating("mad", correlation_key_suffix="s")),
        correlating(
            COLLECT,
            ("correlate", (), {"id": "f", "patterns": ["^ma"], "fields": {"correlation_key_suffix": "s"}}),
            evaluating("mad", correlation_key_suffix="s"),
        ),
    ),
    Pair(
        "SM414",
        "a type that is not collected",
        correlating(COLLECT, evaluating("bought", expression={"callable": True})),
        correlating(COLLECT, evaluating("sold", expression={"callable": True})),
    ),
    Pair(
        "SM414",
        "a flavor of its own may file anything",
        correlating(COLLECT, CORRELATE, evaluating("made", correlation_key_suffix="t")),
        correlating(COLLECT, ("mine", ("made",), {"known": False}), evaluating("made", correlation_key_suffix="t")),
    ),
    Pair(
        "SM415",
        "correlates what nobody collects",
        correlating(("collect", ("made",), {"id": "c"}), CORRELATE),
        correlating(COLLECT, CORRELATE),
    ),
    Pair(
        "SM415",
        "another service may collect",
        correlating(("collect", ("made",), {"id": "c"}), CORRELATE),
        correlating(CORRELATE),
    ),
    Pair(
        "SM416",
        "the stream of another table",
        correlating(
            COLLECT, CORRELATE, resources=OTHER_TABLE, function=variables(EVENT_TABLE_NAME={"Ref": "OtherTable"})
        ),
        correlating(COLLECT, CORRELATE, resources=OTHER_TABLE),
    ),
    Pair(
        "SM417",
        "another key",
        correlating(COLLECT, resources={"Table": resource_with_key("id", "sk")}),
        correlating(COLLECT, resources={"Table": resource_with_key("pk", "sk")}),
    ),
]
CONTRACT = [
    Pair(
        "SM418",
        "a letter or two",
        {"publishes": ("item-mad", "item-sold")},
        {"publishes": ("item-made", "item-sold")},
    ),
    Pair(
        "SM418",
        "an event of the service itself",
        {"publishes": ("item-mad",)},
        {"publishes": ("item-mad",), "trial": {"published": [{"type": "item-made", "id": "1", "rule": "r"}]}},
    ),
    Pair("SM419", "nothing like it", {"publishes": ("sold",)}, {"publishes": ("sold", "item-made")}),
    Pair(
        "SM419",
        "what expires",
        {"publishes": ("sold",), "rules": [("collect", ("item-made",), {"fields": {"expire": True}})]},
        {
            "publishes": ("item-made",),
            "rules": [
                ("collect", ("item-made",), {"fields": {"expire": True}}),
                ("materialize", ("item-made-expired",), {"id": "other"}),
            ],
        },
    ),
    Pair(
        "SM420",
        "a field that is misspelled",
        {"patterns": ['{"data": {"typ": ["item-made"]}}']},
        {"patterns": ['{"data": {"type": ["item-made"], "typ": [{"exists": false}]}}']},
    ),
    Pair(
        "SM420",
        "a tag that is misspelled",
        {"patterns": ['{"data": {"type": ["item-made"], "tags": {"sorce": ["shop"]}}}']},
        {"patterns": ['{"data": {"type": ["item-made"], "tags": {"tenant": ["shop"]}}}']},
    ),
    Pair(
        "SM420",
        "the entity of the events",
        {"rules": [("materialize", ("item-made",), {})], "patterns": ['{"data": {"tag": {"id": ["1"]}}}']},
        {"rules": [("materialize", ("tag-made",), {})], "patterns": ['{"data": {"tag": {"id": ["1"]}}}']},
    ),
    Pair(
        "SM506",
        "no type",
        {"patterns": ['{"data": {"item": {"id": ["1"]}}}']},
        {"patterns": ['{"data": {"type": ["item-made"], "item": {"id": ["1"]}}}']},
    ),
    Pair(
        "SM506",
        "a rule decides about the type",
        {"patterns": ['{"data": {"item": {"id": ["1"]}}}']},
        {
            "patterns": ['{"data": {"item": {"id": ["1"]}}}'],
            "rules": [("materialize", (), {"decides": True})],
        },
    ),
]

PAIRS = [
    *TRIED,
    *TIMES,
    *LACKS,
    *CORRELATIONS,
    *CONTRACT,
    Pair(
        "SM101",
        "AT_TIMESTAMP needs its timestamp",
        {"mapping": AT_TIMESTAMP},
        {"mapping": {**AT_TIMESTAMP, "StartingPositionTimestamp": 1_700_000_000}},
    ),
    Pair(
        "SM102",
        "a DynamoDB stream has no AT_TIMESTAMP",
        {"source": "dynamodb", "mapping": AT_TIMESTAMP},
        {"source": "dynamodb", "mapping": {"StartingPosition": "TRIM_HORIZON"}},
    ),
    Pair(
        "SM103",
        "milliseconds are in the future",
        {"mapping": {**AT_TIMESTAMP, "StartingPositionTimestamp": 1_700_000_000_000}},
        {"mapping": {**AT_TIMESTAMP, "StartingPositionTimestamp": 1_700_000_000}},
    ),
    Pair(
        "SM104",
        "a consumer registered with a DynamoDB stream",
        {"source": "dynamodb", "mapping": {"EventSourceArn": {"Ref": "C"}}, "resources": {"C": TABLE_CONSUMER}},
        {
            "mapping": {"EventSourceArn": {"Ref": "Consumer"}},
            "resources": {"Consumer": KINESIS_CONSUMER},
            "more_statements": [READ_CONSUMER],
        },
    ),
    Pair(
        "SM104",
        "a consumer that the CLI left out",
        {"source": "dynamodb", "event": {"consumer": True}},
        {"source": "dynamodb", "event": {"batchSize": 5}},
    ),
    Pair(
        "SM105",
        "a window with parallelization",
        {"mapping": {"TumblingWindowInSeconds": 30, "ParallelizationFactor": 2}},
        {"mapping": {"TumblingWindowInSeconds": 30, "ParallelizationFactor": 1}},
    ),
    Pair(
        "SM106",
        "an operator that does not exist",
        {"patterns": ['{"data": {"type": [{"begins": "item-"}]}}']},
        {"patterns": ['{"data": {"type": [{"prefix": "item-"}]}}']},
    ),
    Pair(
        "SM106",
        "a wildcard that is too complex",
        {"patterns": ['{"data": {"type": ["item-made"], "bus": [{"wildcard": "*:*:*:*:*:event-bus/*"}]}}']},
        {"patterns": ['{"data": {"type": ["item-made"], "bus": [{"wildcard": "arn:*:event-bus/*"}]}}']},
    ),
    Pair(
        "SM107",
        "a pattern of more than 4096 characters",
        {"patterns": ['{"data": {"type": ["item-made"], "id": ["' + "x" * 4096 + '"]}}']},
        {"patterns": ['{"data": {"type": ["item-made"], "id": ["' + "x" * 4000 + '"]}}']},
    ),
    Pair(
        "SM108",
        "six patterns",
        {"patterns": [alike(n) for n in range(6)]},
        {"patterns": [alike(n) for n in range(5)]},
    ),
    Pair(
        "SM109",
        "the stream of a table without one",
        {"source": "dynamodb", "resources": table(None)},
        {"source": "dynamodb", "resources": table("NEW_AND_OLD_IMAGES")},
    ),
    Pair(
        "SM110",
        "the name of a stream",
        {"mapping": {"EventSourceArn": {"Ref": "Stream"}}},
        {"mapping": {"EventSourceArn": {"Fn::GetAtt": ["Stream", "Arn"]}}},
    ),
    Pair(
        "SM110",
        "the ARN of a table",
        {"source": "dynamodb", "mapping": {"EventSourceArn": {"Fn::GetAtt": ["Table", "Arn"]}}},
        {"source": "dynamodb", "mapping": {"EventSourceArn": {"Fn::GetAtt": ["Table", "StreamArn"]}}},
    ),
    Pair(
        "SM110",
        "a resource that does not exist",
        {"mapping": {"EventSourceArn": {"Fn::GetAtt": ["Streem", "Arn"]}}},
        {"mapping": {"EventSourceArn": {"Fn::ImportValue": "stream-arn"}}},
    ),
    Pair(
        "SM111",
        "the URL of a queue",
        {"mapping": destination({"Ref": "Failures"})},
        {"mapping": destination({"Fn::GetAtt": ["Failures", "Arn"]})},
    ),
    Pair(
        "SM111",
        "a stream as destination",
        {"mapping": destination({"Fn::GetAtt": ["Stream", "Arn"]})},
        {"mapping": destination({"Ref": "Alarms"}), "more_statements": [may("sns:Publish", {"Ref": "Alarms"})]},
    ),
    Pair(
        "SM112",
        "a FIFO queue as destination",
        {"resources": queue("Failures", FifoQueue=True)},
        {"resources": queue("Failures", FifoQueue=False)},
    ),
    Pair(
        "SM113",
        "one stream twice",
        {
            "resources": {
                "Again": {
                    "Type": "AWS::Lambda::EventSourceMapping",
                    "Properties": {
                        "EventSourceArn": {"Fn::Sub": "${Stream.Arn}"},
                        "FunctionName": {"Ref": "WorkerLambdaFunction"},
                    },
                }
            }
        },
        {},
    ),
    Pair(
        "SM114",
        "messages visible before the function ends",
        {"source": "sqs", "resources": queue("Inbox", VisibilityTimeout=30, RedrivePolicy={})},
        {"source": "sqs", "resources": queue("Inbox", VisibilityTimeout=60, RedrivePolicy={})},
    ),
    Pair(
        "SM115",
        "a large batch without a window",
        {"source": "sqs", "mapping": {"BatchSize": 100}},
        {"source": "sqs", "mapping": {"BatchSize": 100, "MaximumBatchingWindowInSeconds": 1}},
    ),
    Pair(
        "SM115",
        "a window on a FIFO queue",
        {
            "source": "sqs",
            "mapping": {"MaximumBatchingWindowInSeconds": 1},
            "resources": queue("Inbox", FifoQueue=True, VisibilityTimeout=360, RedrivePolicy={}),
        },
        {"source": "sqs", "resources": queue("Inbox", FifoQueue=True, VisibilityTimeout=360, RedrivePolicy={})},
    ),
    Pair(
        "SM116",
        "a consumer of a topic",
        {"mapping": {"EventSourceArn": {"Ref": "C"}}, "resources": {"C": TOPIC_CONSUMER}},
        {
            "mapping": {"EventSourceArn": {"Ref": "Consumer"}},
            "resources": {"Consumer": KINESIS_CONSUMER},
            "more_statements": [READ_CONSUMER],
        },
    ),
    Pair(
        "SM117",
        "a wildcard that is too complex",
        {"resources": bus_rule(EventPattern={"detail": {"bus": [{"wildcard": "*:*:*:*:*:event-bus/*"}]}})},
        {"resources": bus_rule(EventPattern={"detail": {"bus": [{"wildcard": "arn:*"}, {"Ref": "Bus"}]}})},
    ),
    Pair(
        "SM117",
        "a value outside of an array",
        {"resources": bus_rule(EventPattern='{"source": "custom"}')},
        {"resources": bus_rule(EventPattern='{"source": ["custom"]}')},
    ),
    Pair(
        "SM117",
        "an operator that does not exist",
        {"resources": bus_rule(EventPattern={"source": [{"begins": "cus"}]})},
        {"resources": bus_rule(EventPattern={"source": {"Ref": "Sources"}})},
    ),
    Pair(
        "SM118",
        "two inputs",
        {"resources": bus_rule(target(InputPath="$.detail", Input="{}"))},
        {"resources": bus_rule(target(InputPath="$.detail"), target(Input="{}"))},
    ),
    Pair(
        "SM118",
        "a variable that is not defined",
        {"resources": bus_rule(target(InputTransformer={"InputTemplate": '"<id>"'}))},
        {
            "resources": bus_rule(
                target(
                    InputTransformer={"InputPathsMap": {"id": "$.id"}, "InputTemplate": '"<id> <aws.events.rule-arn>"'}
                )
            )
        },
    ),
    Pair(
        "SM118",
        "six targets",
        {"resources": bus_rule(*(target(Id=f"t{n}") for n in range(6)))},
        {"resources": bus_rule(*(target(Id=f"t{n}") for n in range(5)))},
    ),
    Pair(
        "SM201",
        "a limit on retries without a destination",
        {"mapping": {"DestinationConfig": None}},
        {"mapping": {"DestinationConfig": None, "MaximumRetryAttempts": -1}},
    ),
    Pair(
        "SM201",
        "a limit on age without a destination",
        {"mapping": {"DestinationConfig": None, "MaximumRetryAttempts": None, "MaximumRecordAgeInSeconds": 600}},
        {"mapping": {"MaximumRetryAttempts": None, "MaximumRecordAgeInSeconds": 600}},
    ),
    Pair(
        "SM202",
        "a queue that the role may not send to",
        {"statements": [READ_STREAM, PUT]},
        {"statements": [READ_STREAM, PUT, SEND]},
    ),
    Pair(
        "SM202",
        "another queue",
        {"statements": [READ_STREAM, PUT, may("sqs:SendMessage", {"Fn::GetAtt": ["Inbox", "Arn"]})]},
        {"statements": [READ_STREAM, PUT, may("sqs:*", {"Fn::Sub": "${Failures.Arn}"})]},
    ),
    Pair(
        "SM202",
        "a bucket",
        {"mapping": destination("arn:aws:s3:::failures"), "more_statements": [S3_PUT]},
        {"mapping": destination("arn:aws:s3:::failures"), "more_statements": [S3_PUT, S3_LIST]},
    ),
    Pair(
        "SM202",
        "a destination of another stack when nothing may be written anywhere",
        {"mapping": destination({"Fn::ImportValue": "failures"}), "statements": [READ_STREAM, PUT]},
        {"mapping": destination({"Fn::ImportValue": "failures"})},
    ),
    Pair(
        "SM203",
        "a bus that the role may not write to",
        {"statements": [READ_STREAM, SEND]},
        {"statements": [READ_STREAM, SEND, PUT]},
    ),
    Pair(
        "SM203",
        "another bus",
        {"function": {"Environment": {"Variables": {"BUS_NAME": "other-bus"}}}},
        {"function": {"Environment": {"Variables": {"BUS_NAME": "the-bus"}}}},
    ),
    Pair(
        "SM204",
        "rules without a bus",
        {"function": {"Environment": {"Variables": {"STAGE": "dev"}}}},
        {"function": {"Environment": {"Variables": {"STAGE": "dev"}}}, "rules": []},
    ),
    Pair(
        "SM205",
        "failures returned and not looked at",
        {"mapping": {"FunctionResponseTypes": None}},
        {"mapping": {"FunctionResponseTypes": None}, "handler": {"reports": False}},
    ),
    Pair(
        "SM205",
        "failures of a queue returned and not looked at",
        {"source": "sqs", "mapping": {"FunctionResponseTypes": None}},
        {"source": "sqs"},
    ),
    Pair(
        "SM206",
        "failures looked for and never returned",
        {"handler": {"reports": False}},
        {"handler": {"reports": None}},
    ),
    Pair(
        "SM207",
        "an age that the window uses up",
        {"mapping": {"MaximumRecordAgeInSeconds": 60, "MaximumBatchingWindowInSeconds": 60}},
        {"mapping": {"MaximumRecordAgeInSeconds": 600, "MaximumBatchingWindowInSeconds": 60}},
    ),
    Pair(
        "SM208",
        "an age beyond the retention of a stream",
        {"mapping": {"MaximumRecordAgeInSeconds": 86400}},
        {"mapping": {"MaximumRecordAgeInSeconds": 43200}},
    ),
    Pair(
        "SM208",
        "an age beyond what a DynamoDB stream keeps",
        {"source": "dynamodb", "mapping": {"MaximumRecordAgeInSeconds": 604800}},
        {"source": "dynamodb", "mapping": {"MaximumRecordAgeInSeconds": -1}},
    ),
    Pair(
        "SM209",
        "a queue without redrive",
        {"source": "sqs", "resources": queue("Inbox", VisibilityTimeout=360)},
        {"source": "sqs"},
    ),
    Pair(
        "SM210",
        "LATEST",
        {"mapping": {"StartingPosition": "LATEST"}},
        {"mapping": {"StartingPosition": "TRIM_HORIZON"}},
    ),
    Pair(
        "SM215",
        "an outbox in lanes",
        {"source": "dynamodb", "rules": [("outbox", ("outbox-created",), {})], "mapping": {"ParallelizationFactor": 2}},
        {"source": "dynamodb", "mapping": {"ParallelizationFactor": 2}},
    ),
    Pair(
        "SM215",
        "an outbox in one lane",
        {"source": "dynamodb", "rules": [("outbox", ("outbox-created",), {})], "mapping": {"ParallelizationFactor": 2}},
        {"source": "dynamodb", "rules": [("outbox", ("outbox-created",), {})]},
    ),
    Pair(
        "SM301",
        "nothing that ends or isolates retries",
        {"mapping": {**NO_LIMIT, "BisectBatchOnFunctionError": None}, "handler": QUIET},
        {"mapping": {"MaximumRetryAttempts": None, "DestinationConfig": None, "BisectBatchOnFunctionError": None}},
    ),
    Pair(
        "SM302",
        "bisecting without an end",
        {"mapping": NO_LIMIT, "handler": QUIET},
        {"mapping": {"FunctionResponseTypes": None}, "handler": QUIET},
    ),
    Pair(
        "SM303",
        "fewer executions than lanes",
        {"mapping": {"ParallelizationFactor": 10}, "function": {"ReservedConcurrentExecutions": 4}},
        {"mapping": {"ParallelizationFactor": 10}, "function": {"ReservedConcurrentExecutions": 10}},
    ),
    Pair(
        "SM401",
        "a type that no rule handles",
        {"patterns": ['{"data": {"type": ["item-made", "item-mad"]}}']},
        {"patterns": ['{"data": {"type": ["item-made"]}}']},
    ),
    Pair(
        "SM401",
        "a prefix that no rule's type has",
        {"patterns": ['{"data": {"type": [{"prefix": "thing-"}]}}', '{"data": {"type": ["item-made"]}}']},
        {"patterns": ['{"data": {"type": [{"prefix": "item-"}]}}']},
    ),
    Pair(
        "SM401",
        "removals that no rule handles",
        {"source": "dynamodb", "patterns": ['{"eventName": ["INSERT", "REMOVE"]}']},
        {
            "source": "dynamodb",
            "patterns": ['{"eventName": ["INSERT", "REMOVE"]}'],
            "rules": [("materialize", ("item-created", "item-deleted"), {})],
        },
    ),
    Pair(
        "SM402",
        "a rule that no filter lets anything through to",
        {"rules": [("task", ("item-made",), {}), ("task", ("item-sold",), {})]},
        {"rules": [("task", ("item-made",), {}), ("task", ("item-made",), {})]},
    ),
    Pair(
        "SM402",
        "one type of several",
        {"rules": [("task", ("item-made", "item-sold"), {})]},
        {
            "rules": [("task", ("item-made", "item-sold"), {})],
            "patterns": ['{"data": {"type": [{"anything-but": "fault"}]}}'],
        },
    ),
    Pair(
        "SM402",
        "a pattern of types that the filter does not name",
        {
            "rules": [
                ("task", (), {"patterns": ["^thing-"], "wants": {"item-made": False}}),
                ("task", ("item-made",), {}),
            ]
        },
        {"rules": [("task", (), {"patterns": ["^item-"], "wants": {"item-made": True}})]},
    ),
    Pair(
        "SM402",
        "modifications that the filter leaves out",
        {"source": "dynamodb", "rules": [("cdc", ("item-created",), {}), ("cdc", ("item-updated",), {})]},
        {"source": "dynamodb", "rules": [("cdc", ("item-created",), {}), ("cdc", ("thing-created",), {})]},
    ),
    Pair(
        "SM402",
        "rows of a discriminator that the filter leaves out",
        {"source": "dynamodb", "patterns": [IMAGE % ("discriminator", '{"S": ["thing"]}')]},
        {"source": "dynamodb", "patterns": [IMAGE % ("discriminator", '{"S": ["item"]}')]},
    ),
    Pair(
        "SM402",
        "expiry without removals",
        {"source": "dynamodb", "rules": [("expired", (), {}), ("correlate", ("item-made",), {})]},
        {
            "source": "dynamodb",
            "rules": [("expired", (), {}), ("correlate", ("item-made",), {})],
            "patterns": ['{"eventName": ["INSERT"]}', '{"eventName": ["REMOVE"]}'],
        },
    ),
    Pair(
        "SM403",
        "the type outside of the data",
        {"patterns": ['{"type": ["item-made"]}', '{"data": {"type": ["item-made"]}}']},
        {"patterns": ['{"partitionKey": ["a"], "data": {"type": ["item-made"]}}']},
    ),
    Pair(
        "SM403",
        "the type outside of the data, with a dot",
        {"patterns": ['{"event.type": ["item-made"]}', '{"data.type": ["item-made"]}']},
        {"patterns": ['{"data.type": ["item-made"], "data.item": {"kind": ["book"]}}']},
    ),
    Pair(
        "SM403",
        "a comparison of a DynamoDB number, with dots",
        {"source": "dynamodb", "patterns": ['{"dynamodb.NewImage.score.N": [{"numeric": [">", 3]}]}']},
        {"source": "dynamodb", "patterns": ['{"dynamodb.NewImage": {"my.score": {"N": ["3"]}, "sk.S": ["item"]}}']},
    ),
    Pair(
        "SM403",
        "a comparison of a DynamoDB number",
        {"source": "dynamodb", "patterns": [IMAGE % ("score", '{"N": [{"numeric": [">", 3]}]}')]},
        {"source": "dynamodb", "patterns": [IMAGE % ("score", '{"N": ["3"]}')]},
    ),
    Pair(
        "SM403",
        "a value without its type letter",
        {"source": "dynamodb", "patterns": [IMAGE % ("status", '["ready"]')]},
        {"source": "dynamodb", "patterns": [IMAGE % ("status", '[{"exists": false}]')]},
    ),
    Pair(
        "SM403",
        "an image that the stream leaves out",
        {
            "source": "dynamodb",
            "patterns": ['{"dynamodb": {"OldImage": {"sk": {"S": ["item"]}}}}'],
            "resources": table("NEW_IMAGE"),
        },
        {"source": "dynamodb", "patterns": [IMAGE % ("sk", '{"S": ["item"]}')], "resources": table("NEW_IMAGE")},
    ),
    Pair(
        "SM403",
        "an event name that does not exist",
        {"source": "dynamodb", "patterns": ['{"eventName": ["CREATE"]}']},
        {"source": "dynamodb", "patterns": ['{"eventName": ["INSERT"]}']},
    ),
    Pair("SM405", "a disabled mapping", {"mapping": {"Enabled": False}}, {"mapping": {"Enabled": True}}),
    Pair(
        "SM406",
        "keys only for a rule that reads images",
        {"source": "dynamodb", "resources": table("KEYS_ONLY")},
        {"source": "dynamodb", "resources": table("NEW_IMAGE")},
    ),
    Pair(
        "SM406",
        "new images only for a rule on expiry",
        {
            "source": "dynamodb",
            "resources": table("NEW_IMAGE"),
            "rules": [("expired", (), {})],
            "patterns": ['{"eventName": ["REMOVE"]}'],
        },
        {
            "source": "dynamodb",
            "resources": table("OLD_IMAGE"),
            "rules": [("expired", (), {})],
            "patterns": ['{"eventName": ["REMOVE"]}'],
        },
    ),
    Pair(
        "SM407",
        "another source's records",
        {"handler": {"source": "from_dynamodb"}},
        {"handler": {"source": "from_kinesis"}},
    ),
    Pair(
        "SM408",
        "no concurrency at all",
        {"function": {"ReservedConcurrentExecutions": 0}},
        {"function": {"ReservedConcurrentExecutions": 1}},
    ),
    Pair(
        "SM409",
        "a handler with an import error",
        {"handler": {"error": "ImportError: no module named x", "rules": None, "reports": None}},
        {},
    ),
    Pair(
        "SM410",
        "a rule that the runtime refuses",
        {"handler": {"error": "InvalidRule: rule 'a': field 'id' is 1", "rules": None, "reports": None}},
        {"handler": {"error": "ImportError: no module named x", "rules": None, "reports": None}},
    ),
    Pair(
        "SM411",
        "an import that noDeploy leaves out",
        {"handler": {"left_out": (LeftOutImport("reactivex", "noDeploy", "reactivex", "worker.py", 1),)}},
        {
            "handler": {"left_out": (LeftOutImport("reactivex", "noDeploy", "reactivex", "worker.py", 1),)},
            "function": {"Layers": ["arn:aws:lambda:us-east-1:1:layer:libraries:1"]},
        },
    ),
    Pair(
        "SM501",
        "no filter for one type",
        {"mapping": {"FilterCriteria": None}},
        {"mapping": {"FilterCriteria": None}, "rules": [("task", (), {"decides": True})]},
    ),
    Pair(
        "SM501",
        "no filter for insertions only",
        {"source": "dynamodb", "mapping": {"FilterCriteria": None}},
        {
            "source": "dynamodb",
            "mapping": {"FilterCriteria": None},
            "rules": [("cdc", ("item-created", "item-updated", "item-deleted"), {})],
        },
    ),
    Pair(
        "SM502",
        "ten thousand records in six seconds",
        {"mapping": {"BatchSize": 10000}, "function": {"Timeout": 6}},
        {"mapping": {"BatchSize": 1000}, "function": {"Timeout": 6}},
    ),
    Pair(
        "SM503",
        "a window for one",
        {"mapping": {"BatchSize": 1, "MaximumBatchingWindowInSeconds": 5}},
        {"mapping": {"BatchSize": 2, "MaximumBatchingWindowInSeconds": 5}},
    ),
    Pair(
        "SM504",
        "a third reader of a table",
        {"source": "dynamodb", "resources": {**reader("Second"), **reader("Third")}},
        {"source": "dynamodb", "resources": reader("Second")},
    ),
    Pair(
        "SM505",
        "a timestamp that does nothing",
        {"event": {"startingPositionTimestamp": 1_700_000_000}},
        {"event": {"startingPosition": "TRIM_HORIZON"}},
    ),
    Pair(
        "SM601",
        "a stream that the role may not read",
        {"statements": [SEND, PUT]},
        {"statements": [SEND, PUT, READ_STREAM]},
    ),
    Pair(
        "SM601",
        "a consumer that the role may not subscribe",
        {"mapping": {"EventSourceArn": {"Ref": "Consumer"}}, "resources": {"Consumer": KINESIS_CONSUMER}},
        {
            "mapping": {"EventSourceArn": {"Ref": "Consumer"}},
            "resources": {"Consumer": KINESIS_CONSUMER},
            "more_statements": [may("kinesis:SubscribeToShard", {"Fn::Sub": "${Stream.Arn}/consumer/*"})],
        },
    ),
    Pair(
        "SM601",
        "a table's stream without ListStreams",
        {"source": "dynamodb", "statements": [SEND, PUT, {**READ_TABLE, "Action": READ_TABLE["Action"][:3]}]},
        {"source": "dynamodb", "statements": [SEND, PUT, READ_TABLE]},
    ),
    Pair(
        "SM601",
        "a queue that the role may not receive from",
        {"source": "sqs", "statements": [PUT]},
        {"source": "sqs"},
    ),
    Pair("SM216", "bodies as long as rows", keeping(33), keeping(34)),
    Pair("SM216", "days of the rule", keeping(30, default_ttl=30), keeping(30, default_ttl=29)),
    Pair("SM216", "days that the service computes", keeping(3), keeping(3, ttl={"function": "waiting"})),
    Pair(
        "SM217",
        "the bucket is set elsewhere",
        {"resources": SENDING},
        {"resources": SENDING, "function": variables(**CLAIMS)},
    ),
    Pair(
        "SM217",
        "events of a table's stream are whole",
        {"resources": SENDING},
        {"source": "dynamodb", "resources": SENDING},
    ),
    Pair(
        "SM602",
        "every action of a service",
        {"more_statements": [may("dynamodb:*", {"Fn::GetAtt": ["Table", "Arn"]})]},
        {"more_statements": [may("dynamodb:PutItem", {"Fn::GetAtt": ["Table", "Arn"]})]},
    ),
    Pair(
        "SM603",
        "every resource",
        {"more_statements": [may("dynamodb:PutItem", "*")]},
        {"more_statements": [may("cloudwatch:PutMetricData", "*")]},
    ),
    Pair(
        "SM603",
        "every table of the account",
        {"more_statements": [may("dynamodb:PutItem", "arn:aws:dynamodb:us-east-1:123456789012:table/*")]},
        {"more_statements": [may("s3:GetObject", "arn:aws:s3:::bucket/*")]},
    ),
    Pair(
        "SM604",
        "a stream that nobody reads",
        {"more_statements": [READ_TABLE]},
        {"more_statements": [{**READ_STREAM, "Resource": {"Fn::Sub": "${Stream.Arn}"}}]},
    ),
    *(
        Pair("SM701", name, {"function": variables(**wrong)}, {"function": variables(**fine)})
        for name, wrong, fine in [
            ("a literal", {"DB_PASSWORD": "hunter2"}, {"DB_PASSWORD_ARN": "arn:aws:secretsmanager:x:1:secret:db"}),
            ("in camel case", {"githubToken": "abc"}, {"githubTokenName": "github/token"}),
            ("in one word", {"PGPASSWORD": "hunter2"}, {"BYPASS": "x"}),
            ("of capitals", {"GITHUBTOKEN": "abc"}, {"TOKENIZER": "standard", "PASS_THROUGH": "true"}),
            ("in short", {"SMTP_PASS": "hunter2"}, {"PASS_COUNT": "2"}),
            ("to sign with", {"HMAC_KEY": "abc"}, {"SORT_KEY": "sk"}),
            ("with a number", {"API_KEY_2": "1234"}, {"PARTITION_KEY": "pk", "TOKEN_SECONDS": "60"}),
            ("an address with a secret", {"SLACK_WEBHOOK_URL": "https://example.com/T1"}, {"TOKEN_PATH": "/oauth"}),
            (
                "what KMS keeps",
                {"ENCRYPTION_KEYS": "alias/fields, c2VjcmV0"},
                {"ENCRYPTION_KEYS": "alias/fields, arn:aws:kms:eu-west-1:1:key/2"},
            ),
            ("a parameter", {"SECRET": {"Ref": "Given"}}, {"SECRET": {"Ref": "Table"}}),
            (
                "text around a parameter",
                {"AUTH_TOKEN": {"Fn::Sub": "Bearer ${Given}"}},
                {"AUTH_TOKEN": "{{resolve:secretsmanager:github:SecretString:token}}"},
            ),
            (
                "beside a reference",
                {"SIGNING_KEY": "{{resolve:ssm:/key}}abc"},
                {"SIGNING_KEY": "{{resolve:ssm-secure:/key:1}}"},
            ),
            (
                "the key of a user",
                {"SECRET_ACCESS_KEY": {"Fn::GetAtt": ["User", "SecretAccessKey"]}},
                {"SECRET_ACCESS_KEY": ""},
            ),
            (
                "only by its value",
                {"ENDPOINT": "https://me:secret@example.com"},
                {"ENDPOINT": "https://example.com/a:b"},
            ),
            ("a key of AWS", {"LOGIN": "AKIAABCDEFGHIJKLMNOP"}, {"LOGIN": "AKIA"}),
            (
                "a JSON web token",
                {"LOGIN": "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2ln"},
                # Where each word began a token, this took a minute.
                {"LOGIN": "-eyJ" * 40_000},
            ),
            ("a private key", {"PEM": "-----BEGIN RSA PRIVATE KEY-----"}, {"PEM": "-----BEGIN CERTIFICATE-----"}),
        ]
    ),
]
IDS = [f"{pair.code}-{pair.name.replace(' ', '-')}" for pair in PAIRS]


def made(make: Make, make_rule: Callable[..., ProbedRule], given: Mapping[str, Any]) -> Service:
    rules = given.get("rules")
    if rules is None:
        return make(**given)
    return make(**{**given, "rules": [make_rule(*types, flavor=flavor, **more) for flavor, types, more in rules]})


@pytest.mark.parametrize("pair", PAIRS, ids=IDS)
def test_each_check_finds_what_it_is_for(
    pair: Pair, service: Make, findings: Find, make_rule: Callable[..., ProbedRule]
) -> None:
    assert pair.code in {finding.check.code for finding in findings(made(service, make_rule, pair.wrong))}


@pytest.mark.parametrize("pair", PAIRS, ids=IDS)
def test_each_check_accepts_a_service_that_differs_just_enough(
    pair: Pair, service: Make, findings: Find, make_rule: Callable[..., ProbedRule]
) -> None:
    assert pair.code not in {finding.check.code for finding in findings(made(service, make_rule, pair.fine))}


@pytest.mark.parametrize("source", ["kinesis", "dynamodb", "sqs"])
def test_nothing_is_found_in_a_sound_service(source: str, service: Make, findings: Find) -> None:
    assert [(found.check.code, found.message) for found in findings(service(source))] == []


def test_the_first_of_two_events_that_compile_to_one_mapping_is_reported(service: Make, findings: Find) -> None:
    same = "WorkerEventSourceMappingKinesisStream"
    events = [Event("worker", index, "stream", {}, same) for index in range(2)]

    found = [each for each in findings(service(events=events)) if each.check.code == "SM404"]

    assert [(each.event, each.resource) for each in found] == [("stream event 1", same)]


def test_events_with_their_own_mappings_are_accepted(service: Make, findings: Find) -> None:
    events = [
        Event("worker", 0, "stream", {}, "WorkerEventSourceMappingKinesisStream"),
        Event("worker", 1, "stream", {}, "WorkerEventSourceMappingKinesisOther"),
    ]

    assert "SM404" not in {each.check.code for each in findings(service(events=events))}


def test_a_missing_permission_is_reported_with_the_stream_or_the_consumer(service: Make, findings: Find) -> None:
    reads_a_consumer = {
        "mapping": {"EventSourceArn": {"Ref": "Consumer"}},
        "resources": {"Consumer": KINESIS_CONSUMER},
        "statements": [SEND, PUT],
    }

    found = [each.message for each in findings(service(**reads_a_consumer)) if each.check.code == "SM601"]

    of_the_stream, of_the_consumer = found
    assert "kinesis:GetRecords" in of_the_stream
    assert "Consumer" not in of_the_stream
    assert of_the_consumer.endswith("does not allow kinesis:SubscribeToShard on ${Consumer}")


def test_a_finding_of_a_secret_names_the_variable_and_not_the_secret(service: Make, findings: Find) -> None:
    given = variables(DB_PASSWORD="hunter2", ENDPOINT="https://me:hunter2@example.com")

    said = [each.message for each in findings(service(function=given)) if each.check.code == "SM701"]

    assert said == [
        "the environment variable DB_PASSWORD holds a secret",
        "the value of the environment variable ENDPOINT looks like a secret",
    ]


def test_what_the_package_lacks_is_told_once_at_its_line_with_what_leaves_it_out(
    service: Make, findings: Find, tmp_path: Path
) -> None:
    imported = LeftOutImport("reactivex", "noDeploy", "reactivex", "shop/rules.py", 3)
    needed = LeftOutImport("shop.testing", "slimPatterns", "**/testing.py", None, None, rule="totals")

    found = findings(service(handler={"left_out": (imported, imported, needed)}, folder=tmp_path))

    assert [(each.check.code, each.place, each.message) for each in found] == [
        (
            "SM411",
            None,
            "the rule totals needs shop.testing, which the line `**/testing.py` of pythonRequirements.slimPatterns "
            "leaves out of the package",
        ),
        (
            "SM411",
            Location(tmp_path / "shop/rules.py", 3),
            "the code imports reactivex, which the line `reactivex` of pythonRequirements.noDeploy leaves out of the "
            "package",
        ),
    ]


@pytest.mark.parametrize(
    ("requirements", "told"),
    [
        ("stream-runtime==0.1.0\n", True),
        ("stream-runtime[pybase64]==0.1.0 # not [encryption]\n", True),
        ("stream-runtime[encryption,pybase64]==0.1.0\n", False),
        ("stream_runtime[pybase64, encryption]>=0.1\n", False),
        ("stream-runtime==0.1.0\ncryptography>=44\n", False),
        ("-r elsewhere.txt\n", False),
        (None, False),
    ],
)
@pytest.mark.parametrize("field", [{"decrypt": True}, {"encrypt": ["item.owner"]}], ids=lambda each: next(iter(each)))
def test_a_package_without_the_extra_that_encrypted_fields_need_is_told(
    service: Make, findings: Find, make_rule: Any, tmp_path: Path, requirements: str | None, told: bool, field: Any
) -> None:
    if requirements is not None:
        (tmp_path / "requirements.txt").write_text(requirements, encoding="utf-8")
    given = lacking(("task", ("item-made",), {"fields": field}), **SEALED)
    found = findings(made(service, make_rule, {**given, "folder": tmp_path}))

    said = [each.message for each in found if each.check.code == "SM411"]
    assert (
        said
        == [
            "the rule the-rule encrypts or decrypts fields, and requirements.txt requires no stream-runtime[encryption]"
        ]
        * told
    )


def test_every_check_has_a_pair() -> None:
    assert {check.code for check in CHECKS} - {pair.code for pair in PAIRS} == {"SM404"}  # tested by itself above


def test_the_bucket_of_another_stack_is_found_by_its_output(service: Make, findings: Find, make_rule: Any) -> None:
    lifecycle = {"Rules": [{"Status": "Enabled", "ExpirationInDays": 39}]}
    hub = service(
        resources={"Claims": {"Type": "AWS::S3::Bucket", "Properties": {"LifecycleConfiguration": lifecycle}}}
    )
    hub.template.resources["Stream"]["Properties"]["RetentionPeriodHours"] = 168
    hub.template.body["Outputs"] = {"claimsBucketName": {"Value": {"Ref": "Claims"}}}  # type: ignore[index]
    bucket = "streamctl-import-claimsBucketName"
    collecting = made(
        service, make_rule, lacking(("collect", ("item-made",), {}), CLAIMCHECK_BUCKET_NAME=bucket, SERVICE="shop")
    )
    collecting.repository = Repository([hub, collecting])

    said = [each.message for each in findings(collecting) if each.check.code == "SM216"]

    assert said == [
        "rows with events are kept for 33 days, the stream keeps pointers for 168 hours, and the bucket of claims "
        "their bodies for 39 days; it should be at least 40"
    ]
