"""A service in a folder beside the repository: deployed, invoked, changed, rolled back and removed, beside the hub.

The cloud runs in an environment with a proxy, as in many companies. The proxy answers nothing, and is never asked.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from stream_cli.deployment import serverless
from stream_cli.local.cloud import attach
from stream_cli.local.state import StateFolder

pytestmark = pytest.mark.system

ROOT = Path(__file__).resolve().parents[2]
SLS = ROOT / "node_modules" / ".bin" / "sls"
# Other tests, which run at the same time, leave these in the services' folders; a deployment does not.
CACHE = re.compile(r"(^|/)(__pycache__|\.hypothesis|\.\w+_cache)/")


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def my_orders(running: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of control-service outside the repository, deployed."""
    mine = tmp_path_factory.mktemp("beside") / "my-orders"
    ignored = shutil.ignore_patterns(".serverless", "node_modules", "__pycache__", ".*_cache", ".hypothesis")
    shutil.copytree(ROOT / "services/control-service", mine, ignore=ignored)
    configuration = mine / "serverless.yml"
    configuration.write_text(configuration.read_text().replace("service: control-service", "service: my-orders", 1))
    before = files(mine)

    deployed = running.run("deploy", str(mine))
    assert deployed.returncode == 0, deployed.stdout + deployed.stderr
    assert deployed.stdout.startswith("deploy local in the local cloud at http://127.0.0.1:")
    assert files(mine) == before
    yield mine
    removed = running.run("remove", str(mine))
    assert removed.returncode == 0, removed.stdout + removed.stderr
    again = running.run_here("remove", str(mine))
    assert "not there" in again.stdout


def sls(running: Any, folder: Path, words: str) -> str:
    """Run the CLI for the stage local; gives what it printed."""
    ran = running.in_shell(f"'{SLS}' {words} --stage local", folder)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


def test_a_copy_of_a_deployed_service_has_its_files_and_nothing_that_was_built(running: Any, tmp_path: Path) -> None:
    """The hub of the repository is deployed."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    folder, made = ROOT / "services/event-hub", tmp_path / "made"
    known = subprocess.run(listed, cwd=folder, capture_output=True, text=True, check=True).stdout.split()
    with serverless.alone_in(folder, lambda: not time.sleep(0.1)):  # another test may deploy in it
        created = running.in_shell(f"'{SLS}' create --template-path '{folder}' --path '{made}' --name made")
    assert created.returncode == 0, created.stdout + created.stderr
    caches = {name for name in files(made) if CACHE.search(name)}
    assert files(made) - caches == set(known)


def test_a_service_beside_the_repository_is_invoked_and_looked_at(running: Any, my_orders: Path) -> None:
    poison = sls(running, my_orders, "invoke -f listener -p tests/fixtures/listener-poison.json --log")
    assert "no correlation key" in poison
    with ThreadPoolExecutor(2) as pool:
        logs, metrics = pool.map(lambda words: sls(running, my_orders, words), ["logs -f listener", "metrics"])
    assert "no correlation key" in logs
    assert re.search(r"invocations: [1-9]", metrics)


@pytest.mark.thorough  # `sls metrics` above asks for the same stack and functions
def test_a_service_beside_the_repository_tells_its_functions(running: Any, my_orders: Path) -> None:
    assert "trigger: my-orders-local-trigger" in sls(running, my_orders, "info")


@pytest.mark.thorough  # five commands of the CLI's own
def test_one_function_is_deployed_and_rolled_back_and_so_is_its_service(running: Any, my_orders: Path) -> None:
    functions = attach(StateFolder(running.state)).client("lambda")

    def deployed() -> dict[str, str]:
        found = functions.get_function_configuration(FunctionName="my-orders-local-trigger")
        return {"code": found["CodeSha256"], "role": found["Role"]}

    first = deployed()
    rules = my_orders / "control" / "rules" / "trigger.py"
    rules.write_text(rules.read_text() + "\nADDED = True\n")
    # What is deployed from now on is compared and not invoked, so pip need not install anything for it.
    (my_orders / "requirements.txt").unlink()

    assert "Function code deployed" in sls(running, my_orders, "deploy function -f trigger")
    assert deployed()["code"] != first["code"]
    assert deployed()["role"] == first["role"]

    sls(running, my_orders, "rollback function -f trigger --function-version 1")
    assert deployed() == first

    sls(running, my_orders, "deploy")
    assert deployed()["code"] != first["code"]
    timestamps = re.findall(r"Timestamp: (\d+)", sls(running, my_orders, "deploy list"))
    assert len(timestamps) == 2
    sls(running, my_orders, f"rollback --timestamp {timestamps[0]}")
    assert deployed() == first
