"""Takes the pictures of the console that the README shows: docs/console-*.png.

    python scripts/record_console.py

Nothing is staged: a local cloud with all services gets the sample of `npm start`, poison events included, and a real
Chromium looks at what came of it.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import chromium
from small_png import make_small
from stream_cli.local.console import console_address
from stream_cli.local.state import StateFolder

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs"
SCREEN = {"viewport": {"width": 1200, "height": 720}, "colorScheme": "light", "timezoneId": "UTC"}
MOST_BYTES = 150 * 1024
PICTURES = {
    "map": (["#/map"], ".map-node"),
    "events": (["#/events?type=story-ready", "first event"], ".event .facts"),
    "trace": (["#/events?type=story-ready", "first event", "What came of it"], ".steps"),
    "faults": (["#/faults", "first fault"], ".frames"),
}
"""By name: the address, and what is opened then; and what it shows in the end."""


@contextlib.contextmanager
def fed_cloud() -> Iterator[str]:
    """The address of the console of a local cloud that has had the sample."""
    with tempfile.TemporaryDirectory(prefix="console-") as folder:
        state = Path(folder, "state")
        try:
            run("stream_cli.cli", "up", state)
            run("demo", "send", state)
            address = console_address(StateFolder(state).console_file)
            if address is None:
                raise RuntimeError("the cloud has no console")
            yield address.url
        finally:
            run("stream_cli.cli", "down", state)


def run(module: str, command: str, state: Path) -> None:
    """Run a command to its end.

    Raises:
        SystemExit: it failed.
    """
    ran = subprocess.run(
        [sys.executable, "-m", module, command, "--state", str(state)], cwd=ROOT, capture_output=True, text=True
    )
    if ran.returncode:
        raise SystemExit(f"{module} {command} failed:\n{ran.stdout}{ran.stderr}")


def main() -> None:
    """Take the pictures; one that is too large is an error."""
    with fed_cloud() as url, chromium.running() as browser:
        browser.play("photographer", "isLive", url, screen=SCREEN)
        for name, (steps, shows) in PICTURES.items():
            path = FOLDER / f"console-{name}.png"
            browser.play("photographer", "pictured", given={"steps": steps, "shows": shows, "path": str(path)})
            make_small(path)
            size = path.stat().st_size
            print(f"{path.relative_to(ROOT)}: {size / 1024:.0f} KB")
            if size > MOST_BYTES:
                raise SystemExit(f"A picture may have {MOST_BYTES // 1024} KB")


if __name__ == "__main__":
    main()
