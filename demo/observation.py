"""Observes events on their way: on the bus, in the lake, in the view, in metrics and queues."""

from __future__ import annotations

import gzip
import io
import json
import re
import uuid
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from stream_cli.local.endpoint import LocalEndpoint, stack_output
from stream_cli.local.plain_requests import PlainRequests
from stream_cli.local.taps import Tap

from demo.feed import HUB_STACK, RestClient

WATCH = "streamctl-watch"
LAKE_STACK = "event-lake-s3-local"
FAULT_NAMESPACE = "event-fault-monitor"
FAULT = "fault"

_BLANK = re.compile(r"\s*")
_GZIP = b"\x1f\x8b"
_MOST_BYTES = 256 * 1024 * 1024  # of an expanded object: Firehose buffers at most 128 MiB
_LAKE_PREFIX = "events/"


@dataclass
class Seen:
    """What was seen so far. Ids are those of the events, not of their EventBridge envelopes."""

    events: list[dict[str, Any]] = field(default_factory=list)
    lake_ids: set[str] = field(default_factory=set)
    unreadable: list[str] = field(default_factory=list)

    def of_type(self, event_type: str) -> list[dict[str, Any]]:
        """The events of one type, with repetitions."""
        return [event for event in self.events if event.get("type") == event_type]


class Observer:
    """Observes a local cloud through public AWS APIs, as a context manager; what was there before does not count.

    It taps the bus with a rule and a queue of its own (``streamctl-watch-...``), and removes them at the end: several
    observers may run at the same time.

    Raises:
        CommandError: a stack is not deployed.
    """

    def __init__(self, endpoint: LocalEndpoint) -> None:
        self.seen = Seen()
        self._endpoint = endpoint
        self._events = endpoint.client("events")
        self._sqs = endpoint.client("sqs")
        self._s3 = endpoint.client("s3")
        self._cloudwatch = endpoint.client("cloudwatch")
        self._lambda = endpoint.client("lambda")
        self._plain = PlainRequests(endpoint)
        self._failure_queues: dict[str, str] | None = None
        self._bus = stack_output(endpoint, HUB_STACK, "busName")
        self._lake = stack_output(endpoint, LAKE_STACK, "bucketName")
        self._started = datetime.now(UTC)
        self._known_objects = set(self._lake_keys())
        self._known_faults = self._fault_sum()
        name = f"{WATCH}-{uuid.uuid4().hex[:8]}"
        self._tap = Tap(endpoint, self._bus, name, purpose="Every event of the bus, for streamctl to show")

    def __enter__(self) -> Observer:
        return self

    def __exit__(self, *_: object) -> None:
        self._tap.remove()

    def look(self) -> tuple[list[dict[str, Any]], int]:
        """Read what is new; returns the new events of the bus and the number of new objects in the lake."""
        events = list(self._new_events())
        self.seen.events += events
        return events, self._read_lake()

    def _new_events(self) -> Iterator[dict[str, Any]]:
        while messages := self._tap.receive():
            for message in messages:
                envelope = json.loads(message["Body"])
                yield envelope["detail"] if isinstance(envelope.get("detail"), dict) else envelope
            self._tap.delete([message["ReceiptHandle"] for message in messages])

    def _read_lake(self) -> int:
        new = [key for key in self._lake_keys() if key not in self._known_objects]
        for key in new:
            try:
                if not key.startswith(_LAKE_PREFIX):
                    raise ValueError("Firehose writes what it could not deliver under another prefix")
                body = self._plain.get(self._lake, key)
                if body is None:
                    raise ValueError("it was listed, and is not there")
                self.seen.lake_ids.update(str(envelope["detail"]["id"]) for envelope in documents(body))
            except (ValueError, KeyError, TypeError, OSError) as error:
                self.seen.unreadable.append(f"{key}: {error!r}")
        self._known_objects.update(new)
        return len(new)

    def _lake_keys(self) -> Iterator[str]:
        for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._lake):
            for listed in page.get("Contents", []):
                yield str(listed["Key"])

    def view(self) -> dict[str, dict[str, Any]]:
        """The stories as the REST API lists them, by id."""
        with RestClient(self._endpoint) as rest:
            return {story["id"]: story for page in rest.pages("/stories", limit=100) for story in page["stories"]}

    def fault_metric(self) -> float:
        """By how much the metric ``Faults`` of the stage has grown."""
        return self._fault_sum() - self._known_faults

    def _fault_sum(self) -> float:
        answer = self._cloudwatch.get_metric_statistics(
            Namespace=FAULT_NAMESPACE,
            MetricName="Faults",
            Dimensions=[{"Name": "Stage", "Value": "local"}],
            StartTime=self._started - timedelta(hours=3),
            EndTime=datetime.now(UTC) + timedelta(minutes=1),
            Period=60,
            Statistics=["Sum"],
        )
        return float(sum(point["Sum"] for point in answer["Datapoints"]))

    def failure_queues(self) -> dict[str, int]:
        """The messages in each on-failure destination of mappings and functions and each dead-letter queue.

        Which these are is asked once, since nothing is deployed while an observer looks.
        """
        if self._failure_queues is None:
            names = sorted({arn.rpartition(":")[2] for arn in self._failure_destinations()})
            self._failure_queues = {name: self._sqs.get_queue_url(QueueName=name)["QueueUrl"] for name in names}
        return {name: self._messages(url) for name, url in self._failure_queues.items()}

    def _failure_destinations(self) -> Iterator[str]:
        found: list[str | None] = []
        for page in self._lambda.get_paginator("list_event_source_mappings").paginate():
            for mapping in page["EventSourceMappings"]:
                found.append(mapping.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination"))
        for page in self._lambda.get_paginator("list_functions").paginate():
            for function in page["Functions"]:
                found.append(function.get("DeadLetterConfig", {}).get("TargetArn"))
                configured = self._lambda.list_function_event_invoke_configs(FunctionName=function["FunctionName"])
                for config in configured["FunctionEventInvokeConfigs"]:
                    found.append(config.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination"))
        for page in self._events.get_paginator("list_rules").paginate(EventBusName=self._bus):
            for rule in page["Rules"]:
                targets = self._events.list_targets_by_rule(Rule=rule["Name"], EventBusName=self._bus)["Targets"]
                found += [target.get("DeadLetterConfig", {}).get("Arn") for target in targets]
        for url in self._sqs.list_queues().get("QueueUrls", []):
            attributes = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["RedrivePolicy"])
            policy = attributes.get("Attributes", {}).get("RedrivePolicy")
            found.append(json.loads(policy)["deadLetterTargetArn"] if policy else None)
        return (arn for arn in found if arn and arn.split(":")[2] == "sqs")

    def _messages(self, url: str) -> int:
        names = ["", "NotVisible", "Delayed"]
        attributes = self._sqs.get_queue_attributes(
            QueueUrl=url, AttributeNames=[f"ApproximateNumberOfMessages{name}" for name in names]
        )["Attributes"]
        return sum(int(value) for value in attributes.values())


def documents(body: bytes) -> Iterator[Any]:
    """The JSON documents of a lake object, gzip or not, with or without line ends between them.

    Raises:
        ValueError: it has text that is not JSON.
        OSError: the gzip file is cut off.
    """
    is_packed = body.startswith(_GZIP)
    text = (gzip.GzipFile(fileobj=io.BytesIO(body)).read(_MOST_BYTES) if is_packed else body).decode()
    decoder = json.JSONDecoder()
    place = _BLANK.match(text).end()  # type: ignore[union-attr]
    while place < len(text):
        document, end = decoder.raw_decode(text, place)
        yield document
        place = _BLANK.match(text, end).end()  # type: ignore[union-attr]


class Teller:
    """Describes new events in lines: events of a type together, faults one by one, and each event of one story.

    Args:
        followed: the id of that story.
        titles: titles to show beside ids.
    """

    def __init__(self, followed: str, titles: dict[str, str]) -> None:
        self._followed = followed
        self._titles = titles

    def lines(self, events: list[dict[str, Any]], lake_objects: int) -> Iterator[str]:
        """The lines for what one `Observer.look` returned."""
        now = f"{datetime.now():%H:%M:%S}"
        together: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        for event in events:
            if event.get("type") != FAULT:
                # An event on the bus may have no type.
                together[str(event.get("type"))].append(event)
        for event_type, alike in together.items():
            more = " ..." if len(alike) > 1 else ""
            yield f"{now}  bus    {len(alike):4} x {event_type:<16} {self._story_of(alike[0])}{more}"
        if lake_objects:
            yield f"{now}  lake   {lake_objects:4} object{'' if lake_objects == 1 else 's'}"
        for event in events:
            if event.get("type") == FAULT:
                error, tags = _object(event, "err"), _object(event, "tags")
                where = f"{tags.get('functionname', '?')}, {tags.get('pipeline', '?')}"
                yield f"{now}  fault  {where}: {error.get('name', '?')}: {error.get('message', '')}"
            elif event.get("partition_key") == self._followed:
                yield f"{now}  story  {self._followed}: {event.get('type')} {self._titles.get(self._followed, '')!r}"

    def _story_of(self, event: dict[str, Any]) -> str:
        key = str(event.get("partition_key", ""))
        return f"{key} {self._titles.get(key, '')}".rstrip()


def _object(event: dict[str, Any], name: str) -> dict[str, Any]:
    """A field of an event that should be an object, or else an empty object."""
    value = event.get(name)
    return value if isinstance(value, dict) else {}
