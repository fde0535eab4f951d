"""Fused steps: an Observable whose synchronous operators are compiled into one chain of closures.

A flavor is a ReactiveX operator, ``Observable -> Observable``. The runtime's own operators recognise a `Flow` and add a
step to it instead of wrapping another Observable around it. Subscribing compiles the steps once: each calls the next
one directly. Any other ReactiveX operator may stand between them; the steps after it start a new `Flow`.

A flow of the runtime's own steps needs nothing of ReactiveX, so reactivex is imported when something else first uses
the flow.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from .run import Run, current_run

if TYPE_CHECKING:
    from reactivex import Observable, abc

Push = Callable[[Any], None]
Complete = Callable[[], None]
Operator = Callable[["Observable[Any]"], "Observable[Any]"]


def nothing(_: Any) -> None:
    """The push at the end of a pipeline whose units of work nobody takes; steps need not make them."""


class Step(Protocol):
    """One operator of a `Flow`."""

    waits: bool
    """Whether it holds units of work until the source has completed, to make calls together."""

    needs_whole_batch: bool
    """Whether it makes something else of a batch that comes in portions."""

    def compile(self, run: Run, push: Push, complete: Complete) -> tuple[Push, Complete]:
        """The step's push and complete, which call those of the next step."""
        ...


class _DeferredObservable:
    """Behaves as an Observable of ReactiveX, and makes one when something first uses it as that."""

    def pipe(self, *operators: Callable[[Any], Any]) -> Any:
        """Apply operators, the first one first."""
        result: Any = self
        for operator in operators:
            result = operator(result)
        return result

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        """What ``isinstance(flow, Observable)`` asks for, which nobody can ask before the import of reactivex."""
        if sys.modules.get("reactivex") is None:
            return type(self)
        from reactivex import Observable

        return Observable

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(_observable_of(self), name)

    def __getitem__(self, key: Any) -> Any:
        return _observable_of(self)[key]

    def __add__(self, other: Any) -> Any:
        return _observable_of(self) + other

    def __await__(self) -> Any:
        return _observable_of(self).__await__()


def _observable_of(deferred: Any) -> Any:
    observable = deferred.__dict__.get("_observable")
    if observable is None:
        from reactivex import Observable

        observable = deferred.__dict__.setdefault("_observable", Observable(deferred._subscribe_core))
    return observable


if TYPE_CHECKING:
    _Source = Observable[Any]
else:
    _Source = _DeferredObservable


class Flow(_Source):
    """A source and the steps that its items go through."""

    def __init__(self, source: Observable[Any], steps: tuple[Step, ...] = ()) -> None:
        self.source = source
        self.steps = steps

    def compile(self, run: Run, push: Push, complete: Complete) -> tuple[Push, Complete]:
        """The whole chain as one push and one complete."""
        for step in reversed(self.steps):
            push, complete = step.compile(run, push, complete)
        return push, complete

    def _subscribe_core(
        self, observer: abc.ObserverBase[Any], scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        run = current_run.get() or _Unattended()
        push, complete = self.compile(run, observer.on_next, observer.on_completed)
        return self.source.subscribe(push, observer.on_error, complete, scheduler=scheduler)


class PushSource(_Source):
    """The source of a pipeline, into which the engine pushes units of work.

    Every subscription gets the whole batch, as from `reactivex.from_iterable`: one that is made after the first unit of
    work, as operators such as ``repeat`` make, gets it when the batch is over.
    """

    def __init__(self) -> None:
        self._observers: list[abc.ObserverBase[Any]] = []
        self._late: list[abc.ObserverBase[Any]] = []
        self._uows: list[Any] = []
        self._is_over = False
        self._lock = threading.Lock()

    @property
    def is_observed(self) -> bool:
        """Whether anything has subscribed."""
        return bool(self._observers)

    def push(self, uow: Any) -> None:
        """Pass a unit of work to the subscribers."""
        with self._lock:
            self._uows.append(uow)
        for observer in self._observers:
            observer.on_next(uow)

    def complete(self) -> None:
        """Tell the subscribers that the batch is over."""
        with self._lock:
            self._is_over = True
        for observer in self._observers:
            observer.on_completed()
        for observer in self._late:
            self._replay(observer)

    def _replay(self, observer: abc.ObserverBase[Any]) -> None:
        for uow in self._uows:
            observer.on_next(uow)
        observer.on_completed()

    def _subscribe_core(
        self, observer: abc.ObserverBase[Any], scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        from reactivex.disposable import Disposable

        with self._lock:
            is_over = self._is_over
            if not is_over:
                (self._late if self._uows else self._observers).append(observer)
        if is_over:
            self._replay(observer)
        return Disposable()


def is_observable(value: Any) -> bool:
    """Whether a value is an Observable; without an import of reactivex there is none but the runtime's."""
    if isinstance(value, _DeferredObservable):
        return True
    if sys.modules.get("reactivex") is None:
        return False
    from reactivex import Observable

    return isinstance(value, Observable)


class _Unattended(Run):
    """The run of a flow that is subscribed to outside a pipeline, as in tests: failures are raised."""

    def __init__(self) -> None:
        super().__init__(())

    def may_start(self, uow: Mapping[str, Any]) -> bool:
        return True

    def fail(self, error: BaseException, uow: Any) -> None:
        raise error


class Extension:
    """The ReactiveX operator that adds a step to a flow, or starts a flow on any other Observable."""

    __slots__ = ("step",)

    def __init__(self, step: Step) -> None:
        self.step = step

    def __call__(self, source: Observable[Any]) -> Observable[Any]:
        return _with_steps(_checked(source), (self.step,))


class Recipe:
    """Several operators as one; consecutive steps extend a flow once."""

    __slots__ = ("operators",)

    def __init__(self, *operators: Operator | None) -> None:
        self.operators: list[Operator] = []
        for operator in operators:
            if isinstance(operator, Recipe):
                self.operators += operator.operators
            elif operator is not None:
                self.operators.append(operator)

    def __call__(self, source: Observable[Any]) -> Observable[Any]:
        source = _checked(source)
        steps: list[Step] = []
        for operator in self.operators:
            if isinstance(operator, Extension):
                steps.append(operator.step)
                continue
            source = operator(_with_steps(source, steps))
            steps = []
        return _with_steps(source, steps)


def _with_steps(source: Observable[Any], steps: Sequence[Step]) -> Observable[Any]:
    if not steps:
        return source
    return Flow(source.source, (*source.steps, *steps)) if isinstance(source, Flow) else Flow(source, tuple(steps))


def _checked(source: Any) -> Observable[Any]:
    if not is_observable(source):
        name = type(source).__name__
        raise TypeError(f"an operator takes an Observable, as in source.pipe(...), not a {name}: {source!r:.200}")
    return source  # type: ignore[no-any-return]


def extend(step: Step) -> Operator:
    """The operator that adds a step."""
    return Extension(step)


def compose(*operators: Operator | None) -> Operator:
    """Several operators as one. None stands for an optional step that is left out; no operators pass everything on."""
    return Recipe(*operators)


class MapStep:
    """Passes on what a function returns for each item."""

    waits = needs_whole_batch = False

    def __init__(self, mapper: Callable[[Any], Any]) -> None:
        self.mapper = mapper

    def compile(self, run: Run, push: Push, complete: Complete) -> tuple[Push, Complete]:
        mapper, fail = self.mapper, run.fail

        def map_next(uow: Any) -> None:
            try:
                result = mapper(uow)
            except Exception as error:
                fail(error, uow)
                return
            push(result)

        return map_next, complete


class FilterStep:
    """Passes on the items for which a predicate holds."""

    waits = needs_whole_batch = False

    def __init__(self, predicate: Callable[[Any], Any]) -> None:
        self.predicate = predicate

    def compile(self, run: Run, push: Push, complete: Complete) -> tuple[Push, Complete]:
        predicate, fail = self.predicate, run.fail

        def filter_next(uow: Any) -> None:
            try:
                kept = predicate(uow)
            except Exception as error:
                fail(error, uow)
                return
            if kept:
                push(uow)

        return filter_next, complete


class FlattenStep:
    """Passes on the members of each item, one by one."""

    waits = needs_whole_batch = False

    def compile(self, run: Run, push: Push, complete: Complete) -> tuple[Push, Complete]:
        fail = run.fail

        def flatten_next(items: Iterable[Any]) -> None:
            try:
                members = list(items)
            except Exception as error:
                fail(error, items)
                return
            for item in members:
                push(item)

        return flatten_next, complete


class EffectStep:
    """Maps like `MapStep` with a function that has effects: it is not called for records that come again."""

    waits = needs_whole_batch = False

    def __init__(self, mapper: Callable[[Any], Any], effect: Callable[[Any], object] | None = None) -> None:
        """Make the step.

        Args:
            mapper: makes the next unit of work of one.
            effect: does the same without making one; it is called if nothing follows.
        """
        self.mapper = mapper
        self.effect = effect

    def compile(self, run: Run, push: Push, complete: Complete) -> tuple[Push, Complete]:
        fail, may_start, now = run.fail, run.may_start, time.monotonic
        checkpoints, untraceable = run.checkpoints, run.untraceable
        effect = self.effect if push is nothing else None
        work = effect or self.mapper

        def effect_next(uow: Any) -> None:
            deadline = run.deadline
            if (checkpoints or untraceable or (deadline is not None and now() >= deadline)) and not may_start(uow):
                return
            try:
                result = work(uow)
            except Exception as error:
                fail(error, uow)
                return
            if effect is None:
                push(result)

        return effect_next, complete


class GatherStep:
    """Collects all items until the source has completed, processes them together, and passes on the results."""

    waits = True

    def __init__(self, work: Callable[[Run, Sequence[Any]], Iterable[Any]], *, needs_whole_batch: bool = True) -> None:
        self.work = work
        self.needs_whole_batch = needs_whole_batch

    def compile(self, run: Run, push: Push, complete: Complete) -> tuple[Push, Complete]:
        gathered: list[Any] = []
        work = self.work

        def gather_complete() -> None:
            items = gathered[:]
            gathered.clear()
            if items:
                for result in work(run, items):
                    if not (run.checkpoints or run.untraceable) or run.may_go_on(result):
                        push(result)
            complete()

        return gathered.append, gather_complete
