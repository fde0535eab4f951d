"""The template as the Serverless CLI compiles it; `npm install` installs the CLI here."""

import json
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

SERVICE = Path(__file__).resolve().parents[1]
TEMPLATE = "cloudformation-template-update-stack.json"
HUB = {"busName": "hub-bus", "alarmTopicArn": "arn:aws:sns:us-east-1:123456789012:hub-alarms"}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "packaging: runs the Serverless CLI")


@pytest.fixture(scope="session")
def resources(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, Any]]:
    """Returns the properties of the compiled resources of a stage, by logical id."""
    installed = [folder / "node_modules" / ".bin" / "sls" for folder in (SERVICE, *SERVICE.parents)]
    sls = next((str(path) for path in installed if path.exists()), shutil.which("sls"))
    assert sls, "the Serverless CLI is not there: run npm install in the service's folder"

    @cache
    def compiled(stage: str) -> dict[str, Any]:
        out = tmp_path_factory.mktemp(stage)
        given = [word for name, value in HUB.items() for word in ("--param", f"{name}={value}")]
        ran = subprocess.run(
            [sls, "package", "--stage", stage, "--package", str(out), *given],
            cwd=SERVICE,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        template = json.loads((out / TEMPLATE).read_text(encoding="utf-8"))
        return {name: resource["Properties"] for name, resource in template["Resources"].items()}

    return compiled
