"""A local cloud in the background: starting it, its status, ending it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stream_cli import private_files
from stream_cli.deployment.services import services_of_cloud
from stream_cli.errors import CommandError
from stream_cli.local.console import console_address
from stream_cli.local.deploy import NOTHING_RUNS, roll_out_stage, start_cloud
from stream_cli.local.ending import why
from stream_cli.local.endpoint import how_to_reach, tries_for
from stream_cli.local.state import StateFolder, end_process, is_alive, utc_now
from stream_cli.terminal.options import LOCAL
from stream_cli.terminal.output import console_for, lines, say, say_json, say_written
from stream_cli.terminal.progress import Steps

_EMULATOR = "emulator"
PARTS = frozenset({_EMULATOR, "deliveries", "mappings"})
CONSOLE = "console"
"""It is started again, too; but the cloud goes on without it."""

_STOP_TIMEOUT_S = 30.0
_POLL_S = 0.1
_REVIVAL_S = 0.5


def start_in_background(
    state: StateFolder,
    port: int | None,
    services: Path,
    names: Sequence[str] = (),
    *,
    iam: bool = True,
    fresh: bool = False,
) -> int:
    """Start a cloud that outlives this command, and wait until the services are deployed.

    Where a cloud runs already, check that all of its processes run, and deploy the services of ``names`` to it.

    Args:
        names: of the services that are deployed beside the hub, as of `choose_services`; without any, all.
        fresh: begin empty; without, go on with what the last cloud in the folder has left.

    Raises:
        CommandError: a cloud runs already and is to begin empty, or at another port or with another choice of
            ``iam``; or this one did not start.
    """
    running = state.cloud()
    if running is not None:
        if fresh:
            raise CommandError(f"A local cloud already runs in {state.root}. End it with `streamctl down` first.")
        code = _already_up(state, running, port, iam)
        return roll_out_stage("deploy", names, LOCAL, state, region=None, services=services) if names else code
    chosen = services_of_cloud(names, services)
    state.secure()
    state.record_death()
    log = state.serve_log
    if log.exists():
        log.replace(state.previous_serve_log)
    with private_files.open_to_append(log, emptied=True) as output:
        serving = subprocess.Popen(
            [
                *(sys.executable, "-m", "stream_cli.cli", "serve"),
                *("--state", str(state.root), "--services", str(services)),
                *(["--port", str(port)] if port else []),
                *(map(str, chosen) if names else []),
                *([] if iam else ["--no-iam"]),
                *(["--fresh"] if fresh else []),
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    shown = 0
    try:
        while True:
            shown += say_written(_from(log, shown))
            if serving.poll() is not None:
                raise CommandError(f"The cloud did not start. Its log is {log}.")
            running = state.cloud()
            if running is not None and running.get("deployed"):
                return 0
            time.sleep(_POLL_S)
    except BaseException:
        if serving.poll() is None:
            serving.terminate()
            serving.wait(_STOP_TIMEOUT_S)
        raise


def _already_up(state: StateFolder, running: dict[str, Any], port: int | None, iam: bool) -> int:
    if iam != running.get("iam", True):
        raise CommandError(
            f"A local cloud already runs in {state.root}, {_iam(running)}. End it with `streamctl down` first."
        )
    if port not in {None, running["port"]}:
        raise CommandError(f"A local cloud already runs in {state.root}, at {running['endpoint']}.")
    deadline = time.monotonic() + _STOP_TIMEOUT_S
    # Its owner restarts a process that has ended, which takes a moment.
    while missing := PARTS - _alive(state).keys():
        if state.cloud() is None or time.monotonic() > deadline:
            raise CommandError(
                f"{', '.join(sorted(missing))} of the cloud in {state.root} has stopped; see {state.logs}."
            )
        time.sleep(_POLL_S)
    address = console_address(state.console_file)
    say(f"It runs already, at {running['endpoint']}.", *([f"Console:  {address.url}"] if address else []))
    return 0


def _from(log: Path, start: int) -> bytes:
    with log.open("rb") as written:
        written.seek(start)
        return written.read()


def _alive(state: StateFolder) -> dict[str, int]:
    return {
        name: record["child"]["pid"]
        for name, record in state.records().items()
        if is_alive(record["child"]["pid"], record["child"]["started"])
    }


def serve(
    state: StateFolder,
    port: int | None,
    services: Path,
    names: Sequence[str] = (),
    *,
    iam: bool = True,
    fresh: bool = False,
) -> int:
    """Run the cloud until told to stop. A process that ends is started again, unless it ends again and again.

    None loses anything: the emulator goes on with what it has kept, the deliveries delete an event after its delivery,
    the engine goes on from its checkpoints.

    Raises:
        CommandError: the cloud did not start, or a process of it has died.
    """
    from stream_cli.local.troubles import Troubles

    console = console_for(as_json=False)
    with contextlib.ExitStack() as running:
        with Steps(console) as steps:
            cloud = start_cloud(running, state, port, services, steps, names=names, iam=iam, kept=True, fresh=fresh)
        reached = how_to_reach(cloud.endpoint, state.root, tries_for(cloud.endpoint), cloud.console_url())
        console.print(lines(reached), soft_wrap=True)
        cloud.announce(deployed=True)
        troubles = Troubles(state)
        running.callback(troubles.close)
        try:
            while True:
                for told in troubles.new():
                    console.print(f"{utc_now()} {told}", soft_wrap=True)
                for name in cloud.supervisor.revive(PARTS | {CONSOLE}):
                    told = f"{name} had stopped ({cloud.supervisor.reasons[name]}) and was restarted"
                    console.print(f"{utc_now()} {told}; see {state.log(name)}.", soft_wrap=True)
                time.sleep(_REVIVAL_S)
        except BaseException as error:
            first_line, _, _ = why(error).partition("\n")
            console.print(f"{utc_now()} The cloud ends. {first_line}", soft_wrap=True)
            raise


def _troubles(state: StateFolder) -> list[str]:
    from stream_cli.local.troubles import Troubles

    with contextlib.closing(Troubles(state)) as troubles:
        return troubles.lines()


def stop(state: StateFolder) -> int:
    """End the cloud of the folder, and clear away what a killed one has left.

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
    say("Stopped; nothing is left running." if running else f"Nothing runs in {state.root}.")
    return 0


def _iam(running: dict[str, Any]) -> str:
    return "IAM is enforced" if running.get("iam", True) else "IAM is not enforced (--no-iam)"


def show_status(state: StateFolder, as_json: bool) -> int:
    """Print what runs, what has died, what fails or is taken by nothing, and why the last cloud ended.

    Returns 0 when a cloud runs, 3 when none does, or when its emulator has died.
    """
    running = state.cloud()
    processes = _alive(state)
    told = _troubles(state) if running else []
    dead = sorted((PARTS if running.get("deployed") else {_EMULATOR}) - processes.keys()) if running else []
    ended = None if running else state.last_end()
    if as_json:
        content = {
            "running": running is not None, "cloud": running, "processes": processes, "dead": dead, "ended": ended,
            "troubles": told, "logs": str(state.logs),
        }  # fmt: skip
        say_json(content)
    elif running is None:
        say(f"Nothing runs in {state.root}.")
        if ended:
            say(f"The last cloud ended: {ended['why']} ({ended['at']}; logs are in {state.logs})")
    else:
        deployed = "" if running.get("deployed") else " (starting)"
        say(f"{running['endpoint']}, process {running['owner']['pid']}{deployed}, {_iam(running)}")
        for name, pid in processes.items():
            say(f"  {name:<16} process {pid}, log {state.log(name)}")
        for name in dead:
            say(f"  {name:<16} has died, and it is being restarted; log {state.log(name)}")
        if told:
            say("What fails again and again, and what nothing takes, since the cloud was started:")
            say(*(f"  {each}" for each in told))
    return 0 if running is not None and _EMULATOR not in dead else NOTHING_RUNS
