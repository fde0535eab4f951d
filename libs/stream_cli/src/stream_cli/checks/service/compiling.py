"""Compiles services without an account, two at a time: with stand-ins for what other stacks would provide."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from stream_cli.deployment.packaging import Package, package

from .imports import stand_ins

Read = TypeVar("Read")
_AT_ONCE = 2  # each is a process of its own that uses one processor


def compile_each(
    services: Sequence[Path],
    stage: str,
    given: Mapping[str, str],
    read: Callable[[Path, Package], Read],
    *,
    fresh: bool,
) -> list[Read]:
    """What `read` makes of each compiled service, in their order. What it gets is gone afterwards.

    Args:
        given: params for all of them.
        fresh: whether to compile also what has not changed since it was compiled last.

    Raises:
        ServerlessError: the CLI failed.
        ToolchainMissingError: set-up has not run.
    """

    def compiled(folder: Path) -> Read:
        params = stand_ins(folder, stage, given)
        with tempfile.TemporaryDirectory(prefix="streamctl-compile-") as out:
            return read(folder, package(folder.resolve(), stage, params, Path(out), with_code=False, fresh=fresh))

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(compiled, services))
