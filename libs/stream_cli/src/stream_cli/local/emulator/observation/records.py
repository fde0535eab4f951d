"""Records of Kinesis streams, with the id of the event in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import orjson

from stream_cli.local.emulator.observation.domain import EventIdentity, identity_in, identity_in_base64
from stream_cli.local.emulator.observation.observing import EmulatorJournal, safely

INTERNALS = {
    "ministack.services.kinesis": (
        *("_put_record", "_put_records", "put_record_internal", "_resolve_stream", "_resolve_stream_by_arn"),
    ),
}


def patch(journal: EmulatorJournal) -> None:
    """Observe what is put into streams."""
    from ministack.services import kinesis

    put_internally = kinesis.put_record_internal

    def observed(put: Callable[[dict[str, Any]], Any], several: bool) -> Callable[[dict[str, Any]], Any]:
        def done(request: dict[str, Any]) -> Any:
            response = put(request)
            if response[0] == 200:
                observe(request, response[2], several)
            return response

        return done

    def put_internally_observed(arn: str, key: str, data: bytes) -> bool:
        accepted = bool(put_internally(arn, key, data))
        if accepted:
            observe_internal(arn, key, data)
        return accepted

    @safely
    def observe(request: dict[str, Any], answer: bytes, several: bool) -> None:
        arn, at = kinesis._resolve_stream(request)[1]["StreamARN"], journal.now()
        journal.observe_later(lambda: _lines(at, arn, request, answer, several))

    @safely
    def observe_internal(arn: str, key: str, data: bytes) -> None:
        shards = kinesis._resolve_stream_by_arn(arn)["shards"]
        last = [(shard["records"][-1]["SequenceNumber"], id) for id, shard in shards.items() if shard["records"]]
        number, shard = max(last, key=lambda each: int(each[0]))
        journal.observe(_line(journal.now(), arn, shard, number, key, identity_in(data)))

    kinesis._put_record = observed(kinesis._put_record, several=False)
    kinesis._put_records = observed(kinesis._put_records, several=True)
    kinesis.put_record_internal = put_internally_observed


def _lines(at: int, arn: str, request: dict[str, Any], answer: bytes, several: bool) -> Iterator[dict[str, Any]]:
    answered = orjson.loads(answer)
    records = request["Records"] if several else (request,)
    placed = answered["Records"] if several else (answered,)
    for record, place in zip(records, placed, strict=True):
        if "SequenceNumber" in place:
            found = identity_in_base64(record.get("Data", ""))
            yield _line(at, arn, place["ShardId"], place["SequenceNumber"], record.get("PartitionKey", ""), found)


def _line(at: int, arn: str, shard: str, number: str, key: str, found: EventIdentity) -> dict[str, Any]:
    line = {"kind": "stream", "at": at, "stream": arn, "shard": shard, "number": number, "key": key}
    if found.id is not None:
        line["id"] = found.id
    if found.type is not None:
        line["type"] = found.type
    if found.bus_id is not None:
        line["bus_id"] = found.bus_id
    return line
