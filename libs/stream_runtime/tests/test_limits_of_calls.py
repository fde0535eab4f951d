"""A call never holds more entries or bytes than its API takes, whoever asked for more."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from stream_runtime import DEFAULT_OPTIONS, Publisher, StreamPipeline, clients, initialize_from
from stream_runtime.events import from_kinesis, to_kinesis_records
from stream_runtime.flavors import collect, firehose, kinesis, sns, sqs, task
from stream_runtime.sinks import limits
from stream_runtime.sinks.eventbridge import size_of

MEBIBYTE = 1024 * 1024
THINGS = [
    {"id": f"e{number}", "type": "thing", "timestamp": 1, "partition_key": f"k{number}", "text": "x" * 60_000}
    for number in range(30)
]


class Service:
    """A client of any service that keeps its requests, with an answer that accepts every entry."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []

    def __getattr__(self, operation: str) -> Any:
        def call(**request: Any) -> dict[str, Any]:
            self.requests.append(request)
            entries = (
                request.get("Entries") or request.get("PublishBatchRequestEntries") or request.get("Records") or ()
            )
            return {
                "Successful": [{"Id": entry.get("Id")} for entry in entries],
                "Records": [{} for _ in entries],
                "RequestResponses": [{} for _ in entries],
            }

        return call


def process(rule: Mapping[str, Any], events: Any = THINGS, **options: Any) -> None:
    pipeline = StreamPipeline(initialize_from([rule]), {**DEFAULT_OPTIONS, **options})
    assert pipeline.assemble(from_kinesis(to_kinesis_records(events))) == {"batchItemFailures": []}


EMIT = {"id": "r", "flavor": task, "event_type": "thing", "emit": lambda uow, *_: {**uow["event"], "type": "seen"}}
"""Thirty events of 60 kB: with ten in a call, all are allowed; with thirty, one call would have 1.8 MB."""


@pytest.mark.parametrize("where", ["rule", "option", "environment"])
def test_put_events_takes_ten_entries_and_one_mebibyte_whoever_asks_for_more(
    where: str, bus: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = {"batch_size": 500, "max_request_size": 50 * MEBIBYTE}
    if where == "environment":
        monkeypatch.setenv("PUBLISH_BATCH_SIZE", "500")
        monkeypatch.setenv("MAX_REQUEST_SIZE", str(50 * MEBIBYTE))
    large = [{**thing, "text": "x" * 200_000} for thing in THINGS[:10]]

    process({**EMIT, **(wanted if where == "rule" else {})}, **(wanted if where == "option" else {}))
    process({**EMIT, **(wanted if where == "rule" else {})}, large, **(wanted if where == "option" else {}))

    assert [len(call) for call in bus.calls] == [10, 10, 10, 5, 5]
    assert all(sum(map(size_of, call)) <= MEBIBYTE for call in bus.calls)


def test_groups_of_many_events_are_published_ten_in_a_call(bus: Any) -> None:
    grouped = {**EMIT, "group": lambda uow: uow["event"]["id"][:2], "batch_size": 500}
    single = {**EMIT, "group": "event.id", "batch_size": 500}

    process(grouped)
    process(single)

    assert [len(call) for call in bus.calls] == [10, 10, 10, 10]  # ten groups; thirty groups


def test_an_event_above_one_mebibyte_is_refused_whatever_the_rule_allows(bus: Any) -> None:
    process({**EMIT, "max_request_size": 5 * MEBIBYTE}, [{**THINGS[0], "text": "x" * 2 * MEBIBYTE}])

    assert [fault["err"]["name"] for fault in bus.of_type("fault")] == ["EventTooLarge"]


@pytest.mark.parametrize("where", ["option", "environment"])
@pytest.mark.parametrize("grouped", [False, True], ids=["single", "group"])
def test_a_fault_fits_into_the_calls_of_its_function(
    where: str, grouped: bool, bus: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(uow: Any) -> None:
        raise ValueError("x" * 100_000)

    if where == "environment":
        monkeypatch.setenv("MAX_REQUEST_SIZE", "20000")
    rule = {"id": "r", "flavor": task, "event_type": "thing", "execute": fail}

    process(
        {**rule, "group": "event.type"} if grouped else rule,
        **({"max_request_size": 20_000, "batch_size": 500} if where == "option" else {}),
    )

    assert len(bus.of_type("fault")) == (1 if grouped else 30)
    assert all(sum(map(size_of, call)) <= 20_000 and len(call) <= 10 for call in bus.calls)


def test_a_function_with_tiny_calls_still_publishes_its_faults(bus: Any) -> None:
    def fail(uow: Any) -> None:
        raise ValueError("x" * 100_000)

    process({"id": "r", "flavor": task, "event_type": "thing", "execute": fail}, THINGS[:2], max_request_size=10)

    assert [fault["uow"]["record"]["identifier"] for fault in bus.of_type("fault")] == ["0", "1"]


def test_the_publisher_takes_no_more_than_the_api_does(bus: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_REQUEST_SIZE", str(50 * MEBIBYTE))

    with Publisher() as publisher:
        for thing in THINGS[:8]:
            publisher.publish({**thing, "text": "x" * 200_000})

    assert sorted(len(call) for call in bus.calls) == [3, 5]


@pytest.mark.parametrize(("size", "calls"), [("2", [2, 2, 2]), ("500", [6])])
def test_the_publisher_s_calls_have_as_many_entries_as_the_environment_says(
    size: str, calls: list[int], bus: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PUBLISH_BATCH_SIZE", size)

    with Publisher() as publisher:
        for thing in THINGS[:6]:
            publisher.publish(thing)

    assert [len(call) for call in bus.calls] == calls


def bytes_of(entry: Any) -> int:
    entry = entry.get("PutRequest", entry)
    return sum(len(each if isinstance(each, bytes) else json.dumps(each)) for each in entry.values())


@pytest.mark.parametrize(
    ("service", "limit", "rule"),
    [
        (
            "sqs",
            limits.SEND_MESSAGE_BATCH,
            {"flavor": sqs, "queue_url": "q", "to_sqs": lambda uow: {"MessageBody": uow["event"]["text"]}},
        ),
        (
            "sns",
            limits.PUBLISH_BATCH,
            {"flavor": sns, "topic_arn": "t", "to_sns": lambda uow: {"Message": uow["event"]["text"]}},
        ),
        (
            "kinesis",
            limits.PUT_RECORDS,
            {"flavor": kinesis, "stream_name": "s", "to_kinesis": lambda uow: {"Data": uow["event"]["text"]}},
        ),
        (
            "firehose",
            limits.PUT_RECORD_BATCH,
            {"flavor": firehose, "delivery_stream_name": "d", "to_firehose": lambda uow: {"Data": "x" * 60_000}},
        ),
        ("dynamodb", limits.BATCH_WRITE_ITEM, {"flavor": collect}),
    ],
    ids=["sqs", "sns", "kinesis", "firehose", "dynamodb"],
)
@pytest.mark.parametrize("large", [False, True], ids=["many", "large"])
def test_no_call_is_larger_than_its_api_takes(
    service: str, limit: Any, rule: dict[str, Any], large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENTITY_TABLE_NAME", "entities")
    client = Service()
    clients.use(service, client)
    text = "x" * (min(limit.bytes, 10 * MEBIBYTE) // 10 if large else 10)
    events = [
        {**THINGS[0], "id": f"e{number}", "partition_key": f"k{number}", "text": text}
        for number in range(15 if large else limit.entries + 5)
    ]

    process({"id": "r", "event_type": "thing", **rule, "batch_size": 9_999, "max_request_size": 999 * MEBIBYTE}, events)

    calls = [
        request.get("Entries")
        or request.get("PublishBatchRequestEntries")
        or request.get("Records")
        or request["RequestItems"]["entities"]
        for request in client.requests
    ]
    assert sum(map(len, calls)) == len(events)
    assert max(map(len, calls)) <= limit.entries
    assert all(sum(map(bytes_of, call)) <= limit.bytes * 1.01 for call in calls)


def test_a_call_with_messages_for_a_topic_is_as_large_as_topics_usually_take() -> None:
    client = Service()
    clients.use("sns", client)

    process(
        {
            "id": "r",
            "flavor": sns,
            "event_type": "thing",
            "topic_arn": "t",
            "to_sns": lambda uow: {"Message": uow["event"]["text"]},
        },
        THINGS[:5],
    )

    assert sorted(len(request["PublishBatchRequestEntries"]) for request in client.requests) == [1, 4]


def test_collected_events_are_put_in_calls_of_the_rule_s_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENTITY_TABLE_NAME", "entities")
    rule = {"id": "c", "flavor": collect, "event_type": "thing"}
    sizes = []
    for fields in ({}, {"batch_size": 5}, {"max_request_size": 200_000}):
        client = Service()
        clients.use("dynamodb", client)
        process({**rule, **fields}, THINGS[:10])
        sizes.append([len(request["RequestItems"]["entities"]) for request in client.requests])

    assert [sorted(each) for each in sizes] == [[10], [5, 5], [1, 3, 3, 3]]  # in parallel, so in any order
