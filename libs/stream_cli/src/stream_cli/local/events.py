"""Puts events on a bus of the local cloud."""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Sequence
from typing import Any

from stream_cli.errors import CommandError
from stream_cli.local.cloud import attach
from stream_cli.local.endpoint import Endpoint, stack_outputs
from stream_cli.local.state import StateFolder
from stream_cli.terminal.output import print_line

ENTRIES = 10
_ATTEMPTS = 6


def send_events(state: StateFolder, content: Any, bus: str | None) -> int:
    """Publish one event or a list of them.

    Raises:
        CommandError: no cloud runs, or the bus refused an event.
        ValueError: it is no event.
    """
    events = content if isinstance(content, list) else [content]
    if not events or not all(isinstance(event, dict) for event in events):
        raise ValueError("an event is a JSON object; expected one, or a list of them")
    for number, event in enumerate(events, start=1):
        missing = [name for name in ("id", "type", "timestamp", "partition_key") if not event.get(name)]
        if missing:
            sys.stderr.write(f"Event {number} has no {', '.join(missing)}; whoever reads it may take it for poison.\n")
    endpoint = attach(state)
    name = bus or the_bus(endpoint)
    Publisher(endpoint, name).publish(events)
    print_line(f"{len(events)} {'event' if len(events) == 1 else 'events'} published on {name}")
    return 0


def the_bus(endpoint: Endpoint) -> str:
    """The bus that a deployed stack names in its output ``busName``.

    Raises:
        CommandError: none does, or several do.
    """
    found = sorted({outputs["busName"] for outputs in stack_outputs(endpoint).values() if "busName" in outputs})
    if len(found) != 1:
        raise CommandError(
            f"{len(found)} buses are the output busName of a stack ({', '.join(found) or 'none'}): name one with --bus."
        )
    return found[0]


class Publisher:
    """Puts events on a bus as a service would: ten at a time, each entry checked."""

    def __init__(self, endpoint: Endpoint, bus: str, source: str = "custom") -> None:
        """Publish on ``bus`` with the entries' Source ``source``."""
        self._events = endpoint.client("events")
        self._bus = bus
        self._source = source

    def publish(self, events: Sequence[dict[str, Any]]) -> None:
        """Put events; entries that the bus refuses are put again.

        Raises:
            CommandError: some are still refused.
        """
        for start in range(0, len(events), ENTRIES):
            entries = [
                {
                    "EventBusName": self._bus,
                    "Source": self._source,
                    "DetailType": str(event.get("type", "unknown")),
                    "Detail": json.dumps(event),
                }
                for event in events[start : start + ENTRIES]
            ]
            for attempt in range(_ATTEMPTS):
                if attempt:
                    time.sleep(random.uniform(0, 0.1 * 2**attempt))
                answers = self._events.put_events(Entries=entries)["Entries"]
                refused = [(e, a) for e, a in zip(entries, answers, strict=True) if a.get("ErrorCode")]
                entries = [entry for entry, _ in refused]
                if not entries:
                    break
            else:
                _, why = refused[0]
                raise CommandError(
                    f"{len(refused)} events were refused by the bus {self._bus}, the first with "
                    f"{why['ErrorCode']}: {why.get('ErrorMessage', '')}"
                )
