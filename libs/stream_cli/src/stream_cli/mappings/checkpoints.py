"""The checkpoints of mappings, one small file each, from which a restarted engine continues.

A file is written under another name and then renamed, so that a reader never sees half of it. If the engine is killed,
records after the last checkpoint are processed again: at least once, without gaps.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from stream_cli import private_files

ENGINE_FOLDER = "mappings"
"""The engine's state folder within the state folder of a local cloud."""
STATUS_FILE = "status.json"
"""In it, what the engine says of itself."""
CHECKPOINTS = "checkpoints"
"""And the folder of its checkpoints, unless another one is named."""
_VERSION = 1


@dataclass(frozen=True, slots=True)
class ShardProgress:
    """How far a shard is processed.

    Attributes:
        after: the sequence number up to which it is done.
        timestamp: if `after` is None, where to begin, in Unix seconds; None for the beginning of the shard.
        window: its open tumbling window.
        drained: whether it is closed and done.
        starting: its first sequence number, which differs from that of a shard with the same id in a stream that was
            created again.
    """

    after: str | None = None
    timestamp: float | None = None
    window: Mapping[str, Any] | None = None
    drained: bool = False
    starting: str = ""


@dataclass(slots=True)
class MappingProgress:
    """The progress of a mapping's shards; `source_arn` shows if the mapping was created again for another stream."""

    source_arn: str
    shards: dict[str, ShardProgress] = field(default_factory=dict)


class CheckpointStore:
    """The checkpoint files in a folder, which the first one creates."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, mapping_uuid: str) -> MappingProgress | None:
        """A mapping's progress, None if there is none.

        Raises:
            ValueError: the file is not a checkpoint.
        """
        try:
            text = private_files.read(self._path(mapping_uuid))
        except FileNotFoundError:
            return None
        try:
            stored = json.loads(text)
            if stored["version"] != _VERSION:
                raise ValueError(f"version {stored['version']}")
            shards = {shard_id: ShardProgress(**progress) for shard_id, progress in stored["shards"].items()}
            return MappingProgress(stored["source"], shards)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(
                f"{self._path(mapping_uuid)} is no checkpoint ({error}); remove it to start from the beginning"
            ) from error

    def save(self, mapping_uuid: str, progress: MappingProgress) -> None:
        """Write a mapping's progress."""
        content = {
            "version": _VERSION,
            "source": progress.source_arn,
            "shards": {shard_id: asdict(shard) for shard_id, shard in sorted(progress.shards.items())},
        }
        private_files.write(self._path(mapping_uuid), json.dumps(content).encode())

    def forget(self, mapping_uuid: str) -> None:
        """Remove the checkpoint of a deleted mapping."""
        self._path(mapping_uuid).unlink(missing_ok=True)

    def _path(self, mapping_uuid: str) -> Path:
        return self._folder / f"{mapping_uuid}.json"
