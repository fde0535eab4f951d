"""Debug lines at the start and the end of a pipeline; steps that print nothing are left out when it is put together."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from stream_runtime.engine.flow import Operator
from stream_runtime.engine.operators import tap

_fallback = logging.getLogger("stream_runtime")


def _logger(rule: Mapping[str, Any]) -> Any:
    return rule.get("logger") or _fallback


def print_start_pipeline(rule: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], None]:
    """A function that logs which event enters a pipeline."""
    logger = _logger(rule)

    def log(uow: Mapping[str, Any]) -> None:
        event = uow.get("event") or {}
        logger.debug("start pipeline: %s, type: %s, eid: %s", rule.get("id"), event.get("type"), event.get("id"))

    return log


def print_end_pipeline(rule: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], None]:
    """A function that logs which event leaves a pipeline, and the fields its unit of work has by then."""
    logger = _logger(rule)

    def log(uow: Mapping[str, Any]) -> None:
        event = uow.get("event") or {}
        logger.debug(
            "end pipeline: %s, type: %s, eid: %s, uow: %s",
            rule.get("id"),
            event.get("type"),
            event.get("id"),
            sorted(uow),
        )

    return log


def started(rule: Mapping[str, Any]) -> Operator | None:
    """`print_start_pipeline` as an operator; None where debug lines are off."""
    return tap(print_start_pipeline(rule)) if _is_debugging(rule) else None


def ended(rule: Mapping[str, Any]) -> Operator | None:
    """`print_end_pipeline` as an operator; None where debug lines are off."""
    return tap(print_end_pipeline(rule)) if _is_debugging(rule) else None


def _is_debugging(rule: Mapping[str, Any]) -> bool:
    logger = _logger(rule)
    check = getattr(logger, "isEnabledFor", None)  # Powertools' Logger has it only by delegation
    if check is not None:
        return bool(check(logging.DEBUG))
    return int(getattr(logger, "log_level", logging.DEBUG)) <= logging.DEBUG
