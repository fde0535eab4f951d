"""What the schema of the CLI refuses, what its compiler refuses, and what only the check refuses."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from stream_cli.checks.findings import Finding, run
from stream_cli.checks.kinds import BY_CODE, CHECKS
from stream_cli.checks.service.packaged import Service, read_service

pytestmark = pytest.mark.packaging

SCHEMA = {
    "noArn": "must match pattern",
    "referenceWithoutType": "must be string",
    "otherType": "must be equal to one of the allowed values [dynamodb, kinesis]",
    "batchSizeTooLarge": "must be <= 10000",
    "parallelizationTooHigh": "must be <= 10",
    "otherStartingPosition": "must be equal to one of the allowed values [LATEST, TRIM_HORIZON, AT_TIMESTAMP]",
    "consumerFalse": "unsupported value",
    "batchWindowTooLong": "must be <= 300",
    "ageTooShort": "unsupported integer format",
    "otherResponseType": "must be equal to one of the allowed values [ReportBatchItemFailures]",
    "destinationInS3": "must be equal to one of the allowed values [sns, sqs]",
    "destinationOnSuccess": "unrecognized property 'onSuccess'",
    "windowTooLong": "must be <= 900",
    "noPatterns": "must NOT have fewer than 1 items",
    "unknownOption": "unrecognized property 'batchsize'",
}
# No stream event can trigger these: they need an SQS or API event, a longer file, a consumer or rule written as a
# resource, or (SM411, in tests/templates/test_checks.py) the plugin that leaves modules out. Others need several rules,
# fixtures or services; tests/templates/test_mistakes.py has them.
NOT_IN_THE_FIXTURE = {
    *("SM107", "SM113", "SM114", "SM115", "SM116", "SM117", "SM118", "SM204", "SM209", "SM304", "SM308", "SM411"),
    *("SM504", "SM211", "SM212", "SM213", "SM214", "SM414", "SM415", "SM416", "SM417", "SM418", "SM419"),
}
IN_THE_CODE = {"SM410"}
"""Codes of findings that name a line of the code."""


@pytest.mark.parametrize("function", SCHEMA)
def test_the_schema_of_the_cli_refuses(function: str, packaged: Callable[[str], Any]) -> None:
    error = packaged("check-refused/by-the-schema").error

    said = [line for line in error.splitlines() if f"'functions.{function}.events.0.stream" in line]

    assert any(SCHEMA[function] in line for line in said), error


def test_the_compiler_of_the_cli_refuses_a_consumer_at_a_timestamp_without_one(packaged: Callable[[str], Any]) -> None:
    error = packaged("check-refused/by-the-compiler").error

    assert "You must specify startingPositionTimestamp for function: consumerWithoutTimestamp" in error


@pytest.fixture(scope="session")
def unseen(packaged: Callable[[str], Any]) -> Service:
    """The service that packages without a warning."""
    compiled = packaged("check-refused/by-the-check")
    assert compiled.template is not None, compiled.error
    return read_service(compiled.template, compiled.folder)


@pytest.fixture(scope="session")
def found(unseen: Service) -> list[Finding]:
    """What the checks find in it."""
    return run(CHECKS, unseen)


def test_the_fixture_has_a_function_for_every_check_of_stream_events(unseen: Service) -> None:
    assert {name.upper() for name in unseen.function_names} == set(BY_CODE) - NOT_IN_THE_FIXTURE


@pytest.mark.parametrize("code", sorted(set(BY_CODE) - NOT_IN_THE_FIXTURE))
def test_only_the_check_refuses(code: str, found: list[Finding]) -> None:
    assert [each.check.code for each in found if each.function == code.lower() and each.check.code == code] == [code]


def test_a_refused_rule_is_named_by_its_line(unseen: Service, found: list[Finding]) -> None:
    (finding,) = [each for each in found if each.check.code == "SM410"]
    assert unseen.folder
    lines = (unseen.folder / "refused.py").read_text().splitlines()

    assert finding.place is not None
    assert (finding.place.file, '"correlationkey"' in lines[finding.place.line - 1]) == (
        unseen.folder / "refused.py",
        True,
    )


@pytest.mark.parametrize("code", sorted(set(BY_CODE) - NOT_IN_THE_FIXTURE - IN_THE_CODE))
def test_the_finding_names_a_line_of_its_function_or_role(code: str, found: list[Finding]) -> None:
    finding = next(each for each in found if each.function == code.lower() and each.check.code == code)
    assert finding.place is not None
    lines = finding.place.file.read_text().splitlines()[: finding.place.line]

    under = next(line for line in reversed(lines) if re.match(r"  \w", line))

    assert f"  {code.lower()}:" == under or f"    {finding.resource}:" == lines[-1]
