"""What policies say about a request, by ministack's evaluator, which reads each policy once.

A permission is remembered with the texts of the policies that gave it, and with the values of the keys that their
conditions and variables name: a function repeats a few requests, and the next one costs microseconds instead of a tenth
of a millisecond. It counts as long as all of these are the same, so that what is revoked is refused at once. What
depends on anything else, such as the time, tags of a resource, or a limit of a session, is decided each time.
"""

from __future__ import annotations

import functools
import importlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextvars import copy_context
from typing import Any

from stream_cli.local.emulator.authorization.callers import Caller
from stream_cli.local.emulator.authorization.variables import names_in

INTERNALS = {
    "ministack.core.iam_actions": ("access_denied_response",),
    "ministack.core.iam_evaluator": (
        *("enforce", "parse_policy_document", "AuthError", "EvalResult", "_anonymous"),
        *("_signed_request", "pin_request_origin", "_resolve_managed_policy_document", "_RESOURCE_POLICY_LOOKUPS"),
        *("caller_arn", "_request_origin"),
    ),
    "ministack.services.iam": ("_roles",),
    "ministack.services.sqs": ("_enforce_queue_policy", "get_account_id", "get_region"),
    "ministack.services.sts": ("_sessions",),
}

Texts = tuple[str, ...]

_MOST_REMEMBERED = 8192

_ALWAYS_THE_SAME = frozenset(
    {
        *("aws:principalaccount", "aws:principaltype", "aws:requestedregion", "aws:securetransport", "aws:sourceip"),
        *("aws:resourceaccount", "s3:resourceaccount"),
    }
)
"""Keys whose values are the same for a session, a resource and a region."""

_OF_REQUESTS = ("aws:requesttag/", "aws:tagkeys", "aws:sourcearn", "aws:sourceaccount")
"""Keys whose values a request gives, beside those of its service."""

_allowed: dict[tuple[Caller, str, str, str, Texts], Texts] = {}
"""The policies that allow a session an action on a resource in a region, with the values that they ask for."""

_passed: set[tuple[Any, ...]] = set()
"""Requests to queues that the policy of the queue does not deny, with its text."""


def patch() -> None:
    """Read each policy once, and decide once about requests to queues by their policies."""
    from ministack.core import iam_evaluator
    from ministack.services import sqs

    parse, enforce_policy = iam_evaluator.parse_policy_document, sqs._enforce_queue_policy
    parse_once = functools.lru_cache(4096)(parse)

    def parsed(document: Any) -> Any:
        return parse_once(document) if isinstance(document, str) else parse(document)

    def enforce_policy_once(queue: dict[str, Any], action: str) -> None:
        arn, policy = queue["attributes"].get("QueueArn"), queue["attributes"].get("Policy") or ""
        who, origin = iam_evaluator.caller_arn(), iam_evaluator._request_origin.get()
        asked = (who, sqs.get_account_id(), sqs.get_region(), origin, action, arn, policy)
        if type(policy) is str and asked in _passed:
            return
        enforce_policy(queue, action)
        if type(policy) is str and named((policy,)) == ():
            if len(_passed) >= _MOST_REMEMBERED:
                _passed.clear()
            _passed.add(asked)

    iam_evaluator.parse_policy_document, sqs._enforce_queue_policy = parsed, enforce_policy_once


def refusal(
    caller: Caller,
    service: str,
    action: str,
    resource: str,
    region: str,
    context: Callable[[], Mapping[str, Any]] = dict,
) -> Any:
    """Why a session may not do something, as ministack's ``EvalResult`` or ``AuthError``; None if it may.

    Args:
        caller: the session.
        service: as ministack calls it.
        action: as in a policy, ``dynamodb:PutItem``.
        resource: its ARN.
        region: of the request.
        context: gives the keys of conditions.
    """
    texts = _policies(caller, service, resource)
    names = None if texts is None else named(texts)
    if texts is None or names is None:
        return copy_context().run(_enforced, caller, service, action, resource, region, context())
    given = context() if names else {}
    remembered = (caller, action, resource, region, _values(names, given) if names else ())
    if _allowed.get(remembered) == texts:
        return None
    found = copy_context().run(_enforced, caller, service, action, resource, region, given or context())
    if found is None:
        if len(_allowed) >= _MOST_REMEMBERED:
            _allowed.clear()
        _allowed[remembered] = texts
    return found


def answer(
    found: Any, caller: Caller, service: str, action: str, resource: str, headers: dict[str, str], request_id: str
) -> Any:
    """The answer to a request that ``refusal`` has found something against: status, headers, body."""
    from ministack.core import iam_actions, iam_evaluator

    given: dict[str, Any] = {"headers": headers, "resource_arn": resource}
    if isinstance(found, iam_evaluator.AuthError):
        given.update(error_code=found.code, message=found.message)
    else:
        given.update(explicit_deny=found.decision == "Deny", resource_policy_arn=found.resource_policy_arn)
    return iam_actions.access_denied_response(service, action, caller.arn, request_id, **given)


def _enforced(caller: Caller, service: str, action: str, resource: str, region: str, context: Mapping[str, Any]) -> Any:
    from ministack.core import iam_evaluator

    iam_evaluator._anonymous.set(False)
    iam_evaluator._signed_request.set(None)
    iam_evaluator.pin_request_origin("127.0.0.1", True)  # loopback stands for TLS, as for requests in `callers`
    return iam_evaluator.enforce(caller.key, action, service, region, resource, dict(context))


@functools.lru_cache(4096)
def named(texts: Texts) -> Texts | None:
    """The keys that conditions and variables of policies name and a request gives; None if others decide, too."""
    names = {name for text in texts for name in _named_in(text)} - _ALWAYS_THE_SAME
    if any(name.startswith("aws:") and not name.startswith(_OF_REQUESTS) for name in names):
        return None
    return tuple(sorted(names))


def _named_in(text: str) -> Iterator[str]:
    from ministack.core import iam_evaluator

    for statement in iam_evaluator.parse_policy_document(text):
        conditions = statement.conditions or {}
        yield from names_in(f"{statement.resources} {statement.not_resources} {conditions}")
        for keys in conditions.values() if isinstance(conditions, dict) else [{"aws:unknown": conditions}]:
            for name in keys if isinstance(keys, dict) else ():
                yield name.lower()


def _values(names: Texts, given: Mapping[str, Any]) -> Texts:
    """What a request gives for the keys."""
    values = {name.lower(): value for name, value in given.items()}
    return tuple(json.dumps(values.get(name), default=str) for name in names)


def _policies(caller: Caller, service: str, resource: str) -> Texts | None:
    """The texts of all policies that decide; None if something beside them does: a limit of the role or session."""
    iam, sts = _ministack()
    account = caller.arn.split(":", 5)[4]
    role, session = iam._roles.get_scoped(account, None, caller.role), sts._sessions.get(caller.key)
    if role is None or session is None or role.get("PermissionsBoundary"):
        return None
    if "Expiration" in session or "SessionPolicies" in session:
        return None
    texts = [*(role.get("InlinePolicies") or {}).values()]
    for arn in role.get("AttachedPolicies", ()):
        texts.append(_managed(arn, account))
    if (lookup := own_policy(service)) is not None:
        own = lookup(resource) if resource.startswith("arn:") else None
        texts.append("" if own is None else own[0] or "")
    return tuple(texts) if all(type(text) is str for text in texts) else None


@functools.cache
def _ministack() -> tuple[Any, Any]:
    from ministack.services import iam, sts

    return iam, sts


def _managed(arn: str, account: str) -> Any:
    from ministack.core import iam_evaluator

    return iam_evaluator._resolve_managed_policy_document(arn, account)


@functools.lru_cache(64)
def own_policy(service: str) -> Callable[[str], tuple[Any, str] | None] | None:
    """Looks up the policy of a resource of a service; None if its resources have none."""
    from ministack.core import iam_evaluator

    place = iam_evaluator._RESOURCE_POLICY_LOOKUPS.get(service)
    if place is None:
        return None
    found: Callable[[str], tuple[Any, str] | None] = getattr(
        importlib.import_module(f"ministack.services.{place[0]}"), place[1]
    )
    return found
