"""Imports the handler of a function and says what fails; runs on the functions' Python, in a process of its own.

    python import_probe.py '{"service": ..., "packages": ..., "handler": "control/handlers/listener.handler"}'

It imports from the service's folder, then from a folder with what its package holds beside. It prints one line of JSON:
`{}`, or the type and message of the error and the places of its stack. Standard library alone.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from importlib.machinery import FileFinder, SourceFileLoader
from typing import Any


class FreshLoader(SourceFileLoader):
    """Compiles a module each time: a compiled form counts as good for a file of the same size and second."""

    def path_stats(self, path: str) -> Any:
        raise OSError


def fresh_below(folder: str) -> Any:
    """A hook for `sys.path_hooks` that imports modules below a folder afresh."""

    def finder(path: str) -> FileFinder:
        if path != folder and not path.startswith(os.path.join(folder, "")):
            raise ImportError
        return FileFinder(path, (FreshLoader, [".py"]))

    return finder


def failure(error: BaseException) -> dict[str, Any]:
    """The error as JSON; of a syntax error the place is where it is, not where it was imported."""
    places = [
        [each.filename, each.lineno or 0, each.name, each.line or ""]
        for each in traceback.extract_tb(error.__traceback__)
        if each.filename != __file__ and not each.filename.startswith("<")
    ]
    if isinstance(error, SyntaxError) and error.filename:
        places.append([error.filename, error.lineno or 0, "", (error.text or "").strip()])
    message = error.msg if isinstance(error, SyntaxError) else str(error)
    return {"type": type(error).__name__, "message": message, "places": places}


def imported(service: str, packages: str, handler: str) -> dict[str, Any]:
    """Import a handler as its function does."""
    sys.path[0:1] = [service, packages]
    sys.path_hooks.insert(0, fresh_below(service))
    module, _, name = handler.rpartition(".")
    try:
        if not hasattr(importlib.import_module(module.replace("/", ".")), name):
            return {"type": "Runtime.HandlerNotFound", "message": f"{module} has no {name}", "places": []}
    except BaseException as error:
        return failure(error)
    return {}


def main() -> None:
    """Answer on standard output; what is imported prints to standard error."""
    answer_to = os.dup(1)
    os.dup2(2, 1)
    answer = json.dumps(imported(**json.loads(sys.argv[1])))
    os.write(answer_to, answer.encode() + b"\n")
    os._exit(0)  # whatever threads the modules have started


if __name__ == "__main__":
    main()
