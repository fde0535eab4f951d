"""The number of requests for a batch, made with real clients and counted by the server."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import feed
import loopback
from case import OURS, PEER, Case, Floor, Variant, figure

WRITES = ("DynamoDB_20120810.BatchWriteItem", "DynamoDB_20120810.PutItem")
PUBLISHED = ("AWSEvents.PutEvents",)
QUERIES = ("DynamoDB_20120810.Query",)


def inserted_rows() -> dict[str, Any]:
    """A batch of a DynamoDB stream: two correlated events for each of 500 keys."""
    return {
        "Records": [
            {
                "eventID": str(number),
                "eventName": "INSERT",
                "eventSource": "aws:dynamodb",
                "eventSourceARN": "arn:aws:dynamodb:us-east-1:123456789012:table/events/stream/2024-01-01T00:00:00.000",
                "awsRegion": "us-east-1",
                "dynamodb": {
                    "ApproximateCreationDateTime": 1_700_000_000 + number,
                    "SequenceNumber": f"{number:021}",
                    "Keys": {"pk": {"S": f"key-{number % 500}"}, "sk": {"S": f"event-{number}"}},
                    "NewImage": {
                        "pk": {"S": f"key-{number % 500}"},
                        "sk": {"S": f"event-{number}"},
                        "discriminator": {"S": "CORREL"},
                        "timestamp": {"N": "1700000000000"},
                        "event": {
                            "M": {
                                "id": {"S": f"event-{number}"},
                                "type": {"S": f"thing-{number // 500}"},
                                "timestamp": {"N": "1700000000000"},
                                "partition_key": {"S": f"key-{number % 500}"},
                            }
                        },
                    },
                },
            }
            for number in range(1_000)
        ]
    }


def counted(**batches: tuple[tuple[str, ...], Callable[[], object]]) -> Callable[[], dict[str, int]]:
    """Process batches; returns the number of requests for each."""
    url = os.environ["AWS_ENDPOINT_URL"]

    def work() -> dict[str, int]:
        figures = {}
        for name, (operations, process) in batches.items():
            before = loopback.counts(url)
            process()
            after = loopback.counts(url)
            figures[name] = sum(after.get(operation, 0) - before.get(operation, 0) for operation in operations)
        return figures

    return work


def ours() -> Callable[[], object]:
    """Three handlers with the runtime."""
    from stream_runtime import stream_handler
    from stream_runtime.events import from_dynamodb, from_kinesis
    from stream_runtime.flavors import collect, evaluate, task

    collecting = stream_handler([{"id": "collect", "flavor": collect, "event_type": "thing-0"}], from_kinesis)
    emitting = stream_handler(
        [{"id": "emit", "flavor": task, "event_type": "thing-0", "emit": "thing-done"}], from_kinesis
    )
    evaluating = stream_handler(
        [
            {
                "id": "evaluate",
                "flavor": evaluate,
                "event_type": ["thing-0", "thing-1"],
                "expression": lambda uow: len(uow["correlated"]) == 2,
                "emit": "things-done",
            }
        ],
        from_dynamodb,
    )
    events, rows, context = feed.kinesis(feed.events(1_000, 1)), inserted_rows(), feed.Context()
    return counted(
        collected=(WRITES, lambda: collecting(events, context)),
        emitted=(PUBLISHED, lambda: emitting(events, context)),
        evaluated=(QUERIES, lambda: evaluating(rows, context)),
    )


def peer() -> Callable[[], object]:
    """The same with aws-lambda-stream."""
    from aws_lambda_stream.events.dynamodb import from_dynamodb
    from aws_lambda_stream.events.kinesis import from_kinesis
    from aws_lambda_stream.flavors.collect import collect
    from aws_lambda_stream.flavors.evaluate import evaluate
    from aws_lambda_stream.flavors.task import task
    from aws_lambda_stream.pipelines import StreamPipeline, initialize_from
    from aws_lambda_stream.utils.opt import DEFAULT_OPTIONS

    def process(rule: dict[str, Any], uows: Any) -> None:
        StreamPipeline(initialize_from([rule]), DEFAULT_OPTIONS).assemble(uows)

    events, rows = feed.kinesis(feed.events(1_000, 1)), inserted_rows()
    collecting = {"id": "collect", "flavor": collect, "event_type": "thing-0"}
    emitting = {
        "id": "emit",
        "flavor": task,
        "event_type": "thing-0",
        "execute": lambda uow, rule: None,
        "emit": "thing-done",
    }
    evaluating = {
        "id": "evaluate",
        "flavor": evaluate,
        "event_type": ["thing-0", "thing-1"],
        "table_name": "events",
        "expression": lambda uow: len(uow["correlated"]) == 2,
        "emit": "things-done",
    }
    return counted(
        collected=(WRITES, lambda: process(collecting, from_kinesis(events))),
        emitted=(PUBLISHED, lambda: process(emitting, from_kinesis(events))),
        evaluated=(QUERIES, lambda: process(evaluating, from_dynamodb(rows))),
    )


@contextlib.contextmanager
def a_table_and_a_bus() -> Iterator[Mapping[str, str]]:
    """A server that answers at once."""
    with loopback.answering(after_s=0) as url:
        yield loopback.environment(url) | {"ENTITY_TABLE_NAME": "events", "BUS_NAME": "bus"}


CASE = Case(
    name="calls",
    title="Requests made for a batch",
    variants=(Variant(OURS, ours), Variant(PEER, peer, python="peers")),
    floors=(
        Floor("1,000 events collected", figure("collected"), at_most=40, unit="write calls"),
        Floor("1,000 events emitted", figure("emitted"), at_most=100, unit="publish calls"),
        Floor("2 events for each of 500 keys evaluated", figure("evaluated"), at_most=500, unit="queries"),
    ),
    rounds=1,
    fresh=True,
    surroundings=a_table_and_a_bus,
)
