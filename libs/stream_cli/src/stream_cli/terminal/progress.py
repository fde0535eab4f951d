"""Shows the steps of a command and their times: live on a terminal, elsewhere one line for each finished step."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.console import RenderableType
from rich.progress import Progress, ProgressColumn, Task
from rich.spinner import Spinner
from rich.text import Text

from stream_cli.terminal.output import VisibleConsole, line

Note = Callable[[str], None]

_NOTE_WIDTH = 60


class _Seconds(ProgressColumn):
    """Seconds since the step began, in tenths."""

    max_refresh = 0.1

    def render(self, task: Task) -> Text:
        elapsed = task.finished_time if task.finished else task.elapsed
        return Text(f"{elapsed or 0.0:6.1f} s", style="cyan")


class _Mark(ProgressColumn):
    """Whether a step is running, done or failed."""

    def __init__(self) -> None:
        super().__init__()
        self._spinner = Spinner("dots", style="cyan")

    def render(self, task: Task) -> RenderableType:
        if task.fields["failed"]:
            return Text("✗", style="red")
        return Text("✓", style="green") if task.finished else self._spinner.render(task.get_time())


class _Field(ProgressColumn):
    """The name of a step, or its remark: text from outside."""

    def __init__(self, name: str, style: str = "") -> None:
        super().__init__()
        self._name = name
        self._style = style

    def render(self, task: Task) -> Text:
        return line(task.description if self._name == "description" else task.fields[self._name], style=self._style)


class Steps:
    """The steps of a command, as a context manager. Steps may run at the same time, in threads.

    Attributes:
        seconds: how long each finished step took.
    """

    def __init__(self, console: VisibleConsole) -> None:
        self.console = console
        self.seconds: dict[str, float] = {}
        columns = (_Mark(), _Field("description"), _Seconds(), _Field("note", style="dim"))
        self._live = Progress(*columns, console=console, disable=not console.is_terminal)

    def __enter__(self) -> Steps:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[Note]:
        """Run a step; the function that it yields sets the remark beside it."""
        started = time.monotonic()
        task = self._live.add_task(f"{name:<44}", total=1, note="", failed=False)
        remark = ""
        failed = True

        def note(text: str) -> None:
            nonlocal remark
            remark = text if len(text) <= _NOTE_WIDTH else f"{text[: _NOTE_WIDTH - 1]}…"
            self._live.update(task, note=remark)

        try:
            yield note
            failed = False
        finally:
            seconds = time.monotonic() - started
            if not failed:
                self.seconds[name] = seconds
            self._live.update(task, completed=1, failed=failed, note=remark)
            if self._live.disable:
                self.say(f"{'✗' if failed else '✓'} {name:<44}{seconds:6.1f} s  {remark}".rstrip())

    def say(self, text: str) -> None:
        """Print a line above the steps."""
        self.console.print(text, soft_wrap=True)
