"""Packages services as the Serverless CLI does, and only where something has changed since it was done last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from stream_cli.deployment import serverless
from stream_cli.deployment.inputs import Inputs, NoKey, inputs_of
from stream_cli.deployment.kept import KeptPackages
from stream_cli.deployment.serverless import Toolchain
from stream_cli.private_files import NotPrivate

# What the plugin has installed is in the zip files.
NOT_KEPT = frozenset({"requirements", "requirements.txt"})


@dataclass(frozen=True)
class Package:
    """A packaged service.

    Attributes:
        template: the compiled template; the state and the zip files are beside it.
        since: when it was made, if it was made before and nothing has changed since; else None.
    """

    template: Path
    since: datetime | None


def kept_packages(toolchain: Toolchain) -> KeptPackages | None:
    """The packages that are kept for a repository; None where others could replace them."""
    try:
        return KeptPackages(toolchain.root / ".build" / "packages")
    except NotPrivate:
        return None


def package(
    service: Path,
    stage: str,
    params: Mapping[str, str],
    out: Path,
    *,
    region: str = "us-east-1",
    toolchain: Toolchain | None = None,
    with_code: bool = True,
    fresh: bool = False,
) -> Package:
    """Package a service into a folder, or take what was made before from the same inputs.

    Args:
        with_code: whether to make the zip files of Python functions. Without, only the template and the state count,
            and nothing is installed.
        fresh: whether to package anew in any case.

    Raises:
        ServerlessError: the CLI failed.
        ToolchainMissingError: set-up has not run.
    """
    tools = toolchain or serverless.find_toolchain(service)
    kept = kept_packages(tools)

    def inputs() -> Inputs | None:
        arguments = ["package", stage, *serverless.parameters(params)]
        environment = serverless.environment(tools, region=region)
        try:
            return inputs_of(service, arguments, environment, tools, with_code=with_code)
        except NoKey:
            return None

    before = inputs() if kept else None
    since: datetime | None = None

    def taken() -> bool:
        nonlocal since
        since = kept.take(before.key, out) if kept and before and not fresh else None
        return since is not None

    def keep() -> None:
        if kept and before and inputs() == before:
            if fresh:
                kept.discard(before.key)
            kept.keep(before.key, out, without=NOT_KEPT)

    if not taken():
        # Another process may package the same, so this looks again when it holds the folder.
        serverless.package(
            *(service, stage, params, out),
            region=region,
            toolchain=tools,
            with_code=with_code,
            fresh=fresh,
            unless=taken,
            then=keep,
        )
    return Package(out / serverless.COMPILED_TEMPLATE, since)
