"""What a cold start pays for: the large libraries that functions import at once, and for their first invocation."""

import json
import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

RUNNER = Path(__file__).with_name("first_invocations.py")
SERVICES = Path(__file__).resolve().parents[2] / "services"
OPENAPI = "aws_lambda_powertools.event_handler.openapi.models"
LARGE = {
    *("aws_lambda_powertools", "boto3", "botocore", "inspect", "orjson", "pydantic", "reactivex", "urllib3"),
    OPENAPI,
}
ALL_OF_BOTO3 = {"boto3", "botocore", "inspect", "urllib3"}
LOG_LINE = {"aws_lambda_powertools", "botocore", "inspect"}  # the formatter is Powertools'
REST = {"aws_lambda_powertools", "botocore", "inspect", "pydantic"}

FUNCTIONS: dict[str, tuple[str, set[str], set[str]]] = {
    "control-service/listener-story-submitted": ("control.handlers.listener", set(), set()),
    "control-service/trigger-collected": ("control.handlers.trigger", set(), set()),
    "control-service/job-schedule": ("control.handlers.job", set(), LOG_LINE),
    "event-fault-monitor/trigger-faults": (
        "fault_monitor.handlers.trigger",
        {"botocore", "inspect"},
        {*ALL_OF_BOTO3, *LOG_LINE},
    ),
    "event-hub/ingress-custom": ("event_hub.handlers.ingress", set(), {"inspect", "orjson", "pydantic"}),
    "event-hub/ingress-object": ("event_hub.handlers.ingress", set(), {*ALL_OF_BOTO3, *LOG_LINE, "orjson"}),
    "event-lake-s3/claims-pointer": ("event_lake.handlers.claims", set(), ALL_OF_BOTO3),
    "rest-bff-service/listener-story-ready": ("rest_bff.handlers.listener", set(), set()),
    "rest-bff-service/trigger-story-created": ("rest_bff.handlers.trigger", set(), {"inspect", "orjson"}),
    "rest-bff-service/dashboard-story-ready": ("rest_bff.handlers.dashboard", set(), {"inspect", "orjson"}),
    "rest-bff-service/outbox-message": ("rest_bff.handlers.outbox", set(), ALL_OF_BOTO3),
    "rest-bff-service/rest-list": ("rest_bff.handlers.rest", REST, REST),
    "rest-bff-service/rest-create": ("rest_bff.handlers.rest", REST, {*REST, "orjson"}),
    "rest-bff-service/rest-openapi": ("rest_bff.handlers.rest", REST, {*REST, OPENAPI}),
}
"""Fixtures, with the module of their function and the large libraries that it has imported before and after."""

ENVIRONMENT = {
    "ACCESS": "open",
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_CLIENT": "auto",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_LAMBDA_FUNCTION_NAME": "testing",
    "AWS_REGION": "us-east-1",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_SNS_TOPIC_PREFIX": "arn:aws:sns:us-east-1:000000000000:",
    "BUCKET_NAME": "lake",
    "BUS_NAME": "bus",
    "DASHBOARD_TABLE_NAME": "dashboard",
    "ENTITY_TABLE_NAME": "entities",
    "EVENT_TABLE_NAME": "events",
    "INCOMPLETE_AFTER_SECONDS": "60",
    "LEDGER_TABLE_NAME": "ledger",
    "METRIC_NAMESPACE": "faults",
    "ROW_ENTITY": "order",
    "ROW_EVENT_TYPE": "order-submitted",
    "SERVICE": "testing",
    "STAGE": "testing",
    "TOMBSTONE_DAYS": "1",
    "TTL_DAYS": "7",
}


PUBLISHED = (
    '<PublishBatchResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishBatchResult>'
    "<Successful><member><Id>0</Id><MessageId>1</MessageId></member></Successful><Failed/></PublishBatchResult>"
    "<ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></PublishBatchResponse>"
)

COPIED = '<CopyObjectResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><ETag>"1"</ETag></CopyObjectResult>'


def _answer_to(request: Any) -> str:
    entries = request.get("Entries")
    published = {"FailedEntryCount": 0, "Entries": [{"EventId": "1"} for _ in entries]} if entries else {}
    return json.dumps({**published, "Items": []})


class _Answer(BaseHTTPRequestHandler):
    """AWS that accepts whatever it is sent."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        request = self.rfile.read(int(self.headers["Content-Length"]))
        self._send(_answer_to(json.loads(request)) if request.startswith(b"{") else PUBLISHED)

    def do_PUT(self) -> None:
        """A copy of an object."""
        self._send(COPIED)

    def do_GET(self) -> None:
        """An object of S3."""
        (held,) = SERVICES.glob(f"*/tests/fixtures/{self.path.partition('?')[0].rpartition('/')[2]}")
        self._send(held.read_text())

    def _send(self, body: str) -> None:
        content = body.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[set[str], set[str]]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    inherited = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG")}
    elsewhere = {"PYTHONPYCACHEPREFIX": str(tmp_path_factory.mktemp("compiled"))}
    compiled_once = elsewhere if sys.dont_write_bytecode else {}
    of_aws = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}"}
    home = {"HOME": str(tmp_path_factory.mktemp("home"))}
    ran = subprocess.run(
        [sys.executable, RUNNER, *(f"{name}={module}" for name, (module, _, _) in FUNCTIONS.items())],
        env={**inherited, **compiled_once, **ENVIRONMENT, **of_aws, **home},
        capture_output=True,
        text=True,
        check=False,
    )
    server.shutdown()
    server.server_close()
    assert ran.returncode == 0, ran.stderr
    lines = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith('["')]
    return {name: (LARGE & set(before), LARGE & set(after)) for name, before, after in lines}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_imports_what_it_needs_when_it_needs_it(
    name: str, imported: dict[str, tuple[set[str], set[str]]]
) -> None:
    _, before, after = FUNCTIONS[name]

    assert imported[name] == (before, after)


def test_each_function_of_each_service_is_looked_at() -> None:
    functions = {
        (folder.parent.name, handler.replace("/", ".").removesuffix(".handler"))
        for folder in SERVICES.glob("*/serverless.yml")
        for handler in re.findall(r"^    handler: (\S+)$", folder.read_text(), re.MULTILINE)
    }
    assert {(name.partition("/")[0], module) for name, (module, _, _) in FUNCTIONS.items()} == functions
