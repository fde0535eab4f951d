"""Every function of every service writes its log as `stream_runtime.logs` says."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]


class TagsAsNone(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc] # eight times as fast, where it is
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


LINES = """
import importlib, logging, sys

class LambdaLoggerHandler(logging.StreamHandler):
    pass

for module in sys.argv[1:]:
    logging.getLogger().handlers[:] = [LambdaLoggerHandler(sys.stdout)]
    importlib.import_module(module)
    logging.getLogger("a.rule").info("not wanted")
    logging.getLogger("a.rule").warning(module)
"""


def in_default_stage(value: Any, params: dict[str, Any]) -> str:
    """A value of serverless.yml with its param; 1 for what only a deployment knows."""
    param = re.fullmatch(r"\$\{param:(\w+)\}", str(value))
    known = params.get(param[1]) if param else value
    return "1" if known is None or "${" in str(known) else str(known)


@pytest.mark.parametrize("variable", ["LOG_LEVEL", "POWERTOOLS_LOG_LEVEL"])
@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_every_function_writes_json_at_the_level_of_its_environment(service: Path, variable: str) -> None:
    config = declared(service)
    declarations = [config["provider"], *config["functions"].values()]
    environment = {
        name: in_default_stage(value, config["params"]["default"])
        for declaration in declarations
        for name, value in declaration.get("environment", {}).items()
    }
    modules = [function["handler"].rpartition(".")[0].replace("/", ".") for function in config["functions"].values()]

    done = subprocess.run(
        [sys.executable, "-c", LINES, *modules],
        cwd=service,
        env={
            "PATH": os.environ["PATH"],
            "AWS_REGION": "us-east-1",
            **environment,
            "LOG_LEVEL": "INFO",
            variable: "WARNING",
            "SERVICE": service.name,
            "POWERTOOLS_SERVICE_NAME": service.name,
        },
        check=True,
        capture_output=True,
        text=True,
    )

    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(line["message"], line["level"], line["service"]) for line in lines] == [
        (module, "WARNING", service.name) for module in modules
    ]
