"""The lock files pin every requirement and name no host; all files name the same versions of Node.js."""

import itertools
import json
import os
import re
import shutil
import subprocess
import tomllib
from collections import Counter
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from pip._internal.models.index import PyPI
from toolchain import LAMBDA_PYTHON

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / "requirements"
NAMES = [path.stem for path in sorted(REQUIREMENTS.glob("*.in"))]
ENGINES = json.loads((ROOT / "package.json").read_text())["engines"]["node"]


def pinned(name):
    """The lines of a lock file as matches: name, version, marker, hashes; None for a line that is something else."""
    text = (REQUIREMENTS / f"{name}.txt").read_text().replace("\\\n", "")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return [re.fullmatch(r"([a-z0-9-]+)==(\S+?)( ;.*?)?((?: +--hash=sha256:[0-9a-f]{64})+)", line) for line in lines]


def asked(name):
    """The requirements of a source file, and those of the libraries that it names."""
    for line in (REQUIREMENTS / f"{name}.in").read_text().splitlines():
        if line.startswith("-r "):
            yield from asked(line.removeprefix("-r ").removesuffix(".in"))
        elif library := re.match(r"(?:-e )?\.\./(libs/\w+)(?:\[(.*)\])?", line):
            project = tomllib.loads((ROOT / library[1] / "pyproject.toml").read_text())["project"]
            extras = [project["optional-dependencies"][extra] for extra in (library[2] or "").split(",") if extra]
            yield from (Requirement(each) for group in (project["dependencies"], *extras) for each in group)
        elif not line.startswith(("#", "-c ")):
            yield Requirement(line.partition(" #")[0])


@pytest.mark.parametrize("name", NAMES)
def test_every_line_pins_one_package_with_the_hashes_of_its_files(name):
    assert all(pinned(name))


@pytest.mark.parametrize("name", NAMES)
def test_every_requirement_is_pinned_to_a_version_that_it_allows(name):
    versions = {line[1]: line[2] for line in pinned(name)}
    wanted = [each for each in asked(name) if each.name != "stream-runtime"]
    assert wanted
    assert [str(each) for each in wanted if not each.specifier.contains(versions.get(each.name.lower(), "0"))] == []


def test_one_lock_file_serves_every_python_from_the_oldest_on():
    project = tomllib.loads((ROOT / "libs/stream_runtime/pyproject.toml").read_text())["project"]
    oldest = project["requires-python"].removeprefix(">=")
    assert f"--universal --python-version {oldest} " in (ROOT / "scripts/lock.sh").read_text()
    versions = [f"3.{minor}" for minor in range(int(oldest[2:]), int(LAMBDA_PYTHON[2:]) + 1)]
    for name, version, system in itertools.product(NAMES, versions, ("linux", "darwin")):
        machine = {"python_version": version, "python_full_version": f"{version}.9", "sys_platform": system}
        wanted = Counter(line[1] for line in pinned(name) if not line[3] or Marker(line[3][3:]).evaluate(machine))
        elsewhere = {line[1] for line in pinned(name)} - wanted.keys()
        assert max(wanted.values()) == 1, (name, version)
        assert elsewhere <= {"colorama", "pywin32"}, (name, version)  # of Windows


def test_functions_have_the_versions_that_the_tests_use():
    assert {line[0] for line in pinned("lambda")} <= {line[0] for line in pinned("dev")}


@pytest.mark.parametrize("folder", [".", "tests/browser", "tests/regexes"])
def test_the_lock_file_of_npm_names_no_host(folder):
    assert '"resolved"' not in (ROOT / folder / "package-lock.json").read_text()


def test_no_tracked_file_names_the_hosts_that_pip_knows():
    words = [word for host in (PyPI.netloc, PyPI.file_storage_domain) for word in ("-e", host)]
    found = subprocess.run(
        ["git", "grep", "--files-with-matches", "--fixed-strings", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (found.returncode, found.stdout) == (1, "")


def test_the_readme_and_each_package_json_name_the_same_versions_of_node():
    told = re.search(r"You need Node\.js (.*?);", (ROOT / "README.md").read_text())[1]
    lowest = [re.findall(r"\d+", each) for each in ENGINES.split(" || ")]
    said = [" ".join([major, *(f"{major}.{minor}" for minor in rest[:1])]) for major, *rest in lowest]
    assert re.findall(r"[\d.]+", told) == " ".join(said).split()
    for path in (*(ROOT / "services").glob("*/package.json"), *(ROOT / "tests").glob("*/package.json")):
        assert json.loads(path.read_text())["engines"]["node"] == ENGINES


@pytest.mark.parametrize(
    ("version", "refused"),
    [
        pytest.param("20.18.3", True, marks=pytest.mark.thorough),
        ("22.12.0", True),
        pytest.param("23.4.0", True, marks=pytest.mark.thorough),
        ("24.0.0", False),
    ],
)
def test_npm_refuses_another_node_and_names_the_supported_versions(tmp_path, version, refused):
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(ROOT / name, tmp_path)
    pretend = tmp_path / "pretend.js"
    pretend.write_text(f"Object.defineProperty(process, 'version', {{value: 'v{version}'}});")
    ran = subprocess.run(
        ["npm", "ci", "--dry-run", "--offline"],
        cwd=tmp_path,
        env=os.environ | {"NODE_OPTIONS": f"--require={pretend}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode != 0) is refused, ran.stderr
    assert (ENGINES in ran.stderr) is refused
