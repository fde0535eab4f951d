"""Whether the functions of a service can start with the code in its folder: their handlers are imported.

As when a function starts, all rules are checked. Each set of environment variables has a process of its own, on the
functions' Python, which reaches the local cloud and nothing else.
"""

from __future__ import annotations

import ast
import io
import json
import os
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stream_cli.dev import import_probe
from stream_cli.dev.functions import DevFunction
from stream_cli.local.endpoint import LocalEndpoint

_TIMEOUT_S = 20.0
_RULE = re.compile(r"^rule (?:'([^']+)'|\"([^\"]+)\")")
_FIELD = re.compile(r"\b(?:no )?field '(?P<field>\w+)'")


@dataclass(frozen=True)
class Failure:
    """Why functions cannot start.

    Attributes:
        functions: their names.
        text: the type of the error and what it says.
        place: file and line in the service's folder, as ``control/rules/trigger.py:31``; empty if it is elsewhere.
        source: the line there.
    """

    functions: tuple[str, ...]
    text: str
    place: str = ""
    source: str = ""


def failures(
    service: Path, functions: Sequence[DevFunction], packages: Path, python: Path, endpoint: LocalEndpoint
) -> list[Failure]:
    """What fails when the handlers of functions are imported, each failure once.

    Args:
        packages: a folder with what the functions' packages hold beside the service's code.
        python: that of functions.
    """
    begun = []
    found: dict[tuple[str, str, str], list[str]] = {}
    until = time.monotonic() + _TIMEOUT_S
    try:
        for each in _distinct(functions):
            begun.append((each, _begin(service, each, packages, python, endpoint)))
        for function, process in begun:
            if told := _answer(process, until):
                place, source = _place(service, told)
                what = (f"{told['type']}: {told['message']}", place, source)
                found.setdefault(what, []).append(function.short_name)
    finally:
        for _, process in begun:
            if process.poll() is None:  # this is being stopped
                process.kill()
                process.communicate()
    return [Failure(tuple(names), *what) for what, names in found.items()]


def syntax_failures(service: Path, names: Iterable[str], contents: Mapping[str, bytes]) -> list[Failure]:
    """The syntax errors of Python files."""
    found = []
    for name in sorted(names):
        try:
            compile(contents.get(name, b""), str(service / name), "exec", dont_inherit=True)
        except (SyntaxError, ValueError) as error:
            line = getattr(error, "lineno", None) or 1
            text = (getattr(error, "text", None) or "").strip()
            found.append(Failure((), f"{type(error).__name__}: {getattr(error, 'msg', error)}", f"{name}:{line}", text))
    return found


def unpack_beside(zipped: bytes, own: Iterable[str], folder: Path) -> None:
    """Write what a package holds beside the service's own files into a folder."""
    without = set(own)
    with zipfile.ZipFile(io.BytesIO(zipped)) as archive:
        archive.extractall(folder, [each for each in archive.namelist() if each not in without])


def _distinct(functions: Sequence[DevFunction]) -> list[DevFunction]:
    """One function for each handler with the same environment."""
    return list({(each.handler, *sorted(each.environment.items())): each for each in reversed(functions)}.values())[
        ::-1
    ]


def _begin(
    service: Path, function: DevFunction, packages: Path, python: Path, endpoint: LocalEndpoint
) -> subprocess.Popen[str]:
    asked = {"service": str(service), "packages": str(packages), "handler": function.handler}
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
        **function.environment,
        **endpoint.environment,
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "LAMBDA_TASK_ROOT": str(service),
        "_HANDLER": function.handler,
    }
    return subprocess.Popen(
        [str(python), import_probe.__file__, json.dumps(asked)],
        cwd=service,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _answer(process: subprocess.Popen[str], until: float) -> dict[str, object]:
    try:
        printed, written = process.communicate(timeout=max(0.1, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return {"type": "Timeout", "message": f"its import takes longer than {_TIMEOUT_S:.0f} s", "places": []}
    try:
        told = json.loads(printed)
    except ValueError:
        last = written.strip().splitlines()[-1:] or ["no message"]
        return {"type": "Ended", "message": f"its import ends the process: {last[0]}", "places": []}
    return dict(told)


def _place(service: Path, told: Mapping[str, object]) -> tuple[str, str]:
    """File and line of an error in the service's folder, with the line; that of the rule for an invalid rule."""
    places = told["places"]
    own = [
        (os.path.relpath(file, service), line, text)
        for file, line, _, text in (places if isinstance(places, list) else ())
        if Path(file).is_relative_to(service)
    ]
    if told["type"] == "InvalidRule" and (found := place_of_rule(service, str(told["message"]))):
        return found
    return (f"{own[-1][0]}:{own[-1][1]}", own[-1][2]) if own else ("", "")


def place_of_rule(service: Path, message: str) -> tuple[str, str] | None:
    """File and line of the field that a message of `InvalidRule` names, or of its rule, with the line."""
    named = _RULE.match(message)
    field = _FIELD.search(message)
    if named is None:
        return None
    rule = named[1] or named[2]
    for path in sorted(service.rglob("*.py")):
        try:
            source = path.read_text(encoding="utf-8")
            tree = ast.parse(source) if rule in source else ast.Module([], [])
        except (OSError, SyntaxError, ValueError):
            continue
        for fields in _rules_in(tree):
            identifier = fields.get("id")
            if isinstance(identifier, ast.Constant) and identifier.value == rule:
                line = fields.get(field["field"] if field else "id", identifier).lineno
                return f"{path.relative_to(service)}:{line}", source.splitlines()[line - 1].strip()
    return None


def _rules_in(tree: ast.AST) -> Iterator[dict[str, ast.expr]]:
    """The fields of everything that may be a rule: dicts, and calls with names as of a TypedDict."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            pairs = zip(node.keys, node.values, strict=True)
            yield {str(key.value): value for key, value in pairs if isinstance(key, ast.Constant)}
        elif isinstance(node, ast.Call):
            yield {each.arg: each.value for each in node.keywords if each.arg}


def python_of_functions(state_root: Path) -> Path:
    """The Python that functions of the local cloud run on."""
    python = state_root / "lambda-python" / "bin" / "python"
    return python if python.exists() else Path(sys.executable)
