"""The console's answers: the page, and below /api what it asks and has done, as JSON."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from stream_cli.console import (
    capacity,
    checks,
    events,
    expectations,
    faults,
    functions,
    measures,
    replays,
    resubmission,
    shards,
    traces,
)
from stream_cli.console.answering import Action, Answer, Arriving, acting, answering
from stream_cli.console.arrivals import Arrivals
from stream_cli.console.files import answered, page_files, script_hashes
from stream_cli.console.guard import API, Guard, content_policy
from stream_cli.console.items import StageItems
from stream_cli.console.jobs import JobKind, Jobs
from stream_cli.console.lake import LakeHours
from stream_cli.console.log_tails import AT_A_STAGE_S, EVERY_S, LogTails
from stream_cli.console.map import Map
from stream_cli.console.panels import Panels
from stream_cli.console.replays import Replays
from stream_cli.console.resubmission import Resubmissions
from stream_cli.console.stacks import DeployedSource
from stream_cli.errors import CommandError
from stream_cli.journal.questions import Questions
from stream_cli.local.state import StateFolder
from stream_cli.stored.connection import Connection
from stream_cli.terminal.options import LOCAL, SERVICES
from stream_cli.trace.deployed import Deployed

_CURRENT_WITHIN_S = 2.0
"""A page that is opened takes in what came since: of 1,000 events a second, in some hundredths of a second."""

logger = logging.getLogger("stream_cli.console")


@dataclass(frozen=True)
class Sources:
    """What the console reads, and what it may write to.

    Attributes:
        place: the cloud, for people.
        mappings: the folder of the mapping engine.
        deployed: looks at what is deployed now.
        state: the state folder, where also a stage on AWS has the ledgers of replays.
        connection: gives the clients of the stage.
        is_production: whether the stage is a production stage: then people type its name before it is changed.
        writes: whether the console may change anything.
        shards: how far mappings are, where no engine of the local cloud says it.
        every_s: how often pages load anew, where nothing says what comes in.
        services: the folder of the services on this machine, where it has them.
    """

    stage: str
    place: str
    questions: Questions
    mappings: Path
    deployed: Callable[[], Deployed]
    state: StateFolder
    connection: Callable[[], Connection]
    is_production: Callable[[], bool]
    writes: bool = False
    shards: Callable[[], Any] | None = None
    every_s: float | None = None
    services: Path = SERVICES


def application(sources: Sources, *, port: int, token: str, node_modules: Path | None) -> ASGIApp:
    """The console behind its guard."""
    questions = sources.questions

    def stacks() -> set[str]:
        try:
            return {each["StackName"] for each in sources.connection().stacks()}
        except CommandError:  # No cloud runs: nothing is deployed, as `deployed` says, too.
            return set()

    checked = checks.Checks(sources.stage, sources.deployed, sources.services, stacks)
    planned = capacity.Capacity(sources.stage, sources.services)
    kinds = {**job_kinds(sources), checks.KIND: checked.kind, capacity.KIND: planned.kind}
    jobs = Jobs(kinds, writes=sources.writes)
    files = page_files(node_modules)

    def file(request: Request) -> Response:
        return answered(files[request.url.path], request)

    # A job's kind says whether it changes anything: a console without `writes` refuses that.
    actions: Mapping[str, Action] = {
        "jobs/{kind}": lambda request, body: jobs.begin(request.path_params["kind"], body),
        "jobs/{id}/stop": lambda request, _: jobs.stop(request.path_params["id"]),
    }
    answers = {
        "jobs": lambda _: jobs.all(),
        "jobs/{id}": lambda request: jobs.one(request.path_params["id"]),
        "capacity": lambda _: planned.last(),
        "checks": lambda _: checked.all(),
        **_answers(sources),
    }
    routes = [Route(path, file, methods=["GET"]) for path in files]
    routes += [Route(f"{API}{path}", answering(answer), methods=["GET"]) for path, answer in answers.items()]
    routes += [Route(f"{API}{path}", acting(action), methods=["POST"]) for path, action in actions.items()]
    routes.append(Route(f"{API}arrivals", Arriving(Arrivals(questions)), methods=["GET"]))

    @contextlib.asynccontextmanager
    async def running(_: Starlette) -> AsyncIterator[None]:
        keeping = asyncio.create_task(kept_current(questions))
        try:
            yield
        finally:
            keeping.cancel()
            await run_in_threadpool(jobs.close)

    policy = content_policy(script_hashes(files["/"].content))
    return Guard(Starlette(routes=routes, lifespan=running), port=port, token=token, policy=policy)


def _answers(sources: Sources) -> Mapping[str, Answer]:
    """What pages ask, by path."""
    questions = sources.questions
    resubmissions, source = resubmissions_of(sources), DeployedSource()
    items = StageItems(questions, sources.connection)
    drawn = Map(sources.stage, questions, sources.deployed, sources.mappings)
    panels = Panels(sources.stage, drawn, questions, sources.connection)
    lake_hours = LakeHours(sources.connection)
    tails = log_tails_of(sources)

    def about(_: Request) -> Any:
        return {
            "stage": sources.stage,
            "place": sources.place,
            "writes": sources.writes,
            "every_s": sources.every_s,
            "coverage": asdict(questions.coverage()),
        }

    return {
        "about": about,
        "events": lambda request: events.events(questions, request.query_params),
        "events/{id:path}": lambda request: events.event(questions, request.path_params["id"]),
        "expectations": lambda _: expectations.expectations(sources.stage, sources.state),
        "trace/{asked:path}": lambda request: traces.trace(
            questions, sources.deployed(), request.path_params["asked"], sources.stage
        ),
        "faults": lambda _: faults.faults(questions, sources.stage),
        "faults/{id:path}": lambda request: faults.fault(
            questions, sources.deployed(), source, request.path_params["id"], sources.stage
        ),
        "resubmission": lambda request: resubmissions.plan(resubmission.asked_of(request.query_params)),
        "resubmissions": lambda _: resubmissions.entries(),
        "functions": lambda _: functions.functions(questions, sources.deployed()),
        "functions/{name}/log": lambda request: tails.lines(request.path_params["name"], request.query_params),
        "functions/{name}/measures": lambda request: measures.measures(
            request.path_params["name"],
            request.query_params,
            questions,
            tails,
            None if sources.stage == LOCAL else sources.connection,
        ),
        "functions/{name}": lambda request: functions.function(
            questions, sources.deployed(), request.path_params["name"], sources.stage
        ),
        "items": lambda _: items.tables(),
        "items/{table}": lambda request: items.rows(request.path_params["table"], request.query_params),
        "items/{table}/{key:path}": lambda request: items.row(request.path_params["table"], request.path_params["key"]),
        "map": lambda _: drawn.drawn(),
        "map/figures": lambda _: drawn.figures(),
        "map/{id:path}": lambda request: panels.of(request.path_params["id"]),
        "shards": lambda _: sources.shards() if sources.shards else shards.shards(questions, sources.mappings),
        "lake": lambda request: lake_hours.day(request.query_params),
        "lake/objects": lambda request: lake_hours.objects(request.query_params),
        "lake/object": lambda request: lake_hours.object(request.query_params),
        "replay": lambda request: replays_of(sources).plan(request.query_params),
        "replay/targets": lambda _: replays_of(sources).targets(),
    }


def job_kinds(sources: Sources) -> Mapping[str, JobKind]:
    """The kinds of jobs, by the name in their address."""
    return {resubmission.KIND: resubmissions_of(sources).kind, replays.KIND: replays_of(sources).kind}


def resubmissions_of(sources: Sources) -> Resubmissions:
    """Resubmits faults of the stage."""
    return Resubmissions(sources.questions, sources.connection, sources.is_production, writes=sources.writes)


def replays_of(sources: Sources) -> Replays:
    """Replays of the stage's lake."""
    return Replays(sources.connection, sources.deployed, sources.state, sources.is_production, writes=sources.writes)


def log_tails_of(sources: Sources, clock: Callable[[], float] = time.time) -> LogTails:
    """The logs of the stage's functions; at a stage of AWS they are looked at more rarely."""
    every_s = EVERY_S if sources.stage == LOCAL else AT_A_STAGE_S
    return LogTails(
        lambda: sources.connection().client("logs"),
        lambda: sources.deployed().functions,
        clock,
        every_s=every_s,
        stage=sources.stage,
    )


async def kept_current(questions: Questions) -> None:
    """Have what was written taken into the index, so that the first page need not wait for it."""
    told = False
    while True:
        try:
            await run_in_threadpool(questions.coverage)
            told = False
        except Exception:
            if not told:
                logger.exception("The index cannot be brought up to date; trying again")
            told = True
        await asyncio.sleep(_CURRENT_WITHIN_S)
