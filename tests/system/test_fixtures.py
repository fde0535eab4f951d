"""Every fixture of every service, run as the READMEs show against a local cloud, gives what stands beside it.

Copied from a README are the lines that set the environment and put objects where they are needed; its table gives the
order. `sls invoke local` shows what a function answers and logs; what it publishes comes out of the hub's bus.

The CLI takes longer to read the service than the function to run. So it runs the first fixture of each service, and in
the same process it then starts the Python of each other function, which notes how it was started and does no more. The
other fixtures run like that: by the same program, with the same arguments and environment, in the same folder, with
their event, each in a process of its own. That is forked from one that has not run the function: it has imported its
module, and what the events before made it import. `THOROUGH=1 pytest tests/system/test_fixtures.py` has the
CLI run all.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from stream_cli.deployment import serverless
from stream_runtime.testing import includes

pytestmark = pytest.mark.system

ROOT = Path(__file__).resolve().parents[2]
COMPILED = Path(serverless.__file__).with_name("compiled.cjs")
AT_ONCE = 2
ARRIVED_WITHIN_S = 30.0
AWS = """#!{python}
# `aws s3 cp FILE s3://BUCKET/KEY`, for a machine without the AWS CLI.
import sys
import boto3
service, command, source, target = sys.argv[1:]
assert (service, command) == ("s3", "cp"), sys.argv
boto3.client("s3").upload_file(source, *target.removeprefix("s3://").split("/", 1))
"""


# In the place of the Python that the CLI starts: writes down how it was started, and runs it if it is the first.
PYTHON = """#!/bin/sh
set -e
made="{started}/$AWS_LAMBDA_FUNCTION_NAME"
mkdir "$made"
cat > "$made/input"
env -0 > "$made/environment"
printf '%s\\0' "$@" > "$made/arguments"
[ -z "$ONLY_NOTED" ] || exit 0
exec "{python}" "$@" < "$made/input"
"""


# Loaded before the CLI: when it has invoked a function, it does the same for others, each as if it were the first.
OTHERS = """
const Module = require('node:module');
const load = Module._load;
Module._load = function (request, ...rest) {
  const found = load.call(this, request, ...rest);
  if (/aws[\\\\/]invoke-local(\\/index\\.js)?$/.test(request)) {
    Module._load = load;
    const { invokeLocal, loadEnvVars } = found.prototype;
    let before;
    found.prototype.loadEnvVars = function () {
      before = { ...process.env };
      return loadEnvVars.call(this);
    };
    found.prototype.invokeLocal = async function () {
      const ran = await invokeLocal.call(this);
      for (const [name, path] of JSON.parse(process.env.OTHERS)) {
        for (const variable of Object.keys(process.env)) delete process.env[variable];
        Object.assign(process.env, before, { ONLY_NOTED: '1' });
        Object.assign(this.options, { function: name, path, data: undefined });
        await this.extendedValidate();
        await loadEnvVars.call(this);
        await invokeLocal.call(this);
      }
      return ran;
    };
  }
  return found;
};
"""
OF_THIS_TEST = ("OTHERS=", "ONLY_NOTED=", "NODE_OPTIONS=")


# Runs the CLI's program for one event after the other. A line of input is one, {"function": its name, "program": the
# CLI's arguments, "environment", "folder", "given": the file with the event, "printed": that for what is printed}; a
# line of output is its exit code. Each function has a process, forked from this one, that has imported its module; each
# event has one, forked from the function's. What an event makes a function import, and the descriptions that it makes
# botocore read, the function's process has for the next one, and this one for the next function what is boto3's.
FORKING = """
import functools, importlib, json, logging, os, pathlib, runpy, sys
PROVIDED = ('boto3', 'botocore', 's3transfer', 'urllib3')
OF_BOTOCORE = '/botocore/data/'

def ask(process, line):
    print(line, end='', file=process[0], flush=True)
    return json.loads(process[1].readline())

def warm(names, paths):
    for name in names:
        importlib.import_module(name)
    if paths:
        loader = importlib.import_module('botocore.loaders').JSONFileLoader
        if not hasattr(loader, 'read_once'):
            loader.read_once = functools.cache(functools.partial(loader.load_file, loader()))
            loader.load_file = lambda self, path: loader.read_once(path)
        for path in paths:
            loader.read_once(path)

def begin(function):
    for_it, of_it = os.pipe(), os.pipe()
    if not os.fork():
        os.close(for_it[1])
        os.close(of_it[0])
        serve(function, open(for_it[0]), open(of_it[1], 'w'))
    os.close(for_it[0])
    os.close(of_it[1])
    return open(for_it[1], 'w'), open(of_it[0])

def serve(function, lines, answers):
    os.dup2(2, 1)
    os.environ.clear()
    os.environ.update(function['environment'])
    os.chdir(function['folder'])
    program, module, handler = sys.argv = function['program']
    sys.path[:1] = [os.path.dirname(program)]
    sys.path.append('.')
    logging.basicConfig()  # as the program does before the import
    importlib.import_module(module.replace('/', '.'))
    sys.path.pop()
    for line in lines:
        event = json.loads(line)
        told = pathlib.Path(event['printed'] + '.imported')
        child = os.fork()
        if not child:
            run(program, event, told)
        exit_code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        names, paths = json.loads(told.read_text())
        warm(names, paths)
        provided = [name for name in names if name.startswith(PROVIDED)]
        print(json.dumps([exit_code, provided, paths]), file=answers, flush=True)
    sys.exit()

def run(program, event, told):
    os.dup2(os.open(event['printed'], os.O_WRONLY | os.O_CREAT), 1)
    os.dup2(1, 2)
    sys.stdin = open(event['given'])
    os.dup2(sys.stdin.fileno(), 0)
    before, read = set(sys.modules), []
    sys.addaudithook(lambda what, of: what == 'open' and OF_BOTOCORE in str(of[0]) and read.append(of[0]))
    exit_code = 0
    try:
        runpy.run_path(program, run_name='__main__')
    except BaseException:
        sys.excepthook(*sys.exc_info())
        exit_code = 1
    names = [name for name in sys.modules if name not in before and has_file(sys.modules[name])]
    paths = dict.fromkeys(path.partition('.json')[0] for path in read)
    told.write_text(json.dumps([names, [*paths]]))
    sys.stdout.flush()
    os._exit(exit_code)  # the interpreter's own end, which frees what is shared, takes as long as the function

def has_file(module):
    return getattr(getattr(module, '__spec__', None), 'has_location', False)

processes = {}
for line in sys.stdin:
    function = json.loads(line)
    if function['function'] not in processes:
        processes[function['function']] = begin(function)
    exit_code, *learned = ask(processes[function['function']], line)
    warm(*learned)
    print(exit_code, flush=True)
for to_it, _ in processes.values():
    to_it.close()
for _ in processes:
    os.wait()
"""


@dataclass(frozen=True)
class Fixture:
    """A file of tests/fixtures that a function takes."""

    service: str
    function: str
    name: str

    @property
    def line(self) -> str:
        """The command that runs it, as the READMEs show it."""
        return f"sls invoke local --stage local -f {self.function} -p tests/fixtures/{self.name}.json"

    @property
    def event(self) -> Any:
        path = ROOT / "services" / self.service / "tests" / "fixtures" / f"{self.name}.json"
        return json.loads(path.read_text(encoding="utf-8"))

    @property
    def expected(self) -> Any:
        path = ROOT / "services" / self.service / "tests" / "fixtures" / f"{self.name}.expected.json"
        return json.loads(path.read_text(encoding="utf-8"))


def test_section(service: str) -> str:
    """What the README of a service says of tests."""
    text = (ROOT / "services" / service / "README.md").read_text(encoding="utf-8")
    return re.split(r"^## ", text.partition("\n## Test\n")[2], flags=re.MULTILINE)[0]


test_section.__test__ = False  # type: ignore[attr-defined]


def lines_of(service: str, *commands: str) -> list[str]:
    """The lines of the README's shell that begin with one of the commands."""
    shell = "\n".join(re.findall(r"```bash\n(.*?)```", test_section(service), re.DOTALL))
    return [line for line in shell.splitlines() if line.startswith(commands)]


def fixtures_of(service: str) -> list[Fixture]:
    """All fixtures of a service in the order of the README's table."""
    order = re.findall(r"^\| `\w+` \| `([\w-]+)` \|", test_section(service), re.MULTILINE)
    folder = ROOT / "services" / service / "tests" / "fixtures"
    names = [path.stem for path in folder.glob("*.json") if not path.stem.endswith(".expected")]
    return [Fixture(service, name.partition("-")[0], name) for name in sorted(names, key=order.index)]


SERVICES = sorted(path.name for path in (ROOT / "services").iterdir() if (path / "tests" / "fixtures").is_dir())
FIXTURES = [fixture for service in SERVICES for fixture in fixtures_of(service)]
each_fixture = pytest.mark.parametrize("fixture", FIXTURES, ids=lambda fixture: f"{fixture.service}-{fixture.name}")


@dataclass
class Ran:
    """What has come of all fixtures."""

    outputs: dict[Fixture, subprocess.CompletedProcess[str]]
    events: list[dict[str, Any]]
    endpoint: str

    def answer(self, fixture: Fixture) -> Any:
        """The value among what is printed; lines of the log, which come through another pipe, may stand behind it."""
        text = "\n" + self.outputs[fixture].stdout
        value, _ = json.JSONDecoder().raw_decode(text, text.rindex("\n{\n") + 1)
        return value


def client(service: str, endpoint: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


class Queue:
    """Takes all that is put on the hub's bus."""

    def __init__(self, endpoint: str) -> None:
        self._sqs = client("sqs", endpoint)
        allow = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": {**allow, "Resource": "*"}})
        self._url = self._sqs.create_queue(QueueName="fixtures", Attributes={"Policy": policy})["QueueUrl"]
        arn = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        bus = {"Rule": "fixtures", "EventBusName": "event-hub-local-bus"}
        events = client("events", endpoint)
        events.put_rule(Name="fixtures", EventBusName=bus["EventBusName"], EventPattern='{"source": ["custom"]}')
        events.put_targets(**bus, Targets=[{"Id": "queue", "Arn": arn}])

    def read(self) -> Iterator[dict[str, Any]]:
        """What has come since it was last read."""
        while batch := self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10).get("Messages"):
            for message in batch:
                yield json.loads(message["Body"])["detail"]
                self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])


class Shell:
    """A terminal of somebody who has installed a service's requirements and the Serverless CLI."""

    def __init__(self, port: int, folder: Path) -> None:
        self._port = port
        self._bash = shutil.which("bash") or "sh"
        variables = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        tools = [str(Path(sys.executable).parent), str(ROOT / "node_modules" / ".bin"), variables["PATH"]]
        self._variables = {**variables, "VIRTUAL_ENV": sys.prefix, "PATH": os.pathsep.join(tools)}
        self._variables["NODE_COMPILE_CACHE"] = str(ROOT / ".build" / "cache" / "node")  # as deployments do
        self._of_this_thread = threading.local()
        self._forking: list[subprocess.Popen[str]] = []
        self._folder = folder
        if self._run("aws --version", folder).returncode != 0:
            stand_in = folder / "aws"
            stand_in.write_text(AWS.format(python=sys.executable))
            stand_in.chmod(0o755)
            self._variables["PATH"] = os.pathsep.join([str(folder), self._variables["PATH"]])

    def run(self, line: str, service: str) -> subprocess.CompletedProcess[str]:
        """Run a line in the folder of a service, with the environment that its README shows."""
        (export,) = lines_of(service, "export AWS_")
        assert ":4566" in export
        return self._run(f"{export.replace(':4566', f':{self._port}')}\n{line}", ROOT / "services" / service)

    def invoke(self, fixture: Fixture) -> subprocess.CompletedProcess[str]:
        """Run the line of a fixture; or what the CLI has started for the function before, with this event."""
        if "THOROUGH" in os.environ:
            return self.run(fixture.line, fixture.service)
        started = self._folder / "started" / fixture.service
        if not started.exists():
            return self._start(fixture, started)
        made = started / f"{fixture.service}-local-{fixture.function}"
        event, printed = made / f"{fixture.name}.json", made / f"{fixture.name}.printed"
        event.write_text(json.dumps({**json.loads((made / "input").read_text()), "event": fixture.event}))
        words, variables = ((made / name).read_text().split("\0")[:-1] for name in ("arguments", "environment"))
        unbuffered, *program = words
        assert unbuffered == "-u"
        asked = {
            "function": made.name,
            "program": program,
            "environment": dict(each.split("=", 1) for each in variables if not each.startswith(OF_THIS_TEST)),
            "folder": str(ROOT / "services" / fixture.service),
            "given": str(event),
            "printed": str(printed),
        }
        forking = self._forking_of_this_thread()
        assert forking.stdin
        assert forking.stdout
        print(json.dumps(asked), file=forking.stdin, flush=True)
        exit_code = forking.stdout.readline()
        assert exit_code, f"{made.name} could not be imported"
        # The CLI prints both as one.
        return subprocess.CompletedProcess([str(event)], int(exit_code), printed.read_text(), "")

    def _start(self, fixture: Fixture, started: Path) -> subprocess.CompletedProcess[str]:
        """Run the line of a fixture, and note how the CLI starts each function of the service."""
        program = started / "environment" / "bin" / "python3"
        program.parent.mkdir(parents=True)
        program.write_text(PYTHON.format(started=started, python=sys.executable))
        program.chmod(0o755)
        (started / "others.cjs").write_text(OTHERS)
        first = {each.function: each.name for each in reversed(fixtures_of(fixture.service))}
        others = [(name, f"tests/fixtures/{first[name]}.json") for name in first if name != fixture.function]
        variables = {
            "VIRTUAL_ENV": str(program.parents[1]),
            "NODE_OPTIONS": " ".join(f'--require="{each}"' for each in (COMPILED, started / "others.cjs")),
            "OTHERS": json.dumps(others),
        }
        exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())
        return self.run(exports + fixture.line, fixture.service)

    def _forking_of_this_thread(self) -> subprocess.Popen[str]:
        """The process that runs functions as the CLI has started them."""
        if not hasattr(self._of_this_thread, "forking"):
            command = [sys.executable, "-u", "-c", FORKING]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            self._of_this_thread.forking = process
            self._forking.append(process)
        forking: subprocess.Popen[str] = self._of_this_thread.forking
        return forking

    def close(self) -> None:
        """End what still runs."""
        for process in self._forking:
            process.communicate(timeout=60)

    def _run(self, lines: str, folder: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self._bash, "-c", lines],
            cwd=folder,
            env=self._variables,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )


def run_service(shell: Shell, service: str) -> dict[Fixture, subprocess.CompletedProcess[str]]:
    for line in lines_of(service, "aws "):
        copied = shell.run(line, service)
        assert copied.returncode == 0, f"{line}\n{copied.stdout}{copied.stderr}"
    return {fixture: shell.invoke(fixture) for fixture in fixtures_of(service)}


def published_by(fixture: Fixture) -> set[tuple[str, str]]:
    """Type and function of what a fixture puts on the bus."""
    function = f"{fixture.service}-local-{fixture.function}"
    return {(event_type, function) for event_type in fixture.expected.get("publishes", [])}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, running: Any) -> Ran:
    folder = tmp_path_factory.mktemp("fixtures")
    cloud = json.loads(running.run_here("status", "--json").stdout)["cloud"]
    queue, shell = Queue(cloud["endpoint"]), Shell(cloud["port"], folder)
    outputs: dict[Fixture, subprocess.CompletedProcess[str]] = {}
    with contextlib.closing(shell), concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        longest_first = sorted(SERVICES, key=lambda service: -len(fixtures_of(service)))
        for done in pool.map(lambda service: run_service(shell, service), longest_first):
            outputs.update(done)
    wanted = {event for fixture in FIXTURES for event in published_by(fixture)}
    events: list[dict[str, Any]] = []
    deadline = time.monotonic() + ARRIVED_WITHIN_S
    while time.monotonic() < deadline and wanted - {type_and_function(event) for event in events}:
        events.extend(queue.read())
    return Ran(outputs, events, cloud["endpoint"])


def type_and_function(event: dict[str, Any]) -> tuple[str, str]:
    return event["type"], event["tags"]["functionname"]


@each_fixture
def test_a_fixture_returns_and_publishes_what_its_expected_file_says(ran: Ran, fixture: Fixture) -> None:
    output, expected = ran.outputs[fixture], fixture.expected
    if "raises" in expected:
        assert output.returncode != 0
        assert f"{expected['raises']}: " in output.stdout + output.stderr
        return
    assert output.returncode == 0, output.stdout + output.stderr
    assert includes(expected["returns"], ran.answer(fixture)), output.stdout

    assert published_by(fixture) <= {type_and_function(event) for event in ran.events}
    faults = re.findall(r"fault (\S+) in pipeline", output.stdout)
    assert len(faults) == expected.get("publishes", []).count("fault"), output.stdout
    assert set(faults) <= {event["id"] for event in ran.events}


@pytest.mark.parametrize("service", SERVICES)
def test_the_table_of_a_readme_lists_the_fixtures_that_ran(service: str) -> None:
    shown = lines_of(service, "sls ")
    assert shown
    assert set(shown) <= {fixture.line for fixture in fixtures_of(service)}


@each_fixture
def test_expected_files_have_the_fields_that_the_readme_describes(fixture: Fixture) -> None:
    expected = fixture.expected
    assert ("returns" in expected) != ("raises" in expected)
    for name in expected.keys() - {"returns", "raises"}:
        assert f"`{name}`" in test_section(fixture.service)


@pytest.mark.parametrize("service", SERVICES)
def test_a_fixture_comes_after_those_that_it_needs(service: str) -> None:
    names: list[str] = []
    for fixture in fixtures_of(service):
        assert set(fixture.expected.get("after", [])) <= set(names), fixture.name
        names.append(fixture.name)


def test_the_faults_of_the_copied_object_are_counted(ran: Ran) -> None:
    folder = ROOT / "services" / "event-fault-monitor" / "tests" / "fixtures"
    (record,) = json.loads((folder / "trigger-faults.json").read_text())["Records"]
    bucket, entity = record["s3"]["bucket"]["name"], record["s3"]["object"]
    counted = client("dynamodb", ran.endpoint).get_item(
        TableName="event-fault-monitor-local-ledger",
        Key={"pk": {"S": f"{bucket}/{entity['key']}#{entity['eTag']}"}},
    )["Item"]
    assert counted["status"] == {"S": "counted"}
    logged = {
        fixture.name: output.stdout
        for fixture, output in ran.outputs.items()
        if fixture.service == "event-fault-monitor"
    }
    assert "line 4 is no fault event" in logged["trigger-faults"]
    assert [name for name, text in logged.items() if " is gone" in text] == ["trigger-deleted"]
