"""The events of all variants, and a Lambda context. Standard library only."""

from __future__ import annotations

import base64
import json
from typing import Any

EVENT_BYTES = 600


def events(count: int, types: int) -> list[dict[str, Any]]:
    """Events of 600 bytes of JSON with ``types`` different types and 500 partition keys, in turn."""
    return [_padded(_event(number, types)) for number in range(count)]


def _event(number: int, types: int) -> dict[str, Any]:
    story = f"story-{number % 500}"
    return {
        "id": f"{number:08}-0000-4000-8000-000000000000",
        "type": f"thing-{number % types}",
        "timestamp": 1_700_000_000_000 + number,
        "partition_key": story,
        "tags": {"region": "us-east-1", "source": "feed-service", "functionname": "feed", "pipeline": "p1"},
        "story": {"id": story, "title": f"Title {number}", "score": number / 7, "tags": ["a", "b"], "status": "new"},
    }


def _padded(event: dict[str, Any]) -> dict[str, Any]:
    event["story"]["text"] = ""
    missing = EVENT_BYTES - len(_json(event))
    event["story"]["text"] = ("lorem ipsum " * (missing // 12 + 1))[:missing]
    return event


def kinesis(events: list[dict[str, Any]]) -> dict[str, Any]:
    """An invocation as Lambda makes it, with a Kinesis record for each event."""
    return {
        "Records": [
            {
                "kinesis": {
                    "kinesisSchemaVersion": "1.0",
                    "partitionKey": event["partition_key"],
                    "sequenceNumber": f"4959033827149025660855969253836157{number:022}",
                    "data": base64.b64encode(_json(event)).decode("ascii"),
                    "approximateArrivalTimestamp": event["timestamp"] / 1000,
                },
                "eventSource": "aws:kinesis",
                "eventVersion": "1.0",
                "eventID": f"shardId-000000000006:4959033827149025660855969253836157{number:022}",
                "eventName": "aws:kinesis:record",
                "invokeIdentityArn": "arn:aws:iam::123456789012:role/lambda-role",
                "awsRegion": "us-east-1",
                "eventSourceARN": "arn:aws:kinesis:us-east-1:123456789012:stream/lambda-stream",
            }
            for number, event in enumerate(events)
        ]
    }


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


class Context:
    """A Lambda context with 60 s left."""

    function_name = "benchmark"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:us-east-1:000000000000:function:benchmark"
    aws_request_id = "request-1"

    def get_remaining_time_in_millis(self) -> int:
        return 60_000
