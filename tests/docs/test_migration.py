"""docs/migration.md: every public name of aws_lambda_stream 1.4.0 has a row, and what stands beside it works."""

import importlib
import logging
import re
from pathlib import Path
from types import SimpleNamespace

import boto3
import pytest
from reactivex.scheduler import ThreadPoolScheduler
from stream_runtime import clients, settings
from stream_runtime.events import from_kinesis, to_kinesis_records
from stream_runtime.expressions import update_expression
from stream_runtime.flavors import materialize
from stream_runtime.handler import stream_handler
from stream_runtime.sinks.dynamodb import to_typed

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "migration.md").read_text(encoding="utf-8")

# What the modules of its wheel define, without names that begin with an underscore; methods of connectors one by one.
THERE = """
connectors.cloudwatch.Connector: put
connectors.dynamodb: accumulate unprocessed
connectors.dynamodb.Connector: batch_get bulk_delete bulk_insert get put query query_all update
connectors.eventbridge.Connector: put_events
connectors.lambda_.Connector: invoke
connectors.opensearch.Connector: bulk create_index create_or_update_alias delete delete_index get_index put reindex
connectors.opensearch.Connector: search update_mapping
connectors.s3.Connector: delete_object get_object list_objects put_object
connectors.sns.Connector: publish publish_batch
connectors.sqs.Connector: send_message send_message_batch
events.dynamodb: from_dynamodb to_dynamodb_records
events.kinesis: from_kinesis to_kinesis_records
events.s3: from_s3 to_s3_records
events.sns: from_sns to_sns_records
events.sqs: from_sqs to_sqs_records
filters.content: filter_on_content
filters.event_type: filter_on_event_type
filters.latch: out_latched out_source_is_self
filters.skip: out_skip skip_tag
flavors.cdc: cdc
flavors.collect: collect
flavors.correlate: correlate normalize
flavors.elasticsearch: elasticsearch
flavors.evaluate: evaluate
flavors.expired: calc_type expired for_expiration to_expired_event
flavors.materialize: materialize
flavors.s3: s3
flavors.sns: sns
flavors.task: task
flavors.update: update
pipelines: StreamPipeline initialize_from
repositories: BaseEntityRepository
utils.apigateway: to_api_gateway_request_v2
utils.aws: get_region
utils.batch: to_batch_uow unbatch_uow
utils.cloudwatch: put_metrics
utils.concurrency: OPTIMAL_THREAD_COUNT get_pool_scheduler multitask
utils.decorators: reject_exception
utils.dynamodb: batch_get_dynamodb marshall pk_condition put_dynamodb query_dynamodb serialize_number
utils.dynamodb: timestamp_condition unmarshall update_dynamodb update_expression
utils.elasticsearch: query_elasticsearch update_elasticsearch
utils.eventbridge: publish_to_event_bridge
utils.faults: FAULT_EVENT_TYPE faults faulty flush_faults format_fault the_faults throw_fault
utils.filters: on_content on_event_type
utils.json_encoder: JSONEncoder
utils.lambda_: invoke_lambda
utils.logger: configure_logger print_end print_end_pipeline print_start print_start_pipeline
utils.operators: rx_filter rx_map split_buffer tap
utils.opt: DEFAULT_OPTIONS logger
utils.pluralize: pluralize
utils.print: print_end print_end_pipeline print_start print_start_pipeline
utils.retry: DEFAULT_RETRY_CONFIG assert_max_retries get_delay wait
utils.s3: get_object_from_s3 page_objects_from_s3 put_object_to_s3 to_get_object_request
utils.sns: publish_to_sns
utils.split: split_object
utils.sqs: send_to_sqs
utils.tags: adorn_standard_tags env_tags
utils.time: now ttl ttl_rule
utils.uow: trim_and_redact
"""

KEYS = {
    "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
    "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
}


def quoted(text):
    return re.findall(r"`([^`]+)`", text)


def rows_of(section):
    """The cells of the tables in a section."""
    lines = TEXT.partition(f"\n## {section}\n")[2].partition("\n## ")[0].splitlines()
    rows = [[cell.strip() for cell in line[1:-1].split(" |")] for line in lines if line.startswith("| ")]
    return [row for row in rows if row[0] not in ("there", "what")]


NAMES = rows_of("Names")


def test_every_name_has_one_row():
    defined = [line.partition(": ") for line in THERE.split("\n") if line]
    names = [f"{module}.{name}" for module, _, members in defined for name in members.split()]
    assert sorted(name for there, _, _ in NAMES for name in quoted(there)) == sorted(names)


@pytest.mark.parametrize("name", sorted({name for _, here, _ in NAMES for name in quoted(here)}))
def test_a_name_that_takes_its_place_imports(name):
    module, _, member = name.rpartition(".")
    assert getattr(importlib.import_module(module), member) is not None


def test_a_name_without_a_counterpart_has_its_replacement():
    assert [there for there, here, changes in NAMES if not here and not changes] == []


@pytest.fixture
def names(aws, monkeypatch):
    """What the pieces of code in the last column refer to."""
    monkeypatch.setenv("BUS_NAME", "default")
    boto3.client("dynamodb").create_table(TableName="entities", **KEYS, BillingMode="PAY_PER_REQUEST")
    boto3.client("s3").create_bucket(Bucket="views")
    boto3.client("s3").put_object(Bucket="views", Key="one", Body=b"1")
    clients.use("lambda", SimpleNamespace(invoke=lambda FunctionName, Payload: {"StatusCode": 200}))
    members = [name.rpartition(".") for _, here, _ in NAMES for name in quoted(here)]
    return {
        **{member: getattr(importlib.import_module(module), member) for module, _, member in members},
        "arn": "arn:aws:sns:us-east-1:123456789012:orders",
        "attempt": 1,
        "body": b"1",
        "boto3": boto3,
        "bucket": "views",
        "data": [{"MetricName": "m", "Value": 1}],
        "event": {"id": "e1", "type": "thing-created", "timestamp": 1},
        "function": len,
        "item": {"pk": "t1", "sk": "thing"},
        "key": "one",
        "keys": [{"pk": "t1", "sk": "thing"}],
        "logger": logging.getLogger(__name__),
        "logging": logging,
        "name": "function",
        "namespace": "things",
        "pipeline": "p",
        "prefix": "o",
        "queue": boto3.client("sqs").create_queue(QueueName="orders")["QueueUrl"],
        "request": {"Key": {"pk": "t1", "sk": "thing"}, **update_expression({"n": 1})},
        "rule": {"id": "r", "event_type": "thing-created"},
        "table": "entities",
        "text": "1",
        "ThreadPoolScheduler": ThreadPoolScheduler,
        "to_typed": to_typed,
        "topic": boto3.client("sns").create_topic(Name="orders")["TopicArn"],
        "uow": {"event": {"id": "e1", "type": "thing-created", "raw": {"new": {"event": {}}}}},
        "value": {"n": 1},
    }


QUERY = {"KeyConditionExpression": "pk = :pk", "ExpressionAttributeValues": {":pk": "t1"}}
OF_THE_OTHER_LIBRARY = {"json.dumps(value, cls=JSONEncoder)"}
CODE = {code for _, _, changes in NAMES for code in quoted(changes) if "(" in code or "[" in code}


def test_the_pieces_of_code_that_replace_a_name_run(names):
    update = names["request"]
    for code in sorted(CODE - OF_THE_OTHER_LIBRARY):
        names["request"] = QUERY if "query" in code else update
        exec(compile(code, f"docs/migration.md, {code}", "exec"), names)


def test_the_environment_variables_are_those_of_the_runtime():
    known = {name for setting in settings.SETTINGS for name in (setting.name, *setting.others)}
    same, *others = rows_of("Environment variables")
    named = quoted(same[0]) + [name for _, here in others for name in quoted(here) if name.isupper()]
    assert [name for name in named if name not in known] == []


def test_every_difference_says_how_it_is_there_and_here():
    rows = rows_of("Different on purpose")
    assert len(rows) > 20
    assert [row for row in rows if len(row) != 3 or not all(row)] == []


@pytest.fixture
def repository(aws, monkeypatch):
    """The repository of the example, on a table."""
    monkeypatch.setenv("ENTITY_TABLE_NAME", "entities")
    boto3.client("dynamodb").create_table(TableName="entities", **KEYS, BillingMode="PAY_PER_REQUEST")
    (example,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    names = {}
    exec(compile(example, "docs/migration.md", "exec"), names)
    return names["ThingRepository"]("entities", "jane")


def test_a_repository_of_ones_own_saves_deletes_and_finds(repository):
    repository.save({"id": "t1", "name": "One", "latched": False})
    assert repository.get("t1").items() >= {"name": "One", "discriminator": "thing", "last_modified_by": "jane"}.items()
    repository.delete("t1", data={"name": "gone"})
    of_t1 = {"KeyConditionExpression": "pk = :pk", "ExpressionAttributeValues": {":pk": "t1"}}
    ((row),) = repository.query(of_t1)
    assert (row["deleted"], row["latched"], row["name"], "ttl" in row) == (True, False, "gone", True)
    assert repository.get("t2") is None


def test_a_repository_of_ones_own_makes_the_requests_of_a_rule(repository):
    rule = {"id": "things", "flavor": materialize, "event_type": ["thing-updated", "thing-deleted"]}
    handler = stream_handler([{**rule, "to_update_request": repository.to_update_request}], from_kinesis)
    event = {
        "id": "e1",
        "type": "thing-updated",
        "timestamp": 2000,
        "partition_key": "t1",
        "thing": {"id": "t1", "n": 1},
    }
    stale = {**event, "timestamp": 1000, "thing": {"id": "t1", "n": 0}}
    removed = {**event, "timestamp": 3000, "type": "thing-deleted"}
    handler(to_kinesis_records([event, stale]), None)
    row = repository.get("t1")
    assert (row["n"], row["latched"], row["timestamp"], "deleted" in row) == (1, True, 2000, False)
    handler(to_kinesis_records([removed]), None)
    assert repository.get("t1")["deleted"] is True
