"""Stand-ins for outputs of other stacks, so that a service can be packaged without an account.

serverless.yml writes such a value as `${param:busArn, cf:event-hub-dev.busArn}`: first a parameter, then another
stack's output. The CLI gets a stand-in for each parameter that is not given. When the compiled template is read,
stand-ins become symbols again: values that only the deployment knows (`references`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from stream_cli.deployment.serverless import CONFIGURATIONS

from .source_map import SourceMap

# The CLI requires that an ARN begins with `arn:`, and takes the name of a stream from behind the first slash.
_ARN = "arn:aws:streamctl:us-east-1:000000000000:import/"
_NAME = "streamctl-import-"
_STAND_IN = re.compile(rf"(?:{re.escape(_ARN)}|{_NAME})([A-Za-z0-9_]+)")
_TAKEN = re.compile(r"\$\{param:([A-Za-z0-9_]+)\s*,\s*cf[:(]")


def stand_ins(folder: Path, stage: str, given: Mapping[str, str]) -> dict[str, str]:
    """The parameters for packaging: those given, and a stand-in for every other one that another stack may provide.

    Parameters that serverless.yml sets for the stage, or for all stages, get none.
    """
    source_map = SourceMap(folder)
    wanted = dict.fromkeys(name for text in _texts(folder) for name in _TAKEN.findall(text))
    missing = [name for name in wanted if name not in given and not source_map.sets_param(name, stage)]
    return {**given, **{name: f"{_ARN if name.lower().endswith('arn') else _NAME}{name}" for name in missing}}


def as_symbols(text: str) -> str:
    """A text of a compiled template with its stand-ins replaced by symbols."""
    return _STAND_IN.sub(r"${import \1}", text)


def _texts(folder: Path) -> Iterator[str]:
    found = [folder / name for name in CONFIGURATIONS if (folder / name).is_file()]
    for file in [*found, *sorted(folder.glob("resources/**/*.yml")), *sorted(folder.glob("*.yml"))]:
        yield file.read_text(encoding="utf-8")
