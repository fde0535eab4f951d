"""What a function prints is in the log of the invocation that printed it: every line, in order, once."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from stream_cli.local.endpoint import LocalEndpoint

IMPORTS = "import os, subprocess, sys, threading, time\n"
NUMBERED = """
def handler(event, context):
    for number in range(event["lines"]):
        print(context.aws_request_id, number)
    return context.aws_request_id
"""


@pytest.fixture
def functions(endpoint: LocalEndpoint) -> Any:
    return endpoint.client("lambda")


@pytest.fixture
def logged(endpoint: LocalEndpoint, name: str) -> Callable[[], list[str]]:
    """The lines of a function's log without START, END and REPORT, in the order in which they were written."""

    def read() -> list[str]:
        pages = endpoint.client("logs").get_paginator("filter_log_events").paginate(logGroupName=f"/aws/lambda/{name}")
        messages = [event["message"] for page in pages for event in page["events"]]
        return [each for each in messages if not re.match("(START|END|REPORT) RequestId: ", each)]

    return read


def invoked(functions: Any, name: str, event: Any = None) -> tuple[str | None, Any]:
    """The kind of error, and what a function answers."""
    answer = functions.invoke(FunctionName=name, Payload=json.dumps(event).encode())
    return answer.get("FunctionError"), json.loads(answer["Payload"].read())


def test_each_invocation_of_a_function_has_its_own_lines_of_log(functions: Any, made: Any, name: str) -> None:
    made(NUMBERED)
    for call in range(10):
        payload = json.dumps({"lines": call % 3}).encode()
        answer = functions.invoke(FunctionName=name, LogType="Tail", Payload=payload)
        request_id = json.loads(answer["Payload"].read())
        log = base64.b64decode(answer.get("LogResult", "")).decode()
        assert log.splitlines() == [f"{request_id} {number}" for number in range(call % 3)]


def test_each_event_of_a_log_has_an_id_that_stays(
    endpoint: LocalEndpoint, functions: Any, made: Any, name: str
) -> None:
    made(NUMBERED)
    read = endpoint.client("logs").get_paginator("filter_log_events")

    def ids() -> list[str]:
        return [
            event["eventId"] for page in read.paginate(logGroupName=f"/aws/lambda/{name}") for event in page["events"]
        ]

    functions.invoke(FunctionName=name, Payload=b'{"lines": 3}')
    first = ids()
    functions.invoke(FunctionName=name, Payload=b'{"lines": 3}')
    assert ids()[: len(first)] == first
    assert len(set(ids())) == len(ids()) == 2 * len(first)


def test_no_line_is_missing_when_a_function_runs_many_times_at_once(
    endpoint: LocalEndpoint, functions: Any, made: Any, name: str
) -> None:
    made(NUMBERED)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: invoked(functions, name, {"lines": 40}), range(60)))

    logs = endpoint.client("logs")
    pages = logs.get_paginator("filter_log_events").paginate(logGroupName=f"/aws/lambda/{name}")
    lines: dict[str, list[str]] = {}
    for event in (event for page in pages for event in page["events"]):
        lines.setdefault(event["logStreamName"], []).append(event["message"])
    found: dict[str, list[str]] = {}
    for stream in lines.values():
        for message in stream:
            if start := re.match("START RequestId: ([^ ]+)", message):
                current = found.setdefault(start[1], [])
            elif not re.match("(END|REPORT) RequestId: ", message):
                current.append(message)
    assert found == {answer: [f"{answer} {number}" for number in range(40)] for _, answer in answers}
    assert len(lines) <= 4  # a stream for each process, as on AWS


def test_caller_function_and_log_have_one_request_id(
    endpoint: LocalEndpoint, functions: Any, made: Any, name: str
) -> None:
    made("def handler(event, context): return context.aws_request_id")
    answer = functions.invoke(FunctionName=name)
    request_id = json.loads(answer["Payload"].read())
    assert answer["ResponseMetadata"]["RequestId"] == request_id
    events = endpoint.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
    assert [event["message"].split()[2] for event in events] == [request_id] * 3


def test_the_report_has_the_functions_own_memory_and_the_time_of_its_start(
    endpoint: LocalEndpoint, functions: Any, made: Any, name: str
) -> None:
    made("def handler(event, context): event and bytearray(200 << 20)", MemorySize=512)
    for event in (0, 0, 1):
        assert invoked(functions, name, event) == (None, None)
    events = endpoint.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
    reports = [event["message"] for event in events if event["message"].startswith("REPORT")]
    assert ["Init Duration" in report for report in reports] == [True, False, False]
    used = [int(re.findall(r"Max Memory Used: ([0-9]+) MB", report)[0]) for report in reports]
    assert used[0] == pytest.approx(used[1], abs=5)
    assert 0 < used[1] < 60
    assert 200 <= used[2] < 260


ENDS = {
    "returns": ("def handler(event, context): print('line')", None, None),
    "raises": ("def handler(event, context):\n    print('line')\n    raise KeyError('id')", "KeyError", "'id'"),
    "kills itself": (
        "def handler(event, context):\n    print('line')\n    os.kill(os.getpid(), 9)",
        *("Runtime.ExitError", "Runtime exited with error: signal: killed"),
    ),
    "exits at once": (
        "def handler(event, context):\n    print('line')\n    os._exit(3)",
        *("Runtime.ExitError", "Runtime exited with error: exit status 3"),
    ),
    "calls exit": (
        "def handler(event, context):\n    print('line', end='')\n    sys.exit()",
        *("Runtime.ExitError", "Runtime exited without providing a reason"),
    ),
    "closes its connection": (
        "def handler(event, context):\n    print('line')\n    os.closerange(3, 65536)\n    time.sleep(60)",
        *("Runtime.ExitError", "Runtime has closed its connection"),
    ),
    "takes too long": (
        "def handler(event, context):\n    print('line')\n    time.sleep(60)",
        *("Sandbox.Timedout", "Task timed out after 1.00 seconds"),
    ),
    "cannot be imported": ("print('line')\nimport absent", "Runtime.ImportModuleError", "No module named 'absent'"),
    "is not there": ("print('line')", "Runtime.HandlerNotFound", "Handler 'handler' missing on module 'code'"),
    "ends at import": ("print('line')\nos._exit(4)", "Runtime.ExitError", "exit status 4"),
    "returns no JSON": (
        "def handler(event, context):\n    print('line')\n    return {1, 2}",
        *("Runtime.MarshalError", "Object of type set is not JSON serializable"),
    ),
}


@pytest.mark.parametrize(("source", "kind", "message"), ENDS.values(), ids=ENDS)
def test_whatever_ends_an_invocation_its_log_is_there_and_the_next_one_runs(
    functions: Any, made: Any, name: str, logged: Any, source: str, kind: str | None, message: str | None
) -> None:
    made(IMPORTS + source, Timeout=1 if kind == "Sandbox.Timedout" else 20)

    for count in (1, 2):
        error, answer = invoked(functions, name)

        if kind is None:
            assert (error, answer) == (None, None)
        else:
            assert (error, answer["errorType"]) == ("Unhandled", kind)
            assert message in answer["errorMessage"]
            assert any(message in line for line in logged())
        assert logged().count("line") == count


PRINTS = {
    "much at once": ("print('x' * 1_000_000)", ["x" * 1_000_000]),
    "many lines": ("for number in range(20_000): print(number)", [str(number) for number in range(20_000)]),
    "no end of line": ("print('abc', end='')", ["abc"]),
    "nothing but an end of line": ("print(); print('abc')", ["", "abc"]),
    "separators that are no end of line": (r"print('a\x0bb\x1c\x85\u2028c')", ["a\x0bb\x1c\x85\u2028c"]),
    "binary": (r"sys.stdout.buffer.write(b'\xff\x00a\n')", ["\ufffd\0a"]),
    "what looks like an answer": ("""print('{"status": "ok"}')""", ['{"status": "ok"}']),
    "to both": ("print('a'); print('b', file=sys.stderr); print('c')", ["a", "b", "c"]),
    "to a descriptor": ("print('a'); os.write(1, b'b'); os.write(2, b'c\\n')", ["a", "bc"]),
    "from another process": ("subprocess.run(['/bin/echo', 'a'], check=True)", ["a"]),
    "from threads": (
        "threads = [threading.Thread(target=sys.stdout.write, args=('a\\n',)) for _ in range(20)]\n"
        "    [each.start() for each in threads]; [each.join() for each in threads]",
        ["a"] * 20,
    ),
    "to what it closes": ("print('a'); sys.stdout.close(); os.close(2)", ["a"]),
    "to what it replaces": ("print('a'); import io; sys.stdout = io.StringIO(); print('b')", ["a"]),
}


@pytest.mark.parametrize(("statement", "lines"), PRINTS.values(), ids=PRINTS)
def test_everything_that_a_function_prints_is_in_its_log(
    functions: Any, made: Any, name: str, logged: Any, statement: str, lines: list[str]
) -> None:
    made(f"{IMPORTS}def handler(event, context):\n    {statement}\n    return event")

    assert invoked(functions, name, {"a": 1}) == (None, {"a": 1})

    assert logged() == lines


def test_what_a_thread_prints_after_the_end_is_in_the_log_of_the_next_invocation(
    functions: Any, made: Any, name: str, logged: Any
) -> None:
    made(
        """
import sys, threading
go = threading.Event()

def late():
    go.wait()
    for number in range(20_000):
        sys.stdout.write(f"{number}\\n")  # in one: print writes the line and its end
    print("done")

def handler(event, context):
    sys.stdout.write("first\\n" if event else "second\\n")
    if event:
        thread = threading.Thread(target=late)
        thread.start()
        go.thread = thread
        threading.Timer(0.05, go.set).start()
    else:
        go.thread.join()
"""
    )
    assert invoked(functions, name, 1) == (None, None)
    assert logged() == ["first"]

    assert invoked(functions, name) == (None, None)

    lines = logged()
    assert [line for line in lines if line.isdigit()] == [str(number) for number in range(20_000)]
    assert sorted(line for line in lines if not line.isdigit()) == ["done", "first", "second"]
