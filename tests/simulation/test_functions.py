"""Lambda in virtual time: environments, time-outs, concurrency, and the queue of asynchronous events."""

import json
import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from simulator import functions
from simulator.functions import Functions
from simulator.kernel import MICROSECONDS, Kernel
from simulator.topology import Deployment, Function
from simulator.virtual import Escaped, virtual
from stream_cli.mappings.outcomes import Invocation

SECOND = MICROSECONDS
NAME = "thing-prod-work"


class Played:
    """Functions with one handler, and what became of their invocations."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, handler: Callable[[Any, Any], Any], **given: Any) -> None:
        monkeypatch.setattr(functions, "handler_of", lambda function: handler)
        monkeypatch.setattr(functions, "_own", lambda function: ())
        options = {name: given.pop(name) for name in ("concurrency", "doubled", "skewed_us") if name in given}
        self.function = replace(
            Function(
                name=NAME,
                arn=f"arn:aws:lambda:us-east-1:123456789012:function:{NAME}",
                service="thing",
                short="work",
                handler="thing/handlers/work.handler",
                environment={"TABLE": "things"},
                timeout_s=60,
                memory_mb=512,
                failure_arn="arn:aws:sqs:us-east-1:123456789012:failures",
            ),
            **given,
        )
        self.kernel = Kernel(1)
        self.outcomes: list[Invocation] = []
        self.sent: list[tuple[str, Any]] = []
        self.metrics: list[tuple[str, float]] = []
        self.lambda_ = Functions(
            self.kernel,
            1,
            self.deployment(self.function),
            measure=lambda metric, function, value: self.metrics.append((metric, value)),
            measured=lambda text: False,
            send=lambda arn, record: self.sent.append((arn, record)) is None,
            told=lambda *_: None,
            **options,
        )

    @staticmethod
    def deployment(function: Function) -> Deployment:
        deployment: Any = SimpleNamespace(functions={function.name: function})
        return deployment

    def start(self, event: Any = None, after_s: float = 0.0) -> None:
        payload = json.dumps(event).encode()
        self.kernel.at(int(after_s * SECOND), lambda: self.lambda_.start(NAME, payload, self.outcomes.append))

    def run(self) -> list[Invocation]:
        with virtual(self.kernel, 1):
            self.kernel.run()
        return self.outcomes


def test_an_environment_is_used_again_with_the_variables_of_its_function(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def handler(event: Any, context: Any) -> Any:
        time.sleep(1)
        name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        seen.append((context.log_stream_name, context.get_remaining_time_in_millis(), os.environ["TABLE"], name))
        return {"got": event}

    played = Played(monkeypatch, handler)
    for after_s in (0, 0.5, 10, 3600):
        played.start({"n": after_s}, after_s)
    assert [json.loads(each.payload)["got"]["n"] for each in played.run()] == [0, 0.5, 10, 3600]
    assert all(each.function_error is None for each in played.outcomes)
    assert [each[0] for each in seen] == [f"{NAME}#1", f"{NAME}#2", f"{NAME}#2", f"{NAME}#3"], "the last were idle"
    assert {each[1:] for each in seen} == {(59_000, "things", NAME)}


def test_a_time_out_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    def handler(event: Any, context: Any) -> Any:
        time.sleep(event)
        done.append(context.log_stream_name)

    played = Played(monkeypatch, handler)
    played.start(61)
    played.start(59, 100)
    first, second = played.run()
    assert first.function_error == "Unhandled"
    assert "Task timed out after 60.00 seconds" in json.loads(first.payload)["errorMessage"]
    assert second.function_error is None
    assert done == [f"{NAME}#2"]
    assert ("Errors", 1) in played.metrics


def test_what_a_handler_raises_is_an_error_and_keeps_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []

    def handler(event: Any, context: Any) -> Any:
        names.append(context.log_stream_name)
        raise ValueError("no good")

    played = Played(monkeypatch, handler)
    played.start()
    played.start(after_s=10)
    assert [json.loads(each.payload) for each in played.run()] == [
        {"errorType": "ValueError", "errorMessage": "no good"}
    ] * 2
    assert names == [f"{NAME}#1"] * 2


def test_a_process_that_is_killed_is_answered_for(monkeypatch: pytest.MonkeyPatch) -> None:
    played = Played(monkeypatch, lambda event, context: time.sleep(10))
    played.start()
    played.kernel.at(5 * SECOND, lambda: played.kernel.end(played.lambda_.environments[0]))
    (outcome,) = played.run()
    assert json.loads(outcome.payload)["errorType"] == "Runtime.ExitError"
    assert played.lambda_.environments == []


def test_concurrency_is_limited_by_reservation_and_account(monkeypatch: pytest.MonkeyPatch) -> None:
    for limit in ({"reserved": 1}, {"concurrency": 1}):
        played = Played(monkeypatch, lambda event, context: time.sleep(1), **limit)
        played.start()
        played.start(after_s=0.1)
        played.start(after_s=10)
        assert [each.throttled for each in played.run()] == [True, False, False]
        assert ("Throttles", 1) in played.metrics


def test_an_asynchronous_event_is_tried_three_times_and_then_told(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[tuple[int, str]] = []

    def handler(event: Any, context: Any) -> Any:
        tried.append((played.kernel.now_us // SECOND, context.aws_request_id))
        raise ValueError(event["why"])

    played = Played(monkeypatch, handler)
    request = {"FunctionName": NAME, "InvocationType": "Event", "Payload": b'{"why": "bad"}'}
    assert played.lambda_.Invoke(request)["StatusCode"] == 202
    played.run()
    (first, id_), (second, _), (third, _) = tried
    assert {each[1] for each in tried} == {id_}, "the request id stays"
    assert 60 <= second - first <= 70
    assert 120 <= third - second <= 140
    ((arn, record),) = played.sent
    assert arn == played.function.failure_arn
    assert record["requestContext"] == {
        "requestId": id_,
        "functionArn": f"{played.function.arn}:$LATEST",
        "condition": "RetriesExhausted",
        "approximateInvokeCount": 3,
    }
    assert record["requestPayload"] == {"why": "bad"}
    assert record["responsePayload"] == {"errorType": "ValueError", "errorMessage": "bad"}
    assert played.lambda_.queued == 0


def test_an_asynchronous_event_waits_for_concurrency_until_it_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[Any] = []
    played = Played(monkeypatch, lambda event, context: done.append(event), reserved=0, event_age_s=600)
    played.lambda_.queue(NAME, b"1")
    played.kernel.at(300 * SECOND, lambda: played.lambda_.queue(NAME, b"2"))
    changed = played.deployment(replace(played.function, reserved=1))
    played.kernel.at(700 * SECOND, lambda: played.lambda_.deploy(changed))
    played.run()
    assert done == [2]
    ((_, record),) = played.sent
    assert record["requestContext"]["condition"] == "EventAgeExceeded"
    assert record["requestPayload"] == 1


def test_an_asynchronous_event_may_come_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    played = Played(monkeypatch, lambda event, context: done.append(context.aws_request_id), doubled=1.0)
    played.lambda_.queue(NAME, b"{}")
    with virtual(played.kernel, 1):
        played.kernel.run(played.kernel.now_us + 60 * SECOND)
    assert len(done) > 1
    assert len(set(done)) == 1


def test_a_deployment_goes_on_in_new_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, str]] = []

    def handler(event: Any, context: Any) -> Any:
        time.sleep(5)
        seen.append((context.log_stream_name, os.environ["TABLE"]))

    played = Played(monkeypatch, handler)
    played.start()
    changed = played.deployment(replace(played.function, environment={"TABLE": "others"}))
    played.kernel.at(3 * SECOND, lambda: played.lambda_.deploy(changed))
    played.start(after_s=10)
    played.run()
    assert seen == [(f"{NAME}#1", "things"), (f"{NAME}#2", "others")]


def test_clocks_are_off_by_what_is_said_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    offs: list[float] = []

    def handler(event: Any, context: Any) -> Any:
        offs.append(time.time() - played.kernel.now_us / SECOND)
        time.sleep(5)

    played = Played(monkeypatch, handler, skewed_us=2 * SECOND)
    for _ in range(20):
        played.start()
    played.run()
    assert len({round(each, 3) for each in offs}) > 10
    assert max(map(abs, offs)) <= 2


@pytest.mark.parametrize("escape", ["thread", "socket"])
def test_what_escapes_virtual_time_is_told_even_if_it_is_caught(monkeypatch: pytest.MonkeyPatch, escape: str) -> None:
    def handler(event: Any, context: Any) -> Any:
        try:
            if escape == "thread":
                threading.Thread(target=print).start()
            else:
                socket.create_connection(("127.0.0.1", 1))
        except AssertionError:
            return "caught"

    played = Played(monkeypatch, handler)
    played.start()
    with pytest.raises(Escaped, match=f"{NAME}#1 .*{escape}"):
        played.run()
