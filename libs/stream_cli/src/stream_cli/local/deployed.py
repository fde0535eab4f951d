"""What the stacks of a local cloud were deployed from, so that a service is deployed only when something has changed.

The mark is an object in the stack's own deployment bucket: it says from what the stack was deployed, and how the stack
and its functions were then. A cloud that is new, a stack that is not there or not complete, and one that somebody has
changed since, by hand or with `sls deploy function`, have no mark that holds. The requests are plain HTTP, since making
boto3's clients takes longer than all of them.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import shutil
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from stream_cli.deployment import serverless
from stream_cli.deployment.inputs import Inputs, NoKey, inputs_of, outputs_read
from stream_cli.deployment.kept import KeptPackages
from stream_cli.deployment.packaging import NOT_KEPT, kept_packages
from stream_cli.deployment.services import service_name, stack_name
from stream_cli.deployment.stacks import Account
from stream_cli.errors import CommandError
from stream_cli.local.endpoint import ACCESS_KEY, LocalEndpoint
from stream_cli.terminal.options import LOCAL

MARK = "streamctl/deployed.json"
_COMPLETE = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE"})
_BUCKET = "ServerlessDeploymentBucket"
# The values of these differ from cloud to cloud, and templates know nothing of them.
_OF_THE_CLOUD = ("AWS_ENDPOINT_URL", "TMPDIR")
# A function becomes active a moment after it was made.
_PASSING = ("LastUpdateStatus", "State")
_ARTIFACTS = re.compile(r"(serverless/[\w-]+/[\w-]+)/\d+-\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z")
_REQUEST_ID = re.compile(r"<RequestId>[^<]*</RequestId>")
_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Stack:
    """A stack and its functions as they are now.

    Attributes:
        digest: of everything that changes when somebody changes the stack or a function of it.
        bucket: its deployment bucket, or None where it has none of its own.
    """

    digest: str
    bucket: str | None
    outputs: Mapping[str, str]
    is_complete: bool


@dataclass
class Plan:
    """How a service is deployed now.

    Attributes:
        unchanged_since: when it was deployed, where that need not be done again.
        arguments: more arguments for the Serverless CLI.
        package: a folder of this plan's own, with a package that was made before.
    """

    unchanged_since: datetime | None = None
    arguments: list[str] = field(default_factory=list)
    package: Path | None = None
    inputs: Inputs | None = None


class LocalDeployments:
    """The deployments to a local cloud.

    Args:
        account: the local cloud as an account to deploy to.
        temporary: a folder for packages while they are deployed.
        fresh: deploy in any case, and package anew.
    """

    def __init__(
        self,
        endpoint: LocalEndpoint,
        account: Account,
        toolchain: serverless.Toolchain,
        temporary: Path,
        params: Mapping[str, str],
        *,
        fresh: bool = False,
    ) -> None:
        self._cloud = _Cloud(endpoint)
        self._account = account
        self._toolchain = toolchain
        self._temporary = temporary
        self._params = params
        self._fresh = fresh
        self._kept: KeptPackages | None = kept_packages(toolchain)

    def plan(self, service: Path) -> Plan:
        """What is to be done to deploy a service; the caller holds its folder."""
        plan = Plan(inputs=self._inputs(service))
        if plan.inputs is None:
            plan.arguments += ["--force"] if self._fresh else []
            return plan
        stack = self._cloud.stack(stack_name(service, LOCAL))
        mark = self._mark(stack)
        changed_by_others = stack is not None and mark is not None and mark["stack"] != stack.digest
        if self._fresh or changed_by_others:
            plan.arguments.append("--force")
        if self._fresh:
            return plan
        if stack and mark and stack.is_complete and not changed_by_others and mark["key"] == plan.inputs.key:
            plan.unchanged_since = datetime.fromisoformat(mark["deployed"])
        elif self._kept is not None:
            folder = Path(tempfile.mkdtemp(dir=self._temporary, prefix=f"package-{service.name}-"))
            if self._kept.take(plan.inputs.key, folder) is None:
                shutil.rmtree(folder)
            else:
                _name_artifacts_anew(folder)
                plan.package = folder
                plan.arguments += ["--package", str(folder)]
        return plan

    def deployed(self, service: Path, plan: Plan) -> None:
        """Keep what was deployed, and mark the stack with it; unless the service has changed in the meantime."""
        if plan.inputs is None or self._inputs(service) != plan.inputs:
            return
        made = service / ".serverless"
        if plan.package is None and self._kept is not None and made.is_dir():
            if self._fresh:
                self._kept.discard(plan.inputs.key)
            self._kept.keep(plan.inputs.key, made, without=NOT_KEPT)
        stack = self._cloud.stack(stack_name(service, LOCAL))
        if stack is not None and stack.bucket is not None:
            mark = {
                "key": plan.inputs.key,
                "stack": stack.digest,
                "deployed": datetime.now(UTC).isoformat(timespec="seconds"),
            }
            self._cloud.put(stack.bucket, MARK, json.dumps(mark).encode())

    def end(self, plan: Plan) -> None:
        """Remove what the plan has put into the temporary folder."""
        if plan.package is not None:
            shutil.rmtree(plan.package, ignore_errors=True)

    def _inputs(self, service: Path) -> Inputs | None:
        if service_name(service) is None:
            return None
        arguments = ["deploy", LOCAL, self._account.region, *serverless.parameters(self._params)]
        environment = {**self._account.environment(), **serverless.packaging_environment(self._toolchain)}
        try:
            read = [
                [stack, output, self._outputs(stack).get(output)]
                for stack, output in outputs_read(service, LOCAL, self._params)
            ]
            return inputs_of(service, arguments, environment, self._toolchain, but=_OF_THE_CLOUD, besides=read)
        except NoKey:
            return None

    def _outputs(self, name: str) -> Mapping[str, str]:
        stack = self._cloud.described(name)
        return {} if stack is None else _outputs(stack)

    def _mark(self, stack: Stack | None) -> dict[str, Any] | None:
        if stack is None or stack.bucket is None:
            return None
        content = self._cloud.get(stack.bucket, MARK)
        return None if content is None else dict(json.loads(content))


def _name_artifacts_anew(folder: Path) -> None:
    """Give a package's artifacts a key of now: by these, the CLI knows which deployment is the latest."""
    now = datetime.now(UTC)
    name = f"{time.time_ns() // 1_000_000}-{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03}Z"
    for path in folder.glob("*.json"):
        path.write_text(_ARTIFACTS.sub(rf"\1/{name}", path.read_text(encoding="utf-8")), encoding="utf-8")


class _Cloud:
    """Requests to a local cloud. It asks for no signature, only for a scope that says region and service."""

    def __init__(self, endpoint: LocalEndpoint) -> None:
        self._endpoint = endpoint
        self._of_thread = threading.local()

    def stack(self, name: str) -> Stack | None:
        """A stack with its functions, or None when there is none."""
        described = self.described(name)
        if described is None:
            return None
        listed = self._query("ListStackResources", name)
        if listed is None:
            return None
        resources = {
            _text(each, "LogicalResourceId"): (_text(each, "ResourceType"), _text(each, "PhysicalResourceId"))
            for each in listed.iter("member")
        }
        functions = {physical for kind, physical in resources.values() if kind == "AWS::Lambda::Function"}
        content = [
            ElementTree.tostring(described, encoding="unicode"),
            sorted((name, *each) for name, each in resources.items()),
            [_lasting(each) for each in self._functions() if each["FunctionName"] in functions],
        ]
        return Stack(
            hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest(),
            resources.get(_BUCKET, ("", None))[1],
            _outputs(described),
            _text(described, "StackStatus") in _COMPLETE,
        )

    def described(self, name: str) -> ElementTree.Element | None:
        """The description of a stack, or None when there is none."""
        answer = self._query("DescribeStacks", name)
        return None if answer is None else answer.find(".//Stacks/member")

    def get(self, bucket: str, key: str) -> bytes | None:
        """The content of an object, or None when there is none."""
        return self._request("s3", "GET", f"/{bucket}/{key}", missing=http.client.NOT_FOUND)

    def put(self, bucket: str, key: str, content: bytes) -> None:
        """Write an object."""
        self._request("s3", "PUT", f"/{bucket}/{key}", content)

    def _functions(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        marker = ""
        while True:
            query = urllib.parse.urlencode({"Marker": marker} if marker else {})
            page = json.loads(self._request("lambda", "GET", f"/2015-03-31/functions/?{query}") or b"{}")
            found += page["Functions"]
            marker = page.get("NextMarker") or ""
            if not marker:
                return found

    def _query(self, action: str, stack: str) -> ElementTree.Element | None:
        body = urllib.parse.urlencode({"Action": action, "Version": "2010-05-15", "StackName": stack})
        answer = self._request("cloudformation", "POST", "/", body.encode(), missing=http.client.BAD_REQUEST)
        if answer is None:
            return None
        plain = re.sub(r' xmlns="[^"]*"', "", _REQUEST_ID.sub("", answer.decode()))
        return ElementTree.fromstring(plain)

    def _request(
        self, service: str, method: str, path: str, body: bytes | None = None, *, missing: int | None = None
    ) -> bytes | None:
        scope = f"{ACCESS_KEY}/{datetime.now(UTC):%Y%m%d}/{self._endpoint.region}/{service}/aws4_request"
        headers = {"Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=none"}
        if service == "cloudformation":
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        connection = self._connection()
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise CommandError(f"The local cloud at {self._endpoint.url} does not answer: {error}") from error
        if answer.status == missing:
            return None
        if answer.status != http.client.OK:
            raise CommandError(
                f"The local cloud answered {method} {path} of {service} with {answer.status}: "
                f"{content[:500].decode(errors='replace')}"
            )
        return content

    def _connection(self) -> http.client.HTTPConnection:
        if not hasattr(self._of_thread, "connection"):
            self._of_thread.connection = http.client.HTTPConnection(
                "127.0.0.1", self._endpoint.port, timeout=_TIMEOUT_S
            )
        connection: http.client.HTTPConnection = self._of_thread.connection
        return connection


def _lasting(function: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in function.items() if not name.startswith(_PASSING)}


def _outputs(stack: ElementTree.Element) -> dict[str, str]:
    return {_text(each, "OutputKey"): _text(each, "OutputValue") for each in stack.findall("Outputs/member")}


def _text(element: ElementTree.Element, name: str) -> str:
    return element.findtext(name) or ""
