"""1,000 events emitted and 1,000 collected: the CPU of making, sending and reading batch calls."""

from __future__ import annotations

import base64
import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import feed
import loopback
from case import HAND_WRITTEN, OURS, Case, Floor, Variant, slower

PARALLEL = 16
EMITTED, COLLECTED = "thing-done", "events"
TAGS = {
    "account": "undefined",
    "region": "us-east-1",
    "stage": "undefined",
    "app": "undefined",
    "source": "undefined",
    "functionname": "benchmark",
    "pipeline": "emit",
}


def invocation() -> dict[str, Any]:
    return feed.kinesis(feed.events(1_000, 1))


def ours() -> Callable[[], object]:
    """Two handlers with the runtime, with the client that functions get."""
    from stream_runtime import stream_handler
    from stream_runtime.events import from_kinesis
    from stream_runtime.flavors import collect, task

    rule = {"event_type": "thing-0", "parallel": PARALLEL}
    emitting = stream_handler([{"id": "emit", "flavor": task, "emit": EMITTED, **rule}], from_kinesis)
    collecting = stream_handler([{"id": "collect", "flavor": collect, **rule}], from_kinesis)
    event, context = invocation(), feed.Context()

    def both() -> None:
        for handler in (emitting, collecting):
            if handler(event, context)["batchItemFailures"]:
                raise RuntimeError("not all of the work was done")

    return both


def hand_written() -> Callable[[], object]:
    """The same entries and items, sent in the same batches with boto3 from a thread pool; no failures are handled."""
    import boto3
    from boto3.dynamodb.types import TypeSerializer
    from botocore.config import Config

    config = Config(max_pool_connections=PARALLEL)
    bus, table = boto3.client("events", config=config), boto3.client("dynamodb", config=config)
    pool = ThreadPoolExecutor(PARALLEL)
    serialize = TypeSerializer().serialize

    def to_entry(record: Mapping[str, Any]) -> Any:
        event = json.loads(base64.b64decode(record["kinesis"]["data"]))
        made = {
            "id": f"{event['id']}.emit",
            "type": EMITTED,
            "timestamp": time.time_ns() // 1_000_000,
            "partition_key": event["partition_key"],
            "tags": TAGS,
        }
        return {"EventBusName": "bus", "Source": "custom", "DetailType": EMITTED, "Detail": json.dumps(made)}

    def to_item(record: Mapping[str, Any]) -> dict[str, Any]:
        event = json.loads(base64.b64decode(record["kinesis"]["data"]), parse_float=Decimal)
        item = {
            "pk": event["id"],
            "sk": "EVENT",
            "discriminator": "EVENT",
            "timestamp": event["timestamp"],
            "awsregion": "us-east-1",
            "sequence_number": record["kinesis"]["sequenceNumber"],
            "ttl": event["timestamp"] // 1000 + 33 * 86400,
            "expire": None,
            "data": event["partition_key"],
            "event": event,
        }
        return {name: serialize(value) for name, value in item.items()}

    def put_events(records: Sequence[Mapping[str, Any]]) -> None:
        if bus.put_events(Entries=[to_entry(record) for record in records])["FailedEntryCount"]:
            raise RuntimeError("not all of the work was done")

    def put_items(records: Sequence[Mapping[str, Any]]) -> None:
        requests: Any = [{"PutRequest": {"Item": to_item(record)}} for record in records]
        if table.batch_write_item(RequestItems={COLLECTED: requests})["UnprocessedItems"]:
            raise RuntimeError("not all of the work was done")

    records = invocation()["Records"]

    def both() -> None:
        for put, size in ((put_events, 10), (put_items, 25)):
            list(pool.map(put, [records[start : start + size] for start in range(0, len(records), size)]))

    return both


@contextlib.contextmanager
def a_table_and_a_bus() -> Iterator[Mapping[str, str]]:
    """A server that answers at once."""
    with loopback.answering(after_s=0) as url:
        yield loopback.environment(url) | {"ENTITY_TABLE_NAME": COLLECTED, "BUS_NAME": "bus"}


CASE = Case(
    name="batches",
    title=f"1,000 events emitted, then 1,000 collected, in the same batches, parallel {PARALLEL}",
    variants=(Variant(OURS, ours, repeat=4), Variant(HAND_WRITTEN, hand_written, repeat=4)),
    floors=(Floor("CPU of hand-written batches with boto3", slower("cpu_s", than=HAND_WRITTEN), at_most=0.5),),
    surroundings=a_table_and_a_bus,
)
