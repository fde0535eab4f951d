"""Python functions run as on AWS, in processes of their own that answer at once and lose no line of log.

ministack's workers, which this replaces for Python,

- run on its own interpreter, which sees every development tool;
- wait up to 50 ms after each invocation for a line of log, and put later lines into the log of the next one;
- end with an error of the function, so that each retry is a cold start, and with an update of it, in the middle of an
  invocation;
- import botocore at each start, and unpack the package for each process;
- name every error ``Runtime.HandlerError``, and open a stream of log events for each invocation.

Its answer to Invoke has another request id than the function and its log.
"""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from stream_cli.local.emulator.functions import environment, log_streams
from stream_cli.local.emulator.functions.debugging import debugger_of, turn_of
from stream_cli.local.emulator.functions.environment import ExecutionEnvironment
from stream_cli.local.emulator.functions.packages import Packages
from stream_cli.local.emulator.native_json import written

INTERNALS = {
    "ministack.app": ("_dispatch_service_request",),
    "ministack.core.lambda_runtime": (
        *("_detect_runtime_binary", "_worker_class_for", "_workers", "_lock", "acquire_worker", "release_worker"),
        *("invalidate_worker", "kill_workers", "reset", "INVOKE_DEPTH_ENV", "DURABLE_ENV_VARS"),
        *environment.INTERNALS["ministack.core.lambda_runtime"],
    ),
    "ministack.services.lambda_svc": (
        *("_execute_function_warm", "_emit_lambda_logs", "_ensure_reaper_thread", "_xray_trace_id_for_invocation"),
        *("_invoke_depth", "_durable_env_overlay", "invalidate_worker", "release_worker"),
        *environment.INTERNALS["ministack.services.lambda_svc"],
    ),
    **log_streams.INTERNALS,
}

_packages = Packages()
_retired: set[ExecutionEnvironment] = set()
"""Environments of code or settings that have changed since, which finish what they have begun."""

_request_ids: ContextVar[list[str] | None] = ContextVar("request_ids", default=None)
"""Takes the ids of the invocations that a request makes."""


def patch(lambda_python: Path | None) -> None:
    """Run Python functions on ``lambda_python``, or on ministack's interpreter where it is None."""
    from ministack import app
    from ministack.core import lambda_runtime
    from ministack.services import lambda_svc

    others = lambda_runtime._worker_class_for
    binary, _ = lambda_runtime._detect_runtime_binary("python")
    python = str(lambda_python or binary)

    def made(_name: str, config: dict[str, Any], code: bytes) -> ExecutionEnvironment:
        return ExecutionEnvironment(config, code, python, _packages, debugger_of(config["FunctionName"]))

    lambda_runtime._worker_class_for = lambda config: made if _is_python(config) else others(config)
    app._dispatch_service_request = functools.partial(_dispatch, app._dispatch_service_request)
    lambda_svc._execute_function_warm = functools.partial(_execute, lambda_svc._execute_function_warm)
    lambda_svc._emit_lambda_logs = functools.partial(log_streams.write, lambda_svc._emit_lambda_logs)
    lambda_svc.invalidate_worker = lambda_runtime.invalidate_worker = retire
    lambda_svc.release_worker = functools.partial(_release, lambda_runtime.release_worker)


def stop_workers() -> None:
    """End the processes of functions and remove their folders; ministack leaves them when it shuts down."""
    from ministack.core import lambda_runtime

    lambda_runtime.reset()
    with lambda_runtime._lock:
        retired = [*_retired]
    lambda_runtime.kill_workers(retired)
    _packages.clear()


def _is_python(config: dict[str, Any]) -> bool:
    return str(config.get("Runtime", "")).startswith("python")


async def _dispatch(dispatch: Callable[..., Awaitable[Any]], *arguments: Any, **options: Any) -> Any:
    """Answer Invoke with the request id that the function sees."""
    ids: list[str] = []
    _request_ids.set(ids)
    response = await dispatch(*arguments, **options)
    if ids and response[0] == 200 and "X-Amz-Executed-Version" in response[1]:
        response[1]["x-amzn-requestid"] = ids[0]
    return response


def _execute(others: Callable[..., Any], function: dict[str, Any], event: Any, request_id: str) -> dict[str, Any]:
    """Run an invocation in an environment that is free, or in a new one."""
    config, code = function.get("config") or function, function.get("code_zip")
    if not code or not _is_python(config):
        return dict(others(function, event, request_id))
    if (ids := _request_ids.get()) is not None:
        ids.append(request_id)
    with turn_of(config["FunctionName"]):
        return _invoke(config, code, event, request_id)


def _invoke(config: dict[str, Any], code: bytes, event: Any, request_id: str) -> dict[str, Any]:
    from ministack.core import lambda_runtime
    from ministack.services import lambda_svc

    lambda_svc._ensure_reaper_thread()
    qualifier = config.get("Version", "$LATEST")
    environment, _ = lambda_runtime.acquire_worker(config["FunctionName"], config, code, qualifier=qualifier)
    depth, durable = lambda_svc._invoke_depth.get(), lambda_svc._durable_env_overlay()
    variables = {
        "_X_AMZN_TRACE_ID": lambda_svc._xray_trace_id_for_invocation(config),
        lambda_runtime.INVOKE_DEPTH_ENV: None if depth is None else str(depth),
        **{name: durable.get(name) for name in lambda_runtime.DURABLE_ENV_VARS},
    }
    try:
        answer = environment.invoke(written(event), request_id, config.get("FunctionArn", ""), variables)
    finally:
        lambda_svc.release_worker(environment)
    return {
        "body": json.loads(answer.payload),
        "log": "\n".join(answer.log),
        "log_source": (environment.log_stream, answer),
        **({"error": True} if answer.failed else {}),
    }


def retire(function: str, qualifier: str | None = None, account: str | None = None, region: str | None = None) -> None:
    """Take the environments of a function out of the pool, and end them once they are free.

    One that waits for a debugger is ended at once. Where the function is debugged, another one waits then.
    """
    from ministack.core import lambda_runtime

    wanted = (account, region, function, qualifier)
    with lambda_runtime._lock:
        keys = [
            key
            for key in lambda_runtime._workers
            if all(want in {None, part} for want, part in zip(wanted, key.split(":"), strict=True))
        ]
        retired = [worker for key in keys for worker in lambda_runtime._workers.pop(key)]
        busy = [worker for worker in retired if worker.in_use and isinstance(worker, ExecutionEnvironment)]
        busy = [worker for worker in busy if not worker.waits]
        _retired.update(busy)
    lambda_runtime.kill_workers([worker for worker in retired if worker not in busy])
    if debugger_of(function) is not None:
        threading.Thread(target=_wait_for_debugger, args=(function,), daemon=True).start()


def _wait_for_debugger(function: str) -> None:
    from ministack.core import lambda_runtime
    from ministack.services import lambda_svc

    with turn_of(function):
        record = lambda_svc._functions.get(function)
        if record is None or debugger_of(function) is None or not record.get("code_zip"):
            return
        environment, _ = lambda_runtime.acquire_worker(function, record["config"], record["code_zip"])
        try:
            environment.wait_for_debugger()
        finally:
            lambda_svc.release_worker(environment)


def _release(release: Callable[[Any], None], worker: Any) -> None:
    from ministack.core import lambda_runtime

    release(worker)
    with lambda_runtime._lock:
        ends = worker in _retired
        _retired.discard(worker)
    if ends:
        lambda_runtime.kill_workers([worker])
