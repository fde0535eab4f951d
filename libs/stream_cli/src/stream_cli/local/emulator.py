"""The AWS emulator: ministack, served on loopback, with what the local cloud needs that only its internals can give.

This is the one file that knows internals of ministack; ``PINNED`` is the version they were read in, ``INTERNALS`` names
them all, and a test fails on any other version or missing name. What is changed, and why no public API would do:

- ministack's own pollers of Kinesis and DynamoDB streams are off: the mapping engine takes their place. Its SQS poller
  stays.
- Event source mappings keep every field that they are created or updated with, through the API and CloudFormation;
  ministack drops TumblingWindowInSeconds, StartingPositionTimestamp and the rarer ones. They tell to the millisecond
  when they were made (LATEST begins there), are disabled when a template says so, have the API's default batch size
  (100 on streams), may name an enhanced fan-out consumer as their source, and are refused for what AWS refuses: an
  invalid filter pattern, a setting out of its range.
- Shards that are split, merged or scaled stay, closed, until their records expire; ministack deletes them at once, and
  with them what has not been read. (Its SubscribeToShard does not tell of their children.)
- Functions that log nothing answer at once; ministack waits 50 ms for a line of log after each invocation, which holds
  a shard to 18 batches a second.
- A function that raises keeps its process, as on AWS; ministack ends it, and each retry is a cold start.
- Functions run on the interpreter that ``lambda_python`` makes, so that they see their package and boto3 alone.
- CloudFormation knows the types that ministack refuses:
  ``AWS::Kinesis::StreamConsumer`` (real: RegisterStreamConsumer), ``AWS::Events::Archive`` (real: CreateArchive),
  ``AWS::Events::EventBusPolicy`` (real: the policy that PutPermission writes; ministack does not enforce it), and
  ``AWS::EventSchemas::Discoverer``, ``AWS::EventSchemas::Registry`` (only recorded: there is no schemas API).
- Requests can be made to fail: see ``FaultInjection``.

Run as ``python -m stream_cli.local.emulator --port 0 --ready FILE --lambda-python PYTHON``; once it listens it writes
``{"port": ...}`` to FILE. It ends on SIGTERM and SIGINT.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import importlib
import json
import logging
import math
import os
import resource
import signal
import socket
import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from stream_cli.local.state import write_json
from stream_cli.mappings.filters import compile_filters
from stream_cli.mappings.settings import MappingSettings

PINNED = "1.5.33"

INTERNALS: dict[str, tuple[str, ...]] = {
    "ministack.app": ("app",),
    "ministack.core.lambda_runtime": ("_detect_runtime_binary", "_PYTHON_WORKER_SCRIPT", "reset", "Worker"),
    "ministack.core.responses": ("get_account_id", "get_region"),
    "ministack.services.lambda_svc": (
        *("_poll_kinesis", "_poll_dynamodb_streams", "_poll_sqs", "_poll_loop"),
        *("_create_esm", "_update_esm", "_esms", "_kinesis_stream_name_from_arn_spec", "error_response_json"),
    ),
    "ministack.services.kinesis": (
        *("_register_consumer", "_deregister_consumer", "_consumers"),
        *("_split_shard", "_merge_shards", "_update_shard_count", "_route_to_shard", "_shard_out", "_get_records"),
        *("_describe_stream_summary", "_resolve_stream", "_build_shards", "_max_shard_index", "_shard_iterators"),
        *("_streams", "error_response_json", "json_response"),
    ),
    "ministack.services.eventbridge": (
        *("_create_archive", "_update_archive", "_delete_archive", "_archives"),
        *("_event_bus_policies", "logger"),
    ),
    "ministack.services.cloudformation.provisioners": ("_RESOURCE_HANDLERS",),
}

_MAPPING_TYPE = "AWS::Lambda::EventSourceMapping"
# Fields of CreateEventSourceMapping that ministack neither stores nor uses.
_DROPPED_FIELDS = (
    *("TumblingWindowInSeconds", "StartingPositionTimestamp", "SourceAccessConfigurations", "Queues", "Topics"),
    *("MetricsConfig", "LoggingConfig", "ProvisionedPollerConfig", "KMSKeyArn"),
)

# What a function logged is in its pipe before its answer is: the thread that reads the pipe has but to be scheduled.
_LOG_WAIT_S = 0.01

_UNSUPPORTED_TARGET = "EventBridge: unsupported target type"

FAULTS_PATH = "/_streamctl/faults"

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


def verify_pinned() -> None:
    """Refuse to work with any other ministack than the one this file was written for.

    Raises:
        RuntimeError: another version is installed, or an internal name that this file relies on is gone.
    """
    installed = version("ministack")
    if installed != PINNED:
        raise RuntimeError(f"ministack {installed} is installed, stream_cli.local.emulator was written for {PINNED}")
    for module, names in INTERNALS.items():
        for name in names:
            if not hasattr(importlib.import_module(module), name):
                raise RuntimeError(f"{module}.{name}, which stream_cli.local.emulator relies on, does not exist")


class _DeliveredElsewhere(logging.Filter):
    """Drops ministack's remark that it does not deliver to Kinesis and Firehose: ``deliveries`` does."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is to be logged."""
        message = record.getMessage()
        return not (message.startswith(_UNSUPPORTED_TARGET) and (":kinesis:" in message or ":firehose:" in message))


# --- requests that fail ---------------------------------------------------------------------------------------------


@dataclass
class Fault:
    """Requests for the AWS call ``target`` whose body has every text of ``contains``: refused.

    As many as ``times`` (None: no limit), and only in the first ``seconds`` (None: no limit).
    """

    target: str
    error: str
    contains: list[str] = field(default_factory=list)
    times: int | None = 1
    seconds: float | None = None
    status: int = 400
    message: str = "Injected by streamctl"
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    fired: int = 0
    armed_at: float = field(default_factory=time.monotonic)

    @classmethod
    def parse(cls, body: bytes) -> Fault:
        """Read a fault from a request's body.

        Raises:
            ValueError: it is not what a fault looks like; the message says what is wrong.
        """
        given = json.loads(body)
        allowed = {"target", "error", "contains", "times", "seconds", "status", "message"}
        if not isinstance(given, dict) or not {"target", "error"} <= given.keys() <= allowed:
            raise ValueError(f"a fault is an object with target and error, and may have {sorted(allowed)}")
        contains = given.get("contains", [])
        given["contains"] = [contains] if isinstance(contains, str) else contains
        if given.get("seconds") is not None:
            given.setdefault("times", None)
        fault = cls(**given)
        if not all(isinstance(text, str) for text in (fault.target, fault.error, fault.message, *fault.contains)):
            raise ValueError("target, error, message and contains are texts")
        if not isinstance(fault.status, int):
            raise ValueError("status is a number")
        if fault.times is None and fault.seconds is None:
            raise ValueError("times is a number above 0 where there are no seconds")
        if fault.times is not None and not (isinstance(fault.times, int) and fault.times > 0):
            raise ValueError("times is a number above 0")
        if fault.seconds is not None and not (isinstance(fault.seconds, int | float) and fault.seconds > 0):
            raise ValueError("seconds is a number above 0")
        return fault

    @property
    def armed(self) -> bool:
        """Whether there are requests left to refuse, and time to do it."""
        in_time = self.seconds is None or time.monotonic() < self.armed_at + self.seconds
        return in_time and (self.times is None or self.fired < self.times)

    def applies_to(self, target: str, body: bytes) -> bool:
        """Whether this request is one to refuse."""
        return self.armed and target == self.target and all(t.encode() in body for t in self.contains)


class FaultInjection:
    """ASGI layer that refuses chosen AWS requests, as the service would, before the emulator sees them.

    ``POST /_streamctl/faults`` with ``{"target": "DynamoDB_20120810.UpdateItem", "contains": "<text in the body>",
    "times": 1, "error": "ProvisionedThroughputExceededException", "status": 400}`` arms a fault (``contains`` may be a
    list: all of them; ``status`` may be 5xx; ``seconds`` lets it last so long, instead of ``times`` or beside it); GET
    lists them with how often each has ``fired``; DELETE removes all.
    ``target`` is the request's X-Amz-Target, so it works for the JSON protocols: DynamoDB, Kinesis, EventBridge, SQS,
    Firehose, Step Functions, ...
    """

    def __init__(self, app: App) -> None:
        """Stand before ``app``."""
        self._app = app
        self._faults: list[Fault] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, or hand it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["path"] == FAULTS_PATH:
            await _answer(send, *self._administer(scope["method"], await _read(receive)))
        else:
            target = _header(scope, b"x-amz-target")
            if any(fault.target == target and fault.armed for fault in self._faults):
                body = await _read(receive)
                for fault in self._faults:
                    if fault.applies_to(target, body):
                        fault.fired += 1
                        await _answer(send, fault.status, {"__type": fault.error, "message": fault.message})
                        return
                receive = _replay(body, receive)
            await self._app(scope, receive, send)

    def _administer(self, method: str, body: bytes) -> tuple[int, Any]:
        if method == "GET":
            return 200, [_shown(fault) for fault in self._faults]
        if method == "DELETE":
            self._faults.clear()
            return 200, []
        if method == "POST":
            try:
                fault = Fault.parse(body)
            except (ValueError, TypeError) as error:
                return 400, {"message": str(error)}
            self._faults.append(fault)
            return 201, _shown(fault)
        return 405, {"message": "GET, POST or DELETE"}


def _shown(fault: Fault) -> dict[str, Any]:
    return {name: value for name, value in asdict(fault).items() if name != "armed_at"}


def _header(scope: Scope, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name), "")


async def _read(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if message["type"] != "http.request" or not message.get("more_body"):
            return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    pending = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> MutableMapping[str, Any]:
        return pending.pop() if pending else await receive()

    return again


async def _answer(send: Send, status: int, content: Any) -> None:
    body = json.dumps(content).encode()
    headers = [
        (b"content-type", b"application/x-amz-json-1.0"),
        (b"content-length", str(len(body)).encode()),
        (b"x-amzn-requestid", str(uuid.uuid4()).encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


# --- event source mappings ------------------------------------------------------------------------------------------


def _keep_mappings_whole(lambda_svc: Any, handlers: dict[str, Any]) -> None:
    create, update = lambda_svc._create_esm, lambda_svc._update_esm

    def keep(mapping_id: str, given: dict[str, Any], **more: Any) -> dict[str, Any]:
        kept = {name: given[name] for name in _DROPPED_FIELDS if given.get(name) is not None}
        # Records arrive in whole milliseconds too, so a finer time could lie behind a record that came after it.
        kept.update(more, LastModified=math.floor(time.time() * 1000) / 1000)
        mapping = lambda_svc._esms.get(mapping_id)
        if mapping is not None:
            mapping.update(kept)
        return kept

    def with_kept(response: Any, given: dict[str, Any]) -> Any:
        status, headers, body = response
        if status >= 400:
            return response
        answered = json.loads(body)
        answered.update(keep(answered["UUID"], given))
        return status, headers, json.dumps(answered).encode()

    def with_default_size(given: dict[str, Any]) -> dict[str, Any]:
        # CreateEventSourceMapping in the Lambda API reference: 100 on streams, 10 on queues.
        return given if ":sqs:" in str(given.get("EventSourceArn", "")) else {"BatchSize": 100, **given}

    def create_mapping(data: dict[str, Any]) -> Any:
        refusal = _refusal(data)
        if refusal is not None:
            return lambda_svc.error_response_json("InvalidParameterValueException", refusal, 400)
        return with_kept(create(with_default_size(data)), data)

    def update_mapping(mapping_id: str, data: dict[str, Any]) -> Any:
        refusal = _refusal({**lambda_svc._esms.get(mapping_id, {}), **data})
        if refusal is not None:
            return lambda_svc.error_response_json("InvalidParameterValueException", refusal, 400)
        return with_kept(update(mapping_id, data), data)

    lambda_svc._create_esm, lambda_svc._update_esm = create_mapping, update_mapping

    from_template = dict(handlers[_MAPPING_TYPE])

    def numbers(given: dict[str, Any]) -> dict[str, Any]:
        # CloudFormation's numbers may arrive as text (a parameter, a Fn::Sub); the API's never do.
        names = ("TumblingWindowInSeconds", "StartingPositionTimestamp")
        return {**given, **{name: float(given[name]) for name in names if given.get(name) is not None}}

    def refuse(properties: dict[str, Any]) -> None:
        refusal = _refusal(properties)
        if refusal is not None:
            raise ValueError(f"{_MAPPING_TYPE}: {refusal}")

    def created(logical_id: str, properties: dict[str, Any], stack: str) -> Any:
        refuse(properties)
        outcome = from_template["create"](logical_id, with_default_size(properties), stack)
        keep(outcome[0], _whole(numbers(properties)), State=_state_of(properties))
        return outcome

    def updated(mapping_id: str, old: dict[str, Any], new: dict[str, Any], stack: str) -> Any:
        refuse(new)
        outcome = from_template["update"](mapping_id, old, new, stack)
        keep(outcome[0], _whole(numbers(new)), State=_state_of(new))
        return outcome

    handlers[_MAPPING_TYPE] = {**from_template, "create": created, "update": updated}
    stream_name = lambda_svc._kinesis_stream_name_from_arn_spec

    def name_of(spec: Any) -> Any:
        consumed, _, consumer = spec.resource.partition("/consumer/")
        return stream_name(replace(spec, resource=consumed) if consumer else spec)

    lambda_svc._kinesis_stream_name_from_arn_spec = name_of


def _refusal(given: dict[str, Any]) -> str | None:
    """Why AWS would not have a stream mapping with these settings; None when it would."""
    if str(given.get("EventSourceArn", "")).split(":")[2:3] not in (["kinesis"], ["dynamodb"]):
        return None
    try:
        settings = MappingSettings.from_configuration({**given, "UUID": "", "FunctionArn": ""})
        compile_filters(settings.source.kind, settings.filter_patterns)
    except ValueError as error:
        return str(error)
    return None


def _state_of(properties: dict[str, Any]) -> str:
    return "Disabled" if str(properties.get("Enabled", True)).lower() == "false" else "Enabled"


def _whole(given: dict[str, Any]) -> dict[str, Any]:
    return {
        name: int(value) if isinstance(value, float) and value.is_integer() else value for name, value in given.items()
    }


# --- shards of Kinesis streams --------------------------------------------------------------------------------------


def _keep_closed_shards(kinesis: Any) -> None:
    """Close a resharded shard instead of deleting it: it takes no more records, and can be read to its end."""
    split, merge, scale = kinesis._split_shard, kinesis._merge_shards, kinesis._update_shard_count
    route, shard_out = kinesis._route_to_shard, kinesis._shard_out
    get_records, summary = kinesis._get_records, kinesis._describe_stream_summary

    def open_shards(stream: dict[str, Any]) -> dict[str, Any]:
        return {name: shard for name, shard in stream["shards"].items() if "ending_sequence_number" not in shard}

    def close(stream: dict[str, Any], before: dict[str, Any]) -> None:
        """Put back, as closed, what of ``before`` is gone from the stream."""
        gone = {name: shard for name, shard in before.items() if name not in stream["shards"]}
        for shard in gone.values():
            last = shard["records"][-1]["SequenceNumber"] if shard["records"] else shard["starting_sequence_number"]
            shard.setdefault("ending_sequence_number", last)
        stream["shards"] = {**gone, **stream["shards"]}

    def closing(reshard: Callable[[dict[str, Any]], Any], *keys: str) -> Callable[[dict[str, Any]], Any]:
        def resharded(data: dict[str, Any]) -> Any:
            name, stream = kinesis._resolve_stream(data)
            if stream is None:
                return reshard(data)
            closed = stream["shards"].keys() - open_shards(stream).keys()
            named = next((data[key] for key in keys if data.get(key) in closed), None)
            if named is not None:
                message = f"Shard {named} in stream {name} is closed"
                return kinesis.error_response_json("ResourceInUseException", message, 400)
            before = dict(stream["shards"])
            response = reshard(data)
            close(stream, before)
            return response

        return resharded

    def scaled(data: dict[str, Any]) -> Any:
        name, stream = kinesis._resolve_stream(data)
        target = int(data.get("TargetShardCount") or 0)
        if stream is None or target < 1:
            return scale(data)
        before, parents = dict(stream["shards"]), open_shards(stream)
        stream["shards"] = kinesis._build_shards(target, start_index=kinesis._max_shard_index(stream) + 1)
        for child in stream["shards"].values():
            # A shard has two parents at most, so AWS scales by steps; of one big step the further ones go unnamed.
            named = [name for name, parent in parents.items() if _overlap(parent, child)]
            child["parent_shard_id"] = named[0]
            child["adjacent_parent_shard_id"] = named[1] if len(named) > 1 else None
        close(stream, before)
        answer = {"StreamName": name, "CurrentShardCount": len(parents), "TargetShardCount": target}
        return kinesis.json_response({**answer, "StreamARN": stream["StreamARN"]})

    def shown(name: str, shard: dict[str, Any]) -> Any:
        answer = shard_out(name, shard)
        if "ending_sequence_number" in shard:
            answer["SequenceNumberRange"]["EndingSequenceNumber"] = shard["ending_sequence_number"]
        return answer

    def read(data: dict[str, Any]) -> Any:
        iterator = kinesis._shard_iterators.get(data.get("ShardIterator"))
        status, headers, body = response = get_records(data)
        stream = kinesis._streams.get(iterator["stream"]) if iterator else None
        shard = stream["shards"].get(iterator["shard_id"]) if stream else None
        if status != 200 or shard is None or "ending_sequence_number" not in shard:
            return response
        answer = json.loads(body)
        if kinesis._shard_iterators[answer["NextShardIterator"]]["position"] >= len(shard["records"]):
            # GetRecords in the Kinesis API reference: null when the shard is closed and has nothing more.
            answer["NextShardIterator"] = None
        return status, headers, json.dumps(answer).encode()

    def summarized(data: dict[str, Any]) -> Any:
        status, headers, body = response = summary(data)
        if status != 200:
            return response
        answer = json.loads(body)
        answer["StreamDescriptionSummary"]["OpenShardCount"] = len(open_shards(kinesis._resolve_stream(data)[1]))
        return status, headers, json.dumps(answer).encode()

    kinesis._split_shard = closing(split, "ShardToSplit")
    kinesis._merge_shards = closing(merge, "ShardToMerge", "AdjacentShardToMerge")
    kinesis._update_shard_count = scaled
    kinesis._route_to_shard = lambda key, stream: route(key, {**stream, "shards": open_shards(stream)})
    kinesis._shard_out, kinesis._get_records, kinesis._describe_stream_summary = shown, read, summarized


def _overlap(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return int(one["starting_hash_key"]) <= int(other["ending_hash_key"]) and int(other["starting_hash_key"]) <= int(
        one["ending_hash_key"]
    )


# --- functions ------------------------------------------------------------------------------------------------------


def _kept_warm(lambda_runtime: Any) -> str:
    """Let functions that raise keep their process; returns the script that Python functions are to be run with.

    A worker's answer with the status "error" makes ministack end its process. The script says "ok" and that the
    function has raised, and ``Worker.invoke`` says "error" again to its caller.
    """
    script = str(lambda_runtime._PYTHON_WORKER_SCRIPT)
    raised = '{"status": "error", "error": str(e), "trace"'
    if script.count(raised) != 1:
        raise RuntimeError("_PYTHON_WORKER_SCRIPT does not answer an exception as stream_cli.local.emulator expects")
    invoke = lambda_runtime.Worker.invoke

    @functools.wraps(invoke)
    def invoked(worker: Any, *arguments: Any, **options: Any) -> Any:
        response = invoke(worker, *arguments, **options)
        return {**response, "status": "error"} if "trace" in response else response

    lambda_runtime.Worker.invoke = invoked
    return script.replace(raised, '{"status": "ok", "error": str(e), "trace"')


# --- CloudFormation types -------------------------------------------------------------------------------------------


def _outcome(response: Any, type_name: str) -> dict[str, Any]:
    status, _headers, body = response
    answered: dict[str, Any] = json.loads(body)
    if status >= 400:
        raise ValueError(f"{type_name}: {answered.get('__type', status)}: {answered.get('message', '')}")
    return answered


def _stream_consumer(kinesis: Any) -> dict[str, Any]:
    type_name = "AWS::Kinesis::StreamConsumer"

    def create(_logical_id: str, properties: dict[str, Any], _stack: str) -> Any:
        consumer = _outcome(kinesis._register_consumer(properties), type_name)["Consumer"]
        names = ("ConsumerARN", "ConsumerName", "ConsumerStatus", "ConsumerCreationTimestamp")
        return consumer["ConsumerARN"], {**{n: consumer[n] for n in names}, "StreamARN": properties["StreamARN"]}

    def update(consumer_arn: str, old: dict[str, Any], new: dict[str, Any], stack: str) -> Any:
        if all(old.get(name) == new.get(name) for name in ("ConsumerName", "StreamARN")):
            stored = kinesis._consumers[consumer_arn]
            return consumer_arn, dict(stored)
        delete(consumer_arn, old)
        return create("", new, stack)

    def delete(consumer_arn: str, _properties: dict[str, Any]) -> None:
        # The stream's own deletion takes its consumers along, so it may be gone already.
        if consumer_arn in kinesis._consumers:
            _outcome(kinesis._deregister_consumer({"ConsumerARN": consumer_arn}), type_name)

    return {type_name: {"create": create, "update": update, "delete": delete}}


def _archive(eventbridge: Any) -> dict[str, Any]:
    type_name = "AWS::Events::Archive"

    def request(name: str, properties: dict[str, Any]) -> dict[str, Any]:
        pattern = properties.get("EventPattern", "")
        given = {
            "ArchiveName": name,
            "EventSourceArn": properties["SourceArn"],
            "Description": properties.get("Description", ""),
            "EventPattern": pattern if isinstance(pattern, str) else json.dumps(pattern),
            "RetentionDays": int(properties.get("RetentionDays", 0)),
            "KmsKeyIdentifier": properties.get("KmsKeyIdentifier"),
        }
        return {key: value for key, value in given.items() if value is not None}

    def create(logical_id: str, properties: dict[str, Any], stack: str) -> Any:
        name = properties.get("ArchiveName") or f"{stack}-{logical_id}-{uuid.uuid4().hex[:12]}"[-48:]
        return name, {"Arn": _outcome(eventbridge._create_archive(request(name, properties)), type_name)["ArchiveArn"]}

    def update(name: str, old: dict[str, Any], new: dict[str, Any], stack: str) -> Any:
        if any(old.get(key) != new.get(key) for key in ("ArchiveName", "SourceArn")):
            outcome = create("", new, stack)
            delete(name, old)
            return outcome
        return name, {"Arn": _outcome(eventbridge._update_archive(request(name, new)), type_name)["ArchiveArn"]}

    def delete(name: str, _properties: dict[str, Any]) -> None:
        if name in eventbridge._archives:
            _outcome(eventbridge._delete_archive({"ArchiveName": name}), type_name)

    return {type_name: {"create": create, "update": update, "delete": delete}}


def _event_bus_policy(eventbridge: Any, responses: Any) -> dict[str, Any]:
    def bus_of(properties: dict[str, Any]) -> str:
        return str(properties.get("EventBusName", "default")).rpartition("/")[2]

    def create(_logical_id: str, properties: dict[str, Any], _stack: str) -> Any:
        bus, statement_id = bus_of(properties), properties["StatementId"]
        statement = properties.get("Statement")
        if isinstance(statement, str):
            statement = json.loads(statement)
        arn = f"arn:aws:events:{responses.get_region()}:{responses.get_account_id()}:event-bus/{bus}"
        if statement is None:
            # docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-resource-events-eventbuspolicy.html: the
            # older form, a principal and an action instead of a statement.
            statement = {
                "Effect": "Allow",
                "Principal": properties["Principal"],
                "Action": properties["Action"],
                "Resource": arn,
                **({"Condition": properties["Condition"]} if "Condition" in properties else {}),
            }
        delete(statement_id, properties)
        policies = eventbridge._event_bus_policies
        policy = policies.setdefault(bus, {"Version": "2012-10-17", "Statement": []})
        policy["Statement"].append({"Resource": arn, **statement, "Sid": statement_id})
        return statement_id, {}

    def update(_statement_id: str, old: dict[str, Any], new: dict[str, Any], stack: str) -> Any:
        delete(old["StatementId"], old)
        return create("", new, stack)

    def delete(statement_id: str, properties: dict[str, Any]) -> None:
        policy = eventbridge._event_bus_policies.get(bus_of(properties))
        if policy:
            policy["Statement"] = [s for s in policy["Statement"] if s.get("Sid") != statement_id]
            if not policy["Statement"]:
                eventbridge._event_bus_policies.pop(bus_of(properties), None)

    return {"AWS::Events::EventBusPolicy": {"create": create, "update": update, "delete": delete}}


def _event_schemas(responses: Any) -> dict[str, Any]:
    def arn(kind: str, name: str) -> str:
        return f"arn:aws:schemas:{responses.get_region()}:{responses.get_account_id()}:{kind}/{name}"

    def create_discoverer(_logical_id: str, _properties: dict[str, Any], _stack: str) -> Any:
        name = str(uuid.uuid4())
        attributes = {"DiscovererArn": arn("discoverer", name), "DiscovererId": name, "State": "STARTED"}
        return attributes["DiscovererArn"], attributes

    def create_registry(logical_id: str, properties: dict[str, Any], stack: str) -> Any:
        name = properties.get("RegistryName") or f"{stack}-{logical_id}"
        attributes = {"RegistryArn": arn("registry", name), "RegistryName": name}
        return attributes["RegistryArn"], attributes

    def keep(physical_id: str, _old: dict[str, Any], _new: dict[str, Any], _stack: str) -> Any:
        name = physical_id.rpartition("/")[2]
        if ":registry/" in physical_id:
            return physical_id, {"RegistryArn": physical_id, "RegistryName": name}
        return physical_id, {"DiscovererArn": physical_id, "DiscovererId": name, "State": "STARTED"}

    def delete(_physical_id: str, _properties: dict[str, Any]) -> None:
        """Nothing to undo: the stack's own record was all there was."""

    return {
        "AWS::EventSchemas::Discoverer": {"create": create_discoverer, "update": keep, "delete": delete},
        "AWS::EventSchemas::Registry": {"create": create_registry, "update": keep, "delete": delete},
    }


# --- putting it together --------------------------------------------------------------------------------------------


def extended_app(lambda_python: Path | None = None) -> App:
    """ministack's ASGI app with everything that this module changes. Functions run on ``lambda_python`` when given.

    The environment variable GATEWAY_PORT must hold the port before this is called: ministack reads it at import.
    """
    verify_pinned()
    modules: dict[str, Any] = {name.rpartition(".")[2]: importlib.import_module(name) for name in INTERNALS}
    lambda_svc, lambda_runtime = modules["lambda_svc"], modules["lambda_runtime"]
    handlers: dict[str, Any] = modules["provisioners"]._RESOURCE_HANDLERS

    modules["eventbridge"].logger.addFilter(_DeliveredElsewhere())
    lambda_svc._poll_kinesis = lambda: False
    lambda_svc._poll_dynamodb_streams = lambda: False
    worker = lambda_runtime.Worker
    worker._drain_stderr_bounded = functools.partialmethod(worker._drain_stderr_bounded, first_line_wait=_LOG_WAIT_S)
    _keep_mappings_whole(lambda_svc, handlers)
    _keep_closed_shards(modules["kinesis"])
    handlers.update(_stream_consumer(modules["kinesis"]))
    handlers.update(_archive(modules["eventbridge"]))
    handlers.update(_event_bus_policy(modules["eventbridge"], modules["responses"]))
    handlers.update(_event_schemas(modules["responses"]))
    python_script = _kept_warm(lambda_runtime)
    binary_for = lambda_runtime._detect_runtime_binary

    def detected(runtime: str) -> tuple[str, str]:
        binary, script = binary_for(runtime)
        return (str(lambda_python or binary), python_script) if runtime.startswith("python") else (binary, script)

    lambda_runtime._detect_runtime_binary = detected
    return FaultInjection(modules["app"].app)


def stop_workers() -> None:
    """End the Lambda workers and remove their folders; ministack leaves them when it shuts down."""
    importlib.import_module("ministack.core.lambda_runtime").reset()


def listen(port: int) -> socket.socket:
    """A socket that listens on 127.0.0.1; port 0 takes a free one.

    Raises:
        OSError: the port is taken.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen(512)
    except OSError:
        listener.close()
        raise
    return listener


async def _serve(app: App, listener: socket.socket, announce: Callable[[], None]) -> None:
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    config = Config()
    config.bind = [f"fd://{listener.fileno()}"]
    config.keep_alive_timeout = 75
    config.graceful_timeout = 1.0
    config.loglevel = "WARNING"
    started = asyncio.Event()

    async def noting_start(scope: Scope, receive: Receive, send: Send) -> None:
        async def noting(message: MutableMapping[str, Any]) -> None:
            await send(message)
            if message["type"] == "lifespan.startup.complete":
                started.set()

        await app(scope, receive, noting if scope["type"] == "lifespan" else send)

    async def announcing() -> None:
        await started.wait()
        announce()

    announcement = asyncio.create_task(announcing())
    try:
        await serve(noting_start, config, shutdown_trigger=stop.wait)  # type: ignore[arg-type]
    finally:
        announcement.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await announcement


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(description="ministack as the local cloud needs it")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--ready", type=Path, required=True, help="file that names the port once it listens")
    parser.add_argument("--lambda-python", type=Path, help="interpreter that functions run on")
    options = parser.parse_args()
    try:
        listener = listen(options.port)
    except OSError as error:
        raise SystemExit(f"Port {options.port} on 127.0.0.1 cannot be used: {error.strerror}") from None
    port = listener.getsockname()[1]
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    # Read by ministack at import. The listeners that it would open beside the gateway (SFTP, MQTT) stay closed.
    os.environ.update(GATEWAY_PORT=str(port), MINISTACK_HOST="localhost", SFTP_ENABLED="0", IOT_MTLS_ENABLED="0")
    app = extended_app(options.lambda_python)
    try:
        asyncio.run(_serve(app, listener, lambda: write_json(options.ready, {"port": port})))
    finally:
        stop_workers()


if __name__ == "__main__":
    main()
