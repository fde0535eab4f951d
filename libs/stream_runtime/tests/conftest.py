"""An environment in which nothing of this machine's leaks into a test, and no test waits between attempts."""

import json
import logging
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from stream_runtime import clients

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_REGION": "us-west-2",
    "AWS_DEFAULT_REGION": "us-west-2",
    "BUS_NAME": "test-bus",
    "RETRY_BASE_MS": "0",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The environment of every test; clients are built anew in each, so that moto's mocks reach them."""
    for name in tuple(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    clients.reset()
    yield
    clients.reset()
    logging.getLogger("stream_runtime").setLevel(logging.NOTSET)


class Bus:
    """An EventBridge client that keeps what is published, and answers with the failures it is given."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.calls: list[list[dict[str, Any]]] = []
        self.answers: list[Callable[[list[dict[str, Any]]], dict[str, Any] | None]] = []
        """One for each of the next calls; None accepts the entries, an exception may be raised."""

    def put_events(self, Entries: list[dict[str, Any]]) -> dict[str, Any]:
        """Accept the entries, unless another answer is due."""
        self.calls.append(Entries)
        answer = self.answers.pop(0)(Entries) if self.answers else None
        if answer is not None:
            return answer
        self.events += [json.loads(entry["Detail"]) for entry in Entries]
        return {"FailedEntryCount": 0, "Entries": [{"EventId": str(number)} for number in range(len(Entries))]}

    def fails(self, error: BaseException, times: int = 1) -> None:
        """The next calls raise."""

        def answer(_: list[dict[str, Any]]) -> None:
            raise error

        self.answers += [answer] * times

    def of_type(self, type_: str) -> list[dict[str, Any]]:
        """The events of a type, in the order in which they were published."""
        return [event for event in self.events if event["type"] == type_]


@pytest.fixture
def bus() -> Bus:
    """The bus that the runtime publishes to."""
    bus = Bus()
    clients.use("events", bus)
    return bus


class Context:
    """A Lambda context with so many milliseconds left."""

    def __init__(self, left_ms: int) -> None:
        self.left_ms = left_ms

    def get_remaining_time_in_millis(self) -> int:
        """What is left."""
        return self.left_ms


@pytest.fixture
def context_with() -> type[Context]:
    """Makes a Lambda context of the milliseconds it has left."""
    return Context


@pytest.fixture
def throttled() -> ClientError:
    """What AWS answers to too many requests."""
    return client_error("ThrottlingException")


@pytest.fixture
def denied() -> ClientError:
    """What AWS answers where a permission is missing."""
    return client_error("AccessDeniedException")


def client_error(code: str) -> ClientError:
    """An error as botocore raises it."""
    return ClientError({"Error": {"Code": code, "Message": "m"}, "ResponseMetadata": {"HTTPStatusCode": 400}}, "Call")
