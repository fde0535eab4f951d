"""What a refused caller gets, in AWS's words, and what people are told: the statement that is missing.

ministack names no resource in most messages, and answers the JSON protocols with 403 where AWS answers with 400. The
words are those that users of AWS have reported: ``User: ... is not authorized to perform: dynamodb:PutItem on resource:
arn:... because no identity-based policy allows the dynamodb:PutItem action``, with status 400; ``sqs:sendmessage`` with
AccessDenied; ``SNS:Publish`` with AuthorizationError.
"""

from __future__ import annotations

import difflib
import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from stream_cli.local.emulator.authorization import callers

INTERNALS = {
    "ministack.core.iam_actions": ("access_denied_response", "_SERVICE_PROTOCOL"),
    "ministack.core.router": ("extract_access_key_id",),
    "ministack.services.dynamodb": ("_tables",),
    "ministack.services.eventbridge": ("_event_buses",),
    "ministack.services.kinesis": ("_streams",),
}

_KEPT = 10
"""Refusals of a function that wait for the end of an invocation, whose log they go to."""

_MOST_TOLD = 10_000

logger = logging.getLogger("stream_cli.authorization")

listeners: list[Callable[[Refusal], None]] = []
"""Are called with every refusal."""

_told: set[Refusal] = set()
_for_logs: dict[str, deque[str]] = {}
_lock = threading.Lock()


@dataclass(frozen=True)
class Refusal:
    """A call that policies do not allow.

    Attributes:
        caller: ARN of the session that called.
        action: as in a policy.
        resource: as in a statement that would allow it: an ARN, with ``*`` for the key of an object, or ``*``.
        denied_by: whose statement denies it. Without one, none allows it.
        function: ARN of the function that called, or an empty text.
        absent: that there is no such table, stream or bus, with the nearest name; or an empty text.
    """

    caller: str
    action: str
    resource: str
    denied_by: str = ""
    function: str = ""
    absent: str = ""

    @classmethod
    def of(cls, found: Any, caller: str, action: str, resource: str, function: str = "") -> Refusal:
        """What ministack's evaluation has found against a call."""
        denied_by = ""
        if getattr(found, "decision", "") == "Deny":
            denied_by = f"the policy of {found.resource_policy_arn}" if found.resource_policy_arn else "its role"
        return cls(caller, action, _in_statement(resource), denied_by, function, absent(resource))

    def __str__(self) -> str:
        """For people, with the statement that is missing."""
        who = self.function.rpartition(":function:")[2] or self.caller.rpartition("/")[2]
        role = self.caller.rpartition(":assumed-role/")[2].partition("/")[0]
        on = "" if self.resource == "*" else f" on {self.resource}"
        if self.denied_by:
            return f"{who} (role {role}) may not {self.action}{on}: {self.denied_by} has a statement with Effect: Deny."
        beside = " The policy of the key must allow it, too." if self.action.startswith("kms:") else ""
        why = f"no statement of its role {role} allows it.{beside} This one is missing"
        if self.absent:
            why = f"{self.absent} If the name is right, a statement of its role {role} is missing, too"
        return f"{who} may not {self.action}{on}: {why}:\n" + "\n".join(missing_statement(self.action, self.resource))


def absent(resource: str) -> str:
    """That there is no table, stream or bus of an ARN, which AWS does not tell; empty if there is, or for others."""
    from ministack.services import dynamodb, eventbridge, kinesis

    kinds = {"table": dynamodb._tables, "stream": kinesis._streams, "event-bus": eventbridge._event_buses}
    kind, _, name = resource.rpartition(":")[2].partition("/")
    if kind not in kinds or not name or "/" in name or "*" in name or name in kinds[kind]:
        return ""
    near = difflib.get_close_matches(name, [*kinds[kind]], 1)
    return f"there is no {kind} {name}{f'; did you mean {near[0]}?' if near else '.'}"


def _in_statement(resource: str) -> str:
    """A resource as a statement names it: all objects of a bucket, all streams of a log group."""
    bucket, slash, _ = resource.removeprefix("arn:aws:s3:::").partition("/")
    if slash and resource.startswith("arn:aws:s3:::"):
        return f"arn:aws:s3:::{bucket}/*"
    group, stream, _ = resource.partition(":log-stream:")
    return f"{group}:*" if stream else resource


def missing_statement(action: str, resource: str) -> list[str]:
    """A statement of a policy in serverless.yml that allows an action on a resource, as lines."""
    where = '"*"' if resource == "*" else _portable(resource)
    return ["- Effect: Allow", f"  Action: {action}", f"  Resource: {where}"]


def _portable(arn: str) -> str:
    """An ARN without this cloud's region and account, where it has them."""
    parts = arn.split(":", 5)
    if len(parts) < 6:
        return arn
    for place, name in ((1, "Partition"), (3, "Region"), (4, "AccountId")):
        parts[place] = f"${{AWS::{name}}}" if parts[place] else ""
    return "!Sub " + ":".join(parts)


def patch() -> None:
    """Answer as AWS does, and tell people."""
    from ministack.core import iam_actions

    answer = iam_actions.access_denied_response

    def answered(service: str, action: str, principal_arn: str, request_id: str, **given: Any) -> Any:
        if given.get("error_code"):
            return answer(service, action, principal_arn, request_id, **given)
        resource, denied = given.get("resource_arn") or "*", bool(given.get("explicit_deny"))
        if not given.get("message") and not given.get("resource_policy_arn"):
            given["message"] = message(service, action, principal_arn, resource, denied)
        function = callers.function_of(_key_of(given.get("headers")))
        denied_by = given.get("resource_policy_arn") and f"the policy of {given['resource_policy_arn']}"
        denied_by = (denied_by or "its role") if denied else ""
        told = Refusal(principal_arn, action, _in_statement(resource), denied_by, function, absent(resource))
        tell(told)
        status, headers, body = answer(service, action, principal_arn, request_id, **given)
        names_operation = "x-amz-target" in (given.get("headers") or {})
        return (400 if names_operation and service != "sqs" else status), headers, body

    iam_actions.access_denied_response = answered


def message(service: str, action: str, caller: str, resource: str, denied: bool) -> str:
    """What AWS says."""
    namespace, _, name = action.partition(":")
    action = {"sqs": f"sqs:{name.lower()}", "sns": f"SNS:{name}"}.get(service, f"{namespace}:{name}")
    on = "" if resource == "*" else f' on resource: "{resource}"' if service == "s3" else f" on resource: {resource}"
    why = "with an explicit deny in an identity-based policy"
    why = why if denied else f"because no identity-based policy allows the {action} action"
    return f"User: {caller} is not authorized to perform: {action}{on} {why}"


def tell(refusal: Refusal) -> None:
    """Log a refusal, once in the emulator's log, and in the log of the invocation."""
    with _lock:
        known = refusal in _told
        if len(_told) < _MOST_TOLD:
            _told.add(refusal)
        if refusal.function:
            lines = _for_logs.setdefault(refusal.function, deque(maxlen=_KEPT))
            if str(refusal) not in lines:
                lines.append(str(refusal))
    if not known:
        logger.warning("%s", refusal)
    for listen in listeners:
        listen(refusal)


def for_log_of(function: str) -> list[str]:
    """What is to be said in the log of a function since the last time; with its ARN."""
    if function not in _for_logs:
        return []
    with _lock:
        return [*_for_logs.pop(function, ())]


def _key_of(headers: Any) -> str:
    from ministack.core import router

    return str(router.extract_access_key_id(headers or {}) or "")
