"""All services of a stage are deployed and removed in the right order, and one summary says what became of each."""

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
import unittest.mock
import uuid
import zipfile
from pathlib import Path

import pytest
from stream_cli.cli import app
from stream_cli.deployment import serverless
from stream_cli.deployment.stacks import functions_of_stage
from stream_cli.local.cloud import running_emulator
from stream_cli.local.state import StateFolder
from typer.testing import CliRunner

# Stand for Node.js and the Serverless CLI, which writes down what it was told, in what environment, and fails or waits
# where a service says so. A shell runs so short a script in a twentieth of the time.
NODE = """#!/bin/sh
export REQUIRED=
while [ "$1" = --require ]; do REQUIRED="$REQUIRED${2##*/} "; shift 2; done
exec sh "$@"
"""
CLI = r"""
told='"'${PWD##*/}'"'
for word in "$@"; do told="$told, \"$word\""; done
printf '%s\n' "[$told]" >> "$TRACE"
env -0 > environment
: > packaged
mkdir -p .serverless/requirements
if [ -e made ]; then cp made/* .serverless; fi
if [ -e fails ]; then printf 'Uploading\n\nError:\nCREATE_FAILED: Table\n'; exit 1; fi
if [ -e is-written-to ]; then
  PYTHON -IS -c 'import sys
from urllib.request import Request, urlopen
key = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
late = Request(sys.argv[1], b"late", {"Authorization": key}, method="PUT")
urlopen(late)' "$AWS_ENDPOINT_URL/$(cat is-written-to)/late"
  rm is-written-to
  printf 'Uploading\n\nError:\nDELETE_FAILED: BucketNotEmpty\n'
  exit 1
fi
if [ -e waits ]; then echo $$ > pid; exec sleep 600; fi
"""
SERVICES = {"control-service", "event-hub", "rest-bff-service"}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    """What stands for AWS: whose account it is, its stacks and buckets."""
    with running_emulator(StateFolder(tmp_path_factory.mktemp("cloud")), None) as running:
        yield running.endpoint


@pytest.fixture
def stage():
    """A stage of the test's own."""
    return f"t{uuid.uuid4().hex[:8]}"


@pytest.fixture
def workplace(tmp_path, monkeypatch, cloud):
    """A root with a toolchain, three services in it, and credentials in the environment."""
    cli = tmp_path / "node_modules/osls/bin/serverless.js"
    cli.parent.mkdir(parents=True)
    cli.write_text(CLI.replace("PYTHON", sys.executable))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/node").write_text(NODE)
    (tmp_path / "bin/node").chmod(0o755)
    (tmp_path / ".build/wheels").mkdir(parents=True)
    for name in SERVICES:
        (tmp_path / "services" / name).mkdir(parents=True)
        (tmp_path / "services" / name / "serverless.yml").write_text(f"service: {name}\n")
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in cloud.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("TRACE", str(tmp_path / "trace"))
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def stack(cloud, stage):
    """Makes the stack of a service; with a bucket of a deletion policy where one is named. Gives the bucket."""

    def make(service, deletion_policy=None):
        bucket = f"{service}-{stage}-data"
        resource = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": bucket}, "DeletionPolicy": deletion_policy}
        resources = {"Data": resource} if deletion_policy else {"Topic": {"Type": "AWS::SNS::Topic"}}
        cloudformation = cloud.client("cloudformation")
        name = f"{service}-{stage}"
        cloudformation.create_stack(StackName=name, TemplateBody=json.dumps({"Resources": resources}))
        cloudformation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 0.1})
        return bucket

    return make


def run(*arguments):
    return CliRunner().invoke(app, list(arguments))


def calls(workplace):
    trace = workplace / "trace"
    return [json.loads(line) for line in trace.read_text().splitlines()] if trace.exists() else []


def variables_of(service):
    """The environment of the CLI that has worked last in the folder of a service."""
    return dict(each.split("=", 1) for each in (service / "environment").read_text().split("\0") if each)


def fill(cloud, bucket):
    """Two versions and a delete marker."""
    s3 = cloud.client("s3")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for body in (b"one", b"two"):
        s3.put_object(Bucket=bucket, Key="events/x", Body=body)
    s3.delete_object(Bucket=bucket, Key="events/x")


def held(cloud, bucket):
    listed = cloud.client("s3").list_object_versions(Bucket=bucket)
    return listed.get("Versions", []) + listed.get("DeleteMarkers", [])


# --- deploy ---


def test_the_hub_is_deployed_first_and_every_service_to_the_stage(workplace, stage):
    result = run("deploy", "--stage", stage, "--region", "eu-central-1")
    assert result.exit_code == 0, result.output
    assert calls(workplace)[0] == ["event-hub", "deploy", "--stage", stage, "--region", "eu-central-1"]
    assert {call[0] for call in calls(workplace)} == SERVICES


def test_account_and_region_are_printed_before_anything_is_done(workplace, stage):
    result = run("deploy", "--stage", stage)
    assert result.output.startswith(f"deploy {stage} in account 000000000000, us-east-1\n")


def test_services_that_need_the_hub_are_not_begun_when_it_fails(workplace, stage):
    (workplace / "services/event-hub/fails").touch()
    result = run("deploy", "--stage", stage)
    assert result.exit_code == 1
    assert [call[0] for call in calls(workplace)] == ["event-hub"]
    assert result.output.count("not begun: event-hub failed") == 2


def test_a_failed_service_is_shown_with_the_reason_and_the_others_go_on(workplace, stage):
    (workplace / "services/control-service/fails").touch()
    result = run("deploy", "--stage", stage)
    assert result.exit_code == 1
    assert {call[0] for call in calls(workplace)} == SERVICES
    assert "control-service: CREATE_FAILED: Table" in result.output
    assert "Uploading" not in result.output
    (log,) = re.findall(r"all of it: (.*)\)", result.output)
    assert "Uploading" in Path(log).read_text()


def test_only_named_services_are_deployed(workplace, stage):
    run("deploy", "control-service", "--stage", stage)
    assert [call[0] for call in calls(workplace)] == ["control-service"]


@pytest.mark.parametrize("action", ["deploy", "remove"])
def test_params_reach_the_cli_of_every_service(workplace, stage, stack, action):
    for service in SERVICES:
        stack(service)
    confirmed = ["--confirm", stage] if action == "remove" else []
    result = run(action, "--stage", stage, *confirmed, "--param", "jwtAudience=a=b", "--param", "reading=own")
    assert result.exit_code == 0, result.output
    assert {(call[0], *call[-2:]) for call in calls(workplace)} == {
        (service, "--param=jwtAudience=a=b", "--param=reading=own") for service in SERVICES
    }


@pytest.mark.parametrize("action", ["deploy", "sizes", "check"])
@pytest.mark.parametrize("wrong", ["jwtAudience", "jwtAudience=", "=items"])
def test_a_param_without_a_name_or_a_value_is_refused(workplace, stage, action, wrong):
    result = run(action, "--stage", stage, "--param", wrong)
    assert (result.exit_code, "is not NAME=VALUE" in result.output) == (2, True)
    assert calls(workplace) == []


@pytest.mark.parametrize("wrong", ["Dev", "no stage", ""])
def test_an_invalid_stage_is_refused(workplace, wrong):
    result = run("deploy", "--stage", wrong)
    assert result.exit_code == 2
    assert calls(workplace) == []


def test_an_unknown_service_is_refused_with_the_known_ones(workplace, stage):
    result = run("deploy", "no-such", "--stage", stage)
    assert result.exit_code == 1
    assert "There is no service no-such" in result.output
    assert "control-service" in result.output
    assert calls(workplace) == []


def test_a_folder_in_which_another_deployment_works_is_waited_for(workplace, stage):
    seen = []
    with contextlib.ExitStack() as other:
        other.enter_context(serverless.alone_in(workplace / "services/control-service", lambda: False))

        def finish():
            seen.extend(calls(workplace))
            other.close()

        threading.Timer(1, finish).start()
        assert run("deploy", "--stage", stage, "control-service").exit_code == 0
    assert seen == []
    assert [call[0] for call in calls(workplace)] == ["control-service"]


@pytest.mark.parametrize("outcome", ["done", "failed"])
def test_what_the_cli_packages_does_not_stay_in_the_folder_of_a_service(workplace, stage, outcome):
    service = workplace / "services/control-service"
    if outcome == "failed":
        (service / "fails").touch()
    assert outcome in run("deploy", "--stage", stage, "control-service").output
    assert (service / "packaged").exists()
    assert not (service / ".serverless").exists()


def test_packaged_files_are_readable_for_all_whatever_the_umask(workplace, stage):
    before = os.umask(0o077)
    try:
        run("deploy", "--stage", stage, "control-service")
    finally:
        os.umask(before)
    assert (workplace / "services/control-service/packaged").stat().st_mode & 0o777 == 0o644


def test_a_deployment_compiles_modules_and_says_where_it_could_not(workplace, stage):
    service = workplace / "services/control-service"
    function = {"FunctionName": "f", "Runtime": "python3.14", "Code": {"S3Key": "x/f.zip"}}
    template = {"Resources": {"F": {"Type": "AWS::Lambda::Function", "Properties": function}}}
    (service / "made").mkdir()
    (service / "made" / serverless.COMPILED_TEMPLATE).write_text(json.dumps(template))
    with zipfile.ZipFile(service / "made/f.zip", "w") as package:
        package.writestr("main.py", "")
    said = run("deploy", "--stage", stage, "control-service").output
    assert "Cold starts compile what they import, because packages were made without python3.14" in said
    assert variables_of(service)["REQUIRED"] == "compiled.cjs installs.cjs bytecode.cjs "


def test_a_deployment_takes_what_pip_has_installed_and_v8_has_compiled_before(workplace, stage):
    service = workplace / "services/control-service"
    run("deploy", "--stage", stage, "control-service")
    assert {"compiled.cjs", "installs.cjs"} < {*variables_of(service)["REQUIRED"].split()}
    assert json.loads(variables_of(service)["KEPT_INSTALLS"])[-1].endswith("/.build/installs")
    assert variables_of(service)["NODE_COMPILE_CACHE"].endswith("/.build/cache/node")
    assert variables_of(service)["SLS_SCHEMA_CACHE_BASE_DIR"].endswith("/.build/cache")


# --- a production stage ---

KEEPS = "service: control-service\nparams:\n  default:\n    deletionPolicy: {default}\n  {stage}:\n    memory: 1\n"


# One process, because each would import boto3.
FOR_EACH_ANSWER = """
import sys
from stream_cli.cli import app
for _ in range(int(sys.argv[1])):
    try:
        app(sys.argv[2:])
    except SystemExit as end:
        print(f"exit code {end.code}")
"""


@pytest.fixture
def asked(workplace):
    """Runs a command line on a terminal of its own for each answer; gives all that it said, and the exit code."""

    def run_and_answer(answers, *words):
        ours, theirs = pty.openpty()
        command = [sys.executable, "-c", FOR_EACH_ANSWER, str(len(answers)), *words]
        process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
        os.close(theirs)
        said, given = b"", 0
        with contextlib.suppress(OSError):  # Linux says EIO at the end
            while part := os.read(ours, 1000):
                said += part
                if said.count(b"Go on? [y/N]: ") > given:
                    os.write(ours, answers[given])
                    given += 1
        os.close(ours)
        assert process.wait(60) == 0
        return re.findall(r"(.*?)exit code (\d+)", said.decode(), re.DOTALL)

    return run_and_answer


@pytest.mark.parametrize("name", ["prod", "production", "prod-eu", "blue-prod", "prod2", "prd", "live"])
@pytest.mark.parametrize("action", ["deploy", "remove"])
def test_a_production_stage_is_not_changed_without_a_yes(workplace, action, name):
    confirmed = ["--confirm", name] if action == "remove" else []
    result = run(action, "--stage", name, "control-service", *confirmed)
    assert result.exit_code == 1
    assert (
        f"Nothing was done: {action} control-service in the production stage {name}, account 000000000000, us-east-1, "
        "needs a yes. Add --yes, or run it in a terminal, where it asks."
    ) in result.output
    assert calls(workplace) == []


@pytest.mark.parametrize("name", ["product", "alive", "reprod"])
def test_a_stage_whose_name_only_looks_like_it_is_deployed_without_a_question(workplace, name):
    assert run("deploy", "--stage", name, "control-service").exit_code == 0


def test_a_stage_that_keeps_its_data_is_a_production_stage_whatever_its_name(workplace, stage):
    configuration = workplace / "services/control-service/serverless.yml"
    configuration.write_text(
        f"service: control-service\nx: !GetAtt A.B\nparams:\n  {stage}: {{deletionPolicy: Retain}}\n"
    )
    assert "needs a yes" in run("deploy", "--stage", stage, "control-service").output
    configuration.write_text(KEEPS.format(default="Retain", stage=stage))
    assert "needs a yes" in run("deploy", "--stage", stage, "control-service").output
    assert calls(workplace) == []
    configuration.write_text(KEEPS.format(default="Delete", stage=stage))
    assert run("deploy", "--stage", stage, "control-service").exit_code == 0


def test_with_yes_it_is_changed(workplace):
    assert run("deploy", "--stage", "prod", "control-service", "--yes").exit_code == 0
    assert [call[0] for call in calls(workplace)] == ["control-service"]


def test_on_a_terminal_it_asks_and_names_account_region_and_stage(workplace, asked):
    question = "deploy control-service in the production stage prod, account 000000000000, us-east-1. Go on? [y/N]: "
    ran = asked([b"\n", b"n\n", b"y\n", b"\x04"], "deploy", "--stage", "prod", "control-service")
    assert [code for _, code in ran] == ["1", "1", "0", "1"]
    assert [question in said for said, _ in ran] == [True] * 4
    assert ["Nothing was done." in said for said, _ in ran] == [True, True, False, True]
    assert [call[0] for call in calls(workplace)] == ["control-service"]


# --- the functions of a stage ---


def test_the_functions_of_a_stage_are_those_of_the_stacks_with_its_tag(cloud, stage):
    """Not those of a stack whose name only ends like the stage, and not those that no stack has."""
    cloudformation = cloud.client("cloudformation")

    def make(stack, tags):
        properties = {
            "FunctionName": f"{stack}-listener",
            "Runtime": "python3.13",
            "Handler": "index.handler",
            "Role": "arn:aws:iam::000000000000:role/r",
            "Code": {"ZipFile": "def handler(event, context): pass"},
        }
        resources = {"Listener": {"Type": "AWS::Lambda::Function", "Properties": properties}}
        body = json.dumps({"Resources": resources})
        cloudformation.create_stack(StackName=stack, TemplateBody=body, Tags=tags)
        cloudformation.get_waiter("stack_create_complete").wait(StackName=stack, WaiterConfig={"Delay": 0.1})

    make(f"orders-{stage}", [{"Key": "STAGE", "Value": stage}])
    make(f"items-{stage}", [{"Key": "service", "Value": "items"}, {"Key": "stage", "Value": stage}])
    make(f"orders-my-{stage}", [{"Key": "STAGE", "Value": f"my-{stage}"}])
    make(f"untagged-{stage}", [])
    assert functions_of_stage(cloudformation, stage) == {f"orders-{stage}-listener", f"items-{stage}-listener"}


def test_what_a_stack_had_once_or_what_is_no_function_is_no_function_of_the_stage():
    """Its name may be that of another function."""

    pages = {
        "describe_stacks": {"Stacks": [{"StackName": "a", "Tags": [{"Key": "STAGE", "Value": "dev"}]}]},
        "list_stack_resources": {
            "StackResourceSummaries": [
                {"ResourceType": f"AWS::{kind}", "PhysicalResourceId": name, "ResourceStatus": status}
                for kind, name, status in (
                    ("Lambda::Function", "is", "UPDATE_COMPLETE"),
                    ("Lambda::Function", "was", "DELETE_COMPLETE"),
                    ("IAM::Role", "another-function", "CREATE_COMPLETE"),
                )
            ]
        },
    }
    cloudformation = unittest.mock.Mock()
    cloudformation.get_paginator = lambda name: unittest.mock.Mock(paginate=lambda **_: [pages[name]])
    assert functions_of_stage(cloudformation, "dev") == {"is"}


# --- whose account ---


def test_without_credentials_nothing_is_begun(workplace, stage, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    result = run("deploy", "--stage", stage)
    assert result.exit_code == 1
    assert "There is no AWS account to work on: Unable to locate credentials" in result.output
    assert calls(workplace) == []


def test_the_serverless_cli_gets_the_credentials_of_the_account_that_is_named(workplace, monkeypatch):
    process = workplace / "credentials.sh"
    given = {"Version": 1, "AccessKeyId": "111111111111", "SecretAccessKey": "s", "SessionToken": "t"}
    process.write_text(f"echo '{json.dumps(given)}'")  # the emulator takes twelve digits for the account
    (workplace / "config").write_text(f"[profile mine]\ncredential_process = sh {process}\n")
    monkeypatch.setenv("AWS_PROFILE", "mine")  # it wins over keys, for the CLI, too
    monkeypatch.setenv("AWS_DEV_PROFILE", "another")  # which boto3 does not know, and the CLI takes first
    result = run("deploy", "--stage", "dev", "control-service")
    assert "in account 111111111111" in result.output
    seen = variables_of(workplace / "services/control-service")
    assert {name for name in seen if "PROFILE" in name} == set()
    assert (seen["AWS_ACCESS_KEY_ID"], seen["AWS_SECRET_ACCESS_KEY"], seen["AWS_SESSION_TOKEN"]) == (
        "111111111111",
        "s",
        "t",
    )


def test_the_region_of_the_profile_is_the_one_that_is_deployed_to(workplace, stage, monkeypatch):
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    (workplace / "config").write_text("[default]\nregion = eu-west-1\n")
    run("deploy", "--stage", stage, "control-service")
    assert calls(workplace) == [["control-service", "deploy", "--stage", stage, "--region", "eu-west-1"]]


# --- remove ---


def test_the_hub_is_removed_last(workplace, stage, stack):
    for service in SERVICES:
        stack(service)
    assert run("remove", "--stage", stage, "--confirm", stage).exit_code == 0
    assert calls(workplace)[-1][:2] == ["event-hub", "remove"]
    assert {call[0] for call in calls(workplace)} == SERVICES


def test_nothing_is_removed_unless_the_stage_is_confirmed(workplace):
    for arguments in (["--confirm", "dev"], []):
        result = run("remove", "--stage", "prod", *arguments)
        assert result.exit_code == 2
        assert "--confirm prod" in result.output
    assert calls(workplace) == []


def test_the_hub_stays_where_a_service_that_needs_it_could_not_be_removed(workplace, stage, stack):
    for service in SERVICES:
        stack(service)
    (workplace / "services/control-service/fails").touch()
    result = run("remove", "--stage", stage, "--confirm", stage)
    assert result.exit_code == 1
    assert {call[0] for call in calls(workplace)} == SERVICES - {"event-hub"}
    assert "not begun: control-service failed" in result.output


def test_the_hub_alone_is_not_removed_while_others_need_it(workplace, stage, stack):
    for service in SERVICES:
        stack(service)
    result = run("remove", "event-hub", "--stage", stage, "--confirm", stage)
    assert result.exit_code == 1
    assert f"control-service-{stage}, rest-bff-service-{stage}" in result.output
    assert calls(workplace) == []


def test_a_removal_may_be_repeated(workplace, stage, stack):
    stack("event-hub")
    result = run("remove", "--stage", stage, "--confirm", stage)
    assert result.exit_code == 0, result.output
    assert [call[0] for call in calls(workplace)] == ["event-hub"]
    assert result.output.count("not there") == 2


def test_nothing_is_removed_when_a_bucket_that_would_be_deleted_holds_data(workplace, stage, stack, cloud):
    bucket = stack("control-service", "Delete")
    stack("event-hub")
    fill(cloud, bucket)
    result = run("remove", "--stage", stage, "--confirm", stage)
    assert result.exit_code == 1
    assert f"  {bucket}\n" in result.output
    assert "--with-data" in result.output
    assert calls(workplace) == []
    assert len(held(cloud, bucket)) == 3


def test_with_data_each_version_is_deleted_before_the_stack(workplace, stage, stack, cloud):
    bucket = stack("control-service", "Delete")
    fill(cloud, bucket)
    result = run("remove", "--stage", stage, "--confirm", stage, "--with-data")
    assert result.exit_code == 0, result.output
    assert held(cloud, bucket) == []
    assert "Kept" not in result.output


def test_a_bucket_that_is_written_to_during_the_removal_is_emptied_again(workplace, stage, stack, cloud):
    fill(cloud, bucket := stack("rest-bff-service", "Delete"))
    (workplace / "services/rest-bff-service/is-written-to").write_text(bucket)
    result = run("remove", "--stage", stage, "--confirm", stage, "--with-data")
    assert result.exit_code == 0, result.output
    assert [call[0] for call in calls(workplace)] == ["rest-bff-service", "rest-bff-service"]
    assert held(cloud, bucket) == []


def test_a_retained_bucket_keeps_its_data_and_is_listed_at_the_end(workplace, stage, stack, cloud):
    bucket = stack("control-service", "Retain")
    fill(cloud, bucket)
    result = run("remove", "--stage", stage, "--confirm", stage, "--with-data")
    assert result.exit_code == 0, result.output
    assert [call[0] for call in calls(workplace)] == ["control-service"]
    assert len(held(cloud, bucket)) == 3
    assert re.search(rf"^Kept, .*:\n  AWS::S3::Bucket {bucket}\n\Z", result.output, re.MULTILINE)


# --- stopped ---


# They have one handler.
@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.thorough)])
def test_after_a_signal_nothing_runs_or_begins_and_there_is_a_summary(workplace, stage, number):
    for service in SERVICES - {"event-hub"}:
        (workplace / "services" / service / "waits").touch()
    process = subprocess.Popen(
        [sys.executable, "-m", "stream_cli.cli", "deploy", "--stage", stage],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    files = [workplace / "services" / service / "pid" for service in SERVICES - {"event-hub"}]
    deadline = time.monotonic() + 60
    while not all(file.exists() and file.read_text() for file in files):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "CloudFormation goes on with the stacks it has begun to change" in err
    assert re.search(r"event-hub +│ done", out)
    assert out.count("│ stopped") == 2
    for file in files:
        with pytest.raises(ProcessLookupError):
            os.kill(int(file.read_text()), 0)


def test_a_waiting_service_is_not_begun_after_a_signal(workplace, stage):
    (workplace / "services/event-hub/waits").touch()
    process = subprocess.Popen(
        [sys.executable, "-m", "stream_cli.cli", "deploy", "--stage", stage],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not calls(workplace):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)
    assert out.count("not begun: stopped") == 2
    assert [call[0] for call in calls(workplace)] == ["event-hub"]
