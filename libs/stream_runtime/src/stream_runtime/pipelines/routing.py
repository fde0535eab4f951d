"""Routes units of work to pipelines; each rule is asked once per event type, not once per record."""

import logging
import time
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

from stream_runtime.engine.flow import Complete, FilterStep, Flow, Push, PushSource
from stream_runtime.engine.records import FAULT_EVENT_TYPE, Uow
from stream_runtime.engine.run import Run
from stream_runtime.errors import InvalidRecord
from stream_runtime.events.claim_check import FIELD as CLAIM_CHECK
from stream_runtime.events.envelope import TO_OPEN
from stream_runtime.events.opening import Opening
from stream_runtime.rules.filters import Routed, event_type_of

_logger = logging.getLogger(__name__)

_told: set[Hashable] = set()
_MOST_TOLD = 100


class Pipeline(NamedTuple):
    """The pipeline of a rule, assembled for one batch.

    Attributes:
        id: the rule's.
        push: takes a unit of work.
        complete: tells it that the batch is over.
        routed: its opening filter by a key; None if the pipeline gets every unit of work.
        waits: whether it holds units of work until the batch is over, to make calls.
        needs_whole_batch: whether it makes something else of a batch that comes in portions.
    """

    id: str
    push: Push
    complete: Complete
    routed: Routed | None
    waits: bool
    needs_whole_batch: bool


def without_routing(flow: Any) -> tuple[Routed | None, Any]:
    """Take the opening filter out of a pipeline, where that is a `Routed` one and nothing else subscribes."""
    if isinstance(flow, Flow) and flow.steps and isinstance(flow.source, PushSource) and not flow.source.is_observed:
        opening = flow.steps[0]
        if isinstance(opening, FilterStep) and isinstance(opening.predicate, Routed):
            return opening.predicate, Flow(flow.source, flow.steps[1:])
    return None, flow


Target = tuple[str, Push]


class _Route:
    """The pipelines that are routed by the same key, and which of them want which value of it."""

    def __init__(self, read: Callable[[Any], Hashable]) -> None:
        self.read = read
        self.pipelines: list[Pipeline] = []
        self.remembered: dict[Hashable, tuple[Target, ...]] = {}

    def targets(self, key: Hashable) -> tuple[Target, ...]:
        """The pipelines that want units of work with a key; each rule is asked once."""
        targets = self.remembered.get(key)
        if targets is None:
            wanting = [each for each in self.pipelines if each.routed and each.routed.accepts(key)]
            targets = tuple(
                (each.id, _about_fault(each.push) if key == FAULT_EVENT_TYPE else each.push) for each in wanting
            )
            self.remembered[key] = targets
        return targets


def _about_fault(push: Push) -> Push:
    """Push units of work that stay known as those of a fault event, whatever a rule makes of their event."""
    return lambda uow: push({**uow, "about_fault": True})


def _routes(pipelines: Sequence[Pipeline]) -> tuple[_Route, list[_Route], list[Target]]:
    """The route by event type, the routes by other keys, and the pipelines that get everything."""
    routes: dict[Callable[[Any], Hashable], _Route] = {event_type_of: _Route(event_type_of)}
    everything = []
    for pipeline in pipelines:
        if pipeline.routed is None:
            everything.append((pipeline.id, pipeline.push))
        else:
            routes.setdefault(pipeline.routed.route, _Route(pipeline.routed.route)).pipelines.append(pipeline)
    by_type = routes.pop(event_type_of)
    return by_type, list(routes.values()), everything


def feed(run: Run, opening: Opening, pipelines: Sequence[Pipeline]) -> set[str]:
    """Push each unit of work into the pipelines that want it; one that no pipeline wants costs two look-ups.

    It ends with the batch, or with the portion that the opening allows.

    Records that come again are skipped. Custom steps do not call `Run.may_start`; skipping these records here keeps
    their key in order.

    Returns:
        The ids of the pipelines that wanted any.
    """
    by_type, others, everything = _routes(pipelines)
    known_types = by_type.remembered
    claim, to_open = CLAIM_CHECK, TO_OPEN
    checkpoints, untraceable, deadline, now = run.checkpoints, run.untraceable, run.deadline, time.monotonic
    only_by_type = not others and not everything

    def is_wanted(uow: Uow) -> bool:
        event = uow["event"]
        type_ = event.get("type")
        if _is_to_skip(event):
            return False
        if everything or (isinstance(type_, str) and by_type.targets(type_)):
            return True
        return any(_may_want(route, uow) for route in others)

    for uows in (opening.plain(), opening):
        for uow in uows:
            if (checkpoints or untraceable or (deadline is not None and now() >= deadline)) and not run.may_start(uow):
                continue
            try:
                event = uow["event"]
                targets = known_types[event["type"]]
            except (KeyError, TypeError):
                unmet = _targets_of_unmet(run, by_type, uow)
                if unmet is None:
                    continue
                event, targets = uow["event"], unmet
                if not unmet and only_by_type:
                    _tell_unwanted(event)
            if not targets and only_by_type:
                continue
            tags = event.get("tags")
            if isinstance(tags, dict) and "skip" in tags and tags["skip"]:
                continue
            if claim in event or to_open in uow:
                if uows is not opening:
                    opening.put_back(uow)
                    break
                opened = opening.opened(uow, is_wanted) if targets or is_wanted(uow) else None
                if opened is None or _is_to_skip(opened["event"]):
                    continue
                uow = opened
            if others:
                targets += _targets_by_other_keys(run, others, uow)
            if only_by_type and len(targets) == 1:
                id_, push = targets[0]
                uow.setdefault("pipeline", id_)
                push(uow)
                continue
            for id_, push in targets:
                push({"pipeline": id_, **uow})
            for id_, push in everything:
                push({"pipeline": id_, **uow})
    return _reached(by_type, *others) | {id_ for id_, _ in everything}


def _may_want(route: _Route, uow: Uow) -> bool:
    """Whether a pipeline of a route wants a unit of work, or cannot be asked, for which it fails."""
    try:
        return bool(route.targets(route.read(uow)))
    except Exception:
        return True


def _tell_unwanted(event: Any) -> None:
    """Log, once for a type, that no rule takes it: a filter of the mapping or the rule may have it misspelt."""
    type_ = event.get("type")
    if type_ in _told or len(_told) >= _MOST_TOLD or _is_to_skip(event):
        return
    _told.add(type_)
    from stream_runtime.payload.visible import visible

    _logger.info("no rule takes events of type %s", visible(str(type_)[:256]), extra={"event_type": str(type_)[:256]})


def _is_to_skip(event: Any) -> bool:
    tags = event.get("tags")
    return isinstance(tags, dict) and bool(tags.get("skip"))


def _reached(*routes: _Route) -> set[str]:
    return {id_ for route in routes for targets in route.remembered.values() for id_, _ in targets}


def _targets_of_unmet(run: Run, by_type: _Route, uow: Any) -> tuple[Target, ...] | None:
    """The pipelines for an event type that is new in this batch; None if this is not an event."""
    try:
        if "invalid" not in uow:
            return by_type.targets(by_type.read(uow))
        error = uow["invalid"]
    except (AttributeError, KeyError, TypeError) as cause:
        error = InvalidRecord(f"not a unit of work with a record and an event: {cause!r}")
    run.fail(error, uow)
    return None


def _targets_by_other_keys(run: Run, routes: Sequence[_Route], uow: Any) -> tuple[Target, ...]:
    """The pipelines that want a unit of work by another key; if a key cannot be read, its pipelines fail."""
    found: tuple[Target, ...] = ()
    for route in routes:
        try:
            found += route.targets(route.read(uow))
        except Exception as error:
            for pipeline in route.pipelines:
                run.fail(error, {"pipeline": pipeline.id, **uow})
    return found
