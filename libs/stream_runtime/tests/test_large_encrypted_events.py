"""Events too large for the bus with encrypted fields: encrypted before they are checked in, decrypted after."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from moto import mock_aws
from simulated_kms import SimulatedKms
from stream_runtime import DEFAULT_OPTIONS, StreamPipeline, clients, encryption, initialize_from
from stream_runtime.events import from_kinesis, to_kinesis_records
from stream_runtime.flavors import task

SMALL, LONG, NOTE = "ada@example.org", "ö" * 6000, "ü" * 6000
EVENT = {"id": "e0", "type": "placed", "timestamp": 0, "partition_key": "k"}
# The encrypted field alone makes the event large; or another one does.
ORDERS = [{"email": LONG}, {"email": SMALL, "note": NOTE}]
orders = pytest.mark.parametrize("order", ORDERS, ids=["by its encrypted field", "by another field"])


@pytest.fixture(autouse=True)
def kms(environment: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedKms]:
    monkeypatch.setenv("ENCRYPTION_KEYS", "alias/fields")
    encryption.forget()
    kms = SimulatedKms()
    clients.use("kms", kms)
    yield kms
    encryption.forget()


@pytest.fixture(autouse=True)
def bucket(kms: SimulatedKms, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("CLAIMCHECK_BUCKET_NAME", "claims")
    monkeypatch.setenv("MAX_REQUEST_SIZE", "10000")
    monkeypatch.setenv("SERVICE", "tested")
    with mock_aws():
        s3 = clients.client("s3")
        s3.create_bucket(Bucket="claims", CreateBucketConfiguration={"LocationConstraint": "us-west-2"})
        yield s3


def run(event: Any, **fields: Any) -> list[Any]:
    """What a rule sees of an event; it publishes the event's order again."""
    seen: list[Any] = []
    rule = {
        "id": "rule",
        "flavor": task,
        "event_type": ["placed", "taken"],
        "execute": lambda uow: seen.append(uow["event"]),
        "emit": lambda uow, rule, template: {**template, "type": "taken", "order": uow["event"]["order"]},
        **fields,
    }
    pipeline = StreamPipeline(initialize_from([rule]), DEFAULT_OPTIONS)
    assert pipeline.assemble(from_kinesis(to_kinesis_records([event]))) == {"batchItemFailures": []}
    return seen


def bodies(bucket: Any) -> list[dict[str, Any]]:
    """The events in the bucket."""
    keys = [each["Key"] for each in bucket.list_objects_v2(Bucket="claims").get("Contents", [])]
    return [json.loads(bucket.get_object(Bucket="claims", Key=key)["Body"].read()) for key in keys]


@orders
def test_the_body_in_the_bucket_is_encrypted_and_the_pointer_has_none_of_it(order: Any, bus: Any, bucket: Any) -> None:
    run({**EVENT, "order": order}, encrypt=["order.email"])

    (pointer,), (body,) = bus.events, bodies(bucket)
    assert pointer.keys() & {"order", "encryption"} == set()
    assert body["order"]["email"].startswith("ENCRYPTED")
    assert order["email"] not in json.dumps(body, ensure_ascii=False)
    assert encryption.decrypt(body)["order"] == order


@orders
def test_a_pointer_is_redeemed_before_it_is_decrypted_and_what_follows_is_large_and_encrypted_again(
    order: Any, bus: Any, bucket: Any
) -> None:
    run({**EVENT, "order": order}, encrypt=["order.email"])
    (pointer,) = bus.events

    (seen,) = run(pointer, decrypt=True)

    assert seen["order"] == order
    assert "claim_check" in bus.events[-1]
    assert [encryption.decrypt(body)["order"] for body in bodies(bucket)] == [order, order]
    assert all(body["order"]["email"].startswith("ENCRYPTED") for body in bodies(bucket))
    first, second = (body["order"]["email"] for body in bodies(bucket))
    assert first != second


@orders
def test_for_a_rule_that_does_not_decrypt_the_field_in_the_body_is_opaque(
    order: Any, bus: Any, kms: SimulatedKms
) -> None:
    run({**EVENT, "order": order}, encrypt=["order.email"])
    kms.calls.clear()

    (seen,) = run(bus.events[0], emit=None)

    assert seen["order"]["email"].startswith("ENCRYPTED")
    assert seen["order"] | {"email": ""} == order | {"email": ""}
    assert kms.calls == []


@orders
def test_a_body_with_a_damaged_field_is_a_fault_with_the_pointer(order: Any, bus: Any, bucket: Any) -> None:
    run({**EVENT, "order": order}, encrypt=["order.email"])
    (pointer,), (body,) = bus.events, bodies(bucket)
    text = body["order"]["email"]
    body["order"]["email"] = text[:-8] + ("A" if text[-8] != "A" else "B") + text[-7:]
    bucket.put_object(Bucket="claims", Key=pointer["claim_check"]["key"], Body=json.dumps(body).encode())

    assert run(pointer, decrypt=True) == []

    (fault,) = bus.of_type("fault")
    assert "'order.email' is damaged" in fault["err"]["message"]
    assert order["email"] not in json.dumps(fault, ensure_ascii=False)
