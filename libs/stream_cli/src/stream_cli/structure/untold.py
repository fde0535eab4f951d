"""Why a text of a template, in the notation of `stream_cli.checks.service.references`, does not name anything."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from stream_cli.checks.service.symbols import tokens


def why_not_told(text: str) -> str:
    """Why it cannot be told what a text names, in a few words."""
    found = tokens(text)
    if not found:
        return "this is no ARN"
    kind, _, name = found[0][2:-1].partition(" ")
    match kind:
        case "unknown":
            return _of_function(name)
        case "import":
            return f"no stack of this stage exports {name}"
        case "parameter":
            return f"the value of the parameter {name} is not shown"
        case "undefined":
            return f"{name} is in no resource of the template"
    return f"only CloudFormation knows {kind}"


def _of_function(written: str) -> str:
    try:
        function: Any = json.loads(written)
    except ValueError:
        function = None
    match function:
        case {"Fn::If": [str(condition), *_]}:
            return f"the condition {condition} cannot be told here"
    name = next(iter(function), "") if isinstance(function, Mapping) else ""
    return f"{name or 'it'} cannot be told here"
