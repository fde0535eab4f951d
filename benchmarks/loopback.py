"""A server on loopback that answers AWS requests after a fixed delay, like a distant service, and counts them.

It stores nothing: writes succeed, and each query finds two rows. The benchmarks measure the client.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import os
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import Connection
from typing import Any

Answers = Mapping[str, Callable[[Any], Any]]
"""Makes the answer to a request, by operation as X-Amz-Target names it."""

COUNTS = "/_counts"


def environment(url: str) -> dict[str, str]:
    """Environment variables with which AWS clients use the server, in a function of Lambda."""
    return {
        "AWS_LAMBDA_FUNCTION_NAME": "benchmark",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_ENDPOINT_URL": url,
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "benchmark",
        "AWS_SECRET_ACCESS_KEY": "benchmark",
    }


@contextlib.contextmanager
def answering(*, after_s: float) -> Iterator[str]:
    """Run the server in a process of its own until the block ends; returns its URL."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(after_s, theirs), daemon=True)
    process.start()
    theirs.close()  # if the server ends before it is ready, recv raises EOFError instead of waiting for ever
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.terminate()
        process.join()


def counts(url: str) -> dict[str, int]:
    """The number of requests that the server has answered, by operation."""
    with urllib.request.urlopen(url + COUNTS, timeout=10) as response:
        counted: dict[str, int] = json.load(response)
    return counted


def _put_events(request: Any) -> Any:
    return {"FailedEntryCount": 0, "Entries": [{"EventId": str(number)} for number in range(len(request["Entries"]))]}


def _query(request: Any) -> Any:
    key = next((value["S"] for value in request["ExpressionAttributeValues"].values() if "S" in value), "")
    events = [
        {"M": {"id": {"S": f"{key}-{kind}"}, "type": {"S": kind}, "timestamp": {"N": "1700000000000"}}}
        for kind in ("thing-0", "thing-1")
    ]
    rows = [{"pk": event["M"]["id"], "sk": {"S": "EVENT"}, "data": {"S": key}, "event": event} for event in events]
    return {"Items": rows, "Count": len(rows), "ScannedCount": len(rows)}


ANSWERS: Answers = {
    "DynamoDB_20120810.BatchWriteItem": lambda _: {"UnprocessedItems": {}},
    "DynamoDB_20120810.Query": _query,
    "AWSEvents.PutEvents": _put_events,
}


def _serve(after_s: float, ready: Connection) -> None:
    asyncio.run(_listen(after_s, ready))


async def _listen(after_s: float, ready: Connection) -> None:
    counted: Counter[str] = Counter()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                body = await reader.readexactly(int(_header(head, "content-length") or 0))
                if head.split(" ", 2)[1] == COUNTS:
                    writer.write(_response(counted))
                else:
                    operation = _header(head, "x-amz-target")
                    counted[operation] += 1
                    await asyncio.sleep(after_s)
                    compute = ANSWERS.get(operation)
                    writer.write(_response(compute(json.loads(body)) if compute else {}))
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    ready.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def _header(head: str, name: str) -> str:
    for line in head.split("\r\n"):
        key, _, value = line.partition(":")
        if key.lower() == name:
            return value.strip()
    return ""


def _response(answer: Any) -> bytes:
    body = json.dumps(answer).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nx-amzn-RequestId: 1\r\n" + (
        b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    )
