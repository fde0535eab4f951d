"""Event source mappings keep every field that they are created or updated with, by the API and by CloudFormation.

ministack drops TumblingWindowInSeconds, StartingPositionTimestamp and the rarer fields. Beside that, mappings

- tell to the millisecond when they were made, since LATEST begins there;
- are disabled when a template says so;
- have the API's default batch size, 100 on streams;
- may name an enhanced fan-out consumer as their source.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import replace
from typing import Any

INTERNALS = {
    "ministack.services.lambda_svc": (*("_create_esm", "_update_esm", "_esms", "_kinesis_stream_name_from_arn_spec"),),
    "ministack.services.cloudformation.provisioners": ("_RESOURCE_HANDLERS",),
}

_TYPE = "AWS::Lambda::EventSourceMapping"
# Fields of CreateEventSourceMapping that ministack neither stores nor uses.
_DROPPED_FIELDS = (
    *("TumblingWindowInSeconds", "StartingPositionTimestamp", "SourceAccessConfigurations", "Queues", "Topics"),
    *("MetricsConfig", "LoggingConfig", "ProvisionedPollerConfig", "KMSKeyArn"),
)


def patch() -> None:
    """Keep what mappings are created and updated with."""
    from ministack.services import lambda_svc
    from ministack.services.cloudformation.provisioners import _RESOURCE_HANDLERS as handlers

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
        return with_kept(create(with_default_size(data)), data)

    def update_mapping(mapping_id: str, data: dict[str, Any]) -> Any:
        return with_kept(update(mapping_id, data), data)

    lambda_svc._create_esm, lambda_svc._update_esm = create_mapping, update_mapping

    from_template = dict(handlers[_TYPE])

    def with_numbers(given: dict[str, Any]) -> dict[str, Any]:
        # CloudFormation's numbers may arrive as text (a parameter, a Fn::Sub); the API's never do.
        names = ("TumblingWindowInSeconds", "StartingPositionTimestamp")
        numbers = {name: float(given[name]) for name in names if given.get(name) is not None}
        return {**given, **{name: int(n) if n.is_integer() else n for name, n in numbers.items()}}

    def created(logical_id: str, properties: dict[str, Any], stack: str) -> Any:
        outcome = from_template["create"](logical_id, with_default_size(properties), stack)
        keep(outcome[0], with_numbers(properties), State=_state_of(properties))
        return outcome

    def updated(mapping_id: str, old: dict[str, Any], new: dict[str, Any], stack: str) -> Any:
        outcome = from_template["update"](mapping_id, old, new, stack)
        keep(outcome[0], with_numbers(new), State=_state_of(new))
        return outcome

    handlers[_TYPE] = {**from_template, "create": created, "update": updated}
    stream_name = lambda_svc._kinesis_stream_name_from_arn_spec

    def name_of(spec: Any) -> Any:
        consumed, _, consumer = spec.resource.partition("/consumer/")
        return stream_name(replace(spec, resource=consumed) if consumer else spec)

    lambda_svc._kinesis_stream_name_from_arn_spec = name_of


def _state_of(properties: dict[str, Any]) -> str:
    return "Disabled" if str(properties.get("Enabled", True)).lower() == "false" else "Enabled"
