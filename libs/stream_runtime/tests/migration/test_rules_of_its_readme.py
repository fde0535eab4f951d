"""Rules written for aws_lambda_stream 1.4 run here with the imports renamed.

Its ``utils.opt`` is ``options``, ``utils.dynamodb`` is ``expressions``; ``faults``, ``operators``, ``filters`` and
``print`` keep their names.
"""

import json
import re
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from aws_lambda_powertools import Logger
from reactivex import Observable
from reactivex import operators as ops
from stream_runtime.events.dynamodb import from_dynamodb, to_dynamodb_records
from stream_runtime.events.kinesis import from_kinesis, to_kinesis_records
from stream_runtime.events.s3 import from_s3, to_s3_records
from stream_runtime.events.sns import from_sns, to_sns_records
from stream_runtime.events.sqs import from_sqs, to_sqs_records
from stream_runtime.expressions import update_expression
from stream_runtime.faults import faulty
from stream_runtime.filters import on_content, on_event_type
from stream_runtime.flavors.cdc import cdc
from stream_runtime.flavors.collect import collect
from stream_runtime.flavors.correlate import correlate
from stream_runtime.flavors.evaluate import evaluate
from stream_runtime.flavors.expired import expired
from stream_runtime.flavors.materialize import materialize
from stream_runtime.flavors.s3 import s3
from stream_runtime.flavors.sns import sns
from stream_runtime.flavors.task import task
from stream_runtime.flavors.update import update
from stream_runtime.operators import rx_filter, rx_map
from stream_runtime.options import DEFAULT_OPTIONS
from stream_runtime.pipelines import StreamPipeline, initialize_from
from stream_runtime.print import print_end_pipeline, print_start_pipeline

Out = list[tuple[str, Any]]


def created(**fields: Any) -> dict[str, Any]:
    thing = {"id": "thing-1", "name": "One", "status": "active"}
    return {
        "id": "evt-1",
        "type": "thing-created",
        "timestamp": 1548967022000,
        "partition_key": "thing-1",
        "thing": thing,
        **fields,
    }


def assembled(rules: list[dict[str, Any]], uows: Any, **options: Any) -> Out:
    out: Out = []
    StreamPipeline(initialize_from(rules), {**DEFAULT_OPTIONS, **options}, concurrency=False).assemble(
        uows, on_next=lambda pipeline_id, uow: out.append((pipeline_id, uow))
    )
    return out


def kinesis(*events: dict[str, Any]) -> Any:
    return from_kinesis(to_kinesis_records(events))


def inserted(row: dict[str, Any]) -> Any:
    return from_dynamodb(to_dynamodb_records([{"keys": {"pk": row["pk"], "sk": row["sk"]}, "newImage": row}]))


def test_the_first_handler() -> None:
    def execute(uow: Any, rule: Any) -> dict[str, Any]:
        return {"handled": True, "event_id": uow["event"]["id"]}

    rules = [{"id": "handle-thing-created", "flavor": task, "event_type": "thing-created", "execute": execute}]

    def handler(event: Any, _context: Any) -> Any:
        return StreamPipeline(initialize_from(rules), DEFAULT_OPTIONS).assemble(from_kinesis(event))

    assert handler(to_kinesis_records([created()]), None) == {"batchItemFailures": []}


def test_own_options_with_a_powertools_logger(bus: Any) -> None:
    rules = [{"id": "t", "flavor": task, "event_type": "thing-created", "emit": "done"}]
    assembled(rules, kinesis(created()), logger=Logger(service="things"), bus_name="my-event-bus")
    assert [entry["EventBusName"] for call in bus.calls for entry in call] == ["my-event-bus"]


def test_a_rule_with_a_content_filter(table: Any) -> None:
    rule = {
        "id": "collect-thing-created",
        "flavor": collect,
        "event_type": "thing-created",
        "filters": [lambda uow, rule: uow["event"]["thing"]["status"] == "active"],
    }
    assembled([rule], kinesis(created(), created(id="evt-2", thing={"status": "gone"})))
    assert [row["pk"] for row in table.scan()["Items"]] == ["evt-1"]


@pytest.mark.parametrize(
    "event_type",
    [
        "thing-created",
        ["thing-created", "thing-updated"],
        re.compile(r"thing-(created|updated)$"),
        lambda uow: uow["event"]["type"].startswith("thing-"),
    ],
    ids=["string", "list", "pattern", "callable"],
)
def test_each_form_of_event_type(event_type: Any) -> None:
    rule = {"id": "r", "flavor": task, "event_type": event_type, "execute": lambda uow, rule: 1}
    assert len(assembled([rule], kinesis(created(), created(type="other")))) == 1


def test_the_result_of_a_task_under_its_own_key() -> None:
    rule = {
        "id": "process-thing",
        "flavor": task,
        "event_type": "thing-created",
        "execute": lambda uow, rule: {"thing_id": uow["event"]["thing"]["id"], "processed": True},
        "result_key": "task_result",
    }
    ((pipeline_id, uow),) = assembled([rule], kinesis(created()))
    assert (pipeline_id, uow["task_result"]) == ("process-thing", {"thing_id": "thing-1", "processed": True})


def test_a_task_that_emits_one_event(bus: Any) -> None:
    rule = {
        "id": "complete-task",
        "flavor": task,
        "event_type": "thing-created",
        "execute": lambda uow, rule: None,
        "emit": lambda uow, rule, template: {**template, "type": "task-completed", "thing": uow["event"]["thing"]},
    }
    assembled([rule], kinesis(created()))
    (event,) = bus.events
    assert (event["type"], event["partition_key"], event["thing"]["id"]) == ("task-completed", "thing-1", "thing-1")


def test_a_task_that_emits_several_events(bus: Any) -> None:
    rule = {
        "id": "t",
        "flavor": task,
        "event_type": "thing-created",
        "emit": lambda uow, rule, template: [{**template, "type": "first-event"}, {**template, "type": "second-event"}],
    }
    assembled([rule], kinesis(created()))
    assert [event["type"] for event in bus.events] == ["first-event", "second-event"]


@pytest.mark.parametrize("correlation_key", ["order.id", lambda uow: uow["event"]["order"]["id"]])
def test_orders_are_collected_correlated_and_evaluated(table: Any, bus: Any, correlation_key: Any) -> None:
    collect_rule = {
        "id": "collect-order-events",
        "flavor": collect,
        "event_type": ["order-created", "payment-authorized"],
        "correlation_key": correlation_key,
    }
    correlate_rule = {
        **collect_rule,
        "id": "correlate-payment",
        "flavor": correlate,
        "correlation_key_suffix": "payment",
    }

    def has_order_and_payment(uow: Any) -> bool:
        types = [event["type"] for event in uow["correlated"]]
        return "order-created" in types and "payment-authorized" in types

    evaluate_rule = {
        "id": "order-ready",
        "flavor": evaluate,
        "event_type": ["order-created", "payment-authorized"],
        "correlation_key_suffix": "payment",
        "expression": has_order_and_payment,
        "emit": "order-ready",
    }
    order = {"id": "o1"}
    assembled(
        [collect_rule],
        kinesis(
            created(id="a", type="order-created", order=order), created(id="b", type="payment-authorized", order=order)
        ),
    )
    for row in table.scan()["Items"]:
        assembled([correlate_rule], inserted(row))
    for row in table.scan()["Items"]:
        if row["discriminator"] == "CORREL":
            assembled([evaluate_rule], inserted(row))
    assert {event["type"] for event in bus.events} == {"order-ready"}


def test_a_change_of_a_row_is_published(bus: Any) -> None:
    rule = {
        "id": "thing-cdc",
        "flavor": cdc,
        "event_type": "THING-created",
        "to_event": lambda uow: {"type": "thing-created", "thing": uow["event"]["raw"]["new"]},
    }
    assembled([rule], inserted({"pk": "thing-1", "sk": "THING", "name": "One"}))
    assert [(event["type"], event["thing"]["name"]) for event in bus.events] == [("thing-created", "One")]


def test_a_view_is_materialized(table: Any) -> None:
    rule = {
        "id": "materialize-thing",
        "flavor": materialize,
        "event_type": "thing-created",
        "to_update_request": lambda uow: {
            "Key": {"pk": uow["event"]["thing"]["id"], "sk": "THING"},
            **update_expression({"name": uow["event"]["thing"]["name"], "timestamp": uow["event"]["timestamp"]}),
        },
    }
    assembled([rule], kinesis(created()))
    assert table.get_item(Key={"pk": "thing-1", "sk": "THING"})["Item"]["name"] == "One"


def test_the_items_of_an_event_are_materialized_one_by_one(table: Any) -> None:
    rule = {
        "id": "materialize-order-items",
        "flavor": materialize,
        "event_type": "order-created",
        "split_on": "event.items",
        "split_target_field": "item",
        "to_update_request": lambda uow: {
            "Key": {"pk": uow["item"]["id"], "sk": "ITEM"},
            **update_expression({"order_id": uow["event"]["order"]["id"]}),
        },
    }
    assembled([rule], kinesis(created(type="order-created", order={"id": "o1"}, items=[{"id": "i1"}, {"id": "i2"}])))
    assert {row["pk"]: row["order_id"] for row in table.scan()["Items"]} == {"i1": "o1", "i2": "o1"}


def test_a_snapshot_is_written_to_s3(bucket: Any) -> None:
    rule = {
        "id": "write-order-snapshot",
        "flavor": s3,
        "event_type": "order-ready",
        "bucket_name": "views",
        "to_s3": lambda uow: {
            "Key": "orders/{}.json".format(uow["event"]["order"]["id"]),
            "Body": json.dumps(uow["event"]["order"]).encode("utf-8"),
            "ContentType": "application/json",
        },
    }
    assembled([rule], kinesis(created(type="order-ready", order={"id": "o1"})))
    assert json.loads(bucket.Object("orders/o1.json").get()["Body"].read()) == {"id": "o1"}


def test_a_topic_is_notified(aws: None, bodies: Callable[[str], list[Any]]) -> None:
    topics, queues = boto3.client("sns"), boto3.client("sqs")
    topic = topics.create_topic(Name="orders")["TopicArn"]
    url = queues.create_queue(QueueName="orders")["QueueUrl"]
    queue = queues.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    topics.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue, Attributes={"RawMessageDelivery": "true"})
    rule = {
        "id": "notify-order-ready",
        "flavor": sns,
        "event_type": "order-ready",
        "topic_arn": topic,
        "to_sns": lambda uow: [{"Message": json.dumps(uow["event"])}],
    }
    assembled([rule], kinesis(created(type="order-ready")))
    assert [event["id"] for event in bodies(url)] == ["evt-1"]


def test_a_row_that_expires_with_its_own_event_type(bus: Any) -> None:
    row = {
        "pk": "thing-1",
        "sk": "EVENT",
        "ttl": 1548967022,
        "expire": "thing-timeout",
        "event": {"id": "thing-1", "type": "thing-created", "timestamp": 1548967022000},
    }
    change = {"keys": {"pk": "thing-1", "sk": "EVENT"}, "oldImage": row, "timestamp": 1548967023}
    assembled([{"id": "expired-events", "flavor": expired}], from_dynamodb(to_dynamodb_records([change])))
    assert [event["type"] for event in bus.events] == ["thing-timeout"]


def test_related_rows_are_updated(table: Any) -> None:
    table.put_item(Item={"pk": "box-1", "sk": "BOX", "data": "thing-1"})
    rule = {
        "id": "update-related-things",
        "flavor": update,
        "event_type": "thing-renamed",
        "to_query_request": lambda uow, rule: {
            "IndexName": "DataIndex",
            "KeyConditionExpression": "#data = :data",
            "ExpressionAttributeNames": {"#data": "data"},
            "ExpressionAttributeValues": {":data": uow["event"]["thing"]["id"]},
        },
        "split_on": "query_response",
        "split_target_field": "target",
        "to_get_request": lambda uow, rule: {"Keys": [{"pk": uow["target"]["pk"], "sk": uow["target"]["sk"]}]},
        "to_update_request": lambda uow, rule: {
            "Key": {"pk": uow["target"]["pk"], "sk": uow["target"]["sk"]},
            **update_expression({"thing_name": uow["event"]["thing"]["name"]}),
        },
    }
    assembled([rule], kinesis(created(type="thing-renamed")))
    assert table.get_item(Key={"pk": "box-1", "sk": "BOX"})["Item"]["thing_name"] == "One"


@pytest.mark.parametrize(
    "uows",
    [
        from_kinesis(to_kinesis_records([created()])),
        from_dynamodb(
            to_dynamodb_records([{"keys": {"pk": "1", "sk": "thing"}, "newImage": {"pk": "1", "sk": "thing"}}])
        ),
        from_s3(to_s3_records([{"bucket": {"name": "b"}, "object": {"key": "k"}}])),
        from_sns(to_sns_records([{"msg": json.dumps(created())}])),
        from_sqs(to_sqs_records([{"body": json.dumps(created())}])),
    ],
    ids=["kinesis", "dynamodb", "s3", "sns", "sqs"],
)
def test_each_source_gives_units_with_record_and_event(uows: Any) -> None:
    rule = {"id": "r", "flavor": task, "event_type": re.compile("created"), "execute": lambda uow, rule: None}
    ((_, uow),) = assembled([rule], uows)
    assert {"pipeline", "record", "event"} <= set(uow)


def my_flavor(rule: Any) -> Any:
    def wrapper(source: Observable[Any]) -> Any:
        return source.pipe(
            rx_filter(on_event_type(rule)),
            ops.do_action(print_start_pipeline(rule)),
            rx_filter(on_content(rule)),
            rx_map(lambda uow: {**uow, "custom": True}),
            ops.do_action(print_end_pipeline(rule)),
        )

    return wrapper


def test_a_custom_flavor() -> None:
    out = assembled([{"id": "mine", "flavor": my_flavor, "event_type": "thing-created"}], kinesis(created()))
    assert [(pipeline_id, uow["custom"]) for pipeline_id, uow in out] == [("mine", True)]


def test_a_function_that_may_fail_for_a_single_record(bus: Any) -> None:
    def do_work(uow: Any) -> Any:
        return {**uow, "name": uow["event"]["thing"]["name"]}

    def flavor(rule: Any) -> Any:
        return lambda source: source.pipe(rx_map(faulty(lambda uow: do_work(uow))))

    out = assembled([{"id": "f", "flavor": flavor}], kinesis(created(thing={}), created(id="evt-2")))
    assert [uow["name"] for _, uow in out] == ["One"]
    assert [fault["uow"]["event"]["id"] for fault in bus.of_type("fault")] == ["evt-1"]
