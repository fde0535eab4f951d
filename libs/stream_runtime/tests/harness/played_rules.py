"""The rules of histories: every flavor and sink, with code that acts upon and fails with the simulated world."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from failures import REFUSED
from histories import WANTED, History
from reactivex import operators as ops
from simulated_aws import SimulatedAws
from stream_runtime import flavors, rx_filter, rx_map
from stream_runtime.expressions import timestamp_condition, update_expression
from stream_runtime.faults import faulty
from stream_runtime.filters import on_event_type
from stream_runtime.operators import rx_effect, split_buffer
from stream_runtime.sinks.cloudwatch import put_metric_data
from stream_runtime.sinks.dynamodb import put_dynamodb

RELATIVES = 3
"""Rows that are related to each partition key."""
CHUNK = 2
"""Events that `chunked` groups at most."""
JOB_ITEMS = 6
"""Rows of the job's table; its pages have two."""

ARN = "arn:aws:sns:us-east-1:123456789012"
QUEUES = "https://sqs.us-east-1.amazonaws.com/123456789012"

Rule = dict[str, Any]


def rules_of(history: History, aws: SimulatedAws) -> list[Rule]:
    """The rules of a history."""
    played = PlayedRules(history, aws)
    return [{"id": name, **_with_type(name, getattr(played, name)())} for name in history.pipelines]


def _with_type(name: str, rule: Rule) -> Rule:
    return {"event_type": list(WANTED[name]), **rule} if name in WANTED else rule


def raise_if_poisoned(name: str, event: Mapping[str, Any]) -> None:
    if name in event.get("poison", ()):
        raise ValueError(f"{event['id']} is poison for {name}")


def checked(name: str, make: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A function of a rule that raises for the events that are poison for it."""

    def function(uow: Any) -> Any:
        raise_if_poisoned(name, uow["event"])
        return make(uow)

    return function


def content_of(uow: Any) -> dict[str, Any]:
    """What rules write: which event caused it, and its note."""
    return {"cause": uow["event"]["id"], "note": uow["event"].get("note")}


def update_of(uow: Any) -> dict[str, Any]:
    """The update of the row of an event, or of one of its parts."""
    event, part = uow["event"], uow.get("split")
    cause = event["id"] if part is None else f"{event['id']}/{part}"
    return {
        "Key": {"pk": event["partition_key"], "sk": "row" if part is None else f"part{part}"},
        **update_expression({"cause": cause, "note": event.get("note"), "timestamp": event["timestamp"]}),
    }


def noted(uow: Any, template: dict[str, Any]) -> dict[str, Any]:
    """An event to be emitted, with an id that the bus refuses if the event's note says so."""
    return {**template, "id": f"{template['id']}.{REFUSED}"} if uow["event"].get("note") else template


class RulesOnEvents:
    """A method for each rule that reads events."""

    def __init__(self, history: History, aws: SimulatedAws) -> None:
        self.history = history
        self.aws = aws

    def local(self, name: str, target: str) -> Callable[[Any], Any]:
        """An effect of the rule's own code."""

        def act(uow: Any) -> Any:
            raise_if_poisoned(name, uow["event"])
            self.aws.local(name, uow["event"]["id"], target)
            return uow

        return act

    def collect(self) -> Rule:
        key = checked("collect", lambda uow: str(uow["event"]["partition_key"]))
        return {"flavor": flavors.collect, "table_name": "collect", "correlation_key": key}

    def view(self) -> Rule:
        return {"flavor": flavors.materialize, "table_name": "view", "to_update_request": checked("view", update_of)}

    def guarded(self) -> Rule:
        def request(uow: Any) -> Any:
            return {**update_of(uow), **timestamp_condition()}

        return {
            "flavor": flavors.materialize,
            "table_name": "guarded",
            "to_update_request": checked("guarded", request),
        }

    def split(self) -> Rule:
        request = checked("split", update_of)
        parts = {"split_on": "event.parts", "to_update_request": request}
        return {"flavor": flavors.materialize, "table_name": "split", **parts}

    def compacting(self) -> Rule:
        request = checked("compacting", update_of)
        return {
            "flavor": flavors.materialize,
            "table_name": "compacting",
            "compact": True,
            "to_update_request": request,
        }

    def grouped(self) -> Rule:
        return self._grouping("grouped")

    def chunked(self) -> Rule:
        return {**self._grouping("chunked"), "batch_size": CHUNK}

    def _grouping(self, name: str) -> Rule:
        def emit(uow: Any, rule: Any, template: Any) -> Any:
            members = [member["event"] for member in uow["batch"]]
            for event in members:
                raise_if_poisoned(name, event)
            return {**template, "type": name, "members": [event["id"] for event in members]}

        return {"flavor": flavors.task, "group": True, "emit": emit}

    def work(self) -> Rule:
        def emit_two(uow: Any, rule: Any, template: Any) -> Any:
            if uow["event"].get("note"):
                return {**noted(uow, template), "type": "first"}
            return [{**template, "type": "first"}, {**template, "type": "second"}]

        return {"flavor": flavors.task, "execute": self._executed("work"), "emit": emit_two}

    def workers(self) -> Rule:
        execute = self._executed("workers")
        return {"flavor": flavors.task, "execute": execute, "emit": "worked", "parallel": self.history.parallel}

    def limited(self) -> Rule:
        return {"flavor": flavors.task, "execute": self._executed("limited"), "emit": "worked", "rate": 10_000_000}

    def _executed(self, name: str) -> Callable[[Any], Any]:
        act = self.local(name, "executed")
        return lambda uow: act(uow) and "result"

    def large(self) -> Rule:
        def emit(uow: Any, rule: Any, template: Any) -> Any:
            raise_if_poisoned("large", uow["event"])
            return {**noted(uow, template), "type": "large", "body": uow["event"]["id"] * 1000}

        return {"flavor": flavors.task, "emit": emit, "max_request_size": 1000}

    def custom(self) -> Rule:
        act = faulty(self.local("custom", "custom"))

        def flavor(rule: Any) -> Any:
            return lambda source: source.pipe(
                rx_filter(on_event_type(rule)),
                ops.do_action(lambda uow: None),
                rx_map(act),
                ops.map(lambda uow: uow),
                rx_map(lambda uow: {**uow, "custom": True}),
            )

        return {"flavor": flavor}

    def direct(self) -> Rule:
        def to_put(uow: Any) -> Any:
            event = uow["event"]
            row = {"pk": event["partition_key"], "sk": event["id"], **content_of(uow)}
            return {**uow, "put_request": {"Item": row}}

        def flavor(rule: Any) -> Any:
            return lambda source: source.pipe(
                rx_filter(on_event_type(rule)),
                rx_map(to_put),
                put_dynamodb(table_name="direct", parallel=self.history.parallel),
                rx_map(faulty(self.local("direct", "after"))),
            )

        return {"flavor": flavor}

    def buffered(self) -> Rule:
        def checked_members(uows: Any) -> Any:
            for uow in uows:
                raise_if_poisoned("buffered", uow["event"])
            return uows

        def flavor(rule: Any) -> Any:
            return lambda source: source.pipe(
                rx_filter(on_event_type(rule)),
                ops.buffer_with_count(3),
                rx_map(checked_members),
                split_buffer(),
                rx_effect(self.local("buffered", "buffered")),
            )

        return {"flavor": flavor}

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

    def topic(self) -> Rule:
        make = checked("topic", lambda uow: {"Message": content_of(uow)})
        return {"flavor": flavors.sns, "to_sns": make, "topic_arn": f"{ARN}:topic"}

    def queue(self) -> Rule:
        make = checked("queue", lambda uow: {"MessageBody": content_of(uow)})
        return {"flavor": flavors.sqs, "to_sqs": make, "queue_url": f"{QUEUES}/queue"}

    def lane(self) -> Rule:
        make = checked("lane", lambda uow: {"MessageBody": content_of(uow)})
        return {"flavor": flavors.sqs, "to_sqs": make, "queue_url": f"{QUEUES}/lane.fifo"}

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

    def index(self) -> Rule:
        def to_document(uow: Any) -> Any:
            return {"index": "index", "id": uow["event"]["partition_key"], "data": content_of(uow)}

        return {
            "flavor": flavors.elasticsearch,
            "to_elasticsearch": checked("index", to_document),
            "domain_host": "search",
        }

    def shared(self) -> Rule:
        """A row for all keys."""

        def request(uow: Any) -> Any:
            return {**update_of(uow), "Key": {"pk": "shared", "sk": "row"}}

        return {"flavor": flavors.materialize, "table_name": "shared", "to_update_request": checked("shared", request)}

    def sharedobject(self) -> Rule:
        """An object for all keys."""

        def to_object(uow: Any) -> Any:
            event = uow["event"]
            return {"Key": f"shared{event.get('note', '')}", "Body": event, "ExpectedBucketOwner": event["id"]}

        return {"flavor": flavors.s3, "to_s3": checked("sharedobject", to_object), "bucket_name": "sharedobject"}

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

    def several(self) -> Rule:
        """Two messages for each event, on a FIFO topic."""

        def messages(uow: Any) -> Any:
            content = content_of(uow)
            return [{"Message": {**content, "cause": f"{content['cause']}/{number}"}} for number in range(2)]

        return {"flavor": flavors.sns, "to_sns": checked("several", messages), "topic_arn": f"{ARN}:several.fifo"}

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

    def related(self) -> Rule:
        def to_relatives(uow: Any) -> Any:
            return {
                "KeyConditionExpression": "#pk = :pk",
                "ExpressionAttributeNames": {"#pk": "pk"},
                "ExpressionAttributeValues": {":pk": uow["event"]["partition_key"]},
            }

        def to_relative(uow: Any) -> Any:
            return {"Keys": [{name: uow["split"][name] for name in ("pk", "sk")}]}

        def to_update(uow: Any) -> Any:
            (row,) = uow["batch_get_response"]["Responses"]["related"]
            request = update_of({**uow, "split": row["number"]})
            return {**request, "Key": {name: row[name] for name in ("pk", "sk")}}

        return {
            "flavor": flavors.update,
            "table_name": "related",
            "to_query_request": checked("related", to_relatives),
            "split_on": "query_response",
            "split_target_field": "split",
            "to_get_request": to_relative,
            "to_update_request": to_update,
        }

    def fallback(self) -> Rule:
        """An update whose condition never holds, and the one that is made instead."""

        def never(uow: Any) -> Any:
            return {**update_of(uow), "ConditionExpression": "attribute_exists(missing)"}

        def instead(uow: Any) -> Any:
            return {**update_of(uow), **timestamp_condition()}

        return {
            "flavor": flavors.update,
            "table_name": "fallback",
            "to_update_request": checked("fallback", never),
            "to_fallback_update_request": instead,
        }

    def job(self) -> Rule:
        def to_scan(uow: Any) -> Any:
            raise_if_poisoned("job", uow["event"])
            return {"Limit": 2}

        def emit(uow: Any, rule: Any, template: Any) -> Any:
            return {**noted(uow, template), "type": "worked", "number": uow["item"]["number"]}

        return {
            "flavor": flavors.job,
            "table_name": "job",
            "cursor_table_name": "cursor",
            "to_scan_request": to_scan,
            "emit": emit,
        }

    def transform(self) -> Rule:
        return {"flavor": flavors.transform, "to_data": checked("transform", content_of)}


class PlayedRules(RulesOnEvents):
    """A method for each rule that reads the stream of a table, too."""

    def cdc(self) -> Rule:
        def to_event(uow: Any) -> Any:
            row = uow["event"]["raw"]["new"]
            raise_if_poisoned("cdc", {**row, "id": row["pk"]})
            return {"type": "entity-changed", "entity": row}

        return {"flavor": flavors.cdc, "event_type": ["entity-created", "entity-updated"], "to_event": to_event}

    def rowview(self) -> Rule:
        def request(uow: Any) -> Any:
            row = uow["event"]["raw"]["new"]
            raise_if_poisoned("rowview", {**row, "id": row["pk"]})
            return update_of(uow)

        return {
            "flavor": flavors.materialize,
            "event_type": re.compile("^entity-"),
            "table_name": "rowview",
            "to_update_request": request,
        }

    def outbox(self) -> Rule:
        def to_message(uow: Any) -> Any:
            row = uow["event"]["raw"]["new"]
            raise_if_poisoned("outbox", {**row, "id": row["sk"]})
            return {"topic": "outbox", "message": {"cause": row["sk"]}}

        return {
            "flavor": flavors.outbox,
            "event_type": "outbox-created",
            "to_message": to_message,
            "table_name": "outbox-rows",
        }

    def correlate(self) -> Rule:
        key = checked("correlate", lambda uow: str(uow["event"]["partition_key"]))
        return {
            "flavor": flavors.correlate,
            "event_type": ["a", "b"],
            "table_name": "correlate",
            "correlation_key": key,
        }

    def evaluate(self) -> Rule:
        """Emits for each event that finds an a and a b in its correlation."""
        return self._evaluating("evaluate", emit="complete", expression=is_complete)

    def each(self) -> Rule:
        """Emits for each event, and copies from it."""

        def emit(uow: Any, rule: Any, template: Any) -> Any:
            return {**template, "type": "counted", "amount": uow["event"]["amount"]}

        return self._evaluating("each", emit=emit, expression=lambda uow: True)

    def latest(self) -> Rule:
        """Emits for the last event of a batch that finds an a and a b in its correlation."""
        return self._evaluating("latest", emit="complete", expression=is_complete, compact=True)

    def once(self) -> Rule:
        """Emits once for each correlation with an a and a b."""

        def emit(uow: Any, rule: Any, template: Any) -> Any:
            return {**template, "type": "complete-once"}

        return self._evaluating("once", emit=emit, expression=is_complete, once=True)

    def _evaluating(self, name: str, expression: Callable[[Any], Any], **more: Any) -> Rule:
        return {
            "flavor": flavors.evaluate,
            "event_type": re.compile("^[ab]$"),
            "table_name": f"{name}-rows",
            "expression": checked(name, expression),
            **more,
        }

    def expired(self) -> Rule:
        return {"flavor": flavors.expired}


def is_complete(uow: Any) -> bool:
    """Whether a correlation has an a and a b."""
    return {event["type"] for event in uow["correlated"]} >= {"a", "b"}
