"""A stage of AWS, for a timeline: the clients and names that its answers need."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any

from stream_cli.errors import CommandError
from stream_cli.faults.ledger import Resubmission, ResubmissionLedger
from stream_cli.journal.lines import EventLine, MatchedRule
from stream_cli.journal.questions import Questions
from stream_cli.stored.connection import Connection
from stream_cli.stored.history import History, Selection
from stream_cli.stored.output import say_unreadable
from stream_cli.trace.deployed import Deployed, ShardLag
from stream_cli.trace.mismatches import mismatches
from stream_cli.trace.stage.answers import StageAnswers
from stream_cli.trace.stage.invocations import Invocations
from stream_cli.trace.stage.lake import LakeEvents
from stream_cli.trace.stage.rows import TableRows

_LAKE, _FAULTS = ("event-lake-s3", "events/"), ("event-fault-monitor", "faults/")
_METRIC_S = 300


@contextmanager
def connect_to(
    connection: Connection, since: datetime
) -> Iterator[tuple[Questions, Deployed, Callable[[], list[str]]]]:
    """Who answers questions about a stage, what is deployed there, and what could not be answered.

    Raises:
        CommandError: there is no lake, or it cannot be read.
    """
    apis = StageApis(connection)
    deployed: Deployed = Deployed(
        apis, None, lambda: lags_of(connection, deployed, since), partial(_resubmissions, connection)
    )
    selection = Selection(since=since, with_faults=True)
    lake = LakeEvents(apis.bus() or "the bus", partial(_taken_by, deployed, apis))
    histories = [_history(connection, *each) for each in (_LAKE, _FAULTS)]
    lake.read([each for each in histories if each is not None], selection)
    start = int(since.timestamp() * 1000)
    groups = {
        name: (each.get("LoggingConfig") or {}).get("LogGroup") or f"/aws/lambda/{name}"
        for name, each in deployed.functions.items()
    }
    traced = frozenset(
        name for name, each in deployed.functions.items() if (each.get("TracingConfig") or {}).get("Mode") == "Active"
    )
    invocations = Invocations(connection.client("logs"), lambda: connection.client("xray"), groups, traced, start)
    rows = TableRows(connection.client("dynamodb"), apis.tables(), lambda: time.time_ns() // 1_000_000)
    answers = StageAnswers(lake, rows, invocations, deployed)
    yield answers, deployed, answers.unknown


def _history(connection: Connection, service: str, prefix: str) -> History | None:
    try:
        bucket = connection.bucket(service, None)
    except CommandError:
        if service == _LAKE[0]:
            raise
        return None
    return History(connection.client("s3"), bucket, prefix, say_unreadable)


def _resubmissions(connection: Connection, faults: Iterable[str]) -> dict[str, Resubmission]:
    history = _history(connection, *_FAULTS)
    return {} if history is None else ResubmissionLedger(history.s3, history.bucket).entries(faults)


def _taken_by(deployed: Deployed, apis: StageApis, event: EventLine) -> list[MatchedRule]:
    """The rules of the bus that take an event, by their patterns as they are now."""
    return [
        {"rule": rule.name, "targets": apis.targets(event["bus"], rule.name)}
        for rule in deployed.bus_rules(event["bus"])
        if not mismatches(rule.pattern, deployed.envelope_of(event))
    ]


class StageApis:
    """The requests of `deployed.Apis` to a stage; of its account, only what is in its stacks."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._resources: dict[str, list[str]] | None = None
        self._targets: dict[tuple[str, str], list[str]] = {}

    def functions(self) -> Sequence[Mapping[str, Any]]:
        own = set(self._of_stage("AWS::Lambda::Function"))
        return [each for each in self._pages("lambda", "list_functions", "Functions") if each["FunctionName"] in own]

    def mappings(self) -> Sequence[Mapping[str, Any]]:
        own = set(self._of_stage("AWS::Lambda::Function"))
        found = self._pages("lambda", "list_event_source_mappings", "EventSourceMappings")
        return [each for each in found if each["FunctionArn"].partition(":function:")[2].partition(":")[0] in own]

    def bus_rules(self, bus: str) -> Sequence[Mapping[str, Any]]:
        return self._pages("events", "list_rules", "Rules", EventBusName=bus)

    def targets(self, bus: str, rule: str) -> list[str]:
        """The ARNs of the targets of a rule."""
        if (bus, rule) not in self._targets:
            found = self._pages("events", "list_targets_by_rule", "Targets", EventBusName=bus, Rule=rule)
            self._targets[bus, rule] = [each["Arn"] for each in found]
        return self._targets[bus, rule]

    def code(self, function: str) -> bytes:
        location = self._connection.client("lambda").get_function(FunctionName=function)["Code"]["Location"]
        with urllib.request.urlopen(location) as answer:
            return bytes(answer.read())

    def bus(self) -> str | None:
        """The bus of the stage: the one in its stacks."""
        return next(iter(self._of_stage("AWS::Events::EventBus")), None)

    def tables(self) -> list[str]:
        """The tables of the stage."""
        return self._of_stage("AWS::DynamoDB::Table")

    def _of_stage(self, kind: str) -> list[str]:
        if self._resources is None:
            self._resources = self._connection.resources()
        return self._resources.get(kind, [])

    def _pages(self, service: str, operation: str, name: str, **request: Any) -> list[Any]:
        client = self._connection.client(service)
        if client.can_paginate(operation):
            pages = client.get_paginator(operation).paginate(**request)
        else:
            pages = [getattr(client, operation)(**request)]
        return [each for page in pages for each in page[name]]


def lags_of(connection: Connection, deployed: Deployed, since: datetime) -> dict[tuple[str, str], ShardLag]:
    """How old the last records were that the functions of mappings had, by CloudWatch's IteratorAge.

    It is the age of the last record of a batch. So of a period with at most that age, all records that came that long
    before the period have been had.
    """
    metrics = connection.client("cloudwatch")
    now = datetime.now(UTC)
    period = max(_METRIC_S, int((now - since).total_seconds()) // 1440 // 60 * 60)  # 1,440 points are the most
    lags = {}
    for mapping in deployed.mappings:
        found = metrics.get_metric_statistics(
            Namespace="AWS/Lambda", MetricName="IteratorAge", Statistics=["Maximum"], Period=period,
            Dimensions=[{"Name": "FunctionName", "Value": mapping.function.partition(":")[0]}],
            StartTime=since, EndTime=now,
        )  # fmt: skip
        ages = [(now - point["Timestamp"]).total_seconds() * 1000 + point["Maximum"] for point in found["Datapoints"]]
        if ages:
            lags[mapping.id, ""] = ShardLag(None, int(min(ages)))
    return lags
