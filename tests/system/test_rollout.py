"""`npm run deploy` and `npm run remove` as a user types them, with the real Serverless CLI and all services.

In the place of an AWS account is the local cloud, so what is deployed is a stage for AWS: its functions' packages are
for Lambda, and are not invoked here. What it does with a CLI that answers at once is in
libs/stream_cli/tests/deployment/test_rollout.py.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stream_cli.cli import app
from stream_cli.local.cloud import running_emulator
from stream_cli.local.endpoint import LocalEndpoint, without_aws_settings
from stream_cli.local.state import StateFolder
from typer.testing import CliRunner

from tests.system.conftest import as_a_terminal_starts

pytestmark = [pytest.mark.system, pytest.mark.thorough]

ROOT = Path(__file__).resolve().parents[2]
HUB, LAKE, MONITOR = "event-hub", "event-lake-s3", "event-fault-monitor"
SERVICES = {path.parent.name for path in (ROOT / "services").glob("*/serverless.yml")}
AT_MOST_S = 600.0
# A stage on AWS has no default for whose tokens its API takes.
ISSUER = ("--param", "jwtIssuer=https://login.my-company.example/", "--param", "jwtAudience=stories")


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalEndpoint]:
    """What stands for the account: a cloud with nothing in it."""
    with running_emulator(StateFolder(tmp_path_factory.mktemp("account")), None) as cloud:
        yield cloud.endpoint


def environment(account: LocalEndpoint) -> dict[str, str]:
    """The credentials of the account; and the CLI asks more often how a stack is than it would ask AWS."""
    return {**without_aws_settings(os.environ), **account.environment, "SLS_AWS_MONITORING_FREQUENCY": "100"}


def npm_run(account: LocalEndpoint, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["npm", "run", "--silent", words[0], "--", *words[1:]],
        cwd=ROOT,
        env=environment(account),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=AT_MOST_S,
        check=False,
    )


def run_here(account: LocalEndpoint, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command that starts nothing in this process, which has imported it."""
    wanted = environment(account)
    variables = {name: wanted.get(name) for name in {*os.environ, *wanted}}
    with contextlib.chdir(ROOT):
        ran = CliRunner().invoke(app, words, env=variables, catch_exceptions=False)
    return subprocess.CompletedProcess(words, ran.exit_code, ran.output)


def summary(printed: str) -> dict[str, str]:
    """What the table says of each service."""
    return dict(re.findall(r"^│ (\S+) +│ (.*?) +│", printed, re.MULTILINE))


def stacks(account: LocalEndpoint, stage: str) -> dict[str, str]:
    """The services that have a stack of a stage, in the order in which they were made, with their states."""
    found = account.client("cloudformation").describe_stacks()["Stacks"]
    ordered = sorted(found, key=lambda stack: stack["CreationTime"])
    mine = [stack for stack in ordered if stack["StackName"].endswith(f"-{stage}")]
    return {stack["StackName"].removesuffix(f"-{stage}"): stack["StackStatus"] for stack in mine}


def names(account: LocalEndpoint) -> dict[str, list[str]]:
    """What there is in the account, of the kinds that cost money or hold data."""
    return {
        "buckets": [each["Name"] for each in account.client("s3").list_buckets()["Buckets"]],
        "buses": [
            each["Name"]
            for each in account.client("events").list_event_buses()["EventBuses"]
            if each["Name"] != "default"
        ],
        "deliveries": account.client("firehose").list_delivery_streams()["DeliveryStreamNames"],
        "functions": [each["FunctionName"] for each in account.client("lambda").list_functions()["Functions"]],
        "queues": account.client("sqs").list_queues().get("QueueUrls", []),
        "streams": account.client("kinesis").list_streams()["StreamNames"],
        "tables": account.client("dynamodb").list_tables()["TableNames"],
        "topics": [each["TopicArn"] for each in account.client("sns").list_topics()["Topics"]],
    }


def test_a_stage_is_deployed_after_ctrl_c_changed_and_removed(
    account: LocalEndpoint, streamctl_at: Any, tmp_path: Path
) -> None:
    # As the workflow does: packaged without credentials, and deployed as it was packaged, or not at all.
    packages = tmp_path / "packages"
    without = LocalEndpoint(9)
    package = ("package", *sorted(SERVICES), "--stage", "dev", "--account", "0" * 12)
    made = npm_run(without, *package, "--out", str(packages), *ISSUER)
    assert made.returncode == 0, made.stdout
    (digest,) = re.findall(r"^digest=(\w+)$", made.stdout, re.MULTILINE)
    deploy = ("deploy", *sorted(SERVICES), "--stage", "dev", "--packages", str(packages), "--digest", digest, *ISSUER)
    foreign = packages / MONITOR / "foreign.zip"
    foreign.touch()
    refused = run_here(account, *deploy)
    assert refused.returncode == 1, refused.stdout
    assert f"Changed since it was packaged: {MONITOR}/foreign.zip" in refused.stdout
    assert stacks(account, "dev") == {}
    foreign.unlink()

    # Ctrl-C leaves no process, and the same command goes on.
    assert summary(interrupted(account, deploy, streamctl_at(tmp_path / "started"))) == {
        HUB: "stopped",
        **dict.fromkeys(SERVICES - {HUB}, "not begun: stopped"),
    }
    assert set(stacks(account, "dev")) == {HUB}
    deployed = npm_run(account, *deploy)
    assert deployed.returncode == 0, deployed.stdout
    assert deployed.stdout.startswith("deploy dev in account 000000000000, us-east-1\n")
    assert summary(deployed.stdout) == dict.fromkeys(SERVICES, "done")
    there = stacks(account, "dev")
    assert set(there) == SERVICES
    assert next(iter(there)) == HUB
    for function in account.client("lambda").list_functions()["Functions"]:
        (packaged,) = packages.glob(f"*/{function['FunctionName']}.cdx.json")
        sbom = json.loads(packaged.read_text())
        code = base64.b64decode(function["CodeSha256"]).hex()
        assert sbom["metadata"]["component"]["hashes"] == [{"alg": "SHA-256", "content": code}]
    assert all(names(account).values())

    # A service that is broken is named, what else was asked for is done, and what was there stays.
    copies = tmp_path / "services"
    for service in (LAKE, MONITOR):
        shutil.copytree(
            ROOT / "services" / service, copies / service, ignore=shutil.ignore_patterns(".serverless", "node_modules")
        )
    (copies / "node_modules").symlink_to(ROOT / "node_modules")
    broken = copies / LAKE / "serverless.yml"
    broken.write_text(broken.read_text().replace("cf:${param:hub}-", "cf:${param:noSuchParameter}-"))
    changed = npm_run(account, "deploy", "--stage", "dev", "--services", str(copies))
    assert changed.returncode == 1, changed.stdout
    assert summary(changed.stdout) == {MONITOR: "done", LAKE: "failed"}
    assert f"\n  {LAKE}: " in changed.stdout
    assert "custom.busName" in changed.stdout
    assert set(stacks(account, "dev")) == SERVICES

    # Nothing is removed half way: what holds data is said before anything goes.
    s3 = account.client("s3")
    (lake,) = [name for name in names(account)["buckets"] if name.startswith(f"{LAKE}-dev-0")]
    s3.put_object(Bucket=lake, Key="events/dt=2026-11-21/hour=00/x.gz", Body=b"an event")
    refused = run_here(account, "remove", "--stage", "dev", "--confirm", "dev")
    assert refused.returncode == 1, refused.stdout
    assert f"  {lake}\n" in refused.stdout
    assert set(stacks(account, "dev")) == SERVICES

    removed = npm_run(account, "remove", "--stage", "dev", "--confirm", "dev", "--with-data", *ISSUER)
    assert removed.returncode == 0, removed.stdout
    assert summary(removed.stdout) == dict.fromkeys(SERVICES, "done")
    assert removed.stdout.index("sls remove event-hub") == max(
        removed.stdout.index(f"sls remove {service}") for service in SERVICES
    )
    assert "Kept" not in removed.stdout
    assert {kind: found for kind, found in names(account).items() if found} == {}

    again = run_here(account, "remove", "--stage", "dev", "--confirm", "dev")
    assert again.returncode == 0, again.stdout
    assert summary(again.stdout) == dict.fromkeys(SERVICES, "not there")


def interrupted(account: LocalEndpoint, deploy: tuple[str, ...], started: Any) -> str:
    """Deploy, and press Ctrl-C when there is a stack; returns what was printed.

    Args:
        started: finds the processes that have its state folder in their environment.
    """
    process = as_a_terminal_starts(
        ["npm", "run", "--silent", deploy[0], "--", *deploy[1:]],
        # By this folder, what was started is told from everything else on the machine.
        {**environment(account), "STARTED_FOR": str(started.state)},
    )
    deadline = time.monotonic() + AT_MOST_S
    while not stacks(account, "dev"):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "the CLI has begun a stack"
        time.sleep(0.05)
    assert len(started.processes()) >= 3  # npm, the rollout, the CLI
    # A terminal's Ctrl-C reaches the whole group, and npm passes it on once more.
    os.killpg(process.pid, signal.SIGINT)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT
    assert "Traceback" not in output
    assert started.processes() == {}
    return output
