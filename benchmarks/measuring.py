"""Runs the variants of a case in processes of their own, in turn over several rounds.

The machine may be busy. Therefore compared variants run within seconds of each other, the best time of all rounds
counts, and cases that never wait compare CPU time.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import peers
from case import Case, Results, Variant

HERE = Path(__file__).resolve().parent
ROUND_TIMEOUT_S = 300
KEPT = ("PATH", "HOME", "TMPDIR", "LANG", "SYSTEMROOT")
"""The variables that variants inherit; settings of the runtime or of AWS would change figures."""


@dataclass(frozen=True)
class Measured:
    case: Case
    rounds: tuple[Results, ...]

    @property
    def best(self) -> Results:
        """The smallest value of each figure of each variant."""
        return {
            variant: {name: min(results[variant][name] for results in self.rounds) for name in figures}
            for variant, figures in self.rounds[0].items()
        }

    @property
    def remark(self) -> str:
        """The remark of the case about the quickest round of each variant."""
        if self.case.remark is None:
            return ""
        quickest = {
            variant: min((results[variant] for results in self.rounds), key=lambda figures: figures["wall_s"])
            for variant in self.rounds[0]
        }
        return self.case.remark(quickest)


class VariantFailed(Exception):
    """A variant gave no figures; the text is the output of its process."""


def measure(case: Case, *, rounds: int, progress: Callable[[str], None]) -> Measured:
    """Run all variants of a case in turn.

    Raises:
        VariantFailed: one of them failed or took longer than ROUND_TIMEOUT_S.
    """
    results = []
    with contextlib.ExitStack() as stack:
        environment = stack.enter_context(case.surroundings())
        children: dict[str, VariantProcess] = {}
        for number in range(rounds):
            one: dict[str, Mapping[str, float]] = {}
            for variant in case.variants:
                progress(f"{case.name}: round {number + 1} of {rounds}, {variant.name}")
                if case.fresh:
                    with started(case, variant, environment) as child:
                        one[variant.name] = child.round()
                else:
                    if variant.name not in children:
                        children[variant.name] = stack.enter_context(started(case, variant, environment))
                    one[variant.name] = children[variant.name].round()
            results.append(one)
    return Measured(case, tuple(results))


class VariantProcess:
    """A process that measures a variant, one round at a time."""

    def __init__(self, process: subprocess.Popen[str], errors: Path, name: str) -> None:
        self._process = process
        self._errors = errors
        self._name = name

    def round(self) -> dict[str, float]:
        """Run a round and return its figures."""
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise RuntimeError("the process of a variant has pipes")
        limit = threading.Timer(ROUND_TIMEOUT_S, self._process.kill)
        limit.start()
        try:
            with contextlib.suppress(BrokenPipeError):
                stdin.write("\n")
                stdin.flush()
            line = stdout.readline()
        finally:
            limit.cancel()
        if not line:
            printed = self._errors.read_text(errors="replace").strip()
            ended = f"ended with {self._process.wait()} instead of an answer within {ROUND_TIMEOUT_S} s"
            raise VariantFailed(f"{self._name}: its process {ended}\n{printed}")
        figures: dict[str, float] = json.loads(line)
        return figures


@contextlib.contextmanager
def started(case: Case, variant: Variant, environment: Mapping[str, str]) -> Iterator[VariantProcess]:
    """Start the process of a variant; it ends with the block."""
    python = sys.executable if variant.python == "own" else str(peers.installed())
    inherited = {name: os.environ[name] for name in KEPT if name in os.environ}
    if variant.javascript:
        inherited["NODE_PATH"] = str(peers.node_modules())
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        errors = Path(folder, "stderr")
        with errors.open("w") as stderr:
            process = subprocess.Popen(
                [python, str(HERE / "child.py"), case.name, variant.name],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env={**inherited, "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1", **environment},
                text=True,
            )
        try:
            yield VariantProcess(process, errors, f"{case.name}, {variant.name}")
        finally:
            process.kill()
            process.communicate()
