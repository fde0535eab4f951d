"""What policies allow is decided once, for as long as nothing that decides has changed; within this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

import pytest
from ministack.core import iam_actions, iam_evaluator
from ministack.services import dynamodb_streams, eventbridge, iam, kinesis, lambda_svc, s3, sqs, sts
from stream_cli.local.emulator import native_json
from stream_cli.local.emulator.authorization import callers, decisions, deliveries, operations, services, variables

ACCOUNT, REGION = "000000000000", "us-east-1"
TABLE = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/t"
BUS = f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/hub"
QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:q"
MANAGED = f"arn:aws:iam::{ACCOUNT}:policy/own"
NAMES = {"TableName": "t", "Item": {"pk": {"S": "1"}}}
HEADERS = {"x-amz-target": "DynamoDB_20120810.PutItem", "content-type": "application/x-amz-json-1.0"}


def policy(effect: str = "Allow", action: str = "dynamodb:PutItem", **more: Any) -> str:
    return json.dumps({"Statement": [{"Effect": effect, "Action": action, "Resource": "*", **more}]})


@pytest.fixture
def role(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A role that may put items, by a policy of its own."""
    made = {"InlinePolicies": {"own": policy()}, "AttachedPolicies": []}
    monkeypatch.setitem(iam._roles._data, (ACCOUNT, "counted"), made)
    return made


@pytest.fixture
def worker(role: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> callers.Caller:
    """A session of the role."""
    monkeypatch.setattr(callers, "issued", {})
    monkeypatch.setattr(iam_evaluator, "is_root_access_key", callers.is_administrator)
    register = sts.register_session
    monkeypatch.setattr(sts, "_sessions", {})
    monkeypatch.setattr(decisions, "_allowed", {})
    for name in ("_first_match", "_resolve_condition_key"):
        monkeypatch.setattr(iam_evaluator, name, getattr(iam_evaluator, name))  # as it was, in the end
    variables.patch()

    def register_issued(key: str, session: dict[str, Any]) -> None:
        callers.issued[key] = None
        register(key, session)

    monkeypatch.setattr(sts, "register_session", register_issued)
    return callers.session_of_service(ACCOUNT, "counted", "worker")


@pytest.fixture
def decided(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The actions that ministack has decided on."""
    actions: list[str] = []
    enforce = iam_evaluator.enforce

    def counted(*given: Any) -> Any:
        actions.append(given[1])
        return enforce(*given)

    monkeypatch.setattr(iam_evaluator, "enforce", counted)
    return actions


def may(worker: callers.Caller, action: str = "dynamodb:PutItem", resource: str = TABLE, **given: Any) -> bool:
    service = action.partition(":")[0]
    return decisions.refusal(worker, service, action, resource, REGION, lambda: given) is None


def test_a_thousand_equal_calls_are_decided_once(worker: callers.Caller, decided: list[str]) -> None:
    assert [may(worker) for _ in range(1_000)] == [True] * 1_000
    assert decided == ["dynamodb:PutItem"]
    assert [may(worker, "dynamodb:Query") for _ in range(2)] == [False] * 2
    assert not may(worker, "dynamodb:Query", f"{TABLE}/index/i")
    assert len(decided) == 4, "what is refused is decided each time"


def attach(role: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Have the role its permission by a managed policy; returns that."""
    managed = {"DefaultVersionId": "v1", "Versions": {"v1": {"Document": policy()}, "v2": {"Document": policy("Deny")}}}
    monkeypatch.setitem(iam._policies._data, (ACCOUNT, MANAGED), managed)
    role.update(InlinePolicies={}, AttachedPolicies=[MANAGED])
    return managed


def deny(role: dict[str, Any]) -> None:
    role["InlinePolicies"]["own"] = policy("Deny")


def add_denial(role: dict[str, Any]) -> None:
    role["InlinePolicies"]["more"] = policy("Deny")


def delete_policy(role: dict[str, Any]) -> None:
    del role["InlinePolicies"]["own"]


def replace_role(_role: dict[str, Any]) -> None:
    iam._roles._data[ACCOUNT, "counted"] = {"InlinePolicies": {}}


def delete_role(_role: dict[str, Any]) -> None:
    del iam._roles._data[ACCOUNT, "counted"]


def set_boundary(role: dict[str, Any]) -> None:
    role["PermissionsBoundary"] = MANAGED


def end_session(_role: dict[str, Any]) -> None:
    sts._sessions.clear()


def limit_session(_role: dict[str, Any]) -> None:
    for session in sts._sessions.values():
        session["SessionPolicies"] = {"Policy": policy(action="dynamodb:Query")}


REVOKING = (deny, add_denial, delete_policy, replace_role, delete_role, set_boundary, end_session, limit_session)


@pytest.mark.parametrize("revoke", REVOKING, ids=lambda revoke: revoke.__name__)
def test_what_was_just_revoked_is_refused(
    worker: callers.Caller, role: dict[str, Any], revoke: Callable[[dict[str, Any]], None]
) -> None:
    assert may(worker)
    revoke(role)
    assert not may(worker)


@pytest.mark.parametrize("change", ["version", "content", "detached"])
def test_what_a_managed_policy_no_longer_allows_is_refused(
    worker: callers.Caller, role: dict[str, Any], monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    managed = attach(role, monkeypatch)
    assert may(worker)
    if change == "version":
        managed["DefaultVersionId"] = "v2"
    elif change == "content":
        managed["Versions"]["v1"]["Document"] = policy("Deny")
    else:
        role["AttachedPolicies"].remove(MANAGED)
    assert not may(worker)


def test_values_that_conditions_and_variables_name_belong_to_the_decision(
    worker: callers.Caller, role: dict[str, Any], decided: list[str]
) -> None:
    condition = {"ForAllValues:StringEquals": {"events:Source": ["a", "${events:detail-type}"]}}
    role["InlinePolicies"]["own"] = policy(action="events:PutEvents", Condition=condition)

    def may_put(*sources: str, kind: str = "t") -> bool:
        given: dict[str, Any] = {"events:source": [*sources], "events:detail-type": kind, "events:other": len(decided)}
        return may(worker, "events:PutEvents", BUS, **given)

    assert [may_put("a") for _ in range(1_000)] == [True] * 1_000
    assert len(decided) == 1, "values that no policy names do not matter"
    assert [may_put("b"), may_put("a", "b"), may_put("b", kind="b"), may_put("b")] == [False, False, True, False]
    assert may_put("b", kind="b")
    assert len(decided) == 5


@pytest.mark.parametrize(
    ("operator", "key", "value"),
    [
        ("DateGreaterThan", "aws:CurrentTime", "2020-01-01T00:00:00Z"),
        ("StringNotEquals", "aws:ResourceTag/stage", "prod"),
        ("ArnLike", "aws:PrincipalArn", "*"),
        ("StringNotEquals", "aws:PrincipalTag/team", "x"),
    ],
)
def test_what_depends_on_more_is_decided_each_time(
    worker: callers.Caller, role: dict[str, Any], decided: list[str], operator: str, key: str, value: str
) -> None:
    role["InlinePolicies"]["own"] = policy(Condition={operator: {key: value}})
    assert [may(worker) for _ in range(3)] == [True] * 3
    assert len(decided) == 3


def test_a_variable_in_an_escaped_text_is_one(worker: callers.Caller, role: dict[str, Any], decided: list[str]) -> None:
    own = policy(Condition={"StringEquals": {"dynamodb:Select": "${aws:userid}"}})
    role["InlinePolicies"]["own"] = own.replace("$", "\\u0024")
    assert [may(worker) for _ in range(2)] == [False] * 2
    assert decisions.named((role["InlinePolicies"]["own"],)) is None


def test_a_request_is_read_once_for_the_decision_and_for_its_service(
    worker: callers.Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ministack.core import iam_actions

    read: list[bytes] = []
    reading = native_json.read
    monkeypatch.setattr(native_json, "read", lambda text: (read.append(text), reading(text))[1])
    monkeypatch.setattr(iam_actions, "json", operations._Ahead())
    body = json.dumps(NAMES).encode()
    assert operations.refusal(worker, "dynamodb", HEADERS, body, REGION, "r") is None
    content = native_json.Json.loads(body)
    assert (content, read) == (NAMES, [body])
    content["TableName"] = "changed"
    assert native_json.Json.loads(body) == NAMES, "whoever takes it may change it"


def test_what_was_read_ahead_is_for_the_same_request_alone() -> None:
    first, second = json.dumps(NAMES).encode(), json.dumps(NAMES).encode()
    content = native_json.read_ahead(first)
    assert native_json.read_ahead(first) is content
    assert native_json.Json.loads(second) is not content
    assert native_json.Json.loads(first) is content


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The attributes of a queue that lets rules in."""
    allow = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:*", "Resource": "*"}
    attributes = {"QueueArn": QUEUE, "Policy": json.dumps({"Statement": allow})}
    monkeypatch.setattr(sqs, "_queue_by_arn", lambda arn: {"attributes": attributes} if arn == QUEUE else None)
    return attributes


def test_a_queue_lets_a_rule_in_by_one_evaluation_until_its_policy_changes(
    queue: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluated: list[Any] = []
    evaluate = iam_evaluator.evaluate_resource_policy
    monkeypatch.setattr(
        iam_evaluator,
        "evaluate_resource_policy",
        lambda *given, **more: (evaluated.append(given), evaluate(*given, **more))[1],
    )
    services._decided.cache_clear()

    def let_in(rule: str = "r") -> bool:
        return services.lets_in("events.amazonaws.com", "sqs:SendMessage", QUEUE, f"arn:aws:events:::rule/{rule}")

    assert [let_in() for _ in range(1_000)] == [True] * 1_000
    assert len(evaluated) == 1
    allowed = queue["Policy"]
    queue["Policy"] = allowed.replace("Allow", "Deny")
    assert not let_in()
    condition = {"ArnEquals": {"aws:SourceArn": "arn:aws:events:::rule/r"}}
    queue["Policy"] = json.dumps({"Statement": {**json.loads(allowed)["Statement"], "Condition": condition}})
    assert (let_in(), let_in("other")) == (True, False)
    queue["Policy"] = ""
    assert not let_in()


@pytest.fixture
def asked_of_queues(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The actions that ministack has asked the policy of a queue for."""
    actions: list[str] = []
    ask = sqs._enforce_queue_policy

    def counted(queue: dict[str, Any], action: str) -> None:
        actions.append(action)
        ask(queue, action)

    monkeypatch.setattr("ministack.app.AUTH", True)
    monkeypatch.setattr(decisions, "_passed", set())
    monkeypatch.setattr(iam_evaluator, "parse_policy_document", iam_evaluator.parse_policy_document)
    monkeypatch.setattr(sqs, "_enforce_queue_policy", counted)
    decisions.patch()
    return actions


def may_receive(queue: dict[str, str], action: str = "sqs:ReceiveMessage") -> bool:
    try:
        sqs._enforce_queue_policy({"attributes": queue}, action)
    except sqs._Err:
        return False
    return True


def test_the_policy_of_a_queue_is_asked_once_for_equal_requests_until_it_changes(
    queue: dict[str, str], asked_of_queues: list[str]
) -> None:
    assert [may_receive(queue) for _ in range(1_000)] == [True] * 1_000
    assert asked_of_queues == ["sqs:ReceiveMessage"]
    denied = {"Effect": "Deny", "Principal": "*", "Action": "sqs:DeleteMessage", "Resource": "*"}
    queue["Policy"] = json.dumps({"Statement": denied})
    assert [may_receive(queue, action) for action in ("sqs:ReceiveMessage", "sqs:DeleteMessage")] == [True, False]
    assert not may_receive(queue, "sqs:DeleteMessage"), "a refusal is not remembered"
    queue["Policy"] = ""
    assert may_receive(queue, "sqs:DeleteMessage")


@pytest.mark.parametrize("who", ["account", "caller", "region", "origin"])
def test_the_policy_of_a_queue_is_asked_again_for_another_request(
    queue: dict[str, str], asked_of_queues: list[str], monkeypatch: pytest.MonkeyPatch, who: str
) -> None:
    assert may_receive(queue)
    if who == "account":
        monkeypatch.setattr(sqs, "get_account_id", lambda: "111111111111")
    elif who == "region":
        monkeypatch.setattr(sqs, "get_region", lambda: "eu-central-1")
    elif who == "caller":
        monkeypatch.setattr(iam_evaluator, "caller_arn", lambda: f"arn:aws:iam::{ACCOUNT}:user/other")
    else:
        copy_context().run(lambda: (iam_evaluator.pin_request_origin("10.0.0.1", True), may_receive(queue)))
    may_receive(queue)
    assert len(asked_of_queues) == 2


def test_the_policy_of_a_queue_with_conditions_on_the_request_is_asked_each_time(
    queue: dict[str, str], asked_of_queues: list[str]
) -> None:
    late = {"Condition": {"DateGreaterThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}}}
    denied = {"Effect": "Deny", "Principal": "*", "Action": "sqs:DeleteMessage", "Resource": "*", **late}
    queue["Policy"] = json.dumps({"Statement": denied})
    assert [may_receive(queue) for _ in range(3)] == [True] * 3
    assert len(asked_of_queues) == 3


STREAM = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/s"
TABLE_STREAM = f"{TABLE}/stream/2026"


@pytest.mark.parametrize(
    ("request_of_stream", "resource"),
    [
        ({"StreamARN": STREAM, "Records": []}, STREAM),
        ({"StreamARN": STREAM, "Data": "", "PartitionKey": "1"}, STREAM),
        ({"StreamName": "s", "Records": []}, STREAM),
        ({"StreamName": "s", "StreamARN": f"{STREAM}2"}, f"{STREAM}2"),
        ({"ResourceARN": f"{STREAM}2", "StreamARN": STREAM}, f"{STREAM}2"),
        ({"ShardIterator": "known", "Limit": 1}, STREAM),
        ({"ShardIterator": "known", "StreamARN": f"{STREAM}2"}, f"{STREAM}2"),
        ({"ShardIterator": "other"}, "*"),
        ({"ConsumerARN": f"{STREAM}/consumer/c"}, f"{STREAM}/consumer/c"),
        ({"Limit": 1}, "*"),
    ],
)
def test_a_request_of_a_stream_is_about_the_stream_that_ministack_takes(
    request_of_stream: dict[str, Any], resource: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kinesis, "_shard_iterators", {"known": {"stream": "s"}})
    monkeypatch.setattr(kinesis, "_streams", {"s": {"StreamARN": STREAM}})
    extract = iam_actions.extract_resource_arn

    def mended(*asked: Any) -> str:
        return operations._of_kinesis(extract(*asked), {}, asked[4], {})

    monkeypatch.setattr(iam_actions, "extract_resource_arn", mended)
    body = json.dumps(request_of_stream).encode()
    found = operations._checks("kinesis", "kinesis:GetRecords", {}, body, REGION, ACCOUNT)
    assert found == [("kinesis:GetRecords", resource)]
    assert mended("kinesis", "POST", "/", {}, body, {}, REGION, ACCOUNT) == resource


def test_a_request_of_a_table_stream_is_about_the_stream_of_its_iterator() -> None:
    iterator = dynamodb_streams._encode_iterator("t", "shard", 0, stream_arn=TABLE_STREAM)
    for given, resource in (({"ShardIterator": iterator}, TABLE_STREAM), ({"ShardIterator": "x"}, "*")):
        body = json.dumps({**given, "Limit": 1}).encode()
        found = operations._checks("dynamodbstreams", "dynamodb:GetRecords", {}, body, REGION, ACCOUNT)
        assert found == [("dynamodb:GetRecords", resource)]


SIGNED = "AWS4-HMAC-SHA256 Credential={}/20260101/us-east-1/lambda/aws4_request, SignedHeaders=host, Signature=0"


@pytest.mark.parametrize(
    ("authorizations", "administrator"),
    [
        ([SIGNED.format("test")], True),
        ([SIGNED.format("000000000000")], True),
        ([SIGNED.format("ASIAISSUED")], False),
        ([SIGNED.format("test"), SIGNED.format("ASIAISSUED")], False),
        (["AWS test:signature"], False),
        ([f"AWS4-HMAC-SHA256 SignedHeaders=host, {SIGNED.format('test')[17:]}"], False),
        ([""], False),
        ([], False),
    ],
)
def test_only_what_is_plainly_signed_by_the_administrator_is_not_read_further(
    authorizations: list[str], administrator: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callers, "issued", {"ASIAISSUED": None})
    headers = [(b"host", b"127.0.0.1"), *((b"Authorization", each.encode()) for each in authorizations)]
    assert callers._is_of_administrator(headers) is administrator


def test_a_service_assumes_a_role_until_it_is_no_longer_trusted(worker: callers.Caller, role: dict[str, Any]) -> None:
    trust = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sts:AssumeRole"}
    role["AssumeRolePolicyDocument"] = json.dumps({"Statement": trust})
    arn = f"arn:aws:iam::{ACCOUNT}:role/counted"
    keys = {"aws:SourceArn": BUS, "aws:SourceAccount": ACCOUNT}
    assert [services.assumed(arn, "events.amazonaws.com", "s", keys).role for _ in range(3)] == ["counted"] * 3
    with pytest.raises(services.NotTrusted):
        services.assumed(arn, "scheduler.amazonaws.com", "s", keys)
    role["AssumeRolePolicyDocument"] = json.dumps({"Statement": {**trust, "Principal": {"AWS": "*"}}})
    with pytest.raises(services.NotTrusted):
        services.assumed(arn, "events.amazonaws.com", "s", keys)


def test_the_events_of_a_request_are_decided_on_together(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    for module in (eventbridge, s3, lambda_svc):
        for name in deliveries.INTERNALS[module.__name__]:
            monkeypatch.setattr(module, name, getattr(module, name))
    for module_name in ("sns", "firehose", "apigateway", "apigateway_v1"):
        for name in deliveries.INTERNALS[f"ministack.services.{module_name}"]:
            monkeypatch.setattr(f"ministack.services.{module_name}.{name}", _of(module_name, name))
    given: list[Any] = []

    def put(request: dict[str, Any]) -> str:
        for _ in request["Entries"]:
            eventbridge._invoke_target({"Arn": QUEUE}, {}, {"Arn": "r"})
        return "answer"

    monkeypatch.setattr(eventbridge, "_put_events", put)
    monkeypatch.setattr(eventbridge, "_invoke_target", lambda *event: given.append(event))
    monkeypatch.setattr(deliveries, "_problem_of_target", lambda *target: asked.append(target))
    deliveries.patch()
    assert eventbridge._put_events({"Entries": range(10)}) == "answer"
    assert (len(asked), len(given)) == (1, 10)
    eventbridge._put_events({"Entries": range(10)})
    eventbridge._invoke_target({"Arn": QUEUE}, {}, {"Arn": "r"})
    assert (len(asked), len(given)) == (3, 21), "the next request asks again"


def _of(module: str, name: str) -> Any:
    import importlib

    return getattr(importlib.import_module(f"ministack.services.{module}"), name)
