"""What a page in a browser may send, byte by byte: nothing of it has an effect, and no answer is for foreign eyes.

The pages themselves, in a real browser, are in tests/system/test_browser.py.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import Callable, Iterator
from http.client import HTTPMessage, HTTPResponse
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis.strategies import from_regex
from stream_cli.local.cloud import LocalCloud
from stream_cli.local.emulator.api_hosts import API_HOST
from stream_cli.local.emulator.guard import REFUSED_PATH, Guard
from stream_cli.local.endpoint import LocalEndpoint
from stream_cli.local.injected_faults import arm_fault

FAULTS = "/_streamctl/faults"
FAULT = json.dumps({"target": "DynamoDB_20120810.PutItem", "error": "Unheard", "seconds": 0.001}).encode()
PAGE = "https://evil.example"
SCOPE = "Credential=test/20260101/us-east-1/s3/aws4_request"
SIGNED = f"Authorization: AWS4-HMAC-SHA256 {SCOPE}, SignedHeaders=host, Signature=0"


def ask(
    endpoint: LocalEndpoint, request_line: str, *headers: str, body: bytes = b"", host: str | None = "127.0.0.1:PORT"
) -> tuple[int, HTTPMessage, bytes]:
    """Send these lines as they stand, with PORT for the port; latin-1, so that every byte can be said."""
    lines = [request_line, *([] if host is None else [f"Host: {host}"]), *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    head = "\r\n".join([*lines, "", ""]).replace("PORT", str(endpoint.port))
    with socket.create_connection(("127.0.0.1", endpoint.port), timeout=30) as connection:
        connection.sendall(head.encode("latin-1") + body)
        answer = HTTPResponse(connection, method=request_line.split()[0])
        answer.begin()
        return answer.status, answer.headers, answer.read()


def arm(endpoint: LocalEndpoint, *headers: str, **more: Any) -> int:
    return ask(endpoint, f"POST {FAULTS} HTTP/1.1", *headers, body=FAULT, **more)[0]


def got(endpoint: LocalEndpoint, path: str) -> Any:
    return json.loads(ask(endpoint, f"GET {path} HTTP/1.1")[2])


@pytest.fixture
def no_faults(endpoint: LocalEndpoint) -> Iterator[None]:
    """No fault is armed before and after."""
    ask(endpoint, f"DELETE {FAULTS} HTTP/1.1")
    yield
    ask(endpoint, f"DELETE {FAULTS} HTTP/1.1")


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example:PORT", "evil.example", "", ":PORT", "127.0.0.1", "localhost", "127.0.0.1:1", "localhost:PORT0"),
        *("127.0.0.1.evil.example:PORT", "localhost.evil.example:PORT", "evillocalhost:PORT", "x.evillocalhost:PORT"),
        *("evil.example#.localhost:PORT", "evil.example/.localhost:PORT", "evil.example?.localhost:PORT"),
        *("evil@127.0.0.1:PORT", "127.0.0.1:PORT@evil.example", "127.0.0.1:PORT:80", "127.0.0.1:PORT evil.example"),
        *("127.0.0.1:PORT,evil.example", "127.0.0.1\t:PORT", "127.0.0.1:PORT.", "127.0.0.1.:PORT", "localhost.:PORT"),
        *(".localhost:PORT", "a..localhost:PORT", "127.0.0.1:+PORT", "127.0.0.1:0PORT", "127.0.0.1:PORT\x80"),
        *("2130706433:PORT", "0x7f000001:PORT", "0177.0.0.1:PORT", "127.1:PORT", "0.0.0.0:PORT", "127.0.0.2:PORT"),
        *("[::]:PORT", "[::ffff:127.0.0.1]:PORT", "[0:0:0:0:0:0:0:1]:PORT", "::1:PORT", "[::1%25lo]:PORT", "[::1]"),
        *("0a1b2c3d.execute-api.evil.example:PORT", "0a1b2c3d.execute-api.us-east-1.amazonaws.com", "s3.amazonaws.com"),
        *("0a1b2c3d.execute-api.localhost.evil.example:PORT", "0a1b2c3d.execute-api.localhost:1", "lоcalhost:PORT"),
    ],
)
def test_a_host_that_is_not_the_local_clouds_is_refused(endpoint: LocalEndpoint, no_faults: None, host: str) -> None:
    host = host.encode().decode("latin-1")
    assert arm(endpoint, host=host) in {400, 403}
    assert arm(endpoint, "X-Forwarded-Host: 127.0.0.1:PORT", "X-Amz-Target: a.b", host=host) in {400, 403}
    assert got(endpoint, FAULTS) == []


@pytest.mark.parametrize(
    "host", ["127.0.0.1:PORT", "localhost:PORT", "LOCALHOST:PORT", "[::1]:PORT", "a-bucket.localhost:PORT"]
)
def test_tools_reach_the_local_cloud_under_every_name_of_this_machine(endpoint: LocalEndpoint, host: str) -> None:
    status, _, body = ask(endpoint, "GET /_ministack/health HTTP/1.1", host=host)
    assert (status, json.loads(body)["auth"]) == (200, "enabled")


def test_no_host_and_two_hosts_are_refused(endpoint: LocalEndpoint, no_faults: None) -> None:
    assert arm(endpoint, host=None) in {400, 403}
    assert arm(endpoint, "Host: evil.example") in {400, 403}
    assert arm(endpoint, "Host: 127.0.0.1:PORT", host="evil.example") in {400, 403}
    assert ask(endpoint, f"POST {FAULTS} HTTP/1.0", body=FAULT, host=None)[0] in {400, 403}
    assert got(endpoint, FAULTS) == []


def test_two_hosts_that_a_server_lets_through_are_refused() -> None:
    async def reached(*_: Any) -> None:
        raise AssertionError("the request passed")

    async def sent(message: Any) -> None:
        told.append(message.get("status"))

    async def received() -> dict[str, Any]:
        return {}

    told: list[int | None] = []
    hosts = [(b"host", b"127.0.0.1:4566"), (b"host", b"evil.example")]
    scope = {"type": "http", "http_version": "1.1", "method": "GET", "path": "/", "raw_path": b"/", "headers": hosts}
    asyncio.run(Guard(reached, reached, 4566)(scope, received, sent))
    assert told[0] == 403


@pytest.mark.parametrize(
    "target",
    [
        *(
            f"http://127.0.0.1:PORT{FAULTS}",
            f"http://evil.example{FAULTS}",
            "evil.example:443",
            "*",
            "_streamctl/faults",
        ),
    ],
)
def test_a_target_that_is_not_a_path_is_refused(endpoint: LocalEndpoint, no_faults: None, target: str) -> None:
    for method in ("POST", "CONNECT", "OPTIONS"):
        assert ask(endpoint, f"{method} {target} HTTP/1.1", body=FAULT)[0] in {400, 403}
    assert got(endpoint, FAULTS) == []


def test_http2_is_refused_where_its_authority_could_be_another_than_the_host(endpoint: LocalEndpoint) -> None:
    upgrade = "GET / HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    upgrade = f"{upgrade}HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n".replace("PORT", str(endpoint.port))
    before = refused(endpoint, "request line")
    with socket.create_connection(("127.0.0.1", endpoint.port), timeout=30) as connection:
        connection.sendall(upgrade.encode() + b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
        received = b""
        while b"RequestRefused" not in received:
            received += (part := connection.recv(4096))
            assert part, received
    assert refused(endpoint, "request line") == before + 1


FOREIGN = [
    *(f"Origin: {PAGE}", "Origin: null", "Origin: ", "Origin: http://127.0.0.1:1", "Origin: http://localhost:PORT"),
    *("Origin: https://127.0.0.1:PORT", "Origin: http://127.0.0.1:PORT.evil.example", "Origin: http://127.0.0.1"),
    *("Origin: http://evil@127.0.0.1:PORT", "Origin: http://127.0.0.1:PORT/", "Origin: 127.0.0.1:PORT"),
    *("Origin: http://0a1b2c3d.execute-api.localhost:PORT", "Origin: http://[::1]:PORT", "ORIGIN:\tnull"),
    f"Origin: http://127.0.0.1:PORT\r\nOrigin: {PAGE}",
    f"Origin: {PAGE}\r\nOrigin: http://127.0.0.1:PORT",
    "Origin: http://127.0.0.1:PORT, null",
    "Origin: chrome-extension://abcdefghijklmnop",
    *("Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site", "sec-fetch-site: Cross-Site", "Sec-Fetch-Site: "),
    "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Site: cross-site",
    "Origin: http://127.0.0.1:PORT\r\nSec-Fetch-Site: same-site",
    "Sec-Fetch-Site: none",
    "User-Agent: Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/15.6 Safari/605.1.15",
]


@pytest.mark.parametrize("headers", FOREIGN)
def test_another_page_is_refused(endpoint: LocalEndpoint, no_faults: None, headers: str) -> None:
    for disguise in ("X-Amz-Target: a.b", "Content-Type: text/plain", "Authorization: AWS4-HMAC-SHA256 Credential=a/b"):
        assert arm(endpoint, headers, disguise) == 403
    assert got(endpoint, FAULTS) == []


WAYS_TO_CODE = [
    *("POST /2015-03-31/functions", "POST /2015-03-31/functions/any/invocations", "GET /2015-03-31/functions"),
    *(
        "POST /",
        "PUT /any-bucket",
        "GET /?Action=CreateTopic&Name=any",
        "DELETE /any-bucket/any",
        "GET /any-bucket/any",
    ),
    *("POST /_ministack/reset", "POST /_ministack/config", "GET /_ministack/health", "GET /health"),
    *("GET /_ministack/lambda-code/any", "GET /_ministack/sqs/messages", "POST /_ministack/rds/iam-auth"),
    *("GET /_localstack/health", "GET /_aws/ses", "GET /_streamctl/faults", "DELETE /_streamctl/faults"),
    *(
        f"POST {path}"
        for path in ("/%5fministack/reset", "//_ministack/reset", "/x/../_ministack/reset", "/_MINISTACK/")
    ),
    *("GET /_aws/execute-api/0a1b2c3d/any/items", "POST /restapis/0a1b2c3d/any/_user_request_/items"),
    *("GET /_aws/lambda-url/0a1b2c3d/", "GET /_alb/any/", "POST /login", "GET /oauth2/authorize", "POST /oauth2/token"),
    *("GET /any/.well-known/jwks.json", "POST /v1/apis/any/graphql", "GET /v4/abcdefghij/task", "POST /v2/apis"),
    *("POST /Execute", "GET /v2/_catalog", "GET /iceberg/v1/config", "GET /v20180820/tags/any", f"GET {REFUSED_PATH}"),
]


@pytest.mark.parametrize("route", WAYS_TO_CODE)
def test_no_control_api_answers_another_page(endpoint: LocalEndpoint, route: str) -> None:
    method, path = route.split()
    for verb in (method, "OPTIONS"):
        asked = ("Access-Control-Request-Method: POST", "Access-Control-Request-Private-Network: true")
        status, headers, body = ask(endpoint, f"{verb} {path} HTTP/1.1", f"Origin: {PAGE}", *asked)
        assert (status, json.loads(body)["__type"]) == (403, "RequestRefused")
        assert not [name for name in headers if name.lower().startswith("access-control-")]


@pytest.mark.parametrize(
    "route", ["OPTIONS /any-bucket/any", "GET /any-bucket/any", "GET /2015-03-31/functions", "PATCH /_ministack/health"]
)
def test_no_answer_of_a_control_api_is_for_another_page(endpoint: LocalEndpoint, route: str) -> None:
    for own in ((), ("Origin: http://127.0.0.1:PORT", "Sec-Fetch-Site: same-origin")):
        status, headers, _ = ask(endpoint, f"{route} HTTP/1.1", SIGNED, *own)
        assert status != 403
        assert not [name for name in headers if name.lower().startswith("access-control-")]


@pytest.mark.parametrize("host", ["127.0.0.1:PORT", "localhost:PORT", "[::1]:PORT"])
def test_a_page_of_the_emulators_own_origin_may_do_everything(
    endpoint: LocalEndpoint, no_faults: None, host: str
) -> None:
    assert arm(endpoint, f"Origin: http://{host}", "Sec-Fetch-Site: same-origin", host=host) == 201
    assert arm(endpoint, f"Origin: http://{host}", "User-Agent: Mozilla/5.0", host=host) == 201


def test_a_person_may_open_the_emulators_own_pages_and_nothing_else(endpoint: LocalEndpoint, no_faults: None) -> None:
    opened = ("Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "User-Agent: Mozilla/5.0")
    for path in ("/_ministack/health", FAULTS, REFUSED_PATH):
        assert ask(endpoint, f"GET {path} HTTP/1.1", *opened)[0] == 200
    for path in (
        "/any-bucket/page.html",
        "/?Action=CreateStack",
        "/_aws/execute-api/0a1b2c3d/any",
        "/_ministack/reset",
    ):
        assert ask(endpoint, f"GET {path} HTTP/1.1", *opened)[0] == 403
    assert arm(endpoint, *opened) == 403


def test_an_object_that_is_a_page_does_not_run_as_the_emulator(endpoint: LocalEndpoint, name: str) -> None:
    s3 = endpoint.client("s3")
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key="page.html", Body=b"<script>1</script>", ContentType="text/html")
    for host, path in (("127.0.0.1:PORT", f"/{name}/page.html"), (f"{name}.localhost:PORT", "/page.html")):
        own = (SIGNED, "Sec-Fetch-Site: same-origin")
        status, headers, body = ask(endpoint, f"GET {path} HTTP/1.1", *own, host=host)
        assert (status, body) == (200, b"<script>1</script>")
        assert headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
    assert "sandbox" not in ask(endpoint, f"GET {FAULTS} HTTP/1.1")[1]["Content-Security-Policy"]


@pytest.mark.parametrize("bucket", ["localhost-any", "127.0.0.1", "any"])
def test_an_object_that_has_the_path_of_an_own_page_does_not_run_either(endpoint: LocalEndpoint, bucket: str) -> None:
    for path in (FAULTS, REFUSED_PATH):
        line, host = f"GET {path} HTTP/1.1", f"{bucket}.localhost:PORT"
        assert ask(endpoint, line, "Sec-Fetch-Site: none", host=host)[0] == 403
        same = ask(endpoint, line, "Sec-Fetch-Site: same-origin", host=host)
        assert same[1]["Content-Security-Policy"].startswith("sandbox;")


def test_a_web_socket_of_another_page_is_refused(endpoint: LocalEndpoint) -> None:
    handshake = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    for host in ("127.0.0.1:PORT", "data.iot.us-east-1.localhost:PORT", "a1.appsync-realtime-api.localhost:PORT"):
        for path in ("/_aws/execute-api/0a1b2c3d/any", "/mqtt", "/event/realtime"):
            line = f"GET {path} HTTP/1.1"
            status, _, body = ask(endpoint, line, *handshake, key, f"Origin: {PAGE}", host=host)
            assert (status, json.loads(body)["__type"]) == (403, "RequestRefused")


def refused(endpoint: LocalEndpoint, kind: str) -> int:
    return int(got(endpoint, REFUSED_PATH).get(kind, 0))


def test_a_refusal_says_what_and_what_to_do_and_is_counted_and_logged_visibly(cloud: LocalCloud, name: str) -> None:
    endpoint = cloud.endpoint
    before = refused(endpoint, "origin")
    escapes = f"%1b[2K%0a%e2%80%ae{name}"
    _, _, body = ask(endpoint, f"GET /{escapes} HTTP/1.1", "Origin: https://\xc2\x9b\xe2\x80\xae.example")
    message = json.loads(body)["message"]
    assert message.startswith("The local cloud refused this request. Origin: ['https://\\xc2\\x9b\\xe2\\x80\\xae")
    assert f"Control APIs answer to tools on this machine, at {endpoint.url}." in message
    assert refused(endpoint, "origin") == before + 1
    if before < 50:  # the first refusals are logged one by one
        (line,) = [line for line in cloud.state.log("emulator").read_text().splitlines() if name in line]
        assert f"GET '/\\x1b[2K\\n\\u202e{name}': Origin: " in line


# --- the hosts of APIs ---

ECHO = "def handler(event, context): return {'statusCode': 200, 'body': event['rawPath'] + event['version']}"
FRONT_END = "https://app.example"


@pytest.fixture(scope="session")  # a worker may come back to this file
def api_host(cloud: LocalCloud, make_function: Callable[..., Any]) -> str:
    """The host of an HTTP API whose function tells the path, and which pages of ``FRONT_END`` may read."""
    endpoint = cloud.endpoint
    functions = make_function("echo-path", ECHO)
    functions.add_permission(
        FunctionName="echo-path",
        StatementId="api",
        Action="lambda:InvokeFunction",
        Principal="apigateway.amazonaws.com",
    )
    apis = endpoint.client("apigatewayv2")
    api = apis.create_api(
        Name="echo-path",
        ProtocolType="HTTP",
        CorsConfiguration={"AllowOrigins": [FRONT_END], "AllowMethods": ["GET"], "AllowHeaders": ["content-type"]},
    )["ApiId"]
    integration = apis.create_integration(
        ApiId=api,
        IntegrationType="AWS_PROXY",
        IntegrationUri="arn:aws:lambda:us-east-1:000000000000:function:echo-path",
        PayloadFormatVersion="2.0",
    )["IntegrationId"]
    apis.create_route(ApiId=api, RouteKey="$default", Target=f"integrations/{integration}")
    apis.create_stage(ApiId=api, StageName="$default", AutoDeploy=True)
    return endpoint.api_host(api)


def test_an_api_is_open_to_the_pages_that_its_cors_configuration_names(endpoint: LocalEndpoint, api_host: str) -> None:
    allowed = {}
    for page in (FRONT_END, PAGE, "null", endpoint.url):
        browser = (f"Origin: {page}", "Sec-Fetch-Site: cross-site", "User-Agent: Mozilla/5.0")
        status, headers, body = ask(endpoint, "GET /items HTTP/1.1", *browser, host=api_host)
        assert (status, body) == (200, b"/items2.0")
        preflight = (f"Origin: {page}", "Access-Control-Request-Method: GET")
        _, asked, _ = ask(endpoint, "OPTIONS /items HTTP/1.1", *preflight, host=api_host)
        allowed[page] = (headers["Access-Control-Allow-Origin"], asked["Access-Control-Allow-Origin"])
    assert allowed.pop(FRONT_END) == (FRONT_END, FRONT_END)
    assert set(allowed.values()) == {(None, None)}


@pytest.mark.parametrize("route", WAYS_TO_CODE)
def test_the_host_of_an_api_serves_the_api_alone(endpoint: LocalEndpoint, api_host: str, route: str) -> None:
    method, path = route.split()
    disguise = ("X-Amz-Target: DynamoDB_20120810.ListTables", "Authorization: AWS4-HMAC-SHA256 Credential=a/b/c/lambda")
    status, headers, body = ask(endpoint, f"{method} {path} HTTP/1.1", f"Origin: {PAGE}", *disguise, host=api_host)
    if re.match(r"/(_|%5f)(ministack|localstack|streamctl)/", path):
        assert (status, json.loads(body)["__type"]) == (403, "RequestRefused")
    else:
        assert (status, body[-3:]) == (200, b"2.0")
    assert headers["Access-Control-Allow-Origin"] is None


def test_connections_of_a_web_socket_api_are_for_tools(endpoint: LocalEndpoint, api_host: str) -> None:
    line = "POST /live/@connections/any HTTP/1.1"
    for page in (f"Origin: {PAGE}", f"Origin: http://{api_host}", "Sec-Fetch-Site: same-origin"):
        status, _, body = ask(endpoint, line, page, host=api_host)
        assert (status, json.loads(body)["__type"]) == (403, "RequestRefused")
    assert b"RequestRefused" not in ask(endpoint, line, host=api_host)[2]


def test_an_injected_fault_is_not_for_the_callers_of_an_api(
    endpoint: LocalEndpoint, no_faults: None, api_host: str
) -> None:
    call = "DynamoDB_20120810.ListTables"
    arm_fault(endpoint, target=call, error="Unheard")
    assert ask(endpoint, "GET /items HTTP/1.1", f"X-Amz-Target: {call}", host=api_host)[0] == 200
    assert [fault["fired"] for fault in got(endpoint, FAULTS)] == [0]


def test_the_url_of_a_function_is_a_host_of_its_own(endpoint: LocalEndpoint, name: str, made: Any) -> None:
    url = made(ECHO).create_function_url_config(FunctionName=name, AuthType="NONE")["FunctionUrl"]
    host = f"{url.split('/')[2].removesuffix('.on.aws')}.localhost:PORT"
    for path in ("/items", "/login", "/health"):
        status, _, body = ask(endpoint, f"GET {path} HTTP/1.1", f"Origin: {PAGE}", host=host)
        assert (status, body) == (200, f"{path}2.0".encode())


@settings(deadline=None)  # the first example imports ministack
@given(from_regex(API_HOST, fullmatch=True))
def test_every_host_that_is_open_to_pages_is_that_of_an_api_for_ministack(host: str) -> None:
    from ministack import app

    assert app._parse_execute_api_url(host, "/items") or app._parse_lambda_url(host, "/items")


@pytest.mark.parametrize("host", ["0A1B2C3D.execute-api.localhost:PORT", "0a1b2c3d.execute-api.x.localhost:PORT"])
def test_what_ministack_takes_for_no_api_is_not_open_to_pages(endpoint: LocalEndpoint, host: str) -> None:
    assert ask(endpoint, "GET / HTTP/1.1", f"Origin: {PAGE}", host=host)[0] == 403


def test_no_service_of_the_emulator_opens_a_port_of_its_own(name: str, made: Any) -> None:
    # The runtime API of such a function would be a server of its own, which no guard stands before.
    functions = made("#!/bin/sh\nexec sleep 60\n", file="bootstrap", Runtime="provided.al2023", Timeout=3)
    answer = json.load(functions.invoke(FunctionName=name, Payload=b"{}")["Payload"])
    assert answer["errorMessage"].startswith("The local cloud listens on one guarded port.")
