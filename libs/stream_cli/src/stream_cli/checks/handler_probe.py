"""Run in a process of its own, in a service's folder: imports a function's handler and tells what its rules want.

Reads `{"handler": "control/handlers/listener.handler", "candidates": ["item-ready", ...]}` from standard input and
writes one JSON object to standard output; whatever the imported module prints goes to standard error. The process is
its own because a handler's module reads its environment, configures logging and may fail in any way.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import os
import re
import sys
import traceback
from collections.abc import Iterable, Mapping, Sequence
from types import ModuleType
from typing import Any

_ANSWERS_PARTIALLY = frozenset({"assemble", "process_partial_response", "async_process_partial_response"})
_PARTIAL_RESPONSE = "batchItemFailures"


def probe(handler: str, candidates: Sequence[str]) -> dict[str, Any]:
    """What is known about a handler (`path/to/module.function`) after its module was imported.

    Returns:
        `error` (None, or why the module cannot be imported), `rules` (None when it has none, else for each its `id`,
        `flavor`, `known_flavor`, literal `types`, `patterns`, `decides` when code decides, and `wants`: by candidate
        true, false or null), `source` (name of the function that reads the invocation event) and its
        `source_options`, `reports` (whether it returns partial batch failures, null when nobody can tell).
    """
    path, _, name = handler.rpartition(".")
    try:
        module = importlib.import_module(path.replace("/", "."))
        function = getattr(module, name)
    except BaseException as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        return {"error": f"{type(error).__name__}: {error} ({os.path.relpath(where.filename)}:{where.lineno})"}
    rules = _rules_of(function, module)
    source, options = _source_of(function, module)
    return {
        "error": None,
        "rules": None if rules is None else [_described(rule, candidates) for rule in rules],
        "source": source,
        "source_options": options,
        "reports": _reports(function, name, module),
    }


def _rules_of(function: Any, module: ModuleType) -> list[Mapping[str, Any]] | None:
    for own in _closed_over(function).values():
        if _are_rules(own):
            return list(own)
    found = [value for value in vars(module).values() if _are_rules(value)]
    distinct = {id(rules): rules for rules in found}
    return [rule for rules in distinct.values() for rule in rules] if found else None


def _closed_over(function: Any) -> Mapping[str, Any]:
    """What a handler that `stream_handler` made was made with: its rules and the `source` that it was given."""
    made = inspect.isfunction(function) and function.__module__ == "stream_runtime.handler"
    return inspect.getclosurevars(function).nonlocals if made else {}


def _are_rules(value: Any) -> bool:
    return (
        isinstance(value, list | tuple)
        and bool(value)
        and all(isinstance(each, Mapping) and "id" in each and callable(each.get("flavor")) for each in value)
    )


def _described(rule: Mapping[str, Any], candidates: Sequence[str]) -> dict[str, Any]:
    wanted = rule.get("event_type")
    types = [wanted] if isinstance(wanted, str) else [t for t in _several(wanted) if isinstance(t, str)]
    flavor = rule["flavor"]
    return {
        "id": str(rule["id"]),
        "flavor": getattr(flavor, "__name__", type(flavor).__name__),
        "known_flavor": str(getattr(flavor, "__module__", "")).startswith("stream_runtime.flavors"),
        "types": types,
        "patterns": [wanted.pattern] if isinstance(wanted, re.Pattern) else [],
        "decides": callable(wanted) and not isinstance(wanted, re.Pattern),
        "wants": {candidate: _wants(wanted, candidate) for candidate in candidates},
    }


def _several(wanted: Any) -> Iterable[Any]:
    return wanted if isinstance(wanted, list | tuple | set | frozenset) else ()


def _wants(wanted: Any, candidate: str) -> bool | None:
    if wanted is None or isinstance(wanted, str):
        return bool(wanted == candidate)
    if isinstance(wanted, re.Pattern):
        return wanted.search(candidate) is not None
    if callable(wanted):
        try:
            return bool(wanted({"event": {"type": candidate}}))
        except Exception:
            return None
    return candidate in wanted


def _source_of(function: Any, module: ModuleType) -> tuple[str | None, dict[str, Any]]:
    own = _closed_over(function).get("source")
    if own is not None:
        inner = getattr(own, "func", own)
        keywords = getattr(own, "keywords", None) or {}
        return getattr(inner, "__name__", None), {k: v for k, v in keywords.items() if isinstance(v, str | None)}
    imported = [name for name, value in vars(module).items() if name.startswith("from_") and callable(value)]
    return (imported[0] if len(imported) == 1 else None), {}


def _reports(function: Any, name: str, module: ModuleType) -> bool | None:
    declared = getattr(function, "reports_batch_item_failures", None)
    if isinstance(declared, bool):
        return declared
    try:
        tree = ast.parse(inspect.getsource(module))
    except (OSError, SyntaxError, TypeError):
        return None
    if any(isinstance(node, ast.Constant) and node.value == _PARTIAL_RESPONSE for node in ast.walk(tree)):
        return True
    if any(isinstance(node, ast.Call) and _called(node) == "stream_handler" for node in ast.walk(tree)):
        return True
    written_here = [
        node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name
    ]
    if not written_here:
        return None
    returned = [node.value for node in ast.walk(written_here[-1]) if isinstance(node, ast.Return) and node.value]
    assigned = {
        target.id
        for node in ast.walk(written_here[-1])
        if isinstance(node, ast.Assign) and _answers_partially(node.value)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    if any(_answers_partially(value) or _names(value) & assigned for value in returned):
        return True
    # It may return what a function of another module made, which nobody reads here.
    return None if any(isinstance(value, ast.Call) for value in returned) else False


def _answers_partially(value: ast.AST) -> bool:
    return any(isinstance(node, ast.Call) and _called(node) in _ANSWERS_PARTIALLY for node in ast.walk(value))


def _names(value: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(value) if isinstance(node, ast.Name)}


def _called(call: ast.Call) -> str | None:
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else None


def main() -> None:
    """Answer one question over standard input and output."""
    answer_to = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    question = json.load(sys.stdin)
    sys.path.insert(0, os.getcwd())
    with answer_to:
        json.dump(probe(question["handler"], question["candidates"]), answer_to)


if __name__ == "__main__":
    main()
