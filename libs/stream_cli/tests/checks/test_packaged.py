"""Reading a packaged service: references in the state, stand-ins for other stacks, mappings of events."""

import json
from pathlib import Path
from typing import Any

import pytest
from stream_cli.checks.service.imports import as_symbols, stand_ins
from stream_cli.checks.service.packaged import STATE, TEMPLATE, UnreadableTemplate, read_service


def package(folder: Path, functions: dict[str, Any], **service: Any) -> Path:
    """The files that `sls package` writes, with one queue among the resources."""
    queue = {"Fn::GetAtt": ["Queue", "Arn"]}
    (folder / STATE).write_text(
        json.dumps({"service": {"service": "shop", "functions": functions, "shared": [queue], **service}})
    )
    (folder / TEMPLATE).write_text(json.dumps({"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}}))
    return folder / TEMPLATE


def test_a_reference_in_the_state_is_resolved(tmp_path: Path) -> None:
    pointer = {"$ref": '$["service"]["shared"][0]'}

    service = read_service(package(tmp_path, {"worker": {"events": [{"sqs": {"arn": pointer}}]}}), None)

    assert service.events[0].config == {"arn": {"Fn::GetAtt": ["Queue", "Arn"]}}


def test_what_packages_leave_out_is_read_from_the_state(tmp_path: Path) -> None:
    custom = {"pythonRequirements": {"noDeploy": {"$ref": '$["service"]["custom"]["names"]'}}, "names": ["reactivex"]}

    assert read_service(package(tmp_path, {}, custom=custom), None).requirements == {"noDeploy": ["reactivex"]}


@pytest.mark.parametrize(
    ("event", "mapping"),
    [
        ({"stream": "arn:aws:kinesis:us-east-1:1:stream/my-stream"}, "WorkerEventSourceMappingKinesisMystream"),
        ({"stream": {"arn": {"Ref": "Arn"}, "type": "dynamodb"}}, "WorkerEventSourceMappingDynamodbArn"),
        ({"stream": {"arn": {"Fn::ImportValue": "a-b"}, "type": "kinesis"}}, "WorkerEventSourceMappingKinesisAb"),
        ({"sqs": "arn:aws:sqs:us-east-1:1:my-queue"}, "WorkerEventSourceMappingSQSMyqueue"),
        ({"sqs": {"arn": {"Fn::Join": [":", ["arn", "jobs"]]}}}, "WorkerEventSourceMappingSQSJobs"),
    ],
    ids=str,
)
def test_an_event_compiles_to_the_logical_id_that_the_cli_gives(event: Any, mapping: str, tmp_path: Path) -> None:
    service = read_service(package(tmp_path, {"worker": {"events": [event]}}), None)

    assert [each.mapping_id for each in service.events] == [mapping]


def test_functions_with_events_of_other_kinds_are_known(tmp_path: Path) -> None:
    functions = {
        "worker": {"events": [{"stream": "arn:aws:kinesis:r:1:stream/s"}]},
        "api": {"events": [{"httpApi": "*"}]},
    }

    assert read_service(package(tmp_path, functions), None).otherwise_triggered == {"api"}


def test_a_template_without_state_is_named_for_its_file(tmp_path: Path) -> None:
    file = tmp_path / "shop.json"
    file.write_text('{"Resources": {}}')

    assert (read_service(file, None).name, read_service(file, None).events) == ("shop", ())


@pytest.mark.parametrize(
    ("content", "why"),
    [(None, "cannot be read"), ("not json", "is not JSON"), ("[]", "holds no JSON object"), ("{}", "has no Resources")],
)
def test_a_file_that_is_not_a_template_is_refused(content: str | None, why: str, tmp_path: Path) -> None:
    file = tmp_path / "template.json"
    if content is not None:
        file.write_text(content)

    with pytest.raises(UnreadableTemplate, match=why):
        read_service(file, None)


CONFIGURATION = """\
custom:
  busName: ${param:busName, cf:hub-${sls:stage}.busName}
  busArn: ${param:busArn, cf(us-east-1):hub-${sls:stage}.busArn}
  own: ${param:own}
params:
  default:
    own: 1
  prod:
    busName: the-bus
"""


def test_values_of_other_stacks_get_stand_ins(tmp_path: Path) -> None:
    (tmp_path / "serverless.yml").write_text(CONFIGURATION)

    made = stand_ins(tmp_path, "dev", {})

    assert {name: as_symbols(value) for name, value in made.items()} == {
        "busName": "${import busName}",
        "busArn": "${import busArn}",
    }


def test_the_stand_in_of_an_arn_looks_like_an_arn(tmp_path: Path) -> None:
    (tmp_path / "serverless.yml").write_text(CONFIGURATION)

    assert stand_ins(tmp_path, "dev", {})["busArn"].startswith("arn:aws:")


def test_given_values_are_kept(tmp_path: Path) -> None:
    (tmp_path / "serverless.yml").write_text(CONFIGURATION)

    assert stand_ins(tmp_path, "dev", {"busName": "b", "busArn": "arn:x"}) == {"busName": "b", "busArn": "arn:x"}


def test_values_that_the_stage_sets_get_no_stand_in(tmp_path: Path) -> None:
    (tmp_path / "serverless.yml").write_text(CONFIGURATION)

    assert set(stand_ins(tmp_path, "prod", {})) == {"busArn"}
