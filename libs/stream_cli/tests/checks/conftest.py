"""A service without findings, which tests change in one place, and the findings of the result."""

import copy
import functools
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from stream_cli.checks.findings import Finding, run
from stream_cli.checks.kinds import CHECKS
from stream_cli.checks.service.handlers import ProbedHandler, ProbedRule
from stream_cli.checks.service.packaged import Service
from stream_cli.checks.service.published import Repository
from stream_cli.checks.service.serverless_events import Event
from stream_cli.checks.service.template import Template
from stream_cli.checks.trials.fixtures import Fixture
from stream_cli.checks.trials.trial import Trial, Tried
from stream_cli.deployment import serverless

NOW = 1_800_000_000.0
SOURCES: Mapping[str, Mapping[str, Any]] = {
    "kinesis": {
        "id": "WorkerEventSourceMappingKinesisStream",
        "arn": {"Fn::GetAtt": ["Stream", "Arn"]},
        "actions": ["GetRecords", "GetShardIterator", "DescribeStream", "ListShards"],
        "pattern": '{"data": {"type": ["item-made"]}}',
    },
    "dynamodb": {
        "id": "WorkerEventSourceMappingDynamodbTable",
        "arn": {"Fn::GetAtt": ["Table", "StreamArn"]},
        "actions": ["GetRecords", "GetShardIterator", "DescribeStream", "ListStreams"],
        "pattern": '{"eventName": ["INSERT"]}',
    },
    "sqs": {
        "id": "WorkerEventSourceMappingSQSInbox",
        "arn": {"Fn::GetAtt": ["Inbox", "Arn"]},
        "actions": ["ReceiveMessage", "DeleteMessage", "GetQueueAttributes"],
        "pattern": None,
    },
}


def resource(kind: str, **properties: Any) -> dict[str, Any]:
    return {"Type": f"AWS::{kind}", "Properties": properties}


def allow(actions: list[str], resource: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": resource}


def rule(*types: str, flavor: str = "materialize", known: bool = True, **more: Any) -> ProbedRule:
    return ProbedRule(
        id=more.get("id", "the-rule"),
        flavor=flavor,
        known_flavor=known,
        types=types,
        patterns=tuple(more.get("patterns", ())),
        decides=more.get("decides", False),
        wants=more.get("wants", {}),
        fields=more.get("fields", {}),
    )


def tried(*, expected: Mapping[str, Any] | None = None, event: Any = None, **given: Any) -> Trial:
    """What one fixture made a function do: nothing, but for what is given."""
    nothing: dict[str, Any] = {"calls": (), "refused": (), "published": (), "faults": (), "raised": None}
    again = given.pop("published_again", given.get("published", ()))
    fixture = Fixture("worker-made", Path("worker-made.json"), event, expected)
    return Trial(None, (Tried(fixture=fixture, **(nothing | given), published_again=again),))


def sound(source: str) -> dict[str, Any]:
    """Resources of a service that reads a source through a mapping with every recommended option."""
    reads = SOURCES[source]
    mapping: dict[str, Any] = {
        "BatchSize": 10 if source == "sqs" else 100,
        "Enabled": True,
        "EventSourceArn": reads["arn"],
        "FunctionName": {"Fn::GetAtt": ["WorkerLambdaFunction", "Arn"]},
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
    }
    if source != "sqs":
        mapping |= {
            "StartingPosition": "TRIM_HORIZON",
            "MaximumRetryAttempts": 5,
            "BisectBatchOnFunctionError": True,
            "DestinationConfig": {"OnFailure": {"Destination": {"Fn::GetAtt": ["Failures", "Arn"]}}},
            "FilterCriteria": {"Filters": [{"Pattern": reads["pattern"]}]},
        }
    statements = [
        allow([f"{source}:{action}" for action in reads["actions"]], [reads["arn"]]),
        allow(["sqs:SendMessage"], [{"Fn::GetAtt": ["Failures", "Arn"]}]),
        allow(["events:PutEvents"], [{"Fn::GetAtt": ["Bus", "Arn"]}]),
    ]
    return {
        "Stream": resource("Kinesis::Stream", RetentionPeriodHours=24),
        "Table": resource("DynamoDB::Table", StreamSpecification={"StreamViewType": "NEW_AND_OLD_IMAGES"}),
        "Inbox": resource("SQS::Queue", VisibilityTimeout=360, RedrivePolicy={"maxReceiveCount": 3}),
        "Failures": resource("SQS::Queue"),
        "Alarms": resource("SNS::Topic"),
        "Bus": resource("Events::EventBus", Name="the-bus"),
        "Role": resource("IAM::Role", Policies=[{"PolicyName": "worker", "PolicyDocument": {"Statement": statements}}]),
        "WorkerLambdaFunction": resource(
            "Lambda::Function",
            Handler="worker.handler",
            Timeout=60,
            Role={"Fn::GetAtt": ["Role", "Arn"]},
            Environment={"Variables": {"BUS_NAME": {"Ref": "Bus"}}},
        ),
        reads["id"]: {"Type": "AWS::Lambda::EventSourceMapping", "Properties": mapping},
    }


def given(
    source: str = "kinesis",
    *,
    mapping: Mapping[str, Any] | None = None,
    function: Mapping[str, Any] | None = None,
    resources: Mapping[str, Any] | None = None,
    statements: list[dict[str, Any]] | None = None,
    more_statements: list[dict[str, Any]] | None = None,
    patterns: list[str] | None = None,
    rules: list[ProbedRule] | None = None,
    handler: Mapping[str, Any] | None = None,
    event: Mapping[str, Any] | None = None,
    events: list[Event] | None = None,
    folder: Path | None = None,
    trial: Mapping[str, Any] | None = None,
    publishes: tuple[str, ...] | None = None,
    behind_apis: frozenset[str] = frozenset(),
) -> Service:
    """The sound service with properties of its mapping, function, role or event replaced; None removes a property."""
    made = copy.deepcopy(sound(source))
    properties = made[SOURCES[source]["id"]]["Properties"]
    properties |= mapping or {}
    made["WorkerLambdaFunction"]["Properties"] |= function or {}
    for changed in (properties, made["WorkerLambdaFunction"]["Properties"]):
        for name in [name for name, value in changed.items() if value is None]:
            del changed[name]
    if patterns is not None:
        properties["FilterCriteria"] = {"Filters": [{"Pattern": each} for each in patterns]}
    document = made["Role"]["Properties"]["Policies"][0]["PolicyDocument"]
    if statements is not None:
        document["Statement"] = statements
    document["Statement"] += more_statements or []
    made |= resources or {}
    default = rule("item-created" if source == "dynamodb" else "item-made")
    told: dict[str, Any] = {"error": None, "rules": (default,), "source": None, "source_options": {}, "reports": True}
    told |= {"rules": None if source == "sqs" else tuple(rules) if rules is not None else (default,)}
    only = Event("worker", 0, "sqs" if source == "sqs" else "stream", event or {}, SOURCES[source]["id"])
    made_service = Service(
        name="shop",
        template=Template({"Resources": made}),
        folder=folder,
        events=tuple(events) if events is not None else (only,),
        function_names=("worker",),
        handlers={"WorkerLambdaFunction": ProbedHandler(**(told | dict(handler or {})))},
        trials={} if trial is None else {"WorkerLambdaFunction": tried(**trial)},
        published_elsewhere=publishes or (),
        behind_apis=behind_apis,
        now=NOW,
    )
    if publishes is not None:
        made_service.repository = Repository([made_service])
    return made_service


@pytest.fixture
def service() -> Callable[..., Service]:
    """Makes a service that is sound except for what the test changes."""
    return given


@pytest.fixture
def findings() -> Callable[[Service], list[Finding]]:
    """Runs all checks over a service."""
    return lambda service: run(CHECKS, service)


@pytest.fixture
def make_rule() -> Callable[..., ProbedRule]:
    """Makes a rule as the probe of a handler describes it."""
    return rule


FIXTURES = Path(__file__).resolve().parents[4] / "tests" / "fixtures"


@dataclass(frozen=True)
class Packaged:
    """A fixture service compiled by the Serverless CLI: a copy of its folder, its template, the CLI's error."""

    folder: Path
    template: Path | None
    error: str

    @property
    def resources(self) -> dict[str, Any]:
        assert self.template is not None, self.error
        return json.loads(self.template.read_text())["Resources"]


@pytest.fixture(scope="session")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Packaged]:
    """Compiles a service of tests/fixtures with the real CLI, once in a session."""

    @functools.cache
    def compiled(name: str) -> Packaged:
        folder = tmp_path_factory.mktemp("packaged") / name
        shutil.copytree(FIXTURES / name, folder)
        out = tmp_path_factory.mktemp("out")
        try:
            return Packaged(
                folder,
                serverless.package(folder, "dev", {}, out, toolchain=serverless.find_toolchain(), with_code=False),
                "",
            )
        except serverless.ServerlessError as error:
            return Packaged(folder, None, str(error))

    return compiled
