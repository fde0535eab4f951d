"""Charts of a function: what was observed of a local cloud, and CloudWatch's figures of a stage."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from stream_cli.console import measures
from stream_cli.console.buckets import Buckets
from stream_cli.console.log_tails import LogTails
from stream_cli.journal.answers import Journal
from stream_cli.journal.writer import Writer

NOON = 1_795_000_000_000
BUCKETS = Buckets.until(NOON, 15 * 60_000)


@pytest.fixture
def journal(tmp_path: Path) -> Any:
    writer = Writer(tmp_path, "emulator")
    for number in range(10):
        at = NOON - (60_000 if number >= 8 else 0)
        outcome = "failed" if number == 3 else "ok"
        call = {"kind": "call", "at": at, "function": "trigger", "request": f"{number}", "outcome": outcome}
        writer.put({**call, "start": NOON, "end": NOON + 10 * number})
    writer.close()
    return Journal(tmp_path)


def test_invocations_errors_and_durations_are_counted_by_time(journal: Journal) -> None:
    found = measures.of_the_journal(journal, "trigger", BUCKETS)
    assert (found["invocations"][-1], found["invocations"][-5], sum(found["invocations"])) == (8, 2, 10)
    assert (found["errors"][-1], sum(found["errors"])) == (1, 1)
    assert (found["p50"][-1], found["p95"][-1], found["p50"][0]) == (30, 70, None)
    assert found["cut"] is None


def test_too_many_invocations_are_said(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measures, "MOST_CALLS", 4)
    found = measures.of_the_journal(journal, "trigger", BUCKETS)
    assert (sum(found["invocations"]), found["cut"]) == (4, NOON)


class CloudWatch:
    """A connection whose CloudWatch has one value of each figure."""

    def __init__(self) -> None:
        self.asked: dict[str, Any] = {}

    def client(self, name: str) -> CloudWatch:
        assert name == "cloudwatch"
        return self

    def get_metric_data(self, **asked: Any) -> dict[str, Any]:
        self.asked = asked
        at = datetime.fromtimestamp(BUCKETS.start / 1000, UTC)
        results = [
            {"Id": each["Id"], "Timestamps": [at], "Values": [float(place)]}
            for place, each in enumerate(asked["MetricDataQueries"], 1)
        ]
        return {"MetricDataResults": results}


def test_a_stage_has_the_figures_of_cloudwatch() -> None:
    stage = CloudWatch()
    found = measures.of_cloudwatch(stage, "trigger", BUCKETS)  # type: ignore[arg-type]
    assert (found["invocations"][0], found["errors"][0], found["p50"][0], found["p95"][0]) == (1, 2, 3.0, 4.0)
    assert (found["invocations"][1], found["p50"][1], found["from"]) == (0, None, "CloudWatch")
    asked = [(each["MetricStat"]["Stat"], each["MetricStat"]["Period"]) for each in stage.asked["MetricDataQueries"]]
    assert asked == [("Sum", 15), ("Sum", 15), ("p50", 15), ("p95", 15)]


@pytest.mark.parametrize(("minutes", "step", "number"), [("5", 60_000, 5), ("60", 60_000, 60), ("180", 180_000, 60)])
def test_the_figures_of_a_stage_are_of_whole_minutes(minutes: str, step: int, number: int) -> None:
    found = measures.range_of({"minutes": minutes}, at_a_stage=True)
    assert (found.step, found.number, found.start % step) == (step, number, 0)


def test_charts_have_a_value_for_each_part_of_the_time(journal: Journal) -> None:
    tails = LogTails(dict, dict)
    found = measures.measures("trigger", {"minutes": "5"}, journal, tails, None)
    assert len(found["at"]) == len(found["calls"]["p95"]) == 60
    assert found["logged"] == {"metrics": [], "left_out": 0}
    with pytest.raises(ValueError, match="one of 5, 15, 60, 180"):
        measures.measures("trigger", {"minutes": "7"}, journal, tails, None)
