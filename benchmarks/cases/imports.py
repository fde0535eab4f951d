"""What the runtime adds to a cold start: a function's module and its first client against boto3 and reactivex alone."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable

import loopback
from case import OURS, Case, Floor, Variant, slower

BARE = "import boto3, reactivex"


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


def ours() -> Callable[[], object]:
    """A module with three flavors and one source, and the client that its first record needs."""

    def cold_start() -> None:
        from stream_runtime import stream_handler
        from stream_runtime.clients import client
        from stream_runtime.events import from_kinesis
        from stream_runtime.flavors import collect, materialize, task

        stream_handler(
            [
                {"id": "collect", "flavor": collect, "event_type": "thing-submitted"},
                {
                    "id": "view",
                    "flavor": materialize,
                    "event_type": "thing-updated",
                    "to_update_request": lambda uow: None,
                },
                {"id": "note", "flavor": task, "event_type": "thing-deleted", "execute": lambda uow: None},
            ],
            from_kinesis,
        )
        client("dynamodb")

    return timed(cold_start)


def bare() -> Callable[[], object]:
    """The imports of any such function."""

    def cold_start() -> None:
        import boto3
        import reactivex  # noqa: F401

        boto3.client("dynamodb")

    return timed(cold_start)


CASE = Case(
    name="imports",
    title="Import of a module with three flavors and one source, plus its first client",
    variants=(Variant(OURS, ours), Variant(BARE, bare)),
    floors=(Floor("time of `import boto3, reactivex` plus the same client", slower("cpu_s", than=BARE), at_most=1.1),),
    rounds=12,
    fresh=True,
    surroundings=lambda: contextlib.nullcontext(loopback.environment("http://127.0.0.1:9")),
)
