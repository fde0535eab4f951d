"""What checks say of themselves: what they could not know, and which changes `--watch` waits for."""

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stream_cli.checks.service.packaged import Service
from stream_cli.checks.service.published import Repository
from stream_cli.checks.unchecked import unchecked
from stream_cli.checks.watched import is_watched
from watchfiles import Change

Make = Callable[..., Service]
SERVICE = "service: shop\nprovider:\n  name: aws\n"


def test_a_function_without_fixtures_is_named(service: Make) -> None:
    assert unchecked([service()]) == ["what events do, as tests/fixtures has none, in worker"]


def test_a_function_with_fixtures_is_not_named(service: Make) -> None:
    assert unchecked([service(trial={})]) == []


def test_a_flavor_of_ones_own_is_named(service: Make, make_rule: Callable[..., Any]) -> None:
    rules = [make_rule("item-made", flavor="mine", known=False)]

    assert unchecked([service(trial={}, rules=rules)]) == ["what flavors of your own need, in worker (mine)"]


def test_what_a_function_that_cannot_be_imported_publishes_is_not_known(service: Make, tmp_path: Path) -> None:
    (tmp_path / "logic.py").write_text('READY = "item-ready"\n')

    def broken(error: str | None, *actions: str) -> Repository:
        statements = [{"Effect": "Allow", "Action": list(actions), "Resource": "*"}]
        return Repository([service(folder=tmp_path, handler={"error": error, "rules": None}, statements=statements)])

    assert broken("InvalidRule: no", "events:PutEvents").may_publish("item-ready")
    assert not broken("InvalidRule: no", "events:PutEvents").may_publish("item-lost")
    assert not broken("InvalidRule: no", "kinesis:GetRecords").may_publish("item-ready")
    assert not broken(None, "events:PutEvents").may_publish("item-ready")


def test_what_only_the_deployment_knows_is_named_once(service: Make) -> None:
    bus = {
        "Environment": {
            "Variables": {"BUS_NAME": {"Fn::ImportValue": "hub-bus"}, "BUS": {"Fn::ImportValue": "hub-bus"}}
        }
    }

    assert unchecked([service(trial={}, function=bus)]) == ["what other stacks give: hub-bus"]


@pytest.mark.parametrize(
    ("path", "counts"),
    [
        ("services/shop/shop/rules/listener.py", True),
        ("services/shop/resources/roles.yml", True),
        ("services/shop/__pycache__/a.pyc", False),
        ("services/shop/.serverless/serverless-state.json", False),
        ("services/shop/shop/rules/.listener.py.swp", False),
        ("services/shop/shop/rules/listener.py~", False),
    ],
)
def test_what_tools_and_editors_write_is_not_waited_for(path: str, counts: bool) -> None:
    assert is_watched(Change.modified, path) is counts


@pytest.mark.packaging
def test_a_saved_file_is_checked_again(tmp_path: Path) -> None:
    configuration = tmp_path / "serverless.yml"
    configuration.write_text(SERVICE)
    watching = subprocess.Popen(
        [sys.executable, "-m", "stream_cli.cli", "check", str(tmp_path), "--watch"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    said: queue.Queue[str] = queue.Queue()
    assert watching.stdout
    lines = watching.stdout

    def read() -> None:
        for each in lines:
            said.put(each)

    reading = threading.Thread(target=read)
    reading.start()

    def until(text: str) -> None:
        while text not in said.get(timeout=60):
            pass

    try:
        until("shop: nothing found")
        until("Watches ")
        configuration.write_text(SERVICE.replace("shop", "store"))
        until("store: nothing found")
        configuration.write_text(f"{SERVICE}custom: [\n")
        until("failed (1):\n")
        until("  Cannot parse")
        until("Watches ")
    finally:
        watching.send_signal(signal.SIGINT)
        code = watching.wait(30)
        reading.join()
        watching.stdout.close()
    assert code == 130
