"""What is known of a function when it has been tried with its fixtures, twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stream_cli.checks import kept
from stream_cli.checks.service.resources import Function
from stream_cli.checks.service.symbols import stand_in

from .fixtures import Fixture

TIMEOUT_S = 120
_RUNS = ({"PYTHONHASHSEED": "1", "later_s": 0.0}, {"PYTHONHASHSEED": "2", "later_s": 93_784.0})
"""Two interpreters: other seeds of hashes and of random numbers, and a clock that is a day and some hours later."""
_OWN_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "fixtures",
    "AWS_SECRET_ACCESS_KEY": "fixtures",
    "AWS_CLIENT": "boto3",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_REGION": "us-east-1",
    "RETRY_ATTEMPTS": "1",
    "RETRY_BASE_MS": "0",
}


@dataclass(frozen=True)
class Tried:
    """What one fixture made a function do, at the first and at the second run.

    Attributes:
        calls: ``{"action", "kind", "name"}``: what it called.
        refused: ``{"operation", "message", "expressions", "file", "line"}``: requests that DynamoDB refused.
        published: ``{"type", "id", "rule"}`` of the events but faults.
        faults: ``{"rule", "name", "message", "file", "line"}``.
        raised: ``{"name", "message", "file", "line"}`` of what the handler raised.
        published_again: the events of the second run.
    """

    fixture: Fixture
    calls: Sequence[Mapping[str, Any]]
    refused: Sequence[Mapping[str, Any]]
    published: Sequence[Mapping[str, Any]]
    faults: Sequence[Mapping[str, Any]]
    raised: Mapping[str, Any] | None
    published_again: Sequence[Mapping[str, Any]]

    @property
    def other_ids(self) -> Sequence[Mapping[str, Any]]:
        """The events that the second run did not publish under their id, although it published some of their type."""
        again = Counter((each["type"], each["id"]) for each in self.published_again)
        types = {each["type"] for each in self.published_again}
        return [each for each in self.published if each["type"] in types and not again[(each["type"], each["id"])]]


@dataclass(frozen=True)
class Trial:
    """A function that was tried; ``error`` says why it could not be."""

    error: str | None
    tried: Sequence[Tried]


def read_trials(
    folder: Path,
    functions: Mapping[str, tuple[Function, Sequence[Fixture]]],
    tables: Sequence[Mapping[str, Any]],
) -> dict[str, Trial]:
    """Try the functions of a service with their fixtures, by logical id; results are kept by content."""
    asked = [
        {
            "id": logical_id,
            "name": function.name,
            "handler": function.handler,
            "timeout": function.timeout,
            "environment": _environment(function),
            "fixtures": [{"name": each.name, "event": each.event} for each in fixtures],
        }
        for logical_id, (function, fixtures) in functions.items()
        if fixtures
    ]
    if not asked:
        return {}
    key, place = kept.key_of(folder, [asked, tables]), kept.folder_of(folder)
    answers = kept.take(place, key) if place else None
    if answers is None:
        with ThreadPoolExecutor(len(_RUNS)) as pool:
            answers = list(pool.map(lambda run: _run(folder, asked, tables, run), _RUNS))
        if place:
            kept.keep(place, key, answers)
    return {each["id"]: _trial(functions[each["id"]][1], *runs) for each, *runs in zip(asked, *answers, strict=True)}


def _environment(function: Function) -> dict[str, str]:
    """The variables of a function, with what stands in for values that only the deployment knows."""
    own = {name: stand_in(value) for name, value in function.environment.items()}
    kept_ones = {name: os.environ[name] for name in ("HOME", "LANG", "PATH", "TMPDIR") if name in os.environ}
    return {**kept_ones, "AWS_LAMBDA_FUNCTION_NAME": function.name, **own, **_OWN_ENVIRONMENT}


def _run(
    folder: Path, asked: Sequence[Mapping[str, Any]], tables: Sequence[Mapping[str, Any]], run: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The answers of one process; each an error if there are none."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment |= {"PYTHONHASHSEED": run["PYTHONHASHSEED"], "PYTHONDONTWRITEBYTECODE": "1"}
    question = {"later_s": run["later_s"], "tables": tables, "functions": asked}
    try:
        ran = subprocess.run(
            [sys.executable, "-m", "stream_cli.checks.trials.program"],
            cwd=folder,
            env=environment,
            input=json.dumps(question),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return [{"error": f"the fixtures took longer than {TIMEOUT_S} s", "fixtures": []} for _ in asked]
    if ran.returncode != 0:
        last = ran.stderr.strip().splitlines()[-1:] or ["no message"]
        return [{"error": f"the process ended with {ran.returncode}: {last[0]}", "fixtures": []} for _ in asked]
    return list(json.loads(ran.stdout))


def _trial(fixtures: Sequence[Fixture], first: Mapping[str, Any], second: Mapping[str, Any]) -> Trial:
    error = first["error"] or second["error"]
    if error is not None:
        return Trial(error, ())
    by_name = {each.name: each for each in fixtures}
    tried = [
        Tried(
            fixture=by_name[one["name"]],
            calls=one["calls"],
            refused=one["refused"],
            published=one["published"],
            faults=one["faults"],
            raised=one["raised"],
            published_again=other["published"],
        )
        for one, other in zip(first["fixtures"], second["fixtures"], strict=True)
    ]
    return Trial(None, tuple(tried))
