"""The GitHub workflows run the npm scripts that users run, with the least rights and no stored key."""

import json
import re
from pathlib import Path

import pytest
import yaml
from toolchain import LAMBDA_PYTHON

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


def test_there_is_a_workflow_for_tests_and_one_for_deployment():
    assert [path.stem for path in FILES] == ["deploy", "test"]


@each_workflow
def test_no_secret_is_used(path):
    assert "secrets" not in path.read_text(encoding="utf-8")


@each_workflow
def test_the_token_may_read_the_repository_and_only_a_deployment_may_request_an_identity(path):
    identity = {"id-token": "write"} if path.stem == "deploy" else {}
    assert read(path)["permissions"] == {"contents": "read"} | identity
    assert all("permissions" not in job for job in jobs(path))


@each_workflow
def test_each_job_has_a_time_limit_and_its_checkout_keeps_no_token(path):
    for job in jobs(path):
        assert job["timeout-minutes"] <= 60
        (checkout,) = [step for step in job["steps"] if step.get("uses", "").startswith("actions/checkout@")]
        assert checkout["with"]["persist-credentials"] is False


@each_workflow
def test_each_action_is_of_github_or_aws_and_names_its_major_version(path):
    for step in steps(path):
        if "uses" in step:
            assert re.fullmatch(r"(actions|aws-actions)/[a-z-]+@v\d+", step["uses"])


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
    assert job["steps"][-1] == {"run": "npm test", "env": {"PYTHON_BIN": "python${{ matrix.python }}"}}


def test_prod_follows_dev_and_dev_a_green_test_run_on_main():
    workflow = read(ROOT / ".github/workflows/deploy.yml")
    tests = read(ROOT / ".github/workflows/test.yml")
    assert workflow["on"] == {
        "workflow_run": {"workflows": [tests["name"]], "types": ["completed"], "branches": ["main"]}
    }
    dev, prod = workflow["jobs"]["dev"], workflow["jobs"]["prod"]
    assert "conclusion == 'success'" in dev["if"]
    assert "event == 'push'" in dev["if"]  # a run for a pull request proves nothing about main
    assert prod["needs"] == "dev"
    assert (dev["environment"], prod["environment"]) == ("dev", "prod")
    assert (dev["env"]["STAGE"], prod["env"]["STAGE"]) == ("dev", "prod")


def test_each_stage_deploys_the_tested_commit_one_run_at_a_time_and_is_not_cancelled():
    deployments = read(ROOT / ".github/workflows/deploy.yml")["jobs"]
    groups = {job["concurrency"]["group"] for job in deployments.values()}
    assert len(groups) == len(deployments)
    for job in deployments.values():
        assert job["concurrency"]["cancel-in-progress"] is False
        (checkout,) = [step for step in job["steps"] if step.get("uses", "").startswith("actions/checkout@")]
        assert checkout["with"]["ref"] == "${{ github.event.workflow_run.head_sha }}"


def test_a_deployment_gets_its_role_by_oidc_after_the_checks_that_need_none():
    for job in jobs(ROOT / ".github/workflows/deploy.yml"):
        order = [step.get("run") or step["uses"].partition("@")[0] for step in job["steps"]]
        check, credentials, deploy = order[-3:]
        assert check == 'npm run check -- --stage "$STAGE"'
        assert credentials == "aws-actions/configure-aws-credentials"
        assert deploy == 'npm run deploy -- --stage "$STAGE" --yes'
        given = job["steps"][-2]["with"]
        assert given == {"role-to-assume": "${{ vars.AWS_ROLE_ARN }}", "aws-region": "${{ vars.AWS_REGION }}"}
