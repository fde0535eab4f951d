"""Runs functions with their fixtures; runs in a process of its own, in a service's folder.

It reads ``{"later_s", "tables": [<CreateTable>], "functions": [{"id", "name", "handler", "timeout", "environment",
"fixtures": [{"name", "event"}]}]}`` from standard input, and writes a JSON list with one `TriedFunction` for each
function to standard output; what the functions print goes to standard error. Each function runs in a fork of its own:
its module reads its environment, and may fail in any way.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import signal
import sys
import traceback
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from .later import shift_clock
from .memory import Memory

MOST_S = 20
"""Seconds that the fixtures of one function may take."""
_PRELOADED = ("boto3", "ministack.services.dynamodb", "stream_runtime.handler", "stream_runtime.sinks.eventbridge")
_FRAME = re.compile(r'File "([^"]+)", line (\d+)')
_EVENTS = ("from_kinesis", "from_sqs", "from_sns", "from_firehose", "from_eventbridge")
_PLAIN: Mapping[str, tuple[set[str], ...]] = {
    **dict.fromkeys(_EVENTS, ({"id", "type"},)),
    "from_dynamodb": ({"newImage"}, {"oldImage"}, {"new_image"}, {"old_image"}, {"id", "type"}),
    "from_s3": ({"bucket", "object"},),
}
"""What plain events of a source have: all fields of one of these."""


def try_function(asked: Mapping[str, Any], memory: Memory) -> dict[str, Any]:
    """Run a function with each of its fixtures, one after the other; rows that one writes are there for the next."""
    path, _, name = asked["handler"].rpartition(".")
    try:
        handler = getattr(importlib.import_module(path.replace("/", ".")), name)
    except BaseException as error:
        return {"error": f"{type(error).__name__}: {error}", "fixtures": []}
    source = getattr(handler, "source", None)
    source_name = getattr(getattr(source, "func", source), "__name__", None)
    tried = []
    for fixture in asked["fixtures"]:
        event = _wrapped(fixture["event"], source_name)
        _put_images(event, memory)
        memory.calls.clear()
        memory.refused.clear()
        raised = None
        try:
            handler(event, _context(asked["name"], asked["timeout"]))
        except BaseException as error:
            place = _own_frame(traceback.format_exception(error))
            raised = {"name": type(error).__name__, "message": str(error), "file": place[0], "line": place[1]}
        tried.append({"name": fixture["name"], "raised": raised, **_seen(memory)})
    return {"error": None, "fixtures": tried}


def _seen(memory: Memory) -> dict[str, Any]:
    """What a fixture has made the function do."""
    entries = [
        each for call in memory.calls if call["operation"] == "PutEvents" for each in call["request"].get("Entries", ())
    ]
    events = [event for each in entries if isinstance(event := json.loads(each["Detail"]), Mapping)]
    calls = {json.dumps(need, sort_keys=True): need for call in memory.calls for need in needs_of(call)}
    return {
        "calls": list(calls.values()),
        "refused": [dict(each) for each in memory.refused],
        "published": [
            {"type": event.get("type"), "id": event.get("id"), "rule": (event.get("tags") or {}).get("pipeline")}
            for event in events
            if event.get("type") != "fault"
        ],
        "faults": [_fault(event) for event in events if event.get("type") == "fault"],
    }


def _fault(event: Mapping[str, Any]) -> dict[str, Any]:
    told = event["err"]
    file, line = _own_frame([told["stack"]])
    rule = event["tags"].get("pipeline")
    return {"rule": rule, "name": told["name"], "message": told["message"], "file": file, "line": line}


def needs_of(call: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Which actions a call needs, and on what: ``{"action", "kind", "name", "suffix"?}``, the name as it was given."""
    service, operation, request = call["service"], call["operation"], call["request"]
    if service == "dynamodb":
        return [need for each in _dynamodb_actions(operation, request) for need in each]
    if service == "s3" and operation in _OBJECTS and "Key" in request:
        need = {"action": _OBJECTS[operation], "kind": "bucket", "name": request.get("Bucket")}
        return [{**need, "suffix": f"/{request['Key']}"}]
    known = _ACTIONS.get((service, operation))
    if known is None:
        return []
    action, kind, names = known
    return [{"action": action, "kind": kind, "name": each} for each in dict.fromkeys(names(request)) if each]


def _dynamodb_actions(operation: str, request: Mapping[str, Any]) -> list[list[dict[str, Any]]]:
    def on(action: str, table: Any, index: Any = None) -> dict[str, Any]:
        suffix = f"/index/{index}" if index else ""
        return {"action": f"dynamodb:{action}", "kind": "table", "name": table, "suffix": suffix}

    if operation in ("BatchWriteItem", "BatchGetItem"):
        return [[on(operation, table) for table in request.get("RequestItems", {})]]
    if operation in ("TransactWriteItems", "TransactGetItems"):
        actions = {"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem", "Get": "GetItem"}
        members = [member for each in request.get("TransactItems", ()) for member in each.items()]
        return [[on(actions.get(kind, "ConditionCheckItem"), given.get("TableName")) for kind, given in members]]
    return [[on(operation, request["TableName"], request.get("IndexName"))]] if "TableName" in request else []


def _field(name: str) -> Any:
    return lambda request: [request.get(name)]


def _buses(request: Mapping[str, Any]) -> list[Any]:
    return [each.get("EventBusName") or "default" for each in request.get("Entries", ())]


_ACTIONS: Mapping[tuple[str, str], tuple[str, str, Any]] = {
    ("eventbridge", "PutEvents"): ("events:PutEvents", "bus", _buses),
    ("sns", "Publish"): ("sns:Publish", "topic", _field("TopicArn")),
    ("sns", "PublishBatch"): ("sns:Publish", "topic", _field("TopicArn")),
    ("sqs", "SendMessage"): ("sqs:SendMessage", "queue", _field("QueueUrl")),
    ("sqs", "SendMessageBatch"): ("sqs:SendMessage", "queue", _field("QueueUrl")),
    ("kinesis", "PutRecord"): ("kinesis:PutRecord", "stream", _field("StreamName")),
    ("kinesis", "PutRecords"): ("kinesis:PutRecords", "stream", _field("StreamName")),
    ("firehose", "PutRecord"): ("firehose:PutRecord", "delivery", _field("DeliveryStreamName")),
    ("firehose", "PutRecordBatch"): ("firehose:PutRecordBatch", "delivery", _field("DeliveryStreamName")),
    ("lambda", "Invoke"): ("lambda:InvokeFunction", "function", _field("FunctionName")),
    ("s3", "ListObjectsV2"): ("s3:ListBucket", "bucket", _field("Bucket")),
}


_OBJECTS = {
    "DeleteObject": "s3:DeleteObject",
    "GetObject": "s3:GetObject",
    "HeadObject": "s3:GetObject",
    "PutObject": "s3:PutObject",
}


def _wrapped(event: Any, source: str | None) -> Any:
    """A fixture as the function's source delivers it: plain ones are wrapped, as `invocation` of tests does."""
    plain = event if isinstance(event, list) else [event]
    if source is None or not all(_is_plain(each, source) for each in plain):
        return event
    from stream_runtime import events

    if source == "from_eventbridge":
        return events.to_eventbridge_event(event) if plain[0] is event else event
    return getattr(events, f"{source.replace('from_', 'to_')}_records")(plain)


def _is_plain(event: Any, source: str) -> bool:
    return isinstance(event, Mapping) and any(own <= event.keys() for own in _PLAIN.get(source, ()))


def _put_images(event: Any, memory: Memory) -> None:
    """Put the rows of a table's stream into the table that they are a change of."""
    for record in event.get("Records", ()) if isinstance(event, Mapping) else ():
        image = record.get("dynamodb", {}).get("NewImage") if isinstance(record, Mapping) else None
        if image is None:
            continue
        _, _, rest = str(record.get("eventSourceARN", "")).partition(":table/")
        if rest:
            memory.put(rest.partition("/")[0], image)


def _context(name: str, timeout_s: int) -> Any:
    """A Lambda context with all the time of the function."""
    return SimpleNamespace(
        function_name=name,
        function_version="$LATEST",
        memory_limit_in_mb=512,
        invoked_function_arn=f"arn:aws:lambda:us-east-1:000000000000:function:{name}",
        aws_request_id="00000000-0000-4000-8000-000000000000",
        get_remaining_time_in_millis=lambda: timeout_s * 1000,
    )


def _own_frame(stack: Sequence[str]) -> tuple[str | None, int | None]:
    """File and line of the last frame of a stack that is in the service's folder."""
    frames = [(os.path.relpath(file), int(line)) for file, line in _FRAME.findall("".join(stack))]
    own = [frame for frame in frames if not frame[0].startswith(("..", "<"))]
    return own[-1] if own else (None, None)


def _in_a_fork(asked: Mapping[str, Any], memory: Memory, tables: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    read, write = os.pipe()
    child = os.fork()
    if not child:
        code = 1
        try:
            os.close(read)
            signal.alarm(MOST_S)
            os.environ.clear()
            os.environ.update(asked["environment"])
            memory.create(tables)
            with os.fdopen(write, "w", encoding="utf-8") as answer:
                json.dump(try_function(asked, memory), answer, default=str)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(write)
    with os.fdopen(read, encoding="utf-8") as answer:
        text = answer.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == -signal.SIGALRM:
        return {"error": f"its fixtures took longer than {MOST_S} s", "fixtures": []}
    if code != 0:
        return {"error": f"it ended its process with {code}", "fixtures": []}
    answered: dict[str, Any] = json.loads(text)
    return answered


def _make_clients(functions: Sequence[Mapping[str, Any]]) -> None:
    """Make the clients that most functions use, once for all forks; they read the same region and credentials."""
    from stream_runtime import clients

    os.environ.update({name: value for name, value in functions[0]["environment"].items() if name.startswith("AWS_")})
    for service in ("dynamodb", "events"):
        clients.client(service)


def main() -> None:
    """Answer over standard input and output."""
    answer_to = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    asked = json.load(sys.stdin)
    shift_clock(asked["later_s"])
    for name in _PRELOADED:
        importlib.import_module(name)
    memory = Memory()
    memory.install()
    _make_clients(asked["functions"])
    sys.path.insert(0, os.getcwd())
    with answer_to:
        json.dump([_in_a_fork(each, memory, asked["tables"]) for each in asked["functions"]], answer_to)


if __name__ == "__main__":
    main()
