"""The simulated DynamoDB answers as AWS was recorded to."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.config import Config
from item_requests import ITEM, ItemRequests, Table
from refusals import Refusal
from simulator.kernel import Kernel
from simulator.services.dynamodb import DynamoDB, IndexDescription, TableDescription


@pytest.fixture(scope="module")
def table() -> Table:
    description = TableDescription(
        Table.name,
        ("pk", "sk"),
        {"pk": "S", "sk": "S", "data": "S"},
        (IndexDescription("DataIndex", ("data",)), IndexDescription("KeysIndex", ("data",), "KEYS_ONLY")),
    )
    kernel = Kernel(1)
    service = DynamoDB(kernel, 1, [description])
    client: Any = boto3.client(
        "dynamodb",
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(parameter_validation=False),
    )

    def answer(operation: str, request: Any) -> Any:
        kernel.now_us += 60_000_000  # reads that are not consistent see what was written
        try:
            return getattr(service, operation)(with_bytes(request))
        except Refusal as refusal:
            error = refusal.as_client_error(operation)
            raise client.exceptions.from_code(refusal.code)(error.response, operation) from None

    client._make_api_call = answer
    client.put_item(TableName=Table.name, Item=ITEM)
    return Table(client)


class TestRequests(ItemRequests):
    """The simulated DynamoDB refuses and answers as AWS was recorded to."""


def with_bytes(value: Any) -> Any:
    """A request with binary values as bytes, as which boto3 would send these texts."""
    if isinstance(value, list):
        return [with_bytes(each) for each in value]
    if isinstance(value, dict):
        if isinstance(value.get("B"), str):
            return {**value, "B": value["B"].encode()}
        return {name: with_bytes(each) for name, each in value.items()}
    return value
