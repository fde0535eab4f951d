"""What comes in reaches every page that is open; a page that does not keep up is told to load anew."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from stream_cli.console import application, arrivals
from stream_cli.console.arrivals import Arrivals
from stream_cli.errors import CommandError
from stream_cli.journal.answers import Journal
from stream_cli.journal.questions import Arrived, Questions
from stream_cli.journal.writer import Writer


def event(number: int) -> dict[str, Any]:
    return {
        "kind": "event", "at": 1_795_000_000_000 + number, "bus": "hub", "id": f"bus-{number}", "source": "custom",
        "type": "ready", "rules": [], "detail": {"id": f"event-{number}", "partition_key": "key-1", "secret": "x"},
    }  # fmt: skip


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path)


@pytest.fixture
def writer(tmp_path: Path) -> Any:
    writing = Writer(tmp_path, "emulator")
    yield writing
    writing.close()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "EVERY_S", 0.01)


async def following(source: Arrivals) -> AsyncIterator[dict[str, Any]]:
    async for text in source.messages():
        yield json.loads(text)


async def until(page: AsyncIterator[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """Messages until so many events were told of, shown or left out."""
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(30):
        while sum(each["counts"].get("event", 0) for each in found) < count:
            found.append(await anext(page))
    return found


def test_each_page_is_told_what_is_written_from_its_first_message_on(journal: Journal, writer: Writer) -> None:
    async def watch() -> None:
        writer.put(event(0))
        writer.flush()
        source = Arrivals(journal)
        first, second = following(source), following(source)
        assert (await anext(first))["events"] == (await anext(second))["events"] == []
        for number in (1, 2):
            writer.put(event(number))
        writer.put(
            {
                "kind": "filtered",
                "at": 1,
                "mapping": "m",
                "function": "f",
                "stream": "s",
                "shard": "0",
                "numbers": ["1"],
            }
        )
        writer.flush()
        for page in (first, second):
            told = await until(page, 2)
            shown = [each for message in told for each in message["events"]]
            assert [each["event"] for each in shown] == ["event-1", "event-2"]
            assert "secret" not in json.dumps(shown)
        await first.aclose()  # type: ignore[attr-defined]
        await second.aclose()  # type: ignore[attr-defined]

    asyncio.run(watch())


def test_more_than_a_person_reads_is_counted_and_not_described(
    journal: Journal, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    described: list[Any] = []
    monkeypatch.setattr(arrivals, "summary", lambda line: described.append(line) or {"event": line["detail"]["id"]})

    async def watch() -> None:
        page = following(Arrivals(journal))
        await anext(page)
        for number in range(1_000):
            writer.put(event(number))
        writer.flush()
        told = await until(page, 1_000)
        shown = [len(each["events"]) for each in told]
        assert sum(shown) + sum(each["left_out"] for each in told) == 1_000
        assert all(number <= 200 for number in shown)
        assert not any(each["events"] for each in told if each["left_out"])
        assert len(described) == sum(shown)  # the page asks for the newest instead, at most once a second
        await page.aclose()  # type: ignore[attr-defined]

    asyncio.run(watch())


def test_while_more_comes_than_a_person_reads_pages_are_told_once_a_second(
    journal: Journal, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    sleep = asyncio.sleep

    async def noted(seconds: float) -> None:
        slept.append(seconds)
        await sleep(0)

    monkeypatch.setattr(arrivals.asyncio, "sleep", noted)

    async def watch() -> None:
        page = following(Arrivals(journal))
        await anext(page)
        for number in range(1_000):
            writer.put(event(number))
        writer.flush()
        told = await until(page, 1_000)
        seldom = slept.count(arrivals.SELDOM_S)
        writer.put(event(1_000))
        writer.flush()
        await until(page, 1)
        await page.aclose()  # type: ignore[attr-defined]
        assert sum(1 for each in told if each["left_out"]) == seldom > 0
        assert slept[0] == slept[-1] == arrivals.EVERY_S

    asyncio.run(watch())


class Busy(Questions):
    """Something comes in whenever it is asked; counts how often that is."""

    def __init__(self) -> None:
        self.asked = 0
        self.fails: Exception | None = None

    def arrived(self, after: str | None = None, **_: Any) -> Arrived:
        self.asked += 1
        if self.fails is not None:
            problem, self.fails = self.fails, None
            raise problem
        return Arrived([event(self.asked)], str(self.asked))  # type: ignore[list-item]


def test_a_page_that_does_not_read_holds_nothing_up_and_loads_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    async def watch() -> None:
        questions = Busy()
        source = Arrivals(questions)
        slow, quick = following(source), following(source)
        await anext(slow)
        await anext(quick)
        async for _ in quick:
            if questions.asked > 50:
                break
        waiting = [await anext(slow) for _ in range(2)]
        assert any(each["missed"] for each in waiting)
        await slow.aclose()  # type: ignore[attr-defined]
        await quick.aclose()  # type: ignore[attr-defined]

    asyncio.run(watch())


def test_nothing_is_read_while_no_page_is_open() -> None:
    async def watch() -> None:
        questions = Busy()
        source = Arrivals(questions)
        page = following(source)
        for _ in range(3):
            await anext(page)
        await page.aclose()  # type: ignore[attr-defined]
        await asyncio.sleep(0)
        asked = questions.asked
        for _ in range(20):
            await asyncio.sleep(0.01)
        assert questions.asked <= asked + 1  # one may have been on its way

    asyncio.run(watch())


class OneAtATime(Questions):
    """A journal with one event, of which the first page is told late where it ends."""

    def __init__(self) -> None:
        self.asked = 0
        self.may_answer = threading.Event()

    def arrived(self, after: str | None = None, **_: Any) -> Arrived:
        self.asked += 1
        if self.asked == 1:
            assert self.may_answer.wait(30)
            return Arrived([], "behind the event")
        return Arrived(
            [event(1)] if after == "before the event" and self.may_answer.is_set() else [], after or "before the event"
        )  # type: ignore[list-item]


def test_of_two_pages_that_come_at_once_none_misses_what_comes_while_the_other_begins() -> None:
    async def watch() -> None:
        questions = OneAtATime()
        source = Arrivals(questions)
        first, second = following(source), following(source)
        beginning = asyncio.create_task(anext(first))  # type: ignore[arg-type]
        async with asyncio.timeout(30):
            while questions.asked == 0:
                await asyncio.sleep(0)
            assert (await anext(second))["events"] == []
            questions.may_answer.set()
            await beginning
            assert (await anext(second))["events"]
        await first.aclose()  # type: ignore[attr-defined]
        await second.aclose()  # type: ignore[attr-defined]

    asyncio.run(watch())


class Failing(Questions):
    """A journal that cannot be read once; meanwhile an event is written."""

    def __init__(self) -> None:
        self.end = 0
        self.fails = False
        self.told: list[int] = []

    def arrived(self, after: str | None = None, **_: Any) -> Arrived:
        if self.fails:
            self.fails = False
            raise OSError("the disk is gone for a moment")
        return Arrived([event(number) for number in range(int(after or self.end), self.end)], str(self.end))  # type: ignore[misc]


def test_a_page_that_loads_anew_after_a_failure_is_told_all_that_comes_then() -> None:
    async def watch() -> None:
        questions = Failing()
        page = following(Arrivals(questions))
        await anext(page)
        questions.fails = True
        async with asyncio.timeout(30):
            assert (await anext(page))["missed"]
            questions.end += 1  # the page has loaded before
            assert (await anext(page))["events"]
        await page.aclose()  # type: ignore[attr-defined]

    asyncio.run(watch())


FAILURES = [OSError("the disk is gone for a moment"), CommandError("the index cannot be written"), KeyError("at")]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda each: type(each).__name__)
def test_a_failure_to_read_is_told_and_reading_goes_on(failure: Exception) -> None:
    async def watch() -> None:
        questions = Busy()
        page = following(Arrivals(questions))
        await anext(page)
        questions.fails = failure
        async with asyncio.timeout(30):
            assert any([(await anext(page))["missed"] for _ in range(5)])
            assert (await anext(page))["events"]
        await page.aclose()  # type: ignore[attr-defined]

    asyncio.run(watch())


@pytest.mark.parametrize("failure", FAILURES, ids=lambda each: type(each).__name__)
def test_the_index_is_kept_current_while_nobody_asks_and_after_a_failure(
    failure: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(application, "_CURRENT_WITHIN_S", 0.01)

    class Asked(Questions):
        times = 0

        def coverage(self) -> Any:
            self.times += 1
            if self.times == 1:
                raise failure

    async def wait() -> None:
        questions = Asked()
        keeping = asyncio.create_task(application.kept_current(questions))
        async with asyncio.timeout(30):
            while questions.times < 3:
                await asyncio.sleep(0.01)
        keeping.cancel()

    asyncio.run(wait())


class Unreadable(Questions):
    """A journal that cannot be read at some times."""

    def __init__(self, failing: range) -> None:
        self.failing = failing
        self.times = 0

    def coverage(self) -> Any:
        self.times += 1
        if self.times in self.failing:
            raise CommandError("the index cannot be written")

    def arrived(self, after: str | None = None, **_: Any) -> Arrived:
        self.coverage()
        return Arrived([], "here")


def test_a_failure_that_lasts_is_logged_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(application, "_CURRENT_WITHIN_S", 0.001)
    monkeypatch.setattr(arrivals, "EVERY_S", 0.001)

    async def watch() -> None:
        kept, told = Unreadable(range(2, 9)), Unreadable(range(2, 9))
        keeping = asyncio.create_task(application.kept_current(kept))
        page = following(Arrivals(told))
        await anext(page)
        async with asyncio.timeout(30):
            while min(kept.times, told.times) < 12:
                await asyncio.sleep(0.001)
        keeping.cancel()
        await page.aclose()  # type: ignore[attr-defined]

    asyncio.run(watch())
    assert sorted(record.getMessage() for record in caplog.records if record.levelname == "ERROR") == [
        "The index cannot be brought up to date; trying again",
        "What has come in cannot be read; trying again",
    ]
