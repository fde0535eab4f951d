"""Lambda reads the source of a mapping with the role of its function, and refuses a mapping whose role may not.

Lambda developer guide, "Using Lambda with Kinesis / DynamoDB / SQS", the permissions of the execution role. Messages:
those that users of AWS have reported of CreateEventSourceMapping.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from stream_cli.local.emulator.authorization import decisions
from stream_cli.local.emulator.authorization.refusals import Refusal, tell
from stream_cli.local.emulator.authorization.services import NotTrusted, assumed
from stream_cli.local.emulator.refused_mappings import Refusal as RefusedMapping

INTERNALS = {
    "ministack.services.lambda_svc": ("_functions", "_iter_all_esms", "_resolve_name_and_qualifier"),
}

_READ = {
    # One of each group is enough: roles of the Serverless CLI have DescribeStream and no ListShards.
    "kinesis": (
        ("kinesis:GetRecords",),
        ("kinesis:GetShardIterator",),
        ("kinesis:DescribeStreamSummary", "kinesis:DescribeStream"),
        ("kinesis:ListShards", "kinesis:DescribeStream"),
    ),
    "dynamodb": (("dynamodb:GetRecords",), ("dynamodb:GetShardIterator",), ("dynamodb:DescribeStream",)),
    "sqs": (("sqs:ReceiveMessage",), ("sqs:DeleteMessage",), ("sqs:GetQueueAttributes",)),
}
_SERVICES = {"dynamodb": "dynamodbstreams"}
_LISTED = {
    "kinesis": "GetRecords, GetShardIterator, DescribeStream, ListShards, and ListStreams",
    "dynamodb": "GetRecords, GetShardIterator, DescribeStream, and ListStreams",
}
_SENDS = {"sqs": "sqs:SendMessage", "sns": "sns:Publish", "s3": "s3:PutObject"}
_NAMES = {"sqs": "SQS", "sns": "SNS", "s3": "S3"}


def patch() -> None:
    """Read queues for mappings whose role may."""
    from ministack.services import lambda_svc

    all_mappings = lambda_svc._iter_all_esms

    def readable() -> Iterator[tuple[str, str, dict[str, Any]]]:
        for account, region, mapping in all_mappings():
            if ":sqs:" in str(mapping.get("EventSourceArn")) and mapping.get("Enabled", True):
                refused = refusal(mapping, account, region)
                if refused is not None:
                    mapping["LastProcessingResult"] = f"PROBLEM: {refused.message}"
                    continue
            yield account, region, mapping

    lambda_svc._iter_all_esms = readable


def refusal(mapping: Mapping[str, Any], account: str, region: str) -> RefusedMapping | None:
    """Why Lambda cannot serve a mapping: what its function's role may not do with its source or destination."""
    from ministack.services import lambda_svc

    name, _ = lambda_svc._resolve_name_and_qualifier(mapping.get("FunctionName", ""))
    config = (lambda_svc._functions.get_scoped(account, region, name) or {}).get("config")
    source = str(mapping.get("EventSourceArn", ""))
    service = [*source.split(":"), "", ""][2]
    if config is None or service not in _READ:
        return None
    function, role = str(config["FunctionArn"]), str(config.get("Role", ""))
    keys = {"aws:SourceArn": function, "aws:SourceAccount": account}
    try:
        caller = assumed(role, "lambda.amazonaws.com", name, keys)
    except NotTrusted:
        return RefusedMapping("The role defined for the function cannot be assumed by Lambda.")
    stream, _, consumer = source.partition("/consumer/")
    groups = [(each, stream) for each in _READ[service]] + (
        [(("kinesis:SubscribeToShard",), source)] if consumer else []
    )
    for actions, arn in groups:
        found = [decisions.refusal(caller, _SERVICES.get(service, service), each, arn, region) for each in actions]
        if all(found):
            tell(Refusal.of(found[0], caller.arn, actions[0], arn, function))
            return RefusedMapping(_message(service, source, actions[0]))
    target = str(((mapping.get("DestinationConfig") or {}).get("OnFailure") or {}).get("Destination") or "")
    kind = [*target.split(":"), "", ""][2]
    if kind in _SENDS:
        arn = f"{target}/*" if kind == "s3" else target
        unsent = decisions.refusal(caller, kind, _SENDS[kind], arn, region)
        if unsent is not None:
            tell(Refusal.of(unsent, caller.arn, _SENDS[kind], arn, function))
            return RefusedMapping(_no_permission(_SENDS[kind], kind))
    return None


def _message(service: str, source: str, action: str) -> str:
    if service == "sqs":
        return _no_permission(action, service)
    return (
        f"Cannot access stream {source}. Please ensure the role can perform the {_LISTED[service]} Actions on your "
        "stream in IAM."
    )


def _no_permission(action: str, service: str) -> str:
    return (
        f"The provided execution role does not have permissions to call {action.partition(':')[2]} on {_NAMES[service]}"
    )
