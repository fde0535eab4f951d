"""A hostile page in a real browser: it has no effect on the local cloud and reads nothing of it.

tests/browser/attack.js is what the page tries, from several origins, DNS rebinding included. Pages of the emulator's
own origin work, and a deployed API serves the pages that its CORS configuration names.
"""

from __future__ import annotations

import base64
import functools
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import pytest
from stream_cli.local.cloud import LocalCloud, running_emulator
from stream_cli.local.emulator.guard import REFUSED_PATH
from stream_cli.local.endpoint import LocalEndpoint
from stream_cli.local.injected_faults import FAULTS_PATH, faults
from stream_cli.local.state import StateFolder

pytestmark = pytest.mark.system

more_of_the_same = functools.partial(pytest.param, marks=pytest.mark.thorough)
BROWSER = Path(__file__).parents[1] / "browser"
ATTACK = "".join((BROWSER / each).read_text() for each in ("framed.js", "attack.js"))
HOSTILE_PAGE = f"<!doctype html><title>prizes</title><body><script>{ATTACK}</script></body>"
FUNCTION_ARN = "arn:aws:lambda:us-east-1:000000000000:function:victim"
NO_EFFECT: dict[str, list[str]] = {"topics": [], "functions": [], "buckets": [], "faults": [], "logs": []}


@pytest.fixture(scope="module")
def hostile_port(everywhere: Callable[[str], AbstractContextManager[int]]) -> Iterator[int]:
    with everywhere(HOSTILE_PAGE) as port:
        yield port


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    with running_emulator(StateFolder(tmp_path_factory.mktemp("cloud")), None) as running:
        running.start_deliveries()
        running.start_mappings()
        yield running


def zipped(source: str) -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        archive.writestr("code.py", source)
    return body.getvalue()


@dataclass
class Deployed:
    """A function that answers with a page, and the hosts of its APIs."""

    endpoint: LocalEndpoint
    api_host: str
    socket_path: str


@pytest.fixture(scope="module")
def deployed(cloud: LocalCloud, hostile_port: int) -> Deployed:
    endpoint = cloud.endpoint
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": trust})
    role = endpoint.client("iam").create_role(RoleName="any", AssumeRolePolicyDocument=document)["Role"]["Arn"]
    page = {"statusCode": 200, "headers": {"content-type": "text/html"}, "body": HOSTILE_PAGE}
    endpoint.client("lambda").create_function(
        FunctionName="victim",
        Runtime="python3.13",
        Role=role,
        Handler="code.handler",
        Code={"ZipFile": zipped(f"def handler(event, context): return {page!r}")},
    )
    endpoint.client("lambda").add_permission(
        FunctionName="victim",
        StatementId="apis",
        Action="lambda:InvokeFunction",
        Principal="apigateway.amazonaws.com",
    )
    apis = endpoint.client("apigatewayv2")
    ids = {}
    for protocol, route in (("HTTP", "$default"), ("WEBSOCKET", "$connect")):
        cors = {"AllowOrigins": [f"http://front-end.example:{hostile_port}"], "AllowMethods": ["GET"]}
        more = {"CorsConfiguration": cors} if protocol == "HTTP" else {"RouteSelectionExpression": "$request.body.x"}
        api = ids[protocol] = apis.create_api(Name=protocol, ProtocolType=protocol, **more)["ApiId"]
        target = apis.create_integration(ApiId=api, IntegrationType="AWS_PROXY", IntegrationUri=FUNCTION_ARN)
        apis.create_route(ApiId=api, RouteKey=route, Target=f"integrations/{target['IntegrationId']}")
        apis.create_stage(ApiId=api, StageName="$default" if protocol == "HTTP" else "live", AutoDeploy=True)
    return Deployed(endpoint, endpoint.api_host(ids["HTTP"]), f"/_aws/execute-api/{ids['WEBSOCKET']}/live")


def effects(endpoint: LocalEndpoint) -> dict[str, list[str]]:
    """Whatever there is that nobody at this machine has made."""
    functions = endpoint.client("lambda").list_functions()["Functions"]
    return {
        "topics": [topic["TopicArn"] for topic in endpoint.client("sns").list_topics()["Topics"]],
        "functions": [each["FunctionName"] for each in functions if each["FunctionName"] != "victim"],
        "buckets": [bucket["Name"] for bucket in endpoint.client("s3").list_buckets()["Buckets"]],
        "faults": [fault["error"] for fault in faults(endpoint)],
        "logs": [group["logGroupName"] for group in endpoint.client("logs").describe_log_groups()["logGroups"]],
    }


def attack(deployed: Deployed, hostile_port: int, target: str) -> str:
    """The script of a page that tries everything; its value is what it could read."""
    job = {
        "target": target,
        "elsewhere": f"http://evil.example:{hostile_port}",
        "name": "t",
        "zip": base64.b64encode(zipped("def handler(event, context): pass")).decode(),
        "socket": deployed.socket_path,
    }
    return f"return await attack({json.dumps(job)})"


@pytest.mark.parametrize(
    ("page", "target"),
    [
        ("http://evil.example:HOSTILE", "http://127.0.0.1:PORT"),
        ("http://evil.example:PORT", "http://evil.example:PORT"),
        ("http://other.localhost:PORT", "http://localhost:PORT"),
        ("file://FOLDER/page.html", "http://127.0.0.1:PORT"),
        # Another site, an origin after DNS rebinding, another origin of this site, none: one of each is above.
        more_of_the_same("http://evil.example:HOSTILE", "http://localhost:PORT"),
        more_of_the_same("http://evil.example:HOSTILE", "http://any.localhost:PORT"),
        more_of_the_same("http://127.0.0.1:HOSTILE", "http://127.0.0.1:PORT"),
        more_of_the_same("http://any.localhost:HOSTILE", "http://any.localhost:PORT"),
        more_of_the_same("http://evil.example:PORT", "http://127.0.0.1:PORT"),
    ],
)
def test_a_hostile_page_has_no_effect_and_reads_nothing(
    chromium: Any, deployed: Deployed, hostile_port: int, tmp_path: Path, page: str, target: str
) -> None:
    (tmp_path / "page.html").write_text(HOSTILE_PAGE)
    port = str(deployed.endpoint.port)
    for name, value in {"HOSTILE": str(hostile_port), "PORT": port, "FOLDER": str(tmp_path)}.items():
        page, target = page.replace(name, value), target.replace(name, value)
    # A page at the emulator's own port was loaded before its name led to this machine.
    served = {"served": HOSTILE_PAGE} if page.endswith(port) else {}
    tried = chromium.visit(page, attack(deployed, hostile_port, target), **served)
    # Top-level: to follow a link, to be redirected, to submit a form.
    topic = f"{target}/?Action=CreateTopic&Name=top"
    redirect = f"http://evil.example:{hostile_port}/redirect?status=302&to="
    fault = json.dumps({"target": "X.Y", "error": "top", "seconds": 600})
    led = [
        chromium.visit(page, script, leads=True, **served)["status"]
        for script in (
            f"location.href = '{topic}-link'",
            f"location.href = '{redirect}' + encodeURIComponent('{topic}-redirect')",
            f"jsonForm('{target}{FAULTS_PATH}', '{fault}').submit()",
        )
    ]
    assert effects(deployed.endpoint) == NO_EFFECT
    assert tried["value"] == {}
    assert led == [403, 403, 403]


def test_an_address_that_leads_a_person_to_the_emulator_has_no_effect(
    chromium: Any, deployed: Deployed, hostile_port: int
) -> None:
    topic = f"{deployed.endpoint.url}/?Action=CreateTopic&Name=opened"
    redirects = f"http://evil.example:{hostile_port}/redirect?status=302&to={quote(topic, safe='')}"
    for address in (topic, redirects):
        opened = chromium.visit(address)
        assert opened["status"] == 403
        assert "Control APIs answer to tools on this machine" in opened["text"]
    assert effects(deployed.endpoint)["topics"] == []


def test_a_page_of_the_emulators_own_origin_works(chromium: Any, deployed: Deployed) -> None:
    fault = json.dumps({"target": "X.Y", "error": "Own", "seconds": 600})
    script = f"""
        const armed = await fetch("{FAULTS_PATH}", {{method: "POST", body: {json.dumps(fault)}}});
        const listed = await (await fetch("{FAULTS_PATH}")).json();
        await fetch("{FAULTS_PATH}", {{method: "DELETE"}});
        return [armed.status, listed.map((fault) => fault.error)];
    """
    visited = chromium.visit(f"{deployed.endpoint.url}{REFUSED_PATH}", script)
    assert (visited["status"], visited["value"]) == (200, [201, ["Own"]])


def test_an_object_in_s3_does_not_run_in_the_emulators_origin(chromium: Any, deployed: Deployed) -> None:
    endpoint = deployed.endpoint
    s3 = endpoint.client("s3")
    s3.create_bucket(Bucket="pages")
    script = f"""<script>
        document.body.textContent = "ran";
        fetch("{FAULTS_PATH}", {{method: "POST", body: '{{"target": "X.Y", "error": "Object", "seconds": 600}}'}});
    </script>"""
    s3.put_object(Bucket="pages", Key="page.html", Body=f"<body>did not run{script}</body>", ContentType="text/html")
    signed = s3.generate_presigned_url("get_object", Params={"Bucket": "pages", "Key": "page.html"})
    to_object = f"location.href = '{signed.removeprefix(endpoint.url)}'"
    visited = chromium.visit(f"{endpoint.url}{REFUSED_PATH}", to_object, leads=True)
    s3.delete_object(Bucket="pages", Key="page.html")
    s3.delete_bucket(Bucket="pages")
    assert (visited["status"], visited["text"][:11]) == (200, "did not run")
    assert effects(endpoint)["faults"] == []


def test_an_api_serves_the_pages_that_its_cors_configuration_names(
    chromium: Any, deployed: Deployed, hostile_port: int
) -> None:
    call = f"""try {{
        return (await (await fetch("http://{deployed.api_host}/stories")).text()).length;
    }} catch (error) {{ return error.name; }}"""
    named, other = (chromium.visit(f"http://{name}.example:{hostile_port}", call) for name in ("front-end", "evil"))
    assert (named["value"], other["value"]) == (len(HOSTILE_PAGE), "TypeError")


def test_a_page_that_an_api_serves_reaches_that_api_alone(chromium: Any, deployed: Deployed, hostile_port: int) -> None:
    endpoint = deployed.endpoint
    before = effects(endpoint)
    for target in (endpoint.url, f"http://localhost:{endpoint.port}"):
        tried = chromium.visit(f"http://{deployed.api_host}/", attack(deployed, hostile_port, target))
        assert (tried["status"], tried["value"]) == (200, {})
    assert {**effects(endpoint), "logs": []} == {**before, "logs": []}


def test_a_local_cloud_listens_on_one_socket(cloud: LocalCloud, deployed: Deployed) -> None:
    deployed.endpoint.client("lambda").invoke(FunctionName="victim", Payload=b"{}")
    folder = str(cloud.state.root)
    listening, found = set(), set()
    for process in psutil.process_iter(["cmdline", "environ"]):
        command = " ".join(process.info["cmdline"] or [])
        if folder in command or folder in str(process.info["environ"]):
            found |= {
                name for name in ("local.emulator", "local.deliveries", "mappings") if f"stream_cli.{name}" in command
            }
            found |= {"function"} if command.startswith(f"{folder}/lambda-python/") else set()
            listening |= {each.laddr for each in process.net_connections() if each.status == psutil.CONN_LISTEN}
    assert found == {"local.emulator", "local.deliveries", "mappings", "function"}
    assert listening == {("127.0.0.1", deployed.endpoint.port)}
