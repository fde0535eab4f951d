"""`ShardProcessor` against a slow, plain model, over random histories.

The model of a lane is a generator that reads like the specification: it waits, asks for an invocation, gets the
outcome, and recurses where a batch is split. It keeps no deadlines, counters or queues of its own beyond lists, and its
checkpoint is found by looking at every record ever read. A state machine leads both through the same history (records
arriving, time passing, outcomes coming back, the engine restarting from its checkpoint) and compares what they want
after each step.
"""

from __future__ import annotations

import zlib
from collections.abc import Generator
from dataclasses import dataclass, field

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sample_sizes import sample_of
from stream_cli.mappings.outcomes import Failed, Outcome, Processed, Undelivered
from stream_cli.mappings.records import Record
from stream_cli.mappings.settings import MappingSettings, source_of
from stream_cli.mappings.shard import PAYLOAD_LIMIT, Attempt, GivenUp, ShardProcessor

HALF = b"x" * ((PAYLOAD_LIMIT - len(b'{"Records":[]}')) // 2 - 1)
BODIES = {"small": b"{}", "half": HALF, "large": HALF + b"x"}
"""Two halves are as large as a payload may be, to the byte; two large ones are not for one payload."""

SOURCE = source_of("arn:aws:kinesis:us-east-1:123456789012:stream/items")
FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:listener"


@dataclass
class Seen:
    """A record as the model knows it."""

    record: Record
    offered: float
    finished: bool = False


@dataclass
class World:
    """What the lanes of the model share."""

    settings: MappingSettings
    now: float = 0.0
    ended: bool = False
    seen: list[Seen] = field(default_factory=list)

    def checkpoint(self) -> str | None:
        reached = None
        for one in self.seen:
            if not one.finished:
                break
            reached = one.record.sequence_number
        return reached


Wish = tuple[str, tuple[str, ...]]
Lane = Generator[Wish | None, Outcome | None, None]


def payload(batch: list[Seen]) -> int:
    return len(b'{"Records":[]}') + sum(len(one.record.body) + 1 for one in batch)


def the_lane(world: World, number: int) -> Lane:
    """For ever: gather a batch, see it through."""
    while True:
        waiting = [
            one
            for one in world.seen
            if not one.finished
            and zlib.crc32(one.record.key.encode()) % world.settings.parallelization_factor == number
        ]
        batch: list[Seen] = []
        for one in waiting[: world.settings.batch_size]:
            if batch and payload([*batch, one]) > PAYLOAD_LIMIT:
                break
            batch.append(one)
        full = len(batch) == world.settings.batch_size or payload(waiting) >= PAYLOAD_LIMIT
        if batch and (full or world.ended or world.now >= batch[0].offered + world.settings.batch_window):
            yield from see_through(world, batch, 0)
        else:
            yield None


def see_through(world: World, batch: list[Seen], retries: int, resume: float = 0.0) -> Lane:
    """Try a batch until it is done or given up."""
    pause = 0.25
    while batch:
        while world.now < resume:
            yield None
        old = []
        for one in batch:
            if not 0 <= world.settings.max_age < world.now - one.record.arrival:
                break
            old.append(one)
        if old:
            yield from give_up("RecordAgeExceeded", old)
            batch = batch[len(old) :]
            continue
        outcome = yield ("invoke", tuple(one.record.sequence_number for one in batch))
        if isinstance(outcome, Undelivered):
            resume = world.now + pause
            pause = min(5.0, 2 * pause)
            continue
        pause = 0.25
        done = len(batch) if isinstance(outcome, Processed) else outcome.done if outcome is not None else 0
        for one in batch[:done]:
            one.finished = True
        batch = batch[done:]
        if not batch:
            return
        if done:
            retries = 0
            continue
        if world.settings.bisect and len(batch) > 1:
            yield from see_through(world, batch[: len(batch) // 2], retries)
            yield from see_through(world, batch[len(batch) // 2 :], retries)
            return
        if retries == world.settings.max_retries:
            yield from give_up("RetryAttemptsExhausted", batch)
            return
        retries += 1
        resume = world.now + min(60, 2 ** (retries - 1))


def give_up(condition: str, batch: list[Seen]) -> Lane:
    yield (condition, tuple(one.record.sequence_number for one in batch))
    for one in batch:
        one.finished = True


def to_wish(action: Attempt | GivenUp) -> Wish:
    kind = "invoke" if isinstance(action, Attempt) else action.condition
    return kind, tuple(record.sequence_number for record in action.records)


class ShardAgainstModel(RuleBasedStateMachine):
    """One shard, its model, and a history that hypothesis makes up."""

    @initialize(
        batch_size=st.sampled_from([1, 2, 3, 5, 8]),
        batch_window=st.sampled_from([0.0, 5.0]),
        factor=st.sampled_from([1, 1, 2, 3]),
        max_retries=st.sampled_from([-1, 0, 1, 1, 2]),
        max_age=st.sampled_from([-1.0, 5.0]),
        bisect=st.booleans(),
    )
    def begin(
        self, batch_size: int, batch_window: float, factor: int, max_retries: int, max_age: float, bisect: bool
    ) -> None:
        self.settings = MappingSettings(
            uuid="u",
            function_arn=FUNCTION,
            source=SOURCE,
            batch_size=batch_size,
            batch_window=batch_window,
            parallelization_factor=factor,
            max_retries=max_retries,
            max_age=max_age,
            bisect=bisect,
            report_failures=True,
        )
        self.world = World(self.settings)
        self.stream: list[Record] = []
        self.outcomes: dict[str, list[str]] = {}
        self.open_up(ShardProcessor(self.settings))

    def open_up(self, processor: ShardProcessor) -> None:
        self.processor = processor
        self.lanes = [the_lane(self.world, number) for number in range(self.settings.parallelization_factor)]
        self.wishes: list[Wish | None] = [None] * len(self.lanes)
        self.actions: dict[int, Attempt | GivenUp] = {}
        self.compare()

    def compare(self) -> None:
        """Let both come to rest, and expect them to want the same of the world."""
        for action in self.processor.step(self.world.now):
            assert action.lane not in self.actions
            self.actions[action.lane] = action
        for number, lane in enumerate(self.lanes):
            if self.wishes[number] is None:
                self.wishes[number] = next(lane)
        wanted = [to_wish(self.actions[n]) if n in self.actions else None for n in range(len(self.lanes))]
        assert wanted == self.wishes
        assert self.processor.checkpoint.sequence_number == self.world.checkpoint()
        assert self.processor.backlog == sum(not one.finished for one in self.world.seen)

    def answer(self, lane: int, outcome: Outcome | None) -> None:
        action = self.actions.pop(lane)
        if isinstance(action, Attempt) and outcome is not None:
            self.processor.settle(action.id, outcome, self.world.now)
            done = len(action.records) if isinstance(outcome, Processed) else getattr(outcome, "done", 0)
            for record in action.records[:done]:
                self.outcomes.setdefault(record.sequence_number, []).append("done")
            self.wishes[lane] = self.lanes[lane].send(outcome)
        else:
            self.processor.delivered(action.id)
            for record in action.records:
                self.outcomes.setdefault(record.sequence_number, []).append("given up")
            self.wishes[lane] = next(self.lanes[lane])
        self.compare()

    @rule(
        keys=st.lists(st.sampled_from("abcdef"), min_size=1, max_size=6),
        dropped=st.sampled_from([0, 0, 2, 3]),
        size=st.sampled_from(["small", "small", "half", "large"]),
        age=st.sampled_from([0.0, 0.0, 4.0, 5.0, 6.0]),
        fresh=st.integers(0, 3),
    )
    def records_arrive(self, keys: list[str], dropped: int, size: str, age: float, fresh: int) -> None:
        """Records that are so old already, and behind them some that are not."""
        if self.world.ended:
            return
        newest = self.stream[-1].arrival if self.stream else 0.0
        arrivals = [max(self.world.now - age, newest)] * (len(keys) - fresh) + [max(self.world.now, newest)] * fresh
        read = []
        for key, arrival in zip(keys, arrivals, strict=False):
            number = len(self.stream) + len(read)
            kept = not dropped or number % dropped != 0
            read.append(Record(f"{number:05d}", key, arrival, BODIES[size], kept))
        self.stream.extend(read)
        self.read(read)

    @precondition(lambda self: self.settings.batch_window and self.settings.batch_size > 1 and not self.world.ended)
    @rule(key=st.sampled_from("abcdef"), apart=st.sampled_from([0.0, 2.0]), ends=st.booleans())
    def a_batch_waits_for_its_window(self, key: str, apart: float, ends: bool) -> None:
        """Two small records of a key, one after the other; then the window of the first ends, or the shard."""
        self.records_arrive([key], 0, "small", 0.0, 0)
        self.time_passes(apart)
        self.records_arrive([key], 0, "small", 0.0, 0)
        if ends:
            self.the_shard_ends()
        else:
            self.time_passes(self.settings.batch_window - apart)

    def read(self, records: list[Record]) -> None:
        self.processor.offer(records, self.world.now)
        self.world.seen.extend(Seen(record, self.world.now, finished=not record.kept) for record in records)
        self.compare()

    @rule(seconds=st.sampled_from([0.25, 0.5, 1.0, 2.0, 5.0, 20.0, 70.0]))
    def time_passes(self, seconds: float) -> None:
        due, before = self.processor.deadline(), set(self.actions)
        self.world.now += seconds
        self.compare()
        if set(self.actions) != before:
            assert due is not None
            assert due <= self.world.now

    @rule(is_due=st.booleans())
    def what_is_due_comes(self, is_due: bool) -> None:
        """The end of a pause or of a batch's window, as the processor tells it, or a moment before it."""
        due = self.processor.deadline()
        if due is not None and due > self.world.now:
            self.world.now = due if is_due else (self.world.now + due) / 2
            self.compare()

    @precondition(lambda self: self.actions)
    @rule(pick=st.integers(0, 9))
    def the_function_succeeds(self, pick: int) -> None:
        self.answer(self.some_lane(pick), Processed())

    @precondition(lambda self: self.actions)
    @rule(pick=st.integers(0, 9))
    def the_function_raises(self, pick: int) -> None:
        self.answer(self.some_lane(pick), Failed())

    @precondition(lambda self: self.actions)
    @rule(pick=st.integers(0, 9), where=st.integers(0, 7))
    def the_function_reports_a_failure(self, pick: int, where: int) -> None:
        lane = self.some_lane(pick)
        self.answer(lane, Failed(done=where % max(1, len(self.actions[lane].records)), partial=True))

    @precondition(lambda self: self.actions)
    @rule(pick=st.integers(0, 9), times=st.sampled_from([1, 7]))
    def the_function_cannot_be_reached(self, pick: int, times: int) -> None:
        lane = self.some_lane(pick)
        for _ in range(times):
            if isinstance(self.actions.get(lane), Attempt):
                self.answer(lane, Undelivered())
                self.what_is_due_comes(is_due=times > 1)

    @precondition(lambda self: self.actions)
    @rule(
        course=st.sampled_from(
            [
                ("fails", "fails", "fails"),
                ("fails", "advances", "fails", "fails"),
                ("advances", "fails", "advances", "fails"),
                ("is not reached", "fails", "is not reached", "is not reached"),
            ]
        ),
    )
    def one_failure_follows_another(self, course: tuple[str, ...]) -> None:
        """Failures of the largest batch, each at the first moment at which it is tried again."""
        lane = max(self.actions, key=lambda number: len(self.actions[number].records))
        for step in course:
            for _ in range(len(self.lanes) + 1):
                if lane not in self.actions:
                    self.what_is_due_comes(is_due=True)
            action = self.actions.get(lane)
            if not isinstance(action, Attempt):
                return
            advanced = Failed(done=1 if len(action.records) > 1 else 0, partial=True)
            outcomes = {"fails": Failed(), "advances": advanced, "is not reached": Undelivered()}
            self.answer(lane, outcomes[step])
        self.what_is_due_comes(is_due=False)
        self.what_is_due_comes(is_due=True)

    @rule()
    def the_engine_restarts(self) -> None:
        checkpoint = self.processor.checkpoint.sequence_number
        rest = [record for record in self.stream if checkpoint is None or record.sequence_number > checkpoint]
        done = [Seen(record, 0.0, True) for record in self.stream if record not in rest]
        self.world.seen = done
        had_ended, self.world.ended = self.world.ended, False
        self.open_up(ShardProcessor(self.settings, position=checkpoint))
        self.read(rest)
        if had_ended:
            self.the_shard_ends()

    @rule()
    def the_shard_ends(self) -> None:
        self.world.ended = True
        self.processor.end()
        self.compare()

    def some_lane(self, pick: int) -> int:
        return sorted(self.actions)[pick % len(self.actions)]

    @invariant()
    def no_key_is_in_two_lanes_or_out_of_order(self) -> None:
        flying: dict[str, str] = {}
        for action in getattr(self, "actions", {}).values():
            for record in action.records:
                assert record.key not in flying or flying[record.key] < record.sequence_number
                flying[record.key] = record.sequence_number
                earlier = [
                    one.record
                    for one in self.world.seen
                    if not one.finished and one.record.key == record.key and one.record is not record
                ]
                assert all(
                    other.sequence_number > record.sequence_number or other in action.records for other in earlier
                )

    def teardown(self) -> None:
        """Let everything succeed from now on: each record must end as done or given up, none in neither."""
        if not hasattr(self, "processor"):
            return
        for _ in range(10 * len(self.stream) + 20):
            while self.actions:
                self.answer(min(self.actions), Processed())
            if not self.processor.backlog:
                break
            self.world.now += 60
            self.compare()
        assert self.processor.backlog == 0
        assert self.world.checkpoint() == (self.stream[-1].sequence_number if self.stream else None)
        assert {record.sequence_number for record in self.stream if record.kept} == set(self.outcomes)


TestShardAgainstModel = ShardAgainstModel.TestCase
TestShardAgainstModel.settings = settings(
    max_examples=sample_of(400),
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
