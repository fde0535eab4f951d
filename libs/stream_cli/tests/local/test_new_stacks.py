"""A stack that is not there is created from the package that the Serverless CLI has made, if nothing else is needed."""

import base64
import hashlib
import io
import json
import shutil
import threading
import uuid
import zipfile
from pathlib import Path

import pytest
from stream_cli.cli import app
from stream_cli.errors import CommandError
from stream_cli.local.new_stacks import create, new_stack
from stream_cli.local.plain_requests import PlainRequests
from typer.testing import CliRunner

# Stands for the Serverless CLI: counts its starts, takes the package of a test, makes the bucket and uploads.
CLI = r"""
import re, shutil

write_start(given)
packaged = Path(".serverless")
made = given[given.index("--package") + 1] if "--package" in given else root / "package"
shutil.copytree(made, packaged, dirs_exist_ok=True)
state = json.loads((packaged / "serverless-state.json").read_text())
name = state["service"]["service"]
if "REVIEW_IN_PROGRESS" in request_of_stack(name, "DescribeStacks"):
    sys.exit(1)
template = {"Resources": {"ServerlessDeploymentBucket": {"Type": "AWS::S3::Bucket"}}}
request_of_stack(name, "CreateStack", TemplateBody=json.dumps(template))
while "_COMPLETE</StackStatus>" not in request_of_stack(name, "DescribeStacks"):
    pass
described = request_of_stack(name, "DescribeStackResource", LogicalResourceId="ServerlessDeploymentBucket")
bucket = re.search("<PhysicalResourceId>(.*)</PhysicalResourceId>", described)[1]
for file in ("compiled-cloudformation-template.json", "serverless-state.json", "all.zip"):
    if (packaged / file).exists():
        import base64, hashlib

        body = (packaged / file).read_bytes()
        headers = {
            "x-amz-meta-filesha256": base64.b64encode(hashlib.sha256(body).digest()).decode(),
            "Content-Type": "application/zip" if file.endswith(".zip") else "application/json",
        }
        send("s3", "PUT", f"/{bucket}/{state['package']['artifactDirectoryName']}/{file}", body, headers)
"""
CORE = {"Resources": {"ServerlessDeploymentBucket": {"Type": "AWS::S3::Bucket"}}}


class Package:
    """What the Serverless CLI makes of a service with one function."""

    def __init__(self, name: str, folder: Path) -> None:
        self.folder = folder
        self.directory = f"serverless/{name}/local/1-2026-01-01T00:00:00.000Z"
        self.provider = {
            "name": "aws",
            "stage": "local",
            "region": "us-east-1",
            "stackTags": {"team": "a & b"},
            "deploymentBucketObject": {"blockPublicAccess": True},
            "coreCloudFormationTemplate": CORE,
        }
        self.function = {"handler": "code.handler", "events": [{"httpApi": "GET /"}]}
        self.service = {
            "service": name,
            "provider": self.provider,
            "functions": {"job": self.function},
            "layers": {},
        }
        self.state = {"service": self.service, "package": {"artifactDirectoryName": self.directory}}
        zipped = io.BytesIO()
        with zipfile.ZipFile(zipped, "w") as archive:
            archive.writestr("code.py", "def handler(event, context): ...")
        self.zipped = zipped.getvalue()
        self.template = {
            "Resources": {
                **CORE["Resources"],
                "Role": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": {"Statement": []}}},
                "JobLambdaFunction": {
                    "Type": "AWS::Lambda::Function",
                    "Properties": {
                        "FunctionName": f"{name}-local-job",
                        "Handler": "code.handler",
                        "Runtime": "python3.14",
                        "Role": {"Fn::GetAtt": ["Role", "Arn"]},
                        "Code": {
                            "S3Bucket": {"Ref": "ServerlessDeploymentBucket"},
                            "S3Key": f"{self.directory}/all.zip",
                        },
                    },
                },
            }
        }

    def write(self) -> None:
        self.folder.mkdir(exist_ok=True)
        compiled = json.dumps(self.template)
        for file, content in {
            "cloudformation-template-update-stack.json": compiled,
            "compiled-cloudformation-template.json": compiled,
            "serverless-state.json": json.dumps(self.state),
        }.items():
            (self.folder / file).write_text(content)
        (self.folder / "all.zip").write_bytes(self.zipped)

    def write_with_uploads(self) -> None:
        self.write()
        uploads = {
            name: {
                "type": "application/any",
                "metadata": {
                    "filesha256": base64.b64encode(hashlib.sha256((self.folder / name).read_bytes()).digest()).decode()
                },
            }
            for name in ("compiled-cloudformation-template.json", "serverless-state.json", "all.zip")
        }
        (self.folder / "uploads.json").write_text(json.dumps(uploads))


@pytest.fixture
def root(with_cli):
    """A root with a toolchain."""
    return with_cli(CLI)


@pytest.fixture
def service(root):
    folder = root / "services" / f"t{uuid.uuid4().hex[:8]}"
    folder.mkdir(parents=True)
    (folder / "serverless.yml").write_text(f"service: {folder.name}\n")
    return folder


@pytest.fixture
def packaged(root, service):
    return Package(service.name, root / "package")


@pytest.fixture
def deploy(cloud):
    def run():
        result = CliRunner().invoke(app, ["deploy", "--state", str(cloud.state.root)])
        assert result.exit_code == 0, result.output
        return result.output

    return run


@pytest.fixture
def remove(endpoint, service):
    """Removes the stack."""

    def run():
        stack = {"StackName": f"{service.name}-local"}
        cloudformation, s3 = endpoint.client("cloudformation"), endpoint.client("s3")
        found = cloudformation.describe_stack_resource(**stack, LogicalResourceId="ServerlessDeploymentBucket")
        bucket = found["StackResourceDetail"]["PhysicalResourceId"]
        for each in s3.list_objects_v2(Bucket=bucket)["Contents"]:
            s3.delete_object(Bucket=bucket, Key=each["Key"])
        cloudformation.delete_stack(**stack)
        cloudformation.get_waiter("stack_delete_complete").wait(**stack, WaiterConfig={"Delay": 0.1})

    return run


def starts(root):
    return [json.loads(line) for line in (root / "starts").read_text().splitlines()]


def test_a_new_stack_is_created_from_the_package_without_the_cli(root, service, packaged, deploy, remove, endpoint):
    packaged.write()
    deploy()
    remove()
    assert "unchanged" not in deploy()
    assert len(starts(root)) == 1
    (stack,) = endpoint.client("cloudformation").describe_stacks(StackName=f"{service.name}-local")["Stacks"]
    assert stack["StackStatus"] == "UPDATE_COMPLETE"
    assert stack["Tags"] == [{"Key": "STAGE", "Value": "local"}, {"Key": "team", "Value": "a & b"}]
    found = endpoint.client("lambda").get_function(FunctionName=f"{service.name}-local-job")
    assert found["Configuration"]["CodeSha256"] == base64.b64encode(hashlib.sha256(packaged.zipped).digest()).decode()
    assert "unchanged since" in deploy()


@pytest.mark.parametrize("part", ["bucket", "resources"])
def test_where_the_creation_fails_the_cli_deploys_by_force(root, packaged, deploy, remove, part):
    if part == "bucket":
        packaged.provider["coreCloudFormationTemplate"] = {"Resources": {}}
    else:
        packaged.template["Resources"]["Wrong"] = {"Type": "AWS::Wrong::Wrong"}
    packaged.write()
    deploy()
    remove()
    assert "is left to the Serverless CLI" in deploy()
    assert {"--package", "--force"} <= set(starts(root)[1])


def test_a_creation_that_is_stopped_ends(service, packaged, endpoint):
    packaged.write_with_uploads()
    stack = new_stack(service, packaged.folder)
    stopped = threading.Event()
    stopped.set()
    with pytest.raises(CommandError, match="stopped"):
        create(PlainRequests(endpoint), endpoint.region, stack, lambda: not stopped.is_set())


def test_the_tag_of_the_stage_is_the_one_that_the_service_gives(service, packaged):
    packaged.write_with_uploads()
    assert new_stack(service, packaged.folder).tags == {"STAGE": "local", "team": "a & b"}
    packaged.provider["stackTags"] = {"Stage": "mine"}
    packaged.write_with_uploads()
    assert new_stack(service, packaged.folder).tags == {"Stage": "mine"}


PROVIDER = """
deletionProtection deploymentMethod deploymentPrefix disableRollback ecr iam notificationArns pruneFunctionVersions
rollbackConfiguration s3 stackName stackParameters stackPolicy websocketsApiName
"""


@pytest.mark.parametrize(
    ("where", "name", "value"),
    [
        *(("provider", name, {}) for name in PROVIDER.split()),
        ("provider", "deploymentBucket", "mine"),
        ("provider", "deploymentBucketObject", {"serverSideEncryption": "aws:kms"}),
        ("provider", "logs", {"restApi": True}),
        ("provider", "stackTags", {"number": 1}),
        ("provider", "stage", "another"),
        ("function", "events", [{"http": "GET /"}]),
        ("function", "events", [{"cloudwatchLog": "group"}]),
        ("function", "events", [{"s3": {"bucket": "mine", "existing": True}}]),
        ("function", "image", "mine"),
        ("service", "layers", {"mine": {}}),
        ("state", "console", {}),
        ("state", "package", {"artifactDirectoryName": "elsewhere/1"}),
        ("template", "Transform", "AWS::Serverless-2016-10-31"),
    ],
)
def test_what_needs_other_requests_is_left_to_the_cli(service, packaged, where, name, value):
    getattr(packaged, where)[name] = value
    packaged.write_with_uploads()
    assert new_stack(service, packaged.folder) is None


@pytest.mark.parametrize("kind", ["Custom::S3", "AWS::CloudFormation::CustomResource"])
def test_a_custom_resource_is_left_to_the_cli(service, packaged, kind):
    packaged.template["Resources"]["Own"] = {"Type": kind}
    packaged.write_with_uploads()
    assert new_stack(service, packaged.folder) is None


@pytest.mark.parametrize(
    "hook",
    ["'after:deploy:deploy'", "'before:aws:deploy:deploy:createStack'", "initialize", "finalize", "'info:info'"],
)
def test_a_plugin_that_does_something_after_packaging_is_left_to_the_cli(service, packaged, hook):
    packaged.write_with_uploads()
    plugin = service / "plugin.js"
    plugin.write_text("module.exports = class { hooks = { 'after:aws:package:finalize:saveServiceState': f } };")
    assert new_stack(service, packaged.folder) is not None
    plugin.write_text(f"module.exports = class {{ hooks = {{ {hook}: f }} }};")
    assert new_stack(service, packaged.folder) is None


def test_a_package_with_other_files_than_were_uploaded_is_left_to_the_cli(service, packaged):
    packaged.write_with_uploads()
    assert new_stack(service, packaged.folder) is not None
    for change in (
        lambda: (packaged.folder / "uploads.json").unlink(),
        lambda: (packaged.folder / "custom-resources.zip").write_bytes(packaged.zipped),
        lambda: (packaged.folder / "all.zip").write_bytes(b"other"),
        lambda: (packaged.folder / "compiled-cloudformation-template.json").write_text('{"Resources": {}}'),
    ):
        shutil.rmtree(packaged.folder)
        packaged.write_with_uploads()
        change()
        assert new_stack(service, packaged.folder) is None


def test_a_zip_file_that_the_cli_uploads_in_parts_is_uploaded_so(service, packaged, endpoint):
    with zipfile.ZipFile(large := io.BytesIO(packaged.zipped), "a") as archive:
        archive.writestr("data", bytes(6 * 1024 * 1024))
    packaged.zipped = large.getvalue()
    packaged.write_with_uploads()
    create(PlainRequests(endpoint), endpoint.region, new_stack(service, packaged.folder), lambda: True)
    name = {"StackName": f"{service.name}-local", "LogicalResourceId": "ServerlessDeploymentBucket"}
    found = endpoint.client("cloudformation").describe_stack_resource(**name)["StackResourceDetail"]
    key = {"Bucket": found["PhysicalResourceId"], "Key": f"{packaged.directory}/all.zip"}
    answer = endpoint.client("s3").get_object(**key, ChecksumMode="ENABLED")
    assert answer["ETag"].endswith('-2"')
    assert answer["ChecksumCRC32"].endswith("-2")
    assert answer["Metadata"] == {"filesha256": base64.b64encode(hashlib.sha256(packaged.zipped).digest()).decode()}
    assert answer["ContentType"] == "application/any"  # as the package says
    assert answer["Body"].read() == packaged.zipped
