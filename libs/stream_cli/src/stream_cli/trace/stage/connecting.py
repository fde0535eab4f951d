"""A stage of AWS: who answers questions about it, and what is deployed there."""

from __future__ import annotations

import http
import time
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from stream_cli.errors import CommandError
from stream_cli.faults.ledger import Resubmission, ResubmissionLedger
from stream_cli.journal.lines import EventLine, MatchedRule
from stream_cli.journal.questions import Traffic
from stream_cli.journal.unknown import NotKnown, note
from stream_cli.stored.connection import Connection
from stream_cli.stored.history import History, Selection, to_ms
from stream_cli.stored.output import say_unreadable
from stream_cli.terminal.aws_errors import is_denied, message_of
from stream_cli.trace.deployed import Deployed
from stream_cli.trace.mismatches import mismatches
from stream_cli.trace.stage.answers import StageAnswers
from stream_cli.trace.stage.asking import Kept, unless_denied
from stream_cli.trace.stage.figures import StageFigures
from stream_cli.trace.stage.invocations import FunctionLogs, Invocations
from stream_cli.trace.stage.lake import LakeEvents
from stream_cli.trace.stage.rows import TableRows

_LAKE, _FAULTS = ("event-lake-s3", "events/"), ("event-fault-monitor", "faults/")
_KEPT_S = 60.0
_STACKS_S = 30.0
_DAY_S = 86_400.0
_DOWNLOAD_S = 10.0


class AwsStage:
    """A stage. What AWS has answered is kept for some seconds, so that asking often costs no more requests.

    Attributes:
        answers: what a stage can know; it implements `journal.questions.Questions`.
    """

    def __init__(self, connection: Connection, since: datetime, rules: Path | None = None) -> None:
        """For events and logs since a time; ``rules`` is a folder that keeps what functions' code says."""
        self._connection = connection
        self._since = to_ms(since)
        self._rules = rules
        self.kept = Kept()
        self.apis = StageApis(connection, self.kept)
        self.figures = StageFigures(partial(connection.client, "cloudwatch"), self.kept)
        lake = LakeEvents(
            lambda: self.apis.bus() or "the bus", self._taken_by, self._histories,
            Selection(since=since, with_faults=True),
        )  # fmt: skip
        invocations = Invocations(
            partial(connection.client, "logs"), partial(connection.client, "xray"), self._logs, self._since, self.kept
        )
        rows = TableRows(partial(connection.client, "dynamodb"), self.apis.tables, _now, self.kept)
        self.answers = StageAnswers(lake, rows, invocations, self.deployed, self.figured, self.kept)

    def deployed(self) -> Deployed:
        """What is deployed now, as it was looked at within the last minute."""
        return self.kept.answer("deployed", _KEPT_S, self._looked)

    def _looked(self) -> Deployed:
        deployed = Deployed(
            self.apis, self._rules, lambda: self.figures.lags(deployed, self._since, _now()), self._resubmissions
        )
        # What cannot be read is noted now, and so each time when this is answered.
        if (bus := self.apis.bus()) is not None:
            deployed.bus_rules(bus)
        if deployed.functions and deployed.mappings:
            deployed.lag(deployed.mappings[0].id, "")
        return deployed

    def _logs(self) -> dict[str, FunctionLogs]:
        return {
            name: FunctionLogs(
                (each.get("LoggingConfig") or {}).get("LogGroup") or f"/aws/lambda/{name}",
                (each.get("TracingConfig") or {}).get("Mode") == "Active",
            )
            for name, each in self.deployed().functions.items()
        }

    def _taken_by(self, event: EventLine) -> list[MatchedRule]:
        """The rules of the bus that take an event, by their patterns as they are now."""
        deployed = self.deployed()
        return [
            {"rule": rule.name, "targets": self.apis.targets(event["bus"], rule.name)}
            for rule in deployed.bus_rules(event["bus"])
            if not mismatches(rule.pattern, deployed.envelope_of(event))
        ]

    def figured(self, since: int, until: int) -> list[Traffic]:
        """What went over the arrows, as CloudWatch's metrics say."""
        return self.figures.traffic(
            self.deployed(), since, until, bus=self.apis.bus(), targets=self.apis.targets, streams=self.apis.streams(),
            queues=self.apis.queues(), topics=self.apis.topics(),
        )  # fmt: skip

    def _histories(self) -> list[History]:
        found = (self._history(*each) for each in (_LAKE, _FAULTS))
        return [each for each in found if each is not None]

    def _history(self, service: str, prefix: str) -> History | None:
        try:
            bucket = self.kept.answer(("bucket", service), _DAY_S, lambda: self._connection.bucket(service, None))
        except CommandError as error:
            if service == _LAKE[0]:
                note(NotKnown("events", f"there is no lake: {str(error).rstrip('.')}"))
            return None
        return History(self._connection.client("s3"), bucket, prefix, say_unreadable)

    def _resubmissions(self, faults: Iterable[str]) -> dict[str, Resubmission]:
        history = self._history(*_FAULTS)
        if history is None:
            return {}
        ledger = ResubmissionLedger(history.s3, history.bucket)
        return unless_denied("whether faults were resubmitted", "s3:GetObject", lambda: ledger.entries(faults), {})


class StageApis:
    """The requests of `deployed.Apis` to a stage; of its account, only what is in its stacks."""

    def __init__(self, connection: Connection, kept: Kept) -> None:
        self._connection = connection
        self._kept = kept

    def functions(self) -> Sequence[Mapping[str, Any]]:
        own = set(self._of_stage("AWS::Lambda::Function"))
        found = self._pages("functions", "lambda", "list_functions", "Functions")
        return [each for each in found if each["FunctionName"] in own]

    def mappings(self) -> Sequence[Mapping[str, Any]]:
        own = set(self._of_stage("AWS::Lambda::Function"))
        found = self._pages("mappings", "lambda", "list_event_source_mappings", "EventSourceMappings")
        return [each for each in found if each["FunctionArn"].partition(":function:")[2].partition(":")[0] in own]

    def bus_rules(self, bus: str) -> Sequence[Mapping[str, Any]]:
        return self._pages(f"rules of {bus}", "events", "list_rules", "Rules", EventBusName=bus)

    def targets(self, bus: str, rule: str) -> list[str]:
        """The ARNs of the targets of a rule."""
        what = f"targets of {bus}/{rule}"
        found = self._pages(what, "events", "list_targets_by_rule", "Targets", EventBusName=bus, Rule=rule)
        return [each["Arn"] for each in found]

    def code(self, function: str) -> bytes:
        with urllib.request.urlopen(self._location(function)) as answer:
            return bytes(answer.read())

    def end_of_code(self, function: str, most: int) -> bytes:
        part = urllib.request.Request(self._location(function), headers={"Range": f"bytes=-{most}"})
        with urllib.request.urlopen(part, timeout=_DOWNLOAD_S) as answer:
            if answer.status != http.HTTPStatus.PARTIAL_CONTENT:
                raise OSError("where the package is, no part of it can be read")
            return bytes(answer.read())

    def _location(self, function: str) -> str:
        """Where the package can be fetched for some minutes, by whoever has this address."""
        from botocore.exceptions import ClientError

        try:
            found = self._connection.client("lambda").get_function(FunctionName=function)
        except ClientError as error:
            if is_denied(error):
                raise CommandError(f"your role lacks lambda:GetFunction (AWS says: {message_of(error)})") from error
            raise
        return str(found["Code"]["Location"])

    def stacks(self) -> Sequence[Mapping[str, Any]]:
        nothing: list[dict[str, Any]] = []
        ask = partial(unless_denied, "stacks", "cloudformation:DescribeStacks", self._connection.stacks, nothing)
        return self._kept.answer("stacks", _STACKS_S, ask)

    # Who asks for these keeps them himself, until a stack changes.

    def resources(self, stack: str) -> Sequence[Mapping[str, Any]]:
        what = f"resources of {stack}"
        return self._read(what, "cloudformation", "list_stack_resources", "StackResourceSummaries", StackName=stack)

    def template(self, stack: str) -> str | Mapping[str, Any]:
        client = self._connection.client("cloudformation")

        def read() -> Any:
            return client.get_template(StackName=stack, TemplateStage="Processed")["TemplateBody"]

        return unless_denied(f"template of {stack}", "cloudformation:GetTemplate", read, "{}")

    def bus(self) -> str | None:
        """The bus of the stage: the one in its stacks."""
        return next(iter(self._of_stage("AWS::Events::EventBus")), None)

    def tables(self) -> list[str]:
        """The tables of the stage."""
        return self._of_stage("AWS::DynamoDB::Table")

    def streams(self) -> list[str]:
        """The ARNs of the Kinesis streams of the stage."""
        return [self._arn("kinesis", f"stream/{name}") for name in self._of_stage("AWS::Kinesis::Stream")]

    def queues(self) -> list[str]:
        """The ARNs of the queues of the stage; CloudFormation names them by their URLs."""
        return [self._arn("sqs", url.rpartition("/")[2]) for url in self._of_stage("AWS::SQS::Queue")]

    def topics(self) -> list[str]:
        """The ARNs of the topics of the stage."""
        return self._of_stage("AWS::SNS::Topic")

    def _arn(self, service: str, resource: str) -> str:
        of_function = next((str(each["FunctionArn"]) for each in self.functions()), "arn:aws:lambda:::function:")
        partition, _, region, account = of_function.split(":")[1:5]
        return f"arn:{partition}:{service}:{region}:{account}:{resource}"

    def _of_stage(self, kind: str) -> list[str]:
        return self._kept.answer("resources", _KEPT_S, self._connection.resources).get(kind, [])

    def _pages(self, what: str, service: str, operation: str, name: str, **request: Any) -> list[Any]:
        read = partial(self._read, what, service, operation, name, **request)
        return self._kept.answer(("pages", what), _KEPT_S, read)

    def _read(self, what: str, service: str, operation: str, name: str, **request: Any) -> list[Any]:
        action = f"{service}:{''.join(part.title() for part in operation.split('_'))}"

        def read() -> list[Any]:
            client = self._connection.client(service)
            pages = client.get_paginator(operation).paginate(**request) if client.can_paginate(operation) else None
            return [
                each
                for page in (pages if pages is not None else [getattr(client, operation)(**request)])
                for each in page[name]
            ]

        return unless_denied(what, action, read, [])


@contextmanager
def connect_to(connection: Connection, since: datetime) -> Iterator[tuple[StageAnswers, Deployed]]:
    """Who answers questions about a stage, and what is deployed there."""
    stage = AwsStage(connection, since)
    yield stage.answers, stage.deployed()


def _now() -> int:
    return time.time_ns() // 1_000_000
