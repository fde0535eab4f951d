"""A small system that was observed: a listener that collects, a trigger that correlates and evaluates."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from stream_cli.journal.writer import Writer
from stream_cli.trace.model import Timeline

NOON = 1_767_268_800_000
STREAM = "arn:aws:kinesis:us-east-1:000000000000:stream/hub"
TABLE = "arn:aws:dynamodb:us-east-1:000000000000:table/events/stream/1"
QUEUE = "arn:aws:sqs:us-east-1:000000000000:failures"
LISTENER, TRIGGER, VIEW = "control-listener", "control-trigger", "bff-listener"

HANDLERS = """
from stream_runtime import stream_handler
from stream_runtime.events import from_dynamodb, from_kinesis
from stream_runtime.flavors import collect, correlate, evaluate, materialize

def is_complete(uow):
    return len({event["type"] for event in uow["correlated"]}) > 1

listener = stream_handler([
    {"id": "collect-story", "flavor": collect, "event_type": ["submitted", "analyzed"], "correlation_key": "story.id"},
], from_kinesis)
trigger = stream_handler([
    {"id": "correlate-story", "flavor": correlate, "event_type": ["submitted", "analyzed"],
     "correlation_key": "story.id", "correlation_key_suffix": "whole"},
    {"id": "evaluate-story", "flavor": evaluate, "event_type": ["submitted", "analyzed"],
     "correlation_key_suffix": "whole", "expression": is_complete, "emit": "ready", "once": True},
], from_dynamodb)
view = stream_handler([
    {"id": "view-story", "flavor": materialize, "event_type": "ready", "to_update_request": lambda uow: {}},
], from_kinesis)
"""


def function(name: str, handler: str, code: str) -> dict[str, Any]:
    return {
        "FunctionName": name,
        "FunctionArn": f"arn:aws:lambda:us-east-1:000000000000:function:{name}",
        "Runtime": "python3.14",
        "Handler": f"handlers.{handler}",
        "CodeSha256": code,
        "Environment": {"Variables": {"EVENT_TABLE_NAME": "events", "ENTITY_TABLE_NAME": "views", "BUS_NAME": "hub"}},
    }


def mapping(id: str, name: str, source: str, *patterns: Mapping[str, Any], state: str = "Enabled") -> dict[str, Any]:
    return {
        "UUID": id,
        "FunctionArn": f"arn:aws:lambda:us-east-1:000000000000:function:{name}",
        "EventSourceArn": source,
        "State": state,
        "FilterCriteria": {"Filters": [{"Pattern": json.dumps(pattern)} for pattern in patterns]},
    }


class SmallSystem:
    """What the APIs of the observed system answer; tests change it."""

    def __init__(self) -> None:
        self.handlers = HANDLERS
        self.deployed = {
            "listener": mapping("m-listener", LISTENER, STREAM, {"data": {"type": ["submitted", "analyzed"]}}),
            "view": mapping("m-view", VIEW, STREAM, {"data": {"type": ["ready"]}}),
            "trigger": mapping("m-trigger", TRIGGER, TABLE),
        }
        self.asked = 0

    def functions(self) -> list[dict[str, Any]]:
        handlers = {LISTENER: "listener", TRIGGER: "trigger", VIEW: "view"}
        return [function(name, handler, self.handlers) for name, handler in handlers.items()]

    def mappings(self) -> list[dict[str, Any]]:
        return list(self.deployed.values())

    def bus_rules(self, bus: str) -> list[dict[str, Any]]:
        pattern = {"account": ["000000000000"], "detail-type": [{"anything-but": ["fault", "internal"]}]}
        return [{"Name": "to-stream", "EventPattern": json.dumps(pattern), "State": "ENABLED"}]

    def code(self, name: str) -> bytes:
        self.asked += 1
        zipped = io.BytesIO()
        with zipfile.ZipFile(zipped, "w") as package:
            package.writestr("handlers.py", self.handlers)
        return zipped.getvalue()

    def stacks(self) -> list[dict[str, Any]]:
        raise NotImplementedError  # nothing that is tested asks for it

    def resources(self, stack: str) -> list[dict[str, Any]]:
        raise NotImplementedError  # nothing that is tested asks for it

    def template(self, stack: str) -> str:
        raise NotImplementedError  # nothing that is tested asks for it


class Observed:
    """Writes what happens; times are ms after noon."""

    def __init__(self, folder: Path) -> None:
        self._writer = Writer(folder, "emulator")
        self._number = 100
        self.now = 0

    def put(self, kind: str, **fields: Any) -> dict[str, Any]:
        line = {"kind": kind, "at": NOON + self.now, **fields}
        self._writer.put(line)
        return line

    def event(self, id: str, type: str, story: str = "story-1", *, taken: bool = True, **more: Any) -> dict[str, Any]:
        by = {"by": more.pop("by")} if "by" in more else {}
        detail = {"id": id, "type": type, "timestamp": NOON, "partition_key": story, "story": {"id": story}, **more}
        rules = [{"rule": "to-stream", "targets": [STREAM]}] if taken else []
        return self.put(
            "event", bus="hub", id=f"bus-{id}", source="bff", type=type, detail=detail, rules=rules, **by
        )  # fmt: skip

    def record(self, event: Mapping[str, Any]) -> str:
        self._number += 1
        detail = event["detail"]
        self.put(
            "stream", stream=STREAM, shard="shardId-000000000000", number=str(self._number),
            key=detail["partition_key"], id=detail["id"], type=detail["type"],
        )  # fmt: skip
        return str(self._number)

    def attempt(self, name: str, *numbers: str, stream: str = STREAM, **more: Any) -> str:
        """An attempt with its invocation; returns the request id."""
        self._number += 1
        request = more.pop("request", f"request-{self._number}")
        outcome = more.get("outcome", "ok")
        at = {"function": name, "request": request, "start": NOON + self.now - 5, "outcome": outcome}
        self.put("call", **at, end=NOON + self.now, **({"error": more["problem"]} if "problem" in more else {}))
        line = {"attempt": 1, "done": len(numbers) if outcome == "ok" else 0, **more}
        self.put(
            "attempt", mapping=self._mapping(name), shard="shardId-000000000000", stream=stream, numbers=list(numbers),
            **at, **{key: value for key, value in line.items() if key != "outcome"},
        )  # fmt: skip
        return str(request)

    def filtered(self, name: str, *numbers: str, stream: str = STREAM) -> None:
        self.put(
            "filtered", mapping=self._mapping(name), function=name, stream=stream, shard="shardId-000000000000",
            numbers=list(numbers),
        )  # fmt: skip

    def row(self, pk: str, sk: str, by: str, **attributes: Any) -> str:
        self._number += 1
        keys = {"pk": {"S": pk}, "sk": {"S": sk}}
        self.put(
            "change", table="events", change="INSERT", keys=keys, new={**keys, **attributes}, stream=TABLE,
            number=str(self._number), by=by,
        )  # fmt: skip
        return str(self._number)

    def collected(self, event: Mapping[str, Any]) -> str:
        """An event that was collected and correlated, up to its correlated row; returns that row's number."""
        detail = event["detail"]
        stored = {"M": {"id": {"S": detail["id"]}, "type": {"S": detail["type"]}}}
        record = self.record(event)
        self.now += 10
        self.filtered(VIEW, record)
        listening, triggered = f"listening to {detail['id']}", f"correlating {detail['id']}"
        data = {"data": {"S": detail["story"]["id"]}, "event": stored, "discriminator": {"S": "EVENT"}}
        ends = {"ttl": {"N": str(NOON // 1000 + 3600)}, "expire": {"S": "expired"}}
        row = self.row(detail["id"], "EVENT", listening, **data, **ends)
        self.attempt(LISTENER, record, request=listening)
        self.now += 10
        filed = {"discriminator": {"S": "CORREL"}, "suffix": {"S": "whole"}, "event": stored}
        number = self.row(f"{detail['story']['id']}.whole", detail["id"], triggered, **filed)
        self.attempt(TRIGGER, row, stream=TABLE, request=triggered)
        self.now += 10
        return number

    def _mapping(self, name: str) -> str:
        return {LISTENER: "m-listener", TRIGGER: "m-trigger", VIEW: "m-view"}[name]

    def flush(self) -> None:
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


Trace = Callable[..., Timeline]
