"""Rules that get and publish events with encrypted fields: who sees what, what stays encrypted, what a failure is."""

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError
from simulated_kms import SimulatedKms, client_error
from stream_runtime import (
    DEFAULT_OPTIONS,
    ConfigurationError,
    InvalidRecord,
    InvalidSetting,
    StreamPipeline,
    clients,
    encryption,
    initialize_from,
)
from stream_runtime.events import data_keys, from_dynamodb, from_kinesis, to_dynamodb_records, to_kinesis_records
from stream_runtime.flavors import cdc, collect, correlate, evaluate, materialize, task
from stream_runtime.payload.compression import compressed

EMAIL = "ada@example.org"
EVENT = {
    "id": "e1",
    "type": "order-placed",
    "timestamp": 1_700_000_000_000,
    "partition_key": "o1",
    "order": {"id": "o1", "email": EMAIL, "lines": [{"card": "4111 1111"}, {"card": "4222 2222"}]},
}
FIELDS = ["order.email", "order.lines.*.card"]
SEES: dict[str, Any] = {"id": "sees", "flavor": task, "event_type": "order-placed", "decrypt": True}


@pytest.fixture(autouse=True)
def kms(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedKms]:
    """The KMS of the function's region; the process has no data keys yet."""
    monkeypatch.setenv("ENCRYPTION_KEYS", "alias/fields")
    kms = SimulatedKms()
    clients.use("kms", kms)
    encryption.forget()
    yield kms
    encryption.forget()


@pytest.fixture
def rows(table: Any, kms: SimulatedKms) -> Any:
    """The function's table, in an AWS whose KMS is this one."""
    clients.use("kms", kms)
    return table


def sealed(**fields: Any) -> dict[str, Any]:
    return encryption.encrypt({**EVENT, **fields}, FIELDS)


def process(rules: Any, *events: Any, **options: Any) -> Any:
    rules = rules if isinstance(rules, list) else [rules]
    seen: list[Any] = []
    pipeline = StreamPipeline(initialize_from(rules), {**DEFAULT_OPTIONS, **options})
    response = pipeline.assemble(from_kinesis(to_kinesis_records(events)), on_next=lambda _, uow: seen.append(uow))
    return response, seen


SPLITS: dict[str, Any] = {
    **SEES,
    "flavor": materialize,
    "split_on": "event.order.lines",
    "to_update_request": lambda uow: None,
}


def tells_no_secret(value: Any) -> bool:
    text = json.dumps(value, default=str)
    return not any(secret in text for secret in (EMAIL, "4111 1111", "4222 2222"))


# Who sees what


def test_a_rule_that_decrypts_gets_the_event_as_it_was(kms: SimulatedKms) -> None:
    _, (uow,) = process(SEES, sealed())
    assert uow["event"] == EVENT
    assert tells_no_secret(uow["received"])


def test_for_a_rule_that_does_not_decrypt_the_fields_are_opaque_and_kms_is_not_asked(kms: SimulatedKms) -> None:
    event = sealed()
    kms.calls.clear()
    encryption.forget()
    _, (uow,) = process({**SEES, "decrypt": False}, event)
    assert uow["event"] == event
    assert tells_no_secret(uow["event"])
    assert kms.calls == []


def test_an_event_without_encrypted_fields_needs_no_key(kms: SimulatedKms) -> None:
    _, (uow,) = process(SEES, EVENT)
    assert uow["event"] == EVENT
    assert kms.calls == []


def test_an_event_without_the_fields_to_encrypt_needs_no_key(kms: SimulatedKms, bus: Any) -> None:
    rule = {
        "id": "publishes",
        "flavor": task,
        "event_type": "order-placed",
        "emit": lambda uow, rule, template: {**template, "type": "order-taken", "order": {"id": "o1", "email": None}},
        "encrypt": FIELDS,
    }
    process(rule, EVENT)
    assert bus.events[0]["order"] == {"id": "o1", "email": None}
    assert kms.calls == []


def test_filters_and_keys_see_decrypted_fields() -> None:
    rule = {**SPLITS, "filters": [lambda uow: uow["event"]["order"]["email"] == EMAIL]}
    _, seen = process(rule, sealed())
    assert [uow["split"]["card"] for uow in seen] == ["4111 1111", "4222 2222"]


def test_compressed_and_frozen_events_are_decrypted(monkeypatch: pytest.MonkeyPatch) -> None:
    _, (uow,) = process(SEES, compressed(sealed(), 1), freeze=True)
    assert uow["event"] == EVENT
    with pytest.raises(TypeError, match="shared by all pipelines"):
        uow["event"]["order"]["email"] = "other"


# What is published


def test_a_rule_encrypts_the_fields_that_it_names(bus: Any) -> None:
    rule = {
        "id": "places",
        "flavor": task,
        "event_type": "order-placed",
        "emit": lambda uow, rule, template: {**template, "type": "order-seen", "order": uow["event"]["order"]},
        "encrypt": FIELDS,
    }
    process(rule, EVENT)
    (event,) = bus.events
    assert tells_no_secret(event)
    assert event["order"]["id"] == "o1"
    assert encryption.decrypt(event)["order"] == EVENT["order"]


def test_what_is_emitted_from_an_encrypted_event_inherits_what_was_encrypted(bus: Any) -> None:
    rule = {**SEES, "emit": lambda uow, rule, template: {**template, "type": "seen", "order": uow["event"]["order"]}}
    process(rule, sealed())
    (event,) = bus.events
    assert tells_no_secret(event)
    assert event["encryption"]["fields"] == FIELDS
    assert encryption.decrypt(event)["order"] == EVENT["order"]


def test_what_cannot_be_read_is_copied_with_its_header_and_read_where_copies_are_asked_for(bus: Any) -> None:
    def emit(uow: Any, rule: Any, template: Any) -> Any:
        return {**template, "type": "order-copied", "order": uow["event"]["order"]}

    process({**SEES, "decrypt": False, "emit": emit}, sealed())
    (copy,) = bus.events
    assert tells_no_secret(copy)
    for decrypt, found in ((True, []), ("inherited", [EVENT["order"]])):
        _, seen = process({**SEES, "event_type": "order-copied", "decrypt": decrypt}, copy)
        assert [uow["event"]["order"] for uow in seen] == found
    (fault,) = bus.of_type("fault")
    assert "'encryption' is of another object" in fault["err"]["message"]


@pytest.mark.parametrize("fields", [{"raw": {"new": 5, "old": "encryption"}}, {"raw": 5}, {"encryption": "by hand"}])
def test_fields_of_other_uses_are_published_as_they_are(bus: Any, fields: dict[str, Any]) -> None:
    emit = {**SEES, "emit": lambda uow, rule, template: {**uow["event"], **template, "type": "seen"}}
    process([emit, {**emit, "id": "opaque", "decrypt": False}], {**EVENT, **fields})
    assert [event["type"] for event in bus.events] == ["seen", "seen"]
    assert all(event | fields == event for event in bus.events)


@pytest.mark.parametrize(
    "emitted",
    [
        lambda order: {"mail": order["email"]},
        lambda order: {"order": {**order, "email": "eve@example.org"}},
        lambda order: {"order": {**order, "lines": list(order["lines"]), "note": order["email"]}},
    ],
)
def test_encrypted_text_where_nobody_could_decrypt_it_is_a_fault(bus: Any, emitted: Any) -> None:
    def emit(uow: Any, rule: Any, template: Any) -> Any:
        return {**template, "type": "copied", **emitted(uow["event"]["order"])}

    process({**SEES, "decrypt": False, "emit": emit}, sealed())
    (fault,) = bus.events
    assert fault["type"] == "fault"
    assert "nobody could decrypt it here; let the rule 'decrypt'" in fault["err"]["message"]


def test_faults_hold_what_came_and_no_text_tells_what_was_decrypted(bus: Any, caplog: Any) -> None:
    def fail(uow: Any) -> None:
        logging.getLogger("own").warning("sending to %s", uow["event"]["order"]["email"])
        raise ValueError(f"no mail server for {uow['event']['order']['email']}")

    event = sealed()
    with caplog.at_level(logging.DEBUG):
        process({**SEES, "execute": fail, "group": True}, event, sealed(id="e2"))
        process({**SPLITS, "to_update_request": fail}, event)
    assert [fault["type"] for fault in bus.events] == ["fault"] * 3
    assert tells_no_secret(bus.events)
    first = bus.events[0]
    assert first["uow"]["batch"][0]["event"] == event
    assert first["err"]["message"].startswith("no mail server for [redacted]")
    assert "sending to [redacted]" in caplog.text
    assert tells_no_secret(caplog.text)


def test_faults_are_published_where_no_key_can_be_used(bus: Any, kms: SimulatedKms) -> None:
    event = sealed()
    damaged = {**event, "order": {**event["order"], "email": "ENCRYPTEDAAAA"}}
    encryption.forget()
    process(SEES, damaged, encrypt=["uow.event"])
    (fault,) = bus.events
    assert fault["uow"]["event"] == damaged


# Rows


def row(**fields: Any) -> dict[str, Any]:
    whole = {"pk": "o1", "sk": "order", "discriminator": "order", "email": EMAIL, **fields}
    return encryption.encrypt(whole, ["email"], ["pk", "sk"])


def test_images_of_rows_are_decrypted_and_published_encrypted(bus: Any) -> None:
    rule = {
        "id": "publish",
        "flavor": cdc,
        "event_type": "order-updated",
        "decrypt": True,
        "encrypt": ["order.email"],
        "to_event": lambda uow: {"order": {"email": uow["event"]["raw"]["new"]["email"]}},
    }
    change = {"keys": {"pk": "o1", "sk": "order"}, "newImage": row(), "oldImage": row(email="old@example.org")}
    source = from_dynamodb(to_dynamodb_records([change]))
    StreamPipeline(initialize_from([rule]), DEFAULT_OPTIONS).assemble(source)
    (event,) = bus.events
    assert tells_no_secret(event)
    assert "old@example.org" not in json.dumps(event)
    whole = encryption.decrypt(event)
    assert whole["order"]["email"] == EMAIL
    assert (whole["raw"]["new"]["email"], whole["raw"]["old"]["email"]) == (EMAIL, "old@example.org")


def test_images_of_a_rule_that_does_not_decrypt_stay_as_the_rows_have_them(bus: Any) -> None:
    rule = {"id": "publish", "flavor": cdc, "event_type": "order-created"}
    change = {"keys": {"pk": "o1", "sk": "order"}, "newImage": row()}
    StreamPipeline(initialize_from([rule]), DEFAULT_OPTIONS).assemble(from_dynamodb(to_dynamodb_records([change])))
    (event,) = bus.events
    assert encryption.decrypt(event["raw"]["new"])["email"] == EMAIL
    with pytest.raises(InvalidRecord, match="is of another object"):
        encryption.decrypt({**event["raw"]["new"], "pk": "o2"})


def test_a_view_is_written_with_what_the_rule_encrypts(rows: Any) -> None:
    from stream_runtime.expressions import update_expression

    def to_row(uow: Any) -> Any:
        key = {"pk": uow["event"]["order"]["id"], "sk": "view"}
        made = encryption.encrypt({**key, "email": uow["event"]["order"]["email"]}, ["email"], ["pk", "sk"])
        return {"Key": key, **update_expression({name: made[name] for name in made if name not in key})}

    process({**SEES, "flavor": materialize, "to_update_request": to_row}, sealed())
    (stored,) = rows.scan()["Items"]
    assert tells_no_secret(stored)
    assert encryption.decrypt(stored)["email"] == EMAIL


TYPES = ["order-placed", "order-paid"]


def test_collected_and_correlated_rows_stay_encrypted_and_decide_over_decrypted_events(rows: Any, bus: Any) -> None:
    by_mail: dict[str, Any] = {"event_type": TYPES, "decrypt": True}
    store = {"id": "c", "flavor": collect, **by_mail, "correlation_key": "partition_key"}
    process(store, sealed(), sealed(id="e2", type="order-paid"))
    items = rows.scan()["Items"]
    assert len(items) == 2
    assert tells_no_secret(items)
    decide = {
        "id": "d",
        "flavor": evaluate,
        **by_mail,
        "expression": lambda uow: [each["order"]["email"] for each in uow["correlated"]] == [EMAIL, EMAIL],
        "emit": "order-complete",
    }
    again = {"id": "again", "flavor": correlate, **by_mail, "correlation_key": "order.id"}
    changes = [{"keys": {"pk": each["pk"], "sk": each["sk"]}, "newImage": each} for each in items]
    StreamPipeline(initialize_from([decide, again]), DEFAULT_OPTIONS).assemble(
        from_dynamodb(to_dynamodb_records(changes))
    )
    (event,) = bus.events
    assert event["type"] == "order-complete"
    assert encryption.decrypt(event)["order"] == EVENT["order"]
    assert len(rows.scan()["Items"]) == 6
    assert tells_no_secret(bus.events)
    assert tells_no_secret(rows.scan()["Items"])


def test_a_higher_order_event_of_a_rule_that_may_not_decrypt_keeps_the_header(rows: Any, bus: Any) -> None:
    process({"id": "c", "flavor": collect, "event_type": TYPES}, sealed())
    (stored,) = rows.scan()["Items"]
    change = {"keys": {"pk": stored["pk"], "sk": stored["sk"]}, "newImage": stored}
    rule = {"id": "d", "flavor": evaluate, "event_type": TYPES, "emit": "order-complete"}
    StreamPipeline(initialize_from([rule]), DEFAULT_OPTIONS).assemble(from_dynamodb(to_dynamodb_records([change])))
    (event,) = bus.events
    assert tells_no_secret(event)
    _, (uow,) = process({**SEES, "event_type": "order-complete", "decrypt": "inherited"}, event)
    assert uow["event"]["order"] == EVENT["order"]


# Failures


def left(response: Any) -> bool:
    return bool(response["batchItemFailures"])


@pytest.mark.parametrize("code", ["ThrottlingException", "KMSInternalException", "DependencyTimeoutException"])
def test_what_kms_refuses_for_now_is_tried_again(kms: SimulatedKms, bus: Any, code: str) -> None:
    event = sealed()
    encryption.forget()
    error = client_error(code)
    if code != "ThrottlingException":
        error = ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": 500}}, "Decrypt")
    kms.fails = [error, ConnectTimeoutError(endpoint_url="kms")]
    response, seen = process(SEES, event)
    assert not left(response)
    assert [uow["event"] for uow in seen] == [EVENT]


@pytest.mark.parametrize("rule", [SEES, {**SEES, "decrypt": False, "encrypt": ["note"], "emit": "seen"}])
def test_what_kms_goes_on_to_refuse_leaves_the_record(kms: SimulatedKms, bus: Any, rule: Any) -> None:
    event = sealed() if rule["decrypt"] else {**EVENT, "note": "n"}
    rule = (
        rule if rule["decrypt"] else {**rule, "emit": lambda uow, _, template: {**template, "type": "t", "note": "n"}}
    )
    encryption.forget()
    kms.fails = [client_error("ThrottlingException")] * 100
    response, seen = process(rule, event)
    assert left(response)
    assert (seen, bus.events) == ([], [])


@pytest.mark.parametrize("case", ["denied", "another key", "no such key", "no key of the region", "no setting"])
def test_a_key_that_cannot_be_used_is_configuration(
    kms: SimulatedKms, bus: Any, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    event = sealed()
    encryption.forget()
    if case == "denied":
        kms.denied.add("alias/fields")
    elif case == "another key":
        kms.names["alias/fields"] = "two"
    elif case == "no such key":
        monkeypatch.setenv("ENCRYPTION_KEYS", "alias/other")
    elif case == "no setting":
        monkeypatch.delenv("ENCRYPTION_KEYS")
    else:
        event["encryption"]["keys"] = {"sa-east-1": event["encryption"]["keys"]["us-west-2"]}
    response, seen = process(SEES, event)
    assert left(response)
    assert (seen, bus.events) == ([], [])


def damaged_key(event: Any) -> None:
    event["encryption"]["keys"]["us-west-2"] = "AAAA"


def damaged_value(event: Any) -> None:
    event["order"]["email"] = event["order"]["email"][:-8]


def of_another(event: Any) -> None:
    event["id"] = "e7"


def of_version_2(event: Any) -> None:
    event["encryption"]["v"] = 2


@pytest.mark.parametrize("damage", [damaged_key, damaged_value, of_another, of_version_2])
def test_what_is_damaged_is_poison_and_holds_up_nothing(bus: Any, damage: Any) -> None:
    bad = sealed()
    damage(bad)
    response, seen = process(SEES, bad, sealed(id="e2"))
    assert not left(response)
    assert [uow["event"]["id"] for uow in seen] == ["e2"]
    (fault,) = bus.events
    assert fault["err"]["name"] == "InvalidRecord"
    assert fault["uow"]["event"] == bad


def test_what_was_wrapped_for_something_else_is_refused(kms: SimulatedKms, bus: Any) -> None:
    event = sealed()
    other = kms.generate_data_key(KeyId="alias/fields", KeySpec="AES_256", EncryptionContext={"format": "other"})
    from base64 import b64encode

    event["encryption"]["keys"]["us-west-2"] = b64encode(other["CiphertextBlob"]).decode()
    process(SEES, event)
    assert "was made for something else" in bus.events[0]["err"]["message"]


def test_without_the_extra_the_error_says_what_to_require(monkeypatch: pytest.MonkeyPatch) -> None:
    event = sealed()
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(ConfigurationError, match=r"require stream-runtime\[encryption\]"):
        encryption.decrypt(event)
    with pytest.raises(ConfigurationError, match=r"require stream-runtime\[encryption\]"):
        sealed()


# Data keys


def test_a_data_key_serves_many_events_over_invocations(kms: SimulatedKms) -> None:
    events = [sealed(id=f"e{number}") for number in range(20)]
    assert [operation for operation, _ in kms.calls] == ["GenerateDataKey"]
    for event in events:
        process(SEES, event)
    assert [operation for operation, _ in kms.calls] == ["GenerateDataKey", "Decrypt"]


def test_a_data_key_is_used_for_so_many_events(kms: SimulatedKms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_KEY_USES", "3")
    keys = [sealed()["encryption"]["keys"]["us-west-2"] for _ in range(7)]
    assert [keys.count(key) for key in dict.fromkeys(keys)] == [3, 3, 1]


def test_data_keys_are_kept_for_so_long(kms: SimulatedKms, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1_000_000]
    monkeypatch.setattr(data_keys, "now_ms", lambda: now[0])
    event = sealed()
    for later_ms, calls in ((0, 1), (299_999, 0), (1, 2), (0, 0), (-1, 2)):
        now[0] += later_ms
        kms.calls.clear()
        process(SEES, event)
        sealed()
        assert len(kms.calls) == calls, later_ms


def test_several_threads_make_one_data_key(kms: SimulatedKms) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        keys = {event["encryption"]["keys"]["us-west-2"] for event in pool.map(lambda _: sealed(), range(64))}
    assert len(keys) == 1
    assert len(kms.calls) == 1


def test_at_most_a_thousand_opened_keys_are_kept(kms: SimulatedKms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_KEY_USES", "1")
    monkeypatch.setattr(data_keys, "_MOST_KEPT", 3)
    events = [sealed() for _ in range(5)]
    for event in events:
        encryption.decrypt(event)
    kms.calls.clear()
    for event in reversed(events):
        encryption.decrypt(event)
    assert len(kms.calls) == 2


# Regions

EAST = "arn:aws:kms:us-east-1:123456789012:key/east"
WEST = "arn:aws:kms:us-west-2:123456789012:alias/west"


@pytest.fixture
def regions(monkeypatch: pytest.MonkeyPatch) -> dict[str, SimulatedKms]:
    """Two regions, each with a master key."""
    monkeypatch.setenv("ENCRYPTION_KEYS", f"{EAST}, {WEST}")
    regions = {"us-east-1": SimulatedKms("us-east-1", {EAST: "e"}), "us-west-2": SimulatedKms("us-west-2", {WEST: "w"})}
    clients.use("kms", regions["us-west-2"])
    clients.use("kms in us-east-1", regions["us-east-1"])
    return regions


def test_the_data_key_is_wrapped_in_each_region_and_opened_in_ones_own(regions: dict[str, SimulatedKms]) -> None:
    event = sealed()
    assert sorted(event["encryption"]["keys"]) == ["us-east-1", "us-west-2"]
    assert regions["us-west-2"].calls == [("GenerateDataKey", WEST)]
    assert regions["us-east-1"].calls == [("Encrypt", EAST)]
    encryption.decrypt(event)
    assert regions["us-west-2"].calls[1:] == [("Decrypt", WEST)]


def test_another_region_opens_what_ones_own_cannot_for_now(
    regions: dict[str, SimulatedKms], monkeypatch: pytest.MonkeyPatch
) -> None:
    event = sealed()
    regions["us-west-2"].fails = [client_error("ThrottlingException")] * 100
    assert encryption.decrypt(event) == EVENT
    assert regions["us-east-1"].calls[1:] == [("Decrypt", EAST)]
    encryption.decrypt(event)
    assert len(regions["us-east-1"].calls) == 2


def test_a_region_that_denies_is_not_passed_over(regions: dict[str, SimulatedKms]) -> None:
    event = sealed()
    regions["us-west-2"].denied.add(WEST)
    with pytest.raises(ClientError, match="AccessDenied"):
        encryption.decrypt(event)


def test_a_function_that_moved_opens_what_its_old_region_wrapped(regions: dict[str, SimulatedKms]) -> None:
    event = sealed()
    del event["encryption"]["keys"]["us-west-2"]
    assert encryption.decrypt(event) == EVENT


@pytest.mark.parametrize(
    "value",
    [
        "key:one",
        "one,two",
        "arn:aws:s3:::bucket",
        "arn:aws:kms:us-east-1:1:stack/x",
        f"{EAST},{EAST}",
        "alias/a,alias/b",
    ],
)
def test_a_setting_that_names_no_keys_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("ENCRYPTION_KEYS", value)
    with pytest.raises(InvalidSetting, match="ENCRYPTION_KEYS"):
        sealed()


def test_a_function_without_encrypted_fields_imports_none_of_it() -> None:
    code = """
import sys
from stream_runtime import stream_handler
from stream_runtime.flavors import task
from stream_runtime.events import from_kinesis, to_kinesis_records
rules = [{"id": "r", "flavor": task, "event_type": "x", "execute": len}]
stream_handler(rules, from_kinesis)(to_kinesis_records([{"id": "1", "type": "x"}]), None)
print(*sorted(name for name in sys.modules if "encryption" in name or "data_keys" in name or name == "cryptography"))
"""
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "\n"
