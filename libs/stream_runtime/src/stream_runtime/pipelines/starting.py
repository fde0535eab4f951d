"""Starts a pipeline: compiles its flow if all steps are the runtime's and nothing else subscribes; else subscribes."""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from stream_runtime.engine.flow import Complete, Flow, Push, PushSource
from stream_runtime.engine.run import Run

if TYPE_CHECKING:
    from reactivex import Observable


class Started(NamedTuple):
    """A flow that units of work can be pushed into.

    Attributes:
        push: takes a unit of work.
        complete: tells it that the batch, or a portion of it, is over.
        waits: whether it holds units of work until it is completed.
        needs_whole_batch: whether it makes something else of a batch that comes in portions.
    """

    push: Push
    complete: Complete
    waits: bool
    needs_whole_batch: bool


def start(
    run: Run,
    id_: str,
    flow: "Observable[Any]",
    source: PushSource,
    out: Callable[[Any], None],
    failed: Callable[[Exception], None],
    completed: Callable[[], None],
) -> Started:
    """Start a flow.

    Args:
        run: the run of the batch.
        id_: the pipeline's id, for messages.
        flow: the pipeline's steps on top of the source.
        source: where the flow begins.
        out: called with each unit of work that passed through.
        failed: called with the error that ended the flow.
        completed: called when the flow has ended without an error.
    """
    if isinstance(flow, Flow) and flow.source is source and not source.is_observed:
        push, complete = flow.compile(run, out, completed)
        waits = any(step.waits for step in flow.steps)
        return Started(push, complete, waits, any(step.needs_whole_batch for step in flow.steps))
    return Started(source.push, _subscribed(run, id_, flow, source, out, failed, completed), True, True)


def _subscribed(
    run: Run,
    id_: str,
    flow: "Observable[Any]",
    source: PushSource,
    out: Callable[[Any], None],
    failed: Callable[[Exception], None],
    completed: Callable[[], None],
) -> Complete:
    """Subscribe to a flow with ReactiveX operators; return a function that completes it and waits for its end.

    Such operators may emit later and from other threads. If the flow has not ended at the deadline, the whole batch is
    left for retry, since nobody knows what it still holds.
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
