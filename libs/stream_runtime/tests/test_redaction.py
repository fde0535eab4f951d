"""Fields that a service names as secret are masked in faults and log lines, wherever a record carries them."""

import base64
import io
import json
import logging
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_sizes import part_of, sample_of
from stream_runtime import DEFAULT_OPTIONS, InvalidRule, StreamPipeline, UnfinishedBatch, clients, initialize_from
from stream_runtime import TransientError as Transient
from stream_runtime.events import (
    from_dynamodb,
    from_eventbridge,
    from_firehose,
    from_kinesis,
    from_s3,
    from_sns,
    from_sqs,
    to_dynamodb_records,
    to_eventbridge_event,
    to_firehose_records,
    to_kinesis_records,
    to_s3_records,
    to_sns_records,
    to_sqs_records,
)
from stream_runtime.faults import faulty
from stream_runtime.flavors import collect, materialize, task
from stream_runtime.logs import set_up
from stream_runtime.operators import rx_map
from stream_runtime.payload.compression import PREFIX, compressed, decompressed
from stream_runtime.payload.redaction import MASK, Found, Redaction, without_credentials

SECRET = 'p4ss"w\\ör\nd-of-the-user'
NUMBER = 4111111111111111
THING = {
    "name": "One",
    "password": SECRET,
    "card": {"Number": NUMBER, "holder": "A. B."},
    "notes": [{"PassWord": "x1y2z3"}],
}
EVENT = {"id": "e1", "type": "x", "timestamp": 1, "partition_key": "k", "thing": THING}
REDACT = ("password", "card.number")


def fails(uow: Any) -> None:
    thing = uow["event"].get("thing") or uow["event"].get("detail") or uow["event"]["raw"]["new"]
    raise ValueError(f"no good: {thing!r} {json.dumps(thing, default=str)} {thing['password']}")


def fault_of(source: Any, bus: Any, *, redact: Any = REDACT, rules: Any = None) -> Any:
    """The one fault of an invocation whose record fails."""
    rules = rules or [{"id": "r", "flavor": task, "event_type": lambda uow: True, "execute": fails}]
    pipeline = StreamPipeline(initialize_from(rules), {**DEFAULT_OPTIONS, "redact": redact})
    assert pipeline.assemble(source) == {"batchItemFailures": []}
    (fault,) = bus.of_type("fault")
    return fault


def texts_in(value: Any) -> Iterator[str]:
    """All texts in a value, those that are encoded too: base64, JSON, compressed fields."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield str(name)
            yield from texts_in(member)
    elif isinstance(value, list):
        for member in value:
            yield from texts_in(member)
    elif isinstance(value, str):
        yield value
        for decoded in (_of_base64(value), _of_compressed(value), _of_json(value)):
            if decoded is not None and decoded != value:
                yield from texts_in(decoded)
    elif value is not None:
        yield str(value)


def _of_base64(text: str) -> str | None:
    try:
        return base64.b64decode(text, validate=True).decode()
    except ValueError:
        return None


def _of_compressed(text: str) -> str | None:
    try:
        return zlib.decompress(base64.b64decode(text.removeprefix(PREFIX)), wbits=31).decode()
    except (ValueError, zlib.error):
        return None


def _of_json(text: str) -> Any:
    try:
        return json.loads(text) if text[:1] in ("{", "[", '"') else None
    except ValueError:
        return None


def assert_hidden(fault: Any, *secrets: Any) -> None:
    whole = "\n".join(texts_in(fault))
    for secret in secrets or (SECRET, NUMBER, "x1y2z3"):
        assert str(secret) not in whole
        assert json.dumps(secret).strip('"') not in whole
        assert repr(secret).strip("'") not in whole


def nested(levels: int, body: Any) -> Any:
    """A message in so many envelopes of SNS."""
    for _ in range(levels):
        body = {"Type": "Notification", "MessageId": "m", "TopicArn": "t", "Message": json.dumps(body)}
    return body


ROW = {"pk": "1", "sk": "thing", "discriminator": "thing", "timestamp": 1, **THING}
SOURCES: dict[str, Callable[[], Any]] = {
    "kinesis": lambda: from_kinesis(to_kinesis_records([EVENT])),
    "kinesis, compressed": lambda: from_kinesis(to_kinesis_records([compressed(EVENT, 10)])),
    "firehose": lambda: from_firehose(to_firehose_records([EVENT])),
    "sqs": lambda: from_sqs(to_sqs_records([EVENT])),
    "sqs, SNS in it": lambda: from_sqs(to_sqs_records([{"body": nested(1, EVENT)}])),
    "sqs, SNS in SNS in it": lambda: from_sqs(to_sqs_records([{"body": nested(2, compressed(EVENT, 10))}])),
    "sqs, EventBridge in it": lambda: from_sqs(to_sqs_records([{"body": to_eventbridge_event(EVENT)}])),
    "sns": lambda: from_sns(to_sns_records([EVENT])),
    "sns, EventBridge in it": lambda: from_sns(to_sns_records([{"msg": to_eventbridge_event(EVENT)}])),
    "eventbridge": lambda: from_eventbridge(to_eventbridge_event(EVENT)),
    "eventbridge, detail": lambda: from_eventbridge({**to_eventbridge_event(EVENT), "detail": THING}),
    "dynamodb": lambda: from_dynamodb(
        to_dynamodb_records([{"keys": {"pk": "1"}, "newImage": ROW, "oldImage": {**ROW, "name": "Zero"}}])
    ),
    "dynamodb, stored event": lambda: from_dynamodb(
        to_dynamodb_records([{"keys": {"pk": "1"}, "newImage": {**ROW, "event": compressed(EVENT, 10)}}])
    ),
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_secret_fields_are_masked_wherever_a_record_carries_them(source: Any, bus: Any) -> None:
    fault = fault_of(source(), bus)

    assert_hidden(fault)
    assert {path.rpartition(".")[2] for path in fault["redacted"]} == {"password", "Number", "PassWord"}
    assert {path.partition(".")[0] for path in fault["redacted"]} == {"record", "event"}
    assert "A. B." in "\n".join(texts_in(fault))  # and nothing else


IN_BINARY = json.dumps([THING]).encode()
OF_BASE64 = base64.b64encode(IN_BINARY).decode()


def as_lambda_gives(batch: Any) -> Any:
    return json.loads(json.dumps(batch, default=lambda binary: base64.b64encode(binary).decode()))


@pytest.mark.parametrize(
    "source",
    [
        lambda: from_dynamodb(
            as_lambda_gives(
                to_dynamodb_records(
                    [{"keys": {"pk": "1"}, "newImage": {**ROW, "blob": IN_BINARY, "blobs": {IN_BINARY}}}]
                )
            )
        ),
        lambda: from_sqs(
            to_sqs_records([{"body": EVENT, "attributes": {"a": {"dataType": "Binary", "binaryValue": OF_BASE64}}}])
        ),
        lambda: from_kinesis(to_kinesis_records([{**EVENT, "isBase64Encoded": True, "body": OF_BASE64}])),
    ],
    ids=["DynamoDB B and BS", "SQS binaryValue", "body of a request"],
)
def test_json_in_base64_is_opened_wherever_it_stands(source: Any, bus: Any) -> None:
    fault = fault_of(source(), bus)

    assert_hidden(fault)


def test_other_base64_stays_as_it_is(bus: Any) -> None:
    image = base64.b64encode(b"{\xff not text").decode()
    safe = base64.b64encode(b'{"name": "One"}').decode()
    fault = fault_of(from_kinesis(to_kinesis_records([{**EVENT, "image": image, "safe": safe, "word": "eyes"}])), bus)

    assert {name: fault["uow"]["event"][name] for name in ("image", "safe", "word")} == {
        "image": image,
        "safe": safe,
        "word": "eyes",
    }


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_a_masked_record_keeps_its_form_and_can_be_read(source: Any, bus: Any) -> None:
    record = fault_of(source(), bus, redact=("password", "card"))["uow"]["record"]

    again = (
        next(
            (
                uow["event"]
                for read in (from_kinesis, from_dynamodb, from_sqs, from_sns)
                for uow in [*_units(read, {"Records": [record]})]
                if "invalid" not in uow
            ),
            None,
        )
        or next(iter(_units(from_eventbridge, record)), {"event": None})["event"]
    )

    if "recordId" in record:
        (uow,) = from_firehose({"deliveryStreamArn": "arn", "records": [record]})
        again = uow["event"]
    again = decompressed(again)
    thing = again.get("thing") or again.get("detail") or again["raw"]["new"]
    assert (thing["name"], thing["password"], thing["card"]) == ("One", MASK, MASK)


def _units(read: Any, event: Any) -> list[Any]:
    try:
        return list(read(event))
    except ValueError:
        return []


def test_without_named_fields_a_fault_is_as_it_was(bus: Any) -> None:
    batch = to_kinesis_records([EVENT])

    fault = fault_of(from_kinesis(batch), bus, redact=())

    assert fault["uow"]["record"] == batch["Records"][0]
    assert "redacted" not in fault
    assert SECRET in fault["err"]["message"]


def test_the_setting_adds_to_the_option(bus: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDACT", "password, notes")

    fault = fault_of(from_kinesis(to_kinesis_records([EVENT])), bus, redact=("card",))

    assert_hidden(fault, SECRET, NUMBER, "A. B.", "x1y2z3")


@pytest.mark.parametrize("wrong", ["password", [5], ("a..b",), ("",), {"password": True}], ids=str)
def test_an_option_that_is_no_tuple_of_names_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidRule, match="option 'redact'"):
        StreamPipeline({}, {"redact": wrong})


def test_a_path_counts_where_it_ends_so_and_nowhere_else(bus: Any) -> None:
    event = {**EVENT, "thing": {"password": "a-good-word", "card": {"number": "4111-1111"}, "number": "seventeen"}}

    fault = fault_of(from_kinesis(to_kinesis_records([event])), bus, redact=["CARD.number"])

    assert_hidden(fault, "4111-1111")
    assert fault["uow"]["event"]["thing"] == {
        "password": "a-good-word",
        "card": {"number": MASK},
        "number": "seventeen",
    }


def test_fields_without_a_value_stay(bus: Any) -> None:
    event = {**EVENT, "thing": {"password": None, "card": {"number": ""}}}

    fault = fault_of(from_kinesis(to_kinesis_records([event])), bus)

    assert (fault["uow"]["event"], "redacted" in fault) == (event, False)


# Records that cannot be read

UNREADABLE = {
    "JSON cut short": json.dumps(EVENT)[:-9].encode(),
    "no JSON": f"user=me password={NUMBER} other=1".encode(),
    "quoted": f"'password': '{NUMBER}', 'other': 1".encode(),
    "a header": f"PASSWORD: Basic {NUMBER}\nother: 1".encode(),
    "JSON in JSON cut short": json.dumps({"a": json.dumps({"password": str(NUMBER)})})[:-2].encode(),
    "an object cut short": f'{{"password": {{"value": "{NUMBER}", "x": '.encode(),
    "twice the same name": f'{{"a": {{"password": "{NUMBER}"}}, "a": 1}}'.encode(),
    "a list": json.dumps([{"password": NUMBER}]).encode(),
    "a text": json.dumps(f"password={NUMBER}").encode(),
    "UTF-16": f'{{"password": "{NUMBER}"}}'.encode("utf-16-le"),
    "gzip": zlib.compress(json.dumps({"password": NUMBER}).encode(), wbits=31),
    "Latin-1": f'{{"password": "{NUMBER}", "b": "\xfc"}}'.encode("latin-1"),
    "a bad compressed field": json.dumps({"type": "x", "a": f"{PREFIX}H4sI{'A' * 50}{NUMBER}"}).encode(),
    "no type": json.dumps({"password": str(NUMBER), "a": "b"}).encode(),
    "not an object with a text": json.dumps(["password", str(NUMBER)][:1]).encode(),
}


IS_TEXT = {name: data for name, data in UNREADABLE.items() if b"\x00" not in data}


@pytest.mark.parametrize(
    ("source", "data"),
    [
        *((source, data) for source in ("kinesis", "firehose") for data in UNREADABLE.values()),
        *(("sqs", data) for data in IS_TEXT.values()),
    ],
    ids=[*UNREADABLE, *UNREADABLE, *IS_TEXT],
)
def test_what_cannot_be_read_is_masked_by_name_or_taken_out(data: bytes, source: str, bus: Any) -> None:
    if source == "kinesis":
        uows: Any = from_kinesis(to_kinesis_records([data]))
    elif source == "firehose":
        uows = from_firehose(to_firehose_records([data]))
    else:
        uows = from_sqs(to_sqs_records([{"body": data.decode("latin-1")}]))

    fault = fault_of(uows, bus)

    assert_hidden(fault, NUMBER)


@pytest.mark.parametrize(
    "text",
    [
        "user[password]=opensesame-42&x=1",
        "user%5Bpassword%5D=opensesame-42&x=1",
        "<user><password>opensesame-42</password><x>1</x></user>",
        '<a:PassWord type="b">opensesame-42</a:PassWord>',
        "card.number=opensesame-42",
    ],
)
def test_forms_and_xml_are_masked_by_name(text: str) -> None:
    found = Found()
    masked = Redaction(REDACT).masked({"body": text, "card.number": "opensesame-43"}, "record", found)

    assert masked["card.number"] == MASK
    assert "opensesame" not in masked["body"]
    assert len(masked["body"]) >= len(text) - len("opensesame-42")
    assert found.paths == {"record.body", "record.card.number"}


@pytest.mark.parametrize("text", ["a password > 3 characters", "the password] of <b>", "<password/>", "passwords: 1"])
def test_text_about_a_secret_stays(text: str) -> None:
    assert Redaction(REDACT).masked({"body": text}, "record", Found()) == {"body": text}


@pytest.mark.parametrize(
    "spoil", [lambda text: text[:-3], lambda text: text[:40] + "\n" + text[40:], lambda text: "=" + text]
)
def test_bad_base64_is_opened_as_far_as_it_goes(spoil: Any, bus: Any) -> None:
    batch = to_kinesis_records([{"password": "opensesame-42", "type": "x", "filler": "f" * 40}])
    kinesis = batch["Records"][0]["kinesis"]
    kinesis["data"] = spoil(kinesis["data"])

    fault = fault_of(from_kinesis(batch), bus)

    data = fault["uow"]["record"]["kinesis"]["data"]
    assert b"opensesame" not in base64.b64decode("".join(c for c in data if c.isalnum() or c in "+/") + "===")
    assert fault["redacted"][0].startswith("record.kinesis.data")


REPEATED = (
    *("password", "password=", 'password:"', "<password>", "<password ", "password:{", '"', "["),
    *("X-Amz-Signature=", "?Signature=", "some-sec"),
)


def test_masking_by_name_takes_linear_time() -> None:
    redaction = Redaction(["password", "card.number"])
    texts = [each * (1_000_000 // len(each)) for each in REPEATED]
    texts += ["password" + " " * 1_000_000, "password='" + "\\" * 1_000_000]

    for text in part_of(texts):
        began = time.process_time()
        redaction.hidden(without_credentials(text), {"some-secret-value"})
        redaction.masked({"body": text}, "record", Found())

        assert time.process_time() - began < 2, text[:20]


def packed(value: Any) -> str:
    """A compressed field."""
    return str(compressed({"a": value}, 1)["a"])


def test_compressed_fields_in_compressed_fields_are_opened_up_to_a_size() -> None:
    bomb = packed(" " * 1_000_000)
    for _ in range(3):
        bomb = packed([bomb] * 100)  # 1 TB in all, in a few hundred bytes
    redaction = Redaction(["password"])
    found = Found(4_000_000)

    began = time.process_time()
    masked = redaction.masked({"a": {"password": "opensesame-42"}, "b": bomb}, "record", found)

    assert masked["a"] == {"password": MASK}
    assert "record.b" in found.paths  # what was not searched was taken out
    assert len(json.dumps(masked)) < 100_000
    assert time.process_time() - began < 2


def test_the_secrets_of_a_large_event_are_found_fast() -> None:
    text = packed({"a": "password" * 1_500_000, "password": "opensesame-42"})

    began = time.process_time()
    secrets = Redaction(["password"]).secrets_in({"a": text}, {"a": [json.dumps([text])]})

    assert secrets == {"opensesame-42"}
    assert time.process_time() - began < 0.5


def test_what_many_fields_expand_to_is_counted_together() -> None:
    found = Found(1_500_000)

    masked = Redaction(["password"]).masked([packed("a" * 1_000_000), packed("b" * 1_000_000)], "event", found)

    assert masked == [packed("a" * 1_000_000), MASK]


@pytest.mark.parametrize("text", ["x " * 500_000, "secret0000001"], ids=["long", "short"])
def test_many_secrets_are_removed_in_a_time_that_is_bounded(text: str) -> None:
    secrets = {f"secret{number:07}" for number in range(30_000)}
    redaction = Redaction(["password"])

    began = time.process_time()
    shown = redaction.hidden(text, secrets)
    logged = redaction.hidden_in({"texts": [text[:20]] * 1000}, secrets)

    assert time.process_time() - began < 2
    assert "secret0000001" not in shown
    assert "secret0000001" not in str(logged)


# What a fault carries besides


def test_the_part_of_a_split_record_is_masked(bus: Any) -> None:
    event = {**EVENT, "things": [{"password": "opensesame-42"}]}

    def fails_for_part(uow: Any) -> None:
        raise ValueError(f"part {uow['split']}")

    rule = {"id": "r", "flavor": materialize, "event_type": "x", "split_on": "event.things", "table_name": "t"}
    fault = fault_of(
        from_kinesis(to_kinesis_records([event])), bus, rules=[{**rule, "to_update_request": fails_for_part}]
    )

    assert fault["uow"]["split"] == {"password": MASK}
    assert_hidden(fault, "opensesame-42")


def test_a_part_or_a_correlation_key_that_is_a_secret_value_is_masked(bus: Any) -> None:
    event = {**EVENT, "token": "opensesame-42", "password": ["opensesame-43"]}
    rule = {"id": "r", "flavor": collect, "event_type": "x", "correlation_key": "token", "to_put_request": fails}

    fault = fault_of(from_kinesis(to_kinesis_records([event])), bus, redact=["token", "password"], rules=[rule])

    assert fault["uow"]["key"] == MASK
    assert_hidden(fault, "opensesame-42", "opensesame-43")


def test_each_record_of_a_group_is_masked(bus: Any) -> None:
    def fails_for_all(uow: Any) -> None:
        raise ValueError(str([each["event"] for each in uow["batch"]]))

    rule = {"id": "r", "flavor": task, "event_type": "x", "group": True, "execute": fails_for_all}
    batch = to_kinesis_records([{**EVENT, "password": f"opensesame-{n}"} for n in range(3)])

    fault = fault_of(from_kinesis(batch), bus, rules=[rule])

    assert len(fault["uow"]["batch"]) == 3
    assert_hidden(fault, *(f"opensesame-{n}" for n in range(3)))


def test_a_claim_check_stays_since_it_holds_no_content(bus: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAIMCHECK_BUCKET_NAME", "claims")
    pointer = {"id": "e1", "type": "x", "claim_check": {"bucket": "claims", "key": "claimchecks/s/2026/01/01/00/e1"}}
    batch = to_kinesis_records([pointer])

    class Bucket:
        def get_object(self, **_: Any) -> Any:
            body = json.dumps(EVENT).encode()
            return {"Body": io.BytesIO(body), "ContentLength": len(body)}

    clients.use("s3", Bucket())
    fault = fault_of(from_kinesis(batch), bus)

    assert (fault["uow"]["record"], fault["uow"]["event"]) == (batch["Records"][0], pointer)
    assert "redacted" not in fault
    assert_hidden(fault)


def test_the_digest_of_a_masked_message_goes_too(bus: Any) -> None:
    batch = to_sqs_records([EVENT])
    batch["Records"][0]["md5OfBody"] = "e4e68fb7bd0e697a0ae8f1bb342846b3"
    batch["Records"][0]["messageAttributes"] = {"password": {"stringValue": "opensesame-42", "dataType": "String"}}

    fault = fault_of(from_sqs(batch), bus)

    assert fault["uow"]["record"]["md5OfBody"] == MASK
    assert_hidden(fault, "opensesame-42")


# Texts of errors


@pytest.mark.parametrize(
    "message",
    [
        "the value {secret} is wrong",
        "input_value={{'secret': '{secret:.12}...",
        "...{tail}' is too long",
        "{json}",
        "{repr}",
        "{url}",
        "password = opensesame-99",
        "{{'password': 'opensesame-99'}}",
        "Password: opensesame-99 opensesame-99",
    ],
)
def test_values_are_gone_from_the_error_however_they_are_written(message: str, bus: Any) -> None:
    secret = SECRET

    def fails_with(uow: Any) -> None:
        try:
            raise KeyError(secret)
        except KeyError as cause:
            texts = {"secret": secret, "tail": secret[-12:], "json": json.dumps(secret), "repr": repr(secret)}
            raise ValueError(message.format(**texts, url=f"https://x/?a={quote(secret)}")) from cause

    rule = {"id": "r", "flavor": task, "event_type": "x", "execute": fails_with}
    fault = fault_of(from_kinesis(to_kinesis_records([EVENT])), bus, rules=[rule])

    err = "\n".join(fault["err"].values())
    for part in (secret[:10], secret[-10:], repr(secret)[1:11], quote(secret)[:10], "opensesame-99"):
        assert part not in err
    assert "ValueError" in err


def test_a_short_value_is_gone_as_a_word_and_does_not_tear_others(bus: Any) -> None:
    def fails_with(uow: Any) -> None:
        raise ValueError("code 123 in line 41234")

    rule = {"id": "r", "flavor": task, "event_type": "x", "execute": fails_with}
    fault = fault_of(from_kinesis(to_kinesis_records([{**EVENT, "cvv": 123}])), bus, redact=["cvv"], rules=[rule])

    assert fault["err"]["message"] == f"code {MASK} in line 41234"


@pytest.mark.parametrize(
    ("secrets", "text"),
    [
        ({f"s{number:07d}" for number in range(32_000)}, " ".join(f"s{number:07d}" for number in range(32_000))),
        ({f"{number:03d}" for number in range(1000)}, "x" * 100_000 + " 123 (456)"),
    ],
    ids=["many", "many short ones"],
)
def test_so_many_values_that_each_takes_long_do_not(secrets: set[str], text: str) -> None:
    began = time.process_time()
    shown = Redaction({"password"}).hidden(text, secrets)
    assert time.process_time() - began < 2
    assert [secret for secret in ("s0000000", "123", "456") if secret in shown] == []


def test_credentials_and_signatures_are_in_no_error(bus: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMIK7MDENG")
    url = "https://b.s3.amazonaws.com/k?X-Amz-Credential=AKIA&X-Amz-Signature=0123456789abcdef&x=1"

    def fails_with(uow: Any) -> None:
        raise ValueError(f"cannot read {url} with wJalrXUtnFEMIK7MDENG")

    rule = {"id": "r", "flavor": task, "event_type": "x", "execute": fails_with}
    fault = fault_of(from_kinesis(to_kinesis_records([EVENT])), bus, redact=(), rules=[rule])

    assert fault["err"]["message"] == (
        f"cannot read https://b.s3.amazonaws.com/k?X-Amz-Credential={MASK}&X-Amz-Signature={MASK}&x=1 with {MASK}"
    )
    assert "wJalr" not in fault["err"]["stack"]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=sample_of(150), deadline=None)
@given(VALUES, st.lists(st.sampled_from(["json", "base64", "compressed", "list", "object"]), max_size=4))
def test_a_secret_is_found_through_any_layers(around: Any, layers: list[str]) -> None:
    value: Any = {"around": around, "Password": "opensesame-42"}
    for layer in layers:
        if layer == "json":
            value = json.dumps(value)
        elif layer == "base64":
            value = {"kinesis": {"data": base64.b64encode(json.dumps(value).encode()).decode()}}
        elif layer == "compressed":
            value = compressed({"a": value}, 1)
        else:
            value = [value] if layer == "list" else {"x": value}

    found = Found()
    masked = Redaction(["password"]).masked(value, "record", found)

    assert "opensesame" not in "\n".join(texts_in(masked))
    assert (found.secrets, len(found.paths)) == ({"opensesame-42"}, 1)


def test_what_stays_of_a_record_that_is_too_large_is_masked(bus: Any) -> None:
    event = {**EVENT, "partition_key": "opensesame-42", "filler": "f" * 1_100_000}

    fault = fault_of(from_sqs(to_sqs_records([event])), bus, redact=["partition_key", "filler"])
    assert fault["uow"]["record"]["body"]  # it fits when the filler is masked

    bus.events.clear()
    fault = fault_of(from_sqs(to_sqs_records([event])), bus, redact=["partition_key"])

    assert fault["uow"]["trimmed"]
    assert fault["uow"]["event"]["partition_key"] == MASK


# Log lines


def log_lines(capsys: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_log_lines_tell_no_secret(capsys: Any, bus: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_LEVEL", "DEBUG")
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # as Lambda finds it, without pytest's
    monkeypatch.setattr(logging.getLogger(), "level", logging.WARNING)
    set_up()

    def logs_and_fails(uow: Any) -> None:
        thing = uow["event"]["thing"]
        log = logging.getLogger("masking")  # no other test gives it a Logger of Powertools
        log.info("the thing %s has %d", thing, thing["card"]["Number"], extra={"password": SECRET, "thing": thing})
        log.info({"password": SECRET, "name": "One"})
        try:
            fails(uow)
        except ValueError:
            log.exception("failed")
            raise

    rule = {"id": "r", "flavor": task, "event_type": "x", "execute": logs_and_fails}
    fault_of(from_kinesis(to_kinesis_records([EVENT])), bus, rules=[rule])

    lines = log_lines(capsys)
    said = [str(line.get("message")) for line in lines]
    assert_hidden(lines)
    assert any(message.startswith("the thing") for message in said)
    assert any(message.startswith("fault e1.r.fault") for message in said)
    assert [line["exception_name"] for line in lines if line.get("message") == "failed"] == ["ValueError"]
    assert [line["password"] for line in lines if "password" in line] == [MASK]
    assert [line["event_id"] for line in lines if line.get("message") == "failed"] == ["e1"]


def test_the_error_of_an_invocation_tells_no_secret(bus: Any) -> None:
    def fails_for_now(uow: Any) -> None:
        raise Transient(f"again: {uow['event']['thing']['password']}")

    rule = {"id": "r", "flavor": task, "event_type": "x", "execute": fails_for_now}
    pipeline = StreamPipeline(initialize_from([rule]), {**DEFAULT_OPTIONS, "redact": REDACT})

    with pytest.raises(UnfinishedBatch) as raised:
        pipeline.assemble(from_sns(to_sns_records([EVENT])))

    assert SECRET not in str(raised.value)
    assert "again: " in str(raised.value)


def test_the_error_of_a_whole_batch_tells_no_secret(bus: Any) -> None:
    def flavor(rule: Any) -> Any:
        return rx_map(faulty(fails, ignore=True))

    pipeline = StreamPipeline(
        initialize_from([{"id": "r", "flavor": flavor, "event_type": "x"}]), {**DEFAULT_OPTIONS, "redact": REDACT}
    )

    with pytest.raises(UnfinishedBatch) as raised:
        pipeline.assemble(from_kinesis(to_kinesis_records([EVENT])))

    assert_hidden(str(raised.value))


def test_a_notification_of_s3_has_nothing_to_mask(bus: Any) -> None:
    batch = to_s3_records([{"bucket": {"name": "b"}, "object": {"key": "k"}}])

    def breaks(uow: Any) -> None:
        raise ValueError("bad")

    rule = {"id": "r", "flavor": task, "event_type": "object-created", "execute": breaks}
    fault = fault_of(from_s3(batch), bus, rules=[rule])

    assert (fault["uow"]["record"], "redacted" in fault) == (batch["Records"][0], False)
