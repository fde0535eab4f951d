"""Shows how the mappings stand, from the status file that a running engine keeps in its state folder."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from stream_cli.mappings.engine import STATUS_FILE

__all__ = ["StatusUnavailable", "read_status", "status_table"]

STALE_AFTER = 15.0
"""Seconds without a sign of life after which an engine is taken for dead."""


class StatusUnavailable(Exception):
    """There is no readable status in the state folder."""


def read_status(state: Path, now: float | None = None) -> dict[str, Any]:
    """Read the status file of an engine.

    Beside what the engine wrote, each shard gets `iterator_age`, the seconds since its oldest unfinished record arrived
    (0 when there is none), and the whole gets `alive`. Raises `StatusUnavailable`.
    """
    now = time.time() if now is None else now
    path = state / STATUS_FILE
    try:
        status = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise StatusUnavailable(f"no engine has run on {state}: {path} does not exist") from error
    except ValueError as error:
        raise StatusUnavailable(f"{path} is not readable: {error}") from error
    status["alive"] = bool(status["running"]) and now - status["updated_at"] < STALE_AFTER
    for mapping in status["mappings"]:
        for shard in mapping["shards"]:
            oldest = shard.get("oldest_arrival")
            shard["iterator_age"] = round(max(0.0, now - oldest), 3) if oldest is not None else 0.0
    return dict(status)


def status_table(status: Mapping[str, Any]) -> RenderableType:
    """Render a status as a table, one row a shard."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("mapping", "shard", "position", "behind", "age", "in flight", "done", "retries", "given up"):
        right = heading in {"behind", "age", "in flight", "done", "retries", "given up"}
        table.add_column(heading, justify="right" if right else "left", no_wrap=heading != "mapping")
    table.add_column("last outcome", overflow="ellipsis", no_wrap=True, max_width=40)
    for mapping in status["mappings"]:
        name = Text(_label(mapping))
        if mapping["problem"]:
            table.add_row(name, Text(mapping["problem"], style="red"))
        elif not mapping["enabled"]:
            table.add_row(name, Text("disabled", style="dim"))
        elif not mapping["shards"]:
            table.add_row(name, Text("no shards yet", style="dim"))
        for shard in mapping["shards"] if mapping["enabled"] and not mapping["problem"] else ():
            table.add_row(name, *_cells(shard))
            name = Text("")
    lines: list[RenderableType] = [_headline(status), table]
    return Group(*lines)


def _headline(status: Mapping[str, Any]) -> Text:
    if not status["alive"]:
        return Text(f"no engine is running for {status['endpoint']}; this is how it stood last", style="yellow")
    if status["endpoint_problem"]:
        return Text(f"{status['endpoint']}: {status['endpoint_problem']}", style="red")
    speed = f", {status['speed']:g} times as fast" if status["speed"] != 1 else ""
    return Text(f"{status['endpoint']}: engine {status['pid']} is running{speed}", style="green")


def _label(mapping: Mapping[str, Any]) -> str:
    source = mapping["source"].split(":", 5)[5].split("/")
    kind = "table " if source[0] == "table" else ""
    return f"{mapping['function'].rpartition(':function:')[2]} ← {kind}{source[1]}"


def _cells(shard: Mapping[str, Any]) -> list[RenderableType]:
    if shard["behind"] is None:
        return [_short(shard["shard"]), Text(shard["state"], style="dim")]
    more = "" if shard["read_to_tip"] or shard["state"] != "open" else "+"
    outcome = shard["last_outcome"]
    position = _short(shard["position"]) if shard["position"] else "—"
    return [
        _short(shard["shard"]) + ("" if shard["state"] == "open" else f" ({shard['state']})"),
        position,
        f"{shard['behind']}{more}",
        _duration(shard["iterator_age"]),
        str(shard["in_flight"]),
        str(shard["processed"]),
        _noticed(shard["retries"], "yellow"),
        _noticed(shard["given_up"], "red"),
        Text(outcome, style="" if outcome in {"", "ok"} else "red"),
    ]


def _noticed(count: int, style: str) -> Text:
    return Text(str(count), style=style if count else "")


def _short(identifier: str) -> str:
    """Shorten what differs at its end only."""
    if identifier.startswith("shardId-"):
        number = identifier.removeprefix("shardId-").lstrip("0-")
        return f"shard {number or '0'}" if len(number) <= 12 else f"shard …{number[-8:]}"
    return identifier if len(identifier) <= 12 else f"…{identifier[-10:]}"


def _duration(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
