"""Event source mappings that AWS refuses are refused, by the API and by CloudFormation.

ministack takes any source that looks like one, the same source for the same function twice, any filter pattern, and
batches that no queue fills. Codes and messages are AWS's where they are known: Lambda API reference,
"CreateEventSourceMapping"; what LocalStack recorded (`tests/aws/services/lambda_/event_source_mapping`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stream_cli.mappings.filters import compile_filters
from stream_cli.mappings.settings import MappingSettings
from stream_cli.patterns import InvalidPattern

INTERNALS = {
    "ministack.services.lambda_svc": (
        *("_create_esm", "_update_esm", "_esms", "_functions", "_resolve_name_and_qualifier", "error_response_json"),
    ),
    "ministack.app": ("AUTH",),
    "ministack.core.responses": ("get_account_id", "get_region"),
    "ministack.services.kinesis": ("_resolve_stream_by_arn", "_consumers"),
    "ministack.services.dynamodb_streams": ("_describe_stream",),
    "ministack.services.sqs": ("_queue_by_arn",),
    "ministack.services.cloudformation.provisioners": ("_RESOURCE_HANDLERS",),
}

_TYPE = "AWS::Lambda::EventSourceMapping"
_QUEUE_BATCH = 10
"""Messages of a batch without a batching window; the default too."""

_LOWEST_AGE = 60
"""MaximumRecordAgeInSeconds that is a limit: the API takes lower numbers, and Lambda refuses them."""

Given = Mapping[str, Any]


@dataclass(frozen=True)
class Refusal:
    """How AWS answers."""

    message: str
    code: str = "InvalidParameterValueException"
    status: int = 400


def patch() -> None:
    """Refuse before anything is created or changed."""
    from ministack.services import lambda_svc
    from ministack.services.cloudformation.provisioners import _RESOURCE_HANDLERS as handlers

    create, update = lambda_svc._create_esm, lambda_svc._update_esm

    def create_mapping(data: dict[str, Any]) -> Any:
        refused = _refusal(data) or _missing_source(data) or _duplicate(data, None) or _of_role(data)
        return create(data) if refused is None else answer(refused)

    def update_mapping(mapping_id: str, data: dict[str, Any]) -> Any:
        mapping = lambda_svc._esms.get(mapping_id)
        if mapping is not None:
            changed = {**mapping, **data}
            refused = _refusal(changed) or _duplicate(changed, mapping_id) or _of_role(changed)
            if refused is not None:
                return answer(refused)
        return update(mapping_id, data)

    def answer(refused: Refusal) -> Any:
        return lambda_svc.error_response_json(refused.code, refused.message, refused.status)

    lambda_svc._create_esm, lambda_svc._update_esm = create_mapping, update_mapping

    from_template = dict(handlers[_TYPE])

    def refuse(refused: Refusal | None) -> None:
        if refused is not None:
            raise ValueError(f"{_TYPE}: {refused.message}")

    def created(logical_id: str, properties: dict[str, Any], stack: str) -> Any:
        refuse(
            _refusal(properties) or _missing_source(properties) or _duplicate(properties, None) or _of_role(properties)
        )
        return from_template["create"](logical_id, properties, stack)

    def updated(mapping_id: str, old: dict[str, Any], new: dict[str, Any], stack: str) -> Any:
        refuse(_refusal(new) or _missing_source(new) or _duplicate(new, mapping_id) or _of_role(new))
        return from_template["update"](mapping_id, old, new, stack)

    handlers[_TYPE] = {**from_template, "create": created, "update": updated}


def _service(given: Given) -> str:
    return [*str(given.get("EventSourceArn", "")).split(":"), "", ""][2]


def _refusal(given: Given) -> Refusal | None:
    """Why AWS refuses a mapping with these settings, wherever its source is; None when it does not."""
    service = _service(given)
    if service not in {"kinesis", "dynamodb", "sqs"}:
        return None  # ministack refuses it itself
    try:
        if service == "sqs":
            return _queue_refusal(given)
        timestamp = given.get("StartingPositionTimestamp")
        if timestamp is not None and given.get("StartingPosition") != "AT_TIMESTAMP":
            return Refusal("Timestamp only valid with StartingPosition AT_TIMESTAMP")
        if not given.get("StartingPosition"):
            return Refusal(
                "1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: "
                "Member must not be null."
            )
        if service == "dynamodb" and given["StartingPosition"] == "AT_TIMESTAMP":
            return Refusal(f"Unsupported starting position for arn type: {given['EventSourceArn']}")
        settings = MappingSettings.from_configuration({**given, "UUID": "", "FunctionArn": ""})
        if -1 < settings.max_age < _LOWEST_AGE:
            return Refusal(f"MaximumRecordAgeInSeconds is {settings.max_age:g}; expected -1 or at least {_LOWEST_AGE}")
        compile_filters(settings.source.kind, settings.filter_patterns)
    except InvalidPattern as error:
        return Refusal(f"Invalid filter pattern definition. {error}")  # AWS does not say where
    except ValueError as error:
        return Refusal(str(error))
    return None


def _queue_refusal(given: Given) -> Refusal | None:
    if given.get("StartingPosition"):
        return Refusal("StartingPosition is not valid for SQS event sources.")
    size = int(given.get("BatchSize") or _QUEUE_BATCH)
    window = int(given.get("MaximumBatchingWindowInSeconds") or 0)
    if str(given["EventSourceArn"]).endswith(".fifo"):
        if window:
            return Refusal("Batching window is not supported for FIFO queues")
        if size > _QUEUE_BATCH:
            return Refusal(f"Batch size must not exceed {_QUEUE_BATCH} for FIFO queues")
    if size > _QUEUE_BATCH and not window:
        return Refusal(
            "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10"
        )
    filters = (given.get("FilterCriteria") or {}).get("Filters") or []
    compile_filters("sqs", [str(each.get("Pattern", "{}")) for each in filters])
    return None


def _missing_source(given: Given) -> Refusal | None:
    """Why AWS refuses the source itself: it does not exist, or a queue's messages come back too early."""
    from ministack.services import dynamodb_streams, kinesis, lambda_svc, sqs

    arn, service = str(given.get("EventSourceArn", "")), _service(given)
    if service == "sqs":
        queue = sqs._queue_by_arn(arn)
        if queue is None:
            return Refusal(
                "Error occurred while ReceiveMessage. SQS Error Code: AWS.SimpleQueueService.NonExistentQueue. SQS "
                "Error Message: The specified queue does not exist or you do not have access to it."
            )
        name, _ = lambda_svc._resolve_name_and_qualifier(given.get("FunctionName", ""))
        visible, timeout = int(queue["attributes"].get("VisibilityTimeout", 30)), _timeout_of(name)
        if visible < timeout:
            return Refusal(
                f"Queue visibility timeout: {visible} seconds is less than Function timeout: {timeout} seconds"
            )
        return None
    stream, _, consumer = arn.partition("/consumer/")
    if service == "kinesis":
        found = kinesis._resolve_stream_by_arn(stream) is not None and (not consumer or arn in kinesis._consumers)
    else:
        found = service != "dynamodb" or dynamodb_streams._describe_stream({"StreamArn": arn})[0] < 400
    return None if found else Refusal(f"Stream not found: {arn}")


def _of_role(given: Given) -> Refusal | None:
    """Why the role of the function does not do, where policies are enforced."""
    from ministack import app
    from ministack.core.responses import get_account_id, get_region

    from stream_cli.local.emulator.authorization import mappings

    return mappings.refusal(given, get_account_id(), get_region()) if app.AUTH else None


def _timeout_of(function: str) -> int:
    from ministack.services import lambda_svc

    return int(((lambda_svc._functions.get(function) or {}).get("config") or {}).get("Timeout", 3))


def _duplicate(given: Given, mapping_id: str | None) -> Refusal | None:
    """AWS keeps one mapping for a source and a function; `mapping_id` is the one that changes."""
    from ministack.services import lambda_svc

    name, qualifier = lambda_svc._resolve_name_and_qualifier(given.get("FunctionName", ""))
    arn = given.get("EventSourceArn")
    for known_id, known in lambda_svc._esms.items():
        same = (known["FunctionName"], known.get("Qualifier") or None) == (name, qualifier or None)
        if known_id == mapping_id or known["EventSourceArn"] != arn or not same:
            continue
        if _service(given) == "sqs":
            problem = f'An event source mapping with SQS arn (" {arn} ") and function (" {name} ") already exists.'
        else:
            problem = f'The event source arn (" {arn} ") and function (" {name} ") provided mapping already exists.'
        return Refusal(
            f"{problem} Please update or delete the existing mapping with UUID {known_id}",
            "ResourceConflictException",
            409,
        )
    return None
