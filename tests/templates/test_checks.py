"""Every service passes `streamctl check`, for every stage and without a suppression."""

import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from stream_cli.checks.findings import run
from stream_cli.checks.kinds import CHECKS
from stream_cli.checks.registry import Severity
from stream_cli.checks.service.packaged import Service, read_service
from stream_cli.checks.service.source_map import Location
from stream_cli.deployment.serverless import COMPILED_TEMPLATE

from tests.templates.stacks import FULL, KEY

SERVICES = Path(__file__).resolve().parents[2] / "services"


@cache
def read_from(template: Path, folder: Path) -> Service:
    return read_service(template, folder)


def read_without_fixtures(template: Path, folder: Path) -> Service:
    """The fixtures are of stage local: they are tried there."""
    service = read_from(template, folder)
    service.trials = {}
    return service


def read(stack: Any) -> Service:
    reading = read_from if stack.stage == "local" else read_without_fixtures
    return reading(stack.folder / COMPILED_TEMPLATE, SERVICES / stack.service)


def test_checks_find_no_failure_blocking_or_loss_of_data(stack: Any) -> None:
    found = [finding for finding in run(CHECKS, read(stack)) if finding.check.severity is not Severity.NOTE]

    assert [(each.check.code, each.function, each.message) for each in found] == []


def test_checks_read_the_handler_of_each_function(stack: Any) -> None:
    service = read(stack)

    handlers = {each.name: service.handler_of(each) for each in service.template.functions.values()}

    assert [name for name, handler in handlers.items() if handler is None or handler.error is not None] == []


@pytest.mark.parametrize("compiled", [("rest-bff-service", "dev")], ids=lambda which: "-".join(which))
def test_an_operator_that_the_package_lacks_is_reported_at_its_import(stack: Any, tmp_path: Path) -> None:
    shutil.copytree(SERVICES / stack.service / "rest_bff", tmp_path / "rest_bff")
    rules = tmp_path / "rest_bff" / "rules" / "listener.py"
    rules.write_text("from reactivex import operators\n" + rules.read_text())

    service = read_service(stack.folder / COMPILED_TEMPLATE, tmp_path)
    service.trials = {}
    (found,) = [each for each in run(CHECKS, service) if each.check.severity is Severity.ERROR]

    assert (found.check.code, found.function, found.place) == ("SM411", "listener", Location(rules, 1))
    assert "the line `reactivex` of pythonRequirements.noDeploy" in found.message


@pytest.mark.parametrize("compiled", [("control-service", FULL)], ids="-".join)
def test_a_role_that_lost_the_key_of_its_table_is_reported(stack: Any, tmp_path: Path) -> None:
    body = json.loads((stack.folder / COMPILED_TEMPLATE).read_text())
    for resource in body["Resources"].values():
        for policy in resource["Properties"].get("Policies", ()) if resource["Type"] == "AWS::IAM::Role" else ():
            document = policy["PolicyDocument"]
            document["Statement"] = [each for each in document["Statement"] if "kms:" not in json.dumps(each["Action"])]
    (tmp_path / COMPILED_TEMPLATE).write_text(json.dumps(body))

    service = read_service(tmp_path / COMPILED_TEMPLATE, SERVICES / stack.service)
    service.trials = {}
    found = [each.message for each in run(CHECKS, service) if each.check.code == "SM605"]

    assert found
    assert all(f"does not allow kms:Decrypt on {KEY}, which the " in each for each in found), found
