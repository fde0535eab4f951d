"""Supervises the processes of a local cloud: starts them, notices when one dies, and stops them all."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from stream_cli import private_files
from stream_cli.errors import CommandError
from stream_cli.local import attached
from stream_cli.local.state import StateFolder, is_alive
from stream_cli.terminal.logs import tail

_POLL_S = 0.05
_LAUNCHERS_EVERY_S = 0.5
# A process that ended more often than this, each time so soon after its start, would end again.
_ENDS_TOLERATED = 3
_ENDS_WITHIN_S = 30.0


class ChildDied(CommandError):
    """A process of the local cloud has ended by itself."""


class Child:
    """A process that does not outlive this one (see ``attached``). Its output goes to a log of the state folder.

    It has ``grace_s`` seconds to end when it is asked to; then it is killed. The cloud goes on without one that is not
    ``needed``.
    """

    def __init__(
        self,
        state: StateFolder,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        folder: Path | None = None,
        umask: int = private_files.UMASK,
        grace_s: float = attached.GRACE_S,
        needed: bool = True,
    ) -> None:
        self.name = name
        self.needed = needed
        self.log = state.log(name)
        self.started = time.monotonic()
        self._grace_s = grace_s
        self._again = functools.partial(
            Child, state, name, command,
            environment=environment, folder=folder, umask=umask, grace_s=grace_s, needed=needed,
        )  # fmt: skip
        state.secure()
        for folder_of_files in (state.logs, state.run):
            private_files.make_folder(folder_of_files)
        lifeline, self._hold = os.pipe()
        try:
            with private_files.open_to_append(self.log) as log:
                self._wrapper = subprocess.Popen(
                    [
                        *(sys.executable, "-I", "-S", attached.__file__),
                        *(str(lifeline), str(state.run / f"{name}.json"), str(grace_s)),
                        *command,
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=dict(environment),
                    cwd=folder,
                    umask=umask,
                    pass_fds=[lifeline],
                    start_new_session=True,
                )
        except BaseException:
            os.close(self._hold)
            raise
        finally:
            os.close(lifeline)

    @property
    def pid(self) -> int:
        """Process id of the wrapper."""
        return self._wrapper.pid

    def exit_code(self) -> int | None:
        """The command's exit code, 128 + N when signal N ended it, None while it runs."""
        return self._wrapper.poll()

    def check(self) -> None:
        """Raise ``ChildDied``, with the end of the log, when the process has ended."""
        code = self.exit_code()
        if code is not None:
            raise ChildDied(
                f"{self.name} has stopped (exit code {code}){_by_signal(code)}. "
                f"Its log {self.log} ends with:\n{tail(self.log)}"
            )

    def again(self) -> Child:
        """Start the same command again."""
        self.stop()
        return self._again()

    def let_go(self) -> None:
        """Begin to stop it, without waiting: the wrapper ends the process group."""
        if self._hold >= 0:
            os.close(self._hold)
            self._hold = -1

    def stop(self) -> None:
        """Stop it with all that it has started, and wait for that: at most twice the grace, and a second."""
        self.let_go()
        try:
            self._wrapper.wait(2 * self._grace_s + 1.0)
        except subprocess.TimeoutExpired:
            self._wrapper.kill()
            self._wrapper.wait()


def _by_signal(code: int) -> str:
    """Names the signal that an exit code stands for."""
    try:
        return f", killed by {signal.Signals(code - 128).name}"
    except ValueError:
        return ""


class Supervisor:
    """The children of one local cloud, as a context manager that stops them all.

    Args:
        state: the folder of their logs and records.
        launchers: when one of these processes ends, ``check`` fails.
    """

    def __init__(self, state: StateFolder, launchers: Sequence[Mapping[str, Any]] = ()) -> None:
        self.state = state
        self.launchers = launchers
        self._launchers_seen = 0.0
        self.reasons: dict[str, str] = {}
        """Why a child that was restarted had ended, by its name."""
        self._ends: dict[str, int] = {}
        self._children: list[Child] = []
        self._guard = threading.Lock()

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def log(self, name: str) -> Path:
        """The log of a process."""
        return self.state.log(name)

    def start(
        self, name: str, command: Sequence[str], *, environment: Mapping[str, str], folder: Path | None = None,
        needed: bool = True,
    ) -> Child:  # fmt: skip
        """Start a process that runs as long as the cloud does. Its variables are ``environment`` alone.

        Args:
            needed: whether the cloud ends when this process does.
        """
        child = Child(self.state, name, command, environment=environment, folder=folder, needed=needed)
        with self._guard:
            self._children.append(child)
        return child

    def run(
        self,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        folder: Path | None = None,
        umask: int = private_files.UMASK,
        cancelled: threading.Event | None = None,
    ) -> int:
        """Run a process to its end and return its exit code; stop it early when another child dies.

        Raises:
            ChildDied: another child has died.
            CommandError: ``cancelled`` was set.
        """
        self.log(name).unlink(missing_ok=True)
        child = Child(self.state, name, command, environment=environment, folder=folder, umask=umask)
        try:
            while (code := child.exit_code()) is None:
                self.check()
                if cancelled is not None and cancelled.is_set():
                    raise CommandError(f"{name} was stopped")
                time.sleep(_POLL_S)
            return code
        finally:
            child.stop()

    def check(self, but: Collection[str] = ()) -> None:
        """Check that all children that are needed, except some, and all launchers run.

        Raises:
            ChildDied: a child has ended.
            CommandError: a launcher has ended.
        """
        with self._guard:
            children = list(self._children)
        for child in children:
            if child.needed and child.name not in but:
                child.check()
        if time.monotonic() - self._launchers_seen < _LAUNCHERS_EVERY_S:
            return
        self._launchers_seen = time.monotonic()
        for launcher in self.launchers:
            if not is_alive(launcher["pid"], launcher["started"]):
                raise CommandError(f"Stopping, since what started this is gone: {launcher['command']}")

    def revive(self, names: Collection[str]) -> list[str]:
        """Restart children of ``names`` that have ended, check the others, and return the names of those restarted.

        Raises:
            ChildDied: another child has ended, or one of these ends again and again.
        """
        revived = []
        # One may end while another is started again: it is the next one.
        given_up = set()
        now = time.monotonic()
        with self._guard:
            for place, child in enumerate(self._children):
                if child.name not in names or (code := child.exit_code()) is None:
                    continue
                ends = self._ends.get(child.name, 0) if now - child.started < _ENDS_WITHIN_S else 0
                self._ends[child.name] = ends + 1
                if ends < _ENDS_TOLERATED:
                    self._children[place] = child.again()
                    revived.append(child.name)
                    self.reasons[child.name] = f"exit code {code}{_by_signal(code)}"
                else:
                    given_up.add(child.name)
        self.check(but=set(names) - given_up)
        return revived

    def wait_until(self, condition: Callable[[], bool], what: str, *, timeout_s: float) -> None:
        """Wait for a condition while all children run; ``what`` describes it.

        Raises:
            CommandError: it did not become true in time.
            ChildDied: a child has ended.
        """
        deadline = time.monotonic() + timeout_s
        while not condition():
            self.check()
            if time.monotonic() > deadline:
                raise CommandError(f"Waited {timeout_s:.0f} s in vain until {what}. Logs are in {self.state.logs}.")
            time.sleep(_POLL_S)

    def stop(self) -> None:
        """Stop all children, those started last first, and wait for them."""
        with self._guard:
            children, self._children = self._children[::-1], []
        for child in children:
            child.let_go()
        for child in children:
            child.stop()
