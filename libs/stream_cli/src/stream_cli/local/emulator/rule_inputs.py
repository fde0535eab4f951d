"""Targets of bus rules get what ``rule_targets`` makes of the event, and are refused by PutTargets as on AWS.

So an SQS queue, a topic, a function or another bus gets the same from an InputPath or InputTransformer as a Kinesis
stream, which ``deliveries`` serves. ministack writes `detail-type` into `<aws.events.event>`, delivers outputs of JSON
templates that are not JSON, and knows only paths of names and dots. It takes any target of a service that it knows.

Sources of the refusals: EventBridge API reference, "PutTargets" and "Target"; what LocalStack recorded on AWS.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from typing import Any

from stream_cli.local.rule_targets import INPUTS, MOST_TARGETS, InvalidOutput, InvalidPath, refusal, target_input

INTERNALS = {
    "ministack.services.eventbridge": (
        *("_invoke_target", "_put_targets", "_pattern_event_view", "_targets", "_rule_key", "error_response_json"),
        "logger",
    ),
    "ministack.services.cloudformation.provisioners": ("_RESOURCE_HANDLERS",),
}

Target = Mapping[str, Any]

_RULE = "AWS::Events::Rule"
_ID = re.compile(r"[.\-_A-Za-z0-9]+\Z")
_LONGEST_ID = 64


def patch() -> None:
    """Make inputs here, and refuse what AWS refuses, in templates too."""
    from ministack.services import eventbridge
    from ministack.services.cloudformation.provisioners import _RESOURCE_HANDLERS as handlers

    invoke, put_targets = eventbridge._invoke_target, eventbridge._put_targets

    def invoke_with_input(
        target: dict[str, Any], event: dict[str, Any], rule: dict[str, Any], view: Any = None
    ) -> None:
        view = view or eventbridge._pattern_event_view(event)
        if any(target.get(name) is not None for name in INPUTS):
            now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            try:
                text = target_input(target, view.event_with_detail(), rule, received_at=now)
                if not text:
                    raise InvalidOutput("the input is empty")  # ministack would deliver the event instead
            except (InvalidPath, InvalidOutput) as error:
                eventbridge.logger.error(
                    "EventBridge: rule %s, target %s: event %s is not delivered: %s",
                    *(rule.get("Name"), target.get("Id"), event.get("EventId"), error),
                )
                return
            target = {**{name: value for name, value in target.items() if name not in INPUTS}, "Input": text}
        invoke(target, event, rule, view)

    def put_checked(data: dict[str, Any]) -> Any:
        targets = data.get("Targets", [])
        key = eventbridge._rule_key(data.get("Rule"), data.get("EventBusName", "default"))
        refused = _refusal(targets, {target["Id"] for target in eventbridge._targets.get(key, [])})
        return put_targets(data) if refused is None else eventbridge.error_response_json(*refused, 400)

    eventbridge._invoke_target, eventbridge._put_targets = invoke_with_input, put_checked

    from_template = dict(handlers[_RULE])

    def created(logical_id: str, properties: dict[str, Any], stack: str) -> Any:
        refused = _refusal(properties.get("Targets") or [], set())
        if refused is not None:
            raise ValueError(f"{_RULE}: {refused[1]}")
        return from_template["create"](logical_id, properties, stack)

    handlers[_RULE] = {**from_template, "create": created}


def _refusal(targets: Iterable[Target], known: set[str]) -> tuple[str, str] | None:
    """Code and message of AWS's refusal to add targets to a rule that has those in `known`; None if it takes them."""
    for number, target in enumerate(targets, start=1):
        identifier = str(target.get("Id", ""))
        constraint = None
        if len(identifier) > _LONGEST_ID:
            constraint = f"Member must have length less than or equal to {_LONGEST_ID}"
        elif not _ID.match(identifier):
            constraint = r"Member must satisfy regular expression pattern: [\.\-_A-Za-z0-9]+"
        if constraint is not None:
            place = f"'{identifier}' at 'targets.{number}.member.id'"
            return (
                "ValidationException",
                f"1 validation error detected: Value {place} failed to satisfy constraint: {constraint}",
            )
        reason = refusal(target)
        if reason is not None:
            return "ValidationException", reason
        known = known | {identifier}
    if len(known) > MOST_TARGETS:
        return "LimitExceededException", "The requested resource exceeds the maximum number allowed."
    return None
