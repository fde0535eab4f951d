"""Lines of serverless.yml, and of the files that it includes."""

from pathlib import Path

import pytest
from stream_cli.checks.service.source_map import Location, SourceMap

CONFIGURATION = """\
service: shop
params:
  dev:
    busName: local-bus
provider:
  name: aws
  iam:
    role:
      statements:
        - Effect: Allow
functions:
  worker:
    handler: worker.handler
    events:
      - httpApi: GET /
      - stream:
          type: dynamodb
          arn: !GetAtt Table.StreamArn
  listener: ${file(functions.yml):listener}
resources:
  - ${file(resources/tables.yml)}
  - Resources:
      Role:
        Type: AWS::IAM::Role
"""


@pytest.fixture
def source_map(tmp_path: Path) -> SourceMap:
    (tmp_path / "serverless.yml").write_text(CONFIGURATION)
    (tmp_path / "functions.yml").write_text("listener:\n  handler: h.h\n  events:\n    - stream: arn:x\n")
    (tmp_path / "resources").mkdir()
    (tmp_path / "resources" / "tables.yml").write_text("Resources:\n  # the only one\n  Table:\n    Type: x\n")
    return SourceMap(tmp_path)


def line(place: Location | None) -> tuple[str, int] | None:
    return None if place is None else (place.file.name, place.line)


def test_a_function_has_the_line_of_its_name(source_map: SourceMap) -> None:
    assert line(source_map.of_function("worker")) == ("serverless.yml", 12)


def test_an_event_has_its_first_line(source_map: SourceMap) -> None:
    assert line(source_map.of_event("worker", 1)) == ("serverless.yml", 16)


def test_an_option_has_the_line_of_its_name(source_map: SourceMap) -> None:
    assert line(source_map.of_option("worker", 1, "stream", "arn")) == ("serverless.yml", 18)


def test_a_missing_option_has_the_line_of_its_event(source_map: SourceMap) -> None:
    assert line(source_map.of_option("worker", 1, "stream", "batchSize")) == ("serverless.yml", 16)


def test_a_function_in_another_file_has_its_line_there(source_map: SourceMap) -> None:
    assert line(source_map.of_event("listener", 0)) == ("functions.yml", 4)


def test_a_resource_in_another_file_has_its_line_there(source_map: SourceMap) -> None:
    assert line(source_map.of_resource("Table")) == ("tables.yml", 3)


def test_a_resource_of_the_last_of_several_parts_is_found(source_map: SourceMap) -> None:
    assert line(source_map.of_resource("Role")) == ("serverless.yml", 23)


def test_the_statements_of_the_shared_role_have_their_first_line(source_map: SourceMap) -> None:
    assert line(source_map.of_role_statements()) == ("serverless.yml", 9)


def test_an_unknown_function_has_the_line_of_the_service(source_map: SourceMap) -> None:
    assert line(source_map.of_function("nobody")) == ("serverless.yml", 1)


@pytest.mark.parametrize(("name", "stage", "is_set"), [("busName", "dev", True), ("busName", "prod", False)])
def test_a_parameter_is_set_for_a_stage_or_not(name: str, stage: str, is_set: bool, source_map: SourceMap) -> None:
    assert source_map.sets_param(name, stage) is is_set


def test_a_folder_without_a_configuration_has_no_lines(tmp_path: Path) -> None:
    assert SourceMap(tmp_path).of_function("worker") is None


def test_a_configuration_that_is_not_yaml_has_no_lines(tmp_path: Path) -> None:
    (tmp_path / "serverless.yml").write_text("functions: [")

    assert line(SourceMap(tmp_path).of_event("worker", 0)) == ("serverless.yml", 1)
