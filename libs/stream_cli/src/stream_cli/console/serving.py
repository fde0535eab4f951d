"""Serves a console on this machine until a stop signal."""

from __future__ import annotations

import asyncio
import logging
import socket

from starlette.types import ASGIApp

from stream_cli.terminal.signals import STOP_SIGNALS, Stopped, ignore_stop_signals


def listen(port: int) -> socket.socket:
    """A socket that listens on 127.0.0.1, at this port or, if it is taken, at a free one."""
    for each in (port, 0):
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", each))
        except OSError:
            listener.close()
            continue
        listener.listen(128)
        return listener
    raise SystemExit("No port on 127.0.0.1 can be used.")


def serve(app: ASGIApp, listener: socket.socket) -> Stopped:
    """Serve until a stop signal, which is returned; from then on, others do nothing."""
    return asyncio.run(_served(app, listener))


async def _served(app: ASGIApp, listener: socket.socket) -> Stopped:
    """At the end, connections are cut: asyncio tells of each, which says nothing to anybody."""
    from hypercorn.asyncio import serve as serve_with
    from hypercorn.config import Config

    loop = asyncio.get_running_loop()
    stop: asyncio.Future[int] = loop.create_future()

    def end(number: int) -> None:
        if not stop.done():
            stop.set_result(number)

    for each in STOP_SIGNALS:
        loop.add_signal_handler(each, end, each)
    loop.set_exception_handler(lambda loop, told: None if stop.done() else loop.default_exception_handler(told))
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.graceful_timeout = 0.2
    config.loglevel = "WARNING"
    config.errorlog = logging.getLogger("hypercorn.error")
    await serve_with(app, config, shutdown_trigger=lambda: stop)  # type: ignore[arg-type]
    for each in STOP_SIGNALS:
        loop.remove_signal_handler(each)
    ignore_stop_signals()
    return Stopped(await stop)
