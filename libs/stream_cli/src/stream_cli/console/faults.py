"""Faults as they were published: in groups, and one with its stack and its record, without secrets."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from stream_cli.console.stacks import DeployedSource
from stream_cli.faults.groups import Group, GroupSummary, error_of, group_of, summarized
from stream_cli.faults.redaction import readable
from stream_cli.journal.questions import Questions
from stream_cli.stored.history import timestamp_ms
from stream_cli.terminal.options import LOCAL, stage_option
from stream_cli.trace.deployed import Deployed

_MOST = 500
_IDS_SHOWN = 50


def faults(questions: Questions, stage: str = LOCAL) -> dict[str, Any]:
    """The newest faults by service, function, pipeline and error, the group with the last one first.

    ``older`` says whether there are more than were looked at; the command of ``all`` lists them.
    """
    page = questions.events(type="fault", limit=_MOST)
    details = [line["detail"] for line in reversed(page.lines) if isinstance(line["detail"], Mapping)]
    groups = sorted(summarized(details).items(), key=lambda each: timestamp_ms(each[1].last), reverse=True)
    return {
        "groups": [_group(*each) for each in groups],
        "older": page.older is not None,
        "all": f"streamctl faults ls{stage_option(stage)}",
    }


def fault(
    questions: Questions, deployed: Deployed, source: DeployedSource, id: str, stage: str = LOCAL
) -> dict[str, Any] | None:
    """The newest fault with an id: its error with the stack, and its unit of work; None if nobody saw it.

    ``trace`` is what shows what became of it.
    """
    found = [
        line for line in questions.events(id=id, type="fault", limit=10).lines if isinstance(line["detail"], Mapping)
    ]
    if not found:
        return None
    detail = found[0]["detail"]
    shown = readable(detail, whole=False)
    err = error_of(shown)
    group = group_of(detail)
    return {
        **group._asdict(),
        "id": str(detail.get("id")),
        "at": timestamp_ms(detail),
        "times": len({timestamp_ms(line["detail"]) for line in found}),
        "message": str(err.get("message") or ""),
        "where": str(err.get("where") or ""),
        "stack": str(err.get("stack") or ""),
        **source.stack(deployed, group.function, str(error_of(detail).get("stack") or "")),
        "uow": shown.get("uow"),
        "trace": traced(detail),
        "resubmit": f"streamctl faults resubmit {shlex.quote(str(detail.get('id')))}{stage_option(stage)}",
    }


def traced(detail: Mapping[str, Any]) -> str:
    """What shows what became of a fault: the id of the event that failed, or its own."""
    uow = detail.get("uow")
    batch = uow.get("batch") if isinstance(uow, Mapping) else None
    events = [each.get("event") for each in (batch if isinstance(batch, list) else [uow]) if isinstance(each, Mapping)]
    ids = [each.get("id") for each in events if isinstance(each, Mapping)]
    return str(next(filter(None, ids), detail.get("id")))


def _group(group: Group, summary: GroupSummary) -> dict[str, Any]:
    ids = list(summary.ids)
    return {
        **group._asdict(),
        "count": len(ids),
        "first": summary.first_ms,
        "last": timestamp_ms(summary.last),
        "message": str(error_of(readable(summary.last, whole=False)).get("message") or "").partition("\n")[0],
        "ids": ids[-_IDS_SHOWN:][::-1],
    }
