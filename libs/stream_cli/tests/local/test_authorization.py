"""A call of a function is allowed by the policies that are deployed, or answered as AWS answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import boto3
import httpx
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from stream_cli.local.cloud import LocalCloud
from stream_cli.local.endpoint import LocalEndpoint

ACCOUNT = "000000000000"
CALLS = """
import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

def handler(event, context):
    config = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
    client = boto3.client(event["service"], config=config)
    try:
        getattr(client, event["operation"])(**event["request"])
    except ClientError as error:
        answer = error.response
        return {"status": answer["ResponseMetadata"]["HTTPStatusCode"], **answer["Error"]}
    return {"status": 200}
"""
EVENT = {"Source": "s", "DetailType": "t", "Detail": "{}", "EventBusName": "default"}


@pytest.fixture(scope="session")
def caller(make_function: Callable[..., Any], make_role: Callable[..., str]) -> Callable[..., dict[str, Any]]:
    """A function without any permission, which calls what it is told to; returns status, code and message."""
    role = make_role("may-nothing")
    functions = make_function("caller", CALLS, Role=role)

    def call(service: str, operation: str, **request: Any) -> dict[str, Any]:
        payload = {"service": service, "operation": operation, "request": request}
        answer = functions.invoke(FunctionName="caller", Payload=json.dumps(payload))
        found: dict[str, Any] = json.loads(answer["Payload"].read())
        return found

    return call


def arn_of(service: str, resource: str) -> str:
    return f"arn:aws:{service}:us-east-1:{ACCOUNT}:{resource}"


@pytest.mark.parametrize(
    ("service", "operation", "request_", "status", "code", "action", "resource"),
    [
        *[
            (
                *("dynamodb", operation, {"TableName": "t", **request}, 400),
                *("AccessDeniedException", f"dynamodb:{action}", arn_of("dynamodb", "table/t")),
            )
            for operation, action, request in [
                ("put_item", "PutItem", {"Item": {"pk": {"S": "1"}}}),
                ("query", "Query", {"KeyConditionExpression": "a = b"}),
            ]
        ],
        (
            *("dynamodb", "query", {"TableName": "t", "IndexName": "sorted", "KeyConditionExpression": "a = b"}, 400),
            *("AccessDeniedException", "dynamodb:Query", arn_of("dynamodb", "table/t/index/sorted")),
        ),
        (
            *("dynamodb", "execute_statement", {"Statement": 'DELETE FROM "t" WHERE pk = 1'}, 400),
            *("AccessDeniedException", "dynamodb:PartiQLDelete", arn_of("dynamodb", "table/t")),
        ),
        (
            *("dynamodb", "transact_write_items", {"TransactItems": [{"Put": {"TableName": "t", "Item": {}}}]}, 400),
            *("AccessDeniedException", "dynamodb:PutItem", arn_of("dynamodb", "table/t")),
        ),
        (
            *("events", "put_events", {"Entries": [EVENT, {**EVENT, "EventBusName": "other"}]}, 400),
            *("AccessDeniedException", "events:PutEvents", arn_of("events", "event-bus/default")),
        ),
        (
            *("kinesis", "put_records", {"StreamName": "s", "Records": [{"Data": b"", "PartitionKey": "1"}]}, 400),
            *("AccessDeniedException", "kinesis:PutRecords", arn_of("kinesis", "stream/s")),
        ),
        (
            *("firehose", "put_record", {"DeliveryStreamName": "d", "Record": {"Data": b""}}, 400),
            *("AccessDeniedException", "firehose:PutRecord", arn_of("firehose", "deliverystream/d")),
        ),
        (
            *("logs", "put_log_events"),
            *({"logGroupName": "g", "logStreamName": "s", "logEvents": [{"timestamp": 1, "message": "a"}]}, 400),
            *("AccessDeniedException", "logs:PutLogEvents", arn_of("logs", "log-group:g:log-stream:s")),
        ),
        (
            *("lambda", "invoke", {"FunctionName": "caller"}, 403),
            *("AccessDeniedException", "lambda:InvokeFunction", arn_of("lambda", "function:caller")),
        ),
        (
            *("kms", "encrypt", {"KeyId": "k", "Plaintext": b"a"}, 400),
            *("AccessDeniedException", "kms:Encrypt", arn_of("kms", "key/k")),
        ),
        (
            *("secretsmanager", "get_secret_value", {"SecretId": "s"}, 400),
            *("AccessDeniedException", "secretsmanager:GetSecretValue", arn_of("secretsmanager", "secret:s")),
        ),
    ],
)  # fmt: skip
def test_a_call_that_no_statement_allows_is_answered_in_aws_words(
    caller: Callable[..., dict[str, Any]],
    service: str,
    operation: str,
    request_: dict[str, Any],
    status: int,
    code: str,
    action: str,
    resource: str,
) -> None:
    request_ = {name: value.decode() if isinstance(value, bytes) else value for name, value in request_.items()}
    assert caller(service, operation, **json.loads(json.dumps(request_, default=bytes.decode))) == {
        "status": status,
        "Code": code,
        "Message": (
            f"User: arn:aws:sts::{ACCOUNT}:assumed-role/may-nothing/caller is not authorized to perform: {action} on "
            f"resource: {resource} because no identity-based policy allows the {action} action"
        ),
    }


@pytest.mark.parametrize("operation", ["send_message", "send_message_batch"])
def test_sqs_writes_actions_small_and_knows_none_for_batches(
    caller: Callable[..., dict[str, Any]], endpoint: LocalEndpoint, name: str, operation: str
) -> None:
    url = endpoint.client("sqs").create_queue(QueueName=name)["QueueUrl"]
    more = {"MessageBody": "a"} if operation == "send_message" else {"Entries": [{"Id": "1", "MessageBody": "a"}]}
    answer = caller("sqs", operation, QueueUrl=url, **more)
    assert (answer["status"], answer["Code"]) == (403, "AccessDenied")
    assert answer["Message"].endswith(
        f"not authorized to perform: sqs:sendmessage on resource: {arn_of('sqs', name)} "
        "because no identity-based policy allows the sqs:sendmessage action"
    )


def test_sns_has_an_error_of_its_own(caller: Callable[..., dict[str, Any]]) -> None:
    topic = arn_of("sns", "topic")
    answer = caller("sns", "publish", TopicArn=topic, Message="a")
    assert (answer["status"], answer["Code"]) == (403, "AuthorizationError")
    assert answer["Message"].endswith(
        f"SNS:Publish on resource: {topic} because no identity-based policy allows the SNS:Publish action"
    )
    batch = caller("sns", "publish_batch", TopicArn=topic, PublishBatchRequestEntries=[{"Id": "1", "Message": "a"}])
    assert batch["Message"] == answer["Message"]


def test_s3_quotes_the_resource(caller: Callable[..., dict[str, Any]], endpoint: LocalEndpoint, name: str) -> None:
    endpoint.client("s3").create_bucket(Bucket=name)
    answer = caller("s3", "put_object", Bucket=name, Key="a/b", Body="c")
    assert (answer["status"], answer["Code"]) == (403, "AccessDenied")
    assert answer["Message"].endswith(
        f'perform: s3:PutObject on resource: "arn:aws:s3:::{name}/a/b" because no identity-based policy allows the '
        "s3:PutObject action"
    )


def test_what_has_no_resource_names_none(caller: Callable[..., dict[str, Any]]) -> None:
    answer = caller("cloudwatch", "put_metric_data", Namespace="n", MetricData=[{"MetricName": "m", "Value": 1.0}])
    assert answer["Code"] in {"AccessDenied", "AccessDeniedException"}
    assert answer["Message"].endswith(
        "not authorized to perform: cloudwatch:PutMetricData because no identity-based policy allows the "
        "cloudwatch:PutMetricData action"
    )


class Worker:
    """A function whose role's policies a test changes."""

    def __init__(self, endpoint: LocalEndpoint, name: str, role: str, make: Callable[..., Any]) -> None:
        self.name = name
        self.iam = endpoint.client("iam")
        self.role = role
        self._functions = make(CALLS, Role=self.role)

    def may(self, *statements: dict[str, Any], policy: str = "own") -> None:
        document = json.dumps({"Version": "2012-10-17", "Statement": statements})
        self.iam.put_role_policy(RoleName=self.name, PolicyName=policy, PolicyDocument=document)

    def call(self, service: str, operation: str, **request: Any) -> dict[str, Any]:
        payload = json.dumps({"service": service, "operation": operation, "request": request})
        answer = self._functions.invoke(FunctionName=self.name, Payload=payload)
        found: dict[str, Any] = json.loads(answer["Payload"].read())
        return found


@pytest.fixture
def worker(endpoint: LocalEndpoint, name: str, made: Callable[..., Any], make_role: Callable[..., str]) -> Worker:
    return Worker(endpoint, name, make_role(name), made)


def test_a_policy_holds_from_the_next_call_on(worker: Worker) -> None:
    def put() -> int:
        return int(worker.call("events", "put_events", Entries=[EVENT])["status"])

    allow = {"Effect": "Allow", "Action": "events:Put*", "Resource": arn_of("events", "event-bus/default")}
    assert put() == 400
    worker.may(allow)
    assert put() == 200
    assert put() == 200
    worker.may({**allow, "Effect": "Deny"}, policy="other")
    assert (
        "with an explicit deny in an identity-based policy"
        in worker.call("events", "put_events", Entries=[EVENT])["Message"]
    )
    worker.iam.delete_role_policy(RoleName=worker.name, PolicyName="other")
    assert put() == 200
    worker.may({**allow, "Resource": arn_of("events", "event-bus/other")})
    assert put() == 400


def test_every_bus_of_a_request_must_be_allowed(worker: Worker) -> None:
    worker.may({"Effect": "Allow", "Action": "events:PutEvents", "Resource": arn_of("events", "event-bus/default")})
    answer = worker.call("events", "put_events", Entries=[EVENT, {**EVENT, "EventBusName": "other"}])
    assert f"resource: {arn_of('events', 'event-bus/other')} because" in answer["Message"]


def test_conditions_are_met_or_not(worker: Worker) -> None:
    allow = {"Effect": "Allow", "Action": "cloudwatch:PutMetricData", "Resource": "*"}
    worker.may({**allow, "Condition": {"StringEquals": {"cloudwatch:namespace": "mine"}}})
    data = [{"MetricName": "m", "Value": 1.0}]
    assert worker.call("cloudwatch", "put_metric_data", Namespace="mine", MetricData=data)["status"] == 200
    assert worker.call("cloudwatch", "put_metric_data", Namespace="other", MetricData=data)["status"] == 400
    worker.may(
        {"Effect": "Allow", "Action": "events:PutEvents", "Resource": "*"},
        {
            "Effect": "Deny",
            "Action": "events:PutEvents",
            "Resource": "*",
            "Condition": {"ForAnyValue:StringEquals": {"events:detail-type": "fault"}},
        },
    )
    assert worker.call("events", "put_events", Entries=[EVENT])["status"] == 200
    assert worker.call("events", "put_events", Entries=[EVENT, {**EVENT, "DetailType": "fault"}])["status"] == 400


def test_a_bucket_that_asks_for_tls_lets_functions_in_as_loopback_stands_for_it(
    worker: Worker, endpoint: LocalEndpoint
) -> None:
    s3, bucket = endpoint.client("s3"), worker.name
    s3.create_bucket(Bucket=bucket)
    deny = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": f"arn:aws:s3:::{bucket}/*",
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": deny}))
    worker.may({"Effect": "Allow", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{bucket}/*"})
    assert worker.call("s3", "put_object", Bucket=bucket, Key="a", Body="b")["status"] == 200
    deny.pop("Condition")
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": deny}))
    answer = worker.call("s3", "put_object", Bucket=bucket, Key="a", Body="b")
    assert "with an explicit deny in a resource-based policy" in answer["Message"]


def test_a_key_needs_its_own_policy_too(worker: Worker, endpoint: LocalEndpoint) -> None:
    kms = endpoint.client("kms")
    key = kms.create_key()["KeyMetadata"]
    assert worker.call("kms", "generate_data_key", KeyId=key["KeyId"], KeySpec="AES_256")["status"] == 400
    worker.may({"Effect": "Allow", "Action": "kms:GenerateDataKey", "Resource": key["Arn"]})
    assert worker.call("kms", "generate_data_key", KeyId=key["KeyId"], KeySpec="AES_256")["status"] == 200
    closed = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:role/other"}, "Action": "kms:*"}
    policy = {"Version": "2012-10-17", "Statement": {**closed, "Resource": "*"}}
    kms.put_key_policy(KeyId=key["KeyId"], PolicyName="default", Policy=json.dumps(policy))
    assert worker.call("kms", "generate_data_key", KeyId=key["KeyId"], KeySpec="AES_256")["status"] == 400


def test_a_key_that_an_alias_names_is_allowed_by_its_own_arn(worker: Worker, endpoint: LocalEndpoint) -> None:
    kms = endpoint.client("kms")
    key = kms.create_key()["KeyMetadata"]
    alias = f"alias/{worker.name}"
    kms.create_alias(AliasName=alias, TargetKeyId=key["KeyId"])
    of_alias = arn_of("kms", alias)
    worker.may({"Effect": "Allow", "Action": "kms:GenerateDataKey", "Resource": of_alias})
    refused = worker.call("kms", "generate_data_key", KeyId=alias, KeySpec="AES_256")
    assert f"on resource: {key['Arn']} because" in refused["Message"]
    worker.may({"Effect": "Allow", "Action": "kms:GenerateDataKey", "Resource": key["Arn"]})
    for named in (alias, of_alias):
        assert worker.call("kms", "generate_data_key", KeyId=named, KeySpec="AES_256")["status"] == 200


def made_table(endpoint: LocalEndpoint, name: str) -> str:
    endpoint.client("dynamodb").create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return name


def told_in_the_log(endpoint: LocalEndpoint, worker: Worker) -> list[str]:
    logged = endpoint.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{worker.name}")["events"]
    (told,) = (event["message"] for event in logged if "may not" in event["message"])
    return str(told).splitlines()


def test_the_logs_name_the_statement_that_is_missing(
    worker: Worker, cloud: LocalCloud, endpoint: LocalEndpoint
) -> None:
    table = made_table(endpoint, f"{worker.name}-orders")
    worker.call("dynamodb", "get_item", TableName=table, Key={"pk": {"S": "1"}})
    assert told_in_the_log(endpoint, worker) == [
        f"{worker.name} may not dynamodb:GetItem on {arn_of('dynamodb', f'table/{table}')}: no statement of its role "
        f"{worker.name} allows it. This one is missing:",
        "- Effect: Allow",
        "  Action: dynamodb:GetItem",
        f"  Resource: !Sub arn:${{AWS::Partition}}:dynamodb:${{AWS::Region}}:${{AWS::AccountId}}:table/{table}",
    ]
    worker.call("dynamodb", "get_item", TableName=table, Key={"pk": {"S": "1"}})
    log = cloud.state.log("emulator").read_text()
    assert log.count(f"{worker.name} may not dynamodb:GetItem") == 1, "it is told once"


def test_the_logs_say_when_what_was_refused_is_not_there(worker: Worker, endpoint: LocalEndpoint) -> None:
    table = made_table(endpoint, f"{worker.name}-orders")
    answer = worker.call("dynamodb", "get_item", TableName=f"{table}s", Key={"pk": {"S": "1"}})
    assert "is not authorized to perform: dynamodb:GetItem" in answer["Message"], "as on AWS"
    (first, *_) = told_in_the_log(endpoint, worker)
    assert first == (
        f"{worker.name} may not dynamodb:GetItem on {arn_of('dynamodb', f'table/{table}s')}: there is no table "
        f"{table}s; did you mean {table}? If the name is right, a statement of its role {worker.name} is missing, too:"
    )


@pytest.mark.parametrize(
    ("target", "request_"),
    [
        ("DynamoDB_20120810.GetItem", {"TableName": "t", "Key": {"pk": {"S": "1"}}}),
        ("DynamoDB_20120810.ListTables", {}),
        ("AWSEvents.PutEvents", {"Entries": [{**EVENT, "Detail": "no JSON"}]}),
        ("Kinesis_20131202.ListShards", {"StreamName": "none"}),
        ("Firehose_20150804.DescribeDeliveryStream", {"DeliveryStreamName": "none"}),
        ("AmazonSQS.ReceiveMessage", {"QueueUrl": f"http://localhost/{ACCOUNT}/none"}),
        ("Logs_20140328.DescribeLogStreams", {"logGroupName": "none"}),
        ("DynamoDBStreams_20120810.DescribeStream", {"StreamArn": arn_of("dynamodb", "table/t/stream/1")}),
    ],
)
@pytest.mark.parametrize("allowed", [True, False])
def test_the_short_way_and_ministacks_app_decide_the_same(
    endpoint: LocalEndpoint, name: str, make_role: Callable[..., str], target: str, request_: Any, allowed: bool
) -> None:
    every = [{"Effect": "Allow", "Action": "*", "Resource": "*"}] if allowed else []
    role = make_role(name, *every, trusts=["events"])
    status, body = endpoint.get(
        f"/_streamctl/sessions?role={role}&service=events.amazonaws.com&name=n&source={arn_of('events', 'rule/r')}"
    )
    keys = json.loads(body)
    assert status == 200

    service = target.partition(".")[0].partition("_")[0].lower().replace("streams", "")
    service = {"awsevents": "events", "amazonsqs": "sqs"}.get(service, service)

    def answer(query: str) -> tuple[int, Any]:
        headers = {"X-Amz-Target": target, "Content-Type": "application/x-amz-json-1.1"}
        signed = AWSRequest("POST", f"{endpoint.url}/{query}", data=json.dumps(request_), headers=headers)
        SigV4Auth(Credentials(*keys.values()), service, "us-east-1").add_auth(signed)
        sent = signed.prepare()
        got = httpx.post(sent.url, content=sent.body, headers=dict(sent.headers), trust_env=False)
        return got.status_code, got.json()

    straight, through_app = answer(""), answer("?by=app")
    assert straight == through_app
    assert ("AccessDenied" in str(straight[1].get("__type"))) is not allowed


def test_keys_that_this_cloud_has_not_issued_are_the_administrators(endpoint: LocalEndpoint) -> None:
    keys = {"aws_access_key_id": "AKIAOFSOMEOTHERCLOUD", "aws_secret_access_key": "any"}
    for service, call in (("events", "list_event_buses"), ("s3", "list_buckets"), ("iam", "list_users")):
        client = boto3.client(service, region_name="us-east-1", endpoint_url=endpoint.url, **keys)
        assert getattr(client, call)()["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_a_user_has_the_permissions_of_a_user_and_none_when_its_key_is_gone(endpoint: LocalEndpoint, name: str) -> None:
    iam = endpoint.client("iam")
    iam.create_user(UserName=name)
    key = iam.create_access_key(UserName=name)["AccessKey"]

    def put() -> str:
        events = boto3.client(
            "events",
            region_name="us-east-1",
            endpoint_url=endpoint.url,
            aws_access_key_id=key["AccessKeyId"],
            aws_secret_access_key=key["SecretAccessKey"],
            config=Config(retries={"total_max_attempts": 1}),
        )
        try:
            events.put_events(Entries=[EVENT])
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return "done"

    assert put() == "AccessDeniedException"
    allow = {"Effect": "Allow", "Action": "events:PutEvents", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": allow})
    iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=policy)
    assert put() == "done"
    iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
    assert put() == "UnrecognizedClientException"


def test_a_request_without_any_key_is_refused_as_on_aws(endpoint: LocalEndpoint) -> None:
    headers = {"x-amz-target": "DynamoDB_20120810.ListTables", "content-type": "application/x-amz-json-1.0"}
    answer = httpx.post(endpoint.url, content=b"{}", headers=headers, trust_env=False)
    assert (answer.status_code, answer.json()["__type"]) == (400, "MissingAuthenticationTokenException")


def test_a_service_gets_keys_of_a_role_that_trusts_it_alone(
    endpoint: LocalEndpoint, name: str, make_role: Callable[..., str]
) -> None:
    role = make_role(name, trusts=["events"])
    source = arn_of("events", "rule/r")
    path = f"/_streamctl/sessions?role={role}&name=n&source={source}&service="
    assert endpoint.get(f"{path}events.amazonaws.com")[0] == 200
    status, body = endpoint.get(f"{path}lambda.amazonaws.com")
    assert status == 403
    assert f"the role {role} does not trust lambda.amazonaws.com" in json.loads(body)["message"]
