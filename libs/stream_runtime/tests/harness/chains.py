"""Chains: events are collected, and the stream of their table is correlated, evaluated and expired.

Each function's batches are cut at random and come in any order relative to those of the other; some come twice, and
calls fail. What has to be the same, whatever the cut, is the rows and the distinct events. Two things may differ:

- `evaluate` of correlated rows triggers on what the table holds when it reads, which later records may have written by
  then. So which members of a group emit may differ; the last one written always does.
- With `once`, so may the member whose event is published for such a group; one is always published, under one id.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from batches import text_of
from failures import KINDS, Plan
from playing import Violated, in_simulated_world
from simulated_aws import SimulatedAws
from simulated_mapping import Kind, Record, deliver
from stream_runtime import flavors, stream_handler
from stream_runtime.events import from_dynamodb, from_kinesis, to_dynamodb_records, to_kinesis_records
from stream_runtime.payload.attributes import unmarshall

TABLE = "events"
_OF_GROUPS = ("groups", "group-once")

Cut = Callable[[int], int]
"""How many of so many waiting records are delivered next; 0 for none yet."""


@dataclass(frozen=True)
class Chain:
    """Events, each with its type, partition key, group and poisoned rules; and what fails."""

    seed: int
    events: tuple[tuple[str, str, str, tuple[str, ...]], ...]
    kinds: tuple[str, ...] = ()

    def to_events(self) -> list[dict[str, Any]]:
        """The events, as they come from a Kinesis stream."""
        return [
            {
                "id": f"e{number}",
                "type": type_,
                "timestamp": 1_700_000_000_000 + number,
                "partition_key": key,
                "group": group,
                "poison": poison,
            }
            for number, (type_, key, group, poison) in enumerate(self.events)
        ]


def generate_chain(chance: random.Random) -> Chain:
    """A chain drawn from a source of chance."""
    faultiness = chance.choice((0, 0, 3))
    events = tuple(
        (
            chance.choice("aabbz"),
            f"k{chance.randrange(2)}",
            f"g{chance.randrange(2)}",
            tuple(name for name in ("pairs", "pair-once") if chance.randrange(10) < faultiness),
        )
        for _ in range(chance.choice((2, 3, 4, 5)))
    )
    kinds = tuple(kind for kind in KINDS if kind != "denied" and chance.randrange(2))
    return Chain(chance.randrange(1 << 30), events, kinds)


def _rules_of_table() -> list[dict[str, Any]]:
    def is_complete(name: str) -> Callable[[Any], bool]:
        def expression(uow: Any) -> bool:
            if name in uow["event"]["poison"]:
                raise ValueError(f"{uow['event']['id']} is poison")
            return {event["type"] for event in uow["correlated"]} >= {"a", "b"}

        return expression

    def evaluating(name: str, **more: Any) -> dict[str, Any]:
        rule = {"id": name, "flavor": flavors.evaluate, "event_type": ["a", "b"], "table_name": TABLE}
        return {**rule, "expression": is_complete(name), "emit": f"{name}-complete", **more}

    of_group = {"correlation_key_suffix": "group"}
    return [
        {
            "id": "correlate",
            "flavor": flavors.correlate,
            "event_type": ["a", "b"],
            "table_name": TABLE,
            "correlation_key": "group",
            **of_group,
        },
        evaluating("pairs"),
        evaluating("pair-once", once=True),
        evaluating("groups", **of_group),
        evaluating("group-once", once=True, **of_group),
        {"id": "expired", "flavor": flavors.expired},
    ]


def check_chain(chain: Chain) -> None:
    """Play a chain record by record, in batches, and in batches with failures; compare what came of it.

    Raises:
        Violated: with the chain.
    """
    chance = random.Random(chain.seed)

    def any_number(waiting: int) -> int:
        return chance.randrange(waiting + 1)

    alone = _play(replace(chain, kinds=()), lambda waiting: min(1, waiting), is_repeated=lambda: False)
    for each in (replace(chain, kinds=()), chain):
        try:
            _check_same(chain, alone, _play(each, any_number, is_repeated=lambda: not chance.randrange(4)))
        except AssertionError as error:
            raise Violated(f"{error}\n{each}") from error


def _play(chain: Chain, cut: Cut, is_repeated: Callable[[], bool]) -> SimulatedAws:
    aws = SimulatedAws(Plan(chain.seed, chain.kinds, rate=0.1))
    options = {"parallel": 1}
    collect = {
        "id": "collect",
        "flavor": flavors.collect,
        "event_type": ["a", "b"],
        "table_name": TABLE,
        "expire": True,
    }
    table = aws.table(TABLE)
    with in_simulated_world(aws):
        listener = stream_handler([{**collect, "expire": True}], from_kinesis, options, concurrency=False)
        trigger = stream_handler(_rules_of_table(), from_dynamodb, options, concurrency=False)

        def deliver_batch(kind: Kind, handler: Any, batch: Sequence[Record]) -> None:
            def invoke(records: list[Record]) -> Any:
                aws.begin()
                return handler({"Records": records}, None)

            deliver(kind, [batch, batch] if is_repeated() else [batch], invoke, lambda *_: None)

        def drain(events: list[Record], position: int) -> int:
            """Deliver events, and changes of the table from a position on, until there are no more of either."""
            while events or position < len(table.changes):
                number = cut(len(table.changes) - position)
                if number:
                    changes = list(_records_of(table.changes, position, number))
                    position += number
                    deliver_batch("dynamodb", trigger, changes)
                elif events:
                    number = max(1, cut(len(events)))
                    batch, events = events[:number], events[number:]
                    deliver_batch("kinesis", listener, batch)
            return position

        position = drain(_kinesis_records(chain), 0)
        for key, row in list(table.rows.items()):
            if row.get("expire", {}).get("BOOL"):
                table.write(key, None)
        drain([], position)
    return aws


def _kinesis_records(chain: Chain) -> list[Record]:
    records: list[Record] = to_kinesis_records(chain.to_events())["Records"]
    return records


def _records_of(changes: Sequence[Any], start: int, number: int) -> Iterator[Record]:
    """The stream's records of a table's changes; those after the end of a row's time to live are DynamoDB's own."""
    for sequence_number, (key, version, old, new) in enumerate(changes[start : start + number], start):
        images = {name: unmarshall(image) for name, image in (("oldImage", old), ("newImage", new)) if image}
        pk, _, sk = key.rpartition("/")
        end = int(old["ttl"]["N"]) if new is None else 0
        (record,) = to_dynamodb_records([{"keys": {"pk": pk, "sk": sk}, **images, "timestamp": end}])["Records"]
        record["eventID"] = f"{key}#{version}"
        record["awsRegion"] = "us-east-1"
        record["dynamodb"]["SequenceNumber"] = str(sequence_number + 1)
        yield record


# Comparing


def _check_same(chain: Chain, alone: SimulatedAws, other: SimulatedAws) -> None:
    for name in ("correlate", "pairs", "pair-once", "expired"):
        expected, found = _events_of(alone, name), _events_of(other, name)
        assert found == expected, f"{name}: one by one {sorted(expected)}, in batches {sorted(found)}"
    assert _rows_of(alone) == _rows_of(other), f"rows: {_rows_of(alone)} and {_rows_of(other)}"
    members = _members_by_group(chain)
    complete = {group for group, types in members.items() if set(types.values()) == {"a", "b"}}
    for play in (alone, other):
        assert {json.loads(each)[0] for each in _events_of(play, "group-once")} == {
            f"{group}.group.group-once" for group in complete
        }
        emitted = {json.loads(each)[2]["triggers"][0]["id"] for each in _events_of(play, "groups")}
        assert emitted <= {id_ for group in complete for id_ in members[group]}, f"groups: {emitted} of {members}"
        assert all(emitted & set(members[group]) for group in complete), f"groups: {emitted}, {complete} are complete"
        for name in _OF_GROUPS:
            events = [json.loads(each) for each in _events_of(play, name)]
            assert len({each[0] for each in events}) == len(events), f"{name}: two events under one id: {events}"


def _members_by_group(chain: Chain) -> Mapping[str, dict[str, str]]:
    members: dict[str, dict[str, str]] = {}
    for event in chain.to_events():
        if event["type"] in "ab":
            members.setdefault(event["group"], {})[event["id"]] = event["type"]
    return members


def _events_of(aws: SimulatedAws, name: str) -> set[str]:
    """The distinct events that a rule published; of faults, which hold a record of the stream, the ids."""
    found = [effect for effect in aws.effects if effect.target == "bus" and effect.pipeline == name]
    return {effect.cause if effect.content["type"] == "fault" else text_of(effect) for effect in found}


def _rows_of(aws: SimulatedAws) -> dict[str, Any]:
    """The last rows, without the markers of groups."""
    return {key: row for key, row in aws.table(TABLE).rows.items() if not key.endswith("ONCE#group-once")}
