"""1,000 conditional updates of a table that answers after 5 ms: what a call costs, and how well calls overlap."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import feed
import loopback
import original
from case import HAND_WRITTEN, ORIGINAL, OURS, PEER, Case, Floor, Results, Variant, quicker, slower

UPDATES = 1000
PARALLEL = 16


def invocation(updates: int = UPDATES) -> dict[str, Any]:
    """The batch: up to two events for each of 500 stories."""
    return feed.kinesis(feed.events(updates, 1))


def ours(updates: int = UPDATES, parallel: int = PARALLEL) -> Callable[[], object]:
    """A materialize rule."""
    from stream_runtime import stream_handler
    from stream_runtime.events import from_kinesis
    from stream_runtime.expressions import timestamp_condition, update_expression
    from stream_runtime.flavors import materialize

    def to_update_request(uow: Mapping[str, Any]) -> dict[str, Any]:
        story = uow["event"]["story"]
        row = {"title": story["title"], "text": story["text"], "timestamp": uow["event"]["timestamp"]}
        return {"Key": {"pk": story["id"], "sk": "story"}, **update_expression(row), **timestamp_condition()}

    handler = stream_handler(
        [
            {
                "id": "view",
                "flavor": materialize,
                "event_type": "thing-0",
                "to_update_request": to_update_request,
                "parallel": parallel,
            }
        ],
        from_kinesis,
    )
    event, context = invocation(updates), feed.Context()
    return lambda: handler(event, context)


def hand_written(updates: int = UPDATES, parallel: int = PARALLEL) -> Callable[[], object]:
    """A thread pool and a bare client, without order or failure handling."""
    import boto3
    from botocore.config import Config
    from orjson import loads

    client = boto3.client("dynamodb", config=Config(max_pool_connections=parallel))
    pool = ThreadPoolExecutor(parallel)

    def update(record: Mapping[str, Any]) -> None:
        event = loads(base64.b64decode(record["kinesis"]["data"]))
        if event["type"] != "thing-0":
            return
        story = event["story"]
        with contextlib.suppress(client.exceptions.ConditionalCheckFailedException):
            client.update_item(
                TableName="view",
                Key={"pk": {"S": story["id"]}, "sk": {"S": "story"}},
                UpdateExpression="SET #title = :title, #text = :text, #timestamp = :timestamp",
                ExpressionAttributeNames={"#title": "title", "#text": "text", "#timestamp": "timestamp"},
                ExpressionAttributeValues={
                    ":title": {"S": story["title"]},
                    ":text": {"S": story["text"]},
                    ":timestamp": {"N": str(event["timestamp"])},
                },
                ConditionExpression="attribute_not_exists(#timestamp) OR #timestamp < :timestamp",
                ReturnValues="ALL_NEW",
            )

    event = invocation(updates)
    return lambda: list(pool.map(update, event["Records"]))


def peer() -> Callable[[], object]:
    """The same rule with aws-lambda-stream, which has no `parallel`."""
    from aws_lambda_stream.events.kinesis import from_kinesis
    from aws_lambda_stream.flavors.materialize import materialize
    from aws_lambda_stream.pipelines import StreamPipeline, initialize_from
    from aws_lambda_stream.utils.dynamodb import timestamp_condition, update_expression
    from aws_lambda_stream.utils.opt import DEFAULT_OPTIONS

    def to_update_request(uow: Mapping[str, Any]) -> dict[str, Any]:
        story = uow["event"]["story"]
        row = {"title": story["title"], "text": story["text"], "timestamp": uow["event"]["timestamp"]}
        return {"Key": {"pk": story["id"], "sk": "story"}, **update_expression(row), **timestamp_condition()}

    rules = [
        {"id": "view", "flavor": materialize, "event_type": "thing-0", "to_update_request": to_update_request},
    ]
    event = invocation()
    return lambda: StreamPipeline(initialize_from(rules), DEFAULT_OPTIONS).assemble(from_kinesis(event))


@contextlib.contextmanager
def a_table() -> Iterator[Mapping[str, str]]:
    """A table that answers after 5 ms."""
    with loopback.answering(after_s=0.005) as url:
        yield loopback.environment(url) | {"ENTITY_TABLE_NAME": "view"}


def remark(results: Results) -> str:
    """What a call costs: the work of the runtime and of its client, of one CPU."""
    costs = ", ".join(f"{name} {1e6 * each['cpu_s'] / UPDATES:.0f} µs" for name, each in results.items())
    return f"CPU for each update: {costs}."


CASE = Case(
    name="updates",
    title=f"{UPDATES:,} conditional DynamoDB updates, answers after 5 ms, parallel {PARALLEL}",
    variants=(
        Variant(OURS, ours, repeat=4),
        Variant(HAND_WRITTEN, hand_written, repeat=2),
        Variant(PEER, peer, python="peers"),
        Variant(ORIGINAL, lambda: original.processed("updates", invocation()), repeat=4, javascript=True),
    ),
    floors=(
        Floor("CPU of hand-written threads with a bare boto3", slower("cpu_s", than=HAND_WRITTEN), at_most=0.3),
        Floor("time of hand-written threads with a bare boto3", slower("wall_s", than=HAND_WRITTEN), at_most=0.45),
        Floor("speed of aws-lambda-stream", quicker("wall_s", than=PEER), at_least=20),
        Floor("speed of the JavaScript original, 1.x, warm", quicker("wall_s", than=ORIGINAL), at_least=1),
    ),
    rounds=3,
    remark=remark,
    surroundings=a_table,
)
