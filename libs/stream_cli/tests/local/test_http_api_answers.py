"""What a client of an HTTP API gets of a function's answer, and of its failures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from stream_cli.local.endpoint import LocalEndpoint

ANSWERING = """
import json

def handler(event, context):
    returned = json.loads(event["body"])
    if returned == "failing":
        raise ValueError("a secret of the function")
    return returned
"""


@pytest.fixture
def ask(made: Callable[..., Any], name: str, endpoint: LocalEndpoint) -> Callable[[Any], httpx.Response]:
    """Ask an HTTP API whose function returns what it is asked for."""
    functions = made(ANSWERING)
    functions.add_permission(
        FunctionName=name, StatementId="api", Action="lambda:InvokeFunction", Principal="apigateway.amazonaws.com"
    )
    apis = endpoint.client("apigatewayv2")
    api = apis.create_api(Name=name, ProtocolType="HTTP")["ApiId"]
    uri = functions.get_function_configuration(FunctionName=name)["FunctionArn"]
    integration = {"IntegrationType": "AWS_PROXY", "IntegrationUri": uri, "PayloadFormatVersion": "2.0"}
    target = apis.create_integration(ApiId=api, **integration)["IntegrationId"]
    apis.create_route(ApiId=api, RouteKey="$default", Target=f"integrations/{target}")
    apis.create_stage(ApiId=api, StageName="$default", AutoDeploy=True)
    host = {"Host": endpoint.api_host(api)}
    return lambda returned: httpx.post(endpoint.url, json=returned, headers=host, trust_env=False, timeout=30)


def test_content_without_a_type_is_text(ask: Callable[[Any], httpx.Response]) -> None:
    for given, status, content_type in (
        ({"statusCode": 200, "body": "a"}, 200, "text/plain; charset=utf-8"),
        ({"statusCode": 204, "headers": {"ETag": "1"}}, 204, "text/plain; charset=utf-8"),
        ({"statusCode": 200, "headers": {"content-type": "text/html"}, "body": "a"}, 200, "text/html"),
        ({"any": "thing"}, 200, "application/json"),
        ("text", 200, "application/json"),
    ):
        answer = ask(given)
        assert (answer.status_code, answer.headers["content-type"]) == (status, content_type), given


def test_a_client_learns_nothing_of_a_failure(
    ask: Callable[[Any], httpx.Response], name: str, endpoint: LocalEndpoint
) -> None:
    failed = ask("failing")
    endpoint.client("lambda").put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    throttled = ask({"statusCode": 200})

    assert (failed.status_code, failed.json()) == (500, {"message": "Internal Server Error"})
    assert (throttled.status_code, throttled.json()) == (503, {"message": "Service Unavailable"})
