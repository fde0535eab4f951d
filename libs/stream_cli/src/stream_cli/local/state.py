"""The state folder of a local cloud: which processes run, and their logs.

Layout of the folder (``.streamctl`` unless another one is named)::

    lock              held by the process that owns the running cloud; the kernel releases it when that process dies
    cloud.json        endpoint, region, account and owner of the running cloud
    run/<name>.json   one file a child: its process id, its wrapper's, and when both had started
    logs/<name>.log   what each child wrote; the deployments' full logs are here too
    tmp/              TMPDIR of every child, so that nothing temporary lies anywhere else
    lambda-python/    the interpreter that functions run on (see lambda_python.py)
    mappings/         state of the mapping engine
    replays/<stage>/  progress of replays of the lake; that of the local cloud is removed with it
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from stream_cli.errors import CommandError
from stream_cli.mappings.checkpoints import ENGINE_FOLDER, write_atomically

_STOP_GRACE_S = 5.0
_HANDOVER_S = 30.0
_MOST_LAUNCHERS = 10
# The boot time, from which start times are reckoned, moves with corrections of the clock.
_CLOCK_SLACK_S = 2.0


def process_start_time(pid: int) -> float | None:
    """When a process started, in seconds since the epoch; None when there is none. A zombie counts as gone."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess:
        return None


def is_alive(pid: int, started: float) -> bool:
    """Whether the process that had the id ``pid`` at the time ``started`` still runs.

    The kernel reuses process ids: a process that started later is another one.
    """
    found = process_start_time(pid)
    return found is not None and found <= started + _CLOCK_SLACK_S


def launchers() -> list[dict[str, Any]]:
    """The processes between this one and npm, both ends of ``npm start`` included; none when npm did not start it.

    When one of them is killed, ``npm start`` is killed, and the cloud must stop.
    """
    found: list[dict[str, Any]] = []
    if "npm_lifecycle_event" not in os.environ:
        return found
    with contextlib.suppress(psutil.Error):
        for process in psutil.Process().parents()[:_MOST_LAUNCHERS]:
            command = " ".join(process.cmdline())
            found.append({"pid": process.pid, "started": process.create_time(), "command": command[:100]})
            if re.match(r"npm\b|\S*node\S* \S*npm", command):
                break
    return found


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Replace a file in one step: a reader sees the old content or the new one."""
    write_atomically(path, json.dumps(content, indent=2).encode() + b"\n")


class StateFolder:
    """One state folder, with the layout above; it is made when it is owned."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root).resolve()
        self.cloud_file = self.root / "cloud.json"
        self.run = self.root / "run"
        self.logs = self.root / "logs"
        self.temporary = self.root / "tmp"
        self.mappings = self.root / ENGINE_FOLDER

    def replays(self, stage: str) -> Path:
        """Folder of the ledgers of a stage's replays."""
        return self.root / "replays" / stage

    def log(self, name: str) -> Path:
        """The log of the child ``name``."""
        return self.logs / f"{name}.log"

    def cloud(self) -> dict[str, Any] | None:
        """The content of ``cloud.json``, or None when its owner does not run."""
        try:
            content: dict[str, Any] = json.loads(self.cloud_file.read_text())
        except FileNotFoundError:
            return None
        return content if is_alive(content["owner"]["pid"], content["owner"]["started"]) else None

    def records(self) -> dict[str, dict[str, Any]]:
        """The records of children by name, whether they still run or not."""
        found = {}
        for path in sorted(self.run.glob("[!.]*.json")) if self.run.is_dir() else []:
            with contextlib.suppress(FileNotFoundError):
                found[path.stem] = json.loads(path.read_text())
        return found

    @contextlib.contextmanager
    def owned(self) -> Iterator[None]:
        """Own the folder; at the start and at the end, clear it.

        Raises:
            CommandError: another process owns it.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        lock = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            self._take(lock)
            self.clear()
            for folder in (self.logs, self.run, self.temporary, self.mappings):
                folder.mkdir(exist_ok=True)
            try:
                yield
            finally:
                self.clear()
        finally:
            os.close(lock)

    def _take(self, lock: int) -> None:
        deadline = time.monotonic() + _HANDOVER_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                running = self.cloud()
                # An owner whose launcher was killed will stop.
                if running is None or all(is_alive(p["pid"], p["started"]) for p in running["owner"]["launchers"]):
                    where = f" at {running['endpoint']}, process {running['owner']['pid']}" if running else ""
                    raise CommandError(
                        f"A local cloud already runs in {self.root}{where}. "
                        f"Stop it with `streamctl down --state {self.root}`, or use another folder with --state."
                    ) from None
                if time.monotonic() > deadline:
                    raise CommandError(
                        f"The cloud in {self.root} was left by its launcher and does not stop."
                    ) from None
            time.sleep(0.1)

    def clear(self) -> list[str]:
        """End every child on record that still runs, and remove all but the logs; returns the names of those ended.

        Only the owner of the folder may call it.
        """
        ended = []
        for name, record in self.records().items():
            for role in ("wrapper", "child"):
                process = record.get(role)
                if process and is_alive(process["pid"], process["started"]):
                    end_process(process["pid"], process["started"], group=role == "child")
                    ended.append(name)
        local = (self.run, self.temporary, self.mappings, self.replays("local"), self.root / "lambda-python")
        for leftover in (self.cloud_file, *local):
            if leftover.is_dir():
                remove_folder(leftover)
            else:
                leftover.unlink(missing_ok=True)
        return sorted(set(ended))


def end_process(pid: int, started: float, *, group: bool, grace_s: float = _STOP_GRACE_S) -> None:
    """Ask the process (or the group that it leads) to end, wait for it, then kill it."""
    end = os.killpg if group else os.kill
    for asked, wait_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, _STOP_GRACE_S)):
        if not is_alive(pid, started):
            break
        with contextlib.suppress(ProcessLookupError):
            end(pid, asked)
        deadline = time.monotonic() + wait_s
        while is_alive(pid, started) and time.monotonic() < deadline:
            time.sleep(0.05)
    if group:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)


def remove_folder(folder: Path) -> None:
    """Remove a folder, in which a dying process may still create files, within 5 s.

    Raises:
        OSError: it cannot be removed.
    """
    deadline = time.monotonic() + _STOP_GRACE_S
    while True:
        try:
            shutil.rmtree(folder)
            return
        except FileNotFoundError:
            if not folder.exists():
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.05)
