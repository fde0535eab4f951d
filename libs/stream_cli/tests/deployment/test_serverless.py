"""The environment in which the Serverless CLI runs reaches no account, no index and no home."""

import contextlib
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from stream_cli.deployment import serverless
from stream_cli.deployment.serverless import (
    Toolchain,
    ToolchainMissingError,
    environment,
    find_toolchain,
    packaging_environment,
)

WHEEL = "Wheel-Version: 1.0\nGenerator: this\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


@pytest.fixture
def installed(tmp_path):
    """A folder, with a space in its name, as set-up leaves it."""
    root = tmp_path / "my project"
    cli = root / "node_modules" / "osls" / "bin" / "serverless.js"
    cli.parent.mkdir(parents=True)
    cli.touch()
    (root / ".build" / "wheels").mkdir(parents=True)
    return root


def test_the_toolchain_of_the_nearest_folder_is_found_from_within_a_service(installed):
    service = installed / "services" / "mine"
    service.mkdir(parents=True)
    found = find_toolchain(service)
    assert found.root == installed
    line = serverless.command(found, "package", "--stage", "dev")
    assert line[1:3] == ["--require", str(Path(serverless.__file__).with_name("compiled.cjs"))]
    assert line[3:] == [str(installed / "node_modules/osls/bin/serverless.js"), "package", "--stage", "dev"]


def test_a_missing_node_is_an_error_that_says_so(installed, monkeypatch):
    monkeypatch.setenv("PATH", str(installed))
    with pytest.raises(ToolchainMissingError, match=r"Node\.js is not on the PATH"):
        find_toolchain(installed)


def test_a_service_outside_the_repository_is_run_with_this_librarys_toolchain(tmp_path):
    root = find_toolchain(tmp_path).root
    assert Path(serverless.__file__).is_relative_to(root)


def test_nothing_of_the_callers_account_index_or_npm_run_is_left_in_the_environment(installed):
    inherited = {
        "AWS_PROFILE": "production",
        "AWS_SESSION_TOKEN": "secret",
        "AWS_ACCESS_KEY_ID": "secret",
        "AWS_ENDPOINT_URL_S3": "https://elsewhere.example",
        "PIP_EXTRA_INDEX_URL": "https://index.example",
        "npm_config_prefix": "/elsewhere",
        "HOME": "/home/me",
    }
    made = environment(Toolchain(installed, "node"), inherited=inherited)
    assert "secret" not in made.values()
    assert set(made) & set(inherited) == {"AWS_ACCESS_KEY_ID", "HOME"}


def test_without_an_endpoint_requests_to_aws_go_nowhere(installed):
    assert environment(Toolchain(installed, "node"), inherited={})["AWS_ENDPOINT_URL"] == "http://127.0.0.1:9"


def test_with_an_endpoint_requests_to_aws_go_there(installed):
    made = environment(Toolchain(installed, "node"), "http://127.0.0.1:4566", region="eu-west-1", inherited={})
    assert (made["AWS_ENDPOINT_URL"], made["AWS_REGION"]) == ("http://127.0.0.1:4566", "eu-west-1")


def test_node_keeps_what_it_has_compiled_in_the_projects_folder_where_its_version_can(installed):
    tools = Toolchain(installed, str(shutil.which("node")))
    asked = [tools.node, "-p", "const { getCompileCacheDir: asked } = require('node:module'); asked ? asked() : ''"]
    made = subprocess.run(asked, env=environment(tools), capture_output=True, text=True, check=True).stdout.strip()
    assert made == "" or Path(made).is_relative_to(installed / ".build" / "cache" / "node")


def test_pip_looks_for_wheels_in_the_projects_folder_alone_even_when_its_path_has_a_space(installed):
    made = packaging_environment(Toolchain(installed, "node"))
    assert made["PIP_NO_INDEX"] == "1"
    assert made["PIP_FIND_LINKS"].endswith("/my%20project/.build/wheels")
    assert len(made["PIP_FIND_LINKS"].split()) == 1


def test_pip_compares_nothing_with_what_is_installed_beside_its_folder(installed, tmp_path):
    tools = Toolchain(installed, "node")
    tools.wheels.mkdir(parents=True, exist_ok=True)
    of_click = {"METADATA": "Metadata-Version: 2.1\nName: click\nVersion: 0.1\n", "RECORD": "", "WHEEL": WHEEL}
    with zipfile.ZipFile(tools.wheels / "click-0.1-py3-none-any.whl", "w") as wheel:  # typer needs a later one
        for name, content in of_click.items():
            wheel.writestr(f"click-0.1.dist-info/{name}", content)
    command = [sys.executable, "-m", "pip", "install", "--target", str(tmp_path / "folder"), "click"]
    ran = subprocess.run(command, env=environment(tools), capture_output=True, text=True, check=True)
    assert "Successfully installed click-0.1" in ran.stdout
    assert ran.stderr == ""


def test_the_lines_for_a_shell_set_exactly_these_variables():
    lines = serverless.exports({"B": "two words", "A": "it's"})
    shown = subprocess.run(
        ["sh", "-c", "\n".join([*lines, 'printf "%s|%s" "$A" "$B"'])], capture_output=True, text=True, check=True
    )
    assert shown.stdout == "it's|two words"
    assert [shlex.split(line)[0] for line in lines] == ["export", "export"]


@pytest.mark.parametrize("value", ["a\x1b]0;owned\x07b", "it's\na\rb", "\u202eé\x9b31m"])
def test_a_value_with_control_characters_is_visible_and_reaches_the_shell_as_it_is(value):
    (line,) = serverless.exports({"A": value})
    assert line.isascii()
    assert line.isprintable()
    shown = subprocess.run(["bash", "-c", f'{line}\nprintf %s "$A"'], capture_output=True, check=True)
    assert shown.stdout.decode() == value


def test_parameters_become_arguments():
    assert serverless.parameters({"busName": "b", "stream1Arn": "arn:x"}) == [
        "--param=busName=b",
        "--param=stream1Arn=arn:x",
    ]


@pytest.fixture
def service(tmp_path):
    """The folder of a service."""
    (tmp_path / "serverless.yml").write_text("service: mine\n")
    return tmp_path


def test_a_folder_that_another_process_holds_is_waited_for(service):
    asked = []

    def keep_waiting():
        asked.append(True)
        other.close()
        return True

    other = contextlib.ExitStack()
    other.enter_context(serverless.alone_in(service, lambda: False))
    with serverless.alone_in(service, keep_waiting):
        assert asked == [True]


def test_the_wait_for_a_folder_ends(service):
    with (
        serverless.alone_in(service, lambda: False),
        pytest.raises(serverless.ServerlessError, match="another process still packages or deploys"),
        serverless.alone_in(service, lambda: False),
    ):
        pass


def test_a_folder_without_configuration_is_not_held(tmp_path):
    with serverless.alone_in(tmp_path, lambda: False):
        pass
