"""How long functions take for what, and what they do for a record: measured, or given in a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Event:
    """A type of event that functions emit, or that patterns look into.

    Attributes:
        bytes: its size as it is published.
        fields: fields beyond `type` that patterns and filters have conditions on.
    """

    bytes: float = 1_000.0
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Change:
    """A write of a function to a table, for each record that it handles.

    Attributes:
        table: the name of the `Table`.
        kind: the kind of the record in the table's stream, by which `FunctionTimes.work` of its readers knows it.
        factor: how many such writes there are for a record.
        bytes: size of the item; each KiB is a write unit.
        record: the stream's record as filters of mappings see it: `eventName`, and `dynamodb` with images.
        streamed: False for writes that change nothing, such as failed conditions: they cost units only.
        key: the item's partition key: the record's own (`same`), another for each record (`own`), or one of all
            records (`one`), which is a hot key.
        indexes: names of the indexes in which the write changes something. An index in which all items share a key is a
            change of its own, not `streamed`, with `one` for its key: it is a hot key, and costs the same.
        transaction: whether it is a part of a transaction, which costs twice the units.
    """

    table: str
    kind: str
    factor: float = 1.0
    bytes: float = 1_000.0
    record: Mapping[str, Any] = field(default_factory=dict)
    streamed: bool = True
    key: Literal["same", "own", "one"] = "same"
    indexes: tuple[str, ...] = ()
    transaction: bool = False


@dataclass(frozen=True)
class Read:
    """A read of a table for each record; each 4 KiB is a read unit, and half of one if it is not `consistent`."""

    table: str
    factor: float = 1.0
    bytes: float = 1_000.0
    consistent: bool = True


@dataclass(frozen=True)
class Work:
    """What a function does for a record of one kind.

    Attributes:
        cpu_ms: of a whole CPU; a function with less memory has a share of it (`Limits.cpu_share`).
        wait_ms: for answers; calls of one batch wait at the same time, so this is less than the sum of the calls.
        emits: events that it publishes, by type: how many for a record.
        sends: messages, by the name of the topic or queue.
        log_bytes: what it logs.
    """

    cpu_ms: float = 0.0
    wait_ms: float = 0.0
    emits: Mapping[str, float] = field(default_factory=dict)
    changes: tuple[Change, ...] = ()
    reads: tuple[Read, ...] = ()
    sends: Mapping[str, float] = field(default_factory=dict)
    log_bytes: float = 0.0


@dataclass(frozen=True)
class FunctionTimes:
    """What invocations of a function take.

    A batch of n records of a kind takes `batch_cpu_ms / share + batch_wait_ms + n * (cpu_ms / share + wait_ms)`.

    Attributes:
        cold_cpu_ms, cold_wait_ms: what the first invocation in a new environment takes in addition.
        work: by kind. A kind that is not in it costs what `work[""]` says, or nothing.
    """

    batch_cpu_ms: float = 1.0
    batch_wait_ms: float = 0.0
    cold_cpu_ms: float = 0.0
    cold_wait_ms: float = 0.0
    log_bytes: float = 0.0
    work: Mapping[str, Work] = field(default_factory=dict)

    def of(self, kind: str) -> Work:
        """The work for a kind of record."""
        return self.work.get(kind) or self.work.get("") or Work()


@dataclass(frozen=True)
class Journey:
    """A latency to report: from an event or request of the kind `begin` to the event of type `end` that follows."""

    name: str
    begin: str
    end: str


@dataclass(frozen=True)
class Times:
    """All functions, with where the figures come from.

    Attributes:
        measured: the day, `2026-01-31`, or "given".
        command: the command that measured them.
        machine: on what.
        functions: by the function's name.
        events: by type.
    """

    measured: str = "given"
    command: str = ""
    machine: str = ""
    functions: Mapping[str, FunctionTimes] = field(default_factory=dict)
    events: Mapping[str, Event] = field(default_factory=dict)
    journeys: tuple[Journey, ...] = ()
