"""What the mapping engine needs from the emulator and ministack lacks."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError


def read_all(cloud: Any, name: str, shard_id: str) -> tuple[list[bytes], str | None]:
    iterator = cloud.kinesis.get_shard_iterator(StreamName=name, ShardId=shard_id, ShardIteratorType="TRIM_HORIZON")[
        "ShardIterator"
    ]
    answer = cloud.kinesis.get_records(ShardIterator=iterator)
    return [record["Data"] for record in answer["Records"]], answer.get("NextShardIterator")


def test_a_split_shard_is_closed_and_can_be_read_to_its_end(cloud: Any, name: str) -> None:
    cloud.stream(name)
    cloud.put(name, ["before"])
    cloud.kinesis.split_shard(StreamName=name, ShardToSplit="shardId-000000000000", NewStartingHashKey=str(2**127))
    cloud.put(name, [f"{n}" for n in range(10)], [f"key-{n}" for n in range(10)])
    parent, *children = cloud.kinesis.list_shards(StreamName=name)["Shards"]
    assert (
        parent["SequenceNumberRange"]["EndingSequenceNumber"] >= parent["SequenceNumberRange"]["StartingSequenceNumber"]
    )
    assert [child["ParentShardId"] for child in children] == [parent["ShardId"]] * 2
    assert read_all(cloud, name, parent["ShardId"]) == ([b"before"], None)
    read = [data for child in children for data in read_all(cloud, name, child["ShardId"])[0]]
    assert sorted(read) == sorted(f"{n}".encode() for n in range(10))
    summary = cloud.kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]
    assert summary["OpenShardCount"] == 2


def test_a_closed_shard_cannot_be_split_again(cloud: Any, name: str) -> None:
    cloud.stream(name)
    split = {"StreamName": name, "ShardToSplit": "shardId-000000000000", "NewStartingHashKey": str(2**127)}
    cloud.kinesis.split_shard(**split)
    with pytest.raises(ClientError, match="is closed"):
        cloud.kinesis.split_shard(**split)


def test_merged_and_scaled_shards_name_their_parents(cloud: Any, name: str) -> None:
    cloud.stream(name, shards=2)
    first, second = [shard["ShardId"] for shard in cloud.kinesis.list_shards(StreamName=name)["Shards"]]
    cloud.kinesis.merge_shards(StreamName=name, ShardToMerge=first, AdjacentShardToMerge=second)
    merged = cloud.kinesis.list_shards(StreamName=name)["Shards"][-1]
    assert (merged["ParentShardId"], merged["AdjacentParentShardId"]) == (first, second)
    cloud.kinesis.update_shard_count(StreamName=name, TargetShardCount=3, ScalingType="UNIFORM_SCALING")
    shards = cloud.kinesis.list_shards(StreamName=name)["Shards"]
    assert len({shard["ShardId"] for shard in shards}) == 6
    assert [shard["ParentShardId"] for shard in shards[-3:]] == [merged["ShardId"]] * 3


def test_a_mapping_has_its_creation_time_in_milliseconds(cloud: Any, name: str) -> None:
    source = cloud.stream(name)
    function = cloud.function(name).arn
    before = time.time()
    mapping = cloud.mapping(function, source)
    made = cloud.functions.get_event_source_mapping(UUID=mapping)["LastModified"].timestamp()
    assert before - 0.001 <= made <= time.time()


def test_a_mapping_on_a_stream_has_the_default_batch_size_of_the_api(cloud: Any, name: str) -> None:
    mapping = cloud.mapping(cloud.function(name).arn, cloud.stream(name))
    assert cloud.functions.get_event_source_mapping(UUID=mapping)["BatchSize"] == 100


def test_a_consumer_can_be_the_source_of_a_mapping(cloud: Any, name: str) -> None:
    made = cloud.kinesis.register_stream_consumer(StreamARN=cloud.stream(name), ConsumerName="fast")
    consumer = made["Consumer"]["ConsumerARN"]
    mapping = cloud.mapping(cloud.function(name).arn, consumer)
    assert cloud.functions.get_event_source_mapping(UUID=mapping)["EventSourceArn"] == consumer


@pytest.mark.parametrize(("enabled", "state"), [(False, "Disabled"), ("false", "Disabled"), (True, "Enabled")])
def test_a_template_can_create_a_disabled_mapping(cloud: Any, name: str, enabled: Any, state: str) -> None:
    name = f"{name}-{enabled}"
    properties = {
        "FunctionName": cloud.function(name).arn,
        "EventSourceArn": cloud.stream(name),
        "StartingPosition": "LATEST",
        "Enabled": enabled,
    }
    template = {"Resources": {"Mapping": {"Type": "AWS::Lambda::EventSourceMapping", "Properties": properties}}}
    cloud.cloudformation.create_stack(StackName=name[-100:], TemplateBody=json.dumps(template))

    def made() -> Any:
        return cloud.functions.list_event_source_mappings(FunctionName=name)["EventSourceMappings"]

    (mapping,) = cloud.eventually(made, "the stack makes the mapping")
    assert mapping["State"] == state


INVALID = {"FilterCriteria": {"Filters": [{"Pattern": '{"data": {"type": "item"}}'}]}}


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        (INVALID, r"filterPatterns\[0\]\.data\.type"),
        ({"StartingPosition": "AT_TIMESTAMP"}, "StartingPositionTimestamp"),
        ({"TumblingWindowInSeconds": 60, "ParallelizationFactor": 2}, "ParallelizationFactor 1 only"),
        ({"MaximumRecordAgeInSeconds": 700_000}, "MaximumRecordAgeInSeconds"),
    ],
)
def test_a_mapping_that_aws_refuses_is_refused(cloud: Any, name: str, settings: dict[str, Any], text: str) -> None:
    name = f"{name}-{next(iter(settings)).lower()}"
    function, source = cloud.function(name).arn, cloud.stream(name)
    with pytest.raises(ClientError, match=text):
        cloud.mapping(function, source, **settings)


def test_a_mapping_cannot_be_updated_with_an_invalid_pattern(cloud: Any, name: str) -> None:
    mapping = cloud.mapping(cloud.function(name).arn, cloud.stream(name))
    with pytest.raises(ClientError, match="filterPatterns"):
        cloud.functions.update_event_source_mapping(UUID=mapping, **INVALID)


def test_a_template_with_an_invalid_pattern_is_not_deployed(cloud: Any, name: str) -> None:
    properties = {"FunctionName": cloud.function(name).arn, "EventSourceArn": cloud.stream(name), **INVALID}
    properties["StartingPosition"] = "LATEST"
    template = {"Resources": {"Mapping": {"Type": "AWS::Lambda::EventSourceMapping", "Properties": properties}}}
    cloud.cloudformation.create_stack(StackName=name, TemplateBody=json.dumps(template))

    def failed() -> Any:
        events = cloud.cloudformation.describe_stack_events(StackName=name)["StackEvents"]
        return [e for e in events if "filterPatterns[0].data.type" in e.get("ResourceStatusReason", "")]

    cloud.eventually(failed, "the stack tells why")
