"""Rules of every flavor, as services write them: they trust what is in an event, and group, sort and key by it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stream_runtime import flavors
from stream_runtime.expressions import timestamp_condition, update_expression
from stream_runtime.filters import out_source_is_self

Rule = dict[str, Any]

WANTED = ["thing-created", "thing-updated", "object-created", "thing-changed", "Scheduled Event"]
ANYTHING = re.compile(".")

MAY_DROP = ("parts", "related", "once", "job")
"""Rules that send on nothing for some units of work: those without parts, without rows, of another's correlation."""


def groups_of(entered: Callable[[str, Any], bool]) -> dict[str, list[Rule]]:
    """Rules of every flavor in groups, one for a function each.

    Args:
        entered: told of each unit of work that a rule takes, by the rule's id; returns True.
    """
    groups = {
        "compacting": _compacting(),
        "grouping": _grouping(),
        "collecting": _collecting(),
        "sending": _sending(),
        "writing": _writing(),
        "reading": _reading(),
        "rows": _on_rows(),
        "correlations": _on_correlations(),
        "transforming": {"transform": {"flavor": flavors.transform, "to_data": lambda uow: uow["event"]}},
    }
    return {
        group: [
            {"event_type": WANTED, **rule, "id": id_, "filters": [_watched(entered, id_)]}
            for id_, rule in rules.items()
        ]
        for group, rules in groups.items()
    }


def _watched(entered: Callable[[str, Any], bool], id_: str) -> Callable[[Any], bool]:
    return lambda uow: entered(id_, uow)


def _to_row(uow: Any) -> Any:
    event = uow["event"]
    change = update_expression({"name": event.get("thing"), "timestamp": event["timestamp"]})
    return {"Key": {"pk": event["partition_key"], "sk": "thing"}, **change, **timestamp_condition()}


def _compacting() -> dict[str, Rule]:
    view = {"flavor": flavors.materialize, "table_name": "view", "to_update_request": _to_row}
    return {
        "compact": {**view, "compact": True},
        "compact-path": {**view, "compact": "event.thing.id"},
        "compact-own": {"flavor": flavors.task, "compact": lambda uow: uow["event"]["id"], "emit": "compacted"},
        "view": view,
    }


def _grouping() -> dict[str, Rule]:
    def members(uow: Any, rule: Any, template: Any) -> Any:
        return {**template, "type": "grouped", "members": [each["event"]["id"] for each in uow["batch"]]}

    return {
        "group": {"flavor": flavors.task, "event_type": ANYTHING, "group": True, "emit": members},
        "group-path": {"flavor": flavors.task, "group": "event.thing.id", "batch_size": 2, "emit": members},
        "rate": {"flavor": flavors.task, "execute": lambda uow: uow["event"]["timestamp"] + 1, "rate": 1_000_000},
        "types": {"flavor": flavors.task, "event_type": lambda uow: True, "emit": ["one", "two"], "parallel": 2},
    }


def _collecting() -> dict[str, Rule]:
    collect = {"flavor": flavors.collect, "table_name": "events"}
    return {
        "collect": collect,
        "collect-path": {**collect, "correlation_key": "thing.id", "ttl": 7, "expire": True},
        "collect-own": {**collect, "to_put_request": lambda uow, rule, row: row, "compression_threshold": 100},
        "collect-ttl": {**collect, "correlation_key": "id", "ttl": lambda rule, uow: uow["event"]["timestamp"] / 1000},
    }


def _sending() -> dict[str, Rule]:
    queues, topics = "https://sqs.us-east-1.amazonaws.com/1", "arn:aws:sns:us-east-1:1"

    def key_of(uow: Any) -> Any:
        return {"Data": uow["event"], "PartitionKey": uow["event"]["id"]}

    return {
        "topic": {
            "flavor": flavors.sns,
            "to_sns": lambda uow: {"Message": uow["event"]},
            "topic_arn": f"{topics}:t.fifo",
        },
        "queue": {
            "flavor": flavors.sqs,
            "to_sqs": lambda uow: {"MessageBody": uow["event"]},
            "queue_url": f"{queues}/q.fifo",
        },
        "stream": {"flavor": flavors.kinesis, "to_kinesis": key_of, "stream_name": "s"},
        "delivery": {
            "flavor": flavors.firehose,
            "to_firehose": lambda uow: {"Data": uow["event"]},
            "delivery_stream_name": "d",
        },
    }


def _writing() -> dict[str, Rule]:
    def to_object(uow: Any) -> Any:
        return {"Key": uow["event"]["partition_key"], "Body": uow["event"]}

    def to_document(uow: Any) -> Any:
        return {"index": "things", "id": uow["event"]["id"], "data": uow["event"]}

    return {
        "object": {"flavor": flavors.s3, "to_s3": to_object, "bucket_name": "b"},
        "mirror": {"flavor": flavors.materialize_s3, "to_put_request": to_object, "bucket_name": "b"},
        "document": {"flavor": flavors.elasticsearch, "to_elasticsearch": to_document, "domain_host": "search"},
        "function": {
            "flavor": flavors.invoke_lambda,
            "to_invoke_request": lambda uow: {"Payload": uow["event"]},
            "function_name": "f",
            "emit": "answered",
        },
        "parts": {**_compacting()["view"], "split_on": "thing.parts"},
    }


def _reading() -> dict[str, Rule]:
    def to_query(uow: Any) -> Any:
        values = {":pk": uow["event"]["partition_key"]}
        return {"KeyConditionExpression": "pk = :pk", "ExpressionAttributeValues": values}

    return {
        "related": {
            "flavor": flavors.update,
            "table_name": "rows",
            "to_query_request": to_query,
            "to_update_request": lambda uow: None,
        },
        "got": {
            "flavor": flavors.update,
            "table_name": "rows",
            "to_get_request": lambda uow: {"Keys": [{"pk": uow["event"]["id"], "sk": "item"}]},
            "to_update_request": _to_row,
        },
        "job": {"flavor": flavors.job, "table_name": "rows", "to_scan_request": lambda uow: {"Limit": 1}, "emit": "j"},
    }


def _on_rows() -> dict[str, Rule]:
    def to_view(uow: Any) -> Any:
        row = uow["event"]["raw"]["new"]
        return {"Key": {"pk": row["pk"], "sk": row["sk"]}, **update_expression({"name": row.get("name")})}

    return {
        "cdc": {"flavor": flavors.cdc, "event_type": re.compile("^thing")},
        "cdc-compact": {"flavor": flavors.cdc, "event_type": ANYTHING, "compact": True, "include_raw": False},
        "row-view": {
            "flavor": flavors.materialize,
            "event_type": ["thing-created", "thing-updated"],
            "table_name": "view",
            "to_update_request": to_view,
        },
        "outbox": {"flavor": flavors.outbox, "event_type": "outbox-created", "table_name": "rows"},
        "expired": {"flavor": flavors.expired},
        "row-job": {**_reading()["job"], "event_type": ["thing-created", "JOB-updated"]},
    }


def _on_correlations() -> dict[str, Rule]:
    evaluate = {"flavor": flavors.evaluate, "event_type": WANTED, "table_name": "events", "emit": "complete"}
    return {
        "correlate": {"flavor": flavors.correlate, "table_name": "events", "correlation_key": "thing.id"},
        "evaluate": {**evaluate, "expression": lambda uow: uow["correlated"] is not None},
        "latest": {**evaluate, "expression": lambda uow: True, "compact": True},
        "once": {**evaluate, "once": True},
        "updated": {
            "flavor": flavors.update,
            "event_type": WANTED,
            "table_name": "view",
            "to_update_request": _to_row,
        },
    }


OPENING: Mapping[str, Callable[[Any], bool]] = dict.fromkeys(
    ("compact", "compact-path", "view", "mirror", "parts"), out_source_is_self
)
"""Flavors that leave out units of work before the rule's own filters."""

UNSURE = (
    "cdc",
    "cdc-compact",
    "row-view",
    "outbox",
    "expired",
    "job",
    "row-job",
    "correlate",
    "evaluate",
    "latest",
    "once",
)
"""Rules whose flavor takes only some rows; whether these are taken is not told from outside."""

GROUPS_OF: Mapping[str, Sequence[str]] = {
    **dict.fromkeys(
        ("kinesis", "sqs", "fifo", "sns", "s3", "eventbridge", "schedule"),
        ("compacting", "grouping", "collecting", "sending", "writing", "reading"),
    ),
    "dynamodb": ("rows", "correlations", "grouping", "rows", "correlations", "compacting"),
    "firehose": ("transforming",),
}
"""For each source the groups of rules that read it."""
