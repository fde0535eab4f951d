"""Shards on which functions fail, from the status of the mapping engine."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from stream_cli.mappings.failing import sentence
from stream_cli.mappings.status import StatusUnavailable, read_status


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
