"""What happens in the emulator, and at the mapping engine, is in the journal."""

import base64
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from stream_cli.journal.answers import Journal
from stream_cli.local.cloud import LocalCloud
from stream_cli.local.endpoint import LocalEndpoint
from stream_cli.mappings.aws import AwsEndpoint
from stream_cli.mappings.engine import Engine
from stream_cli.mappings.notices import Notices

BUSY = """
import json, os, urllib.request
import boto3

def handler(event, context):
    if event.get("fail"):
        raise ValueError("no such item")
    boto3.client("dynamodb").put_item(TableName=event["name"], Item={"pk": {"S": "by a function"}})
    boto3.client("events").put_events(Entries=[{"Source": event["name"], "DetailType": "done", "Detail": "{}"}])
    boto3.client("s3").put_object(Bucket=event["name"], Key="made", Body=b"x")
    return {"batchItemFailures": [{"itemIdentifier": "7"}]}
"""
PATIENCE_S = 20.0


@pytest.fixture(scope="module")
def journal(cloud: LocalCloud) -> Iterator[Journal]:
    reader = Journal(cloud.state.journal)
    yield reader
    reader.close()


def eventually(ask: Callable[[], Any]) -> Any:
    """What is found, once there is something."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := ask()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def event_of(name: str, id: str, **more: Any) -> dict[str, Any]:
    event = {
        "id": id,
        "type": "submitted",
        "partition_key": f"key of {name}",
        "item": {"id": f"item of {name}"},
        **more,
    }
    return {"Source": name, "DetailType": "submitted", "Detail": json.dumps(event, indent=2)}


def test_events_are_there_with_the_rules_that_take_them(
    endpoint: LocalEndpoint, journal: Journal, name: str, make_queue: Callable[[str], str]
) -> None:
    events, queues = endpoint.client("events"), endpoint.client("sqs")
    queue = make_queue(name)
    arn = queues.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.put_rule(Name=name, EventPattern=json.dumps({"source": [name], "detail": {"wanted": [True]}}))
    events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": arn}])
    answer = events.put_events(
        Entries=[event_of(name, "1", wanted=True), event_of(name, "1.rule", triggers=[{"id": "0"}])]
    )
    taken, ignored = eventually(lambda: len(found := journal.events(source=name).lines) == 2 and found[::-1])
    assert taken["rules"] == [{"rule": name, "targets": [arn]}]
    assert [taken["id"], ignored["id"]] == [entry["EventId"] for entry in answer["Entries"]]
    assert (taken["bus"], taken["type"], taken["detail"]["wanted"]) == ("default", "submitted", True)
    assert journal.events(source=name, unmatched=True).lines == [ignored]
    assert [line["detail"]["id"] for line in journal.events(key=f"item of {name}").lines] == ["1.rule", "1"]
    assert ignored in journal.followed("1")
    assert ignored in journal.followed("0")
    (message,) = eventually(lambda: journal.messages(to=arn).lines)
    (received,) = queues.receive_message(QueueUrl=queue)["Messages"]
    assert (message["id"], message["event"]) == (received["MessageId"], "1")


def test_records_of_streams_name_the_event_in_them(endpoint: LocalEndpoint, journal: Journal, name: str) -> None:
    kinesis = endpoint.client("kinesis")
    kinesis.create_stream(StreamName=name, ShardCount=1)
    arn = kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]["StreamARN"]
    plain, wrapped = {"id": f"{name}-1", "type": "a"}, {"id": "bus", "detail-type": "a", "detail": {"id": f"{name}-2"}}
    data = [json.dumps(plain).encode(), json.dumps(wrapped).encode(), b"no event"]
    put = kinesis.put_records(StreamName=name, Records=[{"Data": each, "PartitionKey": "k"} for each in data])
    last = kinesis.put_record(StreamName=name, Data=data[0], PartitionKey="k")
    lines = eventually(lambda: len(found := journal.records(stream=arn).lines) == 4 and found[::-1])
    assert [line["number"] for line in lines] == [each["SequenceNumber"] for each in [*put["Records"], last]]
    assert [line.get("id") for line in lines] == [f"{name}-1", f"{name}-2", None, f"{name}-1"]
    assert [line.get("bus_id") for line in lines] == [None, "bus", None, None]
    assert journal.records(number=last["SequenceNumber"]).lines == [lines[3]]
    assert len(journal.records(id=f"{name}-1").lines) == 2


def test_changes_of_items_are_there_old_and_new(endpoint: LocalEndpoint, journal: Journal, name: str) -> None:
    table = endpoint.client("dynamodb")
    table.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": each, "AttributeType": "S"} for each in ("pk", "sk")],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"},
    )
    key, item = {"pk": {"S": "1"}, "sk": {"S": "row"}}, {"pk": {"S": "1"}, "sk": {"S": "row"}, "n": {"N": "1"}}
    table.put_item(TableName=name, Item=item)
    table.put_item(TableName=name, Item=item)
    table.execute_statement(Statement=f"UPDATE \"{name}\" SET n = 2 WHERE pk = '1' AND sk = 'row'")
    table.transact_write_items(TransactItems=[{"Delete": {"TableName": name, "Key": key}}])
    lines = eventually(lambda: len(found := journal.changes(table=name).lines) == 3 and found[::-1])
    assert [line["change"] for line in lines] == ["INSERT", "MODIFY", "REMOVE"]
    assert [(line.get("old"), line.get("new")) for line in lines] == [
        (None, item), (item, {**item, "n": {"N": "2"}}), ({**item, "n": {"N": "2"}}, None),
    ]  # fmt: skip
    assert all(line["keys"] == key and line["stream"].partition("/stream/")[0].endswith(name) for line in lines)
    streams = endpoint.client("dynamodbstreams")
    shard = streams.describe_stream(StreamArn=lines[0]["stream"])["StreamDescription"]["Shards"][0]["ShardId"]
    start = {"StreamArn": lines[0]["stream"], "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"}
    records = streams.get_records(ShardIterator=streams.get_shard_iterator(**start)["ShardIterator"])["Records"]
    assert [line["number"] for line in lines] == [each["dynamodb"]["SequenceNumber"] for each in records]


def test_images_are_those_of_their_change(endpoint: LocalEndpoint, journal: Journal, name: str) -> None:
    table = endpoint.client("dynamodb")
    table.create_table(
        TableName=name, KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}], BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
    )  # fmt: skip
    update = {"TableName": name, "Key": {"pk": {"S": "1"}}, "ExpressionAttributeValues": {":n": {"N": "1"}}}
    for _ in range(3):
        table.update_item(**update, UpdateExpression="ADD n :n")
    table.transact_write_items(TransactItems=[{"Update": {**update, "UpdateExpression": "ADD n :n"}}])
    table.execute_statement(Statement=f"UPDATE \"{name}\" SET n = 7 WHERE pk = '1'")
    lines = eventually(lambda: len(found := journal.changes(table=name).lines) == 5 and found[::-1])
    assert [line["new"]["n"]["N"] for line in lines] == ["1", "2", "3", "4", "7"]
    assert [line["old"]["n"]["N"] for line in lines[1:]] == ["1", "2", "3", "4"]
    assert not any("stream" in line for line in lines)


def test_what_a_function_does_is_known_by_its_invocation(
    endpoint: LocalEndpoint, journal: Journal, name: str, made: Callable[..., Any]
) -> None:
    endpoint.client("dynamodb").create_table(
        TableName=name, KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}], BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
    )  # fmt: skip
    endpoint.client("s3").create_bucket(Bucket=name)
    functions = made(BUSY)
    answer = functions.invoke(FunctionName=name, Payload=json.dumps({"name": name, "Records": [
        {"messageId": "7", "eventSource": "aws:sqs", "eventSourceARN": "arn:queue"},
    ]}))  # fmt: skip
    request = answer["ResponseMetadata"]["RequestId"]
    (call,) = eventually(lambda: journal.calls(request=request).lines)
    assert (call["function"], call["outcome"], call["reported"]) == (name, "ok", ["7"])
    assert call["init"] > 0
    assert call["start"] <= call["end"]
    assert (call["source"], call["records"], call["count"]) == ("arn:queue", ["7"], 1)
    assert journal.calls(record="7", failed=True).lines == [call]
    (change,), (event,), (written,) = (
        journal.changes(by=request).lines, journal.events(by=request).lines, journal.objects(bucket=name).lines,
    )  # fmt: skip
    assert (change["table"], event["source"]) == (name, name)
    assert change["by_function"] == event["by_function"] == name
    wrote = {flow.end: flow.count for flow in journal.traffic(0, 10**13) if (flow.kind, flow.start) == ("write", name)}
    assert wrote == {f"change/{name}": 1, f"event/{event['bus']}": 1, f"object/{name}": 1}
    assert (written["key"], written["change"], written["size"], written["by"]) == ("made", "put", 1, request)
    functions.invoke(FunctionName=name, Payload=b'{"fail": true}')
    failed = eventually(lambda: len(found := journal.calls(function=name).lines) == 2 and found[0])
    assert (failed["outcome"], failed["error"], "init" in failed) == ("failed", "ValueError: no such item", False)
    endpoint.client("dynamodb").delete_item(TableName=name, Key={"pk": {"S": "by a function"}})
    removed = eventually(lambda: len(found := journal.changes(table=name).lines) == 2 and found[0])
    assert "by" not in removed


def test_an_invocation_names_the_events_that_it_is_made_with(
    journal: Journal, made: Callable[..., Any], name: str
) -> None:
    event, other = ({"id": f"{name}-{n}", "type": "submitted"} for n in (1, 2))
    wrapped = {"id": "bus", "detail-type": "submitted", "detail": event}
    data = [base64.b64encode(json.dumps(each).encode()).decode() for each in (wrapped, other)]
    records = [{"eventSource": "aws:kinesis", "kinesis": {"sequenceNumber": "1", "data": each}} for each in data]
    notified = {"EventSource": "aws:sns", "Sns": {"MessageId": "m", "Message": json.dumps(event)}}
    message = {"eventSource": "aws:sqs", "messageId": "m", "body": json.dumps(event)}
    functions = made("def handler(event, context): pass")

    def called_with(payload: Any) -> Any:
        answer = functions.invoke(FunctionName=name, Payload=json.dumps(payload))
        (call,) = eventually(lambda: journal.calls(request=answer["ResponseMetadata"]["RequestId"]).lines)
        return call.get("events")

    assert called_with({"Records": records}) == [event, other]
    for payload in (event, wrapped, {"Records": [notified]}, {"Records": [message]}):
        assert called_with(payload) == [event]
    nothing = [{"eventSource": "aws:kinesis", "kinesis": {"data": 7}}, {"eventSource": "aws:sqs", "body": "no event"}]
    for unnamed in ({"Records": nothing}, {"Records": records * 3}, {"key": "value"}, {"id": "no event"}, [1], None):
        assert called_with(unnamed) is None


def test_what_policies_do_not_allow_is_there_with_the_statement_that_is_missing(
    journal: Journal, name: str, made: Callable[..., Any], make_role: Callable[..., str]
) -> None:
    code = "import boto3\ndef handler(event, context): boto3.client('dynamodb').list_tables()"
    made(code, Role=make_role(name)).invoke(FunctionName=name)
    (line,) = eventually(lambda: journal.refused(function=name).lines)
    assert (line["action"], line["resource"]) == ("dynamodb:ListTables", "*")
    assert line["missing"] == {"Effect": "Allow", "Action": "dynamodb:ListTables", "Resource": "*"}
    assert line["message"].startswith(f"{name} may not dynamodb:ListTables")


def test_messages_are_there_from_a_topic_to_a_dead_letter_queue(
    endpoint: LocalEndpoint, journal: Journal, name: str
) -> None:
    queues, topics = endpoint.client("sqs"), endpoint.client("sns")

    def queue(name: str, **attributes: str) -> tuple[str, str]:
        url = queues.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        found = queues.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        return url, found["Attributes"]["QueueArn"]

    _, dead = queue(f"{name}-dead")
    allow = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage"}
    url, arn = queue(
        name,
        RedrivePolicy=json.dumps({"deadLetterTargetArn": dead, "maxReceiveCount": 1}),
        VisibilityTimeout="0",
        Policy=json.dumps({"Version": "2012-10-17", "Statement": {**allow, "Resource": "*"}}),
    )
    topic = topics.create_topic(Name=name)["TopicArn"]
    topics.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    published = topics.publish(TopicArn=topic, Message=json.dumps({"id": f"{name}-1", "type": "a"}))
    sent = queues.send_message(QueueUrl=url, MessageBody="no event")
    batch = queues.send_message_batch(QueueUrl=url, Entries=[{"Id": "1", "MessageBody": "in a batch"}])
    assert eventually(lambda: journal.messages(to=topic).lines)[0]["id"] == published["MessageId"]
    from_topic, alone, in_batch = eventually(lambda: len(found := journal.messages(to=arn).lines) == 3 and found[::-1])
    assert (from_topic["event"], "event" in alone) == (f"{name}-1", False)
    assert alone["id"] == sent["MessageId"]
    assert in_batch["id"] == batch["Successful"][0]["MessageId"]
    for _ in range(2):
        queues.receive_message(QueueUrl=url, MaxNumberOfMessages=10)
    moved = eventually(lambda: len(found := journal.messages(to=dead).lines) == 3 and found)
    assert {line["id"] for line in moved} == {from_topic["id"], alone["id"], in_batch["id"]}


def test_an_object_of_firehose_names_its_events(endpoint: LocalEndpoint, journal: Journal, name: str) -> None:
    endpoint.client("s3").create_bucket(Bucket=name)
    firehose = endpoint.client("firehose")
    firehose.create_delivery_stream(
        DeliveryStreamName=name,
        ExtendedS3DestinationConfiguration={
            "RoleARN": "arn:aws:iam::000000000000:role/any",
            "BucketARN": f"arn:aws:s3:::{name}",
        },
    )
    event = {"id": "bus", "detail-type": "a", "detail": {"id": f"{name}-1"}}
    firehose.put_record(DeliveryStreamName=name, Record={"Data": json.dumps(event).encode() + b"\n"})
    (line,) = eventually(lambda: journal.objects(event=f"{name}-1").lines)
    assert (line["bucket"], line["change"]) == (name, "put")
    endpoint.client("s3").delete_object(Bucket=name, Key=line["key"])
    latest = eventually(lambda: len(found := journal.objects(bucket=name).lines) == 2 and found[0])
    assert (latest["key"], latest["change"]) == (line["key"], "delete")


def test_the_mapping_engine_says_what_became_of_records(
    endpoint: LocalEndpoint, name: str, made: Callable[..., Any], tmp_path: Path
) -> None:
    kinesis = endpoint.client("kinesis")
    kinesis.create_stream(StreamName=name, ShardCount=1)
    arn = kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]["StreamARN"]
    functions = made("def handler(event, context): raise ValueError('never')")
    mapping = functions.create_event_source_mapping(
        EventSourceArn=arn, FunctionName=name, StartingPosition="TRIM_HORIZON", BatchSize=10, MaximumRetryAttempts=1,
        FilterCriteria={"Filters": [{"Pattern": json.dumps({"data": {"type": ["wanted"]}})}]},
    )["UUID"]  # fmt: skip
    types = ["wanted", "unwanted", "wanted"]
    records = [{"Data": json.dumps({"type": each}).encode(), "PartitionKey": "k"} for each in types]
    numbers = [each["SequenceNumber"] for each in kinesis.put_records(StreamName=name, Records=records)["Records"]]
    lines: list[Any] = []
    engine = Engine(
        AwsEndpoint(endpoint.url), tmp_path, notices=Notices(logging.getLogger(name)), name="test", observe=lines.append
    )
    stop = threading.Event()
    thread = threading.Thread(target=engine.run, args=(stop,))
    thread.start()
    try:
        eventually(lambda: any(line["kind"] == "given_up" and line["mapping"] == mapping for line in lines))
    finally:
        stop.set()
        thread.join()
    filtered, first, second, given_up = (line for line in lines if line["mapping"] == mapping)
    where = {"mapping": mapping, "function": name, "stream": arn, "shard": "shardId-000000000000"}
    assert all({**line, **where} == line for line in (filtered, first, second, given_up))
    assert (filtered["kind"], filtered["numbers"]) == ("filtered", [numbers[1]])
    for place, line in enumerate((first, second)):
        assert (line["kind"], line["numbers"]) == ("attempt", [numbers[0], numbers[2]])
        assert (line["attempt"], line["outcome"], line["done"]) == (place + 1, "failed", 0)
        assert line["problem"] == "ValueError: never"
        assert line["oldest"] <= line["start"] <= line["at"]
        assert line["request"]
    assert first["at"] <= first["next"] <= second["start"]
    assert "next" not in second
    assert (given_up["numbers"], given_up["condition"]) == (first["numbers"], "RetryAttemptsExhausted")
    functions.delete_event_source_mapping(UUID=mapping)
