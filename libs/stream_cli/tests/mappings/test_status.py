"""`streamctl mappings status`."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from stream_cli.local.state import StateFolder
from stream_cli.mappings.command import app
from stream_cli.mappings.status import StatusUnavailable, read_status
from typer.testing import CliRunner

NOW = 1_700_000_000.0


def shard(**fields: Any) -> dict[str, Any]:
    return {
        "shard": "shardId-000000000003",
        "state": "open",
        "position": "49590338271490256608559692538361571095921575989136588898",
        "behind": 12,
        "read_to_tip": True,
        "oldest_arrival": NOW - 90,
        "in_flight": 1,
        "last_outcome": "ValueError: poison",
        "last_outcome_at": NOW - 3,
        "invocations": 40,
        "processed": 3_900,
        "filtered": 7,
        "retries": 4,
        "splits": 2,
        "given_up": 1,
        **fields,
    }


def mapping(*shards: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "uuid": "0b7c",
        "function": "arn:aws:lambda:us-east-1:123456789012:function:listener",
        "source": "arn:aws:kinesis:us-east-1:123456789012:stream/items",
        "enabled": True,
        "problem": None,
        "batch_size": 100,
        "destination": None,
        "shards": list(shards),
        **fields,
    }


def write(folder: Path, *mappings: dict[str, Any], **fields: Any) -> Path:
    status = {
        "endpoint": "http://127.0.0.1:4566",
        "endpoint_problem": None,
        "pid": 4711,
        "running": True,
        "speed": 1.0,
        "mappings": list(mappings),
        "updated_at": time.time(),
        **fields,
    }
    (folder / "status.json").write_text(json.dumps(status))
    return folder


def shown(folder: Path, *options: str) -> str:
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["status", "--state", str(folder), *options])
    assert result.exit_code == 0, result.output
    return result.output


def test_json_has_the_whole_status_and_the_iterator_age(tmp_path: Path) -> None:
    write(tmp_path, mapping(shard(oldest_arrival=time.time() - 90)))
    status = json.loads(shown(tmp_path, "--json"))
    assert status["alive"]
    (told,) = status["mappings"][0]["shards"]
    assert told["iterator_age"] == pytest.approx(90, abs=5)
    assert (told["behind"], told["in_flight"], told["retries"], told["given_up"]) == (12, 1, 4, 1)


def test_a_shard_that_has_caught_up_has_no_age(tmp_path: Path) -> None:
    write(tmp_path, mapping(shard(behind=0, oldest_arrival=None)))
    assert read_status(tmp_path)["mappings"][0]["shards"][0]["iterator_age"] == 0


def test_the_table_has_a_row_for_each_shard(tmp_path: Path) -> None:
    write(tmp_path, mapping(shard(oldest_arrival=time.time() - 90), shard(shard="shardId-000000000004", behind=0)))
    output = shown(tmp_path)
    assert "listener ← items" in output
    assert [line.split()[0] for line in output.splitlines()[-2:]] == ["3", "4"]
    assert "ValueError: poison" in output
    assert "90." in output
    assert "engine 4711 is running" in output


def test_the_table_fits_into_eighty_columns(tmp_path: Path) -> None:
    write(tmp_path, mapping(shard(oldest_arrival=time.time() - 90, processed=123_456, behind=10_000)))
    result = CliRunner(env={"COLUMNS": "80"}).invoke(app, ["status", "--state", str(tmp_path)])
    (row,) = [line for line in result.output.splitlines() if "123456" in line]
    assert row.split()[:6] == ["3", "…36588898", "10000", "90.0", "s", "1"]
    assert "ValueErr" in row
    assert len(row) <= 80


def test_a_shard_that_is_not_read_to_its_tip_is_marked(tmp_path: Path) -> None:
    write(tmp_path, mapping(shard(behind=10_000, read_to_tip=False)))
    assert "10000+" in shown(tmp_path)


@pytest.mark.parametrize(
    ("told", "text"),
    [
        (mapping(enabled=False), "disabled"),
        (mapping(problem="invalid filter pattern: data: ..."), "invalid filter pattern"),
        (mapping(), "no shards yet"),
        (mapping({"shard": "s", "state": "waiting for its parents", "position": None, "behind": None}), "parents"),
        (mapping(shard(state="closed")), "(closed)"),
    ],
)
def test_a_shard_that_is_not_read_says_why(tmp_path: Path, told: dict[str, Any], text: str) -> None:
    assert text in shown(write(tmp_path, told))


def test_an_engine_that_has_stopped_or_died_is_not_taken_for_running(tmp_path: Path) -> None:
    assert "no engine is running" in shown(write(tmp_path, running=False))
    assert "no engine is running" in shown(write(tmp_path, updated_at=time.time() - 60))


def test_an_endpoint_that_is_away_is_shown(tmp_path: Path) -> None:
    assert "is away" in shown(write(tmp_path, endpoint_problem="the endpoint is away"))


def test_without_an_engine_the_command_fails(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["status", "--state", str(tmp_path)])
    assert result.exit_code == 1
    assert "no engine has run" in result.output
    with pytest.raises(StatusUnavailable):
        read_status(tmp_path)


def test_the_state_folder_may_stand_before_the_word_status(tmp_path: Path) -> None:
    write(tmp_path)
    result = CliRunner().invoke(app, ["--state", str(tmp_path), "status", "--json"])
    assert result.exit_code == 0


def test_the_state_folder_may_be_that_of_the_local_cloud_around_the_engine(tmp_path: Path) -> None:
    of_the_engine = StateFolder(tmp_path).mappings
    of_the_engine.mkdir()
    write(of_the_engine)
    result = CliRunner().invoke(app, ["status", "--state", str(tmp_path), "--json"])
    assert result.exit_code == 0


def test_an_engine_needs_an_endpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    result = CliRunner().invoke(app, ["--state", str(tmp_path)])
    assert result.exit_code == 2
    assert "--endpoint" in result.output


def test_watch_repeats_the_status_until_it_is_interrupted(tmp_path: Path) -> None:
    write(tmp_path, mapping(shard()))
    command = [sys.executable, "-m", "stream_cli.mappings", "status", "--state", str(tmp_path)]
    process = subprocess.Popen([*command, "--watch", "--json", "--every", "0.1"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    first, second = process.stdout.readline(), process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 0
    assert json.loads(first)["mappings"][0]["uuid"] == json.loads(second)["mappings"][0]["uuid"] == "0b7c"
