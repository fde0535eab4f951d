"""Debug lines at the start and the end of a pipeline. They add no step unless the logger is at debug level."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from stream_runtime.engine.flow import Operator
from stream_runtime.engine.operators import tap

from .fields import Rule

_fallback = logging.getLogger("stream_runtime")


def print_start_pipeline(rule: Rule) -> Callable[[Mapping[str, Any]], None]:
    """A function that logs which event enters the pipeline."""
    log = _logger(rule).debug
    return lambda uow: log("start pipeline: %s, type: %s, eid: %s", *_names(rule, uow))


def print_end_pipeline(rule: Rule) -> Callable[[Mapping[str, Any]], None]:
    """A function that logs which event leaves the pipeline, and the fields of its unit of work."""
    log = _logger(rule).debug
    return lambda uow: log("end pipeline: %s, type: %s, eid: %s, uow: %s", *_names(rule, uow), sorted(uow))


def started(rule: Rule) -> Operator | None:
    return tap(print_start_pipeline(rule)) if is_debugging(rule) else None


def ended(rule: Rule) -> Operator | None:
    return tap(print_end_pipeline(rule)) if is_debugging(rule) else None


def _logger(rule: Rule) -> Any:
    return rule.get("logger") or _fallback


def _names(rule: Rule, uow: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    event = uow.get("event") or {}
    return rule.get("id"), event.get("type"), event.get("id")


def is_debugging(rule: Rule) -> bool:
    """Whether the rule's logger is at debug level."""
    logger = _logger(rule)
    check = getattr(logger, "isEnabledFor", None)  # Powertools' Logger has it only by delegation
    if check is not None:
        return bool(check(logging.DEBUG))
    return int(getattr(logger, "log_level", logging.DEBUG)) <= logging.DEBUG
