"""The launcher says in one line what is wrong with the Pythons that it finds."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from toolchain import LAMBDA_PYTHON

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture
def checkout(tmp_path):
    """A folder as it is after cloning, not set up."""
    folder = tmp_path / "a folder"
    shutil.copytree(SCRIPTS, folder / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture
def launch(checkout):
    """Starts the launcher with nothing on the PATH but the programs that the test names."""

    def start(python_bin="", **pythons):
        folder = checkout / "bin"
        folder.mkdir()
        for name, script in pythons.items():
            program(folder / name.replace("_", "."), script)
        return subprocess.run(
            ["/bin/sh", checkout / "scripts" / "launch.sh", "one", "two words"],
            env={"PATH": str(folder), "HOME": str(checkout), "PYTHON_BIN": python_bin},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return start


def program(path, script):
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def python(version, executable, missing=()):
    """A script that answers like this Python, with another version and without some modules."""
    pretend = f"import sys; sys.version_info = {version}; sys.executable = '{executable}'"
    pretend += f"; sys.modules.update(dict.fromkeys({missing}))"
    say = '{ echo "$0" "$@"; exit; }'
    return f'[ "$1" = -c ] || {say}\nexec {sys.executable} -c "{pretend}\n$2"'


def test_a_missing_python_is_reported(launch):
    ran = launch()
    assert ran.returncode == 1
    assert ran.stderr.splitlines() == ["Python 3.11 or newer with venv is needed, and no Python is on the PATH."]


def test_a_python_that_is_too_old_is_named_with_its_path(launch):
    ran = launch(python3=python((3, 9, 2), "/opt/old/python3", ["venv"]))
    assert ran.returncode == 1
    (line,) = ran.stderr.splitlines()
    assert line == "Python 3.11 or newer with venv is needed: 3.9.2 (/opt/old/python3) is too old."


def test_a_python_without_venv_is_named_with_the_package_to_install(launch):
    ran = launch(python3=python((3, 12, 1), "/opt/bare/python3", ["ensurepip"]))
    assert ran.returncode == 1
    (line,) = ran.stderr.splitlines()
    assert "3.12.1 (/opt/bare/python3) lacks venv" in line
    assert "python3-venv" in line


def test_a_python_that_does_not_start_is_skipped(launch):
    ran = launch(python3="exit 127", python=python((3, 9, 2), "/opt/old/python"))
    assert ran.stderr == "Python 3.11 or newer with venv is needed: 3.9.2 (/opt/old/python) is too old.\n"


def test_a_newer_python_after_one_that_is_too_old_gets_the_arguments(launch, checkout):
    ran = launch(python3=python((3, 9, 2), "/opt/old/python3"), python3_12=python((3, 12, 1), "/opt/python3.12"))
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == f"{checkout}/bin/python3.12 scripts/toolchain.py one two words\n"


def test_the_python_of_the_functions_is_preferred_where_the_machine_has_it(launch, checkout):
    fit = {name: python((3, minor, 0), name) for name, minor in (("python3_14", 14), ("python3", 12), ("python", 11))}
    ran = launch(**fit)
    assert ran.stdout == f"{checkout}/bin/python{LAMBDA_PYTHON} scripts/toolchain.py one two words\n"


def test_python_bin_comes_before_every_other_python(launch, checkout):
    (checkout / ".venv/bin").mkdir(parents=True)
    program(checkout / ".venv/bin/python", "exit 7")
    fit = {"mine": python((3, 12, 0), "mine"), "python3_14": python((3, 14, 0), "other")}
    ran = launch(f"{checkout}/bin/mine", **fit)
    assert ran.stdout == f"{checkout}/bin/mine scripts/toolchain.py one two words\n"


@pytest.mark.parametrize(
    ("script", "why"),
    [
        (python((3, 9, 2), "/opt/old"), "is too old"),
        (python((3, 12, 1), "x", ["venv"]), "lacks venv"),
        ("exit 127", ""),
    ],
)
def test_a_python_bin_that_will_not_do_is_refused_by_name(launch, script, why):
    ran = launch("mine", mine=script, python3=python((3, 12, 0), "/opt/good"))
    assert ran.returncode == 1
    (line,) = ran.stderr.splitlines()
    assert line.startswith("PYTHON_BIN is mine: ")
    assert why in line


def test_the_python_of_the_virtual_environment_comes_first_and_its_exit_code_is_that_of_the_launcher(launch, checkout):
    (checkout / ".venv/bin").mkdir(parents=True)
    program(checkout / ".venv/bin/python", "exit 7")
    assert launch(python3="exit 1").returncode == 7


def test_the_python_of_this_test_is_accepted(launch, checkout):
    assert launch(python3=f'[ "$1" = -c ] && exec {sys.executable} "$@"; exit 5').returncode == 5


def test_a_signal_reaches_the_launched_program(checkout):
    (checkout / ".venv/bin").mkdir(parents=True)
    waiting = "trap 'echo cleared; exit 130' INT\necho ready\n" + 200 * "sleep 0.05\n"
    program(checkout / ".venv/bin/python", waiting)
    with subprocess.Popen(
        ["/bin/sh", checkout / "scripts" / "launch.sh"],
        env={"PATH": os.defpath, "HOME": str(checkout)},
        stdout=subprocess.PIPE,
        text=True,
        # A background job of a shell ignores this signal, and so would a shell that it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(2)
        assert process.stdout.readline() == "cleared\n"
        assert process.wait(10) == 130
