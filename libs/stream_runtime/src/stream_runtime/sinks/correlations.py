"""Rows that `evaluate` keeps in DynamoDB: in which order collected events arrived, and which record may publish."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stream_runtime import settings
from stream_runtime.engine.calls import call
from stream_runtime.engine.flow import Operator, compose
from stream_runtime.engine.operators import Unit, calls, rx_filter, rx_parallel
from stream_runtime.engine.run import Run
from stream_runtime.payload.attributes import marshall, unmarshall
from stream_runtime.queries.dynamodb import query_all

from .dynamodb import CONDITION_FAILED, is_condition_failed, to_typed

__all__ = ["claim_in_dynamodb", "file_in_dynamodb"]


def file_in_dynamodb(
    table_name: str | None = None,
    filing_field: str = "filing",
    filed_field: str = "filed",
    parallel: int | None = None,
    rate: float | None = None,
) -> Operator:
    """An operator that numbers rows in the order of their arrival, and gives each the rows up to its own.

    The row in a field of a unit of work has ``pk``, ``collected``, which identifies it among the rows of that ``pk``,
    ``awsregion``, and any other attributes; its ``sk`` is made here: the region, and the number after the last one
    there. A condition gives each number to one row; a writer that loses the race reads again. Of two rows, the one
    with the greater number sees both. A row that comes again finds its number, and sees what it saw before. Reads are
    consistent. In a global table each region has its own numbers, since a condition holds
    in one region only; rows of other regions are seen once they are there. Units of work without a row pass.

    Args:
        table_name: the table; ENTITY_TABLE_NAME or EVENT_TABLE_NAME by default.
        filing_field: where the row is.
        filed_field: where the rows up to the own one are put, in the order of their arrival.
        parallel: values of ``pk`` at once.
        rate: units of work a second.
    """

    def plan(_: Run, uows: Sequence[Any], results: list[Any]) -> list[list[Unit]]:
        rows: dict[str, list[Unit]] = {}
        for place, uow in enumerate(uows):
            row = uow.get(filing_field)
            if row is None:
                results[place] = uow
            else:
                rows.setdefault(row["pk"], []).append(Unit(uow, place, {row["pk"]}, row))
        return list(rows.values())

    def make(run: Run, request: Sequence[Unit], results: list[Any]) -> int:
        table = table_name or settings.table_name()
        there: list[dict[str, Any]] | None = None
        for unit in request:
            if not run.may_start(unit.uow):
                continue
            try:
                there = _with(table, unit.entry, _arrived(table, unit.entry["pk"]) if there is None else there)
            except Exception as error:
                run.fail(error, unit.uow)
                continue
            results[unit.place] = {**unit.uow, filed_field: _up_to(unit.entry, there)}
        return 0

    return calls(plan, make, step="file_in_dynamodb", parallel=parallel, rate=rate)


def _arrived(table: str, pk: str) -> list[dict[str, Any]]:
    """The rows that have a number, in its order."""
    rows = query_all(
        {
            "TableName": table,
            "KeyConditionExpression": "#pk = :pk",
            "ExpressionAttributeNames": {"#pk": "pk"},
            "ExpressionAttributeValues": {":pk": pk},
            "ConsistentRead": True,
        }
    )
    return [row for row in rows if "collected" in row]


def _with(table: str, row: Mapping[str, Any], there: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The numbered rows with a row among them, which gets the next number if it has none."""
    while _place_of(row, there) < 0:
        region = row["awsregion"]
        numbers = [int(other["sk"].rpartition("#")[2]) for other in there if other["awsregion"] == region]
        numbered = marshall({**row, "sk": f"{region}#{max(numbers, default=0) + 1:012}"})
        if _put_new(table, numbered) is None:
            return [*there, unmarshall(numbered)]
        there = _arrived(table, row["pk"])
    return there


def _place_of(row: Mapping[str, Any], there: Sequence[Mapping[str, Any]]) -> int:
    """The index of a row; -1 if it is not there."""
    return next((place for place, other in enumerate(there) if other["collected"] == row["collected"]), -1)


def _up_to(row: Mapping[str, Any], there: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    own = _place_of(row, there)
    return [other for place, other in enumerate(there) if place <= own or other["awsregion"] != row["awsregion"]]


def claim_in_dynamodb(
    table_name: str | None = None,
    marker_field: str = "marker",
    parallel: int | None = None,
    rate: float | None = None,
) -> Operator:
    """An operator that puts the marker row in a field of each unit of work, and passes on the units that own theirs.

    The first ``record`` to put a marker owns it, whenever it comes again; that others do not is an outcome, counted as
    a failed condition. A marker is kept as long as the longest ``ttl`` (s; None is for ever) that anybody put it with.

    Args:
        table_name: the table; ENTITY_TABLE_NAME or EVENT_TABLE_NAME by default.
        marker_field: where the row is: ``{"pk", "sk", "record", "ttl", ...}``.
        parallel: puts at once, in order for each partition key.
        rate: units of work a second.
    """

    def claim(run: Run, uow: Any) -> Any:
        marker = uow[marker_field]
        table = table_name or settings.table_name()
        there = _put_new(table, marshall(marker))
        if there is not None:
            _keep_longer(table, marker, there)
            if not _owns(marker, there):
                run.count(CONDITION_FAILED)
                return {**uow, marker_field: None}
        return uow

    return compose(
        rx_parallel(claim, parallel=parallel, rate=rate), rx_filter(lambda uow: uow[marker_field] is not None)
    )


def _owns(marker: Mapping[str, Any], there: Mapping[str, Any]) -> bool:
    return bool(there["record"] == marker["record"])


def _keep_longer(table: str, marker: Mapping[str, Any], there: Mapping[str, Any]) -> None:
    """Let a marker live as long as another record needs it."""
    until, kept = marker["ttl"], there["ttl"]
    if kept is None or (until is not None and until <= kept):
        return
    request = {
        "Key": {name: marker[name] for name in ("pk", "sk")},
        "UpdateExpression": "SET #ttl = :ttl",
        "ConditionExpression": "attribute_exists(#pk)" if until is None else "#ttl < :ttl",
        "ExpressionAttributeNames": {"#ttl": "ttl", **({"#pk": "pk"} if until is None else {})},
        "ExpressionAttributeValues": {":ttl": until},
    }
    try:
        call("dynamodb", "update_item", **to_typed(table, request))
    except Exception as error:
        if not is_condition_failed(error):
            raise


def _put_new(table: str, item: Mapping[str, Any]) -> dict[str, Any] | None:
    """Put an item with typed values if its key is free: None, or else the item that is there, with plain values.

    Source: DynamoDB API reference, "PutItem", ReturnValuesOnConditionCheckFailure.
    """
    try:
        call(
            "dynamodb",
            "put_item",
            TableName=table,
            Item=item,
            ConditionExpression="attribute_not_exists(#pk)",
            ExpressionAttributeNames={"#pk": "pk"},
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    except Exception as error:
        if not is_condition_failed(error):
            raise
        return unmarshall(getattr(error, "response", {})["Item"])
    return None
