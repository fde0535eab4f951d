"""rest-bff-service deployed as a stage on AWS would be, with ``access: jwt``, and an issuer of tokens.

The issuer is this process, on loopback; it is asked as AWS asks: for its OpenID configuration, then for its keys.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from stream_cli.deployment import serverless
from stream_cli.local.cloud import running_emulator
from stream_cli.local.endpoint import LocalEndpoint
from stream_cli.local.state import StateFolder

ROOT = Path(__file__).resolve().parents[3]
SERVICE = "rest-bff-service"
AUDIENCE = "stories"
MADE_BY_TOOLS = shutil.ignore_patterns(".serverless", "__pycache__", "node_modules", ".*_cache")
HUB = {
    "busName": "hub-bus",
    "busArn": "arn:aws:events:us-east-1:000000000000:event-bus/hub-bus",
    "stream1Arn": "arn:aws:kinesis:us-east-1:000000000000:stream/hub-stream",
    "claimsBucketName": "hub-claims",
    "alarmTopicArn": "arn:aws:sns:us-east-1:000000000000:hub-alarms",
}


def encoded(part: bytes | Mapping[str, Any]) -> str:
    content = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


class Issuer:
    """Gives tokens, and says with which key they are signed."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        public = self._key.public_key()
        self.public_pem = public.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        numbers = {"n": public.public_numbers().n, "e": public.public_numbers().e}
        texts = {name: encoded(number.to_bytes(256, "big").lstrip(b"\0")) for name, number in numbers.items()}
        self.jwk = {"kty": "RSA", "kid": "1", "use": "sig", "alg": "RS256", **texts}
        self.asked: list[str] = []
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked.append(self.path)
                configuration = {"issuer": issuer.url, "jwks_uri": f"{issuer.url}keys"}
                known = {"/.well-known/openid-configuration": configuration, "/keys": {"keys": [issuer.jwk]}}
                self.send_response(200 if self.path in known else 404)
                self.end_headers()
                self.wfile.write(json.dumps(known.get(self.path, {})).encode())

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"

    def token(self, header: Mapping[str, Any] | None = None, without: Collection[str] = (), **claims: Any) -> str:
        """A token of Ann for an hour, to read and to write, unless header and claims say otherwise."""
        return self.signed(*self.parts(header, without, **claims))

    def parts(
        self, header: Mapping[str, Any] | None = None, without: Collection[str] = (), **claims: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Header and claims of such a token, without some."""
        hour = int(time.time()) + 3600
        usual = {"iss": self.url, "aud": AUDIENCE, "sub": "ann", "scope": "stories/read stories/write", "exp": hour}
        named = ({"alg": "RS256", "kid": "1", "typ": "JWT", **(header or {})}, {**usual, **claims})
        first, second = ({name: each[name] for name in each if name not in without} for each in named)
        return first, second

    def signed(self, header: Any, claims: Any) -> str:
        """The token of a header and claims, signed with this issuer's key whatever the header says."""
        signed = f"{encoded(header)}.{encoded(claims)}"
        return f"{signed}.{encoded(self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def serving() -> Iterator[Issuer]:
    made = Issuer()
    thread = threading.Thread(target=made.server.serve_forever)
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


@pytest.fixture(scope="session")
def issuer() -> Iterator[Issuer]:
    """Whom the API trusts."""
    yield from serving()


@pytest.fixture(scope="module")
def stranger() -> Iterator[Issuer]:
    """Another issuer, which the API must not ask for keys."""
    yield from serving()


@pytest.fixture(scope="session")
def deployed(issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The address of the cloud and the host of the API."""
    folder = tmp_path_factory.mktemp("rest")
    (folder / "node_modules").symlink_to(ROOT / "node_modules")
    copy = shutil.copytree(ROOT / "services" / SERVICE, folder / SERVICE, ignore=MADE_BY_TOOLS)
    with running_emulator(StateFolder(folder / "state"), None) as cloud:
        endpoint: LocalEndpoint = cloud.endpoint
        endpoint.client("kinesis").create_stream(StreamName="hub-stream", ShardCount=1)
        tools = serverless.find_toolchain(ROOT)
        given = {**HUB, "access": "jwt", "jwtIssuer": issuer.url, "jwtAudience": AUDIENCE}
        ran = subprocess.run(
            serverless.command(tools, "deploy", "--stage", "local", *serverless.parameters(given), installs=True),
            cwd=copy,
            env=serverless.environment(tools, endpoint.url),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        (api,) = endpoint.client("apigatewayv2").get_apis()["Items"]
        yield endpoint.url, f"{api['ApiId']}.execute-api.localhost:{endpoint.port}"


@pytest.fixture(scope="session")
def request_api(deployed: tuple[str, str]) -> Iterator[Callable[..., httpx.Response]]:
    """Asks the deployed API, as somebody with a token or without."""
    url, host = deployed
    with httpx.Client(base_url=url, headers={"Host": host}, timeout=60, trust_env=False) as client:

        def ask(method: str, path: str, token: str | None = None, **request: Any) -> httpx.Response:
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            return client.request(method, path, headers={**headers, **request.pop("headers", {})}, **request)

        yield ask
