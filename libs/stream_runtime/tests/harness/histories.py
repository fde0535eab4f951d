"""Histories: records, rules, how the records are cut into batches, and failures.

A history is plain data, drawn from any `random.Random` (a seed's own, or hypothesis'). `playing` runs the real engine
with it, `promises` says what must come of it.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from failures import KINDS
from given_json import read
from simulated_mapping import Kind

WANTED = {
    "collect": "ab",
    "view": "ac",
    "guarded": "abc",
    "split": "bc",
    "work": "ab",
    "workers": "bc",
    "limited": "ac",
    "large": "ab",
    "custom": "ac",
    "direct": "ab",
    "buffered": "abc",
    "topic": "ab",
    "queue": "bc",
    "lane": "ab",
    "stream": "ac",
    "delivery": "ab",
    "object": "bc",
    "mirror": "ac",
    "index": "abc",
    "shared": "abc",
    "sharedobject": "ab",
    "shareddocument": "bc",
    "several": "ac",
    "chunked": "abc",
    "function": "bc",
    "measure": "ab",
    "compacting": "abc",
    "grouped": "abc",
    "related": "ab",
    "fallback": "bc",
    "job": "ab",
    "transform": "ab",
}
"""For each rule that reads events, the event types that it wants."""

EVENT_PIPELINES = tuple(name for name in WANTED if name != "transform")
EVALUATING = ("evaluate", "each", "latest", "once")
ROW_PIPELINES = ("cdc", "correlate", *EVALUATING, "expired", "rowview", "outbox")
NOT_IN_PORTIONS = ("buffered", "compacting", "grouped", "chunked", "large", *EVALUATING)
"""Rules for which the batch matters, which publish what then is too large, or which read several bodies at once."""
UNOPENED = ("unclaimed", "foreign", "bomb")
"""How an event cannot be opened: its object is missing or in another bucket, or it expands to too much."""
SENDING = ("topic", "queue", "lane", "stream", "delivery")


@dataclass(frozen=True)
class Item:
    """One record of a batch.

    Attributes:
        n: its place.
        type: one letter; z is wanted by no rule.
        key: its partition key.
        poison: rules whose own code raises for it.
        refused: AWS refuses what is written for it.
        bad: how the record itself cannot be read: base64, json, list, typeless; or, if a rule wants it, `UNOPENED`.
        claim: it came as a claim check, or its row holds one.
        packed: it has a compressed field.
        parts: into how many it is split.
        late: its time is before that of records before it.
        row: for a table's stream, what kind of row it is: collected, correlated, entity, latched, ttl, outbox.
    """

    n: int
    type: str
    key: str
    poison: tuple[str, ...] = ()
    refused: bool = False
    bad: str = ""
    claim: bool = False
    packed: bool = False
    parts: int = 1
    late: bool = False
    row: str = ""

    @property
    def id(self) -> str:
        """The event's id."""
        return f"e{self.n}"

    @property
    def timestamp(self) -> int:
        """The event's time, in ms; no two are equal."""
        return 1_700_000_000_000 + 10 * self.n - (25 if self.late else 0)


@dataclass(frozen=True)
class History:
    """Everything that decides what happens."""

    seed: int
    kind: Kind
    items: tuple[Item, ...]
    pipelines: tuple[str, ...]
    cuts: tuple[int, ...] = ()
    """Places where a batch ends and the next one begins."""
    again: tuple[int, ...] = ()
    """Batches that are delivered once more although all of their records were acknowledged."""
    kinds: tuple[str, ...] = ()
    rate: float = 0.0
    denied_operation: str = ""
    denied_until: int = 0
    concurrency: bool = True
    bisect: bool = False
    parallel: int = 4
    hurried: tuple[int, ...] = ()
    """Invocations whose time is up too soon."""
    patience: int = 0
    """After how many calls it is."""
    most_expanded: int = 16384
    """To how many bytes an event may expand, and about how many are worked off at once."""

    def to_json(self) -> str:
        """The text from which `from_json` makes it again."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> History:
        """A history from its text.

        Raises:
            ValueError: it is no history; says why.
        """
        history = read(History, text)
        poisoned = {name for item in history.items for name in item.poison}
        unknown = ({*history.pipelines} | poisoned) - {*WANTED, *ROW_PIPELINES} | {*history.kinds} - {*KINDS}
        if unknown:
            raise ValueError(f"{', '.join(sorted(unknown))}: no pipeline, and no kind of failure")
        return history


def generate(chance: random.Random) -> History:
    """A history drawn from a source of chance."""
    kind: Kind = chance.choice(_KINDS)
    names = {"dynamodb": ROW_PIPELINES, "firehose": ("transform",)}.get(kind, EVENT_PIPELINES)
    pipelines = tuple(name for name in names if chance.randrange(len(names)) < 3) or (chance.choice(names),)
    faultiness = chance.choice((0, 0, 1, 3))
    claims = chance.choice((1, 1, 4))
    items = tuple(
        _item(chance, n, kind, pipelines, faultiness, claims) for n in range(chance.choice((1, 2, 3, 4, 6, 11)))
    )
    is_failing = chance.randrange(8) > 0
    kinds = tuple(kind for kind in KINDS if kind != "denied" and chance.randrange(2)) if is_failing else ()
    is_in_a_hurry = chance.randrange(4) == 0
    denied = chance.choice(_OPERATIONS) if is_failing and chance.randrange(3) == 0 else ""
    is_cut = chance.randrange(2)
    cuts = tuple(n for n in range(1, len(items)) if is_cut and not chance.randrange(3))
    history = History(
        seed=chance.randrange(1 << 30),
        kind=kind,
        items=items,
        pipelines=pipelines,
        cuts=cuts,
        again=tuple(n for n in range(len(cuts) + 1) if not chance.randrange(4)),
        kinds=kinds,
        rate=chance.choice((0.1, 0.3, 0.6)) if kinds else 0.0,
        denied_operation=denied,
        denied_until=chance.randrange(1, 4) if denied else 0,
        concurrency=bool(chance.randrange(2)),
        bisect=not chance.randrange(3),
        parallel=chance.choice((1, 4)),
        hurried=tuple(n for n in range(1, 6) if is_in_a_hurry and chance.randrange(2)),
        patience=chance.choice((0, 1, 2, 4, 8)),
        most_expanded=1024 if chance.randrange(2) and not set(pipelines) & set(NOT_IN_PORTIONS) else 16384,
    )
    return _with_a_bus_that_refuses_faults(history) if history.seed % 3 == 0 else history


def _with_a_bus_that_refuses_faults(history: History) -> History:
    """The same history, but the function may not publish until some invocations have gone: neither events nor faults.

    By chance alone it is rare that a fault is published for which no attempt succeeds.
    """
    if not any(item.poison or item.bad or item.refused for item in history.items):
        return history
    return replace(history, denied_operation="PutEvents", denied_until=1 + history.seed // 3 % 3)


_KINDS: tuple[Kind, ...] = (
    *("kinesis", "kinesis", "kinesis", "kinesis", "dynamodb", "dynamodb", "dynamodb"),
    *("sqs", "sqs", "fifo", "fifo", "unidentified", "firehose"),
)
_OPERATIONS = (
    *("BatchWriteItem", "UpdateItem", "PutItem", "Query", "BatchGetItem", "PutEvents", "GetObject", "PutObject"),
    *("PublishBatch", "SendMessageBatch", "PutRecords", "PutRecordBatch", "Bulk", "Invoke", "local"),
)


def _item(chance: random.Random, n: int, kind: Kind, pipelines: Sequence[str], faultiness: int, claims: int) -> Item:
    row = ""
    if kind == "dynamodb":
        row = chance.choice(("collected", "collected", "correlated", "entity", "latched", "ttl", "outbox"))
    poison = tuple(name for name in pipelines if chance.randrange(10) < faultiness)
    bad = ""
    if kind == "kinesis" and chance.randrange(20) < faultiness:
        bad = chance.choice(("base64", "json", "list", "typeless", *UNOPENED))
    return Item(
        n=n,
        type=chance.choice("aabbcz") if kind != "dynamodb" else chance.choice("ab"),
        key=f"k{chance.randrange(3)}",
        poison=poison,
        refused=kind != "dynamodb" and chance.randrange(12) < faultiness,
        bad=bad,
        claim=kind in ("kinesis", "dynamodb") and chance.randrange(8) < claims,
        packed=kind == "kinesis" and chance.randrange(8) < claims,
        parts=chance.choice((0, 1, 1, 2)),
        late=not chance.randrange(6),
        row=row,
    )


def without_failures(history: History) -> History:
    """The same records, batches and rules in a world where no call fails and nothing comes again."""
    return replace(history, again=(), kinds=(), rate=0.0, denied_operation="", denied_until=0, hurried=())


def one_by_one(history: History) -> History:
    """The same records and rules, each record in a batch of its own, in one thread of a world without failures."""
    cuts = tuple(range(1, len(history.items)))
    return replace(without_failures(history), cuts=cuts, concurrency=False, parallel=1)


def in_other_batches(history: History) -> History:
    """The same records and rules without failures, in other batches, some of which come twice."""
    chance = random.Random(history.seed)
    cuts = tuple(n for n in range(1, len(history.items)) if not chance.randrange(3))
    again = tuple(n for n in range(len(cuts) + 1) if chance.randrange(2))
    return replace(without_failures(history), cuts=cuts, again=again, concurrency=False, parallel=1)
