"""evaluate: what is emitted follows from the events, not from batches, and with `once` one record publishes it."""

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from stream_runtime import DEFAULT_OPTIONS, InvalidRule, StreamPipeline, clients, initialize_from
from stream_runtime.events import from_dynamodb, to_dynamodb_records
from stream_runtime.flavors import collect, correlate, evaluate, expired

TYPES = ["ordered", "paid"]
DAY_S = 24 * 60 * 60


def event(number: int, type_: str = "paid", key: str = "o1", **fields: Any) -> dict[str, Any]:
    return {
        "id": f"{type_}{number}",
        "type": type_,
        "timestamp": 1_700_000_000_000 + number,
        "partition_key": key,
        "order": {"id": key},
        "tags": {"region": "x", "source": "other", "trace": "t"},
        **fields,
    }


ORDERED, PAID = event(1, "ordered"), event(2, "paid")
ROW = {"discriminator": "CORREL", "ttl": 1_800_000_000}


def both(uow: Any) -> bool:
    return {"ordered", "paid"} <= {event["type"] for event in uow["correlated"]}


def always(uow: Any) -> bool:
    return True


EVALUATE = {"id": "ready", "flavor": evaluate, "event_type": TYPES, "expression": both, "emit": "ready"}
ONCE = {**EVALUATE, "once": True}


def collected(event: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """The row that `collect` writes."""
    own = {"pk": event["id"], "sk": "EVENT", "discriminator": "EVENT", "data": event["order"]["id"]}
    return {**own, "ttl": 1_800_000_000, "event": event, **fields}


def correlated(event: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """The row that `correlate` writes."""
    return {**ROW, "pk": event["order"]["id"], "sk": event["id"], "event": event, **fields}


def records(*rows: dict[str, Any]) -> list[dict[str, Any]]:
    """What the table's stream has of rows that were inserted; each has the same id whenever it comes."""
    changes = [{"keys": {"pk": row["pk"], "sk": row["sk"]}, "newImage": row} for row in rows]
    made: list[dict[str, Any]] = to_dynamodb_records(changes)["Records"]
    return [{**record, "eventID": f"of-{row['pk']}-{row['sk']}"} for record, row in zip(made, rows, strict=True)]


Deliver = Callable[..., list[dict[str, str]]]


@pytest.fixture
def deliver() -> Deliver:
    """Puts rows through rules as one batch; returns what is left for retry."""

    def deliver(rules: Any, *rows: dict[str, Any]) -> list[dict[str, str]]:
        pipeline = StreamPipeline(initialize_from(rules if isinstance(rules, list) else [rules]), DEFAULT_OPTIONS)
        return pipeline.assemble(from_dynamodb({"Records": records(*rows)}))["batchItemFailures"]

    return deliver


def put(table: Any, *rows: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    for row in rows:
        table.put_item(Item=row)
    return rows


def found(table: Any, discriminator: str) -> list[dict[str, Any]]:
    return [row for row in table.scan(ConsistentRead=True)["Items"] if row["discriminator"] == discriminator]


# Every event that triggers


AMOUNTS = [event(1, amount=10), event(2, amount=20), event(3, key="o2", amount=30)]
CUTS = [[[0, 1, 2]], [[0], [1], [2]], [[0, 1], [2]], [[0], [0, 1], [0, 1, 2]], [[0, 1, 2], [1, 2]]]


def effects(events: Iterable[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return sorted({(event["id"], event["type"], event.get("amount")) for event in events})


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("kind", [collected, correlated])
def test_each_event_that_triggers_gives_its_own_whatever_batches_they_come_in(
    table: Any, deliver: Deliver, bus: Any, kind: Any, cut: list[list[int]]
) -> None:
    rows = put(table, *map(kind, AMOUNTS))
    rule = {
        **EVALUATE,
        "expression": always,
        "emit": lambda uow, rule, template: {**template, "type": "ready", "amount": uow["event"]["amount"]},
    }

    for batch in cut:
        deliver(rule, *(rows[n] for n in batch))

    names = [f"of-{row['pk']}-{row['sk']}.ready" for row in rows]
    assert effects(bus.events) == sorted(zip(names, ["ready"] * 3, [10, 20, 30], strict=True))


@pytest.mark.parametrize("cut", CUTS)
def test_a_collected_event_is_evaluated_with_those_before_it_whatever_batches_they_come_in(
    table: Any, deliver: Deliver, bus: Any, cut: list[list[int]]
) -> None:
    rows = [collected(ORDERED), collected(PAID), collected(event(3, "paid"))]
    rule = {
        **EVALUATE,
        "emit": lambda uow, rule, template: {**template, "type": "ready", "amount": len(uow["correlated"])},
    }

    for batch in cut:
        deliver(rule, *(rows[n] for n in batch))

    assert effects(bus.events) == [("of-paid2-EVENT.ready", "ready", 2), ("of-paid3-EVENT.ready", "ready", 3)]


def test_the_higher_order_event_says_what_led_to_it(table: Any, deliver: Deliver, bus: Any) -> None:
    deliver(EVALUATE, collected(ORDERED), collected(PAID))

    (ready,) = bus.of_type("ready")
    assert ready["partition_key"] == "o1"
    assert ready["tags"]["trace"] == "t"
    assert ready["tags"]["source"] != "other"
    assert ready["triggers"] == [{"id": "paid2", "type": "paid", "timestamp": PAID["timestamp"]}]


def test_events_that_do_not_suffice_give_none(table: Any, deliver: Deliver, bus: Any) -> None:
    deliver(EVALUATE, collected(ORDERED), collected(event(2, "paid", "o2")))

    assert bus.events == []


@pytest.mark.parametrize(
    ("expression", "triggers"),
    [
        (lambda uow: uow["correlated"][0], [["paid"]]),
        (lambda uow: uow["correlated"], [["paid", "ordered"]]),
        (lambda uow: True, [["paid"]]),
        (lambda uow: [], []),
        (lambda uow: (each for each in uow["correlated"] if each["type"] == "ordered"), [["ordered"]]),
        (lambda uow: (each for each in uow["correlated"] if each["type"] == "sent"), []),
    ],
    ids=["event", "events", "true", "no events", "generator", "empty generator"],
)
def test_the_expression_says_what_triggered(
    table: Any, deliver: Deliver, bus: Any, expression: Any, triggers: list[list[str]]
) -> None:
    rows = put(table, correlated(ORDERED), correlated(PAID))

    deliver({**EVALUATE, "event_type": "paid", "expression": expression}, *rows)

    assert [[trigger["type"] for trigger in event["triggers"]] for event in bus.of_type("ready")] == triggers


def test_emit_may_make_several_events(table: Any, deliver: Deliver, bus: Any) -> None:
    deliver({**EVALUATE, "emit": ["x", "y"]}, collected(ORDERED), collected(PAID))

    assert [event["type"] for event in bus.events] == ["x", "y"]
    assert len({event["id"] for event in bus.events}) == 2


def test_correlated_rows_are_evaluated_under_their_suffix(table: Any, deliver: Deliver, bus: Any) -> None:
    rows = put(table, *(correlated(each, pk="o1.flow", suffix="flow") for each in (ORDERED, PAID)))

    deliver([EVALUATE, {**EVALUATE, "id": "flow", "correlation_key_suffix": "flow", "emit": "flow-ready"}], *rows)

    assert [event["type"] for event in bus.events] == ["flow-ready", "flow-ready"]
    assert {event["partition_key"] for event in bus.events} == {"o1"}


def test_without_an_expression_the_suffix_says_which_rows_trigger(table: Any, deliver: Deliver, bus: Any) -> None:
    rows = [collected(PAID), correlated(PAID, pk="o1.flow", suffix="flow"), correlated(PAID, pk="o1.x", suffix="x")]

    deliver([{"id": "any", "flavor": evaluate, "event_type": "paid", "emit": "any"}], *rows)
    deliver(
        [{"id": "f", "flavor": evaluate, "event_type": "paid", "correlation_key_suffix": "flow", "emit": "f"}], *rows
    )

    assert [(event["type"], event["id"]) for event in bus.events] == [
        ("any", "of-paid2-EVENT.any"),
        ("f", "of-o1.flow-paid2.f"),
    ]


def test_a_predicate_of_the_event_type_gets_the_stored_event(table: Any, deliver: Deliver, bus: Any) -> None:
    seen: list[Any] = []

    def is_paid(uow: Any) -> bool:
        seen.append(uow["event"]["type"])
        return bool(uow["event"]["type"] == "paid")

    other = {"pk": "o1", "sk": "note", "discriminator": "note"}
    deliver({**EVALUATE, "event_type": is_paid}, collected(ORDERED), collected(PAID), other)

    assert seen == ["ordered", "paid"]
    assert len(bus.of_type("ready")) == 1


@pytest.mark.parametrize(
    ("compact", "emitted"),
    [(True, ["paid2", "paid3"]), ("event.order.id", ["paid2", "paid3"]), (lambda uow: "all", ["paid3"])],
    ids=["the correlation", "a path", "a callable"],
)
def test_compact_lets_the_last_that_triggers_of_a_batch_emit(
    table: Any, deliver: Deliver, bus: Any, compact: Any, emitted: list[str]
) -> None:
    rows = put(table, *map(correlated, AMOUNTS), correlated(event(4, "ordered")))
    rule = {**EVALUATE, "compact": compact, "expression": lambda uow: uow["event"]["type"] == "paid"}

    deliver(rule, *rows)

    assert [trigger["id"] for event in bus.events for trigger in event["triggers"]] == emitted


# Collected rows


def test_all_collected_events_of_a_correlation_decide_not_only_those_that_may_trigger(
    table: Any, deliver: Deliver, bus: Any
) -> None:
    rule = {**EVALUATE, "event_type": "paid"}

    for row in (collected(ORDERED), collected(event(1, "other")), collected(PAID)):
        deliver(rule, row)

    assert [trigger["id"] for event in bus.events for trigger in event["triggers"]] == ["paid2"]
    assert [row["event"]["id"] for row in found(table, "FILED")] == ["ordered1", "other1", "paid2"]


def test_the_events_of_a_correlation_come_newest_first_and_once_each(table: Any, deliver: Deliver, bus: Any) -> None:
    seen: list[list[str]] = []
    rule = {**EVALUATE, "expression": lambda uow: seen.append([event["id"] for event in uow["correlated"]])}
    rows = [collected(event(n)) for n in (2, 3, 1)]

    for batch in (rows[:2], rows[:2], rows):
        deliver(rule, *batch)

    assert seen[-1] == ["paid3", "paid2", "paid1"]


class Meanwhile:
    """The client of DynamoDB, with something that happens elsewhere before the first put."""

    def __init__(self, happen: Callable[[], object]) -> None:
        self.client, self.happen = clients.client("dynamodb"), [happen]

    def put_item(self, **request: Any) -> Any:
        while self.happen:
            self.happen.pop()()
        return self.client.put_item(**request)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)


def test_of_two_events_that_are_evaluated_at_the_same_time_the_second_sees_both(
    table: Any, deliver: Deliver, bus: Any
) -> None:
    clients.use("dynamodb", Meanwhile(lambda: deliver(EVALUATE, collected(PAID))))

    assert deliver(EVALUATE, collected(ORDERED)) == []

    assert [trigger["id"] for event in bus.events for trigger in event["triggers"]] == ["ordered1"]
    assert [(row["sk"], row["event"]["id"]) for row in found(table, "FILED")] == [
        ("us-west-2#000000000001", "paid2"),
        ("us-west-2#000000000002", "ordered1"),
    ]


@pytest.mark.parametrize("regions", [("eu-west-1", "us-west-2"), ("us-west-2", "eu-west-1")])
def test_in_a_global_table_regions_take_no_numbers_from_each_other_and_see_each_other_s_rows(
    table: Any, deliver: Deliver, bus: Any, monkeypatch: pytest.MonkeyPatch, regions: tuple[str, str]
) -> None:
    for region, event in zip(regions, (ORDERED, PAID), strict=True):
        monkeypatch.setenv("AWS_REGION", region)
        deliver(EVALUATE, collected(event))
    deliver(EVALUATE, collected(PAID))  # comes again

    assert sorted(row["sk"] for row in found(table, "FILED")) == ["eu-west-1#000000000001", "us-west-2#000000000001"]
    assert [trigger["id"] for event in bus.events for trigger in event["triggers"]] == ["paid2", "paid2"]
    assert len({event["id"] for event in bus.events}) == 1


def test_collected_events_are_filed_where_no_correlation_is(table: Any, deliver: Deliver, bus: Any) -> None:
    put(table, correlated(PAID), correlated(PAID, pk="DATA#o1"))

    deliver(EVALUATE, collected(ORDERED))

    assert bus.events == []


def test_a_collected_row_without_a_key_is_a_fault_where_it_would_trigger(
    table: Any, deliver: Deliver, bus: Any
) -> None:
    deliver(EVALUATE, collected(PAID, data=None), collected(event(1, "other"), data=None))

    (fault,) = bus.events
    assert fault["err"]["message"] == "the collected row 'paid2' has no correlation key in `data`"


def test_no_flavor_takes_the_rows_that_evaluate_keeps_for_events(table: Any, deliver: Deliver, bus: Any) -> None:
    deliver(ONCE, collected(ORDERED), collected(PAID))
    kept = [*found(table, "FILED"), *found(table, "ONCE")]
    assert len(kept) == 3
    bus.events.clear()
    rules: list[Any] = [
        {"id": "c", "flavor": correlate, "event_type": TYPES, "correlation_key": "order.id"},
        {"id": "x", "flavor": expired},
        {"id": "l", "flavor": collect, "event_type": TYPES, "correlation_key": "order.id"},
        {"id": "e", "flavor": evaluate, "event_type": TYPES, "emit": "e"},
        {**EVALUATE, "expression": always},
    ]

    deliver(rules, *kept)

    assert bus.events == []
    assert len(table.scan()["Items"]) == 3


def test_an_index_is_refused_with_the_way_out() -> None:
    with pytest.raises(InvalidRule) as refused:
        initialize_from([{**EVALUATE, "index": "DataIndex"}])

    assert str(refused.value) == (
        "rule 'ready': flavor evaluate takes no field 'index': an index is eventually consistent: of two events that "
        "arrive together, each may be evaluated without the other. Delete the field; collected events are found "
        "without an index. Events of another key need a rule with `correlate`"
    )


# Once


@pytest.mark.parametrize("kind", [collected, correlated])
@pytest.mark.parametrize("cut", CUTS)
def test_once_publishes_what_the_first_that_triggers_emits_whatever_batches_they_come_in(
    table: Any, deliver: Deliver, bus: Any, kind: Any, cut: list[list[int]]
) -> None:
    rows = put(table, *map(kind, AMOUNTS))
    rule = {
        **ONCE,
        "expression": always,
        "emit": lambda uow, rule, template: {**template, "type": "ready", "amount": uow["event"]["amount"]},
    }

    for batch in cut:
        deliver(rule, *(rows[n] for n in batch))

    assert effects(bus.events) == [("o1.ready", "ready", 10), ("o2.ready", "ready", 30)]


@pytest.mark.parametrize("expression", [always, None])
def test_who_finds_another_s_marker_publishes_nothing_and_is_done(
    table: Any, deliver: Deliver, bus: Any, expression: Any, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = put(table, *map(correlated, AMOUNTS[:2]))
    rule = {**ONCE, "expression": expression}
    deliver(rule, first)
    monkeypatch.setenv("METRICS", "true")

    assert deliver(rule, second) == []

    assert len(bus.events) == 1
    assert '"Outcome.condition_failed":1' in capsys.readouterr().out.replace(" ", "")
    (marker,) = found(table, "ONCE")
    assert (marker["pk"], marker["sk"], marker["record"]) == ("o1", "ONCE#ready", "of-o1-paid1")


def test_who_finds_its_own_marker_after_a_failure_publishes_under_the_same_id(
    table: Any, deliver: Deliver, bus: Any, throttled: ClientError, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETRY_ATTEMPTS", "1")
    first, second = put(table, *map(correlated, AMOUNTS[:2]))
    rule = {**ONCE, "expression": always}
    bus.fails(throttled)

    assert deliver(rule, first, second) == [{"itemIdentifier": "0"}]
    assert len(found(table, "ONCE")) == 1
    assert bus.events == []
    assert deliver(rule, second) == []  # not its own
    assert deliver(rule, first, second) == []
    assert deliver(rule, first) == []  # the answer was lost

    assert [event["id"] for event in bus.events] == ["o1.ready", "o1.ready"]


def test_the_owner_publishes_all_that_it_emits(table: Any, deliver: Deliver, bus: Any) -> None:
    rows = put(table, *map(correlated, AMOUNTS[:2]))

    deliver({**ONCE, "expression": always, "emit": ["x", "y"]}, *rows)

    assert [(event["id"], event["type"]) for event in bus.events] == [("o1.ready", "x"), ("o1.ready.1", "y")]


def test_what_fails_in_emit_leaves_the_marker_to_the_next(table: Any, deliver: Deliver, bus: Any) -> None:
    rows = put(table, *map(correlated, AMOUNTS[:2]))

    def emit(uow: Any, rule: Any, template: Any) -> Any:
        if uow["event"]["amount"] == 10:
            raise ValueError("no such amount")
        return {**template, "type": "ready"}

    deliver({**ONCE, "expression": always, "emit": emit}, *rows)

    assert [event["type"] for event in bus.events] == ["ready", "fault"]
    assert [row["record"] for row in found(table, "ONCE")] == ["of-o1-paid2"]


def test_an_owner_whose_event_cannot_be_published_has_a_fault_and_publishes_when_that_is_resubmitted(
    table: Any, deliver: Deliver, bus: Any
) -> None:
    first, second = put(table, *map(correlated, AMOUNTS[:2]))
    rule = {**ONCE, "expression": always}

    deliver({**rule, "emit": lambda uow, rule, template: template}, first, second)  # without a type
    deliver(rule, second)
    assert [event["type"] for event in bus.events] == ["fault"]
    deliver(rule, first)

    assert [event["id"] for event in bus.of_type("ready")] == ["o1.ready"]


def test_who_emits_nothing_leaves_the_marker_to_the_next(table: Any, deliver: Deliver, bus: Any) -> None:
    rows = put(table, *map(correlated, AMOUNTS[:2]))

    def emit(uow: Any, rule: Any, template: Any) -> Any:
        return None if uow["event"]["amount"] == 10 else {**template, "type": "ready"}

    deliver({**ONCE, "expression": always, "emit": emit}, *rows)

    assert [row["record"] for row in found(table, "ONCE")] == ["of-o1-paid2"]
    assert len(bus.events) == 1


class Refuses:
    """The client of DynamoDB, whose puts are refused."""

    def __init__(self, error: Exception) -> None:
        self.client, self.error = clients.client("dynamodb"), error

    def put_item(self, **_: Any) -> Any:
        raise self.error

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)


@pytest.mark.parametrize("kind", [collected, correlated])
def test_without_a_marker_nothing_is_published_and_the_record_comes_again(
    table: Any, deliver: Deliver, bus: Any, denied: ClientError, kind: Any
) -> None:
    rows = put(table, *map(kind, AMOUNTS[:2]))
    clients.use("dynamodb", Refuses(denied))

    assert deliver({**ONCE, "expression": always}, *rows) == [{"itemIdentifier": "0"}]
    assert bus.events == []


def test_rules_and_correlations_are_published_once_each(table: Any, deliver: Deliver, bus: Any) -> None:
    rows = put(table, *map(correlated, AMOUNTS))
    rules = [{**ONCE, "id": name, "expression": always, "emit": name} for name in ("x", "y")]

    deliver(rules, *rows)

    assert sorted(event["id"] for event in bus.events) == ["o1.x", "o1.y", "o2.x", "o2.y"]


TTL = 1_800_000_000


@pytest.mark.parametrize(
    ("ttls", "expected"),
    [
        ([TTL, TTL + DAY_S], TTL + DAY_S),
        ([TTL + DAY_S, TTL], TTL + DAY_S),
        ([TTL, None], None),
        ([None, TTL], None),
    ],
)
@pytest.mark.parametrize("expression", [always, None])
def test_a_marker_is_kept_as_long_as_the_rows_of_its_correlation(
    table: Any, deliver: Deliver, bus: Any, expression: Any, ttls: list[int | None], expected: int | None
) -> None:
    first, second = (correlated(each, ttl=ttl) for each, ttl in zip(AMOUNTS[:2], ttls, strict=True))
    rule = {**ONCE, "expression": expression}

    for row in (first, second, first):
        put(table, row)
        deliver(rule, row)

    (marker,) = found(table, "ONCE")
    assert marker["ttl"] == expected
    assert {event["id"] for event in bus.events} == {"o1.ready"}


class Queried:
    """A DynamoDB client that notes when it is queried, and how many queries are in flight.

    A query is answered when ``parallel`` of them are in flight.
    """

    def __init__(self, parallel: int = 1) -> None:
        self.times: list[float] = []
        self.in_flight: list[int] = []
        self.open = 0
        self.lock = threading.Lock()
        self.barrier = threading.Barrier(parallel, timeout=5)

    def query(self, **request: Any) -> dict[str, Any]:
        with self.lock:
            self.open += 1
            self.times.append(time.monotonic())
            self.in_flight.append(self.open)
        self.barrier.wait()
        with self.lock:
            self.open -= 1
        return {"Items": []}


def correlations(count: int) -> list[dict[str, Any]]:
    return [correlated(event(n, key=f"o{n}")) for n in range(count)]


def test_evaluate_queries_at_the_rule_s_rate(deliver: Deliver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENTITY_TABLE_NAME", "entities")
    dynamodb = Queried()
    clients.use("dynamodb", dynamodb)

    deliver({**EVALUATE, "rate": 100}, *correlations(6))

    assert dynamodb.times[-1] - dynamodb.times[0] >= 0.045


def test_evaluate_makes_as_many_queries_at_once_as_the_rule_says(
    deliver: Deliver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENTITY_TABLE_NAME", "entities")
    dynamodb = Queried(parallel=2)
    clients.use("dynamodb", dynamodb)

    deliver({**EVALUATE, "parallel": 2}, *correlations(8))

    assert len(dynamodb.in_flight) == 8
    assert max(dynamodb.in_flight) <= 2
