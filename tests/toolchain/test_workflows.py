"""The GitHub workflows run the npm scripts that users run, with the least rights and no stored key."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from toolchain import LAMBDA_PYTHON, LOCKED

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / ".github/workflows").glob("*.yml"))
each_workflow = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


def read(path):
    """A workflow. YAML 1.1 reads the key `on` as true, GitHub as text."""
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    workflow["on"] = workflow.pop(True)
    return workflow


def jobs(path):
    return read(path)["jobs"].values()


def steps(path):
    return [step for job in jobs(path) for step in job["steps"]]


def test_there_is_a_workflow_for_audits_one_for_deployment_and_one_for_tests():
    assert [path.stem for path in FILES] == ["audit", "deploy", "test"]


@each_workflow
def test_no_secret_is_used(path):
    assert "secrets" not in path.read_text(encoding="utf-8")


@each_workflow
def test_the_token_may_read_the_repository_and_only_a_job_that_deploys_may_request_an_identity(path):
    assert read(path)["permissions"] == {}
    for name, job in read(path)["jobs"].items():
        identity = {"id-token": "write"} if path.stem == "deploy" and name in ("dev", "prod") else {}
        assert job["permissions"] == {"contents": "read"} | identity, name


@each_workflow
def test_each_job_has_a_time_limit_and_its_checkout_keeps_no_token(path):
    for job in jobs(path):
        assert job["timeout-minutes"] <= 60
        (checkout,) = [step for step in job["steps"] if step.get("uses", "").startswith("actions/checkout@")]
        assert checkout["with"]["persist-credentials"] is False


@each_workflow
def test_each_action_is_of_github_or_aws_and_is_pinned_to_a_commit_with_its_version(path):
    """A tag may be moved to other code; a commit may not."""
    text = path.read_text(encoding="utf-8")
    written = re.findall(r"uses: *(.*)", text)
    pinned = [
        re.fullmatch(r"((?:actions|aws-actions)/[a-z-]+)@([0-9a-f]{40}) # (v\d+\.\d+\.\d+)", each) for each in written
    ]
    assert all(pinned), written
    assert text.count("uses:") == len(pinned)


def test_an_action_has_one_commit_in_all_workflows():
    found = {each for path in FILES for each in re.findall(r"uses: *(.*)", path.read_text(encoding="utf-8"))}
    assert len({each.partition("@")[0] for each in found}) == len(found)


@each_workflow
def test_each_shell_line_is_an_npm_script_and_uses_no_value_of_an_event(path):
    scripts = json.loads((ROOT / "package.json").read_text(encoding="utf-8"))["scripts"]
    for step in steps(path):
        if "run" in step:
            (named,) = re.findall(r"^npm (?:run )?([a-z:]+)\b", step["run"])
            assert named in scripts
            assert "${{" not in step["run"]


def test_tests_run_on_the_oldest_and_a_newest_node_and_every_python_between():
    (job,) = jobs(ROOT / ".github/workflows/test.yml")
    machines = [(each["node"], each["python"]) for each in job["strategy"]["matrix"]["include"]]
    package = json.loads((ROOT / "package.json").read_text(encoding="utf-8"))
    project = (ROOT / "libs/stream_runtime/pyproject.toml").read_text(encoding="utf-8")
    (oldest,) = re.findall(r'^requires-python = ">=(.*)"', project, re.MULTILINE)
    assert package["engines"]["node"].startswith(f"^{machines[0][0]}.")
    first, last = (int(version.removeprefix("3.")) for version in (oldest, LAMBDA_PYTHON))
    assert [python for _, python in machines] == [f"3.{minor}" for minor in range(first, last + 1)]
    # A runner may have a python3.14 of its own, which set-up would prefer.
    assert job["steps"][-1] == {"run": "npm test -- --thorough", "env": {"PYTHON_BIN": "python${{ matrix.python }}"}}


def test_prod_follows_dev_and_dev_a_green_test_run_on_main():
    workflow = read(ROOT / ".github/workflows/deploy.yml")
    tests = read(ROOT / ".github/workflows/test.yml")
    assert workflow["on"] == {
        "workflow_run": {"workflows": [tests["name"]], "types": ["completed"], "branches": ["main"]}
    }
    assert {name: job.get("needs") for name, job in workflow["jobs"].items()} == {
        "package-dev": None,
        "dev": "package-dev",
        "package-prod": "dev",
        "prod": "package-prod",
    }
    first = workflow["jobs"]["package-dev"]
    assert "conclusion == 'success'" in first["if"]
    assert "event == 'push'" in first["if"]  # a run for a pull request proves nothing about main
    dev, prod = workflow["jobs"]["dev"], workflow["jobs"]["prod"]
    assert (dev["environment"], prod["environment"]) == ("dev", "prod")
    assert (dev["env"]["STAGE"], prod["env"]["STAGE"]) == ("dev", "prod")


def test_each_stage_deploys_the_tested_commit_one_run_at_a_time_and_is_not_cancelled():
    every = read(ROOT / ".github/workflows/deploy.yml")["jobs"]
    deployments = [every["dev"], every["prod"]]
    assert len({job["concurrency"]["group"] for job in deployments}) == len(deployments)
    assert all(job["concurrency"]["cancel-in-progress"] is False for job in deployments)
    for job in every.values():
        (checkout,) = [step for step in job["steps"] if step.get("uses", "").startswith("actions/checkout@")]
        assert checkout["with"]["ref"] == "${{ github.event.workflow_run.head_sha }}"


def order(job):
    """What the steps of a job are, in their order: shell lines, and actions without their versions."""
    return [step.get("run") or step["uses"].partition("@")[0] for step in job["steps"]]


INSTALL = ["actions/checkout", "actions/setup-node", "actions/setup-python"]


@pytest.mark.parametrize("stage", ["dev", "prod"])
def test_what_runs_code_of_packages_has_no_right_to_an_identity(stage):
    """Install scripts, builds, checks and the packaging plugin run in a job of their own."""
    job = read(ROOT / ".github/workflows/deploy.yml")["jobs"][f"package-{stage}"]
    assert "environment" not in job  # whose variables and identity are for deployments
    assert order(job) == [
        *INSTALL,
        'npm run check -- --stage "$STAGE"',
        'npm run package -- --stage "$STAGE" --account "$ACCOUNT" --out packages --digest-to "$GITHUB_OUTPUT"',
        "actions/upload-artifact",
    ]
    assert job["outputs"] == {"digest": "${{ steps.package.outputs.digest }}"}
    assert [step["id"] for step in job["steps"] if "package --" in step.get("run", "")] == ["package"]


@pytest.mark.parametrize("stage", ["dev", "prod"])
def test_a_deployment_takes_the_packages_with_their_digest_and_installs_before_it_has_its_role(stage):
    job = read(ROOT / ".github/workflows/deploy.yml")["jobs"][stage]
    assert order(job) == [
        *INSTALL,
        "actions/download-artifact",
        "npm run setup",
        "aws-actions/configure-aws-credentials",
        'npm run deploy -- --stage "$STAGE" --yes --packages packages --digest "$DIGEST"',
    ]
    assert job["env"]["DIGEST"] == f"${{{{ needs.package-{stage}.outputs.digest }}}}"
    assert job["steps"][-2]["with"] == {
        "role-to-assume": "${{ vars.AWS_ROLE_ARN }}",
        "aws-region": "${{ env.AWS_REGION }}",
    }


def test_no_package_runs_code_when_it_is_installed():
    """npm packages run no scripts, and pip takes wheels with known hashes alone: it builds nothing."""
    locks = (
        ROOT / "package-lock.json",
        *ROOT.glob("tests/*/package-lock.json"),
        *ROOT.glob("benchmarks/*/package-lock.json"),
    )
    for lock in locks:
        assert "ignore-scripts=true" in lock.with_name(".npmrc").read_text(encoding="utf-8").splitlines()
    for flag in ("--only-binary=:all:", "--require-hashes", "--no-deps"):
        assert flag in LOCKED
    audit = (ROOT / "scripts/audit.sh").read_text(encoding="utf-8")
    assert "--no-deps --only-binary :all: --require-hashes" in audit


def test_audits_review_changes_and_look_for_known_vulnerabilities_in_every_lock_file():
    path = ROOT / ".github/workflows/audit.yml"
    assert set(read(path)["on"]) == {"push", "pull_request", "schedule"}
    every = read(path)["jobs"]
    assert every["dependency-review"]["if"] == "github.event_name == 'pull_request'"
    assert order(every["dependency-review"])[-1] == "actions/dependency-review-action"
    assert every["dependency-review"]["steps"][-1]["with"] == {"fail-on-severity": "moderate"}
    assert order(every["npm"])[-1] == "npm run audit:npm"
    assert order(every["pip"])[-1] == "npm run audit:pip"
    scripts = json.loads((ROOT / "package.json").read_text(encoding="utf-8"))["scripts"]
    assert scripts["audit:npm"] == "exec sh scripts/audit_npm.sh"
    audited = (ROOT / "scripts/audit_npm.sh").read_text(encoding="utf-8")
    assert "for locked in package-lock.json benchmarks/*/package-lock.json tests/*/package-lock.json" in audited
    tracked = subprocess.run(["git", "ls-files", "*package-lock.json"], cwd=ROOT, capture_output=True, text=True)
    assert [
        each
        for each in tracked.stdout.split()
        if not re.fullmatch(r"((benchmarks|tests)/\w+/)?package-lock\.json", each)
    ] == []
    assert "for locked in requirements/*.txt" in (ROOT / "scripts/audit.sh").read_text(encoding="utf-8")


def test_an_sbom_of_each_function_is_kept():
    job = read(ROOT / ".github/workflows/audit.yml")["jobs"]["sbom"]
    assert order(job)[-2].startswith("npm run package -- --stage prod ")
    assert job["steps"][-1]["with"] == {"name": "sbom", "path": "packages/**/*.cdx.json", "if-no-files-found": "error"}
