"""2,000 records, each wanted by one of 8 rules: the cost of bringing an event to the function that handles it.

The libraries are those that the services with a Kinesis listener have in their packages.
"""

from __future__ import annotations

import base64
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import feed
import original
from case import HAND_WRITTEN, ORIGINAL, OURS, PEER, Case, Floor, Variant, quicker

RULES = 8
REST = "stream_runtime, as rest-bff-service ships it"
HAND_WRITTEN_REST = "hand-written, with what rest-bff-service ships"
SERVICES = Path(__file__).resolve().parents[2] / "services"
EXTRAS = ("orjson", "pybase64")


def business_logic(event: dict[str, Any]) -> dict[str, Any]:
    """What every variant calls for an event."""
    return {"id": event["story"]["id"], "score": event["story"]["score"]}


def invocation() -> dict[str, Any]:
    return feed.kinesis(feed.events(2_000, RULES))


def ships(service: str) -> None:
    """Leave only those quick libraries importable that a service has in its package."""
    asked = re.search(r"stream-runtime\[(.*)\]", (SERVICES / service / "requirements.txt").read_text())
    shipped = asked[1].split(",") if asked else []
    for name in set(EXTRAS) - set(shipped):
        sys.modules[name] = None  # type: ignore[assignment]


def of_service(service: str, made: Callable[[], Callable[[], object]]) -> Callable[[], Callable[[], object]]:
    """A variant with what a service ships."""

    def prepare() -> Callable[[], object]:
        ships(service)
        return made()

    return prepare


def ours() -> Callable[[], object]:
    """A handler with 8 task rules."""
    from stream_runtime import stream_handler
    from stream_runtime.events import from_kinesis
    from stream_runtime.flavors import task

    handler = stream_handler(
        [
            {
                "id": f"rule-{number}",
                "flavor": task,
                "event_type": f"thing-{number}",
                "execute": lambda uow, rule: business_logic(uow["event"]),
            }
            for number in range(RULES)
        ],
        from_kinesis,
    )
    event, context = invocation(), feed.Context()
    return lambda: handler(event, context)


def hand_written() -> Callable[[], object]:
    """A loop without a library: decode, match, call."""
    try:
        from orjson import loads
    except ImportError:
        from json import loads  # type: ignore[assignment]

    actions = {f"thing-{number}": business_logic for number in range(RULES)}

    def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
        for record in event["Records"]:
            thing = loads(base64.b64decode(record["kinesis"]["data"]))
            action = actions.get(thing["type"])
            if action is not None:
                action(thing)
        return {"batchItemFailures": []}

    event, context = invocation(), feed.Context()
    return lambda: handler(event, context)


def peer() -> Callable[[], object]:
    """The same rules with aws-lambda-stream."""
    from aws_lambda_stream.events.kinesis import from_kinesis
    from aws_lambda_stream.flavors.task import task
    from aws_lambda_stream.pipelines import StreamPipeline, initialize_from
    from aws_lambda_stream.utils.opt import DEFAULT_OPTIONS

    rules = [
        {
            "id": f"rule-{number}",
            "flavor": task,
            "event_type": f"thing-{number}",
            "execute": lambda uow, rule: business_logic(uow["event"]),
        }
        for number in range(RULES)
    ]
    event = invocation()
    return lambda: StreamPipeline(initialize_from(rules), DEFAULT_OPTIONS).assemble(from_kinesis(event))


CASE = Case(
    name="dispatch",
    title="2,000 Kinesis records, 8 rules, each record matched by one, no I/O",
    variants=(
        Variant(OURS, of_service("control-service", ours), repeat=20),
        Variant(HAND_WRITTEN, of_service("control-service", hand_written), repeat=20),
        Variant(REST, of_service("rest-bff-service", ours), repeat=20),
        Variant(HAND_WRITTEN_REST, of_service("rest-bff-service", hand_written), repeat=20),
        Variant(PEER, peer, python="peers"),
        Variant(ORIGINAL, lambda: original.processed("dispatch", invocation()), repeat=20, javascript=True),
    ),
    floors=(
        Floor("speed of aws-lambda-stream", quicker("cpu_s", than=PEER), at_least=120),
        Floor(
            "speed of a hand-written loop, control-service's package", quicker("cpu_s", than=HAND_WRITTEN), at_least=1
        ),
        Floor(
            "speed of a hand-written loop, rest-bff-service's package",
            quicker("cpu_s", than=HAND_WRITTEN_REST, variant=REST),
            at_least=1,
        ),
        Floor("speed of the JavaScript original, 1.x, warm", quicker("cpu_s", than=ORIGINAL), at_least=7),
    ),
)
