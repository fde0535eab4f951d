"""Rules of histories that read events: views, tasks, updates, jobs, and flavors of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reactivex import operators as ops
from rule_pieces import Rule, Rules, checked, content_of, noted, raise_if_poisoned, update_of
from stream_runtime import flavors, rx_filter, rx_map
from stream_runtime.expressions import timestamp_condition
from stream_runtime.faults import faulty
from stream_runtime.filters import on_event_type
from stream_runtime.operators import rx_effect, split_buffer
from stream_runtime.sinks.dynamodb import put_dynamodb

RELATIVES = 3
"""Rows that are related to each partition key."""
CHUNK = 2
"""Events that `chunked` groups at most."""
JOB_ITEMS = 6
"""Rows of the job's table; its pages have two."""


class RulesOnEvents(Rules):
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
        request = checked("compacting", lambda uow: {**update_of(uow), **timestamp_condition()})
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

    def shared(self) -> Rule:
        """A row for all keys."""

        def request(uow: Any) -> Any:
            return {**update_of(uow), "Key": {"pk": "shared", "sk": "row"}}

        return {"flavor": flavors.materialize, "table_name": "shared", "to_update_request": checked("shared", request)}

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
