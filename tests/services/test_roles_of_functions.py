"""`sls deploy function` finds a function's role by the name that the template gives it.

It looks up `role`, a logical id, in the service's resources and makes the role's ARN of its RoleName. Any other form
is no ARN to it: with `!Sub` it fails, and with `!GetAtt` it asks IAM for a role that is named like the logical id
(`normalizeArnRole` in osls 4.3.1, lib/plugins/aws/deploy-function.js).
"""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
SERVICES = sorted(path.parent for path in (ROOT / "services").glob("*/serverless.yml"))
# IAM user guide, "IAM and AWS STS quotas".
LONGEST_ROLE_NAME = 64


class WithTags(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc] # eight times as fast, where it is
    """Reads `!Sub text` as `{"!Sub": "text"}`."""


def tagged(loader, suffix, node):
    if isinstance(node, yaml.ScalarNode):
        return {f"!{suffix}": loader.construct_scalar(node)}
    if isinstance(node, yaml.SequenceNode):
        return {f"!{suffix}": loader.construct_sequence(node, deep=True)}
    return {f"!{suffix}": loader.construct_mapping(node, deep=True)}


WithTags.add_multi_constructor("!", tagged)


def read(path: Path) -> dict[str, Any]:
    return yaml.load(path.read_text(encoding="utf-8"), WithTags)


def functions(service: Path) -> dict[str, Any]:
    return read(service / "serverless.yml").get("functions", {})


def roles(service: Path) -> dict[str, Any]:
    """The roles of a service by logical id."""
    path = service / "resources" / "roles.yml"
    found = read(path)["Resources"] if path.exists() else {}
    return {name: each["Properties"] for name, each in found.items() if each["Type"] == "AWS::IAM::Role"}


FUNCTIONS = [(service, function) for service in SERVICES for function in functions(service)]
each_function = pytest.mark.parametrize(
    ("service", "function"), FUNCTIONS, ids=lambda value: getattr(value, "name", value)
)


@each_function
def test_the_role_of_a_function_is_the_logical_id_of_a_role_with_a_name(service, function):
    role = functions(service)[function].get("role")
    assert isinstance(role, str)
    assert "RoleName" in roles(service)[role]


@each_function
def test_the_name_of_a_role_is_known_before_deployment_and_unique_in_an_account(service, function):
    """Roles are not of one region, so the region is part of the name."""
    name = roles(service)[functions(service)[function]["role"]]["RoleName"]
    assert name == f"${{self:service}}-${{sls:stage}}-${{aws:region}}-{function}"
    longest = {"self:service": f"my-{service.name}", "sls:stage": "prod", "aws:region": "ap-southeast-2"}
    assert len(re.sub(r"\$\{(.*?)\}", lambda found: longest[found[1]], name)) <= LONGEST_ROLE_NAME


@pytest.mark.parametrize("service", SERVICES, ids=lambda path: path.name)
def test_only_roles_of_functions_have_names(service):
    """A resource with a name is not replaced in place; CloudFormation names the others."""
    named = {name for name, each in roles(service).items() if "RoleName" in each}
    assert named == {each["role"] for each in functions(service).values()}
