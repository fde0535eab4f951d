"""A session of `dev`: waits for changes, tries them, and gives them to the running functions."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stream_cli.deployment import serverless
from stream_cli.deployment.inputs import forget_installed
from stream_cli.deployment.rollout import Rollout
from stream_cli.deployment.services import is_service
from stream_cli.dev.changes import Change, change_between, contents_of, included_elsewhere
from stream_cli.dev.debugging import PORT, debugged, function_named
from stream_cli.dev.functions import DeployedCode, DevFunction
from stream_cli.dev.import_graph import touched_functions
from stream_cli.dev.imports import Failure, failures, python_of_functions, syntax_failures, unpack_beside
from stream_cli.dev.log_lines import LogFollower, SourcePaths, shortest
from stream_cli.dev.observed import Observed
from stream_cli.dev.screen import Screen
from stream_cli.dev.shards import failing_shards, untaken_events
from stream_cli.dev.swap import swap
from stream_cli.dev.touched_tests import TestRun, touched
from stream_cli.dev.watching import Watcher
from stream_cli.errors import CommandError
from stream_cli.local.deploy import local_account
from stream_cli.local.deployed import LocalDeployments
from stream_cli.local.endpoint import LocalEndpoint
from stream_cli.local.processes import Supervisor
from stream_cli.local.state import StateFolder
from stream_cli.terminal.options import LOCAL
from stream_cli.terminal.output import VisibleConsole
from stream_cli.terminal.signals import finished_first

_LOOK_S = 0.3
_STAYS = "The running code stays as it is."


@dataclass
class Watched:
    """A service and what runs of it.

    Attributes:
        running: the contents of its files, as far as they were deployed or swapped in.
        elsewhere: files outside its folder that it includes.
        functions: its Python functions.
        packages: a folder with what these have beside the service's code.
        broken: whether the last change was refused.
    """

    folder: Path
    running: dict[str, bytes] = field(default_factory=dict)
    elsewhere: list[Path] = field(default_factory=list)
    functions: list[DevFunction] = field(default_factory=list)
    packages: Path | None = None
    broken: bool = False
    tests: TestRun | None = None


class Session:
    """Follows services in a local cloud that runs, as a context manager."""

    def __init__(
        self,
        services: Sequence[Path],
        beside: Sequence[Path],
        state: StateFolder,
        endpoint: LocalEndpoint,
        console: VisibleConsole,
        *,
        test: bool = False,
        debug: str | None = None,
        debug_port: int = PORT,
    ) -> None:
        """Look at what runs.

        Args:
            beside: services that these need, such as the hub: deployed if they are not there, and not watched.
            test: whether to run the tests that a change touches.
            debug: the function that waits for a debugger.
        """
        self._debug, self._debug_port = debug, debug_port
        self._watched = {each: Watched(each) for each in services}
        self._beside = beside
        self._state = state
        self._endpoint = endpoint
        self._test = test
        self._code = DeployedCode(endpoint)
        self._toolchain = serverless.find_toolchain(services[0])
        self._account = local_account(endpoint, state, self._toolchain)
        self._deployments = LocalDeployments(endpoint, self._account, self._toolchain, state.temporary, {})
        self._screen = Screen(console, services, SourcePaths(state.temporary))
        self._stack = contextlib.ExitStack()
        self._stop = threading.Event()
        self._called: Collection[str] = ()

    def __enter__(self) -> Session:
        self._temporary = Path(tempfile.mkdtemp(dir=self._state.temporary, prefix="dev-"))
        self._stack.callback(shutil.rmtree, self._temporary, ignore_errors=True)
        self._stack.callback(self._end_tests)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._stack.close()

    def run(self) -> int:
        """Deploy what is not deployed, then follow changes until the cloud ends; returns the exit code."""
        missing = [each for each in self._beside if not self._code.functions_of(each)]
        before = {folder: contents_of(folder) for folder in self._watched}
        if not self._roll_out([*missing, *self._watched]):
            return 1
        for folder, watched in self._watched.items():
            watched.running = before[folder]
            self._take_up(watched)
            if failed := self._failures(watched):
                self._screen.failed(folder, failed, "These functions cannot start.")
        with Watcher(self._watched) as watcher, self._screen:
            self._screen.say(f"Watching {', '.join(shortest(each) for each in self._watched)}.")
            with self._logs_followed(), self._debugged():
                self._follow_changes(watcher)
        raise CommandError(f"The local cloud in {self._state.root} has ended.")

    def _follow_changes(self, watcher: Watcher) -> None:
        while self._state.cloud() is not None:
            watcher.elsewhere = {path for each in self._watched.values() for path in each.elsewhere}
            if told := watcher.changed(_LOOK_S):
                at, services = told
                for folder in sorted(services):
                    self._follow(self._watched[folder], at)
            self._look()

    @contextlib.contextmanager
    def _debugged(self) -> Iterator[None]:
        if self._debug is None:
            yield
            return
        function = function_named(self._debug, [each for one in self._watched.values() for each in one.functions])
        with debugged(self._endpoint, function.name, self._debug_port):
            self._screen.say(
                (f"{function.short_name} waits for a debugger", "bold"),
                f" at 127.0.0.1:{self._debug_port}, and again after each change. VS Code: Run, streamctl dev --debug.",
            )
            yield

    # --- changes ---

    def _follow(self, watched: Watched, at: float) -> None:
        if not is_service(watched.folder):
            watched.broken = True
            self._screen.say(("✗ ", "red"), f"{shortest(watched.folder)} has no serverless.yml")
            self._screen.more(_STAYS)
            return
        now = contents_of(watched.folder)
        try:
            change = change_between(watched.folder, watched.running, now)
        except CommandError as error:
            watched.broken = True
            self._screen.say(("✗ ", "red"), str(error))
            self._screen.more(_STAYS)
            return
        if not (change.code or change.needs_deployment) and watched.broken:
            watched.broken = False
            self._screen.say(("✓ ", "green"), f"{watched.folder.name} is what runs")
        try:
            if change.needs_deployment:
                self._deploy(watched, change, now)
            elif change.code:
                self._swap(watched, change, now, at)
        except CommandError as error:
            watched.broken = True
            self._screen.say(("✗ ", "red"), str(error))
        if self._test and change:
            self._begin_tests(watched, change, now)
        for name in change.tests:
            watched.running.pop(name, None)
        watched.running.update({name: now[name] for name in change.tests & now.keys()})

    def _swap(self, watched: Watched, change: Change, now: dict[str, bytes], at: float) -> None:
        failed = syntax_failures(watched.folder, change.code - change.removed, now)
        failed = failed or self._failures(watched, touched_functions(watched.functions, change, now))
        if failed:
            watched.broken = True
            self._screen.failed(watched.folder, failed, _STAYS)
            return
        with finished_first():
            swapped = swap(
                watched.folder,
                *(change, now, watched.functions, self._code, self._deployments),
                lambda: not self._stop.is_set(),
            )
            watched.running, watched.broken = now, False
        names = {each.name: each.short_name for each in watched.functions}
        self._screen.forget_other_ids()
        runs = ", ".join(sorted(names.get(each, each) for each in swapped)) or "no function has it"
        seconds = f"{time.monotonic() - at:.2f} s"
        self._screen.say(("✓ ", "green"), f"{_few(change.code)} after {seconds}: ", (runs, "bold"))

    def _deploy(self, watched: Watched, change: Change, now: dict[str, bytes]) -> None:
        if failed := syntax_failures(watched.folder, change.code - change.removed, now):
            watched.broken = True
            self._screen.failed(watched.folder, failed, _STAYS)
            return
        why = change.template | change.requirements
        self._screen.say(f"{_few(why)}: deploying {watched.folder.name}")
        forget_installed()
        if not self._roll_out([watched.folder]):
            watched.broken = True
            return
        watched.running, watched.broken = now, False
        self._take_up(watched)
        self._screen.forget_untaken()
        if failed := self._failures(watched):
            self._screen.failed(watched.folder, failed, "It is deployed, and these functions cannot start.")

    def _roll_out(self, services: Sequence[Path]) -> bool:
        """Deploy services, the hub first; says why where one fails."""
        with Supervisor(self._state) as runner, self._screen.steps() as steps:
            rollout = Rollout("deploy", LOCAL, self._account, self._toolchain, runner, deployments=self._deployments)
            rollout.run(services, steps)
        failed = [each for each in rollout.outcomes.values() if not each.succeeded]
        for each in failed:
            self._screen.say(("✗ ", "red"), f"{each.service} is not deployed:")
            for text in each.reason.splitlines():
                self._screen.more(text)
        return not failed

    def _take_up(self, watched: Watched) -> None:
        """Learn what is deployed of a service."""
        watched.elsewhere = included_elsewhere(watched.folder, watched.running)
        watched.functions = [each for each in self._code.functions_of(watched.folder) if each.is_python]
        folder = Path(tempfile.mkdtemp(dir=self._temporary))
        for digest in {each.digest for each in watched.functions}:
            function = next(each.name for each in watched.functions if each.digest == digest)
            unpack_beside(self._code.package_of(function), watched.running, folder)
        if watched.packages is not None:
            shutil.rmtree(watched.packages)
        watched.packages = folder

    def _failures(self, watched: Watched, functions: Sequence[DevFunction] | None = None) -> list[Failure]:
        python = python_of_functions(self._state.root)
        packages = watched.packages or self._temporary
        asked = watched.functions if functions is None else functions
        return failures(watched.folder, asked, packages, python, self._endpoint)

    # --- what is shown ---

    @contextlib.contextmanager
    def _logs_followed(self) -> Iterator[None]:
        ended = threading.Event()
        follower = LogFollower(self._endpoint.client("logs"), int(time.time() * 1000))
        observed = Observed(self._state.journal)

        def follow() -> None:
            while not ended.wait(_LOOK_S):
                self._show_observed(observed, follower)

        thread = threading.Thread(target=follow, name="observed", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            observed.close()

    def _show_observed(self, observed: Observed, follower: LogFollower) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        seen = observed.look()
        due, self._called = {*seen.called, *self._called}, seen.called  # lines may come a moment after the call
        for watched in self._watched.values():
            for function in watched.functions:
                with contextlib.suppress(BotoCoreError, ClientError):  # the cloud ends, or the function is replaced
                    for line in follower.new_lines(function) if function.name in due else ():
                        self._screen.logged(watched.folder, line)
                for fault in seen.faults:
                    if fault.function == function.name:
                        self._screen.fault(watched.folder, function.short_name, fault)
                for given_up in seen.given_up:
                    if given_up["function"] == function.name:
                        self._screen.gave_up(given_up)
                for other in seen.other_ids:
                    if other.function.partition(":")[0] == function.name:
                        self._screen.other_id(watched.folder, other)

    def _look(self) -> None:
        functions = {each.arn for watched in self._watched.values() for each in watched.functions}
        self._screen.show_shards(failing_shards(self._state.mappings, functions))
        self._screen.show_untaken(untaken_events(self._state.mappings, functions))
        for watched in self._watched.values():
            self._show_tests(watched)

    # --- tests ---

    def _begin_tests(self, watched: Watched, change: Change, now: dict[str, bytes]) -> None:
        if watched.tests is not None:
            watched.tests.stop()
        files = touched(change, now)
        watched.tests = TestRun(watched.folder, files) if files else None

    def _show_tests(self, watched: Watched) -> None:
        run = watched.tests
        if run is None or (result := run.result()) is None:
            return
        passed, printed = result
        run.stop()
        watched.tests = None
        last = printed[-1] if printed else "pytest has printed nothing"
        self._screen.say(("✓ ", "green") if passed else ("✗ ", "red"), f"{_few(run.files)}: {last}")
        for text in [] if passed else printed[:-1]:
            self._screen.more(text)

    def _end_tests(self) -> None:
        for watched in self._watched.values():
            if watched.tests is not None:
                watched.tests.stop()


_NAMED = 3


def _few(names: Sequence[str] | frozenset[str]) -> str:
    """Some names, and how many more there are."""
    shown = sorted(names)[:_NAMED]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
