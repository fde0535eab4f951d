"""Each service has a complete README and fixtures for each of its functions."""

import json
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
SERVICES = sorted(path.parent for path in (ROOT / "services").glob("*/serverless.yml"))


class WithTags(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc] # eight times as fast, where it is
    """Reads a value with a tag such as !Sub as the value without it."""


def untagged(loader, _suffix, node):
    if isinstance(node, yaml.ScalarNode):
        return loader.construct_scalar(node)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_mapping(node, deep=True)


WithTags.add_multi_constructor("!", untagged)


def functions_of(service):
    return list(yaml.load((service / "serverless.yml").read_text(), WithTags).get("functions", {}))


FUNCTIONS = [(service, function) for service in SERVICES for function in functions_of(service)]
each_service = pytest.mark.parametrize("service", SERVICES, ids=lambda path: path.name)
each_function = pytest.mark.parametrize(
    ("service", "function"), FUNCTIONS, ids=lambda value: getattr(value, "name", value)
)


def sections(service):
    """The README's text by its headings."""
    parts = re.split(r"^## (.+)$", (service / "README.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {"": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


def events_of(service):
    """The invocations among the fixtures, by name, without their expected outputs."""
    folder = service / "tests" / "fixtures"
    return {path.stem: path for path in folder.glob("*.json") if not path.stem.endswith(".expected")}


@each_service
def test_a_readme_has_a_diagram_and_every_section(service):
    found = sections(service)
    assert "```mermaid" in found[""]
    wanted = {"Resources", "Alarms", "Cost", "Make it your own", "Deploy"}
    assert wanted - set(found) == set()
    assert all(found[name].strip() for name in wanted)


@each_service
def test_a_readme_says_what_goes_in_and_out_with_an_example_that_is_json(service):
    found = sections(service)
    text = found.get("Events") or found["What goes in and out"]
    blocks = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    inline = [each for each in re.findall(r"`(\{.*?\})`", text) if "..." not in each and '"type"' in each]
    assert blocks or '`{"' in text
    for example in [*blocks, *inline]:
        assert json.loads(example.replace("[...]", "[]").replace("{...}", "{}"))


@each_service
def test_a_readme_lists_every_file_of_resources(service):
    listed = set(re.findall(r"^\| `([^`]+)` \|", sections(service)["Resources"], re.MULTILINE))
    assert listed == {path.name for path in (service / "resources").iterdir()}


@each_service
def test_a_readme_names_files_and_fixtures_that_are_there(service):
    text = (service / "README.md").read_text(encoding="utf-8")
    for path in re.findall(r"`((?:resources|tests|[a-z]+_?[a-z]+)/[\w/.-]+\.(?:py|yml|js|csv))`", text):
        assert (service / path).exists(), path
    told = set(re.findall(r"^\| `\w+` \| `([\w-]+)` \|", text, re.MULTILINE))
    assert told == set(events_of(service))


@each_function
def test_a_function_has_a_good_event_and_a_poison_one(service, function):
    mine = {name for name in events_of(service) if name.startswith(f"{function}-")}
    poison = {name for name in mine if name.endswith(("-poison", "-unreadable", "-no-images"))}
    assert f"{function}-poison" in poison
    assert mine - poison


@each_function
def test_each_event_has_its_expected_output_beside_it_and_a_test_that_compares_them(service, function):
    tests = "\n".join(path.read_text(encoding="utf-8") for path in service.glob("tests/test_*.py"))
    for name, path in events_of(service).items():
        if not name.startswith(f"{function}-"):
            continue
        assert json.loads(path.read_text()) is not None
        json.loads(path.with_name(f"{name}.expected.json").read_text())
        assert f'"{name}"' in tests or f'"{name.removeprefix(f"{function}-")}"' in tests, f"{name} is in no test"


@each_service
def test_every_fixture_belongs_to_a_function(service):
    strangers = [name for name in events_of(service) if name.split("-")[0] not in functions_of(service)]
    assert strangers == []


@each_function
def test_every_route_of_an_http_function_has_a_request(service, function):
    declared = yaml.load((service / "serverless.yml").read_text(), WithTags)["functions"][function].get("events", [])
    routes = {each["httpApi"] for each in declared if "httpApi" in each}
    asked = {
        f"{event['requestContext']['http']['method']} {event['rawPath']}"
        for event in (json.loads(path.read_text()) for path in events_of(service).values())
        if "rawPath" in event
    }
    for route in routes:
        pattern = re.sub(r"\{\w+\}", "[^/]+", route)
        assert any(re.fullmatch(pattern, each) for each in asked), route
