"""What is deployed, as the compiled templates of a stage say; fields have the template's words."""

from __future__ import annotations

from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass, field
from typing import Any, Literal

from stream_cli.mappings.settings import MappingSettings


@dataclass(frozen=True)
class Stream:
    """A Kinesis stream.

    Attributes:
        shards: ShardCount; in on-demand mode what it starts with.
        consumers: names of enhanced fan-out consumers.
    """

    name: str
    mode: Literal["PROVISIONED", "ON_DEMAND"] = "PROVISIONED"
    shards: int = 1
    retention_hours: int = 24
    consumers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Index:
    """A global secondary index; `attributes` are those of its key, without which an item is not in it."""

    name: str
    attributes: tuple[str, ...] = ()
    projection: Literal["ALL", "KEYS_ONLY", "INCLUDE"] = "ALL"


@dataclass(frozen=True)
class Table:
    """A DynamoDB table.

    Attributes:
        read_capacity, write_capacity: units, in mode PROVISIONED only.
        streamed: whether it has a stream.
        stream_shards: how many open shards its stream has; None: one for each partition that the load needs.
    """

    name: str
    mode: Literal["PAY_PER_REQUEST", "PROVISIONED"] = "PAY_PER_REQUEST"
    read_capacity: float = 0.0
    write_capacity: float = 0.0
    streamed: bool = True
    stream_shards: int | None = None
    indexes: tuple[Index, ...] = ()
    ttl: bool = False
    point_in_time_recovery: bool = False


@dataclass(frozen=True)
class Function:
    """A Lambda function; `reserved_concurrency` is None where the account's concurrency is shared."""

    name: str
    memory_mb: int = 512
    timeout_s: float = 60.0
    reserved_concurrency: int | None = None
    architecture: Literal["arm64", "x86_64"] = "arm64"


@dataclass(frozen=True)
class Mapping:
    """An event source mapping from a stream or from a table's stream to a function.

    Attributes:
        source: the name of the `Stream` or `Table`.
        settings: as the mapping engine reads them; filters, batch size, window and retries are in it.
        fan_out: whether it reads through a consumer of its own (enhanced fan-out).
    """

    name: str
    source: str
    function: str
    settings: MappingSettings
    fan_out: bool = False


@dataclass(frozen=True)
class Target:
    """A target of a rule: the name of a stream, delivery stream, queue, topic, function or bus, and which it is."""

    kind: Literal["stream", "delivery_stream", "queue", "topic", "function", "bus", "log_group", "other"]
    name: str


@dataclass(frozen=True)
class Bus:
    """An EventBridge bus."""

    name: str


@dataclass(frozen=True)
class Rule:
    """A rule of a bus; `pattern` takes the event in its envelope."""

    name: str
    bus: str
    pattern: AnyMapping[str, Any]
    targets: tuple[Target, ...] = ()


@dataclass(frozen=True)
class Archive:
    """An archive of a bus; `pattern` is None if it takes all events."""

    name: str
    bus: str
    pattern: AnyMapping[str, Any] | None = None
    retention_days: int = 0


@dataclass(frozen=True)
class DeliveryStream:
    """A Firehose delivery stream to S3, with its buffering hints."""

    name: str
    bucket: str
    buffer_seconds: float = 300.0
    buffer_bytes: float = 5 * 1024 * 1024
    compression: str = "GZIP"


@dataclass(frozen=True)
class Notification:
    """A bucket that invokes a function for each object of these keys."""

    bucket: str
    function: str
    prefix: str = ""
    suffix: str = ""


@dataclass(frozen=True)
class Queue:
    """An SQS queue."""

    name: str
    fifo: bool = False


@dataclass(frozen=True)
class Topic:
    """An SNS topic; `queues` subscribe to it."""

    name: str
    fifo: bool = False
    queues: tuple[str, ...] = ()


@dataclass(frozen=True)
class Route:
    """A route of an HTTP API: `POST /stories`, and the function behind it.

    Attributes:
        rate, burst: limits of the API's stage, for all its routes together; 0: those of the account.
    """

    key: str
    function: str
    rate: float = 0.0
    burst: float = 0.0


@dataclass(frozen=True)
class Schedule:
    """A function that is invoked every `every_s` seconds."""

    name: str
    function: str
    every_s: float


@dataclass(frozen=True)
class System:
    """Everything that is deployed in a stage, by name."""

    stage: str = ""
    region: str = "us-east-1"
    account: str = "123456789012"
    buses: AnyMapping[str, Bus] = field(default_factory=dict)
    rules: AnyMapping[str, Rule] = field(default_factory=dict)
    archives: AnyMapping[str, Archive] = field(default_factory=dict)
    streams: AnyMapping[str, Stream] = field(default_factory=dict)
    tables: AnyMapping[str, Table] = field(default_factory=dict)
    functions: AnyMapping[str, Function] = field(default_factory=dict)
    mappings: AnyMapping[str, Mapping] = field(default_factory=dict)
    delivery_streams: AnyMapping[str, DeliveryStream] = field(default_factory=dict)
    notifications: tuple[Notification, ...] = ()
    queues: AnyMapping[str, Queue] = field(default_factory=dict)
    topics: AnyMapping[str, Topic] = field(default_factory=dict)
    routes: AnyMapping[str, Route] = field(default_factory=dict)
    schedules: AnyMapping[str, Schedule] = field(default_factory=dict)
