"""The interpreter that deployed functions run on: Python with boto3 alone, as in AWS's Python runtimes.

On the emulator's own interpreter, functions could import the repository's libraries and every development tool. A
dependency that is missing from a function's package would be noticed only on AWS.
"""

from __future__ import annotations

import platform
import re
import sys
import venv
from importlib.metadata import Distribution, distribution
from pathlib import Path
from types import SimpleNamespace
from typing import Any

# https://docs.aws.amazon.com/lambda/latest/dg/lambda-python.html: the runtime includes boto3 and what it depends on.
_PROVIDED = "boto3"
RUNTIME = "python{}.{}".format(*sys.version_info)
"""What a function declares that runs on this Python."""


def make_lambda_python(folder: Path) -> Path:
    """Make a virtual environment at ``folder`` that sees the standard library and boto3 alone; returns its interpreter.

    boto3 and its dependencies are symbolic links into this environment, so that nothing is installed or downloaded.
    """
    _WithoutScripts(symlinks=True, with_pip=False, clear=True).create(folder)
    site_packages = next((folder / "lib").glob("python3*")) / "site-packages"
    for found in _with_dependencies(_PROVIDED):
        for name, source in _top_level(found).items():
            link = site_packages / name
            if not link.is_symlink():
                link.symlink_to(source)
    return folder / "bin" / "python"


def python_of(functions: Any) -> str:
    """One line that names the Python on which deployed functions run, and what they declare where that differs.

    Args:
        functions: a client of Lambda.
    """
    pages = functions.get_paginator("list_functions").paginate()
    declared = {each.get("Runtime", "") for page in pages for each in page["Functions"]}
    said = f"Functions run on Python {platform.python_version()}"
    others = sorted(each for each in declared - {RUNTIME} if each.startswith("python"))
    if not others:
        return said
    return f"{said}, although they declare {', '.join(others)}. Where it is installed, set PYTHON_BIN to it."


class _WithoutScripts(venv.EnvBuilder):
    """Makes an environment that nobody activates."""

    def setup_scripts(self, context: SimpleNamespace) -> None:
        """No scripts."""


def _with_dependencies(name: str) -> list[Distribution]:
    found: dict[str, Distribution] = {}
    wanted = [name]
    while wanted:
        name = wanted.pop()
        if name in found:
            continue
        found[name] = distribution(name)
        for requirement in found[name].requires or []:
            # Without extras, a requirement is a name, then a version or a marker.
            if "extra ==" not in requirement and (match := re.match(r"[A-Za-z0-9._-]+", requirement)):
                wanted.append(match.group())
    return list(found.values())


def _top_level(found: Distribution) -> dict[str, Path]:
    names = {Path(str(file)).parts[0] for file in found.files or []}
    return {
        name: Path(str(found.locate_file(name)))
        for name in names
        if name not in {"..", "__pycache__"} and Path(str(found.locate_file(name))).exists()
    }
