"""Writing records to Firehose delivery streams, in as few PutRecordBatch calls as number and size allow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stream_runtime import settings
from stream_runtime.aws.clients import client
from stream_runtime.engine.batching import BatchCall, rx_batched
from stream_runtime.engine.flow import Operator

from .entries import outcomes_by_place
from .limits import PUT_RECORD_BATCH
from .messages import as_bytes


def put_records_to_firehose(
    delivery_stream_name: str | None = None,
    message_field: str = "message",
    put_response_field: str = "put_response",
    batch_size: int | None = None,
    max_request_size: int | None = None,
    parallel: int | None = None,
    rate: float | None = None,
) -> Operator:
    """An operator that puts the record in a field of each unit of work into a delivery stream; units without one pass.

    A record is ``{"Data"}``; what is neither bytes nor text in it is written as one line of JSON, since Firehose puts
    nothing between the records of an object.

    Args:
        delivery_stream_name: the delivery stream of records without a ``DeliveryStreamName``;
            DELIVERY_STREAM_NAME by default.
        message_field: where the record is.
        put_response_field: where ``{"RecordId"}`` is put.
        batch_size: records in a call, at most 500.
        max_request_size: bytes of a call; 4 MiB by default.
        parallel: calls at once, in order for each partition key.
        rate: records a second.

    Source: Data Firehose API reference, "PutRecordBatch".
    """

    def to_entry(uow: Any) -> Any:
        record = uow.get(message_field)
        if not record:
            return None
        stream = (
            record.get("DeliveryStreamName") or delivery_stream_name or settings.required(settings.DELIVERY_STREAM_NAME)
        )
        return stream, {"Data": as_bytes(record["Data"], end="\n")}

    def put_record_batch(bodies: Sequence[Any]) -> Sequence[Any]:
        response = client("firehose").put_record_batch(
            DeliveryStreamName=bodies[0][0], Records=[entry for _, entry in bodies]
        )
        return outcomes_by_place(len(bodies), response.get("RequestResponses", []), "PutRecordBatch")

    return rx_batched(
        BatchCall(
            entry=to_entry,
            send=put_record_batch,
            response_field=put_response_field,
            limits=PUT_RECORD_BATCH,
            size=lambda body: len(body[1]["Data"]),
            target=lambda body: body[0],
        ),
        batch_size=batch_size,
        max_request_size=max_request_size,
        parallel=parallel,
        rate=rate,
    )
