"""Records as filters see them, and short names of what ARNs name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stream_cli.faults.secret_text import redacted_text
from stream_cli.journal.lines import AttemptLine, EventLine
from stream_cli.trace.gathered import RecordLine, image_of


def record_as_filters_see(line: RecordLine, event: EventLine | None) -> dict[str, Any] | None:
    """A record as the filters of a mapping see it, as far as it was observed; None if its data was not."""
    if line["kind"] == "change":
        images = {"Keys": line["keys"], "OldImage": line.get("old"), "NewImage": line.get("new")}
        record: dict[str, Any] = {name: image for name, image in images.items() if image is not None}
        record["SequenceNumber"] = line.get("number")
        return {"eventName": line["change"], "eventSource": "aws:dynamodb", "dynamodb": record}
    if event is None:
        return None
    data: Any = event["detail"]
    if "bus_id" in line:
        data = {"id": event["id"], "detail-type": event["type"], "source": event["source"], "detail": data}
    return {"data": data, "partitionKey": line["key"], "sequenceNumber": line["number"], "eventSource": "aws:kinesis"}


def problem_of(line: AttemptLine) -> str:
    """What failed in an attempt, as far as it is known: problem, rule, call and what the log says, without secrets."""
    rule = f"rule {line['rule']}" if "rule" in line else ""
    call = " on ".join(each for each in (line.get("operation"), line.get("target")) if each)
    parts = (line.get("problem") or "no answer", rule, call, line.get("reason", ""))
    return redacted_text(", ".join(dict.fromkeys(each for each in parts if each)))


def pipeline_of(detail: Any) -> str | None:
    """The pipeline that has published an event; None if the event does not say it."""
    tags = detail.get("tags") if isinstance(detail, Mapping) else None
    pipeline = tags.get("pipeline") if isinstance(tags, Mapping) else None
    return str(pipeline) if pipeline else None


def name_of(arn: str) -> str:
    """The name in the ARN of a stream, table, queue or topic."""
    resource = arn.split(":", 5)[5] if arn.count(":") >= 5 else arn
    kind, _, rest = resource.partition("/")
    return f"table {rest.partition('/')[0]}" if kind == "table" else (rest or kind)


def shard_of(shard: str) -> str:
    """A short name of a shard."""
    return f"shard {shard.removeprefix('shardId-').lstrip('0-') or '0'}"


def expiry_of(line: RecordLine) -> tuple[int, str] | None:
    """When a row's time to live ends (s since 1970), and the type of the event that is published then."""
    image = image_of(line) if line["kind"] == "change" else {}
    ttl, expire = image.get("ttl"), image.get("expire")
    return (int(ttl), str(expire)) if ttl and expire and isinstance(expire, str) else None
