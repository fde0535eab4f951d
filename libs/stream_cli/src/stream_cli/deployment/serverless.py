"""Runs the Serverless CLI (osls) in a service's folder: command line, environment, packaging without an account.

With the environment made here, `sls package` needs neither a network nor an AWS account, and `sls deploy` reaches the
local cloud.
"""

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from stream_cli import private_files
from stream_cli.deployment.cli_errors import reason_in
from stream_cli.deployment.proxies import proxy_for_pip, without_proxies
from stream_cli.errors import CommandError
from stream_cli.terminal.options import LOCAL
from stream_cli.terminal.output import shell_word

COMPILED_TEMPLATE = "cloudformation-template-update-stack.json"
CONFIGURATIONS = ("serverless.yml", "serverless.yaml", "serverless.json", "serverless.ts", "serverless.js")
PACKAGE_TIMEOUT_S = 300
# For packaging: files of a package keep the modes with which pip installs them. Lambda runs a function as another user
# than the owner of its files, and packages must not differ between machines.
UMASK = 0o022
_LOCK_POLL_S = 0.2
MADE_BY_THE_CLI = ".serverless"
_CLI = Path("node_modules", "osls", "bin", "serverless.js")
_COMPILE_ONLY = Path(__file__).with_name("compile_only.cjs")
_COMPILED = Path(__file__).with_name("compiled.cjs")
_BYTECODE = Path(__file__).with_name("bytecode.cjs")
_INSTALLS = Path(__file__).with_name("installs.cjs")
# Nothing listens on the discard port: requests to AWS while packaging fail at once.
_NOWHERE = "http://127.0.0.1:9"
# The caller's settings that would take precedence; those of npm would make a nested npm run in another folder.
_OF_THE_CALLER = """
AWS_DEFAULT_PROFILE AWS_DEFAULT_REGION AWS_ENDPOINT_URL_ AWS_PROFILE AWS_ROLE_ARN AWS_SESSION_TOKEN
AWS_WEB_IDENTITY_TOKEN_FILE PIP_ PYTEST_ npm_
"""
_NOT_INHERITED = tuple(_OF_THE_CALLER.split())
# Of a terminal, or of the npm run around this: the CLI has neither, and works the same in each.
_OF_THE_TERMINAL = """
COLOR COLORTERM COLUMNS EDITOR INIT_CWD LINES NODE OLDPWD PWD SHLVL SSH_CLIENT SSH_CONNECTION SSH_TTY TERM TERM_PROGRAM
TERM_PROGRAM_VERSION TERM_SESSION_ID WINDOWID XDG_SESSION_ID _
"""
_NOT_FOR_THE_CLI = frozenset(_OF_THE_TERMINAL.split())
_PATHS_OF_NPM = ("/node_modules/.bin", "/node-gyp-bin")


class ToolchainMissingError(CommandError):
    """The Serverless CLI or the wheels are not installed; the text says what to do."""


class ServerlessError(CommandError):
    """The Serverless CLI failed; the text holds its command line and the end of what it printed."""


@dataclass(frozen=True, slots=True)
class Toolchain:
    """What set-up installed below the root of the repository."""

    root: Path
    node: str

    @property
    def wheels(self) -> Path:
        """The wheels from which functions are packaged."""
        return self.root / ".build" / "wheels"

    @property
    def caches(self) -> Path:
        """The CLI's caches, which would be in the user's home."""
        return self.root / ".build" / "cache"

    @property
    def python_with_pip(self) -> Path:
        """The Python that the packaging plugin runs; it has pip."""
        return self.root / ".venv" / "bin" / "python"


def find_toolchain(start: Path | None = None) -> Toolchain:
    """The toolchain of the nearest folder that has one: at or above `start` or the current folder, else this file.

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


def configuration_of(service: Path) -> Path | None:
    """The file that configures a service, or None where the folder is no service."""
    return next((service / name for name in CONFIGURATIONS if (service / name).is_file()), None)


def command(toolchain: Toolchain, *arguments: str, installs: bool = False, bytecode: bool = False) -> list[str]:
    """The command line for `sls <arguments>`, to run in a service's folder.

    Args:
        installs: whether what pip has installed is kept, where the environment has `kept_installs`.
        bytecode: whether packages get compiled modules, where there is a Python of the functions' version.
    """
    return [
        *(toolchain.node, "--require", str(_COMPILED)),
        *(["--require", str(_INSTALLS)] if installs else []),
        *(["--require", str(_BYTECODE)] if bytecode else []),
        str(toolchain.root / _CLI),
        *arguments,
    ]


def parameters(params: Mapping[str, str]) -> list[str]:
    """The `--param name=value` arguments for values that would come from other stacks or from the stage."""
    return [f"--param={name}={value}" for name, value in params.items()]


def packaging_environment(toolchain: Toolchain) -> dict[str, str]:
    """The variables with which pip and the packaging plugin install from set-up's wheels alone."""
    return {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        # As a URL, since pip splits this at spaces, which a path may have.
        "PIP_FIND_LINKS": toolchain.wheels.as_uri(),
        "PIP_NO_INDEX": "1",
        # pip would compare what it puts in a folder with what is installed beside it: two thirds of its time. (That is
        # --no-warn-conflicts; of such an option pip's variable says the opposite.)
        "PIP_NO_WARN_CONFLICTS": "no",
        "PYTHON_BIN": str(toolchain.python_with_pip),
    }


def kept_installs(toolchain: Toolchain) -> dict[str, str]:
    """The variable that says how pip is run, once for the same requirements."""
    program = [
        sys.executable,
        "-P",
        "-m",
        "stream_cli.deployment.installs",
        str(toolchain.root / ".build" / "installs"),
    ]
    return {"KEPT_INSTALLS": json.dumps(program)}


def kept_compiled(toolchain: Toolchain) -> dict[str, str]:
    """The variables that name the folders for what V8 has compiled of the CLI, a third of the CPU of each start.

    And for the code that the CLI makes to validate configurations, which takes a second; it would be in the home.
    """
    return {"NODE_COMPILE_CACHE": str(toolchain.caches / "node"), "SLS_SCHEMA_CACHE_BASE_DIR": str(toolchain.caches)}


def environment(
    toolchain: Toolchain,
    endpoint: str = _NOWHERE,
    *,
    region: str = "us-east-1",
    inherited: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The whole environment for running `sls` without an account.

    Args:
        endpoint: `http://127.0.0.1:<port>` of the local cloud; by default, requests to AWS fail.
        region: the region that stacks are deployed to.
        inherited: variables to start from, by default those of this process. Settings of accounts and proxies are
            dropped; pip is told of the proxy.
    """
    start = os.environ if inherited is None else inherited
    return {
        **{
            name: _without_npm(value) if name == "PATH" else value
            for name, value in without_proxies(start).items()
            if not name.startswith(_NOT_INHERITED) and name not in _NOT_FOR_THE_CLI
        },
        **packaging_environment(toolchain),
        **kept_installs(toolchain),
        **kept_compiled(toolchain),
        **proxy_for_pip(start),
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": region,
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        # How often a deployment polls CloudFormation, in ms (default 5000). It also waits that before its first look.
        "SLS_AWS_MONITORING_FREQUENCY": "100",
        "SLS_AWS_REQUEST_MAX_RETRIES": "2",
        # `sls invoke local` runs the Python of the active virtual environment.
        "VIRTUAL_ENV": sys.prefix,
        "XDG_CACHE_HOME": str(toolchain.caches),
    }


def _without_npm(path: str) -> str:
    """A PATH without the folders that npm puts before it, each folder once."""
    folders = (each for each in path.split(os.pathsep) if not each.endswith(_PATHS_OF_NPM))
    return os.pathsep.join(dict.fromkeys(folders))


@contextlib.contextmanager
def alone_in(service: Path, keep_waiting: Callable[[], bool]) -> Iterator[None]:
    """Lock a service's folder, where the CLI and its plugin keep files while they package or deploy.

    These files are removed at the end: `sls create --template-path` would copy them.

    Args:
        service: the folder; without a configuration it is not locked.
        keep_waiting: called while another process holds the lock; it waits a moment and returns whether to go on.

    Raises:
        ServerlessError: the wait ended without the lock.
    """
    configuration = configuration_of(service)
    if configuration is None:
        yield
        return
    with configuration.open() as held:
        take_lock(held.fileno(), keep_waiting, service.name)
        try:
            yield
        finally:
            if (service / MADE_BY_THE_CLI).exists():
                shutil.rmtree(service / MADE_BY_THE_CLI)


def take_lock(held: int, keep_waiting: Callable[[], bool], service: str) -> None:
    """Lock an open file until it is closed.

    Args:
        held: the file's descriptor.
        keep_waiting: as of `alone_in`.
        service: what cannot be worked on meanwhile, for the error.

    Raises:
        ServerlessError: the wait ended without the lock.
    """
    while True:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if not keep_waiting():
                raise ServerlessError(f"another process still packages or deploys {service}") from None


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
    unless: Callable[[], bool] = lambda: False,
    then: Callable[[], None] = lambda: None,
) -> Path:
    """Compile a service as `sls deploy` does, without network and account; returns the path of its template.

    The template, the state and the functions' zip files go to `out`. This waits while another process packages or
    deploys in the service's folder.

    Args:
        with_code: whether to install what functions require into their zip files.
        fresh: whether pip installs it in any case, also where what it has installed before is kept.
        unless: asked when the folder is held; nothing is done where it returns True.
        then: called when the package is made, while the folder is held.

    Raises:
        ServerlessError: the CLI failed, or it or the wait for the folder took longer than PACKAGE_TIMEOUT_S.
        ToolchainMissingError: set-up has not run.
    """
    tools = toolchain or find_toolchain(service)
    arguments = ["package", "--stage", stage, "--package", str(out.resolve()), *parameters(params)]
    line = command(tools, *arguments, installs=with_code and not fresh, bytecode=with_code and stage != LOCAL)
    if not with_code:
        line[1:1] = ["--require", str(_COMPILE_ONLY)]
    until = time.monotonic() + PACKAGE_TIMEOUT_S
    template = out / COMPILED_TEMPLATE

    def keep_waiting() -> bool:
        time.sleep(_LOCK_POLL_S)
        return time.monotonic() < until

    try:
        with alone_in(service, keep_waiting):
            if unless():
                return template
            ran = subprocess.run(
                line,
                cwd=service,
                env=environment(tools, region=region),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=PACKAGE_TIMEOUT_S,
                check=False,
                umask=UMASK,
            )
            if ran.returncode != 0 or not template.is_file():
                reason = f"{reason_in(ran.stdout, service)}{_where_it_is(ran.stdout, service, stage, tools)}"
                raise ServerlessError(f"sls package of {service.name} ({stage}) failed ({ran.returncode}):\n{reason}")
            then()
    except subprocess.TimeoutExpired as error:
        raise ServerlessError(
            f"sls package of {service.name} ({stage}) took longer than {error.timeout:.0f} s"
        ) from error
    return template


def _where_it_is(output: str, service: Path, stage: str, toolchain: Toolchain) -> str:
    """Where all that the CLI has printed is kept, as a line; nothing where it cannot be."""
    log = toolchain.root / ".build" / "logs" / f"package-{service.name}-{stage}.log"
    try:
        private_files.make_folder(log.parent)
        private_files.write(log, output.encode())
    except (OSError, private_files.NotPrivate):
        return ""
    return f"\n(all of it: {log})"


def exports(variables: Mapping[str, str]) -> list[str]:
    """Lines that set variables in a shell."""
    return [f"export {name}={shell_word(value)}" for name, value in sorted(variables.items())]
