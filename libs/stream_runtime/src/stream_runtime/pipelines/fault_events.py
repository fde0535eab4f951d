"""Publishes fault events at the end of a batch, for the records that do not come again."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from stream_runtime.engine.flow import Flow, PushSource
from stream_runtime.engine.records import FAULT_EVENT_TYPE
from stream_runtime.engine.run import Fault, Run
from stream_runtime.faults import LEAST_BYTES, distinguished, fault_event
from stream_runtime.options import publisher

from .starting import start

_logger = logging.getLogger(__name__)


def publish_faults(run: Run, options: Mapping[str, Any]) -> None:
    """Publish the faults of the records that do not come again.

    They are published in the order of their records, one request after the other. If a fault cannot be published, its
    record and all later ones are left for retry.
    """
    if run.untraceable or not run.faults:
        return
    due = _due(run, sorted(run.faults, key=lambda fault: min(fault.positions)))
    if not due:
        return
    run.begin_faults()
    most_bytes = _most_bytes(options)
    source = PushSource()
    flow = publisher({**options, "encrypt": None, "parallel": 1, "max_request_size": most_bytes})(Flow(source))
    push, complete, *_ = start(run, FAULT_EVENT_TYPE, flow, source, lambda _: None, run.abandon, lambda: None)
    try:
        made = _made(run, due, most_bytes)
        due = _due(run, [fault for fault in due if id(fault) in made])
        for fault, event in zip(due, distinguished([made[id(fault)] for fault in due]), strict=True):
            _log_fault(fault.uow, event)
            push({"pipeline": fault.uow.get("pipeline"), **_origin(run, fault), "event": event})
        complete()
    except Exception as error:
        run.abandon(error)


def _made(run: Run, due: Sequence[Fault], most_bytes: int) -> dict[int, dict[str, Any]]:
    """The events of faults, by the faults' identity.

    To mask what a record holds takes time. After half of the time that is left, the other records are left for retry,
    so that what was made can be published.
    """
    left_s = run.left_s()
    made: dict[int, dict[str, Any]] = {}
    for fault in due:
        if made and left_s is not None and (run.left_s() or 0) <= left_s / 2:
            run.leave(fault.uow, TimeoutError("too little time is left to make the fault; it is left for retry"))
        else:
            made[id(fault)] = fault_event(fault, most_bytes, run.redaction)
    return made


def _most_bytes(options: Mapping[str, Any]) -> int:
    """Bytes of a call with faults: those of the function's other events, but enough for any fault."""
    from stream_runtime.sinks.eventbridge import most_bytes_of

    return max(most_bytes_of(options.get("max_request_size")), LEAST_BYTES)


def _due(run: Run, faults: Sequence[Fault]) -> list[Fault]:
    """The faults whose records do not come again.

    If only some records of a fault come again, the others are left for retry too: they have neither effect nor fault.
    """
    while True:
        torn = [fault for fault in faults if run.is_unfinished(fault.positions) and not run.is_left(fault.positions)]
        if not torn:
            return [fault for fault in faults if not run.is_unfinished(fault.positions)]
        for fault in torn:
            run.leave(fault.uow, fault.error)


def _origin(run: Run, fault: Fault) -> dict[str, Any]:
    """The records of a fault, as a unit of work holds them: a failure to publish leaves just those for retry."""
    records = [run.positions.records[position] for position in fault.positions]
    if len(records) == 1:
        return {"record": records[0]}
    return {"batch": [{"record": record} for record in records]}


def _log_fault(uow: Mapping[str, Any], event: Mapping[str, Any]) -> None:
    from stream_runtime.payload.visible import visible

    err = event["err"]
    named = (event["id"], uow.get("pipeline"), err["name"], err["message"])
    _logger.warning("fault %s in pipeline %s: %s: %s", *(visible(str(each)) for each in named))
