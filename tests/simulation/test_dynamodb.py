"""The simulated DynamoDB answers generated requests as two other implementations do: the local cloud's, and moto.

What moto is known to do in another way than AWS is left out, with the source that says so.
"""

from __future__ import annotations

import base64
import copy
import functools
import importlib
import json
import random
import re
from collections.abc import Callable
from decimal import Decimal
from itertools import chain
from typing import Any

import pytest
from item_sequences import Request, RequestsOfASeed
from ministack.services import dynamodb as ministack
from moto.core.exceptions import JsonRESTError, ServiceException
from moto.dynamodb.responses import DynamoHandler
from refusals import Refusal
from sample_sizes import sample_of
from simulator.kernel import Kernel
from simulator.services.dynamodb import DynamoDB, TableDescription
from stream_cli.local.emulator import dynamodb, table_streams

SEQUENCES = 800
SEQUENCES_FOR_MOTO = 400
LENGTH = 8
MOST_PAGES = 50
MINUTE_US = 60_000_000
Answer = tuple[str, Any]


# --- who answers ---


def simulated(service: DynamoDB, request: Request) -> Answer:
    """A minute after the request before, so that reads see what was written."""
    operation, content = request
    service.kernel.now_us += MINUTE_US
    try:
        return "ok", getattr(service, operation)(content)
    except Refusal as error:
        return error.code, error.more


class LocalCloud:
    """The local cloud's DynamoDB in this process."""

    ties = True

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for patch in (dynamodb, table_streams):
            for module, names in patch.INTERNALS.items():
                owner = importlib.import_module(module)
                for name in names:
                    monkeypatch.setattr(owner, name, getattr(owner, name))  # undone at the end of the test
        for name in ("_operand", "_primary", "_fn_size"):
            monkeypatch.setattr(ministack._ExprEval, name, getattr(ministack._ExprEval, name))
        dynamodb.patch()
        table_streams.patch()

    def answer(self, request: Request) -> Answer:
        operation, content = request
        headers = {"x-amz-target": f"DynamoDB_20120810.{operation}"}
        handling = ministack.handle_request("POST", "/", headers, json.dumps(in_json(content)).encode(), {})
        with pytest.raises(StopIteration) as ended:
            handling.send(None)
        status, _, body = ended.value.value
        response = json.loads(body)
        return ("ok", response) if status == 200 else (response["__type"].rpartition("#")[2], response)

    def records(self, table: str) -> list[Any]:
        """What is on the stream of a table."""
        return list(ministack._stream_records.get(table, ()))


class Moto:
    """moto's DynamoDB, without HTTP. A sum is written as Python does, 3.0; on AWS a number has one text."""

    ties = False

    def __init__(self) -> None:
        self.handler: Any = DynamoHandler()
        self.handler.current_account, self.handler.region = "123456789012", "us-east-1"

    def answer(self, request: Request) -> Answer:
        operation, content = request
        self.handler.body = in_json(copy.deepcopy(content))
        method = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in operation)[1:]
        try:
            return "ok", with_one_text(copy.deepcopy(getattr(self.handler, method)().result))
        except (JsonRESTError, ServiceException) as error:
            return str(error.error_type).rpartition("#")[2], with_one_text(json.loads(error.description))

    def records(self, _: str) -> None:
        """It is not asked for them."""


def with_one_text(value: Any) -> Any:
    """An answer whose numbers have no zeros at their ends."""
    if isinstance(value, list):
        return [with_one_text(each) for each in value]
    if isinstance(value, dict):
        return {
            name: format(Decimal(each).normalize(), "f")
            if name == "N" and isinstance(each, str)
            else with_one_text(each)
            for name, each in value.items()
        }
    return value


def in_json(value: Any) -> Any:
    """A request or an answer as JSON has it: binary values are base64."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, list):
        return [in_json(each) for each in value]
    if isinstance(value, dict):
        return {name: in_json(each) for name, each in value.items()}
    return value


def create_table(table: TableDescription) -> Request:
    def schema(key: tuple[str, ...]) -> list[dict[str, str]]:
        kinds = ("HASH", "RANGE")
        return [{"AttributeName": name, "KeyType": kind} for name, kind in zip(key, kinds, strict=False)]

    indexes = [
        {
            "IndexName": index.name,
            "KeySchema": schema(index.key),
            "Projection": {
                "ProjectionType": index.projection,
                **({"NonKeyAttributes": list(index.included)} if index.included else {}),
            },
        }
        for index in table.indexes
    ]
    return "CreateTable", {
        "TableName": table.name,
        "KeySchema": schema(table.key),
        "AttributeDefinitions": [{"AttributeName": name, "AttributeType": kind} for name, kind in table.types.items()],
        "BillingMode": "PAY_PER_REQUEST",
        "StreamSpecification": {"StreamEnabled": True, "StreamViewType": table.view},
        **({"GlobalSecondaryIndexes": indexes} if indexes else {}),
    }


# --- what is compared ---


def whole(ask: Callable[[Request], Answer], request: Request) -> list[Answer]:
    """The answer to a request, and to those for the pages that follow."""
    operation, content = request
    answers = [ask(request)]
    while answers[-1][0] == "ok" and answers[-1][1].get("LastEvaluatedKey") and len(answers) < MOST_PAGES:
        answers.append(ask((operation, {**content, "ExclusiveStartKey": answers[-1][1]["LastEvaluatedKey"]})))
    return answers


def all_compared(request: Request, answers: list[Answer], *, ties: bool) -> Any:
    """What a request comes to; pages of a scan together, as it has no order."""
    found = [compared(request, answer, ties=ties) for answer in answers]
    if request[0] != "Scan" or answers[0][0] != "ok":
        return found
    items, counts, scanned = zip(*found, strict=True)
    return sorted(chain.from_iterable(items), key=str), sum(counts), sum(scanned)


def compared(request: Request, answer: Answer, *, ties: bool) -> Any:
    """What an answer comes to, without what has no order or is not ours.

    Args:
        ties: whether items with the same key of an index have an order, of which AWS says nothing.
    """
    operation, content = request
    code, response = answer
    response = unordered(in_json(response))
    if operation == "TransactWriteItems" and is_refused(answer):
        return "refused"  # for whichever of its mistakes
    if code != "ok":
        reasons = [(each["Code"], each.get("Item")) for each in response.get("CancellationReasons") or ()]
        return code, reasons, response.get("Item")
    match operation:
        case "Scan":
            return sorted(response["Items"], key=str), response["Count"], response["ScannedCount"]
        case "Query" if "IndexName" in content and not ties:
            return sorted(response["Items"], key=str), response["Count"], response["ScannedCount"]
        case "Query":
            return tuple(response.get(name) for name in ("Items", "Count", "ScannedCount", "LastEvaluatedKey"))
        case "BatchGetItem":
            return {name: sorted(items, key=str) for name, items in response["Responses"].items()}
        case "GetItem":
            return response.get("Item")
    return response.get("Attributes") or None


def unordered(value: Any) -> Any:
    """A value in which sets have an order, and attributes theirs."""
    if isinstance(value, list):
        return [unordered(each) for each in value]
    if isinstance(value, dict):
        if len(value) == 1:
            ((kind, inner),) = value.items()
            if kind in ("SS", "NS", "BS"):
                return {kind: sorted(inner)}
        return {name: unordered(value[name]) for name in sorted(value)}
    return value


# --- what is known to differ from AWS ---


def moto_differs(request: Request, service: DynamoDB, table: TableDescription) -> bool:
    """Whether moto is known to answer otherwise than AWS.

    - An update that only takes away from what is not there makes an item; see `item_requests`.
    - UPDATED_NEW has the key of a new item, and attributes with removed parts; API reference, "UpdateItem": "only the
      updated attributes".
    - A filter of an index sees what the index has not; see `item_requests`.
    - `size` of what is not there is refused; developer guide: "Condition and filter expressions".
    - A page that ends with its limit has no LastEvaluatedKey if there is no more; on AWS it has one (API reference,
      "Query": "if LastEvaluatedKey is not empty, it does not necessarily mean that there is more data").
    - Of several elements of a list that a projection names, the last is shown; API reference, "ProjectionExpression":
      "these attributes can include scalars, sets, or elements of a JSON document".
    """
    _, content = request
    partial = {index.name for index in table.indexes if index.projection != "ALL"}
    return (
        takes_from_nothing(request, service)
        or content.get("ReturnValues", "").startswith("UPDATED")
        or (content.get("IndexName") in partial and "FilterExpression" in content)
        or "size(" in str(content)
        or "Limit" in content
        or str(content).count("l[") > 1
    )


def takes_from_nothing(request: Request, service: DynamoDB) -> bool:
    operation, content = request
    members = content["TransactItems"] if operation == "TransactWriteItems" else [{"Update": content}]
    updates = [member["Update"] for member in members if "UpdateExpression" in member.get("Update", {})]
    return any(
        not re.search(r"\b(SET|ADD) ", update["UpdateExpression"])
        and simulated(service, ("GetItem", {"TableName": update["TableName"], "Key": update["Key"]})) == ("ok", {})
        for update in updates
    )


def is_refused(answer: Answer) -> bool:
    """Whether a request is no good; moto takes many of these, see `test_recorded_requests`."""
    code, response = answer
    reasons = {reason["Code"] for reason in response.get("CancellationReasons", ())}
    return code == "ValidationException" or "ValidationError" in reasons


# --- playing ---


def play(
    sequence: RequestsOfASeed,
    seed: int,
    other: LocalCloud | Moto,
    differs: Callable[[Request, DynamoDB, TableDescription], bool] = lambda *_: False,
    asks: Callable[[Answer], bool] = lambda _: True,
) -> str | None:
    """The first difference between the answers to a sequence, or between what it leaves.

    Args:
        differs: whether a request is left out.
        asks: whether the other one is asked what was answered so here.
    """
    table = sequence.table
    service = DynamoDB(Kernel(seed), seed, [table])
    assert other.answer(create_table(table))[0] == "ok"
    everything: Request = ("Scan", {"TableName": table.name, "ConsistentRead": True})
    try:
        for request in (*sequence.requests(LENGTH), everything):
            if differs(request, service, table):
                continue
            ours = whole(functools.partial(simulated, service), request)
            if not asks(ours[0]):
                continue
            theirs = whole(other.answer, request)
            if all_compared(request, ours, ties=other.ties) != all_compared(request, theirs, ties=other.ties):
                return f"{request}\nsimulated: {ours}\nthe other: {theirs}"
        recorded = other.records(table.name)
        if recorded is not None and changes(recorded) != changes(records(service, table)):
            return f"simulated: {changes(records(service, table))}\nthe other: {changes(recorded)}"
        return None
    finally:
        other.answer(("DeleteTable", {"TableName": table.name}))


def records(service: DynamoDB, table: TableDescription) -> list[Any]:
    stream = service.streams[table.stream_arn or ""]
    return [record for shard in stream.shards() for record in stream.read(shard.id).records]


def changes(recorded: list[Any]) -> dict[str, list[Any]]:
    """By an item's key, its changes in their order."""
    found: dict[str, list[Any]] = {}
    for record in recorded:
        change = unordered(record["dynamodb"])
        images = (change.get("OldImage"), change.get("NewImage"), change["SizeBytes"])
        found.setdefault(str(change["Keys"]), []).append((record["eventName"], *images))
    return found


@pytest.mark.parametrize("plain", [True, False], ids=["plain", "any"])
def test_answers_are_those_of_the_local_cloud(monkeypatch: pytest.MonkeyPatch, plain: bool) -> None:
    local_cloud = LocalCloud(monkeypatch)
    for seed in seeds(SEQUENCES):
        sequence = RequestsOfASeed(seed, f"table{seed}", plain=plain)
        assert play(sequence, seed, local_cloud) is None, seed


def test_answers_to_plain_requests_are_those_of_moto() -> None:
    moto = Moto()
    for seed in seeds(SEQUENCES_FOR_MOTO):
        sequence = RequestsOfASeed(seed, f"table{seed}", plain=True)
        assert play(sequence, seed, moto, moto_differs, asks=lambda answer: not is_refused(answer)) is None, seed
    moto.handler.dynamodb_backend.reset()


def seeds(count: int) -> range:
    """As many as this run plays: others each time, and the first of all with THOROUGH."""
    played = sample_of(count)
    start = 0 if played == count else random.randrange(1_000_000)
    return range(start, start + played)
