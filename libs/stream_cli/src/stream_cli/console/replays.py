"""Replays of the lake: what would be sent, and the job that sends it.

It is `streamctl lake replay`: the same selection, targets, ledger and rate. What one of the two has begun, the other
continues. Of targets, only those of the stage's stacks are taken.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import typer
from stream_runtime.payload.visible import visible

from stream_cli.console.bodies import fields
from stream_cli.console.jobs import READ_ONLY, JobKind, Progress, Work
from stream_cli.console.plans import CONFIRMED, plan_id, require_confirmed
from stream_cli.errors import CommandError
from stream_cli.lake.ledger import ReplayLedger, Scope
from stream_cli.lake.replay import ReplayProgress, replay, scope_of
from stream_cli.lake.selected import Lake, lake_of, target_of
from stream_cli.lake.targets import Target
from stream_cli.local.state import StateFolder
from stream_cli.stored.connection import Connection
from stream_cli.stored.history import StoredEvent
from stream_cli.stored.rate_limit import RateLimit
from stream_cli.trace.deployed import Deployed

KIND = "replay"
MOST_OBJECTS = 5_000
MOST_BYTES = 256 * 1024 * 1024
_ASKED: Mapping[str, type] = {
    "types": list, "since": str, "until": str, "faults": bool, "to": str, "name": str, "rate": str, "restart": bool,
}  # fmt: skip
_RESOURCES = {
    "function": "AWS::Lambda::Function",
    "stream": "AWS::Kinesis::Stream",
    "bus": "AWS::Events::EventBus",
}
_LEAST_RATE = 0.1


@dataclass(frozen=True)
class Plan:
    """What would be sent: the events of a scope that are selected, and how far an earlier run has come."""

    lake: Lake
    target: Target
    ledger: ReplayLedger
    scope: Scope
    types: Counter[str]
    digest: str
    restart: bool

    @property
    def number(self) -> int:
        """How many events are selected, those that were sent before included."""
        return self.types.total()

    @property
    def sent(self) -> int:
        """How many an earlier run has sent."""
        return 0 if self.restart else self.ledger.sent

    @property
    def left(self) -> int:
        """How many are to be sent."""
        return 0 if self.ledger.is_complete and not self.restart else self.number - self.sent

    @property
    def what(self) -> str:
        """Says so to people."""
        return f"Replay {self.left} event{'' if self.left == 1 else 's'} to {self.target.name}"

    @property
    def id(self) -> str:
        """Names it by all that would be done."""
        ledger = self.ledger
        progress = [ledger.sent, ledger.finished, ledger.line, ledger.is_complete]
        return plan_id(self.lake.given, self.target.name, self.digest, progress, self.restart)


class Replays:
    """What `streamctl lake replay` does, for the page.

    Args:
        state: the folder of the ledgers.
        is_production: whether people type the stage's name first.
        writes: whether it may be done at all.
    """

    def __init__(
        self,
        connection: Callable[[], Connection],
        deployed: Callable[[], Deployed],
        state: StateFolder,
        is_production: Callable[[], bool],
        *,
        writes: bool,
    ) -> None:
        self._connection = connection
        self._deployed = deployed
        self._state = state
        self._is_production = is_production
        self._writes = writes

    @property
    def kind(self) -> JobKind:
        """The job that replays what was shown."""
        return JobKind(self._prepare)

    def targets(self) -> dict[str, Any]:
        """Functions, streams and buses of the stage's stacks; functions say whether they ``read`` a Kinesis stream."""
        connection = self._connection()
        resources = connection.resources()
        readers = {each.function for each in self._deployed().mappings if ":kinesis:" in each.source}
        functions = [
            {"name": each, "reads": each in readers} for each in sorted(resources.get(_RESOURCES["function"], ()))
        ]
        return {
            "functions": sorted(functions, key=lambda each: not each["reads"]),
            "streams": sorted(resources.get(_RESOURCES["stream"], ())),
            "buses": sorted(resources.get(_RESOURCES["bus"], ())),
        }

    def plan(self, asked: Mapping[str, str]) -> dict[str, Any]:
        """What would be done, for the page. The job then has to be asked ``asked``, with the id of the ``plan``.

        Args:
            asked: ``asked`` of a question, which is the JSON of what the job is asked.

        Raises:
            ValueError: what is asked is wrong.
            CommandError: there is no lake, no such target, or too much for a console.
        """
        given = json.loads(asked.get("asked") or "{}")
        if not isinstance(given, dict):
            raise ValueError("asked must be a JSON object.")
        # Events that come later are no part of this plan.
        complete = {"until": datetime.now(UTC).isoformat(timespec="milliseconds"), **_checked(given)}
        connection = self._connection()
        plan = self._planned(connection, complete)
        return {
            "plan": plan.id,
            "asked": complete,
            "what": plan.what,
            "stage": connection.stage,
            "type": connection.stage if self._is_production() else None,
            "refusal": None if self._writes else READ_ONLY,
            "number": plan.left,
            "selected": plan.number,
            "sent": plan.sent,
            "complete": plan.ledger.is_complete and not plan.restart,
            "types": [{"type": visible(type), "events": number} for type, number in plan.types.most_common()],
            "objects": len(plan.scope.objects),
            "target": plan.target.name,
        }

    def _prepare(self, body: Mapping[str, Any]) -> Work:
        asked = _checked({name: value for name, value in body.items() if name not in CONFIRMED})
        fields({name: value for name, value in body.items() if name in CONFIRMED}, CONFIRMED)
        if not asked.get("until"):
            raise ValueError("until is missing: ask what would be done first.")
        connection = self._connection()
        plan = self._planned(connection, asked)
        require_confirmed(body, plan.id, connection.stage, is_production=self._is_production())
        if plan.left <= 0:
            raise CommandError("There is nothing to replay.")
        rate = _rate(asked)

        def run(progress: Progress) -> None:
            self._state.secure()
            ledger = plan.lake.ledger_to(plan.target)
            try:
                _run(plan, ledger, RateLimit(rate, sleep=progress.wait), progress)
            finally:
                progress.result = {"sent": ledger.sent, "target": plan.target.name, "asked": _again(asked)}

        return Work(plan.what, run, plan.number)

    def _planned(self, connection: Connection, asked: Mapping[str, Any]) -> Plan:
        kind, name = asked.get("to", ""), asked.get("name", "")
        if kind not in _RESOURCES or not name:
            raise ValueError("to must be function, stream or bus, and name its name.")
        if name not in connection.resources().get(_RESOURCES[kind], ()):
            raise CommandError(f"{visible(name)} is no {kind} of the stacks of this stage.")
        wanted = {
            "types": sorted(asked.get("types", ())), "type_prefix": None, "type_regex": None, "source": None,
            "since": asked.get("since") or None, "until": asked["until"], "day": None,
            "with_faults": asked.get("faults", False),
        }  # fmt: skip
        try:
            lake = lake_of(lambda: connection, self._state, lambda place, why: None, **wanted)
        except typer.BadParameter as error:
            raise ValueError(error.format_message()) from error
        lake = replace(lake, selection=replace(lake.selection, with_external=kind == "bus"))
        target = target_of(connection, kind, name)
        target.check()
        ledger, restart = lake.ledger_to(target), asked.get("restart", False)
        begun = ledger.begun()
        scope = begun if begun is not None and not restart else scope_of(lake.history, lake.selection)
        types, digest = _selected(lake, scope)
        return Plan(lake, target, ledger, scope, types, digest, restart)


def _run(plan: Plan, ledger: ReplayLedger, limit: RateLimit, progress: Progress) -> None:
    def reached(far: ReplayProgress) -> None:
        progress.reached(far.events)

    with ledger.held():
        if plan.restart:
            ledger.restart()
        scope = ledger.open(lambda: plan.scope)
        # Between the attempts at a batch it does not stop: a part of the batch may have been accepted.
        replay(
            plan.lake.history, plan.lake.selection, scope, plan.target, ledger, limit,
            on_progress=reached, wait_s=time.sleep,
        )  # fmt: skip


def _selected(lake: Lake, scope: Scope) -> tuple[Counter[str], str]:
    """The selected events of a scope by type, and a digest of which they are.

    Raises:
        CommandError: there is too much to read for a console.
    """
    size = sum(each.size for each in scope.objects)
    if len(scope.objects) > MOST_OBJECTS or size > MOST_BYTES:
        held = f"{len(scope.objects)} objects with {math.ceil(size / 1024 / 1024)} MiB"
        most = f"{MOST_OBJECTS} with {MOST_BYTES // 1024 // 1024} MiB"
        raise CommandError(
            f"The lake has {held} of this time. From the console, {most} are replayed at most: choose a shorter time, "
            "or use streamctl lake replay."
        )
    types: Counter[str] = Counter()
    digest = hashlib.sha256()
    for content in lake.history.contents(scope.objects):
        for stored in content.events():
            if lake.selection.wants(stored):
                types[stored.type] += 1
                digest.update(_name_of(stored))
    return types, digest.hexdigest()


def _name_of(stored: StoredEvent) -> bytes:
    return f"{stored.place.key}\n{stored.place.line}\n{stored.event.get('id')!r}\n".encode("utf-8", "backslashreplace")


def _checked(asked: Mapping[str, Any]) -> dict[str, Any]:
    """What is asked.

    Raises:
        ValueError: it is wrong.
    """
    found = fields(asked, _ASKED)
    _rate(found)
    for name in ("since", "until"):
        if found.get(name):
            datetime.fromisoformat(found[name])
    return {name: value for name, value in found.items() if value not in ("", [], False)}


def _again(asked: Mapping[str, Any]) -> dict[str, Any]:
    """What continues a replay that was stopped."""
    return {name: value for name, value in asked.items() if name != "restart"}


def _rate(asked: Mapping[str, Any]) -> float | None:
    if not asked.get("rate"):
        return None
    try:
        rate = float(asked["rate"])
    except ValueError:
        rate = math.nan
    if not (_LEAST_RATE <= rate < math.inf):
        raise ValueError(f"rate must be a number of events per second, {_LEAST_RATE} at least.")
    return rate
