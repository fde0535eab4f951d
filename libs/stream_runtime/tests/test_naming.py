"""What a failure is told with: rule, event, call and table, and the place in the function's own code."""

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from stream_runtime import DEFAULT_OPTIONS, StreamPipeline, initialize_from
from stream_runtime.aws import clients
from stream_runtime.engine.naming import call_of, place_of, target_in, told
from stream_runtime.engine.run import Fault, texts_of
from stream_runtime.events import from_kinesis, to_kinesis_records
from stream_runtime.faults import distinguished, fault_event
from stream_runtime.flavors import sqs, task, update

THING = {"id": "e1", "type": "thing-made", "timestamp": 1, "partition_key": "p", "thing": {"secret": "s3cr3t-value"}}

MODULE = """
import json


def nested(uow):
    return uow["event"]["evnt"]["x"]


def among(uow):
    return [each.nane for each in [uow]]


def by_library(uow):
    return json.loads("no " + uow["event"]["thing"]["secret"])


def several_lines(uow):
    return nested(
        {
            "event": uow["nö"], "évent": 1,
        }
    )


def said(uow):
    raise ValueError("an item without a title")


def unsaid(uow):
    raise ValueError


def own_key(uow):
    raise KeyError("x")


def of_runtime(uow):
    from stream_runtime.payload.attributes import marshall

    return marshall(object())
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A module of a service, as the functions of rules live in one."""
    folder = tmp_path / "orders" / "rules"
    folder.mkdir(parents=True)
    (folder / "trigger.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("orders.rules.trigger")
    for name in [name for name in sys.modules if name.split(".")[0] == "orders"]:
        del sys.modules[name]


def processed(rule: Any, *events: Any, **options: Any) -> Any:
    """The response for events that went through a rule."""
    pipeline = StreamPipeline(initialize_from([rule]), {**DEFAULT_OPTIONS, **options})
    return pipeline.assemble(from_kinesis(to_kinesis_records(list(events))))


def fault_of(function: Any, bus: Any, **options: Any) -> Any:
    processed({"id": "a", "flavor": task, "event_type": "thing-made", "execute": function}, THING, **options)
    (fault,) = bus.of_type("fault")
    return fault


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nested", """'evnt' in orders/rules/trigger.py:6, nested: uow["event"]["evnt"]"""),
        ("several_lines", """'nö' in orders/rules/trigger.py:20, several_lines: uow["nö"]"""),
        ("own_key", "'x' in orders/rules/trigger.py:34, own_key"),
        ("unsaid", " in orders/rules/trigger.py:30, unsaid"),
    ],
)
def test_a_bare_error_says_which_expression_of_which_file_it_is_about(
    name: str, message: str, own: Any, bus: Any
) -> None:
    assert fault_of(getattr(own, name), bus)["err"]["message"] == message


def test_an_attribute_that_is_missing_is_shown_with_its_expression(own: Any, bus: Any) -> None:
    message = fault_of(own.among, bus)["err"]["message"]

    assert message.startswith("'dict' object has no attribute 'nane' in orders/rules/trigger.py:10, among")
    assert message.endswith(": each.nane")


def test_what_a_library_refuses_is_shown_at_the_line_that_calls_it(own: Any, bus: Any) -> None:
    err = fault_of(own.by_library, bus)["err"]

    assert err["message"].startswith("Expecting value: line 1 column 1 (char 0) in orders/rules/trigger.py:14, ")
    assert err["where"].endswith("""json.loads("no " + uow["event"]["thing"]["secret"])""")


def test_what_the_code_itself_says_stays_as_it_is(own: Any, bus: Any) -> None:
    err = fault_of(own.said, bus)["err"]

    assert (err["message"], err["where"]) == ("an item without a title", "orders/rules/trigger.py:26, said")


def test_the_runtime_s_own_frames_are_passed_over(own: Any, bus: Any) -> None:
    assert fault_of(own.of_runtime, bus)["err"]["where"] == (
        "orders/rules/trigger.py:40, of_runtime: marshall(object())"
    )


def test_an_error_outside_the_function_s_code_has_no_place() -> None:
    with pytest.raises(json.JSONDecodeError) as raised:
        raise json.JSONDecodeError("no", "x", 0)
    raised.value.__traceback__ = None

    assert place_of(raised.value) is None
    assert "where" not in fault_event(Fault(raised.value, {"pipeline": "a", "record": {}}, [0]))["err"]


def test_a_library_beside_the_handler_s_package_is_no_code_of_its_own(
    own: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "parsing.py").write_text("def parse(value):\n    return value['x']\n")
    caller = "from parsing import parse\n\n\ndef rule(uow):\n    return parse(uow)\n"
    (tmp_path / "orders" / "caller.py").write_text(caller)
    monkeypatch.setenv("_HANDLER", "orders/handlers/trigger.handler")
    importlib.invalidate_caches()
    with pytest.raises(KeyError) as raised:
        importlib.import_module("orders.caller").rule({})

    place = place_of(raised.value)

    assert place is not None
    assert place.text == "orders/caller.py:5, rule: parse(uow)"


def test_neither_the_place_nor_the_expression_tells_a_value(own: Any, bus: Any) -> None:
    fault = fault_of(own.by_library, bus, redact=["thing.secret"])

    assert "s3cr3t-value" not in json.dumps(fault["err"])


def test_the_place_does_not_change_the_id_of_a_fault(own: Any, bus: Any) -> None:
    event = fault_of(own.nested, bus)
    elsewhere = {**event, "err": {**event["err"], "where": "b.py:1", "message": "'evnt' in b.py:1"}}
    other = {**event, "err": {**event["err"], "message": "'other' in b.py:1", "where": "b.py:1"}}

    assert event["id"] == "e1.a.fault"
    one, _ = (each["id"] for each in distinguished([event, other]))
    two, _ = (each["id"] for each in distinguished([elsewhere, other]))
    assert one == two


def test_an_error_of_several_records_keeps_its_place_when_it_has_let_go_of_them(own: Any) -> None:
    with pytest.raises(KeyError) as raised:
        own.nested({"event": {}})
    texts = texts_of(raised.value)
    raised.value.stack, raised.value.place = texts.stack, texts.place  # type: ignore[attr-defined]
    raised.value.__traceback__ = None

    assert texts_of(raised.value) == texts


# --- lines of what is left, or tried again ---


def refused(code: str, times: int = 1_000_000) -> Any:
    """A client of DynamoDB that refuses so many updates."""
    import boto3
    from botocore.stub import Stubber

    made = boto3.client("dynamodb", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
    stub = Stubber(made)
    for _ in range(min(times, 10)):
        stub.add_client_error("update_item", code, "not now")
    for _ in range(10):
        stub.add_response("update_item", {})
    stub.activate()
    return made


def to_update(uow: Any) -> Any:
    return {"Key": {"pk": uow["event"]["id"], "sk": "a"}, "UpdateExpression": "REMOVE a"}


UPDATE = {
    "id": "settle", "flavor": update, "event_type": "thing-made", "table_name": "things",
    "to_update_request": to_update,
}  # fmt: skip


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETRY_BASE_MS", "0")
    monkeypatch.setenv("RETRY_ATTEMPTS", "3")


def test_a_record_that_is_left_is_told_with_rule_event_and_table(caplog: pytest.LogCaptureFixture) -> None:
    clients.use("dynamodb", refused("AccessDeniedException"))

    assert processed(UPDATE, THING)["batchItemFailures"]

    (line,) = [each for each in caplog.records if each.getMessage().startswith("left for retry: ")]
    assert line.getMessage().endswith("(rule settle, event e1 (thing-made), UpdateItem on things)")
    fields = ("pipeline", "event_id", "event_type", "operation", "target")
    assert [line.__dict__[name] for name in fields] == ["settle", "e1", "thing-made", "UpdateItem", "things"]


def test_a_retry_is_told_with_rule_event_and_table(quick: None, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    clients.use("dynamodb", refused("ThrottlingException", 2))

    assert processed(UPDATE, THING) == {"batchItemFailures": []}

    lines = [each.getMessage() for each in caplog.records if "again in" in each.getMessage()]
    assert [line.partition(" failed with ")[0] for line in lines] == [
        f"rule settle, event e1 (thing-made), UpdateItem on things: attempt {attempt} of 3" for attempt in (1, 2)
    ]


def test_a_batch_logs_ten_of_its_retries(
    quick: None, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETRY_ATTEMPTS", "20")
    caplog.set_level("INFO")

    class Throttled:
        def update_item(self, **_: Any) -> Any:
            raise ClientError({"Error": {"Code": "ThrottlingException", "Message": "slow"}}, "UpdateItem")

    clients.use("dynamodb", Throttled())
    processed(UPDATE, THING)

    lines = [each.getMessage() for each in caplog.records if "again in" in each.getMessage()]
    assert len(lines) == 10
    assert [line for line in lines if line.endswith("(more retries of this batch are not logged)")] == lines[-1:]


def test_nothing_is_named_while_nothing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> Any:
        raise AssertionError("names are put together only for a line")

    for module in ("run", "retry"):
        for name in ("call_of", "names_of"):
            monkeypatch.setattr(f"stream_runtime.engine.{module}.{name}", never)
    clients.use("dynamodb", refused("ThrottlingException", 0))

    assert processed(UPDATE, THING) == {"batchItemFailures": []}


def test_an_entry_that_a_queue_refuses_is_told_with_the_queue(quick: None, caplog: pytest.LogCaptureFixture) -> None:
    class Refusing:
        def send_message_batch(self, QueueUrl: str, Entries: Any) -> Any:
            return {"Failed": [{"Id": each["Id"], "Code": "InternalError", "Message": "no"} for each in Entries]}

    clients.use("sqs", Refusing())
    rule = {
        "id": "tell", "flavor": sqs, "event_type": "thing-made", "queue_url": "http://127.0.0.1:1/0/orders",
        "to_sqs": lambda uow: {"MessageBody": "x"},
    }  # fmt: skip
    caplog.set_level("INFO")

    assert processed(rule, THING)["batchItemFailures"]

    named = "rule tell, event e1 (thing-made), SendMessageBatch on orders"
    assert [each.getMessage().partition(":")[0] for each in caplog.records if "again in" in each.getMessage()] == [
        named, named
    ]  # fmt: skip
    assert caplog.records[-1].getMessage().endswith(f"({named})")


@pytest.mark.parametrize(
    ("request_", "target"),
    [
        ({"TableName": "t"}, "t"),
        ({"TableName": "arn:aws:dynamodb:us-east-1:1:table/t"}, "t"),
        ({"RequestItems": {"a": [], "b": []}}, "a, b"),
        ({"TransactItems": [{"Put": {"TableName": "b"}}, {"Update": {"TableName": "a"}}]}, "a, b"),
        ({"Entries": [{"EventBusName": "bus", "Detail": "{}"}]}, "bus"),
        ({"QueueUrl": "https://sqs.eu-west-1.amazonaws.com/1/q", "MessageBody": "x"}, "q"),
        ({"TopicArn": "arn:aws:sns:us-east-1:1:topic"}, "topic"),
        ({"PhoneNumber": "+49 1"}, ""),
        (None, ""),
    ],
)
def test_what_a_request_is_about(request_: Any, target: str) -> None:
    assert target_in(request_) == target


def test_the_call_of_an_error_without_one_is_unknown() -> None:
    assert call_of(ValueError("x")) is None


def test_several_events_are_told_by_the_first() -> None:
    batch = [{"pipeline": "a", "event": {"id": f"e{number}", "type": "t"}} for number in range(3)]

    assert told({"batch": batch}, None) == "rule a, event e0 (t) and 2 more"
    assert told({"record": {}}, None) == ""


def test_a_type_that_no_rule_takes_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    mistaken = {"id": "a", "flavor": task, "event_type": "thing-maed", "execute": lambda uow: None}
    events = [{**THING, "id": f"e{number}", "type": "thing-made-once"} for number in range(3)]

    for _ in range(2):
        assert processed(mistaken, *events) == {"batchItemFailures": []}

    assert [each.getMessage() for each in caplog.records] == ["no rule takes events of type thing-made-once"]
