"""Invokes the function that failed with the original records of a fault, once."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from stream_runtime.events.eventbridge import is_envelope, is_event

from stream_cli.faults.groups import group_of
from stream_cli.faults.ledger import Resubmission, ResubmissionLedger
from stream_cli.stored.history import timestamp_ms
from stream_cli.stored.rate_limit import RateLimit

_NAMELESS = ("unknown", "undefined")


class Masked(ValueError):
    """A fault does not hold its records as they were, because fields of them are secret."""


@dataclass
class Plan:
    """What a resubmission would do.

    Attributes:
        due: faults to resubmit, by id.
        entries: their last resubmissions, by id.
        done: ids that were resubmitted before.
        failed_again: ids that failed again after they were resubmitted.
        uncertain: ids whose resubmission was interrupted.
        impossible: ids that cannot be resubmitted, with the reason.
        refused: ids whose fault names a function that is none of the stage's, with the reason.
    """

    due: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    entries: dict[str, Resubmission] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    failed_again: list[str] = field(default_factory=list)
    uncertain: list[str] = field(default_factory=list)
    impossible: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


@dataclass
class Result:
    """What a resubmission has done.

    Attributes:
        done: ids that succeeded.
        failed: ids that failed, with the reason.
        taken: ids that another process has begun to resubmit meanwhile.
    """

    done: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    taken: list[str] = field(default_factory=list)

    @property
    def number(self) -> int:
        """How many faults were handled."""
        return len(self.done) + len(self.failed) + len(self.taken)


def plan(
    faults: Iterable[Mapping[str, Any]],
    ledger: ResubmissionLedger,
    functions: Collection[str],
    stage: str,
    *,
    again: bool = False,
    failed_again: bool = False,
) -> Plan:
    """Decide which faults to resubmit.

    A fault is data: whoever may publish one can write any function into it, and any record. So only a name that is
    exactly that of a function of the stage is invoked, or named in what to do instead.

    Args:
        faults: fault events; of a fault that was stored several times, the latest by its timestamp counts,
            since objects of one second are listed in any order.
        ledger: what was resubmitted before.
        functions: the names of the stage's functions.
        stage: the stage.
        again: also resubmit what was done or interrupted before.
        failed_again: also resubmit what has failed again since it was done.
    """
    by_id = {str(fault.get("id")): fault for fault in sorted(faults, key=timestamp_ms)}
    result = Plan(entries=ledger.entries(by_id))
    for fault_id, fault in by_id.items():
        entry = result.entries.get(fault_id)
        function = group_of(fault).function
        if function not in (*_NAMELESS, *functions):
            result.refused[fault_id] = f"{function} is not a function of the stacks of this stage"
            continue
        try:
            invocation_of(fault)
        except Masked as error:
            result.impossible[fault_id] = f"{error}; {_way_back(fault, function, stage)}"
            continue
        except ValueError as error:
            result.impossible[fault_id] = str(error)
            continue
        if again or entry is None or entry.outcome == "failed":
            result.due[fault_id] = fault
        elif entry.outcome == "begun":
            result.uncertain.append(fault_id)
        elif timestamp_ms(fault) <= entry.at_ms:
            result.done.append(fault_id)
        elif failed_again:
            result.due[fault_id] = fault
        else:
            result.failed_again.append(fault_id)
    return result


def resubmit(
    planned: Plan,
    lambda_client: Any,
    ledger: ResubmissionLedger,
    rate_limit: RateLimit,
    result: Result,
    on_done: Callable[[int], None] = lambda _: None,
) -> None:
    """Invoke the function of each due fault with its original records, one invocation after the other.

    If the function raises or returns one of the records for retry, the fault stays due. If a pipeline fails on the
    record again, it publishes the same fault again, under the same id. Several faults of the same records, one from
    each of several pipelines, are one invocation.

    Args:
        lambda_client: a client that does not repeat invocations.
        result: filled after each invocation, so that it is right if the command is interrupted.
        on_done: called after each invocation with the number of faults that were handled.
    """
    for (function, payload), fault_ids in _invocations(planned.due).items():
        rate_limit.wait_for(1)
        begun = {each: ledger.begin(each, planned.entries.get(each)) for each in fault_ids}
        mine = {each: entry for each, entry in begun.items() if entry is not None}
        result.taken += [each for each in fault_ids if each not in mine]
        why = _invoke(lambda_client, function, payload) if mine else None
        for fault_id, entry in mine.items():
            if why is None:
                ledger.end(fault_id, entry, "done")
                result.done.append(fault_id)
            else:
                ledger.end(fault_id, entry, "failed", why)
                result.failed[fault_id] = why
        on_done(result.number)


def _invocations(due: Mapping[str, Mapping[str, Any]]) -> dict[tuple[str, str], list[str]]:
    """The ids of the due faults by function and payload, in the order of the faults."""
    found: dict[tuple[str, str], list[str]] = {}
    for fault_id, fault in due.items():
        function, event = invocation_of(fault)
        found.setdefault((function, json.dumps(event)), []).append(fault_id)
    return found


def invocation_of(fault: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """The function that failed, and the event to invoke it with: the original records.

    Raises:
        Masked: fields of its records are masked.
        ValueError: the fault does not name the function, or does not hold the records as they were.
    """
    function = group_of(fault).function
    if function in _NAMELESS:
        raise ValueError("it does not say which function failed")
    records = _records_of(fault)
    redacted = fault.get("redacted")
    paths = map(str, redacted if isinstance(redacted, list) else ())
    masked = [path for path in paths if path.partition(".")[0] == "record"]
    if masked:
        raise Masked(f"fields of its record are masked ({', '.join(masked)}), and the mask would be taken for data")
    # Firehose waits for the function's response. EventBridge and schedules pass one event, which is the record itself.
    if any("recordId" in record and "data" in record for record in records):
        raise ValueError("it failed in a transformation of Firehose, which keeps the record under its error prefix")
    if len(records) == 1 and (is_envelope(records[0]) or is_event(records[0])):
        return function, records[0]
    return function, {"Records": records}


def _records_of(fault: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    uow = fault.get("uow")
    uow = uow if isinstance(uow, Mapping) else {}
    uows = uow["batch"] if isinstance(uow.get("batch"), list) else [uow]
    records: list[Mapping[str, Any]] = []
    for each in uows:
        record = each.get("record") if isinstance(each, Mapping) else None
        if not isinstance(record, Mapping):
            raise ValueError("it holds no record")
        if each.get("trimmed"):
            raise ValueError(
                "its record was too large to be kept; read it back from its stream by "
                f"{record.get('eventSourceARN', 'its source')}, {record.get('identifier', record.get('eventID'))}"
            )
        if record not in records:
            records.append(record)
    return records


def _way_back(fault: Mapping[str, Any], function: str, stage: str) -> str:
    """How the original records come to the function again: from the lake, if it read them from the hub's stream."""
    uow = fault["uow"]
    uows = uow["batch"] if isinstance(uow.get("batch"), list) else [uow]
    events = [each["event"] for each in uows if isinstance(each.get("event"), Mapping)]
    ids = [str(event["id"]) for event in events if event.get("id")]
    if not ids or len(ids) != len(uows) or not all("kinesis" in record for record in _records_of(fault)):
        return "have its source send the original again"
    chosen = "".join(f" --id {shlex.quote(each)}" for each in dict.fromkeys(ids))
    return f"replay the original: streamctl lake replay --stage {stage}{chosen} --to-function {shlex.quote(function)}"


def _invoke(lambda_client: Any, function: str, payload: str) -> str | None:
    """Invoke a function; returns why it has not processed the records, or None if it has."""
    from botocore.exceptions import ClientError

    try:
        answer = lambda_client.invoke(FunctionName=function, Payload=payload.encode())
    except ClientError as error:
        return str(error)
    body = answer["Payload"].read()
    if answer.get("FunctionError"):
        return f"{function} failed: {body.decode(errors='replace')[:300]}"
    response = json.loads(body) if body.strip() else None
    if isinstance(response, dict) and response.get("batchItemFailures"):
        return f"{function} returned the record for retry"
    return None
