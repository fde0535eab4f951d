"""Packages are deployed as they were made, for what they were made, and each has a valid SBOM."""

import hashlib
import json
import zipfile

import pytest
from stream_cli.cli import app
from stream_cli.deployment.packages import MANIFEST, check_packages, outputs_of, package_services
from stream_cli.deployment.sbom import sbom_of
from stream_cli.errors import CommandError
from typer.testing import CliRunner

HERE = ("dev", "111111111111", "eu-west-1")
# Stands for the Serverless CLI: packages a function, and a hub whose outputs others take.
CLI = """
const fs = require('fs'), path = require('path');
const out = process.argv[process.argv.indexOf('--package') + 1], name = path.basename(process.cwd());
fs.mkdirSync(path.join(out, 'requirements'), { recursive: true });
fs.writeFileSync(path.join(out, 'requirements', 'module.py'), '');
fs.copyFileSync(path.join(process.cwd(), '..', 'function.zip'), path.join(out, `${name}.zip`));
fs.writeFileSync(path.join(out, 'arguments'), process.argv.slice(2).join(' ') + ' ' + process.env.AWS_REGION);
fs.writeFileSync(path.join(out, 'cloudformation-template-update-stack.json'), JSON.stringify({
  Resources: {
    Bus: { Type: 'AWS::Events::EventBus', Properties: { Name: 'hub-bus' } },
    F: { Type: 'AWS::Lambda::Function', Properties: { FunctionName: `${name}-f`, Code: { S3Key: `a/b/${name}.zip` } } },
  },
  Outputs: { busArn: { Value: { 'Fn::GetAtt': ['Bus', 'Arn'] } } },
}));
"""


def metadata(name, version, *lines):
    return f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n" + "".join(f"{line}\n" for line in lines)


def wheel_files(name, version, *lines):
    return {f"{name}-{version}.dist-info/METADATA": metadata(name, version, *lines), f"{name}/__init__.py": ""}


@pytest.fixture
def zipped(tmp_path):
    """A function's package with three distributions."""
    files = {
        **wheel_files("My_Lib", "1.0", "License-Expression: MIT", "Requires-Dist: other.lib>=2", "Requires-Dist: x"),
        **wheel_files("other_lib", "2.1", "Classifier: License :: OSI Approved :: Apache Software License"),
        **wheel_files("third", "3", "License: A licence\n of its own", "Requires-Dist: my-lib; extra == 'more'"),
        "vendored/third-3.dist-info/METADATA": metadata("nested", "9"),
        "service/handler.py": "",
    }
    path = tmp_path / "function.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


# --- the SBOM ---


def test_an_sbom_is_valid_and_names_what_is_in_the_package(zipped):
    # Here, because each worker imports all modules of tests, and these take two seconds.
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    text = sbom_of(zipped, "orders-dev-listener")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    sbom = json.loads(text)
    assert (sbom["bomFormat"], sbom["specVersion"]) == ("CycloneDX", "1.6")
    root = sbom["metadata"]["component"]
    assert root["name"] == "orders-dev-listener"
    assert root["hashes"] == [{"alg": "SHA-256", "content": hashlib.sha256(zipped.read_bytes()).hexdigest()}]
    found = {each["name"]: (each["version"], each["purl"], each["licenses"]) for each in sbom["components"]}
    assert found == {
        "My_Lib": ("1.0", "pkg:pypi/my-lib@1.0", [{"expression": "MIT"}]),
        "other_lib": ("2.1", "pkg:pypi/other-lib@2.1", [{"license": {"name": "Apache Software License"}}]),
        "third": ("3", "pkg:pypi/third@3", [{"license": {"name": "A licence"}}]),
    }
    needs = {each["ref"]: each.get("dependsOn", []) for each in sbom["dependencies"]}
    assert needs["orders-dev-listener"] == ["pkg:pypi/my-lib@1.0", "pkg:pypi/other-lib@2.1", "pkg:pypi/third@3"]
    assert needs["pkg:pypi/my-lib@1.0"] == ["pkg:pypi/other-lib@2.1"]
    assert needs["pkg:pypi/third@3"] == []


def test_the_same_package_has_the_same_sbom(zipped):
    assert sbom_of(zipped, "f") == sbom_of(zipped, "f")


# --- what is packaged ---


@pytest.fixture
def root(tmp_path, zipped, monkeypatch):
    cli = tmp_path / "node_modules/osls/bin/serverless.js"
    cli.parent.mkdir(parents=True)
    cli.write_text(CLI)
    (tmp_path / ".build/wheels").mkdir(parents=True)
    for name in ("event-hub", "orders"):
        (tmp_path / "services" / name).mkdir(parents=True)
        (tmp_path / "services" / name / "serverless.yml").write_text(f"service: {name}\n")
    zipped.rename(tmp_path / "services" / "function.zip")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def made(root):
    """Packages for a stage, and their digest."""
    services = [root / "services" / name for name in ("event-hub", "orders")]
    return root / "out", package_services(services, *HERE, {"mine": "1"}, root / "out")


def test_each_function_has_an_sbom_and_each_file_a_digest(made):
    folder, digest = made
    manifest = json.loads((folder / MANIFEST).read_text())
    assert {name for name in manifest["files"] if name.endswith(".cdx.json")} == {
        "event-hub/event-hub-f.cdx.json",
        "orders/orders-f.cdx.json",
    }
    assert digest == hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
    assert not (folder / "orders" / "requirements").exists()
    check_packages(folder, *HERE, digest)


def test_a_service_gets_the_names_that_the_hub_will_have(made):
    folder, _ = made
    line = (folder / "orders" / "arguments").read_text()
    assert "--param=busArn=arn:aws:events:eu-west-1:111111111111:event-bus/hub-bus" in line
    assert "--param=mine=1" in line
    assert line.endswith(" eu-west-1")


def test_outputs_that_a_template_does_not_tell_are_left_out():
    resources = {
        "Bus": {"Type": "AWS::Events::EventBus", "Properties": {"Name": "b"}},
        "Stream": {"Type": "AWS::Kinesis::Stream", "Properties": {"Name": "s"}},
        "Topic": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": "t"}},
        "Unnamed": {"Type": "AWS::SNS::Topic", "Properties": {}},
        "Bucket": {
            "Type": "AWS::S3::Bucket",
            "Properties": {"BucketName": {"Fn::Sub": "k-${AWS::AccountId}-${AWS::Region}"}},
        },
        "Other": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": {"Fn::Sub": "k-${Bus}"}}},
        "Api": {"Type": "AWS::ApiGatewayV2::Api", "Properties": {"Name": "a"}},
    }
    values = {
        "busName": {"Ref": "Bus"},
        "streamName": {"Ref": "Stream"},
        "streamArn": {"Fn::GetAtt": ["Stream", "Arn"]},
        "topicArn": {"Ref": "Topic"},
        "unnamed": {"Ref": "Unnamed"},
        "bucketName": {"Ref": "Bucket"},
        "bucketArn": {"Fn::GetAtt": ["Bucket", "Arn"]},
        "other": {"Ref": "Other"},
        "api": {"Ref": "Api"},
        "id": {"Fn::GetAtt": ["Bus", "Id"]},
        "text": "text",
    }
    template = {"Resources": resources, "Outputs": {name: {"Value": value} for name, value in values.items()}}
    assert outputs_of(template, "1", "us-gov-west-1") == {
        "busName": "b",
        "streamName": "s",
        "streamArn": "arn:aws-us-gov:kinesis:us-gov-west-1:1:stream/s",
        "topicArn": "arn:aws-us-gov:sns:us-gov-west-1:1:t",
        "bucketName": "k-1-us-gov-west-1",
        "bucketArn": "arn:aws-us-gov:s3:::k-1-us-gov-west-1",
    }


def test_a_folder_with_other_things_is_not_emptied(root):
    (root / "out").mkdir()
    (root / "out" / "thesis").touch()
    result = CliRunner().invoke(app, ["package", "--stage", "dev", "--account", "1" * 12, "--out", "out"])
    assert result.exit_code == 1
    assert "holds something else than packages" in result.stderr
    assert (root / "out" / "thesis").exists()


def test_the_digest_is_printed_and_handed_on(root):
    line = ["package", "--stage", "dev", "--account", "1" * 12, "--out", "out", "--digest-to", "outputs"]
    for _ in range(2):  # packages of before are replaced
        result = CliRunner().invoke(app, line)
        assert result.exit_code == 0, result.output
    handed_on = (root / "outputs").read_text().splitlines()
    assert handed_on[-1] == f"digest={hashlib.sha256((root / 'out' / MANIFEST).read_bytes()).hexdigest()}"
    assert handed_on[-1] in result.stdout


# --- what is deployed ---


def change(folder):
    (folder / "orders" / "orders.zip").write_bytes(b"other code")


def add(folder):
    (folder / "orders" / "more.zip").write_bytes(b"")


def remove(folder):
    (folder / "orders" / "orders.zip").unlink()


def link(folder):
    (folder / "orders" / "orders.zip").rename(folder.parent / "elsewhere.zip")
    (folder / "orders" / "orders.zip").symlink_to(folder.parent / "elsewhere.zip")


@pytest.mark.parametrize("attack", [change, add, remove, link])
def test_packages_that_were_changed_are_refused(made, attack):
    folder, digest = made
    attack(folder)
    with pytest.raises(CommandError, match=r"Changed since it was packaged: orders/(orders|more)\.zip"):
        check_packages(folder, *HERE, digest)


def test_a_manifest_that_was_changed_with_the_packages_has_another_digest(made):
    folder, digest = made
    change(folder)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["files"]["orders/orders.zip"] = hashlib.sha256(b"other code").hexdigest()
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(CommandError, match="does not hold the packages with the digest"):
        check_packages(folder, *HERE, digest)


@pytest.mark.parametrize("other", [("prod", *HERE[1:]), ("dev", "2" * 12, "eu-west-1"), (*HERE[:2], "us-east-1")])
def test_packages_for_another_stage_account_or_region_are_refused(made, other):
    folder, digest = made
    with pytest.raises(CommandError, match="were made for stage dev, account 111111111111, eu-west-1; this is stage"):
        check_packages(folder, *other, digest)


def test_a_folder_without_packages_is_refused(tmp_path):
    with pytest.raises(CommandError, match="holds no packages"):
        check_packages(tmp_path, *HERE, None)


def test_a_digest_alone_is_a_mistake(root):
    result = CliRunner().invoke(app, ["deploy", "--stage", "dev", "--digest", "1"])
    assert result.exit_code == 2
    assert "--packages" in result.stderr
