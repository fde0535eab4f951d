"""A service is deployed to the local cloud again only if it or its stack has changed since."""

import fcntl
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
import zipfile
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from stream_cli.cli import app
from stream_cli.deployment import inputs, serverless
from stream_cli.local.cloud import running_emulator
from stream_cli.local.deploy import roll_out_stage
from stream_cli.local.deployed import LocalDeployments
from stream_cli.local.state import StateFolder
from typer.testing import CliRunner

# Stands for the Serverless CLI: counts its starts, leaves a package in .serverless, and makes or updates the stack.
CLI = r"""
import re, time

here = Path()
write_start([here.resolve().name, *given])
if (here / "waits").exists():
    (here / "begun").touch()
    time.sleep(600)
packaged = here / (given[given.index("--package") + 1] if "--package" in given else ".serverless")
file = packaged / "cloudformation-template-update-stack.json"
name = re.search("service: (.*)", (here / "serverless.yml").read_text())[1]
code = (here / "code.py").read_text()
if packaged == here / ".serverless":
    import zipfile

    packaged.mkdir(exist_ok=True)
    with zipfile.ZipFile(packaged / "all.zip", "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.write("code.py")
    made = f"serverless/{name}/local/1-2026-01-01T00:00:00.000Z"
    layer = {"LayerName": name, "Content": {"S3Key": f"{made}/layer.zip"}}
    version = {"FunctionName": {"Ref": "JobLambdaFunction"}}
    alias = {**version, "Name": "live", "FunctionVersion": {"Fn::GetAtt": ["JobLambdaVersionAbc", "Version"]}}
    function = {
        "FunctionName": f"{name}-local-job", "Handler": "index.handler", "Runtime": "python3.14",
        "Role": {"Fn::GetAtt": ["Role", "Arn"]},
        "Code": {"ZipFile": code, "S3Key": f"serverless/{name}/local/1/all.zip"},
    }
    resources = {
        "ServerlessDeploymentBucket": {"Type": "AWS::S3::Bucket"},
        "Role": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": {"Statement": []}}},
        "JobLambdaFunction": {"Type": "AWS::Lambda::Function", "Properties": function},
    }
    if (here / "layer").exists():
        resources["Layer"] = {"Type": "AWS::Lambda::LayerVersion", "Properties": layer}
    if (here / "uses-version").exists():
        resources["JobLambdaVersionAbc"] = {"Type": "AWS::Lambda::Version", "Properties": version}
        resources["Alias"] = {"Type": "AWS::Lambda::Alias", "Properties": alias}
    outputs = {"topicName": {"Value": os.environ.get("BUS_NAME", "bus")}}
    file.write_text(json.dumps({"Description": f"{made} {code}", "Resources": resources, "Outputs": outputs}))
there = request_of_stack(name, "DescribeStacks").startswith("HTTP/1.1 200")
request_of_stack(
    name,
    "UpdateStack" if there else "CreateStack",
    **{"TemplateBody": file.read_text(), "Capabilities.member.1": "CAPABILITY_IAM"},
)
while "_COMPLETE</StackStatus>" not in request_of_stack(name, "DescribeStacks"):
    time.sleep(0.02)
sys.exit((here / "fails").exists())
"""


@pytest.fixture
def state(cloud):
    """The state folder of the running cloud."""
    return cloud.state


@pytest.fixture
def root(with_cli):
    """A root with a toolchain."""
    return with_cli(CLI)


@pytest.fixture
def service(root):
    """The folder of a service of the test's own."""
    return make_service(root, f"t{uuid.uuid4().hex[:8]}")


def make_service(root, name, more=""):
    folder = root / "services" / name
    folder.mkdir(parents=True)
    (folder / "serverless.yml").write_text(f"service: {name}\n{more}")
    (folder / "code.py").write_text("a = 1")
    return folder


@pytest.fixture
def deploy(state):
    """Deploys to the cloud as a user does; what npm has installed is looked at each time."""

    def run(*arguments, at=state):
        inputs._installed.cache_clear()
        result = CliRunner().invoke(app, ["deploy", *arguments, "--state", str(at.root)])
        assert result.exit_code == 0, result.output
        return result.output

    return run


@pytest.fixture
def client(endpoint):
    """Makes a client of the cloud."""
    return endpoint.client


def starts(root):
    file = root / "starts"
    return [json.loads(line)[1:] for line in file.read_text().splitlines()] if file.exists() else []


def test_an_unchanged_service_is_skipped_and_that_is_said(root, service, deploy):
    deploy()
    output = deploy()
    assert len(starts(root)) == 1
    assert "unchanged since 20" in output


def test_what_has_changed_is_deployed(root, service, deploy):
    deploy()
    (service / "new.py").touch()
    deploy()
    assert len(starts(root)) == 2
    deploy("--param", "a=b")
    assert len(starts(root)) == 3
    deploy("--param", "a=b")
    assert len(starts(root)) == 3


def test_where_only_code_has_changed_functions_get_it_without_the_cli(root, service, deploy, client):
    deploy()
    for content in ("a = 2", "a = 3", "a = 1"):
        (service / "code.py").write_text(content)
        assert "only code has changed" in deploy()
        location = client("lambda").get_function(FunctionName=f"{service.name}-local-job")["Code"]["Location"]
        with zipfile.ZipFile(io.BytesIO(httpx.get(location, trust_env=False).content)) as zipped:
            assert zipped.read("code.py").decode() == content
        assert "unchanged since" in deploy()
    assert len(starts(root)) == 1


def test_where_more_than_code_has_changed_the_cli_deploys(root, service, deploy, client, monkeypatch):
    deploy()
    changes = {
        "another file": (service / "other.py").touch,
        "mode": lambda: (service / "code.py").chmod(0o755),
        "variable": lambda: monkeypatch.setenv("MY_SETTING", "2"),
        "by hand": lambda: client("lambda").update_function_configuration(
            FunctionName=f"{service.name}-local-job", Timeout=9
        ),
    }
    for number, (name, change) in enumerate(changes.items(), 2):
        (service / "code.py").write_text(f"a = {number}")
        change()
        deploy()
        assert len(starts(root)) == number, name


@pytest.mark.parametrize("use", ["version in use", "layer", "in the template", "read by code"])
def test_where_code_is_used_elsewhere_too_the_cli_deploys(root, service, deploy, use):
    match use:
        case "version in use":
            (service / "uses-version").touch()
        case "layer":
            (service / "layer").touch()
        case "in the template":
            with (service / "serverless.yml").open("a") as file:
                file.write("custom:\n  inline: ${file(./code.py)}\n")
        case "read by code":
            (service / "plugin.js").write_text("module.exports = require('node:fs').readFileSync('code.py');\n")
    deploy()
    (service / "code.py").write_text("a = 2")
    deploy()
    assert len(starts(root)) == 2


def test_code_that_functions_got_without_the_cli_is_replaced_by_force(root, service, deploy):
    # The CLI would find the package that it has deployed itself, and skip the deployment.
    deploy()
    (service / "code.py").write_text("a = 2")
    assert "only code has changed" in deploy()
    (service / "code.py").write_text("a = 1")
    (service / "test_code.py").touch()
    deploy()
    assert "--force" in starts(root)[1]
    (service / "test_code.py").unlink()
    deploy()
    assert "--force" not in starts(root)[2]


def test_only_what_was_made_from_a_file_is_replaced_by_it(root, service, deploy):
    # The entry of that name comes from elsewhere, as from a folder that the plugin takes for the package's root.
    (service / "code.py").write_text("a = 1")
    deploy()
    (kept,) = (root / ".build/packages").iterdir()
    with zipfile.ZipFile(kept / "all.zip", "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("code.py", "of another file")
    manifest = json.loads((kept / "kept.json").read_text())
    manifest["files"]["all.zip"] = hashlib.sha256((kept / "all.zip").read_bytes()).hexdigest()
    (kept / "kept.json").write_text(json.dumps(manifest))
    (service / "code.py").write_text("a = 2")
    deploy()
    assert len(starts(root)) == 2


@pytest.mark.parametrize("mark", ["", "[]", '{"key": "of an earlier version", "stack": ""}'])
def test_a_mark_that_cannot_be_read_is_none(root, service, deploy, client, mark):
    deploy()
    bucket = client("cloudformation").describe_stack_resource(
        StackName=f"{service.name}-local", LogicalResourceId="ServerlessDeploymentBucket"
    )["StackResourceDetail"]["PhysicalResourceId"]
    client("s3").put_object(Bucket=bucket, Key="streamctl/deployed.json", Body=mark)
    deploy()
    assert "--force" in starts(root)[1]
    assert "unchanged since" in deploy()


def test_a_stack_that_was_removed_is_deployed_from_what_was_packaged(root, service, deploy, client):
    deploy()
    cloudformation = client("cloudformation")
    s3 = client("s3")
    bucket = cloudformation.describe_stack_resource(
        StackName=f"{service.name}-local", LogicalResourceId="ServerlessDeploymentBucket"
    )["StackResourceDetail"]["PhysicalResourceId"]
    s3.delete_object(Bucket=bucket, Key="streamctl/deployed.json")
    cloudformation.delete_stack(StackName=f"{service.name}-local")
    cloudformation.get_waiter("stack_delete_complete").wait(
        StackName=f"{service.name}-local", WaiterConfig={"Delay": 0.1}
    )
    deploy()
    assert "--package" in starts(root)[1]
    deploy()
    assert len(starts(root)) == 2


def test_what_was_packaged_before_gets_the_name_of_a_later_deployment(root, service, deploy, client):
    deploy()
    (service / "other.py").touch()
    deploy()
    (service / "other.py").unlink()
    deploy()
    stack = client("cloudformation").get_template(StackName=f"{service.name}-local")["TemplateBody"]
    description = (json.loads(stack) if isinstance(stack, str) else stack)["Description"]
    assert description.endswith("Z a = 1")
    assert "/1-2026-01-01" not in description


def test_code_that_somebody_has_put_into_a_function_is_replaced(root, service, deploy, client):
    deploy()
    functions = client("lambda")
    functions.update_function_configuration(FunctionName=f"{service.name}-local-job", Description="by hand")
    deploy()
    assert "--force" in starts(root)[1]
    deploy()
    assert len(starts(root)) == 2


def test_a_stack_that_somebody_has_updated_is_deployed(root, service, deploy, client):
    deploy()
    cloudformation = client("cloudformation")
    template = cloudformation.get_template(StackName=f"{service.name}-local")["TemplateBody"]
    body = json.loads(template) if isinstance(template, str) else template
    body["Resources"]["Topic"] = {"Type": "AWS::SNS::Topic"}
    cloudformation.update_stack(
        StackName=f"{service.name}-local", TemplateBody=json.dumps(body), Capabilities=["CAPABILITY_IAM"]
    )
    cloudformation.get_waiter("stack_update_complete").wait(
        StackName=f"{service.name}-local", WaiterConfig={"Delay": 0.1}
    )
    deploy()
    assert "--force" in starts(root)[1]


def test_a_deployment_that_failed_is_repeated(root, service, deploy, state):
    (service / "fails").touch()
    assert CliRunner().invoke(app, ["deploy", "--state", str(state.root)]).exit_code == 1
    (service / "fails").unlink()
    deploy()
    assert len(starts(root)) == 2


def test_a_deployment_that_was_killed_is_repeated(root, service, deploy, state):
    (service / "waits").touch()
    killed = subprocess.Popen(
        [sys.executable, "-m", "stream_cli.cli", "deploy", "--state", str(state.root)], stdout=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 30
        while not (service / "begun").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        os.kill(killed.pid, signal.SIGKILL)
        killed.wait()
    for name in ("waits", "begun"):
        (service / name).unlink()
    deploy()
    assert len(starts(root)) == 2


def test_another_proxy_is_no_change(root, service, deploy, monkeypatch):
    deploy()
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    assert "unchanged since 20" in deploy()
    assert len(starts(root)) == 1


def test_another_cloud_gets_its_own_deployment(root, service, deploy, tmp_path):
    deploy()
    other = StateFolder(tmp_path / "other")
    with running_emulator(other, None):
        deploy(at=other)
        deploy(at=other)
    assert len(starts(root)) == 2
    assert "--package" in starts(root)[1]


def test_two_at_once_deploy_once(root, service, state):
    def run(_):
        command = [sys.executable, "-m", "stream_cli.cli", "deploy", "--state", str(state.root)]
        return subprocess.run(command, check=False, capture_output=True).returncode

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(run, range(2))) == [0, 0]
    assert len(starts(root)) == 1


def test_a_copy_of_a_service_is_deployed_to_the_same_stack_before_or_after_and_never_within(
    root, service, deploy, state, tmp_path_factory, monkeypatch
):
    copy = tmp_path_factory.mktemp("copy") / "root"
    shutil.copytree(root, copy)
    (copy / "services" / service.name / "code.py").write_text("a = 2")
    waits = threading.Event()
    lock, write_mark = fcntl.flock, LocalDeployments._write_mark

    def flock(held, operation):
        try:
            lock(held, operation)
        except BlockingIOError:
            waits.set()
            raise

    def write_mark_late(*arguments):
        """The first deployment marks the stack when the other one has deployed, or waits for it."""
        monkeypatch.setattr(LocalDeployments, "_write_mark", write_mark)
        other.start()
        while other.is_alive() and not waits.is_set():
            time.sleep(0.01)
        write_mark(*arguments)

    def deploy_from(folder):
        roll_out_stage("deploy", [], "local", state, region=None, services=folder / "services")

    other = threading.Thread(target=deploy_from, args=[copy])
    monkeypatch.setattr(fcntl, "flock", flock)
    monkeypatch.setattr(LocalDeployments, "_write_mark", write_mark_late)
    deploy_from(root)
    other.join(60)
    assert len(starts(copy)) == 1

    assert "unchanged" not in deploy()
    assert "unchanged" in deploy()


def test_fresh_deploys_in_any_case(root, service, deploy):
    deploy()
    deploy("--fresh")
    assert "--force" in starts(root)[1]
    assert "--package" not in starts(root)[1]


def test_an_output_of_another_stack_that_changed_deploys_those_who_read_it(root, deploy, monkeypatch, service):
    name = service.name
    reader = make_service(
        root,
        f"{name}-reader",
        "custom:\n  topicName: ${param:topicName, cf:${param:hub}-${sls:stage}.topicName}\n"
        f"params:\n  default:\n    hub: {name}\n",
    )
    deploy(service.name)
    deploy(reader.name)
    deploy(reader.name)
    assert len(starts(root)) == 2
    monkeypatch.setenv("BUS_NAME", "another")
    deploy(service.name)
    monkeypatch.delenv("BUS_NAME")
    deploy(reader.name)
    assert len(starts(root)) == 4


@pytest.mark.parametrize("reads", ["cf:${self:custom.hub}.topicName", "env:AWS_ENDPOINT_URL", "env:TMPDIR"])
def test_a_service_that_reads_what_only_the_cli_knows_is_deployed_each_time(root, deploy, service, reads):
    (service / "serverless.yml").write_text(f"service: {service.name}\ncustom:\n  a: ${{{reads}}}\n")
    deploy()
    deploy()
    assert len(starts(root)) == 2


def test_outputs_are_read_by_the_names_that_params_and_stage_give(root):
    service = make_service(
        root,
        "orders",
        "custom:\n  a: ${cf:${param:hub}-${sls:stage}.topicName}\n  b: ${cf:lake-${opt:stage, 'dev'}.bucket, ''}\n"
        "params:\n  default:\n    hub: event-hub\n  prod:\n    hub: hub\n",
    )
    found = inputs.outputs_read(service, "local", {})
    assert found == [("event-hub-local", "topicName"), ("lake-local", "bucket")]
    assert inputs.outputs_read(service, "prod", {})[0] == ("hub-prod", "topicName")
    assert inputs.outputs_read(service, "prod", {"hub": "mine"})[1] == ("mine-prod", "topicName")
    assert serverless.configuration_of(service) is not None


def test_a_configuration_that_is_no_yaml_is_left_to_the_cli_which_says_so(root, deploy, service):
    (service / "serverless.yml").write_text(f"service: {service.name}\ncustom: [\n")
    with pytest.raises(inputs.NoKey, match="no YAML"):
        inputs.outputs_read(service, "local", {})
    deploy()
    assert len(starts(root)) == 1


def test_the_output_of_a_stack_in_another_region_is_not_known(root):
    service = make_service(root, "orders", "custom:\n  a: ${cf(eu-west-1):hub-local.topicName}\n")
    with pytest.raises(inputs.NoKey, match="only the CLI knows"):
        inputs.outputs_read(service, "local", {})
