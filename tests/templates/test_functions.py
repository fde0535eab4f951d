"""The configuration and the package of every function."""

import json
import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from toolchain import LAMBDA_PYTHON

from tests.templates.stacks import FULL, LEAST, OPTIONS

MAX_PACKAGE_BYTES = 3 * 1024 * 1024
# What the extra `encryption` adds, for services with encrypted fields only.
OF_ENCRYPTION = re.compile(r"(cryptography|cffi|_cffi_backend|pycparser)[-./]")
MAX_ENCRYPTION_BYTES = 5 * 1024 * 1024 + 512 * 1024
ENCRYPTS = {"rest-bff-service"}
STABLE = ".abi3.so"  # for its Python and all later ones (PEP 384)
MACHINES = {"arm64": 183, "x86_64": 62}  # e_machine of an ELF file
LAMBDA_HAS = {"boto3", "botocore", "s3transfer", "urllib3", "dateutil", "python_dateutil", "six", "jmespath", "bin"}
FUNCTIONS = {
    "control-service": {"listener", "trigger", "job"},
    "event-fault-monitor": {"trigger"},
    "event-hub": {"ingress"},
    "event-lake-s3": {"claims"},
    "rest-bff-service": {"rest", "listener", "trigger", "dashboard", "outbox"},
}
# Only in this stage the package is built for this machine. The system stage deploys and invokes all of these.
LOCAL = [pytest.param((service, "local"), marks=pytest.mark.thorough) for service in FUNCTIONS]
FOR_AWS, OF_FULL = (
    [
        pytest.param((service, stage), marks=() if service == LEAST else pytest.mark.thorough)
        for service in FUNCTIONS
        for stage in stages
    ]
    for stages in (("dev", "prod"), ("full",))
)
PACKAGED = [*LOCAL, *FOR_AWS, *OF_FULL]


def installed(distribution: str) -> list[Path]:
    """The path of a top-level package or module of the development environment."""
    site = Path(pytest.__file__).parents[1]
    return [path for path in (site / distribution, site / f"{distribution}.py") if path.exists()]


def architecture_of(stack):
    return OPTIONS[stack.service].get("architecture", "arm64") if stack.stage == FULL else "arm64"


def function_arn(stack, function):
    return f"arn:aws:lambda:us-east-1:123456789012:function:{stack.resolve(function['FunctionName'])}"


def test_the_service_has_the_functions_of_the_design(stack):
    assert set(stack.functions) >= FUNCTIONS.get(stack.service, set())


def test_every_function_runs_on_the_runtime_and_architecture_of_the_toolchain(stack):
    for name, function in stack.functions.items():
        assert function["Runtime"] == f"python{LAMBDA_PYTHON}", name
        assert function["Architectures"] == [architecture_of(stack)], name


def test_every_function_sets_memory_and_a_timeout(stack):
    for name, function in stack.functions.items():
        assert 128 <= function["MemorySize"] <= 10_240, name
        assert 1 <= function["Timeout"] <= 900, name


def test_every_function_has_service_and_stage_in_its_environment(stack):
    for name, function in stack.functions.items():
        variables = function["Environment"]["Variables"]
        assert (variables["SERVICE"], variables["STAGE"]) == (stack.service, stack.stage), name


def test_prod_traces_every_function(stack):
    if stack.stage == "prod":
        modes = {name: function.get("TracingConfig", {}).get("Mode") for name, function in stack.functions.items()}
        assert modes == dict.fromkeys(modes, "Active")


def test_prod_limits_the_concurrency_only_of_functions_that_could_starve_others(stack):
    reserved = {
        name: function["ReservedConcurrentExecutions"]
        for name, function in stack.functions.items()
        if "ReservedConcurrentExecutions" in function
    }
    bounded = {"event-hub": {"ingress": 10}, "rest-bff-service": {"dashboard": 10}}
    if stack.stage == "prod":
        assert reserved == bounded.get(stack.service, {})
    elif stack.stage != "full":
        assert reserved == {}


def test_only_a_function_that_may_invoke_itself_allows_recursion(stack):
    """Lambda stops a chain after 16 invocations by default (developer guide, "Recursive loop detection")."""
    chained = {
        name
        for name, function in stack.functions.items()
        if stack.role_may(function["Role"], "lambda:InvokeFunction", stack.resolve(function_arn(stack, function)))
    }
    assert chained == ({"ingress"} if stack.service == "event-hub" else set())
    for name, function in stack.functions.items():
        assert function.get("RecursiveLoop") == ("Allow" if name in chained else None), name


def test_every_log_group_has_a_retention_and_prod_the_longest(stack, stack_of):
    def retention(of):
        return {name: group["RetentionInDays"] for name, group in of.of_type("AWS::Logs::LogGroup").items()}

    assert {f"/aws/lambda/{stack.resolve(each['FunctionName'])}" for each in stack.functions.values()} <= {
        stack.resolve(group["LogGroupName"]) for group in stack.of_type("AWS::Logs::LogGroup").values()
    }
    in_prod, in_dev = retention(stack_of(stack.service, "prod")), retention(stack_of(stack.service, "dev"))
    assert all(in_prod[name] > in_dev[name] for name in in_prod)
    assert set(retention(stack)) - {"EventLogGroup"} == set(in_prod)


def test_an_asynchronous_function_has_an_on_failure_destination_that_it_may_send_to(stack):
    asynchronous = {
        stack.resolve(permission["FunctionName"]).rsplit(":", 1)[-1]
        for permission in stack.of_type("AWS::Lambda::Permission").values()
        if permission["Principal"] in {"s3.amazonaws.com", "sns.amazonaws.com", "events.amazonaws.com"}
    }
    configured = {
        stack.resolve(each["FunctionName"]): each for each in stack.of_type("AWS::Lambda::EventInvokeConfig").values()
    }
    for function in stack.functions.values():
        name = stack.resolve(function["FunctionName"])
        if name not in asynchronous:
            continue
        config = configured[name]
        destination = stack.resolve(config["DestinationConfig"]["OnFailure"]["Destination"])
        assert stack.resource_with(destination) is not None
        assert stack.role_may(function["Role"], "sqs:SendMessage", destination)
        assert config["MaximumRetryAttempts"] == 2


@pytest.mark.parametrize("compiled", PACKAGED, ids="-".join)
def test_a_package_has_the_handler_the_runtime_and_its_dependencies(stack):
    """ReactiveX is left out where the service says so, because no rule of it has operators of its own."""
    state = json.loads((stack.folder / "serverless-state.json").read_text(encoding="utf-8"))
    left_out = state["service"]["custom"].get("pythonRequirements", {}).get("noDeploy", [])
    for name, package in stack.packages.items():
        held = set(package.namelist())
        handler = stack.functions[name]["Handler"].rsplit(".", 1)[0]
        assert f"{handler.replace('.', '/')}.py" in held, name
        for each in ("stream_runtime/__init__.py", "stream_runtime-0.1.0.dist-info/METADATA"):
            assert each in held, name
        assert ("reactivex/__init__.py" in held) == ("reactivex" not in left_out), name


@pytest.mark.parametrize("compiled", PACKAGED, ids="-".join)
def test_a_package_has_nothing_that_lambda_provides_or_that_only_developers_need(stack):
    unwanted = re.compile(r"(^|/)(__pycache__|\.[^/]+|tests?|node_modules|conftest\.py)(/|$)|\.pyc$")
    for name, package in stack.packages.items():
        top = {re.split(r"[-./]", member)[0] for member in package.namelist()}
        assert top & LAMBDA_HAS == set(), name
        assert [member for member in package.namelist() if unwanted.search(member)] == [], name


@pytest.mark.parametrize("compiled", FOR_AWS, ids=lambda which: "-".join(which))
def test_a_package_with_all_its_requirements_is_below_3_mb(stack):
    for name, package in stack.packages.items():
        extra = sum(each.compress_size for each in package.infolist() if OF_ENCRYPTION.match(each.filename))
        size = Path(str(package.filename)).stat().st_size - extra
        assert size < MAX_PACKAGE_BYTES, f"{name} has {size} bytes"
        assert (extra > 0) == (stack.service in ENCRYPTS), name
        assert extra < MAX_ENCRYPTION_BYTES, f"{name} has {extra} bytes for encryption"


@pytest.mark.parametrize("compiled", PACKAGED, ids="-".join)
def test_compiled_code_is_for_the_machine_that_runs_it(stack):
    for name, package in stack.packages.items():
        for member in package.namelist():
            if not member.endswith(".so"):
                continue
            if stack.stage == "local":
                tag = f"cpython-{sys.version_info.major}{sys.version_info.minor}"
                assert tag in member or member.endswith(STABLE), name
            else:
                (machine,) = struct.unpack_from("<H", package.read(member), 18)
                assert machine == MACHINES[architecture_of(stack)], f"{name}: {member}"
                assert f"cpython-{LAMBDA_PYTHON.replace('.', '')}" in member or member.endswith(STABLE), name


@pytest.mark.parametrize("compiled", LOCAL, ids=lambda which: which[0])
def test_a_handler_can_be_imported_from_its_package_and_the_packages_of_lambda(stack, tmp_path):
    site = tmp_path / "lambda"
    site.mkdir()
    for distribution in LAMBDA_HAS:
        for found in installed(distribution):
            (site / found.name).symlink_to(found)
    for name, package in stack.packages.items():
        task = tmp_path / name
        package.extractall(task)
        module = stack.functions[name]["Handler"].rsplit(".", 1)[0].replace("/", ".")
        variables = stack.functions[name]["Environment"]["Variables"]
        program = f"import sys; sys.path[:0] = {[str(task), str(site)]!r}; __import__({module!r})"
        ran = subprocess.run(
            [sys.executable, "-I", "-S", "-c", program],
            env={key: str(stack.resolve(value)) for key, value in variables.items()}
            | {"AWS_REGION": "us-east-1", "AWS_LAMBDA_FUNCTION_NAME": name, "PATH": os.defpath},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ran.returncode == 0, f"{name}: {ran.stderr}"
