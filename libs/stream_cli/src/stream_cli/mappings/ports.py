"""The AWS operations that the engine needs: it lists mappings, reads streams, invokes functions, tells destinations."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from stream_cli.mappings.outcomes import Invocation
from stream_cli.mappings.settings import MappingSettings, Source


class EndpointUnavailable(Exception):
    """The endpoint did not answer, or answered with 5xx, throttling or an unreadable response: try again later.

    Attributes:
        connected: false if there was no answer at all.
    """

    def __init__(self, message: str, *, connected: bool = True) -> None:
        super().__init__(message)
        self.connected = connected


class NotFound(Exception):
    """The requested resource does not exist, or not any more."""


class NotAllowed(EndpointUnavailable):
    """The caller lacks a permission: try again later, since somebody may grant it."""


class PositionLost(Exception):
    """A position in a shard is not valid any more: the iterator has expired, or the records were trimmed.

    Attributes:
        trimmed: true if the records were trimmed.
    """

    def __init__(self, message: str, *, trimmed: bool) -> None:
        super().__init__(message)
        self.trimmed = trimmed


class Refused(Exception):
    """The endpoint refused the request; repeating it does not help."""


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard as the endpoint lists it."""

    id: str
    parents: tuple[str, ...] = ()
    starting_sequence_number: str = ""
    closed: bool = False


@dataclass(frozen=True, slots=True)
class StartAt:
    """Where to begin reading a shard: after a sequence number, at a time (Unix seconds), or at the oldest record."""

    after: str | None = None
    timestamp: float | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """A response of GetRecords, in the API's JSON.

    Attributes:
        next_iterator: None if the shard is closed and this is its end.
        behind: ms to the tip of the shard; None for DynamoDB Streams, which does not report it.
    """

    records: Sequence[Mapping[str, Any]]
    next_iterator: str | None
    behind: int | None = None


@dataclass(frozen=True, slots=True)
class Arrivals:
    """How many arrivals there have been, and where some were since.

    Attributes:
        streams: ARNs of streams that have got records.
        functions: ARNs of functions that have got other code or settings.
    """

    count: int
    streams: Collection[str]
    functions: Collection[str] = ()


class AwsApi(Protocol):
    """The AWS APIs of one endpoint, region and account.

    Every method may raise `EndpointUnavailable`; `NotFound`, `PositionLost` and `Refused` where it makes sense.
    """

    def mappings(self) -> list[dict[str, Any]]:
        """List all event source mappings, as EventSourceMappingConfiguration."""

    def role_of(self, function_arn: str) -> str:
        """Look up the ARN of a function's role."""

    def in_role(self, role_arn: str, function_arn: str) -> AwsApi:
        """The same APIs as Lambda calls them for a function: it reads streams and tells destinations in its role."""

    def shards(self, source: Source) -> list[Shard]:
        """List all shards of a stream, closed ones included."""

    def iterator(self, source: Source, shard_id: str, start: StartAt) -> str:
        """Get an iterator into a shard. A Kinesis timestamp is exact; DynamoDB Streams has none."""

    def records(self, source: Source, iterator: str, limit: int) -> Page:
        """Read up to `limit` records."""

    def arrivals(self, after: int) -> Arrivals | None:
        """Wait until something arrives, some seconds at most; None if the endpoint cannot tell."""

    def invoke(self, function_arn: str, event: bytes, *, with_log: bool = False) -> Invocation:
        """Run a function and wait for its answer, with the end of its log if that is wanted."""

    def send_on_failure(
        self, settings: MappingSettings, shard_id: str, record: Mapping[str, Any], event: bytes, now: float
    ) -> None:
        """Tell the on-failure destination of a mapping; `event` goes along to S3 only."""
