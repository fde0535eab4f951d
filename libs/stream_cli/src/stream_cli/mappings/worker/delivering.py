"""Invokes the function with a batch, and reports given-up records to the on-failure destination."""

from __future__ import annotations

from threading import Event

from stream_cli.amounts import amount
from stream_cli.mappings.backoff import backoff_s
from stream_cli.mappings.failures import on_failure_record
from stream_cli.mappings.outcomes import Failed, Outcome, Undelivered, interpret
from stream_cli.mappings.ports import EndpointUnavailable, NotFound, Refused
from stream_cli.mappings.records import invocation_event
from stream_cli.mappings.shard import Attempt, GivenUp

from .context import WorkerContext

_PAUSE_FIRST = 0.1
_PAUSE_LONGEST = 2.0


def invoke(context: WorkerContext, shard_id: str, attempt: Attempt, *, with_log: bool = False) -> Outcome:
    """Invoke the function with a batch; what keeps it from being invoked or makes it fail is reported once."""
    settings, notices = context.settings, context.notices
    unreachable = (settings.uuid, shard_id, "invoke")
    event = _event(context, shard_id, attempt)
    try:
        invocation = context.endpoint.invoke(settings.function_arn, event, with_log=with_log)
    except (EndpointUnavailable, NotFound, Refused) as error:
        notices.call_failed(unreachable, f"{context.label}: cannot be invoked", error)
        return Undelivered(str(error))
    notices.over(unreachable, f"{context.label}: can be invoked again")
    outcome = interpret(
        invocation,
        [record.sequence_number for record in attempt.records],
        report_failures=settings.report_failures,
        windowed=bool(settings.tumbling_window),
    )
    if isinstance(outcome, Failed):
        batch = f"{amount(len(attempt.records), 'record')} of {shard_id}"
        notices.trouble(failing(context, shard_id), f"{context.label}: failed on {batch}: {outcome.problem}")
    return outcome


def report(context: WorkerContext, shard_id: str, given_up: GivenUp, stop: Event) -> bool:
    """Tell the on-failure destination; False if `stop` is set before the endpoint accepts the record."""
    settings, notices = context.settings, context.notices
    if not given_up.records and given_up.reference is None:
        return True
    what = f"{context.label}: {amount(len(given_up.records), 'record')} of {shard_id} given up ({given_up.condition})"
    if settings.destination_arn is None:
        notices.say(f"{what}, and no on-failure destination is set")
        return True
    trouble = (settings.uuid, shard_id, "destination")
    now = context.clock()
    record = on_failure_record(given_up, settings, shard_id, now)
    event = _event(context, shard_id, given_up)
    failures = 0
    while True:
        try:
            context.endpoint.send_on_failure(settings, shard_id, record, event, now)
        except EndpointUnavailable as error:
            notices.call_failed(trouble, f"{context.label}: the on-failure destination does not answer", error)
            failures += 1
            if stop.wait(backoff_s(failures, _PAUSE_FIRST, _PAUSE_LONGEST)):
                return False
        except (NotFound, Refused) as error:
            # AWS drops the record then, and counts it in the metric DestinationDeliveryFailures.
            notices.say(f"{what}, and {settings.destination_arn} cannot be told: {error}")
            return True
        else:
            notices.over(trouble, f"{context.label}: the on-failure destination answers again")
            notices.say(f"{what}; {settings.destination_arn} has been told")
            return True


def failing(context: WorkerContext, shard_id: str) -> tuple[str, ...]:
    """The key of the trouble that the function fails on records of a shard."""
    return (context.settings.uuid, shard_id, "failing")


def _event(context: WorkerContext, shard_id: str, action: Attempt | GivenUp) -> bytes:
    bodies = (record.body for record in action.records)
    return invocation_event(bodies, action.window, shard_id, context.settings.source.arn)
