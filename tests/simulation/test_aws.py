"""The way of a call to a service and back, and what may happen to it there, as the runtime's client raises it."""

from collections.abc import Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, ReadTimeoutError
from refusals import Refusal
from simulator.aws import LATENCY_US, SimulatedAws
from simulator.clients import SERVICES, direct
from simulator.faults import KINDS, Faults, Trouble, about_of, refusal
from simulator.kernel import MICROSECONDS, Kernel, Process, ProcessDied
from simulator.virtual import virtual
from stream_runtime import clients
from stream_runtime.engine.retry import classify

PUT = {"TableName": "things", "Item": {"pk": {"S": "1"}, "sk": {"S": "thing"}}}


class Tables:
    """A service that notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[Mapping[str, Any]] = []

    def PutItem(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        self.asked.append(request)
        if request["Item"]["pk"]["S"] == "taken":
            raise Refusal(400, "ConditionalCheckFailedException", "The conditional request failed", Item={"a": 1})
        return {"Attributes": {}}

    def BatchWriteItem(self, request: Mapping[str, Any], left: frozenset[int] = frozenset()) -> Mapping[str, Any]:
        self.asked.append(request)
        return {"left": sorted(left)}

    TransactWriteItems = PutItem


class Played:
    """A process that calls once, and what came of that."""

    def __init__(self, *troubles: Trouble, name: str = "work#1") -> None:
        self.kernel = Kernel(1)
        self.tables = Tables()
        faults = Faults(1, troubles, self.kernel.now_us)
        self.aws = SimulatedAws(self.kernel, {"dynamodb": self.tables}, faults, lambda *_: None)
        self.process = Process(name)

    def run(self, operation: str = "put_item", request: Mapping[str, Any] = PUT) -> Any:
        began_us = self.kernel.now_us
        with virtual(self.kernel, 1), direct(self.aws):
            method = getattr(clients.client("dynamodb"), operation)
            task = self.kernel.spawn(self.process, lambda: method(**request))
            self.kernel.run()
        self.took_s = (self.kernel.now_us - began_us) / MICROSECONDS
        return task.error or task.result


def test_a_call_takes_a_while_and_is_answered() -> None:
    played = Played()
    assert played.run() == {"Attributes": {}}
    assert played.tables.asked == [PUT]
    assert 0.001 < played.took_s < 0.1


def test_a_refusal_is_raised_as_boto3_does() -> None:
    played = Played()
    error = played.run(request={**PUT, "Item": {"pk": {"S": "taken"}}})
    with direct(played.aws):
        assert isinstance(error, clients.client("dynamodb").exceptions.ConditionalCheckFailedException)
    assert isinstance(error, ClientError)
    assert error.response["Error"]["Code"] == "ConditionalCheckFailedException"
    assert error.response["Item"] == {"a": 1}  # type: ignore[typeddict-item]


@pytest.mark.parametrize(
    ("kind", "effects", "kinds"),
    [
        ("throttled", 0, "transient"),
        ("unavailable", 0, "transient"),
        ("denied", 0, "configuration"),
        ("conflict", 0, "transient"),
        ("error-after", 1, "transient"),
    ],
)
def test_answers_that_are_errors(kind: str, effects: int, kinds: str) -> None:
    played = Played(Trouble(kind, 0, 60))
    error = played.run()
    assert isinstance(error, ClientError)
    assert classify(error) == kinds
    assert len(played.tables.asked) == effects


@pytest.mark.parametrize(
    ("kind", "effects", "error", "took_s"),
    [
        ("unreachable", 0, ConnectTimeoutError, 3),
        ("answer-lost", 1, ReadTimeoutError, 20),
        ("died-before", 0, ProcessDied, 0),
        ("died-after", 1, ProcessDied, 0),
    ],
)
def test_calls_without_an_answer(kind: str, effects: int, error: type[BaseException], took_s: float) -> None:
    played = Played(Trouble(kind, 0, 60))
    assert isinstance(played.run(), error)
    assert len(played.tables.asked) == effects
    assert took_s <= played.took_s < took_s + 0.1
    assert played.process.dead == kind.startswith("died")


def test_a_slow_answer_comes_late_or_too_late() -> None:
    played = Played(Trouble("slow", 0, 60, delay_s=10))
    assert played.run() == {"Attributes": {}}
    assert 5 <= played.took_s <= 15.1
    played = Played(Trouble("slow", 0, 60, delay_s=60))
    assert isinstance(played.run(), ReadTimeoutError)
    assert 20 <= played.took_s < 20.1


def test_a_part_of_a_batch_fails() -> None:
    items = [{"PutRequest": {"Item": {"pk": {"S": str(n)}}}} for n in range(10)]
    played = Played(Trouble("partial", 0, 60))
    left = played.run("batch_write_item", {"RequestItems": {"things": items}})["left"]
    assert 0 < len(left) < 10
    assert isinstance(Played(Trouble("partial", 0, 60)).run(), ClientError), "what is no batch is throttled"


def test_a_transaction_meets_another() -> None:
    played = Played(Trouble("conflict", 0, 60))
    error = played.run("transact_write_items", {"TransactItems": [{"Put": PUT}, {"Put": PUT}]})
    assert isinstance(error, ClientError)
    reasons = error.response["CancellationReasons"]  # type: ignore[typeddict-item]
    assert [each["Code"] for each in reasons] == ["TransactionConflict", "None"]
    assert classify(error) == "transient"


def test_a_request_that_was_sent_has_its_effect_when_its_process_has_died() -> None:
    played = Played()
    played.kernel.at(100, lambda: played.kernel.end(played.process))
    assert isinstance(played.run(), ProcessDied)
    assert played.tables.asked == [PUT]


def test_a_dead_process_sends_nothing() -> None:
    played = Played()
    played.kernel.end(played.process)

    def finish() -> None:
        try:
            played.kernel.sleep(10)
        finally:
            played.aws.call("dynamodb", "PutItem", PUT)

    process = Process("work#2")
    with virtual(played.kernel, 1):
        played.kernel.spawn(process, finish)
        played.kernel.at(5, lambda: played.kernel.end(process))
        played.kernel.run()
    assert played.tables.asked == []


def test_troubles_are_for_some_calls_for_a_while() -> None:
    for selector in (
        {"services": ("s3",)},
        {"operations": ("GetItem",)},
        {"functions": ("other",)},
        {"rate": 0.0},
        {"most": 0},
    ):
        assert Played(Trouble("denied", 0, 60, **selector)).run() == {"Attributes": {}}  # type: ignore[arg-type]
    for trouble in (Trouble("denied", 1, 60), Trouble("denied", -1, 0)):
        assert Played(trouble).run() == {"Attributes": {}}
    same = {"services": ("dynamodb",), "operations": ("PutItem",), "functions": ("work",)}
    assert isinstance(Played(Trouble("denied", 0, 60, **same)).run(), ClientError)  # type: ignore[arg-type]


def test_a_fate_does_not_depend_on_what_else_there_is() -> None:
    trouble = Trouble("throttled", 0, 60, rate=0.5)
    requests = [{**PUT, "Item": {"pk": {"S": str(n)}}} for n in range(100)]

    def fates(others: bool) -> list[bool]:
        faults = Faults(1, [trouble], 0)
        found = []
        for request in requests:
            if others:
                faults.fate(1, "dynamodb", "PutItem", "other", request)
            found.append(faults.fate(1, "dynamodb", "PutItem", "work", request) is not None)
        return found

    assert fates(others=True) == fates(others=False)
    assert 30 < sum(fates(others=False)) < 70


def test_every_service_refuses_in_its_own_way() -> None:
    assert LATENCY_US.keys() == set(SERVICES)
    for service in SERVICES:
        assert classify(refusal("throttled", service, "X", {}).as_client_error("X")) == "transient"
        assert classify(refusal("unavailable", service, "X", {}).as_client_error("X")) == "transient"
        assert classify(refusal("denied", service, "X", {}).as_client_error("X")) == "configuration"
    assert len(KINDS) == len(set(KINDS))


def test_what_a_request_is_about() -> None:
    assert about_of(PUT) == "things/1/thing"
    assert about_of({"TransactItems": [{"Put": PUT}]}) == "1/thing"
    assert about_of({"Entries": [{"Detail": '{"id":"e1","type":"x"}'}, {"Detail": "{}"}]}) == "/2/e1"
    assert about_of({"Bucket": "b", "Key": "k"}) == "b/k"


def test_an_error_of_the_simulation_is_not_taken_for_an_answer() -> None:
    played = Played()
    with pytest.raises(AttributeError):
        played.run("no_such_operation")
