"""Engines and emulators that stop, are killed, and come back."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from stream_cli.mappings.status import read_status


def test_a_restarted_engine_continues_from_its_checkpoint(
    cloud: Any, start_engine: Any, tmp_path: Path, name: str
) -> None:
    source = cloud.stream(name)
    with start_engine(tmp_path):
        cloud.mapping(cloud.function(name).arn, source, StartingPosition="LATEST", BatchSize=10)
        cloud.put(name, [f"{n}" for n in range(50)])
        cloud.eventually(lambda: len(cloud.data(name)) == 50, "the first engine delivers")
    cloud.put(name, [f"{n}" for n in range(50, 80)])
    with start_engine(tmp_path):
        cloud.eventually(lambda: len(cloud.data(name)) == 80, "the second engine goes on")
    assert cloud.data(name) == [f"{n}" for n in range(80)]


def test_records_written_without_an_engine_are_read_even_if_none_came_before(
    cloud: Any, start_engine: Any, tmp_path: Path, name: str
) -> None:
    mapping = cloud.mapping(cloud.function(name).arn, cloud.stream(name), StartingPosition="LATEST")
    with start_engine(tmp_path) as first:
        cloud.eventually(lambda: first.shards(mapping), "the first engine serves it")
    cloud.put(name, ["in between"])
    with start_engine(tmp_path):
        cloud.eventually(lambda: cloud.data(name) == ["in between"], "it is delivered")


def test_a_table_stream_read_from_latest_continues_too(
    cloud: Any, start_engine: Any, tmp_path: Path, name: str
) -> None:
    source = cloud.table(name)
    cloud.dynamodb.put_item(TableName=name, Item={"pk": {"S": "before"}})
    # Creation times of table streams are whole seconds.
    time.sleep(1.05)
    mapping = cloud.mapping(cloud.function(name).arn, source, StartingPosition="LATEST")
    with start_engine(tmp_path) as first:
        cloud.eventually(lambda: first.shards(mapping), "the first engine serves it")
    cloud.dynamodb.put_item(TableName=name, Item={"pk": {"S": "after"}})
    with start_engine(tmp_path):
        cloud.eventually(lambda: cloud.data(name), "it is delivered")
    with start_engine(tmp_path):
        cloud.dynamodb.put_item(TableName=name, Item={"pk": {"S": "last"}})
        cloud.eventually(lambda: "last" in cloud.data(name), "the next is delivered")
    assert cloud.data(name) == ["after", "last"]


def test_a_killed_engine_loses_nothing_and_repeats_little(cloud: Any, tmp_path: Path, name: str) -> None:
    source = cloud.stream(name)
    cloud.put(name, [f"{n}" for n in range(400)])
    cloud.mapping(cloud.function(name, "time.sleep(0.02)").arn, source, BatchSize=10)
    command = [sys.executable, "-m", "stream_cli.mappings", "--endpoint", cloud.url, "--state", str(tmp_path / "state")]
    with (tmp_path / "engine.log").open("wb") as log:
        process = subprocess.Popen(command, stderr=log)
        try:
            cloud.eventually(lambda: len(cloud.data(name)) >= 150, "it is in the middle")
        finally:
            process.kill()
            process.wait(10)
        assert len(cloud.data(name)) < 400
        process = subprocess.Popen(command, stderr=log)
        try:
            cloud.eventually(lambda: len(set(cloud.data(name))) == 400, "the rest is delivered")
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
    times = Counter(cloud.data(name))
    assert max(times.values()) <= 2
    assert sum(count == 2 for count in times.values()) < 150


@pytest.mark.thorough
def test_an_endpoint_that_goes_away_and_comes_back_empty(
    start_emulator: Any, start_engine: Any, open_cloud: Any, tmp_path: Path, name: str
) -> None:
    emulator = start_emulator(tmp_path)
    try:
        with start_engine(url=emulator.url) as engine:
            cloud = open_cloud(emulator.url)
            cloud.mapping(cloud.function(name).arn, cloud.stream(name))
            cloud.put(name, ["before"])
            cloud.eventually(lambda: cloud.data(name) == ["before"], "it works before")
            emulator.stop()
            cloud.eventually(lambda: any("the endpoint is away" in said for said in engine.said), "it is said")
            emulator.start()
            cloud.eventually(lambda: any("is gone" in said for said in engine.said), "the mapping is gone")
            cloud.mapping(cloud.function(name).arn, cloud.stream(name))
            cloud.put(name, ["after"])
            cloud.eventually(lambda: cloud.data(name) == ["before", "after"], "it works after")
            assert len([said for said in engine.said if "the endpoint is away" in said]) == 1
            assert len([said for said in engine.said if "the endpoint answers again" in said]) == 1
            assert read_status(engine.state)["alive"]
    finally:
        emulator.stop()


def test_a_reshard_under_load_loses_nothing_and_keeps_the_order_of_a_key(
    cloud: Any, start_engine: Any, name: str
) -> None:
    source = cloud.stream(name, shards=2)
    cloud.mapping(cloud.function(name).arn, source, BatchSize=20)
    written = itertools.count()

    def write(number: int) -> None:
        for _ in range(number):
            numbers = [next(written) for _ in range(10)]
            cloud.put(name, [f"{n}" for n in numbers], [f"key-{n % 16}" for n in numbers])

    with start_engine():
        write(10)
        first, second = (shard["ShardId"] for shard in cloud.kinesis.list_shards(StreamName=name)["Shards"])
        cloud.kinesis.split_shard(StreamName=name, ShardToSplit=first, NewStartingHashKey=str(2**126))
        write(10)
        opened = [s["ShardId"] for s in cloud.kinesis.list_shards(StreamName=name)["Shards"] if s.get("ParentShardId")]
        cloud.kinesis.merge_shards(StreamName=name, ShardToMerge=opened[1], AdjacentShardToMerge=second)
        write(10)
        cloud.kinesis.update_shard_count(StreamName=name, TargetShardCount=4, ScalingType="UNIFORM_SCALING")
        write(10)
        cloud.eventually(lambda: len(cloud.data(name)) >= 400, "all records are delivered")
    received = [int(payload) for payload in cloud.data(name)]
    assert sorted(received) == list(range(400))
    for key in range(16):
        of_key = [n for n in received if n % 16 == key]
        assert of_key == sorted(of_key)


def test_a_function_that_disappears_and_comes_back_is_waited_for(cloud: Any, start_engine: Any, name: str) -> None:
    cloud.mapping(cloud.function(name).arn, cloud.stream(name), MaximumRetryAttempts=0)
    with start_engine() as engine:
        cloud.put(name, ["first"])
        cloud.eventually(lambda: cloud.data(name) == ["first"], "it works before")
        cloud.functions.delete_function(FunctionName=name)
        cloud.put(name, ["second"])
        cloud.eventually(lambda: any("cannot be invoked" in said for said in engine.said), "it is said")
        cloud.function(name)
        cloud.eventually(lambda: cloud.data(name) == ["first", "second"], "it works after")
        assert len([said for said in engine.said if "cannot be invoked" in said]) == 1
