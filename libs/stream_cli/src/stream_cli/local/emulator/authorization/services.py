"""AWS services that act for an account: with a role that trusts them, or as what a resource's policy lets in.

A rule puts records with its target's role, Firehose writes with that of the delivery stream, a mapping reads with that
of the function, a schedule invokes with its own. Topics, queues and functions let a service in by their policies.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from stream_cli.local.emulator.authorization import callers, decisions
from stream_cli.local.emulator.authorization.callers import Caller
from stream_cli.local.emulator.authorization.refusals import Refusal, tell

INTERNALS = {
    "ministack.core.iam_evaluator": (
        *("EvalContext", "evaluate_resource_policy", "_resource_policy", "_service_principal_matches"),
    ),
    "ministack.core.responses": ("get_account_id", "get_region"),
    "ministack.services.iam": ("_roles",),
}

_LONGEST_SESSION = 64


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
    from ministack.core import iam_evaluator
    from ministack.services import iam

    parts = role_arn.split(":", 5)
    account, name = (parts[4], parts[5].rpartition("/")[2]) if len(parts) == 6 else ("", "")
    role = iam._roles.get_scoped(account, None, name)
    if role is None:
        raise NotTrusted(f"the role {role_arn} does not exist")
    trust = role.get("AssumeRolePolicyDocument") or {}
    document = json.loads(trust) if isinstance(trust, str) else trust
    statements = document.get("Statement") or []
    named = [
        each
        for each in ([statements] if isinstance(statements, dict) else statements)
        if iam_evaluator._service_principal_matches(each.get("Principal"), service)
    ]
    request = iam_evaluator.EvalContext(
        principal_arn="*",
        principal_type="Service",
        principal_account="",
        action="sts:AssumeRole",
        resource_arn=role_arn,
        region="",
        service_context={key.lower(): value for key, value in keys.items()},
    )
    if iam_evaluator.evaluate_resource_policy({"Statement": named}, request, service=service).decision != "Allow":
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
    from ministack.core import iam_evaluator
    from ministack.core.responses import get_account_id, get_region

    policy, _ = iam_evaluator._resource_policy(resource.split(":")[2], resource) or ("", "")
    request = iam_evaluator.EvalContext(
        principal_arn="*",
        principal_type="Service",
        principal_account="",
        action=action,
        resource_arn=resource,
        region=get_region(),
        service_context={"aws:sourcearn": source, "aws:sourceaccount": get_account_id()},
    )
    return bool(policy and iam_evaluator.evaluate_resource_policy(policy, request, service=service).decision == "Allow")
