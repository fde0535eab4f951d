"""Rules and their functions as a service would type them; mypy must report the lines that are marked, and no others."""

import re
from collections.abc import Mapping
from typing import Any

from stream_runtime import stream_handler
from stream_runtime.events import (
    DynamodbRecord,
    KinesisRecord,
    S3Record,
    SqsRecord,
    UnitOfWork,
    from_dynamodb,
    from_kinesis,
)
from stream_runtime.expressions import update_expression
from stream_runtime.flavors import (
    CollectRule,
    CollectUow,
    EvaluateRule,
    EvaluateUow,
    MaterializeRule,
    MaterializeUow,
    TaskRule,
    TaskUow,
    collect,
    evaluate,
    materialize,
    task,
)


def is_large(uow: UnitOfWork[KinesisRecord]) -> bool:
    return len(uow["record"]["kinesis"]["data"]) > 1_000_000


def to_row(uow: MaterializeUow[KinesisRecord], rule: Mapping[str, Any]) -> dict[str, Any]:
    thing = uow["event"]["thing"]
    return {"Key": {"pk": thing["id"], "sk": rule["id"]}, **update_expression(thing)}


def to_waiting_row(
    uow: CollectUow[KinesisRecord], rule: Mapping[str, Any], template: Mapping[str, Any]
) -> Mapping[str, Any]:
    return {"Item": {**template["Item"], "waiting": uow["key"]}}


LISTENER: list[MaterializeRule | CollectRule] = [
    {
        "id": "view",
        "flavor": materialize,
        "event_type": re.compile("^thing-"),
        "filters": [is_large, lambda uow, rule: not is_large(uow)],
        "to_update_request": to_row,
        "compact": True,
    },
    {
        "id": "collect",
        "flavor": collect,
        "event_type": ["submitted", "analyzed"],
        "correlation_key": lambda uow: uow["event"]["item"]["id"],
        "ttl": lambda rule, uow: int(uow["event"]["timestamp"]) // 1000,
        "expire": "too-late",
        "to_put_request": to_waiting_row,
    },
]
listener = stream_handler(LISTENER, from_kinesis)


def is_complete(uow: EvaluateUow[DynamodbRecord]) -> bool:
    return uow["record"]["eventName"] == "INSERT" and len(uow["correlated"]) == 2


TRIGGER: list[EvaluateRule] = [
    {
        "id": "ready",
        "flavor": evaluate,
        "event_type": ("submitted", "analyzed"),
        "expression": is_complete,
        "emit": lambda uow, rule, template: {**template, "type": "ready"},
    }
]
trigger = stream_handler(TRIGGER, from_dynamodb)


def to_priced(uow: TaskUow[SqsRecord], rule: Mapping[str, Any], template: dict[str, Any]) -> dict[str, Any]:
    return {**template, "type": "priced", "price": uow["result"], "message": uow["record"]["messageId"]}


PRICE: TaskRule = {"id": "price", "flavor": task, "event_type": "created", "execute": len, "emit": to_priced}

# What follows is wrong.


def size_of(uow: UnitOfWork[S3Record]) -> int:
    return int(uow["record"]["s3"]["object"]["size"]) + int(uow["recrod"]["s3"])  # error: typeddict-item


def key_of(uow: CollectUow[KinesisRecord]) -> str:
    return str(uow["correlation_key"])  # error: typeddict-item


def three(one: Any, two: Any, more: Any) -> dict[str, Any]:
    return {}


MISSPELLED: MaterializeRule = {  # error: typeddict-item, typeddict-unknown-key
    "id": "m",
    "flavor": materialize,
    "event_type": "x",
    "to_update_requst": to_row,
}
WRONG: list[TaskRule] = [
    {
        "id": "t",
        "flavor": task,
        "event_type": 5,  # error: typeddict-item
        "parallel": "many",  # error: typeddict-item
        "execute": three,  # error: typeddict-item
        "emit": to_row,  # error: typeddict-item
    }
]
