"""Custom flavors written for aws_lambda_stream: its operators, its mappers that are operators here, its sinks.

Cases of its test suite, named in each docstring, written anew.
"""

import threading
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
import reactivex
from stream_runtime import clients
from stream_runtime.expressions import update_expression
from stream_runtime.faults import faulty
from stream_runtime.operators import rx_filter, rx_map, split_buffer, split_object, tap
from stream_runtime.queries.dynamodb import batch_get_dynamodb, query_dynamodb
from stream_runtime.sinks.dynamodb import put_dynamodb, update_dynamodb
from stream_runtime.sinks.s3 import put_object_to_s3

Run = Callable[..., list[Any]]

CREATED = {"id": "e1", "type": "thing-created", "timestamp": 1548967022000, "partition_key": "t1"}


def collected(operator: Any, *items: Any) -> list[Any]:
    """What leaves an operator that is subscribed to outside a pipeline."""
    out: list[Any] = []
    reactivex.from_list(list(items)).pipe(operator).subscribe(out.append)
    return out


def flavor_of(*operators: Any) -> Callable[[Any], Any]:
    return lambda rule: lambda source: source.pipe(*operators)


@pytest.mark.parametrize(
    ("operator", "items", "expected"),
    [
        (rx_map(lambda value: value + 1), [1, 2], [2, 3]),
        (rx_filter(lambda value: value > 1), [1, 2, 3], [2, 3]),
        (split_buffer(), [[1, 2], [3]], [1, 2, 3]),
        (tap(lambda value: value * 2), [1], [1]),
        (split_object({}), [{"thing": 1}], [{"thing": 1}]),
        (split_object({"split_on": "things"}), [{"things": [1, 2]}], [{"things": [1, 2], "split": n} for n in (1, 2)]),
        (split_object({"split_on": "things"}), [{"other": 1}], []),
        (
            split_object({"split_on": lambda uow, rule: [{**uow, "copy": n} for n in (1, 2)]}),
            [{"thing": 1}],
            [{"thing": 1, "copy": 1}, {"thing": 1, "copy": 2}],
        ),
    ],
    ids=["map", "filter", "buffer", "tap", "no split", "split on a path", "nothing to split", "split with a function"],
)
def test_an_operator_stands_alone(operator: Any, items: list[Any], expected: list[Any]) -> None:
    """Cases: utils/test_operators.py, utils/test_split.py."""
    assert collected(operator, *items) == expected


def test_outside_a_pipeline_a_failure_is_raised(bus: Any) -> None:
    """Case: utils/test_operators.py, test_rx_map_and_filter_forward_faults; there a list of the module keeps it."""
    with pytest.raises(KeyError, match="name"):
        collected(rx_map(faulty(lambda uow: uow["name"])), {"pipeline": "p", "event": CREATED})


def test_in_a_pipeline_a_failure_stops_its_unit_of_work_only(run: Run, bus: Any) -> None:
    """Case: utils/test_operators.py, test_rx_map_and_filter_forward_faults."""
    flavor = flavor_of(rx_map(faulty(lambda uow: {**uow, "name": uow["event"]["name"]})), rx_filter(lambda _: 1 / 0))
    assert run([{"id": "r", "flavor": flavor}], CREATED, {**CREATED, "id": "e2", "name": "x"}) == []
    assert [fault["err"]["name"] for fault in bus.of_type("fault")] == ["KeyError", "ZeroDivisionError"]


def test_mappers_that_are_operators_here_may_stay_in_rx_map(table: Any, run: Run) -> None:
    """There ``update_dynamodb`` and ``put_dynamodb`` make functions for ``rx_map``; cases: utils/test_dynamodb.py."""

    def to_requests(uow: Any) -> Any:
        item = {"pk": "t1", "sk": "put", "price": 12.5}
        request = {"Key": {"pk": "t1", "sk": "update"}, **update_expression({"name": "One"})}
        return {**uow, "put_request": {"Item": item}, "update_request": request}

    operators = [rx_map(to_requests), rx_map(put_dynamodb()), rx_map(update_dynamodb(table_name="entities"))]
    (uow,) = run([{"id": "r", "flavor": flavor_of(*operators)}], CREATED)
    assert table.get_item(Key={"pk": "t1", "sk": "put"})["Item"]["price"] == Decimal("12.5")
    assert uow["update_response"]["Attributes"]["name"] == "One"


@pytest.mark.parametrize("make", [put_dynamodb, update_dynamodb, lambda: split_object({"split_on": "x"})])
def test_an_operator_that_is_called_with_a_unit_of_work_says_so(make: Callable[[], Any]) -> None:
    """Otherwise it would return something that is no unit of work, and nothing would be written."""
    with pytest.raises(TypeError, match=r"an operator takes an Observable, as in source\.pipe\(\.\.\.\), not a dict"):
        make()({"put_request": {"Item": {}}})


def test_requests_are_optional_and_a_fallback_is_made_on_a_failed_condition(table: Any) -> None:
    """Cases: utils/test_dynamodb.py, test_update_dynamodb_skips_empty_request, test_update_dynamodb_uses_fallback."""
    never = {
        "Key": {"pk": "a", "sk": "x"},
        **update_expression({"n": 1}),
        "ConditionExpression": "attribute_exists(pk)",
    }
    fallback = {"Key": {"pk": "b", "sk": "x"}, **update_expression({"n": 2})}
    uows = [{"event": CREATED}, {"event": CREATED, "update_request": never, "fallback_update_request": fallback}]
    first, second = collected(update_dynamodb("entities"), *uows)
    assert (first, second["update_response"]["Attributes"]["n"]) == ({"event": CREATED}, 2)
    assert [row["pk"] for row in table.scan()["Items"]] == ["b"]


def test_queries_and_reads_of_keys_give_plain_items(table: Any) -> None:
    """Cases: utils/test_dynamodb.py, test_query_dynamodb, test_batch_get_dynamodb."""
    table.put_item(Item={"pk": "t1", "sk": "thing", "count": 1})
    query = {"KeyConditionExpression": "pk = :pk", "ExpressionAttributeValues": {":pk": "t1"}}
    row = {"pk": "t1", "sk": "thing", "count": 1}
    found, passed = collected(query_dynamodb("entities"), {"query_request": query}, {"other": True})
    assert (found["query_response"], passed) == ([row], {"other": True})
    request = {"RequestItems": {"entities": {"Keys": [{"pk": "t1", "sk": "thing"}]}}}
    found, passed = collected(batch_get_dynamodb("entities"), {"batch_get_request": request}, {"other": True})
    assert (found["batch_get_response"]["Responses"], passed) == ({"entities": [row]}, {"other": True})


def test_keys_that_are_left_unprocessed_are_requested_again(aws: None) -> None:
    """Case: connectors/test_dynamodb.py, test_batch_get_retries_unprocessed_keys."""

    class Dynamodb:
        def __init__(self) -> None:
            self.requests: list[Any] = []

        def batch_get_item(self, RequestItems: Any) -> Any:
            self.requests.append(RequestItems["things"]["Keys"])
            first, *left = RequestItems["things"]["Keys"]
            unprocessed = {"UnprocessedKeys": {"things": {"Keys": left}}} if left else {}
            return {"Responses": {"things": [first]}, **unprocessed}

    dynamodb = Dynamodb()
    clients.use("dynamodb", dynamodb)
    request = {"Keys": [{"pk": "1"}, {"pk": "2"}]}
    (uow,) = collected(batch_get_dynamodb("things"), {"batch_get_request": request})
    assert uow["batch_get_response"] == {"Responses": {"things": [{"pk": "1"}, {"pk": "2"}]}}
    assert [len(keys) for keys in dynamodb.requests] == [2, 1]


class Slow:
    """A client of DynamoDB and S3 that holds its first write until another has begun, for so many s at most."""

    def __init__(self, most_s: float) -> None:
        self.most_s = most_s
        self.begun: list[Any] = []
        self.both = threading.Event()

    def __getattr__(self, operation: str) -> Any:
        def call(**request: Any) -> Any:
            self.begun.append(request)
            if len(self.begun) == 2:
                self.both.set()
            if len(self.begun) == 1:
                self.together = self.both.wait(self.most_s)
            return {"Attributes": {}}

        return call


KEY = {"Key": {"pk": "shared", "sk": "row"}}
WRITES = [
    ("dynamodb", update_dynamodb("entities"), {"update_request": {**KEY, **update_expression({"n": 1})}}),
    ("dynamodb", put_dynamodb("entities"), {"put_request": {"Item": {"pk": "shared", "sk": "row"}}}),
    ("s3", put_object_to_s3("views"), {"put_request": {"Key": "shared", "Body": "x"}}),
]


@pytest.mark.parametrize(("service", "operator", "request_"), WRITES, ids=["update", "put", "object"])
def test_writes_to_one_item_keep_their_order_whatever_the_partition_keys(
    service: str, operator: Any, request_: Any
) -> None:
    """There all writes of a batch do. Found by playing the same rules to both libraries: the last write has to win."""
    slow = Slow(0.2)
    clients.use(service, slow)
    uows = [{"event": {**CREATED, "id": f"e{n}", "partition_key": f"k{n}"}, **request_} for n in range(2)]
    assert len(collected(operator, *uows)) == 2
    assert (len(slow.begun), slow.together) == (2, False)


def test_writes_to_two_items_are_made_at_once() -> None:
    slow = Slow(30)
    clients.use("dynamodb", slow)
    items = [{"Item": {"pk": f"t{n}", "sk": "row"}} for n in range(2)]
    uows = [{"event": {**CREATED, "partition_key": item["Item"]["pk"]}, "put_request": item} for item in items]
    collected(put_dynamodb("entities"), *uows)
    assert slow.together
