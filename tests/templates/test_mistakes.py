"""Typical mistakes, each one line of a copied template: when it is caught, and what is said.

docs/mistakes.md has the same tables; a test compares them. `tests/system/test_mistakes.py` reads what a running cloud
says.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from stream_cli.checks.command import check
from stream_cli.checks.service.imports import stand_ins
from stream_cli.deployment.packaging import package
from typer.testing import CliRunner
from typical_mistakes import LISTENER, MISTAKES, Mistake

ROOT = Path(__file__).resolve().parents[2]
COPIES = ROOT / ".build" / "mistakes"
SERVICE = "control-service"


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
@pytest.mark.parametrize("mistake", list(each_mistake()))
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


TOLD_WHEN = {
    "saved": "`dev`, when it is saved; the running code stays",
    "deployed": "`dev`, when it is deployed; then `status`, at the first event",
    "event": "`dev`, at the first event",
    "trace": "`trace` of an event",
}


def table() -> str:
    """The mistakes as the table of docs/mistakes.md: what `check` says."""
    rows = [f"| {each.what} | {each.code} | {each.says.rstrip(' ,;')} | {each.when_running} |" for each in MISTAKES]
    head = ["| mistake | check | what it says | what would come of it |", "|---|---|---|---|"]
    return "\n".join([*head, *rows]) + "\n"


def running_table() -> str:
    """The mistakes as the second table of docs/mistakes.md: what is said in a running cloud."""
    rows = []
    for each in MISTAKES:
        told = each.told.strip(" ,;:") or "that it was published under another id, with both"
        when = TOLD_WHEN[each.told_when] if each.told else "`dev` and `trace`, when a retry has published it again"
        if each.told_when == "event" and each.status:
            when += "; `status`"
        rows.append(f"| {each.what} | {when} | {told} |")
    return "\n".join(["| mistake | who tells, and when | what is told |", "|---|---|---|", *rows]) + "\n"


def test_the_documentation_has_these_mistakes_with_what_is_said() -> None:
    """The tables of docs/mistakes.md are what `table` and `running_table` return."""
    text = (ROOT / "docs" / "mistakes.md").read_text(encoding="utf-8")

    assert table() in text
    assert running_table() in text


@pytest.mark.packaging
def test_nothing_is_found_without_a_mistake(copied: Callable[..., Path]) -> None:
    _, findings = checked(copied("none", LISTENER, "RULES", "RULES", ""), SERVICE)

    assert [(each["code"], each["message"]) for each in findings] == []
