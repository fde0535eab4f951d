"""Mutated invocations: every record is accounted for, whatever it looks like, in little time and memory.

An invocation of a source is made, changed and given to a function with rules of some flavors, in an AWS where no call
fails by chance. So each record has its effects or a fault with its identity, or no rule wants it. Returned for retry is
only what is about a fault event that failed, which gets no fault of its own, and what has to come again with it. What
is not of the source's shape is refused as a whole, by `UnsupportedEvent`.

Time is that of the processor, of all threads: nothing here waits for a network, and other processes of the machine do
not count. An invocation that hangs runs into the time limit of its test.

Memory is the most that the process held while the invocation ran (VmHWM of Linux, which is set back before), less what
it held when this module was first used: what an earlier invocation left behind counts, too. Elsewhere it is the most
that the process ever held.
"""

from __future__ import annotations

import gc
import io
import json
import random
import resource
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

from mutations import mutated
from rules_on_anything import GROUPS_OF, MAY_DROP, OPENING, UNSURE, WANTED, groups_of
from simulated_clients import serve
from stream_runtime import DEFAULT_OPTIONS, StreamPipeline, UnsupportedEvent, initialize_from
from stream_runtime.engine.records import STREAM, identify, uows_of
from stream_runtime.engine.run import Run
from stream_runtime.errors import UnfinishedBatch
from stream_runtime.events import from_event
from stream_runtime.events.firehose import for_response, transformation_response
from stream_runtime.rules.paths import field_at
from valid_invocations import KINDS, rendered
from watched_aws import MOST_BYTES, WatchedAws

MOST_S = 5.0
MOST_MEMORY = 200 * 1024 * 1024


class Mutant(NamedTuple):
    """A mutated invocation.

    Attributes:
        seed: makes it again.
        kind: of which source it is.
        group: the group of rules that it is for.
        recognised: `from_event` reads it, not the kind's own source.
        event: the invocation event.
    """

    seed: int
    kind: str
    group: str
    recognised: bool
    event: Any


def mutant_of(seed: int) -> Mutant:
    """The mutated invocation of a seed; one after the other, seeds go through all sources and groups of rules."""
    chance = random.Random(seed)
    kind, group = kind_and_group(seed)
    invocation = KINDS[kind].make(chance, chance.choice((1, 2, 3, 3, 5)))
    is_recognised = not chance.randrange(5)
    return Mutant(seed, kind, group, is_recognised, rendered(mutated(chance, kind, invocation)))


def kind_and_group(seed: int) -> tuple[str, str]:
    """Of which source the invocation of a seed is, and for which group of rules."""
    kind = _KINDS[seed % len(_KINDS)]
    groups = GROUPS_OF[kind]
    return kind, groups[seed // len(_KINDS) % len(groups)]


_KINDS = ("kinesis", "dynamodb", "sqs", "kinesis", "dynamodb", "fifo", "sns", "kinesis", "eventbridge", "dynamodb")
_KINDS += ("sqs", "s3", "firehose", "kinesis", "schedule", "dynamodb")


class Function:
    """A function with a group of rules, and what its rules took of the current invocation.

    Args:
        group: the group of rules.
        parallel: whether pipelines and calls run at the same time, which takes longer.
    """

    def __init__(self, group: str, *, parallel: bool) -> None:
        self.entered: list[tuple[str, Any]] = []
        self.left: list[tuple[str, Any]] = []
        self.run: Run | None = None
        self.rules = groups_of(self._enter)[group]
        options = {**DEFAULT_OPTIONS, "parallel": 4 if parallel else 1}
        self.pipeline = StreamPipeline(initialize_from(self.rules), options, concurrency=parallel)

    def _enter(self, id_: str, uow: Any) -> bool:
        self.entered.append((id_, uow))
        return True

    def invoke(self, source: Any, event: Any) -> Any:
        """The response to an invocation event."""
        self.entered.clear()
        self.left.clear()
        results: dict[str, list[Any]] = {rule["id"]: [] for rule in self.rules}

        def out(id_: str, uow: Any) -> None:
            self.left.append((id_, uow))
            results[id_].extend(for_response(uow))

        self.run = None
        self.run = run = self.pipeline.process(source(event), out)
        if isinstance(event, Mapping) and "deliveryStreamArn" in event:
            return transformation_response(run, results)
        return run.response()


class Cost(NamedTuple):
    """What an invocation took, and whether it was refused as a whole."""

    seconds: float
    bytes: int
    refused: bool


class Violated(AssertionError):
    """A mutated invocation broke a promise; the message has its seed."""


_functions: dict[tuple[str, bool], Function] = {}
_held: list[int] = []


def check(seed: int) -> Cost:
    """Play the mutated invocation of a seed.

    Raises:
        Violated: a record is not accounted for, something else was raised, or it took too long or too much memory.
    """
    mutant = mutant_of(seed)
    try:
        return _check(mutant)
    except Exception as error:
        shown = json.dumps(mutant.event, default=repr)
        raise Violated(
            f"seed {seed}, {mutant.kind} for {mutant.group}"
            f"{' by from_event' if mutant.recognised else ''}: {type(error).__name__}: {error!s:.1500}\n{shown:.4000}"
        ) from error


def _check(mutant: Mutant) -> Cost:
    is_parallel = mutant.seed % 7 == 0
    function = _functions.get((mutant.group, is_parallel)) or Function(mutant.group, parallel=is_parallel)
    _functions[mutant.group, is_parallel] = function
    aws = WatchedAws()
    serve(aws)  # type: ignore[arg-type]
    source = from_event if mutant.recognised else KINDS[mutant.kind].source
    if not _held:
        gc.collect()
        _forget_most_bytes()
        _held.append(_most_bytes())
    _forget_most_bytes()
    begun = time.process_time()
    refused = unfinished = response = None
    try:
        with redirect_stdout(io.StringIO()):
            response = function.invoke(source, mutant.event)
    except UnsupportedEvent as error:
        refused = error
    except UnfinishedBatch as error:
        unfinished = error
    cost = Cost(time.process_time() - begun, _most_bytes() - _held[0], refused is not None)
    assert cost.seconds < MOST_S, f"took {cost.seconds:.1f} s"
    assert cost.bytes < MOST_MEMORY, f"took {cost.bytes / 1024 / 1024:.0f} MiB"
    if refused is not None:
        assert not _is_of_the_sources_shape(mutant), f"refused as a whole: {refused}"
        return cost
    for fault in aws.published:
        size = len(json.dumps(fault, ensure_ascii=False).encode("utf-8", "surrogatepass"))
        assert size < MOST_BYTES, f"an event of {size} bytes"
        assert fault.get("type") != "fault" or "uow" in fault, "a fault that does not fit into an entry"
    _check_records(mutant, source, function, aws, response, unfinished)
    return cost


def _is_of_the_sources_shape(mutant: Mutant) -> bool:
    """Whether the invocation has what its source promises, so that it must not be refused as a whole."""
    event, kind = mutant.event, KINDS[mutant.kind]
    if not isinstance(event, dict):
        return False
    if not kind.records:
        return False  # the invocation is the record
    records = event.get(kind.records)
    if not isinstance(records, list) or (kind.records == "records" and "deliveryStreamArn" not in event):
        return False
    if mutant.recognised:
        return len({_name_of_source(record) for record in records}) == 1 and all(
            _name_of_source(record) in _OWN_NAMES for record in records
        )
    if "deliveryStreamArn" in event:
        return all(isinstance(record, dict) and is_text(record.get("recordId")) for record in records)
    return all(_has_an_identity(record) for record in records)


def is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


_OWN_NAMES = ("aws:kinesis", "aws:dynamodb", "aws:s3", "aws:sns", "aws:sqs")


def _name_of_source(record: Any) -> Any:
    return str(record.get("eventSource") or record.get("EventSource")) if isinstance(record, dict) else None


def _has_an_identity(record: Any) -> bool:
    """Whether what would be returned for retry is text, where the record has it at all."""
    return not isinstance(record, dict) or isinstance(identify(record).identifier, str | None)


def _check_records(
    mutant: Mutant, source: Any, function: Function, aws: WatchedAws, response: Any, unfinished: UnfinishedBatch | None
) -> None:
    faults = [event for event in aws.published if event.get("type") == "fault"]
    stand_for = [(fault["tags"]["pipeline"], _marks(single)) for fault in faults for single in uows_of(fault["uow"])]
    if isinstance(response, dict) and "records" in response:
        assert len(response["records"]) == len(mutant.event["records"])
    entered = [(id_, id(single.get("record"))) for id_, uow in function.entered for single in uows_of(uow)]
    left = {(id_, id(single.get("record"))) for id_, uow in function.left for single in uows_of(uow)}
    kind = KINDS[mutant.kind]
    whole = mutant.event
    records = whole.get(kind.records, whole) if kind.records and isinstance(whole, dict) else [whole]
    by_object = {id(record): record for record in records}
    covered = {(id_, key) for key, record in by_object.items() for id_, marks in stand_for if _is_marked(record, marks)}
    about_faults = {
        (id_, id(uow["record"])) for id_, taken in function.entered for uow in uows_of(taken) if _is_about_a_fault(uow)
    }
    for id_, key in about_faults:
        assert (id_, key) not in covered, f"{id_} published a fault about a fault: {_shown(by_object.get(key))}"
    again = _returned(function, {key for _, key in about_faults}, response, unfinished)
    for id_, key in set(entered):
        if key in by_object and id_ not in MAY_DROP and key not in again:
            assert (id_, key) in left | covered, f"{id_} took {_shown(by_object[key])}, with neither effect nor fault"
    taken = {*entered, *covered}
    ids = [rule["id"] for rule in function.rules if rule["id"] not in UNSURE]
    for uow in _read_again(source, mutant):
        key = id(uow["record"])
        if key not in by_object or key in again:
            continue
        if "invalid" in uow:
            assert ("undefined", key) in covered, f"{_shown(uow['record'])} is not valid and has no fault"
            continue
        event = uow["event"]
        if (event.get("tags") or {}).get("skip") if isinstance(event.get("tags"), dict) else False:
            continue
        if "to_open" in uow and ("undefined", key) in covered:
            continue
        if event["type"] in WANTED and "claim_check" not in event:
            for id_ in ids:
                if OPENING.get(id_, _takes_all)(uow):
                    assert (id_, key) in taken, f"{id_} has not taken {_shown(uow['record'])}"


def _returned(
    function: Function, about_faults: set[int], response: Any, unfinished: UnfinishedBatch | None
) -> set[int]:
    """The records that come again, by object: from one about a fault event that a rule took on, and no others."""
    assert function.run is not None
    assert not function.run.untraceable, f"returned for retry as a whole: {unfinished}"
    records = function.run.positions.records
    if unfinished is not None:
        is_due = any(id(record) in about_faults and identify(record).identifier is None for record in records)
        assert is_due, f"returned for retry as a whole: {unfinished}"
        return {id(record) for record in records}
    items = response.get("batchItemFailures", ()) if isinstance(response, dict) else ()
    returned = {item["itemIdentifier"] for item in items}
    again: set[int] = set()
    domains: set[Any] = set()
    for record in records:
        identifier, domain = identify(record)
        if identifier in returned and domain not in domains:
            assert id(record) in about_faults, f"returned for retry: {_shown(record)}"
            domains.add(domain)
        if domain in domains:
            assert domain == STREAM or identifier in returned, f"not returned with its group: {_shown(record)}"
            again.add(id(record))
    return again


def _is_about_a_fault(uow: Mapping[str, Any]) -> bool:
    """Whether the event of a unit of work is a fault event, has one in an envelope, or is a row's that stores one."""
    event = uow["event"]
    rows = event["raw"].values() if isinstance(event.get("raw"), Mapping) else ()
    held = [event, event.get("detail"), *(row.get("event") for row in rows if isinstance(row, Mapping))]
    return any(isinstance(each, Mapping) and "fault" in (each.get("type"), each.get("detail-type")) for each in held)


def _takes_all(_: Any) -> bool:
    return True


def _read_again(source: Any, mutant: Mutant) -> Iterable[Any]:
    return source(mutant.event)


def _shown(record: Any) -> str:
    return f"{record!r:.500}"


_NAMES = ("eventID", "messageId", "recordId", "Sns.MessageId", "kinesis.sequenceNumber", "dynamodb.SequenceNumber")
_READERS = [field_at(name) for name in _NAMES]


def _marks(single: Mapping[str, Any]) -> tuple[set[str], Any]:
    """What a fault names its record by, and the record."""
    record = single.get("record")
    marks = _texts(record)
    if isinstance(record, Mapping) and record.get("identifier") is not None:
        marks.add(str(record["identifier"]))
    return marks, record


def _texts(record: Any) -> set[str]:
    found = [read(record) for read in _READERS] if isinstance(record, Mapping) else []
    return {str(value).encode("utf-8", "replace").decode() for value in found if value is not None}


def _is_marked(record: Any, marks: tuple[set[str], Any]) -> bool:
    """Whether a fault's record is this one: by its identity, or where it has none by its content."""
    own = _texts(record)
    if any(text == mark or (len(mark) >= _CUT and text.startswith(mark)) for text in own for mark in marks[0]):
        return True
    return not own and not marks[0]


_CUT = 40
"""Characters that are left at least of an identity that a fault cuts."""


# Memory

_STATUS = Path("/proc/self/status")


def _most_bytes() -> int:
    """The most memory that the process has held since `_forget_most_bytes`."""
    if not _STATUS.exists():
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
    text = _STATUS.read_text()
    return int(text.partition("VmHWM:")[2].split(maxsplit=1)[0]) * 1024


def _forget_most_bytes() -> None:
    """Set the high-water mark back to what the process holds now.

    Source: proc(5), "/proc/pid/clear_refs", 5.
    """
    if _STATUS.exists():
        Path("/proc/self/clear_refs").write_text("5")


def check_all(seeds: Iterable[int]) -> list[Cost]:
    """Play the mutated invocations of seeds; those of all kinds are among sixteen that follow each other."""
    return [check(seed) for seed in seeds]
