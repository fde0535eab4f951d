"""One command line: a verb means the same for every stage, and the stage is `local` unless it is named."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from stream_cli.cli import app
from stream_cli.terminal import options
from typer.testing import CliRunner, Result


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with a toolchain and one service."""
    for name in ("node_modules/osls/bin", ".build/wheels", "services/control-service"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "node_modules/osls/bin/serverless.js").touch()
    (tmp_path / "services/control-service/serverless.yml").write_text("service: control-service\n")
    (tmp_path / "event.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(options, "CHECKOUT", tmp_path)  # a cloud that runs in this checkout is not to be removed
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_DEFAULT_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("PATH", str(Path(shutil.which("node") or "").parent))
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


@pytest.mark.parametrize("line", ["deploy", "remove", "env", "send event.json", "invoke rest event.json", "lake ls"])
def test_the_stage_is_the_local_cloud_unless_it_is_named(here: Path, line: str) -> None:
    result = run(*line.split())
    assert result.exit_code == 1
    assert f"No local cloud runs in {here / '.streamctl'}" in result.stderr


def test_the_local_cloud_is_found_from_within_a_service(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / ".streamctl").mkdir()
    (here / ".streamctl/cloud.json").write_text('{"owner": {"pid": 1, "started": 0}}')
    monkeypatch.chdir(here / "services/control-service")
    assert f"No local cloud runs in {here / '.streamctl'}" in run("deploy", ".").stderr


@pytest.mark.parametrize("line", ["deploy", "remove --confirm dev", "status"])
def test_another_stage_is_on_aws(here: Path, line: str) -> None:
    result = run(*line.split(), "--stage", "dev")
    assert result.exit_code == 1
    assert "There is no AWS account to work on" in result.stderr


@pytest.mark.parametrize(("line", "instead"), [("up", "deploy"), ("down", "remove")])
def test_a_command_of_the_local_cloud_names_the_one_for_other_stages(here: Path, line: str, instead: str) -> None:
    result = run(line, "--stage", "dev")
    assert result.exit_code == 2
    assert f"streamctl {instead} --stage dev" in " ".join(result.stderr.replace("│", " ").split())


def test_env_of_another_stage_points_pip_at_the_wheels(here: Path) -> None:
    result = run("env", "--stage", "dev")
    assert result.exit_code == 0
    assert f"export PIP_FIND_LINKS={(here / '.build/wheels').as_uri()}\n" in result.stdout


@pytest.mark.parametrize("line", ["check", "sizes", "deploy", "remove"])
def test_an_unknown_service_is_named_with_the_known_ones(here: Path, line: str) -> None:
    result = run(line, "no-such")
    assert result.exit_code in {1, 2}
    assert "There is no service no-such." in result.stderr
    assert "control-service" in result.stderr


def places_of_values(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """A command line that is empty in one place, for each place where a value stands."""
    for each in command.params:
        if each.param_type_name == "argument":
            yield *words, ""
        elif not each.is_flag and each.name != "help":
            yield *words, each.opts[0], ""
    for name, below in getattr(command, "commands", {}).items():
        yield from places_of_values(below, (*words, name))


def test_an_empty_value_is_wrong_usage_everywhere(here: Path) -> None:
    lines = list(places_of_values(typer.main.get_command(app)))

    assert len(lines) > 100
    assert {
        ("trace", ""),
        ("send", "--bus", ""),
        ("faults", "resubmit", ""),
        ("mappings", "status", "--state", ""),
    } < set(lines)
    taken = [
        each
        for each in lines
        if "it is empty; give a value" not in " ".join(run(*each).stderr.replace("│", " ").split())
    ]
    assert taken == []
    assert run("trace", "").exit_code == run("new", "control", "").exit_code == run("logs", "a", "").exit_code == 2
    assert "Invalid value for '--bus': it is empty; give a value, or leave it out" in run("send", "a", "--bus=").stderr


def test_help_imports_neither_aws_clients_nor_the_mapping_engine() -> None:
    late = ("boto3", "botocore", "httpx", "stream_cli.mappings.engine")
    program = f"import sys, stream_cli.cli; print([m for m in {late} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "[]\n"
