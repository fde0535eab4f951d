"""The state folder of a local cloud: which processes run, and their logs.

Layout of the folder (``.streamctl`` unless another one is named)::

    lock              held by the process that owns the running cloud; the kernel releases it when that process dies
    cloud.json        endpoint, region, account and owner of the running cloud
    serve.log         what a cloud in the background said, at last why it ended; serve.previous.log is the one before
    run/<name>.json   one file a child: its process id, its wrapper's, and when both had started
    logs/<name>.log   what each child wrote; the deployments' full logs are here too
    logs/ended.json   when and why the last cloud ended
    tmp/              TMPDIR of every child, so that nothing temporary lies anywhere else
    lambda-python/    the interpreter that functions run on (see lambda_python.py)
    mappings/         state of the mapping engine
    journal/          what the processes have observed, and its index (see `stream_cli.journal`)
    kept/             the state of the emulator and the checkpoints of mappings, which outlive the cloud (`kept_file`)
    replays/<stage>/  progress of replays of the lake; that of the local cloud is removed with it

Nobody but the owner can read any of it, and nothing of another user's is used (see ``private_files``).
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

from stream_cli import private_files
from stream_cli.errors import CommandError
from stream_cli.mappings.checkpoints import ENGINE_FOLDER

_STOP_GRACE_S = 5.0
_HANDOVER_S = 30.0
_MOST_LAUNCHERS = 10
# The boot time, from which start times are reckoned, moves with corrections of the clock.
_CLOCK_SLACK_S = 2.0
_ENDED = "ended.json"
_FOLDERS = frozenset({"run", "logs", "tmp", "lambda-python", ENGINE_FOLDER, "journal", "kept", "replays"})
_FILES = frozenset({"lock", "cloud.json", "serve.log", "serve.previous.log"})


def utc_now() -> str:
    """The time, as ISO 8601."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


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
            first, second, *_ = [*command.split(" ", 2), ""]
            if re.match(r"npm\b", first) or ("node" in first and "npm" in second):
                break
    return found


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Replace a file in one step: a reader sees the old content or the new one."""
    private_files.write(path, json.dumps(content, indent=2).encode() + b"\n")


def _read_json(path: Path) -> dict[str, Any] | None:
    """The content of a file that `write_json` wrote; None where there is none.

    Raises:
        CommandError: it is another user's, or damaged.
    """
    try:
        content: dict[str, Any] = json.loads(private_files.read(path))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise CommandError(f"{path} is damaged ({error}). Remove it.") from error
    return content


class StateFolder:
    """One state folder, with the layout above; it is made when it is owned."""

    def __init__(self, root: Path | str) -> None:
        absolute = Path(os.path.abspath(root))
        # A symbolic link in the place of the folder is not followed.
        self.root = absolute.parent.resolve() / absolute.name
        self.cloud_file = self.root / "cloud.json"
        self.serve_log = self.root / "serve.log"
        self.previous_serve_log = self.root / "serve.previous.log"
        self.run = self.root / "run"
        self.logs = self.root / "logs"
        self.temporary = self.root / "tmp"
        self.mappings = self.root / ENGINE_FOLDER
        self.journal = self.root / "journal"
        self.kept = self.root / "kept"
        self.console_file = self.temporary / "console.json"
        self.expectations_file = self.temporary / "expectations.json"

    def replays(self, stage: str) -> Path:
        """Folder of the ledgers of a stage's replays."""
        return self.root / "replays" / stage

    def log(self, name: str) -> Path:
        """The log of the child ``name``."""
        return self.logs / f"{name}.log"

    def cloud(self) -> dict[str, Any] | None:
        """The content of ``cloud.json``, or None when its owner does not run."""
        content = self._announced()
        return content if content and is_alive(content["owner"]["pid"], content["owner"]["started"]) else None

    def _announced(self) -> dict[str, Any] | None:
        """The content of ``cloud.json``, which a killed owner leaves behind."""
        try:
            private_files.check_folder(self.root)
        except FileNotFoundError:
            return None
        return _read_json(self.cloud_file)

    def secure(self) -> None:
        """Make the folder, and see that it and what is in it are this user's alone.

        Raises:
            CommandError: something in it is not this user's, or it is a folder for other things that others may read.
        """
        private_files.make_folder(self.root)
        entries = sorted(self.root.iterdir())
        if private_files.is_open_to_others(self.root):
            other = [each.name for each in entries if each.name not in _FOLDERS | _FILES and each.name[0] != "."]
            if other:
                raise CommandError(
                    f"Other users may look into {self.root}, and it is not for a cloud alone: {other[0]} is in it. "
                    f"Take their rights away (chmod 700 {self.root}), or name another folder with --state."
                )
            private_files.close_folder(self.root)
        for entry in entries:
            if entry.name in _FOLDERS:
                private_files.close_folder(entry)
            elif entry.name in _FILES:
                private_files.check_file(entry)

    def records(self) -> dict[str, dict[str, Any]]:
        """The records of children by name, whether they still run or not."""
        found = {}
        for path in sorted(self.run.glob("[!.]*.json")) if self.run.is_dir() else []:
            if (record := _read_json(path)) is not None:
                found[path.stem] = record
        return found

    @contextlib.contextmanager
    def owned(self) -> Iterator[None]:
        """Own the folder; at the start and at the end, clear it.

        Raises:
            CommandError: another process owns it, or something in it is another user's.
        """
        self.secure()
        lock = private_files.open_file(self.root / "lock", os.O_RDWR | os.O_CREAT)
        try:
            self._take(lock)
            self.record_death()
            self.clear()
            for folder in (self.logs, self.run, self.temporary, self.mappings):
                private_files.make_folder(folder)
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
                # An owner whose launcher was killed will stop; one that is not announced begins or ends.
                if running and all(is_alive(p["pid"], p["started"]) for p in running["owner"]["launchers"]):
                    raise CommandError(
                        f"A local cloud already runs in {self.root} at {running['endpoint']}, process "
                        f"{running['owner']['pid']}. Stop it with `streamctl down --state {self.root}`, or use "
                        "another folder with --state."
                    ) from None
                if time.monotonic() > deadline:
                    left = "was left by its launcher" if running else "is not announced"
                    raise CommandError(
                        f"The cloud in {self.root} {left} and does not stop. Use another folder with --state, or end "
                        f"the process that holds {self.root / 'lock'}."
                    ) from None
            time.sleep(0.1)

    def record_end(self, why: str) -> None:
        """Record when and why the cloud ended; the first line of ``why`` is what people are told."""
        write_json(self.logs / _ENDED, {"at": utc_now(), "why": why.partition("\n")[0], "text": why})

    def forget_end(self) -> None:
        """A new cloud has not ended."""
        (self.logs / _ENDED).unlink(missing_ok=True)

    def last_end(self) -> dict[str, Any] | None:
        """When (``at``) and why (``why``, in full ``text``) the last cloud ended; None when that is not known."""
        return self._death() or _read_json(self.logs / _ENDED)

    def record_death(self) -> None:
        """Record, also in ``serve.log``, that the last owner was killed, which it could not record itself."""
        death = self._death()
        if death is None:
            return
        write_json(self.logs / _ENDED, death)
        if self.serve_log.exists():
            with private_files.open_to_append(self.serve_log) as log:
                log.write(f"{death['at']} {death['why']}\n".encode())

    def _death(self) -> dict[str, str] | None:
        content = self._announced()
        if content is None or is_alive(content["owner"]["pid"], content["owner"]["started"]):
            return None
        why = (
            f"Its process {content['owner']['pid']} ended without a word: it was killed (SIGKILL, which the kernel "
            "also sends when memory runs out), or this machine was stopped."
        )
        return {"at": utc_now(), "why": why, "text": why}

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
        local = (self.run, self.temporary, self.mappings, self.journal, self.replays("local"))
        for leftover in (self.cloud_file, *local, self.root / "lambda-python"):
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
