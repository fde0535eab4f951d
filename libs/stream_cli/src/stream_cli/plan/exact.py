"""Record by record in virtual time, on the mapping engine's own shard logic: for what `fluid` can only approximate.

Batches, windows, retries, bisects and give-ups are those of `mappings.shard`; environments are single ones, that start
cold, are used again, and are refused beyond a limit. Arrivals are a Poisson process with the load's rates. It takes
about a minute for a million records, so it is for minutes of a day: `load.between(...)`.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, inf

import numpy as np

from stream_cli.mappings.outcomes import Failed, Processed
from stream_cli.mappings.outcomes import Outcome as Settled
from stream_cli.mappings.records import Record
from stream_cli.mappings.shard import Attempt, ShardProcessor
from stream_cli.plan.arrangement import Arrangement, arrange
from stream_cli.plan.environments import Environments
from stream_cli.plan.hot_keys import key_of, key_shares, shard_of
from stream_cli.plan.model import AWS, Limits, Load, Outcome, System, Times
from stream_cli.plan.tally import Tally

READ_AT_ONCE = {"kinesis": 10_000, "dynamodb": 1_000}
"""Records of one GetRecords call (API references of Kinesis and of DynamoDB Streams)."""

MOST_AHEAD = 10_000
"""Records that wait in a poller before it reads no further; as in the mapping engine."""

BUS_RETRY_S = 1.0
"""When EventBridge tries a refused record again. AWS documents no figures but the limits of 24 h and 185 times."""

_AT_LEAST_S = 1e-6


@dataclass(slots=True)
class Item:
    """A record that flows.

    Attributes:
        born: when it came into being; `began`: for each journey, when it began, nan if it has not.
    """

    kind: int
    key: str
    born: float
    began: tuple[float, ...]
    arrived: float = 0.0


def simulate(system: System, load: Load, times: Times, limits: Limits = AWS, *, seed: int = 1) -> Outcome:
    """What a load does to a system, record by record.

    Raises:
        InvalidPattern: a rule or a filter of the system has a pattern that AWS would refuse.
    """
    given = arrange(system, load, times, limits)
    world = _World(given, seed)
    world.run()
    return world.tally.outcome()


class _World:
    def __init__(self, given: Arrangement, seed: int) -> None:
        self.given = given
        self.chance = np.random.default_rng(seed)
        self.now = 0.0
        self.tally = Tally(given)
        self.environments = Environments(given.system.functions, given.limits)
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._number = itertools.count()
        self._keys = itertools.count(1)
        self._credit: dict[tuple[int, int, int], float] = {}
        self._bodies = [b" " * max(2, int(kind.bytes * 4 / 3)) for kind in given.kinds]
        self._common = [np.cumsum(key_shares(kind.keys, kind.skew)) for kind in given.kinds]
        self._begins = [journey.begin for journey in given.times.journeys]
        self._sources = {
            name: [_Shard(self, name, number) for number in range(shards)]
            for name, shards in given.shards.items()
            if name in system_sources(given)
        }

    # --- time ---

    def at(self, moment: float, do: Callable[[], None]) -> None:
        """Do something later."""
        heapq.heappush(self._due, (max(moment, self.now), next(self._number), do))

    def run(self) -> None:
        """Everything, until the load's last second is over."""
        end = float(len(self.given.outside))
        if end:
            self.at(0.0, lambda: self._second(0))
        while self._due and self._due[0][0] < end:
            self.now, _, do = heapq.heappop(self._due)
            do()

    def _second(self, second: int) -> None:
        for kind in np.flatnonzero(self.given.outside[second]):
            count = self.chance.poisson(self.given.outside[second, kind])
            for moment in second + np.sort(self.chance.random(count)):
                self.at(float(moment), lambda kind=int(kind): self._from_outside(kind))  # type: ignore[misc]
        if second + 1 < len(self.given.outside):
            self.at(second + 1.0, lambda: self._second(second + 1))

    def _from_outside(self, kind: int) -> None:
        self.publish(kind, self._key(kind), (np.nan,) * len(self._begins))

    def _key(self, kind: int) -> str:
        keys = self.given.kinds[kind].keys
        if not keys:
            return f"own-{next(self._keys)}"
        rank = int(np.searchsorted(self._common[kind], self.chance.random(), side="right")) + 1
        return key_of(rank if rank <= len(self._common[kind]) else int(self.chance.integers(rank, keys + 1)))

    # --- records ---

    def publish(self, kind: int, key: str, began: tuple[float, ...]) -> None:
        """A record comes into being: an event, a request, or a change of a table."""
        name = self.given.kinds[kind].name
        began = tuple(self.now if begin == name else at for begin, at in zip(self._begins, began, strict=True))
        item = Item(kind, key, self.now, began)
        self.tally.born(item, self.now)
        place = self.given.kinds[kind]
        if place.place == "table":
            self.at(self.now + self.given.limits.table_stream_s, lambda: self._put(place.table, item))
            return
        delay = self.given.limits.bus_s if place.place == "bus" else 0.0
        for stream in self.given.ways.of_type(name, "stream"):
            self.at(self.now + delay, lambda stream=stream: self._put(stream, item))  # type: ignore[misc]
        for number, (function, of) in enumerate(self.given.direct):
            if of == name:
                self.at(self.now + delay, lambda d=number, f=function: self._request(d, f, item))  # type: ignore[misc]

    def _put(self, source: str, item: Item) -> None:
        shards = self._sources.get(source)
        if shards is not None:
            shards[shard_of(item.key, len(shards))].put(item)

    def make(self, from_: int, factors: np.ndarray, item: Item) -> None:
        """What comes of a record that a mapping (by its number) or a direct invocation (-1, -2, ...) has done."""
        for made in np.flatnonzero(factors):
            place = (from_, item.kind, int(made))
            credit = self._credit.get(place, 0.0) + float(factors[made])
            whole = int(credit + 1e-9)
            self._credit[place] = credit - whole
            for _ in range(whole):
                self.publish(int(made), self._key_of_made(int(made), item), item.began)

    def _key_of_made(self, made: int, item: Item) -> str:
        kind, of = self.given.kinds[made], self.given.kinds[item.kind]
        return item.key if (kind.keys, kind.skew) == (of.keys, of.skew) else self._key(made)

    def body(self, kind: int) -> bytes:
        """As long as the record's JSON; what is in it does not matter."""
        return self._bodies[kind]

    def _request(self, number: int, function: str, item: Item) -> None:
        given = self.given
        cold = self.environments.take(function, self.now)
        self.tally.requested(number, self.now, refused=cold is None)
        if cold is None:
            return
        ends = self.now + given.duration_s(function, {given.kinds[item.kind].name: 1.0}, cold=cold)
        self.tally.ran(function, self.now, ends, cold=cold)

        def ended() -> None:
            self.environments.give_back(function, self.now)
            self.make(-1 - number, given.direct_makes[number], item)

        self.at(ends, ended)


def system_sources(given: Arrangement) -> set[str]:
    """The streams and tables that mappings read."""
    return {mapping.source for mapping in given.mappings}


class _Shard:
    """A shard: what it takes, and who reads it."""

    def __init__(self, world: _World, source: str, number: int) -> None:
        self.items: list[Item] = []
        self.read_again_at = 0.0
        self._world = world
        self._limits = world.given.limits
        self._limited = source in world.given.system.streams
        self._sizes = world.given.bytes
        self._second = -1
        self._records = self._size = 0.0
        self.stream = list(world.given.system.streams).index(source) if self._limited else -1
        self.pollers = [
            _Poller(world, self, m, number) for m, each in enumerate(world.given.mappings) if each.source == source
        ]

    def put(self, item: Item) -> None:
        """Take a record, or let the bus try again."""
        now = self._world.now
        if self._limited and not self._takes(item, int(now)):
            self._world.tally.refused(self.stream, now)
            self._world.at(now + BUS_RETRY_S, lambda: self.put(item))
            return
        item.arrived = now
        self.items.append(item)
        for poller in self.pollers:
            poller.arrived()

    def _takes(self, item: Item, second: int) -> bool:
        if second != self._second:
            self._second, self._records, self._size = second, 0.0, 0.0
        size = self._size + self._sizes[item.kind]
        if self._records + 1 > self._limits.shard_records or size > self._limits.shard_bytes:
            return False
        self._records, self._size = self._records + 1, size
        return True


class _Poller:
    """Reads a shard for a mapping, and carries out what `ShardProcessor` decides."""

    def __init__(self, world: _World, shard: _Shard, mapping: int, number: int) -> None:
        given = world.given
        self._world = world
        self._shard = shard
        self._m = mapping
        self._mapping = given.mappings[mapping]
        self._number = number
        self._settings = self._mapping.settings
        self._processor = ShardProcessor(self._settings)
        self._every = float(given.poll_s[mapping])
        self._phase = float(world.chance.random()) * self._every
        self._delay = given.limits.fan_out_s if self._mapping.fan_out else 0.0
        sharing = sum(each.source == self._mapping.source and not each.fan_out for each in given.mappings)
        self._bytes_a_second = given.limits.shard_read_bytes / (1 if self._mapping.fan_out else sharing)
        self._read = 0
        self._not_before = 0.0
        self._last_poll = -inf
        self._poll_due = self._held_back = False
        self._step_due = inf
        self._fixed = float(given.fixed_s[mapping])
        self._record_s = [float(each) for each in given.record_s[mapping]]
        self._function = given.system.functions[self._mapping.function]

    # --- reading ---

    def arrived(self) -> None:
        """Read at the next turn."""
        if self._poll_due or self._held_back:
            return
        self._poll_due = True
        earliest = max(self._world.now, self._not_before)
        if self._world.given.limits.told:
            turn = self._last_poll + self._every
        else:
            turn = self._phase + ceil((earliest - self._phase) / self._every) * self._every
        self._world.at(max(turn, earliest) + self._delay, self._poll)

    def _poll(self) -> None:
        self._poll_due = False
        world, items = self._world, self._shard.items
        self._last_poll = world.now
        if self._processor.backlog >= MOST_AHEAD:
            self._held_back = True
            return
        page = items[self._read : self._read + READ_AT_ONCE[self._settings.source.kind]]
        if page:
            kept = world.given.kept[self._m]
            self._processor.offer(
                [self._record(n, item, bool(kept[item.kind])) for n, item in enumerate(page, self._read)], world.now
            )
            self._read += len(page)
            size = float(sum(world.given.bytes[item.kind] for item in page))
            self._not_before = world.now + size / self._bytes_a_second
            world.tally.read(self._m, page, kept, world.now)
        if self._read < len(items):
            self._poll_due = True
            world.at(max(world.now, self._not_before) + _AT_LEAST_S, self._poll)
        self._step()

    def _record(self, number: int, item: Item, kept: bool) -> Record:
        return Record(str(number), item.key, item.arrived, self._world.body(item.kind), kept)

    # --- doing ---

    def _step(self) -> None:
        world = self._world
        while True:
            actions = self._processor.step(world.now)
            given_up = [action for action in actions if not isinstance(action, Attempt)]
            for action in actions:
                if isinstance(action, Attempt):
                    self._invoke(action)
                else:
                    world.tally.gave_up(self._m, len(action.records), world.now)
                    self._processor.delivered(action.id)
            if not given_up:
                break
        deadline = self._processor.deadline()
        if deadline is not None and world.now < deadline < self._step_due:
            self._step_due = deadline
            world.at(deadline, self._due)
        if self._held_back and self._processor.backlog < MOST_AHEAD:
            self._held_back = False
            if self._read < len(self._shard.items):
                self._poll_due = True
                world.at(world.now + _AT_LEAST_S, self._poll)

    def _due(self) -> None:
        if self._step_due <= self._world.now:
            self._step_due = inf
            self._step()

    def _invoke(self, attempt: Attempt) -> None:
        world, name = self._world, self._mapping.function
        items = [self._shard.items[int(record.sequence_number)] for record in attempt.records]
        cold = world.environments.take(name, world.now)
        if cold is None:
            world.tally.throttled(self._m, name, world.now)
            world.at(world.now + _AT_LEAST_S, lambda: self._settle(attempt, items, Failed(problem="throttled")))
            return
        duration = self._fixed + sum(self._record_s[item.kind] for item in items)
        if cold:
            duration += world.given.duration_s(name, {}, cold=True) - self._fixed
        done = len(items)
        settled: Settled = Processed()
        failing = world.given.load.transient
        if duration > self._function.timeout_s:
            duration, done, settled = self._function.timeout_s, 0, Failed(problem="timed out")
        elif failing and (first := int(world.chance.geometric(failing)) - 1) < len(items):
            partial = self._settings.report_failures
            done = first if partial else 0
            settled = Failed(done=done, partial=partial, problem="failed for a while")
        ends = world.now + duration
        lane = (self._number, attempt.lane)
        world.tally.invoked(
            self._m, name, lane, items, world.now, ends, cold=cold, failed=not isinstance(settled, Processed)
        )

        def ended() -> None:
            world.environments.give_back(name, world.now)
            self._finish(items[:done])
            self._settle(attempt, items, settled)

        world.at(ends, ended)

    def _finish(self, items: Sequence[Item]) -> None:
        world, makes = self._world, self._world.given.makes[self._m]
        world.tally.finished(self._m, items, world.now)
        for item in items:
            world.make(self._m, makes[item.kind], item)

    def _settle(self, attempt: Attempt, items: Sequence[Item], outcome: Settled) -> None:
        self._processor.settle(attempt.id, outcome, self._world.now)
        self._step()
