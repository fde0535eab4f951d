"""Packaging needs no network and no account, is reproducible, and reports what is wrong when it fails."""

import json
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from pathlib import Path

import pytest
from stream_cli.deployment.cold_starts import compiles_at_start
from stream_cli.deployment.packages import functions_in
from stream_cli.deployment.sbom import sbom_of
from stream_cli.deployment.serverless import ServerlessError, find_toolchain, package

from tests.templates.stacks import CIRCUMSTANCES, LEAST, MOST, has_namespaces, packaged_alike

ROOT = Path(__file__).resolve().parents[2]
RUNTIME = "python{}.{}".format(*sys.version_info)
PARAMS = {
    "alarmTopicArn": "arn:alarms",
    "busName": "bus",
    "busArn": "arn:bus",
    "claimsBucketName": "claims",
    "stream1Name": "s1",
    "stream1Arn": "arn:aws:kinesis:x:1:stream/s1",
    "jwtIssuer": "https://login.my-company.example/",
    "jwtAudience": "stories",
}


WITH_FUNCTIONS = sorted(path.parent.name for path in (ROOT / "services").glob("*/requirements.txt"))
# Packaged a second time, with all that must not matter changed: what goes to AWS, and to the local cloud, which takes
# other wheels. The smallest service may do, and its packages for AWS, in which the plugin does more.
ALL_TWICE = [(service, stage) for stage in ("prod", "local") for service in WITH_FUNCTIONS]
TWICE = [each if each == (LEAST, "prod") else pytest.param(each, marks=pytest.mark.thorough) for each in ALL_TWICE]
FOR_AWS = [
    pytest.param((service, "prod"), marks=() if service == LEAST else pytest.mark.thorough)
    for service in WITH_FUNCTIONS
]


@pytest.fixture
def copy(request):
    """A copy of a service; by default of the one with the most dependencies.

    It is under the folder in which the CLI finds its plugin.
    """
    service = getattr(request, "param", "rest-bff-service")
    with tempfile.TemporaryDirectory(prefix="copy-", dir=ROOT / ".build") as folder:
        yield shutil.copytree(ROOT / "services" / service, Path(folder) / service)


def members(folder):
    """The files of the zips in a folder with their bytes, in the order in which they are stored."""
    return {
        path.name: [
            (each.filename, each.date_time, each.external_attr, zipped.read(each)) for each in zipped.infolist()
        ]
        for path in sorted(folder.glob("*.zip"))
        for zipped in [zipfile.ZipFile(path)]
    }


@pytest.mark.skipif(not has_namespaces(), reason="no network namespaces here")
@pytest.mark.parametrize("compiled", TWICE, ids="-".join)
def test_a_service_is_packaged_without_network_and_without_writing_to_the_home_folder(elsewhere):
    assert any(elsewhere.glob("*.zip"))
    assert json.loads((elsewhere / CIRCUMSTANCES).read_text()) == {"network": False, "home": []}


@pytest.mark.parametrize("compiled", TWICE, ids="-".join)
def test_a_package_has_the_same_bytes_for_any_folder_time_umask_and_options(stack, elsewhere):
    first, second = members(stack.code), members(elsewhere)
    assert first
    assert first == second
    assert [path.read_bytes() for path in sorted(stack.code.glob("*.zip"))] == [
        path.read_bytes() for path in sorted(elsewhere.glob("*.zip"))
    ]


@pytest.mark.parametrize(
    "service", [each if each == LEAST else pytest.param(each, marks=pytest.mark.thorough) for each in WITH_FUNCTIONS]
)
def test_the_stages_on_aws_have_the_same_packages_and_stage_local_has_its_own(stack_of, service):
    dev, prod, local = (stack_of(service, stage) for stage in ("dev", "prod", "local"))
    assert dev.code == prod.code
    assert dev.folder != prod.folder
    assert not packaged_alike(local.folder, prod.folder)


@pytest.mark.parametrize("compiled", FOR_AWS, ids=lambda which: which[0])
def test_a_package_has_only_distributions_that_set_up_fetched_for_functions(stack):
    fetched = {"-".join(wheel.name.split("-")[:2]) for wheel in find_toolchain(ROOT).wheels.glob("*.whl")}
    for package_of_function in stack.packages.values():
        tops = {name.partition("/")[0] for name in package_of_function.namelist()}
        held = {top.removesuffix(".dist-info") for top in tops if top.endswith(".dist-info")}
        assert "stream_runtime-0.1.0" in held
        assert held <= fetched


@pytest.mark.parametrize("compiled", FOR_AWS, ids=lambda which: which[0])
def test_each_function_has_a_valid_sbom_of_all_that_is_in_its_package(stack):
    # Here, because each worker imports all modules of tests, and these take two seconds.
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    for function, path in functions_in(stack.template, stack.code).items():
        text = sbom_of(path, function)
        assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
        with zipfile.ZipFile(path) as package_of_function:
            tops = {name.partition("/")[0] for name in package_of_function.namelist()}
        held = {top.removesuffix(".dist-info") for top in tops if top.endswith(".dist-info")}
        found = json.loads(text)["components"]
        assert len(held) == len(found) > 2
        assert {f"{each['name']}-{each['version']}".replace("-", "_") for each in found} == {
            each.replace("-", "_") for each in held
        }


@pytest.mark.thorough
@pytest.mark.parametrize("compiled", [(MOST, "prod"), ("event-hub", "prod")], ids=lambda which: which[0])
def test_pydantic_core_is_the_wheel_for_lambda(stack):
    for package_of_function in stack.packages.values():
        names = package_of_function.namelist()
        assert [name for name in names if name.startswith("pydantic_core/_pydantic_core.")] == [
            "pydantic_core/_pydantic_core.cpython-314-aarch64-linux-gnu.so"
        ]


@pytest.mark.thorough  # The system stage answers requests with it.
@pytest.mark.parametrize("compiled", [(MOST, "local")], ids=lambda which: which[0])
def test_pydantic_core_is_the_wheel_for_the_host_in_stage_local(stack):
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    for package_of_function in stack.packages.values():
        assert f"pydantic_core/_pydantic_core{suffix}" in package_of_function.namelist()


@pytest.mark.parametrize("compiled", FOR_AWS, ids=lambda which: which[0])
def test_packaged_files_are_readable_by_everybody(stack):
    """Lambda runs a function as a user who does not own its files."""
    for package_of_function in stack.packages.values():
        modes = {each.external_attr >> 16 for each in package_of_function.infolist() if not each.is_dir()}
        assert modes <= {0o100644, 0o100755}


def test_functions_of_this_version_of_python_get_compiled_modules(tmp_path):
    folder = tmp_path / "out"
    with tempfile.TemporaryDirectory(prefix="copy-", dir=ROOT / ".build") as service:
        (Path(service) / "main.py").write_text("def handler(event, context): ...\n")
        provider = {"name": "aws", "runtime": RUNTIME}
        plugins, functions = ["serverless-python-requirements"], {"main": {"handler": "main.handler"}}
        configuration = {"service": "small", "provider": provider, "plugins": plugins, "functions": functions}
        Path(service, "serverless.json").write_text(json.dumps(configuration))
        package(Path(service), "dev", {}, folder)
    with zipfile.ZipFile(folder / "small.zip") as zipped:
        assert f"__pycache__/main.{sys.implementation.cache_tag}.pyc" in zipped.namelist()
    assert compiles_at_start(folder) is None


def test_a_dependency_that_was_not_fetched_is_named_with_the_message_of_pip(copy, tmp_path):
    (copy / "requirements.txt").write_text("stream-runtime==0.1.0\nnot-in-the-lock==1.0\n")
    with pytest.raises(ServerlessError, match="not-in-the-lock"):
        package(copy, "dev", PARAMS, tmp_path / "out")


def test_a_mistake_in_serverless_yml_is_shown_with_the_message_of_the_cli(copy, tmp_path):
    settings = copy / "serverless.yml"
    settings.write_text(settings.read_text().replace("batchSize:", "batchSizes:"))
    with pytest.raises(ServerlessError, match="batchSizes"):
        package(copy, "dev", PARAMS, tmp_path / "out")


@pytest.mark.parametrize(
    ("copy", "given", "said"),
    [
        ("rest-bff-service", {"jwtIssuer": None}, "param access is jwt: set jwtIssuer"),
        ("rest-bff-service", {"access": "token"}, "param access: token is neither open nor jwt"),
    ],
    ids=["no-issuer", "access"],
    indirect=["copy"],
)
def test_an_invalid_param_is_named_with_the_reason(copy, tmp_path, given, said):
    params = {name: value for name, value in {**PARAMS, **given}.items() if value is not None}
    with pytest.raises(ServerlessError, match=said):
        package(copy, "dev", params, tmp_path / "out")


def test_the_size_of_each_function_is_reported():
    ran = subprocess.run(
        [sys.executable, "-m", "stream_cli.cli", "sizes", "event-fault-monitor", "--stage", "prod", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    (size,) = json.loads(ran.stdout)
    assert (size["service"], size["function"]) == ("event-fault-monitor", "event-fault-monitor-prod-trigger")
    assert 100_000 < size["zipped"] < size["unzipped"]
