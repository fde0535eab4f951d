"""IAM roles and their policy statements, and what they allow as far as the template tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .globs import glob
from .symbols import Verdict, covers

# What AWS's managed policies for mappings allow, on every resource (AWS managed policy reference).
MANAGED_POLICIES: Mapping[str, tuple[str, ...]] = {
    "AWSLambdaKinesisExecutionRole": (
        "kinesis:DescribeStream", "kinesis:DescribeStreamSummary", "kinesis:GetRecords", "kinesis:GetShardIterator",
        "kinesis:ListShards", "kinesis:ListStreams", "kinesis:SubscribeToShard",
    ),
    "AWSLambdaDynamoDBExecutionRole": (
        "dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:ListStreams",
    ),
    "AWSLambdaSQSQueueExecutionRole": ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"),
    "AdministratorAccess": ("*",),
}  # fmt: skip

# AWS's managed policies for logs, tracing and networks: they grant nothing on streams, queues or buses.
UNRELATED_POLICIES = frozenset(
    {"AWSLambdaBasicExecutionRole", "AWSLambdaVPCAccessExecutionRole", "AWSXRayDaemonWriteAccess",
     "AWSXrayWriteOnlyAccess", "CloudWatchLambdaInsightsExecutionRolePolicy"}
)  # fmt: skip


@dataclass(frozen=True)
class Statement:
    """A policy statement.

    Attributes:
        managed_by: the AWS managed policy that it belongs to.
        but_actions: those of `NotAction`: all actions but these, in the place of `actions`.
        but_resources: those of `NotResource`, in the place of `resources`.
    """

    allows: bool
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    conditional: bool = False
    managed_by: str | None = None
    but_actions: tuple[str, ...] = ()
    but_resources: tuple[str, ...] = ()

    def permits(self, action: str) -> bool:
        """Whether the statement covers `action`."""
        if self.but_actions:
            return not any(_action_matches(pattern, action) for pattern in self.but_actions)
        return any(_action_matches(pattern, action) for pattern in self.actions)

    def covers(self, resource: str) -> Verdict:
        """Whether the statement covers `resource`."""
        if self.but_resources:
            return _OPPOSITE[Verdict.best(covers(each, resource) for each in self.but_resources)]
        return Verdict.best(covers(each, resource) for each in self.resources)


@dataclass(frozen=True)
class Role:
    """An IAM role with the statements of all its policies.

    Attributes:
        has_unread_policies: whether it also has policies whose text is not in the template.
    """

    logical_id: str
    statements: tuple[Statement, ...]
    has_unread_policies: bool

    def may(self, action: str, resource: str) -> Verdict:
        """Whether the role may do `action` on `resource`."""
        about = [statement for statement in self.statements if statement.permits(action)]
        denied = {each.covers(resource) for each in about if not each.allows and not each.conditional}
        if Verdict.YES in denied:
            return Verdict.NO
        allowed = Verdict.best(each.covers(resource) for each in about if each.allows)
        if allowed is Verdict.NO:
            return Verdict.UNKNOWN if self.has_unread_policies else Verdict.NO
        return Verdict.UNKNOWN if Verdict.UNKNOWN in denied else allowed

    def may_on_something(self, action: str) -> Verdict:
        """Whether the role may do `action` on any resource at all."""
        if any(statement.allows and statement.permits(action) for statement in self.statements):
            return Verdict.YES
        return Verdict.UNKNOWN if self.has_unread_policies else Verdict.NO


_OPPOSITE = {Verdict.YES: Verdict.NO, Verdict.NO: Verdict.YES, Verdict.UNKNOWN: Verdict.UNKNOWN}


def _action_matches(pattern: str, action: str) -> bool:
    return glob(pattern.lower()).fullmatch(action.lower()) is not None
