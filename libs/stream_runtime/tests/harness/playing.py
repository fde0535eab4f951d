"""Plays a history: the real engine, its clients answered by `simulated_aws`, its batches by `simulated_mapping`."""

from __future__ import annotations

import logging
import os
from base64 import b64decode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import pairwise
from types import SimpleNamespace
from typing import Any
from unittest import mock

import promises
from cheap_stacks import cheap_stacks
from failures import Plan
from histories import History
from played_records import invocation_of, records_of, source_of
from played_rules import rules_of
from simulated_aws import SimulatedAws
from simulated_clients import serve
from simulated_mapping import Record, deliver
from simulated_server import served_by_sockets
from stream_runtime import clock, stream_handler
from stream_runtime.events import opening
from two_clients import Way

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "simulated",
    "AWS_SECRET_ACCESS_KEY": "simulated",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "BUS_NAME": "bus",
    "CLAIMCHECK_BUCKET_NAME": "claims",
    "SERVICE": "tested",
    "RETRY_BASE_MS": "0",
    "RETRY_ATTEMPTS": "2",
    "DEADLINE_MARGIN_MS": "5",
    "PARALLEL": "4",
}


class Violated(AssertionError):
    """A promise of the runtime was broken; the message tells which, and the history."""


class _Context:
    def __init__(self, left_ms: int) -> None:
        self._left_ms = left_ms

    def get_remaining_time_in_millis(self) -> int:
        """What Lambda says is left."""
        return self._left_ms


def play(history: History, *, over_http: bool = False, over_sockets: Way | None = None) -> SimulatedAws:
    """Run a history to its end, checking after each invocation and once more at the end.

    Args:
        history: the history.
        over_http: with boto3's own clients, which serialise and parse what direct ones take as it is.
        over_sockets: with clients of this kind where there is a lean one, and failures of sockets.

    Raises:
        Violated: with the history as JSON.
    """
    os.environ["MAX_EXPANDED_SIZE"] = str(history.most_expanded)
    plan = Plan(
        history.seed,
        history.kinds,
        history.rate,
        denied_operation=history.denied_operation,
        denied_until=history.denied_until,
    )
    aws = SimulatedAws(plan)
    records = records_of(history, aws)
    world = promises.World(history, aws, records)
    handler = stream_handler(
        rules_of(history, aws), source_of(history.kind), {"parallel": history.parallel}, concurrency=history.concurrency
    )

    def invoke(batch: list[Record]) -> Any:
        is_hurried = aws.invocation + 1 in history.hurried
        aws.begin(history.patience if is_hurried and history.patience else None)
        context = _Context(0 if is_hurried and not history.patience else 60_000)
        response = handler(invocation_of(history.kind, batch), context)
        for answer in response.get("records", ()):
            if answer["result"] == "Ok" and answer["data"] not in (record["data"] for record in batch):
                aws.did("transform", answer["recordId"], "transformed", b64decode(answer["data"]))
        return response

    def observe(batch: list[Record], left: list[Record], raised: BaseException | None) -> None:
        promises.check_invocation(world, batch, left, raised)

    try:
        portions = mock.patch.object(opening, "MOST_IN_PORTION", 3 if history.seed % 2 else opening.MOST_IN_PORTION)
        with portions, in_simulated_world(aws, over_http=over_http, over_sockets=over_sockets):
            deliver(history.kind, _delivered(history, records), invoke, observe, bisect=history.bisect)
        promises.check_end(world)
    except AssertionError as error:
        raise Violated(f"{error}\nreplay with --history '{history.to_json()}'") from error
    return aws


def batches_of(history: History, records: Sequence[Any]) -> list[Sequence[Any]]:
    """The records as the history cuts them."""
    places = (0, *history.cuts, len(records))
    return [records[start:end] for start, end in pairwise(places)]


def _delivered(history: History, records: Sequence[Record]) -> Iterator[Sequence[Record]]:
    for number, batch in enumerate(batches_of(history, records)):
        yield batch
        if number in history.again:
            yield batch


@contextmanager
def in_simulated_world(
    aws: SimulatedAws, *, over_http: bool = False, over_sockets: Way | None = None
) -> Iterator[None]:
    """A world in which time stands still: emitted events and faults have the time at which they are made."""
    real = clock.time
    clock.time = SimpleNamespace(time_ns=lambda: 1_800_000_000_000_000_000)  # type: ignore[attr-defined]
    sockets = served_by_sockets(aws, over_sockets) if over_sockets else nullcontext()
    try:
        with quiet(), cheap_stacks(), sockets as others:
            serve(aws, over_http=over_http, others=others)
            yield
    finally:
        clock.time = real  # type: ignore[attr-defined]


@contextmanager
def quiet() -> Iterator[None]:
    """Log nothing of what the runtime says about failures, which are many here."""
    logger = logging.getLogger("stream_runtime")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


def environment() -> None:
    """Set the environment that histories run in, for programs of their own."""
    os.environ.update(ENVIRONMENT)
