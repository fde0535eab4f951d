"""The engine reads a stream with the role of the mapping's function, as Lambda does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

EVERYTHING = {"Effect": "Allow", "Action": "*", "Resource": "*"}
READS = {"kinesis": ["GetRecords", "GetShardIterator", "ListShards", "DescribeStream"],
         "dynamodb": ["GetRecords", "GetShardIterator", "DescribeStream"]}  # fmt: skip


@pytest.fixture(scope="module")
def engine(start_engine: Any) -> Iterator[Any]:
    """The engine that serves the mappings of this file's tests."""
    with start_engine(speed=20) as running:
        yield running


def only(service: str, without: str = "") -> list[dict[str, Any]]:
    actions = [f"{service}:{action}" for action in READS[service] if action != without]
    return [{"Effect": "Allow", "Action": actions, "Resource": "*"}]


def test_a_mapping_shows_the_permission_that_its_role_has_lost_and_goes_on_when_it_is_back(
    cloud: Any, engine: Any, name: str
) -> None:
    source = cloud.stream(name)
    function = cloud.function(name)
    cloud.permit(*only("kinesis"))
    mapping = cloud.mapping(function.arn, source)
    cloud.put(name, ["first"])
    cloud.eventually(lambda: cloud.data(name) == ["first"], "the first record is delivered")
    cloud.permit(*only("kinesis", without="GetRecords"))
    cloud.put(name, ["second"])

    def problem() -> str:
        return str(engine.shown(mapping).get("problem") or "")

    found = cloud.eventually(problem, "the mapping shows the problem")
    assert (
        f"assumed-role/listener/{name} is not authorized to perform: kinesis:GetRecords on resource: {source}" in found
    )
    cloud.permit(EVERYTHING)
    cloud.eventually(lambda: cloud.data(name) == ["first", "second"], "the second is delivered, the first not again")
    cloud.eventually(lambda: not problem(), "there is no problem any more")


def test_without_list_shards_a_description_of_the_stream_is_enough(cloud: Any, engine: Any, name: str) -> None:
    source, function = cloud.stream(name, shards=2), cloud.function(name)
    cloud.permit(*only("kinesis", without="ListShards"))
    cloud.mapping(function.arn, source)
    cloud.put(name, ["a", "b", "c"], ["1", "2", "3"])
    cloud.eventually(lambda: sorted(cloud.data(name)) == ["a", "b", "c"], "both shards are read")


def test_the_stream_of_a_table_is_read_with_the_role_too(cloud: Any, engine: Any, name: str) -> None:
    source = cloud.table(name)
    function = cloud.function(name)
    cloud.permit(*only("dynamodb"))
    mapping = cloud.mapping(function.arn, source)
    cloud.permit(*only("dynamodb", without="DescribeStream"))
    action = "dynamodb:DescribeStream"
    cloud.eventually(lambda: action in str(engine.shown(mapping).get("problem")), "the mapping shows the problem")
    cloud.dynamodb.put_item(TableName=name, Item={"pk": {"S": "1"}})
    cloud.permit(EVERYTHING)
    cloud.eventually(lambda: cloud.data(name) == ["1"], "the record is delivered")


def test_the_on_failure_destination_is_told_with_the_role(cloud: Any, engine: Any, name: str) -> None:
    source = cloud.stream(name)
    (url, queue), function = cloud.queue(name), cloud.function(name, 'raise ValueError("no")\n')
    send = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": queue}
    cloud.permit(*only("kinesis"), send)
    cloud.mapping(function.arn, source, MaximumRetryAttempts=0, DestinationConfig={"OnFailure": {"Destination": queue}})
    cloud.permit(*only("kinesis"))
    cloud.put(name, ["lost"])
    cloud.eventually(lambda: any("cannot be told" in said for said in engine.said), "it is told that it is not told")
    cloud.permit(*only("kinesis"), send)
    cloud.put(name, ["told"])
    (told,) = cloud.eventually(lambda: cloud.received(url), "the queue is told")
    assert told["KinesisBatchInfo"]["batchSize"] == 1
