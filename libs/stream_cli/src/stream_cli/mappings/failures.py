"""The record about a given-up batch that its on-failure destination receives.

AWS Lambda developer guide, "Retain discarded batches with an on-failure destination". SQS and SNS get a pointer to the
records, S3 gets the invocation's event beside it.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from stream_cli.mappings.records import iso_time
from stream_cli.mappings.settings import MappingSettings
from stream_cli.mappings.shard import GivenUp


def on_failure_record(given_up: GivenUp, settings: MappingSettings, shard_id: str, now: float) -> dict[str, Any]:
    """The on-failure record; `now` is in Unix seconds. In S3 it also has `payload`, the invocation's event as text."""
    kinesis = settings.source.kind == "kinesis"
    records = given_up.records or ((given_up.reference,) if given_up.reference is not None else ())
    first, last = records[0], records[-1]
    precision = "milliseconds" if kinesis else "seconds"
    invocation = given_up.invocation
    record: dict[str, Any] = {
        "requestContext": {
            "requestId": invocation.request_id if invocation is not None else str(uuid.uuid4()),
            "functionArn": settings.function_arn,
            "condition": given_up.condition,
            # AWS counts one invocation for a record that was too old from the start.
            "approximateInvokeCount": max(given_up.invocations, 1),
        }
    }
    if given_up.condition != "RecordAgeExceeded":
        record["responseContext"] = {
            "statusCode": 200,
            "executedVersion": invocation.executed_version if invocation is not None else "$LATEST",
            "functionError": None if given_up.partial else "Unhandled",
        }
    record["version"] = "1.0"
    record["timestamp"] = iso_time(now, "milliseconds")
    record["KinesisBatchInfo" if kinesis else "DDBStreamBatchInfo"] = {
        "shardId": shard_id,
        "startSequenceNumber": first.sequence_number,
        "endSequenceNumber": last.sequence_number,
        "approximateArrivalOfFirstRecord": iso_time(first.arrival, precision),
        "approximateArrivalOfLastRecord": iso_time(last.arrival, precision),
        "batchSize": len(given_up.records),
        "streamArn": settings.source.stream_arn,
    }
    return record


def object_key(mapping_uuid: str, shard_id: str, now: float) -> str:
    """The key of the S3 object about a given-up batch; different at each call."""
    moment = datetime.fromtimestamp(now, UTC)
    return f"aws/lambda/{mapping_uuid}/{shard_id}/{moment:%Y/%m/%d}/{moment:%Y-%m-%dT%H.%M.%S}-{uuid.uuid4()}"
