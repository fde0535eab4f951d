"""Rows of the stage's tables are read in bounded pages and shown without secrets; each has its history."""

from __future__ import annotations

import dataclasses
import json
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws
from stream_cli.console.application import Sources
from stream_cli.console.item_history import differences
from stream_cli.console.item_values import notes, plain, preview, shown
from stream_cli.journal.writer import Writer
from stream_runtime.payload.compression import compressed

NOW = 1_795_000_000_000
TABLE, NUMBERED, OTHER = "control-local-events", "control-local-numbered", "of-another-stack"
KEYS = {"pk": {"S": "thing-1"}, "sk": {"S": "EVENT"}}
SECRET = "correct-horse-9"


class Stage:
    """A connection to moto's tables; counts the requests to them."""

    def __init__(self, stage: str) -> None:
        self.stage = stage
        self.asked: list[str] = []

    def client(self, service: str) -> Any:
        client = boto3.client(service)  # type: ignore[call-overload]
        client.meta.events.register("before-call.dynamodb", lambda model, **_: self.asked.append(model.name))
        return client

    def resources(self) -> dict[str, list[str]]:
        return {"AWS::DynamoDB::Table": [TABLE, NUMBERED]}


@pytest.fixture
def dynamodb(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        client = boto3.client("dynamodb")
        for table, kinds in ((TABLE, "SS"), (NUMBERED, "BN"), (OTHER, "SS")):
            names = ["pk", "sk"]
            client.create_table(
                TableName=table, BillingMode="PAY_PER_REQUEST",
                AttributeDefinitions=[
                    {"AttributeName": name, "AttributeType": kind} for name, kind in zip(names, kinds, strict=True)
                ],
                KeySchema=[
                    {"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}
                ],
            )  # type: ignore[call-overload]  # fmt: skip
        yield client


@pytest.fixture
def stage() -> Stage:
    return Stage("local")


@pytest.fixture
def sources(sources: Sources, stage: Stage) -> Sources:
    return dataclasses.replace(sources, connection=lambda: stage)  # type: ignore[arg-type, return-value]


@pytest.fixture
def observed(tmp_path: Path) -> Iterator[Callable[..., None]]:
    writers = {name: Writer(tmp_path / "journal", name) for name in ("emulator", "mappings")}  # type: ignore[arg-type]

    def put(*lines: dict[str, Any]) -> None:
        for line in lines:
            writer = writers["mappings" if line["kind"] == "attempt" else "emulator"]
            writer.put(line)  # type: ignore[arg-type]
        for each in writers.values():
            each.flush()

    yield put
    for each in writers.values():
        each.close()


def put(dynamodb: Any, number: int, sort: str = "EVENT", **more: Any) -> None:
    keys = {"pk": {"S": f"thing-{number}"}, "sk": {"S": sort}}
    dynamodb.put_item(TableName=TABLE, Item={**keys, "title": {"S": f"Title {number}"}, **more})


def key_of(*texts: str) -> str:
    return urllib.parse.quote(json.dumps(texts), safe="")


def row_of(console: Any, *texts: str, table: str = TABLE) -> Any:
    return console.get(f"/api/items/{table}/{json.dumps(texts)}")


def test_tables_of_the_stages_stacks_are_listed_with_their_keys(console: Any, dynamodb: Any) -> None:
    put(dynamodb, 1)
    found = {each["name"]: each for each in console.get("/api/items").content["tables"]}
    assert list(found) == [TABLE, NUMBERED]
    assert found[TABLE]["keys"] == [{"name": "pk", "type": "S"}, {"name": "sk", "type": "S"}]
    assert (found[TABLE]["count"], found[TABLE]["has_stream"]) == (1, False)


@pytest.mark.parametrize("table", [OTHER, "nothing", "..", "%2e%2e"])
def test_a_table_of_another_stack_is_not_read(console: Any, dynamodb: Any, stage: Stage, table: str) -> None:
    assert console.get(f"/api/items/{table}").status == 404
    assert row_of(console, "thing-1", "EVENT", table=table).status == 404
    assert set(stage.asked) <= {"DescribeTable"}


def test_rows_come_in_pages_and_each_once(console: Any, dynamodb: Any, stage: Stage) -> None:
    for number in range(25):
        put(dynamodb, number)
    seen, after, pages = [], "", 0
    while after is not None:
        page = console.get(f"/api/items/{TABLE}?limit=10&after={after}").content
        assert len(page["rows"]) <= 10
        seen += [tuple(each["keys"]) for each in page["rows"]]
        after, pages = page["next"], pages + 1
    assert sorted(seen) == sorted((f"thing-{number}", "EVENT") for number in range(25))
    assert (pages, stage.asked.count("Scan"), stage.asked.count("DescribeTable")) == (3, 3, 2)


def test_rows_of_a_partition_are_found_by_the_beginning_of_their_sort_key(console: Any, dynamodb: Any) -> None:
    for sort in ("EVENT", "EVENT#2", "OTHER"):
        put(dynamodb, 1, sort)
    put(dynamodb, 2)

    def found(query: str) -> list[str]:
        return [each["keys"][1] for each in console.get(f"/api/items/{TABLE}?{query}").content["rows"]]

    assert found("partition=thing-1") == ["EVENT", "EVENT#2", "OTHER"]
    assert found("partition=thing-1&sort=EVENT") == ["EVENT", "EVENT#2"]
    assert found("partition=thing") == []
    assert console.get(f"/api/items/{TABLE}?sort=EVENT").content == {"error": "A search by sk needs pk, too."}


def test_numbers_and_binary_values_are_keys_too(console: Any, dynamodb: Any) -> None:
    for number in ("7", "70"):
        dynamodb.put_item(TableName=NUMBERED, Item={"pk": {"B": b"\x00\x01"}, "sk": {"N": number}})
    page = console.get(f"/api/items/{NUMBERED}?partition=AAE%3D&sort=7").content
    assert [each["keys"] for each in page["rows"]] == [["AAE=", "7"]]
    assert row_of(console, "AAE=", "70", table=NUMBERED).content["item"] == {"pk": "[binary, 2 bytes]", "sk": 70}


@pytest.mark.parametrize(
    "query",
    ["limit=x", "after=x", "after=%ff", "after=WyJhIl0=", "after=e30=", f"after={'W1' * 20_000}", "after=WzFd"],
)
def test_a_wrong_question_is_answered_with_what_is_wrong(console: Any, dynamodb: Any, query: str) -> None:
    answer = console.get(f"/api/items/{TABLE}?{query}")
    assert (answer.status, bool(answer.content["error"])) == (400, True)


@pytest.mark.parametrize("key", ["x", "{}", "[]", '["a"]', '["a","b","c"]', "[1,2]", "[" * 20_000, '["a", null]'])
def test_a_key_that_does_not_fit_the_table_is_told_so(console: Any, dynamodb: Any, key: str) -> None:
    answer = console.get(f"/api/items/{TABLE}/{key}")
    assert (answer.status, bool(answer.content["error"])) == (400, True)


def test_a_row_is_json_without_secrets(console: Any, dynamodb: Any) -> None:
    event = {"M": {"id": {"S": "e1"}, "password": {"S": SECRET}, "sizes": {"L": [{"N": "1"}, {"BOOL": True}]}}}
    put(dynamodb, 1, password={"S": SECRET}, event=event, photo={"B": b"12345"}, gone={"NULL": True})
    seen = row_of(console, "thing-1", "EVENT")
    assert seen.content["item"]["event"] == {"id": "e1", "password": "[redacted]", "sizes": [1, True]}
    assert (seen.content["item"]["photo"], seen.content["item"]["gone"]) == ("[binary, 5 bytes]", None)
    listed = console.get(f"/api/items/{TABLE}")
    assert SECRET not in seen.text + listed.text
    assert listed.content["rows"][0]["preview"].startswith("event: {3} · gone: None · password: [redacted] · photo:")


def test_a_row_that_never_was_is_not_there(console: Any, dynamodb: Any) -> None:
    assert row_of(console, "thing-1", "EVENT").status == 404


def change(
    kind: str, number: int, old: dict[str, Any] | None, new: dict[str, Any] | None, **more: Any
) -> dict[str, Any]:
    images = {name: {**KEYS, **image} for name, image in (("old", old), ("new", new)) if image is not None}
    return {"kind": "change", "at": NOW + number, "table": TABLE, "change": kind, "keys": KEYS, **images, **more}


def test_a_row_has_its_history_with_who_changed_it_and_for_which_event(
    console: Any, dynamodb: Any, observed: Callable[..., None]
) -> None:
    put(dynamodb, 1)
    record = {"stream": "hub", "shard": "0"}
    line = {"kind": "stream", "at": NOW, **record, "key": "k", "type": "submitted"}
    numbers = ["11", "12"]
    observed(
        *({**line, "number": number, "id": f"e{number}"} for number in numbers),
        {
            "kind": "attempt", "at": NOW, "mapping": "m", "function": "control-local-listener", **record,
            "numbers": numbers, "attempt": 1, "start": NOW, "outcome": "ok", "done": 2, "request": "request-1",
        },
        change(
            "INSERT", 1, None, {"status": {"S": "new"}, "event": {"S": "e12"}}, by="request-1",
            by_function="control-local-listener",
        ),
        {**change("INSERT", 2, None, {"status": {"S": "another row"}}), "keys": {**KEYS, "sk": {"S": "OTHER"}}},
        change("MODIFY", 3, {"status": {"S": "new"}, "token": {"S": "a" * 30}}, {"status": {"S": "ready"}}),
        change("REMOVE", 4, {"status": {"S": "ready"}}, None, expired=True),
    )  # fmt: skip
    seen = row_of(console, "thing-1", "EVENT").content
    removed, modified, inserted = seen["changes"]
    assert (removed["change"], removed["expired"], removed["request"]) == ("REMOVE", True, None)
    assert modified["attributes"] == [
        {"path": "status", "old": "new", "new": "ready"}, {"path": "token", "old": "[redacted]"},
    ]  # fmt: skip
    assert (inserted["function"], inserted["request"]) == ("control-local-listener", "request-1")
    assert inserted["events"] == [{"id": "e12", "type": "submitted"}]
    assert {"path": "status", "new": "new"} in inserted["attributes"]
    assert (seen["since"], seen["older"]) == (NOW, False)


def test_the_history_of_a_row_names_the_event_of_an_invocation_that_no_mapping_made(
    console: Any, dynamodb: Any, observed: Callable[..., None]
) -> None:
    put(dynamodb, 1)
    events = [{"id": id, "type": "submitted"} for id in ("e1", "e2")]
    call = {"kind": "call", "at": NOW, "function": "f", "start": NOW, "end": NOW, "outcome": "ok"}
    observed(
        {**call, "request": "resubmitted", "events": events},
        {**call, "request": "one", "events": events[:1]},
        {**call, "request": "none"},
        change("INSERT", 1, None, {"event": {"S": "e2"}}, by="resubmitted"),
        change("MODIFY", 2, {"n": {"N": "1"}}, {"n": {"N": "2"}}, by="one"),
        change("MODIFY", 3, {"n": {"N": "2"}}, {"n": {"N": "3"}}, by="none"),
    )
    seen = row_of(console, "thing-1", "EVENT").content
    assert [each["events"] for each in seen["changes"]] == [[], events[:1], events[1:]]


def test_a_row_that_is_gone_has_its_history(console: Any, dynamodb: Any, observed: Callable[..., None]) -> None:
    observed(change("REMOVE", 1, {"status": {"S": "ready"}}, None))
    seen = row_of(console, "thing-1", "EVENT").content
    assert (seen["item"], [each["change"] for each in seen["changes"]]) == (None, ["REMOVE"])


def test_of_very_many_changes_the_newest_are_shown(console: Any, dynamodb: Any, observed: Callable[..., None]) -> None:
    put(dynamodb, 1)
    observed(*(change("MODIFY", n, {"n": {"N": str(n)}}, {"n": {"N": str(n + 1)}}) for n in range(150)))
    seen = row_of(console, "thing-1", "EVENT").content
    assert (len(seen["changes"]), seen["older"]) == (100, True)
    assert seen["changes"][0]["attributes"] == [{"path": "n", "old": 149, "new": 150}]


def test_of_large_changes_fewer_are_compared(console: Any, dynamodb: Any, observed: Callable[..., None]) -> None:
    put(dynamodb, 1)
    images = [{"text": {"S": f"{number} " * 100_000}} for number in range(12)]
    observed(*(change("MODIFY", n, images[n], images[n + 1]) for n in range(11)))
    seen = row_of(console, "thing-1", "EVENT")
    assert (len(seen.content["changes"]), seen.content["older"]) == (4, True)
    assert len(seen.text) < 1024 * 1024


def test_at_a_stage_the_row_is_there_and_that_its_history_is_not_known_is_said(
    console: Any, dynamodb: Any, stage: Stage, observed: Callable[..., None]
) -> None:
    stage.stage = "dev"
    put(dynamodb, 1)
    observed(change("REMOVE", 1, {"status": {"S": "ready"}}, None))
    seen = row_of(console, "thing-1", "EVENT").content
    assert (seen["item"]["title"], seen["changes"]) == ("Title 1", [])
    assert seen["not_known"] == [
        "Not known here: what rows were before, because a table holds them as they are now; "
        "times are those of their events."
    ]


def test_differences_go_into_what_is_nested_and_into_what_is_compressed() -> None:
    def image(**thing: Any) -> dict[str, Any]:
        whole = {"id": "1", "title": "T" * 200, "secret": "none", **thing}
        packed = compressed({"thing": whole}, 10)["thing"]
        nested = {"M": {name: {"S": str(value)} for name, value in whole.items()}}
        return {"packed": {"S": packed}, "nested": nested, "same": {"S": "x"}, "list": {"L": [{"N": whole["id"]}]}}

    found = list(differences(image(id="1"), image(id="2")))
    assert found == [
        {"path": "packed.id", "old": "1", "new": "2"},
        {"path": "nested.id", "old": "1", "new": "2"},
        {"path": "list", "old": [1], "new": [2]},
    ]
    hidden = list(differences(image(secret="a-first-secret"), image(secret="another-secret")))
    assert [each["path"] for each in hidden] == ["packed", "nested.secret"]
    assert "a-first-secret" not in str(hidden)
    assert list(differences(image(), image())) == []
    assert list(differences(None, {"a": {"S": "1"}})) == [{"path": "a", "new": "1"}]


def test_of_very_many_attributes_the_first_are_shown() -> None:
    found = list(differences(None, {f"a{number}": {"S": "1"} for number in range(500)}))
    assert (len(found), found[-1]["path"]) == (201, "…")


def test_values_are_plain_and_exact() -> None:
    item = {
        "large": {"N": "12345678901234567890"}, "exact": {"N": "0.1"}, "long": {"N": "0.10000000000000000000001"},
        "tags": {"SS": ["a", "b"]}, "sizes": {"NS": ["1", "2.5"]}, "blobs": {"BS": [b"12"]}, "journal": {"B": "MTIz"},
    }  # fmt: skip
    assert plain(item) == {
        "large": "12345678901234567890", "exact": 0.1, "long": "0.10000000000000000000001", "tags": ["a", "b"],
        "sizes": [1, 2.5], "blobs": ["[binary, 2 bytes]"], "journal": "[binary, 3 bytes]",
    }  # fmt: skip


def test_what_is_packed_claimed_or_large_says_so() -> None:
    row = compressed({"body": {"id": "1", "text": "x" * 500}}, 10)
    values = plain({
        "body": {"S": row["body"]}, "large": {"S": "y" * 5000},
        "event": {"M": {"claim_check": {"M": {"bucket": {"S": "claims"}, "key": {"S": "claimchecks/1"}}}}},
    })  # fmt: skip
    assert shown(values)["body"]["id"] == "1"
    found = {each["path"]: each["what"] for each in notes(values)}
    assert found["event.claim_check"] == "its body is in s3://claims/claimchecks/1"
    assert found["body"].startswith("compressed")
    assert preview(values, ()).endswith("large: 5,000 characters")
