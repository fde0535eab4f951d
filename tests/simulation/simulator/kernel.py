"""Virtual time, and tasks that take turns in it: one runs at a time, and who is next follows from the seed.

A task is a greenlet that waits for a moment, for another task, or for a condition. Nothing happens between two waits,
so every interleaving that can matter is an order of waits. Two things that are due at the same microsecond come in an
order by chance.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from greenlet import getcurrent, greenlet

MICROSECONDS = 1_000_000


class ProcessDied(BaseException):
    """The process of a task has ended; nothing that it would have done afterwards happens."""


class Stuck(AssertionError):
    """Nothing is due, and a task still waits; or much more has happened than a history can need."""


@dataclass(eq=False)
class Process:
    """Where tasks run: what they see of the world, and whether they live.

    Attributes:
        name: for stories.
        environment: its environment variables.
        skew_us: what its clock is ahead of the true time, in microseconds.
        own: attributes of modules and classes, as owner and name, of which each process has its own value.
        write: takes what it writes to stdout.
        ended: called when it has been ended.
    """

    name: str
    environment: dict[str, str] = field(default_factory=dict)
    skew_us: int = 0
    own: tuple[tuple[Any, str], ...] = ()
    write: Callable[[str], Any] = len
    ended: Callable[[], None] = lambda: None
    dead: bool = False
    tasks: list[Task] = field(default_factory=list)


class Task:
    """A greenlet of a process, and what it ended with."""

    def __init__(self, kernel: Kernel, process: Process, work: Callable[[], Any]) -> None:
        self.kernel = kernel
        self.process = process
        self.result: Any = None
        self.error: BaseException | None = None
        self.done = False
        self._work = work
        self._waiting: list[Task] = []
        self._woken = 0
        self.greenlet = greenlet(self._run, kernel.hub)
        self.greenlet.task = self

    def _run(self) -> None:
        try:
            if not self.process.dead:
                self.result = self._work()
        except BaseException as error:
            self.error = error
        self._end()

    def _end(self) -> None:
        self.done = True
        if self in self.process.tasks:
            self.process.tasks.remove(self)
        for each in self._waiting:
            each.wake()

    def wake(self) -> None:
        """Let it go on at the present moment, if it still waits for what it waits for now."""
        number = self._woken
        self.kernel.at(0, lambda: self._go_on(number))

    def _go_on(self, number: int) -> None:
        if not self.done and self._woken == number:
            self.switch()

    def switch(self) -> None:
        """Run it until it waits again; for the hub alone."""
        self._woken += 1
        self.kernel.task = self
        self.greenlet.switch()
        self.kernel.task = None

    def kill(self) -> None:
        """End it where it waits; its `finally` blocks run, and can do nothing to the world."""
        if self.done:
            return
        self._woken += 1
        if self.greenlet:
            self.kernel.task = self
            self.greenlet.throw(ProcessDied())
            self.kernel.task = None
        else:  # it has not begun
            self.error = ProcessDied()
            self._end()

    def join(self) -> Any:
        """Wait for its end from another task; returns its result or raises its error."""
        while not self.done:
            self._waiting.append(self.kernel.current())
            self.kernel.wait()
        if self.error is not None:
            raise self.error
        return self.result


class Kernel:
    """What is due when, and the task that runs now.

    Args:
        seed: decides the order of what is due at once.
        start_us: the first moment, in microseconds since 1970.
        most_steps: steps after which a history is taken to go on for ever.

    Attributes:
        task: the one that runs now; None in the hub.
        broken: what the simulation itself failed with, or what has escaped it; `run` raises it, as a program under test
            may catch what is raised to it.
    """

    def __init__(self, seed: int, start_us: int = 1_800_000_000 * MICROSECONDS, most_steps: int = 2_000_000) -> None:
        self.now_us = start_us
        self.hub = getcurrent()
        self.steps = 0
        self.task: Task | None = None
        self.broken: BaseException | None = None
        self._most_steps = most_steps
        self._chance = random.Random(f"{seed}/order")
        self._due: list[tuple[int, float, int, Callable[[], None]]] = []
        self._number = 0

    # --- what is due ---

    def at(self, delay_us: int, act: Callable[[], None]) -> None:
        """Do something after a time; 0: as soon as others that are due now have had a chance to come first."""
        self._number += 1
        heapq.heappush(self._due, (self.now_us + max(0, delay_us), self._chance.random(), self._number, act))

    def run(self, until_us: int | None = None) -> None:
        """Do all that is due, up to a moment; without one, until nothing is due any more."""
        due, pop = self._due, heapq.heappop
        while due and (until_us is None or due[0][0] <= until_us):
            self.now_us, _, _, act = pop(due)
            self.steps += 1
            if self.steps > self._most_steps:
                raise Stuck(f"{self.steps} steps, and still not at rest")
            act()
            if self.broken is not None:
                raise self.broken
        if until_us is not None:
            self.now_us = max(self.now_us, until_us)

    # --- tasks ---

    def spawn(self, process: Process, work: Callable[[], Any]) -> Task:
        """Start a task; it begins when others that are due now have had a chance to come first."""
        task = Task(self, process, work)
        process.tasks.append(task)
        task.wake()
        return task

    def end(self, process: Process) -> None:
        """End a process and all of its tasks, as SIGKILL does."""
        if not process.dead:
            process.dead = True
            process.ended()
            if self.task is None:
                _kill(process)
            else:
                self.at(0, lambda: _kill(process))  # in the hub, which is where a greenlet that ends goes on
        if self.task is not None and self.task.process is process:
            raise ProcessDied

    def current(self) -> Task:
        """The task that runs now.

        Raises:
            RuntimeError: none does.
        """
        found = self.task
        if found is None:
            raise RuntimeError("only a task can wait")
        return found

    def wait(self) -> None:
        """Wait until something wakes the current task.

        Raises:
            ProcessDied: its process has ended meanwhile.
        """
        process = self.current().process
        if process.dead:
            raise ProcessDied
        if process.own:
            kept = [getattr(owner, name, None) for owner, name in process.own]
            self.hub.switch()
            for (owner, name), value in zip(process.own, kept, strict=True):
                setattr(owner, name, value)
        else:
            self.hub.switch()
        if process.dead:
            raise ProcessDied

    def sleep(self, delay_us: int) -> None:
        """Let time pass for the current task."""
        task = self.current()
        number = task._woken
        self.at(delay_us, lambda: task._go_on(number))
        self.wait()


def _kill(process: Process) -> None:
    for task in list(process.tasks):
        task.kill()


# --- what Python's threads have, for tasks ---


class Lock:
    """`threading.Lock` and, as nothing in a task is interrupted while it holds one twice, `threading.RLock`."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._owner: Any = None
        self._count = 0
        self._waiting: list[Task] = []

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take it; waits while another task has it."""
        me = self._kernel.task
        while self._owner is not None and self._owner is not me:
            if not blocking:
                return False
            self._waiting.append(self._kernel.current())
            self._kernel.wait()
        self._owner, self._count = me, self._count + 1
        return True

    def release(self) -> None:
        """Give it back."""
        self._count -= 1
        if not self._count:
            self._owner = None
            waiting, self._waiting = self._waiting, []
            for each in waiting:  # all, as the first may be of a process that has ended
                each.wake()

    def locked(self) -> bool:
        return self._owner is not None

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class Condition(Lock):
    """`threading.Condition` with a lock of its own."""

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        self._watching: list[Task] = []

    def wait(self, timeout: float | None = None) -> bool:
        """Give the lock back, wait for a notice, and take the lock again."""
        self._watching.append(self._kernel.current())
        self.release()
        self._kernel.wait()
        return self.acquire()

    def notify_all(self) -> None:
        """Wake all that wait."""
        watching, self._watching = self._watching, []
        for each in watching:
            each.wake()

    notify = notify_all


class Event:
    """`threading.Event`."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._set = False
        self._waiting: list[Task] = []

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True
        for each in self._waiting:
            each.wake()
        self._waiting.clear()

    def clear(self) -> None:
        self._set = False

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, for so many seconds at most."""
        if self._set:
            return True
        task = self._kernel.current()
        self._waiting.append(task)
        if timeout is None:
            self._kernel.wait()
        else:
            self._kernel.sleep(int(timeout * MICROSECONDS))
            if not self._set:
                self._waiting.remove(task)  # it waits for something else when this is set
        return self._set


class Future:
    """What a task of an `Executor` comes to."""

    def __init__(self, task: Task) -> None:
        self._task = task

    def done(self) -> bool:
        return self._task.done

    def cancel(self) -> bool:
        """A task that has not begun is cancelled; here all have, or are about to."""
        return False

    def result(self, timeout: float | None = None) -> Any:
        return self._task.join()


class Executor:
    """`concurrent.futures.ThreadPoolExecutor`: each submission is a task of the process that submits it."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._futures: list[Future] = []

    def submit(self, work: Callable[..., Any], /, *given: Any, **named: Any) -> Future:
        process = self._kernel.current().process
        future = Future(self._kernel.spawn(process, lambda: work(*given, **named)))
        self._futures = [each for each in self._futures if not each.done()] + [future]
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        for each in self._futures:
            if wait and not each.done():
                each._task.join()

    def __enter__(self) -> Executor:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.shutdown(wait=kind is None or not issubclass(kind, ProcessDied))
