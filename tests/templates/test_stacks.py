"""References between stacks, their tags and their names."""

import json
import re
from pathlib import Path

import pytest

SERVICES = Path(__file__).resolve().parents[2] / "services"
HUB = [("event-hub", stage) for stage in ("local", "dev", "prod")]
HUB_OUTPUTS = {"busName", "busArn", "claimsBucketName", "claimsBucketArn", "stream1Name", "stream1Arn"}
RESOURCE_FILES = (
    *("bus.yml", "stream.yml", "tables.yml", "buckets.yml", "catalog.yml", "delivery.yml", "topics.yml", "rules.yml"),
    *("schedules.yml", "queues.yml", "keys.yml", "roles.yml", "access.js", "discovery.yml", "log.yml", "peers.js"),
    *("alarms.js", "services.js", "dashboard.yml", "outputs.yml", "protection.js"),
)
# In serverless.yml: ${param:busName, cf:${param:hub}-${sls:stage}.busName}
IMPORT = re.compile(r"\$\{param:(\w+), cf:\$\{param:hub\}-\$\{sls:stage\}\.(\w+)\}")


@pytest.mark.parametrize("compiled", HUB, ids="-".join)
def test_the_hub_exports_the_outputs_that_other_stacks_use(stack):
    assert set(stack.outputs) >= HUB_OUTPUTS
    for name in HUB_OUTPUTS:
        assert "<" not in str(stack.resolve(stack.outputs[name]["Value"])), name


def test_outputs_of_the_hub_that_a_service_uses_exist_and_can_be_given_as_parameters(stack, stack_of):
    text = (SERVICES / stack.service / "serverless.yml").read_text()
    imports = IMPORT.findall(text)
    assert len(imports) == len(re.findall(r"\bcf:", text)), "an import without a parameter of the same name before it"
    assert [(parameter, output) for parameter, output in imports if parameter != output] == []
    assert {output for _, output in imports} <= set(stack_of("event-hub", stack.stage).outputs)


def test_a_service_refers_to_nothing_outside_its_folder(stack):
    folder = SERVICES / stack.service
    for path in (folder / "serverless.yml", *folder.glob("resources/*.*")):
        assert "../" not in path.read_text(), path.name


def test_every_physical_name_has_the_service_and_the_stage(stack):
    named = {"TableName", "QueueName", "FunctionName", "Name", "BucketName", "DeliveryStreamName", "ArchiveName"}
    for name, resource in stack.resources.items():
        if resource["Type"] in {"AWS::Lambda::Permission", "AWS::Lambda::EventSourceMapping", "AWS::Lambda::Version"}:
            continue
        if resource["Type"].startswith(("AWS::ApiGateway", "AWS::Lambda::EventInvoke")):
            continue
        for key in named & set(resource.get("Properties", {})):
            physical = str(stack.resolve(resource["Properties"][key]))
            assert physical.startswith(f"{stack.service}-{stack.stage}"), f"{name}.{key} is {physical}"


def test_functions_are_tagged_with_service_and_stage(stack):
    for name, function in stack.functions.items():
        tags = {tag["Key"]: tag["Value"] for tag in function.get("Tags", [])}
        assert (tags["service"], tags["stage"]) == (stack.service, stack.stage), name


def test_the_stack_tags_all_its_resources(stack):
    state = json.loads((stack.folder / "serverless-state.json").read_text(encoding="utf-8"))
    assert state["service"]["provider"]["stackTags"] == {"service": stack.service, "stage": stack.stage}


def test_two_stages_of_a_service_share_no_physical_name(stack, stack_of):
    def names(of):
        return {
            stack.resolve(resource["Properties"][key])
            for resource in of.resources.values()
            for key in ("TableName", "QueueName", "BucketName", "DeliveryStreamName")
            if isinstance(resource.get("Properties", {}).get(key), str)
        }

    others = {"local", "dev", "prod"} - {stack.stage}
    for other in others:
        assert names(stack) & names(stack_of(stack.service, other)) == set()


def test_resource_files_have_one_order_in_every_service_and_in_its_readme(stack):
    folder = SERVICES / stack.service
    text = (folder / "serverless.yml").read_text()
    plugins = re.findall(r"^  - \./resources/([\w.]+)$", text, re.MULTILINE)
    files = [*re.findall(r"\$\{file\(resources/([\w.]+)\)", text), *plugins]
    assert files == sorted(files, key=RESOURCE_FILES.index)
    listed = re.findall(r"^\| `([\w.]+\.(?:yml|js))` \|", (folder / "README.md").read_text(), re.MULTILINE)
    assert [name for name in listed if name != "alarms.yml"] == files
