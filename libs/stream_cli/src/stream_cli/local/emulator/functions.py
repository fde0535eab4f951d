"""Python functions run as on AWS: on an interpreter of their own, answering at once, and warm after an error.

- ministack runs functions on its own interpreter, which sees every development tool.
- It waits 50 ms for a line of log after each invocation, which limits a shard to 18 batches a second.
- It ends the process of a function that raises, so that each retry is a cold start.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

INTERNALS = {
    "ministack.core.lambda_runtime": ("_detect_runtime_binary", "_PYTHON_WORKER_SCRIPT", "reset", "Worker"),
}

# A function's log is in its pipe before its answer is: only the thread that reads the pipe has to be scheduled.
_LOG_WAIT_S = 0.01


def patch(lambda_python: Path | None) -> None:
    """Run Python functions on ``lambda_python``, or on ministack's interpreter where it is None."""
    from ministack.core import lambda_runtime

    worker = lambda_runtime.Worker
    worker._drain_stderr_bounded = functools.partialmethod(worker._drain_stderr_bounded, first_line_wait=_LOG_WAIT_S)
    python_script = _kept_warm(lambda_runtime)
    binary_for = lambda_runtime._detect_runtime_binary

    def detected(runtime: str) -> tuple[str, str]:
        binary, script = binary_for(runtime)
        return (str(lambda_python or binary), python_script) if runtime.startswith("python") else (binary, script)

    lambda_runtime._detect_runtime_binary = detected


def stop_workers() -> None:
    """End the processes of functions and remove their folders; ministack leaves them when it shuts down."""
    from ministack.core import lambda_runtime

    lambda_runtime.reset()


def _kept_warm(lambda_runtime: Any) -> str:
    """Keep the process of a function that raises; returns the script to run Python functions with.

    A worker's answer with the status "error" makes ministack end its process. The script says "ok" and that the
    function has raised, and ``Worker.invoke`` says "error" again to its caller.
    """
    script = str(lambda_runtime._PYTHON_WORKER_SCRIPT)
    raised = '{"status": "error", "error": str(e), "trace"'
    if script.count(raised) != 1:
        raise RuntimeError("_PYTHON_WORKER_SCRIPT does not answer an exception as stream_cli expects")
    invoke = lambda_runtime.Worker.invoke

    @functools.wraps(invoke)
    def invoked(worker: Any, *arguments: Any, **options: Any) -> Any:
        response = invoke(worker, *arguments, **options)
        return {**response, "status": "error"} if "trace" in response else response

    lambda_runtime.Worker.invoke = invoked
    return script.replace(raised, '{"status": "ok", "error": str(e), "trace"')
