"""Says where packages hold no compiled modules, so that each cold start compiles what it imports."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

from stream_cli.deployment import serverless
from stream_cli.deployment.packages import functions_in


def compiles_at_start(folder: Path) -> str | None:
    """A line on the functions of a packaged service that compile what they import, and what to do; None if none does.

    Args:
        folder: of the compiled template and the zip files.
    """
    template = folder / serverless.COMPILED_TEMPLATE
    if not template.is_file():
        return None
    compiled = json.loads(template.read_text(encoding="utf-8"))
    paths = functions_in(compiled, folder)
    missing = set()
    for resource in compiled["Resources"].values():
        if resource["Type"] != "AWS::Lambda::Function":
            continue
        runtime = str(resource["Properties"].get("Runtime"))
        path = paths[str(resource["Properties"]["FunctionName"])]
        if runtime.startswith("python3.") and path.is_file() and not _holds_compiled(path, runtime):
            missing.add(runtime)
    if not missing:
        return None
    return (
        f"Cold starts compile what they import, because packages were made without {' and '.join(sorted(missing))}: "
        "install it, or name it in BYTECODE_PYTHON."
    )


def _holds_compiled(path: Path, runtime: str) -> bool:
    ending = f".{runtime.replace('python3.', 'cpython-3')}.pyc"
    with zipfile.ZipFile(path) as zipped:
        return any(name.endswith(ending) for name in zipped.namelist())
