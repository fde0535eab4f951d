"""A `streamctl` command in a process of its own, which ends with the job that runs it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Collection, Sequence

from stream_cli.console.jobs import Progress
from stream_cli.errors import CommandError
from stream_cli.local.endpoint import for_the_local_cloud

_OF_THE_CLOUD = ("AWS_", "PYTHONUNBUFFERED", "TMPDIR")
_LOOKS_S = 0.2
_STOPS_WITHIN_S = 5.0


def output_of(arguments: Sequence[str], progress: Progress, problem: str, expected: Collection[int] = (0,)) -> bytes:
    """What a command has printed, once it has ended.

    Args:
        problem: what could not be done, for people, where its exit code is not one of `expected`.

    Raises:
        CommandError: it failed.
        Stopped: the job was asked to stop.
    """
    command = [sys.executable, "-m", "stream_cli.cli", *arguments]
    environment = {
        name: value for name, value in for_the_local_cloud(os.environ).items() if not name.startswith(_OF_THE_CLOUD)
    }
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, env=environment, start_new_session=True
        )
        try:
            while process.poll() is None:
                progress.wait(_LOOKS_S)
        finally:
            _end(process)
        output.seek(0)
        errors.seek(0)
        if process.returncode not in expected:
            raise CommandError(f"{problem} {errors.read().decode(errors='replace')[-2000:]}")
        return output.read()


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process, and those that it has started, if it still runs."""
    from stream_cli.local.state import end_process, process_start_time

    if process.poll() is None:
        end_process(process.pid, process_start_time(process.pid) or 0.0, group=True, grace_s=_STOPS_WITHIN_S)
        process.wait()
