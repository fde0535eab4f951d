"""How the Serverless CLI (osls) is run in a service's folder: command line, environment, packaging without an account.

The one place that knows where set-up put the CLI and the wheels. The environment made here lets `sls package` work
without network and without an AWS account, and `sls deploy` reach the local cloud.
"""

import contextlib
import fcntl
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from stream_cli.errors import CommandError

COMPILED_TEMPLATE = "cloudformation-template-update-stack.json"
CONFIGURATIONS = ("serverless.yml", "serverless.yaml", "serverless.json", "serverless.ts", "serverless.js")
PACKAGE_TIMEOUT_S = 300
# Of whoever packages: pip gives what it installs the modes that this leaves, and a package keeps them. Lambda runs a
# function as another user than the one that owns its files, and the bytes are to be the same everywhere.
UMASK = 0o022
_LOCK_POLL_S = 0.2
_CLI = Path("node_modules", "osls", "bin", "serverless.js")
# Nothing listens on the discard port: whatever asks AWS for something while it packages is refused at once.
_NOWHERE = "http://127.0.0.1:9"
# Settings of the caller that would decide otherwise; npm's would make a nested npm run in another folder.
_NOT_INHERITED = (
    "AWS_DEFAULT_PROFILE",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL_",
    "AWS_PROFILE",
    "AWS_ROLE_ARN",
    "AWS_SESSION_TOKEN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "PIP_",
    "npm_",
)


class ToolchainMissingError(CommandError):
    """The Serverless CLI or the wheels are not where set-up puts them; the text says what to do."""


class ServerlessError(CommandError):
    """The Serverless CLI failed; the text holds its command line and the end of what it printed."""


@dataclass(frozen=True, slots=True)
class Toolchain:
    """What set-up installed below one folder, the root of the repository."""

    root: Path
    node: str

    @property
    def wheels(self) -> Path:
        """The folder of wheels from which functions are packaged."""
        return self.root / ".build" / "wheels"

    @property
    def caches(self) -> Path:
        """Where the CLI keeps its caches, instead of the user's home."""
        return self.root / ".build" / "cache"

    @property
    def python_with_pip(self) -> Path:
        """The Python that the packaging plugin runs; it has pip."""
        return self.root / ".venv" / "bin" / "python"


def find_toolchain(start: Path | None = None) -> Toolchain:
    """The toolchain of the nearest folder that has one: at or above `start`, else above this file.

    `start` is the current folder unless given.

    Raises:
        ToolchainMissingError: there is none, or no Node.js.
    """
    node = shutil.which("node")
    if node is None:
        raise ToolchainMissingError("Node.js is not on the PATH, and the Serverless CLI needs it.")
    for origin in (start or Path.cwd(), Path(__file__)):
        for folder in (origin.resolve(), *origin.resolve().parents):
            if (folder / _CLI).is_file() and (folder / ".build" / "wheels").is_dir():
                return Toolchain(folder, node)
    raise ToolchainMissingError("The Serverless CLI is not installed: run `npm run setup` in the root folder.")


def command(toolchain: Toolchain, *arguments: str) -> list[str]:
    """The command line for `sls <arguments>`, to be run in a service's folder."""
    return [toolchain.node, str(toolchain.root / _CLI), *arguments]


def parameters(params: Mapping[str, str]) -> list[str]:
    """The `--param name=value` arguments for values that would otherwise come from other stacks or from the stage."""
    return [f"--param={name}={value}" for name, value in params.items()]


def packaging_environment(toolchain: Toolchain) -> dict[str, str]:
    """What pip and the packaging plugin need to install from the wheels that set-up made, and from nowhere else."""
    return {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        # As a URL, since pip splits this at spaces, which a path may have.
        "PIP_FIND_LINKS": toolchain.wheels.as_uri(),
        "PIP_NO_INDEX": "1",
        "PYTHON_BIN": str(toolchain.python_with_pip),
    }


def environment(
    toolchain: Toolchain,
    endpoint: str = _NOWHERE,
    *,
    region: str = "us-east-1",
    inherited: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The whole environment for running `sls` against `endpoint`, by default against none.

    Keyword Args:
        endpoint: `http://127.0.0.1:<port>` of the local cloud; an IP address, so that requests to S3 use paths.
        region: the region that stacks are deployed to.
        inherited: what to start from, by default this process's environment. Account settings in it are dropped:
            nothing that runs with this environment reaches an account.
    """
    start = os.environ if inherited is None else inherited
    return {
        **{name: value for name, value in start.items() if not name.startswith(_NOT_INHERITED)},
        **packaging_environment(toolchain),
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": region,
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        # How often a deployment asks CloudFormation for news, in ms (5000 unless set).
        "SLS_AWS_MONITORING_FREQUENCY": "250",
        "SLS_AWS_REQUEST_MAX_RETRIES": "2",
        "SLS_SCHEMA_CACHE_BASE_DIR": str(toolchain.caches),
        # `sls invoke local` runs the Python of the active virtual environment.
        "VIRTUAL_ENV": sys.prefix,
        "XDG_CACHE_HOME": str(toolchain.caches),
    }


@contextlib.contextmanager
def alone_in(service: Path, keep_waiting: Callable[[], bool]) -> Iterator[None]:
    """Hold a service's folder: the CLI and its plugin keep their files there while they package or deploy.

    Args:
        service: the folder; one without a configuration is held by nobody.
        keep_waiting: called again and again while another process holds the folder; it takes its time, and gives False
            to wait no longer.

    Raises:
        ServerlessError: the wait was given up.
    """
    configuration = next((service / name for name in CONFIGURATIONS if (service / name).is_file()), None)
    if configuration is None:
        yield
        return
    with configuration.open() as held:
        while True:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not keep_waiting():
                    raise ServerlessError(f"another process still packages or deploys {service.name}") from None
        yield


def package(
    service: Path,
    stage: str,
    params: Mapping[str, str],
    out: Path,
    *,
    toolchain: Toolchain | None = None,
) -> Path:
    """Compile a service as `sls deploy` would, without network and account; gives the path of its CloudFormation.

    `out` receives the template, the state and the zip files of the functions. It waits while another packaging or
    deployment works in the service's folder.

    Raises:
        ServerlessError: the CLI failed or took longer than PACKAGE_TIMEOUT_S, or the folder was not free so long.
        ToolchainMissingError: set-up has not run.
    """
    tools = toolchain or find_toolchain(service)
    line = command(tools, "package", "--stage", stage, "--package", str(out.resolve()), *parameters(params))
    until = time.monotonic() + PACKAGE_TIMEOUT_S

    def keep_waiting() -> bool:
        time.sleep(_LOCK_POLL_S)
        return time.monotonic() < until

    try:
        with alone_in(service, keep_waiting):
            ran = subprocess.run(
                line,
                cwd=service,
                env=environment(tools),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=PACKAGE_TIMEOUT_S,
                check=False,
                umask=UMASK,
            )
    except subprocess.TimeoutExpired as error:
        raise ServerlessError(
            f"sls package of {service.name} ({stage}) took longer than {error.timeout:.0f} s"
        ) from error
    template = out / COMPILED_TEMPLATE
    if ran.returncode != 0 or not template.is_file():
        printed = "\n".join(ran.stdout.strip().splitlines()[-40:])
        raise ServerlessError(f"sls package of {service.name} ({stage}) failed ({ran.returncode}):\n{printed}")
    return template


def as_shell(variables: Mapping[str, str]) -> str:
    """Lines that set variables in a shell."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in sorted(variables.items()))
