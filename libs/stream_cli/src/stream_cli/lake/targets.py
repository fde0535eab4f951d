"""The targets of a replay: a function, a stream or a bus. Each reports the outcome of every event."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from stream_cli.mappings.outcomes import Invocation, Processed, interpret
from stream_cli.stored.history import StoredEvent


class Rejected(Exception):
    """A target did not accept an event; the message says why."""


class Target(Protocol):
    """A target of a replay.

    Attributes:
        name: its name in messages and in the ledger.
        most: the most events in one batch.
        most_bytes: the most bytes in one batch, as `size` counts them.
        one_of_a_key: whether a batch may hold only one event of each partition key, because the target may accept a
            later event of a batch and reject an earlier one.
    """

    name: str
    most: int
    most_bytes: int
    one_of_a_key: bool

    def check(self) -> None:
        """Check that the target exists.

        Raises:
            botocore.exceptions.ClientError: it does not exist, or the caller may not access it.
        """

    def size(self, stored: StoredEvent) -> int:
        """The bytes that an event takes in a request."""

    def send(self, batch: Sequence[StoredEvent]) -> list[Rejected | None]:
        """Send events; for each of them None if it was accepted, else why it was not.

        Raises:
            botocore.exceptions.ClientError: none of them was accepted.
        """


class FunctionTarget:
    """A Lambda function, invoked like by a mapping on a Kinesis stream."""

    one_of_a_key = False
    most_bytes = 6 * 1024 * 1024 - 1024  # Lambda quotas: 6 MB for a synchronous invocation, less the envelope

    def __init__(self, client: Any, function: str, batch_size: int) -> None:
        self.name = f"function {function}"
        self.most = batch_size
        self._client = client
        self._function = function

    def check(self) -> None:
        self._client.get_function_configuration(FunctionName=self._function)

    def size(self, stored: StoredEvent) -> int:
        """See `Target.size`: the event in base64, and the record around it."""
        return len(_data(stored)) * 4 // 3 + 1024

    def send(self, batch: Sequence[StoredEvent]) -> list[Rejected | None]:
        """See `Target.send`. As in a stream's mapping, events from the first reported failure on are not accepted."""
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
    """The index of the first record that a partial-batch response reports; the number of records if it reports none."""
    outcome = interpret(Invocation(payload), identifiers, report_failures=True)
    return len(identifiers) if isinstance(outcome, Processed) else outcome.done


class StreamTarget:
    """A Kinesis data stream."""

    one_of_a_key = True
    most = 500  # Kinesis API reference, "PutRecords"
    most_bytes = 10 * 1024 * 1024  # the same, including partition keys

    def __init__(self, client: Any, stream: str) -> None:
        self.name = f"stream {stream}"
        self._client = client
        self._stream = stream

    def check(self) -> None:
        self._client.describe_stream_summary(StreamName=self._stream)

    def size(self, stored: StoredEvent) -> int:
        return len(_data(stored)) + len(partition_key(stored).encode(errors="surrogatepass"))

    def send(self, batch: Sequence[StoredEvent]) -> list[Rejected | None]:
        answer = self._client.put_records(
            StreamName=self._stream,
            Records=[{"Data": _data(stored), "PartitionKey": partition_key(stored)} for stored in batch],
        )
        return outcomes_of(answer["Records"])


class BusTarget:
    """An event bus; its rules match the events again."""

    one_of_a_key = True
    most = 10  # EventBridge API reference, "PutEvents"
    most_bytes = 1024 * 1024 - 1024  # EventBridge user guide, "Calculating PutEvents event entry size"

    def __init__(self, client: Any, bus: str) -> None:
        self.name = f"bus {bus}"
        self._client = client
        self._bus = bus

    def check(self) -> None:
        self._client.describe_event_bus(Name=self._bus)

    def size(self, stored: StoredEvent) -> int:
        """See `Target.size`: source and detail type are at most 256 and 128 characters."""
        return len(_data(stored)) + 512

    def send(self, batch: Sequence[StoredEvent]) -> list[Rejected | None]:
        """See `Target.send`. Events keep the source and detail type that they were published with."""
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
    """The outcome of each entry of a batch call, from the error codes in the response."""
    return [
        Rejected(f"{each['ErrorCode']}: {each.get('ErrorMessage', '')}") if each.get("ErrorCode") else None
        for each in entries
    ]


def partition_key(stored: StoredEvent) -> str:
    """The event's partition key: events of one key stay in order."""
    return str(stored.event.get("partition_key") or stored.event.get("id") or stored.place)


def _data(stored: StoredEvent) -> bytes:
    try:
        return json.dumps(stored.event, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(stored.event).encode()  # Half of a surrogate pair has no UTF-8; JSON can escape it.
