"""What the tests of the mapping engine share: records, settings, and a shard in simulated time."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from stream_cli.mappings.outcomes import Invocation, Outcome, interpret
from stream_cli.mappings.records import Record, WindowContext
from stream_cli.mappings.settings import MappingSettings, source_of
from stream_cli.mappings.shard import Attempt, GivenUp, ShardProcessor

STREAM = "arn:aws:kinesis:us-east-1:123456789012:stream/items"
FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:listener"


def make_settings(**changes: Any) -> MappingSettings:
    """A mapping with batch size 10 and everything else as the API leaves it."""
    given = {"uuid": "0b7c", "function_arn": FUNCTION, "source": source_of(STREAM), "batch_size": 10, **changes}
    made = MappingSettings(**given)
    made.verify()
    return made


def make_record(number: int, *, key: str = "k", at: float = 0.0, size: int = 0, kept: bool = True) -> Record:
    """Record number `number`, with a body of `size` bytes."""
    return Record(f"{number:04d}", key, at, b"x" * size, kept)


@dataclass
class Call:
    """An invocation that took place."""

    at: float
    lane: int
    numbers: list[int]
    window: WindowContext | None


@dataclass
class Simulation:
    """A shard, a function that answers at once (or after `takes` seconds), and a clock that only the test moves.

    `function` gets the numbers of the records and the call's index; it returns what a function would return, raises
    what it would raise, or returns an `Invocation`.
    """

    settings: MappingSettings
    function: Callable[[list[int], int], Any] = lambda numbers, call: None
    takes: float = 0.0
    now: float = 0.0
    calls: list[Call] = field(default_factory=list)
    given_up: list[GivenUp] = field(default_factory=list)
    flying: list[tuple[float, Attempt, Call]] = field(default_factory=list)
    most_at_once: int = 0

    def __post_init__(self) -> None:
        self.processor = ShardProcessor(self.settings)

    def offer(self, *records: Record) -> None:
        """Let records be read from the shard now."""
        self.processor.offer(records, self.now)
        self.settle()

    def settle(self) -> None:
        """Do everything that is due now."""
        moved = True
        while moved:
            moved = False
            for action in self.processor.step(self.now):
                moved = True
                if isinstance(action, GivenUp):
                    self.given_up.append(action)
                    self.processor.delivered(action.id)
                else:
                    call = Call(self.now, action.lane, [int(r.sequence_number) for r in action.records], action.window)
                    self.calls.append(call)
                    self.flying.append((self.now + self.takes, action, call))
                    self.most_at_once = max(self.most_at_once, len(self.flying))
            for landing in [flight for flight in self.flying if flight[0] <= self.now]:
                moved = True
                self.flying.remove(landing)
                self.processor.settle(landing[1].id, self._outcome(landing[1], landing[2]), self.now)

    def advance(self, seconds: float) -> None:
        """Let time pass, doing what becomes due in between at its time."""
        end = self.now + seconds
        while True:
            self.settle()
            due = [moment for moment, _, _ in self.flying]
            deadline = self.processor.deadline()
            if deadline is not None:
                due.append(deadline)
            ahead = [moment for moment in due if self.now < moment <= end]
            if not ahead:
                break
            self.now = min(ahead)
        self.now = end
        self.settle()

    def _outcome(self, attempt: Attempt, call: Call) -> Outcome:
        return interpret(
            self._answer(call),
            [record.sequence_number for record in attempt.records],
            report_failures=self.settings.report_failures,
            windowed=bool(self.settings.tumbling_window),
        )

    def _answer(self, call: Call) -> Invocation:
        index = self.calls.index(call)
        try:
            returned = self.function(call.numbers, index)
        except ValueError as error:
            payload = json.dumps({"errorType": "ValueError", "errorMessage": str(error)}).encode()
            return Invocation(payload, "Unhandled", f"request-{index}")
        if isinstance(returned, Invocation):
            return returned
        return Invocation(json.dumps(returned).encode(), None, f"request-{index}")

    @property
    def batches(self) -> list[list[int]]:
        """The record numbers of each invocation, in order."""
        return [call.numbers for call in self.calls]

    @property
    def done_through(self) -> int | None:
        """The record number of the checkpoint."""
        position = self.processor.checkpoint.sequence_number
        return None if position is None else int(position)


def raising_on(*poison: int) -> Callable[[list[int], int], Any]:
    """A function that raises whenever one of these records is in its batch."""

    def function(numbers: list[int], call: int) -> None:
        if set(poison) & set(numbers):
            raise ValueError("poison")

    return function


def reporting(*poison: int) -> Callable[[list[int], int], Any]:
    """A function that reports these records as failed."""

    def function(numbers: list[int], call: int) -> Any:
        return {"batchItemFailures": [{"itemIdentifier": f"{n:04d}"} for n in numbers if n in poison]}

    return function


@dataclass(frozen=True)
class Kit:
    """The helpers, for tests (which cannot import from here)."""

    settings: Callable[..., MappingSettings] = make_settings
    record: Callable[..., Record] = make_record
    raising_on: Callable[..., Callable[[list[int], int], Any]] = raising_on
    reporting: Callable[..., Callable[[list[int], int], Any]] = reporting

    def records(self, numbers: Sequence[int], **fields: Any) -> list[Record]:
        """Several records alike."""
        return [make_record(number, **fields) for number in numbers]

    def simulate(
        self, function: Callable[[list[int], int], Any] = lambda numbers, call: None, takes: float = 0.0, **changes: Any
    ) -> Simulation:
        """A simulated shard of a mapping with these settings."""
        return Simulation(make_settings(**changes), function, takes)


@pytest.fixture(scope="session")
def kit() -> Kit:
    """Records, settings, functions and simulations."""
    return Kit()
