"""The engine: hands each unit of work to the pipelines that want it, and answers for every record."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, NamedTuple

from reactivex import Observable

from . import settings
from .engine.flow import Complete, Entry, FilterStep, Flow, Operator, Push
from .engine.records import Record, Uow
from .engine.run import Fault, Run, current_run
from .errors import InvalidRecord
from .events import claim_check
from .events.envelope import Uows
from .faults import FAULT_EVENT_TYPE, distinguished, fault_event
from .options import publisher
from .rules.fields import initialize_from
from .rules.filters import Routed, event_type_of
from .tracing import carried

__all__ = ["StreamPipeline", "initialize_from"]

OnNext = Callable[[str, Any], object]
OnError = Callable[[str, BaseException], object]
OnCompleted = Callable[[str], object]
Response = dict[str, list[dict[str, str]]]

_logger = logging.getLogger(__name__)


class _Line(NamedTuple):
    """A pipeline put together for one invocation."""

    id: str
    push: Push
    complete: Complete
    routed: Routed | None
    waits: bool


class StreamPipeline:
    """Rules, ready to process batches.

    Args:
        pipelines: what `initialize_from` made of the rules.
        options: what all of them share; see `stream_runtime.options.Options`.
        concurrency: pipelines that wait for AWS do so at the same time; False runs one after the other, in the order
            of the rules.

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
        self._pipelines = pipelines
        self._options = options
        self._concurrency = concurrency

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
            on_next: called with the pipeline's id and each unit of work that went through it; pipelines that wait for
                AWS call it at the same time, from threads of their own.
            on_error: called with the pipeline's id and the error that ended a whole pipeline.
            on_completed: called with the pipeline's id when it has ended well.
            context: the Lambda context; shortly before its end no more work is started. A rule that does not return
                is not interrupted: Lambda ends it, and delivers the whole batch again.

        Returns:
            ``{"batchItemFailures": [{"itemIdentifier": ...}]}``: what is to be delivered again; empty if nothing is.

        Raises:
            UnfinishedBatch: the whole batch has to be delivered again, since a pipeline ended with an error, a
                failure cannot be traced to a record, or the source takes no partial response.
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
        """Like `assemble`, but gives the run with its counts, from which the response can be asked."""
        batch = _listed(source)
        deadline, end = _times(context)
        run = Run(_records_of(batch), deadline=deadline, end=end)
        if settings.METRICS.read():
            from .engine.metrics import Meter

            run.meter = Meter()
        token = current_run.set(run)
        try:
            uows: Iterable[Uow] = batch
            if self._options.get("freeze", settings.FREEZE.read()):
                from .payload.freezing import freeze

                uows = ({**uow, "event": freeze(uow["event"])} for uow in batch)
            lines = [self._put_together(run, id_, on_next, on_error, on_completed) for id_ in self._enabled()]
            reached = _feed(run, uows, lines)
            self._complete(run, lines, reached)
            _publish_faults(run, self._options)
        finally:
            current_run.reset(token)
        if run.meter is not None:
            run.meter.write(run, _records_of(batch))
        for cause in run.causes:
            _logger.error("left for retry: %s: %s", type(cause).__name__, cause)
        return run

    def _enabled(self) -> list[str]:
        enabled, disabled = settings.ENABLED_PIPELINES.read(), settings.DISABLED_PIPELINES.read()
        return [id_ for id_ in self._pipelines if id_ not in disabled and (not enabled or id_ in enabled)]

    def _put_together(
        self,
        run: Run,
        id_: str,
        on_next: OnNext | None,
        on_error: OnError | None,
        on_completed: OnCompleted | None,
    ) -> _Line:
        operator = self._pipelines[id_]({"id": id_, "pipeline": id_, **self._options})
        entry = Entry()
        flow = operator(Flow(entry))
        routed, flow = _without_routing(flow)

        def out(uow: Any) -> None:
            if on_next is not None:
                on_next(id_, uow)

        def completed() -> None:
            if on_completed is not None:
                on_completed(id_)

        def failed(error: Exception) -> None:
            _logger.error("pipeline %s ended with an error", id_, exc_info=error)
            run.abandon(error)
            if on_error is not None:
                on_error(id_, error)

        if isinstance(flow, Flow) and flow.source is entry:
            push, complete = flow.compile(run, out, completed)
            waits = any(step.waits for step in flow.steps)
        else:
            push, waits = entry.push, True
            complete = _subscribed(run, id_, flow, entry, out, failed, completed)
        if run.meter is not None:
            push, complete = run.meter.timed(id_, push, complete)
        return _Line(id_, push, complete, routed, waits)

    def _complete(self, run: Run, lines: Sequence[_Line], reached: Collection[str]) -> None:
        """Tell all pipelines that the batch is over; those that have calls to make then do so side by side."""
        waiting = [line for line in lines if line.waits and line.id in reached]
        if not self._concurrency or len(waiting) < 2:
            waiting = []
        for line in lines:
            if line not in waiting:
                _complete_one(run, line)
        if waiting:

            def one(line: _Line) -> None:
                _complete_one(run, line)

            complete = carried(one)
            with ThreadPoolExecutor(len(waiting), thread_name_prefix="stream-pipeline") as pool:
                for ended in [pool.submit(copy_context().run, complete, line) for line in waiting]:
                    ended.result()


def _records_of(uows: Sequence[Uow]) -> Sequence[Record]:
    """The record of each unit of work; a unit made without one stands for itself."""
    return uows.records if isinstance(uows, Uows) else [uow.get("record") or uow for uow in uows]


def _listed(source: Iterable[Uow] | Observable[Uow]) -> Sequence[Uow]:
    if isinstance(source, Sequence):
        return source
    if not isinstance(source, Observable):
        return list(source)
    uows: list[Uow] = []
    errors: list[Exception] = []
    ended = threading.Event()

    def failed(error: Exception) -> None:
        errors.append(error)
        ended.set()

    source.subscribe(uows.append, failed, ended.set)
    ended.wait()
    if errors:
        raise errors[0]
    return uows


def _times(context: Any) -> tuple[float | None, float | None]:
    """`time.monotonic()` seconds at which no more work is started, and no more faults are published.

    Both are None without a Lambda context. The margin before the end of the invocation is at most a fifth of the time
    there is, for functions with a short timeout; its last quarter is left for the answer.
    """
    remaining = getattr(context, "get_remaining_time_in_millis", None)
    if remaining is None:
        return None, None
    left_s = int(remaining()) / 1000
    margin_s = min(settings.DEADLINE_MARGIN_MS.read() / 1000, left_s / 5)
    end = time.monotonic() + left_s
    return end - margin_s, end - margin_s / 4


def _subscribed(
    run: Run,
    id_: str,
    flow: Observable[Any],
    entry: Entry,
    out: Callable[[Any], None],
    failed: Callable[[Exception], None],
    completed: Callable[[], None],
) -> Complete:
    """Subscribe to a flow with foreign operators; the function that completes it and waits until it has ended.

    Foreign operators may hand on later and from other threads. One that has not ended at the deadline gives the whole
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
        entry.complete()
        if not ended.wait(run.left_s()):
            run.abandon(TimeoutError(f"pipeline {id_!r} has not ended at the end of the invocation"))

    return complete


def _without_routing(flow: Any) -> tuple[Routed | None, Any]:
    """The filter by type that opens a pipeline, taken out of it: it is asked once for each type, not each record."""
    if isinstance(flow, Flow) and flow.steps and isinstance(flow.source, Entry):
        opening = flow.steps[0]
        if isinstance(opening, FilterStep) and isinstance(opening.predicate, Routed):
            return opening.predicate, Flow(flow.source, flow.steps[1:])
    return None, flow


Target = tuple[str, Push]


class _Route:
    """The pipelines that ask for the same key of a unit of work, and who of them wants which key."""

    def __init__(self, read: Callable[[Any], Hashable]) -> None:
        self.read = read
        self.lines: list[_Line] = []
        self.remembered: dict[Hashable, tuple[Target, ...]] = {}

    def targets(self, key: Hashable) -> tuple[Target, ...]:
        """Who wants units of work with a key; each rule is asked once."""
        targets = self.remembered.get(key)
        if targets is None:
            targets = tuple((line.id, line.push) for line in self.lines if line.routed and line.routed.accepts(key))
            self.remembered[key] = targets
        return targets


def _routes(lines: Sequence[_Line]) -> tuple[_Route, list[_Route], list[Target]]:
    """The route by event type, those by other keys, and the pipelines that get everything."""
    routes: dict[Callable[[Any], Hashable], _Route] = {event_type_of: _Route(event_type_of)}
    everything = []
    for line in lines:
        if line.routed is None:
            everything.append((line.id, line.push))
        else:
            routes.setdefault(line.routed.route, _Route(line.routed.route)).lines.append(line)
    by_type = routes.pop(event_type_of)
    return by_type, list(routes.values()), everything


def _feed(run: Run, uows: Iterable[Uow], lines: Sequence[_Line]) -> set[str]:
    """Hand each unit of work to the pipelines that want it; what no pipeline wants costs two look-ups.

    Those that come again are not handed out any more: steps that ask nobody before they have an effect, as custom
    flavors have them, keep the order of a key thereby.

    Returns:
        The ids of the pipelines that wanted any.
    """
    by_type, others, everything = _routes(lines)
    known_types = by_type.remembered
    claim = claim_check.FIELD
    checkpoints, untraceable, deadline = run.checkpoints, run.untraceable, run.deadline
    rest = iter(uows)
    for uow in rest:
        if (
            checkpoints or untraceable or (deadline is not None and time.monotonic() >= deadline)
        ) and not run.may_start(uow):
            continue
        try:
            event = uow["event"]
            claimed = claim in event
            targets = known_types[event["type"]]
        except (KeyError, TypeError):
            unmet = _targets_of_unmet(run, by_type, uow)
            if unmet is None:
                continue
            targets = unmet
        if claimed:
            reached = _feed(run, claim_check.redeemed(run, [uow, *rest]), lines)
            return reached | _reached(by_type, *others) | {id_ for id_, _ in everything}
        if others:
            targets += _targets_by_other_keys(run, others, uow)
        if not targets and not everything:
            continue
        tags = event.get("tags")
        if isinstance(tags, dict) and "skip" in tags and tags["skip"]:
            continue
        for id_, push in targets:
            push({"pipeline": id_, **uow})
        for id_, push in everything:
            push({"pipeline": id_, **uow})
    return _reached(by_type, *others) | {id_ for id_, _ in everything}


def _reached(*routes: _Route) -> set[str]:
    return {id_ for route in routes for targets in route.remembered.values() for id_, _ in targets}


def _targets_of_unmet(run: Run, by_type: _Route, uow: Any) -> tuple[Target, ...] | None:
    """Who wants an event of a type not met before in this batch; None where it cannot be an event at all."""
    try:
        if "invalid" not in uow:
            return by_type.targets(by_type.read(uow))
        error = uow["invalid"]
    except (AttributeError, KeyError, TypeError) as cause:
        error = InvalidRecord(f"not a unit of work with a record and an event: {cause!r}")
    run.fail(error, uow)
    return None


def _targets_by_other_keys(run: Run, routes: Sequence[_Route], uow: Any) -> tuple[Target, ...]:
    """Who wants a unit of work for another reason than its type; where that cannot be read, all who ask for it fail."""
    found: tuple[Target, ...] = ()
    for route in routes:
        try:
            found += route.targets(route.read(uow))
        except Exception as error:
            for line in route.lines:
                run.fail(error, {"pipeline": line.id, **uow})
    return found


def _complete_one(run: Run, line: _Line) -> None:
    try:
        line.complete()
    except Exception as error:
        _logger.error("pipeline %s ended with an error", line.id, exc_info=error)
        run.abandon(error)


def _publish_faults(run: Run, options: Mapping[str, Any]) -> None:
    """Publish the faults of the records that do not come again; one that cannot be published leaves its record.

    They are published in the order of their records, one request after the other, so that what is left is left from
    the first failure on.
    """
    if run.untraceable or not run.faults:
        return
    due = _due(run, sorted(run.faults, key=lambda fault: min(fault.positions)))
    if not due:
        return
    run.begin_faults()
    entry = Entry()
    flow = publisher({**options, "parallel": 1})(Flow(entry))
    if isinstance(flow, Flow) and flow.source is entry:
        push, complete = flow.compile(run, lambda _: None, lambda: None)
    else:
        push = entry.push
        complete = _subscribed(run, FAULT_EVENT_TYPE, flow, entry, lambda _: None, run.abandon, lambda: None)
    try:
        for fault, event in zip(due, distinguished([fault_event(fault) for fault in due]), strict=True):
            _log_fault(fault, event)
            push({"pipeline": fault.uow.get("pipeline"), **_origin(run, fault), "event": event})
        complete()
    except Exception as error:
        run.abandon(error)


def _due(run: Run, faults: Sequence[Fault]) -> list[Fault]:
    """The faults whose records do not come again.

    Where only some of a fault's records come again, the others are left, too: they have neither effect nor fault yet.
    """
    while True:
        torn = [fault for fault in faults if run.is_unfinished(fault.positions) and not run.is_left(fault.positions)]
        if not torn:
            return [fault for fault in faults if not run.is_unfinished(fault.positions)]
        for fault in torn:
            run.leave(fault.uow, fault.error)


def _origin(run: Run, fault: Fault) -> dict[str, Any]:
    """The records a fault belongs to, as a unit of work has them, so that a failure to publish leaves just those."""
    records = [run.positions.records[position] for position in fault.positions]
    if len(records) == 1:
        return {"record": records[0]}
    return {"batch": [{"record": record} for record in records]}


def _log_fault(fault: Fault, event: Mapping[str, Any]) -> None:
    _logger.warning(
        "fault %s in pipeline %s: %s: %s",
        event["id"],
        event["tags"]["pipeline"],
        event["err"]["name"],
        event["err"]["message"],
    )
