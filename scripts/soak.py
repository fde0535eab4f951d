"""Random histories for a while: of the runtime, or with `--system` of all services in a simulated AWS.

npm run soak -- --minutes 5
npm run soak -- --system --minutes 5
"""

from __future__ import annotations

import argparse
import importlib
import math
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).resolve().parent.parent
HARNESS = ROOT / "libs" / "stream_runtime" / "tests" / "harness"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
OF_THE_SYSTEM = ("as_it_is", "processes")
OF_THE_RUNTIME = ("mutated", "calls")


def main() -> int:
    """Read the arguments and play; returns 1 if a promise was broken, and 128 and the number of a signal after one."""
    for each in SIGNALS:
        signal.signal(each, _end)  # until the first history is played
    parser = parser_of_arguments()
    arguments = arguments_of(parser, sys.argv[1:])
    sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "simulation"), str(HARNESS)]
    package = "simulator." if arguments.system else ""
    if arguments.history is not None:
        try:
            arguments.history = importlib.import_module(f"{package}histories").History.from_json(arguments.history)
        except ValueError as error:
            parser.error(f"argument --history: {error}; give the line that --seed prints, or that a failure ends with")
    code: int = importlib.import_module(f"{package}soaking").soak(arguments)
    _ignore_signals()
    return code


def arguments_of(parser: argparse.ArgumentParser, given: list[str]) -> argparse.Namespace:
    """The arguments, if they go together; exits otherwise. A history is still text."""
    arguments = parser.parse_args(given)
    for name in OF_THE_RUNTIME if arguments.system else OF_THE_SYSTEM:
        if getattr(arguments, name):
            option = f"--{name.replace('_', '-')}"
            parser.error(f"{option} goes {'without' if arguments.system else 'with'} --system")
    return arguments


def parser_of_arguments() -> argparse.ArgumentParser:
    """Reads the arguments of both kinds of soaks; those of one kind are None or False where they are not given."""
    parser = argparse.ArgumentParser(
        prog="npm run soak --",
        description="Play random histories for a while, or one again: of the runtime, or of the whole system.",
        epilog="Ctrl-C ends it after the histories that are being played, and says what was played; twice, at once.",
        allow_abbrev=False,
    )
    of_either = parser.add_argument_group("what is played")
    of_either.add_argument("--system", action="store_true", help="histories of all services in a simulated AWS")
    of_either.add_argument("--minutes", type=_minutes, default=1.0, help="how long to go on; 1 if not given")
    of_either.add_argument("--histories", type=_at_least(1), help="how many to play, however long it takes")
    of_either.add_argument("--from", dest="first", type=_at_least(0), help="the first seed; by chance if not given")
    of_either.add_argument("--seed", type=_at_least(0), help="play the history of this seed only")
    of_either.add_argument("--history", help="play this history (JSON) only")
    of_system = parser.add_argument_group("with --system")
    of_system.add_argument("--as-it-is", action="store_true", help="do not shrink a history that fails")
    of_system.add_argument("--processes", type=_at_least(1), help="how many at once; as many as cores if not given")
    of_runtime = parser.add_argument_group("without --system").add_mutually_exclusive_group()
    of_runtime.add_argument("--mutated", action="store_true", help="mutated invocations instead of histories")
    of_runtime.add_argument("--calls", action="store_true", help="calls of AWS's operations, by boto3 and lean client")
    return parser


def _minutes(text: str) -> float:
    try:
        minutes = float(text)
    except ValueError:
        minutes = math.nan
    if not 0 < minutes < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no time in minutes; give a number above 0, such as 5 or 0.5")
    return minutes


def _at_least(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not (text.isascii() and text.isdecimal() and int(text) >= least):
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {least} on; give one, such as 137")
        return int(text)

    return number


def _ignore_signals() -> None:
    """npm repeats an interrupt, and Python takes its own handlers away before the process has ended."""
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)


def _end(number: int, _frame: FrameType | None) -> None:
    _ignore_signals()
    os.write(2, b"Nothing was played.\n")  # print() may be what the signal has interrupted
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
