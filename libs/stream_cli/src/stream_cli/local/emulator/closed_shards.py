"""Shards that are split, merged or scaled stay, closed, until their records expire, and children name their parents.

ministack deletes such shards at once, and with them what has not been read. (Its SubscribeToShard does not tell of
their children.)
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

INTERNALS = {
    "ministack.services.kinesis": (
        *("_split_shard", "_merge_shards", "_update_shard_count", "_route_to_shard", "_shard_out", "_get_records"),
        *("_describe_stream_summary", "_resolve_stream", "_build_shards", "_max_shard_index", "_shard_iterators"),
        *("_streams", "error_response_json", "json_response"),
    ),
}


def patch() -> None:
    """Close a shard instead of deleting it: it takes no more records, and can be read to its end."""
    from ministack.services import kinesis

    split, merge, scale = kinesis._split_shard, kinesis._merge_shards, kinesis._update_shard_count
    route, shard_out = kinesis._route_to_shard, kinesis._shard_out
    get_records, summary = kinesis._get_records, kinesis._describe_stream_summary

    def open_shards(stream: dict[str, Any]) -> dict[str, Any]:
        return {name: shard for name, shard in stream["shards"].items() if "ending_sequence_number" not in shard}

    def close(stream: dict[str, Any], before: dict[str, Any]) -> None:
        """Put back, as closed, what of ``before`` is gone from the stream."""
        gone = {name: shard for name, shard in before.items() if name not in stream["shards"]}
        for shard in gone.values():
            last = shard["records"][-1]["SequenceNumber"] if shard["records"] else shard["starting_sequence_number"]
            shard.setdefault("ending_sequence_number", last)
        stream["shards"] = {**gone, **stream["shards"]}

    def closing(reshard: Callable[[dict[str, Any]], Any], *keys: str) -> Callable[[dict[str, Any]], Any]:
        def resharded(data: dict[str, Any]) -> Any:
            name, stream = kinesis._resolve_stream(data)
            if stream is None:
                return reshard(data)
            closed = stream["shards"].keys() - open_shards(stream).keys()
            named = next((data[key] for key in keys if data.get(key) in closed), None)
            if named is not None:
                message = f"Shard {named} in stream {name} is closed"
                return kinesis.error_response_json("ResourceInUseException", message, 400)
            before = dict(stream["shards"])
            response = reshard(data)
            close(stream, before)
            return response

        return resharded

    def scaled(data: dict[str, Any]) -> Any:
        name, stream = kinesis._resolve_stream(data)
        target = int(data.get("TargetShardCount") or 0)
        if stream is None or target < 1:
            return scale(data)
        before, parents = dict(stream["shards"]), open_shards(stream)
        stream["shards"] = kinesis._build_shards(target, start_index=kinesis._max_shard_index(stream) + 1)
        for child in stream["shards"].values():
            # A shard has two parents at most, so AWS scales by steps; of one big step the further ones go unnamed.
            named = [name for name, parent in parents.items() if _overlap(parent, child)]
            child["parent_shard_id"] = named[0]
            child["adjacent_parent_shard_id"] = named[1] if len(named) > 1 else None
        close(stream, before)
        answer = {"StreamName": name, "CurrentShardCount": len(parents), "TargetShardCount": target}
        return kinesis.json_response({**answer, "StreamARN": stream["StreamARN"]})

    def shown(name: str, shard: dict[str, Any]) -> Any:
        answer = shard_out(name, shard)
        if "ending_sequence_number" in shard:
            answer["SequenceNumberRange"]["EndingSequenceNumber"] = shard["ending_sequence_number"]
        return answer

    def read(data: dict[str, Any]) -> Any:
        iterator = kinesis._shard_iterators.get(data.get("ShardIterator"))
        status, headers, body = response = get_records(data)
        stream = kinesis._streams.get(iterator["stream"]) if iterator else None
        shard = stream["shards"].get(iterator["shard_id"]) if stream else None
        if status != 200 or shard is None or "ending_sequence_number" not in shard:
            return response
        answer = json.loads(body)
        if kinesis._shard_iterators[answer["NextShardIterator"]]["position"] >= len(shard["records"]):
            # GetRecords in the Kinesis API reference: null when the shard is closed and has nothing more.
            answer["NextShardIterator"] = None
        return status, headers, json.dumps(answer).encode()

    def summarized(data: dict[str, Any]) -> Any:
        status, headers, body = response = summary(data)
        if status != 200:
            return response
        answer = json.loads(body)
        answer["StreamDescriptionSummary"]["OpenShardCount"] = len(open_shards(kinesis._resolve_stream(data)[1]))
        return status, headers, json.dumps(answer).encode()

    kinesis._split_shard = closing(split, "ShardToSplit")
    kinesis._merge_shards = closing(merge, "ShardToMerge", "AdjacentShardToMerge")
    kinesis._update_shard_count = scaled
    kinesis._route_to_shard = lambda key, stream: route(key, {**stream, "shards": open_shards(stream)})
    kinesis._shard_out, kinesis._get_records, kinesis._describe_stream_summary = shown, read, summarized


def _overlap(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return int(one["starting_hash_key"]) <= int(other["ending_hash_key"]) and int(other["starting_hash_key"]) <= int(
        one["ending_hash_key"]
    )
