"""Jobs: what takes long, each in a thread of its own, with its progress and its end.

A part of the console registers a `JobKind`. Its ``prepare`` looks at what was asked and returns the `Work`, or raises
what is wrong with it. The work tells its `Progress` how far it is after each record, and ends there when it is asked to
stop: by a person, or because the console ends.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from stream_cli.console.refusals import Refusal
from stream_cli.errors import CommandError
from stream_cli.faults.secret_text import redacted_text

READ_ONLY = "This console is read-only: start it with --write."

_KEPT = 20
_LINES = 200
_LONGEST = 2000

logger = logging.getLogger("stream_cli.console")

State = Literal["running", "done", "failed", "stopped"]


class Stopped(Exception):
    """A job was asked to stop, and has ended behind a record."""


class Progress:
    """How far a job is; the job tells it.

    Attributes:
        result: values of JSON without secrets, what was done so far included. It is shown however the job ends.
    """

    def __init__(self, total: int | None = None) -> None:
        self.total = total
        self.done = 0
        self.result: Any = None
        self.lines: deque[str] = deque(maxlen=_LINES)
        self._stop = threading.Event()

    def reached(self, done: int) -> None:
        """Tell how many records are done. Call it where nothing is half done.

        Raises:
            Stopped: the job has to end here.
        """
        self.done = done
        self.check()

    def check(self) -> None:
        """Raise `Stopped` if the job has to end here."""
        if self._stop.is_set():
            raise Stopped

    def wait(self, seconds: float) -> None:
        """Do nothing for some time, such as for a limit of the rate.

        Raises:
            Stopped: the job has to end here.
        """
        if self._stop.wait(seconds):
            raise Stopped

    def say(self, text: str) -> None:
        """Tell people something; of many lines the last are kept. Secrets are hidden."""
        self.lines.append(redacted_text(text)[:_LONGEST])

    def stop(self) -> None:
        """Have the job end where it next says how far it is."""
        self._stop.set()

    @property
    def is_stopping(self) -> bool:
        """Whether the job was asked to stop."""
        return self._stop.is_set()


@dataclass(frozen=True)
class Work:
    """What a job does.

    Attributes:
        what: says so to people: what is done, and to what.
        total: how many records there are; None if that is not known, until the job sets ``progress.total``.
    """

    what: str
    run: Callable[[Progress], None]
    total: int | None = None


@dataclass(frozen=True)
class JobKind:
    """A kind of job.

    Attributes:
        prepare: is called with the body of the request. It raises ValueError (400) where that is wrong, and
            CommandError (409) where it cannot be done as things are.
        writes: whether it changes anything in the stage.
    """

    prepare: Callable[[Mapping[str, Any]], Work]
    writes: bool = True


@dataclass
class Job:
    """A job that runs or has ended; times are in ms since 1970."""

    id: str
    kind: str
    what: str
    progress: Progress
    began: int
    ended: int | None = None
    state: State = "running"
    problem: str = ""
    thread: threading.Thread | None = field(default=None, repr=False)

    def shown(self) -> dict[str, Any]:
        """The job for the page."""
        progress = self.progress
        return {
            "id": self.id,
            "kind": self.kind,
            "what": self.what,
            "state": self.state,
            "stopping": progress.is_stopping and self.state == "running",
            "began": self.began,
            "ended": self.ended,
            "done": progress.done,
            "total": progress.total,
            "lines": list(progress.lines),
            "problem": self.problem,
            "result": progress.result,
        }


class Jobs:
    """The jobs of a console: those that run, at most one of a kind, and the last that have ended."""

    def __init__(self, kinds: Mapping[str, JobKind], *, writes: bool) -> None:
        self._kinds = kinds
        self._writes = writes
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()
        self._is_closed = False

    def begin(self, kind: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Begin a job; returns its ``id``.

        Raises:
            Refusal: there is no such kind, it may not write, one of its kind runs, or the console ends.
            ValueError, CommandError: of ``prepare``.
        """
        known = self._kinds.get(kind)
        if known is None:
            raise Refusal(404, "There is no job of this kind.")
        if known.writes and not self._writes:
            raise Refusal(403, READ_ONLY)
        with self._lock:
            self._refuse_second(kind)
        work = known.prepare(body)
        with self._lock:
            self._refuse_second(kind)
            job = Job(secrets.token_urlsafe(12), kind, work.what, Progress(work.total), _now())
            self._jobs[job.id] = job
            ended = [each.id for each in self._jobs.values() if each.state != "running"]
            for id in ended[: max(len(ended) - _KEPT, 0)]:
                del self._jobs[id]
            # It ends with the process if that ends without `close`.
            job.thread = threading.Thread(target=self._run, args=(job, work), name=f"job {kind}", daemon=True)
            job.thread.start()
        return {"id": job.id}

    def _refuse_second(self, kind: str) -> None:
        if self._is_closed:
            raise Refusal(503, "The console is ending.")
        for each in self._jobs.values():
            if each.kind == kind and each.state == "running":
                raise Refusal(409, f"This is running already: {each.what}. Stop it, or wait until it has ended.")

    def all(self) -> dict[str, Any]:
        """All jobs, the newest first."""
        with self._lock:
            return {"jobs": [each.shown() for each in reversed(self._jobs.values())]}

    def one(self, id: str) -> dict[str, Any]:
        """A job.

        Raises:
            Refusal: there is none.
        """
        return self._found(id).shown()

    def stop(self, id: str) -> dict[str, Any]:
        """Ask a job to stop; one that has ended stays as it is.

        Raises:
            Refusal: there is none.
        """
        job = self._found(id)
        job.progress.stop()
        return job.shown()

    def close(self) -> None:
        """Stop all jobs, and wait until each has ended behind a record."""
        with self._lock:
            self._is_closed = True
            running = [each for each in self._jobs.values() if each.state == "running"]
        for job in running:
            logger.info("Waiting until it has ended behind a record: %s", job.what)
            job.progress.stop()
        for job in running:
            if job.thread is not None:
                job.thread.join()

    def _found(self, id: str) -> Job:
        with self._lock:
            job = self._jobs.get(id)
        if job is None:
            raise Refusal(404, f"There is no such job; the last {_KEPT} are kept, until the console ends.")
        return job

    def _run(self, job: Job, work: Work) -> None:
        state: State = "failed"
        try:
            work.run(job.progress)
            state = "done"
        except Stopped:
            state = "stopped"
        except CommandError as error:
            job.problem = redacted_text(str(error))[:_LONGEST]
        except Exception as error:
            logger.exception("%s failed", job.what)
            job.problem = redacted_text(f"{type(error).__name__}: {error}")[:_LONGEST]
        finally:
            job.ended = _now()
            with self._lock:
                job.state = state


def _now() -> int:
    return time.time_ns() // 1_000_000
