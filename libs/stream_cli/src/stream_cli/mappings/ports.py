"""What the engine needs from the world outside: streams to read, functions to invoke, destinations to tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from stream_cli.mappings.outcomes import Invocation
from stream_cli.mappings.settings import MappingSettings, Source

__all__ = [
    "Endpoint", "EndpointUnavailable", "NotFound", "Page", "PositionLost", "Refused", "Shard", "StartAt"
]  # fmt: skip


class EndpointUnavailable(Exception):
    """The endpoint did not answer, or answered 5xx, or nonsense, or that it is too busy: try again later.

    `connected` tells the latter three from the first.
    """

    def __init__(self, message: str, *, connected: bool = True) -> None:
        """Say what happened."""
        super().__init__(message)
        self.connected = connected


class NotFound(Exception):
    """What was asked for does not exist (any more)."""


class PositionLost(Exception):
    """The position in a shard is not there (any more): the iterator has expired or the records are trimmed.

    `trimmed` tells the second from the first.
    """

    def __init__(self, message: str, *, trimmed: bool) -> None:
        """Say what the endpoint said."""
        super().__init__(message)
        self.trimmed = trimmed


class Refused(Exception):
    """The endpoint understood the request and refused it for good."""


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard as the endpoint lists it."""

    id: str
    parents: tuple[str, ...] = ()
    starting_sequence_number: str = ""
    closed: bool = False


@dataclass(frozen=True, slots=True)
class StartAt:
    """Where to begin reading a shard: exactly one of the fields is set; none stands for the oldest record."""

    after: str | None = None
    timestamp: float | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """An answer of GetRecords, in the API's own JSON.

    `next_iterator` is None when the shard is closed and this was the rest of it; `behind` is milliseconds to the tip,
    or None when the API does not tell (DynamoDB Streams).
    """

    records: Sequence[Mapping[str, Any]]
    next_iterator: str | None
    behind: int | None = None


class Endpoint(Protocol):
    """The AWS APIs of one endpoint, region and account.

    Every method may raise `EndpointUnavailable`; `NotFound`, `PositionLost` and `Refused` where it makes sense.
    """

    def mappings(self) -> list[dict[str, Any]]:
        """List all event source mappings, as EventSourceMappingConfiguration."""
        ...

    def role_of(self, function_arn: str) -> str:
        """Look up the ARN of a function's role."""
        ...

    def shards(self, source: Source) -> list[Shard]:
        """List all shards of a stream, closed ones included."""
        ...

    def iterator(self, source: Source, shard_id: str, start: StartAt) -> str:
        """Get an iterator into a shard. A Kinesis timestamp is exact; DynamoDB Streams has none."""
        ...

    def records(self, source: Source, iterator: str, limit: int) -> Page:
        """Read up to `limit` records."""
        ...

    def invoke(self, function_arn: str, event: bytes) -> Invocation:
        """Run a function and wait for its answer."""
        ...

    def send_on_failure(
        self, settings: MappingSettings, shard_id: str, record: Mapping[str, Any], event: bytes, now: float
    ) -> None:
        """Tell the on-failure destination of a mapping; `event` goes along to S3 only."""
        ...
