"""`streamctl invoke` gives plain events to a function as what triggers it delivers them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stream_cli.errors import CommandError
from stream_cli.invoke.command import invoke_function
from stream_cli.local.cloud import LocalCloud
from stream_cli.local.endpoint import LocalEndpoint

Made = Callable[..., Any]
Invoke = Callable[..., tuple[int, Any, list[str]]]
ROLE = "arn:aws:iam::000000000000:role/any"
EVENT = {"type": "thing-done", "thing": {"id": "t1"}}
WHOLE = {
    "id": "e1",
    "timestamp": 1,
    "partition_key": "k",
    "tags": {"source": "s", "stage": "st", "region": "r"},
    **EVENT,
}


@pytest.fixture
def invoke(cloud: LocalCloud, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Invoke:
    """Invoke the test's function with events; returns the exit code, the answer, and the lines on stderr."""

    def invoking(
        *events: Any, text: str | None = None, function: str = name, stage: str = "local", **options: Any
    ) -> Any:
        file = tmp_path / "events.json"
        file.write_text(text or json.dumps(events[0] if len(events) == 1 else events))
        given = {"kind": None, "exact": False, "yes": False, **options}
        capsys.readouterr()
        code = invoke_function(function, file, stage, cloud.state.root, tmp_path, **given)
        printed = capsys.readouterr()
        answers = [json.loads(f"{answer}}}") for answer in printed.out.split("\n}\n")[:-1]]
        return code, answers[0] if len(answers) == 1 else answers or None, printed.err.splitlines()

    return invoking


@pytest.fixture
def stream(endpoint: LocalEndpoint, name: str) -> str:
    """The ARN of a stream."""
    kinesis = endpoint.client("kinesis")
    kinesis.create_stream(StreamName=name, ShardCount=1)
    return str(kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]["StreamARN"])


def mapped(functions: Any, name: str, arn: str, *patterns: Any, **more: Any) -> None:
    filters = {"FilterCriteria": {"Filters": [{"Pattern": json.dumps(each)} for each in patterns]}} if patterns else {}
    start = {} if ":sqs:" in arn else {"StartingPosition": "LATEST"}
    functions.create_event_source_mapping(FunctionName=name, EventSourceArn=arn, **start, **filters, **more)


def test_an_event_comes_as_the_stream_delivers_it(made: Made, invoke: Invoke, name: str, stream: str) -> None:
    mapped(made(), name, stream)

    code, answer, said = invoke(WHOLE)

    (record,) = answer["Records"]
    assert (code, record["eventSource"], record["eventSourceARN"]) == (0, "aws:kinesis", stream)
    assert record["kinesis"]["partitionKey"] == "k"
    assert said == [f"Invokes {name} with 1 event, as the stream {name} delivers."]


def test_the_runtime_gets_the_event_that_was_written(made: Made, invoke: Invoke, name: str, stream: str) -> None:
    mapped(made(), name, stream)

    _, answer, said = invoke(EVENT)

    from stream_runtime.events import from_kinesis

    (uow,) = from_kinesis(answer)
    assert uow["event"].items() >= {**EVENT, "partition_key": "t1"}.items()
    assert said[0].startswith(f"Filled in: id {uow['event']['id']} (new each time), timestamp ")


def test_json_lines_come_in_batches_of_the_mapping(made: Made, invoke: Invoke, name: str, stream: str) -> None:
    mapped(made(), name, stream, BatchSize=2)

    _, answers, said = invoke(text="".join(f"{json.dumps({**WHOLE, 'id': each})}\n" for each in "abc"))

    assert [len(answer["Records"]) for answer in answers] == [2, 1]
    assert said == [f"Invokes {name} with 3 events in 2 invocations, as the stream {name} delivers."]


def test_an_event_that_the_filter_drops_is_said(made: Made, invoke: Invoke, name: str, stream: str) -> None:
    mapped(made(), name, stream, {"data": {"type": ["thing-done"]}})

    _, _, said = invoke(WHOLE, {**WHOLE, "type": "thing-lost"})

    dropped = f"Event 2 would not come here by the stream {name}: the filter of its mapping does not let it through."
    assert said == [dropped, f"Invokes {name} with 2 events, as the stream {name} delivers."]


def test_an_invocation_is_given_as_it_is(made: Made, invoke: Invoke, name: str, stream: str) -> None:
    mapped(made(), name, stream)
    whole = {"Records": [{"eventSource": "aws:kinesis", "kinesis": {"data": "e30=", "sequenceNumber": "1"}}]}

    assert invoke(whole)[1] == whole


def test_what_a_function_logs_is_shown(made: Made, invoke: Invoke, name: str) -> None:
    made("def handler(event, context):\n    print('seen', event['type'])\n    return {'n': 1}")

    code, answer, said = invoke(EVENT)

    assert (code, answer) == (0, {"n": 1})
    assert said == [f"Invokes {name} with 1 event.", "seen thing-done"]


def test_a_function_that_raises_is_an_error_with_its_stack(made: Made, invoke: Invoke, name: str) -> None:
    made("def handler(event, context):\n    return inner(event)\n\ndef inner(event):\n    return event['evnt']\n")

    code, answer, said = invoke(EVENT)

    assert (code, answer) == (1, None)
    (raised,) = [place for place, line in enumerate(said) if line == f"{name} raised KeyError: 'evnt'"]
    assert any("code.py" in line and "line 5, in inner" in line for line in said[raised + 1 :])
    assert any(line.strip() == "return event['evnt']" for line in said[raised + 1 :])


def test_events_that_are_returned_for_retry_are_named(made: Made, invoke: Invoke, name: str, stream: str) -> None:
    source = """
def handler(event, context):
    return {"batchItemFailures": [{"itemIdentifier": event["Records"][1]["kinesis"]["sequenceNumber"]}]}
"""
    mapped(made(source), name, stream)

    code, answer, said = invoke(WHOLE, WHOLE, WHOLE)

    assert code == 1
    assert answer["batchItemFailures"]
    assert said[-1] == "Event 2 was returned for retry; the log says why."


@pytest.fixture
def table(endpoint: LocalEndpoint, name: str) -> str:
    """The ARN of the stream of a table."""
    created = endpoint.client("dynamodb").create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": each, "AttributeType": "S"} for each in ("pk", "sk")],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )
    return str(created["TableDescription"]["LatestStreamArn"])


@pytest.mark.parametrize(
    ("given", "change", "new"),
    [
        ({"pk": "a", "sk": "thing", "n": 1.5}, "INSERT", {"pk": {"S": "a"}, "sk": {"S": "thing"}, "n": {"N": "1.5"}}),
        ({"oldImage": {"pk": "a", "sk": "thing"}}, "REMOVE", None),
        (
            {"new_image": {"pk": "a", "sk": "t"}, "old_image": {"pk": "a", "sk": "t", "x": True}},
            "MODIFY",
            {"pk": {"S": "a"}, "sk": {"S": "t"}},
        ),
    ],
)
def test_a_row_comes_as_the_stream_of_the_table_delivers_it(
    made: Made, invoke: Invoke, name: str, table: str, given: Any, change: str, new: Any
) -> None:
    mapped(made(), name, table)

    _, answer, said = invoke(given)

    (record,) = answer["Records"]
    assert (record["eventName"], record["eventSourceARN"]) == (change, table)
    assert record["dynamodb"]["Keys"]["pk"] == {"S": "a"}
    assert record["dynamodb"].get("NewImage") == new
    assert said[-1] == f"Invokes {name} with 1 event, as the stream of the table {name} delivers."


def test_an_event_comes_as_the_row_that_collect_stores(made: Made, invoke: Invoke, name: str, table: str) -> None:
    mapped(made(), name, table)

    _, answer, _ = invoke(WHOLE)

    from stream_runtime.events import from_dynamodb

    (uow,) = from_dynamodb(answer)
    row = uow["event"]["raw"]["new"]
    assert (uow["event"]["type"], row["pk"], row["sk"], row["data"], row["event"]) == (
        "EVENT-created", "e1", "EVENT", "k", WHOLE,
    )  # fmt: skip


def test_such_an_event_is_completed_first(made: Made, invoke: Invoke, name: str, table: str) -> None:
    mapped(made(), name, table)

    _, answer, said = invoke(EVENT)

    assert said[0].startswith("Filled in: id ")
    assert answer["Records"][0]["dynamodb"]["NewImage"]["data"] == {"S": "t1"}


def test_what_a_table_does_not_deliver_is_said(made: Made, invoke: Invoke, name: str, table: str) -> None:
    mapped(made(), name, table)

    with pytest.raises(
        ValueError, match="event 1 is nothing that a table's stream delivers; expected a row with pk and"
    ):
        invoke({"id": "a", "title": "b"})


def test_an_event_comes_as_a_queue_delivers_it(made: Made, invoke: Invoke, name: str, endpoint: LocalEndpoint) -> None:
    sqs = endpoint.client("sqs")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    mapped(made(), name, arn)

    _, answer, said = invoke(WHOLE)

    (record,) = answer["Records"]
    assert (record["eventSource"], record["eventSourceARN"], json.loads(record["body"])) == ("aws:sqs", arn, WHOLE)
    assert said == [f"Invokes {name} with 1 event, as the queue {name} delivers."]


def allowed(functions: Any, name: str, service: str, arn: str) -> None:
    functions.add_permission(
        FunctionName=name, StatementId=service[:3], Action="lambda:InvokeFunction", Principal=service, SourceArn=arn
    )


def test_an_object_comes_as_its_bucket_notifies(made: Made, invoke: Invoke, name: str) -> None:
    allowed(made(), name, "s3.amazonaws.com", f"arn:aws:s3:::{name}")

    _, answer, said = invoke({"key": "in/a b.csv"})

    (record,) = answer["Records"]
    assert (record["s3"]["bucket"]["name"], record["s3"]["object"]["key"]) == (name, "in/a+b.csv")
    assert said == [f"Invokes {name} with 1 event, as the bucket {name} delivers."]
    with pytest.raises(ValueError, match="expected an object of a bucket"):
        invoke(WHOLE)


def test_an_event_comes_as_a_topic_delivers_it(made: Made, invoke: Invoke, name: str) -> None:
    arn = f"arn:aws:sns:us-east-1:000000000000:{name}"
    allowed(made(), name, "sns.amazonaws.com", arn)

    _, answer, _ = invoke(WHOLE)

    (record,) = answer["Records"]
    assert (record["Sns"]["TopicArn"], json.loads(record["Sns"]["Message"])) == (arn, WHOLE)


def test_an_event_comes_as_a_rule_of_the_bus_delivers_it(
    made: Made, invoke: Invoke, name: str, endpoint: LocalEndpoint
) -> None:
    events = endpoint.client("events")
    events.create_event_bus(Name=name)
    pattern = json.dumps({"detail-type": ["thing-done"]})
    arn = events.put_rule(Name="things", EventBusName=name, EventPattern=pattern)["RuleArn"]
    allowed(made(), name, "events.amazonaws.com", arn)

    _, answer, said = invoke(WHOLE)

    assert (answer["detail-type"], answer["detail"]) == ("thing-done", WHOLE)
    assert said == [f"Invokes {name} with 1 event, as the rule things delivers."]
    assert invoke({**WHOLE, "type": "thing-lost"})[2][0] == (
        "Event 1 would not come here by the rule things: the pattern does not let it through."
    )


@pytest.fixture
def api(made: Made, name: str, endpoint: LocalEndpoint) -> None:
    """An HTTP API with two routes that call the function."""
    functions, apis = made(), endpoint.client("apigatewayv2")
    api = apis.create_api(Name=name, ProtocolType="HTTP")["ApiId"]
    uri = functions.get_function_configuration(FunctionName=name)["FunctionArn"]
    target = apis.create_integration(
        ApiId=api, IntegrationType="AWS_PROXY", IntegrationUri=uri, PayloadFormatVersion="2.0"
    )["IntegrationId"]
    for route in ("POST /things", "GET /things/{id}", "GET /things/own", "ANY /files/{path+}"):
        apis.create_route(ApiId=api, RouteKey=route, Target=f"integrations/{target}")
    arn = f"arn:aws:execute-api:us-east-1:000000000000:{api}/*"
    allowed(functions, name, "apigateway.amazonaws.com", arn)


@pytest.mark.usefixtures("api")
@pytest.mark.parametrize(
    ("request_", "route", "variables"),
    [
        ({"method": "POST", "path": "/things", "body": {"id": "a"}}, "POST /things", None),
        ({"method": "get", "path": "/things/a"}, "GET /things/{id}", {"id": "a"}),
        ({"method": "GET", "path": "/things/own"}, "GET /things/own", None),
        ({"method": "GET", "path": "/files/a/b.txt"}, "ANY /files/{path+}", {"path": "a/b.txt"}),
        ({"method": "GET", "path": "/things/a/b"}, "GET /things/a/b", None),
    ],
)
def test_a_request_comes_as_the_api_delivers_it(
    invoke: Invoke, name: str, request_: Any, route: str, variables: Any
) -> None:
    _, answer, said = invoke(request_)

    assert (answer["routeKey"], answer["rawPath"], answer.get("pathParameters")) == (route, request_["path"], variables)
    assert json.loads(answer.get("body", "null")) == request_.get("body")
    assert said == [f"Invokes {name} with 1 event, as its HTTP API delivers."]


@pytest.mark.usefixtures("api")
def test_what_is_no_request_is_said_with_the_routes(invoke: Invoke) -> None:
    with pytest.raises(
        ValueError, match=r"the routes are ANY /files/\{path\+\}, GET /things/own, GET /things/\{id\}, POST /things"
    ):
        invoke({"id": "a"})


def test_what_delivers_the_events_is_asked_where_several_things_do(
    made: Made, invoke: Invoke, name: str, stream: str
) -> None:
    functions = made()
    mapped(functions, name, stream)
    allowed(functions, name, "s3.amazonaws.com", f"arn:aws:s3:::{name}")

    with pytest.raises(CommandError, match="is triggered by kinesis and s3: choose with --as"):
        invoke(WHOLE)

    assert invoke({"key": "a"}, kind="s3")[1]["Records"][0]["eventSource"] == "aws:s3"
    assert invoke(WHOLE, kind="direct")[1] == WHOLE


def test_a_function_is_found_by_the_name_that_serverless_yml_has(
    make_function: Made, invoke: Invoke, name: str
) -> None:
    for service in ("orders", "invoices"):
        make_function(f"{name}-{service}-local-{name}")
    make_function(f"{name}-orders-local-only{name}")

    assert invoke(WHOLE, function=f"only{name}")[0] == 0
    assert invoke(WHOLE, function=f"{name}-orders/{name}")[0] == 0
    with pytest.raises(CommandError, match=rf"name one of {name}-invoices/{name}, {name}-orders/{name}\."):
        invoke(WHOLE, function=name)


def test_a_function_that_is_not_there_is_said_with_the_nearest_name(made: Made, invoke: Invoke, name: str) -> None:
    made()

    with pytest.raises(CommandError, match=f"Stage local has no function {name}s. Did you mean {name}"):
        invoke(WHOLE, function=f"{name}s")


@pytest.fixture
def on_aws(endpoint: LocalEndpoint, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An account, which is the emulator, with a function in a stack of each of two stages."""
    for variable, value in endpoint.environment.items():
        monkeypatch.setenv(variable, value)
    cloudformation = endpoint.client("cloudformation")
    for stage in ("dev", "prod"):
        properties = {
            "FunctionName": f"{name}-{stage}-task", "Runtime": "python3.13", "Role": ROLE, "Handler": "index.handler",
            "Code": {"ZipFile": "def handler(event, context): return event"},
        }  # fmt: skip
        body = json.dumps({"Resources": {"Task": {"Type": "AWS::Lambda::Function", "Properties": properties}}})
        stack = f"{name}-{stage}"
        cloudformation.create_stack(StackName=stack, TemplateBody=body, Tags=[{"Key": "STAGE", "Value": stage}])
        cloudformation.get_waiter("stack_create_complete").wait(StackName=stack, WaiterConfig={"Delay": 0.1})


@pytest.mark.usefixtures("on_aws")
def test_on_aws_it_says_where_it_is_about_to_do_what(invoke: Invoke, name: str) -> None:
    code, answer, said = invoke(WHOLE, function=f"{name}/task", stage="dev")

    assert (code, answer) == (0, WHOLE)
    assert said == [
        f"Invokes {name}-dev-task in account 000000000000, us-east-1 with 1 event. What it writes, publishes and sends "
        "is real."
    ]


@pytest.mark.usefixtures("on_aws")
def test_a_function_of_another_stage_is_not_invoked(invoke: Invoke, name: str) -> None:
    with pytest.raises(CommandError, match=f"Stage dev has no function {name}-prod-task"):
        invoke(WHOLE, function=f"{name}-prod-task", stage="dev")


@pytest.mark.usefixtures("on_aws")
def test_before_a_production_stage_it_asks(invoke: Invoke, name: str) -> None:
    asked = f"Nothing was done: invoke {name}-prod-task in the production stage prod, account 000000000000, us-east-1"
    with pytest.raises(CommandError, match=asked):
        invoke(WHOLE, function=f"{name}/task", stage="prod")

    assert invoke(WHOLE, function=f"{name}/task", stage="prod", yes=True)[0] == 0
