"""`StreamPipeline`: processes a batch with the pipelines of its rules and says what becomes of every record."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, cast

from stream_runtime import logs, settings
from stream_runtime.engine.flow import Flow, Operator, PushSource, is_observable, nothing
from stream_runtime.engine.records import Record, Uow
from stream_runtime.engine.run import Run, current_run
from stream_runtime.errors import MissingModule
from stream_runtime.events.envelope import Uows
from stream_runtime.events.opening import Opening
from stream_runtime.options import publish, redaction
from stream_runtime.rules.initialization import RulePipeline
from stream_runtime.tracing import carried

from .fault_events import publish_faults
from .routing import Pipeline, feed, without_routing
from .starting import start

if TYPE_CHECKING:
    from reactivex import Observable

OnNext = Callable[[str, Any], object]
OnError = Callable[[str, BaseException], object]
OnCompleted = Callable[[str], object]
Response = dict[str, list[dict[str, str]]]

_logger = logging.getLogger(__name__)


class StreamPipeline:
    """Processes batches with rules.

    Args:
        pipelines: what `initialize_from` returns for the rules. Their operators are made when a batch first needs them;
            those that hold nothing of a batch serve the next ones, too, while settings stay as they are.
        options: shared by all pipelines; see `stream_runtime.options.Options`.
        concurrency: pipelines that call AWS run at the same time; False runs them one after the other, in the order of
            the rules.

    Example:
        >>> StreamPipeline(initialize_from(rules), DEFAULT_OPTIONS).assemble(from_kinesis(event), context=context)
        {'batchItemFailures': []}
    """

    def __init__(
        self,
        pipelines: Mapping[str, Callable[[Mapping[str, Any]], Operator]],
        options: Mapping[str, Any],
        concurrency: bool = True,
    ) -> None:
        logs.set_up_once()
        redaction(options)
        self._pipelines = pipelines
        self._options = options
        self._concurrency = concurrency
        self._made: tuple[tuple[str | None, ...], dict[str, Operator]] = ((), {})

    def assemble(
        self,
        source: Iterable[Uow] | Observable[Uow],
        on_next: OnNext | None = None,
        on_error: OnError | None = None,
        on_completed: OnCompleted | None = None,
        *,
        context: Any = None,
    ) -> Response:
        """Process a batch.

        Args:
            source: units of work ``{"record", "event"}``, as the functions in `stream_runtime.events` make them.
            on_next: called with the pipeline's id and each unit of work that passed through it; by pipelines that call
                AWS from several threads at once.
            on_error: called with the pipeline's id and the error that ended the whole pipeline.
            on_completed: called with the pipeline's id when it has ended without an error.
            context: the Lambda context. Shortly before its deadline no more work is started. A rule that does not
                return is not interrupted: Lambda ends the function and delivers the whole batch again.

        Returns:
            ``{"batchItemFailures": [{"itemIdentifier": ...}]}``: what to deliver again; empty if all is done.

        Raises:
            UnfinishedBatch: the whole batch must be delivered again: a pipeline ended with an error, a failure belongs
                to no record, or the source takes no partial response.
        """
        return self.process(source, on_next, on_error, on_completed, context=context).response()

    def process(
        self,
        source: Iterable[Uow] | Observable[Uow],
        on_next: OnNext | None = None,
        on_error: OnError | None = None,
        on_completed: OnCompleted | None = None,
        *,
        context: Any = None,
    ) -> Run:
        """Like `assemble`, but return the run: its counts, faults and `Run.response`."""
        if context is not None:
            logs.note_request(context)
        batch = _with_records(_listed(source))
        deadline, end = _times(context)
        run = Run(_records_of(batch), deadline=deadline, end=end, redaction=redaction(self._options))
        if settings.METRICS.read():
            from stream_runtime.engine.metrics import Meter

            run.meter = Meter()
        enabled = self._enabled()
        made = self._made_before()
        token = current_run.set(run)
        try:
            opening = self._opening(run, batch)
            while True:
                pipelines = [
                    self._pipeline(run, opening, made, id_, on_next, on_error, on_completed) for id_ in enabled
                ]
                opening.is_divisible = not any(each.needs_whole_batch for each in pipelines)
                reached = feed(run, opening, pipelines)
                self._complete(run, pipelines, reached)
                if not opening.is_full or run.untraceable:
                    break
                opening.next_portion()
            publish_faults(run, self._options)
        finally:
            current_run.reset(token)
        if run.meter is not None:
            run.meter.write(run, _records_of(batch))
        return run

    def _opening(self, run: Run, batch: Sequence[Uow]) -> Opening:
        if not self._options.get("freeze", settings.FREEZE.read()):
            return Opening(run, batch if isinstance(batch, Uows) else (dict(uow) for uow in batch))
        from stream_runtime.payload.freezing import freeze

        frozen = ({**uow, "event": freeze(uow["event"])} if "event" in uow else uow for uow in batch)
        return Opening(run, frozen, freeze)

    def _enabled(self) -> list[str]:
        enabled, disabled = settings.ENABLED_PIPELINES.read(), settings.DISABLED_PIPELINES.read()
        return [id_ for id_ in self._pipelines if id_ not in disabled and (not enabled or id_ in enabled)]

    def _made_before(self) -> dict[str, Operator]:
        """The operators of rules that were made with the settings of now."""
        now = settings.of_a_batch()
        with_settings, made = self._made
        if with_settings != now:
            made = {}
            self._made = now, made
        return made

    def _operator(self, made: dict[str, Operator], id_: str) -> Operator:
        pipeline = self._pipelines[id_]
        is_for_any = (
            isinstance(pipeline, RulePipeline)
            and self._options.get("publish", publish) is publish
            and pipeline.is_for_any_batch(self._options)
        )
        operator = made.get(id_) if is_for_any else None
        if operator is None:
            operator = pipeline({"id": id_, "pipeline": id_, **self._options})
            if is_for_any:
                made[id_] = operator
        return operator

    def _pipeline(
        self,
        run: Run,
        opening: Opening,
        made: dict[str, Operator],
        id_: str,
        on_next: OnNext | None,
        on_error: OnError | None,
        on_completed: OnCompleted | None,
    ) -> Pipeline:
        """Assemble the pipeline of a rule for a batch, or for a portion of it.

        Raises:
            MissingModule: the rule has an operator of a library that is not in the function's package.
        """
        source = PushSource()
        try:
            routed, flow = without_routing(self._operator(made, id_)(Flow(source)))
        except ImportError as error:
            raise MissingModule(error, id_) from error

        def out(uow: Any) -> None:
            if on_next is not None:
                on_next(id_, uow)

        def completed() -> None:
            if on_completed is not None and not opening.is_full:
                on_completed(id_)

        def failed(error: Exception) -> None:
            _logger.error("pipeline %s ended with an error", id_, exc_info=error, extra={"pipeline": id_})
            run.abandon(error)
            if on_error is not None:
                on_error(id_, error)

        push, complete, waits, needs_whole_batch = start(
            run, id_, flow, source, nothing if on_next is None else out, failed, completed
        )
        if run.meter is not None:
            push, complete = run.meter.timed(id_, push, complete)
        return Pipeline(id_, push, complete, routed, waits, needs_whole_batch)

    def _complete(self, run: Run, pipelines: Sequence[Pipeline], reached: Collection[str]) -> None:
        """Tell all pipelines that the batch is over; those that then make calls do so in parallel.

        The calling thread works, too: two pipelines need one other thread.
        """
        waiting = [each for each in pipelines if each.waits and each.id in reached]
        if not self._concurrency or len(waiting) < 2:
            waiting = []
        for pipeline in pipelines:
            if pipeline not in waiting:
                _complete_one(run, pipeline)
        if waiting:
            from concurrent.futures import ThreadPoolExecutor

            def one(pipeline: Pipeline) -> None:
                _complete_one(run, pipeline)

            complete = carried(one)
            *others, last = waiting
            with ThreadPoolExecutor(len(others), thread_name_prefix="stream-pipeline") as pool:
                at_work = [pool.submit(copy_context().run, complete, each) for each in others]
                copy_context().run(_complete_one, run, last)
                for each in at_work:
                    each.result()


def _records_of(uows: Sequence[Uow]) -> Sequence[Record]:
    return uows.records if isinstance(uows, Uows) else [uow["record"] for uow in uows]


def _with_records(uows: Sequence[Uow]) -> Sequence[Uow]:
    """The units of work; one without a record is its own, so that its failure can be traced to it."""
    if isinstance(uows, Uows) or all(uow.get("record") for uow in uows):
        return uows
    return [uow if uow.get("record") else {**uow, "record": uow} for uow in uows]


def _listed(source: Iterable[Uow] | Observable[Uow]) -> Sequence[Uow]:
    if isinstance(source, Sequence):
        return source
    if not is_observable(source):
        return list(cast("Iterable[Uow]", source))
    uows: list[Uow] = []
    errors: list[Exception] = []
    ended = threading.Event()

    def failed(error: Exception) -> None:
        errors.append(error)
        ended.set()

    cast("Observable[Uow]", source).subscribe(uows.append, failed, ended.set)
    ended.wait()
    if errors:
        raise errors[0]
    return uows


def _times(context: Any) -> tuple[float | None, float | None]:
    """When to start no more work and when to publish no more faults, in `time.monotonic()` seconds.

    Both are None without a Lambda context. The margin before the end of the invocation is at most a fifth of the time
    left, for functions with a short timeout. Its last quarter is kept for the response.
    """
    remaining = getattr(context, "get_remaining_time_in_millis", None)
    if remaining is None:
        return None, None
    left_s = int(remaining()) / 1000
    margin_s = min(settings.DEADLINE_MARGIN_MS.read() / 1000, left_s / 5)
    end = time.monotonic() + left_s
    return end - margin_s, end - margin_s / 4


def _complete_one(run: Run, pipeline: Pipeline) -> None:
    try:
        pipeline.complete()
    except Exception as error:
        _logger.error("pipeline %s ended with an error", pipeline.id, exc_info=error, extra={"pipeline": pipeline.id})
        run.abandon(error)
