"""The parts of the main job one by one: a cloud in the background, its status, events for it, its end."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from rich.text import Text

from stream_cli.errors import CommandError
from stream_cli.local.deploy import NOTHING_RUNS
from stream_cli.local.start import reached, start_cloud, tries_of
from stream_cli.local.state import StateFolder, end_process, is_alive
from stream_cli.terminal.output import print_line
from stream_cli.terminal.progress import Steps, console_for

# Without the emulator there is no cloud; what stands beside it can be started again.
REVIVED = frozenset({"deliveries", "mappings"})
PARTS = frozenset({"emulator", *REVIVED})

_STOP_TIMEOUT_S = 30.0
_POLL_S = 0.1
_REVIVAL_S = 0.5


def start_in_background(state: StateFolder, port: int | None, services: Path) -> int:
    """Start a cloud that outlives this command, and wait until the services are deployed.

    Where one runs already, see that all of its parts do.

    Raises:
        CommandError: one runs at another port, or this one did not come up.
    """
    running = state.cloud()
    if running is not None:
        return _already_up(state, running, port)
    state.logs.mkdir(parents=True, exist_ok=True)
    log = state.root / "serve.log"
    with log.open("wb") as output:
        serving = subprocess.Popen(
            [
                *(sys.executable, "-m", "stream_cli.cli", "serve"),
                *("--state", str(state.root), "--services", str(services)),
                *(["--port", str(port)] if port else []),
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    shown_bytes = 0
    try:
        while True:
            text = log.read_bytes()
            sys.stdout.buffer.write(text[shown_bytes:])
            sys.stdout.flush()
            shown_bytes = len(text)
            if serving.poll() is not None:
                raise CommandError(f"The cloud did not come up. All it said is in {log}.")
            running = state.cloud()
            if running is not None and running.get("deployed"):
                return 0
            time.sleep(_POLL_S)
    except BaseException:
        if serving.poll() is None:
            serving.terminate()
            serving.wait(_STOP_TIMEOUT_S)
        raise


def _already_up(state: StateFolder, running: dict[str, Any], port: int | None) -> int:
    if port not in {None, running["port"]}:
        raise CommandError(f"A local cloud already runs in {state.root}, at {running['endpoint']}.")
    deadline = time.monotonic() + _STOP_TIMEOUT_S
    # Its owner starts again what has ended; that takes it a moment.
    while missing := PARTS - _alive(state).keys():
        if state.cloud() is None or time.monotonic() > deadline:
            raise CommandError(
                f"{', '.join(sorted(missing))} of the cloud in {state.root} has stopped; see {state.logs}."
            )
        time.sleep(_POLL_S)
    print_line(f"It runs already, at {running['endpoint']}.")
    return 0


def _alive(state: StateFolder) -> dict[str, int]:
    return {
        name: record["child"]["pid"]
        for name, record in state.records().items()
        if is_alive(record["child"]["pid"], record["child"]["started"])
    }


def serve(state: StateFolder, port: int | None, services: Path) -> int:
    """Be the cloud until told to stop. Deliveries and mapping engine are started again when they end.

    Both lose nothing by it: the one deletes an event after its delivery, the other goes on from its checkpoints.

    Raises:
        CommandError: it did not come up, or a process of it has died.
    """
    console = console_for(as_json=False)
    with contextlib.ExitStack() as running:
        with Steps(console) as steps:
            cloud = start_cloud(running, state, port, services, steps)
        console.print(Text(reached(cloud.endpoint, tries_of(cloud.endpoint))), soft_wrap=True)
        cloud.announce(deployed=True)
        while True:
            for name in cloud.supervisor.revive(REVIVED):
                console.print(Text(f"{name} had stopped and was started again; see {state.log(name)}."))
            time.sleep(_REVIVAL_S)


def stop(state: StateFolder) -> int:
    """End the cloud of the folder; whatever a killed one has left is cleared away too.

    Raises:
        CommandError: it did not end.
    """
    running = state.cloud()
    if running is not None:
        end_process(running["owner"]["pid"], running["owner"]["started"], group=False, grace_s=_STOP_TIMEOUT_S)
    if state.root.is_dir():
        # Owning the folder clears it.
        with state.owned():
            pass
    print_line("Stopped; nothing is left running." if running else f"Nothing runs in {state.root}.")
    return 0


def show_status(state: StateFolder, as_json: bool) -> int:
    """Say what runs; returns 0 when a cloud runs, 3 when none does."""
    running = state.cloud()
    processes = _alive(state)
    if as_json:
        content = {"running": running is not None, "cloud": running, "processes": processes, "logs": str(state.logs)}
        print_line(json.dumps(content))
    elif running is None:
        print_line(f"Nothing runs in {state.root}.")
    else:
        deployed = "" if running.get("deployed") else " (being started)"
        print_line(f"{running['endpoint']}, process {running['owner']['pid']}{deployed}")
        for name, pid in processes.items():
            print_line(f"  {name:<16} process {pid}, log {state.log(name)}")
    return 0 if running is not None else NOTHING_RUNS
