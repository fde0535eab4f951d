"""The engine on a fake endpoint, which fails in every way that an endpoint can."""

from __future__ import annotations

import base64
import errno
import json
import logging
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from stream_cli import private_files
from stream_cli.mappings.engine import Engine
from stream_cli.mappings.notices import Notices
from stream_cli.mappings.outcomes import Invocation
from stream_cli.mappings.ports import (
    Arrivals,
    EndpointUnavailable,
    NotFound,
    Page,
    PositionLost,
    Refused,
    Shard,
    StartAt,
)
from stream_cli.mappings.status import StatusUnavailable, read_status
from stream_cli.mappings.worker import reading

STREAM = "arn:aws:kinesis:us-east-1:123456789012:stream/items"
FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:listener"
QUEUE = "arn:aws:sqs:us-east-1:123456789012:dead"


def until(condition: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + 15
    while not (found := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"still waiting: {what}")
        time.sleep(0.005)
    return found


class Lists:
    """An `AwsApi` of lists. `fail[method]` holds exceptions for the next calls of a method."""

    def __init__(self) -> None:
        self.configurations: list[dict[str, Any]] = []
        self.streams: dict[str, dict[str, list[dict[str, Any]]]] = {"items": {"shard-1": []}}
        self.parents: dict[str, tuple[str, ...]] = {}
        self.starting: dict[str, str] = {}
        self.closed: set[str] = set()
        self.fail: dict[str, list[Exception]] = {}
        self.function: Callable[[list[dict[str, Any]]], Any] = lambda records: None
        self.given: list[list[str]] = []
        self.told: list[dict[str, Any]] = []
        self.asked: Counter[str] = Counter()
        self.announces = False
        self.announced: queue.SimpleQueue[Arrivals] = queue.SimpleQueue()
        self._numbers = iter(range(10**9))

    def map(self, **settings: Any) -> None:
        given = {"UUID": f"u{len(self.configurations)}", "FunctionArn": FUNCTION, "EventSourceArn": STREAM}
        self.configurations.append({**given, "StartingPosition": "TRIM_HORIZON", **settings})

    def put(self, *payloads: str, shard: str = "shard-1") -> None:
        for payload in payloads:
            self.streams["items"][shard].append(
                {
                    "SequenceNumber": f"{next(self._numbers):09d}",
                    "PartitionKey": payload,
                    "Data": base64.b64encode(payload.encode()).decode(),
                    "ApproximateArrivalTimestamp": time.time(),
                }
            )

    def _called(self, method: str) -> None:
        self.asked[method] += 1
        if self.fail.get(method):
            raise self.fail[method].pop(0)

    def mappings(self) -> list[dict[str, Any]]:
        self._called("mappings")
        return list(self.configurations)

    def role_of(self, function_arn: str) -> str:
        self._called("role_of")
        return "arn:aws:iam::123456789012:role/r"

    def in_role(self, role_arn: str, function_arn: str) -> Any:
        return self

    def shards(self, source: Any) -> list[Shard]:
        self._called("shards")
        if source.name not in self.streams:
            raise NotFound("no such stream")
        return [
            Shard(name, self.parents.get(name, ()), self.starting.get(name, "0"), name in self.closed)
            for name in self.streams[source.name]
        ]

    def iterator(self, source: Any, shard_id: str, start: StartAt) -> str:
        self._called("iterator")
        records = self._records(source, shard_id)
        if start.after is not None:
            position = sum(record["SequenceNumber"] <= start.after for record in records)
        elif start.timestamp is not None:
            position = sum(record["ApproximateArrivalTimestamp"] < start.timestamp for record in records)
        else:
            position = 0
        return f"{shard_id}/{position}"

    def records(self, source: Any, iterator: str, limit: int) -> Page:
        self._called("records")
        shard_id, _, position = iterator.partition("/")
        records = self._records(source, shard_id)
        page = records[int(position) : int(position) + limit]
        end = int(position) + len(page)
        closed = shard_id in self.closed and end == len(records)
        return Page(page, None if closed else f"{shard_id}/{end}", len(records) - end)

    def _records(self, source: Any, shard_id: str) -> list[dict[str, Any]]:
        try:
            return self.streams[source.name][shard_id]
        except KeyError:
            raise NotFound("no such shard") from None

    def arrivals(self, after: int) -> Arrivals | None:
        self._called("arrivals")
        return self.announced.get() if self.announces else None

    def invoke(self, function_arn: str, event: bytes, *, with_log: bool = False) -> Invocation:
        self._called("invoke")
        records = json.loads(event)["Records"]
        self.given.append([base64.b64decode(record["kinesis"]["data"]).decode() for record in records])
        returned = self.function(records)
        return returned if isinstance(returned, Invocation) else Invocation(json.dumps(returned).encode())

    def send_on_failure(self, settings: Any, shard_id: str, record: Any, event: bytes, now: float) -> None:
        self._called("send_on_failure")
        self.told.append(record)

    @property
    def delivered(self) -> list[str]:
        return [payload for batch in self.given for payload in batch]


class Running:
    def __init__(self, endpoint: Lists, state: Path, speed: float = 100) -> None:
        self.state = state
        self.said: list[str] = []
        logger = logging.getLogger(f"lists-{id(self)}")
        logger.setLevel(logging.INFO)
        logger.propagate = False
        logger.handle = lambda record: self.said.append(record.getMessage())  # type: ignore[method-assign]
        notices = Notices(logger)
        self.engine = Engine(endpoint, state, notices=notices, name="lists", speed=speed, discover_every=0.05)
        self.stopping = threading.Event()
        self.thread = threading.Thread(
            target=self.engine.run, args=(self.stopping,), kwargs={"grace": 0.5}, daemon=True
        )
        self.thread.start()

    def stop(self) -> None:
        self.stopping.set()
        self.thread.join(10)
        assert not self.thread.is_alive()

    def saying(self, text: str) -> list[str]:
        return [said for said in self.said if text in said]

    def shard(self) -> dict[str, Any]:
        try:
            return dict(read_status(self.state)["mappings"][0]["shards"][0])
        except (LookupError, StatusUnavailable):
            return {}


@contextmanager
def serving(endpoint: Lists, state: Path, speed: float = 100) -> Iterator[Running]:
    running = Running(endpoint, state, speed)
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture
def endpoint() -> Lists:
    return Lists()


# --- reading ---


def test_a_shard_is_read_when_records_arrive_and_otherwise_seldom(
    endpoint: Lists, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "POLL_TOLD", 3600.0)
    monkeypatch.setattr(reading, "_POLL_GROWTH", 1e9)
    monkeypatch.setattr(reading, "POLL_BUSY", 1e-6)
    endpoint.announces = True
    endpoint.announced.put(Arrivals(0, ()))
    endpoint.map()
    with serving(endpoint, tmp_path) as running:
        until(lambda: endpoint.asked["arrivals"] == 2, "the engine waits for records")
        until(lambda: running.shard().get("read_to_tip"), "the shard is read")
        seen = endpoint.asked["records"]
        for count, payload in enumerate("abcde", start=1):
            endpoint.put(payload)
            endpoint.announced.put(Arrivals(2 * count - 1, ("arn:of:another:stream",)))
            endpoint.announced.put(Arrivals(2 * count, (STREAM,)))
            until(lambda payload=payload: payload in endpoint.delivered, "the record is delivered")
        # Before the engine was told for the first time, another reading may have become due.
        assert seen + 5 <= endpoint.asked["records"] <= seen + 6
        endpoint.announced.put(Arrivals(99, ()))


def test_a_function_with_other_code_gets_what_it_failed_on_at_once(endpoint: Lists, tmp_path: Path) -> None:
    endpoint.announces = True
    endpoint.announced.put(Arrivals(0, ()))
    endpoint.map()
    endpoint.put("a")
    endpoint.function = lambda records: Invocation(b"{}", "Unhandled")
    with serving(endpoint, tmp_path, speed=0.001) as running:  # the first pause is 1,000 s
        until(lambda: running.shard().get("retries"), "it waits before another attempt")
        endpoint.function = lambda records: None
        endpoint.announced.put(Arrivals(1, (), ("arn:of:another:function",)))
        endpoint.announced.put(Arrivals(2, (), (FUNCTION,)))
        until(lambda: running.shard()["processed"] == 1, "the record is delivered")
        assert endpoint.delivered == ["a", "a"]
        endpoint.announced.put(Arrivals(99, ()))


def test_an_endpoint_that_cannot_tell_is_asked_once(endpoint: Lists, tmp_path: Path) -> None:
    endpoint.map()
    endpoint.fail["arrivals"] = [EndpointUnavailable("no connection", connected=False)]
    with serving(endpoint, tmp_path):
        until(lambda: endpoint.asked["arrivals"] == 2, "the engine asks what arrives")
        endpoint.put("a")
        until(lambda: endpoint.delivered == ["a"], "the record is polled")
        assert endpoint.asked["arrivals"] == 2


@pytest.mark.parametrize(
    "error", [EndpointUnavailable("answered 503"), EndpointUnavailable("no connection", connected=False)]
)
@pytest.mark.parametrize("method", ["mappings", "role_of", "shards", "iterator", "records", "invoke"])
def test_a_failing_call_is_reported_once_and_repeated(
    endpoint: Lists, tmp_path: Path, method: str, error: EndpointUnavailable
) -> None:
    endpoint.map()
    endpoint.put("a", "b")
    endpoint.fail[method] = [error] * 3
    with serving(endpoint, tmp_path) as running:
        until(lambda: endpoint.delivered == ["a", "b"], "the records come")
        until(lambda: not endpoint.fail[method], "all failures have happened")
        # A few failed connections are not reported while the endpoint as a whole answers.
        assert len(running.saying(str(error))) == (1 if error.connected or method == "mappings" else 0)
        assert running.shard().get("retries", 0) == 0


def test_a_malformed_record_is_reported_once_and_read_again(endpoint: Lists, tmp_path: Path) -> None:
    endpoint.map()
    endpoint.put("a")
    whole = endpoint.streams["items"]["shard-1"]
    endpoint.streams["items"]["shard-1"] = [{"SequenceNumber": "000000000"}]
    with serving(endpoint, tmp_path) as running:
        until(lambda: running.saying("malformed record"), "it is said")
        until(lambda: endpoint.asked["records"] >= 3, "it is asked again")
        endpoint.streams["items"]["shard-1"] = whole
        until(lambda: endpoint.delivered == ["a"], "the record comes")
        assert len(running.saying("malformed record")) == 1


def test_an_expired_iterator_is_renewed_at_the_same_position(endpoint: Lists, tmp_path: Path) -> None:
    endpoint.map()
    endpoint.put("a")
    with serving(endpoint, tmp_path):
        until(lambda: endpoint.delivered == ["a"], "the first comes")
        endpoint.fail["records"] = [PositionLost("expired", trimmed=False)]
        endpoint.put("b")
        until(lambda: endpoint.delivered == ["a", "b"], "the second comes, the first not again")


def test_trimmed_records_are_skipped_and_reported(endpoint: Lists, tmp_path: Path) -> None:
    endpoint.map()
    endpoint.put("a", "b")
    endpoint.fail["iterator"] = [PositionLost("trimmed", trimmed=True)]
    with serving(endpoint, tmp_path) as running:
        until(lambda: endpoint.delivered == ["a", "b"], "what is left comes")
        assert running.saying("from the oldest record")


def test_a_checkpoint_that_the_stream_refuses_is_dropped_and_reported(endpoint: Lists, tmp_path: Path) -> None:
    endpoint.map()
    endpoint.put("a")
    with serving(endpoint, tmp_path):
        until(lambda: endpoint.delivered == ["a"], "the first comes")
    endpoint.fail["iterator"] = [Refused("InvalidArgumentException: no such sequence number")]
    endpoint.put("b")
    with serving(endpoint, tmp_path) as running:
        until(lambda: endpoint.delivered == ["a", "a", "b"], "all comes once more")
        assert running.saying("no such sequence number")


def test_a_stream_that_is_deleted_and_created_again_is_read_from_its_start(endpoint: Lists, tmp_path: Path) -> None:
    endpoint.map()
    endpoint.put("a")
    with serving(endpoint, tmp_path) as running:
        until(lambda: endpoint.delivered == ["a"], "it works before")
        del endpoint.streams["items"]
        until(lambda: running.saying("no such stream"), "it is said")
        endpoint.streams["items"] = {"shard-1": []}
        endpoint.starting["shard-1"] = "7"
        endpoint.put("b")
        until(lambda: endpoint.delivered == ["a", "b"], "it works after")
        assert len(running.saying("no such stream")) == 1


def test_children_are_read_after_their_parents(endpoint: Lists, tmp_path: Path) -> None:
    endpoint.streams["items"] = {"shard-1": [], "shard-2": [], "shard-3": [], "shard-4": []}
    endpoint.parents = {"shard-3": ("shard-1", "shard-2"), "shard-4": ("shard-3",)}
    endpoint.closed = {"shard-1", "shard-2", "shard-3"}
    for shard in ("shard-4", "shard-3", "shard-2", "shard-1"):
        endpoint.put(*(f"{shard}-{n}" for n in range(20)), shard=shard)
    endpoint.map(BatchSize=3)
    with serving(endpoint, tmp_path):
        until(lambda: len(endpoint.delivered) == 80, "all come")
    generations = [{"1": 1, "2": 1, "3": 2, "4": 3}[payload[6]] for payload in endpoint.delivered]
    assert generations == sorted(generations)


def test_drained_shards_are_not_read_again_by_the_next_engine(endpoint: Lists, tmp_path: Path) -> None:
    endpoint.streams["items"] = {"shard-1": [], "shard-2": []}
    endpoint.parents = {"shard-2": ("shard-1",)}
    endpoint.closed = {"shard-1"}
    endpoint.put("a")
    endpoint.put("b", shard="shard-2")
    endpoint.map()
    with serving(endpoint, tmp_path):
        until(lambda: endpoint.delivered == ["a", "b"], "both come")
    endpoint.put("c", shard="shard-2")
    with serving(endpoint, tmp_path):
        until(lambda: endpoint.delivered == ["a", "b", "c"], "the third comes, the others not again")


def test_an_open_shard_that_seemed_to_end_is_read_on(endpoint: Lists, tmp_path: Path) -> None:
    endpoint.map()
    endpoint.put("a")
    whole = endpoint.records
    truncated = [1]

    def records(source: Any, iterator: str, limit: int) -> Page:
        page = whole(source, iterator, limit)
        return Page(page.records, None, 0) if truncated and truncated.pop() else page

    endpoint.records = records  # type: ignore[method-assign]
    with serving(endpoint, tmp_path):
        until(lambda: endpoint.delivered == ["a"], "the first comes")
        endpoint.put("b")
        until(lambda: endpoint.delivered == ["a", "b"], "the second comes, the first not again")


def test_a_payload_nested_too_deep_does_not_match(endpoint: Lists, tmp_path: Path) -> None:
    endpoint.map(FilterCriteria={"Filters": [{"Pattern": '{"data": {"a": [1]}}'}]})
    endpoint.put("[" * 200_000, '{"a": 1}', '{"a": NaN}')
    with serving(endpoint, tmp_path) as running:
        until(lambda: endpoint.delivered == ['{"a": 1}'], "the good record comes")
        until(lambda: running.shard().get("filtered") == 2, "the others are passed over")
        assert not running.saying("died")


# --- invoking ---


@pytest.mark.parametrize("payload", [b"", b"{", b"\xff", b"[" * 200_000])
def test_a_malformed_response_fails_the_batch_but_not_the_engine(
    endpoint: Lists, tmp_path: Path, payload: bytes
) -> None:
    endpoint.map(FunctionResponseTypes=["ReportBatchItemFailures"])
    endpoint.put("a")
    endpoint.function = lambda records: Invocation(payload if len(endpoint.given) == 1 else b"{}")
    with serving(endpoint, tmp_path):
        until(lambda: len(endpoint.given) == (1 if payload == b"" else 2), "it is tried")
    assert set(endpoint.delivered) == {"a"}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_bug_in_the_engine_does_not_hold_the_shard(endpoint: Lists, tmp_path: Path) -> None:
    endpoint.map()
    endpoint.put("a")
    endpoint.fail["invoke"] = [ArithmeticError("a defect")]
    with serving(endpoint, tmp_path):
        until(lambda: endpoint.delivered == ["a"], "it is tried again")


def test_a_function_that_is_missing_is_waited_for(endpoint: Lists, tmp_path: Path) -> None:
    endpoint.map(MaximumRetryAttempts=0)
    endpoint.put("a")
    endpoint.fail["invoke"] = [NotFound("Function not found")] * 3
    with serving(endpoint, tmp_path) as running:
        until(lambda: endpoint.delivered == ["a"], "it is invoked in the end")
        assert len(running.saying("Function not found")) == 1
    assert endpoint.told == []


# --- telling ---


def test_the_checkpoint_waits_for_an_unreachable_destination(endpoint: Lists, tmp_path: Path) -> None:
    endpoint.map(MaximumRetryAttempts=0, BatchSize=1, DestinationConfig={"OnFailure": {"Destination": QUEUE}})
    endpoint.put("poison", "good")
    endpoint.function = lambda records: Invocation(b"{}", "Unhandled" if len(endpoint.given) == 1 else None)
    endpoint.fail["send_on_failure"] = [EndpointUnavailable("answered 503")] * 3
    with serving(endpoint, tmp_path) as running:
        until(lambda: endpoint.asked["send_on_failure"] == 2, "it is tried twice")
        assert endpoint.delivered == ["poison"]
        until(lambda: endpoint.delivered == ["poison", "good"], "the shard goes on")
        assert len(endpoint.told) == 1
        assert len(running.saying("does not answer")) == 1


def test_records_are_repeated_if_the_engine_stops_before_the_destination_is_told(
    endpoint: Lists, tmp_path: Path
) -> None:
    endpoint.map(MaximumRetryAttempts=0, DestinationConfig={"OnFailure": {"Destination": QUEUE}})
    endpoint.put("poison")
    endpoint.function = lambda records: Invocation(b"{}", "Unhandled")
    endpoint.fail["send_on_failure"] = [EndpointUnavailable("answered 503")] * 100
    with serving(endpoint, tmp_path):
        until(lambda: endpoint.asked["send_on_failure"] > 1, "it is tried")
    assert endpoint.told == []
    endpoint.fail.clear()
    with serving(endpoint, tmp_path):
        until(lambda: len(endpoint.told) == 1, "the next engine tells it")


def test_records_given_up_without_a_destination_are_reported(endpoint: Lists, tmp_path: Path) -> None:
    endpoint.map(MaximumRetryAttempts=0)
    endpoint.put("poison", "good")
    endpoint.function = lambda records: Invocation(b"{}", "Unhandled")
    with serving(endpoint, tmp_path) as running:
        until(lambda: running.saying("no on-failure destination is set"), "it is said")
        until(lambda: running.shard().get("given_up") == 2, "it is counted")


# --- stopping, state ---


def test_an_engine_stops_without_a_slow_invocation_and_the_next_repeats_it(endpoint: Lists, tmp_path: Path) -> None:
    release = threading.Event()
    endpoint.map()
    endpoint.put("a")
    endpoint.function = lambda records: release.wait(20)
    running = Running(endpoint, tmp_path)
    until(lambda: endpoint.given, "it is in flight")
    began = time.monotonic()
    running.stop()
    assert time.monotonic() - began < 5
    release.set()
    endpoint.function = lambda records: None
    with serving(endpoint, tmp_path):
        until(lambda: endpoint.delivered == ["a", "a"], "it is repeated")


def test_the_engine_waits_for_invocations_when_it_stops(endpoint: Lists, tmp_path: Path) -> None:
    endpoint.map()
    endpoint.put("a")
    endpoint.function = lambda records: time.sleep(0.2)
    running = Running(endpoint, tmp_path)
    until(lambda: endpoint.given, "it is in flight")
    running.stop()
    with serving(endpoint, tmp_path):
        until(lambda: endpoint.asked["records"] > 5, "the next engine reads")
    assert endpoint.delivered == ["a"]


def test_a_broken_checkpoint_is_named_and_nothing_is_replayed(endpoint: Lists, tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "u0.json").write_text("{")
    endpoint.map()
    endpoint.put("a")
    with serving(endpoint, tmp_path) as running:
        until(lambda: running.saying("u0.json is no checkpoint"), "it is said")
        until(lambda: endpoint.asked["mappings"] > 2, "the engine goes on")
    assert endpoint.given == []


def test_the_engine_goes_on_while_the_disk_is_full(
    endpoint: Lists, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, full = private_files.write, threading.Event()

    def written(path: Path, content: bytes) -> None:
        if full.is_set():
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, content)

    monkeypatch.setattr(private_files, "write", written)
    endpoint.map()
    running = Running(endpoint, tmp_path)
    until(lambda: running.shard().get("state"), "it is served")
    full.set()
    endpoint.put("a")
    until(lambda: running.saying("its checkpoint cannot be written"), "it is said")
    until(lambda: running.saying("the status cannot be written"), "it is said")
    assert endpoint.delivered == ["a"]
    full.clear()
    until(lambda: running.saying("its checkpoint is written again"), "it is said")
    until(lambda: running.saying("the status is written again"), "it is said")
    running.stop()
    endpoint.put("b")
    with serving(endpoint, tmp_path):
        until(lambda: endpoint.delivered == ["a", "b"], "the next engine goes on from there")


def test_a_mapping_that_aws_would_refuse_is_reported_once(endpoint: Lists, tmp_path: Path) -> None:
    endpoint.map(TumblingWindowInSeconds=30, ParallelizationFactor=2)
    with serving(endpoint, tmp_path) as running:
        until(lambda: endpoint.asked["mappings"] > 3, "the engine goes on")
        assert len(running.saying("ParallelizationFactor 1 only")) == 1


def test_mappings_on_queues_are_ignored(endpoint: Lists, tmp_path: Path) -> None:
    endpoint.map(EventSourceArn=QUEUE)
    with serving(endpoint, tmp_path) as running:
        until(lambda: endpoint.asked["mappings"] > 2, "the engine runs")
        assert running.said == ["serving the stream mappings of lists"]


def test_a_connection_that_only_one_caller_lacks_is_reported_once(endpoint: Lists, tmp_path: Path) -> None:
    endpoint.map()
    endpoint.put("a")
    endpoint.fail["records"] = [EndpointUnavailable("no connection", connected=False)] * 5
    with serving(endpoint, tmp_path) as running:
        until(lambda: endpoint.delivered == ["a"], "it goes on")
        assert len(running.saying("no connection")) == 1


def test_a_mapping_with_an_invalid_pattern_is_not_read_and_reported(endpoint: Lists, tmp_path: Path) -> None:
    endpoint.map(FilterCriteria={"Filters": [{"Pattern": '{"data": {"type": "item"}}'}]})
    endpoint.put('{"type": "item"}')
    with serving(endpoint, tmp_path) as running:
        until(lambda: running.saying("filterPatterns[0].data.type"), "it is said")
        until(lambda: (tmp_path / "status.json").exists(), "the status is written")
        until(lambda: read_status(tmp_path)["mappings"][0]["problem"], "it is shown")
        assert len(running.saying("filterPatterns")) == 1
    assert endpoint.given == []


# --- what fails again and again, and what nothing lets through ---


def left(records: list[dict[str, Any]], **fields: str) -> Invocation:
    """What a function answers that leaves the first record, and logs why as the runtime does."""
    number = records[0]["kinesis"]["sequenceNumber"]
    line = {
        "level": "ERROR",
        "message": "left for retry: ClientError: no such table (rule settle, event e1 (item-made))",
        "pipeline": "settle", "event_id": "e1", "event_type": "item-made", "operation": "UpdateItem", "target": "items",
        **fields,
    }  # fmt: skip
    log = f'cut off"}}\nSTART\n{json.dumps(line)}\n{{"level": "INFO", "message": "more"}}\nEND'
    answer = {"batchItemFailures": [{"itemIdentifier": number}]}
    return Invocation(json.dumps(answer).encode(), log=log)


def test_a_mapping_that_fails_again_and_again_tells_rule_event_table_and_the_next_attempt(
    endpoint: Lists, tmp_path: Path
) -> None:
    endpoint.map(FunctionResponseTypes=["ReportBatchItemFailures"])
    endpoint.function = left
    endpoint.put('{"detail-type": "item-made", "detail": {"id": "e1"}}')
    with serving(endpoint, tmp_path) as running:
        failing = until(lambda: (running.shard().get("failing") or {}).get("failures", 0) >= 4 and running.shard(), "4")
        found = failing["failing"]
        endpoint.function = lambda records: None
        until(lambda: running.shard().get("behind") == 0, "the record is done")
        until(lambda: running.shard().get("failing") is None, "nothing fails any more")

    names = ("rule", "event", "type", "operation", "target", "reason", "records")
    assert [found[name] for name in names] == [
        "settle", "e1", "item-made", "UpdateItem", "items", "ClientError: no such table", 1
    ]  # fmt: skip
    assert found["next"] > found["since"]
    told = running.saying("times in a row")
    assert told[0].startswith(
        "listener: shard-1: failed 2 times in a row, rule settle, event e1 (item-made), UpdateItem on items: "
        "ClientError: no such table; next attempt at "
    )
    assert [said.split("failed ")[1].split(" ")[0] for said in told[:2]] == ["2", "4"]


def test_the_log_of_a_function_is_asked_for_from_the_second_failure_on(endpoint: Lists, tmp_path: Path) -> None:
    asked: list[bool] = []
    invoke = endpoint.invoke

    def invoked(function_arn: str, event: bytes, *, with_log: bool = False) -> Invocation:
        asked.append(with_log)
        return invoke(function_arn, event)

    endpoint.invoke = invoked  # type: ignore[method-assign]
    endpoint.map(FunctionResponseTypes=["ReportBatchItemFailures"])
    answers = iter([left, left, lambda records: None, lambda records: None])
    endpoint.function = lambda records: next(answers)(records)
    endpoint.put("1")
    with serving(endpoint, tmp_path) as running:
        until(lambda: running.shard().get("processed") == 1, "the record is done")
        endpoint.put("2")
        until(lambda: running.shard().get("processed") == 2, "the next one is done")

    assert asked == [False, True, True, False]


def test_without_a_log_the_record_that_was_reported_is_named(endpoint: Lists, tmp_path: Path) -> None:
    def second(records: list[dict[str, Any]]) -> Any:
        number = records[-1]["kinesis"]["sequenceNumber"]
        return {"batchItemFailures": [{"itemIdentifier": number}]}

    endpoint.map(FunctionResponseTypes=["ReportBatchItemFailures"])
    endpoint.function = second
    endpoint.put('{"id": "e1", "type": "a"}', '{"id": "e2", "type": "b"}')
    with serving(endpoint, tmp_path) as running:
        found = until(lambda: (running.shard().get("failing") or {}).get("failures", 0) > 1 and running.shard(), "e2")

    assert (found["failing"]["event"], found["failing"]["type"]) == ("e2", "b")


def filtered_of(state: Path) -> list[int]:
    """How many records each mapping has dropped, as far as the status says."""
    try:
        return [each["shards"][0]["filtered"] for each in read_status(state)["mappings"] if each["enabled"]]
    except (LookupError, StatusUnavailable):
        return []


def filtering(*types: str) -> dict[str, Any]:
    return {"Filters": [{"Pattern": json.dumps({"data": {"type": list(types)}})}]}


def test_a_record_that_no_mapping_lets_through_is_counted_with_its_type_and_the_last_of_them(
    endpoint: Lists, tmp_path: Path
) -> None:
    endpoint.map(FilterCriteria=filtering("a"))
    endpoint.map(FilterCriteria=filtering("b"))
    endpoint.map(FilterCriteria=filtering("c"), Enabled=False, State="Disabled")
    endpoint.put(*(json.dumps({"id": f"e{number}", "type": kind}) for number, kind in enumerate("abcacb")))
    endpoint.put("no JSON")
    with serving(endpoint, tmp_path) as running:
        until(lambda: len(endpoint.delivered) == 4, "all that a filter lets through")
        until(lambda: filtered_of(tmp_path) == [5, 5], "both have dropped what the other takes")
        (counted,) = read_status(tmp_path)["streams"]
        last = running.shard()["last_filtered"]

    found = {each["type"]: (each["count"], each["last"]) for each in counted["unadmitted"]}
    assert found == {"c": (2, "e4"), "(no type)": (1, None)}
    assert counted["stream"] == STREAM
    assert last == {}


def test_a_stream_of_which_one_mapping_takes_everything_has_no_such_records(endpoint: Lists, tmp_path: Path) -> None:
    endpoint.map(FilterCriteria=filtering("a"))
    endpoint.map()
    endpoint.put('{"type": "b"}')
    with serving(endpoint, tmp_path) as running:
        until(lambda: endpoint.delivered and running.shard().get("filtered"), "dropped by one, taken by the other")
        assert read_status(tmp_path)["streams"] == []
