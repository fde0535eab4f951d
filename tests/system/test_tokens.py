"""rest-bff-service deployed with `access: jwt`: who has no token of the issuer for its audience does not get in.

The issuer is this test, on loopback; it is asked as AWS asks: for its OpenID configuration, then for its keys.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from stream_cli.deployment import serverless
from stream_cli.local.cloud import running_emulator
from stream_cli.local.endpoint import LocalEndpoint
from stream_cli.local.state import StateFolder

pytestmark = pytest.mark.system

ROOT = Path(__file__).resolve().parents[2]
SERVICE = "rest-bff-service"
AUDIENCE = "items"
MADE_BY_TOOLS = shutil.ignore_patterns(".serverless", "__pycache__", "node_modules", ".*_cache")
HUB = {
    "busName": "hub-bus",
    "busArn": "arn:aws:events:us-east-1:000000000000:event-bus/hub-bus",
    "stream1Arn": "arn:aws:kinesis:us-east-1:000000000000:stream/hub-stream",
    "alarmTopicArn": "arn:aws:sns:us-east-1:000000000000:hub-alarms",
}
ITEM = {
    "id": "newsapi-1",
    "source_type": "newsapi",
    "source_url": "https://news.example/ai",
    "title": "A title",
    "text_snippet": "A text",
    "published_at": "2026-11-16T10:00:00Z",
}


def encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


class Issuer:
    """Gives tokens, and says with which key they are signed."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        public = self._key.public_key().public_numbers()
        numbers = {"n": public.n, "e": public.e}
        texts = {name: encoded(number.to_bytes(256, "big").lstrip(b"\0")) for name, number in numbers.items()}
        keys = {"keys": [{"kty": "RSA", "kid": "1", "use": "sig", "alg": "RS256", **texts}]}
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                configuration = {"issuer": issuer.url, "jwks_uri": f"{issuer.url}keys"}
                known = {"/.well-known/openid-configuration": configuration, "/keys": keys}
                self.send_response(200 if self.path in known else 404)
                self.end_headers()
                self.wfile.write(json.dumps(known.get(self.path, {})).encode())

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"

    def token(self, **claims: Any) -> str:
        """A token for an hour, unless the claims say otherwise."""
        claims = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "ann",
            "scope": "items/read items/write",
            "exp": int(time.time()) + 3600,
            **claims,
        }
        parts = [{"alg": "RS256", "kid": "1", "typ": "JWT"}, claims]
        signed = ".".join(encoded(json.dumps(part).encode()) for part in parts)
        return f"{signed}.{encoded(self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    made = Issuer()
    thread = threading.Thread(target=made.server.serve_forever)
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


@pytest.fixture(scope="module")
def request_api(issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., httpx.Response]]:
    """Asks the deployed API, as somebody with a token or without."""
    folder = tmp_path_factory.mktemp("tokens")
    (folder / "node_modules").symlink_to(ROOT / "node_modules")
    copy = shutil.copytree(ROOT / "services" / SERVICE, folder / SERVICE, ignore=MADE_BY_TOOLS)
    with running_emulator(StateFolder(folder / "state"), None) as cloud:
        endpoint: LocalEndpoint = cloud.endpoint
        endpoint.client("kinesis").create_stream(StreamName="hub-stream", ShardCount=1)
        tools = serverless.find_toolchain(ROOT)
        given = {**HUB, "access": "jwt", "jwtIssuer": issuer.url, "jwtAudience": AUDIENCE}
        deployed = subprocess.run(
            serverless.command(tools, "deploy", "--stage", "local", *serverless.parameters(given)),
            cwd=copy,
            env=serverless.environment(tools, endpoint.url),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert deployed.returncode == 0, deployed.stdout + deployed.stderr
        (api,) = endpoint.client("apigatewayv2").get_apis()["Items"]
        host = f"{api['ApiId']}.execute-api.localhost:{endpoint.port}"
        with httpx.Client(base_url=endpoint.url, headers={"Host": host}, trust_env=False, timeout=60) as client:

            def ask(method: str, path: str, token: str | None = None, **request: Any) -> httpx.Response:
                headers = {"Authorization": f"Bearer {token}"} if token else {}
                return client.request(method, path, headers={**headers, **request.pop("headers", {})}, **request)

            yield ask


def test_without_a_token_only_the_description_of_the_api_is_public(request_api: Any) -> None:
    assert request_api("GET", "/openapi.json").status_code == 200
    for method, path in [
        ("GET", "/items"),
        ("GET", "/items/x"),
        ("POST", "/items"),
        ("GET", "/dashboard?day=2026-11-16"),
    ]:
        assert request_api(method, path).status_code == 401, (method, path)


def test_a_valid_token_is_accepted(request_api: Any, issuer: Issuer) -> None:
    created = request_api("POST", "/items", issuer.token(), json=ITEM)

    assert created.status_code == 201, created.text
    assert request_api("GET", "/items/newsapi-1", issuer.token()).json()["title"] == "A title"


@pytest.mark.parametrize(
    "claims",
    [{"exp": 1}, {"aud": "something-else"}, {"iss": "http://127.0.0.1:9/"}],
    ids=["expired", "audience", "issuer"],
)
def test_a_token_that_is_not_for_this_api_is_refused(request_api: Any, issuer: Issuer, claims: dict[str, Any]) -> None:
    assert request_api("GET", "/items", issuer.token(**claims)).status_code == 401


def test_a_token_of_another_signer_is_refused(request_api: Any, issuer: Issuer) -> None:
    stranger = Issuer()
    stranger.server.server_close()

    assert request_api("GET", "/items", stranger.token(iss=issuer.url)).status_code == 401


def test_an_idempotency_key_belongs_to_the_caller_of_the_token(request_api: Any, issuer: Issuer) -> None:
    def create(caller: str) -> httpx.Response:
        body = {name: value for name, value in ITEM.items() if name != "id"}
        return request_api("POST", "/items", issuer.token(sub=caller), json=body, headers={"Idempotency-Key": "1"})

    first, again, other = create("ann"), create("ann"), create("bob")

    assert (first.status_code, again.status_code, other.status_code) == (201, 201, 201)
    assert again.json() == first.json()
    assert other.json()["id"] != first.json()["id"]
