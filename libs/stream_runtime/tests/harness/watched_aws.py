"""An AWS in which no call fails by chance, and every request is checked as boto3 and the service check it."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from botocore.exceptions import ParamValidationError
from botocore.loaders import Loader
from botocore.model import OperationModel, ServiceModel
from botocore.validate import ParamValidator
from refusals import Refusal
from simulated_dynamodb import Row, SimulatedDynamoDB
from valid_invocations import BUCKET, KEY

MOST_BYTES = 1024 * 1024
"""Bytes that a PutEvents call takes."""

_SERVICES = ("dynamodb", "events", "s3", "sns", "sqs", "kinesis", "firehose", "lambda")


@cache
def _operations() -> Mapping[str, OperationModel]:
    """The operations of all services by name; names are unique among those that the runtime calls."""
    found: dict[str, OperationModel] = {}
    for service in _SERVICES:
        model = ServiceModel(Loader().load_service_model(service, "service-2"), service)
        found |= {name: model.operation_model(name) for name in model.operation_names if name not in found}
    return found


class WatchedAws(SimulatedDynamoDB):
    """Tables, a bucket of claim checks, and what was published."""

    def __init__(self) -> None:
        super().__init__(0)
        self.published: list[dict[str, Any]] = []
        self.calls = 0
        self.objects = {name: _object(name) for name in (KEY, *_OBJECTS)}
        for number in range(3):
            row = {"pk": {"S": f"i{number}"}, "sk": {"S": "item"}}
            self.table("rows").write(f"i{number}/item", row)
        self.table("rows").settle()

    def call(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """Do what a request asks for.

        Raises:
            ParamValidationError: boto3 would not send it.
            Refusal: the service refuses it.
        """
        self.calls += 1
        report = ParamValidator().validate(request, _operations()[operation].input_shape)
        if report.has_errors():
            raise ParamValidationError(report=report.generate_report())
        json.dumps(request, default=repr, ensure_ascii=False).encode()  # what UTF-8 cannot say, boto3 cannot send
        own = getattr(self, operation, None)
        response: dict[str, Any] = own(request, False) if own is not None else _accepted(operation, request)
        return response

    def on_published(self, event: dict[str, Any]) -> None:
        """Told of each event that the bus accepted."""

    def PutItem(self, request: Mapping[str, Any], partial: bool) -> dict[str, Any]:
        _check_key(request["Item"])
        return super().PutItem(request, partial)

    def UpdateItem(self, request: Mapping[str, Any], partial: bool) -> dict[str, Any]:
        _check_key(request["Key"])
        return super().UpdateItem(request, partial)

    def BatchWriteItem(self, request: Mapping[str, Any], partial: bool) -> dict[str, Any]:
        for requests in request["RequestItems"].values():
            for each in requests:
                _check_key(each["PutRequest"]["Item"])
        return super().BatchWriteItem(request, partial)

    def BatchGetItem(self, request: Mapping[str, Any], partial: bool) -> dict[str, Any]:
        for wanted in request["RequestItems"].values():
            for key in wanted["Keys"]:
                _check_key(key)
        return super().BatchGetItem(request, partial)

    def PutEvents(self, request: Mapping[str, Any], _: bool) -> dict[str, Any]:
        entries = request["Entries"]
        size = sum(len(str(entry[name]).encode()) for entry in entries for name in ("Source", "DetailType", "Detail"))
        if size > MOST_BYTES or len(entries) > 10:
            raise Refusal(400, "ValidationException", "Total size of the entries in the request is over the limit.")
        if any(len(entry["DetailType"]) > 128 for entry in entries):
            raise Refusal(400, "ValidationException", "Member must have length less than or equal to 128")
        results = []
        for entry in entries:
            try:
                detail = json.loads(entry["Detail"], parse_constant=_no_constant)
            except ValueError:
                results.append({"ErrorCode": "MalformedDetail", "ErrorMessage": "Detail is malformed."})
                continue
            self.published.append(detail)
            self.on_published(detail)
            results.append({"EventId": "accepted"})
        return {"FailedEntryCount": sum("ErrorCode" in result for result in results), "Entries": results}

    def GetObject(self, request: Mapping[str, Any], _: bool) -> dict[str, Any]:
        if request["Bucket"] != BUCKET:
            raise Refusal(403, "AccessDenied", "Access Denied")
        body = self.objects.get(request["Key"])
        if body is None:
            raise Refusal(404, "NoSuchKey", "The specified key does not exist.")
        return {"Body": io.BytesIO(body), "ContentLength": len(body)}

    def Invoke(self, request: Mapping[str, Any], _: bool) -> dict[str, Any]:
        return {"StatusCode": 200, "Payload": io.BytesIO(b"{}")}

    def bulk(self, writes: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> tuple[None, dict[str, Any]]:
        """The answer of an OpenSearch domain to a bulk request."""
        self.calls += 1
        items = []
        for action, _ in writes:
            ((name, metadata),) = action.items()
            version = metadata.get("version", 1)
            is_good = isinstance(version, int) and 0 <= version < 1 << 63 and len(metadata["_id"].encode()) <= 512
            error = {"error": {"type": "illegal_argument_exception"}, "status": 400}
            items.append({name: {"status": 201} if is_good else error})
        return None, {"items": items}


def _no_constant(name: str) -> Any:
    raise ValueError(f"JSON has no {name}")


_OBJECTS = ("claimchecks/no-json", "claimchecks/no-event", "claimchecks/pointer", "claimchecks/large", "outside")


@cache
def _object(key: str) -> bytes:
    event: dict[str, Any] = {"id": "e1", "type": "thing-created", "timestamp": 1_700_000_000_001}
    event |= {"partition_key": "k1", "thing": {"id": "t1", "parts": []}}
    if key == "claimchecks/large":
        return b" " * (64 * 1024 * 1024) + b"{}"
    if key == "claimchecks/pointer":
        event["claim_check"] = {"bucket": BUCKET, "key": KEY}
    text = {"claimchecks/no-json": "{no json", "claimchecks/no-event": "[1]"}.get(key)
    return (text or json.dumps(event)).encode()


def _check_key(item: Row) -> None:
    """Keys are texts that are not empty, of at most 2,048 and 1,024 bytes.

    Source: DynamoDB developer guide, "Quotas", partition keys and sort keys.
    """
    for name, most in (("pk", 2048), ("sk", 1024)):
        text = (item.get(name) or {}).get("S")
        if not text or len(text.encode()) > most:
            raise Refusal(400, "ValidationException", f"One or more parameter values are not valid: {name}")


def _accepted(operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """The answer of a batch call all of whose entries are accepted; of any other, nothing."""
    if operation in ("SendMessageBatch", "PublishBatch"):
        entries = request.get("Entries") or request["PublishBatchRequestEntries"]
        return {"Successful": [{"Id": entry["Id"], "MessageId": "m"} for entry in entries], "Failed": []}
    if operation == "PutRecords":
        return {"Records": [{"SequenceNumber": "1", "ShardId": "s"} for _ in request["Records"]]}
    if operation == "PutRecordBatch":
        return {"RequestResponses": [{"RecordId": "1"} for _ in request["Records"]]}
    return {}
