"""The state folder of a local cloud: what runs, where it logs, and proof of which processes are ours.

Layout of the folder (``.streamctl`` unless another one is named)::

    lock              held by the process that owns the running cloud; the kernel releases it when that process dies
    cloud.json        endpoint, region, account and owner of the running cloud
    run/<name>.json   one file a child: its process id and start time, and its wrapper's
    logs/<name>.log   what each child wrote; the deployments' full logs are here too
    tmp/              TMPDIR of every child, so that nothing temporary lies anywhere else
    lambda-python/    the interpreter that functions run on (see lambda_python.py)
    mappings/         state of the mapping engine
    replays/<stage>/  how far replays of the lake are; those of the local cloud go with it
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stream_cli.errors import CommandError

DEFAULT_STATE_FOLDER = ".streamctl"

_STOP_GRACE_S = 5.0
_HANDOVER_S = 30.0
_MOST_LAUNCHERS = 10


def process_start_time(pid: int) -> str | None:
    """When process ``pid`` started, as an opaque text, or None when there is no such process.

    A process id alone proves nothing, since the kernel reuses it; together with the start time it names one process.
    On Linux it is the boot id and field 22 of ``/proc/<pid>/stat`` (clock ticks since boot), elsewhere ``ps``'s lstart.
    A zombie counts as gone: it runs no code and holds no port.
    """
    stat = Path(f"/proc/{pid}/stat")
    if sys.platform.startswith("linux"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        if fields[0] in {"Z", "X"}:
            return None
        return f"{_boot_id()}:{fields[19]}"
    state, _, started = _ps("stat=,lstart=", pid).partition(" ")
    return started.strip() if state and not state.startswith("Z") else None


def _ps(columns: str, pid: int) -> str:
    environment = {"LC_ALL": "C", "PATH": os.environ.get("PATH", os.defpath)}
    listed = subprocess.run(
        ["ps", "-o", columns, "-p", str(pid)], capture_output=True, text=True, check=False, env=environment
    )
    return listed.stdout.strip()


def _parent_and_command(pid: int) -> tuple[int, str]:
    """Process id of the parent (0 when there is no such process) and the command line."""
    if sys.platform.startswith("linux"):
        # Not ps: small installations of Linux have none.
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            command = Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            return 0, ""
        return int(fields[1]), command.replace("\0", " ").strip()
    parent, _, command = _ps("ppid=,args=", pid).partition(" ")
    return int(parent or 0), command.strip()


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def launchers() -> list[dict[str, Any]]:
    """The processes between this one and npm, both ends of ``npm start`` included; none when npm did not start it.

    They have no part in the cloud, but whoever kills one of them has killed ``npm start``.
    """
    if "npm_lifecycle_event" not in os.environ:
        return []
    found: list[dict[str, Any]] = []
    pid = os.getppid()
    while pid > 1 and len(found) < _MOST_LAUNCHERS:
        parent, command = _parent_and_command(pid)
        found.append({"pid": pid, "started": process_start_time(pid), "command": command[:100]})
        if re.match(r"npm\b|\S*node\S* \S*npm", command):
            break
        pid = parent
    return found


def is_alive(pid: int, started: str) -> bool:
    """Whether the process that had ``pid`` when it started at ``started`` still runs."""
    return process_start_time(pid) == started


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write ``content`` so that a reader sees the old file or the new one, never half of it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(content, indent=2) + "\n")
    draft.replace(path)


class StateFolder:
    """The paths of one state folder, and the two things done to it as a whole: owning it and clearing it."""

    def __init__(self, root: Path | str = DEFAULT_STATE_FOLDER) -> None:
        """Name the folder; it is made when it is owned."""
        self.root = Path(root).resolve()

    @property
    def logs(self) -> Path:
        """Folder of the children's logs."""
        return self.root / "logs"

    @property
    def run(self) -> Path:
        """Folder of the records of running children."""
        return self.root / "run"

    @property
    def temporary(self) -> Path:
        """TMPDIR of every child."""
        return self.root / "tmp"

    @property
    def mappings(self) -> Path:
        """State folder of the mapping engine."""
        return self.root / "mappings"

    def replays(self, stage: str) -> Path:
        """Folder of the ledgers of a stage's replays."""
        return self.root / "replays" / stage

    @property
    def cloud_file(self) -> Path:
        """Where the running cloud says how to reach it."""
        return self.root / "cloud.json"

    def log(self, name: str) -> Path:
        """The log of the child ``name``."""
        return self.logs / f"{name}.log"

    def cloud(self) -> dict[str, Any] | None:
        """What ``cloud.json`` says, when its owner still runs; None when there is no running cloud."""
        try:
            content: dict[str, Any] = json.loads(self.cloud_file.read_text())
        except FileNotFoundError:
            return None
        return content if is_alive(content["owner"]["pid"], content["owner"]["started"]) else None

    def records(self) -> dict[str, dict[str, Any]]:
        """The children on record by name, whether they still run or not."""
        found = {}
        for path in sorted(self.run.glob("[!.]*.json")) if self.run.is_dir() else []:
            with contextlib.suppress(FileNotFoundError):
                found[path.stem] = json.loads(path.read_text())
        return found

    @contextlib.contextmanager
    def owned(self) -> Iterator[None]:
        """Own the folder, cleared of what a killed predecessor left; on leaving, leave nothing that is temporary.

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
                # An owner whose launcher was killed is about to stop.
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

        Only the owner of the folder may call it. A process is signalled only when both its id and its start time are on
        record, so that a stranger who was given a reused id is safe.
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


def end_process(pid: int, started: str, *, group: bool) -> None:
    """Ask the process (or the group that it leads) to end, wait up to 5 s, then kill it."""
    for asked in (signal.SIGTERM, signal.SIGKILL):
        if not is_alive(pid, started):
            break
        with contextlib.suppress(ProcessLookupError):
            if group:
                os.killpg(pid, asked)
            else:
                os.kill(pid, asked)
        deadline = time.monotonic() + _STOP_GRACE_S
        while is_alive(pid, started) and time.monotonic() < deadline:
            time.sleep(0.05)
    if group:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)


def remove_folder(folder: Path) -> None:
    """Remove a folder in which a dying process may still create files: tried again for up to 5 s.

    Raises:
        OSError: it still cannot be removed.
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
