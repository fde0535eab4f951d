"""Batches do not matter: a history has the distinct effects of its records played one by one.

What rules ask for makes the only differences, and `EXCEPTIONS` names them. The time at which an event is emitted is not
compared: in a history it stands still.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from failures import Effect
from histories import History, Item, in_other_batches, one_by_one
from outcomes import COMPACTING, CONDITIONAL, expected, fails, lane_of
from playing import Violated, batches_of, play
from rules_on_events import CHUNK
from simulated_aws import SimulatedAws

_BOTOCORE = " (reached max retries: 0)"
"""What botocore adds to some messages."""

EXCEPTIONS = {
    "compacting": "compact: of a batch's records with one key the newest has its effect, and stands for the others",
    "latest": "compact of evaluate: of a batch's records that trigger for a correlation the newest one's event",
    "grouped": "group: a batch's records with one key have one event, which has them as members",
    "chunked": "group with batch_size: the same, at most so many in an event",
    "limited": "rate: the same effects, later",
    "buffered": "the rule's own buffer: what is in it fails together",
    "related": "a batch's reads are made once, before its writes: a fault holds a row that is read as it was then",
}
"""Rules whose effects depend on batches, and how."""

_SHARED = ("shared", "sharedobject", "shareddocument", "job")
"""Rules with one state for all keys."""
UNORDERED = {"sqs": ("view", "split", "related", "mirror", *CONDITIONAL, *_SHARED), "fifo": _SHARED}
"""Rules for which the order matters that a source does not keep: what is retried comes later, and is the last."""


def compare(history: History, played: SimulatedAws) -> None:
    """Play a history's records one by one and in other batches, and compare what came of it.

    Args:
        history: the history.
        played: what came of it, in its own batches and with its failures.

    Raises:
        Violated: with the history as JSON.
    """
    alone = play(one_by_one(history))
    others = in_other_batches(history)
    try:
        _check_same(history, alone, played, is_retried=True)
        _check_same(others, alone, play(others), is_retried=False)
    except AssertionError as error:
        raise Violated(f"{error}\nreplay with --history '{history.to_json()}'") from error


def _check_same(history: History, alone: SimulatedAws, other: SimulatedAws, *, is_retried: bool) -> None:
    for pipeline in (*history.pipelines, "undefined", "claims"):
        wanted, found = _distinct(alone, pipeline), _distinct(other, pipeline)
        is_unordered = is_retried and pipeline in UNORDERED.get(history.kind, ())
        if pipeline in COMPACTING:
            _check_compacted(history, pipeline, wanted, found, is_retried)
        elif pipeline in ("grouped", "chunked"):
            _check_grouped(history, pipeline, found, is_retried)
        elif (pipeline == "buffered" and _is_torn(history)) or (pipeline == "job" and is_unordered):
            continue
        elif is_unordered and pipeline in CONDITIONAL:
            pass  # what is stale, and so has no effect, depends on the order; the last state does not
        else:
            assert found == wanted, f"{pipeline}: one by one and in batches differ: {_difference(found, wanted)}"
        if not is_unordered or pipeline in CONDITIONAL:
            _check_final(history, pipeline, alone, other)


def _is_torn(history: History) -> bool:
    return any("buffered" in item.poison for item in history.items)


def _check_final(history: History, pipeline: str, alone: SimulatedAws, other: SimulatedAws) -> None:
    """Tables, objects and documents are the same in the end."""
    if pipeline == "compacting" and any(fails(item, pipeline) for item in history.items):
        return  # the last record's fault stands for the others, which do not have their effect
    states = [_state(alone, pipeline), _state(other, pipeline)]
    assert states[0] == states[1], f"{pipeline}: the last states differ: {states[0]} and {states[1]}"


def _state(aws: SimulatedAws, name: str) -> Any:
    rows = [aws.table(table).rows for table in (name, f"{name}-rows")]
    kept = [{place: held for place, held in kept.items() if place[0] == name} for kept in (aws.objects, aws.documents)]
    cursors = aws.table("cursor").rows.values() if name == "job" else ()
    return rows, kept, [(row["event_id"], row.get("cursor")) for row in cursors]


def _check_compacted(history: History, pipeline: str, alone: set[str], found: set[str], is_retried: bool) -> None:
    """As if the batch had only the newest record of each key; after a retry, of what comes again.

    With poison nobody knows: the others have its fault, and later records have nothing newer before them.
    """
    if pipeline == "compacting" and any(fails(item, pipeline) for item in history.items):
        return
    if is_retried:
        is_ordered = history.kind != "sqs" or pipeline == "latest"
        assert not is_ordered or {each for each in found if not _is_fault(each)} <= alone, _difference(found, alone)
        return
    last = {max(batch, key=lambda item: item.timestamp).n for batch in _by_key(history, pipeline)}
    assert _causes(found) == _causes(alone) & last, f"{pipeline}: {_causes(found)} of {_causes(alone)}, last are {last}"
    faults = [{each for each in effects if _is_fault(each)} for effects in (found, alone)]
    assert faults[0] == faults[1], f"{pipeline}: faults {_difference(*faults)}"


def _check_grouped(history: History, pipeline: str, found: set[str], is_retried: bool) -> None:
    """An event for each key of a batch, with all of its records as members."""
    if is_retried:
        return  # see `promises`: every record is a member of some event
    most = CHUNK if pipeline == "chunked" else len(history.items)
    groups = {
        tuple(item.id for item in batch[start : start + most])
        for batch in _by_key(history, pipeline)
        for start in range(0, len(batch), most)
        if not any(fails(item, pipeline) for item in batch[start : start + most])
    }
    members = {tuple(json.loads(each)[2]["members"]) for each in found if not _is_fault(each)}
    assert members == groups, f"{pipeline}: {members}, expected {groups}"


def _by_key(history: History, pipeline: str) -> list[Sequence[Item]]:
    """The records that a rule wants, by batch and key."""
    groups = []
    for batch in batches_of(history, history.items):
        of_key: dict[str, list[Item]] = {}
        for item in batch:
            # Events that are poison for `evaluate` fail before those that trigger are compacted.
            wanted = expected(history, item, pipeline)
            if wanted is not None if pipeline != "latest" else wanted and not fails(item, pipeline):
                of_key.setdefault(lane_of(item, pipeline), []).append(item)
        groups += of_key.values()
    return groups


# Effects as text: cause, target and content


def _distinct(aws: SimulatedAws, pipeline: str) -> set[str]:
    """The distinct effects of a rule: identity and content of each."""
    return {text_of(effect) for effect in aws.effects if effect.pipeline.removesuffix("-rows") == pipeline}


def text_of(effect: Effect) -> str:
    """An effect as text: its cause, target and content; of a fault's error the message."""
    content = effect.content
    if isinstance(content, Mapping) and content.get("type") == "fault":
        # The stack has lines and memory addresses; boto3 has classes for some errors, which direct clients have not.
        content = {**content, "err": content["err"]["message"].replace(_BOTOCORE, "")}
        if effect.pipeline == "related":  # a row as it was when it was read
            content["uow"] = {**content["uow"], "split": None}
    return json.dumps([effect.cause, effect.target, content], sort_keys=True, default=_readable)


def _readable(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else repr(value)


def _is_fault(effect: str) -> bool:
    content = json.loads(effect)[2]
    return isinstance(content, Mapping) and content.get("type") == "fault"


def _causes(effects: set[str]) -> set[int]:
    """The records that had effects on the bus or on rows of entities."""
    found = [re.match(r"e(\d+)", json.loads(effect)[0]) for effect in effects if not _is_fault(effect)]
    return {int(match[1]) for match in found if match}


def _difference(found: set[Any], expected: set[Any]) -> str:
    return f"more: {sorted(found - expected)!s:.700}; less: {sorted(expected - found)!s:.700}"
