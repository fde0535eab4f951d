"""Wraps plain events as what triggers a function delivers them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stream_runtime.events import (
    to_api_gateway_request_v2,
    to_dynamodb_records,
    to_eventbridge_event,
    to_kinesis_records,
    to_s3_records,
    to_sns_records,
    to_sqs_records,
)

from stream_cli.invoke.triggers import Trigger
from stream_cli.mappings.filters import compile_filters
from stream_cli.patterns import matches, parse_pattern

_OF_ROWS = frozenset({"pk", "newImage", "new_image", "oldImage", "old_image"})
_DAY_S = 24 * 60 * 60


@dataclass(frozen=True)
class Delivery:
    """One invocation.

    Attributes:
        payload: the event that the function gets.
        numbers: which of the given events it holds, from 1, by the identifier of the record; those of a partial-batch
            response.
        dropped: the numbers of events that would not have come here: a filter does not let them through.
    """

    payload: Any
    numbers: Mapping[str, int] = field(default_factory=dict)
    dropped: Sequence[int] = ()


def is_invocation(value: Any, trigger: Trigger) -> bool:
    """Whether a value is no plain event, but what a function gets already."""
    if not isinstance(value, Mapping):
        return False
    if isinstance(value.get("Records"), list) or isinstance(value.get("records"), list):
        return True
    if "requestContext" in value or value.get("Event") == "s3:TestEvent":
        return True
    return trigger.kind == "direct" or (trigger.kind == "rule" and {"detail-type", "detail"} <= value.keys())


def are_domain_events(trigger: Trigger, values: Sequence[Any]) -> bool:
    """Whether plain events of a trigger are domain events, to be completed, and not rows, objects or requests."""
    of_a_row = trigger.kind == "dynamodb" and not all(map(_is_event, values))
    return trigger.kind in ("kinesis", "dynamodb", "sqs", "sns", "rule") and not (
        of_a_row or any(map(_is_object, values))
    )


def deliveries(trigger: Trigger, values: Sequence[Any], region: str) -> Iterator[Delivery]:
    """The invocations for plain events, in their order.

    Raises:
        ValueError: a value is nothing that this trigger delivers.
    """
    numbered = list(enumerate(values, start=1))
    size = trigger.batch_size if trigger.kind in ("kinesis", "dynamodb", "sqs") else 1
    for start in range(0, len(numbered), size):
        batch = numbered[start : start + size]
        numbers, given = [number for number, _ in batch], [value for _, value in batch]
        yield _delivery(trigger, numbers, given, region)


def _delivery(trigger: Trigger, numbers: Sequence[int], given: Sequence[Any], region: str) -> Delivery:
    match trigger.kind:
        case "kinesis":
            records = to_kinesis_records(given)["Records"]
            return _of_records(trigger, numbers, records, region, lambda each: each["kinesis"]["sequenceNumber"])
        case "dynamodb":
            changes = [_change(trigger, *each, region) for each in zip(numbers, given, strict=True)]
            records = to_dynamodb_records(changes)["Records"]
            return _of_records(trigger, numbers, records, region, lambda each: each["dynamodb"]["SequenceNumber"])
        case "sqs":
            queue = trigger.arn.rpartition(":")[2]
            bodies = [{"body": to_s3_records([_object(each, "")]) if _is_object(each) else each} for each in given]
            records = to_sqs_records(bodies, queue_name=queue or "events")["Records"]
            return _of_records(trigger, numbers, records, region, lambda each: each["messageId"])
        case "sns":
            (record,) = to_sns_records(given)["Records"]
            return Delivery({"Records": [{**record, "Sns": {**record["Sns"], "TopicArn": trigger.arn}}]})
        case "s3":
            bucket = trigger.arn.rpartition(":")[2]
            (record,) = to_s3_records([_object(given[0], bucket)])["Records"]
            return Delivery({"Records": [{**record, "awsRegion": region}]})
        case "rule":
            event = {**to_eventbridge_event(given[0]), "region": region}
            taken = all(matches(parse_pattern(pattern), event) for pattern in trigger.patterns)
            return Delivery(event, dropped=() if taken else numbers)
        case "http":
            return Delivery(_request(trigger, given[0]))
        case _:
            return Delivery(given[0])


def _of_records(
    trigger: Trigger, numbers: Sequence[int], records: Sequence[dict[str, Any]], region: str, identifier: Any
) -> Delivery:
    named = [
        {**record, "awsRegion": region, **({"eventSourceARN": trigger.arn} if trigger.arn else {})}
        for record in records
    ]
    kept = compile_filters(trigger.kind, trigger.patterns)  # type: ignore[arg-type]
    return Delivery(
        {"Records": named},
        {identifier(record): number for number, record in zip(numbers, named, strict=True)},
        [number for number, record in zip(numbers, named, strict=True) if not kept(record)],
    )


def _change(trigger: Trigger, number: int, value: Any, region: str) -> dict[str, Any]:
    """A change of a row, as `to_dynamodb_records` takes it, from a change, a row, or an event that `collect` stores."""
    keys = trigger.keys or ("pk", "sk")
    if isinstance(value, Mapping):
        images = {
            name: value[given]
            for name, *both in (("newImage", "newImage", "new_image"), ("oldImage", "oldImage", "old_image"))
            for given in both
            if value.get(given) is not None
        }
        if not images and all(key in value for key in keys):
            images = {"newImage": value}
        if not images and _is_event(value):
            images = {"newImage": _collected(value, region)}
        row = images.get("newImage") or images.get("oldImage")
        if isinstance(row, Mapping) and all(key in row for key in keys):
            return {**value, **images, "keys": {key: row[key] for key in keys}}
    raise ValueError(
        f"event {number} is nothing that a table's stream delivers; expected a row with {' and '.join(keys)}, "
        '{"newImage": <row>, "oldImage": <row>} with one of them or both, or an event with id and type, which goes as '
        "the row that `collect` stores"
    )


def _collected(event: Mapping[str, Any], region: str) -> dict[str, Any]:
    """The row that the flavor `collect` stores of an event, with the partition key as its correlation key."""
    timestamp = int(event.get("timestamp") or 0)
    return {
        "pk": event["id"],
        "sk": "EVENT",
        "discriminator": "EVENT",
        "timestamp": timestamp,
        "awsregion": region,
        "sequence_number": "0",
        "ttl": timestamp // 1000 + 33 * _DAY_S,
        "data": event.get("partition_key"),
        "event": dict(event),
    }


def _is_event(value: Any) -> bool:
    """Whether this is a domain event, rather than a row, which has keys, or a change of one."""
    return isinstance(value, Mapping) and isinstance(value.get("type"), str) and not _OF_ROWS & value.keys()


def _is_object(value: Any) -> bool:
    return isinstance(value, Mapping) and isinstance(value.get("key"), str) and "type" not in value


def _object(value: Any, bucket: str) -> dict[str, Any]:
    """A notification's object, as `to_s3_records` takes it, from ``{"bucket"?, "key", "eventName"?}``."""
    if not _is_object(value):
        raise ValueError(
            'expected an object of a bucket: {"bucket": "...", "key": "..."}, with an "eventName" if you like'
        )
    name = value.get("bucket") or bucket
    more = {name: value[name] for name in ("eventName", "eventTime") if name in value}
    return {"bucket": name if isinstance(name, Mapping) else {"name": name}, "object": {"key": value["key"]}, **more}


def _request(trigger: Trigger, value: Any) -> dict[str, Any]:
    """A request to an HTTP API from ``{"method", "path", "body"?, "headers"?, "query"?, "claims"?}``."""
    if not isinstance(value, Mapping) or not all(isinstance(value.get(name), str) for name in ("method", "path")):
        raise ValueError(
            'expected a request: {"method": "POST", "path": "/...", "body": ...}, with "headers", "query" and "claims" '
            f"of the token if you like; the routes are {', '.join(sorted(trigger.routes)) or 'unknown'}"
        )
    method = value["method"].upper()
    route, variables = _route(trigger.routes, method, value["path"])
    headers = {**({"content-type": "application/json"} if "body" in value else {}), **(value.get("headers") or {})}
    claims = value.get("claims")
    return to_api_gateway_request_v2(
        method=method,
        path=value["path"],
        body=value.get("body"),
        path_parameters=variables,
        query_string_parameters=value.get("query"),
        headers=headers,
        authorizer={"jwt": {"claims": claims, "scopes": None}} if claims else None,
        route_key=route,
    )


def _route(routes: Sequence[str], method: str, path: str) -> tuple[str | None, dict[str, str]]:
    """The route that takes a request, the one with the fewest variables, and the values of its variables."""
    for route in sorted(routes, key=lambda each: each.count("{")):
        wanted, _, template = route.partition(" ")
        if wanted not in (method, "ANY"):
            continue
        variables = _variables(template, path)
        if variables is not None:
            return route, variables
    return ("$default" if "$default" in routes else None), {}


def _variables(template: str, path: str) -> dict[str, str] | None:
    """The values of a route's variables in a path, None if the route does not take it."""
    wanted, given = template.split("/"), path.split("/")
    found: dict[str, str] = {}
    for place, part in enumerate(wanted):
        if part.endswith("+}") and len(given) > place:
            return {**found, part[1:-2]: "/".join(given[place:])}
        if part.startswith("{") and given[place : place + 1] not in ([], [""]):
            found[part[1:-1]] = given[place]
        elif given[place : place + 1] != [part]:
            return None
    return found if len(wanted) == len(given) else None
