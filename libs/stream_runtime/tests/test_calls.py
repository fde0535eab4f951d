"""Calls to AWS from a service's own code: retried like the runtime's, within the time that is left."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError
from stream_runtime import InvalidSetting, Publisher, TransientError, clients, settings, stream_handler
from stream_runtime.engine.calls import current_retry
from stream_runtime.engine.run import Run, current_run
from stream_runtime.events import from_kinesis, to_kinesis_records
from stream_runtime.flavors import task
from stream_runtime.sinks.eventbridge import EventTooLarge


class Table:
    """A DynamoDB client that answers with what it was given, exceptions raised."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.requests: list[dict[str, Any]] = []

    def query(self, **request: Any) -> Any:
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_a_call_is_retried_while_it_is_throttled(throttled: ClientError) -> None:
    table = Table(throttled, throttled, {"Items": []})
    clients.use("dynamodb", table)

    assert clients.call("dynamodb", "query", TableName="t") == {"Items": []}
    assert table.requests == [{"TableName": "t"}] * 3


def test_a_call_that_is_denied_is_made_once(denied: ClientError) -> None:
    table = Table(denied)
    clients.use("dynamodb", table)

    with pytest.raises(ClientError, match="AccessDenied"):
        clients.call("dynamodb", "query", TableName="t")
    assert len(table.requests) == 1


def test_a_function_is_called_again_while_it_raises_transient_errors() -> None:
    answers: list[Any] = [TransientError("later"), "done"]

    def function() -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return str(answer)

    assert clients.retried(function) == "done"


def test_a_call_in_a_rule_counts_as_a_retry_of_its_run_and_keeps_its_deadline() -> None:
    seen: list[Any] = []

    def execute(_: Any) -> None:
        run = current_run.get()
        assert run is not None
        seen.append((current_retry() is run.retry, run.retry.deadline is not None))

    rule = {"id": "r", "flavor": task, "event_type": "thing-created", "execute": execute, "parallel": 2}
    context = type("Context", (), {"get_remaining_time_in_millis": lambda _: 60_000})()
    stream_handler([rule], from_kinesis)(to_kinesis_records([{"id": "1", "type": "thing-created"}]), context)

    assert seen == [(True, True)]


def test_a_time_limit_ends_retries(monkeypatch: pytest.MonkeyPatch, throttled: ClientError) -> None:
    monkeypatch.setenv("RETRY_BASE_MS", "60000")
    monkeypatch.setenv("RETRY_MAX_MS", "60000")
    monkeypatch.setattr("random.uniform", lambda _, most: most)
    table = Table(throttled)
    clients.use("dynamodb", table)

    with clients.time_limit(5), pytest.raises(ClientError):
        clients.call("dynamodb", "query", TableName="t")
    assert len(table.requests) == 1


def test_a_time_limit_inside_a_run_does_not_outlive_its_deadline() -> None:
    run = Run((), deadline=time.monotonic() + 1)
    token = current_run.set(run)
    try:
        with clients.time_limit(60):
            assert current_retry().deadline == run.deadline
    finally:
        current_run.reset(token)


def test_a_pause_is_limited_in_attempts_and_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETRY_ATTEMPTS", "3")
    assert [clients.pause(attempt) for attempt in (1, 2, 3)] == [True, True, False]

    with clients.time_limit(-1):
        assert not clients.pause(1)


def test_the_inner_of_two_time_limits_ends_first() -> None:
    with clients.time_limit(1):
        outer = current_retry().deadline
        with clients.time_limit(60):
            assert current_retry().deadline == outer


def test_a_required_setting_of_a_service_is_checked_when_its_handler_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    days = settings.Setting("KEPT_DAYS", settings.whole_number(1, 9), settings.REQUIRED, "days that things are kept")

    with pytest.raises(InvalidSetting, match="KEPT_DAYS is not set: days that things are kept"):
        stream_handler([], from_kinesis, needs=[days])

    monkeypatch.setenv("KEPT_DAYS", "ten")
    with pytest.raises(InvalidSetting, match="KEPT_DAYS='ten': expected a whole number"):
        stream_handler([], from_kinesis, needs=[days])

    monkeypatch.setenv("KEPT_DAYS", "3")
    stream_handler([], from_kinesis, needs=[days])
    assert days.read() == 3


def test_a_handler_says_what_it_was_made_of() -> None:
    rules = [{"id": "r", "flavor": task, "event_type": "thing-created", "execute": len}]

    handler = stream_handler(rules, from_kinesis)

    assert (handler.rules, handler.source) == (rules, from_kinesis)


def event(number: int, **more: Any) -> dict[str, Any]:
    return {"id": f"e{number}", "type": "thing-created", "timestamp": 1548967022000, **more}


def test_a_publisher_puts_ten_events_in_a_call(bus: Any) -> None:
    with Publisher(parallel=1) as publisher:
        for number in range(25):
            publisher.publish(event(number))

    assert [len(call) for call in bus.calls] == [10, 10, 5]
    assert bus.calls[0][0] == {
        "EventBusName": "test-bus",
        "Source": "custom",
        "DetailType": "thing-created",
        "Detail": '{"id":"e0","type":"thing-created","timestamp":1548967022000}',
    }


def test_a_publisher_sends_only_the_entries_that_failed_again(bus: Any) -> None:
    def third_fails(entries: list[Any]) -> dict[str, Any]:
        results: list[dict[str, str]] = [{"EventId": str(number)} for number in range(len(entries))]
        results[2] = {"ErrorCode": "ThrottlingException", "ErrorMessage": "slow down"}
        return {"FailedEntryCount": 1, "Entries": results}

    bus.answers.append(third_fails)

    with Publisher() as publisher:
        for number in range(4):
            publisher.publish(event(number))

    assert [len(call) for call in bus.calls] == [4, 1]
    assert [each["id"] for each in bus.events] == ["e2"]


def test_a_publisher_raises_what_will_not_pass(bus: Any) -> None:
    def refused(entries: list[Any]) -> dict[str, Any]:
        return {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "MalformedDetail", "ErrorMessage": "no"}]}

    bus.answers.append(refused)

    with pytest.raises(Exception, match="MalformedDetail"), Publisher() as publisher:
        publisher.publish(event(1))
    assert len(bus.calls) == 1


def test_a_publisher_refuses_an_event_that_no_call_takes(bus: Any) -> None:
    with Publisher() as publisher, pytest.raises(EventTooLarge, match=r"event e1 has \d+ bytes"):
        publisher.publish(event(1, text="x" * 1_048_576))
    assert bus.calls == []


def test_a_publisher_sends_a_large_event_as_a_claim_check(bus: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    stored: list[dict[str, Any]] = []

    class Bucket:
        def put_object(self, **request: Any) -> dict[str, Any]:
            stored.append(request)
            return {}

    clients.use("s3", Bucket())
    monkeypatch.setenv("CLAIMCHECK_BUCKET_NAME", "claims")

    with Publisher() as publisher:
        publisher.publish(event(1, text="x" * 1_048_576))

    assert bus.events[0]["claim_check"] == {"bucket": "claims", "key": stored[0]["Key"]}


def test_a_publisher_uses_the_client_it_is_given(bus: Any) -> None:
    clients.reset()

    with Publisher("other-bus", source="me", client=bus) as publisher:
        publisher.publish(event(1))

    assert (bus.calls[0][0]["EventBusName"], bus.calls[0][0]["Source"]) == ("other-bus", "me")


def test_a_publisher_that_is_left_with_an_error_sends_nothing_more(bus: Any) -> None:
    def failing() -> None:
        with Publisher() as publisher:
            publisher.publish(event(1))
            raise LookupError

    with pytest.raises(LookupError):
        failing()
    assert bus.calls == []


class Pool(ThreadPoolExecutor):
    """Knows how many calls were in flight at most, and when somebody begins to wait for one."""

    def __init__(self, parallel: int) -> None:
        super().__init__(parallel)
        self.most_in_flight = 0
        self.waited_for = threading.Event()
        self._calls: list[Future[Any]] = []

    def submit(self, function: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        call = super().submit(function, *args, **options)
        self._calls.append(call)
        self.most_in_flight = max(self.most_in_flight, sum(not each.done() for each in self._calls))
        result = call.result

        def waiting(timeout: float | None = None) -> Any:
            self.waited_for.set()
            return result(timeout)

        call.result = waiting  # type: ignore[method-assign]
        return call


def test_while_the_bus_does_not_answer_a_publisher_puts_no_more_in_flight(monkeypatch: pytest.MonkeyPatch) -> None:
    pool, accepted = Pool(2), list[str]()

    class SlowBus:
        def put_events(self, Entries: list[dict[str, str]]) -> dict[str, Any]:
            assert pool.waited_for.wait(60), "the publisher never waits"
            accepted.extend(entry["Detail"] for entry in Entries)
            return {"FailedEntryCount": 0, "Entries": [{}] * len(Entries)}

    monkeypatch.setattr("concurrent.futures.ThreadPoolExecutor", lambda _, **__: pool)

    with Publisher("test-bus", parallel=2, client=SlowBus()) as publisher:
        for number in range(500):
            publisher.publish(event(number))

    assert pool.most_in_flight == 4
    assert len(set(accepted)) == len(accepted) == 500


def test_a_batch_size_above_the_limit_of_put_events_is_that_limit(bus: Any) -> None:
    rule = {"id": "r", "flavor": task, "event_type": "thing-created", "emit": "thing-seen", "batch_size": 50}
    events = [event(number, partition_key=str(number)) for number in range(25)]

    assert stream_handler([rule], from_kinesis)(to_kinesis_records(events), None) == {"batchItemFailures": []}

    assert [len(call) for call in bus.calls] == [10, 10, 5]
