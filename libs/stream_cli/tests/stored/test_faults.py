"""Faults are grouped and shown without secrets, and resubmitted once."""

import io
import json

import boto3
import pytest
from stream_cli.errors import CommandError
from stream_cli.faults.groups import Group, summarized
from stream_cli.faults.ledger import ResubmissionLedger
from stream_cli.faults.resubmit import Result, invocation_of, plan, resubmit
from stream_cli.stored.rate_limit import RateLimit
from stream_runtime.events import to_eventbridge_event, to_firehose_records, to_schedule_event

FUNCTIONS = {"listener"}
FUTURE_MS = 4_102_444_800_000  # the year 2100


def fault(number, *, function="listener", error="ValueError", **uow):
    record = {"eventID": f"shard:{number}", "kinesis": {"sequenceNumber": str(number), "data": "e30="}}
    return {
        "id": f"f{number}",
        "type": "fault",
        "timestamp": number,
        "tags": {"source": "orders", "functionname": function, "pipeline": "collect"},
        "err": {"name": error, "message": f"message {number}", "stack": "..."},
        "uow": {"pipeline": "collect", "record": record, **uow},
    }


class Function:
    def __init__(self, *answers):
        self.answers = list(answers)
        self.invoked = []

    def invoke(self, FunctionName, Payload):
        self.invoked.append((FunctionName, json.loads(Payload)["Records"]))
        answer = self.answers.pop(0) if self.answers else {"Payload": b'{"batchItemFailures": []}'}
        return {**answer, "Payload": io.BytesIO(answer["Payload"])}


@pytest.fixture
def ledger(aws):
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="faults")
    return ResubmissionLedger(s3, "faults")


def run(faults, function, ledger, *, again=False):
    planned, result = plan(faults, ledger, FUNCTIONS, "dev", again=again), Result()
    resubmit(planned, function, ledger, RateLimit(None), result)
    return planned, result


def test_faults_are_grouped_by_what_failed_and_counted_once():
    groups = summarized([fault(1), fault(2), fault(2), fault(3, error="KeyError")])
    found = groups[Group("orders", "listener", "collect", "ValueError")]
    assert (list(found.ids), found.first_ms, found.last["id"]) == (["f1", "f2"], 1, "f2")
    assert len(groups) == 2


def test_the_function_that_failed_gets_the_original_record(ledger):
    function = Function()
    run([fault(1)], function, ledger)
    assert function.invoked == [("listener", [fault(1)["uow"]["record"]])]


def test_nothing_is_resubmitted_twice(ledger):
    function = Function()
    run([fault(1)], function, ledger)
    planned, _ = run([fault(1), fault(2)], function, ledger)
    assert planned.done == ["f1"]
    assert [records[0]["eventID"] for _, records in function.invoked] == ["shard:1", "shard:2"]


def test_a_function_that_fails_or_returns_the_record_leaves_the_fault_due(ledger):
    failing = Function(
        {"FunctionError": "Unhandled", "Payload": b"boom"},
        {"Payload": b'{"batchItemFailures": [{"itemIdentifier": "2"}]}'},
    )
    _, result = run([fault(1), fault(2)], failing, ledger)
    assert set(result.failed) == {"f1", "f2"}
    _, result = run([fault(1), fault(2)], Function(), ledger)
    assert result.done == ["f1", "f2"]


def test_an_interrupted_resubmission_is_repeated_only_with_again(ledger):
    ledger.begin("f1", None)
    planned, result = run([fault(1)], Function(), ledger)
    assert (planned.uncertain, result.done) == (["f1"], [])
    _, result = run([fault(1)], Function(), ledger, again=True)
    assert result.done == ["f1"]


def test_a_fault_that_failed_again_is_listed_separately(ledger):
    run([fault(1), fault(2)], Function(), ledger)
    faults = [fault(1), {**fault(1), "timestamp": FUTURE_MS}, fault(2)]
    planned = plan(faults, ledger, FUNCTIONS, "dev")
    assert (planned.failed_again, planned.done, planned.due) == (["f1"], ["f2"], {})
    assert list(plan(faults, ledger, FUNCTIONS, "dev", failed_again=True).due) == ["f1"]


def test_a_fault_has_failed_again_in_whichever_order_its_objects_are_listed(ledger):
    """Objects of one second are listed by the random part of their keys."""
    run([fault(1)], Function(), ledger)
    times = [fault(1), {**fault(1), "timestamp": FUTURE_MS}]
    for listed in (times, times[::-1]):
        assert plan(listed, ledger, FUNCTIONS, "dev").failed_again == ["f1"]


def test_a_resubmission_that_another_process_has_begun_is_skipped(ledger):
    first, second, result = Function(), Function(), Result()
    planned = plan([fault(1), fault(2)], ledger, FUNCTIONS, "dev")
    run([fault(1)], first, ledger)
    resubmit(planned, second, ledger, RateLimit(None), result)
    assert (len(first.invoked), len(second.invoked)) == (1, 1)
    assert (result.taken, result.done) == (["f1"], ["f2"])


def test_only_one_of_two_processes_repeats_a_failed_resubmission(ledger):
    run([fault(1)], Function({"FunctionError": "Unhandled", "Payload": b"boom"}), ledger)
    planned, function, result = plan([fault(1)], ledger, FUNCTIONS, "dev"), Function(), Result()
    run([fault(1)], Function(), ledger)
    resubmit(planned, function, ledger, RateLimit(None), result)
    assert (result.taken, function.invoked) == (["f1"], [])


def test_an_entry_that_cannot_be_read_is_named(ledger):
    ledger.begin("f1", None)
    s3 = boto3.client("s3")
    (entry,) = s3.list_objects_v2(Bucket="faults")["Contents"]
    s3.put_object(Bucket="faults", Key=entry["Key"], Body=b"{}")
    with pytest.raises(CommandError, match=entry["Key"]):
        ledger.entries(["f1"])


def test_a_record_that_failed_in_two_pipelines_is_resubmitted_once(ledger):
    function = Function()
    _, result = run([fault(1), {**fault(1), "id": "f1-other"}], function, ledger)
    assert (result.done, len(function.invoked)) == (["f1", "f1-other"], 1)


@pytest.mark.parametrize(
    "event",
    [
        to_eventbridge_event({"id": "1", "type": "thing-done", "timestamp": 1}),
        to_schedule_event(),
        {"id": "1", "type": "thing-done"},
    ],
)
def test_an_event_of_eventbridge_or_a_schedule_is_resubmitted_unchanged(event):
    assert invocation_of(fault(1, record=event)) == ("listener", event)


@pytest.mark.parametrize(
    ("uow", "why"),
    [
        ({"record": None}, "holds no record"),
        ({"record": to_firehose_records([{"id": "1"}])["records"][0]}, "transformation of Firehose"),
    ],
)
def test_a_fault_that_cannot_be_resubmitted_says_why(ledger, uow, why):
    planned, _ = run([fault(1, **uow)], Function(), ledger)
    assert why in planned.impossible["f1"]


def masked(number, **uow):
    found = fault(number, event={"id": f"e{number} of;it"}, **uow)
    found["tags"]["stage"] = "dev"
    return {**found, "redacted": ["record.kinesis.data.thing.password", "event.thing.password"]}


def test_a_masked_record_is_not_resubmitted_and_the_way_to_the_original_is_told(ledger):
    function = Function()

    planned, _ = run([masked(1)], function, ledger, again=True)

    assert function.invoked == []
    assert planned.impossible["f1"] == (
        "fields of its record are masked (record.kinesis.data.thing.password), and the mask would be taken for data; "
        "replay the original: streamctl lake replay --stage dev --id 'e1 of;it' --to-function listener"
    )


@pytest.mark.parametrize("named", ["reset-password", "listener-prod", "listener;reboot"])
def test_no_advice_names_a_function_that_is_not_of_the_stage(ledger, named):
    found = {**masked(1), "tags": {"functionname": named, "stage": "dev"}}

    planned, _ = run([found], Function(), ledger)

    assert planned.refused == {"f1": f"{named} is not a function of the stacks of this stage"}
    assert planned.impossible == {}


@pytest.mark.parametrize("named", ["prod", "undefined", {"a": 1}, None])
def test_the_advice_is_for_the_stage_whose_faults_are_read_whatever_the_fault_says(ledger, named):
    found = masked(1)
    found["tags"]["stage"] = named

    planned, _ = run([found], Function(), ledger)

    assert "lake replay --stage dev --id" in planned.impossible["f1"]


@pytest.mark.parametrize("redacted", [True, 5, 0.5, "record", {"record": 1}, [None]])
def test_a_list_of_masked_fields_that_is_none_names_no_field(ledger, redacted):
    planned, _ = run([{**fault(1), "redacted": redacted}], Function(), ledger)

    assert list(planned.due) == ["f1"]


def test_a_masked_fault_of_no_records_gets_no_advice_to_replay_everything(ledger):
    planned, _ = run([{**masked(1), "uow": {"batch": []}}], Function(), ledger)

    assert planned.impossible["f1"].endswith("have its source send the original again")


def test_the_masked_record_of_a_queue_has_to_come_again(ledger):
    planned, _ = run([masked(1, record={"messageId": "m", "body": "{}"})], Function(), ledger)

    assert planned.impossible["f1"].endswith("have its source send the original again")


def test_a_fault_whose_event_alone_is_masked_is_resubmitted(ledger):
    """Such as that of a claim check: the record is a pointer to the whole event."""
    found = {**masked(1), "redacted": ["event.thing.password"]}

    planned, _ = run([found], Function(), ledger)

    assert list(planned.due) == ["f1"]


def test_a_fault_without_a_function_cannot_be_resubmitted(ledger):
    planned, _ = run([fault(1, function=None)], Function(), ledger)
    assert "which function" in planned.impossible["f1"]


@pytest.mark.parametrize(
    "named",
    [
        "reset-password",  # of the account, but of no stack of the stage
        "control-service-prod-listener",
        "arn:aws:lambda:us-east-1:123456789012:function:listener",
        "arn:aws:lambda:eu-west-1:999999999999:function:listener",
        "999999999999:function:listener",
        "999999999999:listener",
        "listener:7",
        "listener:$LATEST",
        "Listener",
        "listener ",
        "listener\n",
        "listener\u200b",
        "l\u0456stener",  # a Cyrillic letter
        "\uff4cistener",  # a full-width one, which is the same after normalization
        "../functions/listener",
        ["listener"],
        {"listener": 1},
        True,
    ],
)
def test_a_function_that_is_not_of_the_stage_is_never_invoked(ledger, named):
    function = Function()
    planned, result = run([fault(1, function=named), fault(2)], function, ledger)
    assert [name for name, _ in function.invoked] == ["listener"]
    assert planned.refused == {"f1": f"{named} is not a function of the stacks of this stage"}
    assert (result.done, planned.due.keys()) == (["f2"], {"f2"})
    assert ledger.entries(["f1"]) == {}  # it stays unresolved


def test_a_fault_whose_record_was_too_large_to_keep_says_where_to_find_it(ledger):
    planned, _ = run([fault(1, trimmed=True)], Function(), ledger)
    assert "too large" in planned.impossible["f1"]


def test_all_records_of_a_fault_of_several_are_resubmitted_together(ledger):
    function = Function()
    both = {**fault(1), "uow": {"batch": [fault(1)["uow"], fault(2)["uow"]]}}
    run([both], function, ledger)
    assert [each["eventID"] for each in function.invoked[0][1]] == ["shard:1", "shard:2"]
