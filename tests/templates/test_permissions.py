"""A role allows the calls that its function makes with the service's fixtures, and hardly any others.

The emulator does not check roles, so no other test notices a missing permission.
"""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SERVICES = HERE.parents[1] / "services"
FUNCTIONS = [
    ("control-service", "listener"),
    ("control-service", "trigger"),
    ("control-service", "job"),
    ("event-fault-monitor", "trigger"),
    ("event-hub", "ingress"),
    ("event-lake-s3", "claims"),
    ("rest-bff-service", "rest"),
    ("rest-bff-service", "listener"),
    ("rest-bff-service", "trigger"),
    ("rest-bff-service", "dashboard"),
    ("rest-bff-service", "outbox"),
]
# Events that have to be processed before, long ago.
BEFORE = {("control-service", "job"): ["listener-story-submitted"]}
LONG_AGO_MS = 1_577_836_800_000  # 2020-01-01T00:00:00Z
# Allowed but not called here: calls in case of a failure, or by AWS with the function's role.
UNSEEN = {
    ("event-fault-monitor", "trigger"): {"dynamodb:DeleteItem", "s3:GetObjectVersion", "s3:ListBucket"},
    ("event-hub", "ingress"): {"lambda:InvokeFunction", "s3:GetObjectVersion", "s3:ListBucket", "s3:PutObject"},
    # Bodies of large events, which no fixture has; the system test of large events uses them.
    ("control-service", "listener"): {"s3:GetObject", "s3:PutObject"},
    ("control-service", "trigger"): {"s3:GetObject", "s3:PutObject"},
    ("rest-bff-service", "listener"): {"s3:GetObject"},
    # Personal fields, which no fixture has; the system test of personal fields uses them.
    ("rest-bff-service", "rest"): {"kms:Decrypt", "kms:GenerateDataKey"},
    ("rest-bff-service", "trigger"): {"s3:PutObject", "kms:Decrypt", "kms:GenerateDataKey"},
}
OF_THE_PLATFORM = {"logs:", "sqs:SendMessage", "kinesis:", "dynamodb:DescribeStream", "dynamodb:GetRecords"}
OF_THE_PLATFORM |= {"dynamodb:GetShardIterator", "dynamodb:ListStreams", "xray:"}


def needed(call):
    """The action and the resource that each part of a call needs (service authorization reference)."""
    service, operation, parameters = call
    arn = "arn:aws:{}:us-east-1:123456789012:{}"
    if service == "dynamodb" and operation == "TransactWriteItems":
        for item in parameters["TransactItems"]:
            ((kind, write),) = item.items()
            yield f"dynamodb:{kind}Item", arn.format("dynamodb", f"table/{write['TableName']}")
    elif service == "dynamodb" and operation == "BatchWriteItem":
        for table in parameters["RequestItems"]:
            yield "dynamodb:BatchWriteItem", arn.format("dynamodb", f"table/{table}")
    elif service == "dynamodb":
        index = f"/index/{parameters['IndexName']}" if "IndexName" in parameters else ""
        yield f"dynamodb:{operation}", arn.format("dynamodb", f"table/{parameters['TableName']}{index}")
    elif service == "events":
        for entry in parameters["Entries"]:
            yield "events:PutEvents", arn.format("events", f"event-bus/{entry['EventBusName']}")
    elif service == "sns":
        yield "sns:Publish", parameters["TopicArn"]
    elif service == "s3" and operation == "CopyObject":
        yield "s3:GetObject", f"arn:aws:s3:::{parameters['CopySource']}"
        yield "s3:PutObject", f"arn:aws:s3:::{parameters['Bucket']}/{parameters['Key']}"
    elif service == "s3":
        version = "Version" if parameters.get("VersionId") else ""
        yield f"s3:{operation}{version}", f"arn:aws:s3:::{parameters['Bucket']}/{parameters['Key']}"
    else:
        yield f"{service}:{operation}", "*"


def long_ago(function, batch):
    """A function and its Kinesis batch, long ago."""
    for record in batch["Records"]:
        event = {**json.loads(base64.b64decode(record["kinesis"]["data"])), "timestamp": LONG_AGO_MS}
        record["kinesis"]["data"] = base64.b64encode(json.dumps(event).encode()).decode()
    return [function, batch, LONG_AGO_MS / 1000]


@pytest.fixture(scope="module")
def recorder():
    """The program that records calls."""
    nothing = {"PATH": os.environ["PATH"]}
    with subprocess.Popen(
        [sys.executable, HERE / "record_calls.py"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=nothing,
        text=True,
    ) as program:
        yield program
        program.stdin.close()
        assert program.wait(timeout=60) == 0


@pytest.fixture
def calls(stack, function, recorder):
    """The calls that the function makes with its fixtures."""
    folder = SERVICES / stack.service

    def event(name):
        text = (folder / "tests" / "fixtures" / f"{name}.json").read_text(encoding="utf-8")
        # On the local cloud the fixtures' objects have a prefix without notifications: none is counted twice.
        text = text.replace("000000000000", "123456789012").replace('"example/', '"faults/')
        text = text.replace(
            "event-hub-local-claims-", "event-hub-x-claims-"
        )  # of the hub that templates are compiled with
        return [name.partition("-")[0], json.loads(text)]

    names = sorted(path.stem for path in (folder / "tests" / "fixtures").glob(f"{function}-*.json"))
    names = [name for name in names if not name.endswith(".expected")]
    expected = [json.loads((folder / "tests" / "fixtures" / f"{name}.expected.json").read_text()) for name in names]
    earlier = [each for one in expected for each in one.get("after", [])]
    properties = stack.functions[function]
    variables = {name: str(stack.resolve(value)) for name, value in properties["Environment"]["Variables"].items()}
    wanted = ("TableName", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode")
    environments = [each["Environment"]["Variables"] for each in stack.functions.values()]
    given = {
        "folder": str(folder),
        "tables": [
            {key: stack.resolve(table[key]) for key in wanted if key in table}
            for table in stack.of_type("AWS::DynamoDB::Table").values()
        ],
        "topics": [stack.resolve(topic["TopicName"]) for topic in stack.of_type("AWS::SNS::Topic").values()],
        "handlers": {name: each["Handler"] for name, each in stack.functions.items()},
        "before": [
            *(long_ago(*event(name)) for name in BEFORE.get((stack.service, function), [])),
            *([*event(name), None] for name in dict.fromkeys(earlier)),
        ],
        "events": [event(name) for name in names],
    }
    given["environment"] = {
        "PATH": os.environ["PATH"],
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_LAMBDA_FUNCTION_NAME": str(stack.resolve(properties["FunctionName"])),
        "RETRY_BASE_MS": "0",
        **{name: str(stack.resolve(value)) for each in environments for name, value in each.items()},
        **variables,
        "INCOMPLETE_AFTER_SECONDS": "1",
    }
    print(json.dumps(given), file=recorder.stdin, flush=True)
    answer = json.loads(recorder.stdout.readline())
    made = answer["calls"]
    assert made is not None, answer["printed"]
    assert made, f"{function} made no call\n{answer['printed']}"
    return made


@pytest.mark.parametrize(
    ("compiled", "function"),
    [((service, "local"), function) for service, function in FUNCTIONS],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_a_role_allows_the_calls_of_its_function_and_hardly_any_others(stack, function, calls):
    role = stack.functions[function]["Role"]
    used = {need for call in calls for need in needed(call)}

    assert {need for need in used if not stack.role_may(role, *need)} == set()

    allowed = {action for statement in stack.statements_of_role(role) for action in statement.actions}
    unused = allowed - {action for action, _ in used} - UNSEEN.get((stack.service, function), set())
    assert {action for action in unused if not action.startswith(tuple(OF_THE_PLATFORM))} == set()


def test_every_function_is_called(stack):
    assert set(stack.functions) == {function for service, function in FUNCTIONS if service == stack.service}
