"""Shards on which functions fail, and events that none gets, from the status of the mapping engine."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from stream_cli.mappings.failing import sentence
from stream_cli.mappings.status import StatusUnavailable, name_of, read_status


@dataclass(frozen=True)
class FailingShard:
    """A shard whose first unfinished records have failed.

    Attributes:
        source: the stream, or the table with a stream.
        behind: how many records wait.
        reason: of the last failure.
        text: what failed how often, with the reason and the next attempt.
    """

    function: str
    source: str
    shard: str
    behind: int
    reason: str
    text: str


def failing_shards(folder: Path, functions: Collection[str]) -> list[FailingShard]:
    """The failing shards of functions, by their ARNs; none while the engine has no status.

    Args:
        folder: of the engine's state.
    """
    try:
        status = read_status(folder)
    except StatusUnavailable:
        return []
    return [
        FailingShard(
            mapping["function"].rpartition(":function:")[2],
            mapping["source"].split(":", 5)[5].split("/")[1],
            shard["shard"],
            shard["behind"],
            failing.get("reason") or failing["problem"],
            sentence(failing),
        )
        for mapping in status["mappings"]
        if mapping["function"] in functions
        for shard in mapping["shards"]
        if (failing := shard.get("failing"))
    ]


@dataclass(frozen=True)
class Unadmitted:
    """Events of a type that no filter of any mapping lets through: how many, and the id of the last."""

    count: int
    last: str


def untaken_events(folder: Path, functions: Collection[str]) -> Mapping[tuple[str, str], Unadmitted]:
    """Events that get to none of the functions of their stream, by stream and type, of streams that functions read.

    Tables are left out: that filters drop some of their changes is as it should be.

    Args:
        folder: of the engine's state.
    """
    try:
        status = read_status(folder)
    except StatusUnavailable:
        return {}
    read = {mapping["source"] for mapping in status["mappings"] if mapping["function"] in functions}
    return {
        (name_of(each["stream"]), count["type"]): Unadmitted(count["count"], count.get("last") or "")
        for each in status.get("streams", ())
        if each["stream"] in read and ":kinesis:" in each["stream"]
        for count in each["unadmitted"]
    }
