"""Sinks with the field names of aws_lambda_stream. Cases of its tests/unit/utils and connectors, written anew."""

import io
from typing import Any

import pytest
import reactivex
from stream_runtime import clients
from stream_runtime.sinks.cloudwatch import put_metric_data
from stream_runtime.sinks.eventbridge import publish_to_event_bridge
from stream_runtime.sinks.lambda_function import invoke_lambda_function
from stream_runtime.sinks.sns import publish_to_sns
from stream_runtime.sinks.sqs import send_to_sqs

TOPIC = "arn:aws:sns:us-west-2:123456789012:orders"
QUEUE = "https://sqs.us-west-2.amazonaws.com/123456789012/orders"


class Recorder:
    """A client that keeps its requests and answers each with the same response."""

    def __init__(self, response: Any) -> None:
        self.response = response
        self.requests: list[Any] = []

    def __getattr__(self, operation: str) -> Any:
        def call(**request: Any) -> Any:
            self.requests.append(request)
            return self.response

        return call


SENT = {"Successful": [{"Id": "0", "MessageId": "m"}]}
CASES: list[Any] = [
    (
        "sns",
        publish_to_sns(TOPIC, message_field="sns_payload"),
        {"sns_payload": {"Message": "hello"}},
        SENT,
        {"TopicArn": TOPIC, "PublishBatchRequestEntries": [{"Id": "0", "Message": "hello"}]},
        ("publish_response", {"MessageId": "m"}),
    ),
    (
        "sqs",
        send_to_sqs(QUEUE, send_response_field="send_message_batch_response"),
        {"message": {"Id": "1", "MessageBody": "one"}},
        SENT,
        {"QueueUrl": QUEUE, "Entries": [{"Id": "0", "MessageBody": "one"}]},
        ("send_message_batch_response", {"MessageId": "m"}),
    ),
    (
        "lambda",
        invoke_lambda_function(),
        {"invoke_request": {"FunctionName": "fn", "Payload": {"n": 1}}},
        {"StatusCode": 200, "Payload": io.BytesIO(b"[2]")},
        {"FunctionName": "fn", "Payload": '{"n":1}'},
        ("invoke_response", {"StatusCode": 200, "Payload": [2]}),
    ),
    (
        "cloudwatch",
        put_metric_data(put_metric_request_field="put_request", put_metric_response_field="put_response"),
        {"put_request": {"Namespace": "App", "MetricData": [{"MetricName": "Processed", "Value": 1}]}},
        {},
        {"Namespace": "App", "MetricData": [{"MetricName": "Processed", "Value": 1}]},
        ("put_response", {"data": 1}),
    ),
]


@pytest.mark.parametrize(("service", "operator", "uow", "answer", "request_", "response"), CASES)
def test_a_sink_makes_the_request_of_its_field(
    service: str, operator: Any, uow: Any, answer: Any, request_: Any, response: Any
) -> None:
    """Cases: utils/test_sns.py, test_sqs.py, test_lambda.py, test_cloudwatch.py. Units without a request pass."""
    client = Recorder(answer)
    clients.use(service, client)
    out: list[Any] = []
    reactivex.from_list([uow, {"other": True}]).pipe(operator).subscribe(out.append)
    assert client.requests == [request_]
    field, value = response
    assert out[0][field] == value
    assert out[1] == {"other": True}


def test_an_event_is_published_with_tags_to_the_bus_of_the_environment(
    bus: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Case: utils/test_eventbridge.py, test_publish; events of tests have no tag ``skip`` here."""
    monkeypatch.setenv("STAGE", "test")
    out: list[Any] = []
    uow = {"event": {"id": "uuid1", "type": "event_type_1"}}
    reactivex.from_list([uow, {"other": True}]).pipe(publish_to_event_bridge()).subscribe(out.append)
    unknown = {"account", "app", "functionname", "pipeline", "source"}
    tags = dict.fromkeys(unknown, "undefined") | {"region": "us-west-2", "stage": "test"}
    assert out[0]["event"] == {"id": "uuid1", "type": "event_type_1", "tags": tags}
    ((entry,),) = bus.calls
    assert entry == out[0]["publish_request_entry"]
    assert (entry["EventBusName"], entry["Source"], entry["DetailType"]) == ("test-bus", "custom", "event_type_1")
    assert out[1] == {"other": True}
