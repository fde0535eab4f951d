"""What the Serverless CLI makes a package from, as one key. When any of it changes, so does the key.

The key is over content: every file of the service, the command line, the whole environment, the wheels, and our own
code. Of what npm and pip installed it takes names, sizes and times. Where a service reads what no key can hold, such as
files outside its folder or another account's parameters, there is no key, and it is packaged each time.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from stream_cli.deployment.fingerprints import content_of, digest_of, pip_of, stat_of
from stream_cli.deployment.serverless import Toolchain, configuration_of
from stream_cli.deployment.services import read_configuration
from stream_cli.errors import CommandError

# Written by tools, and not part of a package.
GENERATED = frozenset(
    {
        *(".git", ".hypothesis", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".serverless", ".streamctl", ".venv"),
        "__pycache__",
    }
)
_INSTALLED = "node_modules"
# Plugins whose results depend on nothing but the service; those in the folder are read like its other files.
_KNOWN_PLUGINS = frozenset({"serverless-iam-roles-per-function", "serverless-python-requirements"})
_CODE = frozenset({".cjs", ".js", ".mjs", ".ts"})
_READ_BY_THE_CLI = _CODE | {".cfg", ".ini", ".json", ".toml", ".txt", ".yaml", ".yml"}
_NOT_READ = frozenset({"package-lock.json"})
_TESTS = "tests"
_MINORS = range(11, 20)
_ELSEWHERE = {
    "a file above its folder": re.compile(r"\.\./|\.\.\\"),
    "a file of the user's home": re.compile(r"(?<![\w~])~/"),
    "a file by its URL": re.compile(r"\bfile:"),
    "a file whose name is computed": re.compile(r"\bfile\(\s*\$\{"),
    "values of SSM or S3": re.compile(r"(?:\$\{(?:[^$}]|\$(?!\{))*|\}[^${}\n]*,\s*)\b(?:ssm|s3)[:(.]"),
    "a number of this run": re.compile(r"\bsls:instanceId\b"),
    "values of Secrets Manager": re.compile(r"/aws/reference/secretsmanager"),
}
_UNREPEATABLE = re.compile(
    r"\b(?:child_process|aws-sdk|Date\.now|new Date|Math\.random|fetch\(|random(?:Bytes|Int|UUID)|getRandomValues)"
    r"|\b(?:hrtime|performance)\b|['\"](?:(?:node:)?(?:dns|https?|net|os|tls)|\.\.)['\"]"
)
_READS_CODE = re.compile(r"\bfile\([^()]*(?:\.py\b|[$(])|['\"](?:node:)?fs(?:/promises)?['\"]")
# A plugin of the service's own with a hook for what comes after packaging.
_HOOKS = re.compile(r"\bdeploy(?!ment)|\binitialize\b|(?<!:)\bfinalize\b|\binfo:info\b|\baws:info\b|\bpluginManager\b")
_VARIABLE = re.compile(r"\$\{([^${}]*)\}")
_READS_STACK = re.compile(r"\bcf(?P<region>\([^()]*\)|\.[\w-]+)?:(?P<name>(?:\$\{[^${}]*\}|[\w.-])+)")
_ABSOLUTE = re.compile(r"(?<![\w:/.$}*-])/(?:[\w.@+-]+/)*[\w.@+-]+")


class NoKey(Exception):
    """What a package is made from cannot all be known; the text says what it reads."""


@dataclass(frozen=True)
class Inputs:
    """What a package is made from.

    Attributes:
        key: of everything.
        around: of everything but the files.
        files: the digest of each file of the service, by its path in the folder; with an x, it can be executed.
    """

    key: str
    around: str
    files: Mapping[str, str]


def inputs_of(
    service: Path,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    toolchain: Toolchain,
    *,
    with_code: bool = True,
    but: Collection[str] = (),
    besides: Sequence[object] = (),
) -> Inputs:
    """The inputs with which the CLI packages a service.

    Args:
        arguments: those of the CLI.
        environment: the whole environment of the CLI.
        with_code: whether the functions' zip files are made, which needs wheels and pip.
        but: variables of the environment whose values do not matter, because no file of the service mentions them.
        besides: what else the package depends on, such as outputs of other stacks.

    Raises:
        NoKey: it reads what no key holds.
    """
    folder = service.resolve()
    configuration = configuration_of(folder)
    if configuration is None or configuration.suffix not in (".yml", ".yaml", ".json"):
        raise NoKey("its configuration is a program")
    _check_plugins(configuration)
    files = {}
    for path in _files_below(folder):
        content = _read(path)
        name = path.relative_to(folder).as_posix()
        # The CLI keeps whether a file can be executed.
        files[name] = hashlib.sha256(content).hexdigest() + ("x" if path.stat().st_mode & 0o100 else "")
        if is_for_the_cli(path, name):
            _check_references(name, content.decode(errors="replace"), path.suffix in _CODE, but)
    around = [
        str(folder),
        list(arguments),
        sorted((name, value) for name, value in environment.items() if name not in but),
        [stat_of(Path(toolchain.node).resolve()), _installed(toolchain.root / _INSTALLED)],
        _installed(folder / _INSTALLED),
        _own_code(),
        list(besides),
    ]
    if with_code:
        around += [_wheels(toolchain), pip_of(toolchain.python_with_pip), _compilers(environment)]
    return Inputs(digest_of([around, sorted(files.items())]), digest_of(around), files)


def outputs_read(service: Path, stage: str, params: Mapping[str, str]) -> list[tuple[str, str]]:
    """The outputs of other stacks that a service reads with `${cf:...}`: each stack with the output's name.

    Raises:
        NoKey: the name of a stack is computed in a way that only the CLI knows, or it is in another region; or the
            configuration is no YAML, which the CLI says better.
    """
    known = {"sls:stage": stage, "opt:stage": stage, "self:provider.stage": stage}
    try:
        declared = read_configuration(service).get("params")
    except CommandError as error:
        raise NoKey("its configuration is no YAML") from error
    for of_stage in ("default", stage):
        values = declared.get(of_stage) if isinstance(declared, dict) else None
        known |= {f"param:{name}": str(value) for name, value in (values.items() if isinstance(values, dict) else ())}
    known |= {f"param:{name}": value for name, value in params.items()}
    found: set[tuple[str, str]] = set()
    for name, text in _texts_for_the_cli(service):
        found.update(_output(name, each, known) for each in _READS_STACK.finditer(text))
    return sorted(found)


def reads_code(service: Path) -> bool:
    """Whether Python files may be a part of a service's template, as code of a function that is written there."""
    return any(_READS_CODE.search(text) for _, text in _texts_for_the_cli(service))


def acts_when_deployed(service: Path) -> bool:
    """Whether code of the service may do something in the Serverless CLI after packaging."""
    return any(Path(name).suffix in _CODE and _HOOKS.search(text) for name, text in _texts_for_the_cli(service))


def _texts_for_the_cli(service: Path) -> Iterator[tuple[str, str]]:
    """The files that the CLI may read to compile a service: the name and the text of each."""
    folder = service.resolve()
    for path in _files_below(folder):
        name = path.relative_to(folder).as_posix()
        if is_for_the_cli(path, name):
            yield name, _read(path).decode(errors="replace")


def is_for_the_cli(path: Path, name: str) -> bool:
    """Whether the CLI may read a file to compile a service; ``name`` is its path in the folder."""
    return path.suffix in _READ_BY_THE_CLI and path.name not in _NOT_READ and not name.startswith(f"{_TESTS}/")


def _output(file: str, read: re.Match[str], known: Mapping[str, str]) -> tuple[str, str]:
    written = _VARIABLE.sub(lambda each: known.get(each[1].split(",")[0].strip(), "${"), read["name"])
    stack, dot, output = written.partition(".")
    if read["region"] or "$" in written or not dot:
        raise NoKey(f"{file} reads {read[0]}, and only the CLI knows what that is")
    return stack, output


def _check_plugins(configuration: Path) -> None:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        root = yaml.compose(configuration.read_text(encoding="utf-8"), Loader=loader)
    except yaml.YAMLError as error:
        raise NoKey("its configuration is no YAML") from error
    pairs = root.value if isinstance(root, yaml.MappingNode) else ()
    for key, value in pairs:
        if key.value != "plugins":
            continue
        if not isinstance(value, yaml.SequenceNode):
            raise NoKey("its plugins are computed")
        for each in value.value:
            if not str(each.value).startswith("./") and each.value not in _KNOWN_PLUGINS:
                raise NoKey(f"the plugin {each.value} may read anything")


def _check_references(name: str, text: str, is_code: bool, unmentioned: Collection[str]) -> None:
    for what, pattern in _ELSEWHERE.items():
        if pattern.search(text):
            raise NoKey(f"{name} reads {what}")
    if name.endswith(".txt") and any("://" in line.partition("#")[0] for line in text.splitlines()):
        raise NoKey(f"{name} names an address")
    if is_code and (found := _UNREPEATABLE.search(text)):
        raise NoKey(f"{name} uses {found[0]}")
    if mentioned := [each for each in unmentioned if each in text]:
        raise NoKey(f"{name} mentions {mentioned[0]}")
    for path in set(_ABSOLUTE.findall(text)):
        if os.path.lexists(path):
            raise NoKey(f"{name} may read {path}")


def _files_below(folder: Path) -> Iterator[Path]:
    """Every file of a service, also those that git ignores, such as .env."""
    for above, folders, names in os.walk(folder):
        if any(Path(above, each).is_symlink() for each in folders):
            raise NoKey(f"a folder in {above} is a symbolic link")
        folders[:] = sorted(set(folders) - GENERATED - {_INSTALLED})
        for name in sorted(names):
            path = Path(above, name)
            if not path.is_file():
                raise NoKey(f"{path} is no file")
            yield path


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:  # such as a file of an editor or a test, which is gone again
        raise NoKey(f"{path} cannot be read: {error}") from error


@functools.cache
def _installed(folder: Path) -> str:
    """Names, sizes and times of everything that npm has installed in a folder; hashing it all would take seconds."""
    found = []
    root = os.path.realpath(folder)
    waiting = [str(folder)] if folder.is_dir() else []
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for each in entries:
                if each.is_dir(follow_symlinks=False):
                    waiting.append(each.path)
                else:
                    if each.is_symlink() and os.path.isdir(each) and not _is_within(os.path.realpath(each), root):
                        raise NoKey(f"{each.path} is a link to another folder, as npm link makes it")
                    status = each.stat(follow_symlinks=False)
                    found.append((each.path, status.st_size, status.st_mtime_ns))
    return digest_of(sorted(found))


def forget_installed() -> None:
    """Look again at what npm has installed, the next time that a key is made; it is kept for the time of a command."""
    _installed.cache_clear()


def _is_within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}{os.sep}")


@functools.cache
def _own_code() -> str:
    here = Path(__file__).parent
    return content_of(path for path in here.iterdir() if path.suffix in (".py", ".cjs"))


def _wheels(toolchain: Toolchain) -> str:
    return content_of(path for path in toolchain.wheels.iterdir() if path.is_file())


def _compilers(environment: Mapping[str, str]) -> list[object]:
    """The Pythons that may compile modules for a package; PYTHON_BIN is that of pip."""
    names = [environment.get("BYTECODE_PYTHON"), *(f"python3.{minor}" for minor in _MINORS)]
    found = [shutil.which(name, path=environment.get("PATH")) for name in names if name]
    return [stat_of(Path(each).resolve()) for each in found if each]
