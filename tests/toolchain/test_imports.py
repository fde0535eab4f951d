"""The import contracts in pyproject.toml: each fails when an import breaks it, and they name every service."""

import os
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONFIGURATION = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
CONTRACTS = [contract["name"] for contract in CONFIGURATION["contracts"]]
HOMES = [ROOT, *ROOT.glob("libs/*/src"), *ROOT.glob("services/*")]
# What is added to a module, by the contract that it breaks. Imports within functions count as well.
FORBIDDEN = {
    "stream_runtime imports nothing upwards": ("stream_runtime/payload/codec.py", "stream_runtime.flavors.task"),
    "stream_cli imports nothing upwards": ("stream_cli/deployment/serverless.py", "stream_cli.local.state"),
    "Dependencies point one way, and services are independent": ("control/settings.py", "rest_bff.settings"),
    "Services import only public modules of stream_runtime": ("event_hub/settings.py", "stream_runtime.engine.retry"),
    "Services know nothing of streamctl": ("control/settings.py", "stream_cli.cli"),
}


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    """Output of import-linter for a copy of all packages in which each contract is broken once."""
    copy = tmp_path_factory.mktemp("copy")
    for package in CONFIGURATION["root_packages"]:
        (source,) = [folder / package for folder in HOMES if (folder / package / "__init__.py").exists()]
        shutil.copytree(source, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    for path, imported in FORBIDDEN.values():
        with (copy / path).open("a") as module:
            module.write(f"\ndef broken():\n    import {imported}\n")
    command = ["lint-imports", "--no-logo", "--no-cache", "--config", ROOT / "pyproject.toml"]
    env = os.environ | {"PYTHONPATH": str(copy), "COLUMNS": "200"}
    return subprocess.run(command, cwd=copy, env=env, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("contract", CONTRACTS)
def test_a_forbidden_import_breaks_the_contract(checked, contract):
    path, imported = FORBIDDEN[contract]
    assert checked.returncode == 1
    assert f"{contract} BROKEN" in checked.stdout
    importer = path.removesuffix(".py").replace("/", ".")
    assert f"{importer} -> {imported}" in checked.stdout


def test_the_contracts_name_the_package_of_every_service():
    packages = {path.parent.name for path in ROOT.glob("services/*/*/__init__.py")} - {"tests"}
    (layers, *others) = CONFIGURATION["contracts"]
    assert packages | {"stream_runtime", "stream_cli", "demo"} == set(CONFIGURATION["root_packages"])
    assert packages | {"demo"} == set(layers["layers"][0].split(" | "))
    assert all(packages == set(each["source_modules"]) for each in others if each["type"] == "forbidden")
