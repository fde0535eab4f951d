"""Serves the emulator until told to stop."""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import logging
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any

from stream_cli import private_files
from stream_cli.errors import CommandError
from stream_cli.journal.writer import Writer
from stream_cli.local.emulator import PINNED, patched_app
from stream_cli.local.emulator.asynchronous import RETRY_S, RETRY_VARIABLE
from stream_cli.local.emulator.fault_injection import App, Receive, Scope, Send
from stream_cli.local.emulator.functions import stop_workers
from stream_cli.local.emulator.functions.packages import remove_left
from stream_cli.local.emulator.garbage import collect_what_is_new
from stream_cli.local.emulator.kept import Keeper
from stream_cli.local.emulator.one_listener import refuse_other_listeners
from stream_cli.local.kept_file import KeptFile
from stream_cli.local.state import write_json
from stream_cli.terminal.guarded import guard_output
from stream_cli.terminal.logs import log_lines

_HANDOVER_S = 30.0


def listen(port: int) -> socket.socket:
    """A socket that listens on 127.0.0.1; port 0 takes a free one.

    Raises:
        OSError: the port is taken.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen(512)
    except OSError:
        listener.close()
        raise
    return listener


def _own(folder: Path) -> KeptFile:
    """Open the file in which the state is kept; one emulator has it at a time.

    Raises:
        CommandError: another one has it, or it cannot be read.
    """
    private_files.make_folder(folder)
    lock = private_files.open_file(folder / "lock", os.O_RDWR | os.O_CREAT)  # the kernel gives it back
    deadline = time.monotonic() + _HANDOVER_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return KeptFile(folder, {"ministack": PINNED})
        except BlockingIOError:
            # The emulator before this one may still be ending.
            if time.monotonic() > deadline:
                raise CommandError(f"Another local cloud works with {folder}.") from None
            time.sleep(0.1)


async def _serve(app: App, listener: socket.socket, announce: Callable[[], None], stopping: Callable[[], None]) -> None:
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    stop = asyncio.Event()

    def end() -> None:
        stopping()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, end)
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.keep_alive_timeout = 75
    config.graceful_timeout = 1.0
    config.loglevel = "WARNING"
    config.errorlog = logging.getLogger("hypercorn.error")

    async def announced(scope: Scope, receive: Receive, send: Send) -> None:
        async def announcing(message: MutableMapping[str, Any]) -> None:
            await send(message)
            if message["type"] == "lifespan.startup.complete":
                announce()

        await app(scope, receive, announcing if scope["type"] == "lifespan" else send)

    await serve(announced, config, shutdown_trigger=stop.wait)  # type: ignore[arg-type]


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(description="ministack as the local cloud needs it")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--ready", type=Path, required=True, help="file that names the port once it listens")
    parser.add_argument("--lambda-python", type=Path, help="interpreter that functions run on")
    parser.add_argument("--journal", type=Path, help="folder for what the emulator observes")
    parser.add_argument("--no-iam", action="store_true", help="enforce no policies")
    parser.add_argument("--kept", type=Path, help="folder in which the state is kept")
    options = parser.parse_args()
    guard_output()
    log_lines("%(asctime)s %(levelname)s [%(name)s] %(message)s")  # ministack adds nothing to a root that has a handler
    try:
        file = _own(options.kept) if options.kept else None
    except CommandError as error:
        raise SystemExit(str(error)) from None
    wanted = int(file.made_by.get("port") or options.port) if file else options.port
    try:
        listener = listen(wanted)
    except OSError as error:
        kept_for = f" The cloud that is kept in {options.kept} has it in its addresses." if wanted else ""
        text = f"Port {wanted} on 127.0.0.1 cannot be used: {error.strerror}.{kept_for if file else ''}"
        raise SystemExit(text) from None
    port = listener.getsockname()[1]
    refuse_other_listeners()
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    # Read by ministack at import. It need not try the listeners that it opens at start.
    os.environ.update(GATEWAY_PORT=str(port), MINISTACK_HOST="localhost", SFTP_ENABLED="0", IOT_MTLS_ENABLED="0")
    os.environ.setdefault(RETRY_VARIABLE, RETRY_S)
    for name in [name for name in os.environ if name.startswith("MALLOC_")]:
        del os.environ[name]  # for this process alone: functions inherit the others
    # ministack then has no Docker, which it would not find either: the SDK is a seventh of what a start imports.
    sys.modules["docker"] = None  # type: ignore[assignment]
    journal = Writer(options.journal, "emulator") if options.journal else None
    keeper = Keeper(file) if file else None
    if keeper is not None:
        remove_left()  # TMPDIR is this cloud's own
    app = patched_app(options.lambda_python, port, journal, iam=not options.no_iam, keeper=keeper)
    if keeper is not None and file is not None:
        file.note({"port": port})
        try:
            keeper.take()
        except CommandError as error:
            raise SystemExit(str(error)) from None
    collect_what_is_new()

    def announce() -> None:
        write_json(options.ready, {"port": port})
        if keeper is not None:
            keeper.begin()

    try:
        asyncio.run(_serve(app, listener, announce, keeper.end if keeper else lambda: None))
    finally:
        stop_workers()
        if keeper is not None:
            keeper.close()
        if journal is not None:
            journal.close()


if __name__ == "__main__":
    main()
