"""The engine on a real emulator with real functions: everything that simulated time cannot show.

An engine serves all tests of this file, 20 times as fast: an hour of its waits passes in 3 minutes.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest


@pytest.fixture(scope="module")
def engine(start_engine: Any) -> Iterator[Any]:
    """The engine that serves the mappings of this file's tests."""
    with start_engine(speed=20) as running:
        yield running


# --- kinesis ---


def test_records_reach_the_function_in_order(cloud: Any, engine: Any, name: str) -> None:
    source = cloud.stream(name, shards=3)
    function = cloud.function(name).arn
    cloud.mapping(function, source, BatchSize=50)
    cloud.put(name, [f"{n}" for n in range(600)], [f"key-{n % 20}" for n in range(600)])
    cloud.eventually(lambda: len(cloud.data(name)) == 600, "all records are delivered")
    received = [int(payload) for payload in cloud.data(name)]
    assert sorted(received) == list(range(600))
    for key in range(20):
        of_key = [n for n in received if n % 20 == key]
        assert of_key == sorted(of_key)


def test_a_record_reaches_its_function_at_once(cloud: Any, engine: Any, name: str) -> None:
    source = cloud.stream(name)
    mapping = cloud.mapping(cloud.function(name).arn, source)
    cloud.put(name, ["warm up"])
    cloud.eventually(lambda: cloud.calls(name), "the function is warm")
    cloud.eventually(lambda: engine.shards(mapping), "the mapping is served")
    delays = []
    for n in range(10):
        time.sleep(0.3)
        sent = time.time()
        cloud.put(name, [f"{n}"])
        delays.append(
            cloud.eventually(
                lambda n=n: [c["at"] for c in cloud.calls(name) if c["records"][0][1] == f"{n}"], "it comes"
            )[0]
            - sent
        )
    # Polling takes a tenth of a second at most; the rest is for a machine that is busy with other tests.
    assert sorted(delays)[5] < 0.4


def test_a_poison_record_in_a_thousand_is_isolated(cloud: Any, engine: Any, name: str) -> None:
    source = cloud.stream(name)
    queue_url, queue_arn = cloud.queue(name)
    function = cloud.function(
        name, 'if any(payload == "500" for _, payload in records): raise ValueError("poison")\n'
    ).arn
    cloud.put(name, [f"{n}" for n in range(1000)], [f"key-{n % 7}" for n in range(1000)])
    cloud.mapping(
        function,
        source,
        BatchSize=1000,
        BisectBatchOnFunctionError=True,
        MaximumRetryAttempts=2,
        DestinationConfig={"OnFailure": {"Destination": queue_arn}},
    )
    (told,) = cloud.eventually(lambda: cloud.received(queue_url), "the destination is told")
    pointer = told["KinesisBatchInfo"]
    assert pointer["batchSize"] == 1
    iterator = cloud.kinesis.get_shard_iterator(
        StreamName=name,
        ShardId=pointer["shardId"],
        ShardIteratorType="AT_SEQUENCE_NUMBER",
        StartingSequenceNumber=pointer["startSequenceNumber"],
    )["ShardIterator"]
    assert cloud.kinesis.get_records(ShardIterator=iterator, Limit=1)["Records"][0]["Data"] == b"500"
    assert told["requestContext"] == {
        "requestId": told["requestContext"]["requestId"],
        "functionArn": function,
        "condition": "RetryAttemptsExhausted",
        "approximateInvokeCount": 3,
    }
    assert told["responseContext"] == {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"}

    def successes() -> list[int]:
        return [int(p) for c in cloud.calls(name) if "500" not in [p for _, p in c["records"]] for _, p in c["records"]]

    cloud.eventually(lambda: len(successes()) >= 999, "the others are done")
    assert sorted(successes()) == [n for n in range(1000) if n != 500]
    for key in range(7):
        of_key = [n for n in successes() if n % 7 == key]
        assert of_key == sorted(of_key)


def test_a_reported_failure_is_retried_from_there(cloud: Any, engine: Any, name: str) -> None:
    source = cloud.stream(name)
    body = """\
        failed = [seq for seq, payload in records if payload == "3" and len(open(os.environ["OUT"]).readlines()) < 3]
        return {"batchItemFailures": [{"itemIdentifier": seq} for seq in failed]}
        """
    cloud.put(name, [f"{n}" for n in range(6)])
    cloud.mapping(cloud.function(name, body).arn, source, FunctionResponseTypes=["ReportBatchItemFailures"])
    cloud.eventually(lambda: len(cloud.calls(name)) == 3, "it is retried twice")
    assert [[p for _, p in call["records"]] for call in cloud.calls(name)] == [[*"012345"], [*"345"], [*"345"]]


def test_an_invalid_response_fails_the_whole_batch(cloud: Any, engine: Any, name: str) -> None:
    source = cloud.stream(name)
    body = 'return {"batchItemFailures": [{"itemIdentifier": "nowhere"}]}\n'
    cloud.put(name, ["a", "b"])
    queue_url, queue_arn = cloud.queue(name)
    cloud.mapping(
        cloud.function(name, body).arn,
        source,
        FunctionResponseTypes=["ReportBatchItemFailures"],
        MaximumRetryAttempts=1,
        DestinationConfig={"OnFailure": {"Destination": queue_arn}},
    )
    (told,) = cloud.eventually(lambda: cloud.received(queue_url), "the destination is told")
    assert [[p for _, p in call["records"]] for call in cloud.calls(name)] == [["a", "b"], ["a", "b"]]
    assert told["KinesisBatchInfo"]["batchSize"] == 2
    assert told["responseContext"]["functionError"] is None


def test_filtered_records_are_skipped(cloud: Any, engine: Any, name: str) -> None:
    source = cloud.stream(name)
    pattern = json.dumps({"data": {"type": [{"prefix": "item-"}]}})
    mapping = cloud.mapping(cloud.function(name).arn, source, FilterCriteria={"Filters": [{"Pattern": pattern}]})
    cloud.put(name, ['{"type": "item-a"}', "no json", '{"type": "other"}', '{"type": "item-b"}', '{"type": "x"}'])
    cloud.eventually(lambda: len(cloud.data(name)) == 2, "the kept records come")
    assert cloud.data(name) == ['{"type": "item-a"}', '{"type": "item-b"}']
    (shard,) = cloud.eventually(
        lambda: [s for s in engine.shards(mapping) if s["filtered"] == 3 and s["position"]], "the checkpoint moves on"
    )
    assert shard["behind"] == 0


def test_records_of_a_megabyte_are_delivered_in_payloads_of_six(cloud: Any, engine: Any, name: str) -> None:
    source = cloud.stream(name)
    size = 1_048_576
    for _ in range(6):
        cloud.put(name, ["x" * size])
    cloud.put(name, ["small"])
    cloud.mapping(cloud.function(name, "").arn, source)
    cloud.eventually(lambda: len(cloud.data(name)) == 7, "all come")
    # A record of 1 MiB takes a third more in base64.
    assert [[len(payload) for _, payload in call["records"]] for call in cloud.calls(name)] == [
        [size] * 4,
        [size, size, 5],
    ]


def test_a_mapping_may_name_a_version_by_its_alias(cloud: Any, engine: Any, name: str) -> None:
    source = cloud.stream(name)
    function = cloud.function(name).arn
    version = cloud.functions.publish_version(FunctionName=name)["Version"]
    cloud.functions.create_alias(FunctionName=name, Name="live", FunctionVersion=version)
    cloud.mapping(f"{function}:live", source)
    cloud.put(name, ["a"])
    cloud.eventually(lambda: cloud.data(name) == ["a"], "it comes")


def test_reading_starts_at_a_timestamp(cloud: Any, engine: Any, name: str) -> None:
    source = cloud.stream(name)
    cloud.put(name, ["before"])
    time.sleep(0.05)
    moment = time.time()
    time.sleep(0.05)
    cloud.put(name, ["after"])
    cloud.mapping(cloud.function(name).arn, source, StartingPosition="AT_TIMESTAMP", StartingPositionTimestamp=moment)
    cloud.eventually(lambda: cloud.data(name), "the later record comes")
    assert cloud.data(name) == ["after"]


def test_reading_from_latest_skips_earlier_records(cloud: Any, engine: Any, name: str) -> None:
    source = cloud.stream(name)
    cloud.put(name, ["before"])
    # The emulator tells when a mapping was made in whole seconds.
    time.sleep(1.05)
    cloud.mapping(cloud.function(name).arn, source, StartingPosition="LATEST")
    cloud.put(name, ["after"])
    cloud.eventually(lambda: cloud.data(name), "the later record comes")
    assert cloud.data(name) == ["after"]


def test_a_consumer_is_a_source(cloud: Any, engine: Any, name: str) -> None:
    source = cloud.stream(name)
    consumer = cloud.kinesis.register_stream_consumer(StreamARN=source, ConsumerName="fast")["Consumer"]["ConsumerARN"]
    cloud.mapping(cloud.function(name).arn, consumer)
    cloud.put(name, ["a", "b"])
    cloud.eventually(lambda: cloud.data(name) == ["a", "b"], "its records come")


def test_lanes_run_in_parallel_and_keep_the_order_of_a_key(cloud: Any, engine: Any, name: str) -> None:
    source = cloud.stream(name)
    cloud.put(name, [f"{n}" for n in range(60)], [f"key-{n % 12}" for n in range(60)])
    began = time.time()
    cloud.mapping(cloud.function(name, "time.sleep(0.2)\n").arn, source, BatchSize=5, ParallelizationFactor=4)
    cloud.eventually(lambda: len(cloud.data(name)) == 60, "all come")
    received = [int(payload) for payload in cloud.data(name)]
    for key in range(12):
        of_key = [n for n in received if n % 12 == key]
        assert of_key == sorted(of_key)
    assert time.time() - began < 60 / 5 * 0.2 + 5
    starts = [call["at"] for call in cloud.calls(name)]
    assert any(later - earlier < 0.2 for earlier, later in itertools.pairwise(starts))


def test_a_tumbling_window_passes_its_state_on(cloud: Any, engine: Any, name: str) -> None:
    source = cloud.stream(name)
    body = 'return {"state": {"seen": event["state"].get("seen", 0) + len(records)}}\n'
    mapping = cloud.mapping(cloud.function(name, body).arn, source, TumblingWindowInSeconds=20, BatchSize=2)
    cloud.put(name, ["a", "b", "c"])
    cloud.eventually(
        lambda: any(call["event"]["isFinalInvokeForWindow"] for call in cloud.calls(name)), "the window ends"
    )
    final = next(call for call in cloud.calls(name) if call["event"]["isFinalInvokeForWindow"])
    before = [
        call
        for call in cloud.calls(name)
        if call["at"] < final["at"] and call["event"]["window"] == final["event"]["window"]
    ]
    assert final["event"]["state"].get("seen", 0) == sum(len(call["records"]) for call in before)
    assert final["event"]["eventSourceARN"] == source
    assert mapping


# --- dynamodb ---


def test_table_streams_are_read(cloud: Any, engine: Any, name: str) -> None:
    table = cloud.table(name, "NEW_AND_OLD_IMAGES")
    pattern = json.dumps({"eventName": ["INSERT"], "dynamodb": {"NewImage": {"status": {"S": ["ready"]}}}})
    cloud.mapping(
        cloud.function(name).arn,
        table,
        FilterCriteria={"Filters": [{"Pattern": pattern}]},
        ParallelizationFactor=3,
    )
    for n in range(12):
        status = "ready" if n % 2 else "draft"
        cloud.dynamodb.put_item(TableName=name, Item={"pk": {"S": f"{n}"}, "status": {"S": status}, "n": {"N": "1"}})
    cloud.dynamodb.delete_item(TableName=name, Key={"pk": {"S": "1"}})
    cloud.eventually(lambda: len(cloud.data(name)) == 6, "the inserts come")
    assert sorted(cloud.data(name), key=int) == [f"{n}" for n in range(1, 12, 2)]


def test_an_item_that_keeps_failing_is_reported_to_the_destination(cloud: Any, engine: Any, name: str) -> None:
    table = cloud.table(name, "KEYS_ONLY")
    queue_url, queue_arn = cloud.queue(name)
    body = 'return {"batchItemFailures": [{"itemIdentifier": s} for s, pk in records if pk == "2"]}\n'
    for n in range(5):
        cloud.dynamodb.put_item(TableName=name, Item={"pk": {"S": f"{n}"}})
    cloud.mapping(
        cloud.function(name, body).arn,
        table,
        FunctionResponseTypes=["ReportBatchItemFailures"],
        BisectBatchOnFunctionError=True,
        MaximumRetryAttempts=1,
        DestinationConfig={"OnFailure": {"Destination": queue_arn}},
    )
    (told,) = cloud.eventually(lambda: cloud.received(queue_url), "the destination is told")
    pointer = told["DDBStreamBatchInfo"]
    assert pointer["batchSize"] == 1
    assert pointer["streamArn"] == table
    iterator = cloud.dynamodbstreams.get_shard_iterator(
        StreamArn=pointer["streamArn"],
        ShardId=pointer["shardId"],
        ShardIteratorType="AT_SEQUENCE_NUMBER",
        SequenceNumber=pointer["startSequenceNumber"],
    )["ShardIterator"]
    record = cloud.dynamodbstreams.get_records(ShardIterator=iterator, Limit=1)["Records"][0]
    assert record["dynamodb"]["Keys"] == {"pk": {"S": "2"}}
    cloud.eventually(lambda: {"3", "4"} <= set(cloud.data(name)), "what is behind is done")


# --- destinations ---


def test_s3_gets_the_record_and_the_event(cloud: Any, engine: Any, name: str) -> None:
    source = cloud.stream(name)
    cloud.s3.create_bucket(Bucket=name)
    cloud.put(name, ["a", "b"])
    mapping = cloud.mapping(
        cloud.function(name, 'raise ValueError("no")\n').arn,
        source,
        MaximumRetryAttempts=0,
        DestinationConfig={"OnFailure": {"Destination": f"arn:aws:s3:::{name}"}},
    )
    (found,) = cloud.eventually(lambda: cloud.s3.list_objects_v2(Bucket=name).get("Contents"), "the object is written")
    assert found["Key"].startswith(f"aws/lambda/{mapping}/shardId-000000000000/")
    told = json.loads(cloud.s3.get_object(Bucket=name, Key=found["Key"])["Body"].read())
    assert told["KinesisBatchInfo"]["batchSize"] == 2
    assert [r["kinesis"]["partitionKey"] for r in json.loads(told["payload"])["Records"]] == ["key", "key"]


def test_a_topic_gets_the_on_failure_record(cloud: Any, engine: Any, name: str) -> None:
    source = cloud.stream(name)
    topic = cloud.sns.create_topic(Name=name)["TopicArn"]
    queue_url, queue_arn = cloud.queue(name)
    allow = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": {**allow, "Resource": queue_arn}})
    cloud.sqs.set_queue_attributes(QueueUrl=queue_url, Attributes={"Policy": policy})
    cloud.sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue_arn, Attributes={"RawMessageDelivery": "true"})
    cloud.put(name, ["a"])
    cloud.mapping(
        cloud.function(name, 'raise ValueError("no")\n').arn,
        source,
        MaximumRetryAttempts=0,
        DestinationConfig={"OnFailure": {"Destination": topic}},
    )
    (told,) = cloud.eventually(lambda: cloud.received(queue_url), "the subscriber is told")
    assert told["KinesisBatchInfo"]["batchSize"] == 1
    assert "payload" not in told


def test_a_missing_destination_is_reported_and_does_not_hold_the_shard(cloud: Any, engine: Any, name: str) -> None:
    source = cloud.stream(name)
    cloud.put(name, ["poison", "good"])
    cloud.mapping(
        cloud.function(name, 'if records[0][1] == "poison": raise ValueError("no")\n').arn,
        source,
        BatchSize=1,
        MaximumRetryAttempts=0,
        DestinationConfig={"OnFailure": {"Destination": "arn:aws:sqs:us-east-1:000000000000:nowhere"}},
    )
    cloud.eventually(lambda: cloud.data(name) == ["poison", "good"], "the shard goes on")
    assert any("nowhere cannot be told" in said for said in engine.said)


# --- mappings come and go ---


def test_a_mapping_can_be_disabled_enabled_changed_and_deleted(cloud: Any, engine: Any, name: str) -> None:
    source = cloud.stream(name)
    function = cloud.function(name).arn
    mapping = cloud.mapping(function, source, Enabled=False)

    cloud.eventually(lambda: engine.shown(mapping).get("enabled") is False, "it is shown as disabled")
    cloud.put(name, [f"{n}" for n in range(4)])
    time.sleep(0.5)
    assert cloud.calls(name) == []
    cloud.functions.update_event_source_mapping(UUID=mapping, Enabled=True, BatchSize=2)
    cloud.eventually(lambda: len(cloud.data(name)) == 4, "it is read once enabled")
    assert [len(call["records"]) for call in cloud.calls(name)] == [2, 2]
    cloud.functions.update_event_source_mapping(UUID=mapping, BatchSize=3)
    cloud.eventually(lambda: engine.shown(mapping).get("batch_size") == 3, "the change is taken up")
    cloud.put(name, [f"{n}" for n in range(4, 10)])
    cloud.eventually(lambda: len(cloud.data(name)) == 10, "it goes on from where it was")
    assert cloud.data(name) == [f"{n}" for n in range(10)]
    cloud.functions.delete_event_source_mapping(UUID=mapping)
    cloud.eventually(lambda: not engine.shown(mapping), "it is not served any more")
    cloud.put(name, ["late"])
    time.sleep(0.5)
    assert "late" not in cloud.data(name)
    assert not (engine.state / "checkpoints" / f"{mapping}.json").exists()


# --- faults ---


def test_a_function_that_is_killed_during_a_batch_is_invoked_again(cloud: Any, engine: Any, name: str) -> None:
    source = cloud.stream(name)
    body = """\
        if len(open(os.environ["OUT"]).readlines()) == 1:
            os.kill(os.getpid(), 9)
        """
    cloud.put(name, ["a", "b"])
    mapping = cloud.mapping(cloud.function(name, body).arn, source)
    cloud.eventually(lambda: len(cloud.calls(name)) == 2, "it is asked again")
    assert cloud.data(name) == ["a", "b", "a", "b"]
    cloud.eventually(lambda: [s for s in engine.shards(mapping) if s["last_outcome"] == "ok"], "and that is all")
    assert engine.shards(mapping)[0]["retries"] == 1


def test_a_function_that_times_out_is_invoked_again(cloud: Any, engine: Any, name: str) -> None:
    source = cloud.stream(name)
    body = """\
        if len(open(os.environ["OUT"]).readlines()) == 1:
            time.sleep(20)
        """
    cloud.put(name, ["a"])
    cloud.mapping(cloud.function(name, body, timeout=1).arn, source)
    cloud.eventually(lambda: cloud.data(name) == ["a", "a"], "it is asked again")


def test_a_stream_that_fails_is_reported_once_and_resumed(cloud: Any, engine: Any, name: str) -> None:
    source = cloud.stream(name)
    cloud.mapping(cloud.function(name).arn, source)
    cloud.put(name, ["first"])
    cloud.eventually(lambda: cloud.data(name) == ["first"], "it is served")
    fault = {"target": "Kinesis_20131202.GetRecords", "error": "InternalFailure", "status": 500, "times": 5}
    httpx.post(f"{cloud.url}/_streamctl/faults", json=fault)
    cloud.put(name, ["second"])
    cloud.eventually(lambda: any(s.startswith(f"{name}: cannot read") for s in engine.said), "the trouble is said")
    cloud.eventually(lambda: cloud.data(name) == ["first", "second"], "reading goes on")
    cloud.eventually(lambda: any(s.startswith(f"{name}: reading") for s in engine.said), "that it is over is said")
    assert len([s for s in engine.said if s.startswith(f"{name}: cannot read")]) == 1
    httpx.delete(f"{cloud.url}/_streamctl/faults")


def test_a_table_that_throttles_for_half_a_minute_delays_everything_and_loses_nothing(
    cloud: Any, engine: Any, name: str
) -> None:
    source = cloud.stream(name)
    cloud.table(f"{name}-view")
    body = f"""\
        import boto3, botocore.config
        once = botocore.config.Config(retries={{"total_max_attempts": 1}})
        table = boto3.client("dynamodb", config=once)
        for seq, payload in records:
            table.put_item(TableName="{name}-view", Item={{"pk": {{"S": payload}}}})
        """
    fault = {
        "target": "DynamoDB_20120810.PutItem",
        "contains": f"{name}-view",
        "error": "ProvisionedThroughputExceededException",
        "times": 1_000_000,
    }
    httpx.post(f"{cloud.url}/_streamctl/faults", json=fault).raise_for_status()
    cloud.put(name, [f"{n}" for n in range(100)], [f"key-{n % 9}" for n in range(100)])
    mapping = cloud.mapping(cloud.function(name, body).arn, source, BatchSize=20, ParallelizationFactor=2)
    # Half a minute of the engine's time.
    cloud.eventually(lambda: sum(s.get("retries", 0) for s in engine.shards(mapping)) >= 8, "it is retried")
    assert cloud.dynamodb.scan(TableName=f"{name}-view", Select="COUNT")["Count"] == 0
    httpx.delete(f"{cloud.url}/_streamctl/faults")
    cloud.eventually(
        lambda: cloud.dynamodb.scan(TableName=f"{name}-view", Select="COUNT")["Count"] == 100, "all records are written"
    )
    (shard,) = cloud.eventually(lambda: [s for s in engine.shards(mapping) if s["behind"] == 0], "all is done")
    assert shard["given_up"] == 0
    assert shard["processed"] == 100


def test_what_fails_again_and_again_is_told_with_what_the_function_has_logged(
    cloud: Any, engine: Any, name: str
) -> None:
    line = {
        "level": "ERROR", "message": "left for retry: ClientError: no such table (rule settle, event e1 (item-made))",
        "pipeline": "settle", "event_id": "e1", "event_type": "item-made", "operation": "UpdateItem", "target": "items",
    }  # fmt: skip
    function = cloud.function(name, f"print({json.dumps(line)!r}); raise RuntimeError('left')\n").arn
    mapping = cloud.mapping(function, cloud.stream(name))
    cloud.put(name, ["1"])

    (shard,) = cloud.eventually(
        lambda: [each for each in engine.shards(mapping) if "rule" in (each.get("failing") or {})], "it is told"
    )

    failing = shard["failing"]
    names = ("rule", "event", "type", "operation", "target", "reason")
    assert [failing[each] for each in names] == [
        "settle", "e1", "item-made", "UpdateItem", "items", "ClientError: no such table"
    ]  # fmt: skip
    assert (failing["failures"] > 1, failing["problem"]) == (True, "RuntimeError: left")
