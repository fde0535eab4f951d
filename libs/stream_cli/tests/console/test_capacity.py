"""The last plan is shown whoever made it; a job makes another one, and says what is wrong with a form."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from stream_cli.checks import kept
from stream_cli.console import capacity, own_commands
from stream_cli.console.capacity import Capacity
from stream_cli.console.jobs import Jobs
from stream_cli.errors import CommandError
from stream_cli.plan.last import keep

FORM = {"stage": "prod", "rate": 100, "hours": 24, "peak": 1.5}


@pytest.fixture
def services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "services"
    (folder / "orders").mkdir(parents=True)
    (folder / "orders" / "serverless.yml").write_text("service: orders\n")
    made = tmp_path / "kept"
    made.mkdir(mode=0o700)
    monkeypatch.setattr(kept, "folder_of", lambda _: made)
    return folder


def test_the_last_plan_is_shown_with_when_it_was_made(services: Path) -> None:
    assert Capacity("local", services).last() == {"problem": "", "at": None, "plan": None}
    before = time.time_ns() // 1_000_000
    keep(services, {"holds": False})
    keep(services, {"holds": True})
    found = Capacity("local", services).last()
    assert found["plan"] == {"holds": True}
    assert before <= found["at"] <= time.time_ns() // 1_000_000


def test_without_folders_and_at_a_stage_it_says_so(services: Path, tmp_path: Path) -> None:
    assert Capacity("local", tmp_path / "nothing").last()["problem"] == "No folder of services is known."
    assert "Not known at a stage" in Capacity("dev", services).last()["problem"]
    with pytest.raises(CommandError, match="Not known at a stage"):
        Capacity("dev", services).kind.prepare(FORM)


def test_a_job_runs_plan_with_what_the_form_says(services: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = f"import sys; print({json.dumps(json.dumps({'holds': False}))}); sys.exit(3)"
    real = own_commands.subprocess.Popen
    commands: list[list[str]] = []

    def popen(command: list[str], **options: Any) -> Any:
        commands.append(command)
        return real([sys.executable, "-c", program], **options)

    monkeypatch.setattr(own_commands.subprocess, "Popen", popen)
    jobs = Jobs({capacity.KIND: Capacity("local", services).kind}, writes=False)
    id = jobs.begin(capacity.KIND, FORM)["id"]
    while jobs.one(id)["state"] == "running":
        time.sleep(0.01)
    job = jobs.one(id)
    assert (job["state"], job["result"], job["what"]) == ("done", {"holds": False}, "Plan 100 events/s at prod")
    assert commands[0][3:] == [
        *("plan", "--stage", "prod", "--rate", "100", "--hours", "24", "--peak", "1.5"),
        *("--services", str(services), "--json"),
    ]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"stage": "--help"}, "stage must be"),
        ({"stage": 5}, "stage must be"),
        ({"rate": "5"}, "rate must be a number from 0 to 1e\\+08"),
        ({"rate": float("nan")}, "rate must be"),
        ({"hours": 0}, "hours must be a number from 0.01 to 168"),
        ({"peak": True}, "peak must be"),
        ({"times": "/etc/passwd"}, "There is no field times"),
    ],
)
def test_a_form_that_is_wrong_is_refused(services: Path, wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Capacity("local", services).kind.prepare(FORM | wrong)
