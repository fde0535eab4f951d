"""What a shard's owner is told to do, and what it can learn about the shard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from stream_cli.mappings.outcomes import Invocation
from stream_cli.mappings.records import Record, WindowContext

PAYLOAD_LIMIT = 6 * 1024 * 1024
"""Bytes of one invocation's payload (Lambda quotas, synchronous invocation)."""

STATE_LIMIT = 1024 * 1024
"""Bytes of a tumbling window's state; a larger state ends the window early."""

Condition = Literal["RetryAttemptsExhausted", "RecordAgeExceeded"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """Invoke the function with `records`; `window` is set if the mapping has tumbling windows.

    Attributes:
        number: how often these records have been tried as a batch, this time included.
    """

    id: int
    lane: int
    records: tuple[Record, ...]
    window: WindowContext | None = None
    number: int = 1


@dataclass(frozen=True, slots=True)
class GivenUp:
    """Records that will not be tried again.

    Attributes:
        invocations: how often they were tried as a batch.
        partial: whether the function reported the last failure itself.
        invocation: the last response, None if there was none.
        reference: the last record of the window, for an empty final batch of a window.
    """

    id: int
    lane: int
    records: tuple[Record, ...]
    condition: Condition
    invocations: int
    partial: bool = False
    invocation: Invocation | None = None
    window: WindowContext | None = None
    reference: Record | None = None


Action = Attempt | GivenUp


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """All records up to `sequence_number` are done, itself included; `window` is the open tumbling window, as JSON."""

    sequence_number: str | None = None
    window: Mapping[str, Any] | None = None


@dataclass(slots=True)
class Counters:
    """What has happened on a shard since the engine started."""

    invocations: int = 0
    processed: int = 0
    filtered: int = 0
    retries: int = 0
    splits: int = 0
    given_up: int = 0
    last_outcome: str = ""
    last_outcome_at: float = 0.0
