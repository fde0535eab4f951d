"""The log of an execution environment is one stream in its function's log group, as on AWS."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from stream_cli.local.emulator.authorization import refusals
from stream_cli.local.emulator.functions.environment import Answer, log_group

INTERNALS = {
    "ministack.services.cloudwatch_logs": (
        *("_log_groups", "_make_group_arn", "_append_log_events", "_fanout_to_subscription_filters"),
        "_log_events_lock",
    ),
}

_making = threading.Lock()


def write(
    others: Callable[..., None],
    function: dict[str, Any],
    request_id: str,
    text: str,
    error: bool,
    duration_ms: int,
    *,
    log_source: Any = None,
) -> None:
    """Write the log of an invocation.

    Args:
        others: does it for what did not run in an `ExecutionEnvironment`.
        log_source: the name of the stream and the `Answer`, for what did.
    """
    if not isinstance(log_source, tuple):
        others(function, request_id, text, error, duration_ms, log_source=log_source)
        return
    from ministack.services import cloudwatch_logs as logs

    config = function.get("config") or function
    stream, answer = log_source
    now = int(time.time() * 1000)
    lines = [
        f"START RequestId: {request_id} Version: {config.get('Version', '$LATEST')}",
        *answer.log,
        *refusals.for_log_of(str(config.get("FunctionArn", ""))),
        f"END RequestId: {request_id}",
        _report(config, request_id, duration_ms, answer),
    ]
    group = log_group(config)
    logs._append_log_events(
        _stream(logs, group, stream, now),
        [{"timestamp": now, "message": line, "ingestionTime": now} for line in lines],
    )
    logs._fanout_to_subscription_filters(group, stream, [{"timestamp": now, "message": line} for line in lines])


def _report(config: dict[str, Any], request_id: str, duration_ms: int, answer: Answer) -> str:
    duration_ms -= int(answer.init_ms or 0)
    parts = [
        f"REPORT RequestId: {request_id}",
        f"Duration: {duration_ms} ms",
        f"Billed Duration: {duration_ms} ms",
        f"Memory Size: {config.get('MemorySize', 128)} MB",
        f"Max Memory Used: {answer.peak_mb} MB",
    ]
    return "\t".join([*parts, *([] if answer.init_ms is None else [f"Init Duration: {answer.init_ms:.2f} ms"])])


def _stream(logs: Any, group_name: str, name: str, now: int) -> Any:
    """The stream, made where it is not there, with its group."""
    with _making:
        group = logs._log_groups.get(group_name)
        if group is None:
            group = logs._log_groups[group_name] = {
                "arn": logs._make_group_arn(group_name),
                "creationTime": now,
                "retentionInDays": None,
                "tags": {},
                "subscriptionFilters": {},
                "streams": {},
            }
    with logs._log_events_lock:
        return group["streams"].setdefault(
            name,
            {
                "events": [],
                "uploadSequenceToken": "1",
                "creationTime": now,
                "firstEventTimestamp": None,
                "lastEventTimestamp": None,
                "lastIngestionTime": None,
            },
        )
