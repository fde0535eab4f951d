"""What the stacks of a local cloud were deployed from, so that a service is deployed only when something has changed.

The mark is an object in the stack's own deployment bucket: it says from what the stack was deployed, and how the stack
and its functions were then. A cloud that is new, a stack that is not there or not complete, and one that somebody has
changed since, by hand or with `sls deploy function`, have no mark that holds.

Where nothing but the code of functions has changed, their zip files are made from those before (`changed_code`). The
functions get them without the Serverless CLI, in the way of `sls deploy function`.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stream_cli import private_files
from stream_cli.deployment import serverless
from stream_cli.deployment.changed_code import CannotReplace, with_changed_files
from stream_cli.deployment.inputs import Inputs, NoKey, inputs_of, outputs_read, reads_code
from stream_cli.deployment.kept import KeptPackages
from stream_cli.deployment.packages import functions_in
from stream_cli.deployment.packaging import NOT_KEPT, kept_packages
from stream_cli.deployment.services import service_name, stack_name
from stream_cli.deployment.stacks import Account
from stream_cli.errors import CommandError
from stream_cli.local.endpoint import LocalEndpoint
from stream_cli.local.new_stacks import STATE, NewStack, create, keep_uploads, new_stack
from stream_cli.local.plain_requests import PlainRequests, Stack, outputs_in
from stream_cli.terminal.options import LOCAL
from stream_cli.terminal.output import say

MARK = "streamctl/deployed.json"
# The values of these differ from cloud to cloud and from network to network, and templates know nothing of them. pip
# installs from wheels on this machine, whatever its proxy is, where no file names an address.
_OF_THE_CLOUD = ("AWS_ENDPOINT_URL", "PIP_PROXY", "TMPDIR")
_IN_A_MARK = frozenset({"around", "deployed", "files", "key", "package", "stack"})
_ARTIFACTS = re.compile(r"(serverless/[\w-]+/[\w-]+)/\d+-\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z")


@dataclass
class Plan:
    """How a service is deployed now.

    Attributes:
        unchanged_since: when it was deployed, where that need not be done again.
        arguments: more arguments for the Serverless CLI.
        package: a folder of this plan's own, with a package that was made before.
        code: the new zip file of each function, by its name, where nothing else has changed.
        made_from: the mark of the package that these are made from.
        new_stack: the stack, where it is not there and can be created from the package.
    """

    unchanged_since: datetime | None = None
    arguments: list[str] = field(default_factory=list)
    package: Path | None = None
    code: dict[str, bytes] = field(default_factory=dict)
    inputs: Inputs | None = None
    made_from: Mapping[str, Any] = field(default_factory=dict)
    new_stack: NewStack | None = None


class LocalDeployments:
    """The deployments to a local cloud.

    Args:
        account: the local cloud as an account to deploy to.
        temporary: a folder for packages while they are deployed.
        fresh: deploy in any case, and package anew.
    """

    def __init__(
        self,
        endpoint: LocalEndpoint,
        account: Account,
        toolchain: serverless.Toolchain,
        temporary: Path,
        params: Mapping[str, str],
        *,
        fresh: bool = False,
    ) -> None:
        self._cloud = PlainRequests(endpoint)
        self._account = account
        self._toolchain = toolchain
        self._temporary = temporary
        self._params = params
        self._fresh = fresh
        self._kept: KeptPackages | None = kept_packages(toolchain)

    @contextlib.contextmanager
    def alone(self, service: Path, keep_waiting: Callable[[], bool]) -> Iterator[None]:
        """Lock a service's stack in this cloud: its mark says how the stack was left by the one who wrote it.

        The lock of the service's folder does not do: a copy of the service in another folder has the same stack.
        """
        name = service_name(service) or service.name
        held = private_files.open_file(self._temporary / f"{name}.deployment", os.O_RDWR | os.O_CREAT)
        try:
            serverless.take_lock(held, keep_waiting, name)
            yield
        finally:
            os.close(held)

    def plan(self, service: Path) -> Plan:
        """What is to be done to deploy a service; the caller holds its folder, and its stack (`alone`)."""
        plan = Plan(inputs=self._inputs(service))
        if plan.inputs is None:
            plan.arguments += ["--force"] if self._fresh else []
            return plan
        stack = self._cloud.stack(stack_name(service, LOCAL))
        mark = self._mark(stack)
        is_as_marked = stack is not None and mark is not None and mark["stack"] == stack.digest
        # The CLI compares with the package that it deployed last, not with the code that functions have.
        has_other_code = mark is None or mark["key"] != mark["package"]
        may_differ = stack is not None and stack.bucket is not None and (has_other_code or not is_as_marked)
        if self._fresh or may_differ:
            plan.arguments.append("--force")
        if self._fresh:
            return plan
        holds = stack and mark and stack.is_complete and is_as_marked
        if mark and holds and mark["key"] == plan.inputs.key:
            plan.unchanged_since = datetime.fromisoformat(mark["deployed"])
            return plan
        if stack and mark and holds and mark["around"] == plan.inputs.around:
            plan.code, plan.made_from = self._changed_code(service, stack, mark, plan.inputs), mark
        if not plan.code and (folder := self._kept_package(plan.inputs.key)):
            _name_artifacts_anew(folder)
            plan.package = folder
            plan.arguments += ["--package", str(folder)]
            plan.new_stack = None if stack else new_stack(service, folder)
        return plan

    def create(self, service: Path, plan: Plan, go_on: Callable[[], bool]) -> bool:
        """Create the stack of a plan from its package, and mark it; where that fails, the CLI has to deploy it.

        Args:
            go_on: asked while CloudFormation works; the creation ends where it returns False.

        Raises:
            CommandError: ``go_on`` returned False.
        """
        if plan.new_stack is None:
            return False
        try:
            create(self._cloud, self._account.region, plan.new_stack, go_on)
        except CommandError as error:
            if not go_on():
                raise
            say(f"{plan.new_stack.name} is left to the Serverless CLI: {error}", err=True)
            plan.arguments.append("--force")
            return False
        self.deployed(service, plan)
        return True

    def update_code(self, service: Path, plan: Plan) -> None:
        """Give functions the code of a plan, and mark the stack with it."""
        for function, zipped in plan.code.items():
            self._cloud.update_code(function, zipped)
        if plan.inputs is not None and self._inputs(service) == plan.inputs:
            self._write_mark(service, plan.inputs, plan.made_from)

    def deployed(self, service: Path, plan: Plan) -> None:
        """Keep what was deployed, and mark the stack with it; unless the service has changed in the meantime."""
        if plan.inputs is None or self._inputs(service) != plan.inputs:
            return
        made = service / ".serverless"
        if plan.package is None and self._kept is not None and made.is_dir():
            if self._fresh:
                self._kept.discard(plan.inputs.key)
            stack = self._cloud.stack(stack_name(service, LOCAL))
            if stack is not None and stack.bucket is not None and (made / STATE).exists():
                keep_uploads(self._cloud, stack.bucket, made)
            self._kept.keep(plan.inputs.key, made, without=NOT_KEPT)
        made_from = {"package": plan.inputs.key, "around": plan.inputs.around, "files": plan.inputs.files}
        self._write_mark(service, plan.inputs, made_from)

    def end(self, plan: Plan) -> None:
        """Remove what the plan has put into the temporary folder."""
        if plan.package is not None:
            shutil.rmtree(plan.package, ignore_errors=True)

    def _write_mark(self, service: Path, inputs: Inputs, made_from: Mapping[str, Any]) -> None:
        stack = self._cloud.stack(stack_name(service, LOCAL))
        if stack is not None and stack.bucket is not None:
            deployed = datetime.now(UTC).isoformat(timespec="seconds")
            mark = {**made_from, "key": inputs.key, "stack": stack.digest, "deployed": deployed}
            self._cloud.put(stack.bucket, MARK, json.dumps(mark).encode())

    def _kept_package(self, key: str) -> Path | None:
        """A kept package in a folder of its own."""
        if self._kept is None:
            return None
        folder = Path(tempfile.mkdtemp(dir=self._temporary, prefix="package-"))
        if self._kept.take(key, folder) is None:
            shutil.rmtree(folder)
            return None
        return folder

    def _changed_code(self, service: Path, stack: Stack, mark: Mapping[str, Any], inputs: Inputs) -> dict[str, bytes]:
        """The new zip files of functions; none where more has changed, or where only the CLI can make them."""
        before, now = _of_packages(mark["files"]), _of_packages(inputs.files)
        changed = {name for name, digest in now.items() if before.get(name) != digest}
        if before.keys() != now.keys() or not all(
            name.endswith(".py") and before[name].endswith("x") == now[name].endswith("x") for name in changed
        ):
            return {}
        beside = (mark["files"].keys() | inputs.files.keys()) - now.keys()
        folder = self._kept_package(mark["package"])
        if folder is None:
            return {}
        try:
            template = json.loads((folder / serverless.COMPILED_TEMPLATE).read_text(encoding="utf-8"))
            if _uses_versions(template) or _uses_artifacts(template) or reads_code(service):
                return {}
            made: dict[Path, bytes] = {}
            functions = functions_in(template, folder)
            for path in set(functions.values()):
                made[path] = self._changed_zip(service, path, {name: before[name] for name in changed}, beside)
            return {
                function: made[path]
                for function, path in functions.items()
                if stack.code.get(function) != base64.b64encode(hashlib.sha256(made[path]).digest()).decode()
            }
        except CannotReplace:
            return {}
        finally:
            shutil.rmtree(folder)

    def _changed_zip(self, service: Path, path: Path, changed: Mapping[str, str], beside: Set[str]) -> bytes:
        """The zip file with what has changed; ``changed`` has the digest that each file had before.

        Tests and documents (``beside``) may have changed, too, where packages hold none.
        """
        with zipfile.ZipFile(path) as zipped:
            held = set(zipped.namelist())
            if missing := set(changed) - held:
                raise CannotReplace(f"it does not hold {', '.join(sorted(missing))}")
            if packaged := beside & held:
                raise CannotReplace(f"it holds {', '.join(sorted(packaged))}")
            before = {name: zipped.read(name) for name in changed}
        for name, content in before.items():
            if hashlib.sha256(content).hexdigest() != changed[name].removesuffix("x"):
                raise CannotReplace(f"its {name} was not made from the service's")
        after = {name: (service / name).read_bytes() for name in changed}
        return with_changed_files(path.read_bytes(), before, after, self._toolchain.node)

    def _inputs(self, service: Path) -> Inputs | None:
        if service_name(service) is None:
            return None
        arguments = ["deploy", LOCAL, self._account.region, *serverless.parameters(self._params)]
        environment = {**self._account.environment(), **serverless.packaging_environment(self._toolchain)}
        try:
            read = [
                [stack, output, self._outputs(stack).get(output)]
                for stack, output in outputs_read(service, LOCAL, self._params)
            ]
            return inputs_of(service, arguments, environment, self._toolchain, but=_OF_THE_CLOUD, besides=read)
        except NoKey:
            return None

    def _outputs(self, name: str) -> Mapping[str, str]:
        stack = self._cloud.described(name)
        return {} if stack is None else outputs_in(stack)

    def _mark(self, stack: Stack | None) -> dict[str, Any] | None:
        if stack is None or stack.bucket is None:
            return None
        try:
            mark = json.loads(self._cloud.get(stack.bucket, MARK) or b"null")
        except ValueError:
            return None
        # An earlier version of this may have written another mark.
        return mark if isinstance(mark, dict) and mark.keys() >= _IN_A_MARK else None


def _of_packages(files: Mapping[str, str]) -> dict[str, str]:
    """The files of a service but for its tests and documents."""
    return {name: digest for name, digest in files.items() if not is_beside_code(name)}


def is_beside_code(name: str) -> bool:
    """Whether a file of a service is a test or a document, by its path in the folder."""
    return name.startswith("tests/") or name.endswith(".md")


def _uses_versions(template: Mapping[str, Any]) -> bool:
    """Whether something invokes a version of a function, which has the code of its time."""
    versions = {name for name, each in template["Resources"].items() if each["Type"] == "AWS::Lambda::Version"}
    written = json.dumps([each for name, each in template["Resources"].items() if name not in versions])
    return any(f'"{name}"' in written or f"${{{name}}}" in written for name in versions)


def _uses_artifacts(template: Mapping[str, Any]) -> bool:
    """Whether something else than functions is made from a package, such as a layer."""
    others = [each for each in template["Resources"].values() if each["Type"] != "AWS::Lambda::Function"]
    return _ARTIFACTS.search(json.dumps(others)) is not None


def _name_artifacts_anew(folder: Path) -> None:
    """Give a package's artifacts a key of now: by these, the CLI knows which deployment is the latest."""
    now = datetime.now(UTC)
    name = f"{time.time_ns() // 1_000_000}-{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03}Z"
    for path in folder.glob("*.json"):
        path.write_text(_ARTIFACTS.sub(rf"\1/{name}", path.read_text(encoding="utf-8")), encoding="utf-8")
