"""Records why a local cloud ended, for `streamctl status`."""

from __future__ import annotations

import contextlib
import signal
import traceback
from collections.abc import Iterator

from stream_cli.errors import CommandError
from stream_cli.local.state import StateFolder
from stream_cli.terminal.signals import Stopped


@contextlib.contextmanager
def end_recorded(state: StateFolder) -> Iterator[None]:
    """Record in the state folder why what is inside ended."""
    state.forget_end()
    try:
        yield
    except BaseException as error:
        state.record_end(why(error))
        raise
    else:
        state.record_end("It had done what it was started for.")


def why(error: BaseException) -> str:
    """Why a cloud ends, by what ends it; the first line says it."""
    if isinstance(error, Stopped):
        return f"It was stopped by {signal.Signals(error.number).name}."
    if isinstance(error, CommandError):
        return str(error)
    return f"{type(error).__name__}: {error}\n{''.join(traceback.format_exception(error))}"
