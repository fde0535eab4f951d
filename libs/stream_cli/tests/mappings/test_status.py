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
from stream_cli.mappings.failing import sentence
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
    process = subprocess.Popen(
        [*command, "--watch", "--json", "--every", "0.1"],
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    first, second = process.stdout.readline(), process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 130
    assert json.loads(first)["mappings"][0]["uuid"] == json.loads(second)["mappings"][0]["uuid"] == "0b7c"


FAILING = {
    "failures": 4, "since": NOW - 60, "records": 3, "number": "4959", "problem": "reported 4959", "next": NOW + 9,
    "rule": "settle", "event": "e1", "type": "item-made", "operation": "UpdateItem", "target": "items",
    "reason": "ClientError: no such table",
}  # fmt: skip


def test_a_shard_that_fails_again_and_again_says_on_what_and_when_it_goes_on(tmp_path: Path) -> None:
    output = shown(write(tmp_path, mapping(shard(failing=FAILING))))

    about = "rule settle, event e1 (item-made), UpdateItem on items"
    assert f"  shard 3 failed 4 times in a row, {about}: ClientError: no such table" in output
    assert f"next attempt at {time.strftime('%H:%M:%S', time.localtime(NOW + 9))}" in output


def test_what_is_not_known_of_a_failure_is_left_out() -> None:
    known = {name: FAILING[name] for name in ("failures", "since", "records", "number", "problem")}

    assert sentence({**known, "failures": 1, "next": None}) == "failed once, 3 records from 4959 on: reported 4959"


def test_filters_say_how_many_records_they_drop_and_the_last_of_them(tmp_path: Path) -> None:
    dropping = shard(last_filtered={"id": "e7", "type": "item-made"})
    output = shown(write(tmp_path, mapping(dropping)))
    assert "its filters have not let through 7 records; the last one was e7 (item-made)" in output

    idle = {"behind": 0, "processed": 0, "given_up": 0, "invocations": 0, "in_flight": 0}
    output = shown(write(tmp_path, mapping({**dropping, **idle})))
    assert "its filters have let through none of 7 records; the last one was e7 (item-made)" in output


def test_records_that_no_mapping_lets_through_are_counted_by_type(tmp_path: Path) -> None:
    counts = [{"type": "item-made", "count": 3, "last": "e7", "number": "1", "at": NOW}]
    stream = {"stream": "arn:aws:kinesis:us-east-1:123456789012:stream/items", "unadmitted": counts}

    output = shown(write(tmp_path, mapping(shard()), streams=[stream]))

    assert "no mapping on items lets through item-made: 3 records so far, the last one e7" in output
