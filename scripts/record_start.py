"""Records a run of `npm start`: writes what it prints into the README.

    python scripts/record_start.py

Nothing is staged or left out. Of the machine, only paths and the console's token are not shown.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
BEGIN, END = "<!-- npm start -->\n```\n", "```\n<!-- end -->\n"
LAST = "Ctrl-C stops it"
_TOKEN = re.compile(r"#token=\S+")


def recorded() -> str:
    """What a run prints until it says how to stop it.

    Raises:
        RuntimeError: it ended before.
    """
    with tempfile.TemporaryDirectory(prefix="start-") as folder:
        run = subprocess.Popen(
            [sys.executable, "-m", "demo", "start", "--state", f"{folder}/.streamctl"],
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert run.stdout
        printed = ""
        for line in run.stdout:
            printed += line
            if LAST in line:
                break
        run.send_signal(signal.SIGINT)
        run.communicate()
    if LAST not in printed:
        raise RuntimeError(printed)
    return shown(printed, folder)


def shown(printed: str, folder: str) -> str:
    """What was printed, without paths of this machine and without the token."""
    return _TOKEN.sub("#token=...", printed.replace(folder, "...").replace(str(ROOT), "..."))


def with_transcript(readme: str, transcript: str) -> str:
    """The README with another transcript."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the README has no lines {BEGIN!r} and {END!r}")
    return f"{before}{begin}{transcript}{end}{after}"


if __name__ == "__main__":
    README.write_text(with_transcript(README.read_text(encoding="utf-8"), recorded()), encoding="utf-8")
