"""Shards as the console shows them: what failed, by rule, event and call, as `streamctl status` says it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from stream_cli import private_files
from stream_cli.console.shards import shards
from stream_cli.journal.answers import Journal
from stream_cli.journal.writer import Writer
from stream_cli.mappings.checkpoints import STATUS_FILE

FUNCTION = "arn:aws:lambda:us-east-1:000000000000:function:control-local-listener"
STREAM = "arn:aws:kinesis:us-east-1:000000000000:stream/hub-s1"
NOW = int(time.time())
BLAME = {
    "rule": "collect-submitted", "event": "submitted-1", "type": "submitted", "operation": "PutItem",
    "target": "control-local-events", "reason": "AccessDeniedException: password=correct-horse-9 is not authorized",
}  # fmt: skip
FAILING = {
    **BLAME, "failures": 3, "since": NOW - 9.0, "records": 1, "number": "12", "problem": "reported 12",
    "next": NOW + 4.0,
}  # fmt: skip
ATTEMPT = {
    "kind": "attempt", "at": NOW * 1000, "mapping": "mapping-1", "function": "control-local-listener",
    "stream": STREAM, "shard": "shardId-000000000000", "numbers": ["11", "12"], "attempt": 3, "start": NOW * 1000,
    "outcome": "failed", "done": 1, "problem": "reported 12", "next": NOW * 1000 + 4000,
    "request": "request-1", **BLAME,
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "mappings"


def engine_says(folder: Path, failing: dict[str, Any] | None) -> None:
    shard = {
        "shard": "shardId-000000000000", "state": "open", "position": "11", "behind": 1 if failing else 0,
        "in_flight": 0, "processed": 7, "filtered": 0, "retries": 3, "given_up": 0, "read_to_tip": True,
        "last_outcome": "reported 12" if failing else "ok", "oldest_arrival": None, "failing": failing,
    }  # fmt: skip
    mapping = {
        "uuid": "mapping-1", "function": FUNCTION, "source": STREAM, "enabled": True, "problem": None,
        "shards": [shard],
    }  # fmt: skip
    content = {"endpoint_problem": None, "running": True, "updated_at": time.time(), "mappings": [mapping]}
    private_files.make_folder(folder)
    private_files.write(folder / STATUS_FILE, json.dumps(content).encode())


def writes(tmp_path: Path, *lines: dict[str, Any]) -> None:
    writer = Writer(tmp_path / "journal", "mappings")
    for line in lines:
        writer.put(line)
    writer.close()


def test_a_shard_that_is_stuck_names_rule_event_call_and_reason(tmp_path: Path, folder: Path, journal: Journal) -> None:
    engine_says(folder, FAILING)
    writes(tmp_path, ATTEMPT)
    (mapping,) = shards(journal, folder)["mappings"]
    (shard,) = mapping["shards"]
    assert {**shard["blame"], "reason": None} == {**BLAME, "reason": None}
    assert "AccessDeniedException" in shard["blame"]["reason"]
    assert (shard["attempt"], shard["waits_until"]) == (3, NOW * 1000 + 4000)
    (failure,) = mapping["failures"]
    assert failure["blame"] == shard["blame"]
    assert failure["request"] == "request-1"
    assert "correct-horse-9" not in json.dumps(mapping)


def test_without_its_journal_the_engine_still_says_why(folder: Path, journal: Journal) -> None:
    engine_says(folder, {**FAILING, "next": None})
    (shard,) = shards(journal, folder)["mappings"][0]["shards"]
    assert shard["blame"]["rule"] == "collect-submitted"
    assert shard["attempt"] == 3
    assert "waits_until" not in shard


def test_a_failure_of_which_no_more_is_known_has_its_problem_as_reason(
    tmp_path: Path, folder: Path, journal: Journal
) -> None:
    engine_says(folder, None)
    writes(tmp_path, {name: value for name, value in ATTEMPT.items() if name not in BLAME})
    (mapping,) = shards(journal, folder)["mappings"]
    assert mapping["shards"][0]["blame"] == {"reason": "reported 12"}
    assert mapping["failures"][0]["blame"] == {"reason": "reported 12"}


def test_a_shard_that_is_free_again_has_no_blame(tmp_path: Path, folder: Path, journal: Journal) -> None:
    engine_says(folder, None)
    done = {name: value for name, value in ATTEMPT.items() if name not in (*BLAME, "problem", "next")}
    writes(tmp_path, ATTEMPT, {**done, "at": ATTEMPT["at"] + 1, "attempt": 4, "outcome": "ok", "done": 2})
    (mapping,) = shards(journal, folder)["mappings"]
    assert not {"blame", "waits_until", "attempt"} & set(mapping["shards"][0])
    assert len(mapping["failures"]) == 1
