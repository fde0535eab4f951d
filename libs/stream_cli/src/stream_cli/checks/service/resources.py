"""The resources of a compiled template, as the checks read them.

Whatever names a resource is a text of `symbols`. Times are in seconds unless a name says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

KINESIS, DYNAMODB, SQS = "kinesis", "dynamodb", "sqs"
STREAMS = (KINESIS, DYNAMODB)


@dataclass(frozen=True)
class Function:
    """A Lambda function; `name` is its name in serverless.yml."""

    logical_id: str
    name: str
    handler: str
    timeout: int
    environment: Mapping[str, str]
    role_id: str | None
    reserved_concurrency: int | None


@dataclass(frozen=True)
class EventSourceMapping:
    """An event source mapping, with AWS's defaults for what the template leaves out.

    Attributes:
        source: the ARN that it reads: of a stream, a consumer or a queue.
        stream: the stream behind `source`; differs from it for a consumer only.
        kind: `kinesis`, `dynamodb` or `sqs`; None for other sources, and if the template does not tell.
    """

    logical_id: str
    function_id: str | None
    source: str
    stream: str
    kind: str | None
    consumer: bool
    batch_size: int
    batch_window: int
    parallelization_factor: int
    starting_position: str | None
    starting_timestamp: float | None
    enabled: bool
    maximum_retry_attempts: int
    maximum_record_age: int
    bisect: bool
    reports_item_failures: bool
    tumbling_window: int
    destination: str | None
    patterns: tuple[str, ...]

    @property
    def is_stream(self) -> bool:
        """Whether it reads a Kinesis or a DynamoDB stream."""
        return self.kind in STREAMS

    @property
    def limits_retries(self) -> bool:
        """Whether a batch that keeps failing is given up eventually."""
        return self.maximum_retry_attempts != -1 or self.maximum_record_age != -1


@dataclass(frozen=True)
class BusRule:
    """A rule of an event bus, with texts in the place of references.

    Attributes:
        pattern: the JSON text of its event pattern; None if it has none, or if only the deployment knows it.
    """

    logical_id: str
    pattern: str | None
    targets: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Table:
    """A DynamoDB table; `view_type` is that of its stream, None if it has no stream."""

    logical_id: str
    view_type: str | None


@dataclass(frozen=True)
class Stream:
    """A Kinesis stream."""

    logical_id: str
    retention_hours: int


@dataclass(frozen=True)
class Queue:
    """An SQS queue."""

    logical_id: str
    fifo: bool
    visibility_timeout: int
    has_redrive: bool


@dataclass(frozen=True)
class Topic:
    """An SNS topic."""

    logical_id: str
    fifo: bool
