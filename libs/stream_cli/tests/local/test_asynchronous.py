"""Asynchronous invocations: when they are tried again, as what, and when they are given up."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from stream_cli.local.emulator import asynchronous
from stream_cli.local.endpoint import LocalEndpoint

FAILED, THROTTLED, DONE = {"error": True}, {"error": True, "throttle": True}, {"body": None}


class Clock:
    """Time passes while something sleeps."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        self.slept.append(seconds)


@pytest.fixture
def attempts(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[list[float], list[Any]]]:
    """Play an invocation whose attempts have these results; returns its waits, and what its destination got."""
    from ministack.services import lambda_svc

    def play(*results: dict[str, Any], **settings: Any) -> tuple[list[float], list[Any]]:
        clock, left, told = Clock(), [*results], []
        monkeypatch.setattr(asynchronous, "time", clock)
        monkeypatch.setattr(lambda_svc, "_LAMBDA_ASYNC_RETRY_BASE_SECONDS", float(asynchronous.RETRY_S))
        monkeypatch.setattr(lambda_svc, "_execute_function", lambda function, event: left.pop(0))
        monkeypatch.setattr(lambda_svc, "_route_async_failure", lambda *about: told.append(about))
        arn = "arn:aws:lambda:us-east-1:000000000000:function:f"
        configured = {"DestinationConfig": {"OnFailure": {"Destination": "queue"}}, **settings}
        asynchronous._try(
            {"config": {"FunctionName": "f", "FunctionArn": arn}, "event_invoke_config": configured}, {}, "r"
        )
        assert left == []
        return clock.slept, told

    return play


def test_an_event_is_tried_again_after_one_minute_and_after_two(attempts: Any) -> None:
    assert attempts(FAILED, FAILED, DONE) == ([60, 120], [])
    waits, told = attempts(FAILED, FAILED, FAILED)
    assert (waits, told) == ([60, 120], [("queue", "f", {}, FAILED)])


def test_it_is_tried_as_often_as_the_function_says(attempts: Any) -> None:
    assert attempts(FAILED, MaximumRetryAttempts=0) == ([], [("queue", "f", {}, FAILED)])


def test_attempts_that_are_throttled_do_not_count(attempts: Any) -> None:
    waits, told = attempts(*[THROTTLED] * 12, FAILED, FAILED, DONE)
    assert told == []
    assert all(2**n / 2 <= wait_s <= 2**n for n, wait_s in enumerate(waits[:9]))
    assert all(150 <= wait_s <= 300 for wait_s in waits[9:12])
    assert waits[12:] == [60, 120]


def test_an_event_that_would_be_too_old_is_given_up(attempts: Any) -> None:
    assert attempts(FAILED, FAILED, MaximumEventAgeInSeconds=100) == ([60], [("queue", "f", {}, FAILED)])


def test_all_attempts_have_one_request_id(
    endpoint: LocalEndpoint, made: Any, name: str, make_queue: Callable[[str], str]
) -> None:
    functions = made("def handler(event, context): raise ValueError(context.aws_request_id)")
    logs, sqs, url = endpoint.client("logs"), endpoint.client("sqs"), make_queue(name)
    queue = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    functions.put_function_event_invoke_config(
        FunctionName=name, DestinationConfig={"OnFailure": {"Destination": queue}}
    )
    functions.invoke(FunctionName=name, InvocationType="Event", Payload=b'"event"')
    (message,) = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20)["Messages"]
    told = json.loads(message["Body"])
    assert told["requestPayload"] == "event"
    events = logs.filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
    started = [each["message"].split()[2] for each in events if each["message"].startswith("START")]
    assert started == [told["responsePayload"]["errorMessage"]] * 3
