"""A running local cloud: the emulator, the deliveries and the mapping engine, in one state folder."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any

from stream_cli.errors import CommandError
from stream_cli.local.console import console_address
from stream_cli.local.ending import end_recorded
from stream_cli.local.endpoint import LocalEndpoint, for_the_local_cloud
from stream_cli.local.kept_file import kept_port
from stream_cli.local.lambda_python import make_lambda_python
from stream_cli.local.processes import Supervisor
from stream_cli.local.state import StateFolder, process_start_time, remove_folder, write_json
from stream_cli.mappings.checkpoints import CHECKPOINTS
from stream_cli.mappings.status import StatusUnavailable, read_status
from stream_cli.private_files import private_umask

_START_TIMEOUT_S = 60.0
_CONSOLE_TIMEOUT_S = 20.0
_POLL_S = 0.05
# The variables of the caller that the emulator, and with it every function, gets; the last one is of the wait before an
# asynchronous event is tried again, for tests.
# glibc: threads, one for each asynchronous delivery, have no heaps of their own, and what was large is given back.
_MALLOC = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "262144", "MALLOC_TRIM_THRESHOLD_": "1048576"}
_PASSED_ON = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "LC_CTYPE", "LAMBDA_ASYNC_RETRY_BASE_SECONDS")


class LocalCloud:
    """The processes of one local cloud; ``running_emulator`` makes it."""

    def __init__(
        self,
        state: StateFolder,
        supervisor: Supervisor,
        endpoint: LocalEndpoint,
        *,
        iam: bool = True,
        journal: bool = True,
        kept: bool = False,
    ) -> None:
        self.state = state
        self.iam = iam
        self.kept = kept
        self._journal = _journal_options(state, journal)
        self.supervisor = supervisor
        self.endpoint = endpoint
        self._tapped = state.temporary / "deliveries.json"

    def start_deliveries(self) -> None:
        """Start the delivery of bus rules to Kinesis, Firehose and log groups; wait until every bus is tapped."""
        self.begin_deliveries()
        self.wait_for_deliveries()

    def start_mappings(self) -> None:
        """Start the mapping engine for Kinesis and DynamoDB streams, and wait until it serves every mapping."""
        self.begin_mappings()
        self.wait_for_mappings()

    def begin_deliveries(self) -> None:
        """Start the process of the deliveries."""
        self.supervisor.start(
            "deliveries",
            [
                *(sys.executable, "-m", "stream_cli.local.deliveries"),
                *("--port", str(self.endpoint.port), "--ready", str(self._tapped)),
                *self._journal,
            ],
            environment=self._environment(),
        )

    def wait_for_deliveries(self) -> None:
        """Wait until every bus is tapped."""
        events = self.endpoint.client("events")
        buses = {bus["Name"] for bus in events.list_event_buses()["EventBuses"]}

        def tapped() -> bool:
            return self._tapped.exists() and buses <= set(json.loads(self._tapped.read_text())["buses"])

        self.supervisor.wait_until(tapped, "every bus is tapped", timeout_s=_START_TIMEOUT_S)

    def begin_mappings(self) -> None:
        """Start the process of the mapping engine."""
        self.supervisor.start(
            "mappings",
            [
                *(sys.executable, "-m", "stream_cli.mappings"),
                *("--endpoint", self.endpoint.url, "--state", str(self.state.mappings)),
                *(("--checkpoints", str(self.state.kept / CHECKPOINTS)) if self.kept else ()),
                *self._journal,
            ],
            environment=self._environment(),
        )

    def wait_for_mappings(self) -> None:
        """Wait until the mapping engine serves every mapping."""
        pages = self.endpoint.client("lambda").get_paginator("list_event_source_mappings").paginate()
        deployed = {
            mapping["UUID"]
            for page in pages
            for mapping in page["EventSourceMappings"]
            if mapping["EventSourceArn"].split(":")[2] in {"kinesis", "dynamodb"}
        }

        def served() -> bool:
            try:
                status = read_status(self.state.mappings)
            except StatusUnavailable:
                return False
            return bool(status["alive"]) and deployed <= {mapping["uuid"] for mapping in status["mappings"]}

        self.supervisor.wait_until(served, "the mapping engine serves every mapping", timeout_s=_START_TIMEOUT_S)

    def begin_console(self) -> None:
        """Start the console in the browser; the cloud goes on without it."""
        self.supervisor.start(
            "console",
            [sys.executable, "-m", "stream_cli.console", "--state", str(self.state.root)],
            environment=self._environment(),
            needed=False,
        )

    def console_url(self) -> str | None:
        """The address of the console, with its token; None if it did not start in time."""
        deadline = time.monotonic() + _CONSOLE_TIMEOUT_S
        while (address := console_address(self.state.console_file)) is None and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        return address.url if address else None

    def announce(self, **more: Any) -> None:
        """Write ``cloud.json``, by which other commands find this cloud."""
        write_json(
            self.state.cloud_file,
            {
                "endpoint": self.endpoint.url,
                "port": self.endpoint.port,
                "region": self.endpoint.region,
                "iam": self.iam,
                "owner": {
                    "pid": os.getpid(),
                    "started": process_start_time(os.getpid()),
                    "launchers": self.supervisor.launchers,
                },
                **more,
            },
        )

    def _environment(self) -> dict[str, str]:
        return {
            **for_the_local_cloud(os.environ),
            **self.endpoint.environment,
            "TMPDIR": str(self.state.temporary),
            "PYTHONUNBUFFERED": "1",
        }


@contextlib.contextmanager
def running_emulator(
    state: StateFolder,
    port: int | None,
    launchers: Sequence[Mapping[str, Any]] = (),
    *,
    iam: bool = True,
    journal: bool = True,
    kept: bool = False,
    fresh: bool = False,
) -> Iterator[LocalCloud]:
    """Run the emulator in a state folder that this process owns; at the end nothing of it is left.

    Args:
        port: the port on 127.0.0.1, or None for a free one.
        launchers: the cloud stops when one of these processes ends.
        iam: whether deployed policies are enforced.
        journal: whether what happens is written down; without, only for `npm run bench` to say what that costs.
        kept: whether the state is kept in the folder, and what is kept there is taken.
        fresh: remove what is kept there first.

    Raises:
        CommandError: the folder is in use, the port is taken, or the emulator did not start.
    """
    with state.owned(), Supervisor(state, launchers) as supervisor, end_recorded(state):
        for log in state.logs.glob("*.log"):
            log.unlink()
        if kept:
            port = _kept_port(state, port, fresh=fresh)
        with private_umask():
            lambda_python = make_lambda_python(state.root / "lambda-python")
        ready = state.temporary / "emulator.json"
        supervisor.start(
            "emulator",
            [
                *(sys.executable, "-m", "stream_cli.local.emulator"),
                *("--port", str(port or 0), "--ready", str(ready), "--lambda-python", str(lambda_python)),
                *_journal_options(state, journal),
                *([] if iam else ["--no-iam"]),
                *(["--kept", str(state.kept)] if kept else []),
            ],
            environment={
                **{name: os.environ[name] for name in _PASSED_ON if name in os.environ},
                "TMPDIR": str(state.temporary),
                "TZ": "UTC",
                "PYTHONUNBUFFERED": "1",
                **_MALLOC,
                "STATE_DIR": str(state.temporary / "ministack"),
                "S3_DATA_DIR": str(state.temporary / "ministack-s3"),
                # ministack removes containers of other emulators from a Docker daemon, and needs none here.
                "DOCKER_HOST": f"unix://{state.temporary}/no-docker",
                # Functions get their endpoint from ministack, and none of the caller's AWS settings.
                "AWS_CONFIG_FILE": os.devnull,
                "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
                "AWS_EC2_METADATA_DISABLED": "true",
            },
        )
        supervisor.wait_until(ready.exists, "the emulator listens", timeout_s=_START_TIMEOUT_S)
        endpoint = LocalEndpoint(json.loads(ready.read_text())["port"])
        cloud = LocalCloud(state, supervisor, endpoint, iam=iam, journal=journal, kept=kept)
        supervisor.wait_until(lambda: _answers(cloud.endpoint), "the emulator answers", timeout_s=_START_TIMEOUT_S)
        cloud.announce()
        yield cloud


def _kept_port(state: StateFolder, port: int | None, *, fresh: bool) -> int | None:
    """The port that a cloud whose state is kept must have.

    Raises:
        CommandError: what is kept cannot be read, or is of a cloud with another port.
    """
    if fresh and state.kept.exists():
        remove_folder(state.kept)
    known = kept_port(state.kept, {"ministack": version("ministack")})
    if port is not None and known is not None and port != known:
        raise CommandError(
            f"The cloud that is kept in {state.kept} is at port {known}, which is in the addresses of its queues and "
            f"APIs. Leave --port {port} out, name another folder with --state, or begin empty with --fresh."
        )
    return known or port


def _journal_options(state: StateFolder, journal: bool) -> list[str]:
    return ["--journal", str(state.journal)] if journal else []


def _answers(endpoint: LocalEndpoint) -> bool:
    import httpx

    try:
        return (
            httpx.get(f"{endpoint.url}/_ministack/health", timeout=5.0, trust_env=False).status_code == httpx.codes.OK
        )
    except httpx.TransportError:
        return False


def attach(state: StateFolder) -> LocalEndpoint:
    """The endpoint of the cloud that runs in a folder.

    Raises:
        CommandError: no cloud runs there.
    """
    running = state.cloud()
    if running is None:
        raise CommandError(f"No local cloud runs in {state.root}. Start one with `streamctl up` or `npm start`.")
    return LocalEndpoint(int(running["port"]), str(running["region"]))
