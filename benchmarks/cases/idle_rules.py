"""10,000 records that none of 64 rules wants: the cost of idle rules."""

from __future__ import annotations

import base64
from collections.abc import Callable

import feed
from case import OURS, Case, Floor, Variant, slower

DECODING = "decoding alone"


def ours() -> Callable[[], object]:
    """A handler with 64 rules of three flavors."""
    from stream_runtime import stream_handler
    from stream_runtime.events import from_kinesis
    from stream_runtime.flavors import collect, materialize, task

    flavors = (
        {"flavor": task, "execute": lambda uow: None},
        {"flavor": collect},
        {"flavor": materialize, "to_update_request": lambda uow: None},
    )
    handler = stream_handler(
        [{"id": f"rule-{n}", "event_type": f"other-{n}", **flavors[n % len(flavors)]} for n in range(64)], from_kinesis
    )
    event, context = feed.kinesis(feed.events(10_000, 8)), feed.Context()
    return lambda: handler(event, context)


def decoding() -> Callable[[], object]:
    """Decode base64 and JSON of each record with the runtime's decoder."""
    from orjson import loads

    event = feed.kinesis(feed.events(10_000, 8))

    def decode() -> None:
        for record in event["Records"]:
            loads(base64.b64decode(record["kinesis"]["data"]))

    return decode


CASE = Case(
    name="idle_rules",
    title="10,000 Kinesis records, 64 rules, none matching",
    variants=(Variant(OURS, ours, repeat=8), Variant(DECODING, decoding, repeat=8)),
    floors=(Floor("time of decoding alone", slower("cpu_s", than=DECODING), at_most=1.3),),
)
