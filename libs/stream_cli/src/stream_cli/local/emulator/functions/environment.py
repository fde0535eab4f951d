"""An execution environment: the process of a function, which serves one invocation at a time.

ministack's pool leases, reuses and ends environments; it knows them by the attributes of its ``Worker``.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from stream_cli.local.emulator.functions import bootstrap
from stream_cli.local.emulator.functions.debugging import NO_LIMIT_S, Debugger
from stream_cli.local.emulator.functions.packages import Packages
from stream_cli.local.emulator.functions.pipes import OutOfTime, Pipes, ProcessEnded

INTERNALS = {
    "ministack.core.lambda_runtime": (
        *("execution_credentials", "_account_region_from_function_config", "_RESERVED_RUNTIME_ENV_VARS"),
        *("HOST_PREFIX_ENV", "INVOKE_DEPTH_ENV", "INVOKE_DEPTH_HEADER"),
    ),
    "ministack.services.lambda_svc": ("_resolve_layer_zip",),
}

_INIT_S = 10.0
"""Seconds that AWS gives a function to start; one that needs longer has its timeout in addition."""

_EXIT_S = 0.5
"""Seconds between the end of a process's pipes and its own."""


@dataclass
class Answer:
    """What became of an invocation.

    Attributes:
        payload: JSON, what the function returned or its error.
        failed: whether it is an error.
        log: what was printed, a line each.
        init_ms: how long the process took to start; None where it ran already.
        peak_mb: the most memory that the process has had.
    """

    payload: bytes = b""
    failed: bool = False
    log: list[str] = field(default_factory=list)
    init_ms: float | None = None
    peak_mb: int = 0


class _Process(subprocess.Popen[bytes]):
    """Ends at once when it is told to, as on AWS: a function cannot put that off. Its process group ends with it."""

    def kill(self) -> None:
        if self.returncode is None:
            self._kill_group()

    def terminate(self) -> None:
        self.kill()

    def poll(self) -> int | None:
        return self._ended(self.returncode, super().poll())

    def wait(self, timeout: float | None = None) -> int:
        before = self.returncode
        code = super().wait(timeout)
        self._ended(before, code)
        return code

    def _ended(self, before: int | None, code: int | None) -> int | None:
        """End what a process that has just ended leaves behind; as long as that runs, the group's id is not reused."""
        if before is None and code is not None:
            self._kill_group()
        return code

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: EPERM for a group of zombies
            os.killpg(self.pid, signal.SIGKILL)

    def runs(self) -> bool:
        return self.poll() is None


class ExecutionEnvironment:
    """A process of a function; it starts with the first invocation, and again after it has ended.

    Attributes:
        log_stream: name of the stream for its log.
        in_use: whether it is leased. ministack's pool sets this, and ``last_used``.
        waits: whether its process waits for a debugger.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        code: bytes,
        python: str,
        packages: Packages,
        debugger: Debugger | None = None,
    ) -> None:
        """``config`` is that of the function, ``code`` its package, ``python`` the interpreter to run it on."""
        self.config = config
        self.waits = False
        self._debugger = debugger
        self.in_use = False
        self.last_used = time.time()
        self.log_stream = f"{datetime.now(UTC):%Y/%m/%d}/[{config.get('Version', '$LATEST')}]{uuid.uuid4().hex}"
        self._code = code
        self._python = python
        self._packages = packages
        self._folders: list[Path] = []
        self._lock = threading.Lock()
        self._proc: _Process | None = None
        self._pipes: Pipes | None = None

    def invoke(self, event: bytes, request_id: str, arn: str, variables: Mapping[str, str | None]) -> Answer:
        """Run one invocation.

        Args:
            event: JSON.
            request_id: the one that the function sees.
            arn: of the function, as its caller named it.
            variables: of the environment, for this invocation; None removes one.
        """
        with self._lock:
            answer = Answer()
            timeout = NO_LIMIT_S if self._debugger else float(self.config.get("Timeout", 3))
            began = time.monotonic()
            try:
                process, pipes = self._proc, self._pipes
                if process is None or pipes is None or not process.runs():
                    process, pipes, _ = self._start(began + _INIT_S + timeout)
                    answer.init_ms = (time.monotonic() - began) * 1000
                invocation = {
                    "request_id": request_id,
                    "invoked_function_arn": arn,
                    "deadline": time.time() + timeout,
                    "variables": variables,
                }
                frame = bootstrap.framed(invocation, event)
                mark = bootstrap.end_of_log(request_id)
                header, answer.payload = pipes.exchange(frame, process.runs, time.monotonic() + timeout, mark)
                answer.failed = header["failed"]
                answer.peak_mb = header["peak_mb"]
                answer.log = pipes.take_log(mark)
                if header["ends"]:
                    self._end()
            except BadZipFile as error:
                _fail(answer, request_id, "InvalidZipFileException", f"Could not unzip uploaded file: {error}")
            except OutOfTime:
                answer.log = self._end()
                _fail(answer, request_id, "Sandbox.Timedout", f"Task timed out after {timeout:.2f} seconds")
            except ProcessEnded:
                exited = _exit_of(self._proc)
                answer.log = self._end()
                _fail(answer, request_id, "Runtime.ExitError", exited)
            return answer

    def wait_for_debugger(self) -> None:
        """Start the process, and wait until a debugger is there or the process is ended."""
        with self._lock:
            try:
                self._start(time.monotonic() + NO_LIMIT_S)
            except (ProcessEnded, OutOfTime, BadZipFile):
                self._end()

    def _spawn(self) -> None:
        """Start the process before it is needed, as ministack does for a version with SnapStart.

        Raises:
            RuntimeError: the function does not start.
        """
        try:
            _, _, failed = self._start(time.monotonic() + _INIT_S)
        except (ProcessEnded, OutOfTime, BadZipFile) as error:
            raise RuntimeError("\n".join([type(error).__name__, *self._end()])) from error
        if failed:
            raise RuntimeError("\n".join(self._end()))

    def _start(self, deadline: float) -> tuple[_Process, Pipes, bool]:
        """Start the process; returns it with its pipes, and whether its handler cannot be imported."""
        from ministack.core import lambda_runtime

        self._end()
        for package in (self._code, *_layers(self.config)):
            self._folders.append(self._packages.take(package, of=str(self.config["FunctionArn"])))
        code, *layers = self._folders
        pipes = self._pipes = Pipes()
        requests, responses, log = pipes.theirs
        try:
            process = self._proc = _Process(
                [self._python, bootstrap.__file__, str(requests), str(responses)],
                cwd=code,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(requests, responses),
                process_group=0,
                env=self._variables(code),
            )
        finally:
            pipes.close_theirs()
        _interrupts_nobody(process)
        start = {
            "paths": [str(code), *(str(layer / "python") for layer in layers)],
            "sites": [str(site) for layer in layers for site in layer.glob("python/lib/python*/site-packages")],
            "depth": [lambda_runtime.INVOKE_DEPTH_ENV, lambda_runtime.INVOKE_DEPTH_HEADER],
            "debugger": [self._debugger.folder, self._debugger.port] if self._debugger else None,
            "snapstart": (self.config.get("SnapStart") or {}).get("OptimizationStatus") == "On",
        }
        self.waits = self._debugger is not None
        try:
            header, _ = pipes.exchange(bootstrap.framed(start, b""), process.runs, deadline)
        finally:
            self.waits = False
        return process, pipes, header["failed"]

    def _variables(self, code: Path) -> dict[str, str]:
        """The environment of the process: the emulator's, the function's, and what Lambda sets."""
        from ministack.core import lambda_runtime

        config = self.config
        reserved = lambda_runtime._RESERVED_RUNTIME_ENV_VARS
        own = (config.get("Environment") or {}).get("Variables") or {}
        _, region = lambda_runtime._account_region_from_function_config(config)
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{os.environ['GATEWAY_PORT']}",
            lambda_runtime.HOST_PREFIX_ENV: "true",
            **os.environ,
            "TZ": ":UTC",
            **{name: value for name, value in own.items() if name not in reserved},
            **lambda_runtime.execution_credentials(config),
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{config.get('Runtime', '')}",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(config.get("MemorySize", 128)),
            "AWS_LAMBDA_FUNCTION_NAME": config["FunctionName"],
            "AWS_LAMBDA_FUNCTION_VERSION": config.get("Version", "$LATEST"),
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_LOG_GROUP_NAME": log_group(config),
            "AWS_LAMBDA_LOG_STREAM_NAME": self.log_stream,
            "LAMBDA_TASK_ROOT": str(code),
            "_HANDLER": config.get("Handler", ""),
        }

    def _end(self) -> list[str]:
        """End the process, if there is one; returns the rest of its log."""
        process, self._proc = self._proc, None
        pipes, self._pipes = self._pipes, None
        if process is not None:
            process.kill()
            process.wait()
        log = []
        if pipes is not None:
            log = pipes.take_log()
            pipes.close()
        while self._folders:
            self._packages.release(self._folders.pop())
        return log

    def _discard_tmpdir(self) -> None:
        """What ministack calls when it has ended the process; an invocation of it sees that first."""
        with self._lock:
            self._end()


def _interrupts_nobody(process: _Process) -> None:
    """Have a process wait for its turn when it wakes up, if it is scheduled like any other (sched(7), SCHED_BATCH).

    Each answer wakes up the function that waits for it. Where no core is free, the kernel would let that interrupt the
    emulator, which everybody waits for, several times for an event.
    """
    if sys.platform == "linux" and os.sched_getscheduler(0) == os.SCHED_OTHER:
        os.sched_setscheduler(process.pid, os.SCHED_BATCH, os.sched_param(0))


def log_group(config: Mapping[str, Any]) -> str:
    """The name of the log group of a function."""
    return str((config.get("LoggingConfig") or {}).get("LogGroup") or f"/aws/lambda/{config['FunctionName']}")


def _layers(config: Mapping[str, Any]) -> list[bytes]:
    from ministack.services import lambda_svc

    packages = (lambda_svc._resolve_layer_zip(layer) for layer in config.get("Layers") or [])
    return [package for package in packages if package]


def _fail(answer: Answer, request_id: str, kind: str, what: str) -> None:
    """Make an answer that of a function whose process did not answer."""
    message = f"RequestId: {request_id} Error: {what}"
    answer.failed = True
    answer.payload = bootstrap.error_payload(kind, message)
    answer.log += [message, kind]


def _exit_of(process: _Process | None) -> str:
    """How a process has ended, in AWS's words; one that has closed its pipes and runs on is ended."""
    if process is None:
        return "Runtime exited with error: signal: killed"
    try:
        code = process.wait(_EXIT_S)
    except subprocess.TimeoutExpired:
        return "Runtime has closed its connection"
    if code < 0:
        return f"Runtime exited with error: signal: {signal.strsignal(-code)}".lower().replace("runtime", "Runtime", 1)
    return f"Runtime exited with error: exit status {code}" if code else "Runtime exited without providing a reason"
