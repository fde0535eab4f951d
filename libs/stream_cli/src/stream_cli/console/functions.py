"""Functions: how often each was invoked in the last hour, how long that took, and what failed."""

from __future__ import annotations

import time
from typing import Any

from stream_cli.console.refusals import Refusal
from stream_cli.faults.secret_text import redacted_text
from stream_cli.journal.lines import CallLine
from stream_cli.journal.questions import Questions
from stream_cli.logs.command import no_function
from stream_cli.trace.deployed import Deployed

_HOUR_MS = 3_600_000
_CALLS = 50
_SHOWN = ("Runtime", "Handler", "MemorySize", "Timeout", "CodeSize", "LastModified")


def functions(questions: Questions, deployed: Deployed) -> dict[str, Any]:
    """Every function that is deployed or was invoked in the last hour, by name, with its figures of that hour."""
    now = time.time_ns() // 1_000_000
    rows = {name: _row(name) for name in deployed.functions}
    for flow in questions.traffic(now - _HOUR_MS, now + 1000):
        if flow.kind == "call":
            row = rows.setdefault(flow.end, _row(flow.end))
            row["invocations"] += flow.count
            row["failed"] += flow.failed
            row["ms"] += flow.ms
            row["most_ms"] = max(row["most_ms"], flow.most_ms)
            row["last"] = max(row["last"] or 0, flow.last)
    return {"functions": [rows[name] for name in sorted(rows)]}


def function(questions: Questions, deployed: Deployed, name: str, stage: str) -> dict[str, Any]:
    """A function's last invocations and those that failed.

    Raises:
        Refusal: there is no such function, nor was there one.
    """
    last = questions.calls(function=name, limit=_CALLS).lines
    configuration = deployed.functions.get(name, {})
    if not last and not configuration:
        raise Refusal(404, no_function(name, deployed.functions, stage))
    settings = {each: configuration[each] for each in _SHOWN if each in configuration}
    failed = questions.calls(function=name, failed=True, limit=_CALLS).lines
    return {
        "name": name,
        "settings": settings,
        "last": [_call(each) for each in last],
        "failed": list(map(_call, failed)),
    }


def _row(name: str) -> dict[str, Any]:
    return {"name": name, "invocations": 0, "failed": 0, "ms": 0, "most_ms": 0, "last": None}


def _call(line: CallLine) -> dict[str, Any]:
    return {
        "at": line["at"],
        "request": line["request"],
        "ms": line["end"] - line["start"],
        "init": line.get("init"),
        "outcome": line["outcome"],
        "error": redacted_text(line.get("error", "")),
        "records": line.get("count"),
        "reported": len(line.get("reported", ())),
    }
