"""Compiles every service for every stage with the Serverless CLI, once.

Compiled templates are kept in `.build/templates` under a hash of their inputs, so only changed services are compiled
again; so is what slow tools say of them. Each service is compiled in a copy of its folder, like a user's copy of the
template.

Most time goes into packages, which are made where a test reads them. Those of the stages `dev` and `full` are prod's,
where the CLI is told to make them in the same way. Tests compare packages of prod with some of `full` that are made
elsewhere: with all that must not matter for a package changed, without network, and with an empty home folder; and
those of stage `local` with second ones of `local`.
"""

import fcntl
import fnmatch
import functools
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from stream_cli.deployment import serverless
from stream_cli.deployment.serverless import COMPILED_TEMPLATE, ServerlessError, find_toolchain, package
from toolchain import LAMBDA_PYTHON

ROOT = Path(__file__).resolve().parents[2]
SERVICES = sorted(path.parent.name for path in (ROOT / "services").glob("*/serverless.yml"))
# Stage dev is as prod is, but for some figures, and where it differs tests ask for it: `npm test` leaves it out else.
STAGES = ("local", *(["dev"] if "THOROUGH" in os.environ else []), "prod")
AT_A_TIME = 2
# The stages whose packages those of another stage stand for.
PACKAGED_AS = {"dev": "prod", "full": "prod"}
# `npm test` has the smallest service packaged for AWS, and the system stage has all packaged for this machine by the
# same CLI; `--thorough` has all packaged here, beginning with the one with the most dependencies.
MOST, LEAST = "rest-bff-service", "event-fault-monitor"
STATE = "serverless-state.json"
COMPILE_ONLY = Path(serverless.__file__).with_name("compile_only.cjs")
COMPILE_TOGETHER = Path(__file__).with_name("compile_together.cjs")
# How a package was made elsewhere: {"network": whether there was one, "home": what is in the home folder since}.
CIRCUMSTANCES = "circumstances.json"
WITHOUT_NETWORK = ("unshare", "--map-root-user", "--net")
PACKAGE = """
import json, sys
from pathlib import Path
from stream_cli.deployment.serverless import package
service, stage, params, out = json.load(sys.stdin)
package(Path(service), stage, params, Path(out), fresh=True)
"""
PACKAGE_TIMEOUT_S = 600
PARTITION, REGION, ACCOUNT = "aws", "us-east-1", "123456789012"
# Created by tools, not part of a service.
NOT_OF_A_SERVICE = shutil.ignore_patterns(".serverless", "__pycache__", ".*_cache", ".hypothesis", "node_modules")
# Outputs of the hub's stack; without an account they are given as parameters.
HUB = {
    "busName": "event-hub-x-bus",
    "busArn": f"arn:{PARTITION}:events:{REGION}:{ACCOUNT}:event-bus/event-hub-x-bus",
    "alarmTopicArn": f"arn:{PARTITION}:sns:{REGION}:{ACCOUNT}:event-hub-x-alarms",
    "claimsBucketName": f"event-hub-x-claims-{ACCOUNT}-{REGION}",
    "stream1Name": "event-hub-x-s1",
    "stream1Arn": f"arn:{PARTITION}:kinesis:{REGION}:{ACCOUNT}:stream/event-hub-x-s1",
}
# What a stage on AWS has to be given, because there is no default for it.
ISSUER = {"jwtIssuer": "https://login.my-company.example/", "jwtAudience": "stories"}
KEY = f"arn:{PARTITION}:kms:{REGION}:{ACCOUNT}:key/11111111-2222-3333-4444-555555555555"
BOUNDARY = f"arn:{PARTITION}:iam::{ACCOUNT}:policy/teams/stories"
# What an account may want of every stack.
WANTED = {
    "kmsKeyArn": KEY,
    "logDataProtection": "EmailAddress, AwsSecretKey",
    "permissionsBoundary": BOUNDARY,
}
# An additional stage with the options that no stage of a service uses.
FULL = "full"
OPTIONS = {
    "control-service": {"reading": "own", **WANTED},
    "event-fault-monitor": WANTED,
    "event-hub": {
        **WANTED,
        "architecture": "x86_64",
        "consumers": "reports,search-index",
        "egressAccounts": ",".join(str(digit) * 12 for digit in range(1, 7)),
        "externalSource": "external.stories",
        "ingressAccounts": "333333333333:external.orders,777777777777:external.shop,333333333333:external.returns",
    },
    "event-lake-s3": WANTED,
    "rest-bff-service": {
        **WANTED,
        "allowedOrigins": "https://www.my-company.example, http://localhost:5173",
        "dashboardConcurrency": "5",
        "jwtAudience": "stories, reports",
        "readScope": "reports/read",
        "reading": "own",
        "throttlingRate": "2.5",
    },
}
COMPILED = [(service, stage) for service in SERVICES for stage in STAGES] + [(service, FULL) for service in OPTIONS]
ARNS: dict[str, tuple[str, str]] = {
    "AWS::DynamoDB::Table": ("TableName", "dynamodb:{region}:{account}:table/{name}"),
    "AWS::Events::EventBus": ("Name", "events:{region}:{account}:event-bus/{name}"),
    "AWS::IAM::Role": ("RoleName", "iam::{account}:role/{name}"),
    "AWS::KMS::Key": ("KeyId", "kms:{region}:{account}:key/{name}"),
    "AWS::Kinesis::Stream": ("Name", "kinesis:{region}:{account}:stream/{name}"),
    "AWS::KinesisFirehose::DeliveryStream": ("DeliveryStreamName", "firehose:{region}:{account}:deliverystream/{name}"),
    "AWS::Lambda::Function": ("FunctionName", "lambda:{region}:{account}:function:{name}"),
    "AWS::Logs::LogGroup": ("LogGroupName", "logs:{region}:{account}:log-group:{name}:*"),
    "AWS::S3::Bucket": ("BucketName", "s3:::{name}"),
    "AWS::SNS::Topic": ("TopicName", "sns:{region}:{account}:{name}"),
    "AWS::SQS::Queue": ("QueueName", "sqs:{region}:{account}:{name}"),
}


@dataclass(frozen=True)
class Statement:
    """One statement of an IAM policy, its values resolved."""

    effect: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    principals: tuple[str, ...] = ()
    condition: dict[str, dict[str, Any]] = field(default_factory=dict)

    def covers(self, action: str, resource: str) -> bool:
        """Whether it applies to this action on this resource."""
        return any(fnmatch.fnmatchcase(action.lower(), each.lower()) for each in self.actions) and any(
            fnmatch.fnmatchcase(resource, each) for each in self.resources
        )


@dataclass(frozen=True)
class Stack:
    """A compiled service: its template, and queries on it."""

    service: str
    stage: str
    folder: Path
    template: dict[str, Any]

    @property
    def resources(self) -> dict[str, dict[str, Any]]:
        """Every resource by its logical id."""
        return self.template["Resources"]

    @property
    def outputs(self) -> dict[str, Any]:
        """Every output by its name."""
        return self.template.get("Outputs", {})

    def of_type(self, *types: str) -> dict[str, dict[str, Any]]:
        """The properties of the resources of these types, by logical id, without the bucket that deployments use."""
        return {
            name: resource.get("Properties", {})
            for name, resource in self.resources.items()
            if resource["Type"] in types and not name.startswith("ServerlessDeployment")
        }

    def resolve(self, value: Any) -> Any:
        """A value with Ref, Fn::GetAtt, Fn::Sub and Fn::Join carried out, for one account and region."""
        if isinstance(value, list):
            return [self.resolve(each) for each in value]
        if not isinstance(value, dict):
            return value
        if len(value) != 1:
            return {name: self.resolve(each) for name, each in value.items()}
        ((function, argument),) = value.items()
        match function:
            case "Ref":
                return self._reference(argument)
            case "Fn::GetAtt":
                name, attribute = argument.split(".", 1) if isinstance(argument, str) else argument
                return self._attribute(name, attribute)
            case "Fn::Sub":
                text, extra = argument if isinstance(argument, list) else (argument, {})
                return re.sub(r"\$\{([^!}][^}]*)\}", lambda found: self._variable(found[1], extra), text)
            case "Fn::Join":
                return argument[0].join(str(self.resolve(each)) for each in argument[1])
            case _:
                return {function: self.resolve(argument)}

    def _variable(self, name: str, extra: dict[str, Any]) -> str:
        if name in extra:
            return str(self.resolve(extra[name]))
        if "." in name:
            return str(self._attribute(*name.split(".", 1)))
        return str(self._reference(name))

    def _reference(self, name: str) -> str:
        pseudo = {"AWS::Partition": PARTITION, "AWS::Region": REGION, "AWS::AccountId": ACCOUNT}
        pseudo["AWS::URLSuffix"] = "amazonaws.com"
        if name in pseudo:
            return pseudo[name]
        if name.startswith("AWS::"):
            return f"<{name}>"
        resource = self.resources[name]
        if resource["Type"] == "AWS::SNS::Topic":
            return self.arn(name)
        named_by, _ = ARNS.get(resource["Type"], ("", ""))
        physical = resource.get("Properties", {}).get(named_by, name)
        return str(self.resolve(physical))

    def _attribute(self, name: str, attribute: str) -> str:
        resource = self.resources[name]
        if (resource["Type"], attribute) == ("AWS::Events::Rule", "Arn"):
            rule = self.resolve(resource["Properties"])
            return f"arn:{PARTITION}:events:{REGION}:{ACCOUNT}:rule/{rule['EventBusName']}/{rule['Name']}"
        arn = ARNS.get(resource["Type"])
        if arn is not None and attribute == arn[0]:
            return str(self.resolve(resource["Properties"][attribute]))
        if attribute not in {"Arn", "StreamArn", "TopicArn"} or arn is None:
            return f"<{name}.{attribute}>"
        physical = self.resolve(resource.get("Properties", {}).get(arn[0], name))
        text = f"arn:{PARTITION}:" + arn[1].format(region=REGION, account=ACCOUNT, name=physical)
        return f"{text}/stream/x" if attribute == "StreamArn" else text

    def arn(self, name: str) -> str:
        """The ARN of a resource of this stack."""
        return self._attribute(name, "Arn")

    def resource_with(self, arn: str) -> str | None:
        """The logical id of the resource of this stack that has this ARN."""
        for name, resource in self.resources.items():
            if resource["Type"] in ARNS and arn in {self.arn(name), self._attribute(name, "StreamArn")}:
                return name
        return None

    @cached_property
    def functions(self) -> dict[str, dict[str, Any]]:
        """Properties of the Lambda functions by their names in serverless.yml."""
        prefix = f"{self.service}-{self.stage}-"
        found = self.of_type("AWS::Lambda::Function").values()
        return {str(self.resolve(each["FunctionName"])).removeprefix(prefix): each for each in found}

    def mappings(self, function: str | None = None) -> dict[str, dict[str, Any]]:
        """Event source mappings by logical id, of one function or of all."""
        found = self.of_type("AWS::Lambda::EventSourceMapping")
        return {name: each for name, each in found.items() if function in (None, self.function_of(each))}

    def function_of(self, mapping: dict[str, Any]) -> str:
        """The function that a mapping invokes, by its name in serverless.yml."""
        arn = self.resolve(mapping["FunctionName"])
        return next(name for name, each in self.functions.items() if arn.endswith(self.resolve(each["FunctionName"])))

    def statements_of_role(self, role: Any) -> list[Statement]:
        """The statements of the inline policies of a role."""
        arn = self.resolve(role)
        properties = next(each for name, each in self.of_type("AWS::IAM::Role").items() if self.arn(name) == arn)
        documents = [policy["PolicyDocument"] for policy in properties.get("Policies", [])]
        return [statement for document in documents for statement in self.statements(document)]

    def statements(self, document: dict[str, Any]) -> Iterator[Statement]:
        """The statements of a policy document."""
        for each in self.resolve(document["Statement"]):
            principal = each.get("Principal", {})
            yield Statement(
                effect=each["Effect"],
                actions=as_tuple(each.get("Action", ())),
                resources=as_tuple(each.get("Resource", ())),
                principals=(principal,) if isinstance(principal, str) else as_tuple(principal.get("Service", ())),
                condition=each.get("Condition", {}),
            )

    def role_may(self, role: Any, action: str, resource: str) -> bool:
        """Whether a role of this stack may do this to the resource with this ARN."""
        covering = [each for each in self.statements_of_role(role) if each.covers(action, resource)]
        return any(each.effect == "Allow" for each in covering) and all(each.effect == "Allow" for each in covering)

    @cached_property
    def code(self) -> Path:
        """The folder with the packages of the functions."""
        if (like := PACKAGED_AS.get(self.stage)) and packaged_alike(
            self.folder, code := get_stack(self.service, like).code
        ):
            return code
        return made_once(self.service, self.stage, with_code=True)

    @cached_property
    def packages(self) -> dict[str, zipfile.ZipFile]:
        """The zip file of each function."""
        found = {}
        for name, function in self.functions.items():
            path = self.code / Path(str(self.resolve(function["Code"]["S3Key"]))).name
            found[name] = zipfile.ZipFile(path)
        return found


def as_tuple(value: Any) -> tuple[str, ...]:
    """Policies write a single value without a list."""
    return (value,) if isinstance(value, str) else tuple(value)


def parameters(service: str, stage: str) -> dict[str, str]:
    """The --param arguments of `sls package`."""
    given = ISSUER if service == "rest-bff-service" and stage != "local" else {}
    return {**HUB, **given, **(OPTIONS[service] if stage == FULL else {})}


@functools.cache
def version_of(node: str) -> str:
    """The version of a Node.js."""
    return subprocess.run([node, "--version"], capture_output=True, text=True, timeout=60, check=True).stdout


@functools.cache
def has_namespaces() -> bool:
    """Whether this machine can start a program without network."""
    if shutil.which(WITHOUT_NETWORK[0]) is None:
        return False
    return subprocess.run([*WITHOUT_NETWORK, "true"], capture_output=True, check=False).returncode == 0


def compilers() -> list[str | None]:
    """The Pythons, besides that of set-up, that may compile modules for packages."""
    return [os.environ.get("BYTECODE_PYTHON"), shutil.which(f"python{LAMBDA_PYTHON}")]


def _files_of(service: Path) -> Iterator[Path]:
    """The files of a service, without those of tools, which another process may be making and removing."""
    for folder, folders, names in os.walk(service):
        ignored = NOT_OF_A_SERVICE(folder, [*folders, *names])
        folders[:] = [each for each in folders if each not in ignored]
        yield from (Path(folder, each) for each in names if each not in ignored)


def content_key(service: Path, stage: str) -> str:
    """A hash of all inputs of `sls package` for a service."""
    tools = find_toolchain(ROOT)
    made_from = list(_files_of(service))
    around = [
        stage,
        parameters(service.name, stage),
        version_of(tools.node),
        sys.version,
        *compilers(),
        has_namespaces(),
    ]
    whole = hashlib.sha256(json.dumps(around, sort_keys=True).encode())
    for path in sorted(made_from):
        about = f"{path.relative_to(service)}\0{path.stat().st_mode:o}\0"
        whole.update(about.encode() + path.read_bytes() + b"\0")
    deployment = ROOT / "libs/stream_cli/src/stream_cli/deployment"
    environment = [
        Path(__file__),
        COMPILE_TOGETHER,
        ROOT / "package-lock.json",
        *sorted([*deployment.glob("*.py"), *deployment.glob("*.cjs")]),
        tools.wheels / ".setup-stamp",
        tools.wheels / ".runtime-stamp",
    ]
    for path in environment:
        whole.update(path.read_bytes())
    return whole.hexdigest()[:16]


def kept(place: Path, key: str, make: Callable[[Path], None]) -> Path:
    """A folder that is made where there is none of this key; the one of another key goes.

    `make` gets an empty folder beside it, and leaves in `out` of it what is kept.
    """
    folder = place / key
    place.mkdir(parents=True, exist_ok=True)
    with place.with_suffix(".lock").open("w") as lock:  # two workers of pytest-xdist do not make the same
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            shutil.rmtree(place)
            new = place / "new"
            new.mkdir(parents=True)
            make(new)
            (new / "out").rename(folder)
            shutil.rmtree(new)
    return folder


def compile_service(service: str, stage: str) -> Stack:
    """Run `sls package` for a stage in a copy of the service, or take what an earlier run made of the same files."""
    if not (with_code := has_code(service, stage)):
        compile_together()
    folder = made_once(service, stage, with_code=with_code)
    return Stack(service, stage, folder, json.loads((folder / COMPILED_TEMPLATE).read_text()))


def has_code(service: str, stage: str) -> bool:
    """Whether the template is compiled with the packages; for others, it is made first, and quickly."""
    return stage == "prod" and (service == LEAST or (service == MOST and "THOROUGH" in os.environ))


@functools.cache
def compile_together() -> None:
    """Compile all templates without code that are not there, in one process of the CLI.

    What it cannot compile is left to `made_once`, which says why.
    """
    tools = find_toolchain(ROOT)
    cli = tools.root / "node_modules" / "osls"
    top = ROOT / ".build" / "templates" / "together"
    top.mkdir(parents=True, exist_ok=True)
    with top.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        missing = {
            each: top / "-".join(each)
            for each in [(service, stage) for service in SERVICES for stage in ("local", "dev", "prod", FULL)]
            if not has_code(*each) and not place_of(*each, with_code=False).is_dir()
        }
        if not missing:
            return
        shutil.rmtree(top)
        jobs = []
        for (service, stage), new in missing.items():
            copy = shutil.copytree(ROOT / "services" / service, new / service, ignore=NOT_OF_A_SERVICE)
            words = ["package", "--stage", stage, "--package", str(new / "out")]
            jobs.append(
                {"folder": str(copy), "arguments": [*words, *serverless.parameters(parameters(service, stage))]}
            )
        subprocess.run(
            [*serverless.command(tools)[:-1], "--require", str(COMPILE_ONLY), str(COMPILE_TOGETHER)],
            input=json.dumps({"cli": str(cli), "jobs": jobs}),
            env=serverless.environment(tools),
            capture_output=True,
            text=True,
            timeout=PACKAGE_TIMEOUT_S,
            check=False,
            umask=serverless.UMASK,
        )
        for (service, stage), new in missing.items():
            if (new / "out" / COMPILED_TEMPLATE).is_file():
                place = place_of(service, stage, with_code=False)
                kept(place.parent, place.name, functools.partial(move_out, new))
        shutil.rmtree(top)


def move_out(made: Path, new: Path) -> None:
    """Move what was made in one folder to where `kept` looks for it."""
    (made / "out").rename(new / "out")


def place_of(service: str, stage: str, *, with_code: bool) -> Path:
    """Where is kept what `sls package` makes of a service's files as they are."""
    named = stage if with_code else f"{stage}-without-code"
    return ROOT / ".build" / "templates" / service / named / content_key(ROOT / "services" / service, stage)


def template_alone(service: str, stage: str) -> Stack:
    """The compiled template of a service, for those who need no package."""
    whole = ROOT / ".build" / "templates" / service / stage / content_key(ROOT / "services" / service, stage)
    folder = whole if (whole / COMPILED_TEMPLATE).is_file() else made_once(service, stage, with_code=False)
    return Stack(service, stage, folder, json.loads((folder / COMPILED_TEMPLATE).read_text()))


def made_once(service: str, stage: str, *, with_code: bool) -> Path:
    """The folder with what `sls package` makes; without code, the packages hold the service's own files alone."""

    def make(new: Path) -> None:
        copy = shutil.copytree(ROOT / "services" / service, new / service, ignore=NOT_OF_A_SERVICE)
        package(copy, stage, parameters(service, stage), new / "out", with_code=with_code)
        shutil.rmtree(new / "out" / "requirements", ignore_errors=True)

    place = place_of(service, stage, with_code=with_code)
    return kept(place.parent, place.name, make)


def packaged_alike(folder: Path, other: Path) -> bool:
    """Whether the CLI was told the same about packages, and has put the same files of the service into the second."""

    def told(each: Path) -> list[Any]:
        state = json.loads((each / STATE).read_text())["service"]
        whole = {**state["provider"], **state["initialServerlessConfig"], "plugins": state["plugins"]}
        functions = {name: [to_package(function), function["handler"]] for name, function in state["functions"].items()}
        return [to_package(whole), state["custom"].get("pythonRequirements"), state["layers"], functions]

    def to_package(of: dict[str, Any]) -> dict[str, Any]:
        found = {name: of.get(name) for name in ("architecture", "layers", "module", "plugins", "runtime")}
        package = of.get("package", {})
        return found | {name: value for name, value in package.items() if not name.startswith("artifact")}

    def held(path: Path) -> set[tuple[str, int, int]]:
        with zipfile.ZipFile(path) as zipped:
            return {(each.filename, each.CRC, each.external_attr) for each in zipped.infolist()}

    zips = sorted(path.name for path in folder.glob("*.zip"))
    return (
        told(folder) == told(other)
        and zips == sorted(path.name for path in other.glob("*.zip"))
        and all(held(folder / name) <= held(other / name) for name in zips)
    )


def make_elsewhere(new: Path, service: str, stage: str, params: Mapping[str, str]) -> None:
    """Package in another folder, from files of another time and mode, with another umask, without network and home."""
    copy = shutil.copytree(ROOT / "services" / service, new / "elsewhere" / service, ignore=NOT_OF_A_SERVICE)
    for path in copy.rglob("*"):
        if path.is_file():
            os.utime(path, (time.time(), 1_000_000_000))
            path.chmod(0o600)
    home = new / "home"
    home.mkdir()
    named, found = compilers()
    programs = [Path(each).parent for each in (find_toolchain(ROOT).node, found) if each]
    ran = subprocess.run(
        [*(WITHOUT_NETWORK if has_namespaces() else ()), sys.executable, "-c", PACKAGE],
        input=json.dumps([str(copy), stage, dict(params), str(new / "out")]),
        env={
            "HOME": str(home),
            "PATH": os.pathsep.join(map(str, programs)),
            **({"BYTECODE_PYTHON": named} if named else {}),
        },
        capture_output=True,
        text=True,
        timeout=PACKAGE_TIMEOUT_S,
        check=False,
        umask=0o077,
    )
    if ran.returncode != 0:
        raise ServerlessError(f"{service} cannot be packaged elsewhere for stage {stage}:\n{ran.stderr}")
    shutil.rmtree(new / "out" / "requirements", ignore_errors=True)
    circumstances = {"network": not has_namespaces(), "home": sorted(path.name for path in home.iterdir())}
    (new / "out" / CIRCUMSTANCES).write_text(json.dumps(circumstances))


def package_elsewhere(stack: Stack) -> Path:
    """A second package: of stage `full` for those on AWS, for stage local with other parameters."""
    stage, params = FULL, {**parameters(stack.service, FULL), "architecture": "arm64"}  # this one matters
    if stack.stage == "local":
        others = {name: f"{value}x" for name, value in HUB.items() if not name.endswith("Arn")}
        stage, params = stack.stage, {**parameters(stack.service, stack.stage), **others}

    def make(new: Path) -> None:
        make_elsewhere(new, stack.service, stage, params)

    place = ROOT / ".build" / "templates" / stack.service / f"{stage}-elsewhere"
    return kept(place, content_key(ROOT / "services" / stack.service, stage), make)


@functools.cache
def compiled_or_error(service: str, stage: str) -> Stack | Exception:
    """What `compile_service` returns or raises, once in a process."""
    try:
        return compile_service(service, stage)
    except Exception as error:
        return error


def get_stack(service: str, stage: str) -> Stack:
    """The compiled template of a service for a stage; raises the error of its compilation."""
    made = compiled_or_error(service, stage)
    if isinstance(made, Exception):
        raise made
    return made
