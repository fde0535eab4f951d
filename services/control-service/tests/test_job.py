"""The job: overdue stories expire, others stay."""

import time
from types import SimpleNamespace
from typing import Any

import pytest
from stream_runtime.events import to_kinesis_records

CONTEXT = SimpleNamespace(get_remaining_time_in_millis=lambda: 60_000)


def submit(story_id: str, age_s: int) -> None:
    """Collect a story that was submitted so long ago, at once."""
    from control.handlers.listener import handler

    submitted_s = int(time.time() - age_s)
    event = {
        "id": f"submitted-{story_id}",
        "type": "story-submitted",
        "timestamp": submitted_s * 1000,
        "partition_key": story_id,
        "story": {"id": story_id},
    }
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("control.rules.listener.time", SimpleNamespace(time=lambda: submitted_s))
        assert handler(to_kinesis_records([event]), None) == {"batchItemFailures": []}


def run(context: Any = CONTEXT) -> dict[str, int]:
    from control.handlers.job import handler

    return handler({}, context)


def rows(table: Any) -> list[str]:
    return sorted(row["pk"] for row in table.scan()["Items"])


def test_overdue_rows_are_removed_and_the_others_stay(table: Any) -> None:
    submit("old", age_s=3700)
    submit("young", age_s=10)

    assert run() == {"expired": 1, "settled": 0}

    assert rows(table) == ["submitted-young"]
    assert run() == {"expired": 0, "settled": 0}


def test_a_row_stays_until_its_ttl_has_passed_by_any_clock(table: Any) -> None:
    submit("just over", age_s=3600 + 30)

    assert run() == {"expired": 0, "settled": 0}


def test_a_story_that_became_ready_is_no_longer_waiting(table: Any) -> None:
    from control.handlers.listener import handler

    submit("old", age_s=3700)
    ready = {"id": "r", "type": "story-ready", "timestamp": 1, "story": {}, "triggers": [{"id": "submitted-old"}]}
    handler(to_kinesis_records([ready]), None)

    assert run() == {"expired": 0, "settled": 0}
    assert rows(table) == ["submitted-old"]


def test_a_row_that_is_settled_between_reading_and_removing_stays(table: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from control.dal import waiting

    submit("old", age_s=3700)
    overdue = list(waiting.overdue(int(time.time())))
    table.update_item(Key={"pk": "submitted-old", "sk": "EVENT"}, UpdateExpression="REMOVE waiting")
    monkeypatch.setattr(waiting, "overdue", lambda before: iter(overdue))

    assert run() == {"expired": 0, "settled": 1}
    assert rows(table) == ["submitted-old"]


def test_a_run_that_has_no_time_left_stops(table: Any) -> None:
    submit("a", age_s=3700)
    submit("b", age_s=3700)

    assert run(SimpleNamespace(get_remaining_time_in_millis=lambda: 1_000))["expired"] == 1
    assert len(rows(table)) == 1


@pytest.mark.parametrize("name", ["job-schedule", "job-poison"])
def test_the_job_ignores_its_event(table: Any, fixture: Any, name: str) -> None:
    from control.handlers.job import handler

    assert handler(fixture(name), CONTEXT) == fixture(f"{name}.expected")["returns"]


def test_stories_of_the_fixtures_are_not_overdue(table: Any, fixture: Any) -> None:
    from control.handlers.job import handler
    from control.handlers.listener import handler as listener

    listener(fixture("listener-story-submitted"), None)

    assert handler(fixture("job-schedule"), CONTEXT) == fixture("job-schedule.expected")["returns"]
