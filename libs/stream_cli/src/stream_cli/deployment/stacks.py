"""Stacks of a stage in an account: their status, their outputs, and the data in their buckets.

CloudFormation does not delete a bucket that holds objects, and says so late, after it has deleted the functions. So a
removal looks at the buckets first.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from stream_cli.errors import CommandError

_DEFAULT_REGION = "us-east-1"  # the Serverless CLI's, too
# Variables with credentials for the CLI, behind AWS_ or AWS_<STAGE>_.
_CREDENTIALS = "((DEFAULT_)?PROFILE|ACCESS_KEY_ID|SECRET_ACCESS_KEY|SESSION_TOKEN|ROLE_ARN|WEB_IDENTITY_TOKEN_FILE)"
_BUCKET = "AWS::S3::Bucket"
_OF_THE_CLI = "ServerlessDeploymentBucket"  # the CLI empties it
_AT_ONCE = 1000  # objects in one DeleteObjects


@dataclass(frozen=True)
class Account:
    """Where stacks are: a region of an AWS account, or the local cloud.

    Attributes:
        name: describes it, with the account's number.
        client: makes the boto3 client of a service.
        environment: returns the variables with which the Serverless CLI reaches this account, and no other.
    """

    name: str
    region: str
    client: Callable[[str], Any]
    environment: Callable[[], dict[str, str]]


@contextlib.contextmanager
def _errors_as(what: str) -> Iterator[None]:
    """Raise an error of AWS or boto3 as a `CommandError` that begins with ``what``."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise CommandError(f"{what}: {error}") from error


def region_of(session: Any, given: str | None = None) -> str:
    """The region as the services' serverless.yml choose it, with the profile's region before the default."""
    return str(given or os.environ.get("AWS_REGION") or session.region_name or _DEFAULT_REGION)


def find_account(stage: str, region: str | None) -> Account:
    """The account of the environment's credentials.

    boto3 and the Serverless CLI look for credentials in different orders. So boto3 finds them, also those of a profile
    or of a role with a second factor, and the CLI gets them. A profile takes precedence over keys, as for the CLI.

    Raises:
        CommandError: there are no credentials, or they are invalid.
    """
    import boto3

    profile = os.environ.get("AWS_PROFILE")
    with _errors_as("There is no AWS account to work on"):
        session = boto3.Session(profile_name=profile) if profile else boto3.Session()
        chosen = region_of(session, region)

        def client(service: str) -> Any:
            return session.client(service, region_name=chosen)  # type: ignore[call-overload,unused-ignore]

        number = str(client("sts").get_caller_identity()["Account"])
    elsewhere = re.compile(rf"AWS_({re.escape(stage.upper())}_)?{_CREDENTIALS}")
    kept = {name: value for name, value in os.environ.items() if not elsewhere.fullmatch(name)}

    def environment() -> dict[str, str]:
        # Read each time, since those of a role expire and are renewed.
        with _errors_as(f"The credentials for account {number} could not be renewed"):
            found: Any = session.get_credentials()  # not None: they have signed get_caller_identity
            credentials = found.get_frozen_credentials()
        token = {"AWS_SESSION_TOKEN": credentials.token} if credentials.token else {}
        return {
            **kept,
            "AWS_REGION": chosen,
            "AWS_ACCESS_KEY_ID": credentials.access_key,
            "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
            **token,
        }

    return Account(f"account {number}, {chosen}", chosen, client, environment)


def status_of(account: Account, stack: str) -> str | None:
    """The status of a stack, such as ``CREATE_COMPLETE``, or None when there is no such stack.

    Raises:
        CommandError: CloudFormation gives no answer.
    """
    from botocore.exceptions import ClientError

    with _errors_as(f"Stack {stack} cannot be looked up"):
        try:
            (found,) = account.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
        except ClientError as error:
            if "does not exist" in str(error):
                return None
            raise
    return str(found["StackStatus"])


def outputs_by_stack(cloudformation: Any) -> dict[str, dict[str, str]]:
    """The outputs of every stack, by the stack's name; ``cloudformation`` is a boto3 client."""
    return {
        stack["StackName"]: {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
        for page in cloudformation.get_paginator("describe_stacks").paginate()
        for stack in page["Stacks"]
    }


def functions_of_stage(cloudformation: Any, stage: str) -> frozenset[str]:
    """The names of the Lambda functions in the stage's stacks; ``cloudformation`` is a boto3 client."""
    return frozenset(resources_of_stage(cloudformation, stage).get("AWS::Lambda::Function", ()))


def resources_of_stage(cloudformation: Any, stage: str) -> dict[str, list[str]]:
    """The names of the resources in the stage's stacks, by type; ``cloudformation`` is a boto3 client."""
    stacks = [stack["StackName"] for stack in stacks_of_stage(cloudformation, stage)]
    resources = cloudformation.get_paginator("list_stack_resources")
    found: dict[str, list[str]] = {}
    for stack in stacks:
        for page in resources.paginate(StackName=stack):
            for each in page["StackResourceSummaries"]:
                if each["ResourceStatus"] != "DELETE_COMPLETE" and each.get("PhysicalResourceId"):
                    found.setdefault(each["ResourceType"], []).append(each["PhysicalResourceId"])
    return found


def stacks_of_stage(cloudformation: Any, stage: str) -> list[dict[str, Any]]:
    """The stage's stacks, as DescribeStacks describes them; ``cloudformation`` is a boto3 client.

    The tag that the Serverless CLI gives a stack says its stage: `orders-my-dev` may be of the stage `dev` or `my-dev`.
    """
    return [
        stack
        for page in cloudformation.get_paginator("describe_stacks").paginate()
        for stack in page["Stacks"]
        if any(tag["Key"].lower() == "stage" and tag["Value"] == stage for tag in stack.get("Tags", []))
    ]


def exists(account: Account, stack: str) -> bool:
    """Whether there is such a stack; raises as `status_of` does."""
    return status_of(account, stack) is not None


@dataclass(frozen=True)
class Resource:
    """A resource of a stack; ``physical_id`` is its name in the account, a retained one outlives its stack."""

    logical_id: str
    type: str
    physical_id: str
    is_retained: bool


def resources_of(account: Account, stack: str) -> list[Resource]:
    """The resources of a stack, in the order of the template.

    Raises:
        CommandError: CloudFormation gives no answer.
    """
    cloudformation = account.client("cloudformation")
    with _errors_as(f"The resources of stack {stack} cannot be looked up"):
        template = cloudformation.get_template(StackName=stack)["TemplateBody"]
        pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack)
        there = {
            each["LogicalResourceId"]: str(each["PhysicalResourceId"])
            for page in pages
            for each in page["StackResourceSummaries"]
            if each["ResourceStatus"] != "DELETE_COMPLETE" and each.get("PhysicalResourceId")
        }
    declared = (json.loads(template) if isinstance(template, str) else template)["Resources"]
    return [
        Resource(name, each["Type"], there[name], each.get("DeletionPolicy", "Delete") != "Delete")
        for name, each in declared.items()
        if name in there
    ]


def buckets_to_empty(account: Account, resources: Iterable[Resource]) -> list[str]:
    """The buckets that hold objects and would be deleted with their stack.

    Raises:
        CommandError: S3 gives no answer.
    """
    buckets = [
        each.physical_id
        for each in resources
        if each.type == _BUCKET and not each.is_retained and each.logical_id != _OF_THE_CLI
    ]
    with _errors_as(f"The objects of {', '.join(buckets)} cannot be looked up"):
        return [bucket for bucket in buckets if next(_versions(account, bucket), None)]


def empty(account: Account, bucket: str, go_on: Callable[[], bool]) -> None:
    """Delete every version of every object of a bucket, for good.

    Raises:
        CommandError: ``go_on`` returned False, or S3 refused.
    """
    s3 = account.client("s3")
    with _errors_as(f"{bucket} cannot be emptied"):
        for versions in _versions(account, bucket):
            if not go_on():
                raise CommandError(f"Emptying {bucket} was stopped.")
            errors = s3.delete_objects(Bucket=bucket, Delete={"Objects": versions, "Quiet": True}).get("Errors", [])
            if errors:
                raise CommandError(f"{bucket} cannot be emptied: {errors[0].get('Key')}: {errors[0].get('Message')}")


def _versions(account: Account, bucket: str) -> Iterator[list[dict[str, str]]]:
    """A bucket's objects, old versions and delete markers, in pages for DeleteObjects; no page is empty."""
    pages = account.client("s3").get_paginator("list_object_versions")
    for page in pages.paginate(Bucket=bucket, PaginationConfig={"PageSize": _AT_ONCE}):
        found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        if found:
            yield [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in found]
