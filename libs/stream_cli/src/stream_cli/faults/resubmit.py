"""Handing the record of a fault to the function that failed, once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from stream_cli.faults.groups import group_of, records_of
from stream_cli.faults.ledger import Ledger
from stream_cli.stored.pace import Pace


@dataclass
class Plan:
    """What a resubmission would do.

    Attributes:
        due: faults to be resubmitted, by id.
        done: ids that were resubmitted before.
        uncertain: ids whose resubmission was interrupted.
        impossible: ids that cannot be resubmitted, with the reason.
    """

    due: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    uncertain: list[str] = field(default_factory=list)
    impossible: dict[str, str] = field(default_factory=dict)


@dataclass
class Result:
    """What a resubmission has done: ids that went well, and those that failed with the reason."""

    done: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def plan(faults: Iterable[Mapping[str, Any]], ledger: Ledger, *, again: bool) -> Plan:
    """Sort faults into those that are due and those that are not.

    Args:
        faults: fault events; one that was stored twice is taken once.
        ledger: what was resubmitted before.
        again: resubmit what was done or interrupted before, too.
    """
    result = Plan()
    for fault in faults:
        fault_id = str(fault.get("id"))
        outcome = ledger.outcomes.get(fault_id)
        try:
            records_of(fault)
            if group_of(fault).function in ("unknown", "undefined"):
                raise ValueError("it does not say which function failed")
        except ValueError as error:
            result.impossible[fault_id] = str(error)
            continue
        if outcome == "done" and not again:
            if fault_id not in result.done:
                result.done.append(fault_id)
        elif outcome == "begun" and not again:
            if fault_id not in result.uncertain:
                result.uncertain.append(fault_id)
        else:
            result.due[fault_id] = fault
    return result


def resubmit(
    due: Mapping[str, Mapping[str, Any]],
    lambda_client: Any,
    ledger: Ledger,
    pace: Pace,
    on_done: Callable[[int], None] = lambda _: None,
) -> Result:
    """Invoke the function of each fault with its original records, one fault at a time.

    A function that raises, or returns one of the records for retry, has not processed it: that fault stays due. One
    that fails on it again publishes the same fault again, under the same id.
    """
    result = Result()
    for number, (fault_id, fault) in enumerate(due.items(), start=1):
        pace.wait_for(1)
        ledger.note(fault_id, "begun")
        why = _invoke(lambda_client, group_of(fault).function, records_of(fault))
        if why is None:
            ledger.note(fault_id, "done")
            result.done.append(fault_id)
        else:
            ledger.note(fault_id, "failed", why)
            result.failed[fault_id] = why
        on_done(number)
    return result


def _invoke(lambda_client: Any, function: str, records: list[Mapping[str, Any]]) -> str | None:
    """None when the function has processed the records, else why not."""
    from botocore.exceptions import ClientError

    try:
        answer = lambda_client.invoke(FunctionName=function, Payload=json.dumps({"Records": records}).encode())
    except ClientError as error:
        return str(error)
    payload = answer["Payload"].read()
    if answer.get("FunctionError"):
        return f"{function} failed: {payload.decode(errors='replace')[:300]}"
    response = json.loads(payload) if payload.strip() else None
    if isinstance(response, dict) and response.get("batchItemFailures"):
        return f"{function} returned the record for retry"
    return None
