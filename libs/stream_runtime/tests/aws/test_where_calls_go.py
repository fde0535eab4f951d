"""The lean client calls what botocore calls: in every region, whatever the environment says; else it is boto3's."""

import gzip
import socket
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import botocore
import pytest
from botocore import xform_name
from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES
from botocore.endpoint_provider import EndpointProvider
from botocore.handlers import BUILTIN_HANDLERS
from botocore.loaders import Loader
from certificates import Authority, trusted
from compared_calls import names_on_loopback
from generated_calls import model_of
from socket_server import SocketServer
from stream_runtime.aws import models
from stream_runtime.aws.lean import LeanClient
from stream_runtime.aws.operation import HOOKED, Operation
from stream_runtime.errors import ConfigurationError
from two_clients import BothClients, Way, client_of, environment, outcome_of

SERVICES = ("dynamodb", "events", "kinesis", "firehose", "sqs", "kms", "secretsmanager", "stepfunctions")
PARTITIONS = Loader().load_data("partitions")
REGIONS = tuple(region for partition in PARTITIONS["partitions"] for region in partition["regions"])


@pytest.fixture(autouse=True)
def documents_are_read_once(monkeypatch: pytest.MonkeyPatch, environment: None) -> None:
    monkeypatch.setattr(models, "_read", cache(models._read))


def address_of(service: str) -> str | None:
    """Where the lean client calls; None where it is refused."""
    try:
        client: LeanClient = client_of("lean", service)
    except ConfigurationError:
        return None
    return client.address({})


@pytest.mark.parametrize("service", SERVICES)
def test_in_every_region_of_every_partition_the_address_is_botocores(service: str) -> None:
    provider = EndpointProvider(Loader().load_service_model(service, "endpoint-rule-set-1"), PARTITIONS)
    refused = set()
    for region in (*REGIONS, "xx-nowhere-1", "us-east-9"):
        with environment(AWS_DEFAULT_REGION=region, AWS_REGION=region):
            address = address_of(service)
        if address is None:
            refused.add(region)
        else:
            assert address == provider.resolve_endpoint(Region=region, UseFIPS=False, UseDualStack=False).url

    assert {region for region in refused if not region.endswith("-global")} == {"xx-nowhere-1", "us-east-9"}


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1", "cn-north-1", "us-gov-west-1", "us-iso-east-1"])
@pytest.mark.parametrize("service", ["dynamodb", "events", "sqs"])
def test_requests_to_a_region_arrive_as_botocores_do(
    service: str, region: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Name, port, Host, and the region and service in the signature, as a server of that name sees them."""
    authority = Authority(tmp_path)
    rules = Loader().load_service_model(service, "endpoint-rule-set-1")
    provider = EndpointProvider(rules, PARTITIONS)
    url = provider.resolve_endpoint(Region=region, UseFIPS=False, UseDualStack=False).url
    host = url.removeprefix("https://")
    asked = []
    resolve = socket.getaddrinfo
    with SocketServer(tls=authority.server(host)) as server, trusted(authority):

        def getaddrinfo(name: str | bytes, port: int, *more: Any, **named: Any) -> Any:
            asked.append((name.decode() if isinstance(name, bytes) else name, port))
            return resolve("127.0.0.1", server.port, *more, **named)

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        with environment(AWS_DEFAULT_REGION=region, AWS_REGION=region, AWS_SESSION_TOKEN="token"):
            parameters: dict[str, Any] = {"dynamodb": {"TableName": "t"}, "sqs": {"QueueName": "q"}}.get(service, {})
            operation = {"dynamodb": "DescribeTable", "sqs": "GetQueueUrl", "events": "ListRules"}[service]
            exchange = BothClients(server).compare(service, operation, parameters)

    assert exchange.requests[0].header("Host") == host
    assert f"/{region}/{service}/aws4_request" in exchange.requests[0].header("Authorization")
    assert asked == [(host, 443)] * 2


# The environment


@pytest.fixture
def server() -> Iterator[SocketServer]:
    with SocketServer() as server, names_on_loopback():
        yield server


VARIABLES = sorted(
    {
        name
        for _, names, *_ in BOTOCORE_DEFAUT_SESSION_VARIABLES.values()
        for name in ([names] if isinstance(names, str) else names or [])
    }
    - {"AWS_DEFAULT_REGION"}
)
VALUES = {
    "AWS_REQUEST_CHECKSUM_CALCULATION": ("when_required",),
    "AWS_RESPONSE_CHECKSUM_VALIDATION": ("when_required",),
    "AWS_ACCOUNT_ID_ENDPOINT_MODE": ("required", "disabled"),
    "AWS_DEFAULTS_MODE": ("standard",),
    "AWS_RETRY_MODE": ("legacy", "adaptive"),
    "AWS_CSM_PORT": ("31001",),
    "AWS_MAX_ATTEMPTS": ("5",),
    "AWS_METADATA_SERVICE_NUM_ATTEMPTS": ("5",),
    "AWS_METADATA_SERVICE_TIMEOUT": ("5",),
    "AWS_REQUEST_MIN_COMPRESSION_SIZE_BYTES": ("0",),
}
"""Values that botocore takes; of other variables ``true`` and an empty text."""


@pytest.mark.parametrize("name", VARIABLES)
def test_a_variable_of_botocore_makes_no_difference_or_calls_boto3(name: str, server: SocketServer) -> None:
    """For each value: where the lean client is chosen, it does what boto3's client does with the same variable."""
    for value in VALUES.get(name, ("true", "")):
        with environment(AWS_LAMBDA_FUNCTION_NAME="function", AWS_ENDPOINT_URL=server.url, **{name: value}):
            is_lean = not isinstance(outcome_client("lean"), ConfigurationError)
            if is_lean and not isinstance(outcome_client("boto3"), Exception):
                BothClients(server).compare("dynamodb", "DescribeTable", {"TableName": "t"})


def outcome_client(way: Way) -> Any:
    """The client that is chosen, or what is raised instead."""
    try:
        return client_of(way, "dynamodb")
    except Exception as error:
        return error


@pytest.mark.parametrize(
    "variables",
    [
        {"AWS_ENDPOINT_URL": ""},
        {"AWS_ENDPOINT_URL_DYNAMODB": ""},
        {"AWS_SESSION_TOKEN": ""},
        {"AWS_SECURITY_TOKEN": "old"},
        {"AWS_SECURITY_TOKEN": "old", "AWS_SESSION_TOKEN": "new"},
        {"AWS_SECURITY_TOKEN": "", "AWS_SESSION_TOKEN": "new"},
        {"AWS_ACCESS_KEY_ID": " key "},
        {"AWS_ACCESS_KEY_ID": "kéy"},
        {"AWS_SECRET_ACCESS_KEY": "sécret"},
        {"AWS_SESSION_TOKEN": "tok\ten"},
        {"_X_AMZN_TRACE_ID": 'Root=1-2;Parent=3;Sampled=1;Lineage="é"\r\nX-Injected: yes'},
        {"_X_AMZN_TRACE_ID": "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"},
        {"_X_AMZN_TRACE_ID": "", "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13"},
    ],
    ids=str,
)
def test_other_variables_make_the_same_difference_for_both(variables: dict[str, str], server: SocketServer) -> None:
    url = {} if "AWS_ENDPOINT_URL" in variables else {"AWS_ENDPOINT_URL": server.url}
    with environment(AWS_LAMBDA_FUNCTION_NAME="function", **{**url, **variables}):
        client = outcome_client("auto")
        if not isinstance(client, LeanClient):
            return
        if url:
            BothClients(server).compare("dynamodb", "DescribeTable", {"TableName": "t"})
        else:
            assert client.address({}) == client_of("boto3", "dynamodb").meta.endpoint_url


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"])
def test_a_proxy_gets_the_requests_that_botocore_sends_it(name: str, server: SocketServer) -> None:
    with SocketServer() as proxy:
        for way in ("boto3", "auto"):  # with AWS_CLIENT=lean the client is refused
            with environment(
                AWS_LAMBDA_FUNCTION_NAME="function", AWS_ENDPOINT_URL=server.url, NO_PROXY="x", **{name: proxy.url}
            ):
                answer = client_of(way, "dynamodb").describe_table(TableName="t")
                assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200

        assert [len(proxy.requests), len(server.requests)] in ([2, 0], [0, 2])


def test_operations_that_ask_where_to_go_first_are_left_to_boto3(monkeypatch: pytest.MonkeyPatch) -> None:
    """Timestream's models require DescribeEndpoints before each call."""

    def getaddrinfo(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with environment():
        client = outcome_of(lambda: client_of("lean", "timestream-write").list_databases())
        direct = outcome_of(lambda: client_of("boto3", "timestream-write").list_databases())

    assert client.error == direct.error
    assert client.text == direct.text


def test_every_hook_of_botocore_for_an_operation_is_known() -> None:
    """A hook that changes requests or responses of one operation is either done here, or calls it through boto3."""
    hooks = [event.split(".") for event, *_ in BUILTIN_HANDLERS if not event.startswith(("docs", "getattr"))]
    found = {tuple(parts[1:]) for parts in hooks if len(parts) == 3}
    of_json = {service for service, _ in found if has_json(service)}

    with environment():
        client = client_of("lean", "cognito-identity")
    unsigned = [name for service, name in found if service == "cognito-identity"]
    assert not [name for name in unsigned if isinstance(getattr(client, xform_name(name)), Operation)]
    assert {f"{service}.{name}" for service, name in found if service in of_json - {"cognito-identity"}} == {
        *HOOKED,
        "logs.CreateExportTask",  # another name for a parameter, which goes through boto3
        "sqs.*",
    }


def has_json(service: str) -> bool:
    """Whether a service has AWS's JSON protocol, by the first bytes of its model."""
    models_of = Path(botocore.__path__[0], "data", service).glob("*/service-2.json.gz")
    return any(b'"protocol":"json"' in gzip.open(path).read(4096) for path in models_of)


@pytest.mark.parametrize("service", SERVICES)
def test_no_operation_is_hidden_by_an_attribute_of_the_client(service: str) -> None:
    with environment():
        attributes = {*dir(client_of("lean", service))}

    assert attributes.isdisjoint(xform_name(name) for name in model_of(service).operation_names)
