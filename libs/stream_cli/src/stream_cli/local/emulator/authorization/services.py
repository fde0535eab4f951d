"""AWS services that act for an account: with a role that trusts them, or as what a resource's policy lets in.

A rule puts records with its target's role, Firehose writes with that of the delivery stream, a mapping reads with that
of the function, a schedule invokes with its own. Topics, queues and functions let a service in by their policies.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any

from stream_cli.local.emulator.authorization import callers, decisions
from stream_cli.local.emulator.authorization.callers import Caller
from stream_cli.local.emulator.authorization.refusals import Refusal, tell

INTERNALS = {
    "ministack.core.iam_evaluator": (
        *("EvalContext", "evaluate_resource_policy", "_service_principal_matches", "_request_origin"),
    ),
    "ministack.core.responses": ("get_account_id", "get_region"),
    "ministack.services.iam": ("_roles",),
}

_LONGEST_SESSION = 64
_KEYS = frozenset({"aws:sourcearn", "aws:sourceaccount", "sts:externalid"})
"""Keys that are given here; a policy that names no other is decided once for their values."""

Keys = tuple[tuple[str, str], ...]


class NotTrusted(Exception):
    """A role does not exist, or its trust policy does not let the service assume it."""


def assumed(role_arn: str, service: str, session: str, keys: Mapping[str, str]) -> Caller:
    """The session of a service in a role.

    Args:
        role_arn: of the role.
        service: ``events.amazonaws.com``.
        session: its name.
        keys: of conditions in the trust policy, such as ``aws:SourceArn``.

    Raises:
        NotTrusted: the role cannot be assumed by this service.
    """
    from ministack.services import iam

    parts = role_arn.split(":", 5)
    account, name = (parts[4], parts[5].rpartition("/")[2]) if len(parts) == 6 else ("", "")
    role = iam._roles.get_scoped(account, None, name)
    if role is None:
        raise NotTrusted(f"the role {role_arn} does not exist")
    trust = role.get("AssumeRolePolicyDocument") or {}
    if not _allows(trust, service, "sts:AssumeRole", role_arn, "", tuple(keys.items()), by_name=True):
        given = ", ".join(f"{key} {value}" for key, value in sorted(keys.items()))
        raise NotTrusted(f"the role {role_arn} does not trust {service} with {given} (its AssumeRolePolicyDocument)")
    return callers.session_of_service(account, name, session[:_LONGEST_SESSION])


def refusal_in_role(caller: Caller, service: str, action: str, resource: str, function: str = "") -> Refusal | None:
    """Why a session of a service may not do something; None if it may. People are told."""
    from ministack.core.responses import get_region

    found = decisions.refusal(caller, service, action, resource, get_region())
    if found is None:
        return None
    refused = Refusal.of(found, caller.arn, action, resource, function)
    tell(refused)
    return refused


def lets_in(service: str, action: str, resource: str, source: str) -> bool:
    """Whether the policy of a queue, topic or function lets a service do something for what asks it to.

    Args:
        service: ``sns.amazonaws.com``.
        action: as in a policy.
        resource: ARN of the resource.
        source: ARN of what asks, such as a topic.
    """
    from ministack.core.responses import get_account_id, get_region

    lookup = decisions.own_policy(resource.split(":", 3)[2])
    policy = (lookup(resource) or ("",))[0] if lookup is not None else ""
    if not policy:
        return False
    keys = (("aws:SourceAccount", get_account_id()), ("aws:SourceArn", source))
    return _allows(policy, service, action, resource, get_region(), keys, by_name=False)


def _allows(policy: Any, service: str, action: str, resource: str, region: str, keys: Keys, *, by_name: bool) -> bool:
    """Whether a policy lets a service do something. What depends on nothing else is decided once.

    Args:
        policy: its text, or what is in it.
        keys: of conditions.
        by_name: whether only statements count that name the service.
    """
    from ministack.core import iam_evaluator

    text = policy if isinstance(policy, str) else json.dumps(policy)
    names = decisions.named((text,))
    decide = _decided if names is not None and _KEYS.issuperset(names) else _decided.__wrapped__
    return decide(text, service, action, resource, region, keys, by_name, iam_evaluator._request_origin.get())


@functools.lru_cache(4096)
def _decided(
    text: str, service: str, action: str, resource: str, region: str, keys: Keys, by_name: bool, _origin: Any
) -> bool:
    from ministack.core import iam_evaluator

    document: Any = text
    if by_name:
        statements = json.loads(text).get("Statement") or []
        named = [
            each
            for each in ([statements] if isinstance(statements, dict) else statements)
            if iam_evaluator._service_principal_matches(each.get("Principal"), service)
        ]
        document = {"Statement": named}
    request = iam_evaluator.EvalContext(
        principal_arn="*",
        principal_type="Service",
        principal_account="",
        action=action,
        resource_arn=resource,
        region=region,
        service_context={name.lower(): value for name, value in keys},
    )
    return bool(iam_evaluator.evaluate_resource_policy(document, request, service=service).decision == "Allow")
