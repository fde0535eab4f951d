"""A stack from a kept package is the one that `sls deploy` makes, and `sls deploy` takes it for its own."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from stream_cli.deployment import serverless
from stream_cli.local import deployed
from stream_cli.local.cloud import LocalCloud, running_emulator
from stream_cli.local.deploy import deploy, local_account
from stream_cli.local.state import StateFolder
from stream_cli.terminal.output import console_for
from stream_cli.terminal.progress import Steps

pytestmark = pytest.mark.system

SERVICES = Path(__file__).resolve().parents[2] / "services"
# The second has an HTTP API, and reads outputs of the first; so does the third, the one with the smallest package.
NAMES = ("event-hub", "rest-bff-service", *(["event-fault-monitor"] if "THOROUGH" in os.environ else []))
CHOSEN = [SERVICES / name for name in NAMES]
DIFFERENT = {
    r"\d{13}-\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z": "<deployment>",
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)?": "<time>",
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}": "<uuid>",
    r"127\.0\.0\.1:\d+|localhost:\d+": "<endpoint>",
}
# An answer's own; a version of a function has the hash of the zip file, which is compared elsewhere.
NOT_COMPARED = {"ResponseMetadata", "LastModified", "VersionId", "RevisionId"}


@contextmanager
def cloud_with_services(folder: Path) -> Iterator[LocalCloud]:
    with running_emulator(StateFolder(folder), None) as cloud:
        with Steps(console_for(as_json=True)) as steps:
            deploy(cloud, CHOSEN, steps)
        yield cloud


def made_by_the_cli(cloud: LocalCloud) -> set[str]:
    return {path.stem.removeprefix("deploy-") for path in cloud.state.logs.glob("deploy-*.log")}


def stack_in(cloud: LocalCloud, service: str) -> list[str]:
    """All that CloudFormation, S3 and Lambda say of a service's stack, without what differs each time."""
    cloudformation, s3, functions = (cloud.endpoint.client(name) for name in ("cloudformation", "s3", "lambda"))
    stack = f"{service}-local"
    resources = cloudformation.list_stack_resources(StackName=stack)["StackResourceSummaries"]
    physical = {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in resources}
    bucket = physical["ServerlessDeploymentBucket"]
    found: list[Any] = [
        cloudformation.describe_stacks(StackName=stack),
        cloudformation.get_template(StackName=stack),
        cloudformation.list_change_sets(StackName=stack),
        sorted(resources, key=lambda each: str(each["LogicalResourceId"])),
        [
            [each[field] for field in ("LogicalResourceId", "ResourceType", "ResourceStatus")]
            for page in cloudformation.get_paginator("describe_stack_events").paginate(StackName=stack)
            for each in page["StackEvents"]
        ],
    ]
    for listed in s3.list_object_versions(Bucket=bucket)["Versions"]:
        if listed["Key"] != deployed.MARK:
            object_of = {"Bucket": bucket, "Key": listed["Key"]}
            answer = s3.get_object(**object_of, ChecksumMode="ENABLED")
            content = answer.pop("Body").read()
            is_package = listed["Key"].endswith(".zip")
            if not is_package:  # these hold the name of the deployment
                for field in ("ETag", "ChecksumCRC32"):
                    answer.pop(field, None)
            text = hashlib.sha256(content).hexdigest() if is_package else content.decode()
            found.append([listed["Key"], listed["Size"], answer, text])
    for name in sorted(each["PhysicalResourceId"] for each in resources if each["ResourceType"].endswith("::Function")):
        found.append(functions.get_function_configuration(FunctionName=name))
        found.append(functions.list_versions_by_function(FunctionName=name))
        found.append(functions.list_event_source_mappings(FunctionName=name))
    text = json.dumps([without(each) for each in found], default=str, indent=1, sort_keys=True)
    for logical, each in sorted(physical.items(), key=lambda each: -len(each[1])):
        text = text.replace(each, f"<{logical}>")
    for pattern, name in DIFFERENT.items():
        text = re.sub(pattern, name, text)
    return text.splitlines()


def without(answer: Any) -> Any:
    match answer:
        case dict():
            return {name: without(value) for name, value in answer.items() if name not in NOT_COMPARED}
        case list():
            return [without(each) for each in answer]
        case _:
            return answer


@pytest.mark.thorough
def test_a_stack_from_a_kept_package_is_as_after_sls_deploy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {service.name for service in CHOSEN}
    with monkeypatch.context() as patched:
        patched.setattr(deployed, "new_stack", lambda service, package: None)
        with cloud_with_services(tmp_path / "sls") as cloud:
            assert made_by_the_cli(cloud) == names
            expected = {name: stack_in(cloud, name) for name in names}
    with cloud_with_services(tmp_path / "kept") as cloud:
        assert made_by_the_cli(cloud) == set()
        for name in names:
            assert stack_in(cloud, name) == expected[name]
        toolchain = serverless.find_toolchain(CHOSEN[0])
        with serverless.alone_in(CHOSEN[0], lambda: not time.sleep(0.1)):
            ran = subprocess.run(
                serverless.command(toolchain, "deploy", "--stage", "local", installs=True),
                cwd=CHOSEN[0],
                env=local_account(cloud.endpoint, cloud.state, toolchain).environment(),
                umask=serverless.UMASK,
                capture_output=True,
                text=True,
                check=True,
            )
        assert "No changes to deploy. Deployment skipped." in ran.stderr + ran.stdout
