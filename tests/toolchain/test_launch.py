"""The launcher says in one line what is missing when Node.js or Python will not do."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
NODE = shutil.which("node")


@pytest.fixture
def checkout(tmp_path):
    """A folder as it is right after cloning, with nothing set up."""
    shutil.copytree(SCRIPTS, tmp_path / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


@pytest.fixture
def launch(checkout):
    """Starts the launcher with a PATH on which there is only what the test puts into the folder `bin`."""

    def start(node="20.19.0", **pythons):
        folder = checkout / "bin"
        folder.mkdir()
        for name, script in pythons.items():
            program = folder / name.replace("_", ".")
            program.write_text(f"#!/bin/sh\n{script}\n")
            program.chmod(0o755)
        pretend = checkout / "pretend.js"
        pretend.write_text(f"Object.defineProperty(process, 'versions', {{value: {{node: '{node}'}}}});")
        return subprocess.run(
            [NODE, "--require", pretend, checkout / "scripts" / "launch.js"],
            env={"PATH": str(folder), "HOME": str(checkout)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return start


@pytest.mark.parametrize("version", ["0.10.48", "18.20.4", "20.18.3", "21.7.0", "22.12.0", "23.4.0"])
def test_a_node_that_the_serverless_cli_does_not_support_is_named_with_what_to_install(launch, version):
    ran = launch(node=version)
    assert ran.returncode == 1
    (line,) = ran.stderr.splitlines()
    assert line.startswith(f"Node.js {version} is not supported")
    assert "20.19" in line


def test_without_any_python_that_is_said(launch):
    ran = launch()
    assert ran.returncode == 1
    assert ran.stderr.splitlines() == ["Python 3.11 or newer with venv is needed, and no Python is on the PATH."]


def test_a_python_that_is_too_old_is_named_with_its_path(launch):
    ran = launch(python3="printf 'old 3.9.2 /opt/old/python3'")
    assert ran.returncode == 1
    (line,) = ran.stderr.splitlines()
    assert line == "Python 3.11 or newer with venv is needed: 3.9.2 (/opt/old/python3) is too old."


def test_a_python_without_venv_is_named_with_the_remedy(launch):
    ran = launch(python3="printf 'bare 3.12.1 /opt/bare/python3'")
    assert ran.returncode == 1
    (line,) = ran.stderr.splitlines()
    assert "3.12.1 (/opt/bare/python3) lacks venv" in line
    assert "python3-venv" in line


def test_a_newer_python_further_back_is_found_behind_one_that_is_too_old(launch, checkout):
    new = checkout / "new python"
    new.write_text('#!/bin/sh\necho ran "$@"\n')
    new.chmod(0o755)
    ran = launch(python3="printf 'old 3.9.2 /opt/old/python3'", python3_12=f"printf 'ok 3.12.1 {new}'")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split()[0] == "ran"
    assert ran.stdout.strip().endswith("scripts/toolchain.py")


def test_the_question_that_is_put_to_a_python_is_answered_by_this_one():
    source = (SCRIPTS / "launch.js").read_text().split("var PROBE =")[1].split(";\n")[0]
    program = "\n".join(re.findall(r"'(.*)\\n'", source))
    asked = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    version = ".".join(str(part) for part in sys.version_info[:3])
    assert asked.stdout == f"ok {version} {sys.executable}"


def test_the_launcher_is_written_so_that_a_node_of_any_age_can_parse_it():
    code = re.sub(r"/\*.*?\*/", "", (SCRIPTS / "launch.js").read_text(), flags=re.DOTALL)
    assert re.findall(r"`|=>|\b(?:const|let|class|async|await)\b|\?\.|\?\?|\.\.\.", code) == []


def test_the_exit_code_of_what_was_launched_is_passed_on(launch, checkout):
    python = checkout / "python"
    python.write_text("#!/bin/sh\nexit 7\n")
    python.chmod(0o755)
    assert launch(python3=f"printf 'ok 3.12.1 {python}'").returncode == 7


def test_an_interrupt_is_passed_on_and_the_launcher_waits_for_the_end(checkout):
    python = checkout / ".build" / "bootstrap" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\ntrap 'echo cleared; exit 130' INT\necho ready\n" + 200 * "sleep 0.05\n")
    python.chmod(0o755)
    with subprocess.Popen(
        [NODE, checkout / "scripts" / "launch.js"],
        env={"PATH": os.defpath, "HOME": str(checkout)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(2)
        assert process.stdout.readline() == "cleared\n"
        assert process.wait(10) == 130
