"""The settings of an event source mapping, from its configuration in ListEventSourceMappings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from stream_cli.mappings.backoff import backoff_s

BACKOFF_FIRST = 1.0
"""Seconds before the first retry; each further wait is twice as long (AWS documents no figures)."""

BACKOFF_LONGEST = 60.0
"""Longest wait before a retry, in seconds."""


class InvalidMapping(ValueError):
    """AWS would refuse the mapping, or its source is not a stream that this engine reads."""


@dataclass(frozen=True, slots=True)
class Source:
    """The stream that a mapping reads.

    Attributes:
        arn: the mapping's EventSourceArn.
        stream_arn: the ARN of the stream; differs from `arn` for an enhanced fan-out consumer.
    """

    kind: Literal["kinesis", "dynamodb"]
    arn: str
    stream_arn: str
    region: str

    @property
    def name(self) -> str:
        """The name of the stream, or of its table."""
        resource = self.stream_arn.split(":", 5)[5]
        return resource.split("/")[1]


def source_of(arn: str) -> Source:
    """The stream of an ARN, which is that of a stream or of a consumer.

    Raises:
        InvalidMapping: it is another ARN.
    """
    parts = arn.split(":", 5)
    if len(parts) == 6 and parts[2] == "kinesis" and parts[5].startswith("stream/"):
        stream_arn = arn.partition("/consumer/")[0]
        return Source("kinesis", arn, stream_arn, parts[3])
    if len(parts) == 6 and parts[2] == "dynamodb" and parts[5].startswith("table/") and "/stream/" in parts[5]:
        return Source("dynamodb", arn, arn, parts[3])
    raise InvalidMapping(f"{arn} is not a Kinesis stream, consumer or DynamoDB stream")


@dataclass(frozen=True, slots=True)
class MappingSettings:
    """The settings of one mapping. Times are in seconds; -1 means no limit, as in the API."""

    uuid: str
    function_arn: str
    source: Source
    enabled: bool = True
    batch_size: int = 100
    batch_window: float = 0.0
    starting_position: Literal["TRIM_HORIZON", "LATEST", "AT_TIMESTAMP"] = "LATEST"
    starting_timestamp: float | None = None
    parallelization_factor: int = 1
    max_retries: int = -1
    max_age: float = -1.0
    bisect: bool = False
    report_failures: bool = False
    tumbling_window: float = 0.0
    destination_arn: str | None = None
    filter_patterns: tuple[str, ...] = field(default=())
    backoff_first: float = BACKOFF_FIRST
    backoff_longest: float = BACKOFF_LONGEST
    last_modified: float = 0.0

    @classmethod
    def from_configuration(cls, configuration: Mapping[str, Any]) -> MappingSettings:
        """The settings in an EventSourceMappingConfiguration.

        Defaults are those of the API (batch size 100), not those that the Serverless CLI writes into a template (10).

        Raises:
            InvalidMapping: AWS would refuse the settings.
        """
        source = source_of(str(configuration.get("EventSourceArn", "")))
        settings = cls(
            uuid=str(configuration["UUID"]),
            function_arn=str(configuration["FunctionArn"]),
            source=source,
            enabled=configuration.get("State", "Enabled") not in {"Disabled", "Disabling", "Deleting"},
            batch_size=int(_given(configuration, "BatchSize", 100)),
            batch_window=float(_given(configuration, "MaximumBatchingWindowInSeconds", 0)),
            starting_position=_given(configuration, "StartingPosition", "LATEST"),
            starting_timestamp=_seconds(configuration.get("StartingPositionTimestamp")),
            parallelization_factor=int(_given(configuration, "ParallelizationFactor", 1)),
            max_retries=int(_given(configuration, "MaximumRetryAttempts", -1)),
            max_age=float(_given(configuration, "MaximumRecordAgeInSeconds", -1)),
            bisect=_flag(_given(configuration, "BisectBatchOnFunctionError", False)),
            report_failures="ReportBatchItemFailures" in _given(configuration, "FunctionResponseTypes", []),
            tumbling_window=float(_given(configuration, "TumblingWindowInSeconds", 0)),
            destination_arn=_destination(configuration),
            filter_patterns=tuple(
                str(criterion.get("Pattern", "{}"))
                for criterion in _given(_given(configuration, "FilterCriteria", {}), "Filters", [])
            ),
            last_modified=_seconds(configuration.get("LastModified")) or 0.0,
        )
        settings.verify()
        return settings

    def verify(self) -> None:
        """Check the ranges of the Lambda API reference, CreateEventSourceMapping.

        Raises:
            InvalidMapping: AWS would refuse the settings.
        """
        ranges = (
            ("BatchSize", self.batch_size, 1, 10_000),
            ("MaximumBatchingWindowInSeconds", self.batch_window, 0, 300),
            ("ParallelizationFactor", self.parallelization_factor, 1, 10),
            ("MaximumRetryAttempts", self.max_retries, -1, 10_000),
            ("MaximumRecordAgeInSeconds", self.max_age, -1, 604_800),
            ("TumblingWindowInSeconds", self.tumbling_window, 0, 900),
        )
        for name, value, lowest, highest in ranges:
            if not lowest <= value <= highest:
                raise InvalidMapping(f"{name} is {value:g}; expected {lowest} to {highest}")
        if self.tumbling_window and self.parallelization_factor > 1:
            raise InvalidMapping("TumblingWindowInSeconds goes with ParallelizationFactor 1 only")
        if self.starting_position not in {"TRIM_HORIZON", "LATEST", "AT_TIMESTAMP"}:
            raise InvalidMapping(f"StartingPosition is {self.starting_position!r}")
        if self.starting_position == "AT_TIMESTAMP":
            if self.source.kind != "kinesis":
                raise InvalidMapping("StartingPosition AT_TIMESTAMP is for Kinesis only")
            if self.starting_timestamp is None:
                raise InvalidMapping("StartingPosition AT_TIMESTAMP needs StartingPositionTimestamp")

    def at_speed(self, speed: float) -> MappingSettings:
        """The settings with backoff, age limit, batch windows and tumbling windows shortened by a factor."""
        if speed == 1:
            return self
        return replace(
            self,
            batch_window=self.batch_window / speed,
            max_age=self.max_age / speed if self.max_age >= 0 else -1.0,
            tumbling_window=self.tumbling_window / speed,
            backoff_first=self.backoff_first / speed,
            backoff_longest=self.backoff_longest / speed,
        )

    def backoff(self, retry: int) -> float:
        """Seconds to wait before retry number `retry` (from 1)."""
        return backoff_s(retry, self.backoff_first, self.backoff_longest)


def _given(configuration: Mapping[str, Any], name: str, default: Any) -> Any:
    value = configuration.get(name)
    return default if value is None else value


def _flag(value: Any) -> bool:
    """A boolean, which a template's parameter may have left as text."""
    return value.lower() == "true" if isinstance(value, str) else bool(value)


def _destination(configuration: Mapping[str, Any]) -> str | None:
    destination = _given(_given(configuration, "DestinationConfig", {}), "OnFailure", {})
    return destination.get("Destination") or None


def _seconds(value: Any) -> float | None:
    """A timestamp in Unix seconds, from the API's number or boto3's datetime."""
    if value is None:
        return None
    if hasattr(value, "timestamp"):
        return float(value.timestamp())
    return float(value)
