"""The simulated DynamoDB answers as AWS was recorded to."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.config import Config
from item_requests import (
    ITEM,
    Table,
    test_a_batch_or_transaction_is_refused_as_a_whole,
    test_a_condition_holds_as_on_aws,
    test_a_condition_is_refused_as_on_aws,
    test_a_failed_condition_is_no_mistake_and_shows_the_item_if_asked,
    test_a_filter_is_refused_as_on_aws_whether_or_not_there_are_items,
    test_a_filter_of_an_index_sees_what_the_index_has,
    test_a_key_condition_is_refused_as_on_aws,
    test_a_key_that_does_not_fit_is_refused_by_every_operation,
    test_a_projection_is_refused_as_on_aws,
    test_a_sum_has_38_digits,
    test_an_item_is_refused_by_every_write,
    test_an_update_is_refused_as_on_aws_and_changes_nothing,
    test_an_update_that_only_takes_away_makes_no_item,
    test_elements_of_a_list_keep_their_numbers_in_an_update,
    test_placeholders_are_refused_as_on_aws,
    test_updated_parts_are_shown_and_not_what_is_around_them,
)
from simulator.kernel import Kernel
from simulator.refusals import Refusal
from simulator.services.dynamodb import DynamoDB, IndexDescription, TableDescription

__all__ = [
    "test_a_batch_or_transaction_is_refused_as_a_whole",
    "test_a_condition_holds_as_on_aws",
    "test_a_condition_is_refused_as_on_aws",
    "test_a_failed_condition_is_no_mistake_and_shows_the_item_if_asked",
    "test_a_filter_is_refused_as_on_aws_whether_or_not_there_are_items",
    "test_a_filter_of_an_index_sees_what_the_index_has",
    "test_a_key_condition_is_refused_as_on_aws",
    "test_a_key_that_does_not_fit_is_refused_by_every_operation",
    "test_a_projection_is_refused_as_on_aws",
    "test_a_sum_has_38_digits",
    "test_an_item_is_refused_by_every_write",
    "test_an_update_is_refused_as_on_aws_and_changes_nothing",
    "test_an_update_that_only_takes_away_makes_no_item",
    "test_elements_of_a_list_keep_their_numbers_in_an_update",
    "test_placeholders_are_refused_as_on_aws",
    "test_updated_parts_are_shown_and_not_what_is_around_them",
]


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


def with_bytes(value: Any) -> Any:
    """A request with binary values as bytes, as which boto3 would send these texts."""
    if isinstance(value, list):
        return [with_bytes(each) for each in value]
    if isinstance(value, dict):
        if isinstance(value.get("B"), str):
            return {**value, "B": value["B"].encode()}
        return {name: with_bytes(each) for name, each in value.items()}
    return value
