"""Runs the variants of a case, each in a process of its own, in turn over several rounds.

The machine may be busy with other things: variants that are compared run within seconds of each other, times are
the best of all rounds, and CPU time is compared where nothing waits.
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
ROUND_TIMEOUT_S = 120
KEPT = ("PATH", "HOME", "TMPDIR", "LANG", "SYSTEMROOT")
"""What children get of the environment: settings of the runtime or of AWS that happen to be set change figures."""


@dataclass(frozen=True)
class Measured:
    """The results of all rounds of a case."""

    case: Case
    rounds: tuple[Results, ...]

    @property
    def best(self) -> Results:
        """Of each variant and figure the smallest of all rounds."""
        return {
            variant: {name: min(results[variant][name] for results in self.rounds) for name in figures}
            for variant, figures in self.rounds[0].items()
        }

    @property
    def remark(self) -> str:
        """What the case has to say about the quickest round of each variant."""
        if self.case.remark is None:
            return ""
        quickest = {
            variant: min((results[variant] for results in self.rounds), key=lambda figures: figures["wall_s"])
            for variant in self.rounds[0]
        }
        return self.case.remark(quickest)


class VariantFailed(Exception):
    """A variant did not answer; the text holds what its process printed."""


def measure(case: Case, *, rounds: int, progress: Callable[[str], None]) -> Measured:
    """Run all variants of a case.

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
    """The process of a variant."""

    def __init__(self, process: subprocess.Popen[str], errors: Path, name: str) -> None:
        self._process = process
        self._errors = errors
        self._name = name

    def round(self) -> dict[str, float]:
        """Let it do a round and give its figures."""
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
    """The process of a variant, which ends with the block."""
    python = sys.executable if variant.python == "own" else str(peers.installed())
    inherited = {name: os.environ[name] for name in KEPT if name in os.environ}
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
