"""What comes of a history, in a form in which it is compared: without time and chance, and with all else."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

HEADERS = ("etag", "location", "content-type", "idempotency-replayed")


@dataclass
class Seen:
    """What was seen of a history, as AWS's APIs give it.

    Attributes:
        started_s: when the history began, in Unix seconds.
        answers: for each request method, path, status, headers and body.
        rows: the rows of tables, by their short names.
        events: details of all events that came over the bus.
        lake: details in the objects of the lake, and of the fault monitor's bucket in `faults`.
        messages: of the topic, in their order.
        queued: names of queues, once for each message in them.
    """

    started_s: float
    account: str
    answers: list[tuple[str, str, int, Mapping[str, str], Any]] = field(default_factory=list)
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    lake: list[dict[str, Any]] = field(default_factory=list)
    faults: list[dict[str, Any]] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)
    queued: list[str] = field(default_factory=list)


def canonical(seen: Seen, *, counts: bool) -> dict[str, Any]:
    """What must be alike, as JSON has it. What is left out or replaced is only what time or chance decides.

    Args:
        counts: whether it matters how often an event is published.
    """
    plain = _Plain(seen)
    of_type: dict[str, list[Any]] = defaultdict(list)
    times: Counter[str] = Counter()
    for event in seen.events:
        # The archive has no faults, and the bus of the local cloud has: they are compared where they are kept.
        if event["type"] != "fault":
            made = plain(event)
            times[f"{event['type']} {made['id']}"] += 1
            if made not in of_type[event["type"]]:
                of_type[event["type"]].append(made)
    by_story: dict[str, list[Any]] = defaultdict(list)
    for message in seen.messages:
        made = plain(message)
        # A message that is sent again, because an outbox row's dispatch was not noted, keeps its id.
        if made not in by_story[message["story"]["id"]]:
            by_story[message["story"]["id"]].append(made)
    return {
        # Requests of one round are answered in any order.
        "answers": _in_order(plain(_answer(*each)) for each in seen.answers),
        "rows": {
            # The ledger has a row for each object of faults, and an object may have those of several histories.
            name: _in_order(plain(_row(row)) for row in rows)
            for name, rows in seen.rows.items()
            if not name.endswith("-ledger")
        },
        "events": {name: _in_order(events) for name, events in sorted(of_type.items())},
        # How often an event is published depends on when something died or was refused, also for another history:
        # a batch has records of several.
        "times": dict(sorted(times.items())) if counts else {},
        "lake": sorted({f"{each['type']} {plain(each['id'])}" for each in seen.lake}),
        "faults": _in_order({json.dumps(_fault(plain, each), sort_keys=True) for each in seen.faults}),
        "messages": dict(sorted(by_story.items())),
        "queued": dict(sorted(Counter(seen.queued).items())),
    }


def _in_order(found: Iterable[Any]) -> list[Any]:
    """In an order that does not depend on when each came."""
    return sorted(found, key=lambda each: json.dumps(each, sort_keys=True))


def _answer(method: str, path: str, status: int, headers: Mapping[str, str], body: Any) -> list[Any]:
    named = {name.lower(): value for name, value in headers.items()}
    return [method, path, status, {name: named[name] for name in HEADERS if name in named}, body]


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row without numbers of stream records: AWS documents no more of them than their order.

    A row without `expire` has none or null: null if a record that came again has written it after it was settled.
    """
    chance = {"sequence", "sequence_number"} | ({"expire"} if row.get("expire") is None else set())
    return {name: value for name, value in row.items() if name not in chance}


def _fault(plain: Callable[[Any], Any], fault: Mapping[str, Any]) -> dict[str, Any]:
    """A fault without the numbers of its record, and without the stack trace, which has the paths of a machine."""
    record = fault["uow"]["record"]
    about = record["kinesis"]["partitionKey"] if "kinesis" in record else record["dynamodb"]["Keys"]
    named = {name: plain(fault[name]) for name in ("id", "type", "partition_key", "tags")}
    error = {name: plain(fault["err"][name]) for name in ("name", "message")}
    return {**named, "err": error, "pipeline": fault["uow"]["pipeline"], "about": plain(about)}


_MS = re.compile(r"(?<!\d)1[6-9]\d{11}(?!\d)")
_ISO = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+00:00)")
_DAY = re.compile(r"(?<!\d)20\d\d-\d\d-\d\d(?!\d)")
_DERIVED = re.compile(r"\b[0-9a-f]{32}\b|\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")


class _Plain:
    """Replaces what is another one each time: times, ids that AWS chooses, and the number of the account.

    A time in seconds says when something expires; it stays as the number of days from the beginning. Ids that are
    derived from what AWS chooses (numbers of stream records, ids of requests, sequencers of objects) are told by what
    they are about, if it is the version of a story.
    """

    def __init__(self, seen: Seen) -> None:
        self._started_s = seen.started_s
        self._account = re.compile(rf"(?<!\d){seen.account}(?!\d)")
        self._derived = {
            event["id"]: f"<{event['type']} {event['story']['id']} {event['story']['version']}>"
            for event in seen.events
            if event["type"] in ("story-submitted", "story-updated", "story-deleted") and "version" in event["story"]
        }

    def __call__(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: self(each) for name, each in value.items()}
        if isinstance(value, (list, tuple, set, frozenset)):
            return [self(each) for each in (sorted(value) if isinstance(value, (set, frozenset)) else value)]
        if isinstance(value, str):
            value = _DERIVED.sub(lambda match: self._derived.get(match[0], "<derived>"), value)
            for pattern, shown in ((_MS, "<ms>"), (_ISO, "<time>"), (_DAY, "<day>")):
                value = pattern.sub(shown, value)
            return self._account.sub("<account>", value)
        if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
            return self._number(value)
        return value

    def _number(self, value: int | float | Decimal) -> Any:
        if 1_600_000_000_000 < value < 2_000_000_000_000:
            return "<ms>"
        if 1_600_000_000 < value < 2_000_000_000:
            return f"<in {round((float(value) - self._started_s) / 86_400)} days>"
        return int(value) if value == int(value) else float(value)


def differences(simulated: Any, real: Any, where: str = "") -> Iterator[str]:
    """Where two outcomes differ, and how."""
    if isinstance(simulated, Mapping) and isinstance(real, Mapping):
        for name in sorted(simulated.keys() | real.keys()):
            if name in simulated and name in real:
                yield from differences(simulated[name], real[name], f"{where}.{name}")
            else:
                only, value = ("simulated", simulated[name]) if name in simulated else ("real", real[name])
                yield f"{where}.{name}: only {only}: {json.dumps(value)}"
    elif isinstance(simulated, list) and isinstance(real, list):
        only_simulated = [each for each in simulated if each not in real]
        only_real = [each for each in real if each not in simulated]
        if len(only_simulated) == len(only_real) == 1:
            yield from differences(only_simulated[0], only_real[0], f"{where}[]")
        else:
            yield from (f"{where}: only simulated: {json.dumps(each)}" for each in only_simulated)
            yield from (f"{where}: only real: {json.dumps(each)}" for each in only_real)
            if not only_simulated and not only_real and simulated != real:
                yield f"{where}: in another order or number: {json.dumps(simulated)}; real: {json.dumps(real)}"
    elif simulated != real:
        yield f"{where}: simulated {json.dumps(simulated)}, real {json.dumps(real)}"
