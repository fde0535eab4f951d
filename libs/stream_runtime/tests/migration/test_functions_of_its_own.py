"""The counterparts of functions in aws_lambda_stream's ``utils``. Cases of its tests/unit/utils, written anew."""

import json
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest
from stream_runtime import TransientError, codec
from stream_runtime.clock import now_ms, ttl, ttl_of
from stream_runtime.expressions import marshall, pk_condition, timestamp_condition, unmarshall, update_expression
from stream_runtime.filters import on_content, on_event_type, out_latched, out_skip, out_source_is_self
from stream_runtime.flavors import task
from stream_runtime.operators import multitask
from stream_runtime.tags import standard_tags, with_tags
from stream_runtime.testing import to_api_gateway_request_v2

UOW = {"event": {"id": "e1", "type": "thing-created", "timestamp": 1000, "partition_key": "t1"}}


def test_a_time_to_live_is_days_after_a_time() -> None:
    """Case: utils/test_time.py, test_ttl."""
    assert ttl(1000, 2) == 172_801
    assert ttl(now_ms(), 0) == pytest.approx(now_ms() // 1000, abs=5)


@pytest.mark.parametrize(
    ("rule", "days_of_the_environment", "expected"),
    [
        ({"ttl": lambda rule, uow: uow["event"]["timestamp"] + 10}, None, 1010),
        ({"ttl": 2}, None, 172_801),
        ({"default_ttl": 3}, None, 259_201),
        ({}, "4", 345_601),
        ({}, None, 2_851_201),
    ],
    ids=["callable", "ttl", "default_ttl", "TTL", "33 days"],
)
def test_a_rule_says_how_long_a_row_is_kept(
    monkeypatch: pytest.MonkeyPatch, rule: Any, days_of_the_environment: str | None, expected: int
) -> None:
    """Cases: utils/test_time.py, test_ttl_rule_with_callable, test_ttl_rule_with_rule_default_and_env."""
    if days_of_the_environment:
        monkeypatch.setenv("TTL", days_of_the_environment)
    assert ttl_of(rule, UOW) == expected


def test_a_request_as_an_http_api_sends_it() -> None:
    """Case: utils/test_apigateway.py; what it leaves open is as API Gateway sends it."""
    request = to_api_gateway_request_v2(
        method="post",
        path="/things/{id}",
        body='{"name": "Thing"}',
        path_parameters={"id": "thing-1"},
        query_string_parameters={"include": "details"},
        headers={"Authorization": "Bearer token"},
        authorizer={"jwt": {"claims": {"sub": "user-1"}}},
    )
    assert (request["version"], request["routeKey"], request["rawPath"]) == (
        "2.0",
        "POST /things/{id}",
        "/things/thing-1",
    )
    assert (request["body"], request["isBase64Encoded"]) == ('{"name": "Thing"}', False)
    assert (request["pathParameters"], request["headers"]) == ({"id": "thing-1"}, {"authorization": "Bearer token"})
    assert (request["queryStringParameters"], request["rawQueryString"]) == ({"include": "details"}, "include=details")
    context = request["requestContext"]
    assert (context["http"]["method"], context["http"]["path"]) == ("POST", "/things/thing-1")
    assert context["authorizer"] == {"jwt": {"claims": {"sub": "user-1"}}}


def test_a_request_has_only_the_parts_that_it_is_given() -> None:
    """API Gateway developer guide, "Create AWS Lambda proxy integrations for HTTP APIs", payload format 2.0."""
    request = to_api_gateway_request_v2(method="GET", path="/", route_key="$default")
    assert not {"body", "pathParameters", "queryStringParameters"} & set(request)
    assert (request["routeKey"], "authorizer" in request["requestContext"]) == ("$default", False)
    image = to_api_gateway_request_v2(method="PUT", path="/", body=b"\x00")
    assert (image["body"], image["isBase64Encoded"]) == ("AA==", True)
    assert to_api_gateway_request_v2(method="PUT", path="/", body={"n": 1})["body"] == '{"n":1}'


def boom() -> None:
    raise ValueError("boom")


def test_the_tasks_of_a_unit_of_work_run_at_once(run: Any) -> None:
    """Cases: utils/test_concurrency.py, test_multitask, test_multitask_returns_exceptions_as_results."""

    def to_tasks(uow: Any) -> list[Any]:
        tasks: Any = [(lambda value: value + 1, [1]), (lambda value: value * 2, [3]), (boom, [])]
        return [{"task": function, "params": params} for function, params in tasks]

    rule = {"id": "r", "flavor": task, "event_type": "thing-created", "execute_operators": lambda rule: multitask()}
    (uow,) = run({**rule, "execute": to_tasks, "result_key": "tasks"}, UOW["event"])
    *results, error = uow["result"]
    assert (results, type(error), str(error)) == ([2, 6], ValueError, "boom")


def test_tasks_wait_for_one_another_only_if_they_are_too_many(run: Any) -> None:
    from threading import Barrier

    both = Barrier(2, timeout=10)
    rule = {"id": "r", "flavor": task, "event_type": "thing-created", "result_key": "work"}
    rule |= {"execute": lambda uow: [{"call": both.wait}] * 2}
    rule |= {"execute_operators": lambda rule: multitask("work", task_field="call", result_field="answers", parallel=2)}
    (uow,) = run(rule, UOW["event"])
    assert sorted(uow["answers"]) == [0, 1]


def test_a_task_that_fails_for_the_time_being_leaves_its_record_for_retry(bus: Any) -> None:
    """There the error would be one of the results, and the record done."""
    from stream_runtime import DEFAULT_OPTIONS, StreamPipeline, initialize_from
    from stream_runtime.events import from_kinesis, to_kinesis_records

    def busy() -> None:
        raise TransientError("busy")

    rule = {"id": "r", "flavor": task, "event_type": "thing-created", "result_key": "tasks"}
    rule |= {"execute": lambda uow: [{"task": busy}], "execute_operators": lambda rule: multitask()}
    pipeline = StreamPipeline(initialize_from([rule]), DEFAULT_OPTIONS)
    response = pipeline.assemble(from_kinesis(to_kinesis_records([UOW["event"]])))
    assert (response, bus.events) == ({"batchItemFailures": [{"itemIdentifier": "0"}]}, [])


def test_expressions_and_conditions_are_the_same_text() -> None:
    """Cases: utils/test_dynamodb.py, test_update_expression, test_conditions, test_marshall_and_unmarshall."""
    assert update_expression({"pk": "abc", "name": "thing name", "as": None}) == {
        "ExpressionAttributeNames": {"#pk": "pk", "#name": "name", "#as": "as"},
        "ExpressionAttributeValues": {":pk": "abc", ":name": "thing name"},
        "UpdateExpression": "SET #pk = :pk, #name = :name REMOVE #as",
        "ReturnValues": "ALL_NEW",
    }
    condition = "attribute_not_exists(#timestamp) OR #timestamp < :timestamp"
    assert timestamp_condition() == {"ConditionExpression": condition}
    assert pk_condition() == {"ConditionExpression": "attribute_not_exists(pk)"}
    item = {"pk": "thing-1", "count": 1, "price": Decimal("12.5")}
    assert unmarshall(marshall(item)) == {"pk": "thing-1", "count": 1, "price": 12.5}


def test_json_of_enumerations_and_decimals() -> None:
    """Case: utils/test_json_encoder.py."""

    class Kind(Enum):
        KEY = "value"

    assert json.loads(codec.encode({"x": Kind.KEY, "y": Decimal("12.5")})) == {"x": "value", "y": 12.5}


def test_tags_say_where_an_event_comes_from_and_its_own_win(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cases: utils/test_tags.py, test_env_tags, test_adorn_standard_tags_merges_existing_tags."""
    given = {"ACCOUNT_NAME": "account", "STAGE": "dev", "SERVICE": "service", "AWS_LAMBDA_FUNCTION_NAME": "function"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    tags = standard_tags("pipeline")
    expected = {"account": "account", "stage": "dev", "source": "service", "functionname": "function"}
    assert tags.items() >= {**expected, "region": "us-west-2", "pipeline": "pipeline"}.items()
    merged = with_tags({"type": "x", "tags": {"source": "custom", "extra": "value"}}, tags)["tags"]
    assert (merged["source"], merged["extra"], merged["pipeline"]) == ("custom", "value", "pipeline")


@pytest.mark.parametrize(
    ("predicate", "event", "expected"),
    [
        (on_event_type({"id": "r", "event_type": "thing-created"}), {"type": "thing-created"}, True),
        (on_event_type({"id": "r", "event_type": "thing-created"}), {"type": "thing-updated"}, False),
        (on_content({"filters": [lambda uow, _: uow["event"]["id"] == "e1"]}), {"id": "e1"}, True),
        (on_content({"filters": [lambda uow, _: uow["event"]["id"] == "e1"]}), {"id": "e2"}, False),
        (on_content({}), {}, True),
        (on_content({"filters": [lambda *_: False, lambda *_: 1 / 0]}), {}, False),
        (out_source_is_self, {}, True),
        (out_source_is_self, {"tags": {"source": "billing"}}, True),
        (out_source_is_self, {"tags": {"source": "inventory"}}, False),
        (out_latched, {"raw": {"new": {"latched": False}}}, True),
        (out_latched, {"raw": {"new": {"latched": True}}}, False),
        (out_latched, {"raw": {"new": None, "old": {"latched": False}}}, True),
        (out_latched, {"raw": {"new": None, "old": {"latched": True}}}, False),
        (out_skip, {}, True),
        (out_skip, {"tags": {"skip": False}}, True),
        (out_skip, {"tags": {"skip": True}}, False),
    ],
)
def test_predicates_of_rules(monkeypatch: pytest.MonkeyPatch, predicate: Any, event: Any, expected: bool) -> None:
    """Cases: filters/test_latch.py, test_skip.py, test_content.py, test_event_type.py, utils/test_filters.py."""
    monkeypatch.setenv("SERVICE", "inventory")
    assert predicate({"event": event}) is expected
