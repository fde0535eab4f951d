"""Where stored events are replayed to: a function, a stream or a bus. Each answers for every event it is handed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from stream_cli.stored.history import StoredEvent


class Rejected(Exception):
    """A target did not take an event; the message says why."""


class Target(Protocol):
    """A place that events are replayed to.

    Attributes:
        name: what it is, for people and for the ledger.
        most: how many events it takes at once.
        most_bytes: how many bytes it takes at once, as `size` counts them.
        one_of_a_key: whether a batch may hold only one event of a partition key, since the target may take a later
            event of a batch and not an earlier one.
    """

    name: str
    most: int
    most_bytes: int
    one_of_a_key: bool

    def check(self) -> None:
        """See that it is there.

        Raises:
            botocore.exceptions.ClientError: it is not, or may not be looked at.
        """
        ...

    def size(self, stored: StoredEvent) -> int:
        """The bytes of an event in what is sent."""
        ...

    def send(self, batch: Sequence[StoredEvent]) -> list[Rejected | None]:
        """Hand events over; for each of them None where it was taken, else why it was not.

        Raises:
            botocore.exceptions.ClientError: none of them was taken.
        """
        ...


class FunctionTarget:
    """A Lambda function, invoked as its mapping of a Kinesis stream would."""

    one_of_a_key = False
    most_bytes = 6 * 1024 * 1024 - 1024  # Lambda quotas: 6 MB for a synchronous invocation, with what is around them

    def __init__(self, client: Any, function: str, batch_size: int) -> None:
        self.name = f"function {function}"
        self.most = batch_size
        self._client = client
        self._function = function

    def check(self) -> None:
        """See `Target.check`."""
        self._client.get_function_configuration(FunctionName=self._function)

    def size(self, stored: StoredEvent) -> int:
        """See `Target.size`. Its data is base64, and the record around it takes its share."""
        return len(_data(stored)) * 4 // 3 + 1024

    def send(self, batch: Sequence[StoredEvent]) -> list[Rejected | None]:
        """See `Target.send`. Events from the first reported failure on are not taken, as for a stream's mapping."""
        from stream_runtime.events import to_kinesis_records

        event = to_kinesis_records([stored.event for stored in batch])
        answer = self._client.invoke(FunctionName=self._function, Payload=json.dumps(event).encode())
        payload = answer["Payload"].read()
        if answer.get("FunctionError"):
            return [Rejected(f"{self._function} failed: {payload.decode(errors='replace')[:500]}")] * len(batch)
        failed = first_failure(payload, [record["kinesis"]["sequenceNumber"] for record in event["Records"]])
        refused = Rejected(f"{self._function} returned it for retry")
        return [None if index < failed else refused for index in range(len(batch))]


def first_failure(payload: bytes, identifiers: Sequence[str]) -> int:
    """The index of the first record that a partial-batch response leaves; the number of records where it leaves none.

    An identifier that is not in the batch fails all of it, as on AWS (shared/STREAM-MAPPINGS.md).
    """
    response = json.loads(payload) if payload.strip() else None
    failures = response.get("batchItemFailures") if isinstance(response, dict) else None
    if not failures:
        return len(identifiers)
    reported = [failure.get("itemIdentifier") if isinstance(failure, dict) else None for failure in failures]
    return min((identifiers.index(each) if each in identifiers else 0) for each in reported)


class StreamTarget:
    """A Kinesis data stream."""

    one_of_a_key = True
    most = 500  # Kinesis API reference, "PutRecords"
    most_bytes = 10 * 1024 * 1024  # the same, partition keys included

    def __init__(self, client: Any, stream: str) -> None:
        self.name = f"stream {stream}"
        self._client = client
        self._stream = stream

    def check(self) -> None:
        """See `Target.check`."""
        self._client.describe_stream_summary(StreamName=self._stream)

    def size(self, stored: StoredEvent) -> int:
        """See `Target.size`."""
        return len(_data(stored)) + len(partition_key(stored).encode())

    def send(self, batch: Sequence[StoredEvent]) -> list[Rejected | None]:
        """See `Target.send`."""
        answer = self._client.put_records(
            StreamName=self._stream,
            Records=[{"Data": _data(stored), "PartitionKey": partition_key(stored)} for stored in batch],
        )
        return outcomes_of(answer["Records"])


class BusTarget:
    """An event bus; what its rules do with the events, they do again."""

    one_of_a_key = True
    most = 10  # EventBridge API reference, "PutEvents"
    most_bytes = 1024 * 1024 - 1024  # EventBridge user guide, "Calculating PutEvents event entry size"

    def __init__(self, client: Any, bus: str) -> None:
        self.name = f"bus {bus}"
        self._client = client
        self._bus = bus

    def check(self) -> None:
        """See `Target.check`."""
        self._client.describe_event_bus(Name=self._bus)

    def size(self, stored: StoredEvent) -> int:
        """See `Target.size`. Source and detail type are at most 256 and 128 characters."""
        return len(_data(stored)) + 512

    def send(self, batch: Sequence[StoredEvent]) -> list[Rejected | None]:
        """See `Target.send`. Source and detail type are those the event was published with."""
        answer = self._client.put_events(
            Entries=[
                {
                    "EventBusName": self._bus,
                    "Source": str(stored.envelope.get("source") or stored.source or "replay"),
                    "DetailType": str(stored.envelope.get("detail-type") or stored.type),
                    "Detail": _data(stored).decode(),
                }
                for stored in batch
            ]
        )
        return outcomes_of(answer["Entries"])


def outcomes_of(entries: Sequence[Mapping[str, Any]]) -> list[Rejected | None]:
    """What became of each entry of a batch call, by the error code that it was answered with or not."""
    return [
        Rejected(f"{each['ErrorCode']}: {each.get('ErrorMessage', '')}") if each.get("ErrorCode") else None
        for each in entries
    ]


def partition_key(stored: StoredEvent) -> str:
    """The key in whose order an event takes effect."""
    return str(stored.event.get("partition_key") or stored.event.get("id") or stored.place)


def _data(stored: StoredEvent) -> bytes:
    return json.dumps(stored.event, ensure_ascii=False).encode()
