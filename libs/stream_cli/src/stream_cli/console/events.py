"""Events for the page: a summary for the list, the whole event with its secrets hidden for the look at one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stream_cli.faults.redaction import readable
from stream_cli.journal.lines import EventLine
from stream_cli.journal.questions import Questions

_LONGEST = 200
_MOST_OF_A_PAGE = 500


def summary(line: EventLine) -> dict[str, Any]:
    """What a list shows of an event. ``id`` is EventBridge's; ``event`` and ``key`` are the domain event's."""
    detail = line["detail"] if isinstance(line["detail"], Mapping) else {}
    return {
        "at": line["at"],
        "id": line["id"],
        "bus": _short(line["bus"]),
        "source": _short(line["source"]),
        "type": _short(line["type"]),
        "event": _short(detail.get("id")),
        "key": _short(detail.get("partition_key")),
        "rules": [_short(rule["rule"]) for rule in line["rules"]],
    }


def events(questions: Questions, asked: Mapping[str, str]) -> dict[str, Any]:
    """A page of the list.

    Args:
        asked: ``id``, ``key``, ``type``, ``source``, ``text``, ``unmatched``, ``before`` and ``limit`` of the question.
    """
    chosen = {name: asked[name] for name in ("id", "key", "type", "source", "text") if asked.get(name)}
    limit = min(max(int(asked.get("limit") or 100), 1), _MOST_OF_A_PAGE)
    page = questions.events(
        **chosen,  # type: ignore[arg-type]
        unmatched=asked.get("unmatched") == "true", before=asked.get("before") or None, limit=limit,
    )  # fmt: skip
    return {"events": [summary(line) for line in page.lines], "older": page.older}


def event(questions: Questions, id: str) -> dict[str, Any] | None:
    """An event with its detail, by EventBridge's id or its own (then the newest of that id); None if nobody saw it."""
    found = questions.events(id=id, limit=1).lines
    if not found:
        return None
    line = found[0]
    return {
        **summary(line),
        "rules": line["rules"],
        "by": line.get("by"),
        "detail": detail_shown(line["type"], line["detail"]),
    }


def detail_shown(type: str, detail: Any) -> Any:
    """The domain event with what may be secret in it hidden; of a fault, records are decoded, too."""
    if type == "fault" and isinstance(detail, Mapping):
        return readable(detail, whole=False)
    return readable({"shown": detail}, whole=False)["shown"]


def _short(value: object) -> str:
    text = value if isinstance(value, str) else "" if value is None else str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
