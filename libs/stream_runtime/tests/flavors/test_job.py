"""job: a table worked through over several invocations."""

from collections.abc import Callable
from typing import Any

import pytest
from stream_runtime import DEFAULT_OPTIONS, StreamPipeline, initialize_from, stream_handler
from stream_runtime.events import (
    from_dynamodb,
    from_kinesis,
    from_schedule,
    to_dynamodb_records,
    to_kinesis_records,
    to_schedule_event,
)
from stream_runtime.expressions import update_expression
from stream_runtime.flavors import job

KEY = {"pk": "reindex", "sk": "JOB"}


def rule(**fields: Any) -> dict[str, Any]:
    return {
        "id": "reindex",
        "flavor": job,
        "event_type": ["Scheduled Event", "JOB-updated"],
        "to_scan_request": lambda uow: {"Limit": 4},
        "filters": [lambda uow, rule: uow["item"]["sk"] == "thing"],
        "emit": lambda uow, rule, template: {**template, "type": "thing-seen", "n": int(uow["item"]["n"])},
        **fields,
    }


def tick(run: Callable[..., Any], rules: Any, timestamp: int) -> None:
    run(rules, uows=from_schedule(to_schedule_event(timestamp=timestamp)))


@pytest.fixture
def things(table: Any) -> Any:
    for number in range(10):
        table.put_item(Item={"pk": f"t{number}", "sk": "thing", "n": number})
    return table


def seen(bus: Any) -> list[int]:
    return sorted(event["n"] for event in bus.of_type("thing-seen"))


def test_each_invocation_continues_where_the_last_one_ended(things: Any, bus: Any, run: Callable[..., Any]) -> None:
    tick(run, rule(), 1000)
    assert len(seen(bus)) == 4
    tick(run, rule(), 2000)
    tick(run, rule(), 3000)
    assert seen(bus) == list(range(10))


def test_after_the_last_page_the_next_event_reads_from_the_beginning(
    things: Any, bus: Any, run: Callable[..., Any]
) -> None:
    for number in range(1, 4):
        tick(run, rule(pages=3), number * 1000)
        if "cursor" not in things.get_item(Key=KEY)["Item"]:
            break
    assert seen(bus) == list(range(10))
    tick(run, rule(pages=9), 9000)
    assert seen(bus) == sorted([*range(10), *range(10)])


def test_an_event_that_is_delivered_again_reads_the_same_pages_and_publishes_the_same_ids(
    things: Any, bus: Any, run: Callable[..., Any]
) -> None:
    tick(run, rule(), 1000)
    tick(run, rule(), 1000)
    ids = [event["id"] for event in bus.of_type("thing-seen")]
    assert ids[4:]
    assert set(ids[4:]) <= set(ids[:4])


def ticks(*numbers: int) -> Any:
    """Units of work of one batch with these events."""
    events = [{"id": f"tick{n}", "type": "go", "timestamp": n, "partition_key": "k"} for n in numbers]
    return from_kinesis(to_kinesis_records(events))


def test_events_in_one_batch_read_one_page_after_the_other(things: Any, bus: Any, run: Callable[..., Any]) -> None:
    run(rule(event_type="go"), uows=ticks(1, 2))

    assert len(set(seen(bus))) == len(seen(bus)) > 4


def test_a_batch_that_is_delivered_again_in_other_pieces_reads_the_same_pages(
    things: Any, bus: Any, run: Callable[..., Any]
) -> None:
    for batch in (ticks(1, 2), ticks(3)):
        run(rule(event_type="go"), uows=batch)
    row = things.get_item(Key=KEY)["Item"]
    ids = {event["id"] for event in bus.of_type("thing-seen")}
    for batch in (ticks(1, 2, 3), ticks(1), ticks(2)):
        run(rule(event_type="go"), uows=batch)

    assert {event["id"] for event in bus.of_type("thing-seen")} == ids
    assert things.get_item(Key=KEY)["Item"].get("cursor") == row.get("cursor")


def test_items_that_fail_have_faults_with_ids_of_their_own(things: Any, bus: Any, run: Callable[..., Any]) -> None:
    def execute(uow: Any) -> None:
        raise ValueError("no")

    run(rule(event_type="go", filters=[], execute=execute), uows=ticks(1))

    assert len({fault["id"] for fault in bus.of_type("fault")}) == len(bus.of_type("fault")) == 4


def test_a_change_of_the_job_s_own_row_continues_the_job_while_there_is_a_cursor(
    things: Any, bus: Any, run: Callable[..., Any]
) -> None:
    tick(run, rule(), 1000)
    for attempt in range(5):
        row = things.get_item(Key=KEY)["Item"]
        change = to_dynamodb_records([{"keys": KEY, "oldImage": {**KEY, "discriminator": "JOB"}, "newImage": row}])
        change["Records"][0]["eventID"] = f"change-{attempt}"
        run(rule(), uows=from_dynamodb(change))
    assert seen(bus) == list(range(10))


def test_a_change_of_another_job_s_row_is_ignored(things: Any, bus: Any, run: Callable[..., Any]) -> None:
    row = {"pk": "other", "sk": "JOB", "discriminator": "JOB", "cursor": {"pk": "t1", "sk": "thing"}}
    uows = from_dynamodb(
        to_dynamodb_records([{"keys": {"pk": "other", "sk": "JOB"}, "oldImage": row, "newImage": row}])
    )
    run(rule(), uows=uows)
    assert seen(bus) == []


def test_the_cursor_stays_where_it_was_when_the_work_is_left_for_retry(things: Any, bus: Any) -> None:
    def execute(uow: Any) -> None:
        raise TimeoutError

    pipeline = StreamPipeline(initialize_from([rule(execute=execute, event_type="go")]), DEFAULT_OPTIONS)
    event = {"id": "e", "type": "go", "timestamp": 1, "partition_key": "k"}
    assert pipeline.assemble(from_kinesis(to_kinesis_records([event])))["batchItemFailures"]
    assert "Item" not in things.get_item(Key=KEY)


def test_an_item_that_is_poison_becomes_a_fault_and_the_job_continues(
    things: Any, bus: Any, run: Callable[..., Any]
) -> None:
    def execute(uow: Any) -> None:
        if uow["item"]["n"] == 3:
            raise ValueError("three")

    tick(run, rule(execute=execute, pages=9), 1000)
    assert seen(bus) == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert len(bus.of_type("fault")) == 1


def test_a_job_may_query_and_update_each_row(table: Any, run: Callable[..., Any]) -> None:
    for number in range(5):
        table.put_item(Item={"pk": "list", "sk": f"{number}"})
    rules = rule(
        to_scan_request=None,
        to_query_request=lambda uow: {
            "KeyConditionExpression": "pk = :pk",
            "ExpressionAttributeValues": {":pk": "list"},
            "Limit": 2,
        },
        filters=[],
        emit=None,
        to_update_request=lambda uow: {
            "Key": {"pk": "list", "sk": uow["item"]["sk"]},
            **update_expression({"seen": True}),
        },
    )
    for number in range(1, 4):
        tick(run, rules, number * 1000)
    assert all(row.get("seen") for row in table.scan()["Items"] if row["pk"] == "list")


def test_a_function_that_is_invoked_again_reads_the_cursor_again(things: Any, bus: Any) -> None:
    handler = stream_handler([rule()], from_schedule)
    for number in range(1, 4):
        handler(to_schedule_event(timestamp=number * 1000), None)
        if number == 1:
            row = things.get_item(Key=KEY)["Item"]
            assert row["served"] == [{"event_id": row["event_id"]}]
    assert seen(bus) == list(range(10))
