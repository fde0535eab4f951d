"""Imports handlers and reports their rules; runs in a process of its own, in a service's folder.

It reads `{"requirements": {"noDeploy": [...], ...}, "questions": [{"handler": "control/handlers/listener.handler",
"candidates": ["item-ready", ...]}, ...]}` from standard input and writes a JSON list with one answer for each question
to standard output; what the imported modules print goes to standard error. It has its own process because a handler's
module reads its environment, configures logging and may fail in any way.
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
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from .left_out import Entry, LeftOut
from .rules_found import rules_in

T = TypeVar("T")

_ANSWERS_PARTIALLY = frozenset({"assemble", "process_partial_response", "async_process_partial_response"})
_PARTIAL_RESPONSE = "batchItemFailures"


def probe(handler: str, candidates: Sequence[str], left_out: LeftOut) -> dict[str, Any]:
    """Import a handler (`path/to/module.function`) and return the attributes of its `ProbedHandler`.

    Of a handler that cannot be imported these are `error` and `left_out` only. `candidates` are event types; each rule
    is asked whether it handles them.
    """
    path, _, name = handler.rpartition(".")
    home = path.replace("/", ".")
    lacking = [_lacking(entry, place) for entry, *place in left_out.imports_of(home)]
    try:
        module, more = _as_packaged(lambda: importlib.import_module(home), left_out)
        lacking += more
        function = getattr(module, name)
    except BaseException as error:
        text = f"{type(error).__name__}: {error}{_in_service(error)}"
        return {"error": text, "refused": _refused(error), "left_out": _distinct(lacking)}
    rules = rules_in(function, module)
    for rule in rules or ():
        with suppress(Exception):  # without the options of the handler, a flavor may fail for want of them
            lacking += _as_packaged(partial(_assemble, rule), left_out, str(rule["id"]))[1]
    source, options = _source_of(function, module)
    given = getattr(function, "options", None)
    return {
        "error": None,
        "rules": None if rules is None else [_described(rule, candidates) for rule in rules],
        "source": source,
        "source_options": options,
        "reports": _reports(function, name, module),
        "options": None if given is None else {name: _shown(value) for name, value in given.items()},
        "left_out": _distinct(lacking),
    }


def _as_packaged(
    work: Callable[[], T], left_out: LeftOut, rule: str | None = None
) -> tuple[T, Sequence[dict[str, Any]]]:
    """Do some work with what is in the package; if that fails, with the rest, too, and say what was lacking."""
    with left_out.hidden() as refused:
        try:
            return work(), ()
        except BaseException as error:
            if not refused:
                raise
            place = _place(error)
    return work(), [_lacking(refused[-1], place, rule)]


def _lacking(entry: Entry, place: Sequence[Any] | None, rule: str | None = None) -> dict[str, Any]:
    file, line = place or (None, None)
    return {**entry._asdict(), "file": file, "line": line, "rule": rule}


def _distinct(lacking: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """One for each module and line; what an import tells, no rule has to tell again."""
    return list({(each["module"], each["file"], each["line"]): each for each in reversed([*lacking])}.values())[::-1]


def _assemble(rule: Mapping[str, Any]) -> None:
    """Assemble the operator of a rule with a flavor of its own, as for a batch; the runtime's flavors need nothing."""
    flow = sys.modules.get("stream_runtime.engine.flow")
    if flow is not None and not _is_known(rule["flavor"]):
        options = sys.modules["stream_runtime.options"].DEFAULT_OPTIONS
        rule["flavor"]({"pipeline": rule["id"], **options, **rule})(flow.Flow(flow.PushSource()))


def _is_known(flavor: Any) -> bool:
    return str(getattr(flavor, "__module__", "")).startswith("stream_runtime.flavors")


def _refused(error: BaseException) -> dict[str, Any] | None:
    """The rule, and its field with what is wrong, that the runtime refused: ``{"rule", "field", "value"}``."""
    rule = next(
        (
            frame.f_locals["rule"]
            for frame, _ in reversed([*traceback.walk_tb(error.__traceback__)])
            if frame.f_globals.get("__name__") == "stream_runtime.rules.initialization"
            and isinstance(frame.f_locals.get("rule"), Mapping)
        ),
        None,
    )
    if rule is None:
        return None
    named = re.search(r"(?:no field|field) '(\w+)'", str(error))
    field = named[1] if named else None
    value = rule.get(field)
    functions = value if isinstance(value, list | tuple) else [value]
    return {
        "rule": str(rule.get("id")),
        "field": field,
        "value": next((_shown(f) for f in functions if callable(f)), None),
    }


def _in_service(error: BaseException) -> str:
    place = _place(error)
    return f" ({place[0]}:{place[1]})" if place else ""


def _place(error: BaseException) -> tuple[str, int] | None:
    """File and line of the last frame in the service's own code."""
    frames = [(os.path.relpath(each.filename), each.lineno or 0) for each in traceback.extract_tb(error.__traceback__)]
    own = [each for each in frames if not each[0].startswith(("..", "<"))]
    return own[-1] if own else None


def _described(rule: Mapping[str, Any], candidates: Sequence[str]) -> dict[str, Any]:
    wanted = rule.get("event_type")
    types = [wanted] if isinstance(wanted, str) else [t for t in _several(wanted) if isinstance(t, str)]
    flavor = rule["flavor"]
    return {
        "id": str(rule["id"]),
        "flavor": getattr(flavor, "__name__", type(flavor).__name__),
        "known_flavor": _is_known(flavor),
        "types": types,
        "patterns": [wanted.pattern] if isinstance(wanted, re.Pattern) else [],
        "decides": callable(wanted) and not isinstance(wanted, re.Pattern),
        "wants": {candidate: _wants(wanted, candidate) for candidate in candidates},
        "fields": {name: _shown(value) for name, value in rule.items() if name not in ("id", "flavor", "event_type")},
    }


def _shown(value: Any) -> Any:
    """A field's value as JSON has it; of a function ``{"function", "file", "line"}``, of anything else its type."""
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, list | tuple | set | frozenset):
        return [_shown(each) for each in value]
    code = getattr(getattr(value, "__func__", value), "__code__", None)
    if code is None:
        return {"type": type(value).__name__, "callable": callable(value)}
    file = os.path.relpath(code.co_filename)
    return {"function": code.co_name, "file": None if file.startswith("..") else file, "line": code.co_firstlineno}


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
    own = getattr(function, "source", None)
    if callable(own):
        inner = getattr(own, "func", own)
        keywords = getattr(own, "keywords", None) or {}
        return getattr(inner, "__name__", None), {k: v for k, v in keywords.items() if isinstance(v, str | None)}
    imported = [name for name, value in vars(module).items() if name.startswith("from_") and callable(value)]
    return (imported[0] if len(imported) == 1 else None), {}


def _reports(function: Any, name: str, module: ModuleType) -> bool | None:
    if hasattr(function, "rules") and hasattr(function, "source"):
        return True
    try:
        tree = ast.parse(inspect.getsource(module))
    except (OSError, SyntaxError, TypeError):
        return None
    written = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    if name not in written:
        return None
    reached = _reached(written[name], written)
    if any(
        isinstance(node, ast.Constant) and node.value == _PARTIAL_RESPONSE
        for each in reached
        for node in ast.walk(each)
    ):
        return True
    returned = [node.value for node in ast.walk(written[name]) if isinstance(node, ast.Return) and node.value]
    assigned = {
        target.id
        for node in ast.walk(written[name])
        if isinstance(node, ast.Assign) and _answers_partially(node.value)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    if any(_answers_partially(value) or _names(value) & assigned for value in returned):
        return True
    # A function of another module may make the response; its code is not read.
    calls = [node for value in returned for node in ast.walk(value) if isinstance(node, ast.Call)]
    return None if any(_called(call) not in written for call in calls) else False


def _reached(start: ast.AST, written: Mapping[str, ast.AST]) -> list[ast.AST]:
    """A function and the functions of its module that it calls, directly or through others."""
    found, waiting = {}, [start]
    while waiting:
        each = waiting.pop()
        if id(each) not in found:
            found[id(each)] = each
            calls = (_called(node) for node in ast.walk(each) if isinstance(node, ast.Call))
            waiting += [written[name] for name in calls if name is not None and name in written]
    return list(found.values())


def _answers_partially(value: ast.AST) -> bool:
    return any(isinstance(node, ast.Call) and _called(node) in _ANSWERS_PARTIALLY for node in ast.walk(value))


def _names(value: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(value) if isinstance(node, ast.Name)}


def _called(call: ast.Call) -> str | None:
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else None


def main() -> None:
    """Answer questions over standard input and output."""
    answer_to = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    asked = json.load(sys.stdin)
    sys.path.insert(0, os.getcwd())
    left_out = LeftOut(asked["requirements"], Path.cwd())
    with answer_to:
        json.dump([probe(each["handler"], each["candidates"], left_out) for each in asked["questions"]], answer_to)


if __name__ == "__main__":
    main()
