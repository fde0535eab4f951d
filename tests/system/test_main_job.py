"""The main job as a user runs it: five services deployed, 200 stories through them, all as expected, nothing left."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.system, pytest.mark.thorough]

# What issue 2 allows on two cores with caches warm. The figure that counts is printed by the job itself.
LIMIT_S = 120


def test_the_main_job_holds_every_expectation_and_leaves_nothing(streamctl: Any) -> None:
    ran = streamctl.run("start", "--once", "--json", timeout_s=2 * LIMIT_S)

    report = json.loads(ran.stdout.splitlines()[-1])
    unmet = [line for line in report["expectations"] if not line["ok"]]
    assert unmet == [], ran.stderr
    assert report["ok"], (report, ran.stderr)
    assert ran.returncode == 0
    assert report["seconds"] <= LIMIT_S, report["steps"]
    assert len(report["expectations"]) == 9
    assert f"Functions run on Python {platform.python_version()}" in ran.stderr
    assert {name for name in report["steps"] if name.startswith("sls deploy")} == {
        f"sls deploy {service.parent.name}" for service in Path("services").glob("*/serverless.yml")
    }
    assert streamctl.left() == ["lock", "logs"]
    assert streamctl.processes() == {}


# A taken port ends it as any CommandError; test_deploy.py has what a deployment's error says.
def test_a_failed_deployment_is_the_exit_code(streamctl: Any, tmp_path: Path) -> None:
    services = tmp_path / "services"
    (services / "event-hub").mkdir(parents=True)
    (services / "event-hub" / "serverless.yml").write_text("service: event-hub\nprovider: {name: nowhere}\n")
    ran = streamctl.run("start", "--once", "--services", str(services))
    assert ran.returncode == 1
    assert "sls deploy of event-hub failed" in ran.stderr
    assert str(streamctl.state / "logs" / "deploy-event-hub.log") in ran.stderr
    assert streamctl.left() == ["lock", "logs"]
