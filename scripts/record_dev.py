"""Records a session of `streamctl dev` with a copy of control-service: writes docs/dev.svg, as the README shows it.

    python scripts/record_dev.py

Nothing is staged: the lines are those of the command, and what stands between them is what was saved or sent.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "dev.svg"
WIDTH = 118
STREAMCTL = (sys.executable, "-m", "stream_cli.cli")
RULES = "control/rules/trigger.py"
PATIENCE_S = 60.0
# Colours without the display that changes in place. What is deployed depends on the environment, so all have the same.
ENVIRONMENT = {
    **os.environ,
    "TTY_COMPATIBLE": "1",
    "TTY_INTERACTIVE": "0",
    "COLUMNS": str(WIDTH),
    "TERM": "xterm",
}
EVENTS = [
    {
        "id": f"{type_}-1",
        "type": type_,
        "timestamp": 1795000000000,
        "partition_key": "story-1",
        "tags": {"source": "by-hand"},
        "story": {"id": "story-1", "title": "Parliament passes the AI act", **more},
    }
    for type_, more in (
        ("story-submitted", {}),
        ("story-analyzed", {"sentiment": "neutral", "score": 0.5, "model_version": "v1"}),
    )
]


class Recording:
    """A session that is being recorded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lines: list[Text] = []
        self._session = subprocess.Popen(
            [*STREAMCTL, "dev", "../my-orders", "--state", str(folder / "state")],
            cwd=folder / "repository",
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def until(self, text: str) -> None:
        """Record lines up to one that has a text."""
        deadline = time.monotonic() + PATIENCE_S
        for written in self._session.stdout or ():
            self.lines.append(Text.from_ansi(written.rstrip("\n")))
            if text in self.lines[-1].plain:
                return
            if time.monotonic() > deadline:
                break
        raise RuntimeError("\n".join(each.plain for each in self.lines))

    def say(self, text: str) -> None:
        """A line that says what is done."""
        self.lines += [Text(""), Text(f"# {text}", style="bold magenta")]

    def save(self, old: str, new: str) -> None:
        """Change the rules."""
        rules = self.folder / "my-orders" / RULES
        content = rules.read_text()
        if old not in content:
            raise RuntimeError(f"{old} is not in {RULES}")
        self.say(f"saved {RULES}: {old}  →  {new}")
        rules.write_text(content.replace(old, new))

    def send(self) -> None:
        """Publish both events of a story."""
        file = self.folder / "events.json"
        file.write_text(json.dumps(EVENTS))
        self.say("streamctl send events.json  (story-submitted and story-analyzed of story-1)")
        streamctl(self.folder, "send", str(file))

    def end(self) -> None:
        self._session.send_signal(2)
        self._session.communicate()


def streamctl(folder: Path, *words: str) -> None:
    """Run a command to its end, which is not recorded."""
    command = [*STREAMCTL, *words, "--state", str(folder / "state")]
    subprocess.run(command, cwd=folder / "repository", env=ENVIRONMENT, check=True, capture_output=True)


@contextlib.contextmanager
def recording() -> Iterator[Recording]:
    with tempfile.TemporaryDirectory(prefix="record-") as name:
        folder = Path(name)
        without = shutil.ignore_patterns(".*cache", "__pycache__", "node_modules")
        shutil.copytree(ROOT / "services/event-hub", folder / "repository/services/event-hub", ignore=without)
        shutil.copytree(ROOT / "services/control-service", folder / "my-orders", ignore=without)
        configuration = folder / "my-orders/serverless.yml"
        configuration.write_text(configuration.read_text().replace("service: control-service", "service: my-orders", 1))
        streamctl(folder, "up", str(folder / "my-orders"))
        session = Recording(folder)
        try:
            yield session
        finally:
            session.end()
            streamctl(folder, "down")


def main() -> None:
    """Record, and write the picture."""
    with recording() as session:
        session.lines.append(Text("$ streamctl dev ../my-orders", style="bold"))
        session.until("Watching")
        session.save('"emit": to_ready', '"emmit": to_ready')
        session.until("The running code stays")
        session.save('"emmit": to_ready', '"emit": to_ready')
        session.until("is what runs")
        session.save('submitted, analyzed = uow["triggers"]', 'submitted, analyzed = uow["trigers"]')
        session.until("after")
        session.send()
        for _ in EVENTS:
            session.until("FAULT")
            session.until("          KeyError: 'trigers'")
        session.save('uow["trigers"]', 'uow["triggers"]')
        session.until("after")
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    for line in session.lines:
        console.print(line, soft_wrap=False)
    console.save_svg(str(PICTURE), title="streamctl dev")
    print("\n".join(each.plain for each in session.lines))


if __name__ == "__main__":
    main()
