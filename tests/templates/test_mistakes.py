"""Typical mistakes, each one line of a copied template: when it is caught, and what is said.

docs/mistakes.md has the same table; a test compares them.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
from stream_cli.checks.command import check
from stream_cli.checks.service.imports import stand_ins
from stream_cli.deployment.packaging import package
from typer.testing import CliRunner

ROOT = Path(__file__).resolve().parents[2]
COPIES = ROOT / ".build" / "mistakes"
SERVICE = "control-service"
LISTENER, TRIGGER = "control/rules/listener.py", "control/rules/trigger.py"
STORY = "story"
"""The entity of the template."""


@dataclass(frozen=True)
class Mistake:
    """One line that is wrong.

    Attributes:
        what: what somebody did.
        file: of the service.
        right: the text in the file.
        wrong: what stands there instead; None where nothing is found before the function runs.
        code: of the check that finds it.
        says: what it says.
        at: a text of the line that the finding names; the wrong one by default.
        fixtures: how the names of those begin that the service is tried with; the others are left out, to be quick.
        when_running: what comes of it in a function.
    """

    what: str
    file: str
    right: str
    wrong: str
    code: str
    says: str
    at: str | None = None
    fixtures: str = "-"
    when_running: str = "the import fails, and so does every invocation"


MISTAKES = [
    Mistake(
        "a field that no flavor has",
        LISTENER,
        '"event_type": ANALYZED,\n        "correlation_key": ',
        '"event_type": ANALYZED,\n        "correlationkey": ',
        "SM410",
        f"rule 'collect-analyzed-{STORY}': flavor collect has no field 'correlationkey'; did you mean "
        "'correlation_key'?",
        at='"correlationkey"',
    ),
    Mistake(
        "a field of another flavor",
        TRIGGER,
        f'"correlation_key": "{STORY}.id",\n',
        f'"correlation_key": "{STORY}.id", "once": True,\n',
        "SM410",
        f"rule 'correlate-{STORY}': flavor correlate has no field 'once'; it has batch_size, ",
        at='"once": True,',
    ),
    Mistake(
        "a misspelled type in a listener",
        LISTENER,
        '"event_type": ANALYZED,',
        f'"event_type": "{STORY}-analysed",',
        "SM418",
        f"the rule collect-analyzed-{STORY} wants {STORY}-analysed, which nobody publishes; did you mean "
        f"{STORY}-analyzed?",
        when_running="the rule never runs",
    ),
    Mistake(
        "a misspelled type in an evaluation",
        TRIGGER,
        '"flavor": evaluate,\n        "event_type": [SUBMITTED, ANALYZED],',
        f'"flavor": evaluate,\n        "event_type": [SUBMITTED, "{STORY}-analysed"],',
        "SM414",
        f"the rule evaluate-{STORY} evaluates {STORY}-analysed, and no rule correlates {STORY}-analysed with the "
        f"suffix completion; did you mean {STORY}-analyzed?",
        at=f'"{STORY}-analysed"',
        when_running="the rule never runs for that type",
    ),
    Mistake(
        "a function of a rule that raises",
        TRIGGER,
        'submitted, analyzed = uow["triggers"]',
        'submitted, analyzed = uow["trigers"]',
        "SM213",
        "KeyError: 'trigers' in control/rules/trigger.py:35, to_ready: uow[\"trigers\"] in the rule "
        f"evaluate-{STORY}, with the fixture trigger-correlated",
        fixtures="trigger-c",
        when_running="a fault event with rule, file and line for each event",
    ),
    Mistake(
        "a function with the wrong number of arguments",
        TRIGGER,
        "def to_ready(uow: EvaluateUow[DynamodbRecord], rule: EvaluateRule, template: Mapping[str, Any])",
        "def to_ready(uow: EvaluateUow[DynamodbRecord], template: Mapping[str, Any])",
        "SM410",
        f"rule 'evaluate-{STORY}': field 'emit' takes (uow, template); expected an event type, a list of them, or a "
        "callable (uow, rule, template)",
    ),
    Mistake(
        "suffixes of a correlation that differ",
        TRIGGER,
        '"correlation_key_suffix": COMPLETION,\n        "expression"',
        '"correlation_key_suffix": "completon",\n        "expression"',
        "SM414",
        f"the rule evaluate-{STORY} evaluates correlations with the suffix completon, and no rule correlates with it; "
        "did you mean completion?",
        at='"completon"',
        when_running="the rule never runs; `trace` says so, with both suffixes",
    ),
    Mistake(
        "a random id",
        TRIGGER,
        'return {**template, "type": READY,',
        'return {**template, "id": str(__import__("uuid").uuid4()), "type": READY,',
        "SM211",
        f"the rule evaluate-{STORY} publishes {STORY}-ready under another id when the fixture trigger-correlated comes "
        "again",
        at="def to_ready(",
        fixtures="trigger-c",
        when_running="each retry publishes one more event",
    ),
    Mistake(
        "a misspelled function of a condition",
        LISTENER,
        '"ConditionExpression": "attribute_exists(pk)"',
        '"ConditionExpression": "attribute_exist(pk)"',
        "SM212",
        "Invalid ConditionExpression: Invalid function name; function: attribute_exist (UpdateItem that the rule "
        f"settle-ready-{STORY} makes with the fixture listener-{STORY}-ready)",
        fixtures=f"listener-{STORY}-ready",
        when_running="a fault event for each event",
    ),
    Mistake(
        "a variable that is missing",
        "serverless.yml",
        "    EVENT_TABLE_NAME: ${self:custom.eventTableName}\n",
        "",
        "SM412",
        "environment variable EVENT_TABLE_NAME is not set: table of collected and correlated events",
        at="  listener:",
    ),
    Mistake(
        "a table that does not exist",
        "serverless.yml",
        "    EVENT_TABLE_NAME: ${self:custom.eventTableName}\n",
        "    EVENT_TABLE_NAME: ${self:custom.eventTableName}s\n",
        "SM413",
        "EVENT_TABLE_NAME is control-service-local-eventss, and the template has no table of that name; did you mean "
        "control-service-local-events?",
        at="  listener:",
        when_running="records are retried until they are given up, and the log names the table",
    ),
    Mistake(
        "an event that is too large",
        TRIGGER,
        'return {**template, "type": READY,',
        'return {**template, "blob": "x" * 1_000_001, "type": READY,',
        "SM213",
        "bytes, PutEvents takes 1000000; set CLAIMCHECK_BUCKET_NAME to send it as a claim check in the rule "
        f"evaluate-{STORY}, with the fixture trigger-correlated",
        at=f'"id": "evaluate-{STORY}"',
        fixtures="trigger-c",
        when_running="a fault event with the size for each event that is too large",
    ),
    Mistake(
        "a filter that matches nothing",
        "serverless.yml",
        "            - data:\n                type: [",
        "            - data:\n                typ: [",
        "SM420",
        "filter pattern 1 names data.typ, which no event has; did you mean data.type?",
        at="          filterPatterns:",
        when_running="the function is never invoked",
    ),
    Mistake(
        "a permission that is missing",
        "resources/roles.yml",
        "                  - dynamodb:PutItem\n                  - dynamodb:UpdateItem\n",
        "                  - dynamodb:PutItem\n",
        "SM605",
        "ListenerRole does not allow dynamodb:UpdateItem on arn:${AWS::Partition}:dynamodb:${AWS::Region}:"
        f"${{AWS::AccountId}}:table/control-service-local-events, which the fixture listener-{STORY}-ready of listener "
        "needs",
        at="  ListenerRole:",
        fixtures=f"listener-{STORY}-ready",
        when_running="AccessDenied: records are retried until they are given up; so in the local cloud, whose logs "
        "name the statement",
    ),
]


@pytest.fixture(scope="module")
def copied() -> Callable[[str, str, str, str, str], Path]:
    """Makes a copy of the services with one text replaced, at a place of its own, so that results are kept."""

    def copy(name: str, file: str, right: str, wrong: str, fixtures: str) -> Path:
        services = COPIES / re.sub(r"\W+", "-", name)
        shutil.rmtree(services, ignore_errors=True)
        for each in sorted((ROOT / "services").iterdir()):
            ignored = shutil.ignore_patterns(".*", "__pycache__", "node_modules")
            shutil.copytree(each, services / each.name, ignore=ignored)
        for each in (services / SERVICE / "tests" / "fixtures").iterdir():
            if not each.name.startswith(fixtures):
                each.unlink()
        place = services / SERVICE / file
        text = place.read_text(encoding="utf-8")
        assert right in text, f"{file} has no {right!r}"
        place.write_text(text.replace(right, wrong, 1), encoding="utf-8")
        return services

    return copy


@pytest.fixture(scope="module")
def template() -> Path:
    """The template of the service without a mistake, which one in its code does not change."""
    out = COPIES / "template"
    folder = ROOT / "services" / SERVICE
    return package(folder, "local", stand_ins(folder, "local", {}), out, with_code=False).template


def checked(services: Path, *options: str) -> tuple[int, list[dict[str, Any]]]:
    """Exit code and findings of `streamctl check` of the service with the services of a folder."""
    app = typer.Typer()
    app.command()(check)
    ran = CliRunner().invoke(app, [*options, "--services", str(services), "--json"])
    return ran.exit_code, json.loads(ran.stdout)["findings"]


def each_mistake() -> Iterator[Any]:
    """All mistakes. `npm test` makes every third: each is a run of `check`, whose checks have tests of their own."""
    for number, each in enumerate(MISTAKES):
        marks = [pytest.mark.thorough] if number % 3 else []
        yield pytest.param(each, id=each.what.replace(" ", "-"), marks=marks)


@pytest.mark.packaging
@pytest.mark.parametrize("mistake", each_mistake())
def test_a_mistake_is_found_before_it_is_deployed(
    mistake: Mistake, copied: Callable[..., Path], template: Path
) -> None:
    services = copied(mistake.what, mistake.file, mistake.right, mistake.wrong, mistake.fixtures)
    in_code = mistake.file.endswith(".py")

    code, findings = checked(
        services, *([str(services / SERVICE), "--template", str(template)] if in_code else [SERVICE])
    )

    said = [(each["code"], each["message"]) for each in findings]
    found = next((each for each in findings if each["code"] == mistake.code and mistake.says in each["message"]), None)
    assert found is not None, said
    file = Path(found["file"])
    assert code == 1
    assert file.is_relative_to(services / SERVICE)
    assert (mistake.at or mistake.wrong) in file.read_text(encoding="utf-8").splitlines()[found["line"] - 1]


def table() -> str:
    """The mistakes as the table of docs/mistakes.md."""
    rows = [f"| {each.what} | {each.code} | {each.says.rstrip(' ,;')} | {each.when_running} |" for each in MISTAKES]
    head = ["| mistake | check | what it says | what would come of it |", "|---|---|---|---|"]
    return "\n".join([*head, *rows]) + "\n"


def test_the_documentation_has_these_mistakes_with_what_is_said() -> None:
    """The table of docs/mistakes.md is what `table` returns."""
    text = (ROOT / "docs" / "mistakes.md").read_text(encoding="utf-8")

    assert table() in text


@pytest.mark.packaging
def test_nothing_is_found_without_a_mistake(copied: Callable[..., Path]) -> None:
    _, findings = checked(copied("none", LISTENER, "RULES", "RULES", ""), SERVICE)

    assert [(each["code"], each["message"]) for each in findings] == []
