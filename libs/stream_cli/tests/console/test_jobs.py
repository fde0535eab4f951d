"""Jobs run beside what else is asked, tell how far they are, and end behind a record."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from stream_cli.console.jobs import JobKind, Jobs, Progress, Work
from stream_cli.console.refusals import Refusal
from stream_cli.errors import CommandError


class Counting:
    """A job of some records: each is begun when the test says so, then done."""

    def __init__(self, total: int = 3) -> None:
        self.total = total
        self.may_go_on = threading.Semaphore(0)
        self.begun = threading.Semaphore(0)
        self.half_done: set[int] = set()
        self.acknowledged: list[int] = []

    def prepare(self, body: Mapping[str, Any]) -> Work:
        return Work(f"Count to {self.total}", self.run, self.total)

    def run(self, progress: Progress) -> None:
        try:
            for number in range(self.total):
                self.half_done.add(number)
                self.begun.release()
                self.may_go_on.acquire()
                self.half_done.remove(number)
                self.acknowledged.append(number)
                progress.reached(number + 1)
        finally:
            progress.result = {"acknowledged": list(self.acknowledged)}


@pytest.fixture
def counting() -> Counting:
    return Counting()


@pytest.fixture
def jobs_of() -> Iterator[Callable[..., Jobs]]:
    made: list[Jobs] = []

    def make(*, writes: bool = True, **kinds: JobKind) -> Jobs:
        made.append(Jobs(kinds, writes=writes))
        return made[-1]

    yield make
    for each in made:
        each.close()


def ended(jobs: Jobs, id: str) -> dict[str, Any]:
    """A job at its end."""
    jobs._jobs[id].thread.join(30)  # type: ignore[union-attr]
    return jobs.one(id)


def doing(run: Callable[[Progress], None]) -> JobKind:
    return JobKind(lambda _: Work("Do it", run))


def test_a_job_tells_how_far_it_is_and_what_came_of_it(jobs_of: Callable[..., Jobs], counting: Counting) -> None:
    jobs = jobs_of(count=JobKind(counting.prepare))
    id = jobs.begin("count", {})["id"]
    counting.begun.acquire()
    seen = jobs.one(id)
    assert (seen["state"], seen["done"], seen["total"], seen["what"]) == ("running", 0, 3, "Count to 3")
    for _ in range(3):
        counting.may_go_on.release()
    seen = ended(jobs, id)
    assert (seen["state"], seen["done"], seen["result"]) == ("done", 3, {"acknowledged": [0, 1, 2]})
    assert seen["ended"] >= seen["began"]


def test_a_job_stops_behind_the_record_at_which_it_is(jobs_of: Callable[..., Jobs], counting: Counting) -> None:
    jobs = jobs_of(count=JobKind(counting.prepare))
    id = jobs.begin("count", {})["id"]
    counting.begun.acquire()
    assert jobs.stop(id)["stopping"]
    counting.may_go_on.release()
    seen = ended(jobs, id)
    assert (seen["state"], seen["done"], seen["result"]) == ("stopped", 1, {"acknowledged": [0]})
    assert counting.half_done == set()
    assert jobs.stop(id)["state"] == "stopped"


def test_a_console_that_ends_waits_until_the_record_is_done_and_begins_nothing(
    jobs_of: Callable[..., Jobs], counting: Counting
) -> None:
    jobs = jobs_of(count=JobKind(counting.prepare))
    id = jobs.begin("count", {})["id"]
    counting.begun.acquire()
    closing = threading.Thread(target=jobs.close)
    closing.start()
    while not jobs.one(id)["stopping"]:
        closing.join(0.01)
    assert closing.is_alive()
    counting.may_go_on.release()
    closing.join(30)
    assert jobs.one(id)["state"] == "stopped"
    assert (counting.half_done, counting.acknowledged) == (set(), [0])
    with pytest.raises(Refusal, match="is ending"):
        jobs.begin("count", {})


def test_a_job_that_waits_for_its_rate_stops_at_once(jobs_of: Callable[..., Jobs]) -> None:
    jobs = jobs_of(wait=doing(lambda progress: progress.wait(3600)))
    id = jobs.begin("wait", {})["id"]
    jobs.stop(id)
    assert ended(jobs, id)["state"] == "stopped"


def test_of_two_at_once_the_second_is_refused_and_told_which_runs(
    jobs_of: Callable[..., Jobs], counting: Counting
) -> None:
    jobs = jobs_of(count=JobKind(counting.prepare), other=doing(lambda _: None))
    first = jobs.begin("count", {})["id"]
    with pytest.raises(Refusal, match="running already: Count to 3") as refused:
        jobs.begin("count", {})
    assert refused.value.status == 409
    assert ended(jobs, jobs.begin("other", {})["id"])["state"] == "done"
    for _ in range(3):
        counting.may_go_on.release()
    ended(jobs, first)
    for _ in range(3):
        counting.may_go_on.release()
    assert ended(jobs, jobs.begin("count", {})["id"])["state"] == "done"


def test_of_two_that_prepare_at_once_one_begins(jobs_of: Callable[..., Jobs]) -> None:
    both, ran, refused = threading.Barrier(2), [], []

    def prepare(_: Mapping[str, Any]) -> Work:
        both.wait(30)
        return Work("Do it", lambda progress: progress.wait(3600))

    jobs = jobs_of(slow=JobKind(prepare))

    def begin() -> None:
        try:
            ran.append(jobs.begin("slow", {})["id"])
        except Refusal as refusal:
            refused.append(refusal.status)

    threads = [threading.Thread(target=begin) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(30)
    assert (len(ran), refused) == (1, [409])


def test_why_a_job_failed_is_told_without_secrets(jobs_of: Callable[..., Jobs]) -> None:
    def refuse(progress: Progress) -> None:
        progress.say("It begins with password=correct-horse-9")
        raise CommandError("The bucket is gone, as password=correct-horse-9 says")

    def break_down(_: Progress) -> None:
        raise KeyError("evnt")

    jobs = jobs_of(refuse=doing(refuse), break_down=doing(break_down))
    refused = ended(jobs, jobs.begin("refuse", {})["id"])
    assert refused["state"] == "failed"
    assert "The bucket is gone" in refused["problem"]
    assert "correct-horse-9" not in str(refused)
    assert ended(jobs, jobs.begin("break_down", {})["id"])["problem"] == "KeyError: 'evnt'"


def test_the_last_twenty_that_ended_are_kept(jobs_of: Callable[..., Jobs]) -> None:
    jobs = jobs_of(quick=doing(lambda progress: progress.say("done")))
    ids = []
    for _ in range(25):
        ids.append(jobs.begin("quick", {})["id"])
        ended(jobs, ids[-1])
    assert [each["id"] for each in jobs.all()["jobs"]] == ids[:3:-1]
    with pytest.raises(Refusal, match="no such job"):
        jobs.one(ids[0])


def test_a_console_that_may_not_write_runs_only_what_reads(jobs_of: Callable[..., Jobs]) -> None:
    reads = JobKind(lambda _: Work("Look", lambda _: None), writes=False)
    jobs = jobs_of(writes=False, change=doing(lambda _: None), look=reads)
    with pytest.raises(Refusal, match="read-only: start it with --write") as refused:
        jobs.begin("change", {})
    assert refused.value.status == 403
    assert ended(jobs, jobs.begin("look", {})["id"])["state"] == "done"
