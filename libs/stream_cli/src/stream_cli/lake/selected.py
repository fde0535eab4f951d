"""Which events of the lake a command is about, and the replay of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from stream_cli.lake.ledger import ReplayLedger
from stream_cli.lake.targets import BusTarget, FunctionTarget, StreamTarget, Target
from stream_cli.local.state import StateFolder
from stream_cli.stored.connection import Connection
from stream_cli.stored.history import History, ObjectLine, Selection
from stream_cli.stored.options import selection_of

SERVICE = "event-lake-s3"
PREFIX = "events/"


@dataclass(frozen=True)
class Lake:
    """The events that options select; `given` are the options themselves, which identify a replay."""

    connection: Connection
    history: History
    selection: Selection
    state: StateFolder
    given: dict[str, Any]

    def ledger_to(self, target: Target) -> ReplayLedger:
        """The ledger of the replay of these events to a target."""
        folder = self.state.replays(self.connection.stage)
        return ReplayLedger(folder, {**self.given, "target": target.name})


def lake_of(
    connect: Callable[[], Connection],
    state: StateFolder,
    on_unreadable: Callable[[ObjectLine, str], None],
    bucket: str | None = None,
    **wanted: Any,
) -> Lake:
    """The events that options select.

    Args:
        bucket: of the events; by default that of the stack.
        wanted: the options of `stored.options.selection_of`.

    Raises:
        CommandError: there is no lake.
        typer.BadParameter: an option cannot be read; then it does not connect.
    """
    selection = selection_of(**wanted)
    connection = connect()
    name = connection.bucket(SERVICE, bucket)
    history = History(connection.client("s3"), name, PREFIX, on_unreadable)
    return Lake(connection, history, selection, state, {**wanted, "stage": connection.stage, "bucket": name})


def target_of(connection: Connection, kind: str, name: str, batch_size: int = 100) -> Target:
    """A function, a stream or a bus (``kind``) as a target; whether it exists, `Target.check` says."""
    if kind == "function":
        return FunctionTarget(connection.invoking(), name, batch_size)
    if kind == "stream":
        return StreamTarget(connection.client("kinesis"), name)
    return BusTarget(connection.client("events"), name)
