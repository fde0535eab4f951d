"""The actions, resources and keys of conditions of requests, where ministack gives others than AWS.

- Requests for a batch of messages have no action of their own: SendMessageBatch asks for ``sqs:SendMessage``.
- PartiQL statements have actions of their own, on the table.
- GetRecords has the stream of its iterator as resource, PutLogEvents a stream of its group, Invoke the qualifier.
- Requests of KMS that name a key by an alias are about the key; policies cannot name it by its alias.
- Metrics have ``cloudwatch:namespace``; events have ``events:source`` and ``events:detail-type``.

Source: service authorization reference, the page of each service; KMS developer guide, "Use aliases to control access
to KMS keys".
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any

from stream_cli.local.emulator.authorization import decisions
from stream_cli.local.emulator.authorization.callers import Caller
from stream_cli.local.emulator.native_json import Json, read_ahead

INTERNALS = {
    "ministack.core.iam_actions": (
        *("json", "extract_iam_action", "extract_resource_arn", "request_tag_context", "access_denied_response"),
        *("dynamodb_resource_arns", "dynamodb_service_context", "dynamodb_transaction_checks", "_dynamodb_table_arn"),
        *("eventbridge_resource_arns", "logs_service_context"),
    ),
    "ministack.core.responses": ("get_account_id",),
    "ministack.services.dynamodb_streams": ("_decode_iterator",),
    "ministack.services.kinesis": ("_shard_iterators", "_streams"),
    "ministack.services.kms": ("_resolve_key",),
}

_SINGLE = {
    "sqs:SendMessageBatch": "sqs:SendMessage",
    "sqs:DeleteMessageBatch": "sqs:DeleteMessage",
    "sqs:ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
    "sns:PublishBatch": "sns:Publish",
}
_TABLE = re.compile(r'"(?P<quoted>[^"]+)"(?:\."(?P<index>[^"]+)")?|(?P<plain>[\w.-]+)')
_BEFORE_TABLE = {"insert": "into", "delete": "from", "select": "from", "update": "update"}
_OF_A_TABLE = frozenset(
    f"dynamodb:{name}" for name in ("GetItem", "PutItem", "UpdateItem", "DeleteItem", "Query", "Scan")
)
_BESIDE_STREAM = frozenset({"Records", "Limit", "Data", "PartitionKey"})
"""What requests for records of a stream hold beside its name."""

_ITERATORS = 64
"""Iterators whose content is remembered: the decision reads it, and then the service."""

_PARTIQL = frozenset({"dynamodb:ExecuteStatement", "dynamodb:BatchExecuteStatement", "dynamodb:ExecuteTransaction"})

Check = tuple[str, str]
"""An action and the ARN of a resource."""


class _Ahead(Json):
    """Reads the body of a request once, for everyone who wants to know something of it, and for its service."""

    @staticmethod
    def loads(text: str | bytes | bytearray, **options: Any) -> Any:
        return read_ahead(text) if type(text) is bytes and not options else Json.loads(text, **options)


def patch() -> None:
    """Mend what ministack finds out about requests."""
    from ministack.core import iam_actions

    action_of, resource_of = iam_actions.extract_iam_action, iam_actions.extract_resource_arn
    context_of, transaction = iam_actions.request_tag_context, iam_actions.dynamodb_transaction_checks

    def action(service: str, method: str, path: str, headers: Any, body: bytes, query: Any) -> str | None:
        found = action_of(service, method, path, headers, body, query)
        return _SINGLE.get(found, found) if isinstance(found, str) else None

    def resource(
        service: str, method: str, path: str, headers: Any, body: bytes, query: Any, region: str, account: str
    ) -> str:
        found = str(resource_of(service, method, path, headers, body, query, region, account))
        mended = _MENDED.get(service)
        return found if mended is None else mended(found, headers, body, query)

    def context(service: str, iam_action: str, body: bytes, query: Any) -> dict[str, Any]:
        found: dict[str, Any] = context_of(service, iam_action, body, query)
        if iam_action == "cloudwatch:PutMetricData":
            found["cloudwatch:namespace"] = _namespace(body, query)
        elif iam_action == "events:PutEvents":
            entries = [each for each in _read(body).get("Entries") or [] if isinstance(each, dict)]
            found["events:source"] = [str(each.get("Source")) for each in entries]
            found["events:detail-type"] = [str(each.get("DetailType")) for each in entries]
        return found

    def of_items(iam_action: str, body: bytes, region: str, account: str) -> list[Check]:
        if iam_action in _PARTIQL:
            return _of_statements(_read(body), region, account)
        return [(each, arn) for each, arn in transaction(iam_action, body, region, account)]

    table_streams = _table_streams()
    table_streams._decode_iterator = functools.lru_cache(_ITERATORS)(table_streams._decode_iterator)
    iam_actions.json = _Ahead()
    iam_actions.extract_iam_action, iam_actions.extract_resource_arn = action, resource
    iam_actions.request_tag_context, iam_actions.dynamodb_transaction_checks = context, of_items


def refusal(caller: Caller, service: str, headers: dict[str, str], body: bytes, region: str, request_id: str) -> Any:
    """The answer to a request that names its operation and that policies do not allow; None if they do."""
    iam_actions, account_id = _ministack()
    account = account_id()
    if "x-www-form-urlencoded" in headers.get("content-type", ""):
        action = iam_actions.extract_iam_action(service, "POST", "/", headers, body, {})
    else:
        action = _action_of(service, headers["x-amz-target"])

    def of_request() -> dict[str, Any]:
        return _context(service, each, action, headers, body, resource, region, account)

    for each, resource in _checks(service, action, headers, body, region, account):
        found = decisions.refusal(caller, service, each, resource, region, of_request)
        if found is not None:
            return decisions.answer(found, caller, service, each, resource, headers, request_id)
    return None


@functools.cache
def _ministack() -> tuple[Any, Callable[[], str]]:
    from ministack.core import iam_actions
    from ministack.core.responses import get_account_id

    return iam_actions, get_account_id


@functools.lru_cache(1024)
def _action_of(service: str, target: str) -> Any:
    from ministack.core import iam_actions

    return iam_actions.extract_iam_action(service, "POST", "/", {"x-amz-target": target}, b"", {})


def _checks(service: str, action: str, headers: Any, body: bytes, region: str, account: str) -> list[Check]:
    iam_actions, _ = _ministack()
    if service == "dynamodb":
        request = _read(body)
        table, index = request.get("TableName"), request.get("IndexName")
        if action in _OF_A_TABLE and isinstance(table, str) and table and not index:
            return [(action, iam_actions._dynamodb_table_arn(table, region, account))]
        of_items = iam_actions.dynamodb_transaction_checks(action, body, region, account)
        if of_items:
            return [*dict.fromkeys(of_items)]
        tables = iam_actions.dynamodb_resource_arns(body, region, account)
        return [(action, table) for table in tables or ["*"]]
    if service == "events" and action == "events:PutEvents":
        buses = iam_actions.eventbridge_resource_arns(body, region, account)
        return [(action, bus) for bus in buses or ["*"]]
    if service == "dynamodbstreams":
        return [(action, _of_table_stream("*", headers, body, {}))]
    if service == "kinesis" and (stream := _plain_stream(_read(body))):
        return [(action, stream)]
    return [(action, iam_actions.extract_resource_arn(service, "POST", "/", headers, body, {}, region, account))]


def _context(
    service: str, action: str, asked: str, headers: Any, body: bytes, resource: str, region: str, account: str
) -> dict[str, Any]:
    """The keys of conditions, as ministack's app gives them; ``asked`` is what the request as a whole asks for."""
    from ministack.core import iam_actions

    found: dict[str, Any] = {**iam_actions.request_tag_context(service, asked, body, {})}
    if service == "dynamodb":
        found |= iam_actions.dynamodb_service_context(body)
        if action != asked:
            found["dynamodb:EnclosingOperation"] = [asked.partition(":")[2]]
    if service == "logs":
        found |= iam_actions.logs_service_context(asked.partition(":")[2], body, resource, region, account)
    return found


def _read(body: bytes) -> dict[str, Any]:
    try:
        content = read_ahead(body)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _of_statements(request: dict[str, Any], region: str, account: str) -> list[Check]:
    """What the PartiQL statements of a request ask for."""
    asked = request.get("Statements") or request.get("TransactStatements") or [request]
    return [_of_statement(str(each.get("Statement", "")).split(), region, account) for each in asked]


def _of_statement(words: list[str], region: str, account: str) -> Check:
    from ministack.core import iam_actions

    lower = [word.lower() for word in words]
    verb = lower[0] if lower and lower[0] in _BEFORE_TABLE else "select"
    before = _BEFORE_TABLE[verb]
    named = words[lower.index(before) + 1] if before in lower[:-1] else ""
    table = _TABLE.match(named)
    if table is None:
        return "dynamodb:PartiQLSelect", "*"  # DynamoDB says what is wrong with it
    arn = iam_actions._dynamodb_table_arn(table["quoted"] or table["plain"], region, account)
    return f"dynamodb:PartiQL{verb.capitalize()}", f"{arn}/index/{table['index']}" if table["index"] else arn


def _plain_stream(request: dict[str, Any]) -> str:
    """The stream of a request of Kinesis that names it by its ARN or by an iterator alone; empty for any other."""
    if len(request) > len(_BESIDE_STREAM & request.keys()) + 1:
        return ""
    named = request.get("StreamARN")
    if isinstance(named, str):
        return named
    found = _of_iterator(request) if "ShardIterator" in request else "*"
    return "" if found == "*" else found


def _of_kinesis(found: str, _headers: Any, body: bytes, _query: Any) -> str:
    if found != "*":
        return found
    request = _read(body)
    if "ConsumerARN" in request:
        return str(request["ConsumerARN"])
    return _of_iterator(request)


def _of_iterator(request: dict[str, Any]) -> str:
    streams, iterators = _kinesis()._streams, _kinesis()._shard_iterators
    iterator = iterators.get(request.get("ShardIterator"))
    stream = streams.get(iterator["stream"]) if iterator else None
    return str(stream["StreamARN"]) if stream else "*"


@functools.cache
def _kinesis() -> Any:
    from ministack.services import kinesis

    return kinesis


def _of_table_stream(_found: str, _headers: Any, body: bytes, _query: Any) -> str:
    request = _read(body)
    if "StreamArn" in request:
        return str(request["StreamArn"])
    iterator = request.get("ShardIterator")
    decoded = _table_streams()._decode_iterator(iterator) if isinstance(iterator, str) else None
    return str((decoded or {}).get("arn") or "*")


@functools.cache
def _table_streams() -> Any:
    from ministack.services import dynamodb_streams

    return dynamodb_streams


def _of_log_group(found: str, headers: Any, body: bytes, _query: Any) -> str:
    action = headers.get("x-amz-target", "").rpartition(".")[2]
    if action in {"CreateLogStream", "PutLogEvents"} and found != "*":
        stream = "" if action == "CreateLogStream" else _read(body).get("logStreamName", "")
        return f"{found}:log-stream:{stream}"
    return found


def _of_function(found: str, _headers: Any, _body: bytes, query: Any) -> str:
    qualifier = (query or {}).get("Qualifier")
    qualifier = qualifier[0] if isinstance(qualifier, list) and qualifier else qualifier
    unqualified = ":function:" in found and found.count(":") == 6
    return f"{found}:{qualifier}" if qualifier and unqualified else found


def _of_key(found: str, _headers: Any, _body: bytes, _query: Any) -> str:
    if ":alias/" not in found:
        return found
    from ministack.services import kms

    key = kms._resolve_key(found)
    return str(key["Arn"]) if key else found


_MENDED = {
    "kinesis": _of_kinesis,
    "kms": _of_key,
    "dynamodbstreams": _of_table_stream,
    "logs": _of_log_group,
    "lambda": _of_function,
}


def _namespace(body: bytes, query: Any) -> str:
    """The namespace of metrics, in a form or in JSON."""
    named = (query or {}).get("Namespace")
    if named:
        return str(named[0] if isinstance(named, list) else named)
    return str(_read(body).get("Namespace", ""))
