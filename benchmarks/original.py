"""The JavaScript original, measured in a process of Node.js that repeats the work until it is warm."""

from __future__ import annotations

import atexit
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

CHILD = Path(__file__).resolve().parent / "javascript" / "child.js"


def processed(case: str, invocation: dict[str, Any]) -> Callable[[], dict[str, float]]:
    """The work of a case, with the rules in ``javascript/<case>.js``; the times are those that Node.js measures.

    Node.js finds the library by NODE_PATH. It ends with this process, which holds its stdin.
    """
    process = subprocess.Popen(
        ["node", "--no-warnings", str(CHILD), case],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(process.kill)

    def ask(line: str) -> None:
        if process.stdin is None:
            raise RuntimeError("the process has pipes")
        process.stdin.write(line + "\n")
        process.stdin.flush()

    def work() -> dict[str, float]:
        ask("")
        line = process.stdout.readline() if process.stdout else ""
        if not line:
            raise RuntimeError(f"Node.js ended with {process.wait()}")
        figures: dict[str, float] = json.loads(line)
        done = figures.pop("done")
        if done != len(invocation["Records"]):
            raise RuntimeError(f"only {done} of {len(invocation['Records'])} records were processed")
        return figures

    ask(json.dumps(invocation))
    return work
