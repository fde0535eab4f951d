"""``streamctl send``: publishes events on the bus of a stage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from stream_runtime import Publisher
from stream_runtime.clients import time_limit

from stream_cli.deployment.stacks import outputs_by_stack
from stream_cli.errors import CommandError
from stream_cli.given_events import FIELDS, complete, events_of, read_values, what_was_filled_in
from stream_cli.local.state import StateFolder
from stream_cli.stored.connection import Connection
from stream_cli.terminal.output import say

_RETRIES_S = 20.0


def send_file(file: Path, stage: str, bus: str | None, state: Path, *, exact: bool = False) -> int:
    """Publish the events of a file.

    Args:
        file: JSON: one event, a list of them, or one on each line; ``-`` is stdin.
        bus: name of the bus, or None for the bus in the output ``busName`` of a stack of the stage.
        exact: publish the events as they are; else ids, timestamps, partition keys and tags that are left out are
            filled in.

    Raises:
        CommandError: no cloud runs, or the bus refused an event.
        ValueError: the file holds no events, or one without a type.
    """
    events = events_of(read_values(file))
    connection = Connection(stage, StateFolder(state))
    for number, event in enumerate(events, start=1):
        if not isinstance(event.get("type"), str) or not event["type"]:
            raise ValueError(f"event {number} has no type, by which rules find it; nothing was published")
    chosen = bus or _bus_of(connection, stage)
    client = connection.client("events")
    if not exact:
        completed = complete(events, {"source": "streamctl", "stage": stage, "region": client.meta.region_name})
        events = [each.event for each in completed]
        if filled := what_was_filled_in(completed):
            say(filled, err=True)
    for number, event in enumerate(events, start=1):
        if missing := [field for field in FIELDS if not event.get(field)]:
            say(f"Event {number} has no {', '.join(missing)}; its consumers may take it for poison.", err=True)
    publish(client, chosen, events)
    say(f"{len(events)} {'event' if len(events) == 1 else 'events'} published on {chosen}")
    return 0


def publish(client: Any, bus: str, events: Iterable[Mapping[str, Any]]) -> None:
    """Publish events with a boto3 client; entries that fail transiently are sent again for up to 20 s.

    Raises:
        CommandError: the bus refused an event.
    """
    try:
        with time_limit(_RETRIES_S), Publisher(bus, client=client) as publisher:
            for event in events:
                publisher.publish(event)
    except Exception as error:
        raise CommandError(f"Not all events were published on {bus}: {error}") from error


def _bus_of(connection: Connection, stage: str) -> str:
    stacks = outputs_by_stack(connection.client("cloudformation"))
    found = {
        outputs["busName"] for name, outputs in stacks.items() if name.endswith(f"-{stage}") and "busName" in outputs
    }
    if len(found) != 1:
        raise CommandError(
            f"Name a bus with --bus: {', '.join(sorted(found)) or 'no bus'} is in the output busName of the stacks of "
            f"{stage}."
        )
    return found.pop()
