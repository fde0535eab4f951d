"""The console shows the table of `npm start` as it becomes true, and says why there is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from stream_cli.console.expectations import expectations
from stream_cli.local.state import StateFolder, write_json

from demo.expectations import Expectation
from demo.published import PublishedTable

ROWS, FAULTS = Expectation("rows", "2 rows", "1 row", False, ("half: no row",)), Expectation("faults", "0", "0", True)


class Clock:
    """Seconds since 1970."""

    def __init__(self) -> None:
        self.now = 1_795_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def state(tmp_path: Path) -> StateFolder:
    folder = StateFolder(tmp_path / "state")
    folder.secure()
    return folder


def shown(state: StateFolder) -> dict[str, Any]:
    return expectations("local", state)


def states(state: StateFolder) -> list[tuple[str, bool, int]]:
    return [(each["name"], each["ok"], each["since"] - 1_795_000_000_000) for each in shown(state)["expectations"]]


def test_a_line_says_since_when_it_is_as_it_is(state: StateFolder) -> None:
    clock = Clock()
    published = PublishedTable(state, clock)
    assert (shown(state)["state"], shown(state)["expectations"]) == ("feeding", [])
    published.waiting([ROWS, FAULTS])
    clock.now += 3
    published.waiting([Expectation("rows", "2 rows", "1 row, and a half", False), FAULTS])
    assert states(state) == [("rows", False, 0), ("faults", True, 0)]
    assert shown(state)["expectations"][0]["seen"] == "1 row, and a half"
    clock.now += 3
    published.settled([Expectation("rows", "2 rows", "2 rows", True), FAULTS])
    assert states(state) == [("rows", True, 6000), ("faults", True, 0)]
    assert (shown(state)["state"], shown(state)["at"]) == ("settled", 1_795_000_006_000)


def test_while_the_sample_is_fed_in_the_table_is_made_now_and_then(state: StateFolder) -> None:
    clock, made = Clock(), []
    published = PublishedTable(state, clock)

    def table() -> list[Expectation]:
        made.append(clock.now)
        return [ROWS]

    for number in range(9):
        clock.now += 0.5
        published.feeding(f"{number} stories posted", table)
        assert shown(state)["note"] == f"{number} stories posted"
    assert len(made) == 2
    assert states(state) == [("rows", False, 2000)]


def test_a_table_that_is_as_it_was_is_not_written_again(state: StateFolder) -> None:
    published = PublishedTable(state)
    published.waiting([ROWS])
    before = state.expectations_file.stat().st_ino
    published.waiting([ROWS])
    assert state.expectations_file.stat().st_ino == before
    assert state.expectations_file.stat().st_mode & 0o777 == 0o600


def test_a_process_that_ended_before_all_was_seen_is_told(state: StateFolder) -> None:
    PublishedTable(state).waiting([ROWS])
    content = json.loads(state.expectations_file.read_text())
    write_json(state.expectations_file, {**content, "owner": {"pid": 1, "started": 0.0}})
    assert shown(state)["state"] == "ended"
    assert "ended before all was seen" in shown(state)["why"]


def test_where_nothing_was_fed_in_it_says_why(state: StateFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "are being deployed" in shown(state)["why"]
    monkeypatch.setattr(StateFolder, "cloud", lambda _: {"deployed": True})
    assert shown(state)["state"] == "none"
    assert "`streamctl up`, which feeds nothing in" in shown(state)["why"]
    assert "Not known at a stage" in expectations("dev", state)["why"]


def test_secrets_and_control_characters_in_what_was_seen_are_not_shown_as_they_are(state: StateFolder) -> None:
    seen = ("password=Xk29zQpL81", "\x1b[2J")
    PublishedTable(state).settled([Expectation("rows", "1", "0", False, seen)])
    (line,) = shown(state)["expectations"]
    assert line["details"] == ["password=[redacted]", "\\x1b[2J"]
