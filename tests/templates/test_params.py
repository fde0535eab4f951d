"""Params that a service cannot be deployed with are refused, with the reason.

The files that refuse them run without the Serverless CLI.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stream_cli.checks.kinds.secrets import says_secret

from tests.templates.stacks import BOUNDARY, KEY

WithNode = Callable[[str, Any], dict[str, Any]]
HUB = Path(__file__).resolve().parents[2] / "services" / "event-hub" / "resources"
PEERS = """
const [file, params] = given;
const known = (name) => (name.startsWith('file(') ? {} : 'x');
const resolveVariable = async (name) => (name.startsWith('param:') ? params[name.slice(6)] : known(name));
return require(file)({ resolveVariable });
"""
PROTECTION = """
const [file, params, Resources] = given;
const service = { custom: { protection: params }, provider: { compiledCloudFormationTemplate: { Resources } } };
new (require(file))({ service }).hooks['after:aws:package:finalize:mergeCustomProviderResources']();
return Resources;
"""
NO_PEERS = {"consumers": [], "egressAccounts": [], "ingressAccounts": [], "externalSource": "external"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"externalSource": "custom"}, "param externalSource: custom is not a source"),
        ({"egressAccounts": "111111111111,12"}, "param egressAccounts: 12 is no account id"),
        ({"ingressAccounts": "111111111111"}, "111111111111 is not an account id of 12 digits, a colon"),
        ({"ingressAccounts": "111111111111:custom"}, "111111111111:custom is not an account id"),
        ({"ingressAccounts": "111111111111:external.*"}, "111111111111:external.* is not an account id"),
        ({"ingressAccounts": "*:external.orders"}, "*:external.orders is not an account id"),
        ({"ingressAccounts": "111111111111:external.a:b"}, "111111111111:external.a:b is not an account id"),
        (
            {"ingressAccounts": "111111111111:external.a,222222222222:external.a"},
            "external.a is the source of 111111111111 and of 222222222222",
        ),
        (
            {"ingressAccounts": "111111111111:external"},
            "external is the source of this hub, by its param externalSource",
        ),
    ],
    ids=lambda value: next(iter(value.values())) if isinstance(value, dict) else "",
)
def test_the_hub_refuses_accounts_and_sources_that_are_ambiguous(
    with_node: WithNode, given: dict[str, str], said: str
) -> None:
    assert said in with_node(PEERS, [str(HUB / "peers.js"), {**NO_PEERS, **given}])["error"]


@pytest.mark.parametrize("given", [["111111111111:external.a"], "111111111111:external.a , 111111111111:external.b"])
def test_accounts_with_their_sources_are_given_as_a_list_or_as_text(with_node: WithNode, given: object) -> None:
    told = with_node(PEERS, [str(HUB / "peers.js"), {**NO_PEERS, "ingressAccounts": given}])
    statement = told["made"]["Resources"]["Ingress111111111111"]["Properties"]["Statement"]
    assert "external.a" in statement["Condition"]["ForAllValues:StringEquals"]["events:source"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"kmsKeyArn": "alias/mine"}, "param kmsKeyArn: alias/mine is not the ARN of a key"),
        ({"kmsKeyArn": KEY.replace(":key/", ":alias/")}, "is not the ARN of a key"),
        ({"kmsKeyArn": KEY}, "param kmsKeyArn: EventBridge discovers no schemas on an encrypted bus"),
        ({"logDataProtection": "EmailAddress, *"}, "param logDataProtection: * is no data identifier"),
        ({"permissionsBoundary": "stories"}, "param permissionsBoundary: stories is not the ARN of a policy"),
        ({"permissionsBoundary": BOUNDARY.replace(":policy/", ":role/")}, "is not the ARN of a policy"),
    ],
    ids=[
        *("alias", "alias-arn", "discovery", "identifier", "boundary", "boundary-role"),
    ],
)
def test_what_does_not_work_is_refused(with_node: WithNode, given: dict[str, str], said: str) -> None:
    discoverer = {"Type": "AWS::EventSchemas::Discoverer", "Properties": {}}
    assert said in with_node(PROTECTION, [str(HUB / "protection.js"), given, {"Discoverer": discoverer}])["error"]


def test_a_copy_of_a_service_may_have_secrets_pipes_and_queues_that_it_reads(with_node: WithNode) -> None:
    def role(*actions: str) -> dict[str, Any]:
        statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
        policy = {"PolicyName": "p", "PolicyDocument": {"Statement": [statement]}}
        return {"Type": "AWS::IAM::Role", "Properties": {"Policies": [policy]}}

    resources = {
        "Token": {"Type": "AWS::SecretsManager::Secret", "Properties": {}},
        "Pipe": {"Type": "AWS::Pipes::Pipe", "Properties": {}},
        "Reader": role("sqs:ReceiveMessage", "sqs:DeleteMessage"),
        "WithToken": role("secretsmanager:GetSecretValue"),
        "WithParameter": role("ssm:GetParameters"),
        "Publisher": role("events:PutEvents"),
    }
    told = with_node(PROTECTION, [str(HUB / "protection.js"), {"kmsKeyArn": KEY}, resources])
    made = {name: each["Properties"] for name, each in told["made"].items()}
    assert made["Token"] == {"KmsKeyId": KEY}
    assert made["Pipe"] == {"KmsKeyIdentifier": KEY}
    decrypt = {"Effect": "Allow", "Action": ["kms:Decrypt"], "Resource": KEY}
    for name in ("Reader", "WithToken", "WithParameter"):
        assert made[name]["Policies"][0]["PolicyDocument"]["Statement"][1:] == [decrypt], name
    assert len(made["Publisher"]["Policies"][0]["PolicyDocument"]["Statement"]) == 1


def test_without_them_a_template_stays_as_it_is(with_node: WithNode) -> None:
    resources = {
        "Queue": {"Type": "AWS::SQS::Queue", "Properties": {"SqsManagedSseEnabled": True}},
        "Role": {"Type": "AWS::IAM::Role", "Properties": {"Policies": []}},
    }
    given = {"kmsKeyArn": "", "logDataProtection": [], "permissionsBoundary": ""}
    told = with_node(PROTECTION, [str(HUB / "protection.js"), given, resources])
    assert told == {"made": resources}


def test_no_param_of_a_service_is_a_secret() -> None:
    """Params are in the file, on command lines and in what is deployed."""
    for path in HUB.parents[1].glob("*/serverless.yml"):
        block = re.search(r"^params:\n((?:[ ]+.*\n|\n)+)", path.read_text(), re.MULTILINE)
        assert block, path
        names = re.findall(r"^    (\w+):", block[1], re.MULTILINE)
        assert "kmsKeyArn" in names, path
        assert [name for name in names if says_secret(name)] == [], path
