"""Shows the state of the mappings, from the status file that a running engine writes to its state folder."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Group, JustifyMethod, RenderableType
from rich.table import Table

from stream_cli import private_files
from stream_cli.amounts import amount
from stream_cli.errors import CommandError
from stream_cli.mappings.checkpoints import ENGINE_FOLDER, STATUS_FILE
from stream_cli.mappings.failing import sentence
from stream_cli.terminal.output import line

STALE_AFTER = 15.0
"""Seconds without an update of the status after which an engine is taken for dead."""


class StatusUnavailable(CommandError):
    """The state folder has no readable status."""


def engine_folder(given: Path) -> Path:
    """The state folder of an engine; `given` is that folder, or the state folder of the local cloud around it."""
    return given / ENGINE_FOLDER if (given / ENGINE_FOLDER).is_dir() else given


def read_status(state: Path, now: float | None = None) -> dict[str, Any]:
    """Read the status file of an engine.

    Adds `alive`, and to each shard `iterator_age`: seconds since its oldest unfinished record arrived, 0 without one.

    Raises:
        StatusUnavailable: there is no readable status.
    """
    now = time.time() if now is None else now
    path = state / STATUS_FILE
    try:
        status = json.loads(private_files.read(path))
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


_COLUMNS: tuple[tuple[str, int, JustifyMethod], ...] = (
    ("shard", 9, "left"),
    ("position", 9, "left"),
    ("behind", 6, "right"),
    ("age", 7, "right"),
    ("in flight", 9, "right"),
    ("done", 6, "right"),
    ("retries", 7, "right"),
    ("given up", 8, "right"),
)


def status_table(status: Mapping[str, Any]) -> RenderableType:
    """A status as a heading for each mapping and a row for each shard, for at least 80 columns."""
    parts: list[RenderableType] = [_headline(status)]
    for mapping in status["mappings"]:
        parts.append(line(_label(mapping), style="bold"))
        if mapping["problem"]:
            parts.append(line(f"  {mapping['problem']}", style="red"))
        elif not mapping["enabled"]:
            parts.append(line("  disabled", style="dim"))
        elif not mapping["shards"]:
            parts.append(line("  no shards yet", style="dim"))
        else:
            parts += [line(f"  {text}", style="red") for text in failing_in(mapping)]
            if text := filtered_in(mapping):
                parts.append(line(f"  {text}", style="yellow" if admits_nothing(mapping) else "dim"))
            parts.append(_shards(mapping["shards"]))
    parts += [line(text, style="yellow") for text in unadmitted_in(status)]
    return Group(*parts)


def failing_in(mapping: Mapping[str, Any]) -> list[str]:
    """For each shard on which a mapping fails: how often in a row, on what, why, and when it is tried again."""
    return [
        f"shard {_number(shard['shard'])} {sentence(shard['failing'])}"
        for shard in mapping["shards"]
        if shard.get("failing")
    ]


def filtered_in(mapping: Mapping[str, Any]) -> str:
    """How many records the filters of a mapping have not let through, with the last of them; or empty."""
    filtered = sum(shard.get("filtered", 0) for shard in mapping["shards"])
    if not filtered:
        return ""
    examples = [shard["last_filtered"] for shard in mapping["shards"] if shard.get("last_filtered")]
    last = f"; the last one was {_example(examples[-1])}" if examples else ""
    if admits_nothing(mapping):
        return f"its filters have let through none of {amount(filtered, 'record')}{last}"
    return f"its filters have not let through {amount(filtered, 'record')}{last}"


def admits_nothing(mapping: Mapping[str, Any]) -> bool:
    """Whether the filters of a mapping have dropped records, and have let none through."""
    shards = [shard for shard in mapping["shards"] if shard.get("behind") is not None]
    return sum(each["filtered"] for each in shards) > 0 and not any(
        each["behind"] or each["processed"] or each["given_up"] or each["invocations"] or each["in_flight"]
        for each in shards
    )


def unadmitted_in(status: Mapping[str, Any]) -> list[str]:
    """For each stream and type: how many records no filter of any mapping lets through, with the last of them."""
    return [
        f"no mapping on {name_of(stream['stream'])} lets through {count['type']}: "
        f"{amount(count['count'], 'record')} so far" + (f", the last one {count['last']}" if count.get("last") else "")
        for stream in status.get("streams", ())
        for count in stream["unadmitted"]
    ]


def name_of(stream: str) -> str:
    """The stream or table in an ARN, as people know it."""
    source = stream.split(":", 5)[5].split("/")
    return f"table {source[1]}" if source[0] == "table" else source[1]


def _example(example: Mapping[str, Any]) -> str:
    kind = f" ({example['type']})" if example.get("type") else ""
    return f"{example.get('id', 'one without an id')}{kind}"


def _shards(shards: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim", expand=True)
    for heading, width, justify in _COLUMNS:
        table.add_column(heading, width=width, justify=justify, no_wrap=True)
    table.add_column("last outcome", no_wrap=True, ratio=1)
    for shard in shards:
        table.add_row(*_cells(shard))
    return table


def _headline(status: Mapping[str, Any]) -> RenderableType:
    if not status["alive"]:
        return line(f"no engine is running for {status['endpoint']}; this is its last status", style="yellow")
    if status["endpoint_problem"]:
        return line(f"{status['endpoint']}: {status['endpoint_problem']}", style="red")
    speed = f", {status['speed']:g} times as fast" if status["speed"] != 1 else ""
    return line(f"{status['endpoint']}: engine {status['pid']} is running{speed}", style="green")


def _label(mapping: Mapping[str, Any]) -> str:
    return f"{mapping['function'].rpartition(':function:')[2]} ← {name_of(mapping['source'])}"


def _cells(shard: Mapping[str, Any]) -> list[RenderableType]:
    name = f"  {_number(shard['shard'])}"
    if shard["behind"] is None:
        return [name, *[""] * (len(_COLUMNS) - 1), line(shard["state"], style="dim")]
    more = "" if shard["read_to_tip"] or shard["state"] != "open" else "+"
    outcome = shard["last_outcome"]
    state = "" if shard["state"] == "open" else f"({shard['state']}) "
    return [
        name,
        _end(shard["position"]) if shard["position"] else "—",
        f"{shard['behind']}{more}",
        _duration(shard["iterator_age"]),
        str(shard["in_flight"]),
        str(shard["processed"]),
        _noticed(shard["retries"], "yellow"),
        _noticed(shard["given_up"], "red"),
        line((state, "dim"), (outcome, "" if outcome in {"", "ok"} else "red")),
    ]


def _noticed(count: int, style: str) -> RenderableType:
    return line(str(count), style=style if count else "")


def _number(shard_id: str) -> str:
    """The end of a shard's id, which distinguishes it from others."""
    return _end(shard_id.removeprefix("shardId-").strip("0-") or "0", 7)


def _end(text: str, length: int = 9) -> str:
    """The end of a text."""
    return text if len(text) <= length else f"…{text[1 - length :]}"


def _duration(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
