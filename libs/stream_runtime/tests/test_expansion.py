"""What comes in a small form is bounded before it is large: bytes, values, and what a batch holds at once."""

import base64
import gzip
import io
import json
import tracemalloc
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import pytest
from stream_runtime import DEFAULT_OPTIONS, StreamPipeline, clients, initialize_from, stream_handler
from stream_runtime.events import (
    from_eventbridge,
    from_firehose,
    from_kinesis,
    from_sns,
    from_sqs,
    to_eventbridge_event,
    to_firehose_records,
    to_kinesis_records,
    to_sns_records,
    to_sqs_records,
)
from stream_runtime.flavors import task, transform
from stream_runtime.payload.compression import PREFIX, compressed, decompressed
from stream_runtime.queries.s3 import get_lines, get_object

MIB = 1024 * 1024
LIMIT = 16 * MIB
SOURCES: dict[str, Callable[[Any], Any]] = {
    "kinesis": lambda event: from_kinesis(to_kinesis_records([event])),
    "sqs": lambda event: from_sqs(to_sqs_records([event])),
    "sns": lambda event: from_sns(to_sns_records([event])),
    "eventbridge": lambda event: from_eventbridge(to_eventbridge_event(event)),
    "eventbridge in sqs": lambda event: from_sqs(to_sqs_records([{"body": to_eventbridge_event(event)}])),
    "firehose": lambda event: from_firehose(to_firehose_records([event])),
}


def field_of(parts: Iterable[bytes]) -> str:
    """A compressed field, made of the parts of its JSON."""
    packer = zlib.compressobj(9, wbits=31)
    packed = b"".join(packer.compress(part) for part in parts) + packer.flush()
    return PREFIX + base64.b64encode(packed).decode()


@cache
def text_of(size: int) -> str:
    """A compressed field that expands to a text of so many bytes."""
    return field_of(part for part in (b'"', *(b" " * MIB for _ in range(size // MIB)), b" " * (size % MIB - 2), b'"'))


@contextmanager
def watched() -> Iterator[Callable[[], int]]:
    """Gives the most bytes that were held at once since it was entered."""
    tracemalloc.start()
    try:
        yield lambda: tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def process(source: Any, rules: Any, **options: Any) -> Any:
    rules = [{"flavor": task, "event_type": "x", **rule} for rule in rules]
    return StreamPipeline(initialize_from(rules), {**DEFAULT_OPTIONS, **options}).assemble(source)


def bomb() -> str:
    return text_of(100 * MIB)


@pytest.mark.parametrize("name", SOURCES)
def test_a_bomb_is_the_fault_of_its_record_and_never_in_memory(name: str, bus: Any) -> None:
    source = SOURCES[name]({"id": "e0", "type": "x", "a": bomb()})

    with watched() as most:
        response = process(source, [{"id": "a"}, {"id": "b"}])
        peak = most()

    assert response == {"batchItemFailures": []}
    (fault,) = bus.events
    assert (fault["id"], "MAX_EXPANDED_SIZE" in fault["err"]["message"]) == ("e0.undefined.fault", True)
    assert peak < 3 * LIMIT


def test_many_bombs_take_no_more_than_one(bus: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_EXPANDED_SIZE", str(MIB))
    small = [text_of(2 * MIB), field_of([b"{no json" + b" " * (MIB - 10)]), field_of([b"[]," * (MIB // 3)])]
    source = from_kinesis(to_kinesis_records([{"id": f"e{n}", "type": "x", "a": small[n % 3]} for n in range(60)]))

    with watched() as most:
        assert process(source, [{"id": "a"}]) == {"batchItemFailures": []}
        peak = most()

    assert [fault["err"]["name"] for fault in bus.events] == ["InvalidRecord"] * 60
    assert peak < 20 * MIB, f"{peak / MIB:.1f} MiB"


@pytest.mark.parametrize("name", SOURCES)
def test_a_bomb_that_no_rule_wants_costs_nothing_and_is_no_fault(name: str, bus: Any) -> None:
    for event in (
        {"id": "e0", "type": "y", "a": bomb()},
        {"id": "e0", "type": "x", "tags": {"skip": True}, "a": bomb()},
    ):
        source = SOURCES[name](event)
        with watched() as most:
            assert process(source, [{"id": "a"}]) == {"batchItemFailures": []}
            assert most() < 4 * MIB
    assert bus.events == []


@pytest.mark.parametrize(
    "fields",
    [
        lambda: {"a": text_of(LIMIT // 2), "b": text_of(LIMIT // 2), "c": text_of(100)},
        lambda: {"a": field_of([b"[", b"[]," * (LIMIT // 3 - 10), b"0]"])},
        lambda: {"a": field_of([b'[{"":""}', b',{"":""}' * (LIMIT // 8 - 10), b"]"])},
        lambda: {"a": field_of([b"[0", b",0" * (LIMIT // 2 - 10), b"]"])},
        lambda: {"a": field_of([b'["\\\\""', b',"\\\\""' * (LIMIT // 5 - 10), b"]"])},
    ],
    ids=["several fields", "lists", "objects", "numbers", "texts"],
)
def test_an_event_is_bounded_as_a_whole_and_in_its_values(fields: Callable[[], dict[str, str]], bus: Any) -> None:
    source = SOURCES["kinesis"]({"id": "e0", "type": "x", **fields()})

    with watched() as most:
        assert process(source, [{"id": "a"}]) == {"batchItemFailures": []}
        peak = most()

    assert len(bus.of_type("fault")) == 1
    assert peak < 4 * LIMIT


def test_up_to_the_limit_an_event_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_EXPANDED_SIZE", "20000")
    event = {"id": "e0", "type": "x", "a": "x" * 9_998, "b": ",[{:" * 2_499 + "xx"}
    seen: list[Any] = []

    for each in (event, {**event, "b": [[]] * 340}):
        process(SOURCES["sqs"](compressed(each, 10)), [{"id": "a", "execute": lambda uow: seen.append(uow["event"])}])

    assert seen == [event, {**event, "b": [[]] * 340}]


@pytest.mark.parametrize(
    "value",
    [
        lambda: bomb()[:1000],
        lambda: bomb()[:1001],
        lambda: f"{text_of(100)}!",
        lambda: PREFIX + "H4sIAAAAAAAA",
    ],
    ids=["even", "odd", "more behind it", "only its header"],
)
def test_a_field_that_ends_too_soon_is_a_fault(value: Callable[[], str], bus: Any) -> None:
    assert process(SOURCES["kinesis"]({"id": "e0", "type": "x", "a": value()}), [{"id": "a"}]) == {
        "batchItemFailures": []
    }
    assert ["'a'" in fault["err"]["message"] for fault in bus.events] == [True]


def test_a_stored_row_is_bounded_too() -> None:
    with pytest.raises(ValueError, match="MAX_EXPANDED_SIZE"):
        decompressed({"id": "e0", "a": text_of(2 * MIB)}, MIB)


NUMBER = 40


def fail(uow: Any) -> Any:
    whole = uow["event"]
    raise KeyError(len(str(whole["a"])))


class Objects:
    """An S3 client with one large object for each event."""

    reads = 0

    def get_object(self, Bucket: str, Key: str) -> Any:
        """An object of nearly 1 MiB."""
        event = {"id": Key.rpartition("/")[2], "type": "x", "a": "x" * (MIB - 100)}
        body = json.dumps(event).encode()
        self.reads += 1
        return {"Body": io.BytesIO(body), "ContentLength": len(body)}


def batch_of(form: str) -> Any:
    """Records that are small, and 1 MiB each when they are opened."""
    if form == "claim checks":
        clients.use("s3", Objects())
    return from_kinesis(
        to_kinesis_records(
            [
                {"id": f"e{n}", "type": "x", "claim_check": {"bucket": "claims", "key": f"claimchecks/s/e{n}"}}
                if form == "claim checks"
                else {"id": f"e{n}", "type": "x", "a": text_of(MIB - 100)}
                for n in range(NUMBER)
            ]
        )
    )


@pytest.mark.parametrize("form", ["compressed", "claim checks"])
@pytest.mark.parametrize(
    ("rule", "type_"),
    [
        ({"emit": lambda uow, rule, template: {**template, "type": "seen", "n": len(uow["event"]["a"])}}, "seen"),
        ({"execute": fail}, "fault"),
    ],
    ids=["held until the end", "poison"],
)
def test_a_batch_of_large_events_is_worked_off_in_portions(
    form: str, rule: Any, type_: str, bus: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAX_EXPANDED_SIZE", str(MIB))
    monkeypatch.setenv("CLAIMCHECK_BUCKET_NAME", "claims")
    source = batch_of(form)

    with watched() as most:
        response = process(source, [{"id": "a", **rule}])
        peak = most()

    assert response == {"batchItemFailures": []}
    assert len(bus.events) == NUMBER
    assert {event["type"] for event in bus.events} == {type_}
    assert peak < NUMBER // 2 * MIB, f"{peak / MIB:.1f} MiB"


def test_a_transformation_of_large_events_holds_what_it_answers_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_EXPANDED_SIZE", str(MIB))
    events = [{"id": f"e{n}", "type": "x", "a": text_of(MIB - 100)} for n in range(NUMBER)]
    rules = [{"id": "a", "flavor": transform, "event_type": "x", "to_data": lambda uow: uow["event"]["id"]}]
    handler = stream_handler(rules, from_firehose)

    with watched() as most:
        answer = handler(to_firehose_records(events), None)
        peak = most()

    assert [base64.b64decode(each["data"]).decode() for each in answer["records"]] == [f"e{n}" for n in range(NUMBER)]
    assert peak < NUMBER // 2 * MIB, f"{peak / MIB:.1f} MiB"


@pytest.mark.parametrize("form", ["compressed", "claim checks"])
def test_portions_keep_the_order_and_pipelines_end_once(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_EXPANDED_SIZE", str(3 * MIB))
    monkeypatch.setenv("CLAIMCHECK_BUCKET_NAME", "claims")
    seen: list[Any] = []
    ended: list[str] = []
    rules = [
        {"id": id_, "flavor": task, "event_type": "x", "execute": lambda uow: seen.append(uow["event"]["id"])}
        for id_ in ("a", "b")
    ]
    pipeline = StreamPipeline(initialize_from(rules), DEFAULT_OPTIONS, concurrency=False)

    assert pipeline.assemble(batch_of(form), on_completed=ended.append) == {"batchItemFailures": []}

    assert seen == [f"e{n}" for n in range(NUMBER) for _ in "ab"]
    assert ended == ["a", "b"]
    if form == "claim checks":
        assert clients.client("s3").reads < 2 * NUMBER


@pytest.mark.parametrize("form", ["compressed", "claim checks"])
def test_secrets_of_an_opened_event_are_in_no_fault(form: str, bus: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAIMCHECK_BUCKET_NAME", "claims")
    event = {"id": "e0", "type": "x", "thing": {"name": "n", "password": "correct-horse"}}
    body = json.dumps(event).encode()

    class Holding:
        def get_object(self, **_: Any) -> Any:
            return {"Body": io.BytesIO(body), "ContentLength": len(body)}

    def tell(uow: Any) -> Any:
        raise ValueError(f"no account for {uow['event']['thing']['password']}")

    clients.use("s3", Holding())
    claim = {"id": "e0", "type": "x", "claim_check": {"bucket": "claims", "key": "claimchecks/s/e0"}}
    source = from_sqs(to_sqs_records([compressed(event, 5) if form == "compressed" else claim]))

    process(source, [{"id": "a", "execute": tell}], redact=["password"])

    (fault,) = bus.of_type("fault")
    shown = json.dumps(
        [fault, decompressed(fault["uow"]["event"]), decompressed(json.loads(fault["uow"]["record"]["body"]))]
    )
    assert "no account for" in fault["err"]["message"]
    assert "correct-horse" not in shown


@pytest.fixture
def objects(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A bucket, and a limit of 1 MiB."""
    monkeypatch.setenv("MAX_EXPANDED_SIZE", str(MIB))
    return bucket


def test_a_gzip_object_expands_to_a_bounded_size(objects: Any) -> None:
    objects.put_object(Key="bomb", Body=gzip.compress(b" " * (50 * MIB)))
    objects.put_object(Key="fits", Body=gzip.compress(b"x" * MIB))
    objects.put_object(Key="plain", Body=b"x" * (2 * MIB))

    with watched() as most:
        with pytest.raises(ValueError, match="bomb expands to more than 1048576 bytes"):
            get_object("views", "bomb")
        assert most() < 4 * MIB

    assert [len(get_object("views", key)) for key in ("fits", "plain")] == [MIB, 2 * MIB]
    assert len(get_object("views", "bomb", most_bytes=50 * MIB)) == 50 * MIB


def test_lines_of_a_gzip_object_of_any_size_are_read_one_by_one(objects: Any) -> None:
    line = b"x" * 1000 + b"\n"
    objects.put_object(Key="large", Body=gzip.compress(line * 20_000) + gzip.compress(b"\n \nend"))
    objects.put_object(Key="bomb", Body=gzip.compress(line + b"x" * (50 * MIB)))

    with watched() as most:
        lengths = [len(each) for each in get_lines("views", "large")]
        assert most() < 4 * MIB
    assert lengths == [1000] * 20_000 + [3]
    lines = get_lines("views", "bomb")
    assert len(next(lines)) == 1000
    with watched() as most:
        with pytest.raises(ValueError, match="a line of more than 1048576 bytes"):
            next(lines)
        assert most() < 4 * MIB
