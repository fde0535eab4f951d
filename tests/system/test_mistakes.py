"""Typical mistakes in a service that runs in a local cloud: what a person is told who did not ask `check` before."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stream_cli.cli import app
from typer.testing import CliRunner
from typical_mistakes import MISTAKES, Mistake

pytestmark = [pytest.mark.system, pytest.mark.thorough]  # templates/test_mistakes.py asks `check` for some of them

PATIENCE_S = 60.0
TRIES = 3
NAME, PACKAGE = "mistaken", "mistaken"
RUNS = r"✓ sls deploy|✓ .* after \d"
"""A line of `dev`: what was saved runs."""


def of_the_copy(text: str) -> str:
    """A text of the template as it is in the copy about orders."""
    return text.replace("control-service", NAME).replace("control/", f"{PACKAGE}/").replace("story", "order")


class Followed:
    """A service of one's own in a cloud that runs, and a session of `dev` that follows it."""

    def __init__(self, folder: Path, streamctl: Any) -> None:
        self.folder = folder
        self.right = folder.parent / "right"
        shutil.copytree(folder, self.right)
        self._streamctl = streamctl
        self._lines: list[str] = []
        self._read = threading.Condition()
        self.process = self._streamctl.start("dev", str(folder))
        threading.Thread(target=self._follow, args=(self.process,), daemon=True).start()

    def _follow(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            with self._read:
                self._lines.append(line)
                self._read.notify_all()

    def mark(self) -> int:
        """The place behind all lines so far."""
        with self._read:
            return len(self._lines)

    def until(self, pattern: str, since: int) -> str:
        """Wait for a line of `dev` behind a place."""

        def found() -> str | None:
            return next((each for each in self._lines[since:] if re.search(pattern, each)), None)

        with self._read:
            assert self._read.wait_for(found, PATIENCE_S), f"no {pattern!r} in {''.join(self._lines[since:])}"
            return found() or ""

    def make(self, mistake: Mistake) -> int:
        """Make a mistake, and mend the one before; returns the place behind the lines that were there."""
        since = self.mark()
        wrong = self.folder / of_the_copy(mistake.file)
        for each in {Path(of_the_copy(one.file)) for one in MISTAKES}:
            text = (self.right / each).read_text(encoding="utf-8")
            if self.folder / each == wrong:
                right = of_the_copy(mistake.right)
                assert right in text
                text = text.replace(right, of_the_copy(mistake.wrong), 1)
            if (self.folder / each).read_text(encoding="utf-8") != text:
                (self.folder / each).write_text(text, encoding="utf-8")
        return since

    def send(self, key: str, *kinds: str) -> None:
        """Publish what makes an order ready, or a part of it."""
        fields = {
            "submitted": {"title": "T", "source_url": f"https://news.example/{key}"},
            "analyzed": {"sentiment": "neutral", "score": 0.5, "model_version": "v1"},
        }
        events = [
            {"id": f"{kind}-{key}", "type": f"order-{kind}", "order": {"id": key, **fields[kind]}}
            for kind in kinds or fields
        ]
        file = self.folder.parent / "events.json"
        file.write_text(json.dumps(events), encoding="utf-8")
        assert self._streamctl.run_here("send", str(file)).returncode == 0

    def tells(self, text: str, since: int, key: str) -> None:
        """Publish until `dev` says a text: the mapping engine looks for another filter every half second."""
        for _ in range(TRIES):
            self.send(key)
            with self._read:
                if self._read.wait_for(lambda: any(text in each for each in self._lines[since:]), PATIENCE_S / TRIES):
                    return
        raise AssertionError(f"no {text!r} in {''.join(self._lines[since:])}")

    def says(self, text: str, *command: str) -> None:
        """Wait until a command says a text, whatever the width of its lines."""
        if said := self._not_said(text, *command, patience_s=PATIENCE_S):
            raise AssertionError(f"{' '.join(command)} does not say {text!r} but {said}")

    def traced(self, text: str, key: str) -> None:
        """Make orders ready, each by its own key, until a trace says a text.

        `dev` may have told of the code in which the mistake before was mended, and goes on to that with this one.
        """
        said = ""
        for number in range(TRIES):
            one = f"{key}-{number}"
            self.send(one, "submitted")
            self.says("It waits", "trace", one)
            self.send(one, "analyzed")
            self.says(f"row analyzed-{one} | EVENT", "trace", one)
            said = self._not_said(text, "trace", one, patience_s=PATIENCE_S / TRIES)
            if not said:
                return
        raise AssertionError(f"no trace says {text!r}, the last {said}")

    def _not_said(self, text: str, *command: str, patience_s: float) -> str:
        """What a command says, if that is not the text for so long."""
        said = ""
        for _ in range(max(1, int(patience_s))):
            said = self._streamctl.run_here(*command).stdout
            if text in " ".join(said.split()):
                return ""
            threading.Event().wait(0.5)
        return said or "nothing"


@pytest.fixture(scope="module")
def followed(running: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Followed]:
    folder = tmp_path_factory.mktemp("own") / NAME
    made = CliRunner().invoke(app, ["new", "control", str(folder), "--entity", "order", "--plural", "orders"])
    assert made.exit_code == 0, made.output
    made_followed = Followed(folder, running)
    try:
        made_followed.until("Watching ", 0)
        yield made_followed
    finally:
        made_followed.process.terminate()
        made_followed.process.wait()


def each_mistake(*when: str) -> Iterator[Any]:
    for each in MISTAKES:
        if each.told and each.told_when in when:
            yield pytest.param(each, id=each.what.replace(" ", "-"))


@pytest.fixture
def key(request: pytest.FixtureRequest) -> str:
    return re.sub(r"\W+", "-", request.node.callspec.id)


@pytest.mark.parametrize("mistake", [*each_mistake("saved")])
def test_a_rule_that_cannot_start_is_told_with_its_line_and_what_runs_stays(
    mistake: Mistake, followed: Followed
) -> None:
    since = followed.make(mistake)
    followed.until(re.escape(of_the_copy(mistake.told).rstrip(" ,")), since)
    place = followed.until(rf"✗ .*{re.escape(of_the_copy(mistake.file))}:\d+", since)
    line = int(place.partition(".py:")[2].partition(" ")[0])
    assert (
        of_the_copy(mistake.at or "emit")
        in (followed.folder / of_the_copy(mistake.file)).read_text(encoding="utf-8").splitlines()[line - 1]
    )
    followed.until("The running code stays as it is", since)


@pytest.mark.parametrize("mistake", [*each_mistake("event")])
def test_a_mistake_is_told_when_the_first_event_comes(mistake: Mistake, followed: Followed, key: str) -> None:
    since = followed.make(mistake)
    followed.until(RUNS, since)
    followed.tells(of_the_copy(mistake.told), since, key)
    if mistake.status:
        followed.says(of_the_copy(mistake.status), "status")


@pytest.mark.parametrize("mistake", [*each_mistake("deployed")])
def test_functions_that_cannot_start_are_told_after_the_deployment(
    mistake: Mistake, followed: Followed, key: str
) -> None:
    since = followed.make(mistake)
    followed.until(re.escape(of_the_copy(mistake.told)), since)
    followed.until("It is deployed, and these functions cannot start", since)
    followed.send(key)
    followed.says(of_the_copy(mistake.status), "status")


@pytest.mark.parametrize("mistake", [*each_mistake("trace")])
def test_what_ends_in_silence_is_told_by_trace(mistake: Mistake, followed: Followed, key: str) -> None:
    since = followed.make(mistake)
    followed.until(RUNS, since)
    followed.traced(of_the_copy(mistake.told), key)
