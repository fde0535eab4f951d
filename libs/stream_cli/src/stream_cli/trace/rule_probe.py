"""Imports a deployed handler and reports its rules; runs in a process of its own, in the folder of its package.

``python -m stream_cli.trace.rule_probe control/handlers/trigger.handler package`` writes JSON to standard output; what
the imported modules print goes to standard error. Libraries are those of the package, or those of streamctl.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import re
import sys
from collections.abc import Mapping
from typing import Any

from stream_cli.checks.service.rules_found import rules_in


def probe(handler: str) -> dict[str, Any]:
    """``{"error", "rules"}`` of a handler (``path/to/module.function``)."""
    path, _, name = handler.rpartition(".")
    try:
        module = importlib.import_module(path.replace("/", "."))
        rules = rules_in(getattr(module, name), module)
    except BaseException as error:
        return {"error": f"{type(error).__name__}: {error}", "rules": None}
    return {"error": None, "rules": None if rules is None else [described(rule) for rule in rules]}


def described(rule: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `function_rules.RuleFacts`."""
    wanted = rule.get("event_type")
    several = wanted if isinstance(wanted, list | tuple | set | frozenset) else [wanted]
    flavor, key, expression, emit = (rule.get(each) for each in ("flavor", "correlation_key", "expression", "emit"))
    return {
        "id": str(rule["id"]),
        "flavor": getattr(flavor, "__name__", type(flavor).__name__),
        "types": [each for each in several if isinstance(each, str)],
        "patterns": [each.pattern for each in several if isinstance(each, re.Pattern)],
        "decides": callable(wanted),
        "correlation_key": _name_of(key) if callable(key) else str(key or ""),
        "suffix": str(rule.get("correlation_key_suffix") or ""),
        "expression": _place_of(expression) if callable(expression) else None,
        "emits": emit if isinstance(emit, str) else None,
        "once": bool(rule.get("once")),
    }


def _name_of(function: Any) -> str:
    return str(getattr(function, "__name__", type(function).__name__))


def _place_of(function: Any) -> str:
    """Name, file and line of a function."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code is None:
        return _name_of(function)
    return f"{_name_of(function)} ({os.path.relpath(code.co_filename)}:{code.co_firstlineno})"


def main() -> None:
    """Answer for the handler in the command line."""
    answer_to = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    handler, libraries = sys.argv[1:]
    if libraries == "package":
        sys.path.insert(0, os.getcwd())
        for name in [each for each in sys.modules if each.partition(".")[0] == "stream_runtime"]:
            del sys.modules[name]
    else:
        sys.path.append(os.getcwd())
    with answer_to:
        json.dump(probe(handler), answer_to)


if __name__ == "__main__":
    main()
