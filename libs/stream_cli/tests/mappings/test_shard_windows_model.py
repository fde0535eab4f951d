"""Tumbling windows against a slow, plain model, over random histories; see test_shard_model.py for the method.

The function of these histories counts: the state that it returns is the numbers of all records which it has been given
in the window, so that a state handed on wrongly shows at once.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from math import floor, inf
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from sample_sizes import sample_of
from stream_cli.mappings.outcomes import Failed, Outcome, Processed
from stream_cli.mappings.records import Record
from stream_cli.mappings.settings import MappingSettings, source_of
from stream_cli.mappings.shard import STATE_LIMIT, Attempt, GivenUp, ShardProcessor

SOURCE = source_of("arn:aws:kinesis:us-east-1:123456789012:stream/items")
FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:counter"
WINDOW = 60.0
TOO_BIG = "x" * STATE_LIMIT


@dataclass
class Window:
    """An open window of the model."""

    start: float
    state: Any = field(default_factory=dict)
    full: bool = False
    last: Record | None = None


@dataclass
class World:
    """Everything that the model knows."""

    settings: MappingSettings
    now: float = 0.0
    read_through: float = -inf
    seen: list[Record] = field(default_factory=list)
    done: set[str] = field(default_factory=set)
    window: Window | None = None


Wish = tuple[Any, ...]
Lane = Generator[Wish | None, Outcome | None, None]


def the_lane(world: World) -> Lane:
    """For ever: open the window of the next record, hand it batch by batch, close it."""
    while True:
        waiting = [record for record in world.seen if record.sequence_number not in world.done]
        if world.window is None:
            if not waiting:
                yield None
                continue
            world.window = Window(floor(waiting[0].arrival / WINDOW) * WINDOW)
        if world.window.full:
            yield from see_through(world, [], final=True)
            continue
        end = world.window.start + WINDOW
        inside = []
        for record in waiting:
            if record.arrival >= end:
                break
            inside.append(record)
        over = len(inside) < len(waiting) or world.read_through >= end
        batch = inside[: world.settings.batch_size]
        if over:
            yield from see_through(world, batch, final=len(batch) == len(inside))
        elif batch:
            yield from see_through(world, batch, final=False)
        else:
            yield None


def see_through(world: World, batch: list[Record], *, final: bool) -> Lane:
    """Try a batch until it is done or given up, and end the window with it if it is the final one."""
    retries, resume, exhausted = 0, 0.0, False
    while True:
        if world.window is None:
            raise AssertionError("a batch without a window")
        if world.window.full and not final:
            start = world.window.start
            yield from see_through(world, [], final=True)
            # What is left of the batch goes into a window of its own over the same time.
            world.window = Window(start)
        if exhausted:
            yield wish_of("RetryAttemptsExhausted", world.window, batch, final)
            finish(world, batch)
            if final and batch:
                # The records are lost, the window's state is not.
                batch, retries, resume, exhausted = [], 0, 0.0, False
                continue
            break
        while world.now < resume:
            yield None
        outcome = yield wish_of("invoke", world.window, batch, final)
        if isinstance(outcome, Processed) or (isinstance(outcome, Failed) and outcome.partial):
            world.window.state = {} if outcome.state is None else outcome.state
            world.window.full = world.window.full or world.window.state == TOO_BIG
        done = len(batch) if isinstance(outcome, Processed) else outcome.done if isinstance(outcome, Failed) else 0
        finish(world, batch[:done])
        batch = batch[done:]
        if isinstance(outcome, Processed):
            break
        if done:
            retries = 0
            continue
        if world.settings.bisect and len(batch) > 1:
            middle = len(batch) // 2
            yield from see_through(world, batch[:middle], final=False)
            yield from see_through(world, batch[middle:], final=final)
            return
        exhausted = retries == world.settings.max_retries
        retries += 1
        resume = world.now + min(60, 2 ** (retries - 1))
    if final:
        world.window = None


def finish(world: World, records: list[Record]) -> None:
    world.done.update(record.sequence_number for record in records)
    if records and world.window is not None:
        world.window.last = records[-1]


def wish_of(kind: str, window: Window, batch: list[Record], final: bool) -> Wish:
    return (kind, tuple(r.sequence_number for r in batch), window.start, window.state, final, window.full)


def to_wish(action: Attempt | GivenUp) -> Wish:
    kind = "invoke" if isinstance(action, Attempt) else action.condition
    context = action.window
    assert context is not None
    numbers = tuple(record.sequence_number for record in action.records)
    return (kind, numbers, context.start, context.state, context.final, context.terminated_early)


class WindowsAgainstModel(RuleBasedStateMachine):
    """One shard with tumbling windows, its model, and a history that hypothesis makes up."""

    @initialize(batch_size=st.integers(1, 4), max_retries=st.sampled_from([0, 1, 2]), bisect=st.booleans())
    def begin(self, batch_size: int, max_retries: int, bisect: bool) -> None:
        self.settings = MappingSettings(
            uuid="u",
            function_arn=FUNCTION,
            source=SOURCE,
            batch_size=batch_size,
            max_retries=max_retries,
            bisect=bisect,
            report_failures=True,
            tumbling_window=WINDOW,
        )
        self.world = World(self.settings)
        self.stream: list[Record] = []
        self.open_up(ShardProcessor(self.settings))

    def open_up(self, processor: ShardProcessor) -> None:
        self.processor = processor
        self.lane = the_lane(self.world)
        self.wish: Wish | None = None
        self.action: Attempt | GivenUp | None = None
        self.compare()

    def compare(self) -> None:
        for action in self.processor.step(self.world.now):
            assert self.action is None
            self.action = action
        if self.wish is None:
            self.wish = next(self.lane)
        assert (None if self.action is None else to_wish(self.action)) == self.wish
        undone = [r for r in self.world.seen if r.sequence_number not in self.world.done]
        assert self.processor.backlog == len(undone)

    @rule(number=st.integers(1, 4), later=st.sampled_from([0.0, 0.0, 10.0, 30.0, 70.0]))
    def records_arrive(self, number: int, later: float) -> None:
        self.world.now += later
        fresh = [Record(f"{len(self.stream) + n:05d}", "k", self.world.now) for n in range(number)]
        self.stream.extend(fresh)
        self.world.seen.extend(fresh)
        self.processor.offer(fresh, self.world.now)
        self.compare()

    @rule(seconds=st.sampled_from([0.5, 1.0, 5.0, 30.0, 60.0]), read=st.booleans())
    def time_passes(self, seconds: float, read: bool) -> None:
        self.world.now += seconds
        if read:
            self.world.read_through = self.world.now
            self.processor.read_up_to(self.world.now)
        self.compare()

    @precondition(lambda self: isinstance(self.action, Attempt))
    @rule(big=st.sampled_from([False, False, False, True]))
    def the_function_succeeds(self, big: bool) -> None:
        self.answer(Processed(TOO_BIG if big else self.counted(len(self.records))))

    @precondition(lambda self: isinstance(self.action, Attempt))
    @rule()
    def the_function_raises(self) -> None:
        self.answer(Failed())

    @precondition(lambda self: isinstance(self.action, Attempt) and self.action.records)
    @rule(where=st.integers(0, 3), big=st.sampled_from([False, False, False, True]))
    def the_function_reports_a_failure(self, where: int, big: bool) -> None:
        done = where % len(self.records)
        self.answer(Failed(done=done, partial=True, state=TOO_BIG if big else self.counted(done)))

    @precondition(lambda self: isinstance(self.action, GivenUp))
    @rule()
    def the_destination_is_told(self) -> None:
        assert self.action is not None
        told, self.action = self.action, None
        self.processor.delivered(told.id)
        self.wish = next(self.lane)
        self.compare()

    @rule()
    def the_engine_restarts(self) -> None:
        checkpoint = self.processor.checkpoint
        assert (checkpoint.window is None) == (self.world.window is None)
        self.world.read_through = -inf
        self.world.seen = [r for r in self.stream if r.sequence_number in self.world.done]
        self.open_up(ShardProcessor(self.settings, window=checkpoint.window, position=checkpoint.sequence_number))
        self.processor.offer([r for r in self.stream if r not in self.world.seen], self.world.now)
        self.world.seen = list(self.stream)
        self.compare()

    @property
    def records(self) -> tuple[Record, ...]:
        assert self.action is not None
        return self.action.records

    def counted(self, done: int) -> Any:
        assert self.action is not None
        context = self.action.window
        assert context is not None
        before = context.state.get("seen", []) if isinstance(context.state, dict) else []
        return {"seen": [*before, *(record.sequence_number for record in self.records[:done])]}

    def answer(self, outcome: Outcome) -> None:
        assert self.action is not None
        attempt, self.action = self.action, None
        self.processor.settle(attempt.id, outcome, self.world.now)
        self.wish = self.lane.send(outcome)
        self.compare()

    def teardown(self) -> None:
        """Let everything succeed from now on, and the shard end: each window must come to its end."""
        if not hasattr(self, "processor"):
            return
        self.world.read_through = inf
        self.processor.end()
        for _ in range(10 * len(self.stream) + 20):
            self.world.now += 60
            self.compare()
            while self.action is not None:
                if isinstance(self.action, GivenUp):
                    self.the_destination_is_told()
                else:
                    self.answer(Processed())
            if self.processor.finished:
                break
        assert self.processor.finished
        assert self.world.done == {record.sequence_number for record in self.stream}


TestWindowsAgainstModel = WindowsAgainstModel.TestCase
TestWindowsAgainstModel.settings = settings(
    max_examples=sample_of(500),
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
