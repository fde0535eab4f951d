"""The socket of a console has one owner, who closes it once."""

import subprocess
import sys

SERVES = """
import os, signal
from stream_cli.console.serving import listen, serve

async def app(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.complete"})
    os.kill(os.getpid(), signal.SIGTERM)
    await receive()
    await send({"type": "lifespan.shutdown.complete"})

listener = listen(0)
serve(app, listener)
opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(100)]
del listener
for each in opened:
    os.fstat(each)
print("all are open")
"""


def test_what_is_opened_after_it_has_ended_stays_open() -> None:
    ran = subprocess.run([sys.executable, "-c", SERVES], capture_output=True, text=True, timeout=60, check=False)
    assert ran.stdout == "all are open\n", ran.stderr
