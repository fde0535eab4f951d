"""The options a function's pipelines share, which a rule may override one by one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, TypedDict

from .engine.flow import Operator

Publish = Callable[[Mapping[str, Any]], Operator]
"""A curried operator factory: parameters (logger, bus_name, source, event_field, ...) -> operator."""


class Options(TypedDict, total=False):
    """What `StreamPipeline` and `stream_handler` take as options.

    Attributes:
        logger: standard or Powertools logger.
        publish: makes the operator that publishes events and faults.
        bus_name: the bus; BUS_NAME by default.
        source: the Source of published entries; BUS_SRC by default.
        table_name: the table of all rules that name none.
        parallel: calls at once in each pipeline; PARALLEL by default.
        rate: units of work that each pipeline sends on in a second; unlimited by default.
        batch_size: entries in one call, where an API takes several.
        max_request_size: bytes of one such call.
        compression_threshold: bytes of JSON above which a field of a published or stored event is compressed;
            COMPRESSION_THRESHOLD by default.
        freeze: freeze events, so that a rule that mutates one raises; FREEZE by default. For tests.
    """

    logger: Any
    publish: Publish
    bus_name: str | Callable[[Mapping[str, Any]], str] | None
    source: str
    table_name: str
    parallel: int
    rate: float
    batch_size: int
    max_request_size: int
    compression_threshold: int
    freeze: bool


def publish(parameters: Mapping[str, Any]) -> Operator:
    """The default publisher: EventBridge."""
    from .sinks.eventbridge import publish_to_event_bridge

    return publish_to_event_bridge(**parameters)


DEFAULT_OPTIONS: Options = {"logger": logging.getLogger(), "publish": publish}

_PUBLISH_FIELDS = (
    "logger",
    "bus_name",
    "source",
    "batch_size",
    "max_request_size",
    "parallel",
    "rate",
    "compression_threshold",
)


def publisher(rule: Mapping[str, Any], event_field: str = "event") -> Operator:
    """The operator with which a rule publishes the event in a field of its units of work."""
    parameters = {name: rule[name] for name in _PUBLISH_FIELDS if rule.get(name) is not None}
    return (rule.get("publish") or publish)({**parameters, "event_field": event_field})
