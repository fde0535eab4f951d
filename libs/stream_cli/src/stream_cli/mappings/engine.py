"""Runs every stream mapping of an endpoint, follows changes of the mappings, and keeps the state folder."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from stream_cli import private_files
from stream_cli.mappings.admission import Admissions
from stream_cli.mappings.checkpoints import CHECKPOINTS, STATUS_FILE, CheckpointStore
from stream_cli.mappings.notices import ENDPOINT, Notices
from stream_cli.mappings.ports import AwsApi, EndpointUnavailable, NotFound, Refused
from stream_cli.mappings.runner import MappingRunner
from stream_cli.mappings.settings import InvalidMapping, MappingSettings
from stream_cli.mappings.threads import DaemonPool

TICK = 0.1
"""Seconds between two turns of the runners; checkpoints are written at this interval."""

DISCOVER_EVERY = 0.5
"""Seconds between two listings of the endpoint's mappings."""

STATUS_EVERY = 0.5

ARRIVALS_APART = 0.03
"""Seconds between two questions what has arrived; while much arrives, shards are read as often."""
_HEARTBEAT = 5.0


class Engine:
    """All stream mappings of one endpoint.

    Args:
        state: folder of checkpoints and status.
        name: the endpoint's name in notices and status.
        speed: factor by which backoff, age limits and windows pass faster.
        observe: takes lines for the journal: attempts, records that filters drop, and those that are given up.
        checkpoints: folder of checkpoints, instead of one in ``state``.
    """

    def __init__(
        self,
        endpoint: AwsApi,
        state: Path,
        *,
        notices: Notices,
        name: str,
        speed: float = 1.0,
        discover_every: float = DISCOVER_EVERY,
        clock: Callable[[], float] = time.time,
        observe: Callable[[Mapping[str, Any]], None] = lambda line: None,
        checkpoints: Path | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._state = state
        self._notices = notices
        self._name = name
        self._speed = speed
        self._discover_every = discover_every
        self._clock = clock
        self._observe = observe
        self._admissions = Admissions()
        self._checkpoints = CheckpointStore(checkpoints or state / CHECKPOINTS)
        self._pool = DaemonPool("invocation")
        self._runners: dict[str, MappingRunner] = {}
        self._told = False
        self._next_discovery = 0.0
        self._next_status = 0.0
        self._written: tuple[str, float] = ("", 0.0)

    def run(self, stop: threading.Event, *, grace: float = 10.0) -> None:
        """Run the mappings until `stop` is set, then wait up to `grace` seconds for what is in flight.

        The next engine on this state folder repeats what has not finished by then.
        """
        self._notices.say(f"serving the stream mappings of {self._name}")
        threading.Thread(target=self._listen, args=(stop,), name="arrivals", daemon=True).start()
        while not stop.is_set():
            self.turn()
            stop.wait(TICK)
        for runner in self._runners.values():
            runner.stop()
        deadline = time.monotonic() + grace
        while time.monotonic() < deadline and not all(runner.stopped for runner in self._runners.values()):
            time.sleep(0.01)
        for runner in self._runners.values():
            runner.flush()
        self._write_status(self._clock(), running=False)
        self._notices.say("stopped")

    def _listen(self, stop: threading.Event) -> None:
        """Read shards when records arrive, and try again when a function changes, if the endpoint tells."""
        known = 0
        while not stop.is_set():
            try:
                arrived = self._endpoint.arrivals(known)
            except EndpointUnavailable:
                self._told = False
                stop.wait(self._discover_every)
                continue
            if arrived is None:
                self._told = False
                return
            known, self._told = arrived.count, True
            for runner in list(self._runners.values()):
                if runner.settings.source.stream_arn in arrived.streams:
                    runner.records_arrived()
                if runner.settings.function_arn in arrived.functions:
                    runner.function_changed()
            stop.wait(ARRIVALS_APART)

    def turn(self) -> None:
        """Do everything that is due."""
        now = self._clock()
        if now >= self._next_discovery:
            self._next_discovery = now + self._discover_every
            self._discover()
        for runner in self._runners.values():
            runner.turn()
        if now >= self._next_status:
            self._next_status = now + STATUS_EVERY
            self._write_status(now, running=True)

    def _discover(self) -> None:
        try:
            configurations = self._endpoint.mappings()
        except (EndpointUnavailable, NotFound, Refused) as error:
            if isinstance(error, EndpointUnavailable) and not error.connected:
                self._notices.trouble(ENDPOINT, f"the endpoint is away ({error}); waiting for it")
            else:
                self._notices.trouble("discovery", f"cannot list the mappings: {error}")
            return
        self._notices.over(ENDPOINT, "the endpoint answers again")
        self._notices.over("discovery", "the mappings can be listed again")
        wanted = self._wanted(configurations)
        for uuid, settings in wanted.items():
            self._serve(uuid, settings)
        for uuid in [uuid for uuid in self._runners if uuid not in wanted]:
            self._drop(uuid)

    def _wanted(self, configurations: list[dict[str, Any]]) -> dict[str, MappingSettings]:
        wanted: dict[str, MappingSettings] = {}
        for configuration in configurations:
            arn = str(configuration.get("EventSourceArn", ""))
            if ":kinesis:" not in arn and ":dynamodb:" not in arn:
                continue
            if configuration.get("State") == "Deleting":
                continue
            trouble = (configuration.get("UUID"), "settings")
            try:
                settings = MappingSettings.from_configuration(configuration)
            except (InvalidMapping, KeyError, TypeError, ValueError) as error:
                self._notices.trouble(trouble, f"mapping {configuration.get('UUID')} on {arn} is not served: {error}")
                continue
            self._notices.over(trouble, f"mapping {settings.uuid} is served")
            wanted[settings.uuid] = settings
        return wanted

    def _serve(self, uuid: str, settings: MappingSettings) -> None:
        runner = self._runners.get(uuid)
        if runner is not None:
            if replace(runner.settings, last_modified=settings.last_modified) == settings:
                return
            runner.stop()
            if not runner.stopped:
                return
            runner.flush()
        runner = MappingRunner(
            settings,
            endpoint=self._endpoint,
            notices=self._notices,
            pool=self._pool,
            checkpoints=self._checkpoints,
            speed=self._speed,
            clock=self._clock,
            told=lambda: self._told,
            observe=self._observe,
            admissions=self._admissions,
        )
        changed = "has changed: " if uuid in self._runners else ""
        self._runners[uuid] = runner
        self._notices.say(f"{runner.label} {changed}{'is served' if settings.enabled else 'is disabled'}")

    def _drop(self, uuid: str) -> None:
        runner = self._runners[uuid]
        runner.stop()
        if runner.stopped:
            del self._runners[uuid]
            self._admissions.forget(runner.settings)
            self._checkpoints.forget(uuid)
            self._notices.say(f"{runner.label} is gone")

    def _write_status(self, now: float, *, running: bool) -> None:
        mappings = [runner.status() for _, runner in sorted(self._runners.items(), key=lambda item: item[1].label)]
        status = {
            "endpoint": self._name,
            "endpoint_problem": self._notices.current(ENDPOINT),
            "pid": os.getpid(),
            "running": running,
            "speed": self._speed,
            "mappings": mappings,
            "streams": self._admissions.status(),
        }
        content = json.dumps(status)
        if content == self._written[0] and now - self._written[1] < _HEARTBEAT:
            return
        try:
            private_files.write(self._state / STATUS_FILE, json.dumps({**status, "updated_at": now}).encode())
        except OSError as error:
            self._notices.trouble("status", f"the status cannot be written, trying again: {error}")
            return
        self._notices.over("status", "the status is written again")
        self._written = (content, now)
