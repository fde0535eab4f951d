"""The lean client is used only where it is certain, and a line of the log says which client and why."""

import json
import logging
import os
import re
import sys
import zlib
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES
from moto import mock_aws
from stream_runtime import clients
from stream_runtime.aws import chosen, models
from stream_runtime.aws.lean import LeanClient
from stream_runtime.aws.shapes import Unusual
from stream_runtime.errors import ConfigurationError


@pytest.fixture(autouse=True)
def function(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A function's process: nothing of this machine's proxies, files and certificates, and no session of boto3."""
    for name in os.environ:
        if name.lower().endswith(("_proxy", "_ca_bundle")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "function")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)


def is_lean(service: str = "dynamodb") -> bool:
    return isinstance(clients.client(service), LeanClient)


def test_a_function_with_credentials_in_its_environment_has_the_lean_client() -> None:
    assert is_lean()


def test_what_is_no_function_has_boto3s_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_LAMBDA_FUNCTION_NAME")

    assert not is_lean()


@pytest.mark.parametrize("service", ["events", "kinesis", "firehose", "sqs", "kms", "secretsmanager", "stepfunctions"])
def test_services_with_the_json_protocol_have_the_lean_client(service: str) -> None:
    assert is_lean(service)


@pytest.mark.parametrize("service", ["s3", "sns", "lambda"])
@pytest.mark.parametrize("asked", ["auto", "lean"])
def test_services_with_other_protocols_have_boto3s(service: str, asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CLIENT", asked)

    assert not is_lean(service)


def test_a_service_with_one_endpoint_for_all_regions_has_boto3s_client() -> None:
    data = Path(models.data_folder())
    partition = json.loads((data / "endpoints.json").read_text())["partitions"][0]
    of_all = {prefix for prefix, service in partition["services"].items() if "partitionEndpoint" in service}
    assert "health" in of_all

    for model in data.glob("*/*/service-2.json.gz"):
        start = zlib.decompressobj(wbits=31).decompress(model.read_bytes(), 2000).decode(errors="ignore")
        named = re.search(r'"endpointPrefix":\s*"([^"]+)"', start)
        if named and named[1] in of_all:
            with pytest.raises(Unusual):
                LeanClient(model.parts[-3], lambda: None)


def test_each_variable_of_botocore_is_refused_or_handled_or_harmless() -> None:
    read = set[str]()
    for _, names, *_ in BOTOCORE_DEFAUT_SESSION_VARIABLES.values():
        read.update([names] if isinstance(names, str) else names or [])

    decided = [*chosen.REFUSED, *chosen.REFUSED_UNLESS_FALSE, *chosen.HANDLED, *chosen.HARMLESS]
    assert read - set(decided) == set()
    assert len(decided) == len(set(decided))


@pytest.mark.parametrize("name", [*chosen.REFUSED, *chosen.REFUSED_UNLESS_FALSE])
def test_a_variable_that_asks_for_something_else_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "true")

    assert chosen.refusal() is not None
    assert name in str(chosen.refusal())


@pytest.mark.parametrize("name", chosen.REFUSED_UNLESS_FALSE)
def test_a_flag_that_is_off_is_not_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "False")

    assert is_lean()


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"])
def test_without_credentials_or_region_in_the_environment_it_is_refused(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(name)

    assert chosen.refusal() is not None


@pytest.mark.parametrize("region", ["aws-global", "us-fips-1", "nowhere-north-1", "fips-us-east-1"])
def test_a_region_of_no_partition_is_refused(region: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", region)
    monkeypatch.setenv("AWS_DEFAULT_REGION", region)
    monkeypatch.setenv("AWS_CLIENT", "lean")

    with pytest.raises(ConfigurationError, match="region"):
        clients.client("dynamodb")


@pytest.mark.parametrize("name", ["config", "credentials"])
def test_files_with_settings_are_refused_and_empty_ones_are_not(name: str, tmp_path: Path) -> None:
    path = tmp_path / ".aws" / name
    path.parent.mkdir()
    path.touch()
    assert chosen.refusal() is None

    path.write_text("[default]\nregion = eu-west-1\n")

    assert str(path) in str(chosen.refusal())


def test_a_file_of_settings_that_cannot_be_looked_at_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", "/" + "x" * 5000)

    assert "may say otherwise" in str(chosen.refusal())


def test_models_of_ones_own_are_refused(tmp_path: Path) -> None:
    (tmp_path / ".aws" / "models").mkdir(parents=True)

    assert "models" in str(chosen.refusal())


def test_a_bearer_token_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_BEARER_TOKEN_DYNAMODB", "token")

    assert "AWS_BEARER_TOKEN_DYNAMODB" in str(chosen.refusal())


def test_two_regions_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "us-west-2")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")

    assert "AWS_REGION" in str(chosen.refusal())


def test_a_proxy_is_refused_unless_it_is_not_for_the_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    assert not is_lean()
    clients.reset()
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)

    monkeypatch.setenv("NO_PROXY", ".amazonaws.com")

    assert is_lean()


@pytest.mark.parametrize(
    "address",
    ["http://127.0.0.1:4566/path", "http://user@127.0.0.1", "http://127.0.0.1:99999", "ftp://127.0.0.1", "x"],
)
def test_an_endpoint_that_is_more_than_a_host_is_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", address)
    monkeypatch.setenv("AWS_CLIENT", "lean")

    with pytest.raises(ConfigurationError, match="address"):
        clients.client("dynamodb")


def test_the_endpoint_of_a_service_wins_over_that_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_EVENTBRIDGE", "http://127.0.0.1:2")

    assert clients.client("events").address({}) == "http://127.0.0.1:2"
    assert clients.client("dynamodb").address({}) == "http://127.0.0.1:1"


def test_moto_answers_while_it_mocks() -> None:
    with mock_aws():
        assert not is_lean()


def test_x_ray_traces_the_calls_of_boto3(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACING", "true")

    assert "X-Ray" in str(chosen.refusal())


def test_calls_that_are_patched_go_through_boto3(monkeypatch: pytest.MonkeyPatch) -> None:
    from botocore.client import BaseClient

    def patched(self: Any, *arguments: Any) -> None:
        """As X-Ray or OpenTelemetry do it."""

    monkeypatch.setattr(BaseClient, "_make_api_call", patched)

    assert "patched" in str(chosen.refusal())


def test_a_session_that_someone_set_up_goes_through_boto3() -> None:
    boto3.setup_default_session(region_name="eu-west-1")

    assert "session" in str(chosen.refusal())


def test_a_client_of_boto3_for_another_service_changes_nothing() -> None:
    clients.client("s3")

    assert is_lean("dynamodb")


def test_hooks_of_others_go_through_boto3(monkeypatch: pytest.MonkeyPatch) -> None:
    import botocore.handlers

    def hook(**_: Any) -> None:
        """Of a library that wants to see requests."""

    monkeypatch.setattr(botocore.handlers, "BUILTIN_HANDLERS", [*botocore.handlers.BUILTIN_HANDLERS, ("x", hook)])

    assert "hook" in str(chosen.refusal())


@pytest.mark.parametrize(
    ("module", "contents"),
    [
        ("ddtrace", ModuleType("ddtrace")),
        ("newrelic", ModuleType("newrelic")),
        ("wrapt.importer", SimpleNamespace(_post_import_hooks={"botocore.client": []})),
    ],
)
def test_tracers_that_wait_for_botocore_go_through_boto3(
    module: str, contents: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, contents)

    assert "tracer" in str(chosen.refusal())


def test_boto3_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CLIENT", "boto3")

    assert not is_lean()


def test_lean_can_be_asked_for_outside_of_functions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_LAMBDA_FUNCTION_NAME")
    monkeypatch.setenv("AWS_CLIENT", "lean")

    assert is_lean()


def test_lean_that_cannot_be_is_a_configuration_error_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CLIENT", "lean")
    monkeypatch.setenv("AWS_PROFILE", "me")

    with pytest.raises(ConfigurationError, match="AWS_PROFILE asks for a profile"):
        clients.client("dynamodb")


def test_without_a_model_the_client_is_boto3s(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("stream_runtime.aws.models.botocore_folder", lambda: "/nowhere")
    caplog.set_level(logging.DEBUG, "stream_runtime.aws")

    assert not is_lean()
    assert "botocore has no model of dynamodb" in caplog.text


def test_one_line_of_the_log_says_which_client_and_why(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG, "stream_runtime.aws")

    clients.client("dynamodb")
    monkeypatch.setenv("AWS_PROFILE", "me")
    with pytest.raises(Exception, match="me"):
        clients.client("events")

    assert [record.getMessage() for record in caplog.records] == [
        "client for dynamodb: lean",
        "client for events: boto3, because AWS_PROFILE asks for a profile",
    ]
