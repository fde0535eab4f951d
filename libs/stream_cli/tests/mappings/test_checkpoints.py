"""The checkpoint files."""

from __future__ import annotations

from pathlib import Path

import pytest
from stream_cli.mappings.checkpoints import CheckpointStore, MappingProgress, ShardProgress

PROGRESS = MappingProgress(
    "arn:aws:kinesis:eu-west-1:123456789012:stream/items",
    {
        "shardId-1": ShardProgress(after="495", window={"start": 0, "end": 60, "state": {"n": 1}}, starting="1"),
        "shardId-2": ShardProgress(timestamp=1_700_000_000.5),
        "shardId-3": ShardProgress(after="77", drained=True),
    },
)


def test_progress_is_saved_and_loaded(tmp_path: Path) -> None:
    CheckpointStore(tmp_path / "checkpoints").save("u", PROGRESS)
    assert CheckpointStore(tmp_path / "checkpoints").load("u") == PROGRESS


def test_an_unknown_mapping_has_no_progress(tmp_path: Path) -> None:
    assert CheckpointStore(tmp_path).load("u") is None


def test_a_mapping_can_be_forgotten(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    store.save("u", PROGRESS)
    store.forget("u")
    store.forget("u")
    assert store.load("u") is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 99, "source": "", "shards": {}}', '{"version": 1}'])
def test_a_broken_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "u.json").write_text(text)
    with pytest.raises(ValueError, match=r"u\.json"):
        CheckpointStore(tmp_path).load("u")
