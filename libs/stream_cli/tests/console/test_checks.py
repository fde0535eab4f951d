"""What `check` found last is shown whoever ran it, with what has changed since; sizes are of what is deployed."""

from __future__ import annotations

import io
import json
import sys
import time
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from stream_cli.checks import kept, last_findings
from stream_cli.console import checks, own_commands
from stream_cli.console.checks import Checks
from stream_cli.console.jobs import Jobs
from stream_cli.trace.deployed import Deployed

FINDING = {
    "code": "SM101", "severity": "error", "title": "It fails", "service": "orders", "function": "listener",
    "event": None, "resource": "Listener", "file": "", "line": 7, "message": "password=Xk29zQpL81 \x1b[2J",
    "why": "It does.", "fix": "Mend it.",
}  # fmt: skip


def zipped(size: int) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("a.py", "x" * size)
    return packed.getvalue()


class Apis:
    """Two functions, of which one service is on this machine."""

    def __init__(self) -> None:
        self.fetched = 0

    def functions(self) -> Sequence[Mapping[str, Any]]:
        names = ("orders-local-listener", "others-local-job")
        return [{"FunctionName": each, "CodeSize": 1000, "CodeSha256": "same"} for each in names]

    def mappings(self) -> Sequence[Mapping[str, Any]]:
        return []

    def bus_rules(self, bus: str) -> Sequence[Mapping[str, Any]]:
        return []

    def code(self, function: str) -> bytes:
        raise NotImplementedError  # nothing that is tested asks for it

    def end_of_code(self, function: str, most: int) -> bytes:
        self.fetched += 1
        return zipped(5000)[-most:]


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "services" / "orders"
    (folder / "tests" / "fixtures").mkdir(parents=True)
    (folder / "serverless.yml").write_text("service: orders\n")
    made = tmp_path / "kept"
    made.mkdir(mode=0o700)
    monkeypatch.setattr(kept, "folder_of", lambda _: made)
    return folder


@pytest.fixture
def apis() -> Apis:
    return Apis()


def of(service: Path, apis: Apis, stage: str = "local") -> Checks:
    return Checks(stage, lambda: Deployed(apis), service.parent, lambda: {"lake-local"})


def found(service: Path, apis: Apis) -> dict[str, Any]:
    (only,) = of(service, apis).all()["services"]
    return only  # type: ignore[no-any-return]


def test_what_was_found_is_shown_with_its_place_and_without_secrets(service: Path, apis: Apis) -> None:
    assert found(service, apis)["at"] is None
    findings = [{**FINDING, "file": str(service / "serverless.yml")}]
    last_findings.keep(service, "local", findings, last_findings.files_of(service))
    shown = found(service, apis)
    assert abs(shown["at"] - time.time() * 1000) < 60_000
    (finding,) = shown["findings"]
    assert (finding["file"], finding["line"]) == ("services/orders/serverless.yml", 7)
    assert finding["message"] == "password=[redacted] \\x1b[2J"
    assert (shown["older"], shown["functions"]) == (False, ["orders-local-listener"])


def test_a_service_without_functions_is_checked_if_its_stack_is_there(service: Path, apis: Apis) -> None:
    for name in ("lake", "not-deployed"):
        (service.parent / name).mkdir()
        (service.parent / name / "serverless.yml").write_text(f"service: {name}\n")
    known = of(service, apis).all()["services"]
    assert [(each["name"], each["functions"]) for each in known] == [
        ("lake", []),
        ("orders", ["orders-local-listener"]),
    ]


def test_it_says_when_files_have_changed_since_fixtures_too(service: Path, apis: Apis) -> None:
    last_findings.keep(service, "local", [], last_findings.files_of(service))
    (service / "tests" / "fixtures" / "listener.json").write_text("[]")
    assert found(service, apis)["older"] is True


def test_findings_are_of_one_stage(service: Path, apis: Apis) -> None:
    last_findings.keep(service, "prod", [FINDING], last_findings.files_of(service))
    assert found(service, apis)["at"] is None


def test_sizes_are_of_what_is_deployed_and_each_package_is_read_once(service: Path, apis: Apis) -> None:
    asked = of(service, apis)
    for _ in range(2):
        sizes = asked.all()["sizes"]
    assert [(each["name"], each["zipped"], each["unzipped"]) for each in sizes] == [
        ("orders-local-listener", 1000, 5000),
        ("others-local-job", 1000, 5000),
    ]
    assert apis.fetched == 1
    assert asked.all()["elsewhere"] == ["others-local-job"]


def test_without_folders_and_at_a_stage_it_says_so(service: Path, apis: Apis, tmp_path: Path) -> None:
    assert "No folder of a deployed service" in Checks("local", lambda: Deployed(apis), tmp_path, set).all()["problem"]
    stage = of(service, apis, "dev").all()
    assert "Not known at a stage" in stage["problem"]
    assert (stage["services"], [each["unzipped"] for each in stage["sizes"]]) == ([], [5000, 5000])


def test_a_job_runs_check_and_tells_what_it_could_not(
    service: Path, apis: Apis, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = "import json, sys; print(json.dumps({'findings': [1, 2]})) if len(sys.argv) > 5 else sys.exit(2)"
    real = own_commands.subprocess.Popen
    commands: list[list[str]] = []

    def popen(command: list[str], **options: Any) -> Any:
        commands.append(command)
        return real([sys.executable, "-c", program, *command[3:]], **options)

    monkeypatch.setattr(own_commands.subprocess, "Popen", popen)
    job = ended(of(service, apis))
    assert (job["state"], job["result"], job["done"], job["total"]) == ("done", {"findings": 2}, 1, 1)
    assert commands[0][3:] == [
        *("check", str(service), "--stage", "local", "--services", str(service.parent), "--json"),
    ]
    program = "import sys; print('no toolchain', file=sys.stderr); sys.exit(2)"
    job = ended(of(service, apis))
    assert (job["state"], "no toolchain" in job["problem"]) == ("failed", True)


def test_a_stopped_job_ends_its_process(service: Path, apis: Apis, monkeypatch: pytest.MonkeyPatch) -> None:
    real = own_commands.subprocess.Popen
    running: list[Any] = []

    def popen(command: list[str], **options: Any) -> Any:
        running.append(real([sys.executable, "-c", "import time; time.sleep(60)"], **options))
        return running[-1]

    monkeypatch.setattr(own_commands.subprocess, "Popen", popen)
    jobs = Jobs({checks.KIND: of(service, apis).kind}, writes=False)
    id = jobs.begin(checks.KIND, {})["id"]
    while not running:
        time.sleep(0.01)
    jobs.stop(id)
    jobs.close()
    assert jobs.one(id)["state"] == "stopped"
    assert running[0].poll() is not None


def ended(asked: Checks) -> dict[str, Any]:
    jobs = Jobs({checks.KIND: asked.kind}, writes=False)
    id = jobs.begin(checks.KIND, {})["id"]
    deadline = time.monotonic() + 30
    while (job := jobs.one(id))["state"] == "running":
        assert time.monotonic() < deadline
        time.sleep(0.01)
    json.dumps(job)
    return job
