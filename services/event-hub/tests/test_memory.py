"""The memory that a long object takes: another process reads it over HTTP and publishes its rows.

``python tests/test_memory.py 1024`` does the same with an object of 1024 MB, and prints memory and time.
"""

import json
import os
import re
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

MEGABYTE = 1 << 20
MEMORY_OF_THE_FUNCTION = 512 * MEGABYTE
ROWS = [b"%d,Alice,0.25,%s\n" % (number, b"note " * 800) for number in range(200)]
BAD = b"200,Bob,twenty,%s\n" % (b"note " * 800)
BLOCK = b"".join([*ROWS, BAD])
"""About 800 kB: 200 good rows and a bad one."""


class Aws(BaseHTTPRequestHandler):
    """S3 with one object that is generated while it is read, and a bus that accepts everything."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        header, blocks = b"id,name,amount,note\n", int(self.path.rpartition("/")[2])
        self.send_response(200)
        self.send_header("Content-Length", str(len(header) + blocks * len(BLOCK)))
        self.send_header("ETag", '"e"')
        self.end_headers()
        self.wfile.write(header)
        for _ in range(blocks):
            self.wfile.write(BLOCK)

    def do_POST(self) -> None:
        entries = self.rfile.read(int(self.headers["Content-Length"])).count(b'"EventBusName"')
        self.server.taken += entries  # type: ignore[attr-defined]
        answer = json.dumps({"FailedEntryCount": 0, "Entries": [{"EventId": "e"}] * entries}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None: ...


@contextmanager
def aws() -> Iterator[Any]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Aws)
    server.taken = 0  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def read(megabytes: int) -> dict[str, Any]:
    """Have another process read an object; returns the function's response with the peak memory in bytes."""
    blocks = megabytes * MEGABYTE // len(BLOCK)
    with aws() as server:
        ran = subprocess.run(
            [sys.executable, __file__, "read", str(blocks)],
            env={
                "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, sys.path)]),
                "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
                "AWS_ACCESS_KEY_ID": "testing",
                "AWS_SECRET_ACCESS_KEY": "testing",
                "AWS_REGION": "us-east-1",
                "AWS_DEFAULT_REGION": "us-east-1",
                "SERVICE": "event-hub",
                "STAGE": "test",
                "BUS_NAME": "test-bus",
                "ROW_ENTITY": "record",
                "ROW_EVENT_TYPE": "record-received",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr[-4000:]
        assert len(re.findall("column amount: 'twenty' is no number", ran.stderr)) == blocks
        answer = json.loads(ran.stdout.splitlines()[-1])
        assert (answer["taken"], answer["skipped"]) == (server.taken, blocks) == (blocks * len(ROWS), blocks)
    return answer


def read_here(blocks: int) -> None:
    """The other process: calls the handler as Lambda does."""
    from event_hub.handlers.ingress import handler
    from stream_runtime.events import to_s3_records

    context = SimpleNamespace(function_name="ingress", aws_request_id="r", get_remaining_time_in_millis=lambda: 900_000)
    notification = to_s3_records([{"bucket": {"name": "landing"}, "object": {"key": str(blocks), "eTag": "e"}}])
    (summary,) = handler(notification, context)["objects"]
    print(json.dumps({**summary, "memory": most_memory()}))


def most_memory() -> int:
    """The peak memory of this process, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # on Linux, ru_maxrss includes the memory of the parent process
        return int(re.search(r"^VmHWM:\s+(\d+) kB", status.read_text(), re.MULTILINE)[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


# A process of its own reads 48 MB; test_ingress.py shows that memory does not grow, within this one.
@pytest.mark.thorough
def test_memory_does_not_grow_with_the_object_and_stays_far_below_that_of_the_function() -> None:
    short, long = read(8), read(40)

    assert long["memory"] < MEMORY_OF_THE_FUNCTION / 2
    assert long["memory"] - short["memory"] < 16 * MEGABYTE, "32 MB more were read"


if __name__ == "__main__":
    if sys.argv[1] == "read":
        read_here(int(sys.argv[2]))
    else:
        begin = time.monotonic()
        took = read(int(sys.argv[1]))
        seconds = time.monotonic() - begin
        print(f"{sys.argv[1]} MB, {took['rows']} rows: {took['memory'] / MEGABYTE:.0f} MB of memory, {seconds:.0f} s")
