"""The command ``invoke``: what it is about to do, the function's log and answer, and what became of each event."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stream_cli.amounts import amount
from stream_cli.deployment.production import ask_before
from stream_cli.deployment.services import services_below
from stream_cli.given_events import complete, events_of, read_values, what_was_filled_in
from stream_cli.invoke.triggers import Kind, Trigger, find_function, trigger_of
from stream_cli.invoke.wrapping import Delivery, are_domain_events, deliveries, is_invocation
from stream_cli.local.state import StateFolder
from stream_cli.mappings.outcomes import InvalidReport, reported_failures
from stream_cli.stored.connection import Connection
from stream_cli.terminal.options import LOCAL
from stream_cli.terminal.output import say, say_json

_LONGEST_TAIL = 4096  # Lambda API reference, "Invoke": LogResult has the last 4 KB
_OF_LAMBDA = ("START RequestId: ", "END RequestId: ", "REPORT RequestId: ", "INIT_START ", "XRAY TraceId: ")


def invoke_function(
    named: str, file: Path, stage: str, state: Path, services: Path, *, kind: Kind | None, exact: bool, yes: bool
) -> int:
    """Invoke a function of a stage with the events of a file, as what triggers it would.

    Args:
        kind: what delivers the events, where several things trigger the function.
        exact: take the events as they are.
        yes: do not ask, where the stage is a production stage.

    Returns:
        1 if the function raised, or returned an event for retry.

    Raises:
        CommandError: there is no such function, or the answer was no.
        ValueError: the file holds nothing that triggers it.
    """
    values = read_values(file)
    connection = Connection(stage, StateFolder(state))
    function = find_function(connection, named)
    trigger = trigger_of(connection, function, kind)
    made = _deliveries(connection, trigger, values, exact=exact)
    _say_what_will_be_done(connection, function, trigger, made, len(values))
    ask_before(f"invoke {function}", stage, connection.place, services_below(services), yes=yes)
    client = connection.invoking()
    return max([_say_answer(function, invoke_once(client, function, each.payload), each.numbers) for each in made])


def _deliveries(connection: Connection, trigger: Trigger, values: Sequence[Any], *, exact: bool) -> list[Delivery]:
    if all(is_invocation(value, trigger) for value in values):
        return [Delivery(value) for value in values]
    region = connection.client("lambda").meta.region_name
    if not exact and are_domain_events(trigger, values):
        completed = complete(events_of(values), {"source": "streamctl", "stage": connection.stage, "region": region})
        values = [each.event for each in completed]
        if filled := what_was_filled_in(completed):
            say(filled, err=True)
    made = list(deliveries(trigger, values, region))
    for number in (number for each in made for number in each.dropped):
        what = "the pattern" if trigger.kind == "rule" else "the filter of its mapping"
        say(f"Event {number} would not come here by {trigger.name}: {what} does not let it through.", err=True)
    return made


def _say_what_will_be_done(
    connection: Connection, function: str, trigger: Trigger, made: Sequence[Delivery], number: int
) -> None:
    events = amount(number, "event")
    calls = "" if len(made) == 1 else f" in {len(made)} invocations"
    by = "" if trigger.kind == "direct" else f", as {trigger.name} delivers"
    if connection.stage == LOCAL:
        say(f"Invokes {function} with {events}{calls}{by}.", err=True)
    else:
        say(
            f"Invokes {function} in {connection.place()} with {events}{calls}{by}. What it writes, publishes and sends "
            "is real.",
            err=True,
        )


@dataclass(frozen=True)
class Answer:
    """What Lambda answers: the end of the function's log, what it returned or raised, and whether it raised."""

    log: bytes
    returned: Any
    error: str | None


def invoke_once(client: Any, function: str, payload: Any) -> Answer:
    """Invoke a function, and wait for its answer."""
    answer = client.invoke(FunctionName=function, LogType="Tail", Payload=json.dumps(payload).encode())
    body = answer["Payload"].read()
    try:
        returned = json.loads(body) if body else None
    except ValueError:
        returned = body.decode(errors="replace")
    return Answer(base64.b64decode(answer.get("LogResult") or ""), returned, answer.get("FunctionError"))


def _say_answer(function: str, answer: Answer, numbers: Mapping[str, int]) -> int:
    """Print the log, the answer, and what it says of the events; returns the exit code."""
    _say_log(answer.log)
    if answer.error:
        _say_error(function, answer.returned)
        return 1
    say_json(answer.returned, indent=2)
    return _say_failures(answer.returned, numbers)


def _say_log(tail: bytes) -> None:
    lines = [line for line in tail.decode(errors="replace").splitlines() if line and not line.startswith(_OF_LAMBDA)]
    if len(tail) >= _LONGEST_TAIL:
        lines = ["... (Lambda returns the last 4 KB of the log)", *lines[1:]]
    if lines:
        say(*lines, err=True)


def _say_error(function: str, returned: Any) -> None:
    """The error that a function raised: what, and where; the innermost line of the stack comes last."""
    given = returned if isinstance(returned, Mapping) else {"errorMessage": str(returned)}
    kind, message = given.get("errorType"), given.get("errorMessage")
    say(f"{function} raised {kind}: {message}" if kind else f"{function} failed: {message}", err=True)
    stack: Iterable[Any] = given.get("stackTrace") or ()
    for each in stack:
        say(*(f"  {line}" for line in str(each).rstrip("\n").split("\n")), err=True)


def _say_failures(returned: Any, numbers: Mapping[str, int]) -> int:
    if not numbers:
        return 0
    try:
        failed = [numbers[identifier] for identifier in reported_failures(returned, numbers)]
    except InvalidReport as error:
        say(f"Its mapping would deliver all of them again: the function {error}.", err=True)
        return 1
    for number in failed:
        say(f"Event {number} was returned for retry; the log says why.", err=True)
    return 1 if failed else 0
