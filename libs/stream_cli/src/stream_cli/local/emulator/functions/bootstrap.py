"""The process of a Python function, in place of AWS's runtime: takes events and answers what the handler returns.

Runs on the interpreter of functions, so it imports the standard library alone, and little of that: its imports are part
of every cold start. `environment` starts it with the file descriptors of two pipes, and speaks to it in frames: the
lengths of a header (JSON) and of a payload, then both. Standard output and error are a third pipe, the log. At the end
of an invocation, its log is marked before the answer is written: whoever has the answer has the log, too.
"""

# ruff: noqa: TID251 (the output here is the function's)

from __future__ import annotations

import importlib
import json
import os
import site
import sys
import time
from typing import Any

FRAME = 4
"""Bytes of each of the two lengths."""


def end_of_log(request_id: str) -> bytes:
    """What marks the end of an invocation's log."""
    return b"\0" + request_id.encode() + b"\0"


class Log:
    """The pipe that standard output and error are at first; a function may close or replace these."""

    def __init__(self) -> None:
        self._descriptor = os.dup(1)
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr, unused-ignore]

    def end(self, request_id: str, error: str | None) -> None:
        """Write what is still in buffers, then an error if there is one, then the mark."""
        for stream in (sys.stdout, sys.stderr):
            if not getattr(stream, "closed", True):
                stream.flush()
        _write(self._descriptor, (f"[ERROR] {error}\n".encode() if error else b"") + end_of_log(request_id))


class Context:
    """What a handler gets beside the event."""

    identity = None
    client_context = None

    def __init__(self, request_id: str, invoked_function_arn: str, deadline: float) -> None:
        """``deadline`` is in Unix seconds."""
        self.aws_request_id = request_id
        self.invoked_function_arn = invoked_function_arn
        self.function_name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.function_version = os.environ["AWS_LAMBDA_FUNCTION_VERSION"]
        self.memory_limit_in_mb = os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.log_group_name = os.environ["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.log_stream_name = os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]
        self._deadline = deadline

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the function is ended."""
        return max(0, int((self._deadline - time.time()) * 1000))


class DepthOfCalls:
    """Has botocore name the depth of nested invocations, by which ministack ends endless ones; once it is imported."""

    def __init__(self, variable: str, header: str) -> None:
        self._variable = variable
        self._header = header

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Where a module is, as a finder of modules; None for all but one."""
        if name != "botocore.handlers":
            return None
        sys.meta_path.remove(self)  # type: ignore[arg-type, unused-ignore]
        spec = next((found for each in sys.meta_path if (found := each.find_spec(name, path, target))), None)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def executed(module: Any) -> None:
                execute(module)
                module.BUILTIN_HANDLERS.append(("before-call", self._name_depth))

            spec.loader.exec_module = executed  # type: ignore[method-assign, unused-ignore]
        return spec

    def _name_depth(self, params: dict[str, Any], **_: Any) -> None:
        if depth := os.environ.get(self._variable):
            params["headers"].setdefault(self._header, depth)

    # Invoke of Lambda alone reads the depth. So the runtime's other calls need not go through botocore for this hook.
    _name_depth.enabled = False  # type: ignore[attr-defined, unused-ignore]


def main() -> None:
    """Import the handler, then answer invocations until there will be no more."""
    requests, responses = (int(each) for each in sys.argv[1:])
    for each in (requests, responses):
        os.set_inheritable(each, False)
    log = Log()
    taken = os.fdopen(requests, "rb")
    start, _ = _take(taken)
    if start["debugger"]:
        _wait_for_debugger(*start["debugger"])  # first: it needs modules that the function may have by the same name
    sys.path[0:1] = start["paths"]
    for folder in start["sites"]:
        site.addsitedir(folder)
    sys.argv[1:] = []
    sys.meta_path.insert(0, DepthOfCalls(*start["depth"]))  # type: ignore[arg-type, unused-ignore]
    handler, failure = _imported(os.environ["_HANDLER"], start["snapstart"])
    _write(responses, framed({"failed": failure is not None}, b""))
    while frame := _take(taken):
        invocation, event = frame
        result, failed = (b"", failure) if failure else _invoked(handler, invocation, event)
        log.end(invocation["request_id"], str(failed) if failed else None)
        header = {
            "failed": failed is not None,
            "ends": failure is not None,
            "peak_mb": _peak_mb(),
        }
        _write(responses, framed(header, failed.payload(invocation["request_id"]) if failed else result))


def _wait_for_debugger(folder: str, port: int) -> None:
    """Listen on this machine alone, until a debugger is there.

    A page in a browser could send a request whose body is a message of the protocol. It begins with other lines, and
    such a line ends the connection.
    """
    sys.path[0:0] = [folder]
    debugger = importlib.import_module("debugpy")
    importlib.import_module("debugpy.server")  # which makes its own modules importable
    reader = importlib.import_module("_pydevd_bundle.pydevd_comm").ReaderThread
    read_line = reader._read_line

    def read_head(self: Any) -> bytes:
        line: bytes = read_line(self)
        if line.startswith(b"Content-Length:") or line == b"\r\n":
            return line
        self.sock.close()
        return b""

    reader._read_line = read_head
    debugger.listen(("127.0.0.1", port), in_process_debug_adapter=True)
    debugger.wait_for_client()
    sys.path.remove(folder)
    sys.path.append(folder)


class Failure:
    """Why an invocation has failed: the type of the error, what it says, and the lines of its stack."""

    def __init__(self, kind: str, message: str, error: BaseException | None = None) -> None:
        self._kind = kind
        self._message = message
        self._stack = [] if error is None else _stack(error)

    def __str__(self) -> str:
        """For the log."""
        trace = ["Traceback (most recent call last):\n", *self._stack] if self._stack else []
        return f"{self._kind}: {self._message}\n{''.join(trace)}".rstrip()

    def payload(self, request_id: str) -> bytes:
        """What the caller gets instead of a result."""
        return error_payload(self._kind, self._message, requestId=request_id, stackTrace=self._stack)


def error_payload(kind: str, message: str, **more: Any) -> bytes:
    """What the caller of a function gets instead of its result."""
    return json.dumps({"errorMessage": message, "errorType": kind, **more}).encode()


def _stack(error: BaseException) -> list[str]:
    import traceback  # only for errors: it takes 10 ms

    frames = traceback.extract_tb(error.__traceback__)
    own = {__file__, importlib.__file__}
    return traceback.format_list([each for each in frames if each.filename not in own and each.filename[:1] != "<"])


def _imported(name: str, snapstart: bool) -> tuple[Any, Failure | None]:
    """The handler, or what is wrong with it."""
    module_name, _, handler_name = name.rpartition(".")
    if not module_name:
        return None, Failure("Runtime.MalformedHandlerName", f"Bad handler '{name}': not enough values to unpack")
    try:
        module = importlib.import_module(module_name.replace("/", "."))
        if snapstart:
            _snapshot()
    except ImportError as error:
        return None, Failure("Runtime.ImportModuleError", f"Unable to import module '{module_name}': {error}", error)
    except SyntaxError as error:
        return None, Failure("Runtime.UserCodeSyntaxError", f"Syntax error in module '{module_name}': {error}", error)
    except Exception as error:
        return None, Failure(type(error).__name__, str(error), error)
    if not hasattr(module, handler_name):
        return None, Failure("Runtime.HandlerNotFound", f"Handler '{handler_name}' missing on module '{module_name}'")
    return getattr(module, handler_name), None


def _snapshot() -> None:
    """Run the hooks of SnapStart, as one cycle of a snapshot and its restore."""
    try:
        hooks = importlib.import_module("snapshot_restore_py")
    except ImportError:
        return
    for function, arguments, options in [*reversed(hooks.get_before_snapshot()), *hooks.get_after_restore()]:
        function(*arguments, **options)


def _invoked(handler: Any, invocation: dict[str, Any], event: bytes) -> tuple[bytes, Failure | None]:
    """What the handler returns, as JSON, or why there is nothing."""
    for name, value in invocation["variables"].items():
        if value:
            os.environ[name] = value
        else:
            os.environ.pop(name, None)
    context = Context(invocation["request_id"], invocation["invoked_function_arn"], invocation["deadline"])
    try:
        result = handler(json.loads(event), context)
    except Exception as error:
        return b"", Failure(type(error).__name__, str(error), error)
    try:
        return json.dumps(result, default=_number).encode(), None
    except Exception as error:
        return b"", Failure("Runtime.MarshalError", f"Unable to marshal response: {error}")


def _number(value: Any) -> float:
    """A Decimal, as AWS's runtime answers it."""
    decimal = sys.modules.get("decimal")
    if decimal is not None and isinstance(value, decimal.Decimal):
        return float(value)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def _peak_mb() -> int:
    """The most memory that the process has had. What getrusage says begins with that of the process that started it."""
    try:
        with open("/proc/self/status", "rb") as status:
            return int(status.read().partition(b"VmHWM:")[2].split(maxsplit=1)[0]) // 1024
    except FileNotFoundError:  # macOS
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 2**20


def framed(header: dict[str, Any], payload: bytes) -> bytes:
    """A frame."""
    head = json.dumps(header).encode()
    return len(head).to_bytes(FRAME, "big") + len(payload).to_bytes(FRAME, "big") + head + payload


def _take(source: Any) -> Any:
    """The next frame: its header, and its payload; None when there will be no more."""
    lengths = source.read(2 * FRAME)
    if len(lengths) < 2 * FRAME:
        return None
    header = json.loads(source.read(int.from_bytes(lengths[:FRAME], "big")))
    return header, source.read(int.from_bytes(lengths[FRAME:], "big"))


def _write(descriptor: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


if __name__ == "__main__":
    main()
