"""Writing records to Kinesis data streams, in as few PutRecords calls as number and size allow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stream_runtime import settings
from stream_runtime.aws.clients import client
from stream_runtime.engine.batching import BatchCall, rx_batched
from stream_runtime.engine.flow import Operator

from .entries import outcomes_by_place
from .limits import PUT_RECORDS
from .messages import as_bytes


def put_records_to_kinesis(
    stream_name: str | None = None,
    message_field: str = "message",
    put_response_field: str = "put_response",
    batch_size: int | None = None,
    max_request_size: int | None = None,
    parallel: int | None = None,
    rate: float | None = None,
) -> Operator:
    """An operator that puts the record in a field of each unit of work into a stream; units without one pass.

    A record is an entry of PutRecords, ``{"Data", "PartitionKey"?, "ExplicitHashKey"?}``; what is neither bytes nor
    text in ``Data`` is written as JSON. A record without a partition key gets the event's.

    Args:
        stream_name: the stream of records without a ``StreamName``; STREAM_NAME by default.
        message_field: where the record is.
        put_response_field: where ``{"SequenceNumber", "ShardId"}`` is put.
        batch_size: records in a call, at most 500.
        max_request_size: bytes of a call, partition keys included; 10 MiB by default.
        parallel: calls at once, in order for each partition key.
        rate: records a second.

    Source: Kinesis Data Streams API reference, "PutRecords" (the order within a call is not guaranteed).
    """

    def to_entry(uow: Any) -> Any:
        record = uow.get(message_field)
        if not record:
            return None
        stream = record.get("StreamName") or stream_name or settings.required(settings.STREAM_NAME)
        event = uow.get("event") or {}
        entry = {name: value for name, value in record.items() if name != "StreamName"}
        entry["Data"] = as_bytes(entry["Data"])
        entry["PartitionKey"] = str(entry.get("PartitionKey") or event.get("partition_key") or event["id"])
        return stream, entry

    def put_records(bodies: Sequence[Any]) -> Sequence[Any]:
        response = client("kinesis").put_records(StreamName=bodies[0][0], Records=[entry for _, entry in bodies])
        return outcomes_by_place(len(bodies), response.get("Records", []), "PutRecords")

    return rx_batched(
        BatchCall(
            entry=to_entry,
            send=put_records,
            response_field=put_response_field,
            limits=PUT_RECORDS,
            size=lambda body: len(body[1]["Data"]) + len(body[1]["PartitionKey"].encode()),
            identity=lambda body: (body[0], body[1]["PartitionKey"]),
            target=lambda body: body[0],
        ),
        batch_size=batch_size,
        max_request_size=max_request_size,
        parallel=parallel,
        rate=rate,
    )
