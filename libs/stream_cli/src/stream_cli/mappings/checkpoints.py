"""Where each mapping has come to, in one small file a mapping, so that a restarted engine goes on from there.

A file is replaced as a whole (written beside it, then renamed): a reader sees the old or the new one, never half of it.
What the file does not know yet when the engine is killed is processed once more: at least once, no gap.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["CheckpointStore", "MappingProgress", "ShardProgress", "write_atomically"]

ENGINE_FOLDER = "mappings"
"""The engine's state folder within the state folder of a local cloud."""
_VERSION = 1


@dataclass(frozen=True, slots=True)
class ShardProgress:
    """Up to where a shard is done: `after` this sequence number, or from `timestamp` (Unix seconds), or from its start.

    `window` is its open tumbling window; `drained` says that the shard is closed and done; `starting` is the sequence
    number with which the shard begins, and tells it from another one of the same name in a stream that was made anew.
    """

    after: str | None = None
    timestamp: float | None = None
    window: Mapping[str, Any] | None = None
    drained: bool = False
    starting: str = ""


@dataclass(slots=True)
class MappingProgress:
    """Where the shards of one mapping are; `source_arn` guards against a mapping that was created anew."""

    source_arn: str
    shards: dict[str, ShardProgress] = field(default_factory=dict)


class CheckpointStore:
    """The checkpoint files under a folder, which is made when the first is written."""

    def __init__(self, folder: Path) -> None:
        """Use `folder`."""
        self._folder = folder

    def load(self, mapping_uuid: str) -> MappingProgress | None:
        """Read a mapping's progress; None when there is none. Raises `ValueError` when the file is broken."""
        try:
            text = self._path(mapping_uuid).read_text("utf-8")
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
                f"{self._path(mapping_uuid)} is no checkpoint ({error}); remove it to begin anew"
            ) from error

    def save(self, mapping_uuid: str, progress: MappingProgress) -> None:
        """Replace a mapping's progress."""
        content = {
            "version": _VERSION,
            "source": progress.source_arn,
            "shards": {shard_id: asdict(shard) for shard_id, shard in sorted(progress.shards.items())},
        }
        write_atomically(self._path(mapping_uuid), json.dumps(content).encode())

    def forget(self, mapping_uuid: str) -> None:
        """Remove what is known of a mapping that is gone."""
        self._path(mapping_uuid).unlink(missing_ok=True)

    def _path(self, mapping_uuid: str) -> Path:
        return self._folder / f"{mapping_uuid}.json"


def write_atomically(path: Path, content: bytes) -> None:
    """Replace the file at `path` (its folder is made if need be) without ever showing a part of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
