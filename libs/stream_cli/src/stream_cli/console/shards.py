"""Mappings and their shards: where they are, what failed last, when it is tried again, what the filters drop."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stream_cli.faults.secret_text import redacted_text
from stream_cli.journal.lines import AttemptLine
from stream_cli.journal.questions import Questions
from stream_cli.mappings.failing import Blame
from stream_cli.mappings.status import StatusUnavailable, read_status

_FAILURES = 5


def shards(questions: Questions, folder: Path) -> dict[str, Any]:
    """The engine's status, and of each mapping its last failed attempts and the records that its filter dropped last.

    Args:
        folder: of the mapping engine.
    """
    try:
        status = read_status(folder)
    except StatusUnavailable as error:
        return {"alive": False, "problem": str(error), "mappings": []}
    return {
        "alive": status["alive"],
        "problem": status["endpoint_problem"],
        "mappings": [_mapping(questions, each) for each in status["mappings"]],
    }


def _mapping(questions: Questions, mapping: dict[str, Any]) -> dict[str, Any]:
    id = mapping["uuid"]
    last = {}
    for attempt in reversed(questions.attempts(mapping=id, limit=50).lines):
        last[attempt["shard"]] = attempt
    filtered = questions.filtered(mapping=id, limit=1).lines
    return {
        "id": id,
        "function": mapping["function"].rpartition(":function:")[2],
        "source": mapping["source"].split(":", 5)[-1],
        "enabled": mapping["enabled"],
        "problem": mapping["problem"],
        "shards": [_shard(each, last.get(each["shard"])) for each in mapping["shards"]],
        "failures": [_failure(each) for each in questions.attempts(mapping=id, failed=True, limit=_FAILURES).lines],
        "filtered_last": filtered[0]["at"] if filtered else None,
    }


def _shard(shard: dict[str, Any], last: AttemptLine | None) -> dict[str, Any]:
    """A shard of the status; ``waits_until`` if it is tried again, with the ``blame`` of what failed."""
    failing = shard.get("failing")
    shown = {name: value for name, value in shard.items() if name != "failing"}
    shown["last_outcome"] = redacted_text(shard.get("last_outcome") or "")
    if failing is not None:
        shown |= {"blame": _blame(failing), "attempt": failing["failures"]}
        shown |= {} if failing["next"] is None else {"waits_until": int(failing["next"] * 1000)}
    if last is not None and last["outcome"] != "ok" and "next" in last:
        shown = {"blame": _blame(last), "waits_until": last["next"], **shown, "attempt": last["attempt"]}
    return shown


def _failure(line: AttemptLine) -> dict[str, Any]:
    return {
        "at": line["at"],
        "shard": line["shard"],
        "attempt": line["attempt"],
        "records": len(line["numbers"]) - line["done"],
        "first": line["numbers"][line["done"]] if line["done"] < len(line["numbers"]) else None,
        "problem": redacted_text(line.get("problem", "")),
        "next": line.get("next"),
        "request": line.get("request"),
        "blame": _blame(line),
    }


def _blame(failed: Mapping[str, Any]) -> dict[str, str]:
    """What failed: the fields of `Blame` as far as they are known, ``reason`` always."""
    known = {name: redacted_text(failed[name]) for name in Blame.__annotations__ if failed.get(name)}
    return {"reason": redacted_text(failed.get("problem", "")), **known}
