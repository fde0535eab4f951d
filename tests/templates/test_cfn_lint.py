"""cfn-lint accepts the compiled templates, except for findings that cfn-lint-skips.yml lists with a reason.

`npm test` asks it about those with all options, which have the most resources; `--thorough` about all.
"""

import json
import subprocess
import sys
from collections import defaultdict
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from stream_cli.deployment.serverless import COMPILED_TEMPLATE

from tests.templates.stacks import COMPILED, FULL

SKIPS = yaml.safe_load(Path(__file__).with_name("cfn-lint-skips.yml").read_text())


@pytest.fixture(scope="session")
def findings(request, stacks, report):
    """Errors and warnings of all templates in one run: rule, type of the resource, and text, by service and stage."""
    own = [getattr(item, "callspec", None) for item in request.session.items if item.path == Path(__file__)]
    asked = {each.params["compiled"] for each in own if each}
    templates = {
        str(stack.folder / COMPILED_TEMPLATE): stack
        for stack in stacks
        if None in own or (stack.service, stack.stage) in asked
    }
    cfn_lint = Path(sys.executable).with_name("cfn-lint")
    command = [str(cfn_lint), "--format", "json", "--regions", "us-east-1", "--template"]

    def ask():
        ran = subprocess.run([*command, *templates], capture_output=True, text=True, timeout=300, check=False)
        assert ran.stdout, ran.stderr
        return json.loads(ran.stdout)

    contents = {name: stack.template for name, stack in templates.items()}
    found = defaultdict(list)
    for each in report("cfn-lint", {"command": command, "version": version("cfn-lint"), "templates": contents}, ask):
        stack = templates[each["Filename"]]
        path = each["Location"]["Path"] or []
        resource = stack.resources[path[1]]["Type"] if path[:1] == ["Resources"] else ""
        found[stack.service, stack.stage].append((each["Rule"]["Id"], resource, f"{path}: {each['Message']}"))
    return found


def skipped(rule, resource_type):
    """Whether the list skips this rule for resources of this type."""
    return any((each["rule"], each["resource_type"]) == (rule, resource_type) for each in SKIPS)


@pytest.mark.parametrize(
    "compiled",
    [each if each[1] == FULL else pytest.param(each, marks=pytest.mark.thorough) for each in COMPILED],
    ids="-".join,
)
def test_cfn_lint_has_only_listed_findings(stack, findings):
    assert [each for each in findings[stack.service, stack.stage] if not skipped(*each[:2])] == []


@pytest.mark.thorough
def test_every_listed_skip_has_a_reason_and_still_applies(findings):
    seen = {each[:2] for found in findings.values() for each in found}
    assert [each for each in SKIPS if not each["reason"] or (each["rule"], each["resource_type"]) not in seen] == []
