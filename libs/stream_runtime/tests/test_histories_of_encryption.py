"""Histories of encrypted events whose keys fail: each is done once a key can be used, and nothing shows what it hid."""

import json
import random
from base64 import b64decode
from typing import Any

import pytest
from botocore.exceptions import ConnectTimeoutError
from simulated_kms import SimulatedKms, client_error
from stream_runtime import clients, encryption, stream_handler
from stream_runtime.events import from_kinesis, to_kinesis_records
from stream_runtime.flavors import task

HISTORIES = 60
RULES: list[dict[str, Any]] = [
    {
        "id": "reads",
        "flavor": task,
        "event_type": "asked",
        "decrypt": True,
        "emit": lambda uow, rule, template: {**template, "type": "answered", "person": uow["event"]["person"]},
    },
    {"id": "passes", "flavor": task, "event_type": "asked", "emit": lambda uow, rule, template: passed(uow, template)},
    {
        "id": "hides",
        "flavor": task,
        "event_type": "plain",
        "encrypt": ["person.name"],
        "emit": lambda uow, rule, template: {**template, "type": "hidden", "person": uow["event"]["person"]},
    },
    {"id": "notes", "flavor": task, "event_type": "asked", "decrypt": True, "execute": lambda uow: failed(uow)},
]


def passed(uow: Any, template: Any) -> Any:
    return {**template, "type": "passed", "person": uow["event"]["person"]}


def failed(uow: Any) -> None:
    if uow["event"]["person"].get("poison"):
        raise ValueError(f"cannot note {uow['event']['person']['name']}")


def name_of(number: int) -> str:
    return f"a person of number {number:04}"


def event_of(chance: random.Random, number: int) -> tuple[dict[str, Any], str]:
    """An event, and what is to come of it: good, poison or damaged."""
    person = {"name": name_of(number), "n": number}
    event = {"id": f"e{number}", "timestamp": 1_700_000_000_000 + number, "partition_key": f"k{chance.randrange(3)}"}
    if chance.randrange(3) == 0:
        return {**event, "type": "plain", "person": person}, "good"
    outcome = chance.choice(("good", "good", "good", "poison", "damaged"))
    if outcome == "poison":
        person["poison"] = True
    whole = encryption.encrypt({**event, "type": "asked", "person": person}, ["person.name"])
    if outcome == "damaged":
        text = whole["person"]["name"]
        whole["person"] = {**person, "name": text[:-6]}
    return whole, outcome


FAILURES = ("ThrottlingException", "timeout", "denied", "another key", "forgotten")


@pytest.mark.parametrize("seed", range(HISTORIES))
def test_every_record_ends_as_it_should(seed: int, bus: Any, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    chance = random.Random(seed)
    kms = SimulatedKms()
    clients.use("kms", kms)
    monkeypatch.setenv("ENCRYPTION_KEYS", "alias/fields")
    monkeypatch.setenv("RETRY_ATTEMPTS", "2")
    monkeypatch.setenv("DATA_KEY_USES", str(chance.choice((1, 2, 1000))))
    encryption.forget()
    made = [event_of(chance, number) for number in range(chance.randrange(1, 9))]
    records = to_kinesis_records([event for event, _ in made])["Records"]
    handler = stream_handler(RULES, from_kinesis)
    troubled = chance.randrange(6)
    start = invocations = 0
    while start < len(records):
        invocations += 1
        assert invocations < 40
        kms.fails, kms.denied, kms.names = [], set(), {"alias/fields": "one"}
        trouble = chance.choice(FAILURES) if invocations <= troubled else ""
        if trouble:
            encryption.forget()
        if trouble == "ThrottlingException":
            kms.fails = [client_error(trouble)] * chance.randrange(1, 5)
        elif trouble == "timeout":
            kms.fails = [ConnectTimeoutError(endpoint_url="kms")] * chance.randrange(1, 5)
        elif trouble == "denied":
            kms.denied = {"alias/fields"}
        elif trouble == "another key":
            kms.names = {"alias/fields": "two"}
        batch = records[start : start + chance.randrange(1, 5)]
        response = handler({"Records": batch}, None)
        failures = [each["itemIdentifier"] for each in response["batchItemFailures"]]
        start = int(failures[0]) if failures else start + len(batch)

    check(made, bus.events, kms)
    told = json.dumps(bus.events) + caplog.text
    assert not [number for number in range(len(made)) if name_of(number) in told]


def opened(event: dict[str, Any], kms: SimulatedKms) -> Any:
    """The person in an event, by the master key that it was encrypted with."""
    (wrapped,) = event["encryption"]["keys"].values()
    kms.names = {"alias/fields": json.loads(b64decode(wrapped))["master"]}
    encryption.forget()
    return encryption.decrypt(event)["person"]


def check(made: list[tuple[dict[str, Any], str]], published: list[dict[str, Any]], kms: SimulatedKms) -> None:
    kms.fails, kms.denied = [], set()
    found = {event["id"]: event for event in published}
    for event, outcome in made:
        number = event["person"]["n"]
        expected = {f"{event['id']}.{rule}" for rule in expected_of(event["type"], outcome)}
        assert {id_ for id_ in found if id_.startswith(f"{event['id']}.")} == expected
        if event["type"] == "plain":
            assert opened(found[f"{event['id']}.hides"], kms) == {"name": name_of(number), "n": number}
        elif outcome != "damaged":
            assert opened(found[f"{event['id']}.reads"], kms)["name"] == name_of(number)
        for id_ in expected:
            if id_.endswith(".fault"):
                assert found[id_]["uow"]["event"] == event


def expected_of(type_: str, outcome: str) -> set[str]:
    if type_ == "plain":
        return {"hides"}
    faults = {"poison": {"notes.fault"}, "damaged": {"reads.fault", "notes.fault"}}.get(outcome, set())
    return {"passes", *faults} | ({"reads"} if outcome != "damaged" else set())
