"""AWS for a process that tries functions: DynamoDB is the local cloud's own, other services accept what they get.

Calls of boto3's clients are answered before a byte is sent, whatever made the client. What they were called with is
written down, and so is each expression or request that DynamoDB refuses.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from binascii import a2b_base64
from collections.abc import Callable, Iterable, Mapping
from types import SimpleNamespace
from typing import Any

Call = dict[str, Any]
_OUTCOMES = frozenset({"ConditionalCheckFailedException", "TransactionCanceledException", "ResourceNotFoundException"})
_EXPRESSIONS = (
    *("ConditionExpression", "FilterExpression", "KeyConditionExpression"),
    *("ProjectionExpression", "UpdateExpression"),
)


class Memory:
    """What a function called; ``calls`` and ``refused`` are emptied by who reads them.

    Attributes:
        calls: ``{"service", "operation", "request"}``, the request as it was given to boto3.
        refused: ``{"operation", "message", "expressions", "file", "line"}``, with the place in the service's own code
            that made the call, if that is there.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.refused: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        self._parsers: dict[str, Any] = {}

    def install(self) -> None:
        """Answer the calls of all clients that are made from now on; nothing can be sent to anybody else."""
        from botocore import handlers

        from stream_cli.local.emulator import dynamodb

        dynamodb.patch()
        handlers.BUILTIN_HANDLERS.append(("before-parameter-build", self._note))
        handlers.BUILTIN_HANDLERS.append(("before-call", self._answer))
        sys.addaudithook(_refuse_connections)

    def create(self, tables: Iterable[Mapping[str, Any]]) -> None:
        """Create tables, from requests of CreateTable; a table that DynamoDB refuses is left out."""
        for each in tables:
            self._dynamodb("CreateTable", json.dumps(each).encode())

    def put(self, table: str, item: Mapping[str, Any]) -> None:
        """Put an item with typed values into a table, if both are there."""
        self._dynamodb("PutItem", json.dumps({"TableName": table, "Item": item}).encode())

    def _note(self, params: Any, model: Any, **_: Any) -> None:
        service = model.service_model.service_id.hyphenize()
        self.calls.append({"service": service, "operation": model.name, "request": params})

    def _answer(self, model: Any, params: Any, **_: Any) -> tuple[Any, Any]:
        if model.service_model.service_name != "dynamodb":
            error, answer = _ANSWERS.get(model.name, _accepted)(params)
            return SimpleNamespace(status_code=400 if error else 200, headers={}), answer
        status, headers, body = self._dynamodb(model.name, params["body"])
        parser, response = self._parser(model), {"status_code": status, "headers": headers, "body": body}
        parsed = parser.parse(response, model.output_shape)
        error = parsed.get("Error", {})
        shape = model.service_model.shape_for_error_code(error["Code"]) if "Code" in error else None
        if shape is not None:  # some errors have fields of their own, such as the item that is there
            parsed.update(parser.parse(response, shape))
        if error and error.get("Code") not in _OUTCOMES:
            self._refuse(model.name, str(error.get("Message")), json.loads(params["body"]))
        return SimpleNamespace(status_code=status, headers=headers), parsed

    def _dynamodb(self, operation: str, body: bytes) -> tuple[int, Any, bytes]:
        from ministack.services import dynamodb

        headers = {
            "x-amz-target": f"DynamoDB_20120810.{operation}",
            "content-type": "application/x-amz-json-1.0",
        }
        with self._lock:  # functions call in several threads
            answer: tuple[int, Any, bytes] = asyncio.run(dynamodb.handle_request("POST", "/", headers, body, {}))
        return answer

    def _parser(self, model: Any) -> Any:
        from botocore import parsers

        protocol = model.service_model.protocol
        if protocol not in self._parsers:
            self._parsers[protocol] = parsers.create_parser(protocol)
        return self._parsers[protocol]

    def _refuse(self, operation: str, message: str, request: Mapping[str, Any]) -> None:
        parts = [request, *(action for each in request.get("TransactItems", ()) for action in each.values())]
        expressions = [part[name] for part in parts for name in _EXPRESSIONS if isinstance(part.get(name), str)]
        file, line = own_place() or (None, None)
        self.refused.append(
            {"operation": operation, "message": message, "expressions": expressions, "file": file, "line": line}
        )


def own_place() -> tuple[str, int] | None:
    """File and line of the innermost frame in the working directory, which is the service's folder."""
    frame = sys._getframe()
    while frame is not None:
        file = os.path.relpath(frame.f_code.co_filename)
        if not file.startswith(("..", "<")):
            return file, frame.f_lineno
        frame = frame.f_back  # type: ignore[assignment]
    return None


def _refuse_connections(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        raise ConnectionRefusedError(f"fixtures are tried without a network, and something connects to {arguments[1]}")


def _accepted(_: Any) -> tuple[bool, Any]:
    return False, {}


def _entries(field: str, answer: Mapping[str, Any], given: str) -> Callable[[Any], tuple[bool, Any]]:
    """An answer with one of these for each entry of a request."""

    def made(params: Any) -> tuple[bool, Any]:
        body = json.loads(params["body"])
        return False, {field: [{**answer, **_id_of(each)} for each in body.get(given) or ()]}

    return made


def _id_of(entry: Any) -> Mapping[str, Any]:
    return {"Id": entry["Id"]} if isinstance(entry, Mapping) and "Id" in entry else {}


def _published(params: Any) -> tuple[bool, Any]:
    """SNS takes forms: ``PublishBatchRequestEntries.member.1.Id``."""
    ids = [value for name, value in params["body"].items() if name.endswith(".Id")]
    return False, {"Successful": [{"Id": each, "MessageId": "message-1"} for each in ids], "Failed": []}


_WRAPPED = "c3RhbmRzIGZvciB3cmFwcGVkOg=="
"""What stands before the base64 of a text that is encrypted here."""


def _encrypted(params: Any) -> tuple[bool, Any]:
    """Encrypt, and GenerateDataKey, which has no text and gets one."""
    text = a2b_base64(json.loads(params["body"]).get("Plaintext", "")) or bytes(range(32))
    return False, {"Plaintext": text, "CiphertextBlob": a2b_base64(_WRAPPED) + text}


def _decrypted(params: Any) -> tuple[bool, Any]:
    """Decrypt; what was encrypted elsewhere, such as in a fixture, is a stand-in for what KMS cannot decrypt."""
    blob, ours = a2b_base64(json.loads(params["body"])["CiphertextBlob"]), a2b_base64(_WRAPPED)
    if blob.startswith(ours):
        return False, {"Plaintext": blob[len(ours) :]}
    return True, {
        "Error": {"Code": "InvalidCiphertextException", "Message": ""},
        "ResponseMetadata": {"HTTPStatusCode": 400},
    }


def _no_such_key(_: Any) -> tuple[bool, Any]:
    return True, {
        "Error": {"Code": "NoSuchKey", "Message": "The specified key does not exist."},
        "ResponseMetadata": {"HTTPStatusCode": 404},
    }


def _invoked(_: Any) -> tuple[bool, Any]:
    import io

    return False, {"StatusCode": 200, "Payload": io.BytesIO(b"null")}


_ANSWERS: Mapping[str, Callable[[Any], tuple[bool, Any]]] = {
    "Decrypt": _decrypted,
    "Encrypt": _encrypted,
    "GenerateDataKey": _encrypted,
    "GetObject": _no_such_key,
    "HeadObject": _no_such_key,
    "Invoke": _invoked,
    "Publish": lambda _: (False, {"MessageId": "message-1"}),
    "PublishBatch": _published,
    "PutEvents": _entries("Entries", {"EventId": "event-1"}, "Entries"),
    "PutRecordBatch": _entries("RequestResponses", {"RecordId": "record-1"}, "Records"),
    "PutRecords": _entries("Records", {"SequenceNumber": "1", "ShardId": "shardId-000000000000"}, "Records"),
    "SendMessage": lambda _: (False, {"MessageId": "message-1"}),
    "SendMessageBatch": _entries("Successful", {"MessageId": "message-1"}, "Entries"),
}
