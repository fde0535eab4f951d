"""Requests and policies at random, small enough that statements often apply, or miss by one thing."""

from __future__ import annotations

import json
import random
import re
from dataclasses import dataclass
from typing import Any

from ministack.core import iam_evaluator

ACCOUNT, OTHER = "123456789012", "210987654321"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/service/worker"
SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/worker/listener"
SERVICE = "events.amazonaws.com"
# What is asked for, and in which account.
REQUESTS = (
    ("dynamodb:PutItem", f"arn:aws:dynamodb:us-east-1:{ACCOUNT}:table/events", ACCOUNT),
    ("dynamodb:GetItem", f"arn:aws:dynamodb:us-east-1:{ACCOUNT}:table/events", ACCOUNT),
    ("dynamodb:Query", f"arn:aws:dynamodb:us-east-1:{ACCOUNT}:table/events/index/by-a", ACCOUNT),
    ("sqs:SendMessage", f"arn:aws:sqs:us-east-1:{OTHER}:queue", OTHER),
    ("kms:Decrypt", f"arn:aws:kms:us-east-1:{ACCOUNT}:key/abc", ACCOUNT),
    ("s3:GetObject", "arn:aws:s3:::bucket/a/b.json", ACCOUNT),
    ("s3:ListBucket", "arn:aws:s3:::bucket", ACCOUNT),
    ("events:PutEvents", f"arn:aws:events:us-east-1:{ACCOUNT}:event-bus/bus", ACCOUNT),
    ("logs:PutLogEvents", f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:/aws/lambda/x:log-stream:y", ACCOUNT),
)
TEXTS = ("StringEquals", "StringNotEquals", "StringLike", "StringNotLike", "StringEqualsIgnoreCase",
         "StringNotEqualsIgnoreCase")  # fmt: skip
ARNS = ("ArnLike", "ArnEquals", "ArnNotLike", "ArnNotEquals", "StringLike", "StringEquals")
DATES = ("DateLessThan", "DateGreaterThanEquals", "DateEquals", "DateNotEquals")
NUMBERS = ("NumericLessThan", "NumericEquals", "NumericNotEquals", "NumericGreaterThanEquals", "NumericLessThanEquals",
           "NumericGreaterThan")  # fmt: skip
# Values and operators by key. The oracle takes a key of a service only where an action of it has the key.
KEYS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "aws:SourceArn": ((f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:f", f"arn:aws:sqs:us-east-1:{ACCOUNT}:q"), ARNS),
    "aws:SourceAccount": ((ACCOUNT, OTHER), TEXTS),
    "aws:SecureTransport": (("true", "false"), ("Bool",)),
    "aws:TokenIssueTime": (("2026-01-01T00:00:00Z", "2026-06-01T00:00:00Z"), DATES),
    "aws:SourceIp": (("10.0.0.1", "192.168.1.4"), ("IpAddress", "NotIpAddress")),
    "s3:prefix": (("a/", "a/b", "A/B"), TEXTS),
    "s3:max-keys": (("5", "10", "10.0"), NUMBERS),
    "dynamodb:LeadingKeys": (("u1", "u2", "u3"), TEXTS),
}
ALWAYS = frozenset({"aws:SecureTransport", "aws:SourceIp"})
"""Every request has these."""

KEEPS = frozenset({"kms", "s3", "sqs"})
"""Services of these requests whose resources have policies."""

SEVERAL_VALUES = "dynamodb:LeadingKeys"
NETWORKS = ("10.0.0.0/8", "192.168.1.4", "10.0.0.1/32")
VARIABLES = ("${s3:prefix}", "${aws:PrincipalAccount}", "${s3:none, 'a/'}")
# Before it, wildcards are not allowed: "the portion of the ARN that specifies the resource type" (IAM user guide).
BEFORE_NAMES = re.compile(r"((?:[^:]*:){5}(?:table/|key/|log-group:|event-bus/)?)(.*)")


@dataclass
class Case:
    """A request with its policies."""

    seed: int
    action: str
    resource: str
    account: str
    context: dict[str, Any]
    identity: list[dict[str, Any]]
    of_resource: dict[str, Any] | None
    boundary: dict[str, Any] | None
    by_service: bool

    def ours(self) -> str:
        """The decision of ministack's evaluator, called as ``enforce`` and the deliveries of services call it."""
        service = self.action.partition(":")[0]
        request = iam_evaluator.EvalContext(
            principal_arn="*" if self.by_service else SESSION,
            principal_type="Service" if self.by_service else "AssumedRole",
            principal_account="" if self.by_service else ACCOUNT,
            action=self.action,
            resource_arn=self.resource,
            region="us-east-1",
            **self._context(),
        )
        if self.by_service:
            return iam_evaluator.evaluate_resource_policy(self.of_resource, request, service=SERVICE).decision
        parse = iam_evaluator.parse_policy_document
        limits = [[parse(json.dumps(self.boundary))]] if self.boundary else []
        found = iam_evaluator.evaluate(request, [parse(json.dumps(each)) for each in self.identity], *limits)
        if service in iam_evaluator._RESOURCE_POLICY_LOOKUPS:
            required = service in iam_evaluator._POLICY_REQUIRED
            found = iam_evaluator.combine_resource_policy(
                found, request, self.of_resource, self.account, required=required, limits=tuple(limits)
            )
        return found.decision

    def _context(self) -> dict[str, Any]:
        known = {"source_ip": "aws:SourceIp", "secure_transport": "aws:SecureTransport"}
        given = {field: self.context[key] for field, key in known.items() if key in self.context}
        if "secure_transport" in given:
            given["secure_transport"] = given["secure_transport"] == "true"
        others = {key.lower(): value for key, value in self.context.items() if key not in known.values()}
        return {**given, "service_context": others}

    def theirs(self) -> dict[str, Any]:
        of_principal = {} if self.by_service else {"aws:PrincipalAccount": ACCOUNT, "aws:PrincipalArn": ROLE}
        return {
            "request": {
                "principal": SERVICE if self.by_service else SESSION,
                "action": self.action,
                "resource": {"resource": self.resource, "accountId": self.account},
                "contextVariables": self.context | of_principal,
            },
            "identityPolicies": [{"name": str(number), "policy": each} for number, each in enumerate(self.identity)],
            "serviceControlPolicies": [],
            "resourceControlPolicies": [],
            **({"resourcePolicy": self.of_resource} if self.of_resource else {}),
            **({"permissionBoundaryPolicies": [{"name": "b", "policy": self.boundary}]} if self.boundary else {}),
        }


def case(seed: int) -> Case:
    """The case of a seed."""
    draw = Drawing(random.Random(seed))
    rng = draw.rng
    by_service = draw.service in KEEPS and rng.random() < 0.2
    of_resource = draw.document(of_resource=True) if draw.service in KEEPS and rng.random() < 0.6 else None
    return Case(
        seed,
        *(draw.action, draw.resource, draw.account),
        context={
            key: rng.sample(KEYS[key][0], rng.randrange(1, 3)) if key == SEVERAL_VALUES else rng.choice(KEYS[key][0])
            for key in draw.keys
            if key in ALWAYS or rng.random() < 0.6
        },
        identity=[] if by_service else [draw.document() for _ in range(rng.randrange(3))],
        of_resource=of_resource,
        # Whether a boundary limits what a resource's policy allows to `*`, the two see differently.
        boundary=draw.document() if not by_service and of_resource is None and rng.random() < 0.3 else None,
        by_service=by_service,
    )


class Drawing:
    """Draws policies about one action and resource."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.action, self.resource, self.account = rng.choice(REQUESTS)
        self.service = self.action.partition(":")[0]
        own = "s3:" if self.action == "s3:ListBucket" else "dynamodb:" if self.service == "dynamodb" else "aws:"
        self.keys = [key for key in KEYS if key.startswith(("aws:", own))]

    def document(self, *, of_resource: bool = False) -> dict[str, Any]:
        statements = [self._statement(of_resource) for _ in range(self.rng.randrange(1, 3))]
        return {"Version": "2012-10-17", "Statement": statements}

    def _statement(self, of_resource: bool) -> dict[str, Any]:
        rng = self.rng
        statement: dict[str, Any] = {"Effect": rng.choice(["Allow", "Allow", "Allow", "Deny"])}
        actions = [self._action() for _ in range(rng.randrange(1, 3))]
        # The oracle passes over a `*` in NotAction.
        statement["NotAction" if rng.random() < 0.1 and "*" not in actions else "Action"] = actions
        resources = [self._resource() for _ in range(rng.randrange(1, 3))]
        statement["NotResource" if rng.random() < 0.1 else "Resource"] = resources
        if conditions := self._conditions():
            statement["Condition"] = conditions
        if of_resource:
            # NotPrincipal is left out: the oracle takes a listed role for enough, and AWS's guide does not.
            statement["Principal"] = self._principal()
        return statement

    def _action(self) -> str:
        action = self.action if self.rng.random() < 0.5 else self.rng.choice(REQUESTS)[0]
        service, name = action.split(":")
        if self.rng.random() < 0.4:
            return f"{service}:{self._with_wildcards(name)}"
        return self.rng.choice([action, action, "*", f"{self.service}:*"])

    def _resource(self) -> str:
        kind = self.rng.random()
        if kind < 0.3:
            return "*"
        if kind > 0.75:
            return self.rng.choice([self.resource, self.rng.choice(REQUESTS)[1]])
        segments = self.resource.split(":", 5)
        if self.service != "s3" and self.rng.random() < 0.3:
            segments[self.rng.choice([3, 4])] = "*"
        return self._named_with_wildcards(":".join(segments))

    def _named_with_wildcards(self, text: str) -> str:
        found = BEFORE_NAMES.fullmatch(text)
        return found[1] + self._with_wildcards(found[2]) if found else self._with_wildcards(text)

    def _with_wildcards(self, text: str) -> str:
        characters = list(text)
        for _ in range(self.rng.randrange(3)):
            start = self.rng.randrange(len(characters))
            characters[start : start + self.rng.randrange(6)] = [self.rng.choice("**?")]
        return "".join(characters)

    def _conditions(self) -> dict[str, dict[str, Any]]:
        rng = self.rng
        drawn: dict[str, dict[str, Any]] = {}
        for _ in range(rng.choice([0, 0, 0, 1, 1, 2])):
            key = rng.choice(self.keys)
            values, operators = KEYS[key]
            if rng.random() < 0.05:
                drawn.setdefault("Null", {})[key] = rng.choice(["true", "false"])
                continue
            operator = rng.choice(operators)
            expected = [rng.choice(values) for _ in range(rng.randrange(1, 3))]
            if "Like" in operator:
                expected = [self._named_with_wildcards(each) for each in expected]
            elif "Ip" in operator:
                expected = [rng.choice(NETWORKS)]
            elif "String" in operator and rng.random() < 0.1:
                expected = [rng.choice(VARIABLES)]
            if key == SEVERAL_VALUES:
                operator = rng.choice(["ForAllValues:", "ForAnyValue:"]) + operator
            # AWS does not say what ForAnyValue with IfExists is where there is no value.
            if not operator.startswith("ForAnyValue"):
                operator += "IfExists" if rng.random() < 0.3 else ""
            drawn.setdefault(operator, {})[key] = expected
        return drawn

    def _principal(self) -> Any:
        return self.rng.choice(
            [
                *("*", {"AWS": "*"}, {"AWS": ACCOUNT}, {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, {"AWS": ROLE}),
                *({"AWS": SESSION}, {"AWS": [f"arn:aws:iam::{OTHER}:root", ROLE]}, {"Service": SERVICE}),
                {"AWS": f"arn:aws:iam::{OTHER}:root"},
            ]
        )
