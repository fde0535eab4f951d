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
        complete: false if it has `NotAction` or `NotResource`, which are not read.
    """

    allows: bool
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    conditional: bool = False
    managed_by: str | None = None
    complete: bool = True

    def permits(self, action: str) -> bool:
        """Whether the statement covers `action`."""
        return any(_action_matches(pattern, action) for pattern in self.actions)


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
        denied = any(
            covers(each, resource) is Verdict.YES
            for statement in about
            if not statement.allows and not statement.conditional
            for each in statement.resources
        )
        if denied:
            return Verdict.NO
        allowed = Verdict.best(
            covers(each, resource) for statement in about if statement.allows for each in statement.resources
        )
        unread = self.has_unread_policies or any(s.allows and not s.complete for s in self.statements)
        return Verdict.UNKNOWN if allowed is Verdict.NO and unread else allowed


def _action_matches(pattern: str, action: str) -> bool:
    return glob(pattern.lower()).fullmatch(action.lower()) is not None
