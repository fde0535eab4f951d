"""The outcome table: what a response means for its batch."""

from __future__ import annotations

import json
from typing import Any

import pytest
from stream_cli.mappings.outcomes import Failed, Invocation, Processed, interpret

BATCH = ["0001", "0002", "0003"]


def outcome(returned: Any, *, report: bool = True, windowed: bool = False) -> Any:
    payload = returned if isinstance(returned, bytes) else json.dumps(returned).encode()
    return interpret(Invocation(payload), BATCH, report_failures=report, windowed=windowed)


def failures(*identifiers: Any) -> dict[str, Any]:
    return {"batchItemFailures": [{"itemIdentifier": identifier} for identifier in identifiers]}


@pytest.mark.parametrize(
    "returned", [None, "", {}, [], failures(), {"batchItemFailures": None}, {"other": 1}, b"", b" "]
)
def test_no_reported_failure_is_success(returned: Any) -> None:
    assert outcome(returned) == Processed()


@pytest.mark.parametrize(
    "returned",
    [None, "x", 5, failures("0002"), failures("nowhere"), b"not json", {"state": 1}, {"batchItemFailures": 5}],
)
def test_without_the_option_any_return_is_success(returned: Any) -> None:
    assert outcome(returned, report=False) == Processed()


@pytest.mark.parametrize(
    ("identifiers", "done"), [(["0001"], 0), (["0002"], 1), (["0003"], 2), (["0003", "0002"], 1), (["0002", "0002"], 1)]
)
def test_reported_records_set_the_checkpoint_to_the_lowest(identifiers: list[str], done: int) -> None:
    failed = outcome(failures(*identifiers))
    assert (failed.done, failed.partial) == (done, True)


@pytest.mark.parametrize(
    "returned",
    [
        failures("9999"),
        failures("0002", "9999"),
        failures(""),
        failures(None),
        failures(2),
        failures("0001", None),
        {"batchItemFailures": [{"itemId": "0002"}]},
        {"batchItemFailures": [{}]},
        {"batchItemFailures": ["0002"]},
        {"batchItemFailures": "0002"},
        {"batchItemFailures": {"itemIdentifier": "0002"}},
        "text",
        7,
        True,
        ["0002"],
        b"not json",
    ],
)
def test_an_identifier_outside_the_batch_fails_the_whole_batch(returned: Any) -> None:
    failed = outcome(returned)
    assert isinstance(failed, Failed)
    assert failed.done == 0
    assert failed.problem


@pytest.mark.parametrize("report", [True, False])
def test_a_function_error_fails_the_whole_batch(report: bool) -> None:
    payload = json.dumps({"errorType": "KeyError", "errorMessage": "'id'", **failures("0003")}).encode()
    failed = interpret(Invocation(payload, "Unhandled", "r"), BATCH, report_failures=report)
    assert isinstance(failed, Failed)
    assert (failed.done, failed.partial, failed.problem) == (0, False, "KeyError: 'id'")


@pytest.mark.parametrize("payload", [b"", b"Task timed out", b"[]", b'{"errorMessage": "Task timed out after 3.00 s"}'])
def test_a_timeout_or_a_killed_process_is_a_function_error(payload: bytes) -> None:
    failed = interpret(Invocation(payload, "Unhandled"), BATCH, report_failures=True)
    assert isinstance(failed, Failed)
    assert failed.problem


def test_throttling_fails_the_whole_batch() -> None:
    failed = interpret(Invocation(throttled=True), BATCH, report_failures=True)
    assert isinstance(failed, Failed)
    assert (failed.done, failed.partial, failed.problem) == (0, False, "throttled")


def test_with_tumbling_windows_the_state_is_taken_from_success_and_from_partial_failures() -> None:
    assert outcome({"state": {"n": 1}}, windowed=True) == Processed({"n": 1})
    assert outcome({"state": {"n": 1}}, windowed=True, report=False) == Processed({"n": 1})
    assert outcome({"state": 3, **failures("0002")}, windowed=True).state == 3
    assert outcome(None, windowed=True) == Processed(None)
    assert outcome(b"not json", windowed=True, report=False) == Processed(None)
