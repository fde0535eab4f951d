"""AWS services beneath botocore that keep real state and fail as AWS does, after a plan that a seed reproduces.

Real boto3 clients serialise, sign and parse; only the HTTP exchange is answered here (botocore's ``before-send``).
Whether a call fails follows from the seed, the operation and what the call is about, not from the order in which
threads come: the same history fails in the same places.
"""

from __future__ import annotations

import io
import json
import random
import re
import threading
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

import urllib3
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.exceptions import ConnectTimeoutError, ReadTimeoutError
from stream_runtime import clients
from stream_runtime.aws import signed_requests as opensearch
from stream_runtime.engine.run import current_run

BEFORE = ("throttled", "unavailable", "unreachable", "died-before")
AFTER = ("answer-lost", "error-after", "died-after")
KINDS = (*BEFORE, *AFTER, "partial", "denied")
SERVICES = ("dynamodb", "events", "s3", "sns", "sqs", "kinesis", "firehose")
REFUSED = "refused-by-aws"
"""A request with this text in it is invalid, for ever."""


class ProcessDied(BaseException):
    """The process ended between two calls; nothing it would have done afterwards happens."""


@dataclass(frozen=True)
class Effect:
    """Something that happened to the world outside: which rule did what, because of which event.

    Attributes:
        invocation: the number of the invocation.
        pipeline: the rule.
        cause: text that holds the id of the event that caused it.
        target: what was changed.
        content: what it was changed to.
    """

    invocation: int
    pipeline: str
    cause: str
    target: str
    content: Any = None


@dataclass(frozen=True)
class Injected:
    """A failure that was injected: its kind, the operation, what the call was about, how much had happened before."""

    invocation: int
    kind: str
    operation: str
    identities: tuple[str, ...]
    effects_before: int


@dataclass
class Plan:
    """Which calls fail: each kind given, with a chance for each attempt at the same thing, at most so many times."""

    seed: int
    kinds: tuple[str, ...] = ()
    rate: float = 0.0
    most: int = 4
    denied_until: int = 0
    denied_operation: str = ""
    _attempts: Counter[tuple[str, str]] = field(default_factory=Counter)

    def fate(self, operation: str, identity: str) -> str | None:
        """The kind of failure that this attempt meets, or None."""
        self._attempts[operation, identity] += 1
        attempt = self._attempts[operation, identity]
        if attempt > self.most or not self.kinds:
            return None
        dice = random.Random(f"{self.seed}/{operation}/{identity}/{attempt}")
        return dice.choice(self.kinds) if dice.random() < self.rate else None


class SimulatedAws:
    """Tables, a bus, buckets, topics, queues and streams in memory, and the log of all that was done to them."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.invocation = 0
        self.dead = False
        self.patience: int | None = None
        self.calls: Counter[str] = Counter()
        self.effects: list[Effect] = []
        self.injected: list[Injected] = []
        self.tables: dict[str, dict[str, dict[str, Any]]] = {}
        self.objects: dict[tuple[str, str], bytes] = {}
        self.entries: list[dict[str, Any]] = []
        self.lock = threading.RLock()

    def serve(self) -> None:
        """Answer the runtime's clients from now on."""
        global _serving
        _serving = self
        for service, built in [(service, _client(service)) for service in SERVICES]:
            clients.use(service, built)
        opensearch._shared["pool"] = _Pool()  # where real answers come in: what they mean is still read from them

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
                self._fail(kind, "local")
            self.effects.append(Effect(self.invocation, pipeline, cause, target))
            if kind is not None:
                self._fail(kind, "local")

    def answer(self, operation: str, request: AWSPreparedRequest) -> AWSResponse:
        """Do what a request asks for, or fail, before or after the effect."""
        with self.lock:
            self.calls[operation] += 1
            call = _Call(operation, request)
            identities = call.identities()
            kind = self._fate(operation, identities, divisible=len(identities) > 1 or operation in _BATCH_OPERATIONS)
            if kind in BEFORE or kind == "denied":
                return self._fail(kind, operation, request)
            if any(REFUSED in identity for identity in identities) and operation not in _REFUSED_BY_ENTRY:
                return _error(request, 400, "ValidationException", f"{REFUSED}: one of the parameters is invalid")
            response = getattr(self, f"_{operation}")(call, kind == "partial")
            if kind in AFTER:
                return self._fail(kind, operation, request)
            return response

    def _fate(self, operation: str, identities: tuple[str, ...], *, divisible: bool) -> str | None:
        if self.dead:
            raise ProcessDied
        self._let_time_pass()
        if operation == self.plan.denied_operation and self.invocation <= self.plan.denied_until:
            kind: str | None = "denied"
        else:
            kind = self.plan.fate(operation, identities[0])
        if kind == "partial" and not divisible:
            kind = "throttled"
        if kind is not None:
            self.injected.append(Injected(self.invocation, kind, operation, identities, len(self.effects)))
        return kind

    def _let_time_pass(self) -> None:
        run = current_run.get()
        if self.patience is None or run is None or run.publishing_faults:
            return
        self.patience -= 1
        if self.patience <= 0:
            run.deadline = 0.0

    def _fail(self, kind: str | None, operation: str, request: AWSPreparedRequest | None = None) -> AWSResponse:
        url = request.url if request else "local:"
        if kind in ("died-before", "died-after"):
            self.dead = True
            raise ProcessDied
        if kind == "unreachable":
            raise ConnectTimeoutError(endpoint_url=url)
        if kind == "answer-lost":
            raise ReadTimeoutError(endpoint_url=url)
        if request is None:
            from stream_runtime import ConfigurationError, TransientError

            raise ConfigurationError(operation) if kind == "denied" else TransientError(operation)
        if kind == "denied":
            return _error(request, 400, "AccessDeniedException", f"not authorized to perform {operation}")
        if kind == "throttled":
            return _error(request, 400, _THROTTLED.get(operation, "ThrottlingException"), "Rate exceeded")
        return _error(request, 503 if kind == "unavailable" else 500, "InternalServerError", "We encountered an error")

    def _partially(self, partial: bool, operation: str, identities: tuple[str, ...]) -> list[bool]:
        """For each entry whether it is refused for now."""
        if not partial:
            return [False] * len(identities)
        refused = [
            random.Random(f"{self.plan.seed}/part/{operation}/{identity}/{self.calls[operation]}").random() < 0.5
            for identity in identities
        ]
        return refused if any(refused) else [True, *refused[1:]]

    # DynamoDB

    def _UpdateItem(self, call: _Call, _: bool) -> AWSResponse:
        body = call.body
        table = self.tables.setdefault(body["TableName"], {})
        key = _row_key(body["Key"])
        names, values = body.get("ExpressionAttributeNames", {}), body.get("ExpressionAttributeValues", {})
        if not _holds(body.get("ConditionExpression"), table.get(key, {}), names, values):
            return _error(call.request, 400, "ConditionalCheckFailedException", "The conditional request failed")
        row = {**body["Key"], **table.get(key, {})}
        for clause, names_of in re.findall(r"(SET|REMOVE) (.*?)(?= SET | REMOVE |$)", body["UpdateExpression"]):
            for part in names_of.split(", "):
                if clause == "SET":
                    name, _equals, value = part.partition(" = ")
                    row[names[name]] = values[value]
                else:
                    row.pop(names[part], None)
        table[key] = row
        self._did(body["TableName"], row.get("cause", {}).get("S", key), f"row {key}", row)
        return _json(call.request, {"Attributes": row})

    def _PutItem(self, call: _Call, _: bool) -> AWSResponse:
        body = call.body
        there = self.tables.setdefault(body["TableName"], {}).get(_row_key(body["Item"]), {})
        if not _holds(body.get("ConditionExpression"), there, body.get("ExpressionAttributeNames", {}), {}):
            failed = {"__type": "com.amazonaws#ConditionalCheckFailedException", "message": "The conditional ..."}
            return _json(call.request, {**failed, "Item": there}, 400)
        self._put(body["TableName"], body["Item"])
        return _json(call.request, {})

    def _BatchWriteItem(self, call: _Call, partial: bool) -> AWSResponse:
        ((table, requests),) = call.body["RequestItems"].items()
        left = self._partially(partial, "BatchWriteItem", call.identities())
        for request, is_left in zip(requests, left, strict=True):
            if not is_left:
                self._put(table, request["PutRequest"]["Item"])
        unprocessed = [request for request, is_left in zip(requests, left, strict=True) if is_left]
        return _json(call.request, {"UnprocessedItems": {table: unprocessed} if unprocessed else {}})

    def _put(self, table: str, item: dict[str, Any]) -> None:
        key = _row_key(item)
        self.tables.setdefault(table, {})[key] = item
        self._did(table, item.get("cause", item["pk"])["S"] + "/" + item["sk"]["S"], f"row {key}", item)

    def _Query(self, call: _Call, _: bool) -> AWSResponse:
        name, value = re.fullmatch(r"(#\w+) = (:\w+)", call.body["KeyConditionExpression"]).groups()  # type: ignore[union-attr]
        attribute = call.body["ExpressionAttributeNames"][name]
        wanted = call.body["ExpressionAttributeValues"][value]
        rows = self.tables.get(call.body["TableName"], {})
        found = [(key, row) for key, row in sorted(rows.items()) if row.get(attribute) == wanted]
        start = call.body.get("ExclusiveStartKey")
        if start:
            found = [(key, row) for key, row in found if key > _row_key(start)]
        page, rest = found[:2], found[2:]
        last = {"LastEvaluatedKey": {name: page[-1][1][name] for name in ("pk", "sk")}} if rest else {}
        return _json(call.request, {"Items": [row for _, row in page], "Count": len(page), **last})

    def _BatchGetItem(self, call: _Call, partial: bool) -> AWSResponse:
        ((table, request),) = call.body["RequestItems"].items()
        left = self._partially(partial, "BatchGetItem", call.identities())
        rows = self.tables.get(table, {})
        found = [
            rows[_row_key(key)]
            for key, is_left in zip(request["Keys"], left, strict=True)
            if not is_left and _row_key(key) in rows
        ]
        unprocessed = [key for key, is_left in zip(request["Keys"], left, strict=True) if is_left]
        return _json(
            call.request,
            {
                "Responses": {table: found},
                "UnprocessedKeys": {table: {**request, "Keys": unprocessed}} if unprocessed else {},
            },
        )

    # EventBridge, Kinesis, Firehose, SQS, SNS: entries of batches

    def _PutEvents(self, call: _Call, partial: bool) -> AWSResponse:
        results: list[dict[str, Any]] = []
        for entry, is_left in zip(call.body["Entries"], self._parts(call, partial), strict=True):
            event = json.loads(entry["Detail"])
            if is_left:
                results.append({"ErrorCode": "ThrottlingException", "ErrorMessage": "Rate exceeded"})
            elif REFUSED in event["id"]:
                results.append({"ErrorCode": "MalformedDetail", "ErrorMessage": "Detail is malformed."})
            else:
                self.entries.append(entry)
                self._did(event.get("tags", {}).get("pipeline", ""), event["id"], "bus", event)
                results.append({"EventId": f"accepted-{len(self.entries)}"})
        failed = sum("ErrorCode" in result for result in results)
        return _json(call.request, {"FailedEntryCount": failed, "Entries": results})

    def _PutRecords(self, call: _Call, partial: bool) -> AWSResponse:
        results: list[dict[str, Any]] = []
        for entry, is_left in zip(call.body["Records"], self._parts(call, partial), strict=True):
            if is_left:
                results.append({"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "slow down"})
            else:
                self._sent(call.body.get("StreamName") or call.body["StreamARN"], entry)
                results.append({"SequenceNumber": str(len(self.effects)), "ShardId": "shardId-000000000000"})
        failed = sum("ErrorCode" in result for result in results)
        return _json(call.request, {"FailedRecordCount": failed, "Records": results})

    def _PutRecordBatch(self, call: _Call, partial: bool) -> AWSResponse:
        results: list[dict[str, Any]] = []
        for entry, is_left in zip(call.body["Records"], self._parts(call, partial), strict=True):
            if is_left:
                results.append({"ErrorCode": "ServiceUnavailableException", "ErrorMessage": "slow down"})
            else:
                self._sent(call.body["DeliveryStreamName"], entry)
                results.append({"RecordId": str(len(self.effects))})
        failed = sum("ErrorCode" in result for result in results)
        return _json(call.request, {"FailedPutCount": failed, "RequestResponses": results})

    def _SendMessageBatch(self, call: _Call, partial: bool) -> AWSResponse:
        sent, failed = [], []
        for entry, is_left in zip(call.body["Entries"], self._parts(call, partial), strict=True):
            if is_left:
                failed.append({"Id": entry["Id"], "Code": "InternalError", "Message": "again", "SenderFault": False})
            else:
                self._sent(call.body["QueueUrl"], entry)
                sent.append({"Id": entry["Id"], "MessageId": entry["Id"], "MD5OfMessageBody": ""})
        return _json(call.request, {"Successful": sent, "Failed": failed})

    def _PublishBatch(self, call: _Call, partial: bool) -> AWSResponse:
        sent, failed = "", ""
        for entry, is_left in zip(call.entries(), self._parts(call, partial), strict=True):
            if is_left:
                failed += (
                    f"<member><Id>{entry['Id']}</Id><Code>InternalError</Code><Message>again</Message>"
                    "<SenderFault>false</SenderFault></member>"
                )
            else:
                self._sent(call.body["TopicArn"], entry)
                sent += f"<member><Id>{entry['Id']}</Id><MessageId>m</MessageId></member>"
        text = (
            '<PublishBatchResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishBatchResult>'
            f"<Successful>{sent}</Successful><Failed>{failed}</Failed></PublishBatchResult>"
            "<ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></PublishBatchResponse>"
        )
        return _response(call.request, 200, text.encode(), "text/xml")

    def _parts(self, call: _Call, partial: bool) -> list[bool]:
        return self._partially(partial, call.operation, call.identities())

    def _sent(self, target: str, entry: Mapping[str, Any]) -> None:
        """A message in which the rule put ``cause``, readable in its body."""
        body = _body_of(entry)
        found = re.search(r'"cause":\s*"([^"]+)"', body)
        self._did(target.rpartition("/")[2].rpartition(":")[2], found.group(1) if found else body, "sent", body)

    # OpenSearch

    def bulk(self, body: bytes) -> tuple[int, bytes]:
        """Status and body of the answer to a bulk request."""
        lines = [json.loads(line) for line in body.splitlines()]
        writes = list(zip(lines[::2], lines[1::2], strict=True))
        identities = tuple(json.dumps(data) for _, data in writes)
        with self.lock:
            self.calls["Bulk"] += 1
            kind = self._fate("Bulk", identities, divisible=True)
            if kind in BEFORE or kind == "denied":
                return self._fail_bulk(kind)
            items = []
            left = self._partially(kind == "partial", "Bulk", identities)
            for (action, data), is_left in zip(writes, left, strict=True):
                ((name, metadata),) = action.items()
                if is_left:
                    result = {"status": 429, "error": {"type": "es_rejected_execution_exception"}}
                elif REFUSED in json.dumps(data):
                    result = {"status": 400, "error": {"type": "mapper_parsing_exception", "reason": "no"}}
                else:
                    self._did(metadata["_index"], data["cause"], "indexed", data)
                    result = {"status": 201}
                items.append({name: {**metadata, **result}})
            if kind in AFTER:
                return self._fail_bulk(kind)
            return 200, json.dumps({"errors": any(left), "items": items}).encode()

    def _fail_bulk(self, kind: str) -> tuple[int, bytes]:
        if kind in ("died-before", "died-after"):
            self.dead = True
            raise ProcessDied
        if kind == "unreachable":
            raise urllib3.exceptions.ProtocolError("connection reset")
        if kind == "answer-lost":
            raise urllib3.exceptions.ReadTimeoutError(None, "/_bulk", "read timed out")  # type: ignore[arg-type]
        return {"denied": 403, "throttled": 429, "unavailable": 503}.get(kind, 500), b"no"

    # S3

    def _PutObject(self, call: _Call, _: bool) -> AWSResponse:
        bucket, key = call.object_name()
        self.objects[bucket, key] = call.content
        self._did(bucket, key, f"object {key}", call.content)
        return _response(call.request, 200, b"", "text/plain")

    def _GetObject(self, call: _Call, _: bool) -> AWSResponse:
        body = self.objects.get(call.object_name())
        if body is None:
            return _error(call.request, 404, "NoSuchKey", "The specified key does not exist.")
        return _response(call.request, 200, body, "application/octet-stream")

    def _did(self, pipeline: str, cause: str, target: str, content: Any) -> None:
        self.effects.append(Effect(self.invocation, pipeline, cause, target, content))


_BATCH_OPERATIONS = {
    "BatchWriteItem",
    "BatchGetItem",
    "PutEvents",
    "PutRecords",
    "PutRecordBatch",
    "SendMessageBatch",
    "PublishBatch",
}
_REFUSED_BY_ENTRY = {"PutEvents"}
_THROTTLED = {
    **dict.fromkeys(("UpdateItem", "PutItem", "BatchWriteItem", "Query"), "ProvisionedThroughputExceededException"),
    **dict.fromkeys(("PutObject", "GetObject"), "SlowDown"),
    "SendMessageBatch": "RequestThrottled",
}


class _Call:
    """A request as the service reads it."""

    def __init__(self, operation: str, request: AWSPreparedRequest) -> None:
        self.operation = operation
        self.request = request
        raw = request.body
        if hasattr(raw, "read"):
            raw = raw.read()
        self.content: bytes = raw.encode() if isinstance(raw, str) else raw or b""
        self.body: dict[str, Any] = {}
        if operation == "PublishBatch":
            self.body = {name: values[0] for name, values in parse_qs(self.content.decode()).items()}
        elif operation not in ("PutObject", "GetObject"):
            self.body = json.loads(self.content or b"{}")

    def object_name(self) -> tuple[str, str]:
        """Bucket and key, from a virtual-hosted or a path-style address."""
        parts = urlsplit(self.request.url)
        path = unquote(parts.path).lstrip("/")
        if parts.netloc.startswith("s3."):
            bucket, _, key = path.partition("/")
            return bucket, key
        return parts.netloc.partition(".s3")[0], path

    def entries(self) -> list[dict[str, Any]]:
        """The entries of a batch call."""
        if self.operation != "PublishBatch":
            found: list[dict[str, Any]] = self.body.get("Entries") or self.body.get("Records") or []
            return found
        entries: dict[int, dict[str, Any]] = {}
        for name, value in self.body.items():
            match = re.fullmatch(r"PublishBatchRequestEntries\.member\.(\d+)\.(\w+)", name)
            if match:
                entries.setdefault(int(match[1]), {})[match[2]] = value
        return [entries[number] for number in sorted(entries)]

    def identities(self) -> tuple[str, ...]:
        """What the call is about, entry by entry."""
        body = self.body
        if self.operation in ("PutObject", "GetObject"):
            return ("/".join(self.object_name()),)
        if self.operation == "BatchWriteItem":
            ((table, requests),) = body["RequestItems"].items()
            return tuple(f"{table}/{json.dumps(request['PutRequest']['Item'])}" for request in requests)
        if self.operation == "BatchGetItem":
            ((table, request),) = body["RequestItems"].items()
            return tuple(f"{table}/{_row_key(key)}" for key in request["Keys"])
        if self.operation == "PutEvents":
            return tuple(json.loads(entry["Detail"])["id"] for entry in body["Entries"])
        if self.operation in _BATCH_OPERATIONS:
            return tuple(_body_of(entry) for entry in self.entries())
        return (f"{body.get('TableName')}/{json.dumps(body, sort_keys=True)}",)


def _body_of(entry: Mapping[str, Any]) -> str:
    for name in ("MessageBody", "Message", "Data"):
        if name in entry:
            text = str(entry[name])
            if name == "Data":
                import base64

                text = base64.b64decode(text).decode(errors="replace")
            return text
    return json.dumps(entry)


def _row_key(item: Mapping[str, Any]) -> str:
    return "/".join(str(item[name]["S"]) for name in ("pk", "sk"))


def _holds(
    condition: str | None, row: Mapping[str, Any], names: Mapping[str, str], values: Mapping[str, Mapping[str, Any]]
) -> bool:
    """Whether a condition of the kinds that the runtime's expressions make holds for a row."""
    if not condition:
        return True
    if " AND " in condition:
        return all(_holds(part, row, names, values) for part in condition.split(" AND "))
    for alternative in condition.split(" OR "):
        match = re.fullmatch(r"attribute_exists\(([#\w]+)\)", alternative)
        if match:
            return names.get(match[1], match[1]) in row
        match = re.fullmatch(r"attribute_not_exists\(([#\w]+)\)", alternative)
        if match:
            if names.get(match[1], match[1]) not in row:
                return True
            continue
        match = re.fullmatch(r"([#\w]+) < (:\w+)", alternative)
        if match is None:
            raise NotImplementedError(f"the simulated DynamoDB does not know the condition {alternative!r}")
        attribute = row.get(names.get(match[1], match[1]))
        if attribute is not None and float(attribute["N"]) < float(values[match[2]]["N"]):
            return True
    return False


class _Raw(io.BytesIO):
    def stream(self, *_: Any, **__: Any) -> Iterable[bytes]:
        """The body, as urllib3 gives it."""
        yield self.read()


def _response(request: AWSPreparedRequest, status: int, body: bytes, content_type: str) -> AWSResponse:
    headers = {"content-type": content_type, "content-length": str(len(body)), "x-amzn-requestid": "simulated"}
    return AWSResponse(request.url, status, headers, _Raw(body))


def _json(request: AWSPreparedRequest, body: Mapping[str, Any], status: int = 200) -> AWSResponse:
    return _response(request, status, json.dumps(body, default=_bytes_as_base64).encode(), "application/x-amz-json-1.0")


def _bytes_as_base64(value: Any) -> str:
    return b64encode(value).decode()


def _error(request: AWSPreparedRequest, status: int, code: str, message: str) -> AWSResponse:
    if ".s3." in request.url or "//s3." in request.url:
        text = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
        return _response(request, status if code != "SlowDown" else 503, text.encode(), "application/xml")
    if "//sns." in request.url:
        text = f"<ErrorResponse><Error><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
        return _response(request, status, text.encode(), "text/xml")
    body = {"__type": f"com.amazonaws#{code}", "message": message}
    return _response(request, status, json.dumps(body).encode(), "application/x-amz-json-1.0")


class _Answer(NamedTuple):
    status: int
    data: bytes


class _Pool:
    """The connections to an OpenSearch domain."""

    def request(self, method: str, url: str, body: bytes, headers: Mapping[str, str]) -> _Answer:
        """What whoever serves at the time answers to a bulk request."""
        assert _serving is not None
        return _Answer(*_serving.bulk(body))


_serving: SimulatedAws | None = None
_clients: dict[str, Any] = {}


def _client(service: str) -> Any:
    """The runtime's own client of a service, its requests answered by whoever serves at the time."""
    if service not in _clients:
        clients.reset()
        built = clients.client(service)
        built.meta.events.register_first("before-send", _answer)
        _clients[service] = built
    return _clients[service]


def _answer(request: AWSPreparedRequest, event_name: str, **_: Any) -> AWSResponse:
    assert _serving is not None
    return _serving.answer(event_name.rpartition(".")[2], request)
