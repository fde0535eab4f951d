"""What the runtime promises, checked after each invocation and at the end of a history: nothing is lost or doubled."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from failures import Effect, Injected, ProcessDied
from histories import UNOPENED, WANTED, History, Item
from outcomes import (
    COMPACTING,
    CONDITIONAL,
    OF_SEVERAL_RECORDS,
    TORN,
    Slot,
    before_failure,
    covered_by,
    done_by,
    expected,
    fails,
    lane_of,
    slots_of,
)
from simulated_aws import SimulatedAws
from simulated_mapping import Record


@dataclass
class World:
    """A history under way."""

    history: History
    aws: SimulatedAws
    records: Sequence[Record]
    items: dict[int, Item] = field(init=False)
    number_of: dict[int, int] = field(init=False)
    done: dict[tuple[str, int], set[Slot]] = field(default_factory=dict)
    """What was done until now, by rule and record."""
    covered: set[tuple[str, int]] = field(default_factory=set)
    """The records that faults stand for, by rule ("undefined" for all)."""
    looked_at: int = 0

    def __post_init__(self) -> None:
        self.items = {item.n: item for item in self.history.items}
        self.number_of = {id(record): n for record, n in zip(self.records, self.items, strict=True)}

    def look(self) -> None:
        """Take notice of the effects since the last look."""
        new = self.aws.effects[self.looked_at :]
        self.looked_at += len(new)
        self.covered |= covered_by(new)
        for key, slots in done_by(new).items():
            self.done.setdefault(key, set()).update(slots)

    def expected(self, item: Item, pipeline: str) -> set[Slot] | None:
        """The effects that a good record must have in a rule; None where the rule does not want it."""
        return expected(self.history, item, pipeline)


# After each invocation


def check_invocation(world: World, batch: list[Record], left: list[Record], raised: BaseException | None) -> None:
    history, aws = world.history, world.aws
    now = [effect for effect in aws.effects if effect.invocation == aws.invocation]
    injected = [failure for failure in aws.injected if failure.invocation == aws.invocation]
    is_hurried = aws.invocation in history.hurried
    if raised is not None and not isinstance(raised, ProcessDied) and history.kind not in ("unidentified", "firehose"):
        raise AssertionError(f"raised though every record can be returned: {raised!r}") from raised
    assert injected or is_hurried or not left, f"{len(left)} records are returned though nothing failed"
    left_numbers = {world.number_of[id(record)] for record in left}
    _check_acknowledged(world, [n for record in batch if (n := world.number_of[id(record)]) not in left_numbers])
    failed_to_publish = any(".fault" in identity for failure in injected for identity in failure.identities)
    if left and raised is None and not failed_to_publish:
        early = {n for _, n in covered_by(now)} & left_numbers
        assert not early, f"faults of records {sorted(early)} are published though they come again"
    if not history.concurrency and history.parallel == 1:
        _check_what_was_denied(world, injected)
    if left and not raised and history.kind != "fifo" and not set(history.pipelines) & OF_SEVERAL_RECORDS:
        touched = {n for failure in injected for identity in failure.identities for n in _numbers_in(identity)}
        wrong = ({min(left_numbers)} if history.kind in ("kinesis", "dynamodb") else left_numbers) - touched
        if is_hurried:
            wrong -= _unfinished(world, now)
        assert not wrong, f"records {sorted(wrong)} are returned though nothing of theirs failed or was left undone"


def _check_acknowledged(world: World, numbers: Sequence[int]) -> None:
    """What is acknowledged has its effects or a fault."""
    world.look()
    done, covered = world.done, world.covered
    for n in numbers:
        item = world.items[n]
        if _has_fault(world, item):
            assert ("undefined", n) in covered, f"record {n} ({item.bad}) is acknowledged without a fault"
        name = f"record {n} is acknowledged"
        for pipeline in world.history.pipelines:
            wanted = world.expected(item, pipeline)
            if wanted is None or (pipeline, n) in covered:
                continue
            if pipeline in COMPACTING:
                assert not wanted or _is_superseded(world, item, pipeline), f"{name}, nothing stands for it"
            elif not _may_be_overtaken(world, pipeline):
                has = done.get((pipeline, n), set())
                assert wanted <= has, f"{name}, and {pipeline} neither did its work nor gave a fault"


def _has_fault(world: World, item: Item) -> bool:
    """Whether a record cannot be read; what cannot be opened matters only to a rule that wants it."""
    is_wanted = any(item.type in WANTED.get(pipeline, "") for pipeline in world.history.pipelines)
    return bool(item.bad) and (is_wanted or item.bad not in UNOPENED)


def _may_be_overtaken(world: World, pipeline: str) -> bool:
    """Whether messages may come in another order, so that the conditions of others hold."""
    return world.history.kind == "sqs" and pipeline in CONDITIONAL


def _is_superseded(world: World, item: Item, pipeline: str) -> bool:
    """Whether a record of a rule that compacts, or a newer one of its key, had its effect or has a fault."""
    lane = lane_of(item, pipeline)
    newer = [
        each.n for each in world.items.values() if lane_of(each, pipeline) == lane and each.timestamp >= item.timestamp
    ]
    return any((pipeline, n) in world.done or (pipeline, n) in world.covered for n in newer)


def _unfinished(world: World, now: Sequence[Effect]) -> set[int]:
    """The records that lack an effect or a fault of this invocation.

    What nobody wants may not have been reached, nor what a rule wants that leaves no effect, as an old document does.
    """
    done, covered = done_by(now), covered_by(now)
    unfinished = set()
    for item in world.items.values():
        wanted = {pipeline: world.expected(item, pipeline) for pipeline in world.history.pipelines}
        lacking = [
            pipeline
            for pipeline, slots in wanted.items()
            if slots is not None
            and (not slots or slots - done.get((pipeline, item.n), set()))
            and (pipeline, item.n) not in covered
        ]
        if lacking or not any(wanted.values()):
            unfinished.add(item.n)
    return unfinished


def _numbers_in(identity: str) -> set[int]:
    return {int(number) for number in re.findall(r"\be(\d+)\b", identity)}


def _check_what_was_denied(world: World, injected: Sequence[Injected]) -> None:
    """Access denied leaves a record at once: nothing is started any more that comes again with it."""
    if world.history.kind == "sqs":
        return
    for failure in injected:
        if failure.kind != "denied":
            continue
        left = {n for identity in failure.identities for n in _numbers_in(identity)}
        if failure.operation in ("Query", "BatchGetItem") or not left:
            continue
        first = world.items[min(left)]
        for effect in world.aws.effects[failure.effects_before :]:
            if effect.invocation != failure.invocation:
                break
            for pipeline, n, _ in slots_of(effect):
                if world.history.kind != "fifo" or world.items[n].key == first.key:
                    assert n < first.n, f"{pipeline} began record {n} when {first.n} had been left"


# At the end


def check_end(world: World) -> None:
    history, aws = world.history, world.aws
    world.look()
    done, covered = world.done, world.covered
    for item in history.items:
        if _has_fault(world, item):
            assert ("undefined", item.n) in covered, f"record {item.n} ({item.bad}) has no fault"
        for pipeline in history.pipelines:
            _check_outcome(world, item, pipeline, done, covered)
    for pipeline, n in covered:
        item = world.items[n]
        is_due = item.bad if pipeline == "undefined" else world.expected(item, pipeline) is not None
        is_due = is_due and (pipeline in ("undefined", *TORN) or fails(item, pipeline))
        assert is_due, f"record {n} has a fault in {pipeline} without a reason"
    for pipeline, n in done:
        assert n in world.items, f"{pipeline} did something for record {n}, which does not exist"
    _check_ids(world)
    _check_order(world)
    _check_compacted(world)
    if not aws.injected and not history.hurried and not history.again:
        _check_once(world)


def _check_outcome(
    world: World,
    item: Item,
    pipeline: str,
    done: Mapping[tuple[str, int], set[Slot]],
    covered: set[tuple[str, int]],
) -> None:
    has, wanted = done.get((pipeline, item.n), set()), world.expected(item, pipeline)
    name = f"record {item.n} in {pipeline}"
    if wanted is None:
        assert not has, f"{name}: did {has} for a record that it does not want"
    elif pipeline in COMPACTING:
        assert not wanted or _is_superseded(world, item, pipeline), f"{name}: nothing stands for it"
        assert not (has and fails(item, pipeline)), f"{name}: is poison and did {has}"
    elif fails(item, pipeline):
        assert (pipeline, item.n) in covered, f"{name}: is poison and has no fault"
        assert has <= before_failure(item, pipeline), f"{name}: is poison and did {has}"
    elif _may_be_overtaken(world, pipeline):
        assert (pipeline, item.n) not in covered, f"{name}: has a fault"
    elif pipeline not in TORN or (pipeline, item.n) not in covered:
        assert has == wanted, f"{name}: did {sorted(has)}, expected {sorted(wanted)}"
        assert (pipeline, item.n) not in covered, f"{name}: did its work and has a fault"


def _check_ids(world: World) -> None:
    """An id means one event, at every attempt."""
    seen: dict[str, Any] = {}
    identified: dict[tuple[str, int, Slot], str] = {}
    for effect in world.aws.effects:
        if effect.target != "bus" or effect.pipeline in TORN:
            continue
        event = effect.content
        fault_of = json.dumps(event["uow"]["record"]) if event["type"] == "fault" else None
        meaning = event["type"], event["partition_key"], fault_of
        assert seen.setdefault(event["id"], meaning) == meaning, f"id {event['id']} stands for two events"
        for slot in slots_of(effect):
            if effect.pipeline != "job":  # an event for each item of a page
                assert identified.setdefault(slot, effect.cause) == effect.cause, f"{slot} has two ids"


def _check_order(world: World) -> None:
    """No record of a key takes effect in a pipeline before all earlier ones of its key did."""
    if world.history.kind == "sqs":
        return
    highest: dict[tuple[str, str, str], tuple[int, int]] = {}
    seen: set[tuple[str, int, Slot]] = set()
    for effect in world.aws.effects:
        for slot in slots_of(effect):
            pipeline, n, (what, which) = slot
            if slot in seen or pipeline in ("correlate", "expired"):
                continue
            seen.add(slot)
            item = world.items[n]
            # With poison among several all of them fail, and the next attempt may take others together. And a smaller
            # batch compacts to an older record; the newer one comes again behind it.
            if pipeline in COMPACTING or (pipeline in TORN and any(pipeline in i.poison for i in world.items.values())):
                continue
            lane = (pipeline, lane_of(item, pipeline), what)
            assert (n, which) > highest.get(lane, (-1, -1)), (
                f"{pipeline}: {what} of record {n} of key {item.key} came after that of record {highest[lane][0]}"
            )
            highest[lane] = (n, which)


def _check_compacted(world: World) -> None:
    """Whatever was compacted to what, the last word of a key is that of its newest record."""
    words: dict[str, list[int]] = {}
    for effect in world.aws.effects:
        for pipeline, n, _ in slots_of(effect):
            if pipeline == "compacting":
                words.setdefault(world.items[n].key, []).append(n)
    for key, numbers in words.items():
        newest = max(numbers, key=lambda n: world.items[n].timestamp)
        assert numbers[-1] == newest, f"compacting: record {numbers[-1]} has the last word on {key}"


def _check_once(world: World) -> None:
    """Where nothing failed, nothing happens twice."""
    seen = set()
    for effect in world.aws.effects:
        if effect.pipeline == "cursor":
            continue  # a job moves its cursor with each event
        what = (effect.pipeline, effect.cause, effect.target)
        assert what not in seen, f"{what} happened twice though nothing failed"
        seen.add(what)
