"""Faults are grouped and shown without secrets, and resubmitted once."""

import base64
import io
import json

from stream_cli.faults.groups import REDACTED, Group, readable, summarized
from stream_cli.faults.ledger import Ledger
from stream_cli.faults.resubmit import plan, resubmit
from stream_cli.stored.pace import Pace


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


def run(faults, function, path, **options):
    ledger = Ledger(path)
    planned = plan(faults, ledger, again=options.get("again", False))
    return planned, resubmit(planned.due, function, ledger, Pace(None))


def test_faults_are_grouped_by_what_failed_and_counted_once():
    groups = summarized([fault(1), fault(2), fault(2), fault(3, error="KeyError")])
    found = groups[Group("orders", "listener", "collect", "ValueError")]
    assert (list(found.ids), found.first_ms, found.last_ms, found.message) == (["f1", "f2"], 1, 2, "message 2")
    assert len(groups) == 2


def test_a_unit_of_work_is_shown_decoded_and_without_secrets():
    data = base64.b64encode(json.dumps({"id": 1, "email": "a@b", "user": {"password": "p"}}).encode()).decode()
    shown = readable({"record": {"kinesis": {"data": data}}, "event": {"apiKey": "k", "name": "n"}})
    assert shown["record"]["kinesis"]["data"] == {"id": 1, "email": REDACTED, "user": {"password": REDACTED}}
    assert shown["event"] == {"apiKey": REDACTED, "name": "n"}


def test_the_function_that_failed_gets_the_original_record(tmp_path):
    function = Function()
    run([fault(1)], function, tmp_path / "l")
    assert function.invoked == [("listener", [fault(1)["uow"]["record"]])]


def test_nothing_is_resubmitted_twice(tmp_path):
    function = Function()
    run([fault(1)], function, tmp_path / "l")
    planned, _ = run([fault(1), fault(2)], function, tmp_path / "l")
    assert planned.done == ["f1"]
    assert [records[0]["eventID"] for _, records in function.invoked] == ["shard:1", "shard:2"]


def test_a_function_that_fails_or_returns_the_record_leaves_the_fault_due(tmp_path):
    failing = Function(
        {"FunctionError": "Unhandled", "Payload": b"boom"},
        {"Payload": b'{"batchItemFailures": [{"itemIdentifier": "2"}]}'},
    )
    _, result = run([fault(1), fault(2)], failing, tmp_path / "l")
    assert set(result.failed) == {"f1", "f2"}
    _, result = run([fault(1), fault(2)], Function(), tmp_path / "l")
    assert result.done == ["f1", "f2"]


def test_one_that_was_interrupted_is_left_alone_until_the_user_says_again(tmp_path):
    Ledger(tmp_path / "l").note("f1", "begun")
    planned, result = run([fault(1)], Function(), tmp_path / "l")
    assert (planned.uncertain, result.done) == (["f1"], [])
    _, result = run([fault(1)], Function(), tmp_path / "l", again=True)
    assert result.done == ["f1"]


def test_a_fault_whose_record_was_too_large_to_keep_says_where_to_find_it(tmp_path):
    planned, _ = run([fault(1, trimmed=True)], Function(), tmp_path / "l")
    assert "too large" in planned.impossible["f1"]


def test_all_records_of_a_fault_of_several_are_resubmitted_together(tmp_path):
    function = Function()
    both = {**fault(1), "uow": {"batch": [fault(1)["uow"], fault(2)["uow"]]}}
    run([both], function, tmp_path / "l")
    assert [each["eventID"] for each in function.invoked[0][1]] == ["shard:1", "shard:2"]
