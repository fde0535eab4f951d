"""Cold starts of the services' functions: a fresh process imports one and gives it its first invocation, a fixture."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import feed
import loopback
from case import Case, Floor, Variant, slower

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ROOT / "services"
RUNTIME = ROOT / "libs" / "stream_runtime" / "src"
BYTECODE = ROOT / "libs" / "stream_cli" / "src" / "stream_cli" / "deployment" / "bytecode.py"
BOTO3 = "import boto3, its client of DynamoDB, a call"

FUNCTIONS = {
    "control-service listener": ("control.handlers.listener", "listener-story-submitted"),
    "control-service trigger": ("control.handlers.trigger", "trigger-collected"),
    "control-service job": ("control.handlers.job", "job-schedule"),
    "event-fault-monitor trigger": ("fault_monitor.handlers.trigger", "trigger-faults"),
    "event-hub ingress, custom event": ("event_hub.handlers.ingress", "ingress-custom"),
    "event-hub ingress, CSV object": ("event_hub.handlers.ingress", "ingress-object"),
    "rest-bff-service listener": ("rest_bff.handlers.listener", "listener-story-ready"),
    "rest-bff-service trigger": ("rest_bff.handlers.trigger", "trigger-story-created"),
    "rest-bff-service dashboard": ("rest_bff.handlers.dashboard", "dashboard-story-ready"),
    "rest-bff-service outbox": ("rest_bff.handlers.outbox", "outbox-message"),
    "rest-bff-service rest, GET": ("rest_bff.handlers.rest", "rest-list"),
    "rest-bff-service rest, POST": ("rest_bff.handlers.rest", "rest-create"),
}
"""The module of each function, and the fixture that it gets."""

PACKAGED = "control-service listener"
PACKAGE_BYTES = 770_000
"""The package of control-service without compiled modules."""
PLAIN, COMPILED = (f"{PACKAGED}, from a package {how} compiled modules" for how in ("without", "with"))

LEAN = {
    *("control-service listener", "control-service trigger", "control-service job"),
    *("rest-bff-service listener", "rest-bff-service trigger", "rest-bff-service dashboard"),
}
"""Functions that need neither boto3 (for S3, SNS, CloudWatch) nor pydantic."""

ENVIRONMENT = {
    "ACCESS": "open",
    "AWS_SNS_TOPIC_PREFIX": "arn:aws:sns:us-east-1:000000000000:",
    "BUS_NAME": "bus",
    "TTL_DAYS": "7",
    "DASHBOARD_TABLE_NAME": "dashboard",
    "ENTITY_TABLE_NAME": "entities",
    "EVENT_TABLE_NAME": "events",
    "INCOMPLETE_AFTER_SECONDS": "60",
    "LEDGER_TABLE_NAME": "ledger",
    "METRIC_NAMESPACE": "faults",
    "ROW_ENTITY": "order",
    "ROW_EVENT_TYPE": "order-submitted",
    "SERVICE": "benchmark",
    "STAGE": "benchmark",
    "TOMBSTONE_DAYS": "1",
}


def timed(load: Callable[[], Callable[[], object]]) -> Callable[[], dict[str, float]]:
    """Measure the import of a function and its first call."""

    def work() -> dict[str, float]:
        modules, wall, cpu = len(sys.modules), time.perf_counter(), time.process_time()
        call = load()
        imported = time.process_time()
        call()
        return {
            "cpu_ms": 1000 * (time.process_time() - cpu),
            "of that import": 1000 * (imported - cpu),
            "wall_ms": 1000 * (time.perf_counter() - wall),
            "modules": len(sys.modules) - modules,
        }

    return work


def of_function(name: str) -> Callable[[], Callable[[], dict[str, float]]]:
    def prepare() -> Callable[[], dict[str, float]]:
        folder = SERVICES / name.partition(" ")[0]
        module, fixture = FUNCTIONS[name]
        event = json.loads((folder / "tests" / "fixtures" / f"{fixture}.json").read_text())
        sys.path.insert(0, str(folder))

        def load() -> Callable[[], object]:
            handler = importlib.import_module(module).handler
            return lambda: handler(event, feed.Context())

        return timed(load)

    return prepare


def from_package(compiled: bool) -> Callable[[], Callable[[], dict[str, float]]]:
    """The listener and the runtime from the files of a package, which is read-only on Lambda."""

    def prepare() -> Callable[[], dict[str, float]]:
        sys.dont_write_bytecode = True
        work = of_function(PACKAGED)()
        sys.path[0] = str(Path(os.environ["PACKAGES"], "compiled" if compiled else "plain"))
        return work

    return prepare


def make_packages(folder: Path) -> None:
    """Unpack control-service and the runtime, with and without modules compiled by this Python."""
    service = SERVICES / PACKAGED.partition(" ")[0]
    package = folder / "package.zip"
    with zipfile.ZipFile(package, "w", zipfile.ZIP_DEFLATED) as zipped:
        for root in (service / "control", RUNTIME / "stream_runtime"):
            for path in sorted(root.rglob("*.py")):
                zipped.write(path, path.relative_to(root.parent))
        # What else the service has in its package counts, too: there is less room for compiled modules.
        zipped.writestr("filling", random.Random(1).randbytes(max(0, PACKAGE_BYTES - package.stat().st_size)))
    shutil.unpack_archive(package, folder / "plain")
    handlers = re.findall(r"^    handler: (.*)$", (service / "serverless.yml").read_text(), re.MULTILINE)
    version = "python{}.{}".format(*sys.version_info)
    subprocess.run([sys.executable, "-I", "-S", BYTECODE, package, version, *handlers], check=True)
    shutil.unpack_archive(package, folder / "compiled")


def boto3_alone() -> Callable[[], dict[str, float]]:
    """What any function by hand pays, before it does anything of its own."""

    def load() -> Callable[[], object]:
        import boto3

        key = {"pk": {"S": "1"}, "sk": {"S": "story"}}
        return lambda: boto3.client("dynamodb").delete_item(TableName="entities", Key=key)

    return timed(load)


@contextlib.contextmanager
def aws() -> Iterator[Mapping[str, str]]:
    """AWS that answers at once, and the environment of all functions."""
    with loopback.answering(after_s=0) as url, tempfile.TemporaryDirectory(prefix="packages-") as folder:
        make_packages(Path(folder))
        yield loopback.environment(url) | ENVIRONMENT | {"PACKAGES": folder}


CASE = Case(
    name="cold_start",
    title="Cold starts of the services' functions: import and first invocation in a fresh process",
    variants=(
        *(Variant(name, of_function(name)) for name in FUNCTIONS),
        Variant(PLAIN, from_package(compiled=False)),
        Variant(COMPILED, from_package(compiled=True)),
        Variant(BOTO3, boto3_alone),
    ),
    floors=(
        *(
            Floor(
                f"{name}: CPU of boto3 and one call",
                slower("cpu_ms", than=BOTO3, variant=name),
                at_most=0.33 if name in LEAN else None,
            )
            for name in FUNCTIONS
        ),
        Floor(
            f"{PACKAGED}: CPU with compiled modules in its package, of that without",
            slower("cpu_ms", than=PLAIN, variant=COMPILED),
            at_most=0.6,
        ),
    ),
    rounds=5,
    fresh=True,
    surroundings=aws,
)
