"""Resubmission of faults: what would be done, the job that does it, and what became of faults before.

It is `streamctl faults resubmit`: the same plan, ledger, functions and rate decide.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from stream_cli.console.aws_errors import aws_errors_told
from stream_cli.console.bodies import fields
from stream_cli.console.faults import traced
from stream_cli.console.jobs import READ_ONLY, JobKind, Progress, Work
from stream_cli.console.plans import CONFIRMED, plan_id, require_confirmed
from stream_cli.errors import CommandError
from stream_cli.faults.groups import Group, group_of
from stream_cli.faults.ledger import Resubmission, ResubmissionLedger
from stream_cli.faults.resubmit import Plan, Result, invocation_of, plan, resubmit
from stream_cli.faults.secret_text import redacted_text
from stream_cli.journal.questions import Questions
from stream_cli.stored.connection import Connection
from stream_cli.stored.history import timestamp_ms
from stream_cli.stored.rate_limit import RateLimit

KIND = "resubmit"

_SERVICE = "event-fault-monitor"
_PER_SECOND = 10.0  # as of the command
_MOST = 5_000
_PAGE = 500
_MOST_IDS = 50
_SHOWN = 100
_GROUP = Group._fields
_ASKED: Mapping[str, type] = {
    "ids": list, **dict.fromkeys(_GROUP, str), "all": bool, "again": bool, "failed_again": bool, "until": str,
}  # fmt: skip


class Resubmissions:
    """What `streamctl faults resubmit` does, for the page.

    Args:
        is_production: whether people type the stage's name first.
        writes: whether it may be done at all.
    """

    def __init__(
        self, questions: Questions, connection: Callable[[], Connection], is_production: Callable[[], bool], *,
        writes: bool,
    ) -> None:  # fmt: skip
        self._questions = questions
        self._connection = connection
        self._is_production = is_production
        self._writes = writes
        self._read: dict[str, Resubmission] = {}

    @property
    def kind(self) -> JobKind:
        """The job that resubmits what was shown."""
        return JobKind(self._prepare)

    def entries(self, newest: int = _PAGE) -> dict[str, Any]:
        """What became of the newest faults that were resubmitted, by id: ``outcome`` and when (``at``).

        The outcome is that of the ledger, or ``failed again`` where the fault was published again since.
        """
        last = {id: timestamp_ms(fault) for id, fault in _latest(self._faults({"all": True}, newest)[0]).items()}
        try:
            with aws_errors_told():
                self._read = self._ledger(self._connection()).entries(last, self._read)
        except CommandError as error:
            return {"entries": {}, "problem": f"Whether faults were resubmitted is not known: {error}"}
        return {"entries": {id: _entry(each, last[id]) for id, each in self._read.items()}, "problem": None}

    def plan(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """What would be done, for the page. ``asked`` is what the job then has to be asked, with the plan's id."""
        asked = {"until": str(_until(self._questions)), **_checked(asked)}
        connection = self._connection()
        planned, older = self._planned(connection, asked)
        functions = Counter(group_of(fault).function for fault in planned.due.values())
        left_out = [
            *({"id": id, "why": redacted_text(why), "kind": "refused"} for id, why in planned.refused.items()),
            *({"id": id, "why": redacted_text(why), "kind": "impossible"} for id, why in planned.impossible.items()),
            *({"id": id, "why": "it was resubmitted before", "kind": "done"} for id in planned.done),
            *({"id": id, "why": "it has failed again since", "kind": "failed again"} for id in planned.failed_again),
            *(
                {"id": id, "why": "its resubmission was interrupted; see whether it took effect", "kind": "interrupted"}
                for id in planned.uncertain
            ),
        ]
        return {
            "plan": _id_of(connection, planned),
            "asked": asked,
            "what": _what(planned),
            "stage": connection.stage,
            "type": connection.stage if self._is_production() else None,
            "refusal": None if self._writes else READ_ONLY,
            "number": len(planned.due),
            "functions": [{"function": name, "faults": number} for name, number in functions.most_common()],
            "due": [_due(id, fault, planned) for id, fault in list(planned.due.items())[:_SHOWN]],
            "left_out": left_out[:_SHOWN],
            "kinds_left_out": Counter(each["kind"] for each in left_out),
            "older": older,
        }

    def _prepare(self, body: Mapping[str, Any]) -> Work:
        asked = _checked({name: value for name, value in body.items() if name not in CONFIRMED})
        fields({name: value for name, value in body.items() if name in CONFIRMED}, CONFIRMED)
        connection = self._connection()
        planned, _ = self._planned(connection, asked)
        require_confirmed(body, _id_of(connection, planned), connection.stage, is_production=self._is_production())
        if not planned.due:
            raise CommandError("There is nothing to resubmit.")

        def run(progress: Progress) -> None:
            result = Result()
            try:
                with aws_errors_told():
                    limit = RateLimit(_PER_SECOND, sleep=progress.wait)
                    resubmit(planned, connection.invoking(), self._ledger(connection), limit, result, progress.reached)
            finally:
                failed = [{"id": id, "why": redacted_text(why)} for id, why in result.failed.items()]
                traces = [{"id": id, "trace": traced(planned.due[id])} for id in result.done[:_SHOWN]]
                progress.result = {
                    "done": len(result.done), "failed": failed, "taken": result.taken, "traces": traces,
                }  # fmt: skip

        return Work(_what(planned), run, len(planned.due))

    def _planned(self, connection: Connection, asked: Mapping[str, Any]) -> tuple[Plan, bool]:
        faults, older = self._faults(asked, _MOST)
        known = {str(fault.get("id")) for fault in faults}
        if missing := [each for each in asked.get("ids", ()) if each not in known]:
            raise CommandError(f"There is no fault {', '.join(missing)}.")
        with aws_errors_told():
            functions = connection.functions() if faults else frozenset()
            planned = plan(
                faults, self._ledger(connection), functions, connection.stage,
                again=asked.get("again", False), failed_again=asked.get("failed_again", False),
            )  # fmt: skip
        return planned, older

    def _faults(self, asked: Mapping[str, Any], most: int) -> tuple[list[Mapping[str, Any]], bool]:
        """The newest faults that are asked for, and whether there may be older ones."""
        until = int(asked["until"]) if "until" in asked else None
        if asked.get("ids"):
            pages = [self._questions.events(id=each, type="fault", until=until, limit=20) for each in asked["ids"]]
            return [line["detail"] for page in pages for line in page.lines if isinstance(line["detail"], dict)], False
        found: list[Mapping[str, Any]] = []
        seen, before = 0, None
        while seen < most:
            page = self._questions.events(type="fault", until=until, before=before, limit=min(_PAGE, most - seen))
            seen += len(page.lines)
            found += [line["detail"] for line in page.lines if isinstance(line["detail"], dict)]
            before = page.older
            if before is None:
                break
        named = {name: asked[name] for name in _GROUP if name in asked}
        chosen = [each for each in found if named.items() <= group_of(each)._asdict().items()]
        return chosen, before is not None

    def _ledger(self, connection: Connection) -> ResubmissionLedger:
        return ResubmissionLedger(connection.client("s3"), connection.bucket(_SERVICE, None))


def asked_of(query: Any) -> dict[str, Any]:
    """What a question's query asks for; ``id`` may be there several times."""
    flags = {name: query[name] == "true" for name in ("all", "again", "failed_again") if query.get(name)}
    texts = {name: query[name] for name in (*_GROUP, "until") if query.get(name)}
    ids = query.getlist("id")
    return {**texts, **flags, **({"ids": ids} if ids else {})}


def _checked(asked: Mapping[str, Any]) -> dict[str, Any]:
    """What is asked for: ids, a group, or all faults, said in so many words.

    Raises:
        ValueError: it is none of these.
    """
    found = fields(asked, _ASKED)
    chosen = [bool(found.get("ids")), any(found.get(name) for name in _GROUP), bool(found.get("all"))]
    if sum(chosen) != 1:
        raise ValueError("Say which faults: ids, a group, or all.")
    if len(found.get("ids", ())) > _MOST_IDS:
        raise ValueError(f"At most {_MOST_IDS} ids at once.")
    if "until" in found and not (found["until"].isdecimal() and len(found["until"]) < 16):
        raise ValueError("until must be a time in ms.")
    return found


def _until(questions: Questions) -> int:
    """Behind the newest fault: those that come later are not in the plan."""
    newest = questions.events(type="fault", limit=1).lines
    return newest[0]["at"] + 1 if newest else 0


def _latest(faults: list[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    return {str(fault.get("id")): fault for fault in sorted(faults, key=timestamp_ms)}


def _entry(entry: Resubmission, last_ms: int) -> dict[str, Any]:
    again = entry.outcome == "done" and last_ms > entry.at_ms
    return {"outcome": "failed again" if again else entry.outcome, "at": entry.at_ms}


def _due(id: str, fault: Mapping[str, Any], planned: Plan) -> dict[str, Any]:
    before = planned.entries.get(id)
    group = group_of(fault)
    return {
        "id": id, "function": group.function, "error": redacted_text(group.error),
        "before": None if before is None else _entry(before, timestamp_ms(fault)),
    }  # fmt: skip


def _what(planned: Plan) -> str:
    number = len(planned.due)
    functions = sorted({group_of(fault).function for fault in planned.due.values()})
    to = functions[0] if len(functions) == 1 else f"{len(functions)} functions"
    return f"Resubmit {number} fault{'' if number == 1 else 's'} to {to}"


def _id_of(connection: Connection, planned: Plan) -> str:
    """Over what would be invoked, with which records, and what is known of each fault's last resubmission."""
    due = {}
    for id, fault in planned.due.items():
        function, event = invocation_of(fault)
        before = planned.entries.get(id)
        digest = hashlib.sha256(json.dumps(event, sort_keys=True).encode()).hexdigest()
        due[id] = [function, digest, before.version if before else ""]
    return plan_id(connection.stage, due)
