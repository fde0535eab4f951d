"""Every field that flavors share, in every flavor: either it has an effect that can be seen, or the rule is refused."""

import json
import logging
import re
import threading
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import pytest
from simulated_kms import SimulatedKms
from stream_runtime import DEFAULT_OPTIONS, InvalidRule, StreamPipeline, clients, encryption, flavors, initialize_from
from stream_runtime.aws import signed_requests
from stream_runtime.events import from_dynamodb, from_kinesis, to_dynamodb_records, to_kinesis_records
from stream_runtime.operators import rx_map
from stream_runtime.payload.compression import MARK
from stream_runtime.rules.fields import BaseRule, SharedFields, fields_of

COUNT = 3
TEXT = "x" * 2_000
"""Two entries with it are too large for a call of 3,000 bytes; one is not."""


class Aws:
    """Clients of every service that accept everything, and keep what they are asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.gates: dict[str, threading.Barrier] = {}
        self.running = self.most_running = 0
        self._lock = threading.Lock()

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        return lambda **request: self.answer(operation, request)

    def answer(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            self.calls.append((operation, request))
            self.running += 1
            self.most_running = max(self.running, self.most_running)
        if operation in self.gates:
            self.gates[operation].wait(timeout=30)
        with self._lock:
            self.running -= 1
        entries = request.get("Entries") or request.get("PublishBatchRequestEntries") or request.get("Records") or ()
        return {
            "Entries": [{"EventId": "1"} for _ in entries],
            "Successful": [{"Id": entry.get("Id")} for entry in entries],
            "Records": [{} for _ in entries],
            "RequestResponses": [{} for _ in entries],
            "Items": [{"pk": {"S": f"i{number}"}, "sk": {"S": "thing"}} for number in range(COUNT)],
        }

    def bulk(self, _: str, __: str, path: str, body: bytes, *___: Any) -> bytes:
        """OpenSearch, which has no client."""
        actions = [json.loads(line) for line in body.splitlines()[::2]]
        self.answer("bulk", {"lines": actions})
        return json.dumps({"items": [{"index": {"_id": "1", "status": 200}} for _ in actions]}).encode()

    def of(self, operation: str) -> list[dict[str, Any]]:
        return [request for name, request in self.calls if name == operation]


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Aws:
    aws = Aws()
    for service in ("events", "dynamodb", "s3", "sqs", "sns", "kinesis", "firehose", "lambda"):
        clients.use(service, aws)
    clients.use("kms", SimulatedKms())
    encryption.forget()
    monkeypatch.setenv("ENCRYPTION_KEYS", "alias/fields")
    monkeypatch.setattr(signed_requests, "request", aws.bulk)
    monkeypatch.setenv("ENTITY_TABLE_NAME", "entities")
    monkeypatch.setenv("BUCKET_NAME", "bucket")
    monkeypatch.setenv("ES_DOMAIN_HOST", "domain")
    return aws


def things() -> Any:
    return from_kinesis(to_kinesis_records([thing(number) for number in range(COUNT)]))


def thing(number: int) -> dict[str, Any]:
    event = {"id": f"e{number}", "type": "thing", "timestamp": 1000, "partition_key": f"k{number}", "text": TEXT}
    return encryption.encrypt(event, ["text"]) if _sealed else event


_sealed: list[bool] = []
"""Holds something while events and rows are encrypted."""


def row(**fields: Any) -> dict[str, Any]:
    return encryption.encrypt({**fields, "text": TEXT}, ["text"], ["pk", "sk"]) if _sealed else fields


def rows(image: str = "newImage", **fields: Any) -> Callable[[], Any]:
    def uows() -> Any:
        changes = [
            {
                "timestamp": 2000,
                "keys": {"pk": f"k{number}", "sk": "EVENT"},
                image: row(pk=f"k{number}", sk="EVENT", data=f"d{number}", event=thing(number), **fields),
            }
            for number in range(COUNT)
        ]
        records = to_dynamodb_records(changes)
        for record in records["Records"]:
            record["eventSourceARN"] = "arn:aws:dynamodb:eu-west-1:1:table/t/stream/s"
        return from_dynamodb(records)

    return uows


def to_row(uow: Any) -> dict[str, Any]:
    return {"Key": {"pk": uow["event"]["id"], "sk": "thing"}, "UpdateExpression": "REMOVE gone"}


class Case(NamedTuple):
    """A flavor at work.

    Attributes:
        fields: what a rule needs so that all of the flavor's steps run.
        operation: the call in which it ends; None if it makes none.
        honours: the shared fields that its rules may have.
        uows: units of work that its rules want.
        event_type: their type, as rules see it.
    """

    fields: Mapping[str, Any]
    operation: str | None
    honours: set[str]
    uows: Callable[[], Any] = things
    event_type: str = "thing"


CALLS = {"parallel", "rate"}
BATCHES = CALLS | {"batch_size", "max_request_size"}
STORES = BATCHES | {"compression_threshold", "table_name"}
PUBLISHES = BATCHES | {"publish", "bus_name", "source", "compression_threshold", "encrypt"}
EMIT = {"emit": lambda uow, rule, template: {**template, "type": "seen", "text": TEXT}}

CASES = {
    "cdc": Case({}, "put_events", PUBLISHES, rows(discriminator="thing"), "thing-created"),
    "collect": Case({}, "batch_write_item", STORES),
    "correlate": Case({"correlation_key": "partition_key"}, "batch_write_item", STORES, rows()),
    "elasticsearch": Case(
        {"to_elasticsearch": lambda uow: {"index": "i", "id": uow["event"]["id"], "data": {"text": TEXT}}},
        "bulk",
        BATCHES,
    ),
    "evaluate": Case(
        {**EMIT, "expression": lambda uow: True}, "put_events", PUBLISHES | {"table_name"}, rows(discriminator="CORREL")
    ),
    "expired": Case({}, "put_events", PUBLISHES, rows("oldImage", ttl=1, expire=True)),
    "firehose": Case(
        {"to_firehose": lambda uow: {"Data": TEXT}, "delivery_stream_name": "d"}, "put_record_batch", BATCHES
    ),
    "invoke_lambda": Case(
        {**EMIT, "to_invoke_request": lambda uow: {"Payload": {}}, "function_name": "f"}, "put_events", PUBLISHES
    ),
    "job": Case({**EMIT, "to_scan_request": lambda uow: {}}, "put_events", PUBLISHES | {"table_name"}),
    "kinesis": Case({"to_kinesis": lambda uow: {"Data": TEXT}, "stream_name": "s"}, "put_records", BATCHES),
    "materialize": Case({"to_update_request": to_row}, "update_item", CALLS | {"table_name"}),
    "materialize_s3": Case(
        {"to_put_request": lambda uow: {"Key": uow["event"]["id"], "Body": "b"}}, "put_object", CALLS
    ),
    "outbox": Case(
        {"to_message": lambda uow: {"topic": "t", "message": TEXT}},
        "publish_batch",
        BATCHES | {"table_name"},
        rows(discriminator="outbox"),
        "outbox-created",
    ),
    "s3": Case({"to_s3": lambda uow: {"Key": uow["event"]["id"], "Body": "b"}}, "put_object", CALLS),
    "sns": Case({"to_sns": lambda uow: {"Message": TEXT}, "topic_arn": "t"}, "publish_batch", BATCHES),
    "sqs": Case({"to_sqs": lambda uow: {"MessageBody": TEXT}, "queue_url": "q"}, "send_message_batch", BATCHES),
    "task": Case({**EMIT, "execute": lambda uow: 1}, "put_events", PUBLISHES),
    "transform": Case({"to_data": lambda uow: "data"}, None, set()),
    "update": Case({"to_update_request": to_row}, "update_item", CALLS | {"table_name"}),
}
EVERYWHERE = {"id", "flavor", "event_type", "filters", "logger"}
NOT_DECRYPTING = {"expired", "outbox"}
COMMON = sorted((fields_of(BaseRule).keys() | fields_of(SharedFields).keys() | {"table_name"}) - {"flavor"})
VALUES: dict[str, Any] = {
    "publish": lambda parameters: rx_map(lambda uow: uow),
    "bus_name": "other-bus",
    "source": "other-source",
    "parallel": 2,
    "rate": 5,
    "batch_size": 1,
    "max_request_size": 3_000,
    "compression_threshold": 100,
    "table_name": "other",
    "encrypt": ["text"],
}


class Ran(NamedTuple):
    """What came of a batch."""

    out: list[Any]
    response: Any


def run(
    name: str, *, rule: Mapping[str, Any] | None = None, options: Mapping[str, Any] | None = None, **more: Any
) -> Ran:
    case = CASES[name]
    out: list[Any] = []
    whole = {
        "id": "r",
        "flavor": getattr(flavors, name),
        "event_type": case.event_type,
        **case.fields,
        **(rule or {}),
    }
    pipeline = StreamPipeline(initialize_from([whole]), {**DEFAULT_OPTIONS, **(options or {})})
    response = pipeline.assemble(case.uows(), on_next=lambda _, uow: out.append(uow), **more)
    return Ran(out, response)


class Context:
    """A Lambda context with a minute left."""

    def get_remaining_time_in_millis(self) -> int:
        return 60_000


def sees_id(name: str, aws: Aws) -> None:
    for id_ in ("one", "two"):
        assert {uow["pipeline"] for uow in run(name, rule={"id": id_}).out} == {id_}


def sees_event_type(name: str, aws: Aws) -> None:
    type_ = CASES[name].event_type
    every = len(run(name).out)
    assert every
    asked = []

    def predicate(uow: Any, rule: Any) -> bool:
        asked.append(rule["id"])
        return True

    for wanted in (["other", type_], {type_}, re.compile(f"^{type_[:-1]}"), predicate):
        assert len(run(name, rule={"event_type": wanted}).out) == every
    assert set(asked) == {"r"}
    for unwanted in ("other", ["other"], re.compile("^other"), lambda uow: False):
        aws.calls.clear()
        assert run(name, rule={"event_type": unwanted}).out == []
        assert aws.calls == []


def sees_filters(name: str, aws: Aws) -> None:
    every = len(run(name).out)
    seen: list[Any] = []
    assert (
        len(run(name, rule={"filters": [lambda uow: True, lambda uow, rule: seen.append(rule) or True]}).out) == every
    )
    assert {rule["id"] for rule in seen} == {"r"}
    assert run(name, rule={"filters": [lambda uow: True, lambda uow: False]}).out == []


def sees_logger(name: str, aws: Aws) -> None:
    lines: list[str] = []
    logger = logging.Logger("own", logging.DEBUG)
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logger.addHandler(handler)
    run(name, rule={"logger": logger})
    assert any(line.startswith("start pipeline: r, type: ") for line in lines)
    assert any(line.startswith("end pipeline: r, type: ") for line in lines)


def sees_publish(name: str, aws: Aws) -> None:
    published: list[Any] = []

    def publish(parameters: Any) -> Any:
        return rx_map(lambda uow: published.append(uow[parameters["event_field"]]) or uow)

    run(name, rule={"publish": publish})
    assert len(published) == COUNT * (COUNT if name == "job" else 1)
    assert aws.of("put_events") == []


def entries(aws: Aws) -> list[Any]:
    found = [entry for call in aws.of("put_events") for entry in call["Entries"]]
    aws.calls.clear()
    return found


def sees_bus_name(name: str, aws: Aws) -> None:
    for wanted in ("other-bus", lambda uow: "other-bus"):
        run(name, rule={"bus_name": wanted})
        assert {entry["EventBusName"] for entry in entries(aws)} == {"other-bus"}


def sees_source(name: str, aws: Aws) -> None:
    run(name, rule={"source": "other-source"})
    assert {entry["Source"] for entry in entries(aws)} == {"other-source"}


def singly(name: str) -> dict[str, int]:
    """Fields with which each unit of work is a call of its own."""
    return {"batch_size": 1} if "batch_size" in CASES[name].honours else {}


def sees_parallel(name: str, aws: Aws) -> None:
    run(name, rule={**singly(name), "parallel": 1})
    assert aws.most_running == 1
    assert len(aws.of(str(CASES[name].operation))) >= COUNT

    aws.gates[str(CASES[name].operation)] = threading.Barrier(COUNT)  # each call waits until all are running
    run(name, rule={**singly(name), "parallel": COUNT})
    assert aws.most_running == COUNT


def sees_rate(name: str, aws: Aws) -> None:
    assert run(name, context=Context()).response == {"batchItemFailures": []}
    assert run(name, rule={"rate": 0.01}, context=Context()).response["batchItemFailures"] != []


def sees_batch_size(name: str, aws: Aws) -> None:
    operation = str(CASES[name].operation)
    run(name)
    few = len(aws.of(operation))
    aws.calls.clear()
    run(name, rule={"batch_size": 1})
    assert few < len(aws.of(operation))
    assert len(aws.of(operation)) >= COUNT


def sees_max_request_size(name: str, aws: Aws) -> None:
    operation = str(CASES[name].operation)
    run(name, rule={"max_request_size": 100_000})
    few = len(aws.of(operation))
    aws.calls.clear()
    run(name, rule={"max_request_size": 3_000})
    assert few < len(aws.of(operation))
    assert len(aws.of(operation)) >= COUNT


def sees_compression_threshold(name: str, aws: Aws) -> None:
    operation = str(CASES[name].operation)
    run(name)
    assert MARK not in json.dumps(aws.of(operation))
    aws.calls.clear()
    run(name, rule={"compression_threshold": 100})
    assert MARK in json.dumps(aws.of(operation))


def sees_table_name(name: str, aws: Aws) -> None:
    run(name, rule={"table_name": "other"})
    asked = [request for operation, request in aws.calls if operation not in ("put_events", "publish_batch")]
    assert asked
    assert {
        next(iter(request["RequestItems"])) if "RequestItems" in request else request["TableName"] for request in asked
    } == {"other"}


def sees_encrypt(name: str, aws: Aws) -> None:
    run(name, rule={"encrypt": ["text", "raw"]})
    details = [json.loads(entry["Detail"]) for entry in entries(aws)]
    assert details
    for detail in details:
        encrypted = [value for name in ("text", "raw") if (value := detail.get(name)) is not None]
        assert encrypted
        assert all(value.startswith("ENCRYPTED") for value in encrypted)
        assert "text" not in encryption.decrypt(detail).get("raw", {})


def sees_decrypt(name: str, aws: Aws) -> None:
    _sealed.append(True)
    try:
        assert not any(TEXT in json.dumps(uow["event"]) for uow in run(name).out)
        aws.calls.clear()
        out = run(name, rule={"decrypt": True}).out
    finally:
        _sealed.clear()
    assert out
    assert all(TEXT in json.dumps(encryption.decrypt(uow["event"])) for uow in out)  # cdc's is encrypted again
    assert name == "cdc" or all(TEXT in json.dumps(uow["event"]) for uow in out)


PROBES: dict[str, Callable[[str, Aws], None]] = {
    field: globals()[f"sees_{field}"] for field in COMMON if f"sees_{field}" in globals()
}


def honoured_by(name: str, case: Case) -> set[str]:
    return case.honours | EVERYWHERE | (set() if name in NOT_DECRYPTING else {"decrypt"})


def cells(honoured: bool) -> list[tuple[str, str]]:
    return [
        (name, field)
        for name, case in CASES.items()
        for field in COMMON
        if (field in honoured_by(name, case)) is honoured
    ]


def test_every_flavor_and_every_shared_field_is_in_the_table() -> None:
    assert set(CASES) == {name for name in flavors.__all__ if name.islower()}
    assert set(PROBES) == set(COMMON)


@pytest.mark.parametrize(("name", "field"), cells(True))
def test_a_field_has_an_effect(name: str, field: str, aws: Aws) -> None:
    PROBES[field](name, aws)

    assert not [entry for entry in entries(aws) if entry["DetailType"] == "fault"]


@pytest.mark.parametrize(("name", "field"), cells(False))
def test_a_field_without_an_effect_is_refused_with_its_reason(name: str, field: str) -> None:
    reason = (
        f"flavor {name} has no field"
        if field in ("table_name", "decrypt")
        else f"field '{field}' would have no effect: flavor {name}"
    )

    with pytest.raises(InvalidRule, match=f"rule 'r': .*{reason}"):
        run(name, rule={field: VALUES.get(field, True)})


@pytest.mark.parametrize("name", CASES)
def test_a_shared_field_that_is_none_is_not_given(name: str, aws: Aws) -> None:
    fields = dict.fromkeys(set(fields_of(SharedFields)))

    assert run(name, rule=fields).response == {"batchItemFailures": []}


@pytest.mark.parametrize("name", CASES)
def test_options_may_have_every_shared_field(name: str, aws: Aws) -> None:
    assert run(name, options=VALUES).response == {"batchItemFailures": []}


@pytest.mark.parametrize("name", sorted(CASES.keys() - {"expired", "outbox"}))
@pytest.mark.parametrize("event_type", [{}, {"event_type": None}], ids=["missing", "None"])
def test_a_rule_without_an_event_type_is_refused(name: str, event_type: dict[str, None]) -> None:
    rule = {"id": "r", "flavor": getattr(flavors, name), **CASES[name].fields, **event_type}

    with pytest.raises(InvalidRule, match=f"rule 'r': field 'event_type' is missing; flavor {name} needs it"):
        initialize_from([rule])


@pytest.mark.parametrize("name", ["expired", "outbox"])
def test_these_flavors_take_every_event_without_an_event_type(name: str, aws: Aws) -> None:
    assert len(run(name, rule={"event_type": None}).out) == COUNT


def test_a_rule_of_a_custom_flavor_that_asks_for_the_event_type_is_refused_without_one() -> None:
    from stream_runtime.filters import on_event_type
    from stream_runtime.operators import rx_filter

    def custom(rule: Any) -> Any:
        return lambda source: source.pipe(rx_filter(on_event_type(rule)))

    with pytest.raises(InvalidRule, match="rule 'r': field 'event_type' is None; expected a string"):
        initialize_from([{"id": "r", "flavor": custom}])


def test_a_custom_flavor_may_take_every_event_and_needs_no_options_at_import() -> None:
    def custom(rule: Any) -> Any:
        publish = rule["publish"]({"event_field": "event"})
        return lambda source: source.pipe(publish)

    assert list(initialize_from([{"id": "r", "flavor": custom}])) == ["r"]


@pytest.mark.parametrize(
    ("name", "rule", "message"),
    [
        ("task", {"publish": VALUES["publish"]}, "without 'execute_operators' or 'emit'"),
        ("task", {"bus_name": "b"}, "without 'execute_operators' or 'emit'"),
        ("task", {"source": "s"}, "without 'execute_operators' or 'emit'"),
        ("task", {"max_request_size": 2}, "without 'execute_operators' or 'emit'"),
        ("task", {"compression_threshold": 2}, "without 'execute_operators' or 'emit'"),
        ("task", {"parallel": 2}, "without 'execute' or 'execute_operators' or 'emit'"),
        ("task", {"rate": 2}, "without 'execute' or 'execute_operators' or 'emit'"),
        ("task", {"batch_size": 2}, "without 'execute_operators' or 'emit' or 'group'"),
        ("task", {"result_key": "a"}, "without 'execute'"),
        ("job", {"bus_name": "b"}, "without 'execute_operators' or 'emit'"),
        ("job", {"parallel": 2}, "without 'execute' or 'execute_operators' or 'to_update_request' or 'emit'"),
        ("invoke_lambda", {"batch_size": 2}, "without 'emit'"),
        ("materialize", {"split_target_field": "part"}, "without 'split_on'"),
        ("update", {"split_target_field": "part"}, "without 'split_on' or 'to_query_request'"),
        ("s3", {"split_on": lambda uow: [uow], "split_target_field": "part"}, ": the function 'split_on' makes"),
        ("collect", {"batch_size": 2, "to_put_request": lambda uow: {}}, "beside 'to_put_request'"),
        ("evaluate", {"table_name": "t", "emit": "x"}, "without 'expression' or 'once'"),
        ("outbox", {"table_name": "t", "mark_dispatched": False}, "with 'mark_dispatched' False"),
        ("collect", {"max_request_size": 2, "to_put_request": lambda uow: {}}, "beside 'to_put_request'"),
        ("job", {"to_query_request": lambda uow: {}}, "beside 'to_scan_request'"),
        ("update", {"query_request_field": "asked"}, "without 'to_query_request'"),
        ("update", {"query_response_field": "found"}, "without 'to_query_request' or 'split_on'"),
        ("update", {"batch_get_request_field": "asked"}, "without 'to_get_request'"),
        ("update", {"batch_get_response_field": "found"}, "without 'to_get_request'"),
    ],
)
def test_a_field_that_needs_another_is_refused_without_it(name: str, rule: dict[str, Any], message: str) -> None:
    (field, *_) = [field for field in rule if field not in ("emit", "mark_dispatched", "to_put_request", "split_on")]
    needed = {
        name: value for name, value in CASES[name].fields.items() if name not in ("emit", "execute", "expression")
    }

    with pytest.raises(InvalidRule, match=f"rule 'r': field '{field}' would have no effect.*{message}"):
        initialize_from([{"id": "r", "flavor": getattr(flavors, name), "event_type": "thing", **needed, **rule}])


def test_a_predicate_of_the_event_type_gets_the_stored_event(aws: Aws) -> None:
    for name in ("correlate", "evaluate", "update"):
        seen: list[Any] = []
        fields = {"uows": rows()} if name == "update" else {}
        case = CASES[name]._replace(**fields)
        rule = {
            "id": "r",
            "flavor": getattr(flavors, name),
            **case.fields,
            "event_type": lambda uow, seen=seen: seen.append(uow["event"]["type"]) or True,
        }
        StreamPipeline(initialize_from([rule]), DEFAULT_OPTIONS).assemble(case.uows())
        assert seen == ["thing"] * COUNT


def test_a_predicate_of_the_event_type_is_not_asked_about_other_rows(aws: Aws, bus: Any) -> None:
    rule = {"id": "r", "flavor": flavors.correlate, **CASES["correlate"].fields, "event_type": lambda uow: True}
    pipeline = StreamPipeline(initialize_from([rule]), DEFAULT_OPTIONS)

    assert pipeline.assemble(rows("oldImage")()) == {"batchItemFailures": []}
    assert bus.events == []
