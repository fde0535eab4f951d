"""Sessions of `dev` as users run them, on services that a stand-in for the Serverless CLI deploys."""

from __future__ import annotations

import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from stream_cli.local.cloud import LocalCloud

PATIENCE_S = 30.0
# Plugins that the tests of a service do not need would be half of the CPU of each run of them.
PLUGINS = "-p no:schemathesis -p no:hypothesispytest -p no:anyio"
# Packages shop/ and what requirements.txt says, makes or updates the stack, and gives the functions the package.
CLI = r"""
import base64, re, time, zipfile

here = Path()
write_start([here.resolve().name, *given])
written = (here / "serverless.yml").read_text()
if "fails" in written:
    sys.exit("Error:\nthe template is refused")
packaged = here / ".serverless"
packaged.mkdir(exist_ok=True)
name = re.search("service: (.*)", written)[1]
with zipfile.ZipFile(packaged / "all.zip", "w", zipfile.ZIP_DEFLATED) as zipped:
    for path in sorted(here.glob("shop/**/*.py")):
        zipped.write(path)
    zipped.writestr("library.py", (here / "requirements.txt").read_text())
def function(short):
    return {
        "FunctionName": f"{name}-local-{short}", "Handler": f"shop/handlers/{short}.handler", "Runtime": "python3.14",
        "Role": {"Fn::GetAtt": ["Role", "Arn"]}, "Timeout": 20,
        "Environment": {"Variables": {"GREETING": re.search("GREETING: (.*)", written)[1], "OF": short}},
        "Code": {"ZipFile": "no code yet", "S3Key": f"serverless/{name}/local/1/all.zip"},
    }
resources = {
    "ServerlessDeploymentBucket": {"Type": "AWS::S3::Bucket"},
    "Role": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": {"Statement": []}}},
    "JobLambdaFunction": {"Type": "AWS::Lambda::Function", "Properties": function("job")},
    "ListenerLambdaFunction": {"Type": "AWS::Lambda::Function", "Properties": function("listener")},
}
file = packaged / "cloudformation-template-update-stack.json"
file.write_text(json.dumps({"Description": written, "Resources": resources}))
there = request_of_stack(name, "DescribeStacks").startswith("HTTP/1.1 200")
request_of_stack(
    name,
    "UpdateStack" if there else "CreateStack",
    **{"TemplateBody": file.read_text(), "Capabilities.member.1": "CAPABILITY_IAM"},
)
while "_COMPLETE</StackStatus>" not in request_of_stack(name, "DescribeStacks"):
    time.sleep(0.02)
code = {"ZipFile": base64.b64encode((packaged / "all.zip").read_bytes()).decode()}
for short in ("job", "listener"):
    path = f"/2015-03-31/functions/{name}-local-{short}/code"
    send("lambda", "PUT", path, json.dumps(code).encode(), {"Content-Type": "application/json"})
"""
TEMPLATE = """service: NAME
provider:
  environment:
    GREETING: hello
package:
  patterns:
    - "!**"
    - shop/**/*.py
functions:
  job:
    handler: shop/handlers/job.handler
  listener:
    handler: shop/handlers/listener.handler
"""
FILES = {
    "requirements.txt": "VERSION = 1\n",
    "other.yml": "custom: ${file(../shared.yml)}\n",
    "README.md": "A shop.\n",
    "shop/__init__.py": "",
    "shop/handlers/__init__.py": "",
    "shop/handlers/job.py": "from shop.logic import answer\ndef handler(event, context): return answer(event)\n",
    "shop/handlers/listener.py": """import os, library
from shop.logic import answer
def handler(event, context):
    return [answer(event), os.environ["GREETING"], library.VERSION]
""",
    "shop/logic.py": "ANSWER = 1\ndef answer(event): return ANSWER\n",
    "tests/test_logic.py": "from shop.logic import answer\ndef test_answers(): assert answer({})\n",
    "tests/test_other.py": "def test_other(): pass\n",
    "tests/conftest.py": "import os, sys\nsys.path.insert(0, os.getcwd())\n",
}

RESTORED = "shop/a.py"  # by its name the first of those that are shown
DEPLOYED = ("serverless.yml", "requirements.txt")  # by the CLI


class Dev:
    """A session that runs, and the service that it follows."""

    def __init__(self, service: Path, state: Path, path: str, functions: Any, *arguments: str) -> None:
        self.service = service
        self._functions = functions
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.said: list[str] = []
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "stream_cli.cli", "dev", str(service), "--state", str(state)),
                *("--services", str(service.parents[1] / "services"), *arguments),
            ],
            cwd=service.parent,
            env={**os.environ, "PATH": path, "PYTEST_ADDOPTS": PLUGINS, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout
        for each in self.process.stdout:
            self._lines.put(each.rstrip("\n"))

    def until(self, pattern: str) -> str:
        """Wait for a line that has not been asked for yet; returns it."""
        deadline = time.monotonic() + PATIENCE_S
        while (left := deadline - time.monotonic()) > 0:
            try:
                self.said.append(self._lines.get(timeout=left))
            except queue.Empty:
                break
            if re.search(pattern, self.said[-1]):
                return self.said[-1]
        said = "\n".join(self.said)
        raise AssertionError(f"waited in vain for {pattern!r} in:\n{said}")

    def save(self, name: str, content: str) -> None:
        """Write a file as an editor does: beside it, then by a rename."""
        target = self.service / name
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = target.with_name(f".{target.name}.swp")
        beside.write_text(content)
        beside.rename(target)

    def answer(self, function: str = "listener", event: str = "{}") -> Any:
        """What a function of the service answers."""
        import json

        invoked = self._functions.invoke(FunctionName=f"{self.service.name}-local-{function}", Payload=event.encode())
        return json.loads(invoked["Payload"].read())

    def restore(self) -> None:
        """Let the files be what they were at first, and run; one more says when that is so."""
        self.said.clear()
        for path in self.service.rglob("*"):
            name = path.relative_to(self.service).as_posix()
            if path.is_symlink() or (path.is_file() and name not in {*FILES, "serverless.yml", RESTORED}):
                path.unlink()
        before = self._deployed()
        for name, content in {**FILES, "serverless.yml": TEMPLATE.replace("NAME", self.service.name)}.items():
            (self.service / name).write_text(content)
        if before != self._deployed():
            self.until("✓ sls deploy")
        said = ""
        while RESTORED not in said:  # what is saved during a deployment may be a part of it, and two may follow
            self.save(RESTORED, f"AT = {time.time()}\n")
            said = self.until(f"✓ (.*{RESTORED}.* after|sls deploy)")

    def _deployed(self) -> list[str]:
        return [(self.service / name).read_text() for name in DEPLOYED]

    def starts_of_the_cli(self) -> int:
        """How often the Serverless CLI was started."""
        return len((self.service.parents[1] / "starts").read_text().splitlines())

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(PATIENCE_S)


@pytest.fixture(scope="session")
def dev_root(tmp_path_factory: pytest.TempPathFactory, make_root: Callable[[Path, str], str]) -> tuple[Path, str]:
    """A root with a toolchain, and the PATH that has it."""
    root = tmp_path_factory.mktemp("dev root")
    return root, make_root(root, CLI)


@pytest.fixture
def make_dev(made_dev: Callable[..., Dev]) -> Iterator[Callable[..., Dev]]:
    """As `made_dev`, for the time of a test."""
    begun: list[Dev] = []

    def make(*arguments: str) -> Dev:
        begun.append(made_dev(*arguments))
        return begun[-1]

    yield make
    for each in begun:
        each.stop()


@pytest.fixture(scope="session")
def made_dev(dev_root: tuple[Path, str], cloud: LocalCloud) -> Iterator[Callable[..., Dev]]:
    """Begin a session on a new service, and wait until it watches."""
    begun: list[Dev] = []
    root, path = dev_root

    def make(*arguments: str) -> Dev:
        service = root / "of its own" / f"shop{uuid.uuid4().hex[:8]}"
        service.mkdir(parents=True)
        (service.parent / "shared.yml").touch()
        for name, content in {**FILES, "serverless.yml": TEMPLATE.replace("NAME", service.name)}.items():
            (service / name).parent.mkdir(parents=True, exist_ok=True)
            (service / name).write_text(content)
        begun.append(Dev(service, cloud.state.root, path, cloud.endpoint.client("lambda"), *arguments))
        if "unknown" not in arguments:
            begun[-1].until("Watching")
        return begun[-1]

    yield make
    for each in begun:
        each.stop()
        shutil.rmtree(each.service)


@pytest.fixture(scope="session")
def shared_dev(made_dev: Callable[..., Dev]) -> Dev:
    return made_dev()


@pytest.fixture
def dev(shared_dev: Dev) -> Dev:
    """A session that several tests share; each finds the service's code as it was at first."""
    shared_dev.restore()
    return shared_dev
