"""Simulated services beside moto: the same requests have the same answers, and the same error codes."""

import json
import random

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from moto import mock_aws
from refusals import Refusal
from simulator.kernel import MICROSECONDS, Kernel
from simulator.services.cloudwatch import CloudWatch
from simulator.services.firehose import Chances as FirehoseChances
from simulator.services.firehose import Firehose
from simulator.services.kinesis import HASH_KEYS, Kinesis
from simulator.services.s3 import S3
from simulator.services.sns import Sns
from simulator.services.sqs import Sqs
from simulator.topology import Bucket, DeliveryStream, Expiry, Queue, Stream, Topic

REGION, ACCOUNT = "us-east-1", "123456789012"
ARN = f"arn:aws:{{}}:{REGION}:{ACCOUNT}:{{}}"
# moto makes these up, and so does a service.
MADE_UP = {
    *("ResponseMetadata", "MessageId", "SequenceNumber", "ShardId", "RecordId", "VersionId", "CopySourceVersionId"),
    *("EncryptionType", "Encrypted", "ReceiptHandle", "Timestamp", "SentTimestamp", "Label", "Owner", "SenderId"),
    *("ApproximateFirstReceiveTimestamp", "StartingSequenceNumber", "EndingSequenceNumber", "ChecksumType"),
    *("ServerSideEncryption", "ChecksumCRC32", "EncodingType", "ChecksumAlgorithm", "NextContinuationToken"),
    *("ContentEncoding", "TagCount", "Expiration", "MD5OfMessageAttributes", "ContentType", "LastModified"),
}


@pytest.fixture
def aws(monkeypatch):
    """Clients of moto that send also what botocore itself would refuse."""
    monkeypatch.setenv("MOTO_ACCOUNT_ID", ACCOUNT)
    with mock_aws():
        yield lambda service: boto3.client(
            service,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(parameter_validation=False, retries={"total_max_attempts": 1}),
        )


@pytest.fixture
def kernel():
    return Kernel(1)


def ours(service, operation, request, **more):
    """What a simulated service answers: the response, or status and code of an error."""
    try:
        return plain(getattr(service, operation)(request, **more))
    except Refusal as refusal:
        return refusal.status, refusal.code


def theirs(client, method, request):
    try:
        return plain(getattr(client, method)(**request))
    except ClientError as error:
        return error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"]


def plain(value):
    """An answer without what is made up, and without what is empty."""
    if isinstance(value, dict):
        kept = {name: plain(each) for name, each in value.items() if name not in MADE_UP}
        return {name: each for name, each in kept.items() if each not in ({}, [], "", None, False)}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return value.read() if hasattr(value, "read") else value


# --- Kinesis ---


@pytest.fixture
def kinesis(kernel, aws):
    client = aws("kinesis")
    client.create_stream(StreamName="s", ShardCount=3)
    return Kinesis(kernel, 1, [Stream("s", ARN.format("kinesis", "stream/s"), 3, False, 24)]), client


def test_a_record_goes_to_the_shard_of_its_key(kinesis):
    simulated, client = kinesis
    chance = random.Random(1)
    records = [{"Data": b"x", "PartitionKey": f"key-{chance.random()}"} for _ in range(60)]
    records += [
        {"Data": b"x", "PartitionKey": "k", "ExplicitHashKey": str(chance.randrange(HASH_KEYS))} for _ in range(40)
    ]
    request = {"StreamName": "s", "Records": records}
    mine, moto = simulated.PutRecords(request), client.put_records(**request)
    assert [each["ShardId"] for each in mine["Records"]] == [each["ShardId"] for each in moto["Records"]]
    assert mine["FailedRecordCount"] == 0
    for record in records[:10]:
        one = {"StreamName": "s", **record}
        assert simulated.PutRecord(one)["ShardId"] == client.put_record(**one)["ShardId"]


def test_shards_split_and_merge_into_the_same_ranges(kinesis):
    simulated, client = kinesis
    middle = HASH_KEYS // 6
    for operation, method, request in (
        ("SplitShard", "split_shard", {"ShardToSplit": "shardId-000000000000", "NewStartingHashKey": str(middle)}),
        ("MergeShards", "merge_shards",
         {"ShardToMerge": "shardId-000000000001", "AdjacentShardToMerge": "shardId-000000000002"}),
        ("SplitShard", "split_shard", {"ShardToSplit": "shardId-000000000005", "NewStartingHashKey": str(5 * middle)}),
    ):  # fmt: skip
        assert ours(simulated, operation, {"StreamName": "s", **request}) == {}
        client_answer = theirs(client, method, {"StreamName": "s", **request})
        assert client_answer == {}
    moto = client.list_shards(StreamName="s")["Shards"]
    mine = simulated.ListShards({"StreamName": "s"})["Shards"]
    ranges = [[(each["ShardId"], each["HashKeyRange"], each.get("ParentShardId"), each.get("AdjacentParentShardId"))
               for each in shards] for shards in (mine, moto)]  # fmt: skip
    assert ranges[0] == ranges[1]
    closed = [["EndingSequenceNumber" in each["SequenceNumberRange"] for each in shards] for shards in (mine, moto)]
    assert closed[0] == closed[1]


@pytest.mark.parametrize(
    ("operation", "method", "request_"),
    [
        ("PutRecord", "put_record", {"StreamName": "no", "Data": b"x", "PartitionKey": "k"}),
        ("PutRecords", "put_records", {"StreamName": "no", "Records": [{"Data": b"x", "PartitionKey": "k"}]}),
        ("PutRecords", "put_records", {"StreamName": "s", "Records": [{"Data": b"x", "PartitionKey": "k"}] * 501}),
        ("SplitShard", "split_shard", {"StreamName": "s", "ShardToSplit": "shardId-000000000009",
                                       "NewStartingHashKey": "5"}),
        ("SplitShard", "split_shard", {"StreamName": "s", "ShardToSplit": "shardId-000000000002",
                                       "NewStartingHashKey": "5"}),
        ("MergeShards", "merge_shards", {"StreamName": "s", "ShardToMerge": "shardId-000000000000",
                                         "AdjacentShardToMerge": "shardId-000000000002"}),
        ("GetShardIterator", "get_shard_iterator", {"StreamName": "s", "ShardId": "shardId-000000000009",
                                                    "ShardIteratorType": "LATEST"}),
    ],
)  # fmt: skip
def test_kinesis_refuses_with_the_same_code(kinesis, operation, method, request_):
    simulated, client = kinesis
    answer = ours(simulated, operation, request_)
    assert answer == theirs(client, method, request_)
    assert answer[0] == 400


def test_records_are_read_from_where_an_iterator_says(kernel, kinesis):
    simulated, client = kinesis
    for number in range(9):
        kernel.now_us += MICROSECONDS
        for put in (simulated.PutRecord, lambda request: client.put_record(**request)):
            put({"StreamName": "s", "Data": str(number).encode(), "PartitionKey": "k", "ExplicitHashKey": "0"})
    shard = {"StreamName": "s", "ShardId": "shardId-000000000000"}
    (third, fifth) = (
        simulated.streams["s"].read(shard["ShardId"]).records[place]["SequenceNumber"] for place in (2, 4)
    )

    def read(kind, limit=10_000, **more):
        iterator = simulated.GetShardIterator({**shard, "ShardIteratorType": kind, **more})["ShardIterator"]
        page = simulated.GetRecords({"ShardIterator": iterator, "Limit": limit})
        return "".join(each["Data"].decode() for each in page["Records"]), page

    assert read("TRIM_HORIZON")[0] == "012345678"
    assert read("LATEST")[0] == ""
    assert read("AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=third)[0] == "345678"
    assert read("AT_SEQUENCE_NUMBER", StartingSequenceNumber=third)[0] == "2345678"
    assert read("AT_TIMESTAMP", Timestamp=(kernel.now_us / MICROSECONDS) - 2.5)[0] == "678"
    first, page = read("TRIM_HORIZON", 3)
    rest = simulated.GetRecords({"ShardIterator": page["NextShardIterator"]})
    assert (first, [each["Data"] for each in rest["Records"]][-1], page["MillisBehindLatest"]) == ("012", b"8", 5_000)
    moto = client.get_shard_iterator(**shard, ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
    assert [each["Data"] for each in client.get_records(ShardIterator=moto)["Records"]] == [
        str(number).encode() for number in range(9)
    ]
    assert third < fifth
    kernel.now_us += 301 * MICROSECONDS
    assert ours(simulated, "GetRecords", {"ShardIterator": page["NextShardIterator"]}) == (
        400,
        "ExpiredIteratorException",
    )


def test_a_stream_tells_of_records_and_new_shards_and_a_closed_shard_ends(kinesis):
    stream = kinesis[0].streams["s"]
    changed = []
    stream.on_change.append(changed.append)
    stream.put("k", b"1", 0)
    kinesis[0].UpdateShardCount({"StreamName": "s", "TargetShardCount": 6, "ScalingType": "UNIFORM_SCALING"})
    assert changed[:2] == ["shardId-000000000000", "shardId-000000000000"]
    assert {"shardId-000000000003", "shardId-000000000004"} <= set(changed)
    page = stream.read("shardId-000000000000")
    assert ([each["Data"] for each in page.records], page.closed) == (["MQ=="], True)
    assert stream.read("shardId-000000000003").closed is False
    children = [each for each in stream.shards() if each.parents]
    assert [each.parent for each in children] == [f"shardId-00000000000{place // 2}" for place in range(6)]
    changed.clear()
    kinesis[0].UpdateShardCount({"StreamName": "s", "TargetShardCount": 3, "ScalingType": "UNIFORM_SCALING"})
    assert set(changed) == {f"shardId-{number:012d}" for number in range(3, 12)}
    assert [len(each.parents) for each in stream.shards()[-3:]] == [2, 2, 2]
    assert stream.put("k", b"2", 0)[0] == "shardId-000000000009"


def test_records_and_closed_shards_expire(kernel, kinesis):
    stream = kinesis[0].streams["s"]
    stream.put("k", b"1", 0)
    kernel.now_us += 23 * 3_600 * MICROSECONDS
    stream.put("k", b"2", 0)
    stream.split("shardId-000000000000", 5)
    kernel.now_us += 2 * 3_600 * MICROSECONDS
    assert [each["Data"] for each in stream.read("shardId-000000000000").records] == ["Mg=="]
    assert len(stream.shards()) == 5
    kernel.now_us += 24 * 3_600 * MICROSECONDS
    assert [each.id[-1] for each in stream.shards()] == ["1", "2", "3", "4"]


def test_a_shard_takes_a_thousand_records_a_second_and_a_mebibyte(kernel, kinesis):
    """Kinesis Data Streams developer guide, "Quotas and limits"."""
    simulated = kinesis[0]
    records = [{"Data": b"x", "PartitionKey": "k"}] * 400
    failed = [simulated.PutRecords({"StreamName": "s", "Records": records})["FailedRecordCount"] for _ in range(3)]
    assert failed == [0, 0, 200]
    answer = ours(simulated, "PutRecord", {"StreamName": "s", "Data": b"x", "PartitionKey": "k"})
    assert answer == (400, "ProvisionedThroughputExceededException")
    kernel.now_us += MICROSECONDS
    large = [{"Data": b"x" * 400_000, "PartitionKey": "k"}] * 3
    assert simulated.PutRecords({"StreamName": "s", "Records": large})["FailedRecordCount"] == 1


def test_entries_that_are_left_fail_alone(kinesis):
    records = [{"Data": str(number).encode(), "PartitionKey": "k"} for number in range(3)]
    answer = kinesis[0].PutRecords({"StreamName": "s", "Records": records}, left=frozenset({1}))
    assert answer["FailedRecordCount"] == 1
    assert answer["Records"][1]["ErrorCode"] == "ProvisionedThroughputExceededException"
    stored = [each for shard in kinesis[0].streams["s"].shards() for each in shard.records]
    assert [each["Data"] for each in stored] == ["MA==", "Mg=="]


# --- S3 ---


@pytest.fixture(params=[True, False], ids=["versioned", "unversioned"])
def s3(request, kernel, aws):
    client = aws("s3")
    client.create_bucket(Bucket="bucket")
    if request.param:
        client.put_bucket_versioning(Bucket="bucket", VersioningConfiguration={"Status": "Enabled"})
    return S3(kernel, 1, [Bucket("bucket", "arn:aws:s3:::bucket", request.param)], lambda *_: {}), client


@pytest.mark.parametrize("seed", range(2))
def test_objects_are_as_those_of_moto_after_any_requests(s3, seed):
    simulated, client = s3
    chance = random.Random(seed)
    keys = ["a", "b/1", "b/2", "c d"]
    versions = []  # of the same object, here and in moto
    for step in range(120):
        key, bucket = chance.choice(keys), "nobucket" if chance.random() < 0.03 else "bucket"
        about = {"Bucket": bucket, "Key": key}
        kind = chance.choice(["put", "put", "get", "get", "head", "delete", "list", "copy", "version"])
        if kind == "head" or (kind == "delete" and key not in simulated.buckets["bucket"].versions):
            about["Bucket"] = "bucket"
            key = about["Key"] = next(iter(simulated.objects("bucket")), None) or "a"
            kind = kind if key in simulated.objects("bucket") else "put"
        if kind == "put":
            request = {**about, "Body": b"%d" % step * chance.randrange(1, 5)}
            if chance.random() < 0.2:
                request["IfNoneMatch"] = "*"
            mine, moto = ours_raw(simulated, "PutObject", request), theirs_raw(client, "put_object", request)
            if isinstance(mine, dict) and "VersionId" in mine:
                versions.append((key, mine["VersionId"], moto["VersionId"]))
            mine, moto = plain(mine), plain(moto)
        elif kind in ("get", "head"):
            request = dict(about)
            if chance.random() < 0.4 and kind == "get":
                first = chance.randrange(0, 8)
                request["Range"] = f"bytes={first}-{chance.choice(['', first + 2])}"
            elif chance.random() < 0.3:
                request["IfMatch"] = '"5d41402abc4b2a76b9719d911017c592"'
            operation, method = ("GetObject", "get_object") if kind == "get" else ("HeadObject", "head_object")
            mine, moto = ours(simulated, operation, request), theirs(client, method, request)
        elif kind == "delete":
            mine, moto = ours(simulated, "DeleteObject", about), theirs(client, "delete_object", about)
        elif kind == "copy":
            request = {**about, "CopySource": {"Bucket": "bucket", "Key": chance.choice(keys)}}
            mine, moto = ours(simulated, "CopyObject", request), theirs(client, "copy_object", request)
        elif kind == "version" and versions:
            key, own, other = chance.choice(versions)
            about = {"Bucket": "bucket", "Key": key}
            operation, method = chance.choice(
                [("GetObject", "get_object"), ("GetObject", "get_object"), ("DeleteObject", "delete_object")]
            )
            mine = ours(simulated, operation, {**about, "VersionId": own})
            moto = theirs(client, method, {**about, "VersionId": other})
        else:
            request = {"Bucket": bucket, "Prefix": chance.choice(["", "b/"]), "MaxKeys": chance.choice([1, 2, 1000])}
            mine, moto = ours(simulated, "ListObjectsV2", request), theirs(client, "list_objects_v2", request)
        assert mine == moto, (step, kind, about)


def ours_raw(service, operation, request):
    try:
        return getattr(service, operation)(request)
    except Refusal as refusal:
        return refusal.status, refusal.code


def theirs_raw(client, method, request):
    try:
        return getattr(client, method)(**request)
    except ClientError as error:
        return error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"]


def test_what_moto_does_in_another_way_than_s3(kernel):
    """S3 API reference, "DeleteObject": a delete marker is put where there is no object, too; "HeadObject": an error
    has no body, so that its status is all there is to know."""
    s3 = S3(kernel, 1, [Bucket("bucket", "arn:aws:s3:::bucket", True)], lambda *_: {})
    marker = s3.DeleteObject({"Bucket": "bucket", "Key": "k"})
    assert marker["DeleteMarker"] is True
    about = {"Bucket": "bucket", "Key": "k", "VersionId": marker["VersionId"]}
    assert ours(s3, "GetObject", about) == (405, "MethodNotAllowed")
    assert ours(s3, "HeadObject", {"Bucket": "nobucket", "Key": "k"}) == (404, "404")
    assert s3.DeleteObject(about)["DeleteMarker"] is True
    assert ours(s3, "GetObject", about) == (404, "NoSuchVersion")


DAY = 86_400 * MICROSECONDS


def test_objects_expire_on_a_day_and_their_versions_later(kernel):
    """S3 user guide, "Expiring objects": at midnight after their days, and perhaps later."""
    lifecycle = (Expiry("kept/", 45, None), Expiry("", None, 1))
    s3 = S3(kernel, 1, [Bucket("bucket", "arn:aws:s3:::bucket", True, lifecycle=lifecycle)], lambda *_: {})
    for key in ("kept/a", "kept/a", "other"):
        s3.PutObject({"Bucket": "bucket", "Key": key, "Body": b"body"})
    kernel.run(kernel.now_us + 45 * DAY)
    assert [*s3.objects("bucket")] == ["kept/a", "other"]
    assert s3.versions("bucket") == 2, "a version that is not the latest goes after a day"
    kernel.run(kernel.now_us + 2 * DAY)
    assert [*s3.objects("bucket")] == ["other"]
    assert ours(s3, "GetObject", {"Bucket": "bucket", "Key": "kept/a"}) == (404, "NoSuchKey")
    kernel.run(kernel.now_us + 3 * DAY)
    assert s3.versions("bucket") == 1
    assert [*s3.buckets["bucket"].versions] == ["kept/a", "other"], "a marker is left"
    kernel.run(kernel.now_us + 50 * DAY)
    assert [*s3.objects("bucket")] == [*s3.buckets["bucket"].versions] == ["other"]


def test_an_object_that_is_written_again_expires_that_much_later(kernel):
    lifecycle = (Expiry("", 10, None),)
    s3 = S3(kernel, 1, [Bucket("bucket", "arn:aws:s3:::bucket", False, lifecycle=lifecycle)], lambda *_: {})
    for _ in range(2):
        s3.PutObject({"Bucket": "bucket", "Key": "k", "Body": b""})
        kernel.run(kernel.now_us + 8 * DAY)
    assert [*s3.objects("bucket")] == ["k"]
    kernel.run(kernel.now_us + 4 * DAY)
    assert not s3.objects("bucket")
    assert not s3.buckets["bucket"].versions


def test_pages_of_a_list_hold_every_object_once(kernel):
    s3 = S3(kernel, 1, [Bucket("bucket", "arn:aws:s3:::bucket", True)], lambda *_: {})
    keys = sorted(f"k/{number}" for number in range(25))
    for key in reversed(keys):
        s3.PutObject({"Bucket": "bucket", "Key": key, "Body": b""})
    found, request = [], {"Bucket": "bucket", "Prefix": "k/", "MaxKeys": 10}
    page = s3.ListObjectsV2(request)
    found += page["Contents"]
    while page["IsTruncated"]:
        page = s3.ListObjectsV2({**request, "ContinuationToken": page["NextContinuationToken"]})
        found += page["Contents"]
    assert [each["Key"] for each in found] == keys


# --- SNS ---


@pytest.fixture
def sns(kernel, aws):
    client = aws("sns")
    client.create_topic(Name="t.fifo", Attributes={"FifoTopic": "true"})
    client.create_topic(Name="c.fifo", Attributes={"FifoTopic": "true", "ContentBasedDeduplication": "true"})
    client.create_topic(Name="t")
    topics = [
        Topic("t.fifo", ARN.format("sns", "t.fifo"), fifo=True, content_based=False),
        Topic("c.fifo", ARN.format("sns", "c.fifo"), fifo=True, content_based=True),
        Topic("t", ARN.format("sns", "t"), fifo=False, content_based=False),
    ]
    return Sns(kernel, 1, topics), client


GOOD = {"Message": "m", "MessageGroupId": "g", "MessageDeduplicationId": "d"}


@pytest.mark.parametrize(
    ("topic", "message"),
    [
        ("t.fifo", GOOD),
        ("t.fifo", {"Message": "m", "MessageGroupId": "g"}),
        ("t.fifo", {**GOOD, "Message": "x" * (256 * 1024 + 1)}),
        ("c.fifo", {"Message": "m", "MessageGroupId": "g"}),
        ("t", {"Message": "m"}),
        ("t", {"Message": "x" * (256 * 1024)}),
        ("no", {"Message": "m"}),
    ],
)
def test_a_topic_takes_and_refuses_what_moto_does(sns, topic, message):
    simulated, client = sns
    request = {"TopicArn": ARN.format("sns", topic), **message}
    mine = ours(simulated, "Publish", request)
    assert mine == theirs(client, "publish", request)


@pytest.mark.parametrize(
    "entries",
    [
        [{"Id": "0", **GOOD}, {"Id": "1", **GOOD, "MessageDeduplicationId": "e"}],
        [{"Id": str(place), **GOOD} for place in range(11)],
        [{"Id": "0", **GOOD}, {"Id": "0", **GOOD}],
    ],
    ids=["good", "too many", "an id twice"],
)
def test_a_batch_for_a_topic_is_answered_as_by_moto(sns, entries):
    simulated, client = sns
    request = {"TopicArn": ARN.format("sns", "t.fifo"), "PublishBatchRequestEntries": entries}
    assert ours(simulated, "PublishBatch", request) == theirs(client, "publish_batch", request)


@pytest.mark.parametrize(
    ("operation", "given", "code"),
    [
        ("Publish", {"Message": "m"}, "InvalidParameter"),
        ("PublishBatch", {"PublishBatchRequestEntries": []}, "EmptyBatchRequest"),
        ("PublishBatch", {"PublishBatchRequestEntries": [{"Id": n, **GOOD, "Message": "x" * 200_000} for n in "ab"]},
         "BatchRequestTooLong"),
    ],
)  # fmt: skip
def test_what_moto_does_in_another_way_than_sns(sns, operation, given, code):
    """SNS API reference, "PublishBatch", Errors; for the group, what LocalStack recorded on AWS (`test_sns.py`)."""
    assert ours(sns[0], operation, {"TopicArn": ARN.format("sns", "c.fifo"), **given}) == (400, code)


def test_a_fifo_topic_drops_a_duplicate_for_five_minutes(kernel, sns):
    topic = sns[0].topics[ARN.format("sns", "t.fifo")]
    first = sns[0].Publish({"TopicArn": topic.description.arn, **GOOD})
    kernel.now_us += 299 * MICROSECONDS
    assert sns[0].Publish({"TopicArn": topic.description.arn, **GOOD, "Message": "other"}) == first
    assert (len(topic.messages), topic.dropped) == (1, 1)
    kernel.now_us += 2 * MICROSECONDS
    later = sns[0].Publish({"TopicArn": topic.description.arn, **GOOD})
    assert later["SequenceNumber"] > first["SequenceNumber"]
    assert len(topic.messages) == 2


# --- SQS ---


@pytest.fixture
def sqs(kernel, aws):
    client = aws("sqs")
    dead = client.create_queue(QueueName="dead")["QueueUrl"]
    policy = {"deadLetterTargetArn": ARN.format("sqs", "dead"), "maxReceiveCount": 2}
    client.create_queue(QueueName="q", Attributes={"RedrivePolicy": json.dumps(policy), "VisibilityTimeout": "600"})
    client.create_queue(QueueName="q.fifo", Attributes={"FifoQueue": "true", "VisibilityTimeout": "600"})
    url = f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{{}}"
    assert dead == url.format("dead")
    queues = [
        Queue("dead", ARN.format("sqs", "dead"), url.format("dead"), False, 30, 345_600),
        Queue("q", ARN.format("sqs", "q"), url.format("q"), False, 600, 345_600, ARN.format("sqs", "dead"), 2),
        Queue("q.fifo", ARN.format("sqs", "q.fifo"), url.format("q.fifo"), True, 600, 345_600),
    ]
    return Sqs(kernel, 1, queues), client, url


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", ["q", "q.fifo"])
def test_a_queue_hands_out_what_moto_does(sqs, name, seed, monkeypatch):
    monkeypatch.setattr("simulator.services.sqs.DOUBLED", 0.0)
    simulated, client, urls = sqs
    url, chance = urls.format(name), random.Random(seed)
    held = []  # receipts of the same message, here and in moto
    for step in range(60):
        kind = chance.choice(["send", "send", "batch", "receive", "delete", "change", "attributes"])
        if kind in ("send", "batch"):

            def message(part, step=step):
                body = {"MessageBody": f"{step}/{part}"}
                if name == "q.fifo":
                    body |= {
                        "MessageGroupId": chance.choice("gh"),
                        "MessageDeduplicationId": f"{step}/{part}",
                    }
                return body

            if kind == "send":
                request = {"QueueUrl": url, **message(0)}
                operation, method = "SendMessage", "send_message"
            else:
                request = {"QueueUrl": url, "Entries": [{"Id": str(part), **message(part)} for part in range(3)]}
                operation, method = "SendMessageBatch", "send_message_batch"
            assert ours(simulated, operation, request) == theirs(client, method, request), step
        elif kind == "receive":
            request = {"QueueUrl": url, "MaxNumberOfMessages": chance.randrange(1, 4)}
            mine, moto = simulated.ReceiveMessage(request), client.receive_message(**request)
            bodies = [[each["Body"] for each in answer.get("Messages", [])] for answer in (mine, moto)]
            assert bodies[0] == bodies[1], step
            held += zip(*([each["ReceiptHandle"] for each in answer.get("Messages", [])] for answer in (mine, moto)),
                        strict=True)  # fmt: skip
        elif kind in ("delete", "change") and held:
            own, other = held.pop(chance.randrange(len(held)))
            if kind == "delete":
                assert simulated.DeleteMessage({"QueueUrl": url, "ReceiptHandle": own}) == {}
                client.delete_message(QueueUrl=url, ReceiptHandle=other)
            else:
                change = {"QueueUrl": url, "VisibilityTimeout": 0}
                simulated.ChangeMessageVisibility({**change, "ReceiptHandle": own})
                client.change_message_visibility(**change, ReceiptHandle=other)
        else:
            wanted = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
            request = {"QueueUrl": url, "AttributeNames": wanted}
            assert simulated.GetQueueAttributes(request) == plain(client.get_queue_attributes(**request)), step
    dead = client.receive_message(QueueUrl=urls.format("dead"), MaxNumberOfMessages=10).get("Messages", [])
    assert [each.body for each in simulated.messages("dead")] == [each["Body"] for each in dead]


@pytest.mark.parametrize(
    ("operation", "method", "request_"),
    [
        ("SendMessage", "send_message", {"QueueUrl": "no", "MessageBody": "m"}),
        ("SendMessage", "send_message", {"QueueUrl": "q.fifo", "MessageBody": "m", "MessageDeduplicationId": "d"}),
        ("SendMessage", "send_message", {"QueueUrl": "q.fifo", "MessageBody": "m", "MessageGroupId": "g"}),
        ("SendMessageBatch", "send_message_batch", {"QueueUrl": "q", "Entries": []}),
        ("SendMessageBatch", "send_message_batch",
         {"QueueUrl": "q", "Entries": [{"Id": str(place), "MessageBody": "m"} for place in range(11)]}),
        ("SendMessageBatch", "send_message_batch",
         {"QueueUrl": "q", "Entries": [{"Id": "0", "MessageBody": "m"}, {"Id": "0", "MessageBody": "m"}]}),
        ("DeleteMessage", "delete_message", {"QueueUrl": "q", "ReceiptHandle": "x"}),
        ("GetQueueUrl", "get_queue_url", {"QueueName": "no"}),
    ],
)  # fmt: skip
def test_a_queue_refuses_with_the_same_code(sqs, operation, method, request_):
    simulated, client, urls = sqs
    if "QueueUrl" in request_:
        request_ = {**request_, "QueueUrl": urls.format(request_["QueueUrl"])}
    answer = ours(simulated, operation, request_)
    assert answer == theirs(client, method, request_)
    assert answer[0] == 400


def test_a_fifo_queue_takes_a_message_once_in_five_minutes(kernel, sqs):
    simulated, _, urls = sqs
    request = {"QueueUrl": urls.format("q.fifo"), "MessageBody": "m", "MessageGroupId": "g"}
    first = simulated.SendMessage({**request, "MessageDeduplicationId": "d"})
    (message,) = simulated.ReceiveMessage({"QueueUrl": request["QueueUrl"]})["Messages"]
    simulated.DeleteMessage({"QueueUrl": request["QueueUrl"], "ReceiptHandle": message["ReceiptHandle"]})
    assert simulated.SendMessage({**request, "MessageDeduplicationId": "d"}) == first
    assert simulated.messages("q.fifo") == []
    kernel.now_us += 300 * MICROSECONDS
    assert simulated.SendMessage({**request, "MessageDeduplicationId": "d"}) != first


def test_a_message_is_handed_out_again_when_it_was_not_deleted_in_time(kernel, sqs):
    simulated, _, urls = sqs
    url = urls.format("dead")
    simulated.SendMessage({"QueueUrl": url, "MessageBody": "m"})
    assert len(simulated.ReceiveMessage({"QueueUrl": url})["Messages"]) == 1
    assert simulated.ReceiveMessage({"QueueUrl": url}) == {}
    kernel.now_us += 30 * MICROSECONDS
    (again,) = simulated.ReceiveMessage({"QueueUrl": url})["Messages"]
    assert again["Attributes"]["ApproximateReceiveCount"] == "2"
    kernel.now_us += 345_600 * MICROSECONDS
    assert simulated.ReceiveMessage({"QueueUrl": url}) == {}
    assert simulated.messages("dead") == []


@pytest.mark.parametrize("name", ["q", "q.fifo"])
def test_a_message_is_deleted_with_its_latest_receipt_alone(kernel, sqs, name):
    """SQS API reference, "DeleteMessage": with an earlier one, the request succeeds, and the message stays."""
    simulated, _, urls = sqs
    url, fifo = urls.format(name), {"MessageGroupId": "g", "MessageDeduplicationId": "d"} if name == "q.fifo" else {}
    simulated.SendMessage({"QueueUrl": url, "MessageBody": "m", **fifo})
    receipts = []
    for _ in range(2):
        (message,) = simulated.ReceiveMessage({"QueueUrl": url})["Messages"]
        receipts.append(message["ReceiptHandle"])
        kernel.now_us += 600 * MICROSECONDS
    for receipt, left in zip(receipts, (1, 0), strict=True):
        assert simulated.DeleteMessage({"QueueUrl": url, "ReceiptHandle": receipt}) == {}
        assert len(simulated.messages(name)) == left


DAY_US = 86_400 * MICROSECONDS


@pytest.mark.parametrize(("fifo", "days"), [(False, 3), (True, 4)])
def test_the_age_of_a_dead_letter_goes_on_in_a_standard_queue_alone(kernel, fifo, days):
    """SQS developer guide, "Setting-up dead-letter queue retention": a day before, and four days of retention."""
    end = ".fifo" if fifo else ""
    url, dead = f"https://sqs/1/q{end}", f"https://sqs/1/dead{end}"
    arn = ARN.format("sqs", f"dead{end}")
    queues = [
        Queue(f"dead{end}", arn, dead, fifo, 30, 345_600),
        Queue(f"q{end}", ARN.format("sqs", f"q{end}"), url, fifo, 30, 345_600, arn, 1),
    ]
    simulated = Sqs(kernel, 1, queues)
    named = [{"MessageGroupId": "g", "MessageDeduplicationId": each} if fifo else {} for each in "ab"]
    simulated.SendMessage({"QueueUrl": dead, "MessageBody": "there before", **named[0]})
    simulated.SendMessage({"QueueUrl": url, "MessageBody": "m", **named[1]})
    simulated.ReceiveMessage({"QueueUrl": url})
    kernel.now_us += DAY_US
    assert simulated.ReceiveMessage({"QueueUrl": url}) == {}
    kernel.now_us += days * DAY_US - 1
    assert [each.body for each in simulated.messages(f"dead{end}")][-1] == "m"
    kernel.now_us += 2
    assert simulated.messages(f"dead{end}") == []


def test_a_dead_letter_was_received_in_all_queues_together(kernel, sqs, monkeypatch):
    """SQS API reference, "ReceiveMessage", ApproximateReceiveCount."""
    monkeypatch.setattr("simulator.services.sqs.DOUBLED", 0.0)
    simulated, _, urls = sqs
    simulated.SendMessage({"QueueUrl": urls.format("q"), "MessageBody": "m"})
    for _ in range(3):
        simulated.ReceiveMessage({"QueueUrl": urls.format("q")})
        kernel.now_us += 600 * MICROSECONDS
    (message,) = simulated.ReceiveMessage({"QueueUrl": urls.format("dead")})["Messages"]
    assert message["Attributes"]["ApproximateReceiveCount"] == "3"


# --- Firehose ---


def test_firehose_refuses_and_writes_as_moto_does(kernel, aws):
    client = aws("firehose")
    aws("s3").create_bucket(Bucket="bucket")
    name = "d"
    client.create_delivery_stream(
        DeliveryStreamName=name,
        ExtendedS3DestinationConfiguration={
            "BucketARN": "arn:aws:s3:::bucket", "RoleARN": f"arn:aws:iam::{ACCOUNT}:role/r", "Prefix": "p/",
        },
    )  # fmt: skip
    s3 = S3(kernel, 1, [Bucket("bucket", "arn:aws:s3:::bucket", False)], lambda *_: {})
    description = DeliveryStream(
        name, ARN.format("firehose", f"deliverystream/{name}"), "bucket", "p/", "e/", 60, 1, "", ""
    )
    simulated = Firehose(
        kernel, 1, [description], lambda _, operation, request: getattr(s3, operation)(request),
        chances=FirehoseChances(0, 0, 0),
    )  # fmt: skip
    records = [{"Data": f"{number}\n".encode()} for number in range(20)]
    for operation, method, request in (
        ("PutRecord", "put_record", {"DeliveryStreamName": "no", "Record": {"Data": b"x"}}),
        ("PutRecordBatch", "put_record_batch", {"DeliveryStreamName": "no", "Records": records}),
        ("PutRecordBatch", "put_record_batch", {"DeliveryStreamName": name, "Records": records}),
    ):
        assert ours(simulated, operation, request) == theirs(client, method, request)
    kernel.run()
    (body,) = s3.objects("bucket", "p/").values()
    moto = aws("s3")
    (listed,) = moto.list_objects_v2(Bucket="bucket")["Contents"]
    assert body == moto.get_object(Bucket="bucket", Key=listed["Key"])["Body"].read()


@pytest.mark.parametrize(
    ("operation", "request_"),
    [
        ("PutRecord", {"Record": {"Data": b"x" * 1_024_001}}),
        ("PutRecordBatch", {"Records": []}),
        ("PutRecordBatch", {"Records": [{"Data": b"x"}] * 501}),
        ("PutRecordBatch", {"Records": [{"Data": b"x" * 1_000_000}] * 5}),
    ],
)
def test_firehose_has_the_limits_of_its_api_reference(kernel, operation, request_):
    """Data Firehose API reference, "PutRecord" and "PutRecordBatch"; moto has no limits."""
    simulated = Firehose(kernel, 1, [DeliveryStream("d", "arn", "bucket", "p/", "e/", 60, 1, "", "")], lambda *_: {})
    status, code = ours(simulated, operation, {"DeliveryStreamName": "d", **request_})
    assert (status, code) in ((400, "ValidationException"), (400, "InvalidArgumentException"))


# --- CloudWatch ---


def test_statistics_are_those_of_moto(kernel, aws):
    client = aws("cloudwatch")
    simulated = CloudWatch(kernel, 1, [])
    chance = random.Random(1)
    first = 1_799_999_700
    for number in range(60):  # moto counts periods from the first datum
        datum = {"MetricName": "M", "Timestamp": first + (number and chance.randrange(1_500)), "Unit": "Count"}
        datum |= {"Dimensions": [{"Name": "Stage", "Value": chance.choice(["dev", "prod"]) if number else "prod"}]}
        datum |= {"Value": float(chance.randrange(10))}
        request = {"Namespace": "n", "MetricData": [datum]}
        simulated.PutMetricData(request)
        client.put_metric_data(**request)
    request = {
        "Namespace": "n", "MetricName": "M", "Period": 300, "StartTime": first, "EndTime": first + 1_500,
        "Dimensions": [{"Name": "Stage", "Value": "prod"}],
        "Statistics": ["Sum", "Average", "Minimum", "Maximum", "SampleCount"],
    }  # fmt: skip
    moto = sorted(client.get_metric_statistics(**request)["Datapoints"], key=lambda each: each["Timestamp"])
    mine = simulated.GetMetricStatistics(request)["Datapoints"]
    for each in moto:
        each.pop("Unit", None)
    assert [{**each, "Timestamp": each["Timestamp"].timestamp()} for each in mine] == [
        {**each, "Timestamp": each["Timestamp"].timestamp()} for each in moto
    ]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ([{"MetricName": "M", "Value": 1.0}] * 1_001, "InvalidParameterValue"),
        ([{"MetricName": "M", "Value": 1.0, "Values": [1.0]}], "InvalidParameterCombination"),
        (
            [{"MetricName": "M", "Value": 1.0, "Dimensions": [{"Name": "n", "Value": "v"}] * 31}],
            "InvalidParameterValue",
        ),
    ],
    ids=["too many", "value and values", "dimensions"],
)
def test_cloudwatch_refuses_with_the_code_of_aws(kernel, data, code):
    """CloudWatch API reference, "PutMetricData"; LocalStack's `test_cloudwatch.py`, recorded on AWS."""
    assert ours(CloudWatch(kernel, 1, []), "PutMetricData", {"Namespace": "n", "MetricData": data}) == (400, code)
