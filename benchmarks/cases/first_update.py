"""A cold start: a fresh process imports a function and makes its first conditional update, against boto3 by hand."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import feed
import loopback
from case import OURS, Case, Floor, Variant, slower

BARE = "boto3 and reactivex by hand"


def timed(cold_start: Callable[[], object]) -> Callable[[], dict[str, float]]:
    """Measure the CPU time of work that this process has not done before."""
    early = {"boto3", "botocore", "reactivex", "stream_runtime"} & set(sys.modules)
    if early:
        raise RuntimeError(f"imported before the measurement: {early}")

    def work() -> dict[str, float]:
        start = time.process_time()
        cold_start()
        return {"cpu_s": time.process_time() - start}

    return work


def invocation() -> dict[str, Any]:
    """A batch of one event."""
    return feed.kinesis(feed.events(1, 1))


def ours() -> Callable[[], object]:
    """A function with three flavors, of which one updates a row."""
    event, context = invocation(), feed.Context()

    def cold_start() -> None:
        from stream_runtime import stream_handler
        from stream_runtime.events import from_kinesis
        from stream_runtime.expressions import timestamp_condition, update_expression
        from stream_runtime.flavors import collect, materialize, task

        def to_update_request(uow: Mapping[str, Any]) -> dict[str, Any]:
            story = uow["event"]["story"]
            row = {"title": story["title"], "text": story["text"], "timestamp": uow["event"]["timestamp"]}
            return {"Key": {"pk": story["id"], "sk": "story"}, **update_expression(row), **timestamp_condition()}

        handler = stream_handler(
            [
                {"id": "collect", "flavor": collect, "event_type": "thing-submitted"},
                {
                    "id": "view",
                    "flavor": materialize,
                    "event_type": "thing-0",
                    "to_update_request": to_update_request,
                },
                {"id": "note", "flavor": task, "event_type": "thing-deleted", "execute": lambda uow: None},
            ],
            from_kinesis,
        )
        if handler(event, context)["batchItemFailures"]:
            raise RuntimeError("the record was left for retry")

    return timed(cold_start)


def bare() -> Callable[[], object]:
    """What the libraries take of the same: no rules, no decoding, no failures."""

    def cold_start() -> None:
        import boto3
        import reactivex

        client = boto3.client("dynamodb")
        (story,) = feed.events(1, 1)

        def update(event: Mapping[str, Any]) -> None:
            client.update_item(
                TableName="view",
                Key={"pk": {"S": event["story"]["id"]}, "sk": {"S": "story"}},
                UpdateExpression="SET #title = :title, #text = :text, #timestamp = :timestamp",
                ExpressionAttributeNames={"#title": "title", "#text": "text", "#timestamp": "timestamp"},
                ExpressionAttributeValues={
                    ":title": {"S": event["story"]["title"]},
                    ":text": {"S": event["story"]["text"]},
                    ":timestamp": {"N": str(event["timestamp"])},
                },
                ConditionExpression="attribute_not_exists(#timestamp) OR #timestamp < :timestamp",
                ReturnValues="ALL_NEW",
            )

        reactivex.just(story).subscribe(update)

    return timed(cold_start)


@contextlib.contextmanager
def a_table() -> Iterator[Mapping[str, str]]:
    """A table that answers at once."""
    with loopback.answering(after_s=0) as url:
        yield loopback.environment(url) | {"ENTITY_TABLE_NAME": "view"}


CASE = Case(
    name="first_update",
    title="Cold start: a fresh process, a function of three flavors, its first conditional update",
    variants=(Variant(OURS, ours), Variant(BARE, bare)),
    floors=(Floor("CPU of boto3 and reactivex by hand", slower("cpu_s", than=BARE), at_most=0.3),),
    rounds=12,
    fresh=True,
    surroundings=a_table,
)
