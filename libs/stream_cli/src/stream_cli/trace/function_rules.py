"""The rules of a deployed function, read from its code in a process of its own (`rule_probe`)."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stream_runtime.ids import derived_id

from stream_cli.local.endpoint import without_aws_settings

_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class RuleFacts:
    """What is known about a rule of a function.

    Attributes:
        types: its literal event types.
        patterns: its regular expressions for event types, as texts.
        decides: whether a callable decides about the event type.
        correlation_key: the path of the key in the event, or the name of the function that makes it.
        suffix: its correlation_key_suffix, or empty.
        expression: name and place of the function that decides.
        emits: the event type that it emits, if it is a text.
    """

    id: str
    flavor: str
    types: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    decides: bool = False
    correlation_key: str = ""
    suffix: str = ""
    expression: str | None = None
    emits: str | None = None
    once: bool = False

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> RuleFacts:
        """From what the probe found."""
        return cls(**{**found, "types": tuple(found["types"]), "patterns": tuple(found["patterns"])})

    def wants(self, event_type: str) -> bool | None:
        """Whether it handles events of a type; None if its own code decides."""
        if event_type in self.types or any(re.search(pattern, event_type) for pattern in self.patterns):
            return True
        return None if self.decides else False

    def reads_row(self, row: Mapping[str, Any]) -> bool:
        """Whether its flavor handles a row with an event, such as those of correlations; True for what is no row."""
        if self.flavor == "correlate":
            return row.get("sk") == "EVENT"
        if self.flavor == "evaluate":
            return self.suffix == str(row.get("suffix") or "")
        return True

    def wants_one_of(self, event_types: Iterable[str]) -> bool:
        """Whether it handles, or may handle, events of one of these types."""
        return any(self.wants(each) is not False for each in event_types)

    def emitted_id(self, correlation_key: str, event: str) -> str:
        """The id of what an evaluation emits for a correlation, or for the event that was evaluated last."""
        return derived_id(correlation_key if self.once else event, self.id)


def read_rules(package: bytes, function: str, handler: str, environment: Mapping[str, str]) -> dict[str, Any]:
    """``{"error": why not, or None, "rules": what `RuleFacts.of` takes, or None}`` of a function's zip file.

    The environment is the function's; its code finds no credentials for an account. Where the package's own libraries
    cannot be imported on this machine, such as those for another processor, those of streamctl take their place.
    """
    with tempfile.TemporaryDirectory(prefix="streamctl-rules-") as folder:
        try:
            with zipfile.ZipFile(io.BytesIO(package)) as zipped:
                zipped.extractall(folder)  # it refuses names that lead out of the folder
        except zipfile.BadZipFile as error:
            return {"error": f"its package is no zip file: {error}", "rules": None}
        found = _probed(Path(folder), function, handler, environment, "package")
        return found if found["error"] is None else _probed(Path(folder), function, handler, environment, "streamctl")


def _probed(
    folder: Path, function: str, handler: str, environment: Mapping[str, str], libraries: str
) -> dict[str, Any]:
    surroundings = {
        **without_aws_settings(os.environ),
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REGION": "us-east-1",
        "AWS_LAMBDA_FUNCTION_NAME": function,
        **environment,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONSAFEPATH": "1",
    }
    command = [sys.executable, "-m", "stream_cli.trace.rule_probe", handler, libraries]
    try:
        ran = subprocess.run(
            command, cwd=folder, env=surroundings, stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIMEOUT_S,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {"error": f"importing {handler} took longer than {_TIMEOUT_S:g} s", "rules": None}
    if ran.returncode != 0:
        last = ran.stderr.decode(errors="replace").strip().split("\n")[-1]
        return {"error": f"importing {handler} ended with {ran.returncode}: {last}", "rules": None}
    found: dict[str, Any] = json.loads(ran.stdout)
    return found
