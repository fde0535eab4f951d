"""Records for the Kinesis, Firehose and log group targets of bus rules, in batches that are checked entry by entry."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from http.client import HTTPException
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from stream_cli.local.endpoint import LocalEndpoint
from stream_cli.mappings.role_keys import Keys, RoleKeys, RoleRefused
from stream_cli.patterns import CompiledPattern

# Defaults of a target's RetryPolicy.
_MAXIMUM_AGE_S = 86_400
_MAXIMUM_ATTEMPTS = 185

# PutRecordBatch takes 500 records of 4 MiB together, PutRecords as many and more bytes, PutLogEvents 1 MiB.
_BATCH_RECORDS = 500
_BATCH_BYTES = {"kinesis": 4 * 1024 * 1024, "firehose": 4 * 1024 * 1024, "logs": 1024 * 1024}

# Errors that no retry mends, and their codes in a dead letter of EventBridge.
_PERMANENT = {
    "ResourceNotFoundException": "NO_RESOURCE",
    "AccessDeniedException": "NO_PERMISSIONS",
    "InvalidArgumentException": "INVALID_PARAMETER",
    "InvalidParameterException": "INVALID_PARAMETER",
    "ValidationException": "INVALID_PARAMETER",
    "SerializationException": "INVALID_PARAMETER",
}
_UNKNOWN_KEYS = frozenset({"InvalidClientTokenId", "UnrecognizedClientException"})
_THROTTLES = {"ProvisionedThroughputExceededException", "ThrottlingException", "LimitExceededException"}


@dataclass(frozen=True)
class Failure:
    """Why a target did not take a record."""

    code: str
    message: str

    @property
    def is_permanent(self) -> bool:
        """Whether no retry can succeed."""
        return self.code in _PERMANENT

    @property
    def dead_letter_code(self) -> str:
        """The ERROR_CODE of a dead letter of EventBridge."""
        return _PERMANENT.get(self.code) or ("THROTTLING" if self.code in _THROTTLES else "ERROR_FROM_TARGET")


@dataclass(frozen=True)
class Rule:
    """A rule of a bus with those of its targets that ``Streams`` serves."""

    name: str
    arn: str
    matches: CompiledPattern
    targets: tuple[Mapping[str, Any], ...]


@dataclass
class Message:
    """An event of a bus in the tap's queue; ``done`` has the keys of its finished deliveries."""

    id: str
    receipt: str
    event: dict[str, Any]
    sent_ms: int
    attempts: int = 0
    done: set[tuple[str, str]] = field(default_factory=set)


@dataclass(frozen=True)
class Delivery:
    """One event for one target of one rule."""

    message: Message
    rule: Rule
    target: Mapping[str, Any]
    data: str
    partition_key: str

    @property
    def key(self) -> tuple[str, str]:
        """Names the delivery within its message."""
        return self.rule.name, self.target["Id"]

    @property
    def size(self) -> int:
        """The bytes that it adds to a batch."""
        return len(self.data.encode()) + 256

    def is_given_up(self, failure: Failure, now_s: float) -> str | None:
        """The exhausted condition of the target's retry policy, or None while it may be retried."""
        policy = self.target.get("RetryPolicy", {})
        if failure.is_permanent and "DeadLetterConfig" in self.target:
            return "NotRetryable"
        if now_s - self.message.sent_ms / 1000 > policy.get("MaximumEventAgeInSeconds", _MAXIMUM_AGE_S):
            return "MaximumEventAgeInSeconds"
        if self.message.attempts > policy.get("MaximumRetryAttempts", _MAXIMUM_ATTEMPTS):
            return "MaximumRetryAttempts"
        return None


class Streams:
    """Puts records to Kinesis streams, delivery streams and log groups."""

    def __init__(self, endpoint: LocalEndpoint) -> None:
        self._endpoint = endpoint
        self._roles = RoleKeys(endpoint.get)
        self._clients: dict[tuple[str, Keys | None], Any] = {}
        self._log_streams: dict[str, tuple[str, int]] = {}  # of a log group: the newest, and its last timestamp

    @staticmethod
    def serves(target: Mapping[str, Any]) -> bool:
        """Whether the target is a stream or a log group."""
        return target["Arn"].split(":")[2] in _BATCH_BYTES

    def put(self, arn: str, deliveries: Sequence[Delivery]) -> list[Failure | None]:
        """Put a batch to one target; returns, for each delivery, why it failed, or None."""
        puts = {"kinesis": _put_records, "firehose": _put_record_batch, "logs": self._put_log_events}
        service = arn.split(":")[2]
        try:
            return puts[service](self._client(service, deliveries[0]), arn, deliveries)
        except RoleRefused as problem:
            return [Failure("AccessDeniedException", str(problem))] * len(deliveries)
        except ClientError as error:
            failure = Failure(error.response["Error"]["Code"], error.response["Error"]["Message"])
            if failure.code in _UNKNOWN_KEYS:
                self._roles.forget()
            if failure.is_permanent and failure.code != "ResourceNotFoundException" and len(deliveries) > 1:
                # One bad record makes the service refuse the whole request: find it.
                return [outcome for delivery in deliveries for outcome in self.put(arn, [delivery])]
            return [failure] * len(deliveries)
        except (BotoCoreError, HTTPException, OSError) as error:
            return [Failure(type(error).__name__, str(error))] * len(deliveries)

    def _put_log_events(self, logs: Any, arn: str, deliveries: Sequence[Delivery]) -> list[Failure | None]:
        """As on AWS, log streams of a rule are named by UUIDs. What is older than the end of one begins another."""
        events = [_log_event(delivery) for delivery in deliveries]
        in_order = sorted((e for e in events if not isinstance(e, Failure)), key=lambda event: event["timestamp"])
        outcomes = [event if isinstance(event, Failure) else None for event in events]
        if not in_order:
            return outcomes
        of_group = {"logGroupName": arn.split(":")[6], "logEvents": in_order}
        stream, last = self._log_streams.get(arn, ("", 0))
        if stream and last <= in_order[0]["timestamp"]:
            with contextlib.suppress(logs.exceptions.ResourceNotFoundException):
                logs.put_log_events(logStreamName=stream, **of_group)
                self._log_streams[arn] = stream, in_order[-1]["timestamp"]
                return outcomes
        stream = str(uuid.uuid4())
        logs.create_log_stream(logGroupName=of_group["logGroupName"], logStreamName=stream)
        logs.put_log_events(logStreamName=stream, **of_group)
        self._log_streams[arn] = stream, in_order[-1]["timestamp"]
        return outcomes

    def _client(self, service: str, delivery: Delivery) -> Any:
        """The client of a service in the role of a target; a log group lets EventBridge in without one.

        Raises:
            RoleRefused: there is no such role, or EventBridge may not act in it.
        """
        role, keys = str(delivery.target.get("RoleArn", "")), None
        if service != "logs":
            keys = self._roles.of(role, "events.amazonaws.com", delivery.rule.name[:64], delivery.rule.arn)
        if (service, keys) not in self._clients:
            # One attempt for each request, since the caller retries entry by entry.
            self._clients[service, keys] = self._endpoint.client(service, attempts=1, keys=keys)
        return self._clients[service, keys]


def _put_records(kinesis: Any, arn: str, deliveries: Sequence[Delivery]) -> list[Failure | None]:
    records = [{"Data": d.data.encode(), "PartitionKey": d.partition_key} for d in deliveries]
    return _failures(kinesis.put_records(StreamARN=arn, Records=records)["Records"])


def _put_record_batch(firehose: Any, arn: str, deliveries: Sequence[Delivery]) -> list[Failure | None]:
    answer = firehose.put_record_batch(
        DeliveryStreamName=arn.rpartition("/")[2], Records=[{"Data": d.data.encode()} for d in deliveries]
    )
    return _failures(answer["RequestResponses"])


def _failures(entries: Iterable[Mapping[str, Any]]) -> list[Failure | None]:
    return [Failure(e["ErrorCode"], e.get("ErrorMessage", "")) if e.get("ErrorCode") else None for e in entries]


def _log_event(delivery: Delivery) -> dict[str, Any] | Failure:
    """The log event of an event: the envelope, or what the target's template gives.

    PutTargets in the EventBridge API reference and https://github.com/aws/aws-cdk/pull/20748: a log group takes neither
    Input nor InputPath, and a template of the form ``{"timestamp": "<time>", "message": "<text>"}`` only.
    """
    if "InputTransformer" not in delivery.target:
        if "Input" in delivery.target or "InputPath" in delivery.target:
            return Failure("ValidationException", "A log group takes neither Input nor InputPath")
        return {"timestamp": delivery.message.sent_ms, "message": delivery.data}
    try:
        given = json.loads(delivery.data)
        if given.keys() != {"timestamp", "message"} or not isinstance(given["message"], str):
            raise ValueError("the template gives other fields")
        moment = datetime.fromisoformat(given["timestamp"])
    except (ValueError, TypeError, AttributeError) as error:
        problem = f'not of the form {{"timestamp": "<time>", "message": "<text>"}}: {error}'
        return Failure("ValidationException", f"{delivery.data[:200]} is {problem}")
    return {"timestamp": int(moment.timestamp() * 1000), "message": given["message"]}


def batches(deliveries: Iterable[Delivery]) -> Iterator[tuple[str, list[Delivery]]]:
    """Cut deliveries into batches, one for each request, in order for each target and role."""
    open_batches: dict[tuple[str, str, str], list[Delivery]] = {}
    sizes: dict[tuple[str, str, str], int] = {}
    for delivery in deliveries:
        arn = delivery.target["Arn"]
        role = delivery.target.get("RoleArn", "")
        whose = (arn, role, delivery.rule.arn if role else "")  # a role may trust EventBridge for one rule alone
        batch = open_batches.setdefault(whose, [])
        limit = _BATCH_BYTES[arn.split(":")[2]]
        if batch and (len(batch) == _BATCH_RECORDS or sizes[whose] + delivery.size > limit):
            yield arn, batch
            batch = open_batches[whose] = []
            sizes[whose] = 0
        batch.append(delivery)
        sizes[whose] = sizes.get(whose, 0) + delivery.size
    for (arn, _, _), batch in open_batches.items():
        yield arn, batch
