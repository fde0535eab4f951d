"""Packages hold the compiled form of what functions import, made by a Python of the functions' own version."""

import json
import os
import random
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from stream_cli.deployment import bytecode
from stream_cli.deployment.cold_starts import compiles_at_start

PROGRAM = Path(bytecode.__file__)
RUNTIME = "python{}.{}".format(*sys.version_info)
TAG = sys.implementation.cache_tag
FOR_TYPES = "import typing\nif typing.TYPE_CHECKING:\n    from .task import *\n    from .other import *\n"
SOURCES = {
    "mine/__init__.py": "",
    "mine/handlers/__init__.py": "",
    "mine/handlers/listener.py": "from runtime import handler\nfrom ..rules import RULES\n",
    "mine/handlers/job.py": "import runtime.jobs\nfrom runtime.flavors import task\n",
    "mine/rules.py": "from runtime.flavors import TaskRule\nRULES = {'a', 'b', 'c', 'd'}\n",
    "mine/unused.py": "a = 1\n",
    "runtime/__init__.py": "def handler():\n    from . import calls\n    import reactive\n",
    "runtime/calls.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import runtime.types_only\n",
    "runtime/types_only.py": "",
    "runtime/jobs.py": "",
    "runtime/flavors/__init__.py": FOR_TYPES,
    "runtime/flavors/task.py": "class TaskRule: ...\ntask = 1\n",
    "runtime/flavors/other.py": "class Other: ...\n",
    "reactive/__init__.py": "",
}
HANDLERS = ["mine/handlers/listener.handler", "mine/handlers/job.handler"]
AT_START = {
    *("mine/__init__.py", "mine/handlers/__init__.py", "mine/handlers/listener.py", "mine/handlers/job.py"),
    *(
        "mine/rules.py",
        "runtime/__init__.py",
        "runtime/jobs.py",
        "runtime/flavors/__init__.py",
        "runtime/flavors/task.py",
    ),
}


def zipped(path, sources, **others):
    with zipfile.ZipFile(path, "w") as package:
        for name, content in {**sources, **others}.items():
            package.writestr(zipfile.ZipInfo(name), content)
    return path


def add(package, runtime=RUNTIME, seed="0", handlers=HANDLERS):
    return subprocess.run(
        [sys.executable, "-S", PROGRAM, package, runtime, *handlers],
        env={"PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=False,
    )


def compiled_in(package):
    with zipfile.ZipFile(package) as held:
        return {
            name.replace("__pycache__/", "").replace(f".{TAG}.pyc", ".py"): held.read(name)
            for name in held.namelist()
            if name.endswith(".pyc")
        }


def imported(folder, module):
    """The value of ``a`` in a module below a folder, and what Python said of its imports."""
    ran = subprocess.run(
        [sys.executable, "-v", "-B", "-S", "-P", "-c", f"import {module} as it; print(it.a)"],
        env={"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stdout.strip(), ran.stderr


def test_what_functions_import_is_found_first_what_they_import_at_their_start():
    modules = bytecode.Modules({name: content.encode() for name, content in SOURCES.items()})

    found = modules.imported_by(HANDLERS)

    assert set(found[: len(AT_START)]) == AT_START
    assert found[len(AT_START) :] == ["runtime/calls.py"]
    # Both functions import these.
    assert set(found[:5]) == {
        *("mine/__init__.py", "mine/handlers/__init__.py"),
        *("runtime/__init__.py", "runtime/flavors/__init__.py", "runtime/flavors/task.py"),
    }


def test_the_same_sources_give_the_same_bytes(tmp_path):
    first, second = (zipped(tmp_path / name, SOURCES) for name in ("first.zip", "second.zip"))
    assert add(first, seed="1").returncode == add(second, seed="2").returncode == 0
    assert compiled_in(first).keys() == AT_START | {"runtime/calls.py"}
    assert first.read_bytes() == second.read_bytes()


def test_what_was_in_the_package_stays_as_it_was(tmp_path):
    package = zipped(tmp_path / "package.zip", SOURCES)
    before = package.read_bytes()
    names = zipfile.ZipFile(package).namelist()
    assert add(package).returncode == 0
    held = zipfile.ZipFile(package)
    assert held.testzip() is None
    assert held.namelist()[: len(names)] == names
    assert package.read_bytes().startswith(before[: before.index(b"PK\x01\x02")])
    added = held.infolist()[len(names) :]
    assert {(each.external_attr >> 16, each.date_time) for each in added} == {(0o100644, (1980, 1, 1, 0, 0, 0))}


def test_a_package_for_another_version_gets_nothing(tmp_path):
    package = zipped(tmp_path / "package.zip", SOURCES)
    before = package.read_bytes()
    assert add(package, runtime="python3.2").returncode == bytecode.OTHER_VERSION
    assert package.read_bytes() == before


def test_python_takes_the_compiled_module_whatever_the_time_of_its_file(tmp_path):
    package = zipped(tmp_path / "package.zip", {"main.py": "a = 'one'\n"})
    add(package, handlers=["main.handler"])
    shutil.unpack_archive(package, tmp_path / "task")
    os.utime(tmp_path / "task/main.py", (1_000_000_000, 1_000_000_000))
    value, said = imported(tmp_path / "task", "main")
    assert value == "one"
    assert f"# code object from '{tmp_path}/task/__pycache__/main.{TAG}.pyc'" in said


def test_python_does_not_take_a_compiled_module_whose_source_has_changed(tmp_path):
    package = zipped(tmp_path / "package.zip", {"main.py": "a = 'one'\n"})
    add(package, handlers=["main.handler"])
    shutil.unpack_archive(package, tmp_path / "task")
    source = tmp_path / "task/main.py"
    times = source.stat().st_mtime_ns
    source.write_text("a = 'two'\n")
    os.utime(source, ns=(times, times))
    assert imported(tmp_path / "task", "main")[0] == "two"


def test_a_changed_source_has_another_compiled_module_and_the_others_stay(tmp_path):
    first = zipped(tmp_path / "first.zip", SOURCES)
    second = zipped(tmp_path / "second.zip", {**SOURCES, "mine/rules.py": "RULES = {'e'}\n"})
    add(first)
    add(second)
    before, after = compiled_in(first), compiled_in(second)
    assert {name for name in before if before[name] != after[name]} == {"mine/rules.py"}


def test_what_does_not_compile_is_left_out(tmp_path):
    package = zipped(tmp_path / "package.zip", {**SOURCES, "runtime/jobs.py": "for\n"})
    assert add(package).returncode == 0
    assert "runtime/jobs.py" not in compiled_in(package)
    assert "runtime/__init__.py" in compiled_in(package)


@pytest.mark.parametrize("step", [step for step, _ in bytecode.STEPS])
def test_a_package_grows_to_no_more_than_a_step_and_gets_what_most_functions_need(tmp_path, step):
    filling = random.Random(1).randbytes(step - 4_000)
    package = zipped(tmp_path / "package.zip", SOURCES, filling=filling)
    room = step - package.stat().st_size
    assert add(package).returncode == 0
    assert step - room < package.stat().st_size <= step
    assert 0 < len(compiled_in(package)) < len(AT_START)
    assert "mine/handlers/job.py" not in compiled_in(package)


def test_a_package_above_all_steps_gets_nothing(tmp_path):
    package = zipped(tmp_path / "package.zip", SOURCES, filling=bytes(bytecode.STEPS[-1][0]))
    assert add(package).returncode == 0
    assert compiled_in(package) == {}


# Stands for the plugin, which injects requirements into the package that index.js is given.
INDEX = """
const { injectAllRequirements } = require('./lib/inject');
const [artifact, runtime] = process.argv.slice(2);
const service = { package: {}, provider: { runtime } };
const targetFuncs = [{ handler: 'mine/handlers/listener.handler' }, { handler: 'x.js', runtime: 'nodejs22.x' }];
injectAllRequirements.bind({ serverless: { service, serviceDir: '/' }, targetFuncs })(artifact);
"""
INJECT = "exports.injectAllRequirements = async (artifact) => { require('fs').appendFileSync(artifact, ''); };"


@pytest.fixture
def plugin(tmp_path):
    """Runs the plugin on a package, with variables; returns the names of the modules that are compiled."""
    folder = tmp_path / "node_modules/serverless-python-requirements"
    (folder / "lib").mkdir(parents=True)
    (folder / "index.js").write_text(INDEX)
    (folder / "lib/inject.js").write_text(INJECT)
    node = shutil.which("node")
    assert node is not None

    def run(runtime=RUNTIME, **variables):
        package = zipped(tmp_path / "package.zip", SOURCES)
        subprocess.run(
            [node, "--require", PROGRAM.with_suffix(".cjs"), folder / "index.js", package, runtime],
            env={"PATH": str(tmp_path), **variables},
            check=True,
        )
        return compiled_in(package).keys()

    return run


def test_the_python_that_packages_compiles_where_it_is_of_the_functions_version(plugin):
    assert "mine/handlers/listener.py" in plugin(PYTHON_BIN=sys.executable)
    assert not plugin(runtime="python3.2", PYTHON_BIN=sys.executable)


def test_else_a_python_of_that_version_on_the_path_or_none(plugin, tmp_path):
    assert not plugin(PYTHON_BIN=str(tmp_path / "none"))
    (tmp_path / RUNTIME).symlink_to(sys.executable)
    assert plugin(PYTHON_BIN=str(tmp_path / "none"))


def test_a_python_that_is_named_is_taken_and_no_other(plugin, tmp_path):
    assert plugin(BYTECODE_PYTHON=sys.executable)
    assert not plugin(BYTECODE_PYTHON=str(tmp_path / "none"), PYTHON_BIN=sys.executable)


@pytest.mark.parametrize(
    ("held", "said"),
    [
        ("a/__pycache__/b.cpython-314.pyc", None),
        ("a/__pycache__/b.cpython-313.pyc", "without python3.14"),
        ("a/b.py", "BYTECODE_PYTHON"),
    ],
)
def test_it_is_said_where_cold_starts_compile(tmp_path, held, said):
    zipped(tmp_path / "f.zip", {held: ""})
    function = {"FunctionName": "f", "Runtime": "python3.14", "Code": {"S3Key": "x/f.zip"}}
    template = {"Resources": {"F": {"Type": "AWS::Lambda::Function", "Properties": function}}}
    (tmp_path / "cloudformation-template-update-stack.json").write_text(json.dumps(template))
    line = compiles_at_start(tmp_path)
    assert (line is None) if said is None else said in str(line)
