"""invoke_lambda: other functions, called for events."""

import io
import json
from collections.abc import Callable
from typing import Any

from stream_runtime import clients
from stream_runtime.flavors import invoke_lambda

THING = {"id": "e1", "type": "thing", "timestamp": 1, "partition_key": "k"}


class Functions:
    """Lambda with functions that give planned answers."""

    def __init__(self, *responses: Any) -> None:
        self.responses = list(responses)
        self.calls: list[dict[str, Any]] = []

    def invoke(self, **call: Any) -> dict[str, Any]:
        self.calls.append(call)
        status, payload, error = self.responses.pop(0)
        return {
            "StatusCode": status,
            "Payload": io.BytesIO(json.dumps(payload).encode() if payload is not None else b""),
            **({"FunctionError": error} if error else {}),
        }


def rule(**fields: Any) -> dict[str, Any]:
    return {
        "id": "call",
        "flavor": invoke_lambda,
        "event_type": "thing",
        "function_name": "score",
        "to_invoke_request": lambda uow: {"Payload": {"key": uow["event"]["partition_key"]}},
        **fields,
    }


def test_a_function_gets_the_payload_as_json_and_its_answer_is_read(run: Callable[..., Any]) -> None:
    functions = Functions((200, {"score": 0.5}, None))
    clients.use("lambda", functions)
    (uow,) = run(rule(), THING)
    assert functions.calls == [{"FunctionName": "score", "Payload": '{"key":"k"}'}]
    assert uow["invoke_response"] == {"StatusCode": 200, "Payload": {"score": 0.5}}


def test_an_asynchronous_call_has_no_payload(run: Callable[..., Any]) -> None:
    clients.use("lambda", Functions((202, None, None)))
    (uow,) = run(rule(to_invoke_request=lambda _: {"InvocationType": "Event", "Payload": "{}"}), THING)
    assert uow["invoke_response"] == {"StatusCode": 202}


def test_an_event_follows_from_the_answer(run: Callable[..., Any], bus: Any) -> None:
    clients.use("lambda", Functions((200, {"score": 1}, None)))
    run(
        rule(
            emit=lambda uow, rule, template: {
                **template,
                "type": "thing-scored",
                "score": uow["invoke_response"]["Payload"]["score"],
            }
        ),
        THING,
    )
    assert [event["score"] for event in bus.of_type("thing-scored")] == [1]


def test_a_function_that_raises_gives_a_fault_with_its_own_error(run: Callable[..., Any], bus: Any) -> None:
    clients.use("lambda", Functions((200, {"errorType": "KeyError", "errorMessage": "'thing'"}, "Unhandled")))
    run(rule(), THING)
    assert [fault["err"]["message"] for fault in bus.of_type("fault")] == ["score.KeyError: 'thing'"]
