"""`npm start` tells what fails again and again, and what nothing takes, among the events."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from demo import main_job


def test_troubles_are_told_in_the_stream_of_events(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    told = iter([["control-service-local-listener ← hub failed 2 times in a row"]])

    @contextlib.contextmanager
    def step(_: str) -> Iterator[Any]:
        yield lambda note: None

    feeding = SimpleNamespace(fed=SimpleNamespace(stories=0, analyses=0), arm_throttles=list, run=lambda stop: None)
    monkeypatch.setattr(main_job.feed, "Feed", lambda *_: feeding)
    monkeypatch.setattr(main_job, "settled", lambda *arguments: (arguments[4](), [])[1])

    main_job.send_and_observe(
        SimpleNamespace(),  # type: ignore[arg-type]
        SimpleNamespace(check=lambda: None),  # type: ignore[arg-type]
        SimpleNamespace(look=lambda: ([], 0)),  # type: ignore[arg-type]
        main_job.feed.sample(),
        SimpleNamespace(say=said.append, step=step),  # type: ignore[arg-type]
        SimpleNamespace(new=lambda: next(told, [])),  # type: ignore[arg-type]
        SimpleNamespace(feeding=lambda *_: None, waiting=None, settled=lambda _: None),  # type: ignore[arg-type]
    )

    (line,) = said
    assert line.endswith("  note   control-service-local-listener ← hub failed 2 times in a row")
