"""Gives compiled templates to the tests."""

import hashlib
import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from stream_cli.deployment.serverless import find_toolchain

from tests.templates.stacks import (
    AT_A_TIME,
    COMPILED,
    ROOT,
    Stack,
    compiled_or_error,
    get_stack,
    kept,
    package_elsewhere,
)

# For each line of stdin, {"program", "given"}: what the body of an async function returns, or the message of its error.
PROGRAMS = """
const { createInterface } = require('node:readline');
const run = ({ program, given }) => Function('require', 'given', `return (async () => {${program}})()`)(require, given);
createInterface({ input: process.stdin }).on('line', async (line) => {
  const told = await run(JSON.parse(line)).then((made) => ({ made }), (error) => ({ error: error.message }));
  console.log(JSON.stringify(told));
});
"""


def reported(tool: str, inputs: Mapping[str, Any], ask: Callable[[], Any]) -> Any:
    """The report of a slow tool as JSON, of which the version is among the inputs; asked for where one has changed."""
    key = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:16]

    def make(new: Path) -> None:
        (new / "out").mkdir()
        (new / "out" / "report.json").write_text(json.dumps(ask()))

    return json.loads((kept(ROOT / ".build" / "templates" / "reports" / tool, key, make) / "report.json").read_text())


@pytest.fixture(scope="session")
def stacks(request: pytest.FixtureRequest) -> list[Stack]:
    """All services that the collected tests ask for and that compile."""
    wanted = {
        tuple(item.callspec.params["compiled"])
        for item in request.session.items
        if hasattr(item, "callspec") and "compiled" in item.callspec.params
    } or set(COMPILED)
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        made = pool.map(lambda which: compiled_or_error(*which), sorted(wanted))
        return [each for each in made if isinstance(each, Stack)]


@pytest.fixture(
    params=COMPILED,
    ids=lambda which: "-".join(which),
)
def compiled(request: pytest.FixtureRequest) -> tuple[str, str]:
    """The service and the stage that a test checks."""
    return request.param


@pytest.fixture
def stack(compiled: tuple[str, str]) -> Stack:
    """The compiled template of one service for one stage."""
    return get_stack(*compiled)


@pytest.fixture
def elsewhere(stack: Stack) -> Path:
    """What comes of the same service when all that must not matter is another."""
    return package_elsewhere(stack)


@pytest.fixture(scope="session")
def report() -> Callable[[str, Mapping[str, Any], Callable[[], Any]], Any]:
    """Gives the report of a slow tool."""
    return reported


@pytest.fixture(scope="session")
def with_node() -> Iterator[Callable[[str, Any], dict[str, Any]]]:
    """Runs a program with Node.js, the body of an async function: gives {"made": what it returned} or {"error"}."""
    node = [find_toolchain(ROOT).node, "-e", PROGRAMS]
    pipe = subprocess.PIPE
    with subprocess.Popen(node, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, text=True) as server:
        assert server.stdin
        assert server.stdout
        given, told = server.stdin, server.stdout

        def run(program: str, what: Any) -> dict[str, Any]:
            print(json.dumps({"program": program, "given": what}), file=given, flush=True)
            answer = told.readline()
            assert answer.startswith("{"), answer + told.read()
            return json.loads(answer)

        yield run
        given.close()
        assert (told.read(), server.wait(timeout=60)) == ("", 0)


@pytest.fixture
def stack_of() -> Callable[[str, str], Stack]:
    """Returns the compiled template of a named service and stage."""
    return get_stack


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything below this folder runs the Serverless CLI."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker("packaging")
