"""AWS services that keep real state and fail as AWS does, after a plan that a seed reproduces.

Requests and responses are those of boto3's clients; `simulated_clients` connects the runtime. Whether a call fails
follows from the seed, the operation and what the call is about, not from the order in which threads come: the same
history fails in the same places.
"""

from __future__ import annotations

import io
import json
import random
import re
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from botocore.exceptions import ConnectTimeoutError, ReadTimeoutError
from failures import AFTER, BEFORE, REFUSED, Effect, Injected, Plan, ProcessDied, row_key
from refusals import Refusal
from simulated_dynamodb import Row, SimulatedDynamoDB
from stream_runtime import ConfigurationError, TransientError
from stream_runtime.engine.run import current_run

Request = Mapping[str, Any]


class SimulatedAws(SimulatedDynamoDB):
    """Tables, a bus, buckets, topics, queues and streams in memory, and the log of all that was done to them."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan.seed)
        self.plan = plan
        self.invocation = 0
        self.dead = False
        self.patience: int | None = None
        self.calls: Counter[str] = Counter()
        self.effects: list[Effect] = []
        self.injected: list[Injected] = []
        self.objects: dict[tuple[str, str], bytes] = {}
        self.documents: dict[tuple[str, str], tuple[int, Any]] = {}
        self.lock = threading.RLock()
        self.last_answer: dict[str, Any] = {}

    def begin(self, patience: int | None = None) -> None:
        """Another invocation starts, in a process that is alive; with patience, its time is up after so many calls."""
        self.invocation += 1
        self.dead = False
        self.patience = patience

    def local(self, pipeline: str, cause: str, target: str) -> None:
        """An effect of a rule's own code, which fails by the same plan."""
        with self.lock:
            kind = self._fate("local", (f"{pipeline}/{target}/{cause}",), divisible=False)
            if kind in BEFORE or kind == "denied":
                raise _failure(kind, "local")
            self.effects.append(Effect(self.invocation, pipeline, cause, target))
            if kind is not None:
                raise _failure(kind, "local")

    def call(self, operation: str, request: Request) -> dict[str, Any]:
        """Do what a request asks for, or fail, before or after the effect.

        Raises:
            Refusal: the service answers with an error.
            HTTPClientError: there is no answer.
            ProcessDied: nobody waits for an answer.
        """
        with self.lock:
            self.calls[operation] += 1
            identities = identities_of(operation, request)
            kind = self._fate(operation, identities, divisible=len(identities) > 1 or operation in _BATCH_OPERATIONS)
            if kind in BEFORE or kind == "denied":
                raise _failure(kind, operation)
            if operation != "PutEvents" and any(REFUSED in identity for identity in identities):
                raise Refusal(400, "ValidationException", f"{REFUSED}: one of the parameters is invalid")
            response: dict[str, Any] = getattr(self, operation)(request, kind == "partial")
            self.last_answer = response
            if kind in AFTER:
                raise _failure(kind, operation)
            return response

    def _fate(self, operation: str, identities: Sequence[str], *, divisible: bool) -> str | None:
        self.check_alive()
        self.let_time_pass()
        is_denied = self.plan.is_denied(operation, self.invocation)
        kind = "denied" if is_denied else self.plan.fate(operation, identities[0])
        if kind == "partial" and not divisible:
            kind = "throttled"
        if kind is not None:
            self.injected.append(Injected(self.invocation, kind, operation, tuple(identities), len(self.effects)))
        if kind in ("died-before", "died-after"):
            self.dead = True
        return kind

    def check_alive(self) -> None:
        """Nothing happens any more in a process that has died.

        Raises:
            ProcessDied: it has.
        """
        if self.dead:
            raise ProcessDied

    def let_time_pass(self) -> None:
        """A call takes a part of the time of the run that makes it; behind a socket there is none."""
        if self.patience is None:
            return
        run = current_run.get()
        if run is None or run.publishing_faults:
            return
        self.patience -= 1
        if self.patience <= 0:
            run.deadline = 0.0

    def partially(self, partial: bool, operation: str, identities: Sequence[str]) -> list[bool]:
        """For each entry whether it is refused for now."""
        if not partial:
            return super().partially(partial, operation, identities)
        refused = [
            random.Random(f"{self.plan.seed}/part/{operation}/{identity}/{self.calls[operation]}").random() < 0.5
            for identity in identities
        ]
        return refused if any(refused) else [True, *refused[1:]]

    def did(self, pipeline: str, cause: str, target: str, content: Any) -> None:
        """Note an effect."""
        self.effects.append(Effect(self.invocation, pipeline, cause, target, content))

    def on_write(self, table: str, request: Request, row: Row) -> None:
        """Note a write: by its cause, or by its key."""
        key = row_key(row)
        cause = row["cause"]["S"] if "cause" in row else key
        self.did(table, cause if request else f"{row.get('cause', row['pk'])['S']}/{row['sk']['S']}", f"row {key}", row)

    # EventBridge, Kinesis, Firehose, SQS, SNS: entries of batches

    def PutEvents(self, request: Request, partial: bool) -> dict[str, Any]:
        results: list[dict[str, Any]] = []
        for entry, is_left in self._entries("PutEvents", request, partial):
            event = json.loads(entry["Detail"])
            if is_left:
                results.append({"ErrorCode": "ThrottlingException", "ErrorMessage": "Rate exceeded"})
            elif REFUSED in event["id"]:
                results.append({"ErrorCode": "MalformedDetail", "ErrorMessage": "Detail is malformed."})
            else:
                self.did(event.get("tags", {}).get("pipeline", ""), event["id"], "bus", event)
                results.append({"EventId": f"accepted-{len(self.effects)}"})
        return {"FailedEntryCount": sum("ErrorCode" in result for result in results), "Entries": results}

    def PutRecords(self, request: Request, partial: bool) -> dict[str, Any]:
        results: list[dict[str, Any]] = []
        for entry, is_left in self._entries("PutRecords", request, partial):
            if is_left:
                results.append({"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "slow down"})
            else:
                self._sent(request["StreamName"], entry)
                results.append({"SequenceNumber": str(len(self.effects)), "ShardId": "shardId-000000000000"})
        return {"FailedRecordCount": sum("ErrorCode" in result for result in results), "Records": results}

    def PutRecordBatch(self, request: Request, partial: bool) -> dict[str, Any]:
        results: list[dict[str, Any]] = []
        for entry, is_left in self._entries("PutRecordBatch", request, partial):
            if is_left:
                results.append({"ErrorCode": "ServiceUnavailableException", "ErrorMessage": "slow down"})
            else:
                self._sent(request["DeliveryStreamName"], entry)
                results.append({"RecordId": str(len(self.effects))})
        return {"FailedPutCount": sum("ErrorCode" in result for result in results), "RequestResponses": results}

    def SendMessageBatch(self, request: Request, partial: bool) -> dict[str, Any]:
        return self._answered_by_id("SendMessageBatch", request["QueueUrl"], request, partial)

    def PublishBatch(self, request: Request, partial: bool) -> dict[str, Any]:
        return self._answered_by_id("PublishBatch", request["TopicArn"], request, partial)

    def _answered_by_id(self, operation: str, target: str, request: Request, partial: bool) -> dict[str, Any]:
        sent, failed = [], []
        for entry, is_left in self._entries(operation, request, partial):
            if is_left:
                failed.append({"Id": entry["Id"], "Code": "InternalError", "Message": "again", "SenderFault": False})
            else:
                self._sent(target, {name: entry[name] for name in entry if name != "Id"})
                sent.append({"Id": entry["Id"], "MessageId": "m", "MD5OfMessageBody": ""})
        return {"Successful": sent, "Failed": failed}

    def _entries(self, operation: str, request: Request, partial: bool) -> list[tuple[Mapping[str, Any], bool]]:
        """The entries of a batch call, each with whether it is refused for now."""
        left = self.partially(partial, operation, identities_of(operation, request) if partial else entries_of(request))
        return list(zip(entries_of(request), left, strict=True))

    def _sent(self, target: str, entry: Mapping[str, Any]) -> None:
        """A message in which the rule put ``cause``, readable in its body."""
        body = _body_of(entry)
        found = re.search(r'"cause":\s*"([^"]+)"', body)
        name = target.rpartition("/")[2].rpartition(":")[2].removesuffix(".fifo")
        self.did(name, found.group(1) if found else body, "sent", entry)

    # Lambda and CloudWatch

    def Invoke(self, request: Request, _: bool) -> dict[str, Any]:
        payload = json.loads(request["Payload"])
        self.did(request["FunctionName"], payload["cause"], "invoked", payload)
        answer = json.dumps({"answer": payload["cause"]}).encode()
        return {"StatusCode": 200, "Payload": io.BytesIO(answer)}

    def PutMetricData(self, request: Request, _: bool) -> dict[str, Any]:
        for datum in request["MetricData"]:
            self.did(request["Namespace"], datum["Dimensions"][0]["Value"], "measured", datum)
        return {}

    # OpenSearch

    def bulk(self, writes: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> tuple[str | None, dict[str, Any]]:
        """The answer to a bulk request, and the kind of failure in place of it."""
        identities = tuple(json.dumps(data) for _, data in writes)
        with self.lock:
            self.calls["Bulk"] += 1
            kind = self._fate("Bulk", identities, divisible=True)
            if kind in BEFORE or kind == "denied":
                return kind, {}
            items = []
            left = self.partially(kind == "partial", "Bulk", identities)
            for (action, data), is_left in zip(writes, left, strict=True):
                ((name, metadata),) = action.items()
                items.append({name: {**metadata, **self._index(metadata, data, is_left)}})
            return kind if kind in AFTER else None, {"errors": any(left), "items": items}

    def _index(self, metadata: Mapping[str, Any], data: Mapping[str, Any], is_left: bool) -> dict[str, Any]:
        if is_left:
            return {"status": 429, "error": {"type": "es_rejected_execution_exception"}}
        if REFUSED in json.dumps(data):
            return {"status": 400, "error": {"type": "mapper_parsing_exception", "reason": "no"}}
        document = metadata["_index"], metadata["_id"]
        version = metadata.get("version", 0)  # an update has none
        if version < self.documents.get(document, (0, None))[0]:
            return {"status": 409, "error": {"type": "version_conflict_engine_exception"}}
        data = data.get("doc", data)
        self.documents[document] = version, data
        self.did(metadata["_index"], data["cause"], "indexed", data)
        return {"status": 201}

    # S3

    def PutObject(self, request: Request, _: bool) -> dict[str, Any]:
        self.objects[request["Bucket"], request["Key"]] = request["Body"]
        cause = request.get("ExpectedBucketOwner") or request["Key"]
        self.did(request["Bucket"], cause, f"object {request['Key']}", request["Body"])
        return {}

    def DeleteObject(self, request: Request, _: bool) -> dict[str, Any]:
        self.objects.pop((request["Bucket"], request["Key"]), None)
        cause = request.get("ExpectedBucketOwner") or request["Key"]
        self.did(request["Bucket"], cause, f"no object {request['Key']}", None)
        return {}

    def GetObject(self, request: Request, _: bool) -> dict[str, Any]:
        body = self.objects.get((request["Bucket"], request["Key"]))
        if body is None:
            raise Refusal(404, "NoSuchKey", "The specified key does not exist.")
        return {"Body": io.BytesIO(body)}


def _failure(kind: str | None, operation: str) -> BaseException:
    if kind in ("died-before", "died-after"):
        return ProcessDied()
    if kind == "unreachable":
        return ConnectTimeoutError(endpoint_url="https://simulated")
    if kind == "answer-lost":
        return ReadTimeoutError(endpoint_url="https://simulated")
    if operation == "local":
        return ConfigurationError(operation) if kind == "denied" else TransientError(operation)
    if kind == "denied" and operation == "GetObject":
        return Refusal(400, "ExpiredToken", "The provided token has expired.")
    if kind == "denied":
        return Refusal(400, "AccessDeniedException", f"not authorized to perform {operation}")
    if kind == "throttled":
        return Refusal(400, _THROTTLED.get(operation, "ThrottlingException"), "Rate exceeded")
    return Refusal(503 if kind == "unavailable" else 500, "InternalServerError", "We encountered an error")


_BATCH_OPERATIONS = {
    "BatchWriteItem",
    "BatchGetItem",
    "PutEvents",
    "PutRecords",
    "PutRecordBatch",
    "SendMessageBatch",
    "PublishBatch",
}
_THROTTLED = {
    **dict.fromkeys(("UpdateItem", "PutItem", "BatchWriteItem", "Query"), "ProvisionedThroughputExceededException"),
    **dict.fromkeys(("PutObject", "GetObject", "DeleteObject"), "SlowDown"),
    "SendMessageBatch": "RequestThrottled",
}


def entries_of(request: Request) -> list[Any]:
    """The entries of a batch call."""
    return list(request.get("Entries") or request.get("Records") or request.get("PublishBatchRequestEntries") or ())


def identities_of(operation: str, request: Request) -> tuple[str, ...]:
    """What a call is about, entry by entry."""
    if operation in ("PutObject", "GetObject", "DeleteObject"):
        return (f"{request['Bucket']}/{request['Key']}/{request.get('ExpectedBucketOwner', '')}",)
    if operation == "BatchWriteItem":
        ((table, requests),) = request["RequestItems"].items()
        return tuple(f"{table}/{_text(each['PutRequest']['Item'])}" for each in requests)
    if operation == "BatchGetItem":
        ((table, wanted),) = request["RequestItems"].items()
        return tuple(f"{table}/{row_key(key)}" for key in wanted["Keys"])
    if operation == "PutEvents":
        return tuple(json.loads(entry["Detail"])["id"] for entry in request["Entries"])
    if operation in _BATCH_OPERATIONS:
        return tuple(_body_of(entry) for entry in entries_of(request))
    return (f"{request.get('TableName')}/{_text(request)}",)


def _text(request: Any) -> str:
    return json.dumps(request, sort_keys=True, default=repr)


def _body_of(entry: Mapping[str, Any]) -> str:
    for name in ("MessageBody", "Message", "Data"):
        if name in entry:
            body = entry[name]
            return body.decode(errors="replace") if isinstance(body, bytes) else str(body)
    return _text(entry)
