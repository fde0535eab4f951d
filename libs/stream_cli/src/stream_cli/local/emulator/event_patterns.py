"""Patterns of rules, archives and SQS mappings are compiled and matched by ``stream_cli.patterns``.

So an event reaches an SQS queue, a topic or a function by the same patterns as a Kinesis stream, which ``deliveries``
serves, and AWS's refusals hold for all of them. ministack's matcher does not see the dots in the names of events, and
takes any wildcard. Its filters of SQS mappings know fewer operators, and take anything that is JSON.

Reasons are given in AWS's words, which ministack has for most of them.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any

from stream_cli.mappings.filters import Filter, compile_filters
from stream_cli.patterns import CompiledPattern, InvalidPattern, compile_pattern, parse_pattern

INTERNALS = {
    "ministack.services.eventbridge": (
        *("_parse_pattern_text", "_event_pattern_error", "_compiled_pattern", "_matches_alternative", "_EventView"),
    ),
    "ministack.services.lambda_svc": ("_apply_filter_criteria",),
    "ministack.services.cloudformation.provisioners": ("_RESOURCE_HANDLERS",),
}

_RULE = "AWS::Events::Rule"


def patch() -> None:
    """Compile and match patterns here; refuse those of templates, too."""
    from ministack.services import eventbridge, lambda_svc
    from ministack.services.cloudformation.provisioners import _RESOURCE_HANDLERS as handlers

    reading = eventbridge._parse_pattern_text

    def read(text: str) -> tuple[list[CompiledPattern] | None, str | None]:
        try:
            return [compile_pattern(parse_pattern(text))], None
        except InvalidPattern as error:
            return None, reading(text)[1] or error.problem

    def matches(view: Any, pattern: CompiledPattern) -> bool:
        return pattern(view.event_with_detail() if "detail" in pattern.fields else view.envelope())

    eventbridge._parse_pattern_text, eventbridge._matches_alternative = read, matches
    eventbridge._compiled_pattern.cache_clear()
    lambda_svc._apply_filter_criteria = kept_messages

    from_template = dict(handlers[_RULE])

    def created(logical_id: str, properties: dict[str, Any], stack: str) -> Any:
        pattern = properties.get("EventPattern") or ""
        reason = eventbridge._event_pattern_error(pattern if isinstance(pattern, str) else json.dumps(pattern))
        if reason is not None:
            raise ValueError(f"{_RULE}: Event pattern is not valid. Reason: {reason}")
        return from_template["create"](logical_id, properties, stack)

    handlers[_RULE] = {**from_template, "create": created}


def kept_messages(records: list[dict[str, Any]], mapping: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The records that the FilterCriteria of an SQS mapping keep."""
    filters = (mapping.get("FilterCriteria") or {}).get("Filters") or []
    keeps = _compiled(tuple(str(each.get("Pattern", "{}")) for each in filters))
    return [record for record in records if keeps(record)]


@functools.lru_cache(maxsize=256)
def _compiled(patterns: tuple[str, ...]) -> Filter:
    return compile_filters("sqs", patterns)
