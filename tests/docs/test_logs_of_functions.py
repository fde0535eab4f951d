"""Every function of every service writes its log as `stream_runtime.logs` says."""

import ast
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]


class TagsAsNone(yaml.SafeLoader):
    """Reads !Sub and the other tags of CloudFormation as None."""


TagsAsNone.add_multi_constructor("!", lambda *_: None)


def declared(service: Path) -> dict[str, Any]:
    config: dict[str, Any] = yaml.load((service / "serverless.yml").read_text(encoding="utf-8"), TagsAsNone)
    return config


SERVICES = [path for path in sorted((ROOT / "services").iterdir()) if "functions" in declared(path)]
FUNCTIONS = [
    pytest.param(service / f"{function['handler'].rpartition('.')[0]}.py", id=f"{service.name}-{name}")
    for service in SERVICES
    for name, function in declared(service)["functions"].items()
]


@pytest.mark.parametrize("handler", FUNCTIONS)
def test_a_handler_is_made_by_stream_handler_or_logged(handler: Path) -> None:
    made = [
        ast.unparse(decorator)
        for statement in ast.parse(handler.read_text(encoding="utf-8")).body
        if isinstance(statement, ast.FunctionDef) and statement.name == "handler"
        for decorator in statement.decorator_list
    ] or [
        ast.unparse(statement.value.func)
        for statement in ast.parse(handler.read_text(encoding="utf-8")).body
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Call)
        if ast.unparse(statement.targets[0]) == "handler"
    ]

    assert made[0] in ("logged", "stream_handler")


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_all_functions_of_a_service_get_level_and_name(service: Path) -> None:
    config = declared(service)

    assert config["provider"]["environment"]["LOG_LEVEL"] == "${param:logLevel}"
    assert config["provider"]["environment"]["POWERTOOLS_SERVICE_NAME"] == "${self:service}"
    assert config["params"]["default"]["logLevel"] == "INFO"
    assert "aws_lambda_powertools" not in config["custom"]["pythonRequirements"]["noDeploy"]
