"""Pages over real sockets: one that takes nothing holds up nobody and costs nothing; there are at most so many."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import time
from collections.abc import AsyncIterator
from typing import Any

import psutil
import pytest
from hypercorn.asyncio import serve
from hypercorn.config import Config
from stream_cli.console import answering, arrivals
from stream_cli.console.application import Sources, application
from stream_cli.console.serving import listen
from stream_cli.journal.writer import Writer

TOKEN = "the-token-of-this-cloud"
MIB = 1024 * 1024


@contextlib.asynccontextmanager
async def served(sources: Sources) -> AsyncIterator[int]:
    """The console on a port."""
    listener, ends, config = listen(0), asyncio.Event(), Config()
    port = listener.getsockname()[1]
    config.bind, config.graceful_timeout = [f"fd://{listener.detach()}"], 0.1
    app = application(sources, port=port, token=TOKEN, node_modules=None)
    serving = asyncio.create_task(serve(app, config, shutdown_trigger=ends.wait))  # type: ignore[arg-type]
    try:
        yield port
    finally:
        ends.set()
        await serving


async def page(port: int) -> tuple[int, asyncio.StreamReader, asyncio.StreamWriter]:
    """A page that asks for what comes in: the status, and its connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4 * MIB)
    writer.write(request(port))
    status = int((await reader.readuntil(b"\r\n\r\n")).split()[1])
    return status, reader, writer


def request(port: int) -> bytes:
    return f"GET /api/arrivals HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nx-console-token: {TOKEN}\r\n\r\n".encode()


async def told(reader: asyncio.StreamReader, count: int) -> None:
    """Read a message, and further ones until so many events were told of."""
    while True:
        line = await reader.readline()
        assert line
        if line.startswith(b"data:"):
            count -= json.loads(line[5:])["counts"].get("event", 0)
            if count <= 0:
                return


def events(first: int, count: int) -> list[dict[str, Any]]:
    return [
        {"kind": "event", "at": time.time_ns() // 1_000_000, "bus": "b" * 200, "id": f"bus-{number}",
         "source": "s" * 200, "type": "t" * 200, "rules": [],
         "detail": {"id": f"event-{number}", "partition_key": "k" * 200}}
        for number in range(first, first + count)
    ]  # fmt: skip


def test_a_page_that_takes_nothing_holds_up_no_other_costs_no_memory_and_loses_its_connection(
    sources: Sources, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(arrivals, "EVERY_S", 0.005)
    monkeypatch.setattr(answering, "_READS_WITHIN_S", 1.0)
    writer = Writer(sources.state.journal, "emulator")

    async def watch() -> None:
        loop = asyncio.get_running_loop()
        async with served(sources) as port, asyncio.timeout(60):
            stalled = socket.create_connection(("127.0.0.1", port))
            stalled.setblocking(False)
            await loop.sock_sendall(stalled, request(port))
            assert (await loop.sock_recv(stalled, 12)).endswith(b" 200")
            _, reader, connection = await page(port)
            await told(reader, 0)
            before = psutil.Process().memory_info().rss
            first, began = 0, time.monotonic()
            while first < 20_000 or time.monotonic() < began + 2:
                for line in events(first, 200):
                    writer.put(line)
                writer.flush()
                await told(reader, 200)
                first += 200
            assert psutil.Process().memory_info().rss - before < 64 * MIB
            # It has lost its connection: what was on its way is all that it gets.
            taken = 0
            with contextlib.suppress(ConnectionResetError):
                while content := await loop.sock_recv(stalled, MIB):
                    taken += len(content)
            assert taken < 20 * MIB
            stalled.close()
            connection.close()

    asyncio.run(watch())
    writer.close()
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]


def test_one_page_too_many_is_told_so_however_many_come_at_once(sources: Sources) -> None:
    async def watch() -> None:
        async with served(sources) as port, asyncio.timeout(100):
            pages = await asyncio.gather(*(page(port) for _ in range(arrivals.MOST_PAGES + 5)))
            statuses = [status for status, *_ in pages]
            assert statuses.count(200) == arrivals.MOST_PAGES
            assert statuses.count(503) == 5
            refused = next(reader for status, reader, _ in pages if status == 503)
            assert b"Too many pages" in await refused.read(200)
            for status, _, connection in pages:
                if status == 200:
                    connection.close()
                    break
            while (again := await page(port))[0] == 503:
                again[2].close()
            for *_, connection in (*pages, again):
                connection.close()

    asyncio.run(watch())
