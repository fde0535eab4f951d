"""What IAM answers can be read, whatever the tags, descriptions and paths say."""

from __future__ import annotations

import inspect
import json
import re
from typing import Any

import pytest
from botocore.exceptions import ClientError
from ministack.services import iam as ministack_iam
from stream_cli.local.endpoint import LocalEndpoint

ODD = "a & b <c> ]]> &amp; \"d\" 'e'"
TAGS = [{"Key": "team & <co>", "Value": ODD}]
DOCUMENT: dict[str, Any] = {
    "Version": "2012-10-17",
    "Statement": [
        {"Sid": "OddOnes", "Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::bucket/{ODD}"}
    ],
}
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


@pytest.fixture
def iam(endpoint: LocalEndpoint) -> Any:
    return endpoint.client("iam")


def test_a_role_is_as_it_was_made(iam: Any, name: str) -> None:
    iam.create_role(RoleName=name, Path="/a&b/", Description=ODD, AssumeRolePolicyDocument=json.dumps(TRUST), Tags=TAGS)
    iam.put_role_policy(RoleName=name, PolicyName="odd", PolicyDocument=json.dumps(DOCUMENT))

    one = iam.get_role(RoleName=name)["Role"]
    (listed,) = [each for each in iam.list_roles()["Roles"] if each["RoleName"] == name]
    details = iam.get_account_authorization_details(Filter=["Role"])["RoleDetailList"]
    (detail,) = [each for each in details if each["RoleName"] == name]
    assert one["Description"] == listed["Description"] == ODD
    assert one["Tags"] == iam.list_role_tags(RoleName=name)["Tags"] == detail["Tags"] == TAGS
    assert one["Path"] == "/a&b/"
    assert one["Arn"].endswith(f":role/a&b/{name}")
    assert one["AssumeRolePolicyDocument"] == TRUST
    assert iam.get_role_policy(RoleName=name, PolicyName="odd")["PolicyDocument"] == DOCUMENT


def test_policies_users_and_profiles_are_as_they_were_made(iam: Any, name: str) -> None:
    arn = iam.create_policy(PolicyName=name, PolicyDocument=json.dumps(DOCUMENT), Description=ODD, Tags=TAGS)["Policy"][
        "Arn"
    ]
    iam.create_user(UserName=name, Tags=TAGS)
    iam.create_instance_profile(InstanceProfileName=name, Tags=TAGS)

    policy = iam.get_policy(PolicyArn=arn)["Policy"]
    assert (policy["Description"], policy["Tags"]) == (ODD, TAGS)
    assert iam.list_policy_tags(PolicyArn=arn)["Tags"] == TAGS
    assert iam.get_policy_version(PolicyArn=arn, VersionId="v1")["PolicyVersion"]["Document"] == DOCUMENT
    assert name in {each["PolicyName"] for each in iam.list_policies(Scope="Local")["Policies"]}
    assert iam.get_user(UserName=name)["User"]["Tags"] == iam.list_user_tags(UserName=name)["Tags"] == TAGS
    assert iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]["Tags"] == TAGS


def test_an_error_says_what_was_asked(iam: Any) -> None:
    with pytest.raises(ClientError) as refused:
        iam.get_policy(PolicyArn="arn:aws:iam::000000000000:policy/a&<b>")
    assert "policy/a&<b>" in refused.value.response["Error"]["Message"]


def test_ministack_escapes_none_of_these_texts_itself() -> None:
    """Once it does, the patch would do it twice."""
    texts = re.findall(r"<(?:Key|Value|Description|Path|Arn|Message)>\{([^{}]+)\}</", inspect.getsource(ministack_iam))
    assert len(texts) > 40
    assert [each for each in texts if "escape" in each] == []
