"""Starting a pipeline: its flow is compiled where all steps are the runtime's own, else subscribed to."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from reactivex import Observable

from stream_runtime.engine.flow import Complete, Flow, Push, PushSource
from stream_runtime.engine.run import Run


def start(
    run: Run,
    id_: str,
    flow: Observable[Any],
    source: PushSource,
    out: Callable[[Any], None],
    failed: Callable[[Exception], None],
    completed: Callable[[], None],
) -> tuple[Push, Complete, bool]:
    """The functions that feed a flow and complete it, and whether it holds units of work back until then.

    Args:
        run: the batch's books.
        id_: of the pipeline, for messages.
        flow: the pipeline's steps on top of the source.
        source: where the flow begins.
        out: gets each unit of work that went through.
        failed: gets the error that ended the flow.
        completed: called when the flow has ended well.
    """
    if isinstance(flow, Flow) and flow.source is source:
        push, complete = flow.compile(run, out, completed)
        return push, complete, any(step.waits for step in flow.steps)
    return source.push, _subscribed(run, id_, flow, source, out, failed, completed), True


def _subscribed(
    run: Run,
    id_: str,
    flow: Observable[Any],
    source: PushSource,
    out: Callable[[Any], None],
    failed: Callable[[Exception], None],
    completed: Callable[[], None],
) -> Complete:
    """Subscribe to a flow with operators of ReactiveX; the function that completes it and waits until it has ended.

    Such operators may hand on later and from other threads. A flow that has not ended at the deadline gives the whole
    batch back, since nobody knows what it still holds.
    """
    ended = threading.Event()

    def failed_at_last(error: Exception) -> None:
        try:
            failed(error)
        finally:
            ended.set()

    def completed_at_last() -> None:
        try:
            completed()
        finally:
            ended.set()

    flow.subscribe(out, failed_at_last, completed_at_last)

    def complete() -> None:
        source.complete()
        if not ended.wait(run.left_s()):
            run.abandon(TimeoutError(f"pipeline {id_!r} has not ended at the end of the invocation"))

    return complete
