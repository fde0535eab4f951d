"""What a mapping fails on, in a row: rule, event and call, from the function's own log, and the next attempt."""

from __future__ import annotations

import base64
import binascii
import json
import time
from collections.abc import Mapping
from typing import Any, Literal, NotRequired, TypedDict

from stream_cli.amounts import amount
from stream_cli.mappings.outcomes import Failed, Undelivered
from stream_cli.mappings.records import Record

_LEFT = "left for retry: "
_LONGEST_REASON = 600
_FIELDS = {
    "rule": "pipeline",
    "event": "event_id",
    "type": "event_type",
    "operation": "operation",
    "target": "target",
}


class Example(TypedDict):
    """A record by what is in it: id and type of its event, or the keys and the kind of a change."""

    id: NotRequired[str]
    type: NotRequired[str]


class Blame(TypedDict):
    """What failed, as far as it is known. ``target`` is the table, queue, bus or bucket of the ``operation``."""

    rule: NotRequired[str]
    event: NotRequired[str]
    type: NotRequired[str]
    operation: NotRequired[str]
    target: NotRequired[str]
    reason: NotRequired[str]


class Failing(Blame):
    """Failures in a row of a lane of a shard. Times are in Unix seconds.

    Attributes:
        failures: how many there were in a row, without any record done between them.
        records: how many records are left of the batch.
        number: the sequence number of the first of them.
        next: when it is tried again, None if it is not.
    """

    failures: int
    since: float
    records: int
    number: str
    problem: str
    next: float | None


def failing_of(
    kind: Literal["kinesis", "dynamodb"],
    records: tuple[Record, ...],
    outcome: Failed | Undelivered,
    before: Failing | None,
    now: float,
    again: float | None,
) -> Failing:
    """The failures in a row after another one; `before` are those before it."""
    done = outcome.done if isinstance(outcome, Failed) else 0
    continued = before if before is not None and not done else None
    left = records[done:]
    found: Failing = {
        "failures": continued["failures"] + 1 if continued is not None else 1,
        "since": continued["since"] if continued is not None else now,
        "records": len(left),
        "number": left[0].sequence_number if left else "",
        "problem": outcome.problem,
        "next": again,
    }
    blame = blame_of(kind, records, outcome)
    if not blame and continued is not None:  # the log is asked for from the second failure on
        blame = {name: continued[name] for name in Blame.__annotations__ if name in continued}  # type: ignore[assignment,literal-required]
    return {**found, **blame}


def blame_of(kind: Literal["kinesis", "dynamodb"], records: tuple[Record, ...], outcome: Failed | Undelivered) -> Blame:
    """What a failed attempt says of its cause: what the function has logged, else the record that it reported."""
    blame: Blame = {}
    if isinstance(outcome, Failed) and outcome.invocation is not None:
        blame = _logged_in(outcome.invocation.log)
    one = len(records) == 1 or (isinstance(outcome, Failed) and outcome.partial and outcome.done < len(records))
    if "event" not in blame and one and isinstance(outcome, Failed):
        example = example_of(kind, json.loads(records[outcome.done].body)) if records[outcome.done].body else {}
        if "id" in example:
            blame["event"] = example["id"]
        if "type" in example:
            blame.setdefault("type", example["type"])
    return blame


def _logged_in(log: str) -> Blame:
    """What the last line says in which the runtime leaves records for retry, or else reports an error of a rule."""
    found: Blame = {}
    for text in reversed(log.splitlines()):
        try:
            line = json.loads(text) if text.startswith("{") else None
        except ValueError:
            continue
        if not isinstance(line, dict) or line.get("level") != "ERROR":
            continue
        message = str(line.get("message", ""))
        if found and not message.startswith(_LEFT):
            continue
        found = {mine: line[name] for mine, name in _FIELDS.items() if isinstance(line.get(name), str)}  # type: ignore[assignment]
        found["reason"] = message.removeprefix(_LEFT).partition(" (rule ")[0][:_LONGEST_REASON]
        if message.startswith(_LEFT):
            return found
    return found


def example_of(kind: Literal["kinesis", "dynamodb"], record: Mapping[str, Any]) -> Example:
    """What is known of a record, in the form that a function gets it: of an event its id and type, of a change the
    values of its keys and INSERT, MODIFY or REMOVE.
    """
    if kind == "dynamodb":
        keys = record.get("dynamodb", {}).get("Keys", {})
        values = [str(value) for key in keys.values() for value in key.values()]
        return {"id": ", ".join(values)[:256], "type": str(record.get("eventName", ""))}
    try:
        event = json.loads(base64.b64decode(record["kinesis"]["data"]))
    except (binascii.Error, KeyError, TypeError, ValueError, RecursionError):
        return {}
    if isinstance(event, dict) and isinstance(event.get("detail"), dict):
        event = {"type": event.get("detail-type"), **event["detail"]}
    if not isinstance(event, dict):
        return {}
    return {name: event[name][:256] for name in ("id", "type") if isinstance(event.get(name), str)}  # type: ignore[return-value]


def sentence(failing: Mapping[str, Any], speed: float = 1.0) -> str:
    """The failures in a row, for people."""
    times = f"{failing['failures']} times in a row" if failing["failures"] > 1 else "once"
    about = [f"rule {failing['rule']}"] if failing.get("rule") else []
    if failing.get("event"):
        about.append(f"event {failing['event']}" + (f" ({failing['type']})" if failing.get("type") else ""))
    else:
        about.append(f"{amount(failing['records'], 'record')} from {failing['number']} on")
    if failing.get("operation"):
        about.append(failing["operation"] + (f" on {failing['target']}" if failing.get("target") else ""))
    why = failing.get("reason") or failing["problem"]
    again = failing["next"]
    following = "" if again is None else f"; next attempt at {time.strftime('%H:%M:%S', time.localtime(again))}"
    return f"failed {times}, {', '.join(about)}: {why}{following}"
