"""HTTP APIs of the local cloud refuse what is no token before they look for keys; the deployed API shows the rest."""

from __future__ import annotations

import base64
import json
import uuid
from typing import Any

import httpx
import pytest
from stream_cli.local.cloud import LocalCloud
from stream_cli.local.endpoint import LocalEndpoint

HEADER = {"alg": "RS256", "kid": "1"}
CLAIMS = {"iss": "http://127.0.0.1:9/", "aud": "items", "exp": 99_999_999_999}


@pytest.fixture(scope="module")
def api_host(cloud: LocalCloud) -> str:
    """The host of an API with one route, which needs a token."""
    endpoint = cloud.endpoint
    apis = endpoint.client("apigatewayv2")
    api = apis.create_api(Name=f"api-{uuid.uuid4().hex}", ProtocolType="HTTP")["ApiId"]
    authorizer = apis.create_authorizer(
        ApiId=api,
        Name="tokens",
        AuthorizerType="JWT",
        IdentitySource=["$request.header.Authorization"],
        JwtConfiguration={"Issuer": CLAIMS["iss"], "Audience": ["items"]},
    )["AuthorizerId"]
    apis.create_route(ApiId=api, RouteKey="GET /", AuthorizationType="JWT", AuthorizerId=authorizer)
    apis.create_stage(ApiId=api, StageName="$default", AutoDeploy=True)
    return endpoint.api_host(api)


def encoded(part: Any) -> str:
    content = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


@pytest.mark.parametrize(
    ("header", "claims"),
    [
        *[({**HEADER, "alg": algorithm}, CLAIMS) for algorithm in ("none", "HS256", "rs256", None, ["RS256"])],
        *[(HEADER, {**CLAIMS, "exp": time}) for time in (None, "99999999999", True, [], float("nan"), 10**400)],
        *[(HEADER, {**CLAIMS, name: "now"}) for name in ("nbf", "iat")],
        *[(part, CLAIMS) for part in (None, [], "RS256", 1, b"\xff", b"", b"[" * 5_000)],
        *[(HEADER, part) for part in (None, [], "items", 1, b"\xff", b"", b"[" * 5_000)],
    ],
)
def test_what_is_no_token_is_unauthorized(endpoint: LocalEndpoint, api_host: str, header: Any, claims: Any) -> None:
    token = f"{encoded(header)}.{encoded(claims)}.{encoded(b'signature')}"
    answer = httpx.get(
        f"{endpoint.url}/", headers={"Host": api_host, "Authorization": f"Bearer {token}"}, trust_env=False
    )
    assert (answer.status_code, answer.json()) == (401, {"message": "Unauthorized"})
