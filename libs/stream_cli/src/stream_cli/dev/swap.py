"""Gives running functions the code of a service's folder, without CloudFormation."""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from stream_cli.dev.changes import Change, Contents
from stream_cli.dev.functions import DeployedCode, DevFunction
from stream_cli.local.deployed import LocalDeployments

_POLL_S = 0.1
_MODE = 0o644 << 16


def swap(
    service: Path,
    change: Change,
    contents: Contents,
    functions: Sequence[DevFunction],
    code: DeployedCode,
    deployments: LocalDeployments,
    go_on: Callable[[], bool],
) -> list[str]:
    """Give functions the code as it is now; returns the names of those whose code that was not.

    Where only the contents of Python files differ, it is the package that the CLI would make, so that `deploy` finds
    nothing to do afterwards. Else it is the functions' own with other files.

    Args:
        go_on: asked while another process deploys the service.

    Raises:
        CommandError: the local cloud refused it.
    """

    def keep_waiting() -> bool:
        time.sleep(_POLL_S)
        return go_on()

    with deployments.alone(service, keep_waiting):
        plan = deployments.plan(service)
        try:
            if plan.unchanged_since is not None:
                return []
            if plan.code:
                deployments.update_code(service, plan)
                return sorted(plan.code)
        finally:
            deployments.end(plan)
        return _replace(change, contents, functions, code)


def _replace(change: Change, contents: Contents, functions: Sequence[DevFunction], code: DeployedCode) -> list[str]:
    new: dict[str, bytes] = {}
    for each in functions:
        if each.digest not in new:
            files = {name: contents[name] for name in change.code - change.removed}
            new[each.digest] = with_files(code.package_of(each.name), files, change.removed)
        code.update(each.name, new[each.digest])
    return sorted(each.name for each in functions)


def with_files(zipped: bytes, files: Mapping[str, bytes], removed: frozenset[str]) -> bytes:
    """A zip file with other files, and without those that are removed; nothing of it is compressed."""
    body = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(zipped)) as before, zipfile.ZipFile(body, "w") as after:
        for entry in before.infolist():
            if entry.filename not in files and entry.filename not in removed:
                kept = zipfile.ZipInfo(entry.filename)
                kept.external_attr = entry.external_attr
                after.writestr(kept, before.read(entry))
        for name, content in sorted(files.items()):
            made = zipfile.ZipInfo(name)
            made.external_attr = _MODE
            after.writestr(made, content)
    return body.getvalue()
