"""How long it takes from a save until the new code answers, in a session of `streamctl dev` that follows a service.

The hub and a copy of control-service run in a local cloud. Each save writes another answer into the job's handler, by a
rename as editors do; the job is invoked until it answers so.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from statistics import median

from case import Case, Floor, Variant, figure

ROOT = Path(__file__).resolve().parents[2]
SAVES = 20
SAVED = "a save"
HANDLER = "control/handlers/job.py"
FUNCTION = "control-service-local-job"
FOLDER = "BENCH_FOLDER"
PATIENCE_S = 60.0
APART_S = 0.3
ASKED_EVERY_S = 0.02
KEPT = ("PATH", "HOME", "TMPDIR", "LANG")


@contextlib.contextmanager
def followed() -> Iterator[Mapping[str, str]]:
    """A session that follows a copy of the service, in a cloud of its own."""
    with tempfile.TemporaryDirectory(prefix="bench-dev-") as name:
        folder = Path(name)
        for service in ("event-hub", "control-service"):
            without = shutil.ignore_patterns(".*cache", "__pycache__")
            shutil.copytree(ROOT / "services" / service, folder / "services" / service, ignore=without)
        options = ["--state", str(folder / "state"), "--services", str(folder / "services")]
        streamctl = [sys.executable, "-m", "stream_cli.cli"]
        session = subprocess.Popen(
            [*streamctl, "dev", "control-service", *options],
            cwd=ROOT,
            env={**{name: os.environ[name] for name in KEPT if name in os.environ}, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            said = []
            for line in session.stdout or ():
                said.append(line)
                if "Watching" in line:
                    break
            else:
                raise RuntimeError("".join(said))
            yield {FOLDER: name, **endpoint(folder)}
        finally:
            session.send_signal(signal.SIGINT)
            session.communicate()
            subprocess.run([*streamctl, "down", *options[:2]], cwd=ROOT, stdout=subprocess.DEVNULL, check=False)


def endpoint(folder: Path) -> Mapping[str, str]:
    """The variables with which boto3 reaches the cloud."""
    from stream_cli.local.endpoint import LocalEndpoint

    return LocalEndpoint(int(json.loads((folder / "state/cloud.json").read_text())["port"])).environment


def saving() -> Callable[[], object]:
    """Save many times, and wait for each."""
    import boto3

    functions = boto3.client("lambda")
    handler = Path(os.environ[FOLDER]) / "services/control-service" / HANDLER
    content = handler.read_text()

    def answer() -> object:
        return json.loads(functions.invoke(FunctionName=FUNCTION, Payload=b"{}")["Payload"].read())

    def once(number: int) -> float:
        beside = handler.with_name(f".{handler.name}.swp")
        beside.write_text(f"{content}\n\ndef handler(event: Any, context: Any) -> int:\n    return {number}\n")
        began = time.monotonic()
        beside.rename(handler)
        while answer() != number:
            if time.monotonic() - began > PATIENCE_S:
                raise RuntimeError(f"save {number} does not answer after {PATIENCE_S:.0f} s")
            time.sleep(ASKED_EVERY_S)  # nothing tells that the new code is there; a call without a pause would slow it
        seconds = time.monotonic() - began
        time.sleep(APART_S)  # the session ends its work on one save before the next: it would take both for one
        return seconds

    def work() -> dict[str, float]:
        took = [once(number) for number in range(1, SAVES + 1)]
        return {"median_s": median(took), "worst_s": max(took)}

    return work


CASE = Case(
    name="dev",
    title=f"From a save to the new code answering, {SAVES} saves of a handler of control-service followed by `dev`",
    variants=(Variant(SAVED, saving),),
    floors=(
        Floor("the worst save", figure("worst_s", SAVED), at_most=1.5, unit="s"),
        Floor("the median", figure("median_s", SAVED), at_most=1.5, unit="s"),
    ),
    rounds=1,
    surroundings=followed,
)
