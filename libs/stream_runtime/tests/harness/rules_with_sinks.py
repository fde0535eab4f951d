"""Rules of histories that send what they make of events: messages, records, objects, documents, metrics."""

from __future__ import annotations

from typing import Any

from rule_pieces import Rule, Rules, checked, content_of, noted, raise_if_poisoned
from stream_runtime import flavors, rx_filter, rx_map
from stream_runtime.faults import faulty
from stream_runtime.filters import on_event_type
from stream_runtime.sinks.cloudwatch import put_metric_data

ARN = "arn:aws:sns:us-east-1:123456789012"
QUEUES = "https://sqs.us-east-1.amazonaws.com/123456789012"


class RulesWithSinks(Rules):
    def topic(self) -> Rule:
        make = checked("topic", lambda uow: {"Message": content_of(uow)})
        return {"flavor": flavors.sns, "to_sns": make, "topic_arn": f"{ARN}:topic"}

    def queue(self) -> Rule:
        make = checked("queue", lambda uow: {"MessageBody": content_of(uow)})
        return {"flavor": flavors.sqs, "to_sqs": make, "queue_url": f"{QUEUES}/queue"}

    def lane(self) -> Rule:
        make = checked("lane", lambda uow: {"MessageBody": content_of(uow)})
        return {"flavor": flavors.sqs, "to_sqs": make, "queue_url": f"{QUEUES}/lane.fifo"}

    def several(self) -> Rule:
        """Two messages for each event, on a FIFO topic."""

        def messages(uow: Any) -> Any:
            content = content_of(uow)
            return [{"Message": {**content, "cause": f"{content['cause']}/{number}"}} for number in range(2)]

        return {"flavor": flavors.sns, "to_sns": checked("several", messages), "topic_arn": f"{ARN}:several.fifo"}

    def stream(self) -> Rule:
        make = checked("stream", lambda uow: {"Data": content_of(uow)})
        return {"flavor": flavors.kinesis, "to_kinesis": make, "stream_name": "stream"}

    def delivery(self) -> Rule:
        make = checked("delivery", lambda uow: {"Data": content_of(uow)})
        return {"flavor": flavors.firehose, "to_firehose": make, "delivery_stream_name": "delivery"}

    def object(self) -> Rule:
        def to_object(uow: Any) -> Any:
            return {"Key": f"{uow['event']['id']}-{uow['event'].get('note', 'good')}", "Body": uow["event"]}

        return {"flavor": flavors.s3, "to_s3": checked("object", to_object), "bucket_name": "object"}

    def mirror(self) -> Rule:
        """An object for each key, which events of type c delete."""

        def key(uow: Any) -> dict[str, Any]:
            # The owner's account: the one field of a DeleteObject request that can tell what caused it.
            note = uow["event"].get("note", "")
            return {"Key": uow["event"]["partition_key"] + note, "ExpectedBucketOwner": uow["event"]["id"]}

        def to_put(uow: Any) -> Any:
            return {**key(uow), "Body": uow["event"]} if uow["event"]["type"] == "a" else None

        def to_delete(uow: Any) -> Any:
            return key(uow) if uow["event"]["type"] == "c" else None

        return {
            "flavor": flavors.materialize_s3,
            "to_put_request": checked("mirror", to_put),
            "to_delete_request": to_delete,
            "bucket_name": "mirror",
        }

    def sharedobject(self) -> Rule:
        """An object for all keys."""

        def to_object(uow: Any) -> Any:
            event = uow["event"]
            return {"Key": f"shared{event.get('note', '')}", "Body": event, "ExpectedBucketOwner": event["id"]}

        return {"flavor": flavors.s3, "to_s3": checked("sharedobject", to_object), "bucket_name": "sharedobject"}

    def index(self) -> Rule:
        def to_document(uow: Any) -> Any:
            return {"index": "index", "id": uow["event"]["partition_key"], "data": content_of(uow)}

        return {
            "flavor": flavors.elasticsearch,
            "to_elasticsearch": checked("index", to_document),
            "domain_host": "search",
        }

    def shareddocument(self) -> Rule:
        """A document for all keys, whose updates have no version."""

        def to_update(uow: Any) -> Any:
            data = {"doc": content_of(uow)}
            return {"index": "shareddocument", "id": "shared", "action": "update", "data": data}

        return {
            "flavor": flavors.elasticsearch,
            "to_elasticsearch": checked("shareddocument", to_update),
            "domain_host": "search",
        }

    def function(self) -> Rule:
        def emit(uow: Any, rule: Any, template: Any) -> Any:
            return {**template, "type": "answered", "answer": uow["invoke_response"]["Payload"]["answer"]}

        request = checked("function", lambda uow: {"Payload": content_of(uow)})
        return {
            "flavor": flavors.invoke_lambda,
            "to_invoke_request": request,
            "function_name": "function",
            "emit": emit,
        }

    def measure(self) -> Rule:
        def to_metric(uow: Any) -> Any:
            raise_if_poisoned("measure", uow["event"])
            event = uow["event"]
            dimensions = [{"Name": f"event{event.get('note', '')}", "Value": event["id"]}]
            datum = {"MetricName": "items", "Dimensions": dimensions, "Value": 1}
            return {**uow, "put_metric_request": {"Namespace": "measure", "MetricData": [datum]}}

        def flavor(rule: Any) -> Any:
            return lambda source: source.pipe(
                rx_filter(on_event_type(rule)),
                rx_map(faulty(to_metric)),
                put_metric_data(parallel=self.history.parallel),
            )

        return {"flavor": flavor}

    def large(self) -> Rule:
        def emit(uow: Any, rule: Any, template: Any) -> Any:
            raise_if_poisoned("large", uow["event"])
            return {**noted(uow, template), "type": "large", "body": uow["event"]["id"] * 1000}

        return {"flavor": flavors.task, "emit": emit, "max_request_size": 1000}
