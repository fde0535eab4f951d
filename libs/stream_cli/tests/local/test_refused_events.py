"""What the bus refuses: entries and requests of PutEvents, targets of rules."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from stream_cli.local.cloud import LocalCloud
from stream_cli.local.endpoint import LocalEndpoint

ENTRY = {"Source": "custom", "DetailType": "thing-submitted", "Detail": '{"id": "1"}'}


@pytest.fixture
def events(endpoint: LocalEndpoint) -> Any:
    """A client that sends also what botocore itself would refuse."""
    return boto3.client(
        "events",
        endpoint_url=endpoint.url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(parameter_validation=False, proxies={}),
    )


def without(name: str) -> dict[str, str]:
    return {key: value for key, value in ENTRY.items() if key != name}


def required(name: str) -> dict[str, str]:
    reason = f"Parameter {name} is not valid. Reason: {name} is a required argument."
    return {"ErrorCode": "InvalidArgument", "ErrorMessage": reason}


MALFORMED = {"ErrorCode": "MalformedDetail", "ErrorMessage": "Detail is malformed."}


@pytest.mark.parametrize(
    ("entry", "error"),
    [
        (without("Source"), required("Source")),
        (without("DetailType"), required("DetailType")),
        (without("Detail"), required("Detail")),
        ({**ENTRY, "Source": ""}, required("Source")),
        ({}, required("Source")),
        ({**ENTRY, "Detail": "detail"}, MALFORMED),
        ({**ENTRY, "Detail": '"detail"'}, MALFORMED),
        ({**ENTRY, "Detail": '[{"id": "1"}]'}, MALFORMED),
        ({**ENTRY, "Detail": '{"id": "1"'}, MALFORMED),
        ({**ENTRY, "Detail": '{"n": NaN}'}, MALFORMED),
        ({**ENTRY, "Detail": "null"}, MALFORMED),
    ],
)
def test_an_entry_is_refused_with_the_code_of_aws(events: Any, entry: dict[str, str], error: dict[str, str]) -> None:
    """LocalStack, `test_events.snapshot.json`: `test_put_event*_without_*`, `test_put_event_malformed_detail`."""
    answer = events.put_events(Entries=[entry])
    assert (answer["FailedEntryCount"], answer["Entries"]) == (1, [error])


def test_the_other_entries_of_the_request_are_taken_and_answered_in_order(
    events: Any, endpoint: LocalEndpoint, name: str, make_queue: Callable[[str], str]
) -> None:
    sqs = endpoint.client("sqs")
    url = make_queue(name)
    events.create_event_bus(Name=name)
    events.put_rule(Name=name, EventBusName=name, EventPattern='{"source": ["custom"]}')
    target = {"Id": "t", "Arn": f"arn:aws:sqs:us-east-1:000000000000:{name}", "InputPath": "$.detail.n"}
    events.put_targets(Rule=name, EventBusName=name, Targets=[target])
    good = [{**ENTRY, "EventBusName": name, "Detail": json.dumps({"n": n})} for n in range(4)]
    entries = [good[0], {**good[1], "Detail": "x"}, {**good[2], "Source": None}, good[3], {**ENTRY, "Source": "aws.s3"}]
    answer = events.put_events(Entries=entries)
    assert answer["FailedEntryCount"] == 3
    assert [entry.get("ErrorCode") for entry in answer["Entries"]] == [
        *(None, "MalformedDetail", "InvalidArgument", None, "NotAuthorizedForSourceException"),
    ]
    assert all(("EventId" in entry) != ("ErrorCode" in entry) for entry in answer["Entries"])
    messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    assert sorted(message["Body"] for message in messages) == ["0", "3"]


def sized(size: int) -> dict[str, str]:
    """An entry of `size` bytes, of which some characters take two."""
    rest = size - sum(len(ENTRY[name]) for name in ("Source", "DetailType")) - len('{"t":""}')
    return {**ENTRY, "Detail": '{"t":"%s"}' % ("é" * 10 + "x" * (rest - 20))}


LIMIT = 1_048_576


def test_an_entry_above_the_limit_refuses_the_request(events: Any) -> None:
    """LocalStack: `test_put_event_with_too_big_detail`; the limit is the one of the user guide."""
    assert events.put_events(Entries=[sized(LIMIT)])["FailedEntryCount"] == 0
    for entries in ([sized(LIMIT + 1)], [sized(LIMIT // 2), sized(LIMIT // 2 + 1)], [{**sized(LIMIT), "Time": 1}]):
        with pytest.raises(ClientError) as refused:
            events.put_events(Entries=entries)
        assert refused.value.response["Error"] == {
            "Code": "ValidationException",
            "Message": "Total size of the entries in the request is over the limit.",
        }


@pytest.mark.parametrize(
    ("number", "constraint"), [(0, "greater than or equal to 1"), (11, "less than or equal to 10")]
)
def test_a_request_of_no_or_too_many_entries_is_refused(events: Any, number: int, constraint: str) -> None:
    """LocalStack: `test_put_events_exceed_limit_ten_entries`."""
    with pytest.raises(
        ClientError, match=f"at 'entries' failed to satisfy constraint: .* length {constraint}"
    ) as refused:
        events.put_events(Entries=[ENTRY] * number)
    assert refused.value.response["Error"]["Code"] == "ValidationException"


# --- targets ---


class Rule:
    """A rule whose events reach a queue."""

    def __init__(self, endpoint: LocalEndpoint, name: str, url: str) -> None:
        self.name = name
        self.events, self.sqs = endpoint.client("events", attempts=1), endpoint.client("sqs")
        self.url = url
        self.events.put_rule(Name=name, EventPattern=json.dumps({"source": [name]}))

    def target(self, identifier: str = "t", **given: Any) -> dict[str, Any]:
        return {"Id": identifier, "Arn": f"arn:aws:sqs:us-east-1:000000000000:{self.name}", **given}

    def put(self, *targets: dict[str, Any]) -> None:
        assert self.events.put_targets(Rule=self.name, Targets=list(targets))["FailedEntryCount"] == 0

    def refused(self, *targets: dict[str, Any]) -> tuple[str, str]:
        with pytest.raises(ClientError) as refused:
            self.put(*targets)
        error = refused.value.response["Error"]
        return error["Code"], error["Message"]

    def ids(self) -> list[str]:
        return [target["Id"] for target in self.events.list_targets_by_rule(Rule=self.name)["Targets"]]

    def received(self, detail: dict[str, Any]) -> list[str]:
        self.events.put_events(Entries=[{**ENTRY, "Source": self.name, "Detail": json.dumps(detail)}])
        return [message["Body"] for message in self.sqs.receive_message(QueueUrl=self.url).get("Messages", [])]


@pytest.fixture
def rule(endpoint: LocalEndpoint, name: str, make_queue: Callable[[str], str]) -> Rule:
    return Rule(endpoint, name, make_queue(name))


TEMPLATE = {"InputPathsMap": {"n": "$.detail.n"}, "InputTemplate": '"<n> and <m>"'}


def test_a_target_has_one_kind_of_input(rule: Rule) -> None:
    answer = rule.refused(rule.target(InputPath="$.detail", InputTransformer={"InputTemplate": '"x"'}))
    assert answer == (
        "ValidationException",
        "Only one of Input, InputPath, or InputTransformer must be provided for target t.",
    )
    assert rule.ids() == []


def test_a_template_uses_known_variables_only(rule: Rule) -> None:
    answer = rule.refused(rule.target("good"), rule.target(InputTransformer=TEMPLATE))
    assert answer == ("ValidationException", "InputTemplate for target t contains invalid placeholder m.")
    assert rule.ids() == []


@pytest.mark.parametrize(
    ("identifier", "constraint"),
    [
        ("!@#", r"Member must satisfy regular expression pattern: [\.\-_A-Za-z0-9]+"),
        ("x" * 65, "Member must have length less than or equal to 64"),
    ],
)
def test_the_id_of_a_target_follows_its_pattern(rule: Rule, identifier: str, constraint: str) -> None:
    assert rule.refused(rule.target("good"), rule.target(identifier)) == (
        "ValidationException",
        f"1 validation error detected: Value '{identifier}' at 'targets.2.member.id' failed to satisfy constraint: "
        f"{constraint}",
    )


def test_a_rule_has_five_targets(rule: Rule) -> None:
    rule.put(*(rule.target(f"t{n}") for n in range(5)))
    rule.put(rule.target("t4", Input='"changed"'))
    answer = ("LimitExceededException", "The requested resource exceeds the maximum number allowed.")
    assert rule.refused(rule.target("t5")) == answer
    assert rule.ids() == ["t0", "t1", "t2", "t3", "t4"]


def test_the_rules_of_a_template_are_refused_likewise(endpoint: LocalEndpoint, name: str) -> None:
    stacks, place = endpoint.client("cloudformation"), "arn:aws:sqs:us-east-1:000000000000:q"
    for suffix, properties in (
        ("a", {"EventPattern": {"detail": {"bus": [{"wildcard": "*:*:*:*:*:event-bus/*"}]}}}),
        ("b", {"Targets": [{"Id": "t", "Arn": place, "InputTransformer": TEMPLATE}]}),
        ("c", {"Targets": [{"Id": f"t{n}", "Arn": place} for n in range(6)]}),
    ):
        resource = {"Type": "AWS::Events::Rule", "Properties": {"EventPattern": {"source": ["x"]}, **properties}}
        stack = f"{name}-{suffix}"
        stacks.create_stack(StackName=stack, TemplateBody=json.dumps({"Resources": {"Rule": resource}}))
        with pytest.raises(Exception, match="StackCreateComplete"):
            stacks.get_waiter("stack_create_complete").wait(StackName=stack, WaiterConfig={"Delay": 1})
    assert not [each for each in endpoint.client("events").list_rules()["Rules"] if each["Name"].startswith(name)]


# --- input ---


def test_every_target_gets_what_the_input_transformer_makes(rule: Rule) -> None:
    template = '{"n": <n>, "list": <list>, "whole": <aws.events.event>}'
    paths = {"n": "$.detail.parts[1].n", "list": "$.detail.parts[*].n"}
    rule.put(rule.target(InputTransformer={"InputPathsMap": paths, "InputTemplate": template}))
    (body,) = rule.received({"parts": [{"n": 1}, {"n": 2}]})
    made = json.loads(body)
    assert (made["n"], made["list"]) == (2, [1, 2])
    assert [*made["whole"]] == ["id", "account", "detailType", "time", "source", "region", "resources", "version"]
    assert made["whole"]["detailType"] == "thing-submitted"


def test_an_empty_input_does_not_become_the_event(rule: Rule) -> None:
    rule.put(rule.target(InputTransformer={"InputPathsMap": {"n": "$.detail.n"}, "InputTemplate": "<n>"}))
    assert rule.received({"m": 1}) == []
    assert rule.received({"n": 1}) == ["1"]


def test_an_invalid_output_is_not_delivered_and_the_log_says_so(rule: Rule, cloud: LocalCloud) -> None:
    quoted = {"InputPathsMap": {"n": "$.detail.n"}, "InputTemplate": '{"about": "<n>"}'}
    rule.put(rule.target(InputTransformer=quoted), rule.target("path", InputPath="$..n"))
    assert rule.received({"n": {"is": "an object"}}) == []
    assert rule.received({"n": ["an", "array"]}) == []
    log = cloud.state.log("emulator").read_text()
    assert f"rule {rule.name}, target t" in log
    assert "is not delivered: <n> is an object, and stands within quotes of a JSON template" in log
    assert "is not delivered: <n> is an array, and stands within quotes of a JSON template" in log
    assert f"rule {rule.name}, target path" in log
    assert rule.received({"n": "a text"}) == ['{"about": "a text"}']
